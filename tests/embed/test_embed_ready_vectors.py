"""Vectors that the user brings: matched by id or by position, checked, stored alike."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import save_file

import negmine
from negmine.stages.embed import ready

DIM = 8


@pytest.fixture
def matrices(data: Any) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(5)
    return {
        "corpus": rng.normal(size=(len(data.corpus), DIM)).astype(np.float32),
        "queries": rng.normal(size=(len(data.queries), DIM)).astype(np.float32),
    }


def ids(data: Any, kind: str) -> list[str]:
    return list(data.corpus) if kind == "corpus" else [f"q{i}" for i in range(len(data.queries))]


def npy(data: Any, matrices: dict[str, np.ndarray]) -> dict[str, str]:
    for kind, matrix in matrices.items():
        np.save(data.folder / f"{kind}.npy", matrix)
    return {kind: f"{kind}.npy" for kind in matrices}


def parquet(data: Any, matrices: dict[str, np.ndarray], seed: int | None = 0) -> dict[str, str]:
    """Both files as Parquet, shuffled by ``seed``."""
    for kind, matrix in matrices.items():
        order = np.arange(len(matrix)) if seed is None else np.random.default_rng(seed).permutation(len(matrix))
        write(data.folder / f"{kind}.parquet", [ids(data, kind)[i] for i in order], matrix[order])
    return {kind: f"{kind}.parquet" for kind in matrices}


def write(path: Path, names: list[str], matrix: np.ndarray) -> None:
    column = "doc_id" if path.stem == "corpus" else "query_id"
    pq.write_table(pa.table({column: names, "vector": list(matrix)}), path)


def unit(matrix: np.ndarray) -> np.ndarray:
    return matrix / np.linalg.norm(matrix, axis=1, keepdims=True)


def safetensors(data: Any, matrices: dict[str, np.ndarray]) -> dict[str, str]:
    """Both matrices in one file."""
    save_file(matrices, data.folder / "both.safetensors")
    return dict.fromkeys(matrices, "both.safetensors")


@pytest.mark.parametrize("form", [npy, parquet, safetensors])
@pytest.mark.parametrize("kind", ["corpus", "queries"])
def test_every_text_gets_its_own_vector(form: Any, kind: str, data: Any, matrices: Any) -> None:
    data.run(vectors=form(data, matrices))
    assert np.abs(data.vectors(kind) - unit(matrices[kind])).max() < 1e-6
    assert data.ids(kind) == ids(data, kind)


def test_all_forms_give_the_same_bytes(data: Any, matrices: Any) -> None:
    data.run("a", vectors=npy(data, matrices), part_rows=9)
    data.run("b", vectors=parquet(data, matrices), part_rows=9)
    data.run("c", vectors=safetensors(data, matrices), part_rows=9)
    assert data.bytes("a") == data.bytes("b") == data.bytes("c")


def test_the_size_of_blocks_changes_no_byte(data: Any, matrices: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    data.run("a", vectors=parquet(data, matrices))
    monkeypatch.setattr(ready, "_BLOCK", 7)
    data.run("b", vectors=parquet(data, matrices, seed=3))
    assert data.bytes("a") == data.bytes("b")


@pytest.mark.parametrize("dtype", [">f4", "<f8", ">f8", "<f2"])
def test_floats_of_every_width_and_byte_order_are_read(dtype: str, data: Any, matrices: Any) -> None:
    data.run(vectors=npy(data, {kind: matrix.astype(dtype) for kind, matrix in matrices.items()}))
    assert np.abs(data.vectors() - unit(matrices["corpus"])).max() < 2e-3


def test_ids_that_no_text_has_are_ignored(data: Any, matrices: Any) -> None:
    vectors = parquet(data, matrices)
    more = np.concatenate([np.ones((1, DIM), np.float32), matrices["corpus"]])
    write(data.folder / "corpus.parquet", ["unknown", *ids(data, "corpus")], more)
    data.run(vectors=vectors)
    assert np.abs(data.vectors() - unit(matrices["corpus"])).max() < 1e-6


def test_missing_ids_are_counted_and_the_first_is_named(data: Any, matrices: Any, fails: Any) -> None:
    vectors = parquet(data, matrices)
    write(data.folder / "corpus.parquet", ids(data, "corpus")[2:], matrices["corpus"][2:])
    with fails(r"2 of 50 documents have no vector, the first is 'd0'"):
        data.run(vectors=vectors)


def test_an_id_with_two_vectors_is_refused(data: Any, matrices: Any, fails: Any) -> None:
    vectors = parquet(data, matrices)
    names = ids(data, "queries")
    names[4] = "q1"
    write(data.folder / "queries.parquet", names, matrices["queries"])
    with fails(r"queries\.parquet \(row 5, column 'query_id'\): the id 'q1' has more than one vector"):
        data.run(vectors=vectors)


def test_files_of_different_dimensions_are_refused_before_ingest(data: Any, matrices: Any, fails: Any) -> None:
    matrices["queries"] = matrices["queries"][:, :5]
    with fails("query vectors have 5 dimensions and corpus vectors 8"):
        data.run(vectors=npy(data, matrices))
    assert not (data.folder / "run" / "ingest").exists()


def test_a_missing_file_is_named_with_its_key(data: Any, matrices: Any, fails: Any) -> None:
    vectors = npy(data, matrices)
    (data.folder / "queries.npy").unlink()
    with fails(r"queries\.npy"):
        data.run(vectors=vectors)


def test_a_vector_of_zeros_cannot_be_normalised(data: Any, matrices: Any, fails: Any) -> None:
    matrices["corpus"][6] = 0
    with fails(r"row 7, column 'vector'\): a vector of zeros cannot be normalised"):
        data.run(vectors=npy(data, matrices))


def test_the_row_of_a_zero_vector_is_that_of_the_shuffled_file(data: Any, matrices: Any, fails: Any) -> None:
    matrices["corpus"][6] = 0
    row = int(np.flatnonzero(np.random.default_rng(0).permutation(50) == 6)[0]) + 1
    with fails(rf"row {row}, column 'vector'\): a vector of zeros"):
        data.run(vectors=parquet(data, matrices))


@pytest.mark.parametrize("form", [npy, parquet])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_nan_and_infinity_are_refused_with_their_row(
    form: Any, value: float, data: Any, matrices: Any, fails: Any
) -> None:
    matrices["queries"][3, 2] = value
    with fails(r"row \d+, column 'vector'\): this vector has NaN or Infinity"):
        data.run(vectors=form(data, matrices))


def test_a_wrong_number_of_rows_is_refused(data: Any, matrices: Any, fails: Any) -> None:
    matrices["corpus"] = matrices["corpus"][:-1]
    with fails("it has 49 rows and the input has 50 documents"):
        data.run(vectors=npy(data, matrices))


def test_positives_that_are_not_in_the_corpus_need_ids(data: Any, matrices: Any, fails: Any) -> None:
    vectors = npy(data, matrices)
    data.write()
    data._lines("pairs.jsonl", [{"query_id": f"q{i}", "anchor": query, "positive": f"new {i}"}
                                for i, query in enumerate(data.queries)])  # fmt: skip
    with fails("12 positives are not in the corpus and so have no vector"):
        negmine.run(data.config(vectors=vectors), until="embed")


def test_copies_of_a_text_take_the_vector_of_the_first(data: Any, matrices: Any) -> None:
    data.corpus["copy"] = data.corpus["d3"]
    matrices["corpus"] = np.concatenate([matrices["corpus"], np.ones((1, DIM), np.float32)])
    data.run(vectors=npy(data, matrices))
    assert np.abs(data.vectors() - unit(matrices["corpus"][:50])).max() < 1e-6


def test_truncate_dim_cuts_before_lengths_are_made_one(data: Any, matrices: Any) -> None:
    manifest = data.run(vectors=parquet(data, matrices), truncate_dim=3)
    assert np.abs(data.vectors() - unit(matrices["corpus"][:, :3])).max() < 1e-6
    assert manifest.facts["dimension"] == 3


def test_truncate_dim_beyond_the_vectors_is_refused(data: Any, matrices: Any, fails: Any) -> None:
    with fails("embed.truncate_dim is 9 but the vectors have 8 dimensions"):
        data.run(vectors=npy(data, matrices), truncate_dim=9)


def test_normalize_false_keeps_the_bytes_and_compares_by_dot(data: Any, matrices: Any) -> None:
    manifest = data.run(vectors=npy(data, matrices), normalize=False)
    assert (data.vectors() == matrices["corpus"]).all()
    assert manifest.facts["similarity"] == "dot"


def test_values_too_large_for_float16_are_refused(data: Any, matrices: Any, fails: Any) -> None:
    matrices["corpus"][2, 1] = 1e6
    with fails("the vector of doc_id 'd2' has values too large for float16"):
        data.run(vectors=npy(data, matrices), normalize=False, store_dtype="float16")


def test_changed_vectors_make_embed_stale(data: Any, matrices: Any) -> None:
    vectors = npy(data, matrices)
    data.run(vectors=vectors)
    np.save(data.folder / "queries.npy", matrices["queries"] + 1)
    status = next(status for status in negmine.status(data.config(vectors=vectors)) if status.stage == "embed")
    assert (status.state, "embed.vectors.queries" in status.why) == ("stale", True)


@pytest.mark.parametrize("form", [npy, parquet])
def test_memory_holds_blocks_and_not_the_matrix(
    form: Any, data: Any, matrices: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ready, "_BLOCK", 4)
    largest: list[int] = []
    real = ready.ReadyVectors._normalised
    monkeypatch.setattr(
        ready.ReadyVectors,
        "_normalised",
        lambda self, vectors, rows: largest.append(len(vectors)) or real(self, vectors, rows),
    )
    data.run(vectors=form(data, matrices), part_rows=6)
    assert max(largest) <= 4
    assert max(pq.read_metadata(path).num_rows for path in data.parts()) == 6
