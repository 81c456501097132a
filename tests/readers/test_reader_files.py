"""Tables of many files: shards, folders, globs and saved datasets have the rows of one file."""

from __future__ import annotations

import csv
import gzip
import json
import re
import shutil
import tracemalloc
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import feather, ipc

from negmine.errors import InputError
from negmine.readers.bad_rows import BadRows
from negmine.readers.files import natural, table_files
from negmine.readers.rows import row_batches

KEY = "data.pairs"
Rows = list[dict[str, Any]]


def write_jsonl(path: Path, rows: Rows) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def write_json(path: Path, rows: Rows) -> None:
    path.write_text(json.dumps(rows))


def write_gzip(path: Path, rows: Rows) -> None:
    path.write_bytes(gzip.compress("".join(json.dumps(row) + "\n" for row in rows).encode()))


def write_csv(path: Path, rows: Rows) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, ["anchor", "positive"])
        writer.writeheader()
        writer.writerows(rows)


def table(rows: Rows) -> pa.Table:
    return pa.Table.from_pylist(rows, schema=pa.schema([("anchor", pa.string()), ("positive", pa.string())]))


def write_parquet(path: Path, rows: Rows) -> None:
    pq.write_table(table(rows), path)


def write_stream(path: Path, rows: Rows) -> None:
    with ipc.new_stream(path, table(rows).schema) as writer:
        writer.write_table(table(rows), max_chunksize=3)


def write_feather(path: Path, rows: Rows) -> None:
    feather.write_feather(table(rows), path, chunksize=3)


WRITERS: dict[str, Callable[[Path, Rows], None]] = {
    ".jsonl": write_jsonl,
    ".json": write_json,
    ".jsonl.gz": write_gzip,
    ".csv": write_csv,
    ".parquet": write_parquet,
    ".arrow": write_stream,
    ".feather": write_feather,
}


def some_rows(count: int) -> Rows:
    return [{"anchor": f"query {n}", "positive": f"a passage, of {n}"} for n in range(count)]


def read(paths: Sequence[Path]) -> list[tuple[str, int, dict[str, Any]]]:
    """Name of the file, number of the row, row."""
    batches = row_batches(paths, ("anchor", "positive"), BadRows())
    return [(file.path.name, number, row) for file, batch in batches for number, row in batch]


def found(text: Path | str, split: str = "train") -> list[str]:
    return [path.name for path in table_files(str(text), KEY, split).paths]


@pytest.mark.parametrize("suffix", WRITERS)
@settings(deadline=None, max_examples=15)
@given(lengths=st.lists(st.integers(0, 7), min_size=1, max_size=13).filter(any))
def test_shards_have_the_rows_of_one_file(
    suffix: str, lengths: list[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """However a table is cut, empty shards and more than nine of them included; every row keeps its own place."""
    folder = tmp_path_factory.mktemp("shards")
    rows, expected = some_rows(sum(lengths)), []
    start = 0
    for number, length in enumerate(lengths):
        name = f"part-{number}{suffix}"
        WRITERS[suffix](folder / name, rows[start : start + length])
        first = 2 if suffix == ".csv" else 1  # the line of the header comes first
        expected += [(name, first + place, rows[start + place]) for place in range(length)]
        start += length
    assert read(table_files(str(folder), KEY, "train").paths) == expected
    assert read(table_files(f"{folder}/part-*{suffix}", KEY, "train").paths) == expected


@pytest.mark.parametrize("suffix", WRITERS)
def test_shards_without_a_row_are_refused_together(suffix: str, tmp_path: Path) -> None:
    for number in range(3):
        WRITERS[suffix](tmp_path / f"part-{number}{suffix}", [])
    paths = table_files(str(tmp_path), KEY, "train").paths
    with pytest.raises(InputError, match="none of these 3 files has rows"):
        read(paths)


def test_a_shard_of_no_bytes_has_no_rows_unless_it_must_have_a_header(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "a.jsonl", some_rows(2))
    (tmp_path / "b.jsonl").touch()
    assert len(read(table_files(str(tmp_path), KEY, "train").paths)) == 2
    for name in ("c.parquet", "c.jsonl.gz", "c.arrow"):
        (tmp_path / name).touch()
        with pytest.raises(InputError, match=re.escape(f"{name}: this file is empty")):
            read([tmp_path / "a.jsonl", tmp_path / name])


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".arrow"])
def test_shards_with_other_columns_are_refused_with_both_names(suffix: str, tmp_path: Path) -> None:
    WRITERS[suffix](tmp_path / f"a{suffix}", some_rows(2))
    other = pa.table({"positive": ["p"], "anker": ["q"]})
    path = tmp_path / f"b{suffix}"
    if suffix == ".csv":
        path.write_text("positive,anker\np,q\n")
    elif suffix == ".parquet":
        pq.write_table(other, path)
    else:
        feather.write_feather(other, path)
    with pytest.raises(InputError) as error:
        read(table_files(str(tmp_path), KEY, "train").paths)
    assert f"the columns are not those of {tmp_path}/a{suffix}: there is no 'anchor', 'anker' is only here" in str(
        error.value
    )
    assert str(error.value).startswith(str(path))


