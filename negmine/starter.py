"""A starter config for a folder: what its data files are, told by their columns."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from negmine.config import ColumnsConfig
from negmine.config.embedding import is_local_model
from negmine.errors import InputError, NegmineError, UsageError
from negmine.readers.bad_rows import BadRows
from negmine.readers.lines import data_suffix
from negmine.readers.rows import SUFFIXES, RowFile
from negmine.store.files import replacing

CONFIG_NAME = "negmine.yaml"

# What people call a column; the first name that a file has is taken. Case does not count.
_ALIASES: Mapping[str, tuple[str, ...]] = {
    "query_id": ("query_id", "qid", "query-id", "question_id"),
    "anchor": ("anchor", "query", "question", "query_text", "sentence1", "prompt"),
    "positive": ("positive", "positives", "pos", "answer", "answers", "passage", "document", "response", "sentence2"),
    "positive_id": ("positive_id", "positive_ids", "pos_id", "pos_ids"),
    "doc_id": ("_id", "id", "docid", "doc_id", "document_id", "pid", "passage_id", "corpus_id"),
    "text": ("text", "contents", "content", "passage", "document", "body"),
    "title": ("title", "headline", "heading"),
}
_PAIR_ROLES = ("query_id", "anchor", "positive", "positive_id")
_CORPUS_ROLES = ("doc_id", "text", "title")
_ROWS_LOOKED_AT = 50


@dataclass(frozen=True)
class Starter:
    """The config that was written, what was recognised, and whether something must be filled in."""

    path: Path
    notes: tuple[str, ...]
    incomplete: bool


@dataclass(frozen=True)
class _Table:
    """A file that the readers can open: what it seems to hold and the columns of each role."""

    name: str
    kind: str
    columns: Mapping[str, str]
    others: tuple[str, ...] = ()

    def describe(self) -> str:
        roles = _PAIR_ROLES if self.kind == "pairs" else _CORPUS_ROLES
        return ", ".join(f"{role}: {self.columns[role]}" for role in roles if role in self.columns)


@dataclass
class _Findings:
    """What goes into the config's ``data`` section, as lines, and what to tell the user."""

    lines: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    columns: dict[str, str] = field(default_factory=dict)
    incomplete: bool = False

    def key(self, key: str, value: str, comment: str) -> None:
        self.lines.append(f"{f'{key}: {_yaml(value)}':<28} # {comment}")

    def open(self, key: str, values: Sequence[str], question: str) -> None:
        """Leave a key to the user, with the values it could have."""
        self.incomplete = True
        self.lines.append(f"# FILL IN: {question}")
        self.lines += [f"# {key}: {_yaml(value)}" for value in values]


def write_starter(folder: Path, *, model: str, force: bool) -> Starter:
    """Write ``negmine.yaml`` into ``folder``, filled in from the data files that lie there.

    Raises UsageError when the folder cannot be made, or holds a config already and not ``force``.
    """
    path = folder / CONFIG_NAME
    if path.exists() and not force:
        raise UsageError("this config is there already", where=str(path), hint="Replace it with: --force")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        found = _look_at(folder)
        with replacing(path) as temporary:
            temporary.write_text(_config_text(found, _model_value(model)), "utf-8")
    except OSError as error:
        raise UsageError(
            f"the config cannot be written ({error.strerror})",
            where=str(folder),
            hint="Give a folder that you can write to.",
        ) from error
    return Starter(path, tuple(found.notes), found.incomplete)


def _look_at(folder: Path) -> _Findings:
    found = _Findings()
    tables = list(_tables(folder, found.notes))
    splits = sorted(path.stem for path in (folder / "qrels").glob("*.tsv"))
    named = {table.name.split(".")[0]: table for table in tables}
    if splits and {"corpus", "queries"} <= set(named):
        _beir(found, splits, named["corpus"], named["queries"])
    else:
        _pairs_and_corpus(found, [t for t in tables if t.kind == "pairs"], [t for t in tables if t.kind == "corpus"])
    if all(line.startswith("#") for line in found.lines):
        found.lines.insert(0, "format: auto")  # a section needs a key
    differing = {role: name for role, name in found.columns.items() if name != _default(role)}
    if differing:
        found.lines.append("columns:")
        found.lines += [f"  {role}: {_yaml(name)}" for role, name in differing.items()]
    return found


