"""Every way a server can answer, and what the encoder makes of it."""

from __future__ import annotations

import base64
import datetime
import email.utils
import json
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from embedding_server import (
    DIMENSION,
    KEY,
    EmbeddingServer,
    Reply,
    always,
    at_most,
    first,
    normalised,
    sometimes,
    vector_of,
)
from hypothesis import given
from hypothesis import strategies as st

from negmine.encoders.base import TextError
from negmine.encoders.endpoint import BYTES_PER_TOKEN, EndpointEncoder, Settings, batches, estimated_tokens
from negmine.errors import NegmineError
from negmine.web.addresses import address
from negmine.web.answers import retry_after, shown

Build = Callable[..., EndpointEncoder]
TEXTS = [f"text {n} " + "more " * (n % 7) for n in range(50)]
EXPECTED = normalised(np.stack([vector_of(text) for text in TEXTS]))


def changed(**fields: Any) -> Callable[[dict[str, Any], dict[str, Any]], Any]:
    """An answer whose first item has these fields."""
    return lambda answer, request: {**answer, "data": [{**answer["data"][0], **fields}, *answer["data"][1:]]}


@pytest.mark.parametrize("encoding_format", ["float", "base64"])
def test_vectors_are_those_of_the_texts_in_order(encoder: Build, encoding_format: str) -> None:
    told: list[int] = []
    found = encoder(encoding_format=encoding_format, batch_texts=4).encode_passages(TEXTS, told.append)
    np.testing.assert_array_equal(found, EXPECTED)
    assert found.dtype == np.float32
    assert sum(told) == len(TEXTS)


def test_base64_is_understood_when_floats_were_asked_for_and_the_other_way_round(
    encoder: Build, server: EmbeddingServer
) -> None:
    """Some servers know one of the two only."""

    def other(answer: dict[str, Any], request: dict[str, Any]) -> dict[str, Any]:
        for item in answer["data"]:
            if isinstance(item["embedding"], str):
                item["embedding"] = np.frombuffer(base64.b64decode(item["embedding"]), "<f4").tolist()
            else:
                item["embedding"] = base64.b64encode(np.array(item["embedding"], "<f4").tobytes()).decode()
        return answer

    server.edit = other
    for encoding_format in ("float", "base64"):
        found = encoder(encoding_format=encoding_format).encode_queries(TEXTS)
        np.testing.assert_array_equal(found, EXPECTED)


def test_vectors_that_are_not_normalised_are_what_the_server_gave(encoder: Build) -> None:
    one = encoder(normalize=False)
    np.testing.assert_array_equal(one.encode_passages(TEXTS), np.stack([vector_of(text) for text in TEXTS]))
    assert one.similarity == "dot"
    assert encoder().similarity == "cosine"


def test_cut_vectors_are_normalised_after_the_cut(encoder: Build) -> None:
    found = encoder(truncate_dim=5).encode_passages(TEXTS)
    np.testing.assert_array_equal(found, normalised(np.stack([vector_of(text)[:5] for text in TEXTS])))


def test_prompts_are_put_before_the_texts(encoder: Build, server: EmbeddingServer) -> None:
    one = encoder(query_prompt="query: ", document_prompt="passage: ")
    one.encode_queries(["a"])
    one.encode_passages(["b"])
    assert set(server.embedded) == {"query: a", "passage: b"}


def test_a_request_says_what_the_settings_say(encoder: Build, server: EmbeddingServer) -> None:
    encoder(dimensions=6, encoding_format="base64", key=KEY).encode_passages(["a"])
    assert server.requests == [
        {
            "model": "m",
            "input": ["a"],
            "encoding_format": "base64",
            "dimensions": 6,
            "authorization": f"Bearer {KEY}",
        }
    ]
    assert server.paths == ["/v1/embeddings"]


def test_without_dimensions_and_key_a_request_names_neither(encoder: Build, server: EmbeddingServer) -> None:
    encoder().encode_passages(["a"])
    assert "dimensions" not in server.requests[0]
    assert server.requests[0]["authorization"] is None


def test_the_answer_may_be_in_any_order(encoder: Build, server: EmbeddingServer) -> None:
    server.edit = lambda answer, request: {**answer, "data": answer["data"][::-1]}
    np.testing.assert_array_equal(encoder().encode_passages(TEXTS), EXPECTED)


def test_so_many_requests_run_at_a_time(encoder: Build, server: EmbeddingServer) -> None:
    server.delay = 0.3
    encoder(concurrency=5, batch_texts=2).encode_passages(TEXTS)
    assert server.most_running == 5
    assert len(server.requests) == 25


