"""A majority filter of class codes: each cell takes the class most frequent around it."""

import numpy as np
from numpy.typing import NDArray

from geokd.outputs.class_map import row_strips


def smooth(codes: NDArray[np.uint8], classes: int, window: int) -> None:
    """Give each cell the class that most cells of the window around it have, in place.

    Where several classes are the most frequent the cell keeps its own. Cells of other codes than 0..`classes` - 1 are
    left as they are and have no vote; nor has what lies beyond the map. Strips are taken one by one, so that no copy of
    a large map is made; the result does not depend on them.

    Parameters
    ----------
    codes : uint8 array (rows, cols)
    classes : int
    window : int
        Side in cells, odd.
    """
    height, width = codes.shape
    reach = window // 2
    above = codes[:0].copy()  # the rows above a strip, as they were
    for rows in row_strips(height, width):
        own = codes[rows].copy()
        near = np.concatenate([above, own, codes[rows.stop : rows.stop + reach]])
        codes[rows] = _winners(near, slice(len(above), len(above) + len(own)), classes, reach)
        above = near[: len(above) + len(own)][-reach:] if reach else above


def _winners(near: NDArray[np.uint8], rows: slice, classes: int, reach: int) -> NDArray[np.uint8]:
    """Return what some rows of `near`, which holds all they look at, become."""
    own = near[rows]
    winner, most, alone = own.copy(), np.zeros(own.shape, np.int32), np.ones(own.shape, np.bool_)
    for code in np.unique(near[near < classes]):
        votes = _sums(near == code, rows, reach)
        alone = np.where(votes == most, alone & (votes == 0), alone | (votes > most))
        winner[votes > most] = code
        np.maximum(most, votes, out=most)
    return np.where(alone & (own < classes), winner, own)


def _sums(marks: NDArray[np.bool_], rows: slice, reach: int) -> NDArray[np.int32]:
    """Count the marks in the window around each cell of some rows."""
    down = np.pad(marks.cumsum(axis=0, dtype=np.int32), ((1, 0), (0, 0)))
    row = np.arange(rows.start, rows.stop)
    columns = down[np.minimum(row + reach + 1, len(marks))] - down[np.maximum(row - reach, 0)]
    across = np.pad(columns.cumsum(axis=1, dtype=np.int32), ((0, 0), (1, 0)))
    col = np.arange(marks.shape[1])
    sums = across[:, np.minimum(col + reach + 1, len(col))] - across[:, np.maximum(col - reach, 0)]
    return np.asarray(sums, np.int32)
