"""The JSON Schema for editors and the Markdown reference."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from ruamel.yaml import YAML

from negmine.config import all_keys, json_schema, reference_markdown

CONFIGS = Path(__file__).parents[2] / "configs"
VALIDATOR = Draft202012Validator(json_schema())


def parse(text: str) -> Any:
    return YAML(typ="safe", pure=True).load(text)


def test_the_schema_is_a_schema() -> None:
    """It is valid draft 2020-12 and says so."""
    Draft202012Validator.check_schema(json_schema())
    assert json_schema()["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert json_schema()["title"] == "negmine config"


@pytest.mark.parametrize("file", sorted(CONFIGS.glob("*.yaml")), ids=lambda file: file.name)
def test_the_schema_accepts_the_example(file: Path) -> None:
    """What loads is valid in an editor too."""
    VALIDATOR.validate(parse(file.read_text(encoding="utf-8")))


@pytest.mark.parametrize("memory", ["500MB", "800M", "2 GB", "1.5GiB", 64_000_000])
def test_the_schema_accepts_amounts_of_memory(memory: str | int) -> None:
    """With a unit or in bytes."""
    VALIDATOR.validate({"data": {}, "embed": {}, "memory_limit": memory})


@pytest.mark.parametrize(
    "wrong",
    [
        "sead: 1",
        "seed: -1",
        "seed: '1'",
        "seed: true",
        "seed: null",
        "threads: 0",
        "threads: all",
        "memory_limit: lots",
        "memory_limit: 5",
        "mine: {k: 0}",
        "mine: null",
        "filter: {relative_margin: 1}",
        "filter: {reference: median}",
        "filter: {risk: 0.1}",
        "filter: {risk: {max: 1}}",
        "filter: {risk: {limit: 0.1}}",
        "filter: {near_duplicates: {jaccard: 0}}",
        "filter: {sampling_strategy: best}",
        "filter: {random_share: 2}",
        "filter: {max_reuse: 0}",
        "index: {dense: ''}",
        "export: []",
        "export: [{format: triplet}]",
        "export: [{format: triplet, file: a.csv}]",
        "export: [{format: triplet, file: /a.jsonl}]",
        "export: [{format: triplet, file: .a.jsonl}]",
        "engine: {kind: spark}",
        "data: {metadata: doc}",
        "embed: {vectors: {corpus: c}}",
    ],
)
def test_the_schema_refuses(wrong: str) -> None:
    """An editor underlines what loading would refuse."""
    config = {"data": {"pairs": "p"}, "embed": {"model": "m"}, **parse(wrong)}
    assert not VALIDATOR.is_valid(config)


def test_the_schema_wants_data_and_embed() -> None:
    """Both required sections are required."""
    assert json_schema()["required"] == ["data", "embed"]


def properties(node: Any) -> list[dict[str, Any]]:
    """Every description of a key, anywhere in a schema."""
    if isinstance(node, list):
        return [found for item in node for found in properties(item)]
    if not isinstance(node, dict):
        return []
    own = list(node["properties"].values()) if isinstance(node.get("properties"), dict) else []
    return own + [found for item in node.values() for found in properties(item)]


def test_every_key_of_the_schema_is_described() -> None:
    """An editor can show what a key means."""
    schema = json_schema()
    for node in properties(schema):
        reference = node.get("$ref", "").rpartition("/")[2]
        assert node.get("description") or schema["$defs"][reference]["description"]


def test_choices_come_with_examples() -> None:
    """An editor can offer the choices of a key."""
    chosen = [node for node in properties(json_schema()) if "enum" in node]
    assert chosen
    assert all(node["examples"] == node["enum"] for node in chosen)


def test_defaults_are_shown_as_people_write_them() -> None:
    """The memory limit reads 2GB, not a number of bytes."""
    assert json_schema()["properties"]["memory_limit"]["default"] == "2GB"


def test_the_reference_has_a_row_for_every_key() -> None:
    """No key is left out of the README."""
    text = reference_markdown()
    assert [key for key in all_keys() if key != "export" and f"| `{key}` |" not in text] == []
    assert "| `export.N.file` | text | required |" in text


@pytest.mark.parametrize(
    "row",
    [
        "| `memory_limit` | text or whole number | `2GB` |",
        "| `threads` | `auto` or whole number ≥ 1 | `auto` |",
        "| `filter.relative_margin` | number ≥ 0, < 1 or null | `null` |",
        "| `filter.risk` | section or null | `{as_hard_as: 0.05, max: 0.5}` |",
        "| `filter.risk.as_hard_as` | number ≥ 0, < 1 or null | `null` |",
        "| `filter.risk.weights` | `auto`, `shipped` | `auto` |",
        "| `filter.near_duplicates` | section or null | `{jaccard: 0.8}` |",
        "| `filter.near_duplicates.jaccard` | number > 0, ≤ 1 or null | `0.8` |",
        "| `filter.random_share` | number ≥ 0, ≤ 1 | `0` |",
        "| `data.min_grade` | number | `1` |",
        "| `data.metadata` | list of texts | `[]` |",
        "| `embed.vectors` | section or null | `null` |",
        "| `embed.vectors.corpus` | text | required |",
        "| `embed.normalize` | true or false | `true` |",
    ],
)
def test_the_reference_says_type_and_default(row: str) -> None:
    """A row reads in words."""
    assert row in reference_markdown()


def test_the_reference_has_tables_that_render() -> None:
    """Every row has four cells; a bar inside a cell is escaped."""
    rows = [line for line in reference_markdown().split("\n") if line.startswith("|")]
    assert {line.replace("\\|", "").count("|") for line in rows} == {5}