def test_tokens_of_the_server_and_requests_are_counted_once(encoder: Build, server: EmbeddingServer) -> None:
    server.faults = [first(3, Reply(500))]
    one = encoder(batch_texts=10)
    one.encode_passages(TEXTS)
    assert one.take_counts() == {"requests": 5, "tokens": sum(len(text.split()) for text in TEXTS)}
    assert one.take_counts() == {"requests": 0, "tokens": 0}


AGAIN = {
    "429": Reply(429, {"error": {"message": "slow down"}}),
    "429 with Retry-After": Reply(429, b"", {"retry-after": "0"}),
    "500": Reply(500, b"oops", {"content-type": "text/plain"}),
    "502 page": Reply(502, b"<html><body>Bad gateway</body></html>", {"content-type": "text/html"}),
    "503": Reply(503, {"error": "overloaded"}),
    "504": Reply(504),
    "529": Reply(529),
    "408": Reply(408),
    "dropped": Reply(0),
    "dropped in the middle of the body": Reply(200, b"x" * 5000, sent=700),
    "JSON that breaks off": Reply(200, b'{"data": [{"index": 0, "embedding": [0.1, 0.2'),
    "no body": Reply(200),
}


@pytest.mark.parametrize("reply", AGAIN.values(), ids=AGAIN.keys())
def test_what_may_pass_is_tried_again(encoder: Build, server: EmbeddingServer, reply: Reply) -> None:
    server.faults = [first(2, reply)]
    np.testing.assert_array_equal(encoder(batch_texts=10).encode_passages(TEXTS), EXPECTED)
    assert len(server.requests) == 7


@pytest.mark.parametrize("reply", AGAIN.values(), ids=AGAIN.keys())
def test_what_does_not_pass_ends_after_so_many_retries(
    encoder: Build, server: EmbeddingServer, fails: Callable[..., Any], reply: Reply
) -> None:
    server.faults = [always(reply)]
    with fails(r"/v1/embeddings: the server was asked 3 times, and the last time .*What was finished is kept"):
        encoder(retries=2).encode_passages(["a"])
    assert len(server.requests) == 3


def test_five_percent_of_errors_change_no_vector(encoder: Build, server: EmbeddingServer) -> None:
    """Thousands of texts with every kind of error among the answers."""
    texts = [f"text {n}" for n in range(4000)]
    server.faults = [sometimes(0.05, list(AGAIN.values()))]
    found = encoder(batch_texts=8, concurrency=16).encode_passages(texts)
    np.testing.assert_array_equal(found, normalised(np.stack([vector_of(text) for text in texts])))
    assert len(server.requests) > 510
    assert set(server.embedded.values()) == {1}


def test_retry_after_holds_back_every_request(encoder: Build, server: EmbeddingServer) -> None:
    server.faults = [first(1, Reply(429, b"", {"retry-after": "1"}))]
    encoder(batch_texts=1, concurrency=1).encode_passages(["a", "b", "c"])
    gaps = np.diff(server.times)
    assert gaps[0] > 0.9
    assert gaps[1:].max() < 0.9


def test_other_requests_wait_too_when_one_is_told_to(encoder: Build, server: EmbeddingServer) -> None:
    told = threading.Event()

    def fault(request: dict[str, Any]) -> Reply | None:
        """Both requests are there before one of them is told, and the other is answered a little later."""
        while len(server.requests) < 2:
            time.sleep(0.01)
        if not told.is_set():
            told.set()
            return Reply(429, b"", {"retry-after": "1"})
        time.sleep(0.3)
        return None

    server.faults = [fault]
    encoder(batch_texts=1, concurrency=2).encode_passages(list("abcdef"))
    assert server.times[2] - server.times[1] > 0.9


def test_a_server_that_wants_to_be_left_alone_for_long_is_not_waited_for(
    encoder: Build, server: EmbeddingServer, fails: Callable[..., Any]
) -> None:
    server.faults = [always(Reply(429, {"error": {"message": "daily limit"}}, {"retry-after": "7200"}))]
    with fails(r"asks to wait 120 minutes: it answered 429 \(daily limit\).*again later"):
        encoder().encode_passages(["a"])
    assert len(server.requests) == 1


def test_retry_after_is_a_number_or_a_date() -> None:
    then = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=30)
    assert retry_after("2") == 2.0
    assert retry_after(" 0.5 ") == 0.5
    assert retry_after(email.utils.format_datetime(then, usegmt=True)) == pytest.approx(30, abs=2)
    assert retry_after("Wed, 21 Oct 2015 07:28:00 GMT") == 0.0
    assert retry_after("soon") is None
    assert retry_after("") is None


