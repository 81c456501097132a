"""The commands of a judge: what would be asked, sheets for people, the plan, an audit by a model."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from judged_run import Data

import negmine
from negmine.cli import main as cli_main
from negmine.cli import options
from negmine.cli.console import Console
from negmine.explain import explain
from negmine.planning import plan

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def call(data: Data, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Call]:
    """Calls a command with a ``judge`` section, in the folder of the data."""
    monkeypatch.chdir(data.folder)
    monkeypatch.setattr(options, "_console", Console())
    monkeypatch.setattr(cli_main.signal, "signal", lambda number, handler: None)

    def run(*arguments: str, judge: Any = None, **rules: Any) -> tuple[int, str, str]:
        (data.folder / "negmine.yaml").write_text(json.dumps(data.mapping(judge, **rules)))
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli_main.main([*arguments])
        out, err = capfd.readouterr()
        return int(ended.value.code or 0), out, err

    yield run
    options._console = Console()


def files(folder: Path) -> dict[str, bytes]:
    shown = [path for path in folder.rglob("*") if path.is_file() and ".cache" not in path.parts]
    return {str(path): path.read_bytes() for path in shown}


def test_a_dry_run_shows_three_prompts_and_the_cost_and_changes_nothing(data: Data, call: Call) -> None:
    prices = {"price_per_million_prompt_tokens": 1.0, "price_per_million_completion_tokens": 2.0}
    judge = {"endpoint": prices, "strong": prices}
    assert call("filter", "-q", "--with-upstream", judge=judge)[0] == 0
    before = files(data.folder / "run")
    code, out, _ = call("judge", "--dry-run", judge=judge)
    assert code == 0
    assert out.count("--- prompt ") == 6
    assert all(f"prompt {number}, {role} ---" in out for number in (1, 2, 3) for role in ("system", "user"))
    assert "96 passages are not judged yet: about" in out
    assert "at a cost of about" in out
    found = json.loads(call("judge", "--dry-run", "--json", judge=judge)[1])
    assert len(found["prompts"]) == 3
    assert found["requests"] > 24
    assert found["cost"] > 0
    assert files(data.folder / "run") == before
    assert not data.server.requests
    step = next(step for step in plan(data.config(judge)) if step.stage == "judge")
    assert (step.requests, step.tokens, step.cost) == (found["requests"], found["tokens"], round(found["cost"], 6))
    assert call("run", "-q", judge=judge)[0] == 0
    sent = [request["messages"] for request in data.server.requests]
    assert all(messages in sent for messages in found["prompts"]), "these are the prompts that are sent"
    assert "nothing would be asked: everything is judged" in call("judge", "--dry-run", judge=judge)[1]


def test_the_plan_of_a_run_that_never_ran_counts_every_negative(data: Data) -> None:
    step = next(step for step in plan(data.config()) if step.stage == "judge")
    negmine.run(data.config())
    spent = data.manifest()["facts"]["spent"]
    assert step.requests == pytest.approx(spent["requests"], rel=0.6)
    words = sum(len(json.dumps(request["messages"])) for request in data.server.requests) / 3
    assert step.tokens == pytest.approx(words, rel=0.6)
    assert step.cost is None
    assert next(step for step in plan(data.config()) if step.stage == "judge").requests in (0, None)


def test_run_and_status_tell_what_came_out(data: Data, call: Call) -> None:
    code, out, err = call("run", judge={"strong": {}})
    assert code == 0, err
    counts = data.manifest()["counts"]
    text = " ".join(out.split())
    assert f"{counts['confirmed']} of {counts['judged']} judged are relevant" in text
    assert f"{counts['flagged']} flagged (100% of {counts['flagged']}" in text
    assert f"{data.manifest()['facts']['spent']['requests']} requests in all" in text
    status = json.loads(call("status", "--json", judge={"strong": {}})[1])
    judged = next(stage for stage in status["stages"] if stage["stage"] == "judge")
    assert judged["state"] == "current"
    assert judged["counts"]["strong_agreed"] == counts["strong_agreed"]


@pytest.mark.slow
def test_people_judge_by_sheets_alone_until_nothing_is_open(data: Data, call: Call) -> None:
    """The first sheet has the negatives, the next ones what may take the place of the dropped."""
    people = {"endpoint": None}
    code, _, err = call("run", judge=people)
    assert code == 0
    assert "nobody has judged 96 candidates: negatives among them stay" in err
    assert data.negatives() == data.negatives("filter")
    sizes = []
    for turn in range(9):
        code, out, err = call("judge", "--export-sheet", f"s{turn}.jsonl", "--json", judge=people)
        assert code == 0, err
        sizes.append(json.loads(out)["rows"])
        if not sizes[-1]:
            break
        rows = [json.loads(line) for line in Path(f"s{turn}.jsonl").read_text().splitlines()]
        for row in rows:
            pair = {"query": int(row["query_id"][1:]), "passage": int(row["doc_id"][1:])}
            assert (row["query"], row["candidate"]) == (data.queries[pair["query"]], data.passages[pair["passage"]])
            row["relevant"] = data.relevant(pair)
        Path(f"s{turn}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        code, out, _ = call("judge", "--import-sheet", f"s{turn}.jsonl", judge=people)
        assert f"{len(rows)} rows are judged, {len(rows)} of them new or changed" in out
        state = next(s for s in negmine.status(data.config(people)) if s.stage == "judge")
        assert (state.state, state.why) == ("stale", "people's judgements changed")
        assert call("run", "-q", judge=people)[0] == 0
    assert sizes[0] == 96
    assert sizes[-1] == 0
    assert len(sizes) > 2
    assert not data.server.requests
    sheets = {q: sorted(ps) for q, ps in data.negatives().items()}
    by_people = data.manifest()["counts"]["by_people"]
    assert by_people == sum(sizes)
    negmine.run(data.config(work_dir="model"))
    assert sheets == {q: sorted(ps) for q, ps in data.negatives(work_dir="model").items()}


def test_what_people_judged_no_model_is_asked(data: Data, call: Call) -> None:
    assert call("filter", "-q", "--with-upstream")[0] == 0
    assert call("judge", "-q", "--export-sheet", "s.csv")[0] == 0
    with Path("s.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        row["relevant"] = "true" if row["query_id"] == "q3" else ""
    with Path("s.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    _, out, _ = call("judge", "--import-sheet", "s.csv")
    assert "4 rows are judged, 4 of them new or changed; 92 are empty" in out
    assert call("judge", "-q")[0] == 0
    judged = [row for row in data.rows() if row["query"] == 3 and row["judged_by"] == "person"]
    assert {row["reason"] for row in judged} == {"judged_relevant"}
    assert len(judged) == 4
    texts = {data.passages[row["passage"]] for row in judged}
    assert not [pair for pair in data.server.judged if pair[1] == data.queries[3] and pair[2] in texts]


def test_a_sheet_of_another_run_is_refused(data: Data, call: Call) -> None:
    assert call("filter", "-q", "--with-upstream")[0] == 0
    assert call("judge", "-q", "--export-sheet", "s.jsonl")[0] == 0
    Path("s.jsonl").write_text(
        Path("s.jsonl").read_text().replace('"q3"', '"q333"').replace('"relevant": ""', '"relevant": 1')
    )
    code, _, err = call("judge", "--import-sheet", "s.jsonl")
    assert code == 4
    assert "this run has no query 'q333'" in err
    assert not (data.folder / "run/judgements.jsonl").exists()


def test_explain_tells_what_was_said(data: Data, call: Call) -> None:
    config = data.config()
    negmine.run(config)
    number = next(row["query"] for row in data.rows() if row["reason"] == "judged_relevant")
    (query,) = explain(config, [f"q{number}"])
    rows = {row["doc_id"]: row for row in data.rows() if row["query"] == number}
    for each in query.candidates:
        row = rows[each.doc_id]
        assert (each.judgement, each.judged_by) == (row["judgement"], row["judged_by"])
        assert (each.verdict, each.reason, each.position) == (row["verdict"], row["reason"], row["position"])
    _, out, _ = call("explain", f"q{number}", "--reason", "judged_relevant")
    relevant = [doc for doc, row in rows.items() if row["reason"] == "judged_relevant"]
    assert relevant
    assert all(doc in out for doc in relevant)
    assert "the judge says that it is relevant" in out


def test_an_audit_by_the_judge_is_of_the_negatives_before_it(data: Data, call: Call) -> None:
    """It finds what the stage drops; a person's label counts where there is one."""
    assert call("run", "-q")[0] == 0
    code, out, err = call("audit", "--judge", "-n", "96", "--json")
    assert code == 0, err
    before = data.negatives("filter")
    false = sum(data.relevant({"query": q, "passage": p}) for q, ps in before.items() for p in ps)
    found = json.loads(out)
    assert (found["population"], found["relevant"], found["judged"]) == (96, false, 96)
    assert found["filter"]["stage"] == "filter"
    assert found["sources"] == {"judge cheap": 96}
    assert "labels of a language model are no truth: 96 by judge cheap" in err
    assert "this is about the negatives of filter, before judge" in err
    assert call("audit", "-q", "--export-sheet", "a.jsonl", "-n", "40")[0] == 0
    rows = [json.loads(line) for line in Path("a.jsonl").read_text().splitlines()]
    after = {(q, p) for q, ps in data.negatives().items() for p in ps}
    assert {(int(row["query_id"][1:]), int(row["doc_id"][1:])) for row in rows} <= after, (
        "this one is of the final ones"
    )
    Path("a.jsonl").write_text("".join(json.dumps({**row, "relevant": True}) + "\n" for row in rows))
    assert call("audit", "-q", "--import-sheet", "a.jsonl")[0] == 0
    _, out, err = call("audit", "--judge", "-n", "96", "--json")
    found = json.loads(out)
    assert found["sources"]["person"] == found["agreement"]["both"] > 0
    assert found["agreement"]["same"] == 0
    assert "and agree on 0 (0%)" in err


def test_the_audit_of_people_is_untouched_by_the_judgements(data: Data, call: Call) -> None:
    """What the judge said is no label of an audit."""
    assert call("run", "-q")[0] == 0
    code, _, err = call("audit")
    assert code == 2
    assert "none of the 96 drawn negatives is labelled" in err


def test_random_judged_rows_have_the_columns_of_the_docs(data: Data) -> None:
    negmine.run(data.config(random_share=0.25))
    schema = pq.read_schema(next((data.folder / "run/judge").glob("part-*.parquet")))
    assert {"judgement", "judged_by", "flagged", "place", "verdict", "reason"} <= set(schema.names)
