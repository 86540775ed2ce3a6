"""Accuracy of a map and area of its classes from a random sample, stratified or not. Pure numpy.

Sources of the numbered equations:

- Olofsson et al. 2014, Remote Sensing of Environment 148, 42-57: the strata are the classes of the map.
- Stehman 2014, Int. J. Remote Sensing 35, 4923-4939: the strata differ from the map's classes, for example those of an
older map. Where they are the same, its equations equal those of Olofsson et al., except for the finite-population
correction.
- Zou, Huang and Zhang 2009, Computational Statistics and Data Analysis 53, 1080-1085: intervals of sums of proportions
  (MOVER) from those of each. These are Wilson's, but where a stratum shows 1 to 3 hits the lower limit is the exact one
  of a Poisson count, as in the modified Wilson interval of Brown, Cai and DasGupta 2001, Statistical Science 16,
  101-133, section 4.1.1 (there at 5 %, here at 2.5 %).

Estimate -+ 1.96 standard errors, as in Olofsson et al., is the same in large samples. In small ones it collapses
where a stratum shows no error, and its coverage is far too low (`tests/assessment/test_area_estimation.py`).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from geokd.system.documents import Record

_HALVINGS = 40  # of the range 0..1, to 1e-12
_ALL_KNOWN = 1e18  # units, effectively infinite
# Of 1, 2, 3 hits: the Poisson mean at which as many or more are found in 2.5 % of samples, the lower limit there.
_FEW = {1: 0.02532, 2: 0.24221, 3: 0.61867}


@dataclass(frozen=True)
class Estimate(Record):
    """A figure, its standard error and 95 % interval.

    Parameters
    ----------
    estimate : float
    standard_error : float or None
        None if it cannot be estimated, for example because a stratum has a single unit.
    interval_95 : tuple of float, or None
        Lower and upper limit; None if nothing was sampled.
    """

    estimate: float
    standard_error: float | None
    interval_95: tuple[float, float] | None

    @property
    def low(self) -> float:
        """Lower limit of the interval; the estimate itself if there is none."""
        return self.estimate if self.interval_95 is None else self.interval_95[0]

    @property
    def high(self) -> float:
        """Upper limit of the interval; the estimate itself if there is none."""
        return self.estimate if self.interval_95 is None else self.interval_95[1]

    def times(self, factor: float) -> "Estimate":
        """Return the estimate of a quantity `factor` times as large."""
        error = None if self.standard_error is None else self.standard_error * factor
        interval = None if self.interval_95 is None else (self.low * factor, self.high * factor)
        return Estimate(self.estimate * factor, error, interval)


@dataclass(frozen=True, eq=False)
class StratifiedSample:
    """Units of a sample, counted.

    Parameters
    ----------
    counts : int64 array (H, M, R)
        Units of each stratum by their class in the map (M) and in the reference (R). Every stratum has at least one.
    classes : int
        Classes 0..classes-1 are the same in map and reference. Further classes of the map are unclassified, further
        classes of the reference are never mapped.
    weights : float64 array (H,)
        Area of each stratum, in any unit.
    cells : int64 array (H,) or None
        Cells of each stratum; None: so many that the finite-population correction is negligible.

    Raises
    ------
    ValueError
        If shapes disagree, a stratum has no unit or no area, or fewer cells than units.
    """

    counts: NDArray[np.int64]
    classes: int
    weights: NDArray[np.float64]
    cells: NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        strata = self.counts.shape[:1]
        if self.counts.ndim != 3 or self.weights.shape != strata:
            raise ValueError(f"counts {self.counts.shape} and weights {self.weights.shape} are not of the same strata")
        if not 1 <= self.classes <= min(self.counts.shape[1:]):
            raise ValueError(f"{self.classes} classes cannot be in counts of the shape {self.counts.shape}")
        if not (self.units > 0).all() or not (self.weights > 0).all():
            raise ValueError("a stratum has no unit or no area")
        if self.cells is not None and (self.cells.shape != strata or (self.cells < self.units).any()):
            raise ValueError("a stratum has fewer cells than units in the sample")

    @property
    def units(self) -> NDArray[np.int64]:
        """Units of each stratum, (H,)."""
        return np.asarray(self.counts.sum(axis=(1, 2)), np.int64)

    def area_matrix(self) -> NDArray[np.float64]:
        """Share of the area by class in the map and in the reference, (M, R): Olofsson et al., eq. 4."""
        per_unit = self.weights / self.weights.sum() / self.units
        return np.asarray(np.tensordot(per_unit, self.counts, 1), np.float64)

    def overall_accuracy(self) -> Estimate | None:
        """Share of the classified area that is mapped right: Olofsson et al., eq. 1 and 5.

        Returns
        -------
        Estimate or None
            None if no unit lies in classified area.
        """
        judged = self.counts[:, : self.classes]
        right = np.trace(judged, axis1=1, axis2=2)
        classified = judged.sum(axis=(1, 2))
        return self._ratio(right, classified - right, classified > 0, classified > 0)

    def users_accuracy(self, k: int) -> Estimate | None:
        """Return the user's accuracy of class `k`: Olofsson et al., eq. 2 and 6; None if no unit is mapped so."""
        right, mapped = self.counts[:, k, k], self.counts[:, k].sum(axis=1)
        return self._ratio(right, mapped - right, mapped > 0, mapped > 0)

    def producers_accuracy(self, k: int) -> Estimate | None:
        """Return the producer's accuracy of class `k`: Olofsson et al., eq. 3 and 7; None if no unit is of it."""
        right, mapped, true = self.counts[:, k, k], self.counts[:, k].sum(axis=1), self.counts[:, :, k].sum(axis=1)
        return self._ratio(right, true - right, mapped > 0, mapped < self.units)

    def area_share(self, k: int) -> Estimate:
        """Error-adjusted share of the area of class `k`: Olofsson et al., eq. 9 and 10."""
        true, everywhere = self.counts[:, :, k].sum(axis=1), self.units > 0
        share = self._ratio(true, self.units - true, everywhere, everywhere)
        assert share is not None
        return share

    def _ratio(
        self,
        hits: NDArray[np.int64],
        misses: NDArray[np.int64],
        may_hit: NDArray[np.bool_],
        may_miss: NDArray[np.bool_],
    ) -> Estimate | None:
        """Estimate the area of hits as a share of that of hits and misses: Stehman 2014, eq. 27 and 28.

        The share R is where the area of (1 - R) x hits - R x misses is 0; its interval holds those shares at which
        the MOVER interval of that area does.

        Parameters
        ----------
        hits, misses : int64 arrays (H,)
            Units of each stratum; the others are neither.
        may_hit, may_miss : bool arrays (H,)
            Whether a stratum can hold any at all: then none in the sample does not mean none.
        """
        units = self.units
        hit, miss = hits / units, misses / units
        total = float(self.weights @ (hit + miss))
        if total == 0:
            return None
        ratio = float(self.weights @ hit) / total
        error = self._standard_error(hit, miss, ratio, total)
        effective = self._effective_units()
        of_hits, of_misses = self.weights * may_hit, self.weights * may_miss
        hit_low, hit_high = (of_hits * _below(share, effective) for share in (hit, 1 - hit))
        miss_low, miss_high = (of_misses * _below(share, effective) for share in (miss, 1 - miss))
        tied = _correlation(hit, miss)

        def excess(share: float, hits_off: NDArray[np.float64], misses_off: NDArray[np.float64]) -> float:
            """By how much the area of (1 - R) x hits - R x misses is farther from 0 than its interval reaches."""
            one, other = (1 - share) * hits_off, share * misses_off
            half = math.sqrt(float(np.sum(one**2 + other**2 + 2 * tied * one * other)))
            return abs(float(self.weights @ ((1 - share) * hit - share * miss))) - half

        low = _crossing(lambda share: excess(share, hit_low, miss_high), 0.0, ratio)
        high = _crossing(lambda share: excess(share, hit_high, miss_low), 1.0, ratio)
        return Estimate(ratio, error, (low, high))

    def _standard_error(
        self, hit: NDArray[np.float64], miss: NDArray[np.float64], ratio: float, total: float
    ) -> float | None:
        if (self.units < 2).any():
            known = np.ones_like(self.units, np.bool_) if self.cells is None else self.cells > self.units
            if (known & (self.units < 2)).any():
                return None
        mean = (1 - ratio) * hit - ratio * miss
        spread = (1 - ratio) ** 2 * hit + ratio**2 * miss - mean**2
        unseen = 1.0 if self.cells is None else 1 - self.units / self.cells
        variance = self.weights**2 * unseen * spread / np.maximum(self.units - 1, 1)
        return math.sqrt(max(float(variance.sum()), 0.0)) / total

    def _effective_units(self) -> NDArray[np.float64]:
        """Units with the same information about an infinite stratum; infinite where all cells were looked at."""
        return _effective(self.units, self.cells)


