"""Servers that fail, answers of no use, budgets that end, runs that are killed: nothing is lost or asked twice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from chat_server import KINDS, REFUSAL, ChatServer, asked, completion, judgements, refuses, spoiled
from embedding_server import KEY, Reply, always, first, sometimes
from judged_run import Data, is_relevant

import negmine
from negmine.labelling.answers import AnswerLog
from negmine.stages.export import describing

BUSY = Reply(429, {"error": {"message": "slow down"}}, {"retry-after": "0.02"})
DOWN = Reply(503, {"error": {"message": "overloaded"}})


def some(share: float, make: Callable[[dict[str, Any]], Reply], seed: int = 0) -> Any:
    """What ``make`` makes of so many of the requests."""
    drawn = sometimes(share, [Reply(200)], seed)
    return lambda request: make(request) if drawn(request) is not None else None


def answers(data: Data, work_dir: str = "run") -> list[dict[str, Any]]:
    return [json.loads(line) for line in (data.folder / work_dir / "answers.jsonl").read_text().splitlines()]


def spoil_some(data: Data, share: float = 0.05) -> None:
    """Errors, drops, and answers of no use of every kind, each to so many of the requests."""
    data.server.faults = [
        sometimes(share, [BUSY, DOWN, Reply(500), Reply(0)], 1),
        *(some(share / len(KINDS), spoiled(kind), number) for number, kind in enumerate(KINDS, 2)),
    ]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, mined: Path) -> Iterator[dict[str, bytes]]:
    """The bytes of a run with a server that never fails."""
    server = ChatServer(is_relevant)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(describing, "can_draw", lambda: False)
        data = Data(tmp_path_factory.mktemp("whole"), server, mined)
        negmine.run(data.config({"strong": {}}))
        yield data.bytes()
    server.stop()


@pytest.fixture
def popular(data: Data) -> int:
    """The passage that most queries have as a negative."""
    negmine.run(data.config(), until="filter")
    return Counter(p for passages in data.negatives("filter").values() for p in passages).most_common(1)[0][0]


def test_a_run_with_errors_and_bad_answers_stops_exactly_at_the_budget_and_resumes(
    data: Data, whole: dict[str, bytes], fails: Any
) -> None:
    """5% errors, 5% malformed answers: the server answered as often as the budget says, and after it is raised the
    bytes are those of a server that never fails."""
    spoil_some(data)
    config = data.config({"strong": {}, "budget": {"requests": 11}})
    with fails(r"judge.budget.requests: the budget is spent: 11 of 11 requests; at least .* left. Raise it and run", 3):
        negmine.run(config)
    assert sum(data.server.answered.values()) == 11 == len(answers(data))
    kept = sum(len(row["judgements"]) for row in answers(data))
    assert kept > 20
    with fails("11 of 11 requests", 3):
        negmine.run(config)
    assert sum(data.server.answered.values()) == 11, "nothing is asked where nothing is left"
    with fails("30 of 30 requests", 3):
        negmine.run(data.config({"strong": {}, "budget": {"requests": 30}}))
    assert sum(data.server.answered.values()) == 30
    negmine.run(data.config({"strong": {}, "budget": {"requests": 500}}))
    assert data.bytes() == whole
    asked_twice = {pair: n for pair, n in data.server.judged.items() if n > 1}
    assert not asked_twice, "an answer that was used is never asked for again"
    spent = data.manifest()["facts"]["spent"]
    assert spent["requests"] == sum(data.server.answered.values()) == len(answers(data))
    assert spent["unusable"] > 0


@pytest.mark.slow
def test_a_budget_that_just_suffices_is_no_error(data: Data) -> None:
    negmine.run(data.config({}, "counted"))
    needed = data.manifest("judge", "counted")["facts"]["spent"]["requests"]
    negmine.run(data.config({"budget": {"requests": needed}}))
    assert data.manifest()["facts"]["spent"]["requests"] == needed


def test_a_budget_of_tokens_is_never_exceeded_and_nothing_that_fits_is_left_out(data: Data, fails: Any) -> None:
    with fails(r"judge.budget.tokens: the budget is spent: [0-9,]+ of 9,000 tokens, and the next question may", 3):
        negmine.run(data.config({"budget": {"tokens": 9_000}, "endpoint": {"concurrency": 8}}))
    used = sum(row["prompt_tokens"] + row["completion_tokens"] for row in answers(data))
    longest = 1024 + max(len(json.dumps(request["messages"])) for request in data.server.requests) + 128
    assert 9_000 - longest <= used <= 9_000
    negmine.run(data.config({"budget": {"tokens": 1_000_000}}))


@pytest.mark.slow
def test_a_budget_in_money_counts_both_judges(data: Data, fails: Any) -> None:
    prices = {"price_per_million_prompt_tokens": 1000.0, "price_per_million_completion_tokens": 5000.0}
    judge: dict[str, Any] = {"endpoint": dict(prices), "strong": dict(prices), "budget": {"cost": 20.0}}
    with fails(r"judge.budget.cost: the budget is spent: [0-9.]+ of 20, and the next question may take", 3):
        negmine.run(data.config(judge))
    rows = answers(data)
    cost = sum(row["cost"] for row in rows)
    assert cost == pytest.approx(sum(row["prompt_tokens"] / 1e3 + row["completion_tokens"] / 200 for row in rows))
    assert 10 < cost <= 20
    negmine.run(data.config({**judge, "budget": {"cost": 500.0}}))
    assert {row["model"] for row in answers(data)} == {"cheap", "strong"}
    assert data.manifest()["facts"]["spent"]["cost"] == pytest.approx(sum(row["cost"] for row in answers(data)))


@pytest.mark.parametrize("kind", [KINDS[0], *(pytest.param(kind, marks=pytest.mark.slow) for kind in KINDS[1:])])
def test_an_answer_of_no_use_is_asked_for_again(data: Data, whole: dict[str, bytes], kind: str) -> None:
    data.server.faults = [some(0.2, spoiled(kind))]
    negmine.run(data.config({"strong": {}}))
    assert data.bytes() == whole
    assert data.manifest()["facts"]["spent"]["unusable"] > 0


def test_a_passage_that_never_gets_an_answer_is_counted_and_the_others_are_judged(data: Data, popular: int) -> None:
    """The passages asked together are asked apart; filter's verdict stands for the one."""
    data.server.faults = [lambda request: spoiled("words")(request) if _has(request, f"{popular} ") else None]
    negmine.run(data.config({"attempts": 2}))
    rows = [row for row in data.rows() if row["judgement"] is not None]
    lost = [row for row in rows if row["judgement"] == "no_answer"]
    assert {row["passage"] for row in lost} == {popular}
    assert {row["judged_by"] for row in lost} == {None}
    was_kept = {(q, p) for q, ps in data.negatives("filter").items() for p in ps}
    assert all((row["verdict"] == "kept") == ((row["query"], popular) in was_kept) for row in lost)
    assert data.manifest()["counts"]["no_answer"] == len(lost)
    assert all((row["judgement"] == "relevant") == data.relevant(row) for row in rows if row not in lost)


