"""The map as cloud-optimised GeoTIFFs: one of classes, one of confidence, one of the probability of each class."""

import zlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import rasterio
import rasterio.shutil
from numpy.typing import NDArray
from rasterio.errors import RasterioError
from rasterio.io import DatasetWriter
from rasterio.windows import Window

from geokd.errors import OutputError
from geokd.legend import NODATA, Legend
from geokd.outputs.class_map import ClassMap
from geokd.outputs.staging import plainly_named
from geokd.scenes.grid import SceneGrid
from geokd.scenes.storage import GDAL_CACHE_BYTES

Strip = tuple[slice, NDArray[np.uint8]]
"""Some rows of a raster, and the values (band, row, col) there."""


class _Shape(NamedTuple):
    """Bands and pixels of a raster."""

    bands: int
    grid: SceneGrid


def write_class_raster(
    class_map: ClassMap, path: Path, tags: Mapping[str, str], description: str = "land use class"
) -> None:
    """Write the classes: uint8, nodata 255, the legend's colours as palette, overviews by the most frequent class.

    `tags` are written as TIFF metadata, for example the software and the model's name and hash; `description` says what
    the band holds.

    Raises
    ------
    OutputError
        If it cannot be written.
    """

    def describe(raster: DatasetWriter) -> None:
        raster.write_colormap(1, {c.value: c.rgb for c in class_map.legend} | {NODATA: (0, 0, 0, 0)})
        raster.set_band_description(1, description)
        raster.update_tags(**tags)

    strips = ((rows, class_map.codes[np.newaxis, rows]) for rows in class_map.strips())
    _write_cloud_optimised(strips, _Shape(1, class_map.grid), path, describe, percent=False)


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

    strips = ((rows, class_map.confidence[np.newaxis, rows]) for rows in class_map.strips())
    _write_cloud_optimised(strips, _Shape(1, class_map.grid), path, describe, percent=True)


def write_probability_raster(
    strips: Iterable[Strip], grid: SceneGrid, legend: Legend, path: Path, tags: Mapping[str, str]
) -> None:
    """Write the probability of each class: uint8 percent, a band a class named by its title, nodata 255.

    Parameters
    ----------
    strips : iterable of (slice, uint8 array (K, rows, cols))
        All rows of the map from above, and the probabilities there.
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

    _write_cloud_optimised(strips, _Shape(len(legend), grid), path, describe, percent=True)


def read_class_map(class_raster: Path, confidence_raster: Path, legend: Legend) -> ClassMap:
    """Read back what :func:`write_class_raster` and :func:`write_confidence_raster` wrote.

    Raises
    ------
    OutputError
        If the files are not, or no longer, such a map.
    """
    try:
        with rasterio.open(class_raster) as codes, rasterio.open(confidence_raster) as confidence:
            grid = SceneGrid(codes.transform, codes.height, codes.width, codes.crs)
            return ClassMap(codes.read(1), confidence.read(1), grid, legend)
    except (RasterioError, ValueError) as error:
        raise OutputError(f"{class_raster} and {confidence_raster} are no map any more: {error}") from error


def _write_cloud_optimised(
    strips: Iterable[Strip],
    shape: _Shape,
    path: Path,
    describe: Callable[[DatasetWriter], None],
    *,
    percent: bool,
) -> None:
    """Write a plain GeoTIFF beside `path`, copy it to a cloud-optimised one and see that it holds what it should.

    Overviews hold the mean of percentages, but of classes the most frequent. Percentages take a quarter less room as
    differences of neighbours; classes do not.

    GDAL does not report a full disk reliably, so what is written is read again.
    """
    profile = {"driver": "GTiff", "dtype": "uint8", "nodata": NODATA, "interleave": "band", "bigtiff": "if_safer"}
    bands, grid = shape
    place = {"height": grid.height, "width": grid.width, "transform": grid.transform, "crs": grid.crs}
    checksums = []
    try:
        with plainly_named(path) as whole, rasterio.Env(GDAL_CACHEMAX=GDAL_CACHE_BYTES):
            plain = whole.with_name("plain.tif")
            with rasterio.open(plain, "w", **profile, **place, count=bands) as raster:
                describe(raster)
                for rows, values in strips:
                    raster.write(values, window=_window(rows, grid))
                    checksums.append((rows, zlib.crc32(values.tobytes())))
            rasterio.shutil.copy(
                plain,
                whole,
                driver="COG",
                COMPRESS="DEFLATE",
                BLOCKSIZE=512,
                BIGTIFF="IF_SAFER",
                PREDICTOR="YES" if percent else "NO",
                OVERVIEW_RESAMPLING="AVERAGE" if percent else "MODE",
            )
            with rasterio.open(whole) as raster:
                alike = all(
                    zlib.crc32(raster.read(window=_window(rows, grid))) == checksum for rows, checksum in checksums
                )
    except RasterioError as error:
        raise OutputError(f"cannot write {path.name}: {error}; make room or choose another folder") from error
    if not alike:
        raise OutputError(f"cannot write {path.name} to its end; make room or choose another folder")


def _window(rows: slice, grid: SceneGrid) -> Window:
    return Window(0, rows.start, grid.width, rows.stop - rows.start)
