"""refresh: what is taken over, what is computed, what it says, and that it goes on where it stopped."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pyarrow.parquet as pq
import pytest
from topics import PASSAGES, QUERIES, TopicEncoder, model

sys.path.insert(0, str(Path(__file__).parents[1] / "crash"))
from small_run import run_files

from negmine.config import load_config
from negmine.pipeline import run, status
from negmine.results import read_negatives, read_verdicts
from negmine.rounds import refresh, sibling_of, write_config
from negmine.stages import STAGES
from negmine.stages.base import Stage
from negmine.stages.rerank import stage as rerank_stage

Call = Callable[..., Any]


def tasks(done: Any) -> dict[str, tuple[int, int]]:
    return {stage["stage"]: (stage["tasks_run"], stage["tasks"]) for stage in done.json["stages"]}


def test_what_the_model_does_not_touch_is_taken_over(mined: Path, call: Call) -> None:
    """Ingest's tables and the counted words are linked; only what depends on vectors is computed."""
    TopicEncoder.encoded = 0
    done = call("refresh", "--model", "models/new", "--json")
    assert done.code == 0, done.err
    ran = tasks(done)
    assert ran["ingest"] == (0, 1)
    assert ran["index"] == (1, 3)
    assert TopicEncoder.encoded == PASSAGES + QUERIES
    assert done.json["work_dir"] == str(mined / "work-new")
    for path in ("ingest/corpus.parquet", "index/bm25/weights.npy"):
        assert (mined / "work-new" / path).stat().st_ino == (mined / "work" / path).stat().st_ino


def test_vectors_of_a_further_encoder_are_taken_over(mined: Path, call: Call) -> None:
    """Another main model changes nothing about what a further encoder makes of the texts."""
    further = ["--set", "embed.others=[{name: second, model: models/old}]", "--set", "mine.retrievers=[dense, second]"]
    assert call("run", *further, "--set", "work_dir=two").code == 0
    TopicEncoder.encoded = 0
    done = call("refresh", "--model", "models/new", *further, "--set", "work_dir=two", "--json")
    assert done.code == 0, done.err
    assert TopicEncoder.encoded == PASSAGES + QUERIES


def test_words_are_counted_once_in_a_run_of_its_own_too(mined: Path, call: Call) -> None:
    """Another model in the same folder leaves the files of BM25; another formula does not."""
    done = call("run", "--set", "embed.model=models/new", "--json")
    assert tasks(done)["index"] == (1, 3)
    done = call("run", "--set", "embed.model=models/new", "--set", "index.bm25.k1=2.0", "--json")
    assert tasks(done)["index"] == (3, 3)


def test_a_sibling_has_the_bytes_of_a_run_of_its_own(mined: Path, call: Call) -> None:
    """What refresh leaves is what a run with that model leaves in an empty folder."""
    assert call("refresh", "--model", "models/new").code == 0
    assert call("run", "--set", "embed.model=models/new", "--set", "work_dir=alone").code == 0
    assert run_files(mined / "work-new") == run_files(mined / "alone")


def test_the_config_beside_runs_as_it_is(mined: Path, call: Call) -> None:
    """The sibling's config keeps comments, and a run of it does nothing more."""
    done = call("refresh", "--model", "models/new", "--set", "filter.num_negatives=2", "--json")
    path = Path(done.json["config"])
    text = path.read_text()
    assert path == Path("negmine-new.yaml")
    assert "# a run of the tests" in text
    assert "work_dir: work-new # where it goes" in text
    assert "model: ./models/new   # the first one" in text
    assert "num_negatives: 2   # three" in text
    again = call("run", "-c", str(path), "--json")
    assert all(ran == 0 for ran, _ in tasks(again).values())


