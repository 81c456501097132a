"""Damage good files at random; whatever is read from them must be data or an error of negmine.

    python tests/fuzz/fuzz.py --minutes 10 --seed 1

Anything but success or a NegmineError is a finding: it is printed, and the bytes that show it are
kept in the folder of ``--keep``. Equal seeds make equal inputs.
"""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import gzip
import io
import json
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import negmine
from negmine.cli.console import Console
from negmine.config import ColumnsConfig, load_config
from negmine.errors import NegmineError
from negmine.readers import LABEL_FORMATS, BadRows, LabelSettings, open_vectors, read_corpus, read_qrels, read_queries

SECONDS_PER_INPUT = 20
LONGEST = 2000
"""Characters of a message: what is wrong is cited, not poured out."""
DOCUMENTS, QUERIES = 12, 6
COLUMNS = ColumnsConfig()
CONFIG = """\
work_dir: work
seed: 3
memory_limit: 500MB
threads: auto
data:
  pairs: pairs.jsonl
  corpus: corpus.jsonl
  columns: {anchor: anchor, positive: positive, doc_id: _id, text: text}
  metadata: [lang]
  on_bad_row: skip
embed: {vectors: {corpus: corpus.npy, queries: queries.npy}}
mine: &depth
  k: 20
filter:
  relative_margin: 0.05
  max_score: null
  num_negatives: 2
  sampling_strategy: "random"
export:
  - {format: triplet, file: train.jsonl}
  - format: n-tuple
    file: 'lists.parquet'
    scores: true
"""
ODD_TEXTS = (
    "\ud800",
    "\x00",
    "\u2028",
    "\u202e",
    "\ufeff",
    "\U0010ffff",
    "e\u0301" * 50,
    "\u0130",
    "ﷺ" * 20,
    "\r",
    "\x85",
    "\x1a",
)
NUMBERS = ("1e999", "-1e999", "9" * 400, "-0", "1e-999", "18446744073709551616", "NaN", "0x10", "1_0", ".5", "٣")
TOKENS = (
    *(
        "null",
        "true",
        "[]",
        "{}",
        '""',
        "''",
        "&a",
        "*a",
        "<<: *depth",
        "!!binary x",
        "? ",
        "- ",
        "---\n",
        "%YAML 9.9\n",
    ),
    *("\n\n", "\t", '"', "'", ",", ":", "{", "}", "[", "]", "|", ">", "#", "\\", "\\u", "~", "package://", "~root/x"),
)


def _rows(kind: str) -> list[dict[str, Any]]:
    if kind == "pairs":
        return [
            {"query_id": f"q{i}", "anchor": f"query {i} ä", "positive": f"passage {i}", "positive_id": f"d{i}"}
            for i in range(QUERIES)
        ]
    if kind == "corpus":
        return [{"_id": f"d{i}", "title": "", "text": f"passage {i}", "lang": "en"} for i in range(DOCUMENTS)]
    return [{"_id": f"q{i}", "text": f"query {i} ä"} for i in range(QUERIES)]


def _table(rows: list[dict[str, Any]], kind: str) -> bytes:
    if kind == ".jsonl":
        return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
    if kind == ".json":
        return json.dumps(rows, indent=1).encode()
    if kind == ".parquet":
        return _parquet(pa.Table.from_pylist(rows))
    cut = "," if kind == ".csv" else "\t"
    lines = [list(rows[0]), *([f'"{value}"' for value in row.values()] for row in rows)]
    return "".join(cut.join(line) + "\n" for line in lines).encode()


def _parquet(table: pa.Table) -> bytes:
    out = io.BytesIO()
    pq.write_table(table, out)
    return out.getvalue()


def pack(data: bytes, suffix: str) -> bytes:
    """Compressed as the last part of a file name says."""
    if suffix == ".gz":
        return gzip.compress(data, mtime=0)
    if suffix == ".zst":
        sink = pa.BufferOutputStream()
        with pa.CompressedOutputStream(sink, "zstd") as stream:
            stream.write(data)
        return sink.getvalue().to_pybytes()
    return data


def good_files() -> dict[str, bytes]:
    """Every kind of file that negmine reads, by name; what it is for is before the first dot."""
    vectors = np.random.default_rng(0).standard_normal((DOCUMENTS, 8)).astype(np.float32)
    files = {"config.yaml": CONFIG.encode()}
    for what in ("pairs", "corpus", "queries"):
        for kind in (".jsonl", ".json", ".csv", ".tsv", ".parquet"):
            files[what + kind] = _table(_rows(what), kind)
    qrels = "".join(f"q{i}\td{i}\t1\n" for i in range(QUERIES))
    files["qrels.tsv"] = ("query-id\tcorpus-id\tscore\n" + qrels).encode()
    files["qrels.txt"] = "".join(f"q{i} 0 d{i} 1\n" for i in range(QUERIES)).encode()
    array = io.BytesIO()
    np.save(array, vectors)
    files["vectors.npy"] = array.getvalue()
    ids = [f"d{i}" for i in range(DOCUMENTS)]
    fixed = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), 8)
    files["vectors.parquet"] = _parquet(pa.table({"doc_id": ids, "vector": vectors.tolist()}))
    files["vectors-fixed.parquet"] = _parquet(pa.table({"doc_id": ids, "vector": fixed}))
    return files


