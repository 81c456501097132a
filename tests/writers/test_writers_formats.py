"""Every export format: its rows, its bytes, its shards."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from negmine.writers import FORMATS, Groups
from negmine.writers.card import Card, CardFile, dataset_card
from negmine.writers.files import Sharded, shard_names

# Query 0: positives p0, p1 and negatives 5, 6; query 1: one positive, one negative; query 2: no negative.
GROUPS = Groups(
    np.array([0, 2, 3, 4]),
    np.array([0, 1, 2, 3]),
    np.array([0.9, 0.8, 0.7, 0.6]),
    np.array([0, 2, 3, 3]),
    np.array([5, 6, 7]),
    np.array([0.5, 0.4, 0.3]),
)
PASSAGES = pa.array([f"p{i}" for i in range(8)], pa.large_string())
QUERIES = pa.array(["q0", "q1", "q2"], pa.large_string())


def table_of(name: str, *, scores: bool, num_negatives: int = 2) -> list[dict]:
    layout = FORMATS[name]
    rows = layout.rows(GROUPS, num_negatives)
    found = layout.table(
        rows,
        QUERIES.take(pa.array(rows.query)),
        PASSAGES.take(pa.array(rows.passage(GROUPS))),
        rows.score(GROUPS) if scores else None,
    )
    return found.to_pylist()


def test_triplet_has_a_row_per_positive_and_negative() -> None:
    rows = [(r["anchor"], r["positive"], r["negative"]) for r in table_of("triplet", scores=False)]
    assert rows == [("q0", "p0", "p5"), ("q0", "p0", "p6"), ("q0", "p1", "p5"), ("q0", "p1", "p6"), ("q1", "p2", "p7")]


def test_triplet_scores_are_those_of_positive_and_negative() -> None:
    assert table_of("triplet", scores=True)[3] == {
        "anchor": "q0",
        "positive": "p1",
        "negative": "p6",
        "scores": [0.8, 0.4],
    }


def test_n_tuple_leaves_out_queries_with_fewer_negatives() -> None:
    assert table_of("n-tuple", scores=False) == [
        {"anchor": "q0", "positive": "p0", "negative_1": "p5", "negative_2": "p6"},
        {"anchor": "q0", "positive": "p1", "negative_1": "p5", "negative_2": "p6"},
    ]


def test_n_tuple_scores_begin_with_the_positive() -> None:
    assert table_of("n-tuple", scores=True)[1]["scores"] == [0.8, 0.5, 0.4]


def test_labeled_pair_lists_positives_then_negatives_of_every_query() -> None:
    rows = [(r["anchor"], r["text"], r["label"]) for r in table_of("labeled-pair", scores=False)]
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
    assert table_of("labeled-list", scores=False) == [
        {"anchor": "q0", "documents": ["p0", "p5", "p6"], "labels": [1, 0, 0]},
        {"anchor": "q0", "documents": ["p1", "p5", "p6"], "labels": [1, 0, 0]},
        {"anchor": "q1", "documents": ["p2", "p7"], "labels": [1, 0]},
    ]


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_no_query_with_negatives_gives_no_rows_but_positives(name: str) -> None:
    none = Groups(np.array([0, 1]), np.array([0]), np.array([0.5]), np.array([0, 0]), np.empty(0, int), np.empty(0))
    rows = FORMATS[name].rows(none, 2)
    table = FORMATS[name].table(
        rows, QUERIES.take(pa.array(rows.query)), PASSAGES.take(pa.array(rows.passage(none))), None
    )
    assert table.num_rows == (1 if name == "labeled-pair" else 0)


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


def test_the_card_front_matter_names_every_file() -> None:
    from ruamel.yaml import YAML

    card = dataset_card(
        Card(
            files=(
                CardFile("triplet", False, ("a-00000-of-00002.jsonl", "a-00001-of-00002.jsonl"), 3, 10),
                CardFile("triplet", True, ("b.parquet",), 3, 10),
            ),
            counts={"distinct_queries": 1, "positives": 1, "passages": 2},
            negatives=3,
            model="m",
            settings={"filter.relative_margin": 0.05},
            example={"anchor": "``` tricky: yes", "positives": [], "negatives": []},
        )
    )
    front = YAML(typ="safe").load(card.split("---\n")[1])
    assert [config["config_name"] for config in front["configs"]] == ["triplet", "triplet-2"]
    assert front["configs"][0]["data_files"][0]["path"] == ["a-00000-of-00002.jsonl", "a-00001-of-00002.jsonl"]
    assert front["size_categories"] == ["n<1K"]
    assert "````json" in card


def test_a_part_without_rows_does_not_decide_the_columns(tmp_path: Path) -> None:
    full = pa.table({"anchor": ["q"], "positive": ["p"], "negative_1": ["n"]})
    with Sharded([tmp_path / "x.parquet"], None) as out:
        out.write(full.select(["anchor", "positive"]).slice(0, 0))
        out.write(full)
    assert pq.read_table(tmp_path / "x.parquet").to_pylist() == full.to_pylist()


def test_a_file_without_any_rows_is_still_a_file(tmp_path: Path) -> None:
    with Sharded([tmp_path / "x.parquet"], None) as out:
        out.write(pa.table({"anchor": pa.array([], pa.large_string())}))
    assert pq.read_table(tmp_path / "x.parquet").num_rows == 0
