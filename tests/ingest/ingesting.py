"""Running ingest on rows given in a test."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

import negmine

Rows = Sequence[dict[str, Any]]


@dataclass(frozen=True)
class Ingested:
    """What ingest left: its folder and its counts."""

    folder: Path
    counts: dict[str, int]

    def rows(self, table: str, *columns: str) -> list[Any]:
        """Rows of a table as tuples of some columns, or the bare values of one."""
        read = pq.read_table(self.folder / f"{table}.parquet", columns=list(columns)).to_pydict()
        values = list(zip(*(read[name] for name in columns), strict=True))
        return [value for (value,) in values] if len(columns) == 1 else values

    def rejected(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.folder / "rejected.jsonl").read_text("utf-8").splitlines()]


def ingest_files(folder: Path, **data: Any) -> Ingested:
    """Run ingest with a ``data`` section whose paths are relative to ``folder``."""
    config = negmine.config_from_dict({"work_dir": "run", "data": data, "embed": {"model": "none"}}, folder)
    result = negmine.run(config, until="ingest")
    return Ingested(folder / "run" / "ingest", result.stages[0].manifest.counts)


def write_rows(path: Path, rows: Rows) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")


def ingest_rows(
    folder: Path,
    *,
    pairs: Rows | None = None,
    corpus: Rows | None = None,
    queries: Rows | None = None,
    qrels: str | None = None,
    **data: Any,
) -> Ingested:
    """Write the given rows as files of ``folder`` and run ingest on them."""
    for name, rows in (("pairs", pairs), ("corpus", corpus), ("queries", queries)):
        if rows is not None:
            write_rows(folder / f"{name}.jsonl", rows)
            data[name] = f"{name}.jsonl"
    if qrels is not None:
        (folder / "qrels.tsv").write_text(qrels, "utf-8")
        data["qrels"] = "qrels.tsv"
    return ingest_files(folder, **data)
