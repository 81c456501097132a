"""Files that look unusual and are fine: encodings, line ends, types, shapes."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from reader_help import read_pairs

from negmine.config import ColumnsConfig
from negmine.readers import BadRows, read_corpus, read_qrels, read_queries
from negmine.readers.formats.beir import beir_files

COLUMNS = ColumnsConfig()


def pairs(path: Path) -> list[tuple[Any, ...]]:
    """Query id, query, positive text, positive id, line of every pair."""
    return [
        (b.query_ids[row], b.queries[row], text, doc_id, b.lines[row])
        for b in read_pairs(path, COLUMNS, BadRows())
        for row, text, doc_id in zip(b.row, b.texts, b.doc_ids, strict=True)
    ]


def documents(path: Path, metadata: tuple[str, ...] = ()) -> list[tuple[Any, ...]]:
    """Id, title, text, metadata values of every document."""
    return [
        row
        for b in read_corpus(path, COLUMNS, metadata, BadRows())
        for row in zip(b.doc_ids, b.titles, b.texts, *(b.metadata[name] for name in metadata), strict=True)
    ]


def judgements(path: Path) -> list[tuple[str, str, float]]:
    return [row for b in read_qrels(path, BadRows()) for row in zip(b.query_ids, b.doc_ids, b.grades, strict=True)]


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


LINE = b'{"anchor": "q", "positive": "p"}'
ONE = [(None, "q", "p", None, 1)]


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("bom.jsonl", b"\xef\xbb\xbf" + LINE + b"\n"),
        ("crlf.jsonl", LINE + b"\r\n"),
        ("no-end.jsonl", LINE),
        ("blank.ndjson", LINE + b"\n\n  \n\t\r\n"),
        ("upper.JSONL", LINE),
        ("really-lines.json", LINE),
        ("array.json", b"[" + LINE + b"]"),
        ("array.json", b"\xef\xbb\xbf\r\n [\r\n" + LINE + b"\r\n]\r\n"),
        ("bom.csv", b"\xef\xbb\xbfanchor,positive\nq,p\n"),
        ("bom-quoted.csv", b'\xef\xbb\xbf"anchor","positive"\n"q","p"\n'),
        ("crlf.csv", b"anchor,positive\r\nq,p\r\n"),
        ("plain.tsv", b"anchor\tpositive\nq\tp"),
        ("members.jsonl.gz", gzip.compress(LINE[:9], mtime=0) + gzip.compress(LINE[9:], mtime=0)),
        ("frames.jsonl.zst", pa.compress(LINE[:9], "zstd", asbytes=True) + pa.compress(LINE[9:], "zstd", asbytes=True)),
        ("array.json.gz", gzip.compress(b"[" + LINE + b"]", mtime=0)),
        ("bom.csv.gz", gzip.compress(b"\xef\xbb\xbfanchor,positive\nq,p\n", mtime=0)),
    ],
)
def test_a_pair_is_read_whatever_the_dress(tmp_path: Path, name: str, data: bytes) -> None:
    assert [row[:4] for row in pairs(written(tmp_path / name, data))] == [ONE[0][:4]]


def test_blank_lines_count_as_lines(tmp_path: Path) -> None:
    assert [row[4] for row in pairs(written(tmp_path / "a.jsonl", b"\n" + LINE + b"\n \n" + LINE))] == [2, 4]


def test_rows_after_blank_lines_and_quoted_newlines_keep_their_line(tmp_path: Path) -> None:
    data = b'anchor,positive\n\n"a\n\nb",p\n   \nq,p\n'
    assert [(row[1], row[4]) for row in pairs(written(tmp_path / "a.csv", data))] == [("a\n\nb", 3), ("q", 7)]


def test_quoted_line_ends_are_kept_as_they_are(tmp_path: Path) -> None:
    data = b'anchor,positive\r\n"a\r\nb\rc\nd","say ""p"", or not"\r\n'
    assert pairs(written(tmp_path / "a.csv", data))[0][1:3] == ("a\r\nb\rc\nd", 'say "p", or not')


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ('"query_id": 7, "positive": "p"', [("7", "q", "p", None)]),
        ('"query_id": "007", "positive": "p"', [("007", "q", "p", None)]),
        ('"query_id": 18446744073709551615, "positive": "p"', [("18446744073709551615", "q", "p", None)]),
        ('"positive": "letters"', [(None, "q", "letters", None)]),
        ('"positive": ["a", "b"]', [(None, "q", "a", None), (None, "q", "b", None)]),
        ('"positive_id": "d"', [(None, "q", None, "d")]),
        ('"positive_id": 3', [(None, "q", None, "3")]),
        ('"positive_id": [3, "d"]', [(None, "q", None, "3"), (None, "q", None, "d")]),
        ('"positive_id": null, "positive": "p"', [(None, "q", "p", None)]),
        ('"positive_id": "d", "positive": "p"', [(None, "q", "p", "d")]),
        ('"positive_id": [1, 2], "positive": ["a", "b"]', [(None, "q", "a", "1"), (None, "q", "b", "2")]),
        ('"positive": "p", "extra": {"x": [1, {"y": null}]}', [(None, "q", "p", None)]),
    ],
)
def test_ids_may_be_numbers_and_positives_lists(tmp_path: Path, row: str, expected: list[tuple[Any, ...]]) -> None:
    path = written(tmp_path / "a.jsonl", f'{{"anchor": "q", {row}}}'.encode())
    assert [pair[:4] for pair in pairs(path)] == expected


def test_an_empty_csv_cell_is_no_positive_id(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", b"anchor,positive,positive_id\nq,p,\nq,,d\n")
    assert [row[2:4] for row in pairs(path)] == [("p", None), (None, "d")]


@pytest.mark.parametrize(
    "kind", [pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string()), pa.string_view()], ids=str
)
def test_parquet_texts_may_have_any_text_type(tmp_path: Path, kind: pa.DataType) -> None:
    path = tmp_path / "pairs.parquet"
    texts = pa.array(["ä", "q"]).cast(kind) if kind != pa.string_view() else pa.array(["ä", "q"], kind)
    try:
        pq.write_table(pa.table({"anchor": texts, "positive": texts}), path)
    except pa.ArrowNotImplementedError:
        pytest.skip("this pyarrow cannot write the type")
    assert [row[:4] for row in pairs(path)] == [(None, "ä", "ä", None), (None, "q", "q", None)]


@pytest.mark.parametrize("kind", [pa.int8(), pa.int64(), pa.uint64()], ids=str)
def test_parquet_ids_may_be_whole_numbers(tmp_path: Path, kind: pa.DataType) -> None:
    path = tmp_path / "corpus.parquet"
    pq.write_table(pa.table({"_id": pa.array([1, 2], kind), "text": ["a", "b"]}), path)
    assert documents(path) == [("1", "", "a"), ("2", "", "b")]


@pytest.mark.parametrize("of", [pa.list_, pa.large_list])
def test_parquet_positives_may_be_lists(tmp_path: Path, of: Any) -> None:
    path = tmp_path / "pairs.parquet"
    positives = pa.array([["a", "b"], ["c"]], of(pa.string()))
    pq.write_table(pa.table({"anchor": ["q", "r"], "positive": positives}), path)
    assert [row[1:3] for row in pairs(path)] == [("q", "a"), ("q", "b"), ("r", "c")]


def test_other_parquet_columns_are_not_read(tmp_path: Path) -> None:
    path = tmp_path / "corpus.parquet"
    broken = pa.Array.from_buffers(pa.string(), 1, pa.array([b"\xff"], pa.binary()).buffers())
    pq.write_table(pa.table({"_id": ["d"], "text": ["t"], "junk": broken}), path)
    assert documents(path) == [("d", "", "t")]


@pytest.mark.parametrize("title", ["", '"title": null, ', '"title": "", '])
def test_a_title_may_be_null_or_absent(tmp_path: Path, title: str) -> None:
    path = written(tmp_path / "c.jsonl", f'{{"_id": 1, {title}"text": "t"}}'.encode())
    assert documents(path) == [("1", "", "t")]


def test_metadata_are_texts_whatever_they_were(tmp_path: Path) -> None:
    rows = [{"_id": i, "text": "t", "m": value} for i, value in enumerate(["x", 3, 1.5, True, None])]
    rows.append({"_id": 9, "text": "t"})
    path = written(tmp_path / "c.jsonl", "\n".join(map(json.dumps, rows)).encode())
    assert [row[3] for row in documents(path, ("m",))] == ["x", "3", "1.5", "true", None, None]


def test_metadata_may_appear_for_the_first_time_late_in_the_file(tmp_path: Path) -> None:
    rows = [{"_id": i, "text": "t"} for i in range(5000)]
    path = written(tmp_path / "c.jsonl", "\n".join(map(json.dumps, [*rows, {"_id": "z", "m": "x"}])).encode())
    assert documents(path, ("m",))[-1] == ("z", "", "", "x")


def test_a_column_may_be_absent_from_the_first_row(tmp_path: Path) -> None:
    path = written(tmp_path / "c.jsonl", b'{"_id": 1, "title": "t"}\n{"_id": 2, "text": "x"}')
    assert documents(path) == [("1", "t", ""), ("2", "", "x")]


def test_a_line_of_many_megabytes_is_read(tmp_path: Path) -> None:
    long = "wörter " * 700_000
    path = written(tmp_path / "c.jsonl", json.dumps({"_id": 1, "text": long}).encode() + b'\n{"_id": 2, "text": "b"}\n')
    assert documents(path) == [("1", "", long), ("2", "", "b")]


def test_a_csv_field_of_many_megabytes_is_read(tmp_path: Path) -> None:
    long = "words, and more\n" * 300_000
    path = written(tmp_path / "c.csv", f'_id,text\n1,"{long}"\n'.encode())
    assert documents(path) == [("1", "", long)]


def test_more_rows_than_a_batch_keep_their_order_and_lines(tmp_path: Path) -> None:
    lines = [json.dumps({"anchor": str(i), "positive": "p"}) for i in range(10_000)]
    read = pairs(written(tmp_path / "a.jsonl", "\n".join(lines).encode()))
    assert [(row[1], row[4]) for row in read] == [(str(i), i + 1) for i in range(10_000)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("query-id\tcorpus-id\tscore\nq\td\t1\n", [("q", "d", 1.0)]),
        ("\ufeffquery-id\tcorpus-id\tscore\r\nq\td\t1\r\n", [("q", "d", 1.0)]),
        ("\n\nquery-id\tcorpus-id\tscore\nq\td\t1\n", [("q", "d", 1.0)]),
        ("q\td\t1\nr\te\t2\n", [("q", "d", 1.0), ("r", "e", 2.0)]),
        ("q 0 d 1\nr\t0\te\t2\n", [("q", "d", 1.0), ("r", "e", 2.0)]),
        ("q\td\t1.0\nq\te\t-1\n", [("q", "d", 1.0), ("q", "e", -1.0)]),
        ("a query\ta document\t1\n", [("a query", "a document", 1.0)]),
        ('"q"\td\'s\t1', [('"q"', "d's", 1.0)]),
        ("1\t2\t3\n", [("1", "2", 3.0)]),
        ("qid docid rel\nq d 1\n", [("q", "d", 1.0)]),
    ],
)
def test_qrels_are_read_in_all_common_forms(tmp_path: Path, text: str, expected: list[tuple[str, str, float]]) -> None:
    path = written(tmp_path / "train.tsv", text.encode())
    assert judgements(path) == expected


def test_the_first_line_of_headerless_qrels_is_a_judgement(tmp_path: Path) -> None:
    path = written(tmp_path / "train.tsv", "".join(f"q{i}\td{i}\t1\n" for i in range(9000)).encode())
    assert judgements(path) == [(f"q{i}", f"d{i}", 1.0) for i in range(9000)]


def test_queries_are_read_with_their_lines(tmp_path: Path) -> None:
    path = written(tmp_path / "queries.jsonl", b'\n{"_id": 1, "text": "a", "metadata": {}}\n{"_id": "b", "text": "c"}')
    (batch,) = read_queries(path, COLUMNS, BadRows())
    assert (batch.query_ids, batch.texts, batch.lines) == (["1", "b"], ["a", "c"], [2, 3])


def test_a_collection_may_be_compressed(tmp_path: Path) -> None:
    (tmp_path / "qrels").mkdir()
    for name in ("corpus.jsonl.zst", "queries.jsonl.gz", "qrels/dev.tsv"):
        (tmp_path / name).touch()
    files = beir_files(tmp_path, "dev")
    assert [path.name for path in (*files.corpus, *files.queries, *files.qrels)] == [
        "corpus.jsonl.zst",
        "queries.jsonl.gz",
        "dev.tsv",
    ]
