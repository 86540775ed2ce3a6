"""Whether one way of training is better than another: over seeds, and chip by chip."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

_ALIKE = 1e-9  # differences of accuracies are multiples of 1/n, so what differs by less does so by rounding


def mean_interval(values: Sequence[float]) -> tuple[float, tuple[float, float] | None]:
    """Mean of independent values, and its 95 % interval by Student's t: mean -+ t(n - 1) s / sqrt(n).

    Parameters
    ----------
    values : sequence of float
        At least one; of one alone there is no interval, None, nor of values that are alike but for rounding, of whose
        spread they tell nothing.
    """
    mean = float(np.mean(values))
    if len(values) < 2 or np.ptp(values) < _ALIKE:
        return mean, None
    from scipy.stats import t

    reach = float(t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / math.sqrt(len(values)))
    return mean, (mean - reach, mean + reach)


def paired_difference(values: Sequence[float], reference: Sequence[float]) -> dict[str, Any]:
    """Compare runs in pairs, each of one seed: mean of `values - reference`, its 95 % interval, p of a paired t-test.

    Parameters
    ----------
    values, reference : sequences of float (n,)
        In the order of the seeds.

    Returns
    -------
    dict
        {difference, interval_95, p}; interval and p are None for fewer than two pairs, and if all differences are
        alike but for rounding, of which a t-test knows nothing.
    """
    differences = [float(v) - float(r) for v, r in zip(values, reference, strict=True)]
    difference, interval = mean_interval(differences)
    if interval is None:
        return {"difference": difference, "interval_95": None, "p": None}
    from scipy.stats import ttest_1samp

    return {
        "difference": difference,
        "interval_95": list(interval),
        "p": float(ttest_1samp(differences, 0.0).pvalue),
    }


def mcnemar(correct: NDArray[np.bool_], reference: NDArray[np.bool_]) -> dict[str, Any]:
    """Test whether two students are right equally often, on the chips of which one alone is right.

    The exact form: of these chips, the number won is binomial with a share of one half (McNemar 1947, Psychometrika 12,
    153-157). Chips that several runs were asked about are counted once a run, which makes p too small.

    Parameters
    ----------
    correct, reference : bool arrays (N,)
        Of the same chips in the same order.

    Returns
    -------
    dict
        {won, lost, p}: chips that only the one, only the reference gets right, and the two-sided p.
    """
    from scipy.stats import binomtest

    won, lost = int((correct & ~reference).sum()), int((reference & ~correct).sum())
    return {"won": won, "lost": lost, "p": float(binomtest(won, won + lost).pvalue) if won + lost else 1.0}


def holm(values: Sequence[float]) -> list[float]:
    """Adjust p values for how many there are, so that a chance find among all is as rare as the level says.

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
