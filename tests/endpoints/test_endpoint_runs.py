"""Runs that embed by a server: what is asked, once only, and what an interruption costs."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from embedding_server import KEY, EmbeddingServer, Reply, always, at_most, normalised, sometimes, vector_of
from endpoint_run import Run
from small_run import command, environment

import negmine
from negmine.config import load_config
from negmine.errors import ConfigError
from negmine.pipeline import status
from negmine.planning import plan

PROBE = "negmine"
Fails = Callable[..., Any]


def expected(texts: list[str]) -> np.ndarray:
    return normalised(np.stack([vector_of(text) for text in texts]))


def asked(server: EmbeddingServer) -> dict[str, int]:
    """How often each text was embedded, without the probe of a start."""
    return {text: count for text, count in server.embedded.items() if text != PROBE}


def write_config(run: Run, **more: Any) -> Path:
    path = run.folder / "config.yaml"
    path.write_text(json.dumps(run.mapping(more)))  # JSON is YAML
    return path


def test_a_run_has_the_vectors_of_the_server(a_run: Run, server: EmbeddingServer) -> None:
    result = a_run.embed()
    np.testing.assert_array_equal(a_run.vectors(), expected(a_run.passages))
    np.testing.assert_array_equal(a_run.vectors("queries"), expected(a_run.queries))
    assert set(asked(server).values()) == {1}
    manifest = result.manifest
    assert manifest.facts["similarity"] == "cosine"
    words = sum(len(text.split()) for text in (*a_run.passages, *a_run.queries))
    assert {key: manifest.counts[key] for key in ("vectors", "requests", "tokens")} == {
        "vectors": 72,
        "requests": 4,  # a part has 20 texts, and all of them fit into a request
        "tokens": words,
    }


def test_a_finished_run_needs_no_server(a_run: Run, server: EmbeddingServer) -> None:
    """Neither the server nor its key: a later stage can be changed anywhere."""
    negmine.run(a_run.config())
    count = len(server.requests)
    server.stop()
    result = negmine.run(a_run.config({"api_key_env": "NEGMINE_TEST_NO_SUCH_KEY"}))
    assert {stage.state for stage in result.stages} == {"current"}
    assert len(server.requests) == count


def test_errors_among_the_answers_change_no_byte(a_run: Run, server: EmbeddingServer) -> None:
    def parts() -> dict[str, bytes]:
        folder = a_run.folder / "run" / "embed"
        return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.glob("*/part-*"))}

    a_run.embed({"batch_texts": 2})
    plain = parts()
    server.faults = [sometimes(0.2, [Reply(503), Reply(0), Reply(200, b"{", sent=1)])]
    a_run.embed({"batch_texts": 2, "concurrency": 3, "revision": "again"})
    assert parts() == plain


def test_only_new_texts_are_asked_for(a_run: Run, server: EmbeddingServer) -> None:
    a_run.embed()
    server.embedded.clear()
    a_run.passages.insert(3, "a new passage")
    a_run.write()
    counts = a_run.embed().manifest.counts
    assert asked(server) == {"a new passage": 1}
    assert counts["reused"] == 72
    assert counts["requests"] == 1
    np.testing.assert_array_equal(a_run.vectors(), expected(a_run.passages))


def test_a_server_that_moved_has_the_same_model(a_run: Run, server: EmbeddingServer) -> None:
    """Only the name of the model, its dimensions and the user's own revision identify it."""
    a_run.embed()
    states = {
        "url": a_run.config({"url": "http://elsewhere.example/v1"}),
        "concurrency": a_run.config(
            {"concurrency": 2, "batch_texts": 3, "batch_tokens": 9, "timeout": 1, "retries": 0}
        ),
        "format": a_run.config({"encoding_format": "base64", "price_per_million_tokens": 1.0, "api_key_env": "K"}),
        "model": a_run.config({"model": "other"}),
        "revision": a_run.config({"revision": "v2"}),
        "dimensions": a_run.config({"dimensions": 4}),
    }
    found = {name: status(config)[1] for name, config in states.items()}
    assert [name for name, stage in found.items() if stage.state == "current"] == ["url", "concurrency", "format"]
    assert found["model"].why == 'embed.endpoint.model changed: "m" -> "other"'


def test_a_text_that_is_too_long_is_named(a_run: Run, server: EmbeddingServer, fails: Fails) -> None:
    a_run.passages[31] = "long " * 199 + "long"
    a_run.write()
    message = {"error": {"message": "maximum context length is 100 tokens"}}
    server.faults = [at_most(lambda texts: all(len(text) < 300 for text in texts), Reply(400, message))]
    with fails(r"doc_id 'd31' is too long for the server: 999 characters, about 333 tokens \(400: maximum context"):
        a_run.embed()


def test_a_vector_that_cannot_be_used_is_named(a_run: Run, server: EmbeddingServer, fails: Fails) -> None:
    def edit(answer: dict[str, Any], request: dict[str, Any]) -> dict[str, Any]:
        for item in answer["data"]:
            if request["input"][item["index"]] == "query 7":
                item["embedding"][0] = float("nan")
        return answer

    server.edit = edit
    with fails("query_id 'q7' has a vector with NaN"):
        a_run.embed()


