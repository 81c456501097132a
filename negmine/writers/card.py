"""The dataset card: a README that a hub renders and a person can check a training set by."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from glob import escape
from typing import Any

import pyarrow as pa

from negmine.writers.histogram import FIGURE, Histogram, as_table

# Upper bounds of a hub's size categories, in rows.
_SIZES = (
    (1_000, "n<1K"),
    (10_000, "1K<n<10K"),
    (100_000, "10K<n<100K"),
    (1_000_000, "100K<n<1M"),
    (10_000_000, "1M<n<10M"),
)
_KINDS = {"jsonl": "json", "parquet": "parquet", "tsv": "csv"}
"""What reads a table of a hub, by the ending of its files."""
_TEXT_SHOWN, _LIST_SHOWN = 300, 5
_NO_PLOT = "As a picture this needs matplotlib: `pip install 'negmine[plot]'`, then export again."


@dataclass(frozen=True)
class CardFile:
    """One table of an export, or a file of another kind: its shards, rows and bytes.

    ``schema`` names the columns as they are read, None when it is no table (a hub has no word for a column of maps:
    what reads the file finds its columns then). ``member`` says which of the
    export's files it is when it has several, and ``export`` which export it belongs to (None: one of its own).
    ``left_out`` counts rows that the format has no place for.
    """

    format: str
    scores: bool
    names: tuple[str, ...]
    rows: int
    bytes: int
    schema: pa.Schema | None = None
    split: str = "train"
    member: str = ""
    export: int | None = None
    left_out: int = 0


@dataclass(frozen=True)
class Held:
    """Queries held out: the share wished for, how many of all, and the groups that had to stay together."""

    wished: float
    queries: int
    of: int
    components: int
    largest: int


@dataclass(frozen=True)
class Card:
    """What the card tells. ``reasons`` counts the candidates by what became of them; ``figure`` says that the
    picture of the scores lies beside the card."""

    files: tuple[CardFile, ...]
    counts: Mapping[str, int]
    negatives: int
    model: str
    settings: Mapping[str, Any]
    example: Mapping[str, Any] | None
    recipe: tuple[str, ...] = ()
    reasons: Mapping[str, int] = field(default_factory=dict)
    held: Held | None = None
    scores: Histogram | None = None
    figure: bool = False


def dataset_card(card: Card) -> str:
    """Markdown with YAML front matter; values are JSON, which YAML reads."""
    lines = [*_front_matter(card.files), "", "# Training set with hard negatives", ""]
    lines.append(
        f"{card.negatives:,} hard negatives for {card.counts['distinct_queries']:,} queries with "
        f"{card.counts['positives']:,} positives, mined from {card.counts['passages']:,} passages"
        f" with {card.model} by negmine."
    )
    lines += ["", *_files(card.files)]
    lines += ["", "`provenance.parquet` names, for every row, the query, documents, retriever, raw ranks and scores."]
    if card.held is not None:
        lines += ["", *_held(card.held)]
    if card.recipe:
        lines += ["", "## How it was made", "", *(f"{i}. {step}" for i, step in enumerate(card.recipe, start=1))]
    if card.reasons:
        lines += ["", "| candidates | what became of them |", "|---:|---|"]
        lines += [f"| {count:,} | `{reason}` |" for reason, count in card.reasons.items()]
    if card.scores is not None and card.scores.total:
        lines += ["", "## Scores", ""]
        lines += [f"![Scores of positives, negatives and dropped candidates]({FIGURE})"] if card.figure else []
        lines += [] if card.figure else [*as_table(card.scores), "", _NO_PLOT]
    lines += ["", "## Settings", "", "| key | value |", "|---|---|"]
    lines += [f"| `{key}` | {_cell(json.dumps(value, ensure_ascii=False))} |" for key, value in card.settings.items()]
    if card.example is not None:
        shown = json.dumps(_shortened(card.example), ensure_ascii=False, indent=2)
        fence = "`" * max(3, _longest_run(shown) + 1)
        lines += ["", "## Example", "", f"{fence}json", shown, fence]
    return "\n".join(lines) + "\n"


def _front_matter(files: tuple[CardFile, ...]) -> list[str]:
    rows = max(file.rows for file in files)
    size = next((name for bound, name in _SIZES if rows < bound), "n>10M")
    lines = ["---", "task_categories:", "- sentence-similarity", "- text-retrieval", "tags:", "- hard-negatives"]
    lines += ["- sentence-transformers", "size_categories:", f"- {size}"]
    configs = loadable(files)
    if configs:
        lines.append("configs:")
    for number, (name, tables) in enumerate(configs.items()):
        lines.append(f"- config_name: {json.dumps(name)}")
        lines += ["  default: true"] if number == 0 else []
        lines.append("  data_files:")
        for table in tables:
            paths = json.dumps([escape(name) for name in table.names], ensure_ascii=False)
            lines += [f"  - split: {table.split}", f"    path: {paths}"]
    lines += ["dataset_info:"] if configs else []
    for name, tables in configs.items():
        lines.append(f"- config_name: {json.dumps(name)}")
        schema = tables[0].schema
        if schema is not None and not any(pa.types.is_map(column.type) for column in schema):
            lines += ["  features:", *(f"  - {json.dumps(_feature(column))}" for column in schema)]
        lines.append("  splits:")
        for table in tables:
            lines.append(
                f"  - {json.dumps({'name': table.split, 'num_bytes': table.bytes, 'num_examples': table.rows})}"
            )
        whole = sum(table.bytes for table in tables)
        lines += [f"  download_size: {whole}", f"  dataset_size: {whole}"]
    return [*lines, "---"]


def loadable(files: tuple[CardFile, ...]) -> dict[str, list[CardFile]]:
    """The tables that ``datasets`` loads from this folder by a name, each with its splits.

    One folder is read by one reader, which the first of its configs decides: JSON Lines or Parquet. Tables for
    another reader are left to be loaded by their file names, and what has no rows is not loaded at all.
    """
    reader: str | None = None
    found: dict[str, list[CardFile]] = {}
    for file, name in zip(files, config_names(files), strict=True):
        kind = _kind(file) if file.rows else None
        reader = reader or kind
        if kind is not None and kind == reader:
            found.setdefault(name, []).append(file)
    return found


def config_names(files: tuple[CardFile, ...]) -> list[str]:
    """A name per file: the format of its export, numbered when a format comes twice, and its member.

    Splits of a table have the same name.
    """
    bases: dict[object, str] = {}
    names: list[str] = []
    for number, file in enumerate(files):
        export: object = ("own", number) if file.export is None else file.export
        if export not in bases:
            base, counter = file.format, 2
            while base in bases.values():
                base, counter = f"{file.format}-{counter}", counter + 1
            bases[export] = base
        names.append(f"{bases[export]}-{file.member}" if file.member else bases[export])
    return names


def _kind(file: CardFile) -> str | None:
    """What reads a file: ``json``, ``parquet`` or ``csv``; None for what is no table, and for a name with a colon,
    which ``datasets`` takes for a URL."""
    if ":" in file.names[0]:
        return None
    name = file.names[0].removesuffix(".gz").removesuffix(".zst")
    return _KINDS.get(name.rpartition(".")[2])


def _feature(column: pa.Field) -> dict[str, Any]:
    """A column as a hub describes it."""
    return {"name": column.name, **_described(column.type)}


def _described(kind: pa.DataType) -> dict[str, Any]:
    if pa.types.is_struct(kind):
        return {"struct": [_feature(kind.field(i)) for i in range(kind.num_fields)]}
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        inner = _described(kind.value_type)
        return {"list": inner.get("dtype") or inner.get("struct") or inner}
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return {"dtype": "string"}
    names = {"double": "float64", "float": "float32", "halffloat": "float16"}
    return {"dtype": names.get(str(kind), str(kind))}


def _files(files: tuple[CardFile, ...]) -> list[str]:
    """The table of files, and how to load them."""
    split, left_out = any(file.split != "train" for file in files), any(file.left_out for file in files)
    configs = loadable(files)
    parted = {(file.export, file.member) for file in files if file.split != "train"}
    header = ["file", "format", *(["split"] if split else []), "rows", "bytes", *(["left out"] if left_out else [])]
    lines = [f"| {' | '.join(header)} |", "|---" * len(header) + "|"]
    for file in files:
        shown = f"`{file.names[0]}`" if len(file.names) == 1 else f"`{file.names[0]}` ... `{file.names[-1]}`"
        layout = f"{file.format} {file.member}".rstrip() + (" with scores" if file.scores and not file.member else "")
        side = file.split if (file.export, file.member) in parted else "both"
        cells = [_cell(shown), layout, *([side] if split else []), f"{file.rows:,}", f"{file.bytes:,}"]
        lines.append(f"| {' | '.join(cells + ([f'{file.left_out:,}'] if left_out else []))} |")
    if left_out:
        lines += ["", "Left out are rows that the format has no place for: those with too few negatives."]
    if configs:
        lines += ["", "```python", "from datasets import load_dataset", ""]
        lines += ['folder = "."  # this folder, or its name on a hub']
        lines += [f'load_dataset(folder, "{name}", split="{tables[0].split}")' for name, tables in configs.items()]
        lines.append("```")
    return lines


def _held(held: Held) -> list[str]:
    return [
        f"{held.queries:,} of {held.of:,} queries ({100 * held.queries / held.of:.1f}%; {100 * held.wished:g}% were "
        "asked for) are held out as `dev`. Queries that share a positive or a text, directly or through others, are "
        f"on one side: they form {held.components:,} groups, the largest of {held.largest:,} queries.",
    ]


def _shortened(value: Any) -> Any:
    """An example that fits on a page: the first texts of a list, the beginning of a long text."""
    if isinstance(value, str):
        return value if len(value) <= _TEXT_SHOWN else f"{value[:_TEXT_SHOWN]} [...]"
    if isinstance(value, list):
        more = len(value) - _LIST_SHOWN
        return [_shortened(entry) for entry in value[:_LIST_SHOWN]] + ([f"[{more} more]"] if more > 0 else [])
    return {key: _shortened(entry) for key, entry in value.items()} if isinstance(value, Mapping) else value


def _cell(text: str) -> str:
    """Text that does not end the cell of a table."""
    return text.replace("|", "\\|")


def _longest_run(text: str) -> int:
    longest = run = 0
    for character in text:
        run = run + 1 if character == "`" else 0
        longest = max(longest, run)
    return longest