def _beir(found: _Findings, splits: Sequence[str], corpus: _Table, queries: _Table) -> None:
    found.notes.append(f"BEIR layout: {corpus.name}, {queries.name} and qrels/ with {', '.join(splits)}")
    found.key("path", ".", f"a folder in BEIR layout: {corpus.name}, {queries.name}, qrels/")
    if "train" in splits or len(splits) == 1:
        split = "train" if "train" in splits else splits[0]
        found.key("split", split, f"reads qrels/{split}.tsv")
        if split != "train":
            found.notes.append(f"there is no qrels/train.tsv: data.split is '{split}', the only one there is")
    else:
        found.notes.append(f"no split is called train: choose data.split from {', '.join(splits)}")
        found.open("split", splits, "the judgements to mine for; uncomment one line")
    found.columns |= {role: corpus.columns[role] for role in _CORPUS_ROLES if role in corpus.columns}
    _offer_metadata(found, corpus)


def _pairs_and_corpus(found: _Findings, pairs: Sequence[_Table], corpora: Sequence[_Table]) -> None:
    if not pairs:
        found.notes.append("no file with queries and positives was found: fill in data.pairs")
        found.incomplete = True
        found.lines.append("# FILL IN: a file with one query (anchor) and its positive per row, as")
        found.lines.append('# {"anchor": "the query", "positive": "a passage that answers it"}')
        found.key("pairs", "pairs.jsonl", "or .json .csv .tsv .parquet, also .gz .zst")
    elif len(pairs) == 1:
        found.notes.append(f"pairs: {pairs[0].name} ({pairs[0].describe()})")
        found.key("pairs", pairs[0].name, "queries with their positives")
        found.columns |= pairs[0].columns
    else:
        _undecided(found, "pairs", pairs)
    if len(corpora) == 1:
        found.notes.append(f"corpus: {corpora[0].name} ({corpora[0].describe()})")
        found.key("corpus", corpora[0].name, "the passages that negatives come from")
        found.columns |= corpora[0].columns
        _offer_metadata(found, corpora[0])
    elif corpora:
        _undecided(found, "corpus", corpora)
    elif pairs:
        found.notes.append("no corpus file was found: the distinct positives are the corpus")
        found.lines.append("# corpus: corpus.jsonl        # without it the distinct positives are the corpus")


def _undecided(found: _Findings, key: str, tables: Sequence[_Table]) -> None:
    """Several files could be the one: list them, with the columns that each would need."""
    names = [table.name for table in tables]
    found.notes.append(f"{len(names)} files could be data.{key}: {', '.join(names)}; uncomment one in the config")
    found.open(key, names, f"which of these is the {key} file? Uncomment one line")
    agreed = dict(tables[0].columns)
    if all(table.columns == agreed for table in tables):
        found.columns |= agreed
    else:
        found.lines += [f"# columns of {table.name}: {table.describe()}" for table in tables]


def _offer_metadata(found: _Findings, corpus: _Table) -> None:
    if corpus.others:
        names = ", ".join(_yaml(name) for name in corpus.others[:6])
        found.lines.append(f"{f'# metadata: [{names}]':<28} # corpus columns to carry along")


def _tables(folder: Path, notes: list[str]) -> Iterator[_Table]:
    """The data files of a folder by name; what cannot be read is noted and left out."""
    for path in sorted(folder.iterdir()):
        if not path.is_file() or path.name.startswith(".") or data_suffix(path) not in SUFFIXES:
            continue
        try:
            names, rows = _first_rows(path)
        except NegmineError as error:
            notes.append(f"skipped {path.name}: {error.cause}")
            continue
        table = _table(path.name, names, rows)
        if table is None:
            notes.append(f"skipped {path.name}: neither pairs nor a corpus (columns: {', '.join(names[:8])})")
        else:
            yield table


