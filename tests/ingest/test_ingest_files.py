"""Ingest of many files: the tables of one file, and a fingerprint that names what changed."""

from __future__ import annotations

import itertools
import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ingesting import ingest_files

import negmine
from negmine.config import config_from_dict
from negmine.errors import ConfigError, InputError
from negmine.stages.ingest.files import Files

PAIRS = [{"query_id": f"q{n % 5}", "anchor": f"query {n % 5}", "positive_id": f"d{n}"} for n in range(9)]
WITH_TEXTS = [{"anchor": f"query {n}", "positive": f"passage {n}"} for n in range(2)]
CORPUS = [{"_id": f"d{n}", "title": f"t{n % 3}", "text": f"passage {n % 11}"} for n in range(14)]
QUERIES = [{"_id": f"q{n}", "text": f"query {n}"} for n in range(5)]
QRELS = [f"q{n % 5}\td{n}\t{n % 3}\n" for n in range(14)]
TABLES = ("corpus", "queries", "positives", "excluded", "conflicts")
Cuts = st.lists(st.integers(0, 14), max_size=4).map(sorted)


def shard(folder: Path, lines: list[str], cuts: list[int], suffix: str) -> None:
    folder.mkdir()
    places = [0, *(min(cut, len(lines)) for cut in cuts), len(lines)]
    for number, (start, stop) in enumerate(itertools.pairwise(places)):
        (folder / f"part-{number}{suffix}").write_text("".join(lines[start:stop]))


def as_lines(rows: list[dict[str, Any]]) -> list[str]:
    return [json.dumps(row) + "\n" for row in rows]


@settings(deadline=None, max_examples=12)
@given(first=Cuts, second=Cuts, third=Cuts)
@pytest.mark.parametrize("kind", ["pairs", "qrels"])
def test_shards_give_the_tables_of_one_file(
    kind: str, first: list[int], second: list[int], third: list[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """However the files are cut, shards of no or one row included: the same bytes in every table."""
    folder = tmp_path_factory.mktemp("cut")
    given = {"corpus": as_lines(CORPUS), "pairs": as_lines(PAIRS)}
    if kind == "qrels":
        given = {"corpus": as_lines(CORPUS), "queries": as_lines(QUERIES), "qrels": QRELS}
    tables = {}
    for name in ("whole", "cut"):
        place = folder / name
        place.mkdir()
        for (key, lines), cuts in zip(given.items(), (first, second, third), strict=False):
            shard(place / key, lines, cuts if name == "cut" else [], ".tsv" if key == "qrels" else ".jsonl")
        found = ingest_files(place, **{key: key for key in given})
        tables[name] = [(found.folder / f"{table}.parquet").read_bytes() for table in TABLES], found.counts
    assert tables["cut"] == tables["whole"]


def files_of(folder: Path, **data: Any) -> Files:
    return Files.of(config_from_dict({"work_dir": "run", "data": data, "embed": {"model": "none"}}, folder))


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    for name in ("a/part-2", "a/part-10", "b/part-1"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / f"{name}.jsonl").write_text(as_lines(WITH_TEXTS)[0])
    return tmp_path


@pytest.mark.parametrize(
    ("value", "labels"),
    [
        ("a/part-2.jsonl", ["data.pairs"]),
        (["a/part-2.jsonl"], ["data.pairs"]),
        ("a", ["data.pairs: part-2.jsonl", "data.pairs: part-10.jsonl"]),
        (["a/part-10.jsonl", "a/part-2.jsonl"], ["data.pairs: 1 part-10.jsonl", "data.pairs: 2 part-2.jsonl"]),
        (["a", "b"], ["data.pairs: a/part-2.jsonl", "data.pairs: a/part-10.jsonl", "data.pairs: b/part-1.jsonl"]),
        (["a/*2.jsonl", "a/*.jsonl"], ["data.pairs: part-2.jsonl", "data.pairs: part-10.jsonl"]),
        (["a/part-2.jsonl", "./a/../a/part-2.jsonl"], ["data.pairs"]),
    ],
)
def test_every_file_counts_once_under_its_name(value: Any, labels: list[str], shards: Path) -> None:
    """Names that are not in order are numbered, so that the order of a list is a part of the fingerprint."""
    assert list(files_of(shards, pairs=value).by_key()) == labels


def test_added_removed_and_changed_shards_are_named(shards: Path) -> None:
    config = config_from_dict({"work_dir": "run", "data": {"pairs": "a"}, "embed": {"model": "none"}}, shards)
    negmine.run(config, until="ingest")
    moved = config_from_dict({"work_dir": "run", "data": {"pairs": "c"}, "embed": {"model": "none"}}, shards)
    (shards / "a").rename(shards / "c")
    assert negmine.status(moved)[0].state == "current"
    (shards / "c" / "part-2.jsonl").unlink()
    (shards / "c" / "part-10.jsonl").write_text("".join(as_lines(WITH_TEXTS)[:2]))
    (shards / "c" / "part-11.jsonl").touch()
    what = ("part-10.jsonl changed", "part-11.jsonl is new", "part-2.jsonl is gone")
    assert negmine.status(moved)[0].why == "; ".join(f"the file of data.pairs: {each}" for each in what)


def test_a_split_of_no_dataset_is_refused(shards: Path) -> None:
    with pytest.raises(ConfigError, match=r"^data\.split: it applies to nothing here"):
        files_of(shards, pairs="a", split="dev")


def test_a_shard_that_may_not_be_read_is_told_before_work_starts(shards: Path) -> None:
    link = shards / "a" / "part-3.jsonl"
    link.symlink_to(shards / "gone.jsonl")
    with pytest.raises(InputError, match=r"part-3\.jsonl: this file does not exist"):
        files_of(shards, pairs="a").check()
    link.unlink()
    link.write_text("{}")
    link.chmod(0)
    if not os.access(link, os.R_OK):  # root may read it all the same
        with pytest.raises(InputError, match=r"part-3\.jsonl: this file cannot be read: permission denied"):
            files_of(shards, pairs="a").check()


@pytest.mark.parametrize("key", ["pairs", "corpus"])
def test_shards_that_are_all_without_rows_are_refused(key: str, tmp_path: Path) -> None:
    data = {"pairs": as_lines(PAIRS), "corpus": as_lines(CORPUS)} | {key: []}
    for name, lines in data.items():
        shard(tmp_path / name, lines, [0, 0], ".jsonl")
    with pytest.raises(InputError, match="none of these 3 files has rows"):
        ingest_files(tmp_path, pairs="pairs", corpus="corpus")


def test_shards_of_a_corpus_have_the_same_columns(tmp_path: Path) -> None:
    """Else a title that is misspelt in one shard would be left out without a word."""
    shard(tmp_path / "pairs", as_lines(PAIRS[:1]), [], ".jsonl")
    (tmp_path / "1.csv").write_text("_id,title,text\nd0,t,passage\n")
    (tmp_path / "2.csv").write_text("_id,titel,text\nd1,t,passage two\n")
    with pytest.raises(InputError, match=r"2\.csv:1: the columns are not those of .*there is no 'title', 'titel' is"):
        ingest_files(tmp_path, pairs="pairs", corpus="*.csv")
