"""The connected regions of a map as polygons in world coordinates, exact or simplified."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray

from geokd.outputs.class_map import ClassMap
from geokd.outputs.connected import first_of_each_group
from geokd.outputs.dissolve import Regions, dissolve
from geokd.outputs.simplify import simplify_outlines

__all__ = ["Regions", "regions_of"]


def regions_of(class_map: ClassMap, simplify_m: float = 0.0) -> Iterator[Regions]:
    """Dissolve the cells of a map into its connected regions, in world coordinates, as soon as they are complete.

    What a strip ends with waits for the next strip; no region is cut, whatever the size of the strips. With
    `simplify_m` outlines are simplified (see :func:`geokd.outputs.simplify.simplify_outlines`), except for the corners
    on the lines between strips; cells, areas and confidences stay those of the cells.
    """
    transform = class_map.grid.transform
    if simplify_m == 0:
        yield from dissolve(class_map, class_map.strips(), transform)
        return
    for regions in _simplified(class_map, simplify_m):
        world = shapely.transform(regions.polygons, lambda x, y: transform @ (x, y), interleaved=False)
        yield replace(regions, polygons=world)


def _simplified(class_map: ClassMap, simplify_m: float) -> Iterator[Regions]:
    """Yield the regions with simplified polygons in (col, row) of the map."""
    waiting: Regions | None = None
    for rows in class_map.strips():
        found = _simplified_strip(class_map, rows, simplify_m)
        if waiting is not None:
            found = _joined_at(rows.start, waiting, found, class_map.grid.width)
        unfinished = shapely.bounds(found.polygons)[:, 3] == rows.stop
        if rows.stop == class_map.grid.height:
            unfinished[:] = False
        waiting = found.take(unfinished)
        yield found.take(~unfinished)


def _simplified_strip(class_map: ClassMap, rows: slice, simplify_m: float) -> Regions:
    """Return the regions of a strip on its own."""
    strip = class_map.part(rows)
    found = next(dissolve(strip, [slice(0, strip.grid.height)], Affine.translation(0, rows.start)))
    return replace(found, polygons=simplify_outlines(found.polygons, class_map, rows, simplify_m))


def _joined_at(seam: int, above: Regions, below: Regions, width: int) -> Regions:
    """Join regions of the same class that meet at a row; all of `above` end there, some of `below` begin there."""
    upper, lower = _regions_along(above, seam, width), _regions_along(below, seam, width)
    every = above.join(below)
    lower = np.where(lower >= 0, lower + len(above), -1)
    meet = (upper >= 0) & (lower >= 0)
    meet[meet] = every.codes[upper[meet]] == every.codes[lower[meet]]
    if not meet.any():
        return every
    first = first_of_each_group(len(every), np.stack([upper[meet], lower[meet]], axis=1))
    members = np.argsort(first, kind="stable")
    heads, starts = np.unique(first[members], return_index=True)
    groups = np.split(members, starts[1:])
    polygons = np.array(
        [every.polygons[g[0]] if len(g) == 1 else shapely.union_all(every.polygons[g]) for g in groups], dtype=object
    )
    cells, areas_ha = (np.add.reduceat(values[members], starts) for values in (every.cells, every.areas_ha))
    confidence = np.add.reduceat(every.confidence[members], starts)
    least = np.minimum.reduceat(every.least_confidence[members], starts)
    return Regions(polygons, every.codes[heads], cells, areas_ha, confidence, least)


def _regions_along(regions: Regions, seam: int, width: int) -> NDArray[np.int64]:
    """Tell which region has an edge on row `seam` at each column, (width,); -1 where none has."""
    along = np.full(width, -1, np.int64)
    rings, region_of_ring = shapely.get_rings(regions.polygons, return_index=True)
    corners, ring_of_corner = shapely.get_coordinates(rings, return_index=True)
    cols, rows = corners.astype(np.int64).T
    edges = (rows[:-1] == seam) & (rows[1:] == seam) & (np.diff(ring_of_corner) == 0)
    for start, stop, ring in zip(cols[:-1][edges], cols[1:][edges], ring_of_corner[1:][edges], strict=True):
        along[min(start, stop) : max(start, stop)] = region_of_ring[ring]
    return along
