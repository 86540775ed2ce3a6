"""A minimum mapping unit: regions smaller than it go to their neighbours.

The smallest region goes first (of equals the one whose first cell, row by row, comes first), to the class with which it
shares the longest border (of equals the one of the lowest code). It then is one with what it touches of that class, and
goes again if both together are too small still. So no region below the unit is left that touches another class at all.

Strips of the map are taken from above downwards. Regions of enough area never change, so what becomes of a small
region depends on those small ones alone that hang together with it. They are held until the strips have passed all of
them, and nothing depends on how high strips are. That few hang together is seen to by taking the unit in steps, each
twice the one before: since the smallest goes first anyway, the result is the same.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from heapq import heapify, heappop, heappush

import numpy as np
from numpy.typing import NDArray

from geokd.mapping.small_regions import BorderGraph, SmallRegions
from geokd.outputs.class_map import cell_areas_ha, row_strips
from geokd.outputs.connected import first_of_each_group, runs_of
from geokd.scenes.grid import SceneGrid

_CM2_PER_HECTARE = 1e8  # areas and lengths are whole numbers: their sums do not depend on the order
_MM_PER_METRE = 1e3
_MOST_CM2 = 2**62


@dataclass(frozen=True)
class Sieved:
    """What a sieve did.

    Parameters
    ----------
    merged : int
        Regions that went to a neighbour.
    left : int
        Regions that are too small and stayed, since they touch no class.
    """

    merged: int
    left: int


@dataclass(frozen=True, eq=False)
class _Seam:
    """What is carried from one strip to the next.

    Parameters
    ----------
    line : uint8 array (cols,)
        The row above, as it was.
    of_line : int64 array
        Region of each run of it.
    regions : SmallRegions
        Those of that row, and small ones of which it is not known yet what becomes of them.
    """

    line: NDArray[np.uint8]
    of_line: NDArray[np.int64]
    regions: SmallRegions


def sieve(codes: NDArray[np.uint8], grid: SceneGrid, classes: int, min_area_ha: float) -> Sieved:
    """Give regions of less than `min_area_ha` to their neighbours, in place.

    Cells of other codes than 0..`classes` - 1 neither go nor take.

    Parameters
    ----------
    codes : uint8 array (rows, cols), contiguous
    grid : SceneGrid
        Its cells.
    classes : int
    min_area_ha : float
        On the ground, as :func:`geokd.outputs.class_map.cell_areas_ha` measures it, each cell to a square centimetre.
    """
    least_cm2 = min(round(min_area_ha * _CM2_PER_HECTARE), _MOST_CM2)
    cell_cm2 = max(1, int(_cell_areas_cm2(grid, slice(0, 1)).min()))
    merged = left = 0
    for step_cm2 in _steps(2 * cell_cm2, least_cm2):
        done = _sieve_once(codes, grid, classes, step_cm2)
        merged, left = merged + done.merged, done.left
    return Sieved(merged, left)


def _steps(first: int, last: int) -> Iterator[int]:
    """Double `first` until it reaches `last`."""
    while first < last:
        yield first
        first *= 2
    yield last


def _sieve_once(codes: NDArray[np.uint8], grid: SceneGrid, classes: int, least_cm2: int) -> Sieved:
    merged = left = 0
    seam = _Seam(codes[0], np.zeros(0, np.int64), _no_regions())
    for rows in row_strips(grid.height, grid.width):
        line = codes[rows.stop - 1].copy()
        regions, of_line = _look(codes[rows], rows, grid, seam)
        classified = regions.codes < classes
        small = classified & (regions.areas < least_cm2)
        regions = _with_outer(regions, classified, small)

        cluster = first_of_each_group(len(regions), regions.borders[:, :2])
        on_line = np.zeros(len(regions), np.bool_)
        if rows.stop < grid.height:
            on_line[of_line] = True
        waiting = small & np.isin(cluster, cluster[small & on_line])
        ready = regions.take(small & ~waiting)
        after, done = _merge(ready, least_cm2)
        _fill(codes, ready, after)
        merged, left = merged + done.merged, left + done.left

        carried = waiting | on_line
        seam = _Seam(line, (np.cumsum(carried) - 1)[of_line], regions.take(carried))
    return Sieved(merged, left)


def _look(
    codes: NDArray[np.uint8], rows: slice, grid: SceneGrid, seam: _Seam
) -> tuple[SmallRegions, NDArray[np.int64]]:
    """Return the regions of a strip, joined to those carried; and the region of each run of its last row."""
    above, old = int(rows.start > 0), len(seam.regions)
    runs = runs_of(np.concatenate([seam.line[np.newaxis][:above], codes]))
    thing = old + np.arange(len(runs))
    alike = runs.touching_alike
    pairs = np.concatenate([old + runs.touching[alike], np.column_stack([seam.of_line, thing[: len(seam.of_line)]])])
    head, region = np.unique(first_of_each_group(old + len(runs), pairs), return_inverse=True)
    before, of_run = region[:old], region[old:]

    own = runs.rows >= above
    begin = (rows.start - above + runs.rows) * grid.width + runs.starts
    end = begin + runs.stops - runs.starts
    summed = np.pad(_cell_areas_cm2(grid, rows).cumsum(axis=1), ((above, 0), (1, 0)))
    areas, first = np.zeros(len(head), np.int64), np.full(len(head), codes.size + end[-1])
    run_areas = summed[runs.rows, runs.stops] - summed[runs.rows, runs.starts]
    np.add.at(areas, region, np.concatenate([seam.regions.areas, run_areas]))
    np.minimum.at(first, region, np.concatenate([seam.regions.first, begin]))

    across, down = (max(1, round(side * _MM_PER_METRE)) for side in grid.pixel_size_m)
    beside = np.flatnonzero((np.diff(runs.rows) == 0) & own[:-1])
    upper, lower = runs.touching[~alike].T
    cells, borders = seam.regions.cells, seam.regions.borders
    return SmallRegions(
        np.concatenate([seam.regions.codes, runs.codes])[head],
        areas,
        first,
        np.concatenate(
            [
                np.column_stack([before[borders[:, :2]], borders[:, 2]]),
                np.column_stack([of_run[beside], of_run[beside + 1], np.full(len(beside), down)]),
                np.column_stack([of_run[upper], of_run[lower], across * runs.shared[~alike]]),
            ]
        ),
        np.column_stack([before[seam.regions.outer[:, 0]], seam.regions.outer[:, 1:]]),
        np.concatenate(
            [
                np.column_stack([cells[:, :2], before[cells[:, 2]]]),
                np.column_stack([begin, end, of_run])[own],
            ]
        ),
    ), of_run[runs.rows == runs.rows[-1]]


def _with_outer(regions: SmallRegions, classified: NDArray[np.bool_], small: NDArray[np.bool_]) -> SmallRegions:
    """Keep borders between small regions; those with others count for the others' classes."""
    one, other, _ = regions.borders.T
    both = regions.borders[small[one] & small[other]]
    outer = [regions.outer[small[regions.outer[:, 0]]]]
    for inside, outside in ((0, 1), (1, 0)):
        near, far = regions.borders[:, inside], regions.borders[:, outside]
        mixed = small[near] & ~small[far] & classified[far]
        outer.append(np.column_stack([near, regions.codes[far], regions.borders[:, 2]])[mixed])
    cells = regions.cells[small[regions.cells[:, 2]]]
    return replace(regions, borders=both, outer=np.concatenate(outer), cells=cells)


