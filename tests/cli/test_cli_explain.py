"""explain: every candidate of a query, with its verdict and why."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from negmine import explain as module
from negmine import load_config
from negmine.config import Config
from negmine.errors import ArtifactError, UsageError
from negmine.explain import explain, random_ids, riskiest_ids
from negmine.results import read_verdicts
from negmine.selection.verdicts import EXPLANATIONS

LONG = "a long passage " * 20


@pytest.fixture
def mined(project: Path, call) -> Path:
    """A run of six queries with ids, and ``again``, which has the text of ``q0`` and another positive."""
    texts = [f"query {i}" for i in range(6)] + ["QUERY  0"]
    names = [f"q{i}" for i in range(6)] + ["again"]
    rows = [
        {"query_id": name, "anchor": text, "positive": f"passage {i}"}
        for i, (name, text) in enumerate(zip(names, texts, strict=True))
    ]
    (project / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    corpus = (project / "corpus.jsonl").read_text("utf-8").replace("passage 11", LONG.strip())
    (project / "corpus.jsonl").write_text(corpus, "utf-8")
    queries = np.load(project / "queries.npy")
    np.save(project / "queries.npy", np.concatenate([queries, queries[:1]]))
    assert call("run", "-q").code == 0
    return project


@pytest.fixture
def config(mined: Path) -> Config:
    return load_config(mined / "negmine.yaml")


def one(result):
    (query,) = result.json["queries"]
    return query


def tree(folder: Path) -> dict[str, bytes]:
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and ".cache" not in path.parts]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_candidates_are_the_verdicts_of_the_query(config, call):
    rows = [row for row in read_verdicts(config).to_pylist() if row["query_id"] == "q1"]
    names = ("doc_id", "retriever", "rank", "score", "positive_similarity", "risk", "verdict", "reason", "position")
    shown = [{name: each[name] for name in names} for each in one(call("explain", "q1", "--json"))["candidates"]]
    assert shown == [{name: row[name] for name in names} for row in rows]


def test_reference_is_that_of_the_verdicts(config, call):
    references = {row["reference"] for row in read_verdicts(config).to_pylist() if row["query_id"] == "q1"}
    assert references == {one(call("explain", "q1", "--json"))["reference"]}


def test_positives_have_text_and_score(mined, call):
    (positive,) = one(call("explain", "q1", "--json"))["positives"]
    assert (positive["doc_id"], positive["text"]) == ("d1", "passage 1")
    assert positive["score"] == one(call("explain", "q1", "--json"))["reference"]


def test_candidates_have_their_texts(mined, call):
    candidates = one(call("explain", "q1", "--json"))["candidates"]
    texts = {f"d{i}": f"passage {i}" for i in range(11)} | {"d11": LONG.strip()}
    assert [each["text"] for each in candidates] == [texts[each["doc_id"]] for each in candidates]


def test_reasons_come_in_words(mined, call):
    candidates = one(call("explain", "q1", "--json"))["candidates"]
    assert [each["explanation"] for each in candidates] == [EXPLANATIONS[each["reason"]] for each in candidates]


def test_an_alias_has_the_candidates_of_the_text(mined, call):
    assert one(call("explain", "again", "--json"))["candidates"] == one(call("explain", "q0", "--json"))["candidates"]


def test_an_alias_is_said_to_share(mined, call):
    assert "The same text as q0: they share these candidates." in call("explain", "again").out


def test_a_query_has_the_positives_of_its_aliases(mined, call):
    assert {each["doc_id"] for each in one(call("explain", "q0", "--json"))["positives"]} == {"d0", "d6"}


def test_several_ids_come_in_the_order_asked_for(mined, call):
    shown = call("explain", "q3", "q1", "--json").json["queries"]
    assert [query["query_id"] for query in shown] == ["q3", "q1"]


def test_a_query_in_a_later_part_is_found(mined, call):
    small = ["--set", "mine.part_queries=2"]
    call("run", "-q", *small)
    assert one(call("explain", "q5", "--json", *small))["positives"][0]["doc_id"] == "d5"


def test_part_size_is_that_of_the_run(mined, call):
    call("run", "-q", "--set", "mine.part_queries=2")
    assert one(call("explain", "q5", "--json"))["positives"][0]["doc_id"] == "d5"


def test_an_unknown_id_is_a_usage_error(mined, call):
    assert call("explain", "q9").code == 2


def test_an_unknown_id_names_the_nearest(mined, call):
    assert "'again'" in call("explain", "agian").err


def test_an_id_like_no_other_says_where_ids_are(mined, call):
    assert "queries.parquet" in call("explain", "zzzzzz").err


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["q1", "--starved"],
        ["q1", "--random", "2"],
        ["--random", "2", "--starved"],
        ["q1", "-n", "3"],
        ["q1", "--riskiest", "2"],
        ["--riskiest", "2", "--starved"],
        ["--riskiest", "2", "-n", "2"],
    ],
)
def test_choices_that_do_not_fit_are_usage_errors(mined, call, words):
    assert call("explain", *words).code == 2


def test_random_takes_as_many_as_asked(mined, call):
    assert len(call("explain", "--random", "3", "--json").json["queries"]) == 3


def test_random_takes_no_more_than_there_are(mined, call):
    assert len(call("explain", "--random", "99", "--json").json["queries"]) == 6


def test_random_is_the_same_under_a_seed(mined, call):
    assert call("explain", "--random", "3", "--json").out == call("explain", "--random", "3", "--json").out


def test_random_depends_on_the_seed(config):
    drawn = {tuple(random_ids(config.model_copy(update={"seed": seed}), 3)) for seed in range(10)}
    assert len(drawn) > 1


def test_starved_shows_queries_that_are_short(mined, call):
    wanted = ["--set", "filter.num_negatives=11", "--set", "filter.risk=null"]
    call("run", "-q", *wanted)
    shown = call("explain", "--starved", "--json", *wanted).json["queries"]
    assert [query["query_id"] for query in shown] == ["q0"]


def test_starved_shows_the_first_few(mined, call):
    wanted = ["--set", "filter.num_negatives=12"]
    call("run", "-q", *wanted)
    assert len(call("explain", "--starved", "-n", "2", "--json", *wanted).json["queries"]) == 2


def test_starved_says_how_many_there_are(mined, call):
    wanted = ["--set", "filter.num_negatives=12"]
    call("run", "-q", *wanted)
    assert "2 of 6 queries" in call("explain", "--starved", "-n", "2", *wanted).err


def test_starved_of_a_run_without_any_is_empty(mined, call):
    assert call("explain", "--starved", "--json").json == {"queries": []}


def greatest_risks(config):
    """The greatest risk among each query's kept candidates."""
    found = {}
    for row in read_verdicts(config).to_pylist():
        if row["verdict"] == "kept":
            found[row["query_id"]] = max(found.get(row["query_id"], 0), row["risk"])
    return found


