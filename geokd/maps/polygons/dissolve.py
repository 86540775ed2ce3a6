"""Dissolving the cells of a map into connected regions, strip by strip."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields, replace

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from geokd.legend.classes import NODATA
from geokd.maps.class_map import ClassMap, cell_areas_ha
from geokd.maps.polygons.connected import Runs, first_of_each_group, numbered, regions_of_runs, runs_of
from geokd.maps.polygons.outlines import Pieces, Touches, no_pieces, polygons, trace


@dataclass(frozen=True, eq=False)
class Regions:
    """Connected regions of a class map, N of them: cells that share a side and a class.

    Parameters
    ----------
    polygons : object array (N,)
        Shapely polygons along the edges of the cells, or simplified.
    codes : uint8 array (N,)
        Class of each region.
    cells : int64 array (N,)
        Number of its cells.
    areas_ha : float64 array (N,)
        Sum of the areas of its cells (see :func:`geokd.maps.class_map.cell_areas_ha`), in hectares.
    confidence : float64 array (N,)
        Sum of the confidences of its cells in percent.
    least_confidence : uint8 array (N,)
        The lowest of them.
    """

    polygons: NDArray[np.object_]
    codes: NDArray[np.uint8]
    cells: NDArray[np.int64]
    areas_ha: NDArray[np.float64]
    confidence: NDArray[np.float64]
    least_confidence: NDArray[np.uint8]

    def __len__(self) -> int:
        """Return how many regions there are."""
        return len(self.codes)

    def take(self, which: NDArray[np.generic]) -> "Regions":
        """Return some of the regions, by a mask or by numbers."""
        return Regions(*(getattr(self, field.name)[which] for field in fields(self)))

    def join(self, other: "Regions") -> "Regions":
        """Return these regions, then those of `other`."""
        return Regions(*(np.concatenate([getattr(self, f.name), getattr(other, f.name)]) for f in fields(self)))


@dataclass(frozen=True, eq=False)
class _Waiting:
    """State carried from one strip to the next.

    Parameters
    ----------
    sums : Regions
        Regions of the last row, without polygons.
    pieces, touches
        Of their outlines.
    of_line : int64 array
        Region of each run of the last row.
    line : uint8 array (cols,)
        The last row.
    named : int
        Number of runs above it.
    """

    sums: Regions
    pieces: Pieces
    touches: Touches
    of_line: NDArray[np.int64]
    line: NDArray[np.uint8]
    named: int


def dissolve(class_map: ClassMap, strips: Iterable[slice], transform: Affine) -> Iterator[Regions]:
    """Dissolve the cells of a map into its connected regions, as soon as they are complete.

    Polygons have corners only where they turn. Regions at the end of a strip wait for the next one: only the order of
    the regions and the first corners of rings depend on the strips.

    Parameters
    ----------
    class_map : ClassMap
    strips : iterable of slice
        Its rows from the first to the last, in pieces.
    transform : Affine
        From (col, row) of the map to the corners of the polygons.
    """
    beyond = np.full(class_map.grid.width, NODATA, np.uint8)  # above the first row and below the last
    none = Regions(*(np.zeros(0, kind) for kind in (object, np.uint8, np.int64, np.float64, np.float64, np.uint8)))
    waiting = _Waiting(none, *no_pieces(), np.zeros(0, np.int64), beyond, 0)
    for rows in strips:
        last = rows.stop == class_map.grid.height
        near = np.concatenate([waiting.line[np.newaxis], class_map.codes[rows], beyond[np.newaxis][: int(last)]])
        runs = runs_of(near)
        of_run, heads = regions_of_runs(runs)
        before, outlined = len(waiting.sums), runs.codes != NODATA
        pieces, touches = trace(runs, outlined, before + of_run, rows.start - 1, waiting.named)
        pairs = np.stack([waiting.of_line, before + of_run[: len(waiting.of_line)]], axis=1)
        number, _ = numbered(first_of_each_group(before + len(heads), pairs))
        sums = summed_up(waiting.sums.join(_sums(runs, of_run, len(heads), class_map, rows)), number)
        pieces, touches = waiting.pieces.join(pieces), waiting.touches.join(touches)
        pieces = replace(pieces, regions=number[pieces.regions])
        touches = replace(touches, regions=number[touches.regions])

        bottom = int(np.searchsorted(runs.rows, runs.rows[-1]))
        open_ = np.zeros(len(sums), np.bool_)
        of_line = number[before + of_run[bottom:]]
        if not last:
            open_[of_line] = True
        complete = ~open_ & (sums.codes != NODATA)
        yield _with_polygons(sums, pieces, touches, complete, transform)
        place = np.cumsum(open_) - 1
        pieces = pieces.take(open_[pieces.regions])
        touches = touches.within(open_)
        pieces = replace(pieces, regions=place[pieces.regions])
        touches = replace(touches, regions=place[touches.regions])
        waiting = _Waiting(sums.take(open_), pieces, touches, place[of_line], near[-1], waiting.named + bottom)


def _with_polygons(
    sums: Regions, pieces: Pieces, touches: Touches, which: NDArray[np.bool_], transform: Affine
) -> Regions:
    """Return some of the regions with their polygons."""
    place = np.cumsum(which) - 1
    pieces = pieces.take(which[pieces.regions])
    touches = touches.within(which)
    pieces = replace(pieces, regions=place[pieces.regions])
    touches = replace(touches, regions=place[touches.regions])
    chosen = sums.take(which)
    return replace(chosen, polygons=polygons(pieces, touches, len(chosen), transform))


def _sums(runs: Runs, of_run: NDArray[np.int64], count: int, class_map: ClassMap, rows: slice) -> Regions:
    """Sum the cells of `rows` by regions; the first of the runs are of the row above, the last may lie below."""
    own = slice(*np.searchsorted(runs.rows, [1, rows.stop - rows.start + 1]).tolist())
    region, lengths = of_run[own], (runs.stops - runs.starts)[own]
    begin = np.cumsum(lengths) - lengths
    confidence = class_map.confidence[rows].reshape(-1)
    codes, least = np.empty(count, np.uint8), np.full(count, NODATA, np.uint8)
    codes[of_run] = runs.codes
    np.minimum.at(least, region, np.minimum.reduceat(confidence, begin))
    cells = _summed(region, lengths, count)
    areas = cell_areas_ha(class_map.grid, rows)
    typical = float(areas[0, 0])  # sums are exact where all cells are equal
    areas_ha = cells * typical
    if areas.strides != (0, 0):
        rest = np.add.reduceat(areas.reshape(-1) - typical, begin)
        areas_ha += _summed(region, rest, count)
    summed = _summed(region, np.add.reduceat(confidence, begin, dtype=np.int64), count)
    return Regions(np.empty(count, object), codes, cells.astype(np.int64), areas_ha, summed, least)


def summed_up(regions: Regions, number: NDArray[np.int64]) -> Regions:
    """Join regions with the same `number`, (N,); polygons are left out."""
    count = int(number.max(initial=-1)) + 1
    codes, least = np.empty(count, np.uint8), np.full(count, NODATA, np.uint8)
    codes[number] = regions.codes
    np.minimum.at(least, number, regions.least_confidence)
    cells, areas_ha, confidence = (
        _summed(number, values, count) for values in (regions.cells, regions.areas_ha, regions.confidence)
    )
    return Regions(np.empty(count, object), codes, cells.astype(np.int64), areas_ha, confidence, least)


def _summed(number: NDArray[np.int64], values: NDArray[np.generic], count: int) -> NDArray[np.float64]:
    return np.asarray(np.bincount(number, values, minlength=count), np.float64)
