"""What differs from the reference on purpose: one test per row of the table in docs/conformance.md.

Each runs both tools, so a row that is no longer true of either fails.
"""

from __future__ import annotations

import inspect
import json
import random
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import Dataset
from reference import (
    NO_RULES,
    Columns,
    LookupModel,
    Parameters,
    Problem,
    assert_same,
    exported,
    our_config,
    our_rows,
    pipeline_rows,
    run_problem,
    scored_problem,
    their_rows,
    unit_problem,
    write_problem,
)
from sentence_transformers.util import mine_hard_negatives

import negmine
from negmine.errors import ConfigError, InputError
from negmine.results import read_verdicts
from negmine.stages.embed.encoding import encoder_identity
from negmine.store.digests import DigestCache

DOCUMENT = Path(__file__).parents[2] / "docs" / "conformance.md"


def one_query(scores: dict[str, float], positives: Sequence[str] = ("positive",)) -> Problem:
    """A query "query" with positives among the passages of ``scores``, which are the corpus."""
    rows = {text: [score] for text, score in scores.items()}
    return scored_problem(["query"] * len(positives), positives, list(scores), rows)


def ours(problem: Problem, folder: Path, **filters: Any) -> dict[str, list[str]]:
    """Negatives per anchor of a run with this ``filter`` section."""
    return by_anchor(exported(run_problem(problem, folder, {"filter": filters})))


def theirs(problem: Problem, parameters: Parameters, **more: Any) -> dict[str, list[str]]:
    """Negatives per anchor of the reference."""
    return by_anchor(their_rows(problem, parameters, **more))


def by_anchor(triplets: Columns) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for anchor, negative in zip(triplets.get("anchor", []), triplets.get("negative", []), strict=True):
        found.setdefault(anchor, []).append(negative)
    return found


def reasons(folder: Path) -> dict[str, str]:
    """Reason of the verdict on every candidate by document id."""
    table = read_verdicts(folder / "run")
    return dict(zip(table["doc_id"].to_pylist(), table["reason"].to_pylist(), strict=True))


def test_new_vectors_are_noticed(tmp_path: Path) -> None:
    """Their cache goes by the name of the base model; we compare what the vectors are made from."""
    before = one_query({"positive": 0.9, "first": 0.5, "second": 0.25})
    after = one_query({"positive": 0.9, "first": 0.25, "second": 0.5})
    one, cache = Parameters(num_negatives=1), {"cache_folder": str(tmp_path / "cache")}
    assert theirs(before, one, model=LookupModel(before, name="base"), **cache) == {"query": ["first"]}
    assert theirs(after, one) == {"query": ["second"]}
    assert theirs(after, one, model=LookupModel(after, name="base"), **cache) == {"query": ["first"]}

    assert ours(before, tmp_path / "ours", num_negatives=1) == {"query": ["first"]}
    assert ours(after, tmp_path / "ours", num_negatives=1) == {"query": ["second"]}


def test_a_model_is_known_by_its_weights(tmp_path: Path) -> None:
    """A fine-tuned model in the folder of the old one is another model."""
    (tmp_path / "config.json").write_text("{}")
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(b"before")
    config = our_config(one_query({"positive": 1.0}), {"embed": {"model": str(tmp_path)}})
    before = encoder_identity(config, DigestCache())
    weights.write_bytes(b"after!")
    assert encoder_identity(config, DigestCache()) != before


def test_a_misspelt_column_is_an_error(tmp_path: Path) -> None:
    """They take the first two columns for names that are not there."""
    dataset = Dataset.from_dict({"answer": ["positive"], "question": ["query"]})
    vectors = {text: np.array([value], np.float32) for text, value in [("positive", 0.5), ("query", 0.75)]}
    model = LookupModel(Problem([], [], None, vectors, {**vectors, "other": np.ones(1, np.float32)}))
    names = {"anchor_column_name": "questoin", "positive_column_name": "answre"}
    mined = mine_hard_negatives(dataset, model, corpus=["other"], num_negatives=1, verbose=False, **names)
    assert mined.to_dict() == {"answer": ["positive"], "question": ["query"], "negative": ["other"]}

    problem = one_query({"positive": 0.5})
    write_problem(problem, tmp_path)
    (tmp_path / "pairs.jsonl").write_text('{"answer": "positive", "question": "query"}\n')
    columns = {"anchor": "questoin", "positive": "answre"}
    config = our_config(problem, {"data": {"pairs": "pairs.jsonl", "columns": columns}}, tmp_path)
    with pytest.raises(InputError, match="questoin"):
        negmine.run(config)


