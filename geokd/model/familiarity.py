"""Statistics of a student's training data and confidence, stored in the bundle, to compare scenes with."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np


@dataclass(frozen=True)
class Familiarity:
    """Statistics of a student's validation chips, augmented as in training.

    The features of a chip are those of :func:`geokd.model.drift.chip_features`; C is the number of bands.

    Parameters
    ----------
    chips : int
        Number of augmented chips.
    mean : tuple (2 C,)
    covariance : tuple of tuples (2 C, 2 C)
        Of the features.
    distance_limit : float
        The squared Mahalanobis distance that 1 % of the chips exceed.
    brightness_limits : tuple (2,)
        Limits beyond which a patch is too dark or too bright: a quarter beyond the range of 99 % of the original chips.
    marks : tuple (C + 2) of (mean, standard deviation)
        Of the log brightness, of the log strength of each band relative to the others, and of the log texture.
    confidence_limit : float
        The calibrated confidence that 95 % of the chips exceed, a fraction.

    Raises
    ------
    ValueError
        If the sizes do not fit, a number is not finite, or these cannot be statistics of chips.
    """

    chips: int
    mean: tuple[float, ...]
    covariance: tuple[tuple[float, ...], ...]
    distance_limit: float
    brightness_limits: tuple[float, float]
    marks: tuple[tuple[float, float], ...]
    confidence_limit: float

    def __post_init__(self) -> None:
        size = len(self.mean)
        rows = [len(row) for row in self.covariance]
        if size == 0 or size % 2 or rows != [size] * size or len(self.marks) != size // 2 + 2:
            raise ValueError(f"{size} means, {rows} covariances and {len(self.marks)} marks do not fit together")
        numbers = [*self.mean, *(v for row in self.covariance for v in row), *(v for mark in self.marks for v in mark)]
        numbers += [self.distance_limit, *self.brightness_limits, self.confidence_limit]
        if not all(math.isfinite(v) for v in numbers):
            raise ValueError("a statistic of the training chips is not finite")
        low, high = self.brightness_limits
        spread = all(deviation > 0 for _, deviation in self.marks) and self.distance_limit >= 0 and low <= high
        if not (spread and self.chips > 0 and 0 <= self.confidence_limit <= 1 and _is_covariance(self.covariance)):
            raise ValueError("the statistics of the training chips are impossible for chips")

    @property
    def bands(self) -> int:
        """Number of bands."""
        return len(self.mean) // 2

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object; :meth:`from_json` reads it back."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """Read what :meth:`to_json` returns.

        Raises
        ------
        ValueError, TypeError, KeyError
            If the document is not such a one.
        """
        unknown = set(document) ^ set(cls.__dataclass_fields__)
        if unknown:
            raise ValueError(f"statistics have missing or unknown keys: {', '.join(sorted(unknown))}")
        low, high = document["brightness_limits"]
        return cls(
            int(document["chips"]),
            tuple(float(v) for v in document["mean"]),
            tuple(tuple(float(v) for v in row) for row in document["covariance"]),
            float(document["distance_limit"]),
            (float(low), float(high)),
            tuple((float(mean), float(deviation)) for mean, deviation in document["marks"]),
            float(document["confidence_limit"]),
        )


def _is_covariance(matrix: tuple[tuple[float, ...], ...]) -> bool:
    values = np.array(matrix)
    try:
        np.linalg.cholesky(values)
    except np.linalg.LinAlgError:
        return False
    return bool(np.allclose(values, values.T))
