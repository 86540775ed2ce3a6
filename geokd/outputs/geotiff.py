"""The map as cloud-optimised GeoTIFFs: one of classes, one of confidence."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import rasterio
import rasterio.shutil
from rasterio.errors import RasterioError
from rasterio.io import DatasetWriter, MemoryFile

from geokd.errors import OutputError
from geokd.legend import NODATA, Legend
from geokd.outputs.class_map import ClassMap
from geokd.outputs.staging import write_bytes
from geokd.scenes.grid import SceneGrid

_Overviews = Literal["MODE", "AVERAGE"]


def write_class_raster(class_map: ClassMap, path: Path, tags: Mapping[str, str]) -> None:
    """Write the classes: uint8, nodata 255, the legend's colours as palette, overviews by the most frequent class.

    `tags` are written as TIFF metadata, for example the software and the model's name and hash.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    with MemoryFile() as memory:
        with _new_raster(memory, class_map.grid) as raster:
            raster.write(class_map.codes, 1)
            raster.write_colormap(1, {c.value: c.rgb for c in class_map.legend} | {NODATA: (0, 0, 0, 0)})
            raster.set_band_description(1, "land use class")
            raster.update_tags(**tags)
        write_bytes(path, _cloud_optimised(memory, overviews="MODE"))


def write_confidence_raster(class_map: ClassMap, path: Path, tags: Mapping[str, str]) -> None:
    """Write the confidence: uint8 percent, nodata 255, overviews by the mean.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    with MemoryFile() as memory:
        with _new_raster(memory, class_map.grid) as raster:
            raster.write(class_map.confidence, 1)
            raster.set_band_description(1, "confidence")
            raster.set_band_unit(1, "percent")
            raster.update_tags(**tags)
        write_bytes(path, _cloud_optimised(memory, overviews="AVERAGE"))


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


def _new_raster(memory: MemoryFile, grid: SceneGrid) -> DatasetWriter:
    return memory.open(
        driver="GTiff",
        dtype="uint8",
        count=1,
        height=grid.height,
        width=grid.width,
        transform=grid.transform,
        crs=grid.crs,
        nodata=NODATA,
    )


def _cloud_optimised(memory: MemoryFile, overviews: _Overviews) -> bytes:
    """Return the GeoTIFF in `memory` as the bytes of a cloud-optimised one.

    It is made in memory because GDAL does not report a full disk reliably; writing bytes does.
    """
    with MemoryFile() as target:
        with memory.open() as raster:
            rasterio.shutil.copy(
                raster,
                target.name,
                driver="COG",
                COMPRESS="DEFLATE",
                BLOCKSIZE=512,
                OVERVIEW_RESAMPLING=overviews,
            )
        return bytes(target.read())
