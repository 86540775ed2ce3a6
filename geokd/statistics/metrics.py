"""Figures of merit of a classifier. Pure numpy."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from geokd.statistics.comparison import mcnemar
from geokd.statistics.intervals import wilson


def confusion_matrix(
    truth: NDArray[np.integer[Any]], predicted: NDArray[np.integer[Any]], classes: int
) -> NDArray[np.int64]:
    """Count pairs: entry (i, j) is the number of chips of class i that were called j.

    Parameters
    ----------
    truth, predicted : integer arrays (N,), values 0..classes-1
    classes : int

    Returns
    -------
    int64 array (classes, classes)

    Raises
    ------
    ValueError
        If lengths differ or a value is out of range.
    """
    if truth.shape != predicted.shape or truth.ndim != 1:
        raise ValueError(f"truth {truth.shape} and predictions {predicted.shape} must be vectors of one length")
    both = np.concatenate([truth, predicted])
    if both.size and not (both.min() >= 0 and both.max() < classes):
        raise ValueError(f"classes {both.min()}..{both.max()} are outside 0..{classes - 1}")
    flat = np.bincount(truth.astype(np.int64) * classes + predicted, minlength=classes * classes)
    return flat.reshape(classes, classes)


def accuracy(confusion: NDArray[np.int64]) -> dict[str, Any]:
    """Overall accuracy with its 95 % Wilson interval: {n, accuracy, interval_95}, fractions.

    Raises
    ------
    ValueError
        If the matrix counts nothing.
    """
    n, correct = int(confusion.sum()), int(np.trace(confusion))
    return {"n": n, "accuracy": correct / max(n, 1), "interval_95": list(wilson(correct, n))}


def per_class(confusion: NDArray[np.int64], names: tuple[str, ...]) -> list[dict[str, Any]]:
    """Recall (producer's accuracy), precision (user's accuracy) and F1 of each class.

    A figure whose denominator is 0 is None: nothing was seen that could tell.

    Parameters
    ----------
    confusion : int64 array (K, K), truth in rows
    names : K class names
    """
    rows = []
    for k, name in enumerate(names):
        hit, truth, called = int(confusion[k, k]), int(confusion[k].sum()), int(confusion[:, k].sum())
        rows.append(
            {
                "name": name,
                "n": truth,
                "recall": hit / truth if truth else None,
                "recall_interval_95": list(wilson(hit, truth)) if truth else None,
                "precision": hit / called if called else None,
                "f1": 2 * hit / (truth + called) if truth + called else None,
            }
        )
    return rows


def agreement(
    predicted: NDArray[np.integer[Any]],
    reference: NDArray[np.integer[Any]],
    truth: NDArray[np.integer[Any]],
    names: tuple[str, ...],
) -> dict[str, Any]:
    """How often two classifiers give the same answer, over all chips and over those of each class.

    Parameters
    ----------
    predicted, reference, truth : integer arrays (N,), values 0..K-1, N >= 1
    names : K class names

    Returns
    -------
    dict
        share and interval_95 (Wilson); mcnemar, {won, lost, p} of the chips of which one of the two is right and the
        other wrong; per_class, of the chips of each true class: {name, share, interval_95}, None without chips.
    """
    same, right, reference_right = predicted == reference, predicted == truth, reference == truth

    def share(of: NDArray[np.bool_]) -> dict[str, Any]:
        hits, n = int((same & of).sum()), int(of.sum())
        return {"share": hits / n if n else None, "interval_95": list(wilson(hits, n)) if n else None}

    return {
        **share(np.ones(len(truth), np.bool_)),
        "mcnemar": mcnemar(right, reference_right),
        "per_class": [{"name": name, **share(truth == k)} for k, name in enumerate(names)],
    }


def expected_calibration_error(
    probabilities: NDArray[np.floating[Any]], truth: NDArray[np.integer[Any]], bins: int = 15
) -> float:
    """Mean distance between confidence and accuracy over bins of equal width, weighted by their counts.

    ECE = sum_b n_b / n |accuracy_b - confidence_b| (Guo et al. 2017, arXiv 1706.04599, eq. 3).

    Parameters
    ----------
    probabilities : float array (N, K), rows sum to 1
    truth : integer array (N,)
    bins : int

    Returns
    -------
    float, a fraction
    """
    confidence = probabilities.max(axis=1).astype(np.float64)
    correct = probabilities.argmax(axis=1) == truth
    which = np.minimum((confidence * bins).astype(np.int64), bins - 1)
    gaps = np.bincount(which, weights=correct - confidence, minlength=bins)
    return float(np.abs(gaps).sum() / len(truth))


def kappa(matrix: NDArray[np.floating[Any]], classes: int) -> float | None:
    """Agreement beyond that of two maps of the same shares laid out at random (Cohen 1960); None of a single class.

    It tells little that overall accuracy does not (Pontius and Millones 2011, Int. J. Remote Sensing 32, 4407-4429).

    Parameters
    ----------
    matrix : float array (M, R)
        Area or counts by class in the map and in the reference.
    classes : int
        Classes 0..classes-1 are the same in both.
    """
    shares = matrix / matrix.sum()
    observed = float(np.trace(shares[:classes, :classes]))
    by_chance = float(shares.sum(axis=1)[:classes] @ shares.sum(axis=0)[:classes])
    return (observed - by_chance) / (1 - by_chance) if by_chance < 1 else None
