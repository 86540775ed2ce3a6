"""A minimum mapping unit: regions smaller than it go to their neighbours.

Regions smaller than two cells go first, then those smaller than four, and so on, each step twice the one before, up to
the unit. Within a step they go in the order of their first cells, row by row. A region goes to the class with which it
shares the longest border (of equals the one of the lowest code), as its neighbours are by then; with what it touches of
that class it is one from there on, and has the area of the step. So no region below the unit is left that touches
another class at all.

Strips of the map are taken from above downwards. What becomes of a region depends on those alone that go before it, and
a region that may go soon is complete a few rows below its first cell: regions wait until all that go before them are
complete. So nothing depends on how high strips are, and little is held besides a strip, whatever the map.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geokd.mapping.small_regions import SmallRegions, give_away, no_regions
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
    cell_cm2 = min(int(_cell_areas_cm2(grid, rows).min()) for rows in row_strips(grid.height, grid.width))
    merged = left = 0
    for step_cm2 in _steps(2 * max(1, cell_cm2), least_cm2):
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
    seam = _Seam(codes[0], np.zeros(0, np.int64), no_regions())
    for rows in row_strips(grid.height, grid.width):
        line = codes[rows.stop - 1].copy()
        regions, of_line = _look(codes[rows], rows, grid, seam)
        on_line = np.zeros(len(regions), np.bool_)
        if rows.stop < grid.height:
            on_line[of_line] = True

        classified = regions.codes < classes
        small = classified & (regions.areas < least_cm2)
        incomplete = regions.first[small & on_line & ~regions.settled]
        going = small & (regions.first < incomplete.min(initial=codes.size))
        after, went = give_away(regions.with_borders_of(small, classified), going)
        merged, left = merged + int(went.sum()), left + int((going & ~after.settled).sum())
        _fill(codes, after, went)

        waiting = small & ~going
        carried = waiting | on_line
        after = after.with_borders_of(waiting, classified).take(carried)
        seam = _Seam(line, (np.cumsum(carried) - 1)[of_line], after)
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
    areas, first = np.zeros(len(head), np.int64), np.full(len(head), end[-1])
    run_areas = summed[runs.rows, runs.stops] - summed[runs.rows, runs.starts]
    np.add.at(areas, region, np.concatenate([seam.regions.areas, run_areas]))
    np.minimum.at(first, region, np.concatenate([seam.regions.first, begin]))

    across, down = (max(1, round(side * _MM_PER_METRE)) for side in grid.pixel_size_m)
    beside = np.flatnonzero((np.diff(runs.rows) == 0) & own[:-1])
    upper, lower = runs.touching[~alike].T
    cells, borders = seam.regions.cells, seam.regions.borders
    settled = np.zeros(len(head), np.bool_)
    settled[before[seam.regions.settled]] = True
    return SmallRegions(
        np.concatenate([seam.regions.codes, runs.codes])[head],
        areas,
        first,
        settled,
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


def _fill(codes: NDArray[np.uint8], regions: SmallRegions, which: NDArray[np.bool_]) -> None:
    """Write the codes of some regions into their cells."""
    begin, end, region = regions.cells[which[regions.cells[:, 2]]].T
    lengths = end - begin
    offsets = np.cumsum(lengths) - lengths
    places = np.repeat(begin - offsets, lengths) + np.arange(lengths.sum())
    codes.reshape(-1)[places] = np.repeat(regions.codes[region], lengths)


def _cell_areas_cm2(grid: SceneGrid, rows: slice) -> NDArray[np.int64]:
    return np.rint(cell_areas_ha(grid, rows) * _CM2_PER_HECTARE).astype(np.int64)