def paired_difference(
    won: NDArray[np.int64],
    lost: NDArray[np.int64],
    units: NDArray[np.int64],
    weights: NDArray[np.float64],
    cells: NDArray[np.int64] | None = None,
) -> Estimate:
    """Estimate by how much the won area exceeds the lost area, as a share of the whole area.

    Units are won or lost or neither, as where the first of two maps alone is right, or what a class gains and loses.
    The difference is sum W_h (won_h - lost_h) / n_h; its interval combines those of the shares in each stratum (MOVER),
    whose counts exclude each other.

    Parameters
    ----------
    won, lost : int64 arrays (H,)
    units : int64 array (H,)
        All units of each stratum, at least one.
    weights : float64 array (H,)
    cells : int64 array (H,) or None
        As in :class:`StratifiedSample`.

    Returns
    -------
    Estimate
        From -1 to 1.
    """
    weights = weights / weights.sum()
    hit, miss, effective = won / units, lost / units, _effective(units, cells)
    difference = float(weights @ (hit - miss))
    tied = _correlation(hit, miss)

    def reach(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
        return math.sqrt(float(np.sum(weights**2 * (one**2 + other**2 + 2 * tied * one * other))))

    low = difference - reach(_below(hit, effective), _below(1 - miss, effective))
    high = difference + reach(_below(1 - hit, effective), _below(miss, effective))
    unseen = 1.0 if cells is None else 1 - units / cells
    variance = weights**2 * unseen * (hit + miss - (hit - miss) ** 2) / np.maximum(units - 1, 1)
    error = None if (units < 2).any() else math.sqrt(max(float(variance.sum()), 0.0))
    return Estimate(difference, error, (max(low, -1.0), min(high, 1.0)))


def _effective(units: NDArray[np.int64], cells: NDArray[np.int64] | None) -> NDArray[np.float64]:
    if cells is None:
        return units.astype(np.float64)
    left = cells - units
    return np.where(left > 0, units * (cells - 1) / np.maximum(left, 1), _ALL_KNOWN)


def _below(shares: NDArray[np.float64], effective: NDArray[np.float64]) -> NDArray[np.float64]:
    """Distance from `shares` of `effective` units down to their lower limit by the modified Wilson interval."""
    z = NormalDist().inv_cdf(0.975)
    centre = (shares + z * z / (2 * effective)) / (1 + z * z / effective)
    spread = z * np.sqrt(shares * (1 - shares) / effective + (z / (2 * effective)) ** 2) / (1 + z * z / effective)
    low = centre - spread
    hits = np.rint(shares * effective)
    for count, fewest in _FEW.items():
        few = (hits == count) & ((count < 3) | (effective > 50))
        low = np.where(few, np.minimum(low, fewest / effective), low)
    return np.asarray((shares - low).clip(0), np.float64)


def _correlation(hit: NDArray[np.float64], miss: NDArray[np.float64]) -> NDArray[np.float64]:
    """How far hits and misses of a stratum exclude each other: minus the correlation of the two counts, 0 to 1."""
    either = hit + miss
    with np.errstate(divide="ignore", invalid="ignore"):
        tied = np.sqrt(hit * miss / ((1 - hit) * (1 - miss)))
    return np.where(np.isclose(either, 1), 1.0, np.nan_to_num(tied))


def _crossing(excess: Callable[[float], float], outside: float, inside: float) -> float:
    """Find where `excess` turns from above 0 at `outside` to below 0 at `inside`, by halving."""
    if excess(outside) <= 0:
        return outside
    for _ in range(_HALVINGS):
        middle = (outside + inside) / 2
        if excess(middle) > 0:
            outside = middle
        else:
            inside = middle
    return inside
