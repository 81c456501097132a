"""Every export format, written for real collections and read back again.

    python -m benchmarks.formats DATASETS [NAME ...] --folder runs/benchmarks

DATASETS is a folder of collections. For each: `negmine init` on links to its files, then `negmine run` of that
config, with one export of every format as the only edit. Vectors are those in a subfolder `minilm` (`--set
embed.vectors`), else hashed words, so no model is run. Then each export is read back by the reader of its
layout, and the distinct queries, positives and negatives are counted: those that the stages counted, or else
the line says what differs. `nemo` and `ms-swift`, which negmine does not read, are read as plain JSON.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import shutil
import subprocess
import sys
import time
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.measure import machine
from negmine.config.formats import ColumnsConfig
from negmine.readers import LABEL_FORMATS, BadRows, LabelSettings, read_corpus, read_qrels, read_queries
from negmine.readers.formats.beir import read_hard_negatives
from negmine.readers.runs import read_run
from negmine.store.tables import to_numpy

NEGATIVES = 5
EXPORTS = {
    "triplet": "triplet.jsonl",
    "n-tuple": "n-tuple.parquet",
    "labeled-pair": "labeled-pair.jsonl.gz",
    "labeled-list": "labeled-list.jsonl.zst",
    "margin-mse": "margin-mse.parquet",
    "ids": "ids/",
    "flagembedding": "flagembedding.jsonl",
    "tevatron": "tevatron.jsonl",
    "tevatron-ids": "tevatron-ids/",
    "nemo": "nemo/",
    "beir": "beir/",
    "ms-swift": "ms-swift.jsonl",
    "trec-run": "negatives.trec",
}
READ_AS = {"triplet": "triplets", "n-tuple": "triplets", "margin-mse": "triplets",
           "labeled-pair": "labeled", "labeled-list": "labeled"}  # fmt: skip
"""Formats that the reader knows by another name."""

_DIMENSIONS = 256
_HEAD = """\
# Every format, written and read back

`python -m benchmarks.formats DATASETS {names}`, {day:%Y-%m-%d}. {machine}. Load of the machine at start: {load:.1f}.

