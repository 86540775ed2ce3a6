import math
import pickle

import numpy as np
import pytest
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from rasterio.crs import CRS
from rasterio.windows import Window

from geokd.scenes.grid import SceneGrid
from geokd.scenes.patches import PatchGrid

UTM = CRS.from_epsg(32618)
NORTH_UP = Affine(10, 0, 445_440, 0, -10, 4_169_700)
ROTATED = Affine.translation(4e5, 4e6) @ Affine.rotation(30) @ Affine.scale(10, -10)


def scene_grid(height: int, width: int, transform: Affine = NORTH_UP) -> SceneGrid:
    return SceneGrid(transform, height, width, UTM)


@st.composite
def patch_grids(draw: st.DrawFn) -> PatchGrid:
    stride = draw(st.integers(1, 9))
    patch = stride * draw(st.integers(1, 4))
    height, width = draw(st.integers(1, 60)), draw(st.integers(1, 60))
    transform = draw(st.sampled_from([NORTH_UP, ROTATED, Affine(0.1, 0, -75.3, 0, -0.3, 37.7)]))
    return PatchGrid(scene_grid(height, width, transform), patch, stride)


def times_covered(grid: PatchGrid) -> np.ndarray:
    """How many patches cover each pixel of the scene."""
    counts = np.zeros((grid.scene_grid.height, grid.scene_grid.width), int)
    for row in range(grid.shape[0]):
        for col in range(grid.shape[1]):
            window = grid.window(row, col)
            counts[window.row_off : window.row_off + window.height, window.col_off : window.col_off + window.width] += 1
    return counts


@given(patch_grids())
def test_patches_cover_every_pixel_and_no_cell_more_often_than_they_overlap(grid: PatchGrid) -> None:
    counts = times_covered(grid)
    assert counts.min() >= 1
    assert counts.max() <= grid.cells_per_patch**2


@given(patch_grids())
def test_no_patch_could_be_spared(grid: PatchGrid) -> None:
    rows, cols = grid.shape
    scene = grid.scene_grid
    last = grid.window(rows - 1, cols - 1)
    assert 0 <= last.row_off < scene.height
    assert 0 <= last.col_off < scene.width
    if rows > 1:  # without the last row of patches, the scene's last pixels would be bare
        assert last.row_off + grid.patch_px - grid.stride_px < scene.height
        assert last.row_off + grid.patch_px - scene.height < grid.stride_px
    if cols > 1:
        assert last.col_off + grid.patch_px - scene.width < grid.stride_px


@given(patch_grids())
def test_cells_are_squares_of_pixels_at_their_exact_place(grid: PatchGrid) -> None:
    cells, scene = grid.cell_grid, grid.scene_grid
    assert cells.crs == scene.crs
    assert (cells.height, cells.width) == (
        math.ceil(scene.height / grid.stride_px),
        math.ceil(scene.width / grid.stride_px),
    )
    assert (cells.transform.c, cells.transform.f) == (scene.transform.c, scene.transform.f)
    for name in "abde":
        assert getattr(cells.transform, name) == getattr(scene.transform, name) * grid.stride_px
    np.testing.assert_allclose(
        cells.transform @ (cells.width, cells.height),
        scene.transform @ (cells.width * grid.stride_px, cells.height * grid.stride_px),
        rtol=1e-12,
    )


@given(patch_grids(), st.integers(1, 80))
def test_blocks_partition_the_patches_and_their_windows_hold_them_tightly(grid: PatchGrid, block_px: int) -> None:
    seen = np.zeros(grid.shape, int)
    for block in grid.blocks(block_px, block_px):
        assert block.rows >= 1
        assert block.cols >= 1
        seen[block.row_start : block.row_stop, block.col_start : block.col_stop] += 1
        window = grid.block_window(block)
        first = grid.window(block.row_start, block.col_start)
        last = grid.window(block.row_stop - 1, block.col_stop - 1)
        assert (window.row_off, window.col_off) == (first.row_off, first.col_off)
        assert window.row_off + window.height == last.row_off + last.height
        assert window.col_off + window.width == last.col_off + last.width
        assert max(window.height, window.width) <= max(block_px, grid.patch_px)
    assert (seen == 1).all()