def _first_rows(path: Path) -> tuple[list[str], list[dict[str, Any]]]:
    """Names of the columns, and some rows. Raises InputError when there are none."""
    bad = BadRows("skip")
    names = RowFile(path, (), bad).names
    first = next(RowFile(path, names, bad).batches(), [])
    rows = [row for _, row in first[:_ROWS_LOOKED_AT]]
    if not rows:
        raise InputError(str(bad.rejected[0]["reason"]) if bad.rejected else "this file has no rows")
    return names, rows


def _table(name: str, names: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> _Table | None:
    """What a file is: pairs have a query and a positive, a corpus has an id and a text."""
    columns = {role: match for role, aliases in _ALIASES.items() if (match := _match(names, aliases)) is not None}
    texts = columns.get("positive")
    if texts is not None and not all(_is_text(row.get(texts)) for row in rows):
        del columns["positive"]
    if "anchor" in columns and ("positive" in columns or "positive_id" in columns):
        return _Table(name, "pairs", {role: columns[role] for role in _PAIR_ROLES if role in columns})
    if "doc_id" in columns and "text" in columns:
        own = {role: columns[role] for role in _CORPUS_ROLES if role in columns}
        others = tuple(n for n in names if n not in own.values() and _is_plain(rows, n))
        kind = "queries" if name.lower().startswith("quer") else "corpus"
        return _Table(name, kind, own, others)
    return None


def _match(names: Sequence[str], aliases: Sequence[str]) -> str | None:
    lowered = {name.lower(): name for name in reversed(names)}
    return next((lowered[alias] for alias in aliases if alias in lowered), None)


def _is_text(value: Any) -> bool:
    return value is None or isinstance(value, str) or (isinstance(value, list) and all(map(_is_text, value)))


def _is_plain(rows: Sequence[Mapping[str, Any]], name: str) -> bool:
    return all(isinstance(row.get(name), str | int | float | None) for row in rows)


def _default(role: str) -> str:
    return str(ColumnsConfig.model_fields[role].default)


def _model_value(model: str) -> str:
    """A local folder is written so that it is found from the config's folder too."""
    return str(Path(os.path.expanduser(model)).absolute()) if is_local_model(model) else model  # noqa: PTH111


def _yaml(value: str) -> str:
    """A text as a YAML scalar: quoted unless it is plainly a word or a path."""
    plain = re.fullmatch(r"[A-Za-z_./][A-Za-z0-9_./-]*", value)
    reserved = value.lower() in {"true", "false", "null", "yes", "no", "on", "off", "y", "n"}
    return value if plain and not reserved else json.dumps(value, ensure_ascii=False)


_HEAD = """\
# Hard negatives with negmine. Paths are relative to the folder of this file.
#   negmine plan -c {name}     what a run would do, and what it would cost
#   negmine run -c {name}      do it
# Every key, with its meaning: negmine schema
{todo}
work_dir: runs/negmine         # folder that a run writes to

data:
{data}

embed:
  model: {model}   # hub name, local folder or package://module/path

# mine: {{k: 100}}               # candidates looked at per query

filter:
  # Kept is what is probably no answer: by default so strict that the negatives are as hard as
  # with a relative margin of 5%. For a limit of your own on that probability, or for none:
  # risk: {{max: 0.1}}           # or null
  num_negatives: 5             # per query
  sampling_strategy: top       # top (the hardest) | random | softmax | simans | spread

export:                        # triplet | n-tuple | labeled-pair | labeled-list
  - {{format: triplet, file: train.jsonl}}
"""


def _config_text(found: _Findings, model: str) -> str:
    todo = "#\n# Not complete yet: look for FILL IN below.\n" if found.incomplete else ""
    data = "\n".join(f"  {line}" for line in found.lines)
    return _HEAD.format(name=CONFIG_NAME, todo=todo, data=data, model=_yaml(model))
