"""Language models behind a server with OpenAI's ``/v1/chat/completions``, asked whether passages are relevant."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any, TypeVar

from negmine.errors import ConfigError
from negmine.scoring.judge_answers import SCHEMA
from negmine.web.addresses import address
from negmine.web.answers import RefusedError
from negmine.web.refusals import config_error

T = TypeVar("T")
Messages = list[dict[str, str]]

BYTES_PER_TOKEN = 3
"""By which tokens are estimated where nobody counted them."""
_FRAME_TOKENS = 64
"""What a server's chat template may put around a message."""


@dataclass(frozen=True)
class Settings:
    """What to ask and how; names as in ``judge.endpoint``. ``section`` is what hints name."""

    url: str
    model: str
    key: str | None = field(default=None, repr=False)
    temperature: float = 0.0
    max_tokens: int = 1024
    response_format: str = "auto"
    concurrency: int = 8
    timeout: float = 120.0
    retries: int = 8
    section: str = "judge.endpoint"


class Chat:
    """Asks a server. ``close`` ends its connections.

    Servers differ in what they know of a request: what this one refuses it is asked without from then on.
    """

    def __init__(self, settings: Settings) -> None:
        from negmine.web.client import Client  # an event loop, which most commands need not

        self._settings = settings
        self._client = Client(
            address(settings.url, "/chat/completions"),
            key=settings.key,
            timeout=settings.timeout,
            retries=settings.retries,
            concurrency=settings.concurrency,
            section=settings.section,
        )
        self._schema = settings.response_format != "text"
        self._temperature = True
        self._limit = "max_tokens"

    @property
    def where(self) -> str:
        """The server, as messages name it."""
        return self._client.where

    def close(self) -> None:
        """End what is open."""
        self._client.close()

    def each(self, work: deque[T], body: Callable[[T], dict[str, Any]]) -> Generator[tuple[T, Any], None, None]:
        """As ``Client.each``: every item with the server's answer to its ``body``, or with its refusal."""
        return self._client.each(work, body)

    def body(self, messages: Messages) -> dict[str, Any]:
        """What is sent."""
        settings = self._settings
        body: dict[str, Any] = {"model": settings.model, "messages": messages, self._limit: settings.max_tokens}
        if self._temperature:
            body["temperature"] = settings.temperature
        if self._schema:
            schema = {"name": "judgements", "strict": True, "schema": SCHEMA}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        return body

    def conceded(self, refused: RefusedError, body: dict[str, Any]) -> bool:
        """Whether the refused ``body`` can be sent otherwise, which it will be."""
        if refused.status not in (400, 415, 422, 501):
            return False
        said = refused.message
        if "response_format" in body and re.search(r"response.?format|json.?schema|guided|grammar", said, re.I):
            if self._settings.response_format == "schema":
                raise ConfigError(
                    f"the server does not take a schema ({said})",
                    where="judge.response_format",
                    hint="Set it to auto or text.",
                )
            self._schema = False
        elif "max_tokens" in body and re.search(r"max_completion_tokens", said):
            self._limit = "max_completion_tokens"
        elif "temperature" in body and re.search(r"temperature", said):
            self._temperature = False
        else:
            return False
        return True

    def refusal(self, refused: RefusedError) -> Exception:
        """A refusal in terms of the config."""
        settings = self._settings
        return config_error(
            refused,
            settings.section,
            keyed=settings.key is not None,
            hint=f"Check {settings.section}: url, model and max_tokens.",
            not_found=f"Check {settings.section}.url (asked was {refused.where}) and {settings.section}.model"
            f" ('{settings.model}').",
        )

    def most_tokens(self, messages: Messages) -> tuple[int, int]:
        """More than a question and its answer can have: no token is shorter than a byte."""
        return sum(len(each["content"].encode()) + _FRAME_TOKENS for each in messages), self._settings.max_tokens


def estimated_tokens(messages: Messages) -> int:
    """Tokens of a question, by its bytes."""
    return sum(-(-len(each["content"].encode()) // BYTES_PER_TOKEN) for each in messages)