def test_a_second_call_computes_nothing(mined: Path, call: Call) -> None:
    """The same command again finds all of it there and says the same."""
    first = call("refresh", "--model", "models/new", "--json")
    again = call("refresh", "--model", "models/new", "--json")
    assert all(ran == 0 for ran, _ in tasks(again).values())
    assert again.json["negatives"] == first.json["negatives"]
    assert again.json["churn"] == first.json["churn"]


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["embed", "mine", "filter"])
def test_an_interrupted_refresh_goes_on(mined: Path, call: Call, monkeypatch: pytest.MonkeyPatch, stage: str) -> None:
    """Stopped in any stage, the same command ends with the files of one that was not stopped."""
    whole = mined / "whole"
    assert call("refresh", "--model", "models/new", "--into", str(whole)).code == 0
    kind = type(STAGES[stage])
    real, left = kind.execute, [1]

    def stopping(self: Stage, task: Any, job: Any) -> Any:
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        return real(self, task, job)

    with monkeypatch.context() as patch:
        patch.setattr(kind, "execute", stopping)
        assert call("refresh", "--model", "models/new").code == 130
    assert call("refresh", "--model", "models/new").code == 0
    assert run_files(mined / "work-new") == run_files(whole)


def test_what_became_of_the_negatives_is_counted(mined: Path, call: Call) -> None:
    """The counts and figures are those that the two runs' verdicts give by hand."""
    found = call("refresh", "--model", "models/new", "--json").json["negatives"]
    old, new = read_negatives(mined / "work"), read_verdicts(mined / "work-new")
    said = {(row["query_id"], row["doc_id"]): row for row in new.to_pylist()}
    pairs = [(row["query_id"], row["doc_id"]) for row in old.to_pylist()]
    reasons: dict[str, int] = {}
    for pair in pairs:
        reason = said[pair]["reason"] if pair in said else "not_mined"
        reasons[reason] = reasons.get(reason, 0) + 1
    assert found["reasons"] == reasons
    assert found["kept"] == reasons["kept"]
    assert found["false"] == reasons.get("risk", 0) + reasons.get("near_duplicate", 0)
    assert sum(found[name] for name in ("kept", "spared", "false", "gone")) == len(pairs)
    kept = [row for row in new.to_pylist() if row["verdict"] == "kept"]
    assert found["new"]["margin"] == pytest.approx(np.mean([row["reference"] - row["score"] for row in kept]))
    assert found["old"]["score"] == pytest.approx(np.mean(old["score"].to_numpy()))
    assert found["new"]["risk"] == pytest.approx(np.mean([row["risk"] for row in kept]))
    known = [said[pair]["rank"] if pair in said else np.inf for pair in pairs]
    assert found["old_now"]["rank"] == (None if np.isinf(np.median(known)) else np.median(known))
    still = [pair for pair in pairs if pair in said]
    vectors = TopicEncoder(0.3)
    texts = {row["doc_id"]: row["text"] for row in _lines(mined / "corpus.jsonl", "_id")}
    asked = {row["query_id"]: row["anchor"] for row in _lines(mined / "pairs.jsonl", "query_id")}
    scores = [float(vectors._vector(asked[q]) @ vectors._vector(texts[d])) for q, d in pairs]
    assert found["old_now"]["score"] == pytest.approx(np.mean(scores), abs=1e-6)
    assert len(still) == len(pairs) - reasons.get("not_mined", 0)


def _lines(path: Path, key: str) -> list[dict[str, str]]:
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return [{**row, "doc_id": row.get("_id", ""), key: row[key]} for row in rows]


def test_a_person_reads_what_happened(mined: Path, call: Call) -> None:
    """The table names the new place, the churn, and what the old negatives are now."""
    done = call("refresh", "--model", "models/new")
    assert "the new run is in" in done.err
    assert "taken from" in done.err
    assert "ingest, index" in done.err
    for words in ("Churn ", "What became of", "taken for relevant now", "too easy", "by the new model"):
        assert words in done.out


