"""Where things lie that do not overlap, as parts of a message."""

import math

import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import Transformer
from pyproj.exceptions import ProjError

from geokd.scenes.grid import SceneGrid

_DEGREES = "EPSG:4326"
_MOST_LATITUDE = 90.0


def place_of(grid: SceneGrid) -> str:
    """Return where a grid lies, as the end of a sentence; empty if that is unknown."""
    box = _box_of(grid)
    return f", which lies in the box {_sides(box)} (west, south, east, north in degrees)" if box else ""


def touches(geometries: NDArray[np.object_], grid: SceneGrid) -> bool:
    """Whether the bounds of any of the geometries, in the CRS of a grid, overlap its own."""
    left, bottom, right, top = grid.bounds
    own = shapely.bounds(geometries)
    with np.errstate(invalid="ignore"):
        there = (own[:, 0] <= right) & (own[:, 2] >= left) & (own[:, 1] <= top) & (own[:, 3] >= bottom)
    return bool(there.any())


def why_elsewhere(geometries: NDArray[np.object_], grid: SceneGrid, whole: str) -> str:
    """Explain that geometries, in the CRS of a grid, do not overlap it: where they lie, and what may be the reason.

    Parameters
    ----------
    geometries : array (N,) of shapely geometries
    grid : SceneGrid
    whole : str
        Name for the grid, such as "the map".

    Returns
    -------
    str
        A sentence without a full stop, such as "they lie in the box ..., the map in ...".
    """
    assert grid.crs is not None
    own, x, y = _box_of(grid), *_corners(geometries)
    if own is None:
        return f"check that they are in the coordinate reference system of {whole}"
    try:
        lon, lat = Transformer.from_crs(grid.crs.to_wkt(), _DEGREES, always_xy=True).transform(x, y)
        lon, lat = (side[np.isfinite(lon) & np.isfinite(lat)] for side in (np.asarray(lon), np.asarray(lat)))
        back = Transformer.from_crs(_DEGREES, grid.crs.to_wkt(), always_xy=True)
        turned = np.stack(back.transform(lat, lon))
    except ProjError:
        lon = lat = np.empty(0)
        turned = np.empty((2, 0))
    if not len(lon) or np.abs(lat).max() > _MOST_LATITUDE:
        return (
            f"their coordinates are not valid in the coordinate reference system of {whole}: check theirs, and whether"
            " latitude and longitude are exchanged"
        )
    box = float(lon.min()), float(lat.min()), float(lon.max()), float(lat.max())
    words = f"they lie in the box {_sides(box)}, {whole} in {_sides(own)} (west, south, east, north in degrees)"
    cols, rows = ~grid.transform @ tuple(turned[:, np.isfinite(turned).all(axis=0)])
    if ((cols >= 0) & (cols < grid.width) & (rows >= 0) & (rows < grid.height)).any():
        return f"{words}: latitude and longitude are exchanged"
    return f"{words}: check their coordinate reference system, or whether they are of this place"


def _box_of(grid: SceneGrid) -> tuple[float, float, float, float] | None:
    """Bounds of a grid in degrees; None if they are unknown."""
    assert grid.crs is not None
    try:
        box = Transformer.from_crs(grid.crs.to_wkt(), _DEGREES, always_xy=True).transform_bounds(*grid.bounds)
    except ProjError:
        return None
    return box if all(map(math.isfinite, box)) else None


def _corners(geometries: NDArray[np.object_]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Lower left and upper right corners of the bounds of geometries, as far as these are finite."""
    bounds = shapely.bounds(geometries)
    bounds = bounds[np.isfinite(bounds).all(axis=1)]
    return bounds[:, [0, 2]].ravel(), bounds[:, [1, 3]].ravel()


def _sides(box: tuple[float, ...]) -> str:
    return ", ".join(f"{side:.4f}" for side in box)
