"""The connected regions of a map as polygons. Large maps are taken strip by strip, and put together at the seams."""

from array import array
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace

import numpy as np
import rasterio.features
import shapely
from numpy.typing import NDArray

from geokd.legend import NODATA
from geokd.outputs.class_map import ClassMap, cell_areas_ha, sum_by_label
from geokd.outputs.connected import connected_labels, first_of_each_group
from geokd.outputs.simplify import simplify_outlines


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
        How many it has.
    areas_ha : float64 array (N,)
        Sum of the areas of its cells (see :func:`geokd.outputs.class_map.cell_areas_ha`), in hectares.
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


def regions_of(class_map: ClassMap, simplify_m: float = 0.0) -> Iterator[Regions]:
    """Dissolve the cells of a map into its connected regions, in world coordinates, as soon as they are complete.

    What a strip ends with waits for the next strip; no region is cut, whatever the size of the strips. With
    `simplify_m` outlines are simplified (see :func:`geokd.outputs.simplify.simplify_outlines`), except for the corners
    on the lines between strips; cells, areas and confidences stay those of the cells.
    """
    transform = class_map.grid.transform
    waiting: Regions | None = None
    for rows in class_map.strips():
        found = _regions_of_strip(class_map.part(rows), rows.start)
        if simplify_m > 0:
            found = replace(found, polygons=simplify_outlines(found.polygons, class_map, rows, simplify_m))
        if waiting is not None:
            found = _joined_at(rows.start, waiting, found, class_map.grid.width, straight_corners=simplify_m > 0)
        unfinished = shapely.bounds(found.polygons)[:, 3] == rows.stop
        if rows.stop == class_map.grid.height:
            unfinished[:] = False
        waiting = found.take(unfinished)
        complete = found.take(~unfinished)
        world = shapely.transform(complete.polygons, lambda x, y: transform @ (x, y), interleaved=False)
        yield replace(complete, polygons=world)


def _regions_of_strip(strip: ClassMap, top: int) -> Regions:
    """Dissolve a strip of a map that begins at row `top`; corners of the polygons are whole (col, row) of the map."""
    labels, count = connected_labels(strip.codes)
    flat, confidence = labels.ravel(), strip.confidence.ravel().astype(np.float64)
    codes, least = np.empty(count, np.uint8), np.full(count, NODATA, np.uint8)
    codes[flat] = strip.codes.ravel()
    np.minimum.at(least, flat, strip.confidence.ravel())
    outlines, which = _outlines(labels, strip.mapped)
    return Regions(
        shapely.transform(outlines, lambda xy: np.add(xy, (0, top))) if len(outlines) else outlines,
        codes[which],
        np.bincount(flat, minlength=count)[which],
        sum_by_label(flat, cell_areas_ha(strip.grid).ravel(), count)[which],  # exact where all cells are alike
        sum_by_label(flat, confidence, count)[which],
        least[which],
    )


def _outlines(labels: NDArray[np.int32], mapped: NDArray[np.bool_]) -> tuple[NDArray[np.object_], NDArray[np.int64]]:
    """Outline regions as polygons whose corners are whole (col, row) of the strip; and the label of each."""
    corners, which = array("d"), array("q")
    rings, polygons = array("q", [0]), array("q", [0])  # where each ring and each polygon ends
    for outline, label in rasterio.features.shapes(labels, mask=mapped, connectivity=4):
        which.append(int(label))
        for ring in outline["coordinates"]:
            for corner in ring:
                corners.extend(corner)
            rings.append(rings[-1] + len(ring))
        polygons.append(len(rings) - 1)
    offsets = np.frombuffer(rings, np.int64), np.frombuffer(polygons, np.int64)
    places = np.frombuffer(corners, np.float64).reshape(-1, 2)
    found = shapely.from_ragged_array(shapely.GeometryType.POLYGON, places, offsets)
    return np.asarray(found, dtype=object), np.frombuffer(which, np.int64)


def _joined_at(seam: int, above: Regions, below: Regions, width: int, *, straight_corners: bool) -> Regions:
    """Join regions of the same class that meet at a row; all of `above` end there, some of `below` begin there.

    Corners at which outlines go straight on are left out, unless `straight_corners` are to stay.
    """
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
        [
            every.polygons[g[0]] if len(g) == 1 else _union(every.polygons[g], straight_corners=straight_corners)
            for g in groups
        ],
        dtype=object,
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


def _union(polygons: NDArray[np.object_], *, straight_corners: bool) -> shapely.Polygon:
    joined = shapely.union_all(polygons)
    return joined if straight_corners else _without_straight_corners(joined)


def _without_straight_corners(polygon: shapely.Polygon) -> shapely.Polygon:
    """Leave out corners of a rectilinear polygon at which it goes straight on."""

    def ring(line: shapely.LinearRing) -> NDArray[np.float64]:
        corners = shapely.get_coordinates(line)[:-1]
        before, after = corners - np.roll(corners, 1, axis=0), np.roll(corners, -1, axis=0) - corners
        turns = before[:, 0] * after[:, 1] != before[:, 1] * after[:, 0]
        return np.asarray(corners[turns], np.float64)

    return shapely.Polygon(ring(polygon.exterior), [ring(hole) for hole in polygon.interiors])