def test_what_was_said_of_pairs_goes_along(mined: Path, call: Call) -> None:
    """Labels and answers belong to texts: the sibling has them too, as files of its own."""
    for name in ("labels.jsonl", "judgements.jsonl", "answers.jsonl"):
        (mined / "work" / name).write_text("")
    assert call("refresh", "--model", "models/new").code == 0
    for name in ("labels.jsonl", "judgements.jsonl", "answers.jsonl"):
        copy = mined / "work-new" / name
        assert copy.is_file()
        assert copy.stat().st_ino != (mined / "work" / name).stat().st_ino


def test_nothing_stale_is_taken(mined: Path, call: Call) -> None:
    """With other data since, ingest is made anew: what was linked does not count."""
    with (mined / "pairs.jsonl").open("a") as file:
        file.write(
            json.dumps({"query_id": "new", "anchor": "asked now topic1 detail2", "positive": "topic1 said"}) + "\n"
        )
    done = call("refresh", "--model", "models/new", "--json")
    assert done.code == 0, done.err
    assert tasks(done)["ingest"] == (1, 1)
    assert tasks(done)["index"] == (3, 3)
    assert done.json["negatives"]["queries"] == QUERIES
    assert {stage.state for stage in status(load_config("negmine-new.yaml"))} == {"current"}


@pytest.mark.slow
def test_the_models_of_two_siblings_may_have_one_name(mined: Path, call: Call) -> None:
    """Where the name is taken by another model, the folder is named by the digest of its files."""
    model(mined / "elsewhere" / "new", 0.6)
    first = call("refresh", "--model", "models/new", "--json").json["work_dir"]
    second = call("refresh", "--model", "elsewhere/new", "--json").json["work_dir"]
    again = call("refresh", "--model", "elsewhere/new", "--json").json["work_dir"]
    assert first == str(mined / "work-new")
    assert second == again != first
    assert second.startswith(str(mined / "work-"))


def test_what_cannot_be_is_said_before_anything_is_done(mined: Path, call: Call) -> None:
    """A model that is the run's own, one that is not there, and a folder that is taken are errors of one line."""
    shutil.copytree(mined / "models" / "old", mined / "models" / "copy")
    same = call("refresh", "--model", "models/copy")
    assert same.code == 2
    assert "the very files of the model" in same.err
    missing = call("refresh", "--model", "./models/none")
    assert missing.code == 4
    assert "does not exist" in missing.err
    (mined / "taken").mkdir()
    (mined / "taken" / "notes.txt").write_text("mine")
    taken = call("refresh", "--model", "models/new", "--into", "taken")
    assert taken.code == 2
    assert "something else in this folder" in taken.err
    itself = call("refresh", "--model", "models/new", "--into", "work")
    assert itself.code == 2
    assert not (mined / "negmine-new.yaml").exists()


def test_a_run_that_has_not_finished_has_nothing_to_refresh(project: Path, call: Call) -> None:
    """Without negatives of an old run there is nothing to compare with."""
    done = call("refresh", "--model", "models/new")
    assert done.code == 5
    assert "negmine run" in done.err


def test_a_config_of_ones_own_is_not_overwritten(mined: Path, call: Call) -> None:
    """A file in the way stays; one that was written by refresh is, until it is changed."""
    path = mined / "negmine-new.yaml"
    path.write_text("mine")
    assert call("refresh", "--model", "models/new").code == 2
    assert path.read_text() == "mine"
    path.unlink()
    assert call("refresh", "--model", "models/new").code == 0
    assert call("refresh", "--model", "models/new", "--set", "filter.num_negatives=1").code == 0
    path.write_text(path.read_text() + "# my note\n")
    changed = call("refresh", "--model", "models/new", "--set", "filter.num_negatives=2")
    assert changed.code == 2
    assert "changed since" in changed.err


