"""Where a grid lies on the globe: its outline in degrees, cut at the antimeridian."""

from typing import Any, NamedTuple

import numpy as np
import rasterio.warp
import shapely
from numpy.typing import NDArray
from rasterio.crs import CRS

from geokd.scenes.grid import SceneGrid
from geokd.scenes.opening import GdalErrors

_POINTS_A_SIDE = 64  # of the outline, before points on straight lines are removed
_STRAIGHT = 1e-4  # tolerance of that line, as a share of the outline's longer side
_DIGITS = 7  # of degrees: a centimetre
_CRS84 = "OGC:CRS84"  # WGS 84, longitude first
_WORLD = (-180.0, -90.0, 180.0, 90.0)


class Footprint(NamedTuple):
    """An outline as GeoJSON (RFC 7946), in WGS 84.

    `geometry` is a Polygon, or a MultiPolygon where the antimeridian cuts it; `bbox` is west, south, east, north. In
    that case west is greater than east.
    """

    geometry: dict[str, Any]
    bbox: list[float]


def footprint(grid: SceneGrid) -> Footprint | None:
    """Return the outline of a grid; None if it has no CRS, or some of its points cannot be converted to degrees."""
    if grid.crs is None or not (grid.crs.is_geographic or grid.crs.is_projected):
        return None
    try:
        points = rasterio.warp.transform(grid.crs, CRS.from_user_input(_CRS84), *(grid.transform @ _outline(grid)))
    except GdalErrors:  # points beyond the projection's limits, or on another planet
        return None
    longitudes, latitudes = np.array(points)
    if not np.isfinite(points).all():
        return None
    unrolled = np.unwrap(longitudes, period=360)  # beyond 180 rather than back to -180
    ring = np.column_stack([unrolled, latitudes])
    corners = list(shapely.LineString(ring).simplify(_STRAIGHT * max(np.ptp(ring, axis=0))).coords)
    if abs(unrolled[-1] - unrolled[0]) > 180:  # around a pole
        pole = 90.0 if latitudes.mean() > 0 else -90.0
        corners += [(unrolled[-1], pole), (unrolled[0], pole)]
    polygon = shapely.Polygon(corners)
    west, _, east, _ = polygon.bounds
    turns = range(int((west + 180) // 360), int(np.ceil((east + 180) / 360)))
    world = shapely.box(*_WORLD)
    parts = [world & shapely.transform(polygon, lambda xy, turn=turn: xy - (360 * turn, 0)) for turn in turns]
    whole = shapely.set_precision(shapely.union_all(parts), 10.0**-_DIGITS)
    return Footprint(_geometry(whole), _bbox(whole, west, east))


def _outline(grid: SceneGrid) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return columns and rows of pixel corners along the outline, closed."""
    along = np.linspace(0, 1, _POINTS_A_SIDE, endpoint=False)
    zero, one = np.zeros_like(along), np.ones_like(along)
    cols = np.concatenate([along, one, 1 - along, zero, [0]])
    rows = np.concatenate([zero, along, one, 1 - along, [0]])
    return cols * grid.width, rows * grid.height


def _geometry(polygons: shapely.Geometry) -> dict[str, Any]:
    """Return GeoJSON with outer rings counterclockwise."""
    rings = [
        [[round(float(v), _DIGITS) for v in point] for point in polygon.exterior.coords]
        for polygon in shapely.get_parts(shapely.orient_polygons(polygons))
    ]
    if len(rings) == 1:
        return {"type": "Polygon", "coordinates": rings}
    return {"type": "MultiPolygon", "coordinates": [[ring] for ring in rings]}


def _bbox(whole: shapely.Geometry, west: float, east: float) -> list[float]:
    """Return west, south, east, north; west is greater than east if the antimeridian is crossed."""
    left, south, right, north = whole.bounds
    if east - west < 360 and len(shapely.get_parts(whole)) > 1:
        left, right = (west + 180) % 360 - 180, (east + 180) % 360 - 180
    return [round(float(side), _DIGITS) for side in (left, south, right, north)]
