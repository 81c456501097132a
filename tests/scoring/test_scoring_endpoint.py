"""Scores of a server: what it is asked, what becomes of its answers, and of its failures."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from embedding_server import KEY, Reply, always, first
from rerank_server import RerankServer, logit_of, score_of

from negmine.scoring.endpoint import EndpointScorer, Settings
from negmine.web import client

QUERIES = ["how long", "what is it"]
PASSAGES = [f"passage {n}" + " word" * (n % 7) for n in range(45)]


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(client, "FIRST_WAIT", 0.02)
    monkeypatch.setattr(client, "LONGEST_WAIT", 0.2)


@pytest.fixture
def server() -> Iterator[RerankServer]:
    started = RerankServer()
    yield started
    started.stop()


@pytest.fixture
def ask(server: RerankServer) -> Iterator[Callable[..., np.ndarray]]:
    """Scores of every pair of a query and a passage, asked for with these settings."""
    made: list[EndpointScorer] = []

    def scores(**settings: Any) -> np.ndarray:
        made.append(EndpointScorer(Settings(**{"url": server.url, "timeout": 5.0, "batch_texts": 8, **settings})))
        query, passage = np.divmod(np.arange(len(QUERIES) * len(PASSAGES)), len(PASSAGES))
        done: list[int] = []
        found = made[-1].score(QUERIES, PASSAGES, query, passage, done.append)
        assert sum(done) == len(query)
        return found

    yield scores
    for one in made:
        one.close()


EXPECTED = [score_of(query, passage) for query in QUERIES for passage in PASSAGES]


@pytest.mark.parametrize(("style", "model"), [("tei", None), ("cohere", "m")])
def test_every_pair_has_the_score_that_the_server_gives_it(
    server: RerankServer, ask: Callable[..., np.ndarray], style: str, model: str | None
) -> None:
    """Answers come best first and in any order; each pair is asked for once."""
    assert ask(style=style, model=model).tolist() == EXPECTED
    assert set(server.embedded.values()) == {1}
    name = {"tei": "texts", "cohere": "documents"}[style]
    assert max(len(request[name]) for request in server.requests) == 8
    assert len(server.requests) == 2 * 6
    assert server.paths[0] == {"tei": "/rerank", "cohere": "/v1/rerank"}[style]


def test_logits_are_asked_for(ask: Callable[..., np.ndarray]) -> None:
    assert ask(logits=True).tolist() == [logit_of(query, passage) for query in QUERIES for passage in PASSAGES]


def test_the_prompt_and_the_key_are_sent(server: RerankServer, ask: Callable[..., np.ndarray]) -> None:
    server.key = KEY
    found = ask(query_prompt="find: ", key=KEY)
    assert found[0] == score_of("find: how long", PASSAGES[0])


def test_failures_that_pass_are_waited_for(server: RerankServer, ask: Callable[..., np.ndarray]) -> None:
    server.faults = [first(3, Reply(503, {"error": "busy"})), first(2, Reply(429, {}, {"retry-after": "0"}))]
    assert ask().tolist() == EXPECTED


def test_a_batch_that_is_too_large_is_halved(server: RerankServer, ask: Callable[..., np.ndarray]) -> None:
    refused = Reply(413, {"error": "batch size 8 > maximum allowed batch size 3"})
    server.faults = [lambda request: refused if len(request["texts"]) > 3 else None]
    assert ask().tolist() == EXPECTED


@pytest.mark.parametrize(
    ("reply", "match", "code"),
    [
        (Reply(401, {"error": "no key"}), "rerank.endpoint.api_key_env: .*401.*wants a key", 3),
        (Reply(404, {}), "rerank.endpoint: .*404.*Check rerank.endpoint.url", 3),
        (Reply(200, {"data": []}), "no list of objects with 'index' and 'score'.*rerank.endpoint.style", 4),
        (Reply(200, [{"index": 0, "score": 0.5}]), "gave 1 scores for 8 passages", 4),
        (Reply(200, [{"index": i, "score": None} for i in range(8)]), "no finite number", 4),
        (Reply(422, {"error": "input too long"}), "is too long for the server .422", 4),
    ],
)
def test_what_cannot_be_mended_is_one_line(
    server: RerankServer, ask: Callable[..., np.ndarray], fails: Callable[..., Any], reply: Reply, match: str, code: int
) -> None:
    server.faults = [always(reply)]
    with fails(match, code):
        ask()


@pytest.mark.parametrize(
    ("url", "style", "asked"),
    [
        ("http://a:1", "tei", "http://a:1/rerank"),
        ("http://a:1/", "cohere", "http://a:1/v1/rerank"),
        ("https://a/v2", "cohere", "https://a/v2/rerank"),
        ("https://a/x/rerank", "tei", "https://a/x/rerank"),
    ],
)
def test_the_address_may_be_short(url: str, style: str, asked: str) -> None:
    made = EndpointScorer(Settings(url=url, style=style, model="m"))
    with contextlib.closing(made):
        assert made._client.where == asked
