"""The mosaic against a plain loop over cells and patches."""

import numpy as np
import pytest
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from geokd.mapping.overlapping import PatchPredictions, codes_and_confidence, join_row, own_cells
from geokd.scenes.grid import SceneGrid
from geokd.scenes.patches import PatchBlock, PatchGrid

CLASSES = 3


def patch_grid(height: int, width: int, cells_per_patch: int, stride_px: int) -> PatchGrid:
    scene = SceneGrid(Affine.translation(5e5, 4e6) @ Affine.scale(10, -10), height, width, None)
    return PatchGrid(scene, cells_per_patch * stride_px, stride_px)


grids = st.builds(patch_grid, st.integers(1, 25), st.integers(1, 25), st.integers(1, 5), st.integers(1, 7))


@st.composite
def grids_and_probabilities(draw: st.DrawFn) -> tuple[PatchGrid, NDArray[np.float32]]:
    grid = draw(grids)
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    probabilities = generator.dirichlet(np.ones(CLASSES), grid.shape).astype(np.float32)
    missing = draw(hnp.arrays(np.bool_, grid.shape))
    probabilities[missing] = np.nan
    return grid, probabilities


def by_loop(probabilities: NDArray[np.float32], grid: PatchGrid) -> NDArray[np.float64]:
    cells, stride = grid.cell_grid, grid.stride_px
    out = np.full((cells.height, cells.width, CLASSES), np.nan)
    for row in range(cells.height):
        for col in range(cells.width):
            covering = []
            for r, c in np.ndindex(*grid.shape):
                window = grid.window(r, c)
                covers_rows = window.row_off <= row * stride < window.row_off + window.height
                covers_cols = window.col_off <= col * stride < window.col_off + window.width
                if covers_rows and covers_cols and not np.isnan(probabilities[r, c, 0]):
                    covering.append(probabilities[r, c].astype(np.float64))
            if covering:
                out[row, col] = np.mean(covering, axis=0)
    return out


def mosaic(
    probabilities: NDArray[np.float32], grid: PatchGrid, height_px: int = 10**6, width_px: int = 10**6
) -> NDArray[np.float64]:
    """All cells, put together from blocks of a size; cells that no block owns, or two, would show."""
    rows: dict[int, list[PatchPredictions]] = {}
    for b in grid.blocks(height_px, width_px):
        part = PatchPredictions(b, probabilities[b.row_start : b.row_stop, b.col_start : b.col_stop])
        rows.setdefault(b.row_start, []).append(part)
    out = np.full((grid.cell_grid.height, grid.cell_grid.width, CLASSES), -1.0)
    joined = None
    for parts in rows.values():
        joined = join_row(joined, parts, grid)
        for part in parts:
            assert (out[grid.own_cells(part.block)] == -1).all()
            out[grid.own_cells(part.block)] = own_cells(joined, part.block, grid)
    return out


@given(grids_and_probabilities())
def test_cells_are_means_of_covering_patches(case: tuple[PatchGrid, NDArray[np.float32]]) -> None:
    grid, probabilities = case
    np.testing.assert_allclose(mosaic(probabilities, grid), by_loop(probabilities, grid), rtol=0, atol=1e-12)


@given(grids_and_probabilities(), st.integers(1, 80), st.integers(1, 80))
def test_blocks_of_any_size_give_the_same_cells_bit_for_bit(
    case: tuple[PatchGrid, NDArray[np.float32]], height_px: int, width_px: int
) -> None:
    grid, probabilities = case
    np.testing.assert_array_equal(mosaic(probabilities, grid, height_px, width_px), mosaic(probabilities, grid))


@pytest.mark.parametrize(
    ("probabilities", "valid", "code", "percent"),
    [
        ((0.2, 0.5, 0.3), True, 1, 50),
        ((0.4, 0.4, 0.2), True, 0, 40),  # of equals the lowest code
        ((0.001, 0.001, 0.998), True, 2, 100),
        ((0.2, 0.454, 0.346), True, 1, 45),
        ((0.2, 0.456, 0.344), True, 1, 46),
        ((0.2, 0.5, 0.3), False, 255, 255),
        ((np.nan, np.nan, np.nan), True, 255, 255),
        ((np.nan, np.nan, np.nan), False, 255, 255),
    ],
)
def test_decision(probabilities: tuple[float, ...], valid: bool, code: int, percent: int) -> None:
    codes, confidence = codes_and_confidence(np.array([[probabilities]]), np.array([[valid]]))
    assert codes.dtype == confidence.dtype == np.uint8
    assert (codes.tolist(), confidence.tolist()) == ([[code]], [[percent]])


def test_predictions_must_fit_their_block() -> None:
    with pytest.raises(ValueError, match=r"\(1, 2\) patches have the shape \(2, 1, 3\)"):
        PatchPredictions(PatchBlock(0, 1, 0, 2), np.zeros((2, 1, 3), np.float32))
