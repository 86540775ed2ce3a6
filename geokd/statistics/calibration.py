"""Temperature scaling. Pure numpy."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

_GOLDEN = (5**0.5 - 1) / 2


def fit_temperature(logits: NDArray[np.floating[Any]], truth: NDArray[np.integer[Any]]) -> float:
    """Find the T that minimises the negative log-likelihood of softmax(logits / T) (Guo et al. 2017, arXiv 1706.04599).

    Golden-section search over log T between T = 0.05 and T = 20. If the likelihood has its minimum at one of these, as
    when every answer is right, the chips are too few to estimate T.

    Parameters
    ----------
    logits : float array (N, K)
    truth : integer array (N,)

    Returns
    -------
    float, positive; 1.0 if it cannot be estimated
    """
    logits = logits.astype(np.float64)

    def loss(log_t: float) -> float:
        scaled = logits / np.exp(log_t)
        scaled -= scaled.max(axis=1, keepdims=True)
        log_sum = np.log(np.exp(scaled).sum(axis=1))
        return float((log_sum - scaled[np.arange(len(truth)), truth]).mean())

    low, high = limits = np.log(0.05), np.log(20.0)
    while high - low > 1e-4:
        width = _GOLDEN * (high - low)
        if loss(high - width) < loss(low + width):
            high = low + width
        else:
            low = high - width
    best = (low + high) / 2
    inside = min(abs(best - limit) for limit in limits) > 1e-3
    return float(np.exp(best)) if inside and loss(best) < loss(0.0) else 1.0