def test_nobody_there_is_told_before_any_work(a_run: Run, server: EmbeddingServer, fails: Fails) -> None:
    server.stop()
    with fails("cannot be reached.*Is it running"):
        negmine.run(a_run.config())
    assert not (a_run.folder / "run" / "ingest").exists()


@pytest.mark.parametrize(("value", "match"), [(None, "is not set"), (" ", "is empty"), ("a\nb", "holds characters")])
def test_a_key_that_is_not_there_is_told_before_any_work(
    a_run: Run, server: EmbeddingServer, fails: Fails, monkeypatch: pytest.MonkeyPatch, value: str | None, match: str
) -> None:
    if value is not None:
        monkeypatch.setenv("NEGMINE_TEST_KEY", value)
    with fails(f"embed.endpoint.api_key_env: the environment variable NEGMINE_TEST_KEY {match}", code=3):
        negmine.run(a_run.config({"api_key_env": "NEGMINE_TEST_KEY"}))
    assert not server.requests
    assert not (a_run.folder / "run" / "ingest").exists()


def test_the_key_is_in_no_file(a_run: Run, server: EmbeddingServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEGMINE_TEST_KEY", f" {KEY}\n")
    server.key = KEY
    negmine.run(a_run.config({"api_key_env": "NEGMINE_TEST_KEY"}))
    files = [path for path in (a_run.folder / "run").rglob("*") if path.is_file()]
    assert len(files) > 10
    assert not [path for path in files if KEY.encode() in path.read_bytes()]


def _started(config: Path, **more: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command("embed", "--with-upstream", "-c", config),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(NO_PROXY="127.0.0.1", **more),
    )


def _wait(condition: Callable[[], Any], process: subprocess.Popen[str]) -> None:
    limit = time.monotonic() + 60
    while not condition():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < limit
        time.sleep(0.01)


def test_a_killed_run_asks_only_for_what_is_missing(a_run: Run, server: EmbeddingServer) -> None:
    """Killed without warning: texts of finished parts are asked for once, those of the others again."""
    receipts = a_run.folder / "run" / ".pending"
    config = write_config(a_run, batch_texts=4, concurrency=2)
    server.delay = 0.15
    process = _started(config)
    _wait(lambda: len(list(receipts.glob("embed-*/.receipts/*.json"))) >= 2, process)
    process.kill()
    process.communicate()
    while server.running:  # what it had asked for is still being answered
        time.sleep(0.05)
    finished = len(list(receipts.glob("embed-*/.receipts/*.json")))
    server.delay, server.embedded = 0.0, type(server.embedded)()
    resumed = _started(config)
    _, err = resumed.communicate(timeout=120)
    assert resumed.returncode == 0, err
    first_missing = 20 * finished
    assert 40 <= first_missing < 60
    assert asked(server) == dict.fromkeys(a_run.passages[first_missing:] + a_run.queries, 1)
    np.testing.assert_array_equal(a_run.vectors(), expected(a_run.passages))


@pytest.mark.parametrize("silent", [True, False], ids=["waiting for an answer", "waiting to ask again"])
def test_an_interruption_leaves_at_once(a_run: Run, server: EmbeddingServer, silent: bool) -> None:
    config = write_config(a_run, timeout=100)
    negmine.run(load_config(config), until="ingest")
    if silent:
        server.delay = 30.0
    else:
        server.faults = [always(Reply(429, b"", {"retry-after": "100"}))]
    process = _started(config)
    _wait(lambda: server.requests, process)
    time.sleep(0.2)
    started = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert time.monotonic() - started < 10
    assert process.returncode == 130, err
    assert "Traceback" not in err


def test_another_model_behind_the_same_name_is_noticed(a_run: Run, server: EmbeddingServer, fails: Fails) -> None:
    """Vectors of two dimensions are never mixed: neither on resuming nor with those taken over."""
    server.faults = [at_most(lambda texts: "query 0" not in texts, Reply(400, {"error": "not now"}))]
    with fails("not now", code=3):
        a_run.embed()
    server.faults, server.dimension = [], 5
    with fails("5 dimensions now, and those embedded before have 12.*embed.endpoint.revision"):
        a_run.embed()
    assert a_run.embed({"revision": "2"}).manifest.facts["dimension"] == 5
    server.dimension = 6
    a_run.passages.append("one more")
    a_run.write()
    with fails("6 dimensions now, and those embedded before have 5"):
        a_run.embed({"revision": "2"})


def test_plan_tells_requests_tokens_and_cost_without_asking(a_run: Run, server: EmbeddingServer) -> None:
    config = a_run.config({"price_per_million_tokens": 2.0, "batch_texts": 10}, document_prompt="passage: ")
    step = plan(config)[1]
    assert not server.requests
    tokens = sum(-(-len(f"passage: {text}") // 3) for text in a_run.passages)
    tokens += sum(-(-len(text) // 3) for text in a_run.queries)
    assert step.tokens == pytest.approx(tokens, rel=0.05)
    assert step.requests == 8  # three parts of 20 passages, one of 12 queries, by tens
    assert step.cost == pytest.approx(step.tokens * 2e-6)
    assert step.seconds is None
    assert plan(a_run.config())[1].cost is None

    server.delay = 0.3
    result = a_run.embed({"batch_texts": 10}, document_prompt="passage: ")
    assert result.manifest.counts["requests"] == step.requests
    a_run.passages += [f"more {n}" for n in range(72)]
    a_run.write()
    negmine.run(config, until="ingest")
    later = plan(config)[1]
    assert result.manifest.wall_seconds >= 1.2
    assert 0 < later.seconds - result.manifest.wall_seconds < 1.5  # and the time to write files
    assert later.requests == 8  # a part that is full already asks for nothing


def test_plan_prints_what_will_be_asked(a_run: Run) -> None:
    config = write_config(a_run, price_per_million_tokens=500)
    found = subprocess.run(
        command("plan", "-c", config), capture_output=True, text=True, env=environment(), check=True
    ).stdout
    assert "embed sends about 4 requests with " in found
    assert "at a cost of about 0." in found


def test_the_card_names_the_model(a_run: Run) -> None:
    negmine.run(a_run.config({"model": "some/embedder"}))
    assert "some/embedder" in (a_run.folder / "run" / "export" / "README.md").read_text()


WRONG: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "not a URL": ({"url": "localhost:8080"}, {}, "embed.endpoint.url: must be the http:// or https:// URL"),
    "no host": ({"url": "http://"}, {}, "must be the http"),
    "no port": ({"url": "http://host:port/"}, {}, "must be the http"),
    "a space": ({"url": "http://host/a b"}, {}, "must be the http"),
    "a password": ({"url": "http://me:secret@host/v1"}, {}, "must not contain a password.*api_key_env"),
    "a fragment": ({"url": "http://host/v1#x"}, {}, "must not have a part after '#'"),
    "the key itself": ({"api_key_env": "sk-1234"}, {}, "must be the name of an environment variable"),
    "a misspelt key": ({"batch_text": 3}, {}, "Did you mean 'batch_texts'"),
    "no texts": ({"batch_texts": 0}, {}, "must be at least 1"),
    "no time": ({"timeout": 0}, {}, "must be above 0"),
    "a model as well": ({}, {"model": "m"}, "embed.endpoint: cannot be used together with embed.model"),
    "vectors as well": ({}, {"vectors": {"corpus": "c", "queries": "q"}}, "together with embed.endpoint"),
    "a prompt's name": ({}, {"query_prompt_name": "query"}, "set embed.query_prompt to the text"),
    "a revision of the hub": ({}, {"revision": "v2"}, "Set embed.endpoint.revision instead"),
    "a batch size": ({}, {"batch_size": 8}, "Set embed.endpoint.batch_texts instead"),
    "a device": ({}, {"device": "cpu"}, "applies only to embed.model"),
    "a length": ({}, {"max_seq_length": 8}, "applies only to embed.model"),
}


@pytest.mark.parametrize(("endpoint", "embed", "match"), WRONG.values(), ids=WRONG.keys())
def test_what_cannot_apply_is_a_config_error(
    a_run: Run, endpoint: dict[str, Any], embed: dict[str, Any], match: str
) -> None:
    with pytest.raises(ConfigError, match=match) as caught:
        a_run.config(endpoint, **embed)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("wrong", [{"api_key_env": KEY}, {"url": f"http://me:{KEY}@h"}, {"url": f"ftp://me:{KEY}@h"}])
def test_a_line_that_may_hold_a_password_is_not_shown(a_run: Run, wrong: dict[str, str]) -> None:
    """A key that was written into the config by mistake is not written into a log as well."""
    with pytest.raises(ConfigError) as caught:
        load_config(write_config(a_run, **wrong))
    assert KEY not in f"{caught.value} {caught.value.snippet}"
    assert "embed.endpoint." in str(caught.value)


def test_the_client_loads_nothing_until_it_is_needed() -> None:
    """A run without an endpoint does not even import the HTTP library."""
    code = "import sys, negmine.stages; print('httpx2' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "False"


@pytest.mark.slow
def test_workers_of_a_cluster_ask_too(tmp_path: Path, server: EmbeddingServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each with its own connections; the vectors are the same, and every text is asked for once."""
    monkeypatch.setenv("NEGMINE_TEST_KEY", KEY)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    server.key, server.delay = KEY, 0.3
    server.faults = [sometimes(0.1, [Reply(503), Reply(0)])]
    run = Run(tmp_path, server, passages=200)
    mapping = run.mapping({"api_key_env": "NEGMINE_TEST_KEY", "batch_texts": 4, "concurrency": 2})
    engine = {"kind": "ray", "address": "local", "workers": 2}
    config = negmine.config_from_dict({**mapping, "engine": engine, "memory_limit": "200MB", "threads": 2}, tmp_path)
    counts = negmine.run(config, until="embed").stages[-1].manifest.counts
    np.testing.assert_array_equal(run.vectors(), expected(run.passages))
    assert set(server.embedded.values()) == {1}
    assert server.most_running == 4
    assert counts["requests"] == 53
