"""A language model on loopback that judges by a given truth, and fails in every way such servers fail."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable
from typing import Any

from embedding_server import EmbeddingServer, Reply

_QUERY = re.compile(r"<query>\n(.*?)\n</query>", re.DOTALL)
_PASSAGE = re.compile(r'<passage number="([0-9]+)">\n(.*?)\n</passage>', re.DOTALL)
Truth = Callable[[str, str], bool]


def asked(request: dict[str, Any]) -> tuple[str, list[str]]:
    """The query and the passages of a request."""
    content = request["messages"][-1]["content"]
    found = _QUERY.search(content)
    assert found is not None
    passages = _PASSAGE.findall(content)
    assert [int(number) for number, _ in passages] == list(range(1, len(passages) + 1))
    return found[1], [text for _, text in passages]


def completion(content: str | None, request: dict[str, Any], **message: Any) -> dict[str, Any]:
    """A body as servers send it, with tokens counted as words."""
    finish = message.pop("finish_reason", "stop")
    prompt = sum(len(each["content"].split()) for each in request["messages"])
    answered = len((content or "").split())
    return {
        "object": "chat.completion",
        "model": request["model"],
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": content, **message}, "finish_reason": finish}
        ],
        "usage": {"prompt_tokens": prompt, "completion_tokens": answered, "total_tokens": prompt + answered},
    }


def judgements(said: list[bool]) -> str:
    rows = [{"passage": number, "relevant": relevant} for number, relevant in enumerate(said, 1)]
    return json.dumps({"judgements": rows})


class ChatServer(EmbeddingServer):
    """Answers by ``truth`` (by the name of the model, else the one for all); faults, keys and delays are those of the
    server of embeddings. ``answered`` counts what was answered with 200, ``judged`` the pairs."""

    def __init__(self, truth: Truth, **of_model: Truth) -> None:
        super().__init__()
        self.truth, self.of_model = truth, of_model
        self.answered: Counter[str] = Counter()
        self.judged: Counter[tuple[str, str, str]] = Counter()

    def answer(self, request: dict[str, Any]) -> Reply:
        reply = super_reply(self, request)
        if reply is None:
            query, passages = asked(request)
            truth = self.of_model.get(request["model"], self.truth)
            with self.lock:
                self.judged.update((request["model"], query, text) for text in passages)
            said = [truth(query, text) for text in passages]
            reply = Reply(200, self.edit(completion(judgements(said), request), request))
        if reply.status == 200:
            with self.lock:
                self.answered[request["model"]] += 1
        return reply


def super_reply(server: ChatServer, request: dict[str, Any]) -> Reply | None:
    """What the first fault makes of a request."""
    import time

    for fault in server.faults:
        if (reply := fault(request)) is not None:
            return reply
    time.sleep(server.delay)
    return None


Spoil = Callable[[dict[str, Any]], Reply | None]


def spoiled(kind: str) -> Callable[[dict[str, Any]], Reply]:
    """An answer of no use, of a kind."""

    def reply(request: dict[str, Any]) -> Reply:
        _, passages = asked(request)
        good = judgements([True] * len(passages))
        made = {
            "words": completion("I think passage 1 is relevant.", request),
            "truncated": completion(good[: len(good) // 2], request, finish_reason="length"),
            "broken": completion(good[:-3], request),
            "schema": completion(json.dumps({"results": [{"id": 1, "score": 0.7}]}), request),
            "missing": completion(judgements([True] * (len(passages) + 1)), request),
            "text": completion(good.replace("true", '"yes"'), request),
            "empty": completion(None, request),
            "nothing": {"object": "chat.completion", "usage": {"prompt_tokens": 3, "completion_tokens": 0}},
        }
        return Reply(200, made[kind])

    return reply


KINDS = ("words", "truncated", "broken", "schema", "missing", "text", "empty", "nothing")
REFUSAL = "I'm sorry, I can't help with that."


def refuses(request: dict[str, Any]) -> Reply:
    return Reply(200, completion(None, request, refusal=REFUSAL))
