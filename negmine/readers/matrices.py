"""Matrices of floats in files that hold nothing else of use: ``.npy``, and tensors of ``.safetensors`` files."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from negmine.errors import InputError
from negmine.readers.lines import AGAIN, first_line

MAKE_AGAIN = "Fix what writes the vectors, and write the file again."
_NPY_MAGIC = b"\x93NUMPY"
_FLOATS = {"F16": "<f2", "BF16": "<u2", "F32": "<f4", "F64": "<f8"}
"""Types of tensors by their name in the file, and what they are read as."""
_USUAL = ("vectors", "embeddings")


@dataclass(frozen=True)
class Matrix:
    """Where the rows of a matrix (rows, dimension) of ``dtype`` lie: behind ``offset`` bytes, one after the other.

    ``brain``: the numbers are the upper halves of float32 (bfloat16).
    """

    file: Path
    rows: int
    dimension: int
    dtype: np.dtype
    offset: int
    brain: bool = False

    def blocks(self, rows: int) -> Iterator[tuple[int, np.ndarray]]:
        """Yield (first row, floats (b, d)) in order, b <= ``rows``. Raises InputError when the file is too short."""
        with self.file.open("rb") as file:
            file.seek(self.offset)
            for first in range(0, self.rows, rows):
                count = min(rows, self.rows - first)
                values = np.fromfile(file, self.dtype, count * self.dimension)
                if len(values) < count * self.dimension:
                    raise InputError("this file ends before its last vector", where=str(self.file), hint=AGAIN)
                values = values.reshape(count, self.dimension)
                yield first, (values.astype(np.uint32) << 16).view(np.float32) if self.brain else values


def open_npy(path: Path) -> Matrix:
    """The matrix in a ``.npy`` file. Raises InputError for anything else."""
    matrix = _mapped(path)
    if matrix.ndim != 2 or matrix.dtype.kind != "f" or not matrix.shape[1]:
        raise InputError(
            f"a matrix of floats (rows, dimension) is needed, and this is {matrix.dtype} of shape {matrix.shape}",
            where=str(path),
            hint="Save an array of float32 with a row for each text.",
        )
    if not matrix.flags.c_contiguous:
        raise InputError("the matrix is in Fortran order", where=str(path), hint="Save numpy.ascontiguousarray of it.")
    _refuse_no_rows(path, matrix.shape[0])
    return Matrix(path, matrix.shape[0], matrix.shape[1], matrix.dtype, matrix.offset)


def _mapped(path: Path) -> np.memmap[Any, Any]:
    with path.open("rb") as file:
        if file.read(len(_NPY_MAGIC)) != _NPY_MAGIC:
            raise InputError("this is no .npy file", where=str(path), hint="Write it with numpy.save.")
    try:
        matrix: np.memmap[Any, Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # a damaged header surfaces as nearly anything
        objects = "Python objects" in str(error)
        cause = "it holds Python objects" if objects else first_line(error)
        raise InputError(
            f"this is no readable .npy matrix ({cause})",
            where=str(path),
            hint="Save an array of float32 instead." if objects else AGAIN,
        ) from error
    return matrix


def open_tensor(path: Path, name: str) -> Matrix:
    """The matrix of a ``.safetensors`` file: its tensor ``name``, else ``vectors``, else ``embeddings``, else the only
    one.

    One file may so hold the vectors of passages and queries. Raises InputError when there is no such tensor, or
    when it is no matrix of floats.
    """
    tensors, data = _tensors(path)
    names = [known for known in (name, *_USUAL) if known in tensors] or list(tensors)
    if len(names) > 1 and names[0] not in (name, *_USUAL):
        listed = ", ".join(f"'{found}'" for found in names[:5])
        more = f" and {len(names) - 5} more" if len(names) > 5 else ""
        raise InputError(
            f"none of its tensors is called {name}, {_USUAL[0]} or {_USUAL[1]} (found: {listed}{more})",
            where=str(path),
            hint=f"Give the one that is meant the name {name}.",
        )
    if not names:
        raise InputError("this file holds no tensor", where=str(path), hint=MAKE_AGAIN)
    chosen = tensors[names[0]]
    kind, shape = chosen["dtype"], chosen["shape"]
    if kind not in _FLOATS or len(shape) != 2 or not shape[1]:
        raise InputError(
            f"a matrix of floats (rows, dimension) is needed, and the tensor '{names[0]}' is {kind} of shape {shape}",
            where=str(path),
            hint="Save a tensor of float32 with a row for each text.",
        )
    _refuse_no_rows(path, shape[0])
    offset = data + chosen["data_offsets"][0]
    return Matrix(path, shape[0], shape[1], np.dtype(_FLOATS[kind]), offset, brain=kind == "BF16")


def _tensors(path: Path) -> tuple[dict[str, dict[str, Any]], int]:
    """What the header says of each tensor, and where the numbers begin."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy"):  # it knows what a whole file is
            pass
    except SafetensorError as error:
        cause = f"this is no readable .safetensors file ({first_line(error)})"
        raise InputError(cause, where=str(path), hint=AGAIN) from error
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
    return {name: tensor for name, tensor in header.items() if name != "__metadata__"}, 8 + length


def _refuse_no_rows(path: Path, rows: int) -> None:
    if not rows:
        raise InputError("this file has no rows", where=str(path), hint=MAKE_AGAIN)