@pytest.mark.parametrize(
    "fault",
    [
        refuses,
        lambda request: Reply(200, completion("", request, finish_reason="content_filter")),
        lambda request: Reply(400, {"error": {"message": "blocked by our content management policy"}}),
    ],
    ids=["refusal", "finish_reason", "status"],
)
def test_refusals_are_counted_and_not_asked_for_again(data: Data, popular: int, fault: Any) -> None:
    data.server.faults = [lambda request: fault(request) if _has(request, f"{popular} ") else None]
    negmine.run(data.config())
    lost = [row for row in data.rows() if row["judgement"] == "refused"]
    assert {row["passage"] for row in lost} == {popular}
    assert data.manifest()["counts"]["refused"] == len(lost)
    alone = [r for r in data.server.requests if _has(r, f"{popular} ") and len(asked(r)[1]) == 1]
    assert len(alone) == len(lost)
    assert REFUSAL not in (data.folder / "run/answers.jsonl").read_text()


def test_a_model_that_never_answers_in_form_ends_the_run_early(data: Data, fails: Any) -> None:
    data.server.faults = [spoiled("words")]
    with fails(r"none of the first 20 answers can be used, the last one: 'I think passage 1 is relevant.'", 4):
        negmine.run(data.config())
    assert sum(data.server.answered.values()) <= 24


def test_a_slow_server_and_a_server_that_is_busy_are_waited_for(data: Data, whole: dict[str, bytes]) -> None:
    """Time limits, 429 with Retry-After, lost connections."""
    data.server.faults = [
        first(3, Reply(200, b"x" * 400, drip=0.02)),
        first(3, BUSY),
        first(2, Reply(0)),
        first(2, Reply(200, b'{"choices": [', {"content-type": "application/json"})),
    ]
    negmine.run(data.config({"strong": {}, "endpoint": {"timeout": 0.4}}))
    assert data.bytes() == whole