def test_depth_does_not_follow_from_the_number_of_negatives(tmp_path: Path) -> None:
    """Where a margin rejects their whole range, a query has nothing; we look at mine.k candidates."""
    problem = one_query({"positive": 0.25, **{f"near {n}": 0.5 + n / 64 for n in range(20)}, "far": 0.125})
    parameters = Parameters(num_negatives=1, relative_margin=0.25)
    assert theirs(problem, parameters) == {}
    assert ours(problem, tmp_path / "k", num_negatives=1, relative_margin=0.25, **NO_RULES) == {"query": ["far"]}
    assert_same(pipeline_rows(problem, parameters, tmp_path / "max_rank"), their_rows(problem, parameters))


def test_short_queries_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A query without a full row disappears from their n-tuples; we also say which, and the yield."""
    problem = scored_problem(
        ["full", "short"],
        ["a", "b"],
        ["a", "b", "c", "d", "e"],
        {"a": [0.9, 0.7], "b": [0.6, 0.8], "c": [0.5, 0.1], "d": [0.4, 0.3], "e": [0.3, 0.2]},
    )
    parameters = Parameters(num_negatives=2, min_score=0.25, output_format="n-tuple")
    rows = their_rows(problem, parameters)
    assert (rows["anchor"], capsys.readouterr().out) == (["full", "short"], "")
    parameters = replace(parameters, max_score=0.65)
    rows = their_rows(problem, parameters)
    assert (rows["anchor"], capsys.readouterr().out) == (["full"], "")
    their_rows(problem, parameters, verbose=True)
    assert "Could not find enough negatives for 1 samples" in capsys.readouterr().out

    assert_same(pipeline_rows(problem, parameters, tmp_path), rows)
    report = json.loads((tmp_path / "run" / "filter" / "report.json").read_text())
    assert [entry["negatives"] for entry in report["starved"]] == [1]
    assert report["yield"] == 0.75


def test_no_negative_is_a_positive_in_other_letters(tmp_path: Path) -> None:
    """Case, white space and Unicode form make a text no other: neither a negative nor a second one."""
    problem = one_query(
        {"The Ångström": 0.9, "the  \u212bNGSTRÖM": 0.8, "One": 0.5, " one": 0.4, "two": 0.3},
        ["The Ångström"],
    )
    assert theirs(problem, Parameters(num_negatives=4)) == {"query": problem.passages[1:]}
    assert ours(problem, tmp_path, num_negatives=4, **NO_RULES) == {"query": ["One", "two"]}


def test_the_query_itself_is_no_negative(tmp_path: Path) -> None:
    """A passage with the text of the query is dropped, with a reason of its own."""
    problem = one_query({"positive": 0.5, "query": 1.0, "other": 0.25})
    assert theirs(problem, Parameters(num_negatives=2)) == {"query": ["query", "other"]}
    assert ours(problem, tmp_path, num_negatives=2, **NO_RULES) == {"query": ["other"]}
    assert reasons(tmp_path)["d1"] == "query_text"


def test_equal_queries_share_their_positives(tmp_path: Path) -> None:
    """They make the positive of a query a negative of the same query in other letters."""
    problem = scored_problem(
        ["What is it?", "what is IT?"],
        ["a", "b"],
        ["a", "b", "c"],
        {"a": [0.9, 0.7], "b": [0.6, 0.8], "c": [0.5, 0.1]},
    )
    assert theirs(problem, Parameters(num_negatives=1)) == {"What is it?": ["b"], "what is IT?": ["a"]}
    # A query's id comes from its text, so these two would share one in a file with ids.
    config = run_problem(problem, tmp_path, {"filter": {**NO_RULES, "num_negatives": 1}}, "npy")
    assert by_anchor(exported(config)) == {"What is it?": ["c", "c"]}


def test_other_queries_do_not_change_how_deep_one_is_searched(tmp_path: Path) -> None:
    """A query with many positives, or rows given twice, deepens every search of theirs."""
    corpus = [f"passage {n}" for n in range(12)]
    scores = {text: [1 - n / 16, n / 16] for n, text in enumerate(corpus)}
    alone = scored_problem(["query"], corpus[:1], corpus, {text: both[:1] for text, both in scores.items()})
    labels = ["query", *["popular"] * 5]
    together = scored_problem(labels, [corpus[0], *corpus[7:]], corpus, scores)
    repeated = replace(alone, anchors=["query"] * 6, positives=corpus[:1] * 6)
    parameters = Parameters(range_max=3, num_negatives=1, max_score=0.72)
    assert theirs(alone, parameters) == {}
    assert theirs(together, parameters)["query"] == ["passage 5"]
    assert theirs(repeated, parameters) == {"query": ["passage 5"]}

    sections = {"mine": {"k": 5}, "filter": {**NO_RULES, "num_negatives": 1, "max_score": 0.72}}
    runs = {"alone": alone, "together": together, "repeated": repeated}
    found = [by_anchor(exported(run_problem(problem, tmp_path / name, sections))) for name, problem in runs.items()]
    assert [negatives["query"] for negatives in found] == [["passage 5"]] * 3
    shallow = {**sections, "mine": {"k": 4}}
    found = [by_anchor(exported(run_problem(problem, tmp_path / name, shallow))) for name, problem in runs.items()]
    assert ["query" in negatives for negatives in found] == [False] * 3


def test_vectors_are_normalised_only_if_asked(tmp_path: Path) -> None:
    """They normalise every vector, whatever similarity the model was trained for."""
    vectors = {"positive": [3, 0], "long": [2, 2], "short": [1, 0.5]}
    problem = Problem(
        ["query"],
        ["positive"],
        list(vectors),
        {"query": np.array([1, 0], np.float32)},
        {text: np.array(vector, np.float32) for text, vector in vectors.items()},
        "dot",
    )
    one = Parameters(num_negatives=1)
    assert theirs(problem, one, model=LookupModel(problem, obeys=True)) == {"query": ["short"]}
    assert ours(problem, tmp_path / "dot", num_negatives=1, **NO_RULES) == {"query": ["long"]}
    normalised = replace(problem, similarity="cosine")
    assert ours(normalised, tmp_path / "cosine", num_negatives=1, **NO_RULES) == {"query": ["short"]}


def test_candidates_and_positives_are_scored_alike() -> None:
    """With faiss theirs compares inner products of candidates with distances of positives."""
    problem = unit_problem(21, queries=4, rows_per_query=[1], others=20, similarity="euclidean")
    parameters = Parameters(absolute_margin=0.0, output_scores=True)
    plain, by_faiss = (their_rows(problem, parameters, use_faiss=use) for use in (False, True))
    assert_same(our_rows(problem, parameters), plain)
    assert max(score for _, score in plain["scores"]) < 0
    assert by_faiss["negative"] != plain["negative"]
    query = problem.queries.index(by_faiss["anchor"][0])
    inner = problem.query_vectors[by_faiss["anchor"][0]] @ problem.passage_vectors[by_faiss["negative"][0]]
    distance = problem.scores()[query, problem.passages.index(by_faiss["negative"][0])]
    assert by_faiss["scores"][0][1] == pytest.approx(inner, abs=1e-6) != pytest.approx(distance, abs=1e-6)


def test_random_draws_have_a_seed() -> None:
    """Theirs follow Python's global generator, so also the other queries; ours the seed and the query."""
    problem = unit_problem(22, queries=4, rows_per_query=[1], others=40)
    parameters = Parameters(sampling_strategy="random", range_max=30)
    random.seed(0)
    first, second = their_rows(problem, parameters), their_rows(problem, parameters)
    assert first != second
    assert our_rows(problem, parameters) == our_rows(problem, parameters)
    assert our_rows(problem, parameters) != our_rows(problem, parameters, seed=1)

    anchors, positives = problem.anchors[1:], problem.positives[1:]
    fewer = replace(problem, anchors=anchors, positives=positives, corpus=problem.passages)
    random.seed(0)
    without = theirs(fewer, parameters)
    random.seed(0)
    assert any(theirs(problem, parameters)[query] != negatives for query, negatives in without.items())
    all_queries = by_anchor(our_rows(replace(problem, corpus=problem.passages), parameters))
    assert by_anchor(our_rows(fewer, parameters)) == {query: all_queries[query] for query in without}


