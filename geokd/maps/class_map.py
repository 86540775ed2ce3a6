"""The finished map as a value: a class and a confidence per cell, and the area each class covers."""

from collections.abc import Iterator
from dataclasses import InitVar, dataclass
from functools import cached_property

import numpy as np
import pyproj
from affine import Affine
from numpy.typing import NDArray

from geokd.legend.classes import NODATA, Legend
from geokd.scenes.grid import SceneGrid
from geokd.system.documents import Record

STRIP_CELLS = 500_000
"""Cells of a large map that are processed together, at least one row."""

_SQUARE_METRES_PER_HECTARE = 10_000.0


@dataclass(frozen=True, kw_only=True)
class ClassArea(Record):
    """The area of one class; `mean_confidence` (percent) is None for a class without cells."""

    value: int
    name: str
    title: str
    cells: int
    area_ha: float
    share_percent: float
    mean_confidence: float | None


@dataclass(frozen=True, eq=False)
class ClassMap:
    """A land-use map.

    Parameters
    ----------
    codes : uint8 array (rows, cols)
        Class of each cell: a value of `legend`, or 255 where not mapped.
    confidence : uint8 array (rows, cols)
        Confidence of each cell in percent, 0 to 100, or 255 where not mapped.
    grid : SceneGrid
        The cells.
    legend : Legend
    trusted : bool
        The arrays are known to be valid, and are not checked.

    Raises
    ------
    ValueError
        If shapes or types disagree, a code or confidence is out of range, or only one of the two is 255.
    """

    codes: NDArray[np.uint8]
    confidence: NDArray[np.uint8]
    grid: SceneGrid
    legend: Legend

    trusted: InitVar[bool] = False

    def __post_init__(self, trusted: bool) -> None:
        shape = (self.grid.height, self.grid.width)
        for name, array in (("codes", self.codes), ("confidence", self.confidence)):
            if array.dtype != np.uint8:
                raise ValueError(f"{name} of a class map are uint8, not {array.dtype}")
            if array.shape != shape:
                raise ValueError(f"{name} of a class map have the shape {array.shape}, its grid {shape}")
        if trusted:
            return
        kinds, tally = len(self.legend), self._tally
        mapped = tally[:NODATA]
        if tally[NODATA, :NODATA].any() or mapped[:, NODATA].any():
            raise ValueError(f"codes and confidence of a class map are not {NODATA} at the same cells")
        if mapped[kinds:].any():
            highest = int(np.flatnonzero(mapped.any(axis=1)).max())
            raise ValueError(f"the class map holds the code {highest}, its legend ends at {kinds - 1}")
        if mapped[:, 101:].any():
            surest = int(np.flatnonzero(mapped.any(axis=0)).max())
            raise ValueError(f"the class map holds a confidence of {surest} %, at most 100 % is possible")

    @cached_property
    def _tally(self) -> NDArray[np.int64]:
        """Number of cells with each pair of code and confidence, int64 (256, 256), counted in one pass."""
        counts = np.zeros((NODATA + 1) ** 2, np.int64)
        for rows in self.strips():
            pairs = self.codes[rows].astype(np.uint16) << 8
            pairs |= self.confidence[rows]
            counts += np.bincount(pairs.ravel(), minlength=len(counts))
        return counts.reshape(NODATA + 1, NODATA + 1)

    def strips(self) -> Iterator[slice]:
        """Cut the rows into strips of about :data:`STRIP_CELLS` cells, so that no copy of a large map is made."""
        yield from row_strips(self.grid.height, self.grid.width)

    def part(self, rows: slice) -> "ClassMap":
        """Return some rows as a map, as views."""
        grid = self.grid
        moved = SceneGrid(
            grid.transform @ Affine.translation(0, rows.start), rows.stop - rows.start, grid.width, grid.crs
        )
        return ClassMap(self.codes[rows], self.confidence[rows], moved, self.legend, trusted=True)

    @property
    def mapped(self) -> NDArray[np.bool_]:
        """Which cells have a class, bool (rows, cols)."""
        return np.not_equal(self.codes, NODATA)

    def cell_counts(self) -> NDArray[np.int64]:
        """Return the number of cells of each class, (K,), in the order of the legend."""
        return np.asarray(self._tally[: len(self.legend)].sum(axis=1))

    def confidence_counts(self) -> NDArray[np.int64]:
        """Return the number of mapped cells of each confidence from 0 to 100 percent, (101,)."""
        return np.asarray(self._tally[: len(self.legend), :101].sum(axis=0))

    def mean_confidence(self) -> NDArray[np.float64]:
        """Return the mean confidence of the cells of each class in percent, (K,); NaN for a class without cells."""
        sums = self._tally[: len(self.legend), :101] @ np.arange(101)
        counts = self.cell_counts()
        return np.asarray(np.divide(sums, counts, out=np.full(len(counts), np.nan), where=counts > 0), np.float64)

    def areas_ha(self) -> NDArray[np.float64]:
        """Return the ground area of each class in hectares, (K,), see :func:`cell_areas_ha`."""
        areas = cell_areas_ha(self.grid, slice(0, 1))
        if self.grid.crs is None or not self.grid.crs.is_geographic:  # all cells are equal
            return np.asarray(self.cell_counts() * areas[0, 0])
        kinds = len(self.legend)
        total = np.zeros(kinds)
        for rows in self.strips():
            codes = self.codes[rows]
            mapped = codes != NODATA
            total += sum_by_label(codes[mapped], cell_areas_ha(self.grid, rows)[mapped], kinds)
        return total


