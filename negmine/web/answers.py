"""What a server's answer means: JSON to go on with, a refusal, or a reason to ask again."""

from __future__ import annotations

import datetime
import email.utils
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

import orjson

from negmine.errors import InputError

_LENGTH = re.compile(
    r"too (long|large|big|many)|larger than|less than|at most|exceed|maximum|context length|batch size|length limit",
    re.IGNORECASE,
)
_NO_USE = (501, 505)
"""Failures of a server that are the same the next time."""
_WAITING = (408, 425, 429)
_SHOWN = 300


class ServerError(InputError):
    """A server could not be reached, or what it answered cannot be used."""


class RefusedError(ServerError):
    """A server says that the request itself is wrong, so that it will not be sent again.

    ``status`` is the HTTP status, ``message`` what the server says.
    """

    def __init__(self, status: int, message: str, *, where: str) -> None:
        super().__init__(f"the server refuses the request ({status}{f': {message}' if message else ''})", where=where)
        self.status, self.message = status, message

    @property
    def too_long(self) -> bool:
        """Whether fewer or shorter texts might be taken."""
        return self.status == 413 or (self.status in (400, 422) and bool(_LENGTH.search(self.message)))


class AgainError(Exception):
    """The same request may succeed later: not before ``seconds``, if the server named a time."""

    def __init__(self, cause: str, seconds: float | None = None, *, hint: str = "") -> None:
        super().__init__(cause)
        self.cause, self.seconds, self.hint = cause, seconds, hint


def shown(url: str) -> str:
    """A URL as messages name it: without what may be secret in it."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path}"


def understood(status: int, headers: Mapping[str, str], content: bytes, where: str, secret: str | None) -> Any:
    """The JSON value of an answer.

    ``where`` is how messages name the server, ``secret`` is kept out of them. Raises RefusedError,
    ServerError, and AgainError where asking again may help.
    """
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if 200 <= status < 300:
        try:
            return _parsed(content)
        except ValueError as error:
            if "json" in kind:
                raise AgainError("it answered with JSON that breaks off or is damaged") from error
            raise ServerError(
                f"the server answered with {kind or 'something'} and not with JSON ('{_words(content)[:60]}')",
                where=where,
                hint="Check the URL.",
            ) from error
    message = _message(content, secret)
    if 300 <= status < 400:
        target = shown(headers["location"]) if "://" in headers.get("location", "") else headers.get("location", "")
        raise RefusedError(status, f"it has moved to {target}" if target else message, where=where)
    spent = "insufficient_quota" in content[:4096].decode("utf-8", "replace")
    if (status in _WAITING or status >= 500) and status not in _NO_USE and not spent:
        raise AgainError(
            f"it answered {status}{f' ({message})' if message else ''}", retry_after(headers.get("retry-after", ""))
        )
    raise RefusedError(status, message, where=where)


def retry_after(value: str) -> float | None:
    """Seconds that a ``Retry-After`` header asks for, as a number or a date; None when it has neither."""
    value = value.strip()
    if re.fullmatch(r"[0-9]+(\.[0-9]+)?", value):
        return float(value)
    try:
        then = email.utils.parsedate_to_datetime(value)
    except ValueError:
        return None
    then = then if then.tzinfo else then.replace(tzinfo=datetime.UTC)
    return max((then - datetime.datetime.now(datetime.UTC)).total_seconds(), 0.0)


def _parsed(content: bytes) -> Any:
    try:
        return orjson.loads(content)
    except ValueError:
        return json.loads(content)  # NaN and Infinity are no JSON, and some servers write them: the caller tells where


def _message(content: bytes, secret: str | None) -> str:
    """What an error answer says, in one line; '' when it says nothing."""
    try:
        text = next(_texts(json.loads(content)), "")
    except ValueError:
        text = _words(content)
    text = " ".join(text.split())
    if secret:
        text = text.replace(secret, "***")
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."


def _texts(value: Any) -> Iterator[str]:
    """The messages in the layouts that servers use: ``error.message``, ``error``, ``message``, ``detail[].msg``."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, dict):
        for key in ("message", "msg", "error", "detail", "errors"):
            yield from _texts(value.get(key))


def _words(content: bytes) -> str:
    """The text of a page, without its tags."""
    text = content[:65536].decode("utf-8", "replace")
    text = re.sub(r"<(script|style|head)\b.*?</\1>", " ", text, flags=re.DOTALL | re.IGNORECASE)
    return " ".join(re.sub(r"<[^>]*>", " ", text).split())