def test_riskiest_shows_the_queries_with_the_highest_risks(config, call):
    greatest = greatest_risks(config)
    shown = call("explain", "--riskiest", "4", "--json").json["queries"]
    assert len(set(greatest.values())) == 6
    assert [query["query_id"] for query in shown] == sorted(greatest, key=lambda name: -greatest[name])[:4]


def test_riskiest_takes_no_more_than_there_are(config):
    assert sorted(riskiest_ids(config, 99)) == [f"q{i}" for i in range(6)]


def test_riskiest_looks_at_every_part(mined, call):
    small = ["--set", "mine.part_queries=2"]
    whole = [query["query_id"] for query in call("explain", "--riskiest", "6", "--json").json["queries"]]
    call("run", "-q", *small)
    assert [
        query["query_id"] for query in call("explain", "--riskiest", "6", "--json", *small).json["queries"]
    ] == whole


def test_riskiest_leaves_out_queries_without_negatives(mined, call):
    none = ["--set", "filter.max_score=-2"]
    call("run", "-q", *none)
    result = call("explain", "--riskiest", "3", *none)
    assert (result.code, result.out, "no query has a mined negative" in result.err) == (0, "", True)


def test_riskiest_of_a_run_without_risks_is_a_usage_error(mined, call):
    off = ["--set", "filter.risk=null"]
    call("run", "-q", *off)
    result = call("explain", "--riskiest", "3", *off)
    assert (result.code, "Set filter.risk" in result.err) == (2, True)


def test_risk_is_shown_in_percent(config, call):
    risk = {row["doc_id"]: row["risk"] for row in read_verdicts(config).to_pylist() if row["query_id"] == "q1"}
    lines = [line.split() for line in call("explain", "q1").out.splitlines() if " dense " in line]
    assert {words[1]: words[5] for words in lines} == {name: f"{value:.1%}" for name, value in risk.items()}


def test_risk_is_shown_with_whole_texts(mined, call):
    assert "  risk 0." in call("explain", "q1", "--full").out


def test_a_run_without_risks_has_no_such_column(mined, call):
    off = ["--set", "filter.risk=null"]
    call("run", "-q", *off)
    assert "risk" not in call("explain", "q1", *off).out
    assert {each["risk"] for each in one(call("explain", "q1", "--json", *off))["candidates"]} == {None}


