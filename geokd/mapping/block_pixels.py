"""The pixels of a block: cut into patches, filled where invalid, thinned for the picture. Pure numpy."""

from collections.abc import Iterator

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from geokd.scenes.grid import Rectangle
from geokd.scenes.patches import AnyGrid, PatchBlock, PatchGrid

PICTURE_PX = 1024
"""Longer side of the subsampled scene, for pictures."""


def cut_patches(
    pixels: NDArray[np.uint8], valid: NDArray[np.bool_], grid: AnyGrid
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Cut a block into its patches, as views.

    Parameters
    ----------
    pixels : uint8 array (C, h, w)
    valid : bool array (h, w)
    grid : PatchGrid or DenseGrid

    Returns
    -------
    patches : uint8 view (rows, cols, C, patch_px, patch_px)
    patches_valid : bool view (rows, cols, patch_px, patch_px)
    """
    step = grid.stride_px
    size = (grid.patch_px, grid.patch_px)
    patches = sliding_window_view(pixels, size, axis=(1, 2))[:, ::step, ::step]
    return patches.transpose(1, 2, 0, 3, 4), sliding_window_view(valid, size)[::step, ::step]


def fill_invalid(pixels: NDArray[np.uint8], valid: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Replace invalid pixels, per patch and band, by the mean of the patch's valid ones, rounded half up.

    Parameters
    ----------
    pixels : uint8 array (N, C, h, w)
    valid : bool array (N, h, w)
        At least one True in each patch.

    Returns
    -------
    uint8 array (N, C, h, w); `pixels` itself where all are valid
    """
    if valid.all():
        return pixels
    mask = valid[:, np.newaxis]
    total = pixels.sum(axis=(2, 3), dtype=np.int64, where=mask)
    count = valid.sum(axis=(1, 2), dtype=np.int64)[:, np.newaxis]
    means = ((2 * total + count) // (2 * count)).astype(np.uint8)  # in integers: exact
    return np.where(mask, pixels, means[:, :, np.newaxis, np.newaxis])


def share_within(grid: PatchGrid, block: PatchBlock) -> NDArray[np.float64]:
    """Share of each patch of a block (rows, cols) that lies within the scene; the rest is mirrored."""

    def along(start: int, count: int, size: int) -> NDArray[np.float64]:
        left = size - grid.stride_px * np.arange(start, start + count)
        return left.clip(0, grid.patch_px) / grid.patch_px

    height, width = grid.scene_grid.height, grid.scene_grid.width
    return np.outer(along(block.row_start, block.rows, height), along(block.col_start, block.cols, width))


def valid_cells(valid: NDArray[np.bool_], grid: AnyGrid, block: PatchBlock) -> NDArray[np.bool_]:
    """Which of a block's own cells contain a valid pixel of the scene; mirrored pixels beside it do not count."""
    rows, cols = grid.own_cells(block)
    shape = rows.stop - rows.start, cols.stop - cols.start
    if valid.all():
        return np.ones(shape, np.bool_)
    scene, side, margin = grid.scene_grid, grid.cell_px, grid.margin_px
    height, width = min(rows.stop * side, scene.height), min(cols.stop * side, scene.width)
    inside = valid[margin : margin + height - rows.start * side, margin : margin + width - cols.start * side]
    own = np.zeros((shape[0] * side, shape[1] * side), np.bool_)
    own[: inside.shape[0], : inside.shape[1]] = inside
    return np.asarray(own.reshape(shape[0], side, shape[1], side).any(axis=(1, 3)))


def picture_lines(shown: Rectangle) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Which rows and columns of a scene a picture of a part shows, subsampled to PICTURE_PX of the longer side."""
    longest = max(shown.height, shown.width)
    rows, cols = (
        first + ((np.arange(count) + 0.5) * size / count).astype(np.int64)
        for first, size in ((shown.row_start, shown.height), (shown.col_start, shown.width))
        for count in (max(1, round(size * min(1.0, PICTURE_PX / longest))),)
    )
    return rows, cols


def own_lines(grid: AnyGrid, block: PatchBlock, shown: Rectangle) -> Iterator[tuple[NDArray[np.int64], int, int]]:
    """Rows, then columns, of the subsampled picture; first and stop of those that are the block's own."""
    step = grid.cell_px
    for lines, cells in zip(picture_lines(shown), grid.own_cells(block), strict=True):
        yield lines, cells.start * step, cells.stop * step
