"""Simplified outlines for the regions of a map; neighbours keep common borders."""

import numpy as np
import shapely
from numpy.typing import NDArray

from geokd.maps.class_map import ClassMap


def simplify_outlines(
    outlines: NDArray[np.object_], class_map: ClassMap, rows: slice, simplify_m: float
) -> NDArray[np.object_]:
    """Remove corners whose triangle is smaller than a square of side `simplify_m` (Visvalingam and Whyatt 1993).

    A border is simplified once for both its sides, and borders never cross. Corners at which three regions meet are
    kept; so are all corners at the end of the map, and on the first and last line of the strip, where the next one
    continues.

    Parameters
    ----------
    outlines : object array (N,)
        All regions of some rows of a map, as polygons along the edges of the cells, in whole (col, row) of the map.
    class_map : ClassMap
        The whole map.
    rows : slice
        Which rows.
    simplify_m : float

    Returns
    -------
    object array (N,)
    """
    if len(outlines) == 0:
        return outlines
    across_m, down_m = class_map.grid.pixel_size_m
    stretch = np.array([1.0, down_m / across_m])  # shape of cells on the ground, in units of their width
    whole = _with_meeting_corners(outlines, _meetings(class_map.codes, rows), rows.start)
    simpler = shapely.coverage_simplify(
        shapely.transform(whole, lambda xy: xy * stretch), simplify_m / across_m, simplify_boundary=False
    )
    return np.asarray(shapely.transform(simpler, lambda xy: np.rint(xy / stretch)), dtype=object)


def _meetings(codes: NDArray[np.uint8], rows: slice) -> NDArray[np.bool_]:
    """Return at which corners of the cells of some rows, (rows + 1, cols + 1), three borders or more meet.

    Where another strip lies beyond the first or last line, that line counts as a border.
    """
    height, width = codes.shape
    first, last = max(rows.start - 1, 0), min(rows.stop + 1, height)
    around = np.full((rows.stop - rows.start + 2, width + 2), -1, np.int16)
    top = 1 - (rows.start - first)
    around[top : top + last - first, 1:-1] = codes[first:last]
    above, below = around[:-1], around[1:]
    up, down = above[:, :-1] != above[:, 1:], below[:, :-1] != below[:, 1:]
    level = above != below
    meet = up.astype(np.int8) + down + level[:, :-1] + level[:, 1:] >= 3
    if rows.start > 0:
        meet[0] = up[0] | down[0]
    if rows.stop < height:
        meet[-1] = up[-1] | down[-1]
    return np.asarray(meet, np.bool_)


def _with_meeting_corners(outlines: NDArray[np.object_], meet: NDArray[np.bool_], top: int) -> NDArray[np.object_]:
    """Add to rectilinear polygons the corners where other borders meet their sides; `meet` begins at row `top`."""
    _, corners, (ring_ends, polygon_ends) = shapely.to_ragged_array(outlines)
    step = np.zeros(corners.shape)
    step[:-1] = np.diff(corners, axis=0)
    step[ring_ends[1:] - 1] = 0  # from the end of a ring to the next one
    lengths = np.maximum(np.abs(step).sum(axis=1), 1).astype(np.int64)
    begin = np.cumsum(lengths) - lengths
    corner = np.repeat(np.arange(len(corners)), lengths)
    along = np.arange(len(corner)) - begin[corner]
    places = corners[corner] + np.sign(step)[corner] * along[:, np.newaxis]
    cols, lines = places.astype(np.int64).T
    kept = (along == 0) | meet[lines - top, cols]
    ends = np.concatenate([[0], np.cumsum(kept)])[np.append(begin, len(corner))[ring_ends]]
    found = shapely.from_ragged_array(shapely.GeometryType.POLYGON, places[kept], (ends, polygon_ends))
    return np.asarray(found, dtype=object)
