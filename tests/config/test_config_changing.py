"""Other values in a config: as an object, and in the text of its file."""

from __future__ import annotations

from pathlib import Path

import pytest

from negmine.config import config_from_dict, load_config
from negmine.config.changing import OUT, with_values, written_with
from negmine.errors import ConfigError

TEXT = """\
# head
work_dir: runs/x   # where

data:
  pairs: "p.jsonl"  # the pairs
embed: {model: abc, revision: main}   # the model
filter:
  # a note
  num_negatives: 5             # per query
  risk: {max: 0.1}
export:                        # one
  - {format: triplet, file: train.jsonl}
  # - {format: n-tuple, file: x.jsonl}
# split: {dev: 0.05}
"""


def test_text_keeps_comments_order_and_quotes() -> None:
    """Only the lines of changed values change."""
    found = written_with(TEXT, {"work_dir": "runs/y", "filter.num_negatives": 3, "export.0.file": "b.jsonl"})
    changed = [(a, b) for a, b in zip(TEXT.splitlines(), found.splitlines(), strict=True) if a != b]
    assert changed == [
        ("work_dir: runs/x   # where", "work_dir: runs/y   # where"),
        ("  num_negatives: 5             # per query", "  num_negatives: 3             # per query"),
        ("  - {format: triplet, file: train.jsonl}", "  - {format: triplet, file: b.jsonl}"),
    ]


def test_text_without_changes_stays_as_it_is() -> None:
    """No value, no change."""
    assert written_with(TEXT, {}) == TEXT


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"embed.revision": OUT}, {"embed": {"model": "abc"}}),
        ({"filter.risk": None}, {"filter": {"num_negatives": 5, "risk": None}}),
        ({"filter.risk": {"max": 0.5}}, {"filter": {"num_negatives": 5, "risk": {"max": 0.5}}}),
        ({"mine.k": 7, "evaluate.seeds": 2}, {"mine": {"k": 7}, "evaluate": {"seeds": 2}}),
        ({"publish": OUT, "rerank.model": OUT}, {}),
    ],
)  # fmt: skip
def test_text_reads_as_the_values_say(values: dict[str, object], expected: dict[str, object], tmp_path: Path) -> None:
    """Keys are taken out, set to null, and come into being with their sections."""
    (tmp_path / "a.yaml").write_text(TEXT)
    (tmp_path / "b.yaml").write_text(written_with(TEXT, values))
    before, after = (load_config(tmp_path / name).model_dump(exclude_unset=True) for name in ("a.yaml", "b.yaml"))
    assert after.keys() - before.keys() == expected.keys() - before.keys()
    for key, value in expected.items():
        assert after[key] == value
    for key in before.keys() - expected.keys():
        assert after[key] == before[key]


def test_object_with_other_values_is_checked_as_a_whole() -> None:
    """A section that is null comes into being with its defaults; what fits no config is named."""
    config = config_from_dict({"data": {"pairs": "p"}, "embed": {"model": "m"}, "mine": {"k": 10}})
    assert with_values(config, {"filter.risk.max": 0.2}).filter.risk == config.filter.risk.model_copy(  # type: ignore[union-attr]
        update={"max": 0.2}
    )
    assert with_values(config, {"filter.risk": None}).filter.risk is None
    assert with_values(config, {"filter.num_negatives": 4}).mine.k == 10
    with pytest.raises(ConfigError, match="cannot come from 10 candidates"):
        with_values(config, {"filter.num_negatives": 40})
