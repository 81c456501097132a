"""Fields of a row as the texts and ids they should be."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from negmine.errors import InputError, nearest
from negmine.readers.rows import RowFile

_SHOWN = 60  # characters of a column's name in a message


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
    """An id: a text that is not blank, or an integer as its decimal text."""
    value = row.get(column)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, float):
        raise BadFieldError(f"'{column}' is the number {value!r}: an id must be a text or a whole number below 2^64")
    text = text_field(row, column)
    if not text or text.isspace():
        raise BadFieldError(f"'{column}' is empty")
    return text


def list_field(row: Mapping[str, Any], column: str, one: str) -> list[Any]:
    """The values of a field that may be a list; a bare text is one value, never its letters."""
    value = row.get(column)
    if value is None or value == "":
        return []
    if value == []:
        raise BadFieldError(f"'{column}' is an empty list: it needs at least one {one}")
    return value if isinstance(value, list) else [value]


def optional_id_field(row: Mapping[str, Any], column: str) -> str | None:
    """An id, None when the field is absent or null."""
    return None if row.get(column) is None else id_field(row, column)


def query_field(row: Mapping[str, Any], column: str) -> str:
    """The text of a query, which is not blank."""
    text = text_field(row, column)
    if not text or text.isspace():
        raise BadFieldError(f"'{column}' is blank")
    return text


def values_field(row: Mapping[str, Any], column: str) -> list[Any]:
    """The values of a field that may be a list; none when it is absent, null or an empty text or list."""
    value = row.get(column)
    if value is None or value == "":
        return []
    return value if isinstance(value, list) else [value]


def passages_field(
    row: Mapping[str, Any], column: str, id_names: Sequence[str], *, blank: bool = False
) -> Iterator[tuple[str, str | None, str]]:
    """Yield (text, id or None, title) of a list of objects; a title may be null.

    An object without text and title is bad, unless it may be ``blank``.
    """
    for place, value in enumerate(values_field(row, column), 1):
        if not isinstance(value, dict):
            raise BadFieldError(
                f"'{column}' has {_kind(value)} in place {place}, and an object with a 'text' is needed"
            )
        try:
            text, title = text_field(value, "text"), text_field(value, "title")
            found = (optional_id_field(value, name) for name in id_names)
            doc_id = next((each for each in found if each is not None), None)
        except BadFieldError as error:
            raise BadFieldError(f"{error} in place {place} of '{column}'") from error
        if not blank and not (text.strip() or title.strip()):
            raise BadFieldError(f"'{column}' is blank in place {place}")
        yield text, doc_id, title


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


def require_column(file: RowFile, column: str, key: str | None, aliases: Sequence[str] = ()) -> None:
    """Raise InputError when ``column`` is not among the columns of the file; config ``key`` names it, if any does."""
    if column not in file.names:
        raise missing_column(file, f"there is no column '{column}'", column, key, aliases)


def missing_column(file: RowFile, cause: str, column: str, key: str | None, aliases: Sequence[str] = ()) -> InputError:
    """The error for a column that is not there, with the one that was likely meant."""
    likely = next((alias for alias in aliases if alias in file.names), None)
    close = nearest(column, file.names)
    if key is None:
        hint = f"{close} Rename the column, or set data.format to the layout of the file.".strip()
    elif likely is not None:
        hint = f"Set {key}: {likely}"
    elif close:
        hint = f"{close} Set {key}, or rename the column."
    else:
        hint = f"Set {key} to the column's name."
    shown = ", ".join(f"'{name[:_SHOWN]}'" for name in file.names[:12])
    return InputError(f"{cause} (found: {shown})", where=file.start, hint=hint)


def _kind(value: Any) -> str:
    names: dict[type, str] = {
        bool: "true or false",
        str: "a text",
        int: "a number",
        float: "a number",
        list: "a list",
        dict: "an object",
    }
    return names.get(type(value), type(value).__name__)
