"""Whether a scene resembles the training data: its patches are compared with chips. Pure numpy.

The chips are those for validation, which come from the same places as the training chips. A patch is unfamiliar if the
squared Mahalanobis distance of its features from those of the chips, augmented as in training, exceeds their 99th
percentile, as in Lee et al. 2018 (arXiv 1807.03888) but on the input; or if it is darker or brighter by a quarter than
99 % of the chips without augmentation: training may have shown far darker ones, but a scene that dark is more likely to
be scaled wrongly.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geokd.model.familiarity import Familiarity

UNUSUAL_SHARE = 0.05
"""Share of unfamiliar patches above which a scene is unusual; 1 to 2 % are expected."""

UNSURE_SHARE = 0.5
"""Share of patches of lower confidence than 95 % of the chips above which a scene is unusual."""

_BRIGHTNESS_SLACK = 1.25
_FEWEST = 4  # patches needed for the check
_FEWEST_UNUSUAL = 2  # unfamiliar ones needed for a warning: one in a hundred of any scene is unfamiliar
_DARK = 5.0  # byte steps added before logarithms, so that noise in dark pixels does not look like colour
_TEXTURE = 0.5

Features = NDArray[np.float64]


@dataclass(frozen=True)
class Drift:
    """How far a scene is from the training data.

    Parameters
    ----------
    patches : int
        Number of patches compared; they do not overlap.
    unfamiliar_share, unsure_share : float or None
        Fractions; None if there were too few patches.
    warnings : tuple of str
        What is unusual and the remedy, one sentence each.
    """

    patches: int
    unfamiliar_share: float | None
    unsure_share: float | None
    warnings: tuple[str, ...]


def chip_features(pixels: NDArray[np.uint8]) -> Features:
    """Features of chips or patches: the mean of each band, then the log texture of each band.

    Texture is the mean absolute difference of neighbours in a row.

    Parameters
    ----------
    pixels : uint8 array (N, C, h, w)

    Returns
    -------
    float64 array (N, 2 C)
    """
    means = pixels.mean(axis=(2, 3), dtype=np.float64)
    right, left = pixels[..., 1:].astype(np.int16), pixels[..., :-1].astype(np.int16)
    texture = np.abs(right - left).mean(axis=(2, 3), dtype=np.float64)
    return np.concatenate([means, np.log(texture + _TEXTURE)], axis=1)


def learn_familiarity(features: Features, confidence: NDArray[np.floating], unvaried: Features) -> Familiarity:
    """Summarise chips.

    Parameters
    ----------
    features : float64 array (N, 2 C)
        Features of the chips, augmented as in training.
    confidence : float array (L,)
        Calibrated confidence of the student for some of these, as fractions.
    unvaried : float64 array (M, 2 C)
        Features of the chips without augmentation.
    """
    mean = features.mean(axis=0)
    covariance = np.atleast_2d(np.cov(features.T, ddof=0)) + 1e-3 * np.eye(features.shape[1])
    distances = _distances(features, mean, covariance)
    low, high = np.quantile(_brightness(unvaried), [0.005, 0.995])
    marks = _marks(features)
    return Familiarity(
        chips=len(features),
        mean=tuple(float(v) for v in mean),
        covariance=tuple(tuple(float(v) for v in row) for row in covariance),
        distance_limit=float(np.quantile(distances, 0.99)),
        brightness_limits=(float(low) / _BRIGHTNESS_SLACK, float(high) * _BRIGHTNESS_SLACK),
        marks=tuple((float(m), float(s)) for m, s in zip(marks.mean(axis=0), marks.std(axis=0) + 1e-2, strict=True)),
        confidence_limit=float(np.quantile(confidence, 0.05)),
    )


def find_drift(
    known: Familiarity, features: Features, confidence: NDArray[np.floating], bands: tuple[str, ...]
) -> Drift:
    """Compare patches with the chips.

    Parameters
    ----------
    known : Familiarity
    features : float64 array (N, 2 C)
    confidence : float array (N,)
        Calibrated, fractions.
    bands : tuple of str
        Names of the C bands, for the warnings.
    """
    if len(features) < _FEWEST:
        return Drift(len(features), None, None, ())
    brightness = _brightness(features)
    low, high = known.brightness_limits
    unfamiliar = (brightness < low) | (brightness > high)
    unfamiliar |= _distances(features, np.array(known.mean), np.array(known.covariance)) > known.distance_limit
    share, unsure = float(unfamiliar.mean()), float((confidence < known.confidence_limit).mean())
    warnings = []
    if share >= UNUSUAL_SHARE and unfamiliar.sum() >= _FEWEST_UNUSUAL:
        warnings.append(
            f"{100 * share:.0f} % of the patches do not resemble the training data (1 to 2 % are expected):"
            f" {_strangest(known, features[unfamiliar], bands)}; the map is not reliable there"
        )
    if unsure >= UNSURE_SHARE:
        warnings.append(
            f"in {100 * unsure:.0f} % of the patches the confidence is lower than in 95 % of the training chips"
            f" (below {100 * known.confidence_limit:.0f} %): look at the confidence raster, and leave out"
            " cells of low confidence with --min-confidence"
        )
    return Drift(len(features), share, unsure, tuple(warnings))


def _strangest(known: Familiarity, features: Features, bands: tuple[str, ...]) -> str:
    """Describe what is most unusual in most of the unfamiliar patches, and what to check."""
    means, deviations = np.array(known.marks).T
    marks = _marks(features)
    steps = (marks - means) / deviations
    strangest = np.abs(steps).argmax(axis=1)
    high = np.take_along_axis(steps, strangest[:, np.newaxis], axis=1)[:, 0] > 0
    kinds, counts = np.unique(2 * strangest + high, return_counts=True)
    kind = int(kinds[counts.argmax()])
    which, more = divmod(kind, 2)
    middle = float(np.median(marks[2 * strangest + high == kind, which]))
    times = float(np.exp(abs(middle - means[which])))
    if which == 0:
        word = "brighter" if more else "darker"
        return (
            f"they are {times:.1f} times {word}, so check --value-scale and --value-offset, or how 8-bit values were"
            " stretched"
        )
    if which <= len(bands):
        word = "stronger" if more else "weaker"
        return (
            f"relative to the others, the band used as {bands[which - 1]} is {times:.1f} times {word}, check the order"
            " of the bands (--bidx) and the values of each"
        )
    word = "rougher" if more else "smoother"
    return f"they are {times:.1f} times {word}, so check the pixel size and whether it was stretched or resampled"


def _brightness(features: Features) -> Features:
    return np.asarray(features[:, : features.shape[1] // 2].mean(axis=1), np.float64)


def _marks(features: Features) -> Features:
    """Log brightness, log strength of each band relative to all, mean log texture: (N, C + 2)."""
    bands = features.shape[1] // 2
    brightness = np.log(_brightness(features) + _DARK)[:, np.newaxis]
    strength = np.log(features[:, :bands] + _DARK) - brightness
    return np.concatenate([brightness, strength, features[:, bands:].mean(axis=1, keepdims=True)], axis=1)


def _distances(features: Features, mean: Features, covariance: Features) -> Features:
    """Squared Mahalanobis distances (N,)."""
    apart = features - mean
    return np.asarray((apart @ np.linalg.inv(covariance) * apart).sum(axis=1), np.float64)
