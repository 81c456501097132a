"""Some thousand damaged files: data or an error of negmine, never anything else."""

from __future__ import annotations

from pathlib import Path

import pytest
from fuzz import DOCUMENTS, QUERIES, fuzz, good_files

from negmine.config import ColumnsConfig
from negmine.readers import LABEL_FORMATS, BadRows, LabelSettings, open_vectors, read_corpus, read_qrels, read_queries


@pytest.mark.parametrize("seed", [1, 2])
def test_damaged_files_are_data_or_an_error_of_negmine(seed: int, tmp_path: Path) -> None:
    """Inputs that a seed makes end in no traceback, and their messages are one line."""
    done = fuzz(tmp_path, seed, inputs=800)
    assert not [(finding.name, finding.how, finding.trace) for finding in done.findings]
    assert 0.3 < done.refused / done.inputs < 0.98  # neither nonsense only, nor nothing damaged


def test_the_files_that_are_damaged_are_good(tmp_path: Path) -> None:
    """Every file that the inputs start from is read to its end."""
    columns, rows = ColumnsConfig(), {}
    for name, data in good_files().items():
        path = tmp_path / name
        path.write_bytes(data)
        bad = BadRows()
        if name.startswith("vectors"):
            rows[name] = open_vectors(path, "doc_id").rows
        elif name.startswith("pairs"):
            rows[name] = sum(
                len(batch.queries) for batch in LABEL_FORMATS["pairs"].read([path], LabelSettings(columns), bad)
            )
        elif name.startswith("corpus"):
            rows[name] = sum(len(batch.texts) for batch in read_corpus(path, columns, ("lang",), bad))
        elif name.startswith("queries"):
            rows[name] = sum(len(batch.texts) for batch in read_queries(path, columns, bad))
        elif name.startswith("qrels"):
            rows[name] = sum(len(batch.grades) for batch in read_qrels(path, bad))
    assert len(rows) == len(good_files()) - 1
    assert all(
        count == (DOCUMENTS if name.startswith(("corpus", "vectors")) else QUERIES) for name, count in rows.items()
    )
