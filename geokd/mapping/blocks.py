"""One block of a scene, from pixels to probabilities: what a worker does."""

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from rasterio.windows import Window

from geokd.assessment.drift import chip_features
from geokd.errors import SceneError
from geokd.mapping.engine import BATCH_PATCHES, open_student
from geokd.mapping.mosaic import PatchPredictions
from geokd.scenes.grid import PatchBlock, PatchGrid
from geokd.scenes.plan import ScenePlan
from geokd.scenes.reader import read_window

PICTURE_PX = 1024
"""Longer side of the thinned scene, for pictures."""

_FAMILIAR_SHARE = 0.9  # of pixels that are valid and not mirrored, in a patch to hold against whole chips
_FAMILIAR_PATCHES = 4_000  # of a scene, at most about, to hold against the chips
_RETRY_SECONDS = (0.25, 1.0)


@dataclass(frozen=True)
class BlockTask:
    """What a worker needs to know: paths and numbers, neither pixels nor a network.

    Parameters
    ----------
    plan : ScenePlan
    patches : PatchGrid
    block : PatchBlock
    number : int
        Of the block, from 0 on, in the order of :meth:`geokd.scenes.grid.PatchGrid.blocks`.
    scene : int
        Number of the scene among those of a call.
    model : Path
    model_sha256 : str
    min_valid_share : float
        Share of valid pixels below which a patch is not classified.
    """

    plan: ScenePlan
    patches: PatchGrid
    block: PatchBlock
    number: int
    scene: int
    model: Path
    model_sha256: str
    min_valid_share: float


@dataclass(frozen=True, eq=False)
class BlockResult:
    """What comes back from a worker.

    Parameters
    ----------
    predictions : PatchPredictions
    valid_cells : bool array (cell rows, cell cols)
        Which of the block's own cells hold a valid pixel.
    features : float64 array (n, 2 C)
        Of nearly whole patches that do not overlap, for :mod:`geokd.assessment.drift`.
    confidence : float32 array (n,)
        Of these patches.
    picture : uint8 array (C, h, w)
        The block's own part of the thinned scene, see :func:`picture_lines`.
    picture_valid : bool array (h, w)
    """

    predictions: PatchPredictions
    valid_cells: NDArray[np.bool_]
    features: NDArray[np.float64]
    confidence: NDArray[np.float32]
    picture: NDArray[np.uint8]
    picture_valid: NDArray[np.bool_]

    @property
    def classified(self) -> int:
        """How many patches were classified."""
        return int((~np.isnan(self.predictions.probabilities[..., 0])).sum())


def classify_block(task: BlockTask) -> BlockResult:
    """Read a block and run the student on its patches.

    Raises
    ------
    SceneError
        If the scene cannot be read, after some tries.
    BundleError
        If the model cannot be opened, or was changed since the task was made.
    """
    student = open_student(task.model, task.model_sha256)
    grid, block = task.patches, task.block
    pixels, valid = _read_patiently(task.plan, grid.block_window(block))
    patches, patches_valid = cut_patches(pixels, valid, grid)
    whole = bool(valid.all())
    share = np.ones((block.rows, block.cols)) if whole else patches_valid.mean(axis=(2, 3))
    rows, cols = np.nonzero((share > 0) & (share >= task.min_valid_share))
    probabilities = np.full((block.rows, block.cols, len(student.bundle.legend)), np.nan, np.float32)
    for start in range(0, len(rows), BATCH_PATCHES):
        chosen = rows[start : start + BATCH_PATCHES], cols[start : start + BATCH_PATCHES]
        filled = patches[chosen] if whole else fill_invalid(patches[chosen], patches_valid[chosen])
        probabilities[chosen] = student.probabilities(filled)
    step = grid.cells_per_patch * _familiar_step(grid)
    apart = np.zeros((block.rows, block.cols), np.bool_)  # patches of the whole scene's grid that do not overlap
    apart[-block.row_start % step :: step, -block.col_start % step :: step] = True
    looked_at = apart[rows, cols] & ((share * _share_within(grid, block))[rows, cols] >= _FAMILIAR_SHARE)
    chosen = rows[looked_at], cols[looked_at]
    features = chip_features(fill_invalid(patches[chosen], patches_valid[chosen]))
    picture_rows, picture_cols = (
        lines[(lines >= first) & (lines < stop)] - first for lines, first, stop in _own_lines(grid, block)
    )
    return BlockResult(
        PatchPredictions(block, probabilities),
        _valid_cells(valid, grid, block),
        features,
        probabilities[chosen].max(axis=1, initial=0.0),
        pixels[:, picture_rows[:, np.newaxis], picture_cols],
        valid[picture_rows[:, np.newaxis], picture_cols],
    )