@pytest.mark.slow
def test_ready_vectors_give_way_to_a_model(mined: Path) -> None:
    """embed.vectors, an endpoint and publishing are not for the sibling."""
    np.save(mined / "corpus.npy", np.eye(PASSAGES, 8, dtype=np.float32) + 0.1)
    np.save(mined / "queries.npy", np.eye(QUERIES, 8, dtype=np.float32) + 0.2)
    ready = mined / "ready.yaml"
    ready.write_text(
        (mined / "negmine.yaml")
        .read_text()
        .replace("model: ./models/old", "vectors: {corpus: corpus.npy, queries: queries.npy}")
        + "publish: there\n"
    )
    config = load_config(ready, ["work_dir=ready"])
    run(config)
    sibling = sibling_of(config, "models/new")
    path = write_config(sibling, ready, ["work_dir=ready"])
    found = refresh(sibling)
    written = load_config(path)
    assert written.embed.vectors is None
    assert written.publish is None
    assert written.embed.model == str(mined / "models" / "new")
    assert found.result.published is None
    assert found.negatives.old.negatives == read_negatives(config).num_rows


class CountingScorer:
    """Scores a pair by its texts' lengths, and counts what it is asked."""

    scored = 0

    def score(self, queries: Any, passages: Any, of_query: Any, of_passage: Any, progress: Any) -> np.ndarray:
        CountingScorer.scored += len(of_query)
        pairs = zip(of_query, of_passage, strict=True)
        return np.array([1 / (1 + abs(len(queries[q]) - len(passages[p]))) for q, p in pairs])


def test_scores_of_a_reranker_are_taken_over_by_text(mined: Path, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pairs that were scored for the old run are not scored again, and the others are."""
    model(mined / "models" / "reranker", 0)
    monkeypatch.setattr(rerank_stage, "load_scorer", lambda config: CountingScorer())
    monkeypatch.setattr(rerank_stage.RerankStage, "check", lambda self, config, counts: None)
    reranked = ("--set", "rerank={model: ./models/reranker}")
    assert call("run", *reranked).code == 0
    CountingScorer.scored = 0
    done = call("refresh", "--model", "models/new", *reranked)
    assert done.code == 0, done.err
    config = load_config("negmine-new.yaml")
    counts = {stage.stage: stage.manifest.counts for stage in status(config) if stage.manifest is not None}["rerank"]
    assert CountingScorer.scored == counts["scores"] - counts["reused"]
    assert counts["reused"] > counts["scores"] / 4
    with_folder = call("run", *reranked, "--set", "embed.model=models/new", "--set", "work_dir=alone")
    assert with_folder.code == 0
    assert _scores(mined / "work-new") == _scores(mined / "alone")


def _scores(work: Path) -> list[Any]:
    return [pq.read_table(path).to_pydict() for path in sorted((work / "rerank").glob("part-*.parquet"))]


@pytest.mark.slow
def test_a_run_in_a_bucket_has_a_sibling_there(mined: Path, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a URL as work_dir what is taken over is put there too, and a machine without a copy goes on with it."""
    files = fsspec.filesystem("memory")
    files.store.clear()
    files.pseudo_dirs[:] = [""]
    place = ("--set", "work_dir=memory://bucket/run")
    monkeypatch.setenv("NEGMINE_CACHE_DIR", str(mined / "one"))
    assert call("run", *place).code == 0
    monkeypatch.setenv("NEGMINE_CACHE_DIR", str(mined / "two"))
    done = call("refresh", "--model", "models/new", *place, "--json")
    assert done.code == 0, done.err
    assert done.json["work_dir"] == "memory://bucket/run-new"
    assert tasks(done)["ingest"] == (0, 1)
    assert tasks(done)["index"] == (1, 3)
    assert files.exists("/bucket/run-new/export/train.jsonl")
    monkeypatch.setenv("NEGMINE_CACHE_DIR", str(mined / "three"))
    again = call("run", "-c", done.json["config"], "--json")
    assert all(ran == 0 for ran, _ in tasks(again).values())
    files.store.clear()
