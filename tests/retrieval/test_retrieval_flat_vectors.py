"""The matrix on disk: the same rows by blocks, by number, kept in memory or not, in single or half precision."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from negmine.store import vectors as module
from negmine.store.vectors import FlatVectors


def segments(folder: Path, matrix: np.ndarray, rows: int) -> list[Path]:
    paths = [folder / f"{low:03}.npy" for low in range(0, len(matrix), rows)]
    for path, low in zip(paths, range(0, len(matrix), rows), strict=True):
        np.save(path, matrix[low : low + rows])
    return paths


@pytest.fixture(params=["float32", "float16"])
def matrix(request: pytest.FixtureRequest) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((103, 5)).astype(request.param)


@pytest.mark.parametrize("hold", [0, 10**6])
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("rows", [1, 7, 40, 500])
def test_blocks_hold_all_rows_in_order(tmp_path, monkeypatch, matrix, hold, threads, rows) -> None:
    """Each pass, however it is cut; no block has more rows than asked for."""
    monkeypatch.setattr(module, "_CONVERTED", 3)
    source = FlatVectors.open(segments(tmp_path, matrix, 40), hold=hold, threads=threads)
    assert (source.rows, source.dimension) == matrix.shape
    for _ in range(2):
        found, starts = [], []
        for start, block in source.blocks(rows):
            assert block.dtype == np.float32
            assert len(block) <= rows
            starts.append(start)
            found.append(block.copy())
        np.testing.assert_array_equal(np.concatenate(found), matrix.astype(np.float32))
        assert starts == np.cumsum([0, *(len(block) for block in found)])[:-1].tolist()


@pytest.mark.parametrize("hold", [0, 10**6])
@pytest.mark.parametrize("numbers", [[], [102], [5, 5, 0, 99, 40, 39, 5]])
def test_rows_are_taken_by_number(tmp_path, matrix, hold, numbers) -> None:
    source = FlatVectors.open(segments(tmp_path, matrix, 40), hold=hold)
    list(source.blocks(50))
    found = source.take(np.array(numbers, np.int64))
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, matrix[numbers].astype(np.float32))


def test_what_is_small_is_read_once(tmp_path: Path, matrix: np.ndarray) -> None:
    """A second pass needs no files; above ``hold`` rows, or a segment, nothing is kept."""
    paths = segments(tmp_path, matrix, 40)
    small, large = (FlatVectors.open(paths, hold=hold) for hold in (103, 102))
    list(small.blocks(50)), list(large.blocks(50))
    for path in paths:
        path.unlink()
    assert sum(len(block) for _, block in small.blocks(50)) == 103
    with pytest.raises(FileNotFoundError):
        list(large.blocks(50))


def test_passes_one_after_the_other_share_their_memory(tmp_path: Path, matrix: np.ndarray) -> None:
    """Passes at the same time do not, nor one with larger blocks; given back, the memory is not used again."""
    source = FlatVectors.open(segments(tmp_path, matrix, 40))

    def at(rows: int) -> int:
        return {block.__array_interface__["data"][0] for _, block in source.blocks(rows)}.pop()

    assert at(30) == at(30)
    for (low, outer), (_, inner) in zip(source.blocks(30), source.blocks(30), strict=True):
        assert not np.shares_memory(outer, inner)
        np.testing.assert_array_equal(outer, matrix[low : low + 30].astype(np.float32))
    assert sum(len(block) for _, block in source.blocks(50)) == 103
    *_, (_, kept) = source.blocks(50)
    source.release()
    assert not any(np.shares_memory(kept, block) for _, block in source.blocks(50))


@pytest.mark.parametrize("numbers", [[7], list(range(0, 103, 2))])
def test_rows_of_what_is_kept_are_taken_from_it(tmp_path: Path, matrix: np.ndarray, numbers: list[int]) -> None:
    """Also before the first pass: many read the whole matrix once, few are read alone."""
    source = FlatVectors.open(segments(tmp_path, matrix, 40), hold=103)
    np.testing.assert_array_equal(source.take(np.array(numbers)), matrix[numbers].astype(np.float32))


def test_a_file_that_lost_its_end_is_an_error(tmp_path: Path, matrix: np.ndarray) -> None:
    paths = segments(tmp_path, matrix, 40)
    source = FlatVectors.open(paths)
    paths[1].write_bytes(paths[1].read_bytes()[:-1])
    with pytest.raises(OSError, match="ends before its last vector"):
        list(source.blocks(50))
    with pytest.raises(OSError, match="ends before its last vector"):
        source.take(np.array([79]))


def test_so_it_is_where_the_matrix_stays_in_memory(tmp_path: Path, matrix: np.ndarray) -> None:
    paths = segments(tmp_path, matrix, 40)
    source = FlatVectors.open(paths, hold=103)
    paths[1].write_bytes(paths[1].read_bytes()[:-1])
    with pytest.raises(OSError, match="ends before its last vector"):
        list(source.blocks(50))


def test_writing_into_a_block_leaves_the_file_alone(tmp_path: Path, matrix: np.ndarray) -> None:
    paths = segments(tmp_path, matrix, 40)
    before = [path.read_bytes() for path in paths]
    for _, block in FlatVectors.open(paths, hold=103).blocks(50):
        block[:] = 0
    assert [path.read_bytes() for path in paths] == before
