"""What a language model's answer says: a judgement for every passage, a refusal, or nothing of use."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_THOUGHTS = re.compile(r"^.*?</think>", re.DOTALL)
_SHOWN = 80
_FILTERED = ("content_filter", "content filter", "content management policy", "safety")

SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "properties": {
        "judgements": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"passage": {"type": "integer"}, "relevant": {"type": "boolean"}},
                "required": ["passage", "relevant"],
                "additionalProperties": False,
            },
        }
    },
    "required": ["judgements"],
    "additionalProperties": False,
}
"""The form of an answer."""


@dataclass(frozen=True)
class Answer:
    """``relevant`` of each passage asked about, in their order; None when the answer is of no use (``why``), or
    ``refused`` says that the model would not. Tokens are None where the server does not count them."""

    relevant: tuple[bool, ...] | None
    refused: bool = False
    why: str = ""
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


def read_answer(answer: Any, count: int) -> Answer:
    """What a server of chat completions answered to a question about ``count`` passages."""
    prompt, completion = _usage(answer)
    choices = answer.get("choices") if isinstance(answer, dict) else None
    choice = choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else {}
    message = choice.get("message") if isinstance(choice.get("message"), dict) else {}
    assert isinstance(message, dict)
    if choice.get("finish_reason") == "content_filter" or message.get("refusal"):
        return Answer(None, True, "it refuses", prompt, completion)
    text = _text(message.get("content"))
    if choice.get("finish_reason") == "length":
        return Answer(None, False, f"it was cut off after {completion or 'some'} tokens", prompt, completion)
    relevant = judgements(text, count)
    why = "" if relevant is not None else f"'{' '.join(text.split())[:_SHOWN]}'" if text else "it is empty"
    return Answer(relevant, False, why, prompt, completion)


def judgements(text: str, count: int) -> tuple[bool, ...] | None:
    """Those of passages 1 to ``count`` in a text that holds them as JSON; None where one is missing or not as
    it should be."""
    text = _THOUGHTS.sub("", text)
    start = text.find("{")
    while start >= 0:
        try:
            value, _ = json.JSONDecoder().raw_decode(text, start)
        except (ValueError, RecursionError):
            value = None
        if isinstance(value, dict) and "judgements" in value:
            return _checked(value["judgements"], count)
        start = text.find("{", start + 1)
    return None


def is_refusal(message: str) -> bool:
    """Whether an error of a server says that its filter let a text not pass."""
    return any(word in message.lower() for word in _FILTERED)


def _checked(rows: Any, count: int) -> tuple[bool, ...] | None:
    if not isinstance(rows, list):
        return None
    found: dict[int, bool] = {}
    for row in rows:
        number, relevant = (row.get("passage"), row.get("relevant")) if isinstance(row, dict) else (None, None)
        if isinstance(number, bool) or not isinstance(number, int) or not isinstance(relevant, bool) or number in found:
            return None
        found[number] = relevant
    numbers = range(1, count + 1)
    return tuple(found[number] for number in numbers) if found.keys() == set(numbers) else None


def _text(content: Any) -> str:
    """The text of a message, which some servers give in parts."""
    if isinstance(content, list):
        return "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else ""


def _usage(answer: Any) -> tuple[int | None, int | None]:
    usage = answer.get("usage") if isinstance(answer, dict) else None
    counts = [usage.get(f"{kind}_tokens") if isinstance(usage, dict) else None for kind in ("prompt", "completion")]
    prompt, completion = (n if isinstance(n, int) and not isinstance(n, bool) and n >= 0 else None for n in counts)
    return prompt, completion
