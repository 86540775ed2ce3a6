"""A minimum mapping unit: smaller regions are merged with their neighbours.

Regions smaller than two cells are merged first, then those smaller than four, and so on, doubling up to the unit.
Within a step they are merged in the order of their first cells, row by row. A region is merged with the class with
which it shares the longest border at that time (in a tie, the lowest code); it then forms one region with its
neighbours of that class, whose area counts from the next step on. In the end, no region below the unit touches another
class.

Strips of the map are read from top to bottom, and joined into sections as large as memory allows. If one section holds
the whole map, all steps use its regions, without reading cells again. Otherwise each step is a pass over the map: the
result for a region depends only on those merged before it, and a region that may be merged soon is complete a few rows
below its first cell: regions wait until all earlier ones are complete. So the result does not depend on the height of
strips and sections, and little memory is needed, whatever the map.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from geokd.maps import class_map
from geokd.maps.class_map import cell_areas_ha, row_strips
from geokd.maps.filters.small_regions import SmallRegions, give_away, join, no_regions
from geokd.maps.polygons.connected import Runs, regions_of_runs, runs_of
from geokd.scenes.grid import SceneGrid

_CM2_PER_HECTARE = 1e8  # areas and lengths are integers: their sums do not depend on the order
_MM_PER_METRE = 1e3
_MOST_CM2 = 2**62
_HELD_STRIPS = 14  # regions, borders and runs of cells held in memory, as a multiple of a strip's cells
_FILLED = 100_000  # rows of cells that are written together


@dataclass(frozen=True)
class Sieved:
    """The result of a sieve.

    Parameters
    ----------
    merged : int
        Regions that were merged with a neighbour.
    left : int
        Regions that are too small but remain, because they touch no other class.
    """

    merged: int
    left: int


@dataclass(frozen=True, eq=False)
class _Section:
    """Strips that are processed together, and the regions carried over to them.

    Parameters
    ----------
    regions : SmallRegions
        Those carried, and those of the strips, joined.
    of_line : int64 array
        Region of each run of the last row.
    line : uint8 array (cols,)
        The last row, unfiltered.
    rows : slice
    """

    regions: SmallRegions
    of_line: NDArray[np.int64]
    line: NDArray[np.uint8]
    rows: slice


def sieve(codes: NDArray[np.uint8], grid: SceneGrid, classes: int, min_area_ha: float) -> Sieved:
    """Merge regions of less than `min_area_ha` with their neighbours, in place.

    Cells of other codes than 0..`classes` - 1 take no part.

    Parameters
    ----------
    codes : uint8 array (rows, cols), contiguous
    grid : SceneGrid
        Its cells.
    classes : int
    min_area_ha : float
        Ground area as in :func:`geokd.maps.class_map.cell_areas_ha`, each cell rounded to a square centimetre.

    Raises
    ------
    ValueError
        If the codes are not contiguous.
    """
    if not codes.flags.c_contiguous:
        raise ValueError("codes that are sieved in place must be contiguous, row by row")
    least_cm2 = min(round(min_area_ha * _CM2_PER_HECTARE), _MOST_CM2)
    cell_cm2 = min(int(_cell_areas_cm2(grid, rows).min()) for rows in row_strips(grid.height, grid.width))
    steps = list(_steps(2 * max(1, cell_cm2), least_cm2))
    merged = left = 0
    while steps:
        done, steps = _pass(codes, grid, classes, steps)
        merged, left = merged + done.merged, done.left
    return Sieved(merged, left)


def _steps(first: int, last: int) -> Iterator[int]:
    """Double `first` until it reaches `last`."""
    while first < last:
        yield first
        first *= 2
    yield last


def _pass(codes: NDArray[np.uint8], grid: SceneGrid, classes: int, steps: list[int]) -> tuple[Sieved, list[int]]:
    """Do the first step, or all if the map is a single section; also return the remaining steps."""
    merged = left = 0
    carried = _Section(no_regions(), np.zeros(0, np.int64), codes[0], slice(0, 0))
    while carried.rows.stop < grid.height:
        section = _next_section(codes, grid, classes, steps[-1], carried)
        if section.rows == slice(0, grid.height):
            return _all_steps(codes, section.regions, classes, steps), []
        regions, least_cm2 = section.regions, steps[0]
        on_line = np.zeros(len(regions), np.bool_)
        if section.rows.stop < grid.height:
            on_line[section.of_line] = True
        classified = regions.codes < classes
        small = classified & (regions.areas < least_cm2)
        incomplete = regions.first[small & on_line & ~regions.settled]
        going = small & (regions.first < incomplete.min(initial=codes.size))
        after, went = give_away(regions.with_borders_of(small, classified), going)
        merged, left = merged + int(went.sum()), left + int((going & ~after.settled).sum())
        _fill(codes, after.cells, went, after.codes)

        waiting = small & ~going
        kept = waiting | on_line
        after = after.with_borders_of(waiting, classified).take(kept)
        carried = _Section(after, (np.cumsum(kept) - 1)[section.of_line], section.line, section.rows)
    return Sieved(merged, left), steps[1:]


def _all_steps(codes: NDArray[np.uint8], regions: SmallRegions, classes: int, steps: list[int]) -> Sieved:
    """Do all steps with the regions of a whole map; its cells are changed only at the end."""
    merged = left = 0
    cells, before, number = regions.cells, regions.codes, np.arange(len(regions))
    regions = replace(regions, cells=cells[:, :0])
    for least_cm2 in steps:
        going = (regions.codes < classes) & (regions.areas < least_cm2)
        regions, went = give_away(regions, going)
        merged, left = merged + int(went.sum()), int((going & ~regions.settled).sum())
        regions, now = _joined_by_class(regions, classes, steps[-1])
        number = now[number]
    after = regions.codes[number]
    _fill(codes, cells, after != before, after)
    return Sieved(merged, left)


def _joined_by_class(regions: SmallRegions, classes: int, least_cm2: int) -> tuple[SmallRegions, NDArray[np.int64]]:
    """Join regions that touch others of their class; also return the new number of each."""
    near, code = regions.outer
    of_large = near[regions.codes[near] == code]  # these are part of one that is large enough
    one, other = regions.borders
    alike = np.flatnonzero(regions.codes[one] == regions.codes[other])
    joined, number = join([regions], regions.borders[:, alike].T.astype(np.int64), classes, least_cm2)
    areas, classified = joined.areas.copy(), joined.codes < classes
    areas[number[of_large]] = _MOST_CM2
    joined = replace(joined, areas=areas, settled=np.zeros(len(joined), np.bool_))
    return joined.with_borders_of(classified & (areas < least_cm2), classified), number


def _next_section(
    codes: NDArray[np.uint8], grid: SceneGrid, classes: int, least_cm2: int, carried: _Section
) -> _Section:
    """Read strips below those of `carried`, as many as memory allows."""
    pieces, pairs = [carried.regions], []
    shift, of_line, line, row = 0, carried.of_line, carried.line, carried.rows.stop
    held = carried.regions.size
    for strip in row_strips(grid.height, grid.width):
        if strip.start < row:
            continue
        shift += len(pieces[-1])
        above = int(strip.start > 0)
        near = np.concatenate([line[np.newaxis][:above], codes[strip]])
        piece, of_top, of_bottom = _look(near, strip, grid, classes, least_cm2)
        if above:
            pairs.append(np.column_stack([of_line, shift + of_top]))
        pieces.append(piece)
        of_line, line, row = shift + of_bottom, near[-1], strip.stop
        held += piece.size
        if held > _HELD_STRIPS * class_map.STRIP_CELLS:
            break
    regions, number = join(pieces, np.concatenate([np.zeros((0, 2), np.int64), *pairs]), classes, least_cm2)
    return _Section(regions, number[of_line], line.copy(), slice(carried.rows.stop, row))


def _look(
    near: NDArray[np.uint8], rows: slice, grid: SceneGrid, classes: int, least_cm2: int
) -> tuple[SmallRegions, NDArray[np.int64], NDArray[np.int64]]:
    """Return the regions of a strip `near`, which begins with the row above, and those of its first and last runs.

    Of regions of at least `least_cm2` cells and borders between them are left out; the row above has no area.
    """
    above = len(near) - (rows.stop - rows.start)
    runs = runs_of(near)
    region, heads = regions_of_runs(runs)
    begin = (rows.start - above + runs.rows) * grid.width + runs.starts
    areas = np.zeros(len(heads), np.int64)
    np.add.at(areas, region, _run_areas_cm2(runs, grid, rows, above))

    codes = runs.codes[heads]
    large = areas >= least_cm2
    large |= codes >= classes
    across, down = (max(1, round(side * _MM_PER_METRE)) for side in grid.pixel_size_m)
    beside = np.flatnonzero((runs.rows[:-1] == runs.rows[1:]) & (runs.rows[:-1] >= above))
    under = np.flatnonzero(~runs.touching_alike)
    upper, lower = region[runs.touching[under].T]
    borders, lengths = _summed_borders(
        np.concatenate([region[beside], upper]),
        np.concatenate([region[beside + 1], lower]),
        np.concatenate([np.full(len(beside), down), across * runs.shared[under]]),
        large,
    )
    own = np.flatnonzero(~large[region] & (runs.rows >= above))
    return (
        SmallRegions(
            codes,
            areas,
            begin[heads],
            np.zeros(len(heads), np.bool_),
            borders,
            lengths,
            np.zeros((2, 0), np.int32),
            np.zeros(0, np.int64),
            np.stack([begin[own], (runs.stops - runs.starts)[own], region[own]]).astype(np.int32),
        ),
        region[: np.searchsorted(runs.rows, 1)],
        region[np.searchsorted(runs.rows, len(near) - 1) :],
    )


def _summed_borders(
    one: NDArray[np.int64], other: NDArray[np.int64], lengths: NDArray[np.int64], large: NDArray[np.bool_]
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Sum the sides between regions of which one or both are not large: pairs (2, n), and sums (n,)."""
    kept = np.flatnonzero(~(large[one] & large[other]))
    one, other = one[kept], other[kept]
    pair = np.minimum(one, other) * len(large) + np.maximum(one, other)
    order = np.argsort(pair)
    pair = pair[order]
    starts = np.flatnonzero(np.diff(pair, prepend=-1))
    sums = np.add.reduceat(lengths[kept[order]], starts) if len(starts) else np.zeros(0, np.int64)
    return np.stack(np.divmod(pair[starts], len(large))).astype(np.int32), sums


