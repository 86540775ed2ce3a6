"""How good the networks of a run are, on what was held out."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from geokd.legend.classes import Legend
from geokd.statistics.calibration import fit_temperature
from geokd.statistics.metrics import (
    Accuracy,
    ClassAccuracy,
    accuracy,
    confusion_matrix,
    expected_calibration_error,
    per_class,
)
from geokd.system.documents import Record


@dataclass(frozen=True, kw_only=True)
class NetworkFigures(Accuracy):
    """A network on the validation chips, or on held-out pixels.

    Overall accuracy with its 95 % Wilson interval; expected calibration error (15 bins) at the temperature that
    calibrates the logits (1 where an older run recorded none); origin of the initial weights; number of parameters;
    figures of each class; of a student, how many of the validation chips its initial weights, or its teacher's, were
    trained on.
    """

    ece: float
    temperature: float = 1.0
    initial_weights: str | None = None
    parameters: int
    per_class: tuple[ClassAccuracy, ...]
    seen_before: int | None = None


@dataclass(frozen=True, kw_only=True)
class Remembered(Record):
    """Share of n patches without labels to which a student that was trained further answers as the old one did."""

    n: int
    agreement: float
    interval_95: tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Metrics(Record):
    """Figures of a run's networks: no teacher with labels alone, no student if only the teacher was trained."""

    teacher: NetworkFigures | None
    student: NetworkFigures | None
    remembered: Remembered | None = None


def judged(
    logits: NDArray[np.float32],
    truth: NDArray[np.int64],
    network: nn.Module,
    legend: Legend,
    *,
    origin: str,
    temperature: float | None = None,
) -> NetworkFigures:
    """Compare a network's answers with the truth.

    Parameters
    ----------
    logits : float32 array (N, K)
    truth : int64 array (N,)
    network : nn.Module
    legend : Legend
    origin : str
        Of its initial weights.
    temperature : float, optional
        Default: the one that calibrates these logits.

    Returns
    -------
    NetworkFigures
    """
    confusion = confusion_matrix(truth, logits.argmax(1), len(legend))
    temperature = fit_temperature(logits, truth) if temperature is None else temperature
    calibrated = torch.softmax(torch.from_numpy(logits) / temperature, dim=1).numpy()
    overall = accuracy(confusion)
    return NetworkFigures(
        n=overall.n,
        accuracy=overall.accuracy,
        interval_95=overall.interval_95,
        ece=expected_calibration_error(calibrated, truth),
        temperature=temperature,
        initial_weights=origin,
        parameters=sum(p.numel() for p in network.parameters()),
        per_class=per_class(confusion, legend.names),
    )


def in_words(figures: NetworkFigures, what: str) -> str:
    """Return accuracy, n and interval in words; the bracket of the interval is left open for the caller's additions."""
    low, high = figures.interval_95
    return f"{100 * figures.accuracy:.2f} % of {figures.n:,} {what} (95 % interval {100 * low:.2f}-{100 * high:.2f} %"
