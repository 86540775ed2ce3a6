"""From the probabilities of overlapping patches to one class and confidence per cell. Pure numpy.

Sums run over the offsets within a patch in a fixed order, whatever blocks the patches came in: maps do not depend on
the blocks, bit for bit.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geokd.assessment.drift import Drift
from geokd.legend import NODATA
from geokd.outputs.class_map import ClassMap
from geokd.scenes.grid import PatchBlock, PatchGrid


@dataclass(frozen=True, eq=False)
class PatchPredictions:
    """What the student says of a block of patches.

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
    """What all blocks of a scene come to.

    Parameters
    ----------
    class_map : ClassMap
    classified_patches : int
    valid_cells : bool array (height, width)
        Cells that hold a valid pixel.
    drift : Drift or None
        None if the model does not tell what it has seen.
    """

    class_map: ClassMap
    classified_patches: int
    valid_cells: NDArray[np.bool_]
    drift: Drift | None


def assemble(patches: PatchGrid, predictions: Iterable[PatchPredictions], classes: int) -> NDArray[np.float32]:
    """Put blocks together into one array of all patches.

    Returns
    -------
    float32 array (rows, cols, classes), NaN where a patch was not classified or came in no block
    """
    whole = np.full((*patches.shape, classes), np.nan, np.float32)
    for part in predictions:
        block = part.block
        whole[block.row_start : block.row_stop, block.col_start : block.col_stop] = part.probabilities
    return whole


def cell_probabilities(probabilities: NDArray[np.float32], patches: PatchGrid) -> NDArray[np.float64]:
    """Mean, over the classified patches that cover a cell, of their probabilities.

    Parameters
    ----------
    probabilities : float32 array (rows, cols, K)
        One row of K a patch; NaN where it was not classified.
    patches : PatchGrid

    Returns
    -------
    float64 array (height, width, K) on `patches.cell_grid`; NaN where no classified patch covers the cell
    """
    classified = ~np.isnan(probabilities[..., :1])
    shares = np.where(classified, probabilities, 0).astype(np.float64)
    span = patches.cells_per_patch
    total = _spread(_spread(shares, span, axis=0), span, axis=1)
    count = _spread(_spread(classified.astype(np.int64), span, axis=0), span, axis=1)
    means = np.full(total.shape, np.nan)
    np.divide(total, count, out=means, where=count > 0)
    cells = patches.cell_grid
    return means[: cells.height, : cells.width]  # a scene smaller than a patch has fewer cells than the patch


def codes_and_confidence(
    cells: NDArray[np.float64], valid: NDArray[np.bool_], min_confidence: float = 0.0
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Decide each cell: the class of the highest probability (of equals the lowest code), and that probability.

    Parameters
    ----------
    cells : float64 array (height, width, K)
        NaN where nothing is known.
    valid : bool array (height, width)
        Which cells may be mapped.
    min_confidence : float
        Cells whose highest probability is below it are unclassified.

    Returns
    -------
    codes : uint8 array (height, width), 255 where not mapped, K where unclassified
    confidence : uint8 array (height, width), percent rounded to nearest, 255 where not mapped
    """
    mapped = valid & ~np.isnan(cells[..., 0])
    codes = np.where(mapped, cells.argmax(axis=-1), NODATA).astype(np.uint8)
    highest = np.where(mapped, cells.max(axis=-1), 0)
    codes[mapped & (highest < min_confidence)] = cells.shape[-1]
    confidence = np.where(mapped, np.rint(100 * highest), NODATA).astype(np.uint8)
    return codes, confidence


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
