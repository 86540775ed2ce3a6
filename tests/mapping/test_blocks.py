"""A block's patches: where they are cut, how gaps are filled, which cells hold data."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from geokd.mapping.block_pixels import cut_patches, fill_invalid
from geokd.scenes.grid import SceneGrid
from geokd.scenes.patches import PatchBlock, PatchGrid
from tests.mapping.test_overlapping import patch_grid


@pytest.mark.parametrize(("cells_per_patch", "stride_px"), [(1, 4), (2, 3), (4, 1)])
def test_patches_are_the_windows_of_the_grid(cells_per_patch: int, stride_px: int) -> None:
    grid = patch_grid(24, 30, cells_per_patch, stride_px)
    rows, cols = grid.shape
    window = grid.block_window(PatchBlock(0, rows, 0, cols))
    pixels = np.random.default_rng(0).integers(0, 256, (2, window.height, window.width), dtype=np.uint8)
    valid = pixels[0] > 100
    patches, patches_valid = cut_patches(pixels, valid, grid)
    assert patches.shape == (rows, cols, 2, grid.patch_px, grid.patch_px)
    for row, col in np.ndindex(rows, cols):
        inside = grid.window(row, col).toslices()
        np.testing.assert_array_equal(patches[row, col], pixels[:, *inside])
        np.testing.assert_array_equal(patches_valid[row, col], valid[inside])


@given(
    hnp.arrays(np.uint8, (2, 3, 4, 4)),
    hnp.arrays(np.bool_, (2, 4, 4)).filter(lambda valid: bool(valid.any(axis=(1, 2)).all())),
)
def test_gaps_get_the_mean_of_what_is_valid(pixels: NDArray[np.uint8], valid: NDArray[np.bool_]) -> None:
    filled = fill_invalid(pixels, valid)
    assert filled.dtype == np.uint8
    for n, band in np.ndindex(2, 3):
        values = [int(v) for v in pixels[n, band][valid[n]]]
        np.testing.assert_array_equal(filled[n, band][valid[n]], pixels[n, band][valid[n]])
        assert (filled[n, band][~valid[n]] == int(sum(values) / len(values) + 0.5)).all()


@given(st.integers(1, 9), st.integers(1, 9))
def test_block_of_a_scene_smaller_than_a_patch(height: int, width: int) -> None:
    scene = SceneGrid(patch_grid(1, 1, 1, 1).scene_grid.transform, height, width, None)
    grid = PatchGrid(scene, 12, 3)
    assert list(grid.blocks(100, 100)) == [PatchBlock(0, 1, 0, 1)]
    assert (grid.cell_grid.height, grid.cell_grid.width) == (-(-height // 3), -(-width // 3))
