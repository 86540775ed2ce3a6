"""From the answers of a dense student to one class and confidence per cell. Pure arithmetic.

Work proceeds strip by strip, so that a strip stays in the processor's caches: on a Sentinel-2 tile, every pass over the
K numbers of each cell takes a tenth of a second.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geokd.legend.classes import NODATA
from geokd.scenes.patches import PatchBlock

_STRIP_CELLS = 8_192  # so that K float32 for each, twice, fit in a cache of 1 MiB
_MOST_PERCENT = np.float32(100)


@dataclass(frozen=True, eq=False)
class CellAnswers:
    """Final values of the cells that a block owns.

    Parameters
    ----------
    block : PatchBlock
    codes : uint8 array (rows, cols)
        Class of each cell; 255 where it is not mapped, K where it is unclassified.
    confidence : uint8 array (rows, cols)
        In percent, rounded to nearest; 255 where a cell is not mapped.
    percent : uint8 array (K, rows, cols) or None
        Probability of each class, likewise, if requested.

    Raises
    ------
    ValueError
        If the arrays are not of one shape.
    """

    block: PatchBlock
    codes: NDArray[np.uint8]
    confidence: NDArray[np.uint8]
    percent: NDArray[np.uint8] | None = None

    def __post_init__(self) -> None:
        shapes = {self.codes.shape, self.confidence.shape, *(() if self.percent is None else (self.percent.shape[1:],))}
        if len(shapes) != 1:
            raise ValueError(f"the answers for the cells of a block have several shapes: {sorted(shapes)}")

    @classmethod
    def unmapped(cls, block: PatchBlock, shape: tuple[int, int], classes: int | None) -> "CellAnswers":
        """Allocate answers; `classes` is None if probabilities are not requested."""
        codes, confidence = np.full(shape, NODATA, np.uint8), np.full(shape, NODATA, np.uint8)
        return cls(block, codes, confidence, None if classes is None else np.full((classes, *shape), NODATA, np.uint8))

    def part(self, rows: slice, cols: slice) -> "CellAnswers":
        """Return the answers for some cells, as views."""
        percent = None if self.percent is None else self.percent[:, rows, cols]
        return CellAnswers(self.block, self.codes[rows, cols], self.confidence[rows, cols], percent)

    def copy(self) -> "CellAnswers":
        """Return a copy."""
        percent = None if self.percent is None else self.percent.copy()
        return CellAnswers(self.block, self.codes.copy(), self.confidence.copy(), percent)

    def possible(self) -> tuple[NDArray[np.bool_], NDArray[np.uint8]]:
        """Return which percentages of mapped cells are not 0, bool (K, rows, cols), and their values, uint8 (n,).

        Most of a cell's percentages are 0, so that this takes half the memory or less.
        """
        assert self.percent is not None, "probabilities were requested"
        marks = self.percent > 0
        marks &= self.codes != NODATA
        return marks, self.percent[marks]

    @classmethod
    def of_possible(
        cls,
        block: PatchBlock,
        codes: NDArray[np.uint8],
        confidence: NDArray[np.uint8],
        marks: NDArray[np.bool_],
        values: NDArray[np.uint8],
    ) -> "CellAnswers":
        """Rebuild percentages from :meth:`possible`."""
        percent = np.zeros(marks.shape, np.uint8)
        percent[marks] = values
        np.copyto(percent, np.uint8(NODATA), where=codes == NODATA)
        return cls(block, codes, confidence, percent)

    def leave_out(self, invalid: NDArray[np.bool_]) -> None:
        """Mark cells (rows, cols) as not mapped, in place."""
        if invalid.any():
            self.codes[invalid] = self.confidence[invalid] = NODATA
            if self.percent is not None:
                self.percent[:, invalid] = NODATA


def decide_cells(
    logits: NDArray[np.float32], temperature: float, min_confidence: float | tuple[float, ...], cells: CellAnswers
) -> None:
    """Decide each cell from the answers for one patch: the class of the highest logit; in a tie, the lowest code.

    The confidence is the probability of that class, 1 / sum exp((z_k - max z) / T) in float32. The result is the same,
    bit for bit, whatever block the patch belongs to.

    Parameters
    ----------
    logits : float32 array (K, rows, cols)
    temperature : float
        T, by which logits are divided before the softmax.
    min_confidence : float or tuple of float
        For all classes or for each: cells with a lower probability get the code K, unclassified.
    cells : CellAnswers
        Written to; at most (rows, cols), it gets the answers for the first rows and columns.
    """
    classes, _, width = logits.shape
    high, wide = cells.codes.shape
    scale = np.float32(1 / temperature)
    order = np.arange(classes, 0, -1, dtype=np.uint8)[:, np.newaxis, np.newaxis]  # in a tie the lowest code
    unsure = np.broadcast_to(np.asarray(min_confidence, np.float32), classes)
    step = max(1, _STRIP_CELLS // width)
    weights_room, hit_room = np.empty((classes, step, width), np.float32), np.empty((classes, step, width), np.bool_)
    peak_room, code_room = np.empty((step, width), np.float32), np.empty((step, width), np.uint8)
    for row in range(0, high, step):
        rows = slice(row, min(row + step, high))
        strip, number = logits[:, rows], rows.stop - row
        peak = np.maximum.reduce(strip, axis=0, out=peak_room[:number])
        hit = np.equal(strip, peak, out=hit_room[:, :number]).view(np.uint8)
        np.multiply(hit, order, out=hit)
        codes = np.maximum.reduce(hit, axis=0, out=code_room[:number])
        np.subtract(np.uint8(classes), codes, out=codes)
        weights = np.subtract(strip, peak, out=weights_room[:, :number])
        np.multiply(weights, scale, out=weights)
        np.exp(weights, out=weights)  # faster than exp2 where there is no AVX-512
        total = np.add.reduce(weights, axis=0, out=peak)
        if unsure.any():
            codes[np.float32(1) / total < unsure[codes]] = classes
        hundred = np.divide(_MOST_PERCENT, total, out=total)
        cells.codes[rows] = codes[:, :wide]
        if cells.percent is not None:
            np.multiply(weights, hundred, out=weights)
            cells.percent[:, rows] = np.rint(weights, out=weights)[:, :, :wide]
        cells.confidence[rows] = np.rint(hundred, out=hundred)[:, :wide]


def mean_probabilities(logits: NDArray[np.float32], temperature: float) -> NDArray[np.float64]:
    """Mean over the cells of answers (N, K, rows, cols) of their calibrated probabilities, float64 (N, K)."""
    scaled = (logits - logits.max(axis=1, keepdims=True)) / np.float32(temperature)
    weights = np.exp(scaled)
    weights /= weights.sum(axis=1, keepdims=True)
    return np.asarray(weights.mean(axis=(2, 3), dtype=np.float64))