@pytest.mark.parametrize("drip", [0.0, 0.05], ids=["silent", "dripping"])
def test_a_slow_answer_is_given_up(
    encoder: Build, server: EmbeddingServer, fails: Callable[..., Any], drip: float
) -> None:
    """Also when a byte comes now and then: the limit is on the whole request."""
    server.faults = [always(Reply(200, b"{" + b" " * 200, drip=drip))] if drip else []
    server.delay = 0.0 if drip else 10.0
    started = time.monotonic()
    with fails(r"asked 2 times.*no answer within 0.4 seconds. Raise embed.endpoint.timeout"):
        encoder(timeout=0.4, retries=1).encode_passages(["a"])
    assert time.monotonic() - started < 6


REFUSED = {
    "401": (401, {"error": {"message": "no key"}}, r"^embed.endpoint.api_key_env: .*401: no key.*wants a key"),
    "403": (403, {"error": "forbidden"}, r"^embed.endpoint.api_key_env: .*403: forbidden"),
    "404": (404, {"detail": "Not Found"}, r"404: Not Found.*Check embed.endpoint.url .*/v1/embeddings.*\('m'\)"),
    "400": (400, {"error": {"message": "unknown parameter"}}, r"^embed.endpoint: .*400: unknown parameter"),
    "422": (422, {"detail": [{"loc": ["body"], "msg": "field required"}]}, r"422: field required"),
    "405": (405, b"", r"refuses the request \(405\)"),
    "501": (501, {"message": "not here"}, r"501: not here"),
    "402": (402, {"error": {"message": "pay"}}, r"402: pay.*no quota"),
    "quota": (429, {"error": {"message": "spent", "code": "insufficient_quota"}}, r"429: spent.*no quota"),
}


@pytest.mark.parametrize(("status", "body", "match"), REFUSED.values(), ids=REFUSED.keys())
def test_a_refusal_is_an_error_at_once_with_the_servers_words(
    encoder: Build, server: EmbeddingServer, fails: Callable[..., Any], status: int, body: Any, match: str
) -> None:
    server.faults = [always(Reply(status, body))]
    with fails(match, code=3):
        encoder(concurrency=1).encode_passages(TEXTS)
    assert len(server.requests) == 1


def test_a_page_of_html_shows_its_words(encoder: Build, server: EmbeddingServer, fails: Callable[..., Any]) -> None:
    page = b"<html><head><title>t</title></head><body><h1>Welcome</h1>\n to the proxy</body></html>"
    server.faults = [always(Reply(200, page, {"content-type": "text/html; charset=utf-8"}))]
    with fails(r"answered with text/html and not with JSON \('Welcome to the proxy'\). Check the URL"):
        encoder().encode_passages(["a"])


def test_a_redirect_names_the_new_address(encoder: Build, server: EmbeddingServer, fails: Callable[..., Any]) -> None:
    """It is not followed: that would turn the request into another one, or give the key away."""
    server.faults = [always(Reply(308, b"", {"location": "https://user:pw@elsewhere.example/v1/embeddings?key=1"}))]
    with fails(r"^embed.endpoint.url: .*308: it has moved to https://elsewhere.example/v1/embeddings\)", code=3):
        encoder(key=KEY).encode_passages(["a"])


def test_the_key_is_in_no_message(encoder: Build, server: EmbeddingServer) -> None:
    """Not even when the server repeats it."""
    server.key = "another"
    one = encoder(key=KEY)
    with pytest.raises(NegmineError) as caught:
        one.encode_passages(["a"])
    chain, error = [], caught.value
    while error is not None:
        chain += [str(error), repr(error), repr(vars(error))]
        error = error.__cause__ or error.__context__  # type: ignore[assignment]
    assert not any(KEY in text for text in chain)
    assert "Incorrect API key provided: ***" in chain[0]
    assert KEY not in repr(Settings(url="u", model="m", key=KEY)) + repr(one._client)


BROKEN: dict[str, tuple[Callable[[dict[str, Any], dict[str, Any]], Any], str]] = {
    "too few": (lambda a, r: {"data": a["data"][:-1]}, r"gave 49 vectors for 50 texts"),
    "too many": (lambda a, r: {"data": a["data"] + a["data"][:1]}, r"gave 51 vectors for 50 texts"),
    "index twice": (changed(index=1), r"indices of the vectors are not 0 to 49, each once"),
    "index beyond": (changed(index=50), r"indices of the vectors"),
    "index as text": (changed(index="x"), r"indices of the vectors"),
    "no data": (lambda a, r: {"embeddings": []}, r"no list 'data'.*OpenAI-compatible"),
    "a list": (lambda a, r: a["data"], r"no list 'data'"),
    "null": (lambda a, r: None, r"no list 'data'"),
    "items of numbers": (lambda a, r: {"data": [1] * 50}, r"no list 'data'"),
}