def test_a_server_that_is_down_is_an_error_that_keeps_what_was_answered(data: Data, fails: Any) -> None:
    served = [0]

    def later(request: dict[str, Any]) -> Reply | None:
        served[0] += 1
        return DOWN if served[0] > 8 else None

    data.server.faults = [later]
    with fails(r"the server was asked 2 times, and the last time it answered 503 \(overloaded\)", 4):
        negmine.run(data.config({"endpoint": {"retries": 1}}))
    before = len(answers(data))
    assert 0 < before <= 8
    data.server.faults = []
    negmine.run(data.config())
    assert not [pair for pair, n in data.server.judged.items() if n > 1]


@pytest.mark.parametrize("concurrency", [pytest.param(1, marks=pytest.mark.slow), 16])
def test_how_many_requests_run_at_a_time_changes_no_byte(data: Data, whole: dict[str, bytes], concurrency: int) -> None:
    data.server.delay = 0.002
    at_once = {"concurrency": concurrency}
    negmine.run(data.config({"strong": at_once, "endpoint": at_once, "batch_passages": 3}))
    assert data.bytes() == whole
    assert data.server.most_running <= concurrency


@pytest.mark.slow
def test_a_killed_run_goes_on_and_ends_with_the_same_bytes(data: Data, whole: dict[str, bytes]) -> None:
    """Killed in the middle of the questions; what was answered is not asked again."""
    data.server.delay = 0.05
    (data.folder / "negmine.yaml").write_text(json.dumps(data.mapping({"strong": {}})))
    environment = {**os.environ, "NO_PROXY": "127.0.0.1"}
    command = [sys.executable, "-m", "negmine", "run", "-q", "-c", str(data.folder / "negmine.yaml")]
    for wanted in (6, 14):
        process = subprocess.Popen(command, cwd=data.folder, env=environment)
        log, until = data.folder / "run/answers.jsonl", time.monotonic() + 60
        while time.monotonic() < until and not (log.exists() and log.read_bytes().count(b"\n") >= wanted):
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
    with (data.folder / "run/answers.jsonl").open("ab") as file:
        file.write(b'{"judge": "abc", "mod')  # what a kill may leave of a line
    known = sum(len(row["judgements"]) for row in map(_line, _lines(data)) if row is not None)
    assert known > 20
    data.server.delay = 0.0
    negmine.run(data.config({"strong": {}}))
    assert data.bytes() == whole
    twice = sum(n - 1 for n in data.server.judged.values())
    assert twice <= 2 * 4 * 5, "only what was in flight at a kill is asked again"


@pytest.mark.slow
def test_another_filter_asks_only_about_what_is_new(data: Data) -> None:
    negmine.run(data.config())
    data.server.judged.clear()
    negmine.run(data.config(num_negatives=3))
    assert not data.server.judged
    negmine.run(data.config(num_negatives=6))
    assert data.server.judged
    assert max(data.server.judged.values()) == 1
    fresh = data.config(num_negatives=6, work_dir="fresh")
    negmine.run(fresh)
    assert data.bytes() == data.bytes("fresh")


@pytest.mark.slow
def test_another_model_or_prompt_judges_anew_and_another_place_does_not(data: Data) -> None:
    negmine.run(data.config())
    data.server.judged.clear()
    moved = data.config({"endpoint": {"url": f"{data.server.url}/v1", "concurrency": 2}, "batch_passages": 2})
    assert negmine.status(moved)[-1].state == "current"
    for change in (
        {"endpoint": {"revision": "2"}},
        {"prompts": {"system": "own.txt"}},
        {"endpoint": {"temperature": 1.0}},
    ):
        (data.folder / "own.txt").write_text("Say which passages are relevant, as JSON.")
        config = data.config(change)
        assert next(s for s in negmine.status(config) if s.stage == "judge").state == "stale"
        negmine.run(config)
        assert data.server.judged
        data.server.judged.clear()


