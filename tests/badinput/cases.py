"""The table of bad input: what is changed in a good folder, what is called, what a person must read."""

from __future__ import annotations

import fcntl
import gzip
import importlib.util
import io
import json
import os
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from ruamel.yaml import YAML
from safetensors.numpy import save

DOCUMENTS, QUERIES = 12, 6
VECTORS = np.random.default_rng(0).standard_normal((DOCUMENTS, 8)).astype(np.float32)
PAIR_ROWS = [{"anchor": f"query {i}", "positive": f"passage {i}"} for i in range(QUERIES)]
CORPUS_ROWS = [{"_id": f"d{i}", "text": f"passage {i}", "lang": "en"} for i in range(DOCUMENTS)]
QUERY_ROWS = [{"_id": f"q{i}", "text": f"query {i}"} for i in range(QUERIES)]
QRELS = "query-id\tcorpus-id\tscore\n" + "".join(f"q{i}\td{i}\t1\n" for i in range(QUERIES))
CONFIG = """\
work_dir: work
data: {pairs: pairs.jsonl, corpus: corpus.jsonl}
embed: {vectors: {corpus: corpus.npy, queries: queries.npy}}
filter: {num_negatives: 2}
"""
MODEL = (
    "work_dir: work\ndata: {pairs: pairs.jsonl, corpus: corpus.jsonl}\nembed: {model: %s}\nfilter: {num_negatives: 2}\n"
)

FIX = "Fix the row, or set data.on_bad_row: skip"
NOT_TEXT = "this is not UTF-8 text"
AGAIN = "Make or copy the file again."
WRITE = "Fix what writes the vectors"
CONFIG_FILE = "negmine.yaml"

Change = bytes | str | None | Callable[[Path], Any]
"""New content of a file, None to remove it, or what makes it."""


@dataclass(frozen=True)
class Case:
    """One way to be wrong; ``files`` are changed in a copy of the good folder."""

    area: str
    name: str
    files: dict[str, Change]
    command: tuple[str, ...]
    code: int
    cause: str
    where: str
    step: str
    snippet: bool = False
    process: bool = False
    """Called in a process of its own."""
    environment: dict[str, str] = field(default_factory=dict)
    """Why this is not refused as it should be, while it is not."""

    @property
    def id(self) -> str:
        return f"{self.area}: {self.name}"


RUN = ("run", "-q")


def jsonl(rows: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def npy(array: Any) -> bytes:
    out = io.BytesIO()
    np.save(out, np.asarray(array))
    return out.getvalue()


def parquet(table: Any) -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.table(table), out)
    return out.getvalue()


def zstd(data: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(data)
    return sink.getvalue().to_pybytes()


def table(rows: list[dict[str, Any]], suffix: str) -> bytes:
    """Rows as a file of that suffix, compressed too."""
    kind, _, packed = suffix[1:].partition(".")
    if kind == "jsonl":
        data = jsonl(rows)
    elif kind == "json":
        data = json.dumps(rows).encode()
    elif kind == "parquet":
        data = parquet(pa.Table.from_pylist(rows))
    else:
        cut = "," if kind == "csv" else "\t"
        lines = [list(rows[0]), *(list(map(str, row.values())) for row in rows)]
        data = "".join(cut.join(line) + "\n" for line in lines).encode()
    return {"": bytes, "gz": gzip.compress, "zst": zstd}[packed](data)


def good_files() -> dict[str, bytes]:
    return {
        "negmine.yaml": CONFIG.encode(),
        "pairs.jsonl": jsonl(PAIR_ROWS),
        "corpus.jsonl": jsonl(CORPUS_ROWS),
        "corpus.npy": npy(VECTORS),
        "queries.npy": npy(VECTORS[:QUERIES] + 0.1),
    }


def config_cases() -> Iterator[Case]:
    """Every line of the table of bad configs, and what can be wrong with the file as such."""
    known = Path(__file__).parents[1] / "config" / "bad_configs.yaml"
    for each in YAML(typ="safe", pure=True).load(known):
        place, _, cause = each["error"].partition(" ")
        yield Case(
            "config",
            each["name"],
            {CONFIG_FILE: each["yaml"]},
            RUN,
            3,
            cause,
            f"negmine.yaml:{place}",
            "",
            snippet=True,
        )
    odd: list[tuple[str, Change, str, str, str]] = [
        ("a folder", lambda path: path.mkdir(), "this is a folder, not a config file", "conf.yaml", "Give the path"),
        ("an empty file", b"", "the file is empty", "conf.yaml", "A config needs at least 'data' and 'embed'"),
        ("only a comment", b"# later\n", "the file is empty", "conf.yaml", "A config needs at least"),
        ("not UTF-8", b"seed: 1\nwork_dir: caf\xe9\n", "not UTF-8 text", "conf.yaml:2 (byte 22)", "Save it as UTF-8"),
        ("UTF-16", CONFIG.encode("utf-16"), "not UTF-8 text", "conf.yaml:1 (byte 1)", "Save it as UTF-8"),
    ]
    for name, content, cause, where, step in odd:
        yield Case("config", name, {"conf.yaml": content}, (*RUN, "-c", "conf.yaml"), 3, cause, where, step)
    yield Case("config", "no such file", {}, (*RUN, "-c", "no.yaml"), 3, "no such file", "no.yaml", "Check the path of")
    deep = {"conf.yaml": "seed: " + "[" * 5000}
    yield Case(
        "config",
        "deep nesting",
        deep,
        (*RUN, "-c", "conf.yaml"),
        3,
        "nested too deeply",
        "conf.yaml:1:",
        "schema",
        snippet=True,
    )
    bomb = "\n".join(
        ["a0: &a0 [x, x, x, x, x, x, x, x]", *(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 9))]
    )
    yield Case(
        "config",
        "a bomb of aliases",
        {"conf.yaml": bomb},
        (*RUN, "-c", "conf.yaml"),
        3,
        "too many values",
        "conf.yaml",
        "schema",
        snippet=True,
    )
    escape = {"conf.yaml": CONFIG + '"se\\x1b[31med": 1\n'}
    yield Case(
        "config",
        "a control character in a key",
        escape,
        (*RUN, "-c", "conf.yaml"),
        3,
        "\\x1b[31m",
        "conf.yaml:5:1",
        "",
        snippet=True,
    )
    for key, path in (
        ("data.pairs", "nowhere.tsv"),
        ("data.corpus", "nowhere.tsv"),
        ("embed.vectors.corpus", "nowhere.npy"),
    ):
        yield Case(
            "config", f"{key} is not there", {}, (*RUN, "--set", f"{key}={path}"), 4, "does not exist", path, key
        )
    k = "it is 13 but the corpus has 12 distinct passages"
    yield Case(
        "config",
        "deeper than the corpus",
        {},
        (*RUN, "--set", "mine.k=13"),
        3,
        k,
        "mine.k:",
        "Set mine.k to at most 11",
    )

    yield Case(
        "config",
        "a leak rate that no labels can be calibrated on",
        {},
        (*RUN, "--set", "filter.leak_rate=0.05"),
        3,
        "it needs 37 of them and there are 0",
        "filter.leak_rate:",
        "Label 37 more, choose a higher rate, or set filter.leak_rate: null",
    )


