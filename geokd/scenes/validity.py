"""Which pixels of a scene hold an observation."""

import numpy as np
from numpy.typing import NDArray
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.io import DatasetReader
from rasterio.windows import Window


def valid_pixels(
    dataset: DatasetReader,
    values: NDArray[np.generic],
    window: Window,
    bidx: tuple[int, ...],
    nodata: float | None,
) -> NDArray[np.bool_]:
    """Tell the valid pixels of a window.

    A pixel is invalid where an alpha band or a mask says so, where any selected band is NaN or infinite, or where all
    selected bands equal nodata: an honest zero in one band stays.

    Parameters
    ----------
    dataset : DatasetReader
    values : array (C, h, w)
        DN of the selected bands in `window`, thinned or not.
    window : Window
        Within the dataset.
    bidx : tuple of int
        Selected bands, 1-based.
    nodata : float or None
        Value that marks missing pixels: the user's, else the dataset's.

    Returns
    -------
    bool array (h, w)
    """
    shape = values.shape[1:]
    valid = np.ones(shape, bool)
    if values.dtype.kind == "f":
        valid &= np.isfinite(values).all(axis=0)
    if nodata is not None and not np.isnan(nodata):
        valid &= (values != nodata).any(axis=0)
    flags = {flag for band in bidx for flag in dataset.mask_flag_enums[band - 1]}
    alpha = alpha_band(dataset)
    if alpha:  # read by hand: GDAL's mask forgets it where there is nodata too, or where it is not the last band
        valid &= dataset.read(alpha, window=window, out_shape=shape) > 0
    if MaskFlags.per_dataset in flags and MaskFlags.alpha not in flags:  # internal and side-car masks
        valid &= dataset.read_masks(bidx[0], window=window, out_shape=shape) > 0
    elif not flags:  # a mask of its own for each band
        valid &= (dataset.read_masks(list(bidx), window=window, out_shape=(len(bidx), *shape)) > 0).all(axis=0)
    return valid


def has_mask(dataset: DatasetReader) -> bool:
    """Whether the dataset carries an alpha band or a mask, beyond a nodata value."""
    flags = {flag for band in dataset.mask_flag_enums for flag in band}
    per_band = flags.isdisjoint({MaskFlags.all_valid, MaskFlags.nodata})
    return bool(alpha_band(dataset)) or MaskFlags.per_dataset in flags or per_band


def alpha_band(dataset: DatasetReader) -> int:
    """1-based number of the alpha band; 0 if there is none."""
    colours = dataset.colorinterp
    return colours.index(ColorInterp.alpha) + 1 if ColorInterp.alpha in colours else 0
