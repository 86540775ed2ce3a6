"""Which pixels of a scene are valid."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.io import DatasetReader
from rasterio.windows import Window

from geokd.errors import SceneError


@dataclass(frozen=True)
class Nodata:
    """Which values mark missing pixels.

    Parameters
    ----------
    of_bands : tuple of float or None
        The value of each band of the raster; None: there is none.
    zero_is_data : bool
        Whether 0 may be a valid value of a single band: not if 0 would be a reflectance below zero.
    """

    of_bands: tuple[float | None, ...]
    zero_is_data: bool = True

    def of(self, bidx: tuple[int, ...]) -> tuple[float | None, ...]:
        """Return the values of some bands, 1-based."""
        return tuple(self.of_bands[band - 1] for band in bidx)

    def missing(self, values: NDArray[np.generic], bidx: tuple[int, ...]) -> NDArray[np.bool_]:
        """Find the pixels (h, w) that are missing among the values (C, h, w) of some bands.

        A pixel is missing if any band has its nodata value. If that value may be valid in a single band (0, and 255 in
        bytes), the pixel is missing only if all such bands have it.
        """
        spoilt = np.zeros(values.shape[1:], np.bool_)
        doubtful = []
        for band, nodata in zip(values, self.of(bidx), strict=True):
            if nodata is None or np.isnan(nodata):
                continue
            hit = band == nodata
            if (nodata == 0 and self.zero_is_data) or (nodata == 255 and values.dtype == np.uint8):
                doubtful.append(hit)
            else:
                spoilt |= hit
        if doubtful:
            spoilt |= np.logical_and.reduce(doubtful)
        return spoilt


def valid_pixels(
    dataset: DatasetReader,
    values: NDArray[np.generic],
    window: Window,
    bidx: tuple[int, ...],
    nodata: Nodata,
) -> NDArray[np.bool_]:
    """Find the valid pixels of a window.

    A pixel is invalid if an alpha band or a mask marks it, if any selected band is NaN or infinite, or if it is missing
    by nodata values (see :meth:`Nodata.missing`).

    Parameters
    ----------
    dataset : DatasetReader
    values : array (C, h, w)
        DN of the selected bands in `window`, subsampled or not.
    window : Window
        Within the dataset.
    bidx : tuple of int
        Selected bands, 1-based.
    nodata : Nodata
        Values that mark missing pixels: the user's, else the dataset's.

    Returns
    -------
    bool array (h, w)
    """
    shape = values.shape[1:]
    valid = np.ones(shape, bool)
    if values.dtype.kind == "f":
        valid &= np.isfinite(values).all(axis=0)
    valid &= ~nodata.missing(values, bidx)
    flags = {flag for band in bidx for flag in dataset.mask_flag_enums[band - 1]}
    alpha = alpha_band(dataset)
    if alpha:  # read directly: GDAL's mask ignores it if there is nodata, too, or if it is not the last band
        valid &= dataset.read(alpha, window=window, out_shape=shape) > 0
    if MaskFlags.per_dataset in flags and MaskFlags.alpha not in flags:  # internal and side-car masks
        valid &= dataset.read_masks(bidx[0], window=window, out_shape=shape) > 0
    elif not flags:  # a separate mask for each band
        valid &= (dataset.read_masks(list(bidx), window=window, out_shape=(len(bidx), *shape)) > 0).all(axis=0)
    return valid


def has_mask(dataset: DatasetReader) -> bool:
    """Whether the dataset has an alpha band or a mask, besides a nodata value."""
    flags = {flag for band in dataset.mask_flag_enums for flag in band}
    per_band = flags.isdisjoint({MaskFlags.all_valid, MaskFlags.nodata})
    return bool(alpha_band(dataset)) or MaskFlags.per_dataset in flags or per_band


def alpha_band(dataset: DatasetReader) -> int:
    """1-based number of the alpha band; 0 if there is none."""
    colours = dataset.colorinterp
    return colours.index(ColorInterp.alpha) + 1 if ColorInterp.alpha in colours else 0


def refuse_several_bands(dataset: DatasetReader, what: str) -> None:
    """Refuse a mask or labels of several bands, besides alpha, because the right one is unknown.

    Parameters
    ----------
    dataset : DatasetReader
    what : str
        Its name, as the beginning of a sentence.

    Raises
    ------
    SceneError
    """
    count = dataset.count - bool(alpha_band(dataset))
    if count > 1:
        names = ", ".join(name for name in dataset.descriptions if name)
        raise SceneError(
            f"{what} has {count} bands{f' ({names})' if names else ''}, and which one is meant is unknown: write that"
            " to a file of its own with gdal_translate -b NUMBER"
        )