def test_a_server_without_schemas_is_asked_without(data: Data, fails: Any) -> None:
    """The form is then left to the prompt; a model may think aloud and fence its JSON."""

    def no_schema(request: dict[str, Any]) -> Reply | None:
        if "response_format" in request:
            return Reply(400, {"error": {"message": "response_format json_schema is not supported"}})
        if "max_tokens" in request:
            return Reply(400, {"error": {"message": "Unsupported parameter: use 'max_completion_tokens' instead."}})
        if "temperature" in request:
            return Reply(400, {"error": {"message": "Unsupported value: 'temperature' does not support 0"}})
        return None

    data.server.faults = [no_schema]
    with fails("judge.response_format: the server does not take a schema", 3):
        negmine.run(data.config({"response_format": "schema"}))

    def talkative(answer: dict[str, Any], request: dict[str, Any]) -> dict[str, Any]:
        message = answer["choices"][0]["message"]
        message["content"] = (
            f"<think>{{hm}} {judgements([True])}</think>Here it is:\n```json\n{message['content']}\n```"
        )
        return answer

    data.server.edit = talkative
    negmine.run(data.config())
    rows = [row for row in data.rows() if row["judgement"] is not None]
    assert all((row["judgement"] == "relevant") == data.relevant(row) for row in rows)
    assert {"max_completion_tokens"} <= data.server.requests[-1].keys()


@pytest.mark.slow
def test_a_request_that_is_too_long_is_asked_in_parts(data: Data) -> None:
    data.server.faults = [
        lambda request: (
            Reply(400, {"error": {"message": "This model's maximum context length is 9 tokens"}})
            if len(asked(request)[1]) > 2
            else None
        )
    ]
    negmine.run(data.config())
    rows = [row for row in data.rows() if row["judgement"] is not None]
    assert all((row["judgement"] == "relevant") == data.relevant(row) for row in rows)
    assert not data.manifest()["counts"]["no_answer"]


def test_the_key_comes_from_the_environment_and_is_written_nowhere(
    data: Data, monkeypatch: pytest.MonkeyPatch, fails: Any
) -> None:
    data.server.key = KEY
    judge = {"endpoint": {"api_key_env": "JUDGE_KEY"}}
    with fails("JUDGE_KEY is not set", 3):
        negmine.run(data.config(judge))
    monkeypatch.setenv("JUDGE_KEY", "sk-wrong-one-abcdefgh")
    with fails(r"judge.endpoint.api_key_env: the server refuses the request \(401", 3) as caught:
        negmine.run(data.config(judge))
    assert "sk-wrong-one-abcdefgh" not in str(caught.value)
    monkeypatch.setenv("JUDGE_KEY", KEY)
    negmine.run(data.config(judge))
    written = [path for path in (data.folder / "run").rglob("*") if path.is_file()]
    assert not [path for path in written if KEY.encode() in path.read_bytes()]


def test_an_address_or_a_model_that_is_not_there_is_told(data: Data, fails: Any) -> None:
    data.server.faults = [always(Reply(404, {"error": {"message": "The model `cheap` does not exist"}}))]
    with fails(
        r"Check judge.endpoint.url \(asked was .*/v1/chat/completions\) and judge.endpoint.model \('cheap'\)", 3
    ):
        negmine.run(data.config())
    with fails("the server cannot be reached .* Is it running\\? Check judge.strong.url", 4):
        data.server.faults = []
        negmine.run(data.config({"strong": {"url": "http://127.0.0.1:9"}}))


def test_a_damaged_line_of_the_log_is_named(data: Data, tmp_path: Path, fails: Any) -> None:
    path = tmp_path / "answers.jsonl"
    with AnswerLog(path) as log:
        log.add("a" * 16, "m", "0" * 32, {"1" * 32: True}, prompt_tokens=3, completion_tokens=2, cost=0.5)
    with path.open("ab") as file:
        file.write(b'{"judge": "x", "mo')
    with AnswerLog(path) as log:
        assert log.get("a" * 16, f"{'0' * 32}-{'1' * 32}") is True
        log.add("a" * 16, "m", "0" * 32, {}, prompt_tokens=1, completion_tokens=1)
    again = AnswerLog(path)
    assert (again.spent.requests, again.spent.unusable, again.spent.tokens, again.spent.cost) == (2, 1, 7, 0.5)
    path.write_text('{"judge": 7}\n')
    with fails(r"answers.jsonl:1: this is no answer of a judge. Delete this line", 4):
        AnswerLog(path)


def _has(request: dict[str, Any], start: str) -> bool:
    return any(text.startswith(start) for text in asked(request)[1])


def _lines(data: Data) -> list[str]:
    return (data.folder / "run/answers.jsonl").read_text().splitlines()


def _line(line: str) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = json.loads(line)
    except ValueError:
        return None
    return found
