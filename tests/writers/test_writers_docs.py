"""The examples in docs/exports.md that train: they are not run here, as they need models and trainers."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from negmine.config.exporting import LAYOUTS
from negmine.config.models import ExportConfig

TEXT = (Path(__file__).parents[2] / "docs" / "exports.md").read_text("utf-8")
SECTIONS = dict(
    re.findall(r"^\*\*([a-z-]+)\*\*:(.*?)(?=^\*\*[a-z-]+\*\*:|^## (?:Held|The dataset)|\Z)", TEXT, re.M | re.S)
)


@pytest.mark.parametrize("name", sorted(LAYOUTS))
def test_every_format_has_an_example_of_training(name: str) -> None:
    """A few lines of Python, which parse, or of shell, with an example row before them."""
    blocks = re.findall(r"^```(\w+)\n(.*?)^```$", SECTIONS[name], re.M | re.S)
    assert blocks[0][0] in ("json", "text")
    assert blocks[1][0] in ("py", "sh")
    if blocks[1][0] == "py":
        ast.parse(blocks[1][1])


def test_every_key_of_an_export_is_told() -> None:
    assert [key for key in ExportConfig.model_fields if f"`{key}`" not in TEXT and f"{key}:" not in TEXT] == []


def test_the_table_of_keys_says_which_formats_take_them() -> None:
    """Where it lists formats, these are the ones that take the key."""
    takes = {
        "negatives_per_row": {name for name, layout in LAYOUTS.items() if layout.negatives is not None},
        "one_positive_per_row": {name for name, layout in LAYOUTS.items() if layout.one_positive is not None},
    }
    for key, formats in takes.items():
        row = next(line for line in TEXT.splitlines() if line.startswith(f"| `{key}` |"))
        assert set(re.findall(r"`([a-z-]+)`", row.split("|")[3])) - {"true", "false"} == formats