def _merge(regions: SmallRegions, least_cm2: int) -> tuple[NDArray[np.uint8], Sieved]:
    """Decide what class small regions have in the end; of all of them nothing more is to come."""
    graph = BorderGraph(regions, least_cm2)
    queue = [graph.key(region) for region in range(len(regions))]
    heapify(queue)
    merged = left = 0
    while queue:
        *_, region = key = heappop(queue)
        if key != graph.key(region):
            continue  # it has joined another, or another it
        lengths = graph.border_lengths(region)
        if not lengths:
            left += 1
            continue
        merged += 1
        graph.give(region, max(lengths, key=lambda code: (lengths[code], -code)))
        if graph.is_small(region):
            heappush(queue, graph.key(region))
    return graph.codes_at_the_end(), Sieved(merged, left)


def _fill(codes: NDArray[np.uint8], regions: SmallRegions, after: NDArray[np.uint8]) -> None:
    """Write what classes regions have now, (N,)."""
    begin, end, region = regions.cells[after[regions.cells[:, 2]] != regions.codes[regions.cells[:, 2]]].T
    lengths = end - begin
    offsets = np.cumsum(lengths) - lengths
    places = np.repeat(begin - offsets, lengths) + np.arange(lengths.sum())
    codes.reshape(-1)[places] = np.repeat(after[region], lengths)


def _no_regions() -> SmallRegions:
    none, triples = np.zeros(0, np.int64), np.zeros((0, 3), np.int64)
    return SmallRegions(np.zeros(0, np.uint8), none, none, triples, triples, triples)


def _cell_areas_cm2(grid: SceneGrid, rows: slice) -> NDArray[np.int64]:
    return np.rint(cell_areas_ha(grid, rows) * _CM2_PER_HECTARE).astype(np.int64)
