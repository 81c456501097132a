"""The number of threads is obeyed and changes no byte."""

from __future__ import annotations

import json
from pathlib import Path

import faiss
import numpy as np
import pytest

import negmine


def run(folder: Path, threads: int, dense: str) -> Path:
    rng = np.random.default_rng(0)
    np.save(folder / "c.npy", rng.standard_normal((3000, 48), dtype=np.float32))
    np.save(folder / "q.npy", rng.standard_normal((200, 48), dtype=np.float32))
    corpus = [{"_id": f"d{i}", "text": f"passage {i}"} for i in range(3000)]
    pairs = [{"query_id": f"q{i}", "anchor": f"query {i}", "positive_id": f"d{i}"} for i in range(200)]
    for name, rows in (("corpus", corpus), ("pairs", pairs)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    config = negmine.config_from_dict(
        {
            "work_dir": f"run-{threads}",
            "threads": threads,
            "data": {"pairs": "pairs.jsonl", "corpus": "corpus.jsonl"},
            "embed": {"vectors": {"corpus": "c.npy", "queries": "q.npy"}},
            "index": {"dense": dense},
        },
        folder,
    )
    negmine.run(config)
    return Path(config.work_dir)


@pytest.mark.parametrize("dense", ["exact", "IVF32,Flat", "IVF32,PQ12,RFlat", "HNSW16"])
def test_threads_change_no_byte(tmp_path: Path, dense: str) -> None:
    before = faiss.omp_get_max_threads()
    try:
        one = run(tmp_path, 1, dense)
        assert faiss.omp_get_max_threads() == 1
        two = run(tmp_path, 2, dense)
        assert faiss.omp_get_max_threads() == 2
    finally:
        faiss.omp_set_num_threads(before)
    for stage in ("mine", "filter", "export"):
        for path in sorted((one / stage).rglob("*")):
            if path.name not in ("manifest.json", "README.md") and path.is_file():
                assert path.read_bytes() == (two / path.relative_to(one)).read_bytes(), path
