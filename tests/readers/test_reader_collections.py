"""Collections with judgements: MS MARCO's files without header, tables of judgements, folders as the hub has them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from reader_help import failure, write, write_rows

from negmine.config import ColumnsConfig
from negmine.readers import LAYOUTS, BadRows, Layout, collection_files, read_corpus, read_qrels, read_queries

COLUMNS = ColumnsConfig()
MSMARCO = LAYOUTS["msmarco"]


def documents(path: Path, layout: Layout = MSMARCO, policy: str = "error", metadata: tuple[str, ...] = ()) -> list[Any]:
    return [
        row
        for b in read_corpus(path, COLUMNS, metadata, BadRows(policy), layout)
        for row in zip(b.doc_ids, b.titles, b.texts, *b.metadata.values(), b.lines, strict=True)
    ]


def queries(path: Path, layout: Layout = MSMARCO, policy: str = "error") -> list[Any]:
    batches = read_queries(path, COLUMNS, BadRows(policy), layout)
    return [row for b in batches for row in zip(b.query_ids, b.texts, b.lines, strict=True)]


def judgements(path: Path, policy: str = "error") -> list[Any]:
    batches = read_qrels(path, BadRows(policy))
    return [row for b in batches for row in zip(b.query_ids, b.doc_ids, b.grades, strict=True)]


def test_a_collection_has_no_header_and_no_quoting(tmp_path: Path) -> None:
    """A lone quote would swallow lines in a reader of CSV; an empty text is a blank document."""
    path = write(tmp_path / "collection.tsv", '\ufeff0\tsay "hi\r\n1\t\n\n2\t"quoted" text\n')
    assert documents(path) == [("0", "", 'say "hi', 1), ("1", "", "", 2), ("2", "", '"quoted" text', 4)]


def test_documents_have_url_and_title(tmp_path: Path) -> None:
    path = write(tmp_path / "msmarco-docs.tsv.gz", "D1\thttp://a\tA title\tbody\nD2\thttp://b\t\tother\n")
    assert documents(path) == [("D1", "A title", "body", 1), ("D2", "", "other", 2)]
    assert documents(path, metadata=("url",))[0] == ("D1", "A title", "body", "http://a", 1)


def test_queries_have_no_header(tmp_path: Path) -> None:
    assert queries(write(tmp_path / "queries.train.tsv", "7\twhat is x\n")) == [("7", "what is x", 1)]


@pytest.mark.parametrize(
    ("data", "found"),
    [
        ("1\ta\n2\tb\tc\n", "a.tsv:2: this line has 3 columns between tabs, not 2: id and text, or id, url, title"),
        ("1\ta\tb\n", "a.tsv:1: this line has 3 columns between tabs, not 2 or 4: id and text, or id"),
        ("1\ta\n2", "a.tsv:2: the file ends in the middle of a row. Make or copy"),
        ("1\ta\n\tb\n", "a.tsv:2: 'id' is empty"),
        ("1\ta\0\n", "a.tsv:1: 'text' contains a NUL byte at character 2"),
        (b"1\ta\n2\t\xff\n", "a.tsv:2:3 (byte 6): this is not UTF-8 text"),
    ],
)
def test_a_bad_line_of_a_collection_is_refused(tmp_path: Path, data: str | bytes, found: str) -> None:
    assert failure(lambda: documents(write(tmp_path / "a.tsv", data)), tmp_path).startswith(found)


def test_bad_lines_are_left_out_when_asked(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tsv", b"1\ta\n2\t\xff\n3\tb\tc\n4\td\n")
    assert [row[0] for row in documents(path, policy="skip")] == ["1", "4"]


def test_metadata_of_a_file_without_header_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tsv", "1\ta\n")
    found = failure(lambda: documents(path, metadata=("lang",)), tmp_path)
    assert found.startswith("a.tsv: there is no column 'lang': a file without a header has 'url' at most.")
    found = failure(lambda: documents(path, metadata=("url",)), tmp_path)
    assert found.startswith("a.tsv: there is no column 'url' in a file of id and text.")


@pytest.mark.parametrize("suffix", [".parquet", ".jsonl", ".csv", ".jsonl.zst"])
def test_judgements_may_be_a_table(tmp_path: Path, suffix: str) -> None:
    """As MTEB has them on the hub; ids may be numbers there."""
    rows = [{"query-id": "q", "corpus-id": "7", "score": 1}, {"query-id": "r", "corpus-id": "d", "score": -1}]
    assert judgements(write_rows(tmp_path / f"test{suffix}", rows)) == [("q", "7", 1.0), ("r", "d", -1.0)]


def test_ids_of_judgements_in_a_table_may_be_numbers(tmp_path: Path) -> None:
    path = tmp_path / "test.parquet"
    pq.write_table(pa.table({"query-id": [1], "corpus-id": [2], "score": [1.0]}), path)
    assert judgements(path) == [("1", "2", 1.0)]


@pytest.mark.parametrize(
    ("row", "found"),
    [
        ({"query-id": "q", "corpus-id": "d", "score": "x"}, "a.jsonl:1: the grade 'x' is not a number"),
        ({"query-id": "q", "corpus-id": "d", "score": None}, "a.jsonl:1: the grade 'None' is not a number"),
        ({"query-id": "q", "corpus-id": "d", "score": True}, "a.jsonl:1: the grade 'True' is not a number"),
        ({"query-id": "", "corpus-id": "d", "score": 1}, "a.jsonl:1: 'query-id' is empty"),
        ({"query-id": "q", "corpus": "d", "points": 1}, "a.jsonl:1: there is no column 'score' (found: 'query-id', "),
    ],
)
def test_a_bad_table_of_judgements_is_refused(tmp_path: Path, row: dict[str, Any], found: str) -> None:
    path = write_rows(tmp_path / "a.jsonl", [row])
    assert failure(lambda: judgements(path), tmp_path).startswith(found)


def test_usual_names_of_ids_are_known_where_a_layout_has_them(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "c.jsonl", [{"docid": 3, "title": "T", "text": "a"}])
    assert documents(path, LAYOUTS["tevatron"]) == [("3", "T", "a", 1)]
    path = write_rows(tmp_path / "q.jsonl", [{"query_id": 3, "text": "a"}])
    assert queries(path, LAYOUTS["ids"]) == [("3", "a", 1)]


def names(folder: Path, files: tuple[Path, ...]) -> list[str]:
    return [str(path.relative_to(folder)) for path in files]


def touch(folder: Path, *files: str) -> None:
    for name in files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


@pytest.mark.parametrize(
    ("files", "corpus", "asked", "qrels"),
    [
        (
            ("corpus.jsonl", "queries.jsonl.gz", "qrels/test.tsv"),
            ["corpus.jsonl"],
            ["queries.jsonl.gz"],
            ["qrels/test.tsv"],
        ),
        (
            ("corpus.jsonl", "gen-queries.jsonl", "gen-qrels/test.tsv", "README.md"),
            ["corpus.jsonl"],
            ["gen-queries.jsonl"],
            ["gen-qrels/test.tsv"],
        ),
        (
            ("corpus.parquet", "queries.parquet", "qrels/test.jsonl", "qrels/train.jsonl"),
            ["corpus.parquet"],
            ["queries.parquet"],
            ["qrels/test.jsonl"],
        ),
        (
            (
                "corpus/corpus-00000-of-00002.parquet",
                "corpus/corpus-00001-of-00002.parquet",
                "queries/queries-00000-of-00001.parquet",
                "data/test-00000-of-00001.parquet",
                "data/train-00000-of-00001.parquet",
            ),
            ["corpus/corpus-00000-of-00002.parquet", "corpus/corpus-00001-of-00002.parquet"],
            ["queries/queries-00000-of-00001.parquet"],
            ["data/test-00000-of-00001.parquet"],
        ),
        (
            (
                "corpus/dev-00000-of-00001.parquet",
                "corpus/test-00000-of-00001.parquet",
                "queries/dev-00000-of-00001.parquet",
                "queries/test-00000-of-00001.parquet",
                "qrels/dev-00000-of-00001.parquet",
                "qrels/test-00000-of-00001.parquet",
            ),
            ["corpus/test-00000-of-00001.parquet"],
            ["queries/test-00000-of-00001.parquet"],
            ["qrels/test-00000-of-00001.parquet"],
        ),
    ],
)
def test_folders_of_collections(
    tmp_path: Path, files: tuple[str, ...], corpus: list[str], asked: list[str], qrels: list[str]
) -> None:
    touch(tmp_path, *files)
    found = collection_files("beir", tmp_path, "test")
    assert [names(tmp_path, paths) for paths in (found.corpus, found.queries, found.qrels)] == [corpus, asked, qrels]


def test_several_sets_of_queries_are_not_guessed_between(tmp_path: Path) -> None:
    touch(tmp_path, "corpus.jsonl", "a-queries.jsonl", "b-queries.jsonl", "a-qrels/train.tsv")
    found = failure(lambda: [collection_files("beir", tmp_path, "train")], tmp_path)
    assert "there are several sets of queries: a-queries, b-queries. Set data.corpus, data.queries" in found


def test_two_files_of_a_corpus_are_not_guessed_between(tmp_path: Path) -> None:
    touch(tmp_path, "corpus.jsonl", "corpus.parquet", "queries.jsonl", "qrels/train.tsv")
    found = failure(lambda: [collection_files("beir", tmp_path, "train")], tmp_path)
    assert "there is more than one: corpus.jsonl, corpus.parquet. Remove all but one" in found


@pytest.mark.parametrize(
    ("files", "split"),
    [
        (("collection.tsv", "queries.train.tsv", "qrels.train.tsv"), "train"),
        (("collection.tsv.gz", "queries.dev.tsv", "queries.dev.small.tsv", "qrels.dev.small.tsv.zst"), "dev.small"),
        (("msmarco-docs.tsv", "msmarco-doctrain-queries.tsv.gz", "msmarco-doctrain-qrels.tsv.gz"), "train"),
    ],
)
def test_folders_of_msmarco(tmp_path: Path, files: tuple[str, ...], split: str) -> None:
    touch(tmp_path, *files)
    found = collection_files("msmarco", tmp_path, split)
    assert {*found.corpus, *found.queries, *found.qrels} <= {tmp_path / name for name in files}
    other = failure(lambda: [collection_files("msmarco", tmp_path, "nope")], tmp_path)
    assert f"There are: {split}. Set data.split." in other
