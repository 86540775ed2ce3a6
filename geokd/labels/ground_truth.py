"""Reference data: labelled points, polygons, or another raster of classes."""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyogrio
import shapely
from affine import Affine
from numpy.typing import NDArray
from rasterio.enums import Resampling
from rasterio.features import rasterize
from rasterio.io import DatasetReader
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window

from geokd.errors import CallError, SceneError
from geokd.scenes.grid import SceneGrid
from geokd.scenes.opening import GdalErrors, gdal_reason, open_scene
from geokd.scenes.silent_layers import refuse_silent
from geokd.scenes.turns import turn_of, turned, turns_over
from geokd.scenes.validity import alpha_band, refuse_several_bands
from geokd.scenes.vector_layer import only_layer, read_layer

USUAL_FIELDS = ("reference", "class")
"""Default fields for the class; the first one that exists is used."""

_BLOCK_CELLS = 1024
_EXACT_PX = 1e-6  # to which GDAL finds the centre of a cell


@dataclass(frozen=True, eq=False)
class GroundTruth:
    """Labelled points or polygons in the CRS of a map.

    Parameters
    ----------
    geometries : array (N,) of shapely points or polygons
    texts : tuple of str
        Class of each, empty where there is none.
    field : str
        The attribute that they are of.
    others : dict of str to array (N,)
        Further attributes that were requested.
    """

    geometries: NDArray[np.object_]
    texts: tuple[str, ...]
    field: str
    others: dict[str, NDArray[Any]]

    @property
    def are_points(self) -> bool:
        """Whether these are points, not polygons."""
        return bool(shapely.get_dimensions(self.geometries[0]) == 0)


class Pair(NamedTuple):
    """A code of a map and a value of a reference that share cells."""

    code: int
    value: int


@dataclass
class Shared:
    """Cells and area of a pair."""

    cells: int = 0
    area_ha: float = 0.0


def is_vector(path: str | Path) -> bool:
    """Whether a file has layers of features; anything else, also a missing file, is left to be read as a raster."""
    if not Path(path).exists():
        return False
    refuse_silent(Path(path))
    try:
        return len(pyogrio.list_layers(path)) > 0
    except pyogrio.errors.DataSourceError:
        return False


def read_ground_truth(path: str | Path, field: str | None, grid: SceneGrid, *others: str) -> GroundTruth:
    """Read labelled points or polygons and bring them into the CRS of a map.

    Parameters
    ----------
    path : path
        Any vector file GDAL reads, with one layer of points or polygons.
    field : str or None
        The attribute that holds the class; None: the first of :data:`USUAL_FIELDS` that is there.
    grid : SceneGrid
        Of the map.
    others : str
        Further attributes to read.

    Raises
    ------
    CallError
        If the field does not exist.
    ChipError
        If the file cannot be used.
    """
    if field is None:
        _, fields = only_layer(Path(path))
        field = next((name for name in USUAL_FIELDS if name in fields), None)
        if field is None:
            raise CallError(
                f"{path} has neither a field {' nor '.join(USUAL_FIELDS)}; name the one with the classes with --field:"
                f" {', '.join(fields) or 'none at all'}"
            )
    layer = read_layer(Path(path), grid, field, *others, points=True).in_parts()
    return GroundTruth(
        layer.geometries, tuple(layer.texts(field)), field, {name: layer.fields[name] for name in others}
    )


def cells_in_polygon(polygon: Any, grid: SceneGrid) -> Iterator[tuple[Window, NDArray[np.bool_]]]:
    """Find the cells whose centre lies in a polygon, in windows of limited size.

    Yields
    ------
    window : Window
    inside : bool array (rows, cols)
    """
    left, bottom, right, top = polygon.bounds
    if not np.isfinite([left, bottom, right, top]).all():
        return
    corners = [~grid.transform @ corner for corner in ((left, top), (right, top), (left, bottom), (right, bottom))]
    (first_col, first_row), (last_col, last_row) = np.floor(np.min(corners, axis=0)), np.ceil(np.max(corners, axis=0))
    row_stop, col_stop = min(int(last_row), grid.height), min(int(last_col), grid.width)
    for row in range(max(int(first_row), 0), row_stop, _BLOCK_CELLS):
        for col in range(max(int(first_col), 0), col_stop, _BLOCK_CELLS):
            shape = min(_BLOCK_CELLS, row_stop - row), min(_BLOCK_CELLS, col_stop - col)
            moved = grid.transform @ Affine.translation(col, row)
            yield Window(col, row, shape[1], shape[0]), rasterize([polygon], out_shape=shape, transform=moved) == 1