@pytest.mark.parametrize(
    ("output_format", "their_names", "our_names"),
    [
        ("triplet", ["question", "answer", "negative"], ["anchor", "positive", "negative"]),
        ("n-tuple", ["question", "answer", "negative_1"], ["anchor", "positive", "negative_1"]),
        ("labeled-pair", ["question", "answer", "label"], ["anchor", "text", "label"]),
        ("labeled-list", ["question", "answer", "labels"], ["anchor", "documents", "labels"]),
    ],
)
def test_columns_have_fixed_names(output_format: str, their_names: list[str], our_names: list[str]) -> None:
    """They keep the names of the input, also where the column of positives gets negatives."""
    problem = one_query({"positive": 0.5, "other": 0.25})
    dataset = Dataset.from_dict({"question": ["query"], "answer": ["positive"]})
    mined = mine_hard_negatives(
        dataset,
        LookupModel(problem),
        corpus=["other"],
        num_negatives=1,
        output_format=output_format,
        verbose=False,
    )
    assert mined.column_names == their_names
    assert list(our_rows(problem, Parameters(num_negatives=1, output_format=output_format))) == our_names


def test_defaults_are_a_limit_on_risk_and_five_negatives(tmp_path: Path) -> None:
    """Theirs are three negatives and no rule: here they take nearly the text of the positive."""
    words = [f"word{n}" for n in range(60)]
    positive, nearly = " ".join(words), " ".join([*words[:-1], "other"])
    scores = {positive: 0.5, nearly: 0.46875, **{f"passage {n}": 0.4375 - n / 32 for n in range(12)}}
    problem = one_query(scores, [positive])
    assert theirs(problem, Parameters()) == {"query": [nearly, "passage 0", "passage 1"]}
    assert len(ours(problem, tmp_path / "a")["query"]) == 5
    assert reasons(tmp_path / "a")["d1"] in ("near_duplicate", "risk")
    assert 0 < risk_limit(tmp_path / "a") <= 0.5
    explicit = {"risk": {"as_hard_as": 0.05, "max": 0.5}, "near_duplicates": {"jaccard": 0.8}}
    ours(problem, tmp_path / "b", **explicit)
    assert reasons(tmp_path / "b") == reasons(tmp_path / "a")
    assert ours(problem, tmp_path / "c", num_negatives=3, **NO_RULES) == theirs(problem, Parameters())
    assert risk_limit(tmp_path / "c") is None
    signature = inspect.signature(mine_hard_negatives).parameters
    assert {name: signature[name].default for name in vars(Parameters())} == vars(Parameters())