def override_cases() -> Iterator[Case]:
    rows = [
        ("mine.k", "expected key.path=value", "--set mine.k", "For example: --set mine.k=50"),
        ("=3", "expected key.path=value", "--set =3", "For example"),
        (
            "filter.relativ_margin=1",
            "there is no such key",
            "--set filter.relativ_margin",
            "Did you mean 'filter.relative_margin'",
        ),
        ("k=3", "there is no such key", "--set k", "It belongs under 'mine'"),
        ("filter.risk=0.1", "found the number 0.1", "--set filter.risk", "Write risk: {max: 0.1}, or null"),
        (
            "filter.risk.weights=shipped",
            "none of as_hard_as, max and target_fnr is set",
            "--set filter.risk.weights",
            "Set one of them",
        ),
        ("filter.sampling_offset=1", "applies only to simans", "--set filter.sampling_offset", "Remove it"),
        ("seed.x=3", "there is no such key", "--set seed.x", "negmine schema"),
        ("mine.k=many", "expected a whole number, found the text 'many'", "--set mine.k", "negmine schema"),
        ("mine.k='5'", "expected a whole number", "--set mine.k", "Remove the quotes"),
        ("mine={kk: 5}", "mine.kk: there is no such key", "--set mine", "Did you mean 'k'"),
        ("mine.k=[1", "the value cannot be read: a bracket is not closed", "--set mine.k", "negmine schema"),
        ("mine.k=!x 1", "YAML tags", "--set mine.k", "Remove the tag"),
        ("export.3.file=a.jsonl", "there is no entry 3", "--set export.3.file", "Entries count from 0"),
        ("export.x.file=a.jsonl", "there is no such key", "--set export.x.file", "negmine schema"),
        ("mine.k=1", "cannot come from 1 candidates", "negmine.yaml:4:10", "negmine schema"),
        ("mine.k=1e999", "expected a whole number", "--set mine.k", "negmine schema"),
        ("memory_limit=1MB", "must be at least 64MB", "--set memory_limit", "negmine schema"),
        ("threads=0", "expected 'auto' or a whole number", "--set threads", "negmine schema"),
    ]
    for text, cause, where, step in rows:
        yield Case(
            "flags",
            f"--set {text}",
            {},
            (*RUN, "--set", text),
            3,
            cause,
            where,
            step,
            snippet=where.startswith("negmine.yaml"),
        )


