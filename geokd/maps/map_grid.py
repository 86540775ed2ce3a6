"""The grid on which maps are joined, and their places on it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from affine import Affine
from pyproj.exceptions import ProjError
from rasterio.crs import CRS
from rasterio.errors import CRSError
from rasterio.warp import transform
from rasterio.windows import Window

from geokd.errors import CallError
from geokd.scenes.georeferencing import AREAL_TOLERANCE, areal_stretch
from geokd.scenes.grid import SceneGrid
from geokd.scenes.opening import GdalErrors

MOST_CELLS = 2**31 - 1
_POINTS_A_SIDE = 101
_SAME_CELLS = 1e-3  # share of a cell by which two equal grids may differ anywhere in a map


@dataclass(frozen=True)
class StatedGrid:
    """The grid that a caller wants.

    Parameters
    ----------
    crs : str or None
        None: that of the first map.
    resolution : float or None
        Side of a cell in units of the CRS. None: that of the first map.

    Raises
    ------
    CallError
        If the CRS is unknown or the side is not positive.
    """

    crs: str | None = None
    resolution: float | None = None

    def __post_init__(self) -> None:
        if self.crs is not None:
            try:
                CRS.from_user_input(self.crs)
            except CRSError as error:
                raise CallError(f"{self.crs!r} is not a coordinate system such as EPSG:32618: {error}") from error
        if self.resolution is not None and not 0 < self.resolution < math.inf:
            raise CallError(f"the side of a cell must be greater than 0, not {self.resolution:g}")


def union_grid(grids: Sequence[SceneGrid], stated: StatedGrid) -> SceneGrid:
    """Return a grid that covers all `grids`.

    It has the cells of the first, extended; with a given resolution, cells of that size from its upper left corner;
    with another CRS, cells at multiples of the resolution.

    Raises
    ------
    CallError
        If a grid cannot be transformed to the CRS, the CRS distorts areas, the resolution is ambiguous, or there would
        be too many cells.
    """
    first = grids[0]
    crs = first.crs if stated.crs is None else CRS.from_user_input(stated.crs)
    assert first.crs is not None and crs is not None, "maps have a CRS"
    if crs == first.crs and stated.resolution is None:
        cells = first.transform
    elif crs == first.crs:
        cells = Affine.translation(first.transform.c, first.transform.f) @ _squares(stated.resolution)
    else:
        cells = _squares(stated.resolution or _same_length(first, crs))
    boxes = np.array([_covered(grid, cells, crs) for grid in grids])
    (top, left), (bottom, right) = boxes[:, :2].min(axis=0).tolist(), boxes[:, 2:].max(axis=0).tolist()
    height, width = max(bottom - top, 1), max(right - left, 1)
    if height * width > MOST_CELLS:
        raise CallError(
            f"the mosaic would have {height * width:,} cells, more than {MOST_CELLS:,}: the maps lie far apart, or"
            " --resolution is too fine"
        )
    joined = SceneGrid(cells @ Affine.translation(left, top), height, width, crs)
    try:
        stretch = areal_stretch(joined)
    except ProjError as error:
        raise CallError(f"{crs.to_string()} has no unit of length: {error}; choose another CRS with --crs") from error
    if abs(stretch - 1) > AREAL_TOLERANCE:
        raise CallError(
            f"{crs.to_string()} distorts areas {stretch:.3g} times here, so the areas of the mosaic would be wrong;"
            " choose another one with --crs"
        )
    return joined


def place(grid: SceneGrid, on: SceneGrid) -> Window:
    """Return the cells of `on` whose centres lie in the bounding box of `grid`; there may be none.

    Raises
    ------
    CallError
        If it cannot be transformed to that CRS.
    """
    assert on.crs is not None
    top, left, bottom, right = _covered(grid, on.transform, on.crs)
    top, bottom = (min(max(row, 0), on.height) for row in (top, bottom))
    left, right = (min(max(col, 0), on.width) for col in (left, right))
    return Window(left, top, max(right - left, 0), max(bottom - top, 0))


def lies_on(grid: SceneGrid, on: SceneGrid) -> bool:
    """Whether the cells of `grid` are cells of `on`."""
    if grid.crs != on.crs:
        return False
    corners = [(0, 0), (grid.width, 0), (0, grid.height)]
    found = np.array([~on.transform @ (grid.transform @ corner) for corner in corners])
    shift = np.rint(found[0])
    return bool(np.abs(found - shift - corners).max() < _SAME_CELLS)


def _squares(side: float | None) -> Affine:
    assert side is not None
    return Affine.scale(side, -side)


def _same_length(grid: SceneGrid, crs: CRS) -> float:
    """Return the side of the cells of `grid` in units of `crs`."""
    assert grid.crs is not None
    if grid.crs.is_geographic or crs.is_geographic:
        raise CallError(
            f"the cells of the first map are in {grid.crs.units_factor[0]}s, but {crs.to_string()} is in"
            f" {crs.units_factor[0]}s; give the cell size with --resolution"
        )
    return min(grid.pixel_size_m) / float(crs.linear_units_factor[1])


def _covered(grid: SceneGrid, cells: Affine, crs: CRS) -> tuple[int, int, int, int]:
    """Return the first row and column, and the row and column after the last, of the cells that `grid` covers.

    A cell is covered if its centre lies in the bounding box of the grid.
    """
    along = np.linspace(0, 1, _POINTS_A_SIDE)
    ends = np.repeat([0.0, 1.0], _POINTS_A_SIDE)
    cols, rows = (np.concatenate(part) for part in (([*([along] * 2), ends]), ([ends, *([along] * 2)])))
    x, y = grid.transform @ (cols * grid.width, rows * grid.height)
    try:
        if grid.crs != crs:
            x, y = (np.array(part) for part in transform(grid.crs, crs, x, y))
    except GdalErrors:
        x = np.full_like(x, np.inf)
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise CallError(
            f"a map in {grid.crs.to_string() if grid.crs else 'no CRS'} cannot be warped to {crs.to_string()}; choose"
            " another one with --crs"
        )
    col, row = ~cells @ (x, y)
    starts = (math.ceil(row.min() - 0.5), math.ceil(col.min() - 0.5))
    return *starts, math.floor(row.max() - 0.5) + 1, math.floor(col.max() - 0.5) + 1
