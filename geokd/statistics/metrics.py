"""Accuracy figures of a classifier. Pure numpy."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geokd.statistics.comparison import McNemar, mcnemar
from geokd.statistics.intervals import wilson
from geokd.system.documents import Record


@dataclass(frozen=True, kw_only=True)
class Accuracy(Record):
    """Overall accuracy of n answers with its 95 % Wilson interval, fractions."""

    n: int
    accuracy: float
    interval_95: tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class ClassAccuracy(Record):
    """Figures of one class, see :func:`per_class`; n counts its true chips or pixels."""

    name: str
    n: int
    recall: float | None
    recall_interval_95: tuple[float, float] | None
    precision: float | None
    f1: float | None


@dataclass(frozen=True, kw_only=True)
class ClassAgreement(Record):
    """Share of the chips of a true class to which two models give the same answer; None if there are none."""

    name: str
    share: float | None
    interval_95: tuple[float, float] | None


@dataclass(frozen=True, kw_only=True)
class Agreement(Record):
    """Share of equal answers with its 95 % Wilson interval, chips on which exactly one is right, and each class."""

    share: float | None
    interval_95: tuple[float, float] | None
    mcnemar: McNemar
    per_class: tuple[ClassAgreement, ...]


def confusion_matrix(
    truth: NDArray[np.integer[Any]], predicted: NDArray[np.integer[Any]], classes: int
) -> NDArray[np.int64]:
    """Count pairs: entry (i, j) is the number of chips of class i that were classified as j.

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


def accuracy(confusion: NDArray[np.int64]) -> Accuracy:
    """Overall accuracy with its 95 % Wilson interval.

    Raises
    ------
    ValueError
        If the matrix counts nothing.
    """
    n, correct = int(confusion.sum()), int(np.trace(confusion))
    return Accuracy(n=n, accuracy=correct / max(n, 1), interval_95=wilson(correct, n))


def per_class(confusion: NDArray[np.int64], names: tuple[str, ...]) -> tuple[ClassAccuracy, ...]:
    """Recall (producer's accuracy), precision (user's accuracy) and F1 of each class.

    A figure whose denominator is 0 is None.

    Parameters
    ----------
    confusion : int64 array (K, K), truth in rows
    names : K class names
    """
    rows = []
    for k, name in enumerate(names):
        hit, truth, called = int(confusion[k, k]), int(confusion[k].sum()), int(confusion[:, k].sum())
        rows.append(
            ClassAccuracy(
                name=name,
                n=truth,
                recall=hit / truth if truth else None,
                recall_interval_95=wilson(hit, truth) if truth else None,
                precision=hit / called if called else None,
                f1=2 * hit / (truth + called) if truth + called else None,
            )
        )
    return tuple(rows)


def agreement(
    predicted: NDArray[np.integer[Any]],
    reference: NDArray[np.integer[Any]],
    truth: NDArray[np.integer[Any]],
    names: tuple[str, ...],
) -> Agreement:
    """How often two classifiers give the same answer, over all chips and over those of each class.

    Parameters
    ----------
    predicted, reference, truth : integer arrays (N,), values 0..K-1, N >= 1
    names : K class names

    Returns
    -------
    Agreement
    """
    same, right, reference_right = predicted == reference, predicted == truth, reference == truth

    def share(of: NDArray[np.bool_]) -> tuple[float | None, tuple[float, float] | None]:
        hits, n = int((same & of).sum()), int(of.sum())
        return (hits / n, wilson(hits, n)) if n else (None, None)

    found, interval = share(np.ones(len(truth), np.bool_))
    parts = [(name, *share(truth == k)) for k, name in enumerate(names)]
    return Agreement(
        share=found,
        interval_95=interval,
        mcnemar=mcnemar(right, reference_right),
        per_class=tuple(ClassAgreement(name=name, share=part, interval_95=reach) for name, part, reach in parts),
    )


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
    """Agreement beyond that of two random maps with the same class shares (Cohen 1960); None for a single class.

    It adds little to overall accuracy (Pontius and Millones 2011, Int. J. Remote Sensing 32, 4407-4429).

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
