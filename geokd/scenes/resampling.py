"""A scene resampled to another pixel size while reading: bilinear, with GDAL's warper."""

import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
from affine import Affine
from rasterio.crs import CRS
from rasterio.errors import CRSError
from rasterio.warp import calculate_default_transform

from geokd.errors import CallError, SceneError
from geokd.scenes.georeferencing import utm_epsg
from geokd.scenes.grid import SceneGrid
from geokd.scenes.scene_info import SceneInfo
from geokd.scenes.warping import BLOCK_PX, WarpedBand, warped

_FINER = 1.5  # times finer, above which a note says that this adds no detail


def resampled(info: SceneInfo, metres: float, nodata: float | None = None) -> SceneInfo:
    """Describe a scene resampled to another pixel size; a scene in degrees or rotated, in its UTM zone.

    Parameters
    ----------
    info : SceneInfo
    metres : float
    nodata : float, optional
        The user's value of missing pixels. Default: the file's.

    Raises
    ------
    CallError
        If the size is invalid.
    SceneError
        If the scene cannot be resampled while reading.
    """
    if not 0 < metres < math.inf:
        raise CallError(f"--resample {metres:g} is not a pixel size; give metres above 0")
    if info.grid.crs is None or info.placing != "transform":
        return info  # it is refused for this later
    if info.masked and "alpha" not in info.colours:
        raise SceneError(
            f"{info.path} has a mask beside its bands, which --resample ignores; convert the mask to an alpha band"
            " with gdalwarp -dstalpha"
        )
    try:
        target, own = _target(info.grid, metres), max(info.grid.pixel_size_m)
    except CRSError as error:
        raise SceneError(
            f"{info.path} cannot be resampled: its coordinate system has no known unit: {error}"
        ) from error
    given = info.nodata if nodata is None else (nodata,) * len(info.nodata)
    missing = tuple(_storable(value, dtype) for value, dtype in zip(given, info.dtypes, strict=True))
    declared = all(value is not None for value in missing)
    alpha = info.colours.index("alpha") + 1 if "alpha" in info.colours else 0
    added = not alpha and not declared and target.crs != info.grid.crs
    bands = [
        WarpedBand(number, dtype, value, 0.0 if value is None else value, description, _gdal_colour(colour))
        for number, (dtype, value, description, colour) in enumerate(
            zip(info.dtypes, missing, info.descriptions, info.colours, strict=True), 1
        )
    ]
    if added:
        bands.append(WarpedBand(0, info.dtype, colour="Alpha"))
    source = info.virtual or str(Path(info.path).absolute() if Path(info.path).exists() else info.path)
    text = warped(source, info.grid, target, bands, "Bilinear", alpha=alpha, to_alpha=alpha or (len(bands) * added))
    finer = f"; this adds no detail to pixels of {own:.4g} m" if own > _FINER * metres else ""
    return replace(
        info,
        virtual=text,
        grid=target,
        storage_px=(BLOCK_PX, BLOCK_PX),
        masked=info.masked or added,
        nodata=missing + (None,) * added,
        colours=info.colours + ("alpha",) * added,
        descriptions=info.descriptions + ("",) * added,
        scales=info.scales + (1.0,) * added,
        offsets=info.offsets + (0.0,) * added,
        dtypes=info.dtypes + (info.dtype,) * added,
        notes=(
            *info.notes,
            f"pixels of {own:.4g} m are resampled to {metres:g} m (--resample, bilinear){finer}",
        ),
    )


def _storable(nodata: float | None, dtype: str) -> float | None:
    """Return a nodata value if pixels of the type can have it."""
    if nodata is None or np.dtype(dtype).kind not in "iu":
        return nodata
    ends = np.iinfo(dtype)
    return nodata if ends.min <= nodata <= ends.max else None


def _target(grid: SceneGrid, metres: float) -> SceneGrid:
    """Return the grid for another pixel size: no larger than the scene, so that all pixel centres lie within."""
    assert grid.crs is not None
    turned = bool(grid.transform.b or grid.transform.d or grid.transform.a < 0 or grid.transform.e > 0)
    if grid.crs.is_geographic or turned:
        utm = CRS.from_epsg(utm_epsg(grid)) if grid.crs.is_geographic else grid.crs
        unit = float(utm.linear_units_factor[1])
        transform, width, height = calculate_default_transform(
            grid.crs, utm, grid.width, grid.height, *grid.bounds, resolution=metres / unit
        )
        return SceneGrid(transform, int(height or 1), int(width or 1), utm)
    side = metres / float(grid.crs.linear_units_factor[1])
    width = max(1, math.floor(grid.width * grid.transform.a / side + 1e-6))
    height = max(1, math.floor(grid.height * -grid.transform.e / side + 1e-6))
    return SceneGrid(Affine(side, 0, grid.transform.c, 0, -side, grid.transform.f), height, width, grid.crs)


def _gdal_colour(colour: str) -> str:
    return re.sub(r"^\w", lambda first: first[0].upper(), colour)