def risk_limit(folder: Path) -> float | None:
    """The limit on the probability of being relevant that a run chose."""
    limit: float | None = json.loads((folder / "run" / "filter" / "report.json").read_text())["risk"]["limit"]
    return limit


def test_a_depth_beyond_the_corpus_is_refused(tmp_path: Path) -> None:
    """They fill up the ranks that do not exist; an unset mine.k is cut to the corpus."""
    problem = one_query({"positive": 0.5, "other": 0.25})
    parameters = Parameters(range_max=50, num_negatives=1)
    assert theirs(problem, parameters) == {"query": ["other"]}
    with pytest.raises(ConfigError, match=re.escape("mine.k")):
        run_problem(problem, tmp_path, {"mine": {"k": 50}})
    assert ours(problem, tmp_path, num_negatives=1) == {"query": ["other"]}


@pytest.mark.parametrize(
    ("rules", "key"),
    [
        ({"max_score": 0.25, "min_score": 0.5}, "filter.min_score"),
        ({"absolute_margin": -0.125}, "filter.absolute_margin"),
        ({"relative_margin": -0.125}, "filter.relative_margin"),
        ({"relative_margin": 1.5}, "filter.relative_margin"),
    ],
)
def test_rules_without_sense_are_refused(rules: dict[str, float], key: str) -> None:
    """They accept bounds that nothing can meet, and margins below 0 or above the whole score."""
    problem = one_query({"positive": 0.5, "other": 0.25})
    their_rows(problem, Parameters(num_negatives=1, **rules))
    with pytest.raises(ConfigError, match=re.escape(key)):
        our_config(problem, {"filter": rules})


