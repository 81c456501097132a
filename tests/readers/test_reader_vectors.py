"""Vectors that the user brings: what is read, and what is refused with which words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.numpy import save_file
from safetensors.torch import save_file as save_torch

import negmine
from negmine.errors import InputError
from negmine.readers import open_vectors

VECTORS = np.arange(12, dtype=np.float32).reshape(4, 3)


def parquet(path: Path, ids: Any, vectors: Any, names: tuple[str, str] = ("doc_id", "vector")) -> Path:
    pq.write_table(pa.table({names[0]: ids, names[1]: vectors}), path)
    return path


def npy(path: Path, array: np.ndarray) -> Path:
    np.save(path, array)
    return path


def read(path: Path, block: int = 3) -> tuple[list[str], np.ndarray]:
    blocks = list(open_vectors(path, "doc_id").iter_blocks(block))
    return [i for ids, _ in blocks for i in ids or []], np.concatenate([vectors for _, vectors in blocks])


KINDS = [
    pa.list_(pa.float32()),
    pa.list_(pa.float64()),
    pa.list_(pa.float16()),
    pa.large_list(pa.float32()),
    pa.list_(pa.float32(), 3),
    pa.list_(pa.float64(), 3),
]


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_parquet_vectors_may_be_any_list_of_floats(tmp_path: Path, kind: pa.DataType) -> None:
    values = VECTORS.astype(np.float16) if kind.value_type == pa.float16() else VECTORS
    path = parquet(tmp_path / "v.parquet", list("abcd"), pa.array([list(row) for row in values], kind))
    ids, vectors = read(path)
    assert ids == list("abcd")
    assert vectors.dtype == np.float32
    np.testing.assert_array_equal(vectors, VECTORS)


@pytest.mark.parametrize(
    "kind", [pa.int64(), pa.uint8(), pa.large_string(), pa.dictionary(pa.int8(), pa.string())], ids=str
)
def test_vector_ids_may_be_numbers_and_any_text_type(tmp_path: Path, kind: pa.DataType) -> None:
    plain = [1, 2, 3, 4] if pa.types.is_integer(kind) else ["1", "2", "3", "4"]
    path = parquet(tmp_path / "v.parquet", pa.array(plain).cast(kind), VECTORS.tolist())
    source = open_vectors(path, "doc_id")
    assert [i for ids in source.iter_ids(3) for i in ids] == ["1", "2", "3", "4"]


@pytest.mark.parametrize("dtype", ["<f2", "<f4", "<f8", ">f4"])
def test_a_matrix_may_have_any_float_type(tmp_path: Path, dtype: str) -> None:
    _, vectors = read(npy(tmp_path / "v.npy", VECTORS.astype(dtype)))
    np.testing.assert_array_equal(vectors, VECTORS)


MATRICES = [
    (np.arange(3.0), r"a matrix of floats \(rows, dimension\) is needed, and this is float64 of shape \(3,\)"),
    (np.zeros((2, 3, 4)), r"this is float64 of shape \(2, 3, 4\)"),
    (np.zeros((2, 3), np.int64), r"this is int64 of shape \(2, 3\)"),
    (np.zeros((2, 3), np.complex64), "this is complex64"),
    (np.zeros((2, 0)), r"this is float64 of shape \(2, 0\)"),
    (np.zeros((0, 3)), "this file has no rows"),
    (np.array([["a", "b"]]), "this is <U1 of shape"),
    (np.array([[object()]]), "it holds Python objects.*Save an array of float32 instead"),
    (np.asfortranarray(VECTORS), "the matrix is in Fortran order. Save numpy.ascontiguousarray of it"),
]


@pytest.mark.parametrize(("array", "message"), MATRICES, ids=lambda value: str(getattr(value, "dtype", "")))
def test_a_matrix_of_another_kind_is_refused(tmp_path: Path, array: np.ndarray, message: str) -> None:
    with pytest.raises(InputError, match=message):
        open_vectors(npy(tmp_path / "v.npy", array), "doc_id")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("suffix", ["npy", "safetensors", "parquet"])
def test_a_vector_that_is_not_finite_is_refused_with_its_row(tmp_path: Path, suffix: str, value: float) -> None:
    vectors = VECTORS.copy()
    vectors[3, 1] = value
    path = tmp_path / f"v.{suffix}"
    if suffix == "safetensors":
        save_file({"vectors": vectors}, path)
    else:
        _ = npy(path, vectors) if suffix == "npy" else parquet(path, list("abcd"), vectors.tolist())
    with pytest.raises(InputError, match=r"\(row 4, column 'vector'\): this vector has NaN or Infinity"):
        read(path)


def test_a_number_too_large_for_float32_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"row 1, column 'vector'\): this vector has a number that is too large"):
        read(npy(tmp_path / "v.npy", np.array([[1e300, 0.0]])))


def test_a_null_inside_a_vector_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="row 2, column 'vector'"):
        read(parquet(tmp_path / "v.parquet", ["a", "b"], pa.array([[1.0, 2.0], [1.0, None]])))


PARQUETS: list[tuple[Any, Any, str]] = [
    (["a", "b"], [[1.0, 2.0], [1.0]], r"\(row 2, column 'vector'\): this vector has 1 dimensions and the first has 2"),
    (["a", "b"], [[1.0], None], r"\(row 2, column 'vector'\): there is no vector"),
    (["a", "b"], [None, [1.0]], r"\(row 1, column 'vector'\): the first vector has no dimensions"),
    (["a"], [[]], "vectors must be lists of floats"),
    (["a"], pa.array([[]], pa.list_(pa.float32())), "the first vector has no dimensions"),
    (["a", None], [[1.0], [2.0]], r"\(row 2, column 'doc_id'\): there is no id"),
    (["a"], [[1]], r"column 'vector'\): vectors must be lists of floats, and are list<.*int64>"),
    (["a"], [1.0], "vectors must be lists of floats, and are double"),
    ([1.5], [[1.0]], r"column 'doc_id'\): ids must be texts or whole numbers, and are double"),
    (pa.array([], pa.string()), pa.array([], pa.list_(pa.float32())), "this file has no rows"),
]


@pytest.mark.parametrize(("ids", "vectors", "message"), PARQUETS, ids=range(len(PARQUETS)))
def test_parquet_vectors_of_another_kind_are_refused(tmp_path: Path, ids: Any, vectors: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read(parquet(tmp_path / "v.parquet", ids, vectors))


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("doc_ids", "vector"), r"no column 'doc_id' \(found: doc_ids, vector\). Did you mean 'doc_ids'\?"),
        (("doc_id", "embedding"), r"no column 'vector'.*Vectors need the columns doc_id and vector"),
    ],
)
def test_missing_columns_of_vectors_are_refused(tmp_path: Path, names: tuple[str, str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        open_vectors(parquet(tmp_path / "v.parquet", ["a"], [[1.0]], names), "doc_id")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("v.npz", b"x", "vectors in a '.npz' file are not supported. Use .parquet, .npy or .safetensors"),
        ("v.npy", b"", "this file is empty"),
        ("v.npy", b"PK\x03\x04", "this is no .npy file. Write it with numpy.save"),
        ("v.npy", b"\x93NUMPY\x01\x00", "this is no readable .npy matrix"),
        ("v.parquet", b"\x93NUMPY", "this is no readable Parquet file"),
        ("v.safetensors", b"\x93NUMPY", "this is no readable .safetensors file"),
        ("v.safetensors", b"\x02\0\0\0\0\0\0\0{}", "this file holds no tensor"),
    ],
)
def test_a_file_that_holds_no_vectors_is_refused(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message):
        open_vectors(tmp_path / name, "doc_id")


OTHER = np.zeros((1, 2), np.float32)


@pytest.mark.parametrize(
    "tensors",
    [
        {"corpus": VECTORS, "queries": OTHER, "vectors": OTHER},
        {"vectors": VECTORS, "queries": OTHER, "embeddings": OTHER},
        {"embeddings": VECTORS, "queries": OTHER},
        {"anything": VECTORS},
    ],
    ids=["of its kind", "vectors", "embeddings", "the only one"],
)
def test_a_tensor_is_known_by_its_name(tmp_path: Path, tensors: dict[str, np.ndarray]) -> None:
    """That of its kind, else vectors, else embeddings, else the only one."""
    save_file(tensors, tmp_path / "v.safetensors")
    np.testing.assert_array_equal(read(tmp_path / "v.safetensors")[1], VECTORS)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_a_tensor_may_have_any_float_type(tmp_path: Path, dtype: str) -> None:
    save_torch({"corpus": torch.tensor(VECTORS - 4.5).to(getattr(torch, dtype))}, tmp_path / "v.safetensors")
    vectors = read(tmp_path / "v.safetensors")[1]
    assert vectors.dtype == np.float32
    np.testing.assert_array_equal(vectors, VECTORS - 4.5)


TENSORS = [
    ({"a": VECTORS, "b": VECTORS}, r"none of its tensors is called corpus, vectors or embeddings \(found: 'a', 'b'\)"),
    ({"corpus": VECTORS.astype(np.int64)}, r"the tensor 'corpus' is I64 of shape \[4, 3\]"),
    ({"corpus": VECTORS[0]}, r"the tensor 'corpus' is F32 of shape \[3\]"),
    ({"corpus": VECTORS[:0]}, "this file has no rows"),
    ({"corpus": VECTORS[:, :0]}, r"is F32 of shape \[4, 0\]"),
]


@pytest.mark.parametrize(("tensors", "message"), TENSORS, ids=range(len(TENSORS)))
def test_tensors_of_another_kind_are_refused(tmp_path: Path, tensors: dict[str, np.ndarray], message: str) -> None:
    save_file(tensors, tmp_path / "v.safetensors")
    with pytest.raises(InputError, match=message):
        open_vectors(tmp_path / "v.safetensors", "doc_id")


def test_a_truncated_tensor_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "v.safetensors"
    save_file({"corpus": VECTORS}, path)
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(InputError, match=r"this is no readable .safetensors file"):
        open_vectors(path, "doc_id")


def test_a_truncated_matrix_is_refused(tmp_path: Path) -> None:
    path = npy(tmp_path / "v.npy", VECTORS)
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(InputError, match=r"this is no readable .npy matrix"):
        open_vectors(path, "doc_id")


def test_a_matrix_that_shrinks_while_it_is_read_is_refused(tmp_path: Path) -> None:
    path = npy(tmp_path / "v.npy", VECTORS)
    source = open_vectors(path, "doc_id")
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(InputError, match="this file ends before its last vector"):
        list(source.iter_blocks(2))


def test_a_missing_vector_file_is_refused_with_the_nearest_name(tmp_path: Path) -> None:
    npy(tmp_path / "corpus.npy", VECTORS)
    with pytest.raises(InputError, match=r"this file does not exist. Did you mean 'corpus.npy'\?"):
        open_vectors(tmp_path / "corpsu.npy", "doc_id")


def embed(folder: Path, doc_ids: list[str]) -> None:
    (folder / "pairs.jsonl").write_text('{"anchor": "q", "positive_id": "a", "query_id": "q"}')
    (folder / "corpus.jsonl").write_text('{"_id": "a", "text": "x"}\n{"_id": "b", "text": "y"}')
    parquet(folder / "c.parquet", doc_ids, [[float(i), 1.0] for i in range(len(doc_ids))])
    parquet(folder / "q.parquet", ["q"], [[1.0, 1.0]], ("query_id", "vector"))
    config = negmine.config_from_dict(
        {
            "work_dir": "run",
            "data": {"pairs": "pairs.jsonl", "corpus": "corpus.jsonl"},
            "embed": {"vectors": {"corpus": "c.parquet", "queries": "q.parquet"}},
        },
        folder,
    )
    negmine.run(config, until="embed")


def test_two_vectors_for_an_id_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"\(row 3, column 'doc_id'\): the id 'a' has more than one vector"):
        embed(tmp_path, ["a", "b", "a"])


def test_a_document_without_a_vector_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"1 of 2 documents have no vector, the first is 'b'"):
        embed(tmp_path, ["a", "z"])


def test_more_vectors_than_documents_are_fine(tmp_path: Path) -> None:
    embed(tmp_path, ["z", "b", "a"])
