"""``answers.jsonl``: what language models answered, and what that took. Nothing that was paid for is asked twice.

One JSON object a line for every request: ``judge`` (which model, with which words), ``model``, ``query_digest``,
``judgements`` (by the digest of the passage: true, false, ``no_answer`` or ``refused``), ``requests``, tokens and
``cost``.
Lines are only ever added; the last one may be broken off by a kill.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from negmine.errors import InputError, Where

ANSWERS = "answers.jsonl"
NO_ANSWER: Literal["no_answer"] = "no_answer"
REFUSED: Literal["refused"] = "refused"
Judgement = bool | Literal["no_answer", "refused"]
_SYNC_SECONDS = 1.0


@dataclass(frozen=True)
class Spent:
    """What judging has taken: answered ``requests``, how many of them were of no use, tokens and money."""

    requests: int = 0
    unusable: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float = 0.0

    @property
    def tokens(self) -> int:
        """Of questions and answers."""
        return self.prompt_tokens + self.completion_tokens

    def plus(self, row: Mapping[str, Any]) -> Spent:
        """With a line of the file."""
        return Spent(
            self.requests + row["requests"],
            self.unusable
            + (0 if any(isinstance(said, bool) for said in row["judgements"].values()) else row["requests"]),
            self.prompt_tokens + row["prompt_tokens"],
            self.completion_tokens + row["completion_tokens"],
            round(self.cost + (row["cost"] or 0.0), 12),
        )

    def as_json(self) -> dict[str, Any]:
        """The same as JSON values."""
        return asdict(self)


class AnswerLog:
    """The answers in a file, and those that are added. Use it in a ``with`` statement to add."""

    def __init__(self, path: Path) -> None:
        """Raises InputError for a line that is not as it should be."""
        self._path = path
        self._known: dict[str, dict[str, Judgement]] = {}
        self.spent = Spent()
        self._file: Any = None
        self._synced = 0.0
        if path.is_file():
            self._read()

    def get(self, judge: str, pair: str) -> Judgement | None:
        """What a judge said of ``query_digest-passage_digest``; None when it was not asked."""
        return self._known.get(judge, {}).get(pair)

    def add(
        self,
        judge: str,
        model: str,
        query: str,
        judgements: Mapping[str, Judgement],
        *,
        requests: int = 1,
        prompt_tokens: int = 0,
        completion_tokens: int = 0,
        cost: float | None = None,
    ) -> None:
        """Keep what a request brought; a kill from here on does not lose it."""
        row = {
            "judge": judge,
            "model": model,
            "query_digest": query,
            "judgements": dict(judgements),
            "requests": requests,
            "prompt_tokens": prompt_tokens,
            "completion_tokens": completion_tokens,
            "cost": None if cost is None else round(cost, 12),
        }
        if self._file is None:
            self._file = self._opened()
        self._file.write((json.dumps(row, ensure_ascii=False) + "\n").encode())
        self._file.flush()
        if time.monotonic() - self._synced > _SYNC_SECONDS:  # a power cut costs a second at most
            os.fsync(self._file.fileno())
            self._synced = time.monotonic()
        self._take(row)

    def __enter__(self) -> AnswerLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            os.fsync(self._file.fileno())
            self._file.close()
            self._file = None

    def _opened(self) -> Any:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        file = self._path.open("a+b")
        if file.tell():
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":  # a kill broke the last line off
                file.write(b"\n")
        return file

    def _read(self) -> None:
        with self._path.open("rb") as file:
            for number, line in enumerate(file, 1):
                row = _parsed(line)
                if row is not None:
                    self._take(row)
                elif line.strip() and not _is_broken_off(line):
                    raise InputError(
                        "this is no answer of a judge",
                        where=Where(str(self._path), number),
                        hint="Delete this line: what it said is asked again.",
                    )

    def _take(self, row: Mapping[str, Any]) -> None:
        known = self._known.setdefault(row["judge"], {})
        for passage, judgement in row["judgements"].items():
            known[f"{row['query_digest']}-{passage}"] = judgement
        self.spent = self.spent.plus(row)


def _is_broken_off(line: bytes) -> bool:
    """Whether it is the beginning of a line that was being written; later ones may follow it."""
    return line.startswith(b'{"judge": ') and not line.rstrip().endswith(b"}")


def _parsed(line: bytes) -> dict[str, Any] | None:
    """A line's object, None when it is not as ``add`` writes it."""
    try:
        row = json.loads(line)
        good = (
            all(isinstance(row[name], str) for name in ("judge", "model", "query_digest"))
            and all(isinstance(row[name], int) for name in ("requests", "prompt_tokens", "completion_tokens"))
            and all(value in (True, False, NO_ANSWER, REFUSED) for value in row["judgements"].values())
            and (row["cost"] is None or isinstance(row["cost"], int | float))
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    return row if good else None