def pairs_with_raster(
    path: str | Path,
    grid: SceneGrid,
    windows: Iterable[tuple[Window, NDArray[np.uint8], NDArray[np.float64]]],
    nodata: int,
) -> dict[Pair, Shared]:
    """Count which classes of another raster lie at the centres of a map's cells.

    Parameters
    ----------
    path : path
        A raster with whole numbers in its first band, on any grid.
    grid : SceneGrid
        Of the map.
    windows : iterable of (Window, codes, areas in hectares)
        Of the map.
    nodata : int
        Code of cells that are not mapped.

    Raises
    ------
    CallError, SceneError
        If the raster does not exist or cannot be used.
    """
    pairs: dict[Pair, Shared] = {}
    for _, codes, areas, values, known in laid_over(path, grid, windows, nodata):
        _count(pairs, codes[known], values[known], areas[known])
    return pairs


def laid_over(
    path: str | Path,
    grid: SceneGrid,
    windows: Iterable[tuple[Window, NDArray[np.uint8], NDArray[np.float64]]],
    nodata: int,
) -> Iterator[tuple[Window, NDArray[np.uint8], NDArray[np.float64], NDArray[np.int64], NDArray[np.bool_]]]:
    """Read the classes of another raster at the centres of a map's cells, window by window.

    Parameters as in :func:`pairs_with_raster`.

    Yields
    ------
    window, codes, areas
        As of the map.
    values : int64 array (rows, cols)
        Of the other raster.
    known : bool array (rows, cols)
        Where both have one.

    Raises
    ------
    CallError, SceneError
        If the raster does not exist or cannot be used.
    """
    with open_scene(str(path)) as dataset:
        check_class_raster(dataset, path)
        try:
            with _laid_over(dataset, grid) as rasters:
                for window, codes, areas in windows:
                    left, values = codes != nodata, np.zeros(codes.shape, np.int64)
                    for raster in rasters:
                        here = (raster.dataset_mask(window=window) > 0) & left
                        values[here] = raster.read(1, window=window)[here]
                        left &= ~here
                    yield window, codes, areas, values, (codes != nodata) & ~left
        except GdalErrors as error:
            raise SceneError(f"{path} cannot be read: {gdal_reason(error)}; copy or download it again") from error


def check_class_raster(dataset: DatasetReader, path: str | Path) -> None:
    """Refuse a raster that cannot hold classes.

    Raises
    ------
    SceneError
        If its values are not integers, it has no CRS, it is a picture, or it has several bands.
    """
    if not np.issubdtype(np.dtype(dataset.dtypes[0]), np.integer) or dataset.crs is None:
        raise SceneError(
            f"{path} is not a raster of classes: its first band is {dataset.dtypes[0]} and its CRS"
            f" {dataset.crs or 'unknown'}; it needs integers and a CRS"
        )
    if [colour.name for colour in dataset.colorinterp[:3]] == ["red", "green", "blue"]:
        raise SceneError(
            f"{path} is a picture of red, green and blue, not a raster of classes; use the raster it was drawn from"
        )
    refuse_several_bands(dataset, str(path))


@contextmanager
def _laid_over(dataset: DatasetReader, grid: SceneGrid) -> Iterator[list[WarpedVRT]]:
    """Warp a raster to a grid; one in degrees also with longitudes shifted by whole turns that overlap the grid."""
    own = SceneGrid(dataset.transform, dataset.height, dataset.width, dataset.crs)
    outside = {"add_alpha": True} if dataset.nodata is None and not alpha_band(dataset) else {}
    if grid.crs == own.crs:
        turns = list(turns_over(own.bounds[0], own.bounds[2], grid)) or [0]
    else:  # the warper looks for longitudes from -180 to 180
        turns = [0, -1] if turn_of(own) and own.bounds[2] > turn_of(own) / 2 else [0]
    with ExitStack() as opened:
        yield [
            opened.enter_context(
                WarpedVRT(
                    dataset,
                    crs=grid.crs,
                    src_transform=turned(own, number).transform,
                    transform=grid.transform,
                    width=grid.width,
                    height=grid.height,
                    resampling=Resampling.nearest,
                    tolerance=_EXACT_PX,
                    **outside,
                )
            )
            for number in turns
        ]


def _count(
    pairs: dict[Pair, Shared], codes: NDArray[np.uint8], values: NDArray[np.int64], areas: NDArray[np.float64]
) -> None:
    both, which = np.unique(values * 256 + codes, return_inverse=True)
    cells, sums = np.bincount(which, minlength=len(both)), np.bincount(which, areas, minlength=len(both))
    for pair, count, area in zip(both, cells, sums, strict=True):
        shared = pairs.setdefault(Pair(int(pair % 256), int(pair // 256)), Shared())
        shared.cells += int(count)
        shared.area_ha += float(area)
