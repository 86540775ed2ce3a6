"""Statistical comparison of two ways of training: over seeds, and chip by chip."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geokd.system.documents import Record

_ALIKE = 1e-9  # differences of accuracies are multiples of 1/n, so smaller ones are rounding errors


@dataclass(frozen=True, kw_only=True)
class PairedDifference(Record):
    """Mean of paired differences, its 95 % interval, and p of a paired t-test; fractions."""

    difference: float
    interval_95: tuple[float, float] | None
    p: float | None


@dataclass(frozen=True, kw_only=True)
class McNemar(Record):
    """Chips that only the student (won) or only the reference (lost) classifies correctly, and the two-sided p."""

    won: int
    lost: int
    p: float


def mean_interval(values: Sequence[float]) -> tuple[float, tuple[float, float] | None]:
    """Mean of independent values, and its 95 % interval by Student's t: mean -+ t(n - 1) s / sqrt(n).

    Parameters
    ----------
    values : sequence of float
        At least one. The interval is None for a single value, and for values that are equal except for rounding, which
        show no spread.
    """
    mean = float(np.mean(values))
    if len(values) < 2 or np.ptp(values) < _ALIKE:
        return mean, None
    from scipy.stats import t

    reach = float(t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / math.sqrt(len(values)))
    return mean, (mean - reach, mean + reach)


def paired_difference(values: Sequence[float], reference: Sequence[float]) -> PairedDifference:
    """Compare runs in pairs, each of one seed: mean of `values - reference`, its 95 % interval, p of a paired t-test.

    Parameters
    ----------
    values, reference : sequences of float (n,)
        In the order of the seeds.

    Returns
    -------
    PairedDifference
        Interval and p are None for fewer than two pairs, and if all differences are equal except for rounding: a t-test
        does not apply then.
    """
    differences = [float(v) - float(r) for v, r in zip(values, reference, strict=True)]
    difference, interval = mean_interval(differences)
    if interval is None:
        return PairedDifference(difference=difference, interval_95=None, p=None)
    from scipy.stats import ttest_1samp

    p = float(ttest_1samp(differences, 0.0).pvalue)
    return PairedDifference(difference=difference, interval_95=interval, p=p)


def mcnemar(correct: NDArray[np.bool_], reference: NDArray[np.bool_]) -> McNemar:
    """Test whether two students are right equally often, from the chips on which exactly one is right.

    The exact form: of these chips, the number won is binomial with a share of one half (McNemar 1947, Psychometrika 12,
    153-157). Chips that several runs classified are counted once per run, which makes p too small.

    Parameters
    ----------
    correct, reference : bool arrays (N,)
        For the same chips in the same order.

    Returns
    -------
    McNemar
    """
    from scipy.stats import binomtest

    won, lost = int((correct & ~reference).sum()), int((reference & ~correct).sum())
    p = float(binomtest(won, won + lost).pvalue) if won + lost else 1.0
    return McNemar(won=won, lost=lost, p=p)


def holm(values: Sequence[float]) -> list[float]:
    """Adjust p values for multiple comparisons, so that the chance of any false positive stays within the level.

    The k-th smallest of n is multiplied by n - k + 1, and is no smaller than those before it (Holm 1979, Scandinavian
    Journal of Statistics 6, 65-70).

    Parameters
    ----------
    values : sequence of float (n,)

    Returns
    -------
    list of float (n,)
        In the same order, at most 1.
    """
    order = sorted(range(len(values)), key=values.__getitem__)
    adjusted, largest = [0.0] * len(values), 0.0
    for rank, index in enumerate(order):
        largest = max(largest, min(1.0, (len(values) - rank) * values[index]))
        adjusted[index] = largest
    return adjusted
