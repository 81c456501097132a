"""What every arm trains on, from the stored candidates of a run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from planted import COPIES, TOPICS, make_run

import negmine
from negmine.config import Config
from negmine.errors import ConfigError
from negmine.evaluation import TRAIN, Experiment, experiment_of, filtered_negatives, negatives_of
from negmine.evaluation.arms import as_rows
from negmine.results import read_negatives, read_verdicts

QUERIES = 180


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    return make_run(tmp_path_factory.mktemp("arms"), queries=QUERIES, evaluate={"judged": "qrels.tsv"})


@pytest.fixture
def experiment(config: Config) -> Iterator[Experiment]:
    with experiment_of(config) as found:
        yield found


def taken(experiment: Experiment, arm: str) -> dict[int, list[int]]:
    query, passage = negatives_of(experiment.material, arm)
    found: dict[int, list[int]] = {}
    for q, p in zip(query.tolist(), passage.tolist(), strict=True):
        found.setdefault(q, []).append(p)
    return found


def listed(config: Config) -> dict[int, list[tuple[int, float]]]:
    """Candidates of each query that are neither positive nor a copy: passage and score, best first."""
    found: dict[int, list[tuple[int, float]]] = {}
    for row in read_verdicts(config).to_pylist():
        if not row["reason"].startswith("positive") or row["reason"] == "positive_similarity":
            found.setdefault(row["query"], []).append((row["passage"], row["score"]))
    return found


def test_naive_is_the_first_candidates(config: Config, experiment: Experiment) -> None:
    """That are not the labelled positive."""
    assert taken(experiment, "naive") == {q: [p for p, _ in of[:3]] for q, of in listed(config).items()}


def test_peer_has_a_margin_of_five_percent(config: Config, experiment: Experiment) -> None:
    """Relative to the positive's score, and nothing fills a short row."""
    reference = {row["query"]: row["reference"] for row in read_verdicts(config).to_pylist()}
    expected = {}
    for query, of in listed(config).items():
        kept = [p for p, score in of if score <= reference[query] - abs(reference[query]) * 0.05][:3]
        if kept:
            expected[query] = kept
    found = taken(experiment, "peer")
    assert found == expected
    assert any(len(each) < 3 for each in found.values()) or len(found) < QUERIES or min(map(len, found.values())) == 3


def test_the_run_s_arm_is_what_it_exports(config: Config, experiment: Experiment) -> None:
    """Its kept negatives in their order."""
    expected: dict[int, list[int]] = {}
    for row in sorted(read_negatives(config).to_pylist(), key=lambda row: (row["query"], row["position"])):
        expected.setdefault(row["query"], []).append(row["passage"])
    assert taken(experiment, "run") == expected


def test_the_oracle_takes_the_hardest_that_are_wrong(config: Config, experiment: Experiment) -> None:
    """By the judgements, which name every copy of the answer."""
    expected = {q: [p for p, _ in of if p // COPIES != q % TOPICS][:3] for q, of in listed(config).items()}
    assert taken(experiment, "oracle") == expected
    assert taken(experiment, "naive") != expected


def test_random_negatives_are_no_positives(experiment: Experiment) -> None:
    """Three distinct ones for every training query, none for the others, the same each time."""
    found = taken(experiment, "random")
    material = experiment.material
    assert set(found) == set(np.flatnonzero(material.sides == TRAIN).tolist())
    known = set(zip(material.excluded.query.tolist(), material.excluded.passage.tolist(), strict=True))
    for query, passages in found.items():
        assert len(set(passages)) == 3
        assert not known & {(query, passage) for passage in passages}
    assert taken(experiment, "random") == found


def test_another_filter_is_tried_without_running_it(config: Config, experiment: Experiment) -> None:
    """What a changed filter section takes is what the filter stage takes with it."""
    for rules in (
        {"num_negatives": 2, "relative_margin": 0.1, "risk": None},
        {"positive_similarity": 0.6},
        {"num_negatives": 4, "random_share": 0.5},
    ):
        changed = negmine.config_from_dict({**config.model_dump(mode="json"), "filter": rules})
        query, passage = filtered_negatives(experiment.material, changed)
        copied = json.loads(json.dumps(changed.model_dump(mode="json")))
        folder = Path(config.work_dir).parent / "other"
        other = negmine.config_from_dict({**copied, "work_dir": str(folder)})
        negmine.run(other, until="filter")
        kept = {(row["query"], row["passage"]) for row in read_negatives(other).to_pylist()}
        assert set(zip(query.tolist(), passage.tolist(), strict=True)) == kept
        assert (np.diff(query) >= 0).all()


def test_reuse_cannot_be_tried(config: Config, experiment: Experiment) -> None:
    """As it is about all queries."""
    changed = negmine.config_from_dict({**config.model_dump(mode="json"), "filter": {"max_reuse": 2}})
    with pytest.raises(ConfigError, match=r"filter\.max_reuse: it is about all queries at once"):
        filtered_negatives(experiment.material, changed)


def test_rows_are_filled_from_the_left() -> None:
    """Each labelled pair gets its query's negatives; queries without any get none."""
    of = np.array([0, 0, 2, 2, 2, 5]), np.array([7, 8, 1, 2, 3, 9])
    rows = as_rows(of, np.array([0, 1, 2, 2]))
    assert rows.tolist() == [[7, 8, -1], [-1, -1, -1], [1, 2, 3], [1, 2, 3]]
    assert as_rows((np.empty(0, np.int64), np.empty(0, np.int64)), np.array([0, 3])).shape == (2, 0)
