"""The dataset card: what a hub and ``datasets`` read from it, what a person does."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from negmine.writers.card import Card, CardFile, Held, config_names, dataset_card, loadable
from negmine.writers.histogram import KINDS, Histogram, as_table, can_draw, count_scores, draw

TEXTS = pa.large_string()
PASSAGE = pa.struct([("docid", TEXTS), ("title", TEXTS), ("text", TEXTS)])
TABLES = {
    "triplet": pa.table({"anchor": ["q", "r", "2020-01-01"], "positive": ["p", "1", "x"], "negative": ["n", "2", "y"]}),
    "labeled-list": pa.table(
        {
            "anchor": pa.array(["q", "r"], TEXTS),
            "documents": pa.array([["a", "b"], ["c"]], pa.large_list(TEXTS)),
            "scores": pa.array([[1, 0.5], [0]], pa.large_list(pa.float64())),
        }
    ),
    "labeled-pair": pa.table({"anchor": ["q"], "text": ["p"], "label": pa.array([1], pa.int64())}),
    "tevatron": pa.table(
        {
            "query_id": ["1"],
            "query": ["q"],
            "positive_passages": pa.array([[{"docid": "7", "title": "", "text": "p"}]], pa.large_list(PASSAGE)),
        }
    ),
    "ms-swift": pa.table(
        {"positive_messages": pa.array([[[{"role": "user", "content": "p"}]]], pa.list_(pa.list_(pa.struct(
            [("role", TEXTS), ("content", TEXTS)]))))}
    ),
}  # fmt: skip


def write(folder: Path, name: str, rows: pa.Table) -> str:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        pq.write_table(rows, path)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows.to_pylist()), "utf-8")
    return name


def card_file(folder: Path, layout: str, name: str, **more: Any) -> CardFile:
    rows = more.pop("table", TABLES[layout])
    write(folder, name, rows)
    size = (folder / name).stat().st_size
    return CardFile(layout, "scores" in rows.column_names, (name,), rows.num_rows, size, rows.schema, **more)


def card(*files: CardFile, **more: Any) -> str:
    given: dict[str, Any] = {
        "counts": {"distinct_queries": 1, "positives": 1, "passages": 2},
        "negatives": 3,
        "model": "m",
        "settings": {"filter.relative_margin": 0.05},
        "example": None,
    }
    return dataset_card(Card(files=files, **{**given, **more}))


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """``datasets.load_dataset`` on a folder with this card, offline and with a cache of its own."""
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_OFFLINE", True)

    def loaded(folder: Path, text: str, *names: str, **more: Any) -> Any:
        (folder / "README.md").write_text(text, "utf-8")
        return datasets.load_dataset(str(folder), *names, cache_dir=str(tmp_path / "cache"), **more)

    return loaded


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
def test_every_config_loads_with_the_declared_columns_and_rows(tmp_path: Path, load, caplog, suffix: str) -> None:
    folder = tmp_path / "set"
    files = [card_file(folder, layout, f"{layout}{suffix}") for layout in TABLES]
    for file in files:
        found = load(folder, card(*files), file.format, split="train")
        assert found.to_list() == TABLES[file.format].to_pylist()
    assert load(folder, card(*files), "labeled-pair", split="train").features["label"].dtype == "int64"
    assert "ignor" not in caplog.text.lower()  # nothing of the card is malformed in its eyes


def test_texts_that_look_like_dates_or_numbers_stay_texts(tmp_path: Path, load) -> None:
    """Columns have declared types. (The reader of JSON Lines takes a column of nothing but dates for times all the
    same: Parquet is the format for such texts.)"""
    rows = pa.table({"anchor": ["2020-01-01"], "positive": ["17"], "negative": ["2020-01-03T00:00:00"]})
    parquet = card_file(tmp_path / "set", "triplet", "train.parquet", table=rows)
    assert load(tmp_path / "set", card(parquet), split="train").to_list() == rows.to_pylist()
    numbers = pa.table({"anchor": ["17"], "positive": ["1e5"], "negative": ["true"]})
    lines = card_file(tmp_path / "lines", "triplet", "train.jsonl", table=numbers)
    assert load(tmp_path / "lines", card(lines), split="train").to_list() == numbers.to_pylist()


def test_a_column_of_maps_is_left_for_the_reader_to_find(tmp_path: Path, load) -> None:
    kind = pa.map_(pa.string(), pa.list_(pa.string()))
    rows = pa.table({"qid": ["1"], "neg": pa.array([[("dense", ["a"]), ("bm25", ["b"])]], kind)})
    file = CardFile("beir", False, ("hard.jsonl",), 1, 1, rows.schema)
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "hard.jsonl").write_text('{"qid": "1", "neg": {"dense": ["a"], "bm25": ["b"]}}\n')
    found = load(tmp_path / "set", card(file), split="train").to_list()
    assert found == [{"qid": "1", "neg": {"dense": ["a"], "bm25": ["b"]}}]


def test_splits_of_a_table_are_one_config(tmp_path: Path, load) -> None:
    folder = tmp_path / "set"
    train = card_file(folder, "triplet", "train.jsonl", export=0)
    dev = card_file(folder, "triplet", "train.dev.jsonl", export=0, split="dev", table=TABLES["triplet"].slice(0, 1))
    found = load(folder, card(train, dev), "triplet")
    assert {name: split.num_rows for name, split in found.items()} == {"train": 3, "dev": 1}


def test_counts_in_the_card_are_checked_on_loading(tmp_path: Path, load) -> None:
    """A file that lost rows on its way is noticed."""
    folder = tmp_path / "set"
    file = card_file(folder, "triplet", "train.jsonl")
    write(folder, "train.jsonl", TABLES["triplet"].slice(1))
    with pytest.raises(Exception, match="num_examples=3"):
        load(folder, card(file), split="train")


def test_shards_load_as_one_table(tmp_path: Path, load) -> None:
    folder = tmp_path / "set"
    names = ["a-00000-of-00002.jsonl", "a-00001-of-00002.jsonl"]
    for row, name in enumerate(names):
        write(folder, name, TABLES["triplet"].slice(row, 1))
    file = CardFile("triplet", False, tuple(names), 2, 10, TABLES["triplet"].schema)
    assert load(folder, card(file), split="train")["anchor"] == ["q", "r"]


@pytest.mark.parametrize("name", ["sub/train.jsonl", "a b.jsonl", "train[1].jsonl", "ünï 😀.jsonl", "a #c.jsonl"])
def test_any_file_name_loads(tmp_path: Path, load, name: str) -> None:
    file = card_file(tmp_path / "set", "triplet", name)
    assert load(tmp_path / "set", card(file), split="train").num_rows == 3


def test_tables_for_another_reader_than_the_first_are_not_offered(tmp_path: Path, load) -> None:
    """One folder is read by one reader: a config of another kind would fail when it is loaded."""
    folder = tmp_path / "set"
    files = [
        CardFile("trec-run", False, ("run.trec",), 9, 9),
        card_file(folder, "labeled-pair", "pairs.parquet"),
        card_file(folder, "triplet", "train.jsonl"),
        card_file(folder, "triplet", "train.parquet"),
    ]
    assert list(loadable(tuple(files))) == ["labeled-pair", "triplet-2"]
    assert load(folder, card(*files), "triplet-2", split="train").num_rows == 3
    assert load(folder, card(*files), split="train").column_names == ["anchor", "text", "label"]


def test_a_file_name_that_datasets_takes_for_a_url_is_not_offered(tmp_path: Path) -> None:
    assert "configs" not in card(card_file(tmp_path, "triplet", "a:b.jsonl"))


def test_a_split_without_rows_is_not_offered(tmp_path: Path, load) -> None:
    folder = tmp_path / "set"
    train = card_file(folder, "triplet", "train.jsonl", export=0)
    dev = card_file(folder, "triplet", "dev.jsonl", export=0, split="dev", table=TABLES["triplet"].slice(0, 0))
    assert list(load(folder, card(train, dev), "triplet")) == ["train"]


def test_nothing_to_load_is_a_card_without_configs() -> None:
    text = card(CardFile("trec-run", False, ("run.trec",), 9, 9))
    assert "configs" not in text
    assert "load_dataset" not in text


def test_members_and_repeated_formats_have_names_of_their_own() -> None:
    files = (
        CardFile("beir", False, ("beir/corpus.jsonl",), 1, 1, member="corpus", export=0),
        CardFile("beir", False, ("beir/queries.jsonl",), 1, 1, member="queries", export=0),
        CardFile("triplet", False, ("a.jsonl",), 1, 1, export=1),
        CardFile("triplet", False, ("b.jsonl",), 1, 1, export=2),
        CardFile("triplet", False, ("b.dev.jsonl",), 1, 1, export=2, split="dev"),
    )
    assert config_names(files) == ["beir-corpus", "beir-queries", "triplet", "triplet-2", "triplet-2"]


def test_the_front_matter_is_what_the_hub_reads(tmp_path: Path) -> None:
    hub = pytest.importorskip("huggingface_hub")
    files = [card_file(tmp_path, layout, f"{layout}.jsonl") for layout in TABLES]
    data = hub.DatasetCard(card(*files)).data
    assert [config["config_name"] for config in data.configs] == list(TABLES)
    assert [config.get("default", False) for config in data.configs] == [True, False, False, False, False]
    assert data.size_categories == ["n<1K"]
    infos = {info["config_name"]: info for info in data.dataset_info}
    assert infos["triplet"]["splits"] == [{"name": "train", "num_bytes": files[0].bytes, "num_examples": 3}]
    assert infos["triplet"]["download_size"] == files[0].bytes
    assert infos["labeled-list"]["features"][1:] == [
        {"name": "documents", "list": "string"},
        {"name": "scores", "list": "float64"},
    ]


def test_a_fence_is_longer_than_any_in_the_example(tmp_path: Path) -> None:
    text = card(
        card_file(tmp_path, "triplet", "a.jsonl"),
        example={"anchor": "``` tricky: yes", "positives": [], "negatives": []},
    )
    assert "````json" in text


def test_a_long_example_is_shortened(tmp_path: Path) -> None:
    example = {"anchor": "q", "positives": ["x" * 1000], "negatives": [f"n{number}" for number in range(9)]}
    text = card(card_file(tmp_path, "triplet", "a.jsonl"), example=example)
    shown = json.loads(text.split("```json\n")[1].split("\n```")[0])
    assert shown["positives"] == ["x" * 300 + " [...]"]
    assert shown["negatives"] == ["n0", "n1", "n2", "n3", "n4", "[4 more]"]


def test_what_was_left_out_and_held_out_is_told(tmp_path: Path) -> None:
    text = card(
        card_file(tmp_path, "triplet", "a.jsonl", left_out=1234, export=0),
        card_file(tmp_path, "triplet", "d.jsonl", split="dev", export=0),
        card_file(tmp_path, "triplet", "texts.jsonl", member="texts", export=0),
        held=Held(0.05, 37, 740, 700, 12),
    )
    assert re.search(r"\| `a\.jsonl` \| triplet \| train \| 3 \| \d+ \| 1,234 \|", text)
    assert re.search(r"\| `texts\.jsonl` \| triplet texts \| both \| 3 ", text)
    assert "37 of 740 queries (5.0%; 5% were asked for) are held out as `dev`" in text
    assert "700 groups, the largest of 12 queries" in text


def test_recipe_and_reasons_are_told(tmp_path: Path) -> None:
    text = card(card_file(tmp_path, "triplet", "a.jsonl"), recipe=("First.", "Then."), reasons={"kept": 1200, "x": 3})
    assert "1. First.\n2. Then.\n" in text
    assert "| 1,200 | `kept` |\n| 3 | `x` |" in text


SCORES = {
    "positives": np.array([0.9, 0.85, 0.4]),
    "negatives": np.linspace(0.1, 0.6, 50),
    "dropped": np.linspace(-0.2, 0.95, 300),
}


def histogram() -> Histogram:
    return count_scores(SCORES.values(), SCORES.items())


def test_the_histogram_counts_every_score_once() -> None:
    found = histogram()
    assert {kind: int(found.counts[kind].sum()) for kind in KINDS} == {"positives": 3, "negatives": 50, "dropped": 300}
    assert (found.edges[0], found.edges[-1]) == (-0.2, 0.95)
    assert np.array_equal(found.counts["dropped"], np.histogram(SCORES["dropped"], found.edges)[0])


def test_the_histogram_does_not_depend_on_the_batches() -> None:
    pieces = [(kind, part) for kind, scores in SCORES.items() for part in np.array_split(scores[::-1], 7)]
    split = count_scores([part for _, part in pieces], pieces)
    assert all(np.array_equal(split.counts[kind], histogram().counts[kind]) for kind in KINDS)


@pytest.mark.parametrize("scores", [[], [0.5], [0.0, 0.0]])
def test_few_scores_are_counted_too(scores: list[float], tmp_path: Path) -> None:
    found = count_scores([np.array(scores)], [("positives", np.array(scores))])
    assert found.total == len(scores)
    if can_draw():
        draw(found, tmp_path / "x.png", "score")


def test_the_table_has_the_same_counts() -> None:
    rows = [line.strip("| ").split(" | ") for line in as_table(histogram())[2:]]
    assert len(rows) == 20
    assert [sum(int(row[column]) for row in rows) for column in (1, 2, 3)] == [3, 50, 300]
    assert rows[0][0].endswith("0.950")


def test_the_card_shows_the_picture_or_the_table(tmp_path: Path) -> None:
    file = card_file(tmp_path, "triplet", "a.jsonl")
    with_figure, without = (card(file, scores=histogram(), figure=figure) for figure in (True, False))
    assert "(scores.png)" in with_figure
    assert "pip install" not in with_figure
    assert "(scores.png)" not in without
    assert "| score | positives | negatives | dropped |" in without
    assert "pip install 'negmine[plot]'" in without


def test_the_picture_has_the_same_bytes_every_time(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    draw(histogram(), tmp_path / "a.png", "cosine")
    draw(histogram(), tmp_path / "b.png", "cosine")
    data = (tmp_path / "a.png").read_bytes()
    assert data == (tmp_path / "b.png").read_bytes()
    assert data.startswith(b"\x89PNG")
    assert b"tEXt" not in data
