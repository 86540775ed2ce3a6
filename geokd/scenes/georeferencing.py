"""Whether a scene's place and pixel size are suitable for a student. Pure: no file is opened here."""

import math
import shlex

import pyproj
from affine import Affine
from pyproj.exceptions import ProjError
from rasterio.errors import CRSError

from geokd.model.contract import InputContract
from geokd.scenes.grid import SceneGrid
from geokd.scenes.scene_info import SceneInfo

RESOLUTION_TOLERANCE = 0.2
"""Share by which a scene's pixel size may differ from the contract's."""

AREAL_TOLERANCE = 0.02
"""Share by which a projection may distort areas, or skewed pixels shrink; UTM stays below 0.1 % in its zone."""

_EARTH_RADIUS_M = 6_378_137.0
_MEND_PLACE = "set the right transform and coordinate system with gdal_edit.py -a_ullr and -a_srs"
_BLURRED = 2.0  # times the contract's pixel size, above which resampling would invent detail
_ROUNDING = 1e-6  # degrees
_RADIUS_TOLERANCE = 0.01  # as a share of the Earth's radius; all ellipsoids in use are closer


def grid_problems(info: SceneInfo, contract: InputContract) -> list[str]:
    """Return the problems of CRS and pixel size, one sentence each."""
    grid, target, path = info.grid, contract.ground_resolution_m, shlex.quote(info.path)
    warp = f"-tr {target:g} {target:g} -r average {path}"
    try:
        misplaced = _unplaced(info, path, warp) or _misplaced(grid)
        if misplaced or grid.crs is None:
            return [misplaced]
        size_x, size_y = grid.pixel_size_m
        stretch = areal_stretch(grid)
    except (CRSError, ProjError) as error:
        return [f"its coordinate reference system has no known unit ({error}); reproject it with gdalwarp -t_srs"]
    if grid.squareness < 1 - AREAL_TOLERANCE:
        return [
            f"its pixels are not rectangles, their sides meet at {math.degrees(math.asin(grid.squareness)):.0f}"
            f" degrees; warp it with gdalwarp -t_srs EPSG:{utm_epsg(grid)} {warp} utm.tif"
        ]
    if abs(stretch - 1) > AREAL_TOLERANCE:
        return [
            f"its projection distorts areas {stretch:.3g} times here, so pixels and areas would be wrong;"
            f" reproject it with gdalwarp -t_srs EPSG:{utm_epsg(grid)} {warp} utm.tif"
        ]
    if all(abs(size / target - 1) <= RESOLUTION_TOLERANCE for size in (size_x, size_y)):
        return []
    measured = f"its pixels measure {size_x:.4g} x {size_y:.4g} m, the model needs {target:g} m within"
    measured += f" {100 * RESOLUTION_TOLERANCE:g} %"
    to_utm = f"-t_srs EPSG:{utm_epsg(grid)} " if grid.crs.is_geographic else ""
    remedy = f"; resample it with --resample {target:g}, or with gdalwarp {to_utm}{warp} resampled.tif"
    if min(size_x, size_y) > _BLURRED * target:
        remedy = ", too coarse for what the model was trained on; use a finer scene, or resample it anyway with"
        remedy += f" --resample {target:g}"
    return [f"{measured}{remedy}, or use a model for that size (geokd info {path} lists those that fit)"]


def areal_stretch(grid: SceneGrid) -> float:
    """Area of the grid's centre in its projection, as a multiple of the true area; 1 in geographic coordinates.

    Raises
    ------
    ProjError
        If PROJ cannot compute it.
    """
    if grid.crs is None or grid.crs.is_geographic:
        return 1.0
    projection = pyproj.Proj(pyproj.CRS.from_wkt(grid.crs.to_wkt()))
    x, y = grid.transform @ (grid.width / 2, grid.height / 2)
    longitude, latitude = projection(x, y, inverse=True)
    return float(projection.get_factors(longitude, latitude).areal_scale)


def _unplaced(info: SceneInfo, path: str, warp: str) -> str:
    """Describe missing georeferencing of a file; empty if complete. `path` and `warp` are for the remedies."""
    if info.placing != "transform":
        by = " -rpc" if info.placing == "rational polynomials" else ""
        return (
            f"it is georeferenced by {info.placing}, not by a grid; warp it with gdalwarp{by} -t_srs"
            f" EPSG:32618 {warp} utm.tif, with the right UTM zone"
        )
    if info.grid.crs is None:
        left, bottom, right, top = info.grid.bounds
        degrees = -180 <= left < right <= 180 and -90 <= bottom < top <= 90 and right - left < info.grid.width / 100
        return (
            "it has no coordinate reference system; assign the right one, for instance with gdal_edit.py -a_srs"
            f" EPSG:{4326 if degrees else 32618} {path}"
        )
    if info.grid.transform == Affine.identity():
        return (
            "it has no geotransform, so its place is unknown; use the file it was made from, or set its"
            f" corners with gdal_edit.py -a_ullr LEFT TOP RIGHT BOTTOM {path}"
        )
    return ""


def _misplaced(grid: SceneGrid) -> str:
    """Describe why the coordinates of a grid with a CRS are not on the Earth; empty if they are.

    Raises
    ------
    ProjError, CRSError
        If the CRS cannot be interpreted.
    """
    assert grid.crs is not None
    crs = pyproj.CRS.from_wkt(grid.crs.to_wkt())
    if not (crs.is_geographic or crs.is_projected) or crs.ellipsoid is None:
        return f"its coordinate reference system ({crs.name}) has no place on the Earth; {_MEND_PLACE}"
    radius = crs.ellipsoid.semi_major_metre
    if abs(radius / _EARTH_RADIUS_M - 1) > _RADIUS_TOLERANCE:
        return (
            f"its coordinate reference system ({crs.name}) is for a body of {radius / 1000:,.0f} km radius, not for the"
            f" Earth; {_MEND_PLACE}"
        )
    x, y = grid.transform @ (grid.width / 2, grid.height / 2)
    if not crs.is_geographic:
        inside = all(map(math.isfinite, pyproj.Proj(crs)(x, y, inverse=True)))
        place = f"its centre, {x:.6g}, {y:.6g}, is outside its coordinate reference system ({crs.name})"
        return "" if inside else f"{place}; {_MEND_PLACE}"
    degrees = math.degrees(float(grid.crs.units_factor[1]))
    left, bottom, right, top = (side * degrees for side in grid.bounds)
    if -360 <= left <= right <= 360 and -90 - _ROUNDING <= bottom <= top <= 90 + _ROUNDING:
        return ""
    return (
        f"its longitudes {left:.6g}..{right:.6g} or latitudes {bottom:.6g}..{top:.6g} lie beyond -360..360 or -90..90"
        f" degrees; {_MEND_PLACE}"
    )


def utm_epsg(grid: SceneGrid) -> int:
    """EPSG code of the UTM zone (WGS 84) of the centre of a grid with a CRS."""
    assert grid.crs is not None
    x, y = grid.transform @ (grid.width / 2, grid.height / 2)
    crs = pyproj.CRS.from_wkt(grid.crs.to_wkt())
    longitude, latitude = pyproj.Transformer.from_crs(crs, 4326, always_xy=True).transform(x, y)
    return (32600 if latitude >= 0 else 32700) + int((longitude + 180) % 360 // 6) + 1
