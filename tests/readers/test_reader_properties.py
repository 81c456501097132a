"""What holds for any text and any bytes."""

from __future__ import annotations

import contextlib
import csv
import gzip
import io
import json
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from reader_help import read_pairs

from negmine.config import ColumnsConfig
from negmine.errors import InputError
from negmine.readers import LABEL_FORMATS, BadRows, LabelSettings, open_vectors, read_corpus, read_qrels
from negmine.readers.recognise import recognise_file

COLUMNS = ColumnsConfig()
FORMATS = [f"{kind}{packing}" for kind in ("jsonl", "json", "csv", "tsv", "parquet") for packing in ("", ".gz", ".zst")]


texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
ids = texts.filter(lambda text: bool(text.strip()))
rows = st.lists(st.tuples(ids, texts, texts), min_size=1, max_size=6)
quick = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def dumped(kind: str, table: list[tuple[str, str, str]]) -> bytes:
    names = ("_id", "title", "text")
    objects = [dict(zip(names, row, strict=True)) for row in table]
    if kind == "jsonl":
        return "".join(json.dumps(row, ensure_ascii=len(row["text"]) % 2 == 0) + "\n" for row in objects).encode()
    if kind == "json":
        return json.dumps(objects, indent=2, ensure_ascii=False).encode()
    if kind == "parquet":
        sink = io.BytesIO()
        pq.write_table(pa.Table.from_pylist(objects), sink)
        return sink.getvalue()
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter="," if kind == "csv" else "\t", quoting=csv.QUOTE_ALL)
    writer.writerows([names, *table])
    return out.getvalue().encode()


def packed(data: bytes, packing: str) -> bytes:
    if packing == "gz":
        return gzip.compress(data)
    return pa.compress(data, "zstd", asbytes=True) if packing == "zst" else data


@pytest.mark.parametrize("suffix", FORMATS)
@quick
@given(table=rows)
@example(table=[("\ufeffid", "\r\n", "a\rb\nc\u2028d\x1e\x85"), ('"', "\\", "\t,'")])
def test_any_text_is_read_back_as_it_was_written(suffix: str, table: list[tuple[str, str, str]]) -> None:
    kind, _, packing = suffix.partition(".")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"corpus.{suffix}"
        path.write_bytes(packed(dumped(kind, table), packing))
        read = [
            row
            for b in read_corpus(path, COLUMNS, (), BadRows())
            for row in zip(b.doc_ids, b.titles, b.texts, strict=True)
        ]
    assert read == table


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("policy", ["error", "skip"])
@quick
@given(data=st.binary(max_size=200))
@example(data=b"[")
@example(data=b'{"anchor": "q", "positive": {"a": "\xff"}}')
@example(data=b"PAR1PAR1PAR1")
@example(data=b'anchor,positive\n\x00,"')
def test_any_bytes_raise_nothing_but_input_errors(suffix: str, policy: str, data: bytes) -> None:
    packing = suffix.partition(".")[2]
    with tempfile.TemporaryDirectory() as folder:
        for content in (data, packed(data, packing)):
            path = Path(folder) / f"pairs.{suffix}"
            path.write_bytes(content)
            with contextlib.suppress(InputError):
                list(read_pairs(path, COLUMNS, BadRows(policy)))
            with contextlib.suppress(InputError):
                list(read_corpus(path, COLUMNS, ("m",), BadRows(policy)))


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["text", "title", "docid"]), inner),
    max_leaves=5,
)
_KEYS = (
    *("query_id", "anchor", "positive", "negative_1", "negative_id", "text", "labels", "query", "pos", "neg"),
    *("positive_passages", "query_text", "positive_document_ids", "question", "positive_ctxs", "document_ids"),
)


@pytest.mark.parametrize("name", sorted(LABEL_FORMATS))
@pytest.mark.parametrize("policy", ["error", "skip"])
@quick
@given(found=st.lists(st.dictionaries(st.sampled_from(_KEYS), anything), max_size=3), tail=st.binary(max_size=20))
def test_any_values_in_any_layout_raise_nothing_but_input_errors(
    name: str, policy: str, found: list[dict[str, object]], tail: bytes
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / ("a.tsv" if name == "msmarco" else "a.jsonl")
        path.write_bytes(b"".join(json.dumps(row).encode() + b"\n" for row in found) + tail)
        with contextlib.suppress(InputError):
            for batch in LABEL_FORMATS[name].read([path], LabelSettings(COLUMNS, negatives=True), BadRows(policy)):
                assert len(batch.row) == len(batch.texts) == len(batch.ranks)
        with contextlib.suppress(InputError):
            recognise_file(path)


@pytest.mark.parametrize("suffix", ["jsonl", "json", "csv", "parquet", "jsonl.gz", "jsonl.zst"])
@quick
@given(place=st.floats(0, 0.999), value=st.integers(0, 255))
def test_any_wrong_byte_raises_nothing_but_input_errors(suffix: str, place: float, value: int) -> None:
    kind, _, packing = suffix.partition(".")
    content = bytearray(packed(dumped(kind, [(f"d{i}", "title", f"text {i}") for i in range(30)]), packing))
    content[int(place * len(content))] = value
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"corpus.{suffix}"
        path.write_bytes(content)
        with contextlib.suppress(InputError):
            list(read_corpus(path, COLUMNS, (), BadRows()))


@quick
@given(data=st.binary(max_size=200))
def test_any_bytes_as_qrels_raise_nothing_but_input_errors(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "train.tsv"
        path.write_bytes(data)
        with contextlib.suppress(InputError):
            list(read_qrels(path, BadRows()))


def vector_file(suffix: str) -> bytes:
    sink = io.BytesIO()
    vectors = np.arange(60, dtype=np.float32).reshape(20, 3)
    if suffix == "npy":
        np.save(sink, vectors)
    else:
        pq.write_table(pa.table({"doc_id": [str(i) for i in range(20)], "vector": vectors.tolist()}), sink)
    return sink.getvalue()


def read_all_vectors(path: Path) -> None:
    source = open_vectors(path, "doc_id")
    assert sum(len(block) for _, block in source.iter_blocks(7)) == source.rows
    if source.has_ids:
        list(source.iter_ids(7))


@pytest.mark.parametrize("suffix", ["npy", "parquet"])
@quick
@given(data=st.binary(max_size=200), magic=st.booleans())
def test_any_bytes_as_vectors_raise_nothing_but_input_errors(suffix: str, data: bytes, magic: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"vectors.{suffix}"
        path.write_bytes(vector_file(suffix)[:10] + data if magic else data)
        with contextlib.suppress(InputError):
            read_all_vectors(path)


@pytest.mark.parametrize("suffix", ["npy", "parquet"])
@quick
@given(place=st.floats(0, 0.999), value=st.integers(0, 255))
def test_any_wrong_byte_in_vectors_raises_nothing_but_input_errors(suffix: str, place: float, value: int) -> None:
    content = bytearray(vector_file(suffix))
    content[int(place * len(content))] = value
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"vectors.{suffix}"
        path.write_bytes(content)
        with contextlib.suppress(InputError):
            read_all_vectors(path)
