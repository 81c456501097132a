"""The config's JSON Schema, for editors, and its reference in Markdown, for docs/config.md."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from negmine.config.models import Config


def json_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of a config file.

    It knows keys, types, bounds and choices; rules between keys are checked on loading.
    """
    schema = Config.model_json_schema()
    _tidy(schema)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": "negmine config",
    }


def reference_markdown() -> str:
    """One table per section: key, type, default, meaning."""
    schema = json_schema()
    tables = [_table("Top level", "", _scalars(schema, schema))]
    for name, node in schema["properties"].items():
        if (section := _section(node, schema)) is not None:
            meaning = node.get("description", section["description"])
            title = f"`{name}`: {meaning.rstrip('.')}"
            tables.append(_table(title, f"{name}.", list(_rows(section, schema, f"{name}."))))
        elif "items" in node:
            entry = _section(node["items"], schema) or {}
            title = f"`{name}`: a list; {node['description'].rstrip('.').lower()}"
            tables.append(_table(title, f"{name}.N.", list(_rows(entry, schema, f"{name}.N."))))
    return "\n".join(tables)


Row = tuple[str, str, str, str]


def _scalars(section: dict[str, Any], schema: dict[str, Any]) -> list[Row]:
    return [
        row
        for name, node in section["properties"].items()
        if _section(node, schema) is None and "items" not in node
        for row in [_row(name, node, section)]
    ]


def _rows(section: dict[str, Any], schema: dict[str, Any], prefix: str) -> Iterator[Row]:
    for name, node in section["properties"].items():
        inner = _section(node, schema)
        entry = _section(node.get("items", {}), schema)
        if inner is None:
            yield _row(prefix + name, node, section)
            if entry is not None:
                yield from _rows(entry, schema, f"{prefix}{name}.N.")
        else:
            if "default" in node:
                default = _section_default(node["default"], inner)
                yield prefix + name, "section or null", f"`{default}`", node["description"]
            yield from _rows(inner, schema, f"{prefix}{name}.")


def _section_default(values: dict[str, Any] | None, section: dict[str, Any]) -> str:
    """A section as one would write it: without what is null, or what it would have of itself."""
    if values is None:
        return "null"
    given = {key: value for key, value in values.items() if value is not None}
    own = {key: value for key, value in given.items() if value != section["properties"][key].get("default")}
    return "{" + ", ".join(f"{key}: {_yaml(value)}" for key, value in (own or given).items()) + "}"


def _row(key: str, node: dict[str, Any], section: dict[str, Any]) -> Row:
    required = key.rpartition(".")[2] in section.get("required", ())
    default = "required" if required else f"`{_yaml(node.get('default'))}`"
    return key, _type(node), default, node["description"]


def _table(title: str, prefix: str, rows: list[Row]) -> str:
    lines = [f"## {title}", "", "| key | type | default | meaning |", "|---|---|---|---|"]
    for key, kind, default, meaning in rows:
        cells = (f"`{key}`", kind, default, meaning)
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join([*lines, ""])


def _section(node: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any] | None:
    """The schema of the section a node refers to, or None for a plain value."""
    for option in (node, *node.get("anyOf", ()), *node.get("oneOf", ())):
        if "$ref" in option:
            section: dict[str, Any] = schema["$defs"][option["$ref"].rpartition("/")[2]]
            return section
    return None


def _type(node: dict[str, Any]) -> str:
    """What may stand there, in words."""
    if "anyOf" in node:
        return " or ".join(_type(option) for option in node["anyOf"])
    if "const" in node:
        return f"`{node['const']}`"
    if "$ref" in node:
        return "section"
    if "enum" in node:
        return ", ".join(f"`{choice}`" for choice in node["enum"])
    kind = node.get("type")
    names = {"integer": "whole number", "number": "number", "boolean": "true or false", "null": "null"}
    if kind in ("array", "object"):
        choices = node.get("items", {}).get("oneOf")
        listed = f"list of {' or '.join(map(_type, choices))}" if choices else "list of texts"
        of = node.get("additionalProperties")
        named = f"{_type(of)} by name" if isinstance(of, dict) else "values by name"
        return named if kind == "object" else listed
    bounds = (("minimum", "≥"), ("exclusiveMinimum", ">"), ("maximum", "≤"), ("exclusiveMaximum", "<"))
    limits = [f"{sign} {node[key]:g}" for key, sign in bounds if key in node and node[key] < 10**6]
    return " ".join([names.get(str(kind), "text"), ", ".join(limits)]).strip()


def _yaml(value: Any) -> str:
    if isinstance(value, str):
        return value
    return f"{value:g}" if isinstance(value, float) else json.dumps(value)


def _tidy(node: Any) -> None:
    """Drop titles that only repeat the key; give every choice as an example, for editors."""
    if isinstance(node, list):
        for item in node:
            _tidy(item)
    elif isinstance(node, dict):
        for prop in node.get("properties", {}).values():
            prop.pop("title", None)
        if isinstance(node.get("enum"), list):
            node["examples"] = list(node["enum"])
        for item in node.values():
            _tidy(item)