def mutations(draw: random.Random, data: bytes, others: list[bytes]) -> bytes:
    """One to six random damages, one after the other."""
    kinds: tuple[Callable[[random.Random, bytes, list[bytes]], bytes], ...]
    kinds = (_flip, _flip, _cut, _splice, _repeat, _number, _nest, _odd, _token, _token, _remove, _shuffle)
    for _ in range(draw.choice((1, 1, 1, 2, 3, 6))):
        data = draw.choice(kinds)(draw, data, others)
    return data


def _at(draw: random.Random, data: bytes) -> int:
    return draw.randint(0, len(data))


def _flip(draw: random.Random, data: bytes, others: list[bytes]) -> bytes:
    changed = bytearray(data)
    for _ in range(draw.choice((1, 1, 2, 8))):
        if changed:
            at = draw.randrange(len(changed))
            changed[at] = changed[at] ^ (1 << draw.randrange(8)) if draw.random() < 0.7 else draw.randrange(256)
    return bytes(changed)


def _cut(draw: random.Random, data: bytes, others: list[bytes]) -> bytes:
    at = _at(draw, data)
    return data[:at] if draw.random() < 0.8 else data[at:]


def _splice(draw: random.Random, data: bytes, others: list[bytes]) -> bytes:
    other = draw.choice(others)
    return data[: _at(draw, data)] + other[_at(draw, other) :]


def _repeat(draw: random.Random, data: bytes, others: list[bytes]) -> bytes:
    low, high = sorted((_at(draw, data), _at(draw, data)))
    return data[:high] + data[low:high] * draw.choice((1, 2, 20)) + data[high:]


def _remove(draw: random.Random, data: bytes, others: list[bytes]) -> bytes:
    low, high = sorted((_at(draw, data), _at(draw, data)))
    return data[:low] + data[high:] if high - low < len(data) // 2 else data[: low + 1] + data[low + 2 :]


def _shuffle(draw: random.Random, data: bytes, others: list[bytes]) -> bytes:
    lines = data.split(b"\n")
    draw.shuffle(lines)
    return b"\n".join(lines)


def _insert(draw: random.Random, data: bytes, text: str) -> bytes:
    at = _at(draw, data)
    return data[:at] + text.encode("utf-8", "surrogatepass") + data[at:]


def _number(draw: random.Random, data: bytes, others: list[bytes]) -> bytes:
    places = [at for at, byte in enumerate(data) if 48 <= byte < 58]
    if not places:
        return _insert(draw, data, draw.choice(NUMBERS))
    at = draw.choice(places)
    return data[:at] + draw.choice(NUMBERS).encode() + data[at + 1 :]


def _nest(draw: random.Random, data: bytes, others: list[bytes]) -> bytes:
    return _insert(
        draw, data, draw.choice(("[", "{", '{"a":', "- ", "? ", "a: {", "[[]", "((")) * draw.choice((3, 40, 3000))
    )


def _odd(draw: random.Random, data: bytes, others: list[bytes]) -> bytes:
    return _insert(draw, data, draw.choice(ODD_TEXTS))


def _token(draw: random.Random, data: bytes, others: list[bytes]) -> bytes:
    return _insert(draw, data, draw.choice(TOKENS))


class TooSlowError(BaseException):
    """An input that takes longer than any should."""


def _too_slow(number: int, frame: object) -> None:
    raise TooSlowError


@dataclass
class Finding:
    name: str
    how: str
    trace: str
    data: bytes


