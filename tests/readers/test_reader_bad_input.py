"""What a person reads when a data file is wrong: the cause, the place, what to do."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from negmine.config import ColumnsConfig
from negmine.errors import InputError, Where
from negmine.readers import LABEL_FORMATS, BadRows, LabelSettings, read_corpus, read_qrels, read_queries
from negmine.readers.formats.beir import beir_files

COLUMNS = ColumnsConfig()
FIX = "Fix the row, or set data.on_bad_row: skip"


def pairs(path: Path, columns: ColumnsConfig = COLUMNS) -> None:
    list(LABEL_FORMATS["pairs"].read([path], LabelSettings(columns), BadRows()))


def corpus(path: Path, columns: ColumnsConfig = COLUMNS, metadata: tuple[str, ...] = ()) -> None:
    list(read_corpus(path, columns, metadata, BadRows()))


def refusal(read: Callable[[], object]) -> InputError:
    try:
        read()
    except InputError as error:
        return error
    pytest.fail("this was not refused")


def compressed(path: Path, data: bytes) -> bytes:
    if path.suffix == ".gz":
        return gzip.compress(data)
    return pa.compress(data, "zstd", asbytes=True)


PAIR = '{"anchor": "q", "positive": "p"}\n'

TEXT_FILES = [
    # name, content, place after the file name, cause, hint
    ("empty.jsonl", b"", "", "this file is empty", ""),
    ("blank.jsonl", b"\n  \r\n\n", "", "this file has no rows", ""),
    ("header.csv", b"anchor,positive\n", "", "this file has no rows", ""),
    ("array.json", b"[]", "", "this file has no rows", ""),
    ("pairs.txt", b"x", "", "files ending in '.txt' are not supported", "Use one of .jsonl, .ndjson, .json, .csv"),
    ("pairs.xlsx.gz", b"x", "", "files ending in '.xlsx' are not supported", "also with .gz or .zst"),
    ("pairs", b"x", "", "no suffix tells the format of this file", "Use one of .jsonl"),
    ("a.jsonl", PAIR.encode() + b'{"anchor": "\xc3\xa4\xff"}\n', ":2:14 (byte 47)", "this is not UTF-8 text", FIX),
    ("a.csv", b"anchor,positive\nq,p\nq,\xff\n", ":3:3 (byte 22)", "this is not UTF-8 text", ""),
    ("a.json", b'[{"anchor": "q",\n"positive": "\xff"}]', ":2:14 (byte 30)", "this is not UTF-8 text", ""),
    ("bom.jsonl", b"\xef\xbb\xbf" + b'{"anchor": "\xff"}', ":1:13 (byte 15)", "this is not UTF-8 text", FIX),
    ("a.jsonl", PAIR.encode() + b'{"anchor": q}\n', ":2:12", "this is not JSON: unexpected character", FIX),
    ("a.jsonl", '{"ä": "ü", x}'.encode(), ":1:12", "this is not JSON", FIX),
    ("a.jsonl", b'{"anchor": NaN, "positive": "p"}', ":1:12", "this is not JSON", FIX),
    ("a.jsonl", b'{"anchor": "\\ud800", "positive": "p"}', ":1:13", "this is not JSON: no low surrogate", FIX),
    ("a.jsonl", b'{"a": ' + b"[" * 3000 + b"\n", ":1:", "this is not JSON", FIX),
    ("cut.jsonl", PAIR.encode() + b'{"anchor": "q", "posi', ":2:22", "the file ends in the middle of a row", ""),
    ("cut.csv", b'anchor,positive\nq,p\nq,"the text', ":3", "the file ends inside a quoted field", "quotes inside it"),
    ("cut2.csv", b"anchor,positive\nq,p\nq", ":3", "the file ends in the middle of a row", ""),
    ("cut.json", b'[{"anchor": "q",\n "positive": "p"', ":2:17", "this is not JSON: unexpected end of data", ""),
    ("a.jsonl", b'["q", "p"]\n', ":1", "this line is not a JSON object", FIX),
    ("a.jsonl", b'\n"q"\n', ":2", "this line is not a JSON object", FIX),
    ("a.json", b'[{"anchor": "q", "positive": "p"}, 1]', " (row 2)", "this element of the array is not an object", FIX),
    ("a.jsonl", b'{"anchor": 5, "positive": "p"}', ":1", "'anchor' is a number and not a text", FIX),
    ("a.jsonl", b'{"anchor": ["q"], "positive": "p"}', ":1", "'anchor' is a list and not a text", FIX),
    ("a.jsonl", b'{"anchor": {"q": 1}, "positive": "p"}', ":1", "'anchor' is an object and not a text", FIX),
    ("a.jsonl", b'{"anchor": true, "positive": "p"}', ":1", "'anchor' is true or false and not a text", FIX),
    ("a.jsonl", b'{"anchor": "q", "positive": ["p", 3]}', ":1", "'positive' is a number and not a text", FIX),
    ("a.jsonl", b'{"anchor": "q", "positive": []}', ":1", "'positive' is an empty list: it needs", FIX),
    ("a.jsonl", b'{"anchor": "q", "positive": ["p", " "]}', ":1", "'positive' is blank", FIX),
    ("a.jsonl", b'{"anchor": "q", "positive": null}', ":1", "'positive' is blank", FIX),
    ("a.jsonl", PAIR.encode() + b'{"positive": "p"}', ":2", "'anchor' is blank", FIX),
    ("a.jsonl", b'{"anchor": " \\t", "positive": "p"}', ":1", "'anchor' is blank", FIX),
    ("a.jsonl", b'{"anchor": "q\\u0000", "positive": "p"}', ":1", "'anchor' contains a NUL byte at character 2", FIX),
    ("a.csv", b"anchor,positive\nq,p\x00\n", ":2", "'positive' contains a NUL byte at character 2", FIX),
    ("a.jsonl", b'{"anchor": "q", "positive": "p", "query_id": ""}', ":1", "'query_id' is empty", FIX),
    ("a.jsonl", b'{"anchor": "q", "positive": "p", "query_id": " "}', ":1", "'query_id' is empty", FIX),
    ("a.jsonl", b'{"anchor": "q", "positive": "p", "query_id": 1.5}', ":1", "'query_id' is the number 1.5", FIX),
    ("a.jsonl", b'{"anchor": "q", "positive_id": 36893488147419103232}', ":1", "a whole number below 2^64", FIX),
    ("a.jsonl", b'{"anchor": "q", "positive": "p", "query_id": [1]}', ":1", "'query_id' is a list and not a text", FIX),
    ("a.jsonl", b'{"anchor": "q", "positive_id": [true]}', ":1", "'positive_id' is true or false", FIX),
    (
        "a.jsonl",
        b'{"anchor": "q", "positive": ["a", "b"], "positive_id": "1"}',
        ":1",
        "'positive_id' has 1 ids and 'positive' 2 texts",
        FIX,
    ),
    ("a.csv", b"anchor,positive\nq,p\n\nq,p,r\n", ":4", "this row has 3 fields and the header has 2", FIX),
    ("a.csv", b'anchor,positive\n"a\nb",p\nq\n', ":4", "this row has 1 fields and the header has 2", FIX),
    ("a.csv", b"anchor,positive,anchor\nq,p,r\n", ":1", "the column 'anchor' is there twice", "Rename one"),
    ("a.csv", b'anchor,positive\n"q" x,p\n', ":2", "this row cannot be read: ',' expected after '\"'", FIX),
    ("a.csv", b"anchor,positive\rq,p\r", ":1", "there is a carriage return outside quotes", ""),
    (
        "a.jsonl",
        b'\n{"anchr": "q", "positive": "p"}',
        ":2",
        "there is no column 'anchor' (found: 'anchr', 'positive')",
        "Did you mean 'anchr'? Set data.columns.anchor, or rename the column.",
    ),
    (
        "a.csv",
        b"\nquestion,positive\nq,p\n",
        ":2",
        "there is no column 'anchor' (found: 'question', 'positive')",
        "Set data.columns.anchor: question",
    ),
    ("a.csv", b"x,y\n1,2\n", ":1", "there is no column 'anchor'", "Set data.columns.anchor to the column's name."),
    (
        "a.jsonl",
        b'{"anchor": "q", "answer": "p"}',
        ":1",
        "there is neither a column 'positive' nor 'positive_id' (found: 'anchor', 'answer')",
        "Set data.columns.positive: answer",
    ),
    (
        "a.jsonl",
        b'{"anchor": "q", "positives": "p"}',
        ":1",
        "there is neither a column 'positive' nor 'positive_id'",
        "Did you mean 'positives'? Set data.columns.positive",
    ),
    ("magic.jsonl.gz", PAIR.encode(), "", "this file is damaged", "Make or copy the file again."),
    ("magic.jsonl.zst", PAIR.encode(), "", "this file is damaged", "Make or copy the file again."),
    ("magic.parquet", PAIR.encode(), "", "this is no readable Parquet file", ""),
]


@pytest.mark.parametrize(("name", "content", "place", "cause", "hint"), TEXT_FILES)
def test_a_wrong_pairs_file_is_refused_with_cause_place_and_hint(
    tmp_path: Path, name: str, content: bytes, place: str, cause: str, hint: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    error = refusal(lambda: pairs(path))
    assert str(error.where).startswith(f"{path}{place}")
    if not place.endswith(":"):
        assert str(error.where) == f"{path}{place}"
    assert cause in error.cause
    assert hint in (error.hint or "")


@pytest.mark.parametrize("name", ["corpus.jsonl", "corpus.csv.gz"])
def test_a_missing_file_is_refused_with_the_nearest_name(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("x")
    with pytest.raises(InputError, match=rf"corpsu\.{name[7:]}: this file does not exist. Did you mean '{name}'\?"):
        corpus(tmp_path / f"corpsu.{name[7:]}")


def test_a_missing_folder_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"does not exist\. The folder .*nowhere does not exist either"):
        pairs(tmp_path / "nowhere" / "pairs.jsonl")


def test_a_folder_in_place_of_a_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="this is a folder, and a file is needed"):
        pairs(tmp_path)


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
@pytest.mark.parametrize("keep", [0.3, 0.7, 0.99])
def test_a_truncated_compressed_file_is_refused(tmp_path: Path, suffix: str, keep: float) -> None:
    path = tmp_path / f"pairs.jsonl{suffix}"
    lines = "".join(json.dumps({"anchor": f"query {i * i}", "positive": f"text {i**3}"}) + "\n" for i in range(3000))
    data = compressed(path, lines.encode())
    path.write_bytes(data[: int(len(data) * keep)])
    error = refusal(lambda: pairs(path))
    assert "this file is damaged" in error.cause
    assert error.where == str(path)
    assert error.hint == "Make or copy the file again."


def test_the_place_in_a_compressed_file_is_that_of_the_text(tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl.gz"
    path.write_bytes(gzip.compress(PAIR.encode() * 2 + b'{"anchor": q}\n'))
    assert refusal(lambda: pairs(path)).where == Where(str(path), 3, 12)


@pytest.mark.parametrize("keep", [20, 200, -40, -8, -1])
def test_a_truncated_parquet_file_is_refused(tmp_path: Path, keep: int) -> None:
    path = tmp_path / "pairs.parquet"
    pq.write_table(pa.table({"anchor": ["q"] * 99, "positive": [f"p{i}" for i in range(99)]}), path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(InputError, match="this is no readable Parquet file"):
        pairs(path)


def test_a_parquet_file_with_damaged_pages_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "pairs.parquet"
    pq.write_table(pa.table({"anchor": ["q"] * 99, "positive": [f"p{i}" for i in range(99)]}), path)
    data = bytearray(path.read_bytes())
    data[4:60] = b"\xff" * 56
    path.write_bytes(data)
    error = refusal(lambda: pairs(path))
    assert "this Parquet file is damaged" in error.cause
    assert error.where == str(path)


def test_parquet_texts_that_are_no_utf8_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "pairs.parquet"
    raw = pa.array([b"\xff\xfe"], pa.binary())
    text = pa.Array.from_buffers(pa.string(), 1, raw.buffers())
    pq.write_table(pa.table({"anchor": text, "positive": ["p"]}), path)
    with pytest.raises(InputError, match=r"this Parquet file is damaged \('utf-8'"):
        pairs(path)


def test_a_bad_value_in_parquet_is_placed_by_its_row(tmp_path: Path) -> None:
    path = tmp_path / "pairs.parquet"
    pq.write_table(pa.table({"anchor": ["q", "q", None], "positive": ["p", "p", "p"]}), path)
    with pytest.raises(InputError, match=r"pairs.parquet \(row 3\): 'anchor' is blank"):
        pairs(path)


def test_two_parquet_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "pairs.parquet"
    pq.write_table(pa.Table.from_arrays([pa.array(["q"])] * 2, names=["anchor", "anchor"]), path)
    with pytest.raises(InputError, match="the column 'anchor' is there twice"):
        pairs(path)


def test_a_missing_parquet_column_is_refused_with_the_likely_one(tmp_path: Path) -> None:
    path = tmp_path / "pairs.parquet"
    pq.write_table(pa.table({"query": ["q"], "positive": ["p"]}), path)
    with pytest.raises(InputError, match=r"no column 'anchor' .* Set data.columns.anchor: query"):
        pairs(path)


CORPORA = [
    (b'{"id": "d", "text": "t"}', (), ":1", "no column '_id' (found: 'id', 'text')", "Set data.columns.doc_id: id"),
    (b'{"_id": "d", "body": "t"}', (), ":1", "there is no column 'text'", "Set data.columns.text: body"),
    (b'{"_id": "d", "txet": "t"}', (), ":1", "there is no column 'text'", "Did you mean 'txet'?"),
    (b'{"_id": null, "text": "t"}', (), ":1", "'_id' is empty", FIX),
    (b'{"_id": true, "text": "t"}', (), ":1", "'_id' is true or false and not a text", FIX),
    (b'{"_id": "d", "text": 1}', (), ":1", "'text' is a number and not a text", FIX),
    (b'{"_id": "d", "text": "t", "title": 1}', (), ":1", "'title' is a number and not a text", FIX),
    (b'{"_id": "d\\u0000", "text": "t"}', (), ":1", "'_id' contains a NUL byte at character 2", FIX),
    (b'{"_id": "d", "text": "t", "langs": "en"}', ("lang",), ":1", "no column 'lang'", "'langs'? Set data.metadata"),
    (b'{"_id": "d", "text": "t", "lang": ["en"]}', ("lang",), ":1", "'lang' is a list, and metadata must be", FIX),
]


@pytest.mark.parametrize(("content", "metadata", "place", "cause", "hint"), CORPORA)
def test_a_wrong_corpus_is_refused_with_cause_place_and_hint(
    tmp_path: Path, content: bytes, metadata: tuple[str, ...], place: str, cause: str, hint: str
) -> None:
    path = tmp_path / "corpus.jsonl"
    path.write_bytes(content)
    error = refusal(lambda: corpus(path, metadata=metadata))
    assert str(error.where) == f"{path}{place}"
    assert cause in error.cause
    assert hint in (error.hint or "")


def test_a_title_column_that_was_chosen_must_be_there(tmp_path: Path) -> None:
    path = tmp_path / "corpus.jsonl"
    path.write_text('{"_id": "d", "text": "t", "titel": "x"}')
    with pytest.raises(InputError, match="no column 'headline'"):
        corpus(path, ColumnsConfig(title="headline"))


def test_a_query_id_column_that_was_chosen_must_be_there(tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl"
    path.write_text('{"anchor": "q", "positive": "p", "qid": "1"}')
    with pytest.raises(InputError, match=r"no column 'quid'.*Did you mean 'qid'\? Set data.columns.query_id"):
        pairs(path, ColumnsConfig(query_id="quid"))


QUERIES = [
    ('{"topic": "q", "text": "t"}', ":1", "there is no column '_id'", "Set data.columns.doc_id to the column's name"),
    ('{"_id": "q", "query": "t"}', ":1", "there is no column 'text'", "Set data.columns.text: query"),
    ('{"_id": "q", "text": "t"}\n{"_id": "r", "text": ""}', ":2", "'text' is blank", FIX),
    ('{"_id": "q", "text": "t"}\n{"text": "t"}', ":2", "'_id' is empty", FIX),
]


@pytest.mark.parametrize(("content", "place", "cause", "hint"), QUERIES)
def test_a_wrong_queries_file_is_refused_with_cause_place_and_hint(
    tmp_path: Path, content: str, place: str, cause: str, hint: str
) -> None:
    path = tmp_path / "queries.jsonl"
    path.write_text(content)
    error = refusal(lambda: list(read_queries(path, COLUMNS, BadRows())))
    assert str(error.where) == f"{path}{place}"
    assert cause in error.cause
    assert hint in (error.hint or "")


QRELS = [
    ("q\td\tone\n", ":1:5", "the grade 'one' is not a number"),
    ("query-id\tcorpus-id\tscore\nq\td\t\n", ":2:5", "the grade '' is not a number"),
    ("query-id\tcorpus-id\tscore\nq\td\tnan\n", ":2:5", "the grade 'nan' is not a number"),
    ("q d inf\n", ":1:5", "the grade 'inf' is not a number"),
    ("q d 1_0\n", ":1:5", "the grade '1_0' is not a number"),
    ("q  0   d    x\n", ":1:13", "the grade 'x' is not a number"),
    ("q\td\n", ":1", "this line has 2 columns; qrels have 3, or 4 as TREC writes them"),
    ("q d 1\n\nq Q0 d 1 0.5 tag\n", ":3", "this line has 6 columns; qrels have 3, or 4"),
    ("\td\t1\n", ":1", "the query id is empty"),
    ("q\t\t1\n", ":1", "the document id is empty"),
]


@pytest.mark.parametrize(("content", "place", "cause"), QRELS)
def test_a_wrong_qrels_file_is_refused_with_cause_and_place(
    tmp_path: Path, content: str, place: str, cause: str
) -> None:
    path = tmp_path / "train.tsv"
    path.write_text(content)
    error = refusal(lambda: list(read_qrels(path, BadRows())))
    assert str(error.where) == f"{path}{place}"
    assert cause in error.cause
    assert FIX in (error.hint or "")


def test_qrels_that_are_no_utf8_are_placed_by_line_and_byte(tmp_path: Path) -> None:
    path = tmp_path / "train.tsv"
    path.write_bytes(b"q\td\t1\nq\t\xff\t1\n")
    with pytest.raises(InputError, match=r"train.tsv:2:3 \(byte 8\): this is not UTF-8 text"):
        list(read_qrels(path, BadRows()))


def collection(folder: Path, splits: tuple[str, ...] = ("train",)) -> Path:
    (folder / "qrels").mkdir()
    for name in ("corpus", "queries"):
        (folder / f"{name}.jsonl").write_text("{}")
    for split in splits:
        (folder / "qrels" / f"{split}.tsv").write_text("q\td\t1\n")
    return folder


def test_a_split_that_is_not_there_is_refused_with_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"There are: test, train. Did you mean 'train'\? Set data.split"):
        beir_files(collection(tmp_path, ("test", "train")), "trian")


def test_a_folder_without_qrels_is_refused_with_what_is_needed(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"there is no qrels/train.tsv. A BEIR folder has qrels/train.tsv"):
        beir_files(tmp_path, "train")


def test_a_collection_without_queries_is_refused_with_what_the_folder_holds(tmp_path: Path) -> None:
    (collection(tmp_path) / "queries.jsonl").rename(tmp_path / "query.jsonl")
    with pytest.raises(InputError, match=r"no queries.jsonl. The folder holds: corpus.jsonl, qrels, query.jsonl"):
        beir_files(tmp_path, "train")


def test_a_collection_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"this folder does not exist. Check data.path"):
        beir_files(tmp_path / "nfcorpus", "train")


def test_a_collection_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data.zip").write_text("x")
    with pytest.raises(InputError, match=r"this is a file, and a folder is needed. Check data.path"):
        beir_files(tmp_path / "data.zip", "train")


def test_skipped_rows_are_collected_with_their_place_and_the_rest_is_read(tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl"
    path.write_bytes(b'{"anchor": 1}\n' + PAIR.encode() + b"\xff\n[]\n{\n")
    bad = BadRows("skip")
    read = [
        query for batch in LABEL_FORMATS["pairs"].read([path], LabelSettings(COLUMNS), bad) for query in batch.queries
    ]
    assert read == ["q"]
    assert [row["line"] for row in bad.rejected] == [3, 4, 5, 1]
