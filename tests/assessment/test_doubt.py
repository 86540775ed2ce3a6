"""Which cells of a map are most worth a look."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from geokd.assessment.doubt import Candidates

Chosen = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]


def chosen(codes: NDArray[np.uint8], margins: NDArray[np.uint8], total: int, window: int = 1024) -> Chosen:
    kinds = int(codes.max(where=codes < 255, initial=0)) + 1
    candidates = Candidates(np.bincount(codes[codes < 255], minlength=kinds), total)
    for row in range(0, codes.shape[0], window):
        for col in range(0, codes.shape[1], window):
            part = slice(row, row + window), slice(col, col + window)
            candidates.pass_by((row, col), codes[part], margins[part])
    return candidates.choose()


def random_map(seed: int, height: int = 40, width: int = 50) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    generator = np.random.default_rng(seed)
    codes = generator.choice(np.array([0, 1, 2, 255], np.uint8), (height, width), p=[0.7, 0.25, 0.02, 0.03])
    return codes, generator.integers(0, 101, (height, width), dtype=np.uint8)


@given(st.integers(0, 50), st.integers(1, 120))
def test_as_many_as_requested_of_every_class_and_none_twice(seed: int, total: int) -> None:
    codes, margins = random_map(seed)
    rows, cols, found = chosen(codes, margins, total)
    assert len(set(zip(rows, cols, strict=True))) == len(rows) == total
    assert (codes[rows, cols] == found).all()
    least = max(1, total // 6)
    for code in range(3):
        assert (found == code).sum() >= min(least, (codes == code).sum(), total // 3)


def test_all_cells_can_be_chosen() -> None:
    codes, margins = random_map(1, 8, 8)
    rows, _, _ = chosen(codes, margins, int((codes < 255).sum()))
    assert len(rows) == (codes < 255).sum()


def test_the_lowest_margins_are_taken_and_none_beside_another() -> None:
    codes = np.zeros((32, 32), np.uint8)
    margins = np.full((32, 32), 90, np.uint8)
    margins[4:8, 4:8] = 3  # a doubtful block, of which one cell tells enough
    margins[20, 20], margins[28, 6] = 5, 4
    rows, cols, _ = chosen(codes, margins, 3)
    spacing = 0.5 * np.sqrt(32 * 32 / 3)  # 9.2 cells
    assert set(zip(rows.tolist(), cols.tolist(), strict=True)) == {(4, 4), (20, 20), (28, 6)}
    rows, cols, _ = chosen(codes, margins, 40)
    apart = np.hypot(rows[:, None] - rows, cols[:, None] - cols) + 99 * np.eye(40)
    assert apart.min() >= 0.5 * np.sqrt(32 * 32 / 40)
    assert spacing > 9


def test_windows_do_not_matter() -> None:
    """Tiles are powers of two, so they lie within windows of more cells."""
    generator = np.random.default_rng(3)
    codes = generator.integers(0, 2, (256, 300), dtype=np.uint8)
    margins = generator.integers(0, 101, codes.shape, dtype=np.uint8)
    for one, other in zip(chosen(codes, margins, 9), chosen(codes, margins, 9, window=128), strict=True):
        np.testing.assert_array_equal(one, other)


def test_memory_holds_candidates_and_not_the_map() -> None:
    codes = np.zeros((1024, 1024), np.uint8)
    candidates = Candidates(np.array([10 * codes.size]), 50)
    for row in range(10):
        candidates.pass_by((row * 1024, 0), codes, codes)
    assert sum(part.shape[1] for part in candidates._kept) <= 10 * 64
    assert len(candidates.choose()[0]) == 50


def test_the_order_is_one_of_use() -> None:
    """Whoever stops early has looked at the most doubtful of each class."""
    codes, margins = random_map(7)
    rows, cols, found = chosen(codes, margins, 30)
    assert set(found[:3]) == {0, 1, 2}
    for code in range(3):
        assert (np.diff(margins[rows, cols][found == code].astype(int)) >= 0).all()


@pytest.mark.parametrize("total", [1, 2])
def test_fewer_cells_than_classes(total: int) -> None:
    codes, margins = random_map(2)
    assert len(chosen(codes, margins, total)[0]) == total
