"""One block of a scene: read, cut, classify. Pure but for the reading, and run in any thread, process or machine."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from geokd.mapping.engine import BATCH_PATCHES, open_student
from geokd.mapping.mosaic import PatchPredictions
from geokd.scenes.grid import PatchBlock, PatchGrid
from geokd.scenes.plan import ScenePlan
from geokd.scenes.reader import read_window


@dataclass(frozen=True)
class BlockTask:
    """All that a worker needs for one block: paths and windows, no pixels, no model.

    Parameters
    ----------
    plan : ScenePlan
    grid : PatchGrid
    block : PatchBlock
    model : Path
    model_sha256 : str
        Hash that the bundle must have.
    min_valid_share : float
        Patches with a smaller share of valid pixels are not classified.
    """

    plan: ScenePlan
    grid: PatchGrid
    block: PatchBlock
    model: Path
    model_sha256: str
    min_valid_share: float


@dataclass(frozen=True, eq=False)
class BlockResult:
    """What a block came to.

    Parameters
    ----------
    predictions : PatchPredictions
    valid_cells : bool array (rows + k - 1, cols + k - 1)
        Whether each cell under the block's patches, k to a patch side, holds a valid pixel of the scene.
    """

    predictions: PatchPredictions
    valid_cells: NDArray[np.bool_]


def classify_block(task: BlockTask) -> BlockResult:
    """Read a block, cut it into patches, classify those with enough valid pixels.

    Raises
    ------
    SceneError
        If the pixels cannot be read.
    BundleError
        If the model cannot be opened or fails.
    """
    student = open_student(task.model, task.model_sha256)
    grid, block = task.grid, task.block
    window = grid.block_window(block)
    pixels, valid = read_window(task.plan, window)
    counts = valid_per_cell(valid, grid.stride_px)
    share = sliding_window_view(counts, (grid.cells_per_patch,) * 2).sum(axis=(2, 3)) / grid.patch_px**2
    rows, cols = np.nonzero((share >= task.min_valid_share) & (share > 0))
    probabilities = np.full((block.rows, block.cols, len(student.bundle.legend)), np.nan, np.float32)
    patches = as_patches(pixels, grid.patch_px, grid.stride_px)
    masks = as_patches(valid[None], grid.patch_px, grid.stride_px)[:, :, 0]
    for start in range(0, len(rows), BATCH_PATCHES):
        at = rows[start : start + BATCH_PATCHES], cols[start : start + BATCH_PATCHES]
        batch = patches[at]
        if (share[at] < 1).any():
            batch = fill_invalid(batch, masks[at])
        probabilities[at] = student.probabilities(batch)
    scene = grid.scene_grid
    inside = valid[
        : scene.height - window.row_off, : scene.width - window.col_off
    ]  # what is mirrored is no observation
    observed = np.zeros_like(valid)
    observed[: inside.shape[0], : inside.shape[1]] = inside
    predictions = PatchPredictions(block, probabilities)
    return BlockResult(predictions, valid_per_cell(observed, grid.stride_px) > 0)


def as_patches(pixels: NDArray[Any], patch_px: int, stride_px: int) -> NDArray[Any]:
    """View an array (C, h, w) as overlapping patches (rows, cols, C, patch_px, patch_px), without copying."""
    windows = sliding_window_view(pixels, (patch_px, patch_px), axis=(1, 2))
    return windows[:, ::stride_px, ::stride_px].transpose(1, 2, 0, 3, 4)


def fill_invalid(patches: NDArray[np.uint8], masks: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Replace invalid pixels by the rounded mean of the patch's valid ones, band by band.

    Parameters
    ----------
    patches : uint8 array (N, C, H, W)
    masks : bool array (N, H, W)
        Valid pixels, at least one a patch.
    """
    keep = masks[:, None]
    sums = np.where(keep, patches, 0).sum(axis=(2, 3), dtype=np.int64)
    counts = masks.sum(axis=(1, 2))[:, None]
    means = ((2 * sums + counts) // (2 * counts)).astype(np.uint8)
    return np.where(keep, patches, means[:, :, None, None])


def valid_per_cell(valid: NDArray[np.bool_], stride_px: int) -> NDArray[np.int64]:
    """Count the valid pixels of each cell of stride_px x stride_px pixels; `valid` (h, w) is whole cells."""
    height, width = valid.shape
    cells = valid.reshape(height // stride_px, stride_px, width // stride_px, stride_px)
    return cells.sum(axis=(1, 3), dtype=np.int64)


def assemble_valid_cells(grid: PatchGrid, parts: Iterable[BlockResult]) -> NDArray[np.bool_]:
    """Put the blocks' valid cells together: bool array on `grid.cell_grid`."""
    cells = grid.cell_grid
    whole = np.zeros((cells.height, cells.width), bool)
    for part in parts:
        block = part.predictions.block
        place = whole[block.row_start :, block.col_start :][: part.valid_cells.shape[0], : part.valid_cells.shape[1]]
        place |= part.valid_cells[: place.shape[0], : place.shape[1]]  # a scene smaller than a patch has fewer cells
    return whole