def picture_lines(size: int, longest: int) -> NDArray[np.int64]:
    """Which of `size` rows or columns of a scene a picture shows, thinned to PICTURE_PX of the `longest` side."""
    count = max(1, round(size * min(1.0, PICTURE_PX / longest)))
    return ((np.arange(count) + 0.5) * size / count).astype(np.int64)


def _own_lines(grid: PatchGrid, block: PatchBlock) -> Iterator[tuple[NDArray[np.int64], int, int]]:
    """Rows, then columns, of the thinned picture; first and stop of those that are the block's own."""
    scene, step = grid.scene_grid, grid.stride_px
    for size, cells in zip((scene.height, scene.width), grid.own_cells(block), strict=True):
        lines = picture_lines(size, max(scene.height, scene.width))
        yield lines, cells.start * step, cells.stop * step


def _familiar_step(grid: PatchGrid) -> int:
    """Every how many patches that lie apart one is held against the chips of training."""
    cells = grid.cell_grid
    apart = cells.height * cells.width / grid.cells_per_patch**2
    return max(1, math.ceil(math.sqrt(apart / _FAMILIAR_PATCHES)))


def _read_patiently(plan: ScenePlan, window: Window) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Read a window; a disk or server that fails for a moment is asked again."""
    for seconds in _RETRY_SECONDS:
        try:
            return read_window(plan, window)
        except SceneError:
            time.sleep(seconds)
    return read_window(plan, window)


def cut_patches(
    pixels: NDArray[np.uint8], valid: NDArray[np.bool_], grid: PatchGrid
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Cut a block into its patches, as views.

    Parameters
    ----------
    pixels : uint8 array (C, h, w)
    valid : bool array (h, w)
    grid : PatchGrid

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


def _share_within(grid: PatchGrid, block: PatchBlock) -> NDArray[np.float64]:
    """Share of each patch of a block (rows, cols) that lies within the scene; the rest is mirrored."""

    def along(start: int, count: int, size: int) -> NDArray[np.float64]:
        left = size - grid.stride_px * np.arange(start, start + count)
        return left.clip(0, grid.patch_px) / grid.patch_px

    height, width = grid.scene_grid.height, grid.scene_grid.width
    return np.outer(along(block.row_start, block.rows, height), along(block.col_start, block.cols, width))


def _valid_cells(valid: NDArray[np.bool_], grid: PatchGrid, block: PatchBlock) -> NDArray[np.bool_]:
    """Which of a block's own cells hold a valid pixel of the scene itself; mirrored pixels past its end don't count."""
    rows, cols = grid.own_cells(block)
    if valid.all():
        return np.ones((rows.stop - rows.start, cols.stop - cols.start), np.bool_)
    scene, step = grid.scene_grid, grid.stride_px
    own = np.zeros_like(valid)
    height = scene.height - block.row_start * step
    width = scene.width - block.col_start * step
    own[:height, :width] = valid[:height, :width]
    cells = own.reshape(own.shape[0] // step, step, own.shape[1] // step, step)
    valid_cells: NDArray[np.bool_] = np.any(cells, axis=(1, 3))
    return valid_cells[: rows.stop - rows.start, : cols.stop - cols.start]