@given(patch_grids())
def test_grids_survive_pickling(grid: PatchGrid) -> None:
    shape = grid.cell_grid.height, grid.cell_grid.width  # a cached property is filled first
    again = pickle.loads(pickle.dumps(grid))
    assert again == grid
    assert hash(again) == hash(grid)
    assert (again.cell_grid.height, again.cell_grid.width) == shape


@pytest.mark.parametrize(
    ("height", "width", "patch_px", "stride_px", "shape", "cells"),
    [
        (64, 64, 64, 16, (1, 1), (4, 4)),
        (128, 192, 64, 64, (2, 3), (2, 3)),
        (65, 64, 64, 64, (2, 1), (2, 1)),
        (65, 64, 64, 16, (2, 1), (5, 4)),
        (100, 130, 64, 16, (4, 6), (7, 9)),
        (10, 10, 64, 16, (1, 1), (1, 1)),
        (1, 1000, 64, 16, (1, 60), (1, 63)),
        (1, 1, 8, 8, (1, 1), (1, 1)),
    ],
)
def test_shapes(
    height: int, width: int, patch_px: int, stride_px: int, shape: tuple[int, int], cells: tuple[int, int]
) -> None:
    grid = PatchGrid(scene_grid(height, width), patch_px, stride_px)
    assert grid.shape == shape
    assert (grid.cell_grid.height, grid.cell_grid.width) == cells


def test_window_of_a_patch() -> None:
    grid = PatchGrid(scene_grid(100, 130), 64, 16)
    assert grid.window(3, 5) == Window(80, 48, 64, 64)
    for row, col in [(4, 0), (0, 6), (-1, 0), (0, -1)]:
        with pytest.raises(IndexError, match="4 x 6 patches"):
            grid.window(row, col)


@pytest.mark.parametrize(
    ("patch_px", "stride_px", "message"),
    [(64, 0, "at least 1"), (0, 1, "at least 1"), (64, 48, "does not divide"), (16, 32, "does not divide")],
)
def test_strides_that_do_not_fit_are_refused(patch_px: int, stride_px: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PatchGrid(scene_grid(100, 100), patch_px, stride_px)


@pytest.mark.parametrize(
    ("transform", "height", "width", "message"),
    [
        (NORTH_UP, 0, 5, "empty"),
        (NORTH_UP, 5, 0, "empty"),
        (Affine(10, 0, 0, 10, 0, 0), 5, 5, "onto a line"),
        (Affine(math.nan, 0, 0, 0, 1, 0), 5, 5, "not finite"),
    ],
)
def test_unusable_grids_are_refused(transform: Affine, height: int, width: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SceneGrid(transform, height, width, None)


@given(st.integers(1, 50), st.integers(1, 50), st.floats(0, 360))
def test_bounds_hold_all_corners_of_rotated_grids(height: int, width: int, degrees: float) -> None:
    transform = Affine.translation(4e5, 4e6) @ Affine.rotation(degrees) @ Affine.scale(10, -10)
    left, bottom, right, top = scene_grid(height, width, transform).bounds
    corners = np.array([transform @ (c, r) for c in (0, width) for r in (0, height)])
    np.testing.assert_array_equal(corners.min(axis=0), (left, bottom))
    np.testing.assert_array_equal(corners.max(axis=0), (right, top))


@pytest.mark.parametrize(
    ("crs", "transform", "size"),
    [
        ("EPSG:32618", NORTH_UP, (10, 10)),
        ("EPSG:32618", ROTATED, (10, 10)),
        (None, Affine(2, 0, 0, 0, -3, 0), (2, 3)),
        ("EPSG:2263", Affine(32.8083, 0, 9e5, 0, -32.8083, 2e5), (10, 10)),  # US survey feet
        ("EPSG:4326", Affine(9e-5, 0, 11.0, 0, -9e-5, 60.0), (5.022, 10.027)),  # on the ellipsoid
    ],
)
def test_pixel_size_in_metres(crs: str | None, transform: Affine, size: tuple[float, float]) -> None:
    grid = SceneGrid(transform, 10, 10, CRS.from_string(crs) if crs else None)
    assert grid.pixel_size_m == pytest.approx(size, rel=5e-3)