def test_reason_shows_only_those_candidates(mined, call):
    candidates = one(call("explain", "q1", "--reason", "not_sampled", "--json"))["candidates"]
    assert {each["reason"] for each in candidates} == {"not_sampled"}


def test_reason_leaves_the_counts_of_the_query(mined, call):
    assert "2 kept, 1 with reason positive" in call("explain", "q1", "--reason", "positive").out


def test_an_unknown_reason_names_the_nearest(mined, call):
    result = call("explain", "q1", "--reason", "relative_margn")
    assert (result.code, "'relative_margin'" in result.err) == (2, True)


@pytest.mark.parametrize("width", [72, 80, 120])
def test_lines_fit_the_width(mined, call, monkeypatch, width):
    monkeypatch.setattr("negmine.cli.explaining._FILE_COLUMNS", width)
    assert max(len(line) for line in call("explain", "q1").out.splitlines()) <= width


def test_long_texts_are_shortened(mined, call):
    assert LONG.strip() not in " ".join(call("explain", "q1").out.split())


def test_full_shows_whole_texts(mined, call):
    assert LONG.strip() in " ".join(call("explain", "q1", "--full").out.split())


def test_control_characters_of_a_text_stay_out(mined, call):
    corpus = (mined / "corpus.jsonl").read_text("utf-8").replace("passage 7", "red \\u001b[31m text")
    (mined / "corpus.jsonl").write_text(corpus, "utf-8")
    call("run", "-q")
    assert "red [31m text" in call("explain", "q1").out


def test_without_a_terminal_there_is_no_colour(mined, call):
    assert "\x1b" not in call("explain", "q1").out


def test_a_terminal_has_colour(mined, call, monkeypatch):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\x1b[32m" in call("explain", "q1").out


def test_what_never_ran_is_refused(project, call):
    result = call("explain", "q1")
    assert (result.code, "filter has not finished" in result.err) == (5, True)


def test_a_run_without_filter_is_refused(project, call):
    call("mine", "--with-upstream", "-q")
    result = call("explain", "q1")
    assert (result.code, "filter has not finished" in result.err) == (5, True)


def test_a_damaged_part_is_refused(mined, call):
    (mined / "work" / "filter" / "part-00000.parquet").write_bytes(b"")
    assert call("explain", "q1").code == 5


def test_verdicts_of_an_earlier_mine_are_refused(mined, call):
    call("mine", "-q", "--set", "mine.k=4")
    result = call("explain", "q1")
    assert (result.code, "earlier mine" in result.err) == (5, True)


def test_a_changed_config_is_warned_of(mined, call):
    result = call("explain", "q1", "--set", "filter.num_negatives=1")
    assert (result.code, "filter is stale" in result.err) == (0, True)


def test_a_current_run_gives_no_warning(mined, call):
    assert call("explain", "q1", "-c", "negmine.yaml").err == ""


def test_nothing_is_changed(mined, call):
    before = tree(mined)
    call("explain", "q1")
    assert tree(mined) == before


def test_another_command_may_hold_the_lock(mined, call):
    from negmine.store.lock import writing

    with writing(mined / "work"):
        assert call("explain", "q1").code == 0


def test_a_stage_that_is_replaced_meanwhile_is_read_again(config, call, monkeypatch):
    original = module._Run.explained
    calls = []

    def replaced(run, query_ids):
        calls.append(run)
        if len(calls) == 1:
            call("run", "-q", "--set", "filter.num_negatives=1")
        return original(run, query_ids)

    monkeypatch.setattr(module._Run, "explained", replaced)
    (query,) = explain(config, ["q1"])
    assert (len(calls), query.kept) == (2, 1)


def test_python_gives_the_queries_asked_for(config):
    assert [query.query_id for query in explain(config, ["again", "q0"])] == ["again", "q0"]


def test_python_names_all_ids_of_a_text(config):
    assert explain(config, ["again"])[0].ids == ("q0", "again")


def test_python_of_no_ids_is_empty(config):
    assert explain(config, []) == []


def test_python_raises_for_an_unknown_id(config):
    with pytest.raises(UsageError, match="there is no query 'q9'"):
        explain(config, ["q9"])


def test_python_raises_without_verdicts(project):
    with pytest.raises(ArtifactError, match="filter has not finished"):
        explain(load_config(project / "negmine.yaml"), ["q1"])


def test_random_fills_have_no_rank(mined, call):
    fill = ["--set", "filter.max_score=-2", "--set", "filter.on_shortage=random", "--set", "mine.k=2"]
    call("run", "-q", *fill)
    candidates = one(call("explain", "q1", "--json", *fill))["candidates"]
    random = [each for each in candidates if each["retriever"] == "random"]
    assert {(each["rank"], each["risk"]) for each in random} == {(None, None)}
