"""Three queries and six passages whose scores are small numbers, so that files can be written down by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

import negmine
from negmine.pipeline import RunResult

CORPUS = [
    {"_id": "d1", "title": "Tides", "text": 'The moon "pulls".'},
    {"_id": "d2", "title": "", "text": "Ebb\tand flow"},
    {"_id": "d3", "title": "Sun", "text": "Солнце 🌞"},
    {"_id": "d4", "title": "", "text": "A\nstar"},
    {"_id": "d5", "title": "Red", "text": ""},
    {"_id": "d6", "title": "", "text": "مرحبا"},
]
QUERIES = [{"_id": "q1", "text": "moon?"}, {"_id": "q2", "text": "sun?"}, {"_id": "q3", "text": "star?"}]
QRELS = "query-id\tcorpus-id\tscore\nq1\td1\t2\nq1\td2\t1\nq2\td3\t1\nq3\td4\t1\n"
# A row per passage, a column per query. A negative scores at least 1 less than the worst positive: q1 has d3 (5)
# and d4 (4.5), q2 has d5 (6) and d6 (3.25), q3 has none.
SCORES = [[9, 0, 7], [8, 1, 7], [5, 9, 7], [4.5, 2, 6], [3.5, 6, 7], [2, 3.25, 7]]


def write_data(folder: Path) -> None:
    """A folder in BEIR layout, and vectors whose products are ``SCORES``."""
    (folder / "qrels").mkdir(parents=True)
    for name, rows in (("corpus", CORPUS), ("queries", QUERIES)):
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (folder / f"{name}.jsonl").write_text(lines, "utf-8")
    (folder / "qrels" / "train.tsv").write_text(QRELS)
    np.save(folder / "c.npy", np.array(SCORES, np.float32))
    np.save(folder / "q.npy", np.eye(3, dtype=np.float32))


def export(folder: Path, *exports: dict[str, Any], **sections: Any) -> RunResult:
    """Run on the data in ``folder`` (written when it is not there); files are in ``folder / "run" / "export"``."""
    if not (folder / "corpus.jsonl").exists():
        write_data(folder)
    config = {
        "work_dir": "run",
        "data": {"path": ".", "format": "beir"},
        "embed": {"vectors": {"corpus": "c.npy", "queries": "q.npy"}, "normalize": False, "similarity": "dot"},
        "mine": {"k": 6},
        "filter": {"num_negatives": 2, "absolute_margin": 1.0, "risk": None, "near_duplicates": None},
        "export": list(exports),
    }
    return negmine.run(negmine.config_from_dict({**config, **sections}, folder))