@dataclass
class Fuzzer:
    """Makes inputs from a seed and reads them in ``folder``."""

    folder: Path
    seed: int
    inputs: int = 0
    refused: int = 0
    findings: list[Finding] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.draw = random.Random(self.seed)
        self.files = good_files()
        self.names = sorted(self.files)
        self.pool = list(self.files.values())
        for name in ("pairs.jsonl", "corpus.jsonl"):
            (self.folder / name).write_bytes(self.files[name])
        for name, rows in (("corpus.npy", DOCUMENTS), ("queries.npy", QUERIES)):
            np.save(self.folder / name, np.ones((rows, 8), np.float32))

    def one(self) -> None:
        """Make an input, read it."""
        name = self.draw.choice(self.names)
        data = self.files[name]
        what = name.partition(".")[0]
        packed = self.draw.choice(("", "", ".gz", ".zst")) if what not in ("config", "vectors", "vectors-fixed") else ""
        if packed and self.draw.random() < 0.5:
            data = mutations(self.draw, pack(data, packed), self.pool)
        else:
            data = pack(mutations(self.draw, data, self.pool), packed)
        path = self.folder / f"bad-{name}{packed}"
        path.write_bytes(data)
        for how, call in self._calls(what, path):
            self._try(path.name, how, data, call)
        path.unlink()

    def _calls(self, what: str, path: Path) -> Iterator[tuple[str, Callable[[], object]]]:
        bad = BadRows(self.draw.choice(("error", "skip")))
        if what == "config":
            yield "load_config", lambda: load_config(path)
            key = self.draw.choice(
                ("mine.k", "export.0.file", "data.metadata", "threads", "filter", "embed.vectors.corpus")
            )
            value = mutations(self.draw, b"[a, 5]", self.pool)[:500].decode("utf-8", "replace")
            good = self.folder / "good.yaml"
            good.write_text(CONFIG, "utf-8")
            yield "load_config --set", lambda: load_config(good, [f"{key}={value}"])
        elif what == "pairs":
            yield "read_pairs", lambda: list(LABEL_FORMATS["pairs"].read([path], LabelSettings(COLUMNS), bad))
        elif what == "corpus":
            yield "read_corpus", lambda: list(read_corpus(path, COLUMNS, ("lang",), bad))
        elif what == "queries":
            yield "read_queries", lambda: list(read_queries(path, COLUMNS, bad))
        elif what == "qrels":
            yield "read_qrels", lambda: list(read_qrels(path, bad))
        else:
            yield "open_vectors", lambda: _all_vectors(path)
        if what in ("pairs", "corpus", "queries", "qrels") and self.draw.random() < 0.15:
            policy = self.draw.choice(("error", "skip"))
            yield f"ingest ({policy})", lambda: self._ingest(what, path, policy)

    def _ingest(self, what: str, path: Path, policy: str) -> None:
        files = {"pairs": "pairs.jsonl", "corpus": "corpus.jsonl"}
        if what in ("queries", "qrels"):
            for name in ("queries.jsonl", "qrels.tsv"):
                (self.folder / name).write_bytes(self.files[name])
            files = {"queries": "queries.jsonl", "qrels": "qrels.tsv", "corpus": "corpus.jsonl"}
        data = {**files, what: path.name, "on_bad_row": policy}
        embed = {"vectors": {"corpus": "corpus.npy", "queries": "queries.npy"}}
        config = negmine.config_from_dict({"work_dir": "work", "data": data, "embed": embed}, self.folder)
        try:
            negmine.run(config, until="ingest")
        finally:
            shutil.rmtree(self.folder / "work", ignore_errors=True)

    def _try(self, name: str, how: str, data: bytes, call: Callable[[], object]) -> None:
        self.inputs += 1
        signal.alarm(SECONDS_PER_INPUT)
        try:
            call()
        except NegmineError as error:
            self.refused += 1
            told = io.StringIO()
            with contextlib.redirect_stderr(told):
                Console().error(error)
            line, *rest = told.getvalue().splitlines()
            plain = all(part.isprintable() for part in (line, *rest)) and all(part[:2] == "  " for part in rest)
            if not line.startswith("error: ") or not plain or len(line) > LONGEST:
                self.findings.append(Finding(name, how, f"odd message: {told.getvalue()!r}", data))
        except TooSlowError:
            self.findings.append(Finding(name, how, f"took longer than {SECONDS_PER_INPUT} s", data))
        except Exception:
            self.findings.append(Finding(name, how, traceback.format_exc(), data))
        finally:
            signal.alarm(0)


def _all_vectors(path: Path) -> None:
    source = open_vectors(path, "doc_id")
    for _ in source.iter_blocks(5):
        pass
    if source.has_ids:
        list(source.iter_ids(5))


def fuzz(folder: Path, seed: int, *, minutes: float = 0, inputs: int = 0, keep: Path | None = None) -> Fuzzer:
    """Read damaged files until the time is over or so many were read."""
    fuzzer = Fuzzer(folder, seed)
    previous = signal.signal(signal.SIGALRM, _too_slow)
    warnings.simplefilter("ignore")
    until = time.monotonic() + 60 * minutes
    reported, told = 0, time.monotonic()
    try:
        while fuzzer.inputs < inputs or time.monotonic() < until:
            fuzzer.one()
            for number, finding in enumerate(fuzzer.findings[reported:], reported):
                reported += 1
                if keep is not None:
                    keep.mkdir(parents=True, exist_ok=True)
                    (keep / f"{seed}-{number}-{finding.name}").write_bytes(finding.data)
                    cited = f"{finding.trace[:300]} ... {finding.trace[-1200:]}"
                    say(f"FINDING {number} in {finding.name} by {finding.how}\n{cited}")
            if keep is not None and time.monotonic() > told + 60:
                told = time.monotonic()
                say(f"{fuzzer.inputs} inputs, {fuzzer.refused} refused, {len(fuzzer.findings)} findings")
    finally:
        signal.signal(signal.SIGALRM, previous)
    return fuzzer


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, default=Path("fuzz-findings"), help="Folder for inputs that show a fault.")
    given = parser.parse_args()
    faulthandler.enable()
    with tempfile.TemporaryDirectory(prefix="negmine-fuzz-") as folder:
        done = fuzz(Path(folder), given.seed, minutes=given.minutes, keep=given.keep)
    say(f"seed {given.seed}: {done.inputs} inputs, {done.refused} refused, {len(done.findings)} findings")
    return 1 if done.findings else 0


if __name__ == "__main__":
    sys.exit(main())
