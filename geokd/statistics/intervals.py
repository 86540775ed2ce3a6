"""Confidence intervals of proportions. Pure arithmetic."""

import math
from statistics import NormalDist


def wilson(successes: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Interval of a proportion by Wilson's score method.

    Bounds are (p + z^2/2n -+ z sqrt(p(1-p)/n + z^2/4n^2)) / (1 + z^2/n) with p = successes/n
    (E. B. Wilson 1927, J. Am. Stat. Assoc. 22, 209-212).

    Parameters
    ----------
    successes, n : int
        0 <= successes <= n, n >= 1.
    confidence : float
        Coverage, between 0 and 1, exclusive.

    Returns
    -------
    (low, high) : fractions in 0..1

    Raises
    ------
    ValueError
        If an argument is out of range.
    """
    if n < 1 or not 0 <= successes <= n:
        raise ValueError(f"{successes} successes of {n} are not a proportion")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence {confidence} is not between 0 and 1")
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    p = successes / n
    centre = p + z * z / (2 * n)
    spread = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    low = 0.0 if successes == 0 else (centre - spread) / scale
    high = 1.0 if successes == n else (centre + spread) / scale
    return low, high