@pytest.mark.parametrize(("edit", "match"), BROKEN.values(), ids=BROKEN.keys())
def test_an_answer_of_another_shape_is_refused(
    encoder: Build, server: EmbeddingServer, fails: Callable[..., Any], edit: Any, match: str
) -> None:
    server.edit = edit
    with fails(match):
        encoder(batch_texts=50).encode_passages(TEXTS)


BAD_VECTORS = {
    "NaN": ([float("nan")] + [0.0] * (DIMENSION - 1), "NaN or Infinity"),
    "Infinity": ([float("-inf")] + [0.0] * (DIMENSION - 1), "NaN or Infinity"),
    "beyond float32": ([1e300] * DIMENSION, "NaN or Infinity"),
    "null inside": ([None] + [0.5] * (DIMENSION - 1), "NaN or Infinity"),
    "NaN in base64": (
        base64.b64encode(np.full(DIMENSION, np.nan, "<f4").tobytes()).decode(),
        "NaN or Infinity",
    ),
    "base64 cut off": ("AAAA", "no list of numbers and no base64"),
    "not base64": ("hello!", "no list of numbers and no base64"),
    "words": (["a"] * DIMENSION, "no list of numbers and no base64"),
    "null": (None, "no vector"),
    "empty": ([], "no vector"),
    "per token": ([[0.1] * DIMENSION] * 3, "a vector for every token.*needs pooling"),
    "zeros": ([0.0] * DIMENSION, "a vector of zeros"),
    "shorter": ([0.1] * (DIMENSION - 1), f"{DIMENSION - 1} dimensions, and texts before it have {DIMENSION}"),
}


@pytest.mark.parametrize(("vector", "match"), BAD_VECTORS.values(), ids=BAD_VECTORS.keys())
def test_a_vector_that_cannot_be_used_names_its_text(
    encoder: Build, server: EmbeddingServer, vector: Any, match: str
) -> None:
    one = encoder(batch_texts=8)
    one.probe()
    bad = TEXTS[17]

    def edit(answer: dict[str, Any], request: dict[str, Any]) -> dict[str, Any]:
        for item in answer["data"]:
            if request["input"][item["index"]] == bad:
                item["embedding"] = vector
        return answer

    server.edit = edit
    with pytest.raises(TextError, match=match) as caught:
        one.encode_passages(TEXTS)
    assert caught.value.position == 17


def test_another_dimension_than_asked_for_is_an_error(
    encoder: Build, server: EmbeddingServer, fails: Callable[..., Any]
) -> None:
    """A server that does not know ``dimensions`` gives what it has."""
    server.edit = changed(embedding=[0.5] * 4)
    with fails("^embed.endpoint.dimensions: it is 6 but the server gives 4 dimensions.*truncate_dim", code=3):
        encoder(dimensions=6).probe()
    with fails("^embed.truncate_dim: it is 5 but the server's vectors have 4 dimensions", code=3):
        encoder(truncate_dim=5).probe()


TOO_LONG = {
    "413": Reply(413, b"", {"content-type": "text/plain"}),
    "vLLM": Reply(400, {"error": {"message": "This model's maximum context length is 512 tokens."}}),
    "TEI": Reply(422, {"error": "batch size 32 > maximum allowed batch size 8", "error_type": "Validation"}),
}


@pytest.mark.parametrize("reply", TOO_LONG.values(), ids=TOO_LONG.keys())
def test_a_batch_that_is_too_long_is_halved(encoder: Build, server: EmbeddingServer, reply: Reply) -> None:
    server.faults = [at_most(lambda texts: len(texts) <= 8, reply)]
    np.testing.assert_array_equal(encoder(batch_texts=32).encode_passages(TEXTS), EXPECTED)
    assert set(server.embedded.values()) == {1}


@pytest.mark.parametrize("reply", TOO_LONG.values(), ids=TOO_LONG.keys())
def test_a_text_that_is_too_long_alone_is_named(encoder: Build, server: EmbeddingServer, reply: Reply) -> None:
    texts = [*TEXTS, "long " * 200]
    server.faults = [at_most(lambda given: all(len(text) < 500 for text in given), reply)]
    with pytest.raises(TextError, match=rf"too long for the server: 1000 characters.*\({reply.status}") as caught:
        encoder().encode_passages(texts)
    assert caught.value.position == 50


