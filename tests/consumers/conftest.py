"""One run for all tests of this folder: every format, over texts that break careless readers."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import sample

EXPORTS = [
    {"format": "triplet", "file": "triplet.jsonl"},
    {"format": "triplet", "file": "triplet-scores.jsonl", "scores": True},
    {"format": "n-tuple", "file": "n-tuple.jsonl"},
    {"format": "labeled-pair", "file": "labeled-pair.jsonl"},
    {"format": "labeled-pair", "file": "labeled-pair-scores.jsonl", "scores": True},
    {"format": "labeled-list", "file": "labeled-list.jsonl"},
    {"format": "labeled-list", "file": "labeled-list-scores.jsonl", "scores": True},
    {"format": "margin-mse", "file": "margin-mse.jsonl"},
    {"format": "margin-mse", "file": "margin-mse-4.jsonl", "negatives_per_row": sample.NEGATIVES},
    {"format": "ids", "file": "ids/"},
    {"format": "flagembedding", "file": "flagembedding.jsonl", "scores": True},
    {"format": "tevatron", "file": "tevatron.jsonl", "scores": True},
    {"format": "tevatron-ids", "file": "tevatron-ids/"},
    {"format": "nemo", "file": "nemo/"},
    {"format": "beir", "file": "beir/"},
    {"format": "ms-swift", "file": "ms-swift.jsonl", "one_positive_per_row": False},
    {"format": "trec-run", "file": "run.trec"},
]


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run."""
    return sample.run(tmp_path_factory.mktemp("consumers"), EXPORTS)


@pytest.fixture(scope="session")
def exported(run_folder: Path) -> Path:
    """Its training files."""
    return run_folder / "export"


@pytest.fixture(scope="session")
def groups(run_folder: Path) -> list[sample.Group]:
    """What the files must say."""
    found = sample.groups(run_folder)
    kept = [len(group.negatives) for group in found]
    assert 0 in kept
    assert max(kept) == sample.NEGATIVES
    assert any(0 < count < sample.NEGATIVES for count in kept)
    assert any(len(group.positives) > 1 for group in found)
    return found


@pytest.fixture(scope="session")
def plain_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A transformers folder with a tiny model."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "encoders"))
    from tiny_models import save_plain_bert

    return save_plain_bert(tmp_path_factory.mktemp("model") / "plain")
