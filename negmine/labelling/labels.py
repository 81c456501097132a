"""``labels.jsonl``: what people, and judges, said of pairs of a query and a passage.

One JSON object a line: ``query_digest`` and ``passage_digest`` (32 hexadecimal digits of the texts), ``relevant``
(true, false or "unsure") and ``source`` ("person", or the name of a judge). Labels belong to texts: they outlive
the run that they were given in. Any tool may append lines.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Container, Sequence
from dataclasses import dataclass
from pathlib import Path

from negmine.errors import InputError, Where
from negmine.readers.bad_rows import BadRows
from negmine.readers.lines import text_lines

LABELS = "labels.jsonl"
PERSON = "person"
UNSURE = "unsure"
_DIGEST = re.compile(r"[0-9a-f]{32}")
_HINT = "Mend or delete this line; the others are read when it is right."


class Strict(BadRows):
    """Rows that hold judgements are never left out."""

    def __init__(self, hint: str) -> None:
        super().__init__()
        self._hint = hint

    def reject(self, where: Where, reason: str) -> None:
        """Raises InputError."""
        raise InputError(reason, where=where, hint=self._hint)


@dataclass(frozen=True)
class Label:
    """What ``source`` said of a pair: ``relevant`` is None for unsure."""

    relevant: bool | None
    source: str


def read_labels(path: Path, wanted: Container[str]) -> dict[str, Label]:
    """The label that counts of each ``wanted`` pair that has one; pairs are ``query_digest-passage_digest``.

    A person's label beats that of any other source, else the later one counts. There need not be a file.
    Raises InputError for a line that is not as it should be.
    """
    found: dict[str, Label] = {}
    if not path.is_file() or not path.stat().st_size:
        return found
    for number, text in text_lines(path, Strict(_HINT)):
        pair, label = _parsed(text, Where(str(path), number))
        if pair in wanted and (label.source == PERSON or found.get(pair, label).source != PERSON):
            found[pair] = label
    return found


def append_labels(path: Path, labels: Sequence[tuple[str, Label]]) -> None:
    """Add labels of pairs at the end of the file, which is on disk when this returns."""
    lines = []
    for pair, label in labels:
        query, _, passage = pair.partition("-")
        relevant = UNSURE if label.relevant is None else label.relevant
        row = {"query_digest": query, "passage_digest": passage, "relevant": relevant, "source": label.source}
        lines.append(json.dumps(row, ensure_ascii=False) + "\n")
    with path.open("a+b") as file:
        if file.tell():
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":  # another tool left its last line open
                lines.insert(0, "\n")
        file.write("".join(lines).encode())
        file.flush()
        os.fsync(file.fileno())


def is_pair(text: str) -> bool:
    """Whether this is the name of a pair."""
    query, _, passage = text.partition("-")
    return bool(_DIGEST.fullmatch(query) and _DIGEST.fullmatch(passage))


def _parsed(text: str, where: Where) -> tuple[str, Label]:
    try:
        row = json.loads(text)
    except ValueError as error:
        raise InputError(f"this line is no JSON ({error})", where=where, hint=_HINT) from error
    names = ("query_digest", "passage_digest", "relevant", "source")
    missing = [name for name in names if not isinstance(row, dict) or name not in row]
    if missing:
        raise InputError(f"this label has no '{missing[0]}'", where=where, hint=_HINT)
    pair = f"{row['query_digest']}-{row['passage_digest']}"
    if not is_pair(pair):
        raise InputError("a digest of this label is not 32 hexadecimal digits", where=where, hint=_HINT)
    relevant = row["relevant"]
    if relevant is not True and relevant is not False and relevant != UNSURE:
        raise InputError(f'relevant is {json.dumps(relevant)}, not true, false or "unsure"', where=where, hint=_HINT)
    if not isinstance(row["source"], str) or not row["source"]:
        raise InputError("the source of this label is no text", where=where, hint=_HINT)
    return pair, Label(None if relevant == UNSURE else bool(relevant), row["source"])