def test_nobody_at_the_address_is_told_at_once(encoder: Build, fails: Callable[..., Any]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/v1?secret=1"
        with fails(
            r"/v1/embeddings: the server cannot be reached \(Connection refused\). Is it.* Check embed.endpoint.url"
        ) as e:
            encoder(url=url).probe()
    assert "secret" not in str(e.value)


def test_a_server_that_goes_away_for_a_moment_is_waited_for(encoder: Build, server: EmbeddingServer) -> None:
    """Once it has answered, a refused connection is a restart."""
    one = encoder()
    one.probe()
    server.stop()
    again: list[EmbeddingServer] = []
    later = threading.Timer(0.3, lambda: again.append(EmbeddingServer(server.server_address[1])))
    later.start()
    try:
        np.testing.assert_array_equal(one.encode_passages(TEXTS), EXPECTED)
    finally:
        later.join()
        again[0].stop()


def test_an_error_ends_what_is_still_tried(encoder: Build, server: EmbeddingServer) -> None:
    """Requests that wait for another attempt are given up with the one that failed for good."""

    def fault(request: dict[str, Any]) -> Reply:
        while len(server.requests) < 3:
            time.sleep(0.01)
        return Reply(400, {"error": "bad"}) if "a" in request["input"] else Reply(503)

    server.faults = [fault]
    one = encoder(batch_texts=1, concurrency=3, retries=50)
    with pytest.raises(NegmineError, match="bad"):
        one.encode_passages(["a", "b", "c"])
    time.sleep(0.1)  # what was on its way has arrived
    count = len(server.requests)
    time.sleep(0.6)  # three attempts of each
    assert len(server.requests) == count


def test_no_thread_is_left(encoder: Build, server: EmbeddingServer) -> None:
    """Neither after the end nor when the server never answers."""
    one = encoder()
    one.encode_passages(["a"])
    one.close()
    assert "negmine-web" not in [thread.name for thread in threading.enumerate()]
    np.testing.assert_array_equal(one.encode_passages(TEXTS), EXPECTED)  # it may be asked again

    server.delay = 30.0
    server.edit = lambda answer, request: {}
    server.faults = [first(1, Reply(400, {"error": "bad"}))]
    started = time.monotonic()
    with pytest.raises(NegmineError, match="bad"):
        one.encode_passages(TEXTS)  # two batches: one is refused, one is in flight
    one.close()
    assert time.monotonic() - started < 10
    assert "negmine-web" not in [thread.name for thread in threading.enumerate()]


@given(
    st.lists(st.integers(1, 60), min_size=1, max_size=80),
    st.integers(1, 100),
    st.integers(1, 9),
)
def test_batches_hold_every_text_once_inside_their_limits(lengths: list[int], tokens: int, texts: int) -> None:
    array = np.array(lengths)
    found = list(batches(array, tokens, texts))
    assert sorted(np.concatenate(found).tolist()) == list(range(len(lengths)))
    for rows, later in zip(found, [*found[1:], None], strict=True):
        assert len(rows) == 1 or (len(rows) <= texts and array[rows].sum() <= tokens)
        if later is not None:  # longest first, and no batch is smaller than it must be
            assert array[rows].min() >= array[later].max()
            assert len(rows) == texts or array[rows].sum() + array[later[0]] > tokens


def test_tokens_are_estimated_by_bytes() -> None:
    assert estimated_tokens(["", "a", "abc", "abcd", "äöü"]).tolist() == [1, 1, 1, 2, 2]
    assert BYTES_PER_TOKEN == 3


@pytest.mark.parametrize(
    ("url", "asked"),
    [
        ("http://h:8080", "http://h:8080/v1/embeddings"),
        ("http://h:8080/", "http://h:8080/v1/embeddings"),
        ("https://h/v1", "https://h/v1/embeddings"),
        ("https://h/v1/", "https://h/v1/embeddings"),
        ("https://h/api/v1/embeddings", "https://h/api/v1/embeddings"),
        ("https://h/openai/deployments/x/embeddings?api-version=1", "https://h/openai/deployments/x/embeddings?api-version=1"),
        ("https://h/engine?v=1", "https://h/engine/embeddings?v=1"),
    ],
)  # fmt: skip
def test_the_address_may_be_short(url: str, asked: str) -> None:
    assert address(url, "/embeddings") == asked
    assert "?" not in shown(asked)


def test_json_of_a_request_is_utf8(encoder: Build, server: EmbeddingServer) -> None:
    text = 'Größe 日本語 \u2028 \U0001f600 "quoted" \\ \x07'
    encoder().encode_passages([text])
    assert list(server.embedded) == [text]
    assert json.dumps(server.requests[0]["input"])
