"""Chips that are GeoTIFFs, read in the same way as scenes."""

import contextlib
import math
import warnings
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from rasterio import Env
from rasterio.errors import NotGeoreferencedWarning
from rasterio.io import DatasetReader, MemoryFile
from rasterio.windows import Window

from geokd.chips.files import check_size
from geokd.errors import ChipError, SceneError
from geokd.model.contract import InputContract
from geokd.scenes.bands import choose_bands
from geokd.scenes.grid import METRES_PER_DEGREE_LATITUDE, SceneGrid
from geokd.scenes.opening import GdalErrors
from geokd.scenes.options import SceneOptions
from geokd.scenes.scaling import to_uint8
from geokd.scenes.scene_info import SceneInfo, read_info
from geokd.scenes.storage import GDAL_CACHE_BYTES, item_bytes, largest_block
from geokd.scenes.validity import Nodata, alpha_band, valid_pixels
from geokd.scenes.values import choose_values


@contextlib.contextmanager
def open_chip(content: bytes, name: str) -> Iterator[tuple[DatasetReader, SceneInfo]]:
    """Open the bytes of a (Geo)TIFF chip.

    Raises
    ------
    ChipError
        If they are not a raster.
    """
    try:
        with warnings.catch_warnings(), MemoryFile(content) as memory:
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            bounds = Env(GDAL_CACHEMAX=GDAL_CACHE_BYTES, GDAL_ENABLE_TIFF_SPLIT="NO")
            with bounds, memory.open(driver="GTiff") as dataset:  # no other format: some refer to other files
                block, pixels = largest_block(dataset), dataset.width * dataset.height
                check_size(name, pixels, pixels * sum(map(item_bytes, dataset.dtypes)))
                check_size(name, block.height * block.width, block.size_bytes)
                yield dataset, read_info(dataset, name)
    except (*GdalErrors, SceneError) as error:
        raise ChipError(f"chip {name} cannot be read: {error}") from error


def read_chip(
    content: bytes, name: str, contract: InputContract
) -> tuple[NDArray[np.uint8], tuple[float, ...], tuple[str, ...]]:
    """Read the bytes of a (Geo)TIFF chip in the same way as a scene for this contract.

    Returns
    -------
    pixels : uint8 array (C, h, w)
    bounds : left, bottom, right, top in the units of the chip's CRS; NaN without one
    notes : choices made in reading, one sentence each

    Raises
    ------
    ChipError
        If it cannot be read or lacks the bands.
    """
    with open_chip(content, name) as (dataset, info):
        try:
            choice = choose_bands(info.descriptions, info.colours, contract.bands, None, info.sensor, info.centres_nm)
            values = choose_values(info, contract, SceneOptions(), choice.bidx)
        except SceneError as error:
            raise ChipError(f"chip {name}: {error} (options apply to scenes only; correct the chip files)") from error
        if len({dataset.dtypes[b - 1] for b in choice.bidx}) > 1:
            raise ChipError(f"chip {name}: its bands are of different types; save them with the same type")
        numbers = dataset.read(list(choice.bidx))
        whole = Window(0, 0, dataset.width, dataset.height)
        if not valid_pixels(dataset, numbers, whole, choice.bidx, Nodata(info.nodata)).all():
            band = alpha_band(dataset)
            why = f" (band {band} is marked as alpha; if it is not, set its colour interpretation)" if band else ""
            raise ChipError(f"chip {name} holds nodata or masked pixels{why}; leave it out")
        pixels = to_uint8(numbers, values.scales, values.offsets, values.scaling)
        return pixels, _bounds_m(info.grid), (choice.note, values.note)


def _bounds_m(grid: SceneGrid) -> tuple[float, ...]:
    """Bounds for finding neighbouring chips: degrees are treated as a square grid; NaN without a CRS."""
    if grid.crs is None:
        return (math.nan,) * 4
    metres = METRES_PER_DEGREE_LATITUDE if grid.crs.is_geographic else 1.0
    return tuple(metres * side for side in grid.bounds)
