"""A small data set, tiny models, and a way to run the embed stage on them."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "encoders"))

import tiny_models

import negmine

WORDS = ["dock", "parcel", "driver", "refund", "truck", "slot", "password", "guest", "route", "scan", "label", "depot"]


def make_texts(count: int, seed: int) -> list[str]:
    """Distinct texts of 2 to 14 words."""
    rng = np.random.default_rng(seed)
    return [f"{i} " + " ".join(rng.choice(WORDS, rng.integers(1, 14))) for i in range(count)]


class Data:
    """Files of a run in a folder, and the run."""

    def __init__(self, folder: Path, model: Path) -> None:
        self.folder, self.model = folder, model
        self.corpus = {f"d{i}": text for i, text in enumerate(make_texts(50, 1))}
        self.queries = make_texts(12, 2)

    def write(self) -> None:
        rows = [{"_id": key, "text": text} for key, text in self.corpus.items()]
        self._lines("corpus.jsonl", rows)
        texts = list(self.corpus.values())
        self._lines("pairs.jsonl", [{"query_id": f"q{i}", "anchor": query, "positive": texts[i]}
                                    for i, query in enumerate(self.queries)])  # fmt: skip

    def _lines(self, name: str, rows: list[dict[str, Any]]) -> None:
        (self.folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))

    def config(self, work_dir: str = "run", threads: Any = 1, **embed: Any) -> Any:
        embed = embed if "vectors" in embed else {"model": str(self.model), "device": "cpu", **embed}
        mapping = {
            "work_dir": work_dir,
            "threads": threads,
            "data": {"pairs": "pairs.jsonl", "corpus": "corpus.jsonl"},
            "embed": embed,
            "export": [{"format": "triplet", "file": "train.jsonl"}],
        }
        return negmine.config_from_dict(mapping, self.folder)

    def run(self, work_dir: str = "run", threads: Any = 1, **embed: Any) -> Any:
        """Write the files, embed; the manifest of embed."""
        self.write()
        return negmine.run(self.config(work_dir, threads, **embed), until="embed").stages[-1].manifest

    def vectors(self, kind: str = "corpus", work_dir: str = "run") -> np.ndarray:
        tables = [pq.read_table(path) for path in self.parts(kind, work_dir)]
        return np.concatenate([np.stack(table["vector"].to_numpy()) for table in tables])

    def ids(self, kind: str = "corpus", work_dir: str = "run") -> list[str]:
        return [value for path in self.parts(kind, work_dir) for value in pq.read_table(path).column(0).to_pylist()]

    def parts(self, kind: str = "corpus", work_dir: str = "run") -> list[Path]:
        return sorted((self.folder / work_dir / "embed" / kind).glob("part-*.parquet"))

    def bytes(self, work_dir: str = "run") -> dict[str, bytes]:
        root = self.folder / work_dir / "embed"
        return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.glob("*/part-*.parquet"))}


@pytest.fixture(scope="session")
def bert_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    prompts = {"query": "query: ", "document": "passage: "}
    return tiny_models.save_bert(tmp_path_factory.mktemp("models") / "bert", prompts=prompts)


@pytest.fixture(scope="session")
def static_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_models.save_static(tmp_path_factory.mktemp("models") / "static", similarity_fn_name="dot")


@pytest.fixture
def data(tmp_path: Path, static_model: Path) -> Data:
    return Data(tmp_path, static_model)


@pytest.fixture
def bert(tmp_path: Path, bert_model: Path) -> Data:
    return Data(tmp_path, bert_model)


@pytest.fixture
def fails() -> Callable[..., Any]:
    """Expect an error with an exit code."""
    from negmine.errors import NegmineError

    def expect(match: str, code: int = 4) -> Any:
        return pytest.raises(NegmineError, match=match, check=lambda error: error.exit_code == code)

    return expect
