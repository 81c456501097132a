"""Every layout of labels: files as other tools write them, with what is odd about them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from reader_help import failure, read_labels, write

from negmine.config import ColumnsConfig
from negmine.readers import LABEL_FORMATS, BadRows

Found = tuple[Any, ...]


def labels(name: str, path: Path, policy: str = "error", *, negatives: bool = True, **settings: Any) -> list[Found]:
    """(line, query id, query, positives, negatives) of every row; a passage is (text, id, title), after its rank."""
    rows = []
    for batch in read_labels(name, path, BadRows(policy), negatives=negatives, **settings):
        for row, line in enumerate(batch.lines):
            mine = [at for at, of in enumerate(batch.row) if of == row]
            passages = {at: (batch.texts[at], batch.doc_ids[at], batch.titles[at]) for at in mine}
            positives = [passages[at] for at in mine if batch.ranks[at] == 0]
            others = [(batch.ranks[at], *passages[at]) for at in mine if batch.ranks[at]]
            rows.append((line, batch.query_ids[row], batch.queries[row], positives, others))
    return rows


def text(value: str) -> Found:
    return (value, None, "")


def lines(path: Path, *rows: Any) -> Path:
    return write(path, "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))


def test_flagembedding_as_it_is_found(tmp_path: Path) -> None:
    """A bare text is one positive, ``neg`` may be missing, lines may be blank, a query comes twice."""
    path = lines(
        tmp_path / "fe.jsonl",
        {"query": "q", "pos": "bare", "prompt": "p", "type": "normal", "pos_scores": [1.0]},
        "",
        {"query": "q", "pos": ["a", "b"], "neg": ["c", "", " ", "d"], "neg_scores": [0.1, 0.2, 0.3, 0.4]},
        {"query": "r", "pos": ["a"], "neg": "bare"},
        {"query": "s", "pos": ["a"], "neg": None},
    )
    assert labels("flagembedding", path) == [
        (1, None, "q", [text("bare")], []),
        (3, None, "q", [text("a"), text("b")], [(1, *text("c")), (4, *text("d"))]),
        (4, None, "r", [text("a")], [(1, *text("bare"))]),
        (5, None, "s", [text("a")], []),
    ]


def test_tevatron_as_it_is_found(tmp_path: Path) -> None:
    """Titles may be null or missing, ids integers or missing; ``answers`` are not read; positives may lack."""
    path = lines(
        tmp_path / "train.jsonl",
        {
            "query_id": 7,
            "query": "q",
            "answers": ["x"],
            "positive_passages": [{"docid": 1, "title": None, "text": "a"}, {"title": "T", "text": "b"}],
            "negative_passages": [{"docid": "n", "title": "", "text": ""}, {"docid": None, "title": "N", "text": "c"}],
        },
        {"query": "r", "positive_passages": [], "negative_passages": []},
    )
    assert labels("tevatron", path) == [
        (1, "7", "q", [("a", "1", ""), ("b", None, "T")], [(1, "", "n", ""), (2, "c", None, "N")]),
        (2, None, "r", [], []),
    ]


def test_tevatron_with_ids_as_it_is_found(tmp_path: Path) -> None:
    path = lines(
        tmp_path / "train.jsonl",
        {
            "query_id": "1",
            "query_text": "q",
            "query_image": None,
            "positive_document_ids": ["a", 2],
            "negative_document_ids": ["c"],
        },
    )
    assert labels("tevatron-ids", path) == [(1, "1", "q", [(None, "a", ""), (None, "2", "")], [(1, None, "c", "")])]


def test_dpr_as_it_is_found(tmp_path: Path) -> None:
    """One array; hard negatives come before others; positives may be missing; both names of ids are known."""
    rows = [
        {"dataset": "nq", "question": "q", "answers": ["x"], "positive_ctxs": [], "hard_negative_ctxs": []},
        {
            "question": "r",
            "positive_ctxs": [{"title": "T", "text": "a", "score": 1000, "passage_id": "12"}],
            "negative_ctxs": [{"title": "N", "text": "c", "psg_id": 3}],
            "hard_negative_ctxs": [{"title": "", "text": "b", "passage_id": "13"}],
        },
    ]
    path = write(tmp_path / "nq.json", json.dumps(rows, indent=2))
    assert labels("dpr", path) == [
        (1, None, "q", [], []),
        (2, None, "r", [("a", "12", "T")], [(1, "b", "13", ""), (2, "c", "3", "N")]),
    ]


def test_msmarco_triples_have_no_quoting(tmp_path: Path) -> None:
    """A quote is a character like any other; lines may end as on Windows, the file begin with a byte-order mark."""
    data = '\ufeffwhat is "x\tx is "y"\tan 18" disc\r\n\r\nw\tp\t\n'
    path = write(tmp_path / "triples.train.small.tsv", data)
    assert labels("msmarco", path) == [
        (1, None, 'what is "x', [text('x is "y"')], [(1, *text('an 18" disc'))]),
        (3, None, "w", [text("p")], []),
    ]


def test_msmarco_triples_of_ids(tmp_path: Path) -> None:
    path = write(tmp_path / "qidpidtriples.tsv.gz", "1\t10\t20\n1\t10\t21\n")
    assert labels("msmarco", path, queries=True) == [
        (1, "1", None, [(None, "10", "")], [(1, None, "20", "")]),
        (2, "1", None, [(None, "10", "")], [(1, None, "21", "")]),
    ]


@pytest.mark.parametrize(
    ("row", "found"),
    [
        ({"negative": "n"}, [(1, *text("n"))]),
        ({"negative": ["n", "m"]}, [(1, *text("n")), (2, *text("m"))]),
        ({"negatives": ["n", None, " ", "m"]}, None),
        (
            {"negative_10": "c", "negative_2": "b", "negative_1": "a"},
            [(1, *text("a")), (2, *text("b")), (3, *text("c"))],
        ),
        ({"negative_id": ["n", 2]}, [(1, None, "n", ""), (2, None, "2", "")]),
        ({"negative": ["x", "y"], "negative_id": ["n", None]}, [(1, "x", "n", ""), (2, "y", None, "")]),
        ({"negative": "n", "label": 0.4, "scores": [0.9, 0.5]}, [(1, *text("n"))]),
    ],
)
def test_triplets_in_all_their_shapes(tmp_path: Path, row: dict[str, Any], found: list[Found] | None) -> None:
    path = lines(tmp_path / "t.jsonl", {"anchor": "q", "positive": ["p"], "query_id": 3, **row})
    expected = [(1, *text("n")), (4, *text("m"))] if found is None else found
    assert labels("triplets", path) == [(1, "3", "q", [text("p")], expected)]


def test_numbered_negatives_are_read_from_parquet_too(tmp_path: Path) -> None:
    """Parquet is read by column, so the columns of negatives must be known before."""
    path = tmp_path / "t.parquet"
    table = {"anchor": ["q", "r"], "positive": ["p", "p"], "negative_1": ["a", "b"], "negative_2": ["c", None]}
    pq.write_table(pa.table(table), path)
    assert [row[4] for row in labels("triplets", path)] == [[(1, *text("a")), (2, *text("c"))], [(1, *text("b"))]]


def test_negatives_of_later_rows_are_found(tmp_path: Path) -> None:
    """JSON rows name their own columns."""
    rows = [{"anchor": "q", "positive": "p", "negative_1": "a"}] * 3000
    path = lines(tmp_path / "t.jsonl", *rows, {"anchor": "q", "positive": "p", "negative_1": "a", "negative_2": "b"})
    assert labels("triplets", path)[-1][4] == [(1, *text("a")), (2, *text("b"))]


def test_chosen_names_of_columns_hold_for_negatives(tmp_path: Path) -> None:
    path = lines(tmp_path / "t.jsonl", {"q": "q", "p": "p", "bad_1": "a", "bad_2": "b", "negative": "x"})
    columns = ColumnsConfig(anchor="q", positive="p", negative="bad")
    assert labels("triplets", path, columns=columns) == [
        (1, None, "q", [text("p")], [(1, *text("a")), (2, *text("b"))])
    ]


def test_labeled_pairs_and_lists(tmp_path: Path) -> None:
    path = lines(
        tmp_path / "l.jsonl", {"anchor": "q", "text": "a", "label": 1}, {"anchor": "q", "text": "b", "label": 0}
    )
    assert labels("labeled", path) == [(1, None, "q", [text("a")], []), (2, None, "q", [], [(1, *text("b"))])]
    path = lines(tmp_path / "m.jsonl", {"anchor": "q", "documents": ["a", "b", " ", "c"], "labels": [1, 0, 0, 2]})
    assert labels("labeled", path) == [(1, None, "q", [text("a"), text("c")], [(1, *text("b"))])]


def test_scores_are_labels_with_a_bound_of_ones_own(tmp_path: Path) -> None:
    path = write(tmp_path / "l.csv", "anchor,text,score\nq,a,0.9\nq,b,0.2\n")
    assert [(row[3], row[4]) for row in labels("labeled", path, min_grade=0.5)] == [
        ([text("a")], []),
        ([], [(1, *text("b"))]),
    ]


def test_the_first_id_of_a_list_is_the_positive(tmp_path: Path) -> None:
    path = lines(tmp_path / "i.jsonl", {"query_id": 1, "document_ids": ["a", "b", 3], "scores": [0.9, 0.1, 0.2]})
    assert labels("ids", path) == [(1, "1", None, [(None, "a", "")], [(1, None, "b", ""), (2, None, "3", "")])]


def test_ids_in_columns_of_their_own(tmp_path: Path) -> None:
    path = lines(tmp_path / "i.jsonl", {"query_id": "q", "positive_id": ["a", "b"], "negative_id": "c"})
    assert labels("ids", path) == [(1, "q", None, [(None, "a", ""), (None, "b", "")], [(1, None, "c", "")])]


GOOD: dict[str, dict[str, Any]] = {
    "pairs": {"anchor": "q", "positive": "p"},
    "triplets": {"anchor": "q", "positive": "p", "negative": "n"},
    "labeled": {"anchor": "q", "text": "p", "label": 1},
    "ids": {"query_id": "q", "document_ids": ["p", "n"]},
    "flagembedding": {"query": "q", "pos": ["p"], "neg": ["n"]},
    "tevatron": {"query_id": "1", "query": "q", "positive_passages": [{"docid": "p", "title": "", "text": "p"}]},
    "tevatron-ids": {"query_id": "1", "query_text": "q", "positive_document_ids": ["p"], "negative_document_ids": []},
    "dpr": {"question": "q", "positive_ctxs": [{"title": "", "text": "p"}], "hard_negative_ctxs": []},
}


@pytest.mark.parametrize("name", [*GOOD, "msmarco"])
def test_negatives_are_not_read_where_they_are_not_wanted(tmp_path: Path, name: str) -> None:
    """Nor is anything wrong with them told: they decide nothing."""
    broken = {"negative": 3, "neg": 3, "negative_passages": "x", "negative_document_ids": {}, "hard_negative_ctxs": [1]}
    path = lines(tmp_path / "a.jsonl", GOOD.get(name, {}) | broken)
    if name == "msmarco":
        path = write(tmp_path / "a.tsv", "q\tp\tn\x00\n")
    assert [row[4] for row in labels(name, path, negatives=False)] == [[]]


@pytest.mark.parametrize("name", sorted(GOOD))
def test_a_byte_order_mark_windows_lines_and_a_missing_last_end_change_nothing(tmp_path: Path, name: str) -> None:
    row = json.dumps(GOOD[name])
    plain = labels(name, write(tmp_path / "a.jsonl", f"{row}\n{row}\n"))
    odd = labels(name, write(tmp_path / "b.jsonl", f"\ufeff{row}\r\n{row}"))
    assert odd == plain
    assert len(plain) == 2


@pytest.mark.parametrize("name", sorted(GOOD))
def test_a_line_of_many_megabytes_is_read(tmp_path: Path, name: str) -> None:
    row = GOOD[name] | {"answers": "x" * (5 << 20)}
    assert len(labels(name, lines(tmp_path / "a.jsonl", row))) == 1


@pytest.mark.parametrize("name", sorted(GOOD))
@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_a_truncated_file_is_refused(tmp_path: Path, name: str, suffix: str) -> None:
    path = lines(tmp_path / f"a.jsonl{suffix}", *[GOOD[name] | {"n": n * n} for n in range(3000)])
    path.write_bytes(path.read_bytes()[:-30])
    assert "this file is damaged" in failure(lambda: labels(name, path), tmp_path)


@pytest.mark.parametrize("name", sorted(GOOD))
def test_a_file_that_ends_in_the_middle_of_a_row_is_refused(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / "a.jsonl", json.dumps(GOOD[name]) + "\n" + json.dumps(GOOD[name])[:-4])
    for policy in ("error", "skip"):
        found = failure(lambda policy=policy: labels(name, path, policy), tmp_path)
        assert found.startswith("a.jsonl:2:")
        assert found.endswith("the file ends in the middle of a row. Make or copy the file again.")


@pytest.mark.parametrize("name", sorted(GOOD))
def test_bytes_that_are_no_text_are_placed(tmp_path: Path, name: str) -> None:
    good = json.dumps(GOOD[name]).encode() + b"\n"
    path = write(tmp_path / "a.jsonl", good + good[:-2] + b', "x": "\xff"}\n')
    place = f"a.jsonl:2:{len(good) - 2 + 9} (byte {2 * len(good) - 2 + 8})"
    assert failure(lambda: labels(name, path), tmp_path).startswith(f"{place}: this is not UTF-8 text")
    assert len(labels(name, path, "skip")) == 1


BAD = [
    ("flagembedding", {"query": " "}, "'query' is blank"),
    ("flagembedding", {"pos": []}, "'pos' is an empty list: it needs at least one text"),
    ("flagembedding", {"pos": ["a", ""]}, "'pos' is blank"),
    ("flagembedding", {"pos": None}, "'pos' is blank"),
    ("flagembedding", {"neg": [1]}, "'neg' is a number and not a text"),
    ("flagembedding", {"query": "a\0"}, "'query' contains a NUL byte at character 2"),
    (
        "tevatron",
        {"positive_passages": ["a"]},
        "'positive_passages' has a text in place 1, and an object with a 'text'",
    ),
    ("tevatron", {"positive_passages": [{"docid": "1", "text": None}]}, "'positive_passages' is blank in place 1"),
    ("tevatron", {"positive_passages": [{"docid": 1.5, "text": "a"}]}, "'docid' is the number 1.5"),
    ("tevatron", {"positive_passages": [{"title": [], "text": "a"}]}, "'title' is a list and not a text in place 1 of"),
    ("tevatron", {"query_id": ""}, "'query_id' is empty"),
    ("tevatron-ids", {"positive_document_ids": [""]}, "'positive_document_ids' is empty"),
    ("tevatron-ids", {"query_text": None}, "'query_text' is blank"),
    ("dpr", {"question": ""}, "'question' is blank"),
    ("dpr", {"hard_negative_ctxs": [3]}, "'hard_negative_ctxs' has a number in place 1"),
    ("triplets", {"negative": [3]}, "'negative' is a number and not a text"),
    ("triplets", {"negative": ["a"], "negative_id": ["1", "2"]}, "'negative_id' has 2 ids and there are 1 negatives"),
    ("labeled", {"label": None}, "'text' has 1 texts and 'label' 0 numbers"),
    ("labeled", {"label": "good"}, "'label' has a label that is not a number"),
    ("labeled", {"label": [1, 0]}, "'text' has 1 texts and 'label' 2 numbers"),
    ("labeled", {"text": " "}, "'text' is blank"),
    ("ids", {"document_ids": []}, "'document_ids' is empty: it needs at least the id of a positive"),
    ("ids", {"query_id": None}, "'query_id' is empty"),
]


@pytest.mark.parametrize(("name", "change", "cause"), BAD)
def test_a_bad_row_is_refused_with_its_line_or_left_out(
    tmp_path: Path, name: str, change: dict[str, Any], cause: str
) -> None:
    path = lines(tmp_path / "a.jsonl", GOOD[name], GOOD[name] | change)
    found = failure(lambda: labels(name, path), tmp_path)
    assert found.startswith(f"a.jsonl:2: {cause}")
    assert found.endswith("Fix the row, or set data.on_bad_row: skip to leave such rows out.")
    assert [row[0] for row in labels(name, path, "skip")] == [1]


MISSING = [
    ("flagembedding", {"querry": "q", "pos": ["p"]}, "no column 'query'", "Did you mean 'querry'? Rename the column"),
    ("tevatron", {"query": "q", "pos": ["p"]}, "no column 'positive_passages'", "set data.format to the layout"),
    ("tevatron-ids", {"query_text": "q"}, "no column 'positive_document_ids'", "set data.format to the layout"),
    ("dpr", {"question": "q"}, "no column 'positive_ctxs'", "set data.format to the layout"),
    ("triplets", {"anchor": "q", "positive": "p"}, "neither a column 'negative' nor 'negative_id'", "negative"),
    ("triplets", {"anchor": "q", "positive": "p", "neg": "n"}, "neither", "Set data.columns.negative: neg"),
    ("labeled", {"anchor": "q", "txt": "p", "label": 1}, "no column 'text' or 'documents'", "Did you mean 'txt'?"),
    ("labeled", {"anchor": "q", "text": "p", "lable": 1}, "no column 'label' or", "Did you mean 'lable'?"),
    ("ids", {"qid": "q", "document_ids": []}, "no column 'query_id'", "Set data.columns.query_id: qid"),
    ("ids", {"query_id": "q"}, "neither a column 'document_ids' nor 'positive_id'", "Set data.columns.positive_id"),
]


@pytest.mark.parametrize(("name", "row", "cause", "hint"), MISSING)
def test_a_missing_column_is_told_with_the_likely_one(
    tmp_path: Path, name: str, row: dict[str, Any], cause: str, hint: str
) -> None:
    found = failure(lambda: labels(name, lines(tmp_path / "a.jsonl", row)), tmp_path)
    assert found.startswith("a.jsonl:1: there is")
    assert cause in found
    assert hint in found


@pytest.mark.parametrize(
    ("data", "found"),
    [
        ("a\tb\n", "a.tsv:1: this line has 2 columns between tabs, not 3: query, positive, negative"),
        ("a\tb\tc\nd\te\tf\tg\n", "a.tsv:2: this line has 4 columns between tabs, not 3"),
        ("a\tb\tc\nd\te", "a.tsv:2: the file ends in the middle of a row"),
        ("a\tb\tc\n \te\tf\n", "a.tsv:2: 'the query' is blank"),
        ("a\tb\tc\nd\t\tf\n", "a.tsv:2: 'the positive' is blank"),
        ("a\tb\tc\0\n", "a.tsv:1: 'the negative' contains a NUL byte at character 2"),
    ],
)
def test_a_bad_line_of_triples_is_refused(tmp_path: Path, data: str, found: str) -> None:
    path = write(tmp_path / "a.tsv", data)
    assert failure(lambda: labels("msmarco", path), tmp_path).startswith(found)


def test_every_layout_is_tried_here() -> None:
    assert {*GOOD, "msmarco"} == set(LABEL_FORMATS)
