"""From a patch student's answers for overlapping patches to one class and confidence per cell. Pure arithmetic.

Sums run over the offsets within a patch in a fixed order, so that maps do not depend on the blocks, bit for bit.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geokd.legend.classes import NODATA
from geokd.maps.class_map import ClassMap
from geokd.maps.manifest import Filtered
from geokd.model.drift import Drift
from geokd.scenes.patches import PatchBlock, PatchGrid


@dataclass(frozen=True, eq=False)
class PatchPredictions:
    """The student's answers for a block of patches.

    Parameters
    ----------
    block : PatchBlock
    probabilities : float32 array (rows, cols, K)
        NaN where a patch was not classified.

    Raises
    ------
    ValueError
        If the array is not of the block's shape.
    """

    block: PatchBlock
    probabilities: NDArray[np.float32]

    def __post_init__(self) -> None:
        shape = (self.block.rows, self.block.cols)
        if self.probabilities.ndim != 3 or self.probabilities.shape[:2] != shape:
            raise ValueError(f"probabilities of {shape} patches have the shape {self.probabilities.shape}")


@dataclass(frozen=True, eq=False)
class Mosaic:
    """The map from all blocks of a scene.

    Parameters
    ----------
    class_map : ClassMap
    classified_patches : int
    valid_cells : int
        Cells that contain a valid pixel.
    outside_cells : int
        Cells of the map that lie outside the area of interest.
    filtered : Filtered or None
        None if no filter was requested.
    drift : Drift or None
        None if the model has no record of its training data.
    picture : uint8 array (C, h, w)
        The scene, subsampled.
    picture_valid : bool array (h, w)
    """

    class_map: ClassMap
    classified_patches: int
    valid_cells: int
    outside_cells: int
    filtered: Filtered | None
    drift: Drift | None
    picture: NDArray[np.uint8]
    picture_valid: NDArray[np.bool_]


def join_row(
    above: NDArray[np.float32] | None, parts: Sequence[PatchPredictions], patches: PatchGrid
) -> NDArray[np.float32]:
    """Join a row of blocks, from left to right, with the patches above that reach into its cells.

    Parameters
    ----------
    above : float32 array (rows, cols, K) or None
        What this function returned for the row of blocks before; None for the first.
    parts : sequence of PatchPredictions
    patches : PatchGrid

    Returns
    -------
    float32 array (rows, cols, K) of all columns of patches, down to the last row of `parts`
    """
    row = np.concatenate([part.probabilities for part in parts], axis=1)
    reaching = patches.cells_per_patch - 1
    return row if above is None or reaching == 0 else np.concatenate([above[-reaching:], row])


def own_cells(joined: NDArray[np.float32], block: PatchBlock, patches: PatchGrid) -> NDArray[np.float64]:
    """Probabilities of the cells that are a block's own (see :meth:`geokd.scenes.patches.PatchGrid.own_cells`).

    Parameters
    ----------
    joined : float32 array
        The block's row, from :func:`join_row`.
    block : PatchBlock
    patches : PatchGrid

    Returns
    -------
    float64 array (cell rows, cell cols, K); NaN where no classified patch covers the cell
    """
    span = patches.cells_per_patch
    top, left = block.row_stop - len(joined), max(0, block.col_start - span + 1)
    means = mean_over_patches(joined[:, left : block.col_stop], span)
    rows, cols = patches.own_cells(block)
    return means[rows.start - top : rows.stop - top, cols.start - left : cols.stop - left]


def mean_over_patches(probabilities: NDArray[np.float32], span: int) -> NDArray[np.float64]:
    """Mean, over the classified patches that cover a cell, of their probabilities.

    Parameters
    ----------
    probabilities : float32 array (rows, cols, K)
        K probabilities per patch; NaN where it was not classified.
    span : int
        Cells along one side of a patch.

    Returns
    -------
    float64 array (rows + span - 1, cols + span - 1, K); NaN where no classified patch covers the cell
    """
    classified = ~np.isnan(probabilities[..., :1])
    shares = np.where(classified, probabilities, 0).astype(np.float64)
    total = _spread(_spread(shares, span, axis=0), span, axis=1)
    count = _spread(_spread(classified.astype(np.int64), span, axis=0), span, axis=1)
    means = np.full(total.shape, np.nan)
    np.divide(total, count, out=means, where=count > 0)
    return means


def codes_and_confidence(
    cells: NDArray[np.float64], valid: NDArray[np.bool_], min_confidence: float | tuple[float, ...] = 0.0
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Decide each cell: the class of the highest probability (in a tie the lowest code), and that probability.

    Parameters
    ----------
    cells : float64 array (height, width, K)
        NaN where there is no answer.
    valid : bool array (height, width)
        Which cells may be mapped.
    min_confidence : float
        Cells with a lower highest probability are unclassified.

    Returns
    -------
    codes : uint8 array (height, width), 255 where not mapped, K where unclassified
    confidence : uint8 array (height, width), percent rounded to nearest, 255 where not mapped
    """
    mapped = valid & ~np.isnan(cells[..., 0])
    codes = np.where(mapped, cells.argmax(axis=-1), NODATA).astype(np.uint8)
    highest = np.where(mapped, cells.max(axis=-1), 0)
    limits = np.broadcast_to(np.asarray(min_confidence, np.float64), cells.shape[-1])
    codes[mapped & (highest < limits[np.where(mapped, codes, 0)])] = cells.shape[-1]
    confidence = np.where(mapped, np.rint(100 * highest), NODATA).astype(np.uint8)
    return codes, confidence


def percentages(cells: NDArray[np.float64], valid: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Round probabilities (height, width, K) to percent, uint8 (K, height, width); 255 where a cell is not mapped.

    For the class of a cell it equals the confidence from :func:`codes_and_confidence`.
    """
    mapped = valid & ~np.isnan(cells[..., 0])
    percent = np.rint(100 * np.where(mapped[..., np.newaxis], cells, 0)).astype(np.uint8)
    return np.where(mapped, np.moveaxis(percent, -1, 0), np.uint8(NODATA))


def _spread(values: NDArray[Any], span: int, axis: int) -> NDArray[Any]:
    """Add each entry to `span` neighbours along `axis`, from its own place on; that axis grows by `span` - 1."""
    shape = list(values.shape)
    shape[axis] += span - 1
    out = np.zeros(shape, values.dtype)
    length = values.shape[axis]
    for offset in range(span):
        place = [slice(None)] * values.ndim
        place[axis] = slice(offset, offset + length)
        out[tuple(place)] += values
    return out
