"""The dataset card: a README that a hub renders and a person can check a training set by."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# Upper bounds of a hub's size categories, in rows.
_SIZES = (
    (1_000, "n<1K"),
    (10_000, "1K<n<10K"),
    (100_000, "10K<n<100K"),
    (1_000_000, "100K<n<1M"),
    (10_000_000, "1M<n<10M"),
)


@dataclass(frozen=True)
class CardFile:
    """One export: its format, whether it has scores, its shards, rows and bytes."""

    format: str
    scores: bool
    names: tuple[str, ...]
    rows: int
    bytes: int


@dataclass(frozen=True)
class Card:
    """What the card tells."""

    files: tuple[CardFile, ...]
    counts: Mapping[str, int]
    negatives: int
    model: str
    settings: Mapping[str, Any]
    example: Mapping[str, Any] | None


def dataset_card(card: Card) -> str:
    """Markdown with YAML front matter; values are JSON, which YAML 1.2 reads."""
    rows = max(file.rows for file in card.files)
    size = next((name for bound, name in _SIZES if rows < bound), "n>10M")
    lines = ["---", "task_categories:", "- sentence-similarity", "- text-retrieval", "tags:", "- hard-negatives"]
    lines += ["- sentence-transformers", "size_categories:", f"- {size}", "configs:"]
    for number, (file, name) in enumerate(zip(card.files, config_names(card.files), strict=True)):
        lines += [f"- config_name: {json.dumps(name)}"]
        lines += ["  default: true"] if number == 0 else []
        lines += ["  data_files:", "  - split: train", f"    path: {json.dumps(list(file.names))}"]
    lines += ["---", "", "# Training set with hard negatives", ""]
    lines += [
        f"{card.negatives:,} hard negatives for {card.counts['distinct_queries']:,} queries with "
        f"{card.counts['positives']:,} positives, mined from {card.counts['passages']:,} passages"
        f" with {card.model} by negmine.",
        "",
        "| file | format | rows | bytes |",
        "|---|---|---|---|",
    ]
    for file in card.files:
        shown = file.names[0] if len(file.names) == 1 else f"{file.names[0]} ... {file.names[-1]}"
        layout = f"{file.format} with scores" if file.scores else file.format
        lines.append(f"| `{shown}` | {layout} | {file.rows:,} | {file.bytes:,} |")
    lines += ["", "`provenance.parquet` names, for every row, the query, documents, retriever, raw ranks and scores."]
    lines += ["", "## Settings", "", "| key | value |", "|---|---|"]
    lines += [f"| `{key}` | {json.dumps(value)} |" for key, value in card.settings.items()]
    if card.example is not None:
        shown = json.dumps(card.example, ensure_ascii=False, indent=2)
        fence = "`" * max(3, _longest_run(shown) + 1)
        lines += ["", "## Example", "", f"{fence}json", shown, fence]
    return "\n".join(lines) + "\n"


def config_names(files: tuple[CardFile, ...]) -> list[str]:
    """A distinct name per export: its format, numbered when a format comes twice."""
    names: list[str] = []
    for file in files:
        name, number = file.format, 2
        while name in names:
            name, number = f"{file.format}-{number}", number + 1
        names.append(name)
    return names


def _longest_run(text: str) -> int:
    longest = run = 0
    for character in text:
        run = run + 1 if character == "`" else 0
        longest = max(longest, run)
    return longest
