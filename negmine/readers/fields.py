"""Fields of a row as the texts and ids they should be."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from negmine.errors import InputError, nearest
from negmine.readers.rows import RowFile


class BadFieldError(ValueError):
    """A field cannot be used; the message says why."""


def text_field(row: Mapping[str, Any], column: str) -> str:
    """A text; '' when the field is absent or null."""
    value = row.get(column)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise BadFieldError(f"'{column}' is {_kind(value)} and not a text")
    if "\x00" in value:
        raise BadFieldError(f"'{column}' contains a NUL byte at character {value.index(chr(0)) + 1}")
    return value


def id_field(row: Mapping[str, Any], column: str) -> str:
    """An id: a text that is not empty, or an integer as its decimal text."""
    value = row.get(column)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if value is None or value == "":
        raise BadFieldError(f"'{column}' is empty")
    return text_field(row, column)


def list_field(row: Mapping[str, Any], column: str, one: str) -> list[Any]:
    """The values of a field that may be a list; a bare text is one value, never its letters."""
    value = row.get(column)
    if value is None:
        return []
    values = value if isinstance(value, list) else [value]
    if isinstance(value, list) and not value:
        raise BadFieldError(f"'{column}' is an empty list: it needs at least one {one}")
    return values


def metadata_field(row: Mapping[str, Any], column: str) -> str | None:
    """A metadata value as text, None when it is null."""
    value = row.get(column)
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    raise BadFieldError(f"'{column}' is {_kind(value)}, and metadata must be a text or a number")


def require_column(
    file: RowFile, present: Iterable[str], column: str, key: str, aliases: Sequence[str] = ()
) -> None:
    """Raise InputError when ``column`` is not among the columns of the file's first row."""
    names = list(present)
    if column in names:
        return
    likely = next((alias for alias in aliases if alias in names), None)
    close = nearest(column, names)
    if likely is not None:
        hint = f"Set {key}: {likely}"
    elif close:
        hint = f"{close} Set {key}, or rename the column."
    else:
        hint = f"Set {key} to the column's name."
    shown = ", ".join(f"'{name}'" for name in names[:12])
    raise InputError(f"there is no column '{column}' (found: {shown})", where=file.where(1), hint=hint)


def _kind(value: Any) -> str:
    names: dict[type, str] = {bool: "true or false", int: "a number", float: "a number", list: "a list", dict: "an object"}
    return names.get(type(value), type(value).__name__)