For each collection: `negmine init`, then `negmine run` of the config that it wrote, in which only the exports
are others: one of every format. Vectors are those of MiniLM, or else hashed words. `rows` are those of the
training file, `MB` all its files. `queries`, `positives` and `negatives` are what is there, each once, when the
export is read back by the reader of its layout (`nemo` and `ms-swift` as plain JSON); `as counted` says whether the
tables of the run have as many. A query without a negative has no row but in `labeled-pair` and `beir`, one with
fewer than {count} none in `n-tuple`; a run has no positives.
"""


@dataclass
class Back:
    """Distinct queries, pairs with a positive and pairs with a negative, as hashes."""

    queries: set[int] = field(default_factory=set)
    positives: set[int] = field(default_factory=set)
    negatives: set[int] = field(default_factory=set)

    def add(self, query: object, positives: Iterable[object], negatives: Iterable[object]) -> None:
        self.queries.add(hash(query))
        self.positives.update(hash((query, each)) for each in positives)
        self.negatives.update(hash((query, each)) for each in negatives)

    @property
    def counts(self) -> tuple[int, int, int]:
        return len(self.queries), len(self.positives), len(self.negatives)


def read_back(format_: str, file: Path) -> Back:
    """What a reader makes of an export."""
    back = Back()
    if format_ == "trec-run":
        for batch in read_run(file, "auto", BadRows("error")):
            for query, document in zip(batch.query_ids, batch.doc_ids, strict=True):
                back.add(query, (), (document,))
    elif format_ == "nemo":
        for row in json.loads((file / "train.json").read_bytes())["data"]:
            back.add(row["question_id"], *([each["id"] for each in row[key]] for key in ("pos_doc", "neg_doc")))
    elif format_ == "ms-swift":
        with file.open() as lines:
            for row in map(json.loads, lines):
                texts = ([each[0]["content"] for each in row[f"{key}_messages"]] for key in ("positive", "negative"))
                back.add(row["messages"][0]["content"], *texts)
    elif format_ == "beir":
        for judged in read_qrels(file / "qrels" / "train.tsv", BadRows("error")):
            for query, document in zip(judged.query_ids, judged.doc_ids, strict=True):
                back.add(query, (document,), ())
        _add(back, read_hard_negatives([file / "hard-negatives.jsonl"], BadRows("error")))
    else:
        path = file / "train.jsonl" if file.is_dir() else file
        settings = LabelSettings(ColumnsConfig(), negatives=True, queries=format_ == "ids")
        _add(back, LABEL_FORMATS[READ_AS.get(format_, format_)].read([path], settings, BadRows("error")))
    return back


def _add(back: Back, batches: Iterable[Any]) -> None:
    for batch in batches:
        names = [own or text for own, text in zip(batch.query_ids, batch.queries, strict=True)]
        back.queries.update(map(hash, names))
        for row, text, own, rank in zip(batch.row, batch.texts, batch.doc_ids, batch.ranks, strict=True):
            (back.negatives if rank else back.positives).add(hash((names[row], own or text)))


def hashed_vectors(texts: Iterable[str]) -> np.ndarray:
    """Bags of words, hashed into float32 (n, d) of length 1; a text without words is a fixed direction."""
    rows = []
    for text in texts:
        codes = np.array([zlib.crc32(word.encode()) for word in text.lower().split()] or [0], np.int64)
        rows.append(np.bincount(codes % _DIMENSIONS, 1 - 2.0 * (codes >> 16 & 1), _DIMENSIONS).astype(np.float32))
    vectors = np.stack(rows)
    vectors[~vectors.any(axis=1), 0] = 1.0
    normalised: np.ndarray = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return normalised


def vectors_of(collection: Path, scratch: Path) -> tuple[dict[str, str], str]:
    """Files with vectors of the corpus and the queries, and how they were made."""
    ready = {name: collection / "minilm" / f"{name}.parquet" for name in ("corpus", "queries")}
    if all(path.is_file() for path in ready.values()):
        return {name: str(path) for name, path in ready.items()}, "minilm"
    columns, made = ColumnsConfig(), {}
    for name, id_name in (("corpus", "doc_id"), ("queries", "query_id")):
        ids: list[str] = []
        texts: list[str] = []
        if name == "corpus":
            for batch in read_corpus(collection / "corpus.jsonl", columns, (), BadRows("error")):
                ids += batch.doc_ids
                texts += [f"{title} {text}" for title, text in zip(batch.titles, batch.texts, strict=True)]
        else:
            for found in read_queries(collection / "queries.jsonl", columns, BadRows("error")):
                ids += found.query_ids
                texts += found.texts
        vectors = pa.FixedSizeListArray.from_arrays(pa.array(hashed_vectors(texts).ravel()), _DIMENSIONS)
        made[name] = scratch / f"{name}.parquet"
        pq.write_table(pa.table({id_name: ids, "vector": vectors}), made[name])
    return {name: str(path) for name, path in made.items()}, "hashed words"


def with_every_format(config: str) -> str:
    """The text of a starter config with another list of exports."""
    before = config[: config.index("\nexport:")]
    lines = [f"  - {{format: {format_}, file: {file}}}" for format_, file in EXPORTS.items()]
    return "\n".join([before, "export:", *lines, ""])


def negmine(*arguments: str | Path) -> tuple[int, dict[str, Any], str]:
    """Exit code, the JSON that was printed, and stderr."""
    command = [sys.executable, "-m", "negmine", *map(str, arguments), "--json"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    return done.returncode, json.loads(done.stdout) if done.stdout.strip() else {}, done.stderr.strip()


def expected(format_: str, counts: Mapping[str, int], positives: Mapping[str, int]) -> tuple[int, int, int]:
    """Queries, positives and negatives that should be read back; ``counts`` are those of the filter stage."""
    queries = counts["queries_with_all"] + counts["short_queries"]
    if format_ in ("labeled-pair", "beir"):
        return queries, positives["all"], counts["negatives"]
    if format_ == "n-tuple":
        return counts["queries_with_all"], positives["full"], NEGATIVES * counts["queries_with_all"]
    some = queries - counts["queries_without_any"]
    return some, 0 if format_ == "trec-run" else positives["some"], counts["negatives"]


def positives_of(work: Path) -> dict[str, int]:
    """Distinct positives of all queries, of those with some negatives and with all, counted in the tables of a run."""
    parts = sorted((work / "filter").glob("part-*.parquet"))
    kept = pa.concat_tables(pq.read_table(path, columns=["query", "verdict"]) for path in parts)
    number = to_numpy(kept["query"])[np.array(kept["verdict"].to_pylist()) == "kept"]
    positives = pq.read_table(work / "ingest" / "positives.parquet", columns=["query", "passage"])
    pairs = np.unique(np.stack([to_numpy(positives["query"]), to_numpy(positives["passage"])], axis=1), axis=0)
    counts = np.bincount(number, minlength=int(pairs[:, 0].max()) + 1)[pairs[:, 0]]
    return {"all": len(pairs), "some": int((counts > 0).sum()), "full": int((counts >= NEGATIVES).sum())}


def measured(collection: Path, scratch: Path) -> Iterator[str]:
    """Lines of Markdown about one collection."""
    shutil.rmtree(scratch, ignore_errors=True)
    data = scratch / "data"
    data.mkdir(parents=True)
    for entry in sorted(collection.iterdir()):
        (data / entry.name).symlink_to(entry.resolve())
    vectors, made = vectors_of(collection, scratch)
    yield f"## {collection.name}\n"
    code, made_config, stderr = negmine("init", data)
    notes = "; ".join(made_config.get("notes", [stderr]))
    yield f"`negmine init`: exit {code}; {notes.replace(str(scratch), '')}.\n"
    if code or made_config["incomplete"]:
        return
    config = Path(made_config["config"])
    config.write_text(with_every_format(config.read_text("utf-8")), "utf-8")
    settings = ["--set", "embed.model=null", "--set", f"embed.vectors={json.dumps(vectors)}"]
    code, result, stderr = negmine("run", "-c", config, "-q", *settings)
    if code:
        yield f"`negmine run`: exit {code}: {stderr.splitlines()[-1] if stderr else ''}\n"
        return
    again, second, _ = negmine("run", "-c", config, "-q", *settings)
    idle = again == 0 and not any(stage["tasks_run"] for stage in second["stages"])
    seconds = ", ".join(f"{stage['stage']} {stage['wall_seconds']:.1f}" for stage in result["stages"])
    counts = {stage["stage"]: stage["counts"] for stage in result["stages"]}
    work = data / "runs" / "negmine"
    ingest, filtered, positives = counts["ingest"], counts["filter"], positives_of(work)
    yield (
        f"`negmine run`: exit {code}, vectors: {made}; seconds: {seconds}. {ingest['distinct_queries']:,} queries,"
        f" {ingest['passages']:,} passages, {positives['all']:,} positives, {filtered['negatives']:,} negatives;"
        f" {filtered['queries_with_all']:,} queries have all {NEGATIVES}, {filtered['queries_without_any']:,} none."
        f" A second run {'did nothing' if idle else f'(exit {again}) DID SOMETHING'}.\n"
    )
    yield from _table(work, counts, positives)


def _table(work: Path, counts: Mapping[str, Mapping[str, int]], positives: Mapping[str, int]) -> Iterator[str]:
    """A line for each export: what it is and what was read back."""
    yield "| format | rows | MB | read in s | queries | positives | negatives | as counted |"
    yield "|---|---|---|---|---|---|---|---|"
    for format_, name in EXPORTS.items():
        path = work / "export" / name
        files = [each for each in path.rglob("*") if each.is_file()] if path.is_dir() else [path]
        size = sum(each.stat().st_size for each in files)
        rows = sum(count for key, count in counts["export"].items() if _is_row_count(key, name))
        started = time.perf_counter()
        back = read_back(format_, path).counts
        seconds = time.perf_counter() - started
        wanted = expected(format_, counts["filter"], positives)
        said = "yes" if back == wanted else f"NO: {' / '.join(f'{each:,}' for each in wanted)}"
        numbers = " | ".join(f"{each:,}" for each in back)
        yield f"| {format_} | {rows:,} | {size / 1e6:.1f} | {seconds:.1f} | {numbers} | {said} |"
    yield ""


def _is_row_count(key: str, name: str) -> bool:
    """Whether a count of the export stage is about this export; of a folder, about the file with the labels."""
    file = key.removeprefix("rows:")
    return key.startswith("rows:") and (file == name or (name.endswith("/") and file.startswith(name)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("datasets", type=Path)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--folder", type=Path, default=Path("runs/benchmarks"))
    args = parser.parse_args()
    names = args.names or sorted(path.name for path in args.datasets.iterdir() if path.is_dir())
    print(
        _HEAD.format(
            names=" ".join(names),
            count=NEGATIVES,
            day=datetime.datetime.now(datetime.UTC),
            machine=machine(),
            load=os.getloadavg()[0],
        )
    )
    for name in names:
        for line in measured((args.datasets / name).absolute(), (args.folder / "formats" / name).absolute()):
            print(line, flush=True)


if __name__ == "__main__":
    main()