def confidence_histogram(class_map: ClassMap) -> list[int]:
    """Count the mapped cells by confidence, in steps of 10 percent; the last step holds 100, too."""
    counts = class_map.confidence_counts()
    steps = counts[:100].reshape(10, 10).sum(axis=1)
    steps[-1] += counts[100]
    return [int(count) for count in steps]


def row_strips(height: int, width: int) -> Iterator[slice]:
    """Cut rows into strips of about :data:`STRIP_CELLS` cells."""
    step = max(1, STRIP_CELLS // width)
    for row in range(0, height, step):
        yield slice(row, min(row + step, height))


def cell_areas_ha(grid: SceneGrid, rows: slice | None = None) -> NDArray[np.float64]:
    """Return the ground area of each cell of `grid`, or of some rows of it, in hectares, as a read-only array.

    In a geographic CRS it is the area on the ellipsoid, M N cos(lat) dlat dlon, with M and N the radii of
    curvature at the cell's centre (Snyder 1987, Map Projections, section 4): good to 1e-8 for cells of 0.01 degree.
    Otherwise it is the planar area of the CRS; where there is no CRS, in metres.
    """
    start, stop = (0, grid.height) if rows is None else (rows.start, rows.stop)
    shape = (stop - start, grid.width)
    plane = abs(grid.transform.determinant)
    if grid.crs is None:
        return np.broadcast_to(plane / _SQUARE_METRES_PER_HECTARE, shape)
    if not grid.crs.is_geographic:
        metres = float(grid.crs.linear_units_factor[1])
        return np.broadcast_to(plane * metres**2 / _SQUARE_METRES_PER_HECTARE, shape)
    ellipsoid = pyproj.CRS.from_wkt(grid.crs.to_wkt()).get_geod()
    assert ellipsoid is not None, "a geographic CRS without an ellipsoid"
    radians = float(grid.crs.units_factor[1])
    t = grid.transform
    cols = np.arange(grid.width if t.d else 1) + 0.5  # in a grid that is not rotated all cells of a row are equal
    lines = np.arange(start, stop)[:, np.newaxis] + 0.5
    latitude = (t.d * cols + t.e * lines + t.f) * radians
    bulge = 1 - ellipsoid.es * np.sin(latitude) ** 2
    radii = ellipsoid.a**2 * (1 - ellipsoid.es) / bulge**2  # M N, in square metres
    areas = plane * radians**2 * radii * np.cos(latitude).clip(0)
    return np.broadcast_to(areas / _SQUARE_METRES_PER_HECTARE, shape)


def sum_by_label(labels: NDArray[np.integer], values: NDArray[np.floating], count: int) -> NDArray[np.float64]:
    """Sum flat `values` over the cells of each of the `labels` 0..count-1; equal values sum exactly."""
    first = float(values[0]) if values.size else 0.0
    rest = np.bincount(labels, values - first, minlength=count)
    return np.asarray(np.bincount(labels, minlength=count) * first + rest, np.float64)


def class_areas(class_map: ClassMap) -> list[ClassArea]:
    """Return the area of each class, in the order of the legend, also of classes without cells.

    Shares are of the mapped area and sum to 100 where anything is mapped.
    """
    cells, areas, confidence = class_map.cell_counts(), class_map.areas_ha(), class_map.mean_confidence()
    total = float(areas.sum())
    return [
        ClassArea(
            value=c.value,
            name=c.name,
            title=c.title,
            cells=int(cells[c.value]),
            area_ha=float(areas[c.value]),
            share_percent=100 * float(areas[c.value]) / total if total else 0.0,
            mean_confidence=float(confidence[c.value]) if cells[c.value] else None,
        )
        for c in class_map.legend
    ]