def known(name: str) -> Any:
    """The table of the readers' own test, which are run through the command line here."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).parents[1] / "readers" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def pairs_cases() -> Iterator[Case]:
    for number, (name, content, place, cause, step) in enumerate(known("test_reader_bad_input").TEXT_FILES):
        command = (*RUN, "--set", f"data.pairs={name}")
        yield Case("pairs", f"{number} {name}: {cause}", {name: content}, command, 4, cause, f"{name}{place}", step)
    found: list[tuple[str, bytes, str, str, str]] = [  # by tests/fuzz/fuzz.py
        (
            "a tab in a message",
            b'anchor\tpositive\n"q" x\tp\n',
            "a tab expected after",
            "fuzz.tsv:2",
            "quotes inside it",
        ),
        (
            "a tab in a header",
            b'"anchor" x\tpositive\nq\tp\n',
            "a tab expected after",
            "fuzz.tsv:1",
            "quotes inside it",
        ),
        ("a NUL in a header", b"anch\0or\tpositive\nq\tp\n", "'anch\\x00or'", "fuzz.tsv:1", "Did you mean"),
        (
            "a long header",
            b"[" * 9000 + b"\tpositive\nq\tp\n",
            "no column 'anchor'",
            "fuzz.tsv:1",
            "Set data.columns.anchor",
        ),
        (
            "a line separator in a header",
            "anch\u2028or\tpositive\nq\tp\n".encode(),
            "'anch\\u2028or'",
            "fuzz.tsv:1",
            "Did you mean",
        ),
    ]
    for name, content, cause, place, step in found:
        command = (*RUN, "--set", "data.pairs=fuzz.tsv")
        yield Case("pairs", name, {"fuzz.tsv": content}, command, 4, cause, place, step)
    broken = parquet(pa.Table.from_pylist(PAIR_ROWS))
    length = int.from_bytes(broken[-8:-4], "little")
    broken = broken[: -8 - length] + b"\x1e\x0e" * (length // 2) + b"\x1e" * (length % 2) + broken[-8:]
    command = (*RUN, "--set", "data.pairs=fuzz.parquet")
    cause = "no readable Parquet file"
    yield Case(
        "pairs", "control characters in a footer", {"fuzz.parquet": broken}, command, 4, cause, "fuzz.parquet", AGAIN
    )
    for kind in (".jsonl", ".json", ".csv", ".tsv", ".parquet"):
        for packed in ("", ".gz", ".zst"):
            yield from _pairs_of(kind + packed)


def _pairs_of(suffix: str) -> Iterator[Case]:
    """What can be wrong in every format."""
    name = f"bad{suffix}"
    command = (*RUN, "--set", f"data.pairs={name}")
    good = table(PAIR_ROWS, suffix)
    misspelt = table([{"anchr": "q", "positive": "p"}], suffix)
    yield Case(
        "pairs",
        f"a misspelt column in {suffix}",
        {name: misspelt},
        command,
        4,
        "no column 'anchor'",
        name,
        "Did you mean 'anchr'?",
    )
    blank = table([*PAIR_ROWS, {"anchor": " ", "positive": "p"}], suffix)
    yield Case("pairs", f"a blank query in {suffix}", {name: blank}, command, 4, "'anchor' is blank", name, FIX)
    if suffix.count(".") == 2 or suffix == ".parquet":
        cause = "damaged" if suffix.count(".") == 2 else "no readable Parquet file"
        yield Case("pairs", f"half of {suffix}", {name: good[: len(good) // 2]}, command, 4, cause, name, AGAIN)
        yield Case("pairs", f"text named {suffix}", {name: b"anchor,positive\nq,p\n"}, command, 4, cause, name, AGAIN)
    yield Case("pairs", f"an empty {suffix}", {name: b""}, command, 4, "this file is empty", name, AGAIN)


def corpus_cases() -> Iterator[Case]:
    tables = known("test_reader_bad_input")
    for number, (content, metadata, place, cause, step) in enumerate(tables.CORPORA):
        command = (*RUN, "--set", f"data.metadata=[{', '.join(metadata)}]")
        name = f"{number}: {cause}"
        yield Case("corpus", name, {"corpus.jsonl": content}, command, 4, cause, f"corpus.jsonl{place}", step)
    for suffix in (".jsonl.gz", ".csv", ".tsv.zst", ".json", ".parquet"):
        name = f"bad{suffix}"
        command = (*RUN, "--set", f"data.corpus={name}")
        wrong = table([{"_id": "d1", "txet": "t"}], suffix)
        yield Case(
            "corpus",
            f"a misspelt column in {suffix}",
            {name: wrong},
            command,
            4,
            "no column 'text'",
            name,
            "Did you mean 'txet'?",
        )
        empty = table([{"_id": "", "text": "t"}], suffix)
        yield Case("corpus", f"an empty id in {suffix}", {name: empty}, command, 4, "'_id' is empty", name, FIX)
    twice = jsonl([*CORPUS_ROWS, {"_id": "d3", "text": "another"}])
    yield Case("corpus", "an id twice", {"corpus.jsonl": twice}, RUN, 4, "d3", "corpus.jsonl:13", FIX)
    blank = jsonl([{"_id": f"d{i}", "text": " "} for i in range(3)])
    yield Case(
        "corpus",
        "only blank texts",
        {"corpus.jsonl": blank},
        RUN,
        4,
        "the corpus has no passages",
        "corpus.jsonl",
        "Check data.corpus",
    )


def collection_cases() -> Iterator[Case]:
    """BEIR folders, and queries with qrels."""
    tables = known("test_reader_bad_input")
    files_of = "{queries: queries.jsonl, qrels: qrels.tsv, corpus: corpus.jsonl}"
    single = CONFIG.replace("{pairs: pairs.jsonl, corpus: corpus.jsonl}", files_of)
    files: dict[str, Change] = {"negmine.yaml": single, "queries.jsonl": jsonl(QUERY_ROWS), "qrels.tsv": QRELS}
    for number, (content, place, cause, step) in enumerate(tables.QUERIES):
        yield Case(
            "queries",
            f"{number}: {cause}",
            {**files, "queries.jsonl": content},
            RUN,
            4,
            cause,
            f"queries.jsonl{place}",
            step,
        )
    for number, (content, place, cause) in enumerate(tables.QRELS):
        yield Case(
            "qrels", f"{number}: {cause}", {**files, "qrels.tsv": content}, RUN, 4, cause, f"qrels.tsv{place}", FIX
        )
    more = [
        ("an unknown query", "q0\td0\t1\nq99\td1\t1\n", "q99", "qrels.tsv:2", FIX),
        ("an unknown document", "q0\td0\t1\nq1\td99\t1\n", "d99", "qrels.tsv:2", FIX),
        ("an unknown document, TREC", "q0 0 d0 1\nq1 0 d99 1\n", "d99", "qrels.tsv:2", FIX),
        ("no grade is enough", "q0\td0\t0\n", "no judgement reaches grade 1", "qrels.tsv", "data.min_grade"),
        ("empty", b"", "this file is empty", "qrels.tsv", AGAIN),
        ("not UTF-8", b"q\td\t1\nq\t\xff\t1\n", "not UTF-8", "qrels.tsv:2:3 (byte 8)", FIX),
        ("a control character", "q0\td0\t\x1b[31m\n", "\\x1b[31m", "qrels.tsv:1", FIX),
        ("a very long grade", "q0\td0\t" + "x" * 9000 + "\n", "xxx' is not a number", "qrels.tsv:1", FIX),
    ]
    for name, change, cause, where, step in more:
        yield Case("qrels", name, {**files, "qrels.tsv": change}, RUN, 4, cause, where, step)
    cut = {**files, "qrels.tsv": None, "qrels.tsv.gz": gzip.compress(QRELS.encode())[:20]}
    yield Case(
        "qrels", "half of .gz", cut, (*RUN, "--set", "data.qrels=qrels.tsv.gz"), 4, "damaged", "qrels.tsv.gz", AGAIN
    )
    yield from _folder_cases(single)


def _folder_cases(single: str) -> Iterator[Case]:
    config = single.replace("{queries: queries.jsonl, qrels: qrels.tsv, corpus: corpus.jsonl}", "{path: beir}")
    files: dict[str, Change] = {
        "negmine.yaml": config,
        "beir/corpus.jsonl": jsonl(CORPUS_ROWS),
        "beir/queries.jsonl": jsonl(QUERY_ROWS),
        "beir/qrels/train.tsv": QRELS,
    }
    rows: list[tuple[str, dict[str, Change], str, str, str]] = [
        ("no folder", dict.fromkeys(list(files)[1:]), "this folder does not exist", "beir", "Check data.path"),
        ("a file", {**dict.fromkeys(list(files)[1:]), "beir": b"x"}, "a folder is needed", "beir", "Check data.path"),
        ("no qrels", {"beir/qrels/train.tsv": None}, "there is no qrels/train.tsv", "beir", "Set data.split"),
        (
            "another split",
            {"beir/qrels/train.tsv": None, "beir/qrels/trian.tsv": QRELS},
            "there is no qrels/train.tsv",
            "beir",
            "Did you mean 'trian'?",
        ),
        ("no corpus", {"beir/corpus.jsonl": None}, "there is no corpus.jsonl", "beir", "data.corpus"),
        ("no queries", {"beir/queries.jsonl": None}, "there is no queries.jsonl", "beir", "Rename the file"),
        ("an empty corpus", {"beir/corpus.jsonl": b""}, "this file is empty", "beir/corpus.jsonl", AGAIN),
        ("a bad query", {"beir/queries.jsonl": b"[]\n"}, "not a JSON object", "beir/queries.jsonl:1", FIX),
        (
            "a bad grade",
            {"beir/qrels/train.tsv": "q0\td0\tx\n"},
            "the grade 'x' is not",
            "beir/qrels/train.tsv:1:7",
            FIX,
        ),
        (
            "a damaged corpus",
            {"beir/corpus.jsonl": None, "beir/corpus.jsonl.gz": b"{}"},
            "damaged",
            "beir/corpus.jsonl.gz",
            AGAIN,
        ),
    ]
    for name, changes, cause, where, step in rows:
        yield Case("beir", name, {**files, **changes}, RUN, 4, cause, where, step)


def format_cases() -> Iterator[Case]:
    """Layouts of other tools: what is wrong with a file, with its layout, or with a setting for it."""
    both = jsonl([{"query": "q", "pos": ["p"], "anchor": "q", "positive": "p"}])
    marked = jsonl([{"anchor": "q", "positive": "p", "label": 0}])
    passages = jsonl([{"query": "q", "positive_passages": [{"docid": 1, "text": 2}]}])
    ids = jsonl([{"query_id": "q0", "document_ids": ["d0"]}, {"query_id": "q9", "document_ids": ["d0"]}])
    unknown = jsonl([{"query_text": "q", "positive_document_ids": ["d99"]}])
    scores = jsonl([{"anchor": "q", "text": "p", "score": 0.5}])
    short = gzip.compress(jsonl([{"query": f"q{n * n}", "pos": ["p"]} for n in range(999)]))[:-20]
    rows: list[tuple[str, str, bytes, tuple[str, ...], int, str, str, str]] = [
        ("two layouts", "x.jsonl", both, (), 4, "this could be pairs", "x.jsonl", "data.format: flagembedding"),
        ("labels beside positives", "x.jsonl", marked, (), 4, "pairs (x.jsonl has", "x.jsonl", "data.format: labeled"),
        ("a number as a text", "x.jsonl", passages, (), 4, "'text' is a number and", "x.jsonl:1", FIX),
        (
            "another layout",
            "x.jsonl",
            both,
            ("data.format=dpr",),
            4,
            "no column 'question'",
            "x.jsonl:1",
            "data.format",
        ),
        ("no such layout", "x.jsonl", both, ("data.format=tevatrn",), 3, "found the text", "--set", "'tevatron'?"),
        (
            "no corpus",
            "x.jsonl",
            both,
            ("data.format=tevatron-ids", "data.corpus=null"),
            3,
            "needs data.corpus",
            "",
            "",
        ),
        ("an id that is nowhere", "x.jsonl", unknown, (), 4, "the positive id 'd99' is not in", "x.jsonl:1", ""),
        ("scores", "x.jsonl", scores, (), 4, "no label reaches 1", "x.jsonl", "Set data.min_grade"),
        ("cut short", "x.jsonl.gz", short, (), 4, "this file is damaged", "x.jsonl.gz", AGAIN),
        ("a tab too few", "triples.tsv", b"1 q\tp\tn\nq\tp\n", (), 4, "this line has 2 columns", "triples.tsv:2", FIX),
        ("half a line", "triples.tsv", b"1 q\tp\tn\nq\tp", (), 4, "in the middle of a row", "triples.tsv:2", AGAIN),
        ("no text", "triples.tsv", b"1 q\tp\tn\nq\t\xff\tp\n", (), 4, NOT_TEXT, "triples.tsv:2:3 (byte 10)", FIX),
        (
            "no negatives",
            "x.jsonl",
            jsonl(PAIR_ROWS),
            ("data.negatives=keep",),
            3,
            "none to keep",
            "data.negatives",
            "",
        ),
        ("an unused column", "x.jsonl", jsonl(PAIR_ROWS), ("data.columns.label=y",), 3, "no such column", "data.", ""),
    ]
    for name, file, content, settings, code, cause, where, step in rows:
        words = [word for setting in (f"data.pairs={file}", *settings) for word in ("--set", setting)]
        yield Case("formats", name, {file: content}, (*RUN, *words), code, cause, where, step)
    queries = {"ids.jsonl": ids, "q.jsonl": jsonl(QUERY_ROWS)}
    words = (*RUN, "--set", "data.pairs=ids.jsonl", "--set", "data.queries=q.jsonl")
    yield Case(
        "formats", "a query that is nowhere", queries, words, 4, "the query id 'q9' is not in", "ids.jsonl:2", FIX
    )


def vector_cases() -> Iterator[Case]:
    def with_value(value: float) -> bytes:
        wrong = VECTORS.copy()
        wrong[3, 1] = value
        return npy(wrong)

    matrices: list[tuple[str, Change, str, str]] = [
        ("one dimension", npy(np.arange(12.0)), "a matrix of floats (rows, dimension) is needed", "Save an array"),
        ("three dimensions", npy(np.zeros((2, 3, 4))), "this is float64 of shape (2, 3, 4)", "Save an array"),
        ("integers", npy(np.zeros((12, 8), np.int64)), "this is int64", "Save an array of float32"),
        ("no columns", npy(np.zeros((12, 0))), "of shape (12, 0)", "Save an array"),
        ("no rows", npy(np.zeros((0, 8))), "this file has no rows", WRITE),
        ("texts", npy([["a", "b"]]), "this is <U1", "Save an array"),
        ("objects", _objects(), "it holds Python objects", "Save an array"),
        ("Fortran order", npy(np.asfortranarray(VECTORS)), "Fortran order", "numpy.ascontiguousarray"),
        ("NaN", with_value(np.nan), "NaN or Infinity", WRITE),
        ("infinity", with_value(np.inf), "NaN or Infinity", WRITE),
        ("too large", npy(np.full((12, 8), 1e300)), "too large for float32", WRITE),
        ("zeros", npy(np.zeros((12, 8), np.float32)), "a vector of zeros", "embed.normalize: false"),
        ("too few rows", npy(VECTORS[:5]), "it has 5 rows and the input has 12 documents", "in input order"),
        ("other dimensions", npy(VECTORS[:, :4]), "query vectors have 8 dimensions", "the same model"),
        ("truncated", npy(VECTORS)[:-4], "no readable .npy matrix", AGAIN),
        ("half a header", npy(VECTORS)[:20], "no readable .npy matrix", AGAIN),
        ("another file", b"PK\x03\x04", "this is no .npy file", "Write it with numpy.save"),
        ("empty", b"", "this file is empty", AGAIN),
        ("missing", None, "this file does not exist", "Check embed.vectors.corpus"),
    ]
    for name, content, cause, step in matrices:
        where = "queries.npy" if name == "other dimensions" else "corpus.npy"
        yield Case("vectors", f"npy: {name}", {"corpus.npy": content}, RUN, 4, cause, where, step)
    yield Case(
        "vectors",
        "a wide cut",
        {},
        (*RUN, "--set", "embed.truncate_dim=9"),
        4,
        "the vectors have 8 dimensions",
        "corpus.npy",
        "Mend it",
    )
    yield Case(
        "vectors",
        "another suffix",
        {"v.npz": b"x"},
        (*RUN, "--set", "embed.vectors.corpus=v.npz"),
        4,
        "'.npz' file are not supported",
        "v.npz",
        "Use .parquet, .npy or .safetensors",
    )
    tensors = {"first": VECTORS, "second": VECTORS}
    yield Case(
        "vectors",
        "tensors without a usual name",
        {"v.safetensors": save(tensors)},
        (*RUN, "--set", "embed.vectors.corpus=v.safetensors"),
        4,
        "none of its tensors is called corpus, vectors or embeddings",
        "v.safetensors",
        "Give the one that is meant the name corpus",
    )
    yield Case(
        "vectors",
        "a safetensors file cut off",
        {"v.safetensors": save({"corpus": VECTORS})[:-9]},
        (*RUN, "--set", "embed.vectors.corpus=v.safetensors"),
        4,
        "this is no readable .safetensors file",
        "v.safetensors",
        AGAIN,
    )
    ids, lists = [row["_id"] for row in CORPUS_ROWS], VECTORS.tolist()
    tables: list[tuple[str, bytes, str, str]] = [
        (
            "a misspelt column",
            parquet({"doc_ids": ids, "vector": lists}),
            "no column 'doc_id'",
            "Did you mean 'doc_ids'?",
        ),
        ("no vectors", parquet({"doc_id": ids, "embedding": lists}), "no column 'vector'", "Vectors need the columns"),
        (
            "a short vector",
            parquet({"doc_id": ids, "vector": [*lists[:-1], [1.0]]}),
            "(row 12, column 'vector'): this vector has 1",
            WRITE,
        ),
        (
            "a null vector",
            parquet({"doc_id": ids, "vector": [*lists[:-1], None]}),
            "(row 12, column 'vector'): there is no vector",
            WRITE,
        ),
        (
            "a null id",
            parquet({"doc_id": [*ids[:-1], None], "vector": lists}),
            "(row 12, column 'doc_id'): there is no id",
            "Give every row",
        ),
        (
            "integers",
            parquet({"doc_id": ids, "vector": [[1]] * 12}),
            "vectors must be lists of floats",
            "Write list<float32>",
        ),
        (
            "plain numbers",
            parquet({"doc_id": ids, "vector": [1.0] * 12}),
            "vectors must be lists of floats",
            "Write list<float32>",
        ),
        (
            "fractional ids",
            parquet({"doc_id": [1.5] * 12, "vector": lists}),
            "ids must be texts or whole numbers",
            "Write them as texts",
        ),
        (
            "an id twice",
            parquet({"doc_id": [*ids[:-1], "d0"], "vector": lists}),
            "the id 'd0' has more than one vector",
            "Mend it",
        ),
        (
            "an id missing",
            parquet({"doc_id": [*ids[:-1], "x"], "vector": lists}),
            "1 of 12 documents have no vector",
            "Add the missing rows",
        ),
        (
            "NaN",
            parquet({"doc_id": ids, "vector": [*lists[:-1], [float("nan")] * 8]}),
            "(row 12, column 'vector')",
            WRITE,
        ),
        ("truncated", parquet({"doc_id": ids, "vector": lists})[:-40], "no readable Parquet file", AGAIN),
        ("another file", b"hello", "no readable Parquet file", AGAIN),
        (
            "no dimensions",
            parquet({"doc_id": ids, "vector": pa.array([[]] * 12, pa.list_(pa.float32()))}),
            "no dimensions",
            WRITE,
        ),
    ]
    for name, data, cause, step in tables:
        command = (*RUN, "--set", "embed.vectors.corpus=v.parquet")
        yield Case("vectors", f"parquet: {name}", {"v.parquet": data}, command, 4, cause, "v.parquet", step)


def _objects() -> bytes:
    out = io.BytesIO()
    np.save(out, np.array([[{}]], dtype=object), allow_pickle=True)
    return out.getvalue()


def weights() -> bytes:
    """A safetensors file with one small tensor."""
    header = json.dumps({"w": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}).encode()
    return struct.pack("<Q", len(header)) + header + bytes(16)


def model_cases() -> Iterator[Case]:
    modules = json.dumps([{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"}])
    files: dict[str, Change] = {
        "negmine.yaml": MODEL % "./model",
        "model/config.json": '{"model_type": "bert"}',
        "model/modules.json": modules,
        "model/model.safetensors": weights(),
        "model/vocab.txt": "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nquery\npassage\n",
    }
    again = "Download or save the model again."
    own = json.dumps([{"idx": 0, "name": "0", "path": "", "type": "custom.Module"}])
    rows: list[tuple[str, dict[str, Change], str, str, str]] = [
        ("missing folder", dict.fromkeys(list(files)[1:]), "the model folder of embed.model", "model: ", "Mend it"),
        ("a file", {**dict.fromkeys(list(files)[1:]), "model": b"x"}, "is a file, not a folder", "model: ", "Mend it"),
        (
            "not a model",
            {"model/config.json": None, "model/modules.json": None},
            "this folder holds no model",
            "model: ",
            "SentenceTransformer.save_pretrained",
        ),
        ("a bad config.json", {"model/config.json": "{"}, "no readable JSON", "model/config.json", again),
        ("a bad modules.json", {"model/modules.json": "[1"}, "no readable JSON", "model/modules.json", again),
        (
            "modules.json is no list",
            {"model/modules.json": "{}"},
            "must hold a list of modules",
            "model/modules.json",
            again,
        ),
        (
            "a Git LFS pointer",
            {"model/model.safetensors": "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"},
            "pointer of Git LFS",
            "model/model.safetensors",
            "git lfs pull",
        ),
        (
            "truncated weights",
            {"model/model.safetensors": weights()[:-3]},
            "the weights are damaged",
            "model/model.safetensors",
            again,
        ),
        (
            "weights with a longer end",
            {"model/model.safetensors": weights() + b"x"},
            "the weights are damaged",
            "model/model.safetensors",
            again,
        ),
        (
            "weights with a cut header",
            {"model/model.safetensors": weights()[:20]},
            "their header is cut off",
            "model/model.safetensors",
            again,
        ),
        (
            "weights with a bad header",
            {"model/model.safetensors": weights().replace(b'"w"', b"'w'")},
            "the weights are damaged (their header)",
            "model/model.safetensors",
            again,
        ),
        (
            "empty weights",
            {"model/model.safetensors": b""},
            "the weights are damaged",
            "model/model.safetensors",
            again,
        ),
        (
            "a shard missing",
            {
                "model/model.safetensors": None,
                "model/model.safetensors.index.json": '{"weight_map": {"w": "m-1.safetensors"}}',
            },
            "'m-1.safetensors' are missing",
            "model: ",
            again,
        ),
        (
            "code of its own",
            {"model/modules.json": own},
            "runs Python code of its own",
            "model: ",
            "embed.trust_remote_code",
        ),
        (
            "a cross-encoder",
            {"model/config_sentence_transformers.json": '{"model_type": "CrossEncoder"}'},
            "this is a CrossEncoder",
            "model: ",
            "Check embed.model",
        ),
    ]
    for name, changes, cause, where, step in rows:
        yield Case("model", name, {**files, **changes}, RUN, 4, cause, where, step)
    loads = {
        **files,
        "model/modules.json": json.dumps(
            [
                *json.loads(modules),
                {"idx": 1, "name": "1", "path": "pool", "type": "sentence_transformers.models.Pooling"},
            ]
        ),
        "model/pool/config.json": '{"word_embedding_dimension": 8, "pooling_mode_mean_tokens": true}',
        "model/config.json": json.dumps(
            {
                "model_type": "bert",
                "hidden_size": 8,
                "num_hidden_layers": 1,
                "num_attention_heads": 1,
                "intermediate_size": 8,
            }
        ),
    }
    spoilt = {**loads, "model/tokenizer.json": "{"}
    cause, step = "the model cannot be loaded", "Check embed.model, embed.backend and embed.device"
    yield Case("model", "a bad tokenizer", spoilt, RUN, 4, cause, "model: ", step)
    spoilt = {**loads, "model/pool/config.json": "{"}
    yield Case("model", "a bad config of pooling", spoilt, RUN, 4, "no readable JSON", "model/pool/config.json", again)
    none = {"model/vocab.txt": None}
    yield Case("model", "no tokenizer", {**loads, **none}, RUN, 4, "the model has no tokenizer", "model: ", again)
    yield Case("model", "weights of another model", loads, RUN, 4, "files lack", "model: ", again)
    package = {"negmine.yaml": MODEL % "package://no_such_package/model"}
    yield Case(
        "model",
        "a package that is not there",
        package,
        RUN,
        8,
        "'no_such_package' of embed.model",
        "embed.model",
        "pip install no-such-package",
    )
    package = {"negmine.yaml": MODEL % "package://json/model"}
    yield Case("model", "a package without the model", package, RUN, 4, "does not exist", "json/model", "Mend it")
    hub = {"negmine.yaml": MODEL % "nobody/no-such-model"}
    offline = {"HF_HUB_OFFLINE": "1", "HF_HOME": "hub"}
    yield Case(
        "model",
        "a hub model without network",
        hub,
        RUN,
        4,
        "is not in the local cache and cannot be downloaded",
        "nobody/no-such-model",
        "Check the name and the connection",
        process=True,
        environment=offline,
    )
    for backend in ("onnx", "openvino"):
        command = (*RUN, "--set", f"embed.backend={backend}")
        cause = f"the {backend} backend needs packages"
        yield Case(
            "model",
            f"the packages of {backend} are not there",
            files,
            command,
            8,
            cause,
            backend,
            f"pip install 'negmine[{backend}]'",
        )


def held_lock(path: Path) -> Any:
    """The lock as another process would hold it: flock belongs to the open file."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    return descriptor


