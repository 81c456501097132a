"""An evaluation from start to end: what it says, keeps, goes on from, and refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from planted import make_run

import negmine
from negmine.config import Config
from negmine.errors import ArtifactError, InputError, LockedError, UsageError
from negmine.evaluation import evaluate, experiment_of, stored_evaluation
from negmine.pipeline.events import Silent
from negmine.store.lock import writing
from negmine.store.workdir import WorkDir
from negmine.training.adapter import Adapter


def changed(config: Config, **sections: Any) -> Config:
    values = config.model_dump(mode="json")
    return negmine.config_from_dict({**values, **{name: {**values[name], **keys} for name, keys in sections.items()}})


def files(config: Config) -> dict[str, bytes]:
    folder = Path(config.work_dir) / "evaluate"
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


class Counting(Silent):
    """Counts steps as they are done."""

    def __init__(self) -> None:
        self.total = self.before = self.steps = 0

    def tasks_known(self, stage: str, unit: str, total: int, done: int) -> None:
        self.total, self.before = total, done

    def advanced(self, stage: str, units: int) -> None:
        self.steps += units


class KilledError(Exception):
    """What ends a training in the middle."""


def test_the_result_is_kept_and_is_the_mean_of_the_queries(config: Config) -> None:
    """``result.json`` says what the call gives; ``per_query.parquet`` holds what its means are of."""
    found = evaluate(config)
    assert [arm.arm for arm in found.arms] == ["in_batch", "random", "naive", "peer", "run"]
    stored = stored_evaluation(WorkDir(Path(config.work_dir)))
    assert stored is not None
    assert stored == (json.loads(json.dumps(found.as_json())), True)
    table = pq.read_table(Path(config.work_dir) / "evaluate" / "per_query.parquet").to_pylist()
    assert len(table) == 5 * 2 * found.queries["tested"]
    for arm in found.arms:
        values = [row["ndcg@10"] for row in table if row["arm"] == arm.arm]
        assert arm.metrics["ndcg@10"] == pytest.approx(np.mean(values))
        assert arm.interval[0] <= arm.metrics["ndcg@10"] <= arm.interval[1]
    assert len(found.comparisons) == 7
    assert found.recovered is None


def test_an_evaluation_has_the_same_bytes_again(config: Config) -> None:
    """On any number of threads; and a second call trains nothing."""
    evaluate(config)
    first, again = files(config), Counting()
    evaluate(config, again)
    assert again.before == again.total > 0
    assert again.steps == 0
    assert files(config) == first
    for path in sorted((Path(config.work_dir) / "evaluate").rglob("*.*")):
        path.unlink()
    evaluate(config.model_copy(update={"threads": 2}))
    assert files(config) == first


def test_a_killed_evaluation_goes_on(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """It trains only what was not done, and ends with the bytes of one that was not killed."""
    evaluate(config)
    whole = files(config)
    for path in (Path(config.work_dir) / "evaluate").rglob("*.*"):
        path.unlink()
    train, calls = Adapter.train, 0

    def dying(self: Adapter, *arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 8:
            raise KilledError
        return train(self, *arguments)

    monkeypatch.setattr(Adapter, "train", dying)
    with pytest.raises(KilledError):
        evaluate(config)
    left = files(config)
    assert left
    assert set(left) < set(whole)
    rest = Counting()
    evaluate(config, rest)
    assert rest.before > 0
    assert rest.steps == rest.total - rest.before
    assert files(config) == whole


def test_only_what_changed_is_trained_again(config: Config) -> None:
    """Another filter trains its own arm anew; the old result is not shown as that of the new filter."""
    evaluate(config)
    other = changed(config, filter={"positive_similarity": 0.2, "risk": None})
    negmine.run(other, until="filter")
    stored = stored_evaluation(WorkDir(Path(config.work_dir)))
    assert stored is not None
    assert not stored[1]
    told = Counting()
    evaluate(other, told)
    assert told.total - told.before == told.total // 5
    assert stored_evaluation(WorkDir(Path(config.work_dir)))[1]  # type: ignore[index]


@pytest.mark.parametrize(
    "keys", [{"steps": 13}, {"temperature": 0.1}, {"learning_rates": [0.02]}, {"dev": 0.2}, {"shared_negatives": True}]
)
def test_other_settings_train_anew(config: Config, keys: dict[str, Any]) -> None:
    """Nothing of another split, plan or loss is taken for the same."""
    evaluate(config)
    told = Counting()
    evaluate(changed(config, evaluate=keys), told)
    assert told.before == 0


def test_poison_is_told(tmp_path: Path) -> None:
    """Where the answers stand under several ids, naive negatives are worse than none; the guard's are not.

    Nothing here can be gained by hard negatives: what can be learnt, in-batch ones teach.
    """
    section = {"judged": "qrels.tsv", "seeds": 2, "learning_rates": [0.01], "checkpoints": 3}
    config = make_run(tmp_path, evaluate={**section, "arms": ["in_batch", "naive", "run"]})
    found = evaluate(config)
    assert found.comparison("naive", "in_batch").verdict == "worse"
    assert found.comparison("run", "in_batch").verdict != "worse"
    assert found.comparison("run", "naive").verdict == "better"
    assert "worse than in-batch" in found.comparison("naive", "in_batch").sentence


def test_too_few_queries(tmp_path: Path) -> None:
    """The error counts the sides."""
    config = make_run(tmp_path, queries=12)
    with pytest.raises(InputError, match=r"too few queries to evaluate with: 12 are split into \d+ for train"):
        evaluate(config)


def test_judgements_of_other_queries(config: Config, tmp_path: Path) -> None:
    """Qrels that name no query of the run are refused, and a bad line is named."""
    (tmp_path / "other.tsv").write_text("x 0 y 1\n")
    with pytest.raises(InputError, match=r"other\.tsv: none of its relevant pairs is about a query"):
        evaluate(changed(config, evaluate={"judged": str(tmp_path / "other.tsv")}))
    (tmp_path / "bad.tsv").write_text("q1 0 d1 1\nq1 0 d1 much\n")
    with pytest.raises(InputError, match=r"bad\.tsv:2:9: the grade 'much' is not a number"):
        evaluate(changed(config, evaluate={"judged": str(tmp_path / "bad.tsv")}))
    with pytest.raises(InputError, match=r"none\.tsv"):
        evaluate(changed(config, evaluate={"judged": str(tmp_path / "none.tsv")}))


def test_an_unfinished_run(tmp_path: Path, config: Config) -> None:
    """Without a filter there is nothing to evaluate."""
    with pytest.raises(ArtifactError, match="filter has not finished in this run"):
        evaluate(config.model_copy(update={"work_dir": str(tmp_path / "none")}))


def test_a_run_at_a_url(config: Config) -> None:
    """Results are kept in the folder of the run."""
    with pytest.raises(UsageError, match="this one is a URL"):
        evaluate(config.model_copy(update={"work_dir": "s3://bucket/run"}))


def test_a_run_that_is_written_to(config: Config) -> None:
    """Two commands do not write to one run."""
    with writing(Path(config.work_dir)), pytest.raises(LockedError):
        evaluate(config)


def test_a_damaged_result(config: Config) -> None:
    """The file is named with the way out."""
    folder = Path(config.work_dir) / "evaluate"
    folder.mkdir()
    (folder / "result.json").write_text("[]")
    with pytest.raises(ArtifactError, match=r"result\.json: this file is damaged\. Delete it"):
        stored_evaluation(WorkDir(Path(config.work_dir)))


def test_judgements_decide_what_counts(config: Config) -> None:
    """With qrels that name all copies, more is relevant than the labelled positive."""
    with experiment_of(config) as plain:
        labelled = plain.material.truth(plain.material.chosen(2))
    judged = changed(config, evaluate={"judged": str(Path(config.work_dir).parent / "qrels.tsv")})
    with experiment_of(judged) as full:
        known = full.material.truth(full.material.chosen(2))
    assert len(known.query) == 4 * len(labelled.query)