def _fill(
    codes: NDArray[np.uint8], cells: NDArray[np.int32], which: NDArray[np.bool_], of_region: NDArray[np.uint8]
) -> None:
    """Write the codes of some regions into their cells."""
    flat = codes.reshape(-1)
    changed = which[cells[2]].nonzero()[0]
    for some in np.array_split(changed, 1 + len(changed) // _FILLED):
        begin, lengths, region = cells[:, some].astype(np.int64)
        offsets = np.cumsum(lengths) - lengths
        places = np.repeat(begin - offsets, lengths) + np.arange(lengths.sum())
        flat[places] = np.repeat(of_region[region], lengths)


def _run_areas_cm2(runs: Runs, grid: SceneGrid, rows: slice, above: int) -> NDArray[np.int64]:
    """Return the area of each run, (N,); nothing for those of the row above."""
    areas, row = _cell_areas_cm2(grid, rows), runs.rows - above
    if areas.strides[1] == 0:  # all cells of a row are equal
        found = areas[np.maximum(row, 0), 0] * (runs.stops - runs.starts)
    else:
        summed = np.pad(areas.cumsum(axis=1), ((0, 0), (1, 0)))
        found = summed[row, runs.stops] - summed[row, runs.starts]
    found[row < 0] = 0
    return np.asarray(found, np.int64)


def _cell_areas_cm2(grid: SceneGrid, rows: slice) -> NDArray[np.int64]:
    areas = cell_areas_ha(grid, rows)
    alike = areas[:, :1] if areas.strides[1] == 0 else areas
    return np.broadcast_to(np.rint(alike * _CM2_PER_HECTARE).astype(np.int64), areas.shape)
