"""Files of train and dev: nothing that a query or positive of one side says is on the other."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from small_data import export

import negmine
from negmine.config.exporting import LAYOUTS, split_file
from negmine.errors import InputError
from negmine.text import normalise

sys.path.insert(0, str(Path(__file__).parents[1] / "crash"))
from small_run import make_run

EXPORTS = "".join(
    f"  - {{format: {name}, file: {name + '/' if layout.folder else name + layout.endings[0]}}}\n"
    for name, layout in LAYOUTS.items()
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every format with a fifth of the queries held out; the corpus is small, so that positives are shared."""
    place = tmp_path_factory.mktemp("split")
    path = make_run(place, passages=300, queries=80, part_queries=9)
    text = path.read_text().partition("export:")[0]
    path.write_text(
        f"{text}split: {{dev: 0.2}}\nexport:\n{EXPORTS}  - {{format: triplet, file: '{{split}}/rows.jsonl'}}\n"
    )
    negmine.run(negmine.load_config(path))
    return place / "work" / "export"


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def provenance(folder: Path) -> dict[str, list[dict[str, Any]]]:
    by_file: dict[str, list[dict[str, Any]]] = {}
    for row in pq.read_table(folder / "provenance.parquet").to_pylist():
        by_file.setdefault(row["file"], []).append(row)
    return by_file


@pytest.mark.parametrize(
    ("file", "train", "dev"),
    [
        ("train.jsonl", "train.jsonl", "train.dev.jsonl"),
        ("a/train.jsonl.gz", "a/train.jsonl.gz", "a/train.dev.jsonl.gz"),
        ("x.y.parquet", "x.y.parquet", "x.y.dev.parquet"),
        ("n.trec", "n.trec", "n.dev.trec"),
        ("{split}/rows-{split}.jsonl", "train/rows-train.jsonl", "dev/rows-dev.jsonl"),
        ("qrels/{split}.tsv", "qrels/train.tsv", "qrels/dev.tsv"),
    ],
)
def test_names_of_splits(file: str, train: str, dev: str) -> None:
    assert (split_file(file, None), split_file(file, "train"), split_file(file, "dev")) == (train, train, dev)


def test_no_text_of_a_query_or_positive_is_on_both_sides(folder: Path) -> None:
    seen: list[set[str]] = []
    for name in ("triplet.jsonl", "triplet.dev.jsonl"):
        rows = lines(folder / name)
        assert rows
        seen.append({normalise(row[column]) for row in rows for column in ("anchor", "positive")})
    assert not seen[0] & seen[1]


def test_every_file_has_the_queries_of_its_split(folder: Path) -> None:
    """In all formats, and together they have all rows that there are."""
    side = {row["query_id"]: row["split"] for row in pq.read_table(folder / "split.parquet").to_pylist()}
    assert 10 <= list(side.values()).count("dev") <= 22
    by_file = provenance(folder)
    assert len(by_file) == 2 * (len(LAYOUTS) + 1)
    for name, rows in by_file.items():
        is_dev = ".dev." in name or name.endswith(("/dev.jsonl", "/dev.json")) or name.startswith("dev/")
        assert {side[row["query_id"]] for row in rows} == {"dev" if is_dev else "train"}, name


def test_folders_have_a_file_of_rows_per_split_and_one_of_texts(folder: Path) -> None:
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert {name for name in found if name.startswith(("ids/", "tevatron-ids/", "nemo/", "beir/"))} == {
        "ids/train.jsonl", "ids/dev.jsonl", "ids/queries.jsonl", "ids/documents.jsonl",
        "tevatron-ids/train.jsonl", "tevatron-ids/dev.jsonl", "tevatron-ids/corpus.jsonl",
        "nemo/train.json", "nemo/dev.json", "nemo/corpus/train.parquet", "nemo/corpus/merlin_metadata.json",
        "beir/corpus.jsonl", "beir/queries.jsonl", "beir/qrels/train.tsv", "beir/qrels/dev.tsv",
        "beir/hard-negatives.jsonl", "beir/hard-negatives.dev.jsonl",
    }  # fmt: skip


def test_the_texts_are_those_that_either_split_names(folder: Path) -> None:
    rows = [row for split in ("train", "dev") for row in lines(folder / "ids" / f"{split}.jsonl")]
    queries = {row["query_id"] for row in lines(folder / "ids" / "queries.jsonl")}
    documents = {row["document_id"] for row in lines(folder / "ids" / "documents.jsonl")}
    assert queries == {row["query_id"] for row in rows}
    assert documents == {name for row in rows for name in row["document_ids"]}


def test_the_card_tells_of_the_splits(folder: Path) -> None:
    card = (folder / "README.md").read_text("utf-8")
    assert "are held out as `dev`" in card
    assert "- split: dev" in card


def test_another_seed_holds_out_other_queries(tmp_path: Path) -> None:
    sides = []
    for seed in (0, 0, 1):
        path = make_run(
            tmp_path / str(len(sides)), passages=150, queries=30, extra=f"split: {{dev: 0.2}}\nseed: {seed}\n"
        )
        negmine.run(negmine.load_config(path))
        sides.append(pq.read_table(path.parent / "work/export/split.parquet")["split"].to_pylist())
    assert sides[0] == sides[1] != sides[2]


def test_queries_that_all_hang_together_cannot_be_split(tmp_path: Path) -> None:
    """The error says how large the group is."""
    export_data = {"format": "triplet", "file": "t.jsonl"}
    export(tmp_path, export_data)
    (tmp_path / "qrels" / "train.tsv").write_text("query-id\tcorpus-id\tscore\nq1\td1\t1\nq2\td1\t1\nq3\td1\t1\n")
    with pytest.raises(
        InputError, match="3 queries are one group that share positives or texts, the largest of 3"
    ) as caught:
        export(tmp_path, export_data, split={"dev": 0.4})
    assert "Leave split out" in str(caught.value)
