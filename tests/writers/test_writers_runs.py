"""Exports as a run writes them: kinds of files, shards, options, counts, resuming."""

from __future__ import annotations

import gzip
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from small_data import CORPUS, QUERIES, SCORES, export, write_data

import negmine
from negmine.config.exporting import EXPORT_SUFFIXES, LAYOUTS
from negmine.errors import InputError
from negmine.pipeline import RunResult
from negmine.readers.bad_rows import BadRows
from negmine.readers.runs import read_run
from negmine.writers import FORMATS

sys.path.insert(0, str(Path(__file__).parents[1] / "crash"))
sys.path.insert(0, str(Path(__file__).parents[1] / "integrity"))
from small_run import make_run, stage_files
from stopping import Stopping

TABULAR = sorted(name for name, layout in LAYOUTS.items() if layout.endings and layout.shards)


def read(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".parquet":
        return pq.read_table(path).to_pylist()
    data = path.read_bytes()
    if path.suffix == ".gz":
        data = gzip.decompress(data)
    elif path.suffix == ".zst":
        data = pa.input_stream(str(path), compression="zstd").read()
    return [json.loads(line) for line in data.decode("utf-8").splitlines()]


def counts(result: RunResult) -> dict[str, int]:
    return dict(result.stages[-1].manifest.counts)


def test_every_format_of_the_config_has_a_writer() -> None:
    assert set(LAYOUTS) == set(FORMATS)
    for name, layout in LAYOUTS.items():
        assert layout.folder == any(member.file for member in FORMATS[name].members)


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every tabular format in every kind of file it may be, whole and in shards of two rows."""
    folder, exports = tmp_path_factory.mktemp("kinds"), []
    for name in TABULAR:
        for kind in LAYOUTS[name].endings:
            for shards in (None, 2):
                stem = f"{name}{'-shards' if shards else ''}-{kind.replace('.', '_')}"
                file = f"{stem}/*{kind}" if LAYOUTS[name].folder else f"{stem}{kind}"
                exports.append({"format": name, "file": file, "shard_rows": shards})
    export(folder, *exports)
    return folder / "run" / "export"


@pytest.mark.parametrize("name", TABULAR)
def test_every_kind_of_file_holds_the_same_rows(everything: Path, name: str) -> None:
    """Plain, compressed and in shards, whose names say how many there are."""
    members = ["train", "queries", "documents", "corpus"] if LAYOUTS[name].folder else [""]
    for member in members:
        place = f"{name}-_jsonl/{member}" if member else f"{name}-_jsonl"
        if not (everything / f"{place}.jsonl").exists():
            continue
        expected = read(everything / f"{place}.jsonl")
        assert expected
        for kind in LAYOUTS[name].endings:
            stem = kind.replace(".", "_")
            whole = f"{name}-{stem}/{member}" if member else f"{name}-{stem}"
            assert read(everything / f"{whole}{kind}") == expected
            sharded = f"{name}-shards-{stem}/{member}" if member else f"{name}-shards-{stem}"
            number = -(-len(expected) // 2)
            paths = [everything / f"{sharded}-{n:05d}-of-{number:05d}{kind}" for n in range(number)]
            assert [row for path in paths for row in read(path)] == expected
            assert [len(read(path)) for path in paths[:-1]] == [2] * (number - 1)


def test_every_ending_was_tried() -> None:
    assert {ending for name in TABULAR for ending in LAYOUTS[name].endings} == set(EXPORT_SUFFIXES)


def test_what_fills_no_row_is_counted(tmp_path: Path) -> None:
    """Two negatives in rows of one; queries without any; the result says how many rows there are not."""
    result = export(
        tmp_path,
        {"format": "n-tuple", "file": "one.jsonl", "negatives_per_row": 1},
        {"format": "flagembedding", "file": "fe.jsonl"},
        {"format": "labeled-list", "file": "all.jsonl", "one_positive_per_row": False},
        {"format": "beir", "file": "beir"},
        {"format": "labeled-pair", "file": "pair.jsonl"},
    )
    found = counts(result)
    assert {key: count for key, count in found.items() if key.startswith(("rows:", "left_out:"))} == {
        "rows:one.jsonl": 6,
        "left_out:one.jsonl": 1,
        "rows:fe.jsonl": 2,
        "left_out:fe.jsonl": 1,
        "rows:all.jsonl": 2,
        "left_out:all.jsonl": 1,
        "rows:beir/hard-negatives.jsonl": 2,
        "left_out:beir/hard-negatives.jsonl": 1,
        "rows:pair.jsonl": 8,
    }
    card = (tmp_path / "run/export/README.md").read_text("utf-8")
    assert "left out" in card


def test_a_rest_of_negatives_is_left_out(tmp_path: Path) -> None:
    """Three negatives make one row of two; the third has no row."""
    path = make_run(tmp_path, queries=8, passages=40)
    text = path.read_text().partition("export:")[0]
    path.write_text(f"{text}export:\n  - {{format: n-tuple, file: t.jsonl, negatives_per_row: 2}}\n")
    found = counts(negmine.run(negmine.load_config(path)))
    assert found["rows:t.jsonl"] == found["left_out:t.jsonl"] > 0


@pytest.mark.parametrize("name", ["triplet", "margin-mse", "flagembedding"])
def test_an_export_without_any_row_is_a_file_with_none(tmp_path: Path, name: str) -> None:
    rules = {"num_negatives": 2, "max_score": -1.0, "risk": None, "near_duplicates": None}
    found = counts(export(tmp_path, {"format": name, "file": "none.jsonl"}, filter=rules))
    assert found["rows:none.jsonl"] == 0
    assert (tmp_path / "run/export/none.jsonl").read_bytes() == b""


def test_a_template_of_ones_own_is_the_text_and_leaves_no_title(tmp_path: Path) -> None:
    """A trainer joins title and text in its own way: it would read something else than was mined with."""
    write_data(tmp_path)
    export(
        tmp_path,
        {"format": "tevatron", "file": "t.jsonl"},
        {"format": "beir", "file": "beir"},
        {"format": "triplet", "file": "triplet.jsonl"},
        data={"path": ".", "format": "beir", "passage_template": "{title}: {text}"},
    )
    folder = tmp_path / "run" / "export"
    first = read(folder / "t.jsonl")[0]["positive_passages"][0]
    assert first == {"docid": "d1", "title": "", "text": 'Tides: The moon "pulls".'}
    assert read(folder / "beir/corpus.jsonl")[0] == {"_id": "d1", "title": "", "text": first["text"]}
    assert read(folder / "triplet.jsonl")[0]["positive"] == first["text"]


def rename(folder: Path, old: str, new: str) -> None:
    for path in (folder / "corpus.jsonl", folder / "queries.jsonl", folder / "qrels" / "train.tsv"):
        path.write_text(path.read_text("utf-8").replace(old, new), "utf-8")


@pytest.mark.parametrize(("old", "new"), [("d5", "d 5"), ("q2", "q 2")])
def test_an_id_that_would_be_two_columns_of_a_run_is_refused(tmp_path: Path, old: str, new: str) -> None:
    """It is named before anything is written."""
    write_data(tmp_path)
    rename(tmp_path, f'"{old}"', f'"{new}"')
    (tmp_path / "qrels" / "train.tsv").write_text(
        (tmp_path / "qrels" / "train.tsv").read_text().replace(f"{old}\t", f"{new}\t")
    )
    with pytest.raises(InputError, match=rf"id '{new}' has white space in it.*trec-run") as caught:
        export(tmp_path, {"format": "trec-run", "file": "n.trec"})
    assert "export.0.file: n.trec" in str(caught.value)
    assert not list(tmp_path.rglob("*.trec"))


def test_an_id_that_no_row_names_is_none_of_a_run(tmp_path: Path) -> None:
    write_data(tmp_path)
    path = tmp_path / "corpus.jsonl"
    path.write_text(path.read_text("utf-8") + '{"_id": "d 7", "title": "", "text": "far away"}\n', "utf-8")
    np.save(tmp_path / "c.npy", np.array([*SCORES, [-9, -9, 7]], np.float32))
    assert counts(export(tmp_path, {"format": "trec-run", "file": "n.trec"}))["rows:n.trec"] == 4


def test_an_id_with_a_quote_is_refused_for_qrels(tmp_path: Path) -> None:
    write_data(tmp_path)
    for path in (tmp_path / "corpus.jsonl", tmp_path / "qrels" / "train.tsv"):
        mark = '\\"d1' if path.suffix == ".jsonl" else '"d1'
        path.write_text(path.read_text("utf-8").replace("d1", mark), "utf-8")
    with pytest.raises(InputError, match="has a tab, a line break or a double quote in it"):
        export(tmp_path, {"format": "beir", "file": "b/"}, data={"path": ".", "format": "beir"})


def test_queries_with_equal_text_keep_the_first_id(tmp_path: Path) -> None:
    write_data(tmp_path)
    queries = [*QUERIES, {"_id": "q0", "text": "Moon?"}]
    (tmp_path / "queries.jsonl").write_text("".join(json.dumps(row) + "\n" for row in queries))
    with (tmp_path / "qrels" / "train.tsv").open("a") as file:
        file.write("q0\td1\t3\n")
    np.save(tmp_path / "q.npy", np.eye(3, dtype=np.float32)[[0, 1, 2, 0]])
    export(tmp_path, {"format": "ids", "file": "ids"}, {"format": "beir", "file": "beir"})
    folder = tmp_path / "run" / "export"
    assert [row["query_id"] for row in read(folder / "ids/queries.jsonl")] == ["q1", "q2"]
    lines = (folder / "beir/qrels/train.tsv").read_text().splitlines()
    assert lines[1:] == ["q1\td1\t3", "q1\td2\t1", "q2\td3\t1", "q3\td4\t1"]


def test_a_passage_that_no_row_names_is_in_the_corpus_of_beir_only(tmp_path: Path) -> None:
    one = {"num_negatives": 1, "absolute_margin": 1.0, "risk": None, "near_duplicates": None}
    export(
        tmp_path,
        {"format": "ids", "file": "ids"},
        {"format": "tevatron-ids", "file": "tev"},
        {"format": "nemo", "file": "nemo"},
        {"format": "beir", "file": "beir"},
        filter=one,
    )
    folder = tmp_path / "run" / "export"
    used = ["d1", "d2", "d3", "d5"]
    assert [row["document_id"] for row in read(folder / "ids/documents.jsonl")] == used
    assert [row["docid"] for row in read(folder / "tev/corpus.jsonl")] == used
    assert [row["id"] for row in read(folder / "nemo/corpus/train.parquet")] == used
    assert [row["_id"] for row in read(folder / "beir/corpus.jsonl")] == [row["_id"] for row in CORPUS]


ALL = "".join(
    f"  - {{format: {name}, file: {name + '/' if layout.folder else name + layout.endings[0]}}}\n"
    for name, layout in LAYOUTS.items()
)
PARQUET = "  - {format: triplet, file: t.parquet, shard_rows: 50}\n"


def run_of(folder: Path, part_queries: int, **more: Any) -> Path:
    path = make_run(folder, queries=24, passages=150, part_queries=part_queries, extra=more.pop("extra", ""))
    path.write_text(path.read_text().partition("export:")[0] + "export:\n" + ALL + PARQUET)
    negmine.run(negmine.load_config(path), **more)
    return folder / "work" / "export"


@pytest.mark.parametrize("extra", ["", "split: {dev: 0.2}\n"])
def test_the_size_of_parts_changes_no_byte(tmp_path: Path, extra: str) -> None:
    one, other = (stage_files(run_of(tmp_path / str(size), size, extra=extra)) for size in (5, 24))
    for files in (one, other):
        del files["manifest.json"]
    assert one == other


def test_an_export_that_was_stopped_goes_on_to_the_same_bytes(tmp_path: Path) -> None:
    whole = stage_files(run_of(tmp_path / "whole", 8, extra="split: {dev: 0.2}\n"))
    for after in (1, 20):
        folder = tmp_path / str(after)
        with pytest.raises(KeyboardInterrupt):
            run_of(folder, 8, extra="split: {dev: 0.2}\n", executor=Stopping("export", after))
        assert not (folder / "work" / "export").exists()
        result = negmine.run(negmine.load_config(folder / "config.yaml"))
        assert result.stages[-1].tasks_run == result.stages[-1].tasks - after
        again = stage_files(folder / "work" / "export")
        for files in (again, dict(whole)):
            files.pop("manifest.json")
        assert again == {name: digest for name, digest in whole.items() if name != "manifest.json"}


def test_a_run_is_read_again(tmp_path: Path) -> None:
    """Ids and scores, to the last digit."""
    path = run_of(tmp_path, 8) / "trec-run.trec"
    found = [
        row
        for batch in read_run(path, "score", BadRows("error"))
        for row in zip(batch.query_ids, batch.doc_ids, batch.values, strict=True)
    ]
    kept = negmine.read_negatives(tmp_path / "work").to_pylist()
    assert set(found) == {(row["query_id"], row["doc_id"], row["score"]) for row in kept}
    assert len(found) == len(kept) > 0
