"""Reference data where no reference map exists: spectral indices and polygons. Pure numpy."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from geokd.statistics.intervals import wilson

_RESAMPLES = 1000


def normalised_difference(one: NDArray[Any], other: NDArray[Any]) -> NDArray[np.float32]:
    """(one - other) / (one + other), of values below 0 as if they were 0, and 0 where both are 0.

    Reflectance below 0, as over dark water after atmospheric correction, would invert the index.

    NDWI with green and near infrared (McFeeters 1996, Int. J. Remote Sensing 17, 1425-1432), NDVI with near infrared
    and red (Rouse et al. 1974).
    """
    one, other = one.astype(np.float32).clip(0), other.astype(np.float32).clip(0)
    total = one + other
    index: NDArray[np.float32] = np.zeros_like(total)
    np.divide(one - other, total, out=index, where=total > 0)
    return index


def share_around_cells(
    mask: NDArray[np.bool_], known: NDArray[np.bool_], cell_px: int, side_px: int
) -> NDArray[np.float64]:
    """Share of True pixels among the known ones in the square of `side_px` about the centre of each cell.

    Parameters
    ----------
    mask, known : bool arrays (height, width)
    cell_px, side_px : int

    Returns
    -------
    float64 array (ceil(height / cell_px), ceil(width / cell_px))
        NaN where less than half of the square, as far as it lies in the scene, is known.
    """
    height, width = mask.shape
    if cell_px == side_px == 1:
        return np.where(known, mask, np.nan)

    def edges(size: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        centre = np.arange(0, size, cell_px) + cell_px // 2
        return (centre - side_px // 2).clip(0, size), (centre - side_px // 2 + side_px).clip(0, size)

    (top, bottom), (left, right) = edges(height), edges(width)

    def count(pixels: NDArray[np.bool_]) -> NDArray[np.int64]:
        sums = np.zeros((height + 1, width + 1), np.int64)
        sums[1:, 1:] = pixels.cumsum(0, dtype=np.int64).cumsum(1)
        inside = sums[np.ix_(bottom, right)] - sums[np.ix_(top, right)] - sums[np.ix_(bottom, left)]
        return np.asarray(inside + sums[np.ix_(top, left)], np.int64)

    sizes, seen = np.outer(bottom - top, right - left), count(known)
    shares: NDArray[np.float64] = np.full(sizes.shape, np.nan)
    np.divide(count(mask & known), seen, out=shares, where=(sizes > 0) & (2 * seen >= sizes))
    return shares


def interval_over_groups(hits: NDArray[np.int64], counts: NDArray[np.int64]) -> tuple[float, float] | None:
    """95 % interval of sum(hits) / sum(counts) by the percentile bootstrap over groups; None of a single group.

    Cells of one polygon resemble each other, so polygons are resampled, not cells (Efron and Tibshirani 1993, chapter
    13).

    Parameters
    ----------
    hits, counts : int64 arrays (groups,), counts positive
    """
    if len(counts) < 2:
        return None
    drawn = np.random.default_rng(0).integers(0, len(counts), (_RESAMPLES, len(counts)))
    shares = hits[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    low, high = np.percentile(shares, [2.5, 97.5])
    return float(low), float(high)


def share_over_groups(hits: NDArray[np.int64], counts: NDArray[np.int64]) -> tuple[float, float, float] | None:
    """Return sum(hits) / sum(counts) and its 95 % interval over groups; None where nothing is counted.

    Where groups do not differ, all hit, all missed or a single one, resampling them shows no spread: then the interval
    is Wilson's with each group as one observation.

    Parameters
    ----------
    hits, counts : int64 arrays (groups,)
    """
    hits, counts = hits[counts > 0], counts[counts > 0]
    if not counts.size:
        return None
    share = float(hits.sum() / counts.sum())
    interval = interval_over_groups(hits, counts)
    if interval is None or share in (0.0, 1.0):
        low, high = wilson(round(share * len(counts)), len(counts))
        interval = min(low, share), max(high, share)
    return share, *interval
