"""The connected regions of a map as polygons in world coordinates, exact or simplified."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray

from geokd.maps.class_map import ClassMap
from geokd.maps.polygons.connected import first_of_each_group, numbered
from geokd.maps.polygons.dissolve import Regions, dissolve, summed_up
from geokd.maps.polygons.simplify import simplify_outlines

__all__ = ["Regions", "regions_of"]


def regions_of(class_map: ClassMap, simplify_m: float = 0.0) -> Iterator[Regions]:
    """Dissolve the cells of a map into its connected regions, in world coordinates, as soon as they are complete.

    Regions at the end of a strip wait for the next one; no region is cut, whatever the size of the strips. With
    `simplify_m` outlines are simplified (see :func:`geokd.maps.polygons.simplify.simplify_outlines`), except for the
    corners on the lines between strips; areas and confidences remain those of the cells.
    """
    transform = class_map.grid.transform
    if simplify_m == 0:
        yield from dissolve(class_map, class_map.strips(), transform)
        return
    for regions in _simplified(class_map, simplify_m):
        world = shapely.transform(regions.polygons, lambda x, y: transform @ (x, y), interleaved=False)
        yield replace(regions, polygons=world)


def _simplified(class_map: ClassMap, simplify_m: float) -> Iterator[Regions]:
    """Yield the regions with simplified polygons in (col, row) of the map; parts of a region wait for the rest."""
    height, width = class_map.grid.height, class_map.grid.width
    sums: Regions | None = None
    parts, region, upper = np.empty(0, object), np.zeros(0, np.int64), np.full(width, -1)
    for rows in class_map.strips():
        found = _simplified_strip(class_map, rows, simplify_m)
        before = 0 if sums is None else len(sums)
        sums = found if sums is None else sums.join(found)
        lower = _regions_along(found, rows.start, width)
        meet = np.flatnonzero((upper >= 0) & (lower >= 0))
        meet = meet[sums.codes[upper[meet]] == found.codes[lower[meet]]]
        pairs = np.stack([upper[meet], before + lower[meet]], axis=1)
        number, _ = numbered(first_of_each_group(len(sums), pairs))
        sums = summed_up(sums, number)
        parts = np.concatenate([parts, found.polygons])
        region = np.concatenate([number[region], number[before:]])

        bottom = _regions_along(found, rows.stop, width)
        unfinished = np.zeros(len(sums), np.bool_)
        if rows.stop < height:
            unfinished[number[before:][bottom[bottom >= 0]]] = True
        place, waits = np.cumsum(unfinished) - 1, unfinished[region]
        yield replace(sums.take(~unfinished), polygons=_united(parts[~waits], region[~waits]))
        upper = np.append(place[number[before:]], -1)[bottom]
        sums, parts, region = sums.take(unfinished), parts[waits], place[region[waits]]


def _simplified_strip(class_map: ClassMap, rows: slice, simplify_m: float) -> Regions:
    """Return the regions of a single strip."""
    strip = class_map.part(rows)
    found = next(dissolve(strip, [slice(0, strip.grid.height)], Affine.translation(0, rows.start)))
    return replace(found, polygons=simplify_outlines(found.polygons, class_map, rows, simplify_m))


def _united(parts: NDArray[np.object_], region: NDArray[np.int64]) -> NDArray[np.object_]:
    """Unite the parts of each region, in the order of these; neighbouring parts share all corners of a side."""
    order = np.argsort(region, kind="stable")
    parts, starts = parts[order], np.flatnonzero(np.diff(region[order], prepend=-1))
    united = parts[starts]
    stops = np.append(starts[1:], len(parts))
    for number in np.flatnonzero(stops - starts > 1):
        united[number] = shapely.coverage_union_all(parts[starts[number] : stops[number]])
    return united


def _regions_along(regions: Regions, line: int, width: int) -> NDArray[np.int64]:
    """Return which region has an edge on a line between rows at each column, (width,); -1 where none has."""
    along = np.full(width, -1, np.int64)
    rings, region_of_ring = shapely.get_rings(regions.polygons, return_index=True)
    corners, ring_of_corner = shapely.get_coordinates(rings, return_index=True)
    cols, rows = corners.astype(np.int64).T
    edges = (rows[:-1] == line) & (rows[1:] == line) & (np.diff(ring_of_corner) == 0)
    one, other = cols[:-1][edges], cols[1:][edges]
    left, lengths = np.minimum(one, other), np.abs(one - other)
    places = np.repeat(left - np.cumsum(lengths) + lengths, lengths) + np.arange(lengths.sum())
    along[places] = np.repeat(region_of_ring[ring_of_corner[1:][edges]], lengths)
    return along
