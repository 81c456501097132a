"""The comparison as one HTML page, which needs nothing beside it."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from negmine.comparing.comparison import Comparison
from negmine.comparing.reading import worded
from negmine.store.files import replacing

_TEXT = 400
"""Characters of a text that are shown."""
_HIGHEST = 6


def render(found: Comparison) -> str:
    """The page as text. Everything from the runs is escaped."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("negmine.comparing", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters: dict[str, Any] = {"count": _count, "number": _number, "value": _value, "short": _short, "worded": worded}
    environment.filters |= filters
    return environment.get_template("page.html").render(found=found, bars=_bars(found.churn.histogram))


def write_page(found: Comparison, path: Path) -> None:
    """Publish the page as a file."""
    with replacing(path) as temporary:
        temporary.write_text(render(found), "utf-8")


def _bars(histogram: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Label, number of queries and height (rem) of each bar, from the least alike to the unchanged."""
    edges = histogram["edges"]
    labels = [f"{low:.1f} to {high:.1f}" for low, high in itertools.pairwise(edges)]
    counts = [*histogram["counts"], histogram["unchanged"]]
    most = max(*counts, 1)
    return [
        {"label": label, "count": count, "height": round(_HIGHEST * count / most, 2)}
        for label, count in zip([*labels, "1"], counts, strict=True)
    ]


def _count(value: int) -> str:
    return f"{value:,}"


def _number(value: float | None, digits: int = 3) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def _value(value: Any) -> str:
    if value is None:
        return "–"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _short(text: str) -> str:
    return text if len(text) <= _TEXT else text[: _TEXT - 1] + "…"
