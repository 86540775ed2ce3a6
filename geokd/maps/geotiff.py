"""The map as cloud-optimised GeoTIFFs: one of classes, one of confidence, one of the probability of each class."""

import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import rasterio
import rasterio.shutil
from numpy.typing import NDArray
from rasterio.io import DatasetWriter
from rasterio.windows import Window

from geokd.errors import OutputError
from geokd.files import plainly_named
from geokd.legend.classes import NODATA, Legend
from geokd.maps.class_map import ClassMap
from geokd.maps.raw_raster import RawRaster, halved_by_mean, halved_by_mode
from geokd.scenes.grid import SceneGrid
from geokd.scenes.opening import GdalErrors, gdal_reason
from geokd.scenes.storage import GDAL_CACHE_BYTES

Part = tuple[tuple[slice, slice], NDArray[np.uint8]]
"""Some rows and columns of a raster, and the values (band, row, col) there."""

_BLOCK_PX = 512
_DEFLATE_LEVEL = 6
_LARGE_CELLS, _LARGE_LEVEL = 4_000_000, 1  # a fifth of the time of level 6, files a tenth to a third larger


class _Shape(NamedTuple):
    """Bands and pixels of a raster."""

    bands: int
    grid: SceneGrid


def write_class_raster(
    class_map: ClassMap, path: Path, tags: Mapping[str, str], description: str = "land use class"
) -> None:
    """Write the classes: uint8, nodata 255, the legend's colours as palette, overviews by the most frequent class.

    `tags` are written as TIFF metadata, for example the software and the model's name and hash; `description` describes
    the band.

    Raises
    ------
    OutputError
        If it cannot be written.
    """

    def describe(raster: DatasetWriter) -> None:
        raster.write_colormap(1, {c.value: c.rgb for c in class_map.legend} | {NODATA: (0, 0, 0, 0)})
        raster.set_band_description(1, description)
        raster.update_tags(**tags)

    parts = _rows_of(class_map.codes, class_map)
    _write_cloud_optimised(parts, _Shape(1, class_map.grid), path, describe, percent=False)


def write_confidence_raster(class_map: ClassMap, path: Path, tags: Mapping[str, str]) -> None:
    """Write the confidence: uint8 percent, nodata 255, overviews by the mean.

    Raises
    ------
    OutputError
        If it cannot be written.
    """

    def describe(raster: DatasetWriter) -> None:
        raster.set_band_description(1, "confidence")
        raster.set_band_unit(1, "percent")
        raster.update_tags(**tags)

    parts = _rows_of(class_map.confidence, class_map)
    _write_cloud_optimised(parts, _Shape(1, class_map.grid), path, describe, percent=True)


def write_probability_raster(
    parts: Iterable[Part], grid: SceneGrid, legend: Legend, path: Path, tags: Mapping[str, str]
) -> None:
    """Write the probability of each class: uint8 percent, a band a class named by its title, nodata 255.

    Parameters
    ----------
    parts : iterable of ((slice, slice), uint8 array (K, rows, cols))
        Rows and columns, which cover the map together, and the probabilities there.
    grid : SceneGrid
    legend : Legend
        Of K classes.
    path : Path
    tags : mapping

    Raises
    ------
    OutputError
        If it cannot be written.
    """

    def describe(raster: DatasetWriter) -> None:
        for c in legend:
            raster.set_band_description(c.value + 1, c.title)
            raster.set_band_unit(c.value + 1, "percent")
        raster.update_tags(**tags)

    _write_cloud_optimised(parts, _Shape(len(legend), grid), path, describe, percent=True)


def read_class_map(class_raster: Path, confidence_raster: Path, legend: Legend) -> ClassMap:
    """Read back what :func:`write_class_raster` and :func:`write_confidence_raster` wrote.

    Raises
    ------
    OutputError
        If the files are not such a map.
    """
    try:
        with rasterio.open(class_raster) as codes, rasterio.open(confidence_raster) as confidence:
            grid = SceneGrid(codes.transform, codes.height, codes.width, codes.crs)
            return ClassMap(codes.read(1), confidence.read(1), grid, legend)
    except (*GdalErrors, ValueError) as error:
        raise OutputError(f"{class_raster} and {confidence_raster} are not a map any more: {error}") from error


def _rows_of(values: NDArray[np.uint8], class_map: ClassMap) -> Iterator[Part]:
    for rows in class_map.strips():
        yield (rows, slice(0, class_map.grid.width)), values[np.newaxis, rows]


def _write_cloud_optimised(
    parts: Iterable[Part],
    shape: _Shape,
    path: Path,
    describe: Callable[[DatasetWriter], None],
    *,
    percent: bool,
) -> None:
    """Write plain bytes beside `path`, copy them to a cloud-optimised GeoTIFF and verify it.

    Overviews have the mean of percentages, and the most frequent class of 2 x 2. They are computed here because GDAL
    takes ten times as long. Percentages take a quarter less space with a predictor; classes do not.

    GDAL does not report a full disk reliably, so what is written is read again.
    """
    bands, grid = shape
    large = grid.height * grid.width > _LARGE_CELLS
    checksums = []
    try:
        with plainly_named(path) as whole, rasterio.Env(GDAL_CACHEMAX=GDAL_CACHE_BYTES):
            raw = RawRaster(whole.with_name("plain"), bands, grid.height, grid.width)
            with raw.opened() as write:
                for place, values in parts:
                    write(place, values)
                    checksums.append((place, zlib.crc32(np.ascontiguousarray(values).data)))
            raw.write_overviews(halved_by_mean if percent else halved_by_mode, _BLOCK_PX)
            with rasterio.open(raw.describe(grid.transform), "r+") as raster:
                if grid.crs is not None:
                    raster.crs = grid.crs
                describe(raster)
            rasterio.shutil.copy(
                raw.description,
                whole,
                driver="COG",
                COMPRESS="DEFLATE",
                LEVEL=_LARGE_LEVEL if large else _DEFLATE_LEVEL,
                BLOCKSIZE=_BLOCK_PX,
                BIGTIFF="IF_SAFER",
                PREDICTOR="YES" if percent else "NO",
            )
            with rasterio.open(whole) as raster:
                alike = all(zlib.crc32(raster.read(window=_window(place))) == checksum for place, checksum in checksums)
    except GdalErrors as error:
        reason = gdal_reason(error)
        raise OutputError(f"cannot write {path.name}: {reason}; make room or choose another folder") from error
    if not alike:
        raise OutputError(f"cannot write {path.name} to its end; make room or choose another folder")


def _window(place: tuple[slice, slice]) -> Window:
    rows, cols = place
    return Window(cols.start, rows.start, cols.stop - cols.start, rows.stop - rows.start)
