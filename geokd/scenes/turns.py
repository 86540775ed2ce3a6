"""Longitudes that differ by 360 degrees are the same place: -179.99 and 180.01. Pure: no file is opened here."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray

from geokd.scenes.grid import SceneGrid

_SLACK = 1e-9  # share of a turn


def turn_of(grid: SceneGrid) -> float:
    """Return a whole turn in the unit of a geographic grid; 0 for a projected grid or without a CRS."""
    if grid.crs is None or not grid.crs.is_geographic:
        return 0.0
    return float(np.pi * 2 / grid.crs.units_factor[1])


def turned(grid: SceneGrid, turns: int) -> SceneGrid:
    """Return a grid with longitudes shifted by some whole turns."""
    return replace(grid, transform=Affine.translation(turns * turn_of(grid), 0) @ grid.transform) if turns else grid


def turned_towards(grid: SceneGrid, other: SceneGrid) -> SceneGrid:
    """Return a geographic grid shifted by whole turns so that it is nearest to another."""
    turn = turn_of(grid)
    if not turn or grid.crs != other.crs:
        return grid
    return turned(grid, round((_middle(other) - _middle(grid)) / turn))


def turns_over(left: float, right: float, grid: SceneGrid) -> Iterator[int]:
    """Yield the whole turns by which longitudes must be shifted to overlap a grid; 0 for a projected grid."""
    turn = turn_of(grid)
    if not turn:
        yield 0
        return
    west, _, east, _ = grid.bounds
    first, last = np.ceil((west - right) / turn + _SLACK), np.floor((east - left) / turn - _SLACK)
    yield from range(int(first), int(last) + 1)


def geometries_towards(geometries: NDArray[np.object_], grid: SceneGrid) -> NDArray[np.object_]:
    """Shift parts of geometries in degrees by whole turns onto a grid; a part that overlaps it twice is doubled.

    Parts that do not overlap the grid are moved next to it.
    """
    turn = turn_of(grid)
    west, _, east, _ = grid.bounds
    bounds = shapely.bounds(geometries)
    if not turn or ((bounds[:, 2] <= west + turn / 2) & (bounds[:, 0] >= east - turn / 2)).all():
        return geometries
    moved = geometries.copy()
    for number, geometry in enumerate(geometries):
        parts = [_moved(part, grid, turn) for part in shapely.get_parts(geometry)]
        flat = np.array([one for part in parts for one in part], object)
        moved[number] = flat[0] if len(flat) == 1 else shapely.union_all(shapely.make_valid(flat))
    return moved


def unwrapped(x: NDArray[np.float64], grid: SceneGrid) -> NDArray[np.float64]:
    """Return longitudes, each shifted by whole turns to be nearest to the middle of a grid."""
    turn, middle = turn_of(grid), _middle(grid)
    return np.asarray(middle + (x - middle + turn / 2) % turn - turn / 2) if turn else x


def _moved(part: shapely.Geometry, grid: SceneGrid, turn: float) -> list[shapely.Geometry]:
    left, _, right, _ = part.bounds
    turns = list(turns_over(left, right, grid)) or [round((_middle(grid) - (left + right) / 2) / turn)]
    return [shapely.transform(part, lambda xy, by=by: np.add(xy, (by * turn, 0.0))) if by else part for by in turns]


def _middle(grid: SceneGrid) -> float:
    left, _, right, _ = grid.bounds
    return (left + right) / 2