def test_a_blank_passage_is_no_negative(tmp_path: Path) -> None:
    """A passage without text is counted and left out."""
    problem = one_query({"positive": 0.5, " ": 0.375, "other": 0.25})
    assert theirs(problem, Parameters(num_negatives=2)) == {"query": [" ", "other"]}
    assert ours(problem, tmp_path, num_negatives=2) == {"query": ["other"]}
    counts = json.loads((tmp_path / "run" / "ingest" / "manifest.json").read_text())["counts"]
    assert counts["blank_documents"] == 1


def test_equal_scores_go_by_the_order_of_the_corpus() -> None:
    """Their order is that of torch.topk, which promises none; the scores are the same."""
    problem = one_query({"positive": 1.0, **{f"passage {n}": 0.5 - n // 8 / 8 for n in range(32)}})
    parameters = Parameters(num_negatives=20, output_scores=True)
    mined = our_rows(problem, parameters)
    assert mined["negative"] == [f"passage {n}" for n in range(20)]
    assert mined["scores"] == their_rows(problem, parameters)["scores"]


def test_cuts_are_compared_in_double_precision() -> None:
    """Within 1e-7 of a cut their single precision can decide otherwise."""
    problem = one_query({"positive": 0.9, "other": 0.7})
    at, beside = Parameters(num_negatives=1, absolute_margin=0.2), Parameters(num_negatives=1, absolute_margin=0.199999)
    assert theirs(problem, at) != by_anchor(our_rows(problem, at))
    assert theirs(problem, beside) == by_anchor(our_rows(problem, beside)) == {"query": ["other"]}


@pytest.mark.parametrize("output_format", ["triplet", "n-tuple", "labeled-pair", "labeled-list"])
def test_nothing_that_was_rejected_comes_back(output_format: str) -> None:
    """Neither writes a passage that a rule rejected, nor -Infinity, when too few are left."""
    problem = one_query({"positive": 0.5, "near": 0.75, "far": 0.25})
    parameters = Parameters(
        num_negatives=2, absolute_margin=0.125, range_max=9, output_scores=True, output_format=output_format
    )
    rows = their_rows(problem, parameters)
    assert_same(our_rows(problem, parameters), rows)
    assert "near" not in json.dumps(rows)
    assert "Infinity" not in json.dumps(rows)


def test_a_margin_is_strict_when_scores_are_negative() -> None:
    """Both lower the cut below a negative reference score: -0.5 with a margin of 0.5 is -0.75."""
    problem = one_query({"positive": -0.5, "above": -0.625, "at": -0.75, "below": -0.875})
    parameters = Parameters(num_negatives=3, relative_margin=0.5)
    assert theirs(problem, parameters) == by_anchor(our_rows(problem, parameters)) == {"query": ["at", "below"]}


def test_every_row_of_the_table_names_a_test_that_is_here() -> None:
    """The table and these tests are about the same things."""
    document = DOCUMENT.read_text("utf-8")
    named = set(re.findall(r"`(test_\w+)`", document))
    here = {name for name in globals() if name.startswith("test_") and "every_row_of_the_table" not in name}
    assert named == here
    table = document.split("## What differs")[1].splitlines()
    rows = [line for line in table if line.startswith("|")][2:]
    assert all(re.search(r"\| `test_\w+` \|$", row) for row in rows)
