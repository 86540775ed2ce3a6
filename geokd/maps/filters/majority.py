"""A majority filter of class codes: each cell gets the most frequent class around it."""

import numpy as np
from numpy.typing import NDArray

from geokd.legend.classes import NODATA
from geokd.maps.class_map import row_strips


def smooth(codes: NDArray[np.uint8], classes: int, window: int) -> None:
    """Give each cell the most frequent class of the window around it, in place.

    In a tie the cell keeps its class. Cells of other codes than 0..`classes` - 1 do not change and have no vote; nor do
    cells beyond the map. Strips are processed one by one, so that no copy of a large map is made; the result does not
    depend on them.

    Parameters
    ----------
    codes : uint8 array (rows, cols)
    classes : int
    window : int
        Side in cells, odd, at most 255.
    """
    height, width = codes.shape
    reach = window // 2
    above = codes[:0].copy()  # the rows above a strip, unfiltered
    for rows in row_strips(height, width):
        own = codes[rows].copy()
        near = np.concatenate([above, own, codes[rows.stop : rows.stop + reach]])
        codes[rows] = _winners(near, slice(len(above), len(above) + len(own)), classes, reach)
        above = near[: len(above) + len(own)][-reach:] if reach else above


def _winners(near: NDArray[np.uint8], rows: slice, classes: int, reach: int) -> NDArray[np.uint8]:
    """Filter some rows of `near`, which includes their windows."""
    own = near[rows]
    window = 2 * reach + 1
    count = np.uint8 if window**2 <= np.iinfo(np.uint8).max else np.uint16
    beyond = (reach - rows.start, reach - (len(near) - rows.stop))  # rows beyond the map
    around = np.pad(near, (beyond, (reach, reach)), constant_values=NODATA)
    winner, most, alone = own.copy(), np.zeros(own.shape, count), np.ones(own.shape, np.bool_)
    for code in np.flatnonzero(np.bincount(near.reshape(-1), minlength=NODATA)[:classes]):
        marks = (around == code).astype(count)
        votes = _running_sums(_running_sums(marks, window).T, window).T
        more = votes > most
        alone &= (votes != most) | (votes == 0)
        alone |= more
        np.copyto(winner, np.uint8(code), where=more)
        np.maximum(most, votes, out=most)
    return np.where(alone & (own < classes), winner, own)


def _running_sums(values: NDArray[np.unsignedinteger], window: int) -> NDArray[np.unsignedinteger]:
    """Sum each `window` consecutive rows, (n, m) to (n - window + 1, m), from sums of 1, 2, 4, .. rows."""
    count = len(values) - window + 1
    total, summed, step = np.zeros_like(values[:count]), 0, 1
    while True:
        if window & step:
            total += values[summed : summed + count]
            summed += step
        if summed == window:
            return total
        values = values[:-step] + values[step:]
        step *= 2
