"""From a scene's digital numbers (DN) to the bytes a student sees. Pure arithmetic."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geokd.model.contract import ValueScaling

_LOOKUP_BITS = 16
_LOOKUP_PART = 65_536

PerBand = float | tuple[float, ...]
"""One number for all bands, or one for each."""


def to_uint8(
    values: NDArray[Any], value_scale: PerBand, value_offset: PerBand, scaling: ValueScaling | None
) -> NDArray[np.uint8]:
    """Stretch DN to bytes as `gdal_translate -scale` does: linear, rounded half up, clipped to 0..255.

    Parameters
    ----------
    values : array (band, ...), integer or float; of any shape if all bands are stretched alike
    value_scale, value_offset : float or tuple of float
        Reflectance x 10,000 = DN * value_scale + value_offset, of all bands or of each.
    scaling : ValueScaling or None
        None passes uint8 values through.

    Returns
    -------
    uint8 array of the same shape; 0 where a value is not finite

    Raises
    ------
    ValueError
        If `scaling` is None and the values are not uint8, or there are not as many maxima, scales or offsets as bands.
    """
    if scaling is None:
        if values.dtype != np.uint8:
            raise ValueError(f"values of type {values.dtype} need a scaling")
        return np.asarray(values, np.uint8)
    if any(isinstance(part, tuple) for part in (value_scale, value_offset, scaling.maximum)):
        bands = len(values)
        each = list(zip(_each(value_scale, bands), _each(value_offset, bands), scaling.of_bands(bands), strict=True))
        if any(own != each[0] for own in each):
            return np.stack([to_uint8(band, *own) for band, own in zip(values, each, strict=True)])
        value_scale, value_offset, scaling = each[0]
    assert not isinstance(value_scale, tuple), "one number for all bands"
    assert not isinstance(value_offset, tuple), "one number for all bands"
    if values.dtype.kind in "iu" and values.dtype.itemsize * 8 <= _LOOKUP_BITS:
        table = _table(values.dtype.str, value_scale, value_offset, scaling)
        return _look_up(table, np.ascontiguousarray(values).view(f"u{values.dtype.itemsize}"))
    return _stretch(values, value_scale, value_offset, scaling)


def to_reflectance(values: NDArray[Any], value_scale: PerBand, value_offset: PerBand) -> NDArray[np.float32]:
    """Return reflectance x 10,000 = DN * value_scale + value_offset, of all bands or of each (first axis)."""
    scale, offset = (
        np.reshape(np.array(part, np.float32), (-1,) + (1,) * (values.ndim - 1)) for part in (value_scale, value_offset)
    )
    return np.asarray(values.astype(np.float32) * scale + offset, np.float32)


def _each(part: PerBand, bands: int) -> Sequence[float]:
    return part if isinstance(part, tuple) else (part,) * bands


def _look_up(table: NDArray[np.uint8], places: NDArray[Any]) -> NDArray[np.uint8]:
    """Return table[places], part by part: numpy widens places to 8 bytes, which should fit in a cache."""
    pixels = np.empty(places.shape, np.uint8)
    source, target = places.reshape(-1), pixels.reshape(-1)
    for start in range(0, source.size, _LOOKUP_PART):
        part = slice(start, start + _LOOKUP_PART)
        np.take(table, source[part], mode="wrap", out=target[part])  # none is out of range: no check needed
    return pixels


@lru_cache(maxsize=16)
def _table(dtype: str, value_scale: float, value_offset: float, scaling: ValueScaling) -> NDArray[np.uint8]:
    """Stretch all values of a short integer type, in the order of their bits."""
    kind = np.dtype(dtype)
    every = np.arange(2 ** (8 * kind.itemsize), dtype=f"u{kind.itemsize}").view(kind)
    return _stretch(every, value_scale, value_offset, scaling)


def _stretch(values: NDArray[Any], value_scale: float, value_offset: float, scaling: ValueScaling) -> NDArray[np.uint8]:
    """Compute the stretch value by value as GDAL does: in double precision, rounded to a float32 before the integer."""
    slope = scaling.slope
    with np.errstate(invalid="ignore", over="ignore"):
        reflectance = values.astype(np.float64) * value_scale + value_offset
        linear = reflectance * slope + (scaling.output_minimum - scaling.minimum * slope)
        rounded = np.floor(linear.astype(np.float32) + np.float32(0.5))
        clipped = np.where(np.isfinite(reflectance), np.clip(rounded, 0, 255), 0)
    return np.asarray(clipped, np.uint8)
