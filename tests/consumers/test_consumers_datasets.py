"""``datasets`` loads the export folder as it is: every table by the name that the card gives it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import datasets
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
import sample
import zstandard
from huggingface_hub import DatasetCard


def read(path: Path) -> list[dict[str, Any]]:
    """The rows of a file, by plain readers."""
    if path.suffix == ".parquet":
        return pq.read_table(path).to_pylist()
    if path.suffix == ".tsv":
        options = pyarrow.csv.ParseOptions(delimiter="\t")
        return pyarrow.csv.read_csv(path, parse_options=options).to_pylist()
    data = path.read_bytes()
    if path.suffix == ".zst":
        data = zstandard.ZstdDecompressor().decompressobj().decompress(data)
    return [json.loads(line) for line in data.decode("utf-8").split("\n")[:-1]]


def check(folder: Path, cache: Path) -> dict[str, datasets.DatasetDict]:
    """Loads every config of the card and compares it with the files it names; what was loaded, by config."""
    card = DatasetCard.load(folder / "README.md").data
    infos = {info["config_name"]: info for info in card.dataset_info}
    found = {}
    for config in card.configs:
        name = config["config_name"]
        found[name] = datasets.load_dataset(str(folder), name, cache_dir=str(cache))
        declared = [feature["name"] for feature in infos[name].get("features", [])]
        assert declared == ([] if name == "beir" else found[name]["train"].column_names)  # a map has no word there
        for files in config["data_files"]:
            expected = [row for path in files["path"] for row in read(folder / path)]
            assert found[name][files["split"]].to_list() == expected
    return found


def test_every_config_of_the_card_loads(exported: Path, tmp_path: Path) -> None:
    found = check(exported, tmp_path)
    assert set(found) == {
        *("triplet", "triplet-2", "n-tuple", "labeled-pair", "labeled-pair-2", "labeled-list", "labeled-list-2"),
        *("margin-mse", "margin-mse-2", "ids", "ids-queries", "ids-documents", "flagembedding", "tevatron"),
        *("tevatron-ids", "tevatron-ids-corpus", "beir", "beir-corpus", "beir-queries", "ms-swift"),
    }


@pytest.mark.parametrize("suffix", [".parquet", ".jsonl.zst"])
def test_other_kinds_and_shards_load(suffix: str, tmp_path: Path) -> None:
    exports = [
        {"format": "labeled-list", "file": f"lists{suffix}", "scores": True, "shard_rows": 20},
        {"format": "triplet", "file": f"sub/train{suffix}"},
    ]
    run = sample.run(tmp_path / "in", exports)
    found = check(run / "export", tmp_path / "cache")
    assert set(found) == {"labeled-list", "triplet"}
    groups = sample.groups(run)
    assert found["triplet"]["train"].num_rows == sum(len(g.positives) * len(g.negatives) for g in groups)


def test_without_a_name_the_first_export_is_loaded(exported: Path, groups: list[sample.Group], tmp_path: Path) -> None:
    rows = datasets.load_dataset(str(exported), split="train", cache_dir=str(tmp_path))
    expected = [(g.text, p.whole, n.whole) for g in groups for p in g.positives for n in g.negatives]
    assert [(row["anchor"], row["positive"], row["negative"]) for row in rows] == expected
