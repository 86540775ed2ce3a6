"""Areas of interest: polygons of any vector file, or a box in degrees, in the coordinates of a scene."""

import math
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
import pyogrio
import rasterio.features
import shapely
from affine import Affine
from numpy.typing import NDArray
from pyproj.exceptions import ProjError
from shapely.geometry.base import BaseGeometry

from geokd.errors import CallError, SceneError, named
from geokd.scenes.grid import SceneGrid
from geokd.scenes.opening import gdal_reason
from geokd.scenes.options import AreaOptions, exchanged_box
from geokd.scenes.silent_layers import refuse_silent
from geokd.scenes.vector_layer import brought_to, read_features
from geokd.scenes.whereabouts import place_of

_EDGE_PARTS = 50  # parts of each side of a box, because a straight line in degrees is curved in a projection


@dataclass(frozen=True, eq=False)
class Area:
    """An area in the coordinates of a scene.

    Parameters
    ----------
    geometry : shapely geometry
    note : str
        Description in a sentence.
    """

    geometry: BaseGeometry
    note: str

    @property
    def sha256(self) -> str:
        """Identifier that distinguishes it from other areas."""
        return sha256(shapely.to_wkb(self.geometry)).hexdigest()

    def touches(self, grid: SceneGrid, rows: slice, cols: slice) -> bool:
        """Whether it overlaps a rectangle of cells."""
        return bool(shapely.intersects(self.geometry, _rectangle(grid, rows, cols)))

    def covers(self, grid: SceneGrid, rows: slice, cols: slice) -> bool:
        """Whether a rectangle of cells lies wholly within it."""
        return bool(shapely.covers(self.geometry, _rectangle(grid, rows, cols)))

    def holds(self, grid: SceneGrid, rows: slice, cols: slice) -> NDArray[np.bool_]:
        """Find the cells of a rectangle whose centres lie within it, bool (rows, cols)."""
        shape = rows.stop - rows.start, cols.stop - cols.start
        transform = grid.transform @ Affine.translation(cols.start, rows.start)
        burnt = rasterio.features.rasterize([self.geometry], shape, transform=transform, dtype="uint8")
        return np.asarray(burnt == 1)

    def extent(self, grid: SceneGrid) -> tuple[slice, slice]:
        """Return its bounding rows and columns in a grid; empty slices if it does not overlap the grid."""
        points = shapely.get_coordinates(self.geometry)
        cols, rows = ~grid.transform @ (points[:, 0], points[:, 1])
        return _span(rows, grid.height), _span(cols, grid.width)


def read_area(options: AreaOptions, grid: SceneGrid, scene: str) -> Area | None:
    """Read the area of interest; None if none is given.

    Raises
    ------
    CallError
        If the file, layer or field does not exist.
    SceneError
        If it has no polygons, or does not overlap the scene.
    """
    if options.aoi is None and options.bbox is None:
        return None
    if grid.crs is None:
        raise SceneError(f"{scene} has no coordinate reference system, so it cannot be clipped to an area; assign one")
    try:
        if options.bbox is not None:
            geometries, note = _box(options.bbox), "the box " + ", ".join(f"{side:g}" for side in options.bbox)
            placed = brought_to(geometries, "EPSG:4326", grid)
        else:
            assert options.aoi is not None
            geometries, crs, note = _polygons(options.aoi, options.where)
            placed = brought_to(geometries, crs, grid)
    except ProjError as error:
        raise SceneError(f"the area cannot be transformed to the coordinates of {scene}: {error}") from error
    whole = shapely.union_all(shapely.make_valid(placed))
    shapely.prepare(whole)
    area = Area(whole, f"only cells whose centres lie within {note} are mapped")
    if not area.touches(grid, *_whole(grid)):
        raise SceneError(f"{note} does not overlap {scene}{place_of(grid)}; {_remedy(options.bbox, grid)}")
    return area


def _whole(grid: SceneGrid) -> tuple[slice, slice]:
    return slice(0, grid.height), slice(0, grid.width)


def _remedy(bbox: tuple[float, float, float, float] | None, grid: SceneGrid) -> str:
    """Return what to do about an area that does not overlap a grid."""
    exchanged = exchanged_box(bbox) if bbox is not None else ""
    if bbox is not None and exchanged:
        south, west, north, east = bbox
        area = Area(shapely.union_all(brought_to(_box((west, south, east, north)), "EPSG:4326", grid)), "")
        if area.touches(grid, *_whole(grid)):
            return f"if latitude and longitude are exchanged, give {exchanged}"
    return "check the area, or use a scene of that place"


def _polygons(aoi: str, where: str | None) -> tuple[NDArray[np.object_], str, str]:
    """Read the polygons of a file, their CRS, and what they are.

    Raises
    ------
    CallError, SceneError
    """
    name, _, layer = (aoi, "", "") if Path(aoi).exists() else aoi.rpartition(":")
    path = Path(name or aoi)
    if not path.exists():
        raise CallError(f"no such file: {path}")
    layer = _layer(path, layer)
    geometries, crs = read_features(path, layer, where)
    chosen = f" where {where}" if where else ""
    if not len(geometries):
        raise SceneError(f"{path} holds no polygon{chosen}")
    if (shapely.get_dimensions(geometries) < 2).any():
        raise SceneError(
            f"{path} holds points or lines{chosen}, which have no area; give polygons, such as a buffer around them"
        )
    if crs is None:
        raise SceneError(f"{path} has no coordinate reference system; assign one with ogr2ogr -a_srs EPSG:...")
    number = f"{len(geometries)} polygon{'s' * (len(geometries) != 1)}"
    return geometries, crs, f"the area {path.name} ({number}{chosen})"


def _layer(path: Path, wanted: str) -> str:
    """Return the requested layer, or the only one.

    Raises
    ------
    CallError
        If the layer does not exist, or there are several and none is requested.
    SceneError
        If it is not a vector file.
    """
    refuse_silent(path, wanted)
    try:
        layers = [str(name) for name, kind in pyogrio.list_layers(path) if kind is not None]
    except pyogrio.errors.DataSourceError as error:
        raise SceneError(f"{path} is not a vector file, or is broken: {gdal_reason(error)}") from error
    if wanted in layers:
        return wanted
    if not wanted and len(layers) == 1:
        return layers[0]
    there = f"it has {named(layers, 5)}" if layers else "it has none with geometry"
    if wanted:
        raise CallError(f"{path} has no layer {wanted}; {there}")
    raise CallError(f"{path} has {len(layers)} layers; name one of them with --aoi {path}:LAYER; {there}")


def _box(bbox: tuple[float, float, float, float]) -> NDArray[np.object_]:
    """Return a box in degrees with sides split into short parts; across the antimeridian it extends beyond 180."""
    west, south, east, north = bbox
    box = shapely.box(west, south, east if east > west else east + 360, north)
    length = max(box.bounds[2] - box.bounds[0], north - south)
    return np.array([shapely.segmentize(box, length / _EDGE_PARTS)], object)


def _rectangle(grid: SceneGrid, rows: slice, cols: slice) -> BaseGeometry:
    corners = [(cols.start, rows.start), (cols.stop, rows.start), (cols.stop, rows.stop), (cols.start, rows.stop)]
    return shapely.Polygon([grid.transform @ corner for corner in corners])


def _span(places: NDArray[np.float64], size: int) -> slice:
    first, stop = math.floor(float(places.min())), math.ceil(float(places.max()))
    first = min(max(first, 0), size)
    return slice(first, max(first, min(stop, size)))
