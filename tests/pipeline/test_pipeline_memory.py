"""The memory limit is kept, and changes no byte."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

PASSAGES, QUERIES, DIMENSION = 100_000, 10_000, 384
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scale")
    rng = np.random.default_rng(0)
    corpus = rng.standard_normal((PASSAGES, DIMENSION), dtype=np.float32)
    positives = rng.choice(PASSAGES, QUERIES, replace=False)
    np.save(folder / "corpus.npy", corpus)
    np.save(folder / "queries.npy", corpus[positives] + rng.standard_normal((QUERIES, DIMENSION), dtype=np.float32))
    order = rng.permutation(PASSAGES)
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(corpus[order].ravel()), DIMENSION)
    pq.write_table(pa.table({"doc_id": [f"d{i}" for i in order], "vector": vectors}), folder / "corpus.parquet")
    with (folder / "corpus.jsonl").open("w") as file:
        file.writelines(json.dumps({"_id": f"d{i}", "text": f"passage {i}"}) + "\n" for i in range(PASSAGES))
    with (folder / "pairs.jsonl").open("w") as file:
        file.writelines(
            json.dumps({"query_id": f"q{i}", "anchor": f"query {i}", "positive_id": f"d{p}"}) + "\n"
            for i, p in enumerate(positives)
        )
    return folder


def run(data: Path, name: str, limit: str, vectors: str) -> Path:
    config = {
        "work_dir": str(data / name),
        "memory_limit": limit,
        "data": {"pairs": str(data / "pairs.jsonl"), "corpus": str(data / "corpus.jsonl")},
        "embed": {"vectors": {"corpus": str(data / vectors), "queries": str(data / "queries.npy")}},
    }
    path = data / f"{name}.yaml"
    path.write_text(json.dumps(config))
    subprocess.run([sys.executable, "-m", "negmine", "run", "-q", "-c", str(path)], check=True)
    return data / name


def test_100k_passages_fit_in_500_megabytes(data: Path) -> None:
    """Peak memory stays below 800 MB, and a larger limit or vectors in another order give the same bytes."""
    small = run(data, "small", "500MB", "corpus.npy")
    large = run(data, "large", "4GB", "corpus.parquet")
    for stage in ("ingest", "embed", "index", "mine", "filter", "export"):
        assert json.loads((small / stage / "manifest.json").read_text())["peak_rss_bytes"] < 800e6
        files = sorted(p.relative_to(small / stage) for p in (small / stage).rglob("*") if p.is_file())
        assert files == sorted(p.relative_to(large / stage) for p in (large / stage).rglob("*") if p.is_file())
        for file in files:
            if file.name != "manifest.json":
                assert (small / stage / file).read_bytes() == (large / stage / file).read_bytes(), file
