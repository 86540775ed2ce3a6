"""Drawing a stratified random sample of cells. Pure numpy."""

import numpy as np
from numpy.typing import NDArray

LEAST = 2
"""Units a stratum needs at least to show its spread."""

_USUAL_LEAST = 50  # Olofsson et al. 2014, section 5.1.2: 50 to 100 for rare classes


def usual_least(total: int, strata: int) -> int:
    """Return the default minimum of units in a stratum: 50, but at most half of all units are used for this."""
    return max(LEAST, min(_USUAL_LEAST, total // (2 * strata)))


def allocate(
    cells: NDArray[np.int64], areas: NDArray[np.float64], total: int, least: int | NDArray[np.int64]
) -> NDArray[np.int64]:
    """Allocate the units of a sample: by area, but at least `least` to each stratum, or all its cells.

    Parameters
    ----------
    cells : int64 array (H,)
        Cells of each stratum; one without any gets no unit.
    areas : float64 array (H,)
    total : int
        At least the sum of the strata's minima, at most the sum of `cells`.
    least : int or int64 array (H,)

    Returns
    -------
    int64 array (H,)
        Sums to `total`.

    Raises
    ------
    ValueError
        If `total` is out of its range.
    """
    floor = np.minimum(cells, least)
    if not floor.sum() <= total <= cells.sum():
        raise ValueError(f"{total} units are outside {floor.sum()}..{cells.sum()}")
    units: NDArray[np.float64] = np.zeros(len(cells))
    low, high = floor.astype(np.float64), cells.astype(np.float64)
    fixed = cells == 0
    while not fixed.all():  # by area among those at neither end, until none of them is beyond one
        free = ~fixed
        units[free] = (total - units[fixed].sum()) * areas[free] / areas[free].sum()
        too_few, too_many = (units < low) & free, (units > high) & free
        if not (too_few | too_many).any():
            break
        lacking = float((low - units)[too_few].sum() - (units - high)[too_many].sum())
        beyond = too_few if lacking >= 0 else too_many  # the others may come right when these are settled
        units[beyond] = (low if lacking >= 0 else high)[beyond]
        fixed |= beyond
    whole = np.floor(units + 1e-9).astype(np.int64)
    rest = np.where(whole < cells, units - whole, -1.0)
    whole[np.argsort(-rest, kind="stable")[: total - whole.sum()]] += 1
    return whole


class Draw:
    """Draws cells of one stratum from a stream, without replacement, with probabilities proportional to their areas.

    Each cell gets an exponential variate divided by its area; the cells of the smallest are drawn (Efraimidis and
    Spirakis 2006, Information Processing Letters 97, 181-185). Cells of one size are equally likely.

    Parameters
    ----------
    units : int
        Cells to be drawn.
    """

    def __init__(self, units: int) -> None:
        self.units = units
        self._keys: NDArray[np.float64] = np.empty(0)
        self._cells: NDArray[np.int64] = np.empty((0, 2), np.int64)

    def pass_by(self, rows: NDArray[np.int64], cols: NDArray[np.int64], keys: NDArray[np.float64]) -> None:
        """Take in cells, (N,) each; `keys` are the variates divided by the areas."""
        if len(self._keys) == self.units:  # in order, so that the last is the largest
            among = keys < self._keys[-1]
            rows, cols, keys = rows[among], cols[among], keys[among]
        all_keys = np.concatenate([self._keys, keys])
        kept = np.argsort(all_keys, kind="stable")[: self.units]
        self._cells = np.concatenate([self._cells, np.stack([rows, cols], axis=1)])[kept]
        self._keys = all_keys[kept]

    @property
    def cells(self) -> NDArray[np.int64]:
        """Rows and columns of the cells drawn so far, (units, 2) or fewer."""
        return self._cells
