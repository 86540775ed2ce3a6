"""How many units a stratified sample needs for intervals of a wanted width. Pure numpy.

Sources: Cochran 1977, Sampling Techniques, 3rd edition, equations 5.6 (variance of a stratified mean) and 5.25 (units
at the best allocation), which is equation 13 of Olofsson et al. 2014, Remote Sensing of Environment 148, 42-57.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

_Z = NormalDist().inv_cdf(0.975)
_MOST = 1e12  # largest factor by which a sample is enlarged


@dataclass(frozen=True, eq=False)
class Goal:
    """A figure whose 95 % interval is to be no wider than estimate -+ margin.

    Parameters
    ----------
    name : str
    weights : float64 array (H,)
        Area of each stratum, in any unit; 0 of a stratum that the figure is not about.
    shares : float64 array (H,)
        Expected share of each stratum that counts, 0 to 1.
    margin : float or None
        Half the width of the interval, as a share of the area; None: any width will do.
    whole : float
        The share that the reported margin refers to: the mapped share of a class whose area is estimated.
    """

    name: str
    weights: NDArray[np.float64]
    shares: NDArray[np.float64]
    margin: float | None = None
    whole: float = 1.0

    @property
    def expected(self) -> float:
        """The figure's expected value, a share."""
        return float(self.weights @ self.shares / self.weights.sum())


def half_width(goal: Goal, units: NDArray[np.float64], cells: NDArray[np.int64] | None = None) -> float:
    """Half the width that the 95 % interval of a figure is expected to have, as a share.

    The intervals of the strata are Wilson's, combined as in :mod:`geokd.assessment.samples.area_estimation`, so that a
    stratum in which no error is expected counts, too.

    Parameters
    ----------
    goal : Goal
    units : float64 array (H,)
        Units of each stratum; infinite width if one with a weight has none.
    cells : int64 array (H,) or None
        Cells of each stratum; None: so many that the sample is nothing to them.
    """
    there = goal.weights > 0
    weights, shares, count = goal.weights[there] / goal.weights.sum(), goal.shares[there], units[there]
    if not (count > 0).all():
        return math.inf
    if cells is not None:
        left = np.maximum(cells[there] - count, 0)
        with np.errstate(divide="ignore"):
            count = np.where(left > 0, count * np.maximum(cells[there] - 1, 1) / left, np.inf)
    variance = shares * (1 - shares) / count + (_Z / (2 * count)) ** 2
    return float(np.sqrt(np.sum((weights * _Z / (1 + _Z**2 / count)) ** 2 * variance)))


def units_at_best(goal: Goal, cells: NDArray[np.int64] | None = None) -> int:
    """Units that a goal needs with the optimal allocation to strata for it alone.

    n = (sum W_h S_h)^2 / (S^2 + sum W_h S_h^2 / N) with S_h^2 = p_h (1 - p_h) and S = margin / 1.96: Olofsson et al.
    2014, eq. 13; Cochran 1977, eq. 5.25.

    Parameters
    ----------
    goal : Goal
        With a margin.
    cells : int64 array (H,) or None
        As in :func:`half_width`; N is their sum.
    """
    assert goal.margin is not None
    weights = goal.weights / goal.weights.sum()
    spread = np.sqrt(goal.shares * (1 - goal.shares))
    known = 0.0 if cells is None else float(weights @ spread**2) / float(cells[goal.weights > 0].sum())
    return math.ceil(float(weights @ spread) ** 2 / ((goal.margin / _Z) ** 2 + known))


def fewest_units(reached: Callable[[int], bool], lowest: int, highest: int) -> int | None:
    """Find the fewest units that reach a goal, by doubling and halving; None if even the highest do not.

    Parameters
    ----------
    reached : function of int
        Whether that many units do; if they do, more do, too.
    lowest, highest : int
    """
    if not reached(highest):
        return None
    if reached(lowest):
        return lowest
    below, enough = lowest, min(2 * lowest, highest)
    while not reached(enough):
        below, enough = enough, min(2 * enough, highest)
    while enough - below > 1:
        middle = (below + enough) // 2
        below, enough = (below, middle) if reached(middle) else (middle, enough)
    return enough


def times_as_many(
    goal: Goal, units: NDArray[np.int64], cells: NDArray[np.int64] | None, now: float, wanted: float
) -> float | None:
    """Find the factor by which a sample must be enlarged, with its allocation, for an interval of a wanted half-width.

    Parameters
    ----------
    goal : Goal
        With the shares that the sample shows.
    units : int64 array (H,)
        Of the sample as it is.
    cells : int64 array (H,) or None
        As in :func:`half_width`.
    now, wanted : float
        Half-widths of the interval that the sample gives and of the wanted one; the first corrects for what
        :func:`half_width` leaves out.

    Returns
    -------
    float or None
        At least 1; None if no sample is large enough.
    """
    planned = half_width(goal, units.astype(np.float64), cells)
    if wanted >= now:
        return 1.0
    if planned == 0 or not math.isfinite(planned):
        return None

    def reached(factor: float) -> bool:
        count: NDArray[np.float64] = np.minimum(units * factor, np.inf if cells is None else cells)
        return half_width(goal, count, cells) * now / planned <= wanted

    low, high = 1.0, 2.0
    while not reached(high):
        low, high = high, 2 * high
        if high > _MOST:
            return None
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (low, middle) if reached(middle) else (middle, high)
    return high


def expected_mixture(weights: NDArray[np.float64], accuracies: NDArray[np.float64]) -> NDArray[np.float64]:
    """Derive the true share of each class in each stratum, the classes of a map, from expected user's accuracies.

    Wrongly mapped area is divided over the other classes by their areas.

    Parameters
    ----------
    weights, accuracies : float64 arrays (K,)
        Areas, and user's accuracies, 0 to 1.

    Returns
    -------
    float64 array (K, K)
        Rows, the strata, sum to 1.
    """
    others = np.tile(weights, (len(weights), 1))
    np.fill_diagonal(others, 0)
    total = others.sum(axis=1, keepdims=True)
    mixture: NDArray[np.float64] = (1 - accuracies)[:, np.newaxis] * np.divide(
        others, total, out=np.zeros_like(others), where=total > 0
    )
    np.fill_diagonal(mixture, np.where(total[:, 0] > 0, accuracies, 1.0))
    return mixture
