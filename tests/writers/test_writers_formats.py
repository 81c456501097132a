"""Every export format: its rows, its bytes, its shards."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from negmine.writers import FORMATS, Cells, Groups, Options, Rows
from negmine.writers.files import Sharded, shard_names

# Query 0: positives p0, p1 and negatives 5, 6; query 1: one positive, one negative; query 2: no negative.
GROUPS = Groups(
    np.array([0, 2, 3, 4]),
    np.array([0, 1, 2, 3]),
    np.array([0.9, 0.8, 0.7, 0.6]),
    np.array([0, 2, 3, 3]),
    np.array([5, 6, 7]),
    np.array([0.5, 0.4, 0.3]),
    np.array([3.0, 2.5, 0.0, 1.0]),
    pa.array([["dense"], ["dense", "bm25"], ["random"]]),
)
PASSAGES = pa.array([f"p{i}" for i in range(8)], pa.large_string())
QUERIES = pa.array(["q0", "q1", "q2"], pa.large_string())
IDS = pa.array(["id0", "id1", "id2"], pa.large_string())


def table_of(name: str, groups: Groups = GROUPS, **options: Any) -> list[dict]:
    """The rows of the main file of a format, with options as the config of this format resolves them."""
    given: dict[str, Any] = {"negatives": 2 if name == "n-tuple" else 1 if name == "margin-mse" else None, **options}
    member, chosen = FORMATS[name].members[0], Options(**given)
    rows = member.rows(groups, chosen)
    return member.table(rows, in_memory(rows, groups), chosen).to_pylist()


def in_memory(rows: Rows, groups: Groups) -> Cells:
    """Cells whose texts tell what they are of: ``p5`` of passage 5, ``title of p5``."""

    def passages(numbers: np.ndarray, name: str) -> pa.Array:
        said = PASSAGES.take(pa.array(numbers)).to_pylist()
        return pa.array(said if name == "passage" else [f"{name} of {each}" for each in said], pa.large_string())

    return Cells(rows, groups, lambda texts: texts, lambda name: QUERIES if name == "text" else IDS, passages)


def test_triplet_has_a_row_per_positive_and_negative() -> None:
    rows = [(r["anchor"], r["positive"], r["negative"]) for r in table_of("triplet")]
    assert rows == [("q0", "p0", "p5"), ("q0", "p0", "p6"), ("q0", "p1", "p5"), ("q0", "p1", "p6"), ("q1", "p2", "p7")]


def test_triplet_scores_are_those_of_positive_and_negative() -> None:
    assert table_of("triplet", scores=True)[3] == {
        "anchor": "q0",
        "positive": "p1",
        "negative": "p6",
        "scores": [0.8, 0.4],
    }


def test_n_tuple_leaves_out_queries_with_fewer_negatives() -> None:
    assert table_of("n-tuple") == [
        {"anchor": "q0", "positive": "p0", "negative_1": "p5", "negative_2": "p6"},
        {"anchor": "q0", "positive": "p1", "negative_1": "p5", "negative_2": "p6"},
    ]


def test_n_tuple_scores_begin_with_the_positive() -> None:
    assert table_of("n-tuple", scores=True)[1]["scores"] == [0.8, 0.5, 0.4]


def test_labeled_pair_lists_positives_then_negatives_of_every_query() -> None:
    rows = [(r["anchor"], r["text"], r["label"]) for r in table_of("labeled-pair")]
    assert rows == [
        ("q0", "p0", 1),
        ("q0", "p1", 1),
        ("q0", "p5", 0),
        ("q0", "p6", 0),
        ("q1", "p2", 1),
        ("q1", "p7", 0),
        ("q2", "p3", 1),
    ]


def test_labeled_pair_scores_take_the_place_of_labels() -> None:
    rows = table_of("labeled-pair", scores=True)
    assert list(rows[0]) == ["anchor", "text", "score"]
    assert [r["score"] for r in rows] == [0.9, 0.8, 0.5, 0.4, 0.7, 0.3, 0.6]


def test_labeled_list_has_ragged_lists() -> None:
    assert table_of("labeled-list") == [
        {"anchor": "q0", "documents": ["p0", "p5", "p6"], "labels": [1, 0, 0]},
        {"anchor": "q0", "documents": ["p1", "p5", "p6"], "labels": [1, 0, 0]},
        {"anchor": "q1", "documents": ["p2", "p7"], "labels": [1, 0]},
    ]


def test_labeled_list_may_have_a_row_per_query() -> None:
    """Then all positives come first."""
    assert table_of("labeled-list", one_positive=False) == [
        {"anchor": "q0", "documents": ["p0", "p1", "p5", "p6"], "labels": [1, 1, 0, 0]},
        {"anchor": "q1", "documents": ["p2", "p7"], "labels": [1, 0]},
    ]


def test_n_tuple_has_several_rows_of_fewer_negatives() -> None:
    assert [list(row.values()) for row in table_of("n-tuple", negatives=1)] == [
        ["q0", "p0", "p5"],
        ["q0", "p0", "p6"],
        ["q0", "p1", "p5"],
        ["q0", "p1", "p6"],
        ["q1", "p2", "p7"],
    ]


def test_margin_mse_label_is_how_much_closer_the_positive_is() -> None:
    first, *_, last = table_of("margin-mse")
    assert first == {"anchor": "q0", "positive": "p0", "negative": "p5", "label": 0.9 - 0.5}
    assert last["label"] == 0.7 - 0.3


def test_margin_mse_of_several_negatives_has_raw_scores() -> None:
    assert table_of("margin-mse", negatives=2)[1] == {
        "anchor": "q0",
        "positive": "p1",
        "negative_1": "p5",
        "negative_2": "p6",
        "scores": [0.8, 0.5, 0.4],
    }


def test_ids_begin_with_the_positive() -> None:
    assert table_of("ids")[1] == {
        "query_id": "id0",
        "document_ids": ["doc_id of p1", "doc_id of p5", "doc_id of p6"],
        "scores": [0.8, 0.5, 0.4],
    }


def test_flagembedding_has_a_row_per_query_that_has_negatives() -> None:
    rows = table_of("flagembedding", one_positive=False)
    assert rows == [
        {"query": "q0", "pos": ["p0", "p1"], "neg": ["p5", "p6"]},
        {"query": "q1", "pos": ["p2"], "neg": ["p7"]},
    ]


def test_flagembedding_scores_prompt_and_type_are_there_when_asked_for() -> None:
    row = table_of("flagembedding", scores=True, prompt="Find:", type="normal")[0]
    assert row == {
        "query": "q0",
        "pos": ["p0"],
        "neg": ["p5", "p6"],
        "pos_scores": [0.9],
        "neg_scores": [0.5, 0.4],
        "prompt": "Find:",
        "type": "normal",
    }


def test_tevatron_has_title_and_text_apart() -> None:
    row = table_of("tevatron", one_positive=False, scores=True)[1]
    assert row == {
        "query_id": "id1",
        "query": "q1",
        "positive_passages": [{"docid": "doc_id of p2", "title": "title of p2", "text": "text of p2", "score": 0.7}],
        "negative_passages": [{"docid": "doc_id of p7", "title": "title of p7", "text": "text of p7", "score": 0.3}],
    }


@pytest.mark.parametrize("role", ["user", "assistant"])
def test_ms_swift_says_passages_in_the_role(role: str) -> None:
    row = table_of("ms-swift", passage_role=role)[2]
    assert row == {
        "messages": [{"role": "user", "content": "q1"}],
        "positive_messages": [[{"role": role, "content": "p2"}]],
        "negative_messages": [[{"role": role, "content": "p7"}]],
    }


def test_trec_run_ranks_the_negatives_of_each_query() -> None:
    found = [list(row.values()) for row in table_of("trec-run")]
    assert found == [
        ["id0", "Q0", "doc_id of p5", 1, 0.5, "negmine"],
        ["id0", "Q0", "doc_id of p6", 2, 0.4, "negmine"],
        ["id1", "Q0", "doc_id of p7", 1, 0.3, "negmine"],
    ]


def test_beir_names_negatives_by_the_retrievers_that_found_them() -> None:
    """One that several found is under each of them."""
    row = table_of("beir")[0]
    assert dict(row["neg"]) == {"bm25": ["doc_id of p6"], "dense": ["doc_id of p5", "doc_id of p6"]}


def test_beir_qrels_have_whole_grades() -> None:
    """Readers take no others: they are rounded down, and 1 at least."""
    member = FORMATS["beir"].members[1]
    rows = member.rows(GROUPS, Options())
    found = member.table(rows, in_memory(rows, GROUPS), Options()).to_pylist()
    assert [list(row.values()) for row in found] == [
        ["id0", "doc_id of p0", 3],
        ["id0", "doc_id of p1", 2],
        ["id1", "doc_id of p2", 1],
        ["id2", "doc_id of p3", 1],
    ]


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_no_query_with_negatives_gives_no_rows_but_positives(name: str) -> None:
    none = Groups(
        np.array([0, 1]), np.array([0]), np.array([0.5]), np.array([0, 0]), np.empty(0, int), np.empty(0),
        np.array([1.0]), pa.array([], pa.list_(pa.string())),
    )  # fmt: skip
    assert len(table_of(name, none)) == (1 if name == "labeled-pair" else 0)


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_rows_without_enough_negatives_are_counted(name: str) -> None:
    """One per positive of query 2, or for query 2, where a row has to have negatives."""
    chosen = Options(negatives=1 if name in ("n-tuple", "margin-mse") else None, one_positive=True)
    assert FORMATS[name].members[0].rows(GROUPS, chosen).left_out == (name not in ("labeled-pair", "trec-run"))


TABLE = pa.table(
    {
        "anchor": pa.array(['say "hi"\n', "héllo \u2028 שלום", "tab\t\\"], pa.large_string()),
        "documents": pa.array([["a", "b"], [], ["c\x00d"]], pa.large_list(pa.large_string())),
        "labels": pa.array([[1, 0], [], [0]], pa.large_list(pa.int64())),
        "score": pa.array([0.1, 1e-9, -3.0]),
    }
)


def write(path: Path, table: pa.Table, shard_rows: int | None = None) -> list[Path]:
    paths = [path.parent / name for name in shard_names(path.name, table.num_rows, shard_rows)]
    with Sharded(paths, shard_rows) as out:
        encoded = table.set_column(0, "anchor", out.encode(table["anchor"].combine_chunks()))
        lists = table["documents"].combine_chunks()
        documents = pa.LargeListArray.from_arrays(lists.offsets, out.encode(lists.values))
        out.write(encoded.set_column(1, "documents", documents))
    return paths


def read_lines(path: Path) -> list[dict]:
    if path.suffix == ".zst":
        with pa.input_stream(str(path), compression="zstd") as stream:
            data = stream.read()
    else:
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    assert data.endswith(b"\n")
    return [json.loads(line) for line in data.decode("utf-8").split("\n")[:-1]]


@pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.gz", ".jsonl.zst"])
def test_json_lines_read_back_the_same(tmp_path: Path, suffix: str) -> None:
    (path,) = write(tmp_path / f"x{suffix}", TABLE)
    assert read_lines(path) == TABLE.to_pylist()


def test_parquet_reads_back_the_same(tmp_path: Path) -> None:
    (path,) = write(tmp_path / "x.parquet", TABLE)
    assert pq.read_table(path).to_pylist() == TABLE.to_pylist()


def test_text_is_not_escaped_beyond_need(tmp_path: Path) -> None:
    (path,) = write(tmp_path / "x.jsonl", TABLE)
    assert "héllo \u2028 שלום" in path.read_text("utf-8")


@pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.gz", ".jsonl.zst", ".parquet"])
def test_the_same_rows_are_the_same_bytes(tmp_path: Path, suffix: str) -> None:
    (one,) = write(tmp_path / f"a{suffix}", TABLE)
    (two,) = write(tmp_path / f"b{suffix}", TABLE)
    assert one.read_bytes() == two.read_bytes()


def test_shards_hold_so_many_rows_and_say_so_in_their_names(tmp_path: Path) -> None:
    paths = write(tmp_path / "train.jsonl.gz", TABLE, 2)
    assert [path.name for path in paths] == ["train-00000-of-00002.jsonl.gz", "train-00001-of-00002.jsonl.gz"]
    assert [row for path in paths for row in read_lines(path)] == TABLE.to_pylist()
    assert len(read_lines(paths[0])) == 2


@pytest.mark.parametrize(
    ("name", "rows", "shard_rows", "names"),
    [
        ("a.jsonl", 5, None, ["a.jsonl"]),
        ("a.jsonl", 4, 2, ["a-00000-of-00002.jsonl", "a-00001-of-00002.jsonl"]),
        ("a.b.parquet", 1, 2, ["a.b-00000-of-00001.parquet"]),
        ("a.jsonl.zst", 0, 2, ["a-00000-of-00001.jsonl.zst"]),
    ],
)
def test_shard_names(name: str, rows: int, shard_rows: int | None, names: list[str]) -> None:
    assert shard_names(name, rows, shard_rows) == names


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1, max_size=5))
def test_any_text_survives_json_lines(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> None:
    table = pa.table({"anchor": pa.array(texts, pa.large_string())})
    path = tmp_path_factory.mktemp("t") / "x.jsonl"
    with Sharded([path], None) as out:
        out.write(pa.table({"anchor": out.encode(table["anchor"].combine_chunks())}))
    assert [row["anchor"] for row in read_lines(path)] == texts


def test_a_file_without_any_rows_is_still_a_file(tmp_path: Path) -> None:
    with Sharded([tmp_path / "x.parquet"], None) as out:
        out.write(pa.table({"anchor": pa.array([], pa.large_string())}))
    assert pq.read_table(tmp_path / "x.parquet").num_rows == 0