def flipped(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


def shorter(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def judge_cases() -> Iterator[Case]:
    """What is wrong with the words of a judge, with judgements and answers, or with the config of a command."""
    judge = ("judge", "-q", "--set", "judge.endpoint={url: 'http://127.0.0.1:1', model: m}")
    prompted = (*judge, "--set", "judge.prompts.user=user.txt")
    people = ("judge", "-q", "--dry-run", "--set", "judge={}")
    key, begin, label = (
        "judge.prompts.user",
        "Begin with the shipped one",
        '{"query_digest": "0", "passage_digest": "1"',
    )
    rows: list[tuple[str, dict[str, Change], tuple[str, ...], int, str, str, str]] = [
        ("no judge", {}, ("judge", "-q"), 3, "no judge is configured", "judge", "Set judge.endpoint"),
        ("no model", {}, ("audit", "-q", "--judge"), 3, "there is no language model", "judge.endpoint", "Set it"),
        ("no prompt", {}, prompted, 4, "this file does not exist", "user.txt", f"Check {key}"),
        ("an empty prompt", {"user.txt": " \n"}, prompted, 4, "this file is empty", "user.txt", "Write the prompt"),
        ("a binary prompt", {"user.txt": b"\xff\xfe"}, prompted, 4, "not UTF-8 text", "user.txt", "Save it as UTF-8"),
        ("nothing to judge", {"user.txt": "{query}?"}, prompted, 3, "there is no '{passages}'", key, begin),
        ("another slot", {"user.txt": "{query} {passages} {id}"}, prompted, 3, "'{id}' stands for nothing", key, begin),
        ("a lonely brace", {"user.txt": "{query} {passages} {"}, prompted, 3, "names no column", key, begin),
        (
            "a damaged answer",
            {"work/answers.jsonl": '{"judge": 1}\n'},
            (*judge, "--dry-run"),
            4,
            "this is no answer of a judge",
            "answers.jsonl:1",
            "Delete this line",
        ),
        (
            "a damaged judgement",
            {"work/judgements.jsonl": f'{label}, "relevant": true, "source": "person"}}\n'},
            people,
            4,
            "not 32 hexadecimal digits",
            "judgements.jsonl:1",
            "Mend or delete",
        ),
    ]
    for name, files, command, code, cause, where, step in rows:
        yield Case("judge", name, files, command, code, cause, where, step)


def work_dir_cases() -> Iterator[Case]:
    yield Case(
        "work_dir",
        "a file",
        {"place": b"x"},
        (*RUN, "--set", "work_dir=place"),
        4,
        "cannot be created",
        "place",
        "Mend it",
    )
    yield Case(
        "work_dir",
        "below a file",
        {"place": b"x"},
        (*RUN, "--set", "work_dir=place/work"),
        4,
        "cannot be created",
        "place/work",
        "Mend it",
    )
    yield Case(
        "work_dir",
        "a place without permission",
        {},
        (*RUN, "--set", "work_dir=/proc/negmine"),
        4,
        "cannot be created",
        "/proc/negmine",
        "work_dir",
    )
    yield Case(
        "work_dir",
        "held by another process",
        {"work/.lock": held_lock},
        RUN,
        6,
        "another negmine command is writing",
        "work",
        "Wait for it to end",
    )
    for stage in ("ingest", "embed", "index", "mine", "filter", "export"):
        where = f"work/{stage}/manifest.json"
        yield Case(
            "work_dir",
            f"a changed manifest of {stage}",
            {where: flipped},
            RUN,
            5,
            "damaged",
            where,
            f"negmine {stage} --repair",
        )
        yield Case(
            "work_dir",
            f"half a manifest of {stage}",
            {where: b"{"},
            RUN,
            5,
            "damaged",
            where,
            f"negmine {stage} --repair",
        )
    yield Case(
        "work_dir",
        "no manifest",
        {"work/mine/manifest.json": None},
        RUN,
        5,
        "it is missing",
        "work/mine/manifest.json",
        "negmine mine --repair",
    )
    parts = ("ingest/corpus.parquet", "export/train.jsonl", "filter/report.json", "ingest/positives.parquet")
    for part in parts:
        stage = part.split("/")[0]
        yield Case(
            "work_dir",
            f"a shorter {part}",
            {f"work/{part}": shorter},
            RUN,
            5,
            "bytes",
            f"work/{part}",
            f"negmine {stage} --repair",
        )
        yield Case(
            "work_dir",
            f"no {part}",
            {f"work/{part}": None},
            RUN,
            5,
            "missing",
            f"work/{part}",
            f"negmine {stage} --repair",
        )


def usage_cases() -> Iterator[Case]:
    new = {"pairs.jsonl": jsonl([*PAIR_ROWS[:-1], {"anchor": "new", "positive": "passage 5"}])}
    rows: list[tuple[str, dict[str, Change], tuple[str, ...], str, str, str]] = [
        ("no such command", {}, ("rnu",), "No such command 'rnu'", "rnu", "Did you mean"),
        ("no such command, nothing near", {}, ("xyzzy",), "No such command 'xyzzy'", "xyzzy", "negmine --help"),
        ("no such option", {}, ("run", "--verfy"), "No such option", "--verfy", "--verify"),
        ("no such option, nothing near", {}, ("run", "--xyzzy"), "No such option", "--xyzzy", "negmine run --help"),
        ("no such short option", {}, ("run", "-Z"), "No such option", "-Z", "negmine run --help"),
        ("an option of another command", {}, ("run", "--repair"), "No such option", "--repair", "--help"),
        ("an option without its value", {}, ("run", "-c"), "requires an argument", "-c", "--help"),
        ("--set without its value", {}, ("run", "--set"), "requires an argument", "--set", "--help"),
        (
            "a word too many",
            {},
            ("run", "negmine.yaml"),
            "unexpected extra argument",
            "negmine.yaml",
            "negmine run --help",
        ),
        ("a value for a flag", {}, ("run", "--json=yes"), "does not take a value", "--json", "--help"),
        (
            "another log format",
            {},
            (*RUN, "--log-format", "xml"),
            "--log-format is 'xml'",
            "--log-format",
            "Use text or json",
        ),
        (
            "explain without a query",
            {},
            ("explain", "-q"),
            "explain takes ids of queries",
            "explain",
            "Give one of them",
        ),
        ("diff of one run", {}, ("diff", "-q", "work"), "Missing argument", "RUN_B", "negmine diff --help"),
        ("diff with what is not there", {}, ("diff", "-q", "work", "old"), "no such run", "old", "Name a work_dir"),
        ("diff with no run", {}, ("diff", "-q", "work", "."), "no work_dir of a run", ".", "There is a config in it"),
        (
            "history without that entry",
            {},
            ("history", "-q", "--show-config", "9"),
            "no entry 9",
            "work",
            "Entries are 1 to 1",
        ),
        ("history of no export", {}, ("history", "-q", "--of", "."), "no training files", ".", "Name an export folder"),
        (
            "check of a stale run",
            {},
            ("check", "-q", "--set", "checks.min_yield=0.5", "--set", "mine.k=7"),
            "mine is stale",
            "mine",
            "Run: negmine run -c negmine.yaml --set",
        ),
        (
            "check into a folder",
            {},
            ("check", "-q", "--set", "checks.min_yield=0.5", "--junit", "."),
            "the file is a folder",
            ".",
            "Give the path of a file",
        ),
        ("no config", {"negmine.yaml": None}, ("run",), "no config was given", "negmine.yaml", "-c FILE"),
        (
            "status without a config",
            {"negmine.yaml": None},
            ("status",),
            "no config was given",
            "negmine.yaml",
            "-c FILE",
        ),
        ("plan without a config", {"negmine.yaml": None}, ("plan",), "no config was given", "negmine.yaml", "-c FILE"),
        (
            "clean without a config",
            {"negmine.yaml": None},
            ("clean",),
            "no config was given",
            "negmine.yaml",
            "-c FILE",
        ),
        (
            "mine before ingest",
            new,
            ("mine", "-q"),
            "ingest is stale",
            "ingest",
            "negmine mine --with-upstream -c negmine.yaml",
        ),
        (
            "filter before mine",
            {},
            ("filter", "-q", "--set", "mine.k=7"),
            "mine is stale",
            "mine",
            "--with-upstream -c negmine.yaml --set mine.k=7",
        ),
        (
            "export before filter",
            {},
            ("export", "-q", "--set", "filter.num_negatives=1"),
            "filter is stale",
            "filter",
            "negmine export --with-upstream",
        ),
        (
            "index before embed",
            {},
            ("index", "-q", "--set", "embed.store_dtype=float16"),
            "embed is stale",
            "embed",
            "negmine index --with-upstream",
        ),
        (
            "mine in a new folder",
            {},
            ("mine", "-q", "--set", "work_dir=new"),
            "ingest is missing",
            "ingest",
            "negmine mine --with-upstream",
        ),
        (
            "judge a filter that is stale",
            {},
            ("judge", "-q", "--dry-run", "--set", "judge={}", "--set", "filter.num_negatives=1"),
            "filter is stale",
            "filter",
            "negmine filter --with-upstream",
        ),
        (
            "judge with two things to do",
            {},
            ("judge", "-q", "--dry-run", "--export-sheet", "s.csv", "--set", "judge={}"),
            "--dry-run and --export-sheet are given",
            "--dry-run",
            "Give one at a time",
        ),
        (
            "judge to a sheet of no kind",
            {},
            ("judge", "-q", "--export-sheet", "sheet.txt", "--set", "judge={}"),
            "a sheet is a .jsonl or .csv file",
            "sheet.txt",
            "Rename it",
        ),
        ("explain a query that is not there", {}, ("explain", "-q", "nobody"), "nobody", "nobody", ""),
        ("init over a config", {}, ("init",), "negmine.yaml", "negmine.yaml", "--force"),
    ]
    for name, files, command, cause, where, step in rows:
        yield Case("flags", name, files, command, 2, cause, where, step)


def all_cases() -> list[Case]:
    makers = (
        config_cases,
        override_cases,
        pairs_cases,
        corpus_cases,
        collection_cases,
        format_cases,
        vector_cases,
        model_cases,
        work_dir_cases,
        judge_cases,
        usage_cases,
    )
    return [case for maker in makers for case in maker()]
