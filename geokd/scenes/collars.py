"""Collars: fill of one value between the image and the border of its file without a declared nodata value. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import rasterio.features
import shapely
from numpy.typing import NDArray
from shapely.geometry import shape

_LEAST_SHARE = 0.005  # of all pixels
_USUAL_FILL = (0.0, -999.0, -9999.0, -10_000.0)  # beyond the ends of an integer type


@dataclass(frozen=True)
class Collar:
    """Pixels of one value in all bands that reach the border.

    Parameters
    ----------
    value : float
    share : float or None
        Share of all pixels; None if only parts of the scene were read.
    at_border : bool
        Whether all of them are connected to the border.
    """

    value: float
    share: float | None
    at_border: bool = True

    def __str__(self) -> str:
        place = ", at the border," if self.at_border else ""
        size = "parts of the border" if self.share is None else f"{100 * self.share:.0f} % of the pixels{place}"
        return (
            f"{size} are {self.value:g} in all bands but no nodata value is declared; if they are fill, give --nodata"
            f" {self.value:g}"
        )


def collars_of(values: NDArray[np.generic], valid: NDArray[np.bool_]) -> Iterator[Collar]:
    """Find collars in a whole scene, subsampled; pixels of a negative fill value also where they touch no border.

    Parameters
    ----------
    values : array (C, h, w)
    valid : bool array (h, w)
    """
    for value in _fill_values(values.dtype):
        marked = (values == value).all(axis=0) & valid
        whole = float(marked.mean())
        if not _LEAST_SHARE <= whole < 1:
            continue
        share = _area_at_border(marked) / marked.size
        if value < 0 and share < whole:  # no reflectance, wherever it lies
            yield Collar(value, whole, at_border=False)
        elif share >= _LEAST_SHARE:
            yield Collar(value, share)


def collar_of_windows(windows: list[tuple[NDArray[np.generic], NDArray[np.bool_]]]) -> Iterator[Collar]:
    """Find collars in windows that lie along the border of a scene: those that are filled with one value.

    Parameters
    ----------
    windows : list of (array (C, h, w), bool array (h, w))
        DN and validity.
    """
    for value in _fill_values(windows[0][0].dtype) if windows else ():
        filled = [bool((values == value).all() and valid.all()) for values, valid in windows]
        if any(filled) and not all(filled):
            yield Collar(value, None)


def _fill_values(dtype: np.dtype[Any]) -> tuple[float, ...]:
    """Return common fill values: 0, the ends of a type (of floats the lowest), and -9999 and its like."""
    if dtype.kind not in "iu":
        return (*_USUAL_FILL, float(np.finfo(dtype).min))
    ends = np.iinfo(dtype)
    usual = tuple(value for value in _USUAL_FILL if ends.min <= value)
    return tuple(dict.fromkeys((*usual, float(ends.max), float(ends.min))))


def _area_at_border(marked: NDArray[np.bool_]) -> float:
    """Pixels of the marked regions, connected by sides or corners, that touch the border."""
    height, width = marked.shape
    found = rasterio.features.shapes(marked.astype(np.uint8), mask=marked, connectivity=8)
    regions = shapely.from_wkb([shape(geometry).wkb for geometry, _ in found])
    left, top, right, bottom = shapely.bounds(regions).T
    touching = (left <= 0) | (top <= 0) | (right >= width) | (bottom >= height)
    return float(shapely.area(regions[touching]).sum())