def test_the_order_of_columns_does_not_matter(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("anchor,positive\nq1,p1\n")
    (tmp_path / "b.csv").write_text("positive,anchor\np2,q2\n")
    assert [row for *_, row in read([tmp_path / "a.csv", tmp_path / "b.csv"])] == [
        {"anchor": "q1", "positive": "p1"},
        {"anchor": "q2", "positive": "p2"},
    ]


def test_a_damaged_shard_in_the_middle_is_named(tmp_path: Path) -> None:
    for number in range(3):
        write_gzip(tmp_path / f"{number}.jsonl.gz", some_rows(50))
    cut = tmp_path / "1.jsonl.gz"
    cut.write_bytes(cut.read_bytes()[:-12])
    with pytest.raises(InputError, match=r"1\.jsonl\.gz: this file is damaged"):
        read(table_files(str(tmp_path), KEY, "train").paths)


def test_names_are_ordered_as_people_do(tmp_path: Path) -> None:
    for name in ("part-10.jsonl", "part-9.jsonl", "part-1.jsonl", "Part-2.jsonl", "part-01.jsonl"):
        write_jsonl(tmp_path / name, some_rows(1))
    expected = ["Part-2.jsonl", "part-01.jsonl", "part-1.jsonl", "part-9.jsonl", "part-10.jsonl"]
    assert found(tmp_path) == expected
    assert found(f"{tmp_path}/*.jsonl") == expected
    assert sorted(["a/10", "a-b/1", "a/9"], key=natural) == ["a/9", "a/10", "a-b/1"]


def test_what_is_no_data_is_not_read(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "a.jsonl", some_rows(1))
    for name in ("README.md", "dataset_info.json", ".a.jsonl.crc", "_SUCCESS", "LICENSE", "dataset_infos.json"):
        (tmp_path / name).write_text("{}")
    assert found(tmp_path) == found(f"{tmp_path}/*") == ["a.jsonl"]


def test_a_pattern_reaches_into_folders(tmp_path: Path) -> None:
    for name in ("b/x", "a/y", "a/b/z"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        write_jsonl(tmp_path / f"{name}.jsonl", some_rows(1))
    assert found(f"{tmp_path}/**/*.jsonl") == ["z.jsonl", "y.jsonl", "x.jsonl"]
    assert found(f"{tmp_path}/[ab]/?.jsonl") == ["y.jsonl", "x.jsonl"]


def test_a_file_whose_name_looks_like_a_pattern_is_that_file(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "a[1].jsonl", some_rows(1))
    write_jsonl(tmp_path / "a1.jsonl", some_rows(1))
    assert found(tmp_path / "a[1].jsonl") == ["a[1].jsonl"]


@pytest.mark.parametrize(
    ("names", "text", "message"),
    [
        (["a.jsonl", "b.csv"], "", "there are files of 2 kinds: a.jsonl, b.csv. Name those that are meant, such as"),
        (["a.jsonl", "b.csv"], "/*", "/*: there are files of 2 kinds: a.jsonl, b.csv. Name those that are meant in"),
        (["a.jsonl", "notes.txt"], "", "there are files of 2 kinds: a.jsonl, notes.txt"),
        (["a.jsonl", "a.jsonl.gz"], "", "a.jsonl and a.jsonl.gz seem to be the same data. Remove one of them"),
        (["README.md"], "", "there are no data files in this folder. Check data.pairs."),
        (["a.jsonl", "deep/b.jsonl"], "", "there are folders in this folder: deep/. Name the files that are meant"),
        (["train-0.jsonl"], "/trian-*.jsonl", "no file matches this pattern. Did you mean 'train-0.jsonl'?"),
        (["x.csv", "y.csv"], "/*.parquet", "holds: x.csv, y.csv. Check data.pairs."),
        ([], "/none/*.csv", "/none does not exist. Check data.pairs."),
        (["deep/b.jsonl"], "/*", "no file matches this pattern"),
    ],
)
def test_folders_and_patterns_that_mean_no_table_are_told(
    names: list[str], text: str, message: str, tmp_path: Path
) -> None:
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("{}")
    with pytest.raises(InputError, match=re.escape(message)):
        found(f"{tmp_path}{text}")


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``one`` (a Dataset in 12 shards), ``splits`` (a DatasetDict)."""
    import datasets

    folder = tmp_path_factory.mktemp("saved")
    dataset = datasets.Dataset.from_list(some_rows(40))
    dataset.save_to_disk(folder / "one", num_shards=12)
    splits = {"train": dataset.select(range(5, 40)), "dev": dataset.shuffle(seed=3).select(range(6))}
    datasets.DatasetDict(splits).save_to_disk(folder / "splits")
    return folder


def test_a_saved_dataset_has_the_rows_that_its_library_reads(saved: Path) -> None:
    import datasets

    place = table_files(str(saved / "one"), KEY, "train")
    assert len(place.paths) == 12
    assert not place.by_split
    assert [row for *_, row in read(place.paths)] == some_rows(40)
    for split in ("train", "dev"):
        place = table_files(str(saved / "splits"), KEY, split)
        assert place.by_split
        assert [row for *_, row in read(place.paths)] == datasets.load_from_disk(saved / "splits")[split].to_list()
    assert found(saved / "splits" / "dev") == ["data-00000-of-00001.arrow"]


def test_a_saved_dataset_is_read_in_the_order_that_it_names(saved: Path, tmp_path: Path) -> None:
    folder = tmp_path / "one"
    shutil.copytree(saved / "one", folder)
    state = json.loads((folder / "state.json").read_text())
    state["_data_files"] = state["_data_files"][4:6][::-1]
    (folder / "state.json").write_text(json.dumps(state))
    assert found(folder) == ["data-00005-of-00012.arrow", "data-00004-of-00012.arrow"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"_indices_data_files": [{"filename": "indices.arrow"}]}, "Call flatten_indices() on the dataset before"),
        ({"_data_files": []}, "state.json: it names no data files"),
        ({"_data_files": [{"filename": "gone.arrow"}]}, "gone.arrow is not there, which state.json names"),
        (None, "state.json: this is not the JSON that datasets writes"),
    ],
)
def test_a_saved_dataset_that_is_not_whole_is_told(
    change: dict[str, Any] | None, message: str, saved: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "one"
    shutil.copytree(saved / "one", folder)
    state = json.loads((folder / "state.json").read_text())
    (folder / "state.json").write_text("{" if change is None else json.dumps({**state, **change}))
    with pytest.raises(InputError, match=re.escape(message)):
        found(folder)


def test_a_split_that_is_not_there_is_told_with_those_that_are(saved: Path) -> None:
    with pytest.raises(InputError, match=r"there is no split 'trian'. Did you mean 'train'\? There are: train, dev."):
        found(saved / "splits", "trian")


def test_an_arrow_file_that_ends_anywhere_is_damaged(tmp_path: Path) -> None:
    for name, write in (("a.arrow", write_stream), ("a.feather", write_feather)):
        path = tmp_path / name
        write(path, some_rows(9))
        whole = path.read_bytes()
        for end in range(1, len(whole), 7):
            path.write_bytes(whole[:end])
            with pytest.raises(InputError, match="this Arrow file is damaged"):
                read([path])


@settings(deadline=None, max_examples=60)
@given(place=st.integers(0, 10**6), bit=st.integers(0, 7))
def test_a_wrong_bit_in_an_arrow_file_ends_in_rows_or_an_error(
    place: int, bit: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("bits") / "a.arrow"
    write_stream(path, some_rows(9))
    content = bytearray(path.read_bytes())
    content[place % len(content)] ^= 1 << bit
    path.write_bytes(content)
    try:
        assert len(read([path])) == 9
    except InputError as error:
        assert str(path) in str(error)  # noqa: PT017 (either may happen)


def test_what_else_feather_files_hold_is_read_or_refused(tmp_path: Path) -> None:
    texts = pa.array(["q1", "q2", "q1"])
    odd = pa.table({"anchor": texts.dictionary_encode(), "positive": texts.cast(pa.large_string()), "n": [1, 2, 3]})
    feather.write_feather(odd, tmp_path / "odd.feather", compression="zstd")
    assert [row for *_, row in read([tmp_path / "odd.feather"])] == [
        {"anchor": text, "positive": text} for text in ("q1", "q2", "q1")
    ]
    (tmp_path / "old.feather").write_bytes(b"FEA1" + bytes(40))
    with pytest.raises(InputError, match=r"Feather file of version 1, which is not read\. Write it again"):
        read([tmp_path / "old.feather"])


def test_a_large_arrow_file_is_read_in_pieces(tmp_path: Path) -> None:
    """One record batch of 100,000 rows; 20 MB of a column that nobody asks for are not touched."""
    count = 100_000
    rows = pa.table({"anchor": [f"query {n}" for n in range(count)], "unread": ["x" * 200] * count})
    with ipc.new_stream(tmp_path / "large.arrow", rows.schema) as writer:
        writer.write_table(rows)
    tracemalloc.start()
    before = pa.total_allocated_bytes()
    seen = 0
    for _, batch in row_batches([tmp_path / "large.arrow"], ("anchor",), BadRows()):
        assert len(batch) <= 4096
        assert batch[0] == (seen + 1, {"anchor": f"query {seen}"})
        seen += len(batch)
        assert pa.total_allocated_bytes() - before < 10**6
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert seen == count
    assert peak < 8 * 10**6
