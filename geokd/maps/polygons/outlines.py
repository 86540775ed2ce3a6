"""The outlines of connected regions along the edges of their cells, found in pieces, strip by strip.

Each run of cells of one class in a row has a right side, walked downwards, and a left side, walked upwards. Where a
side ends, the outline continues to another side, directly or along the line between two rows: so the sides of all runs
form rings, with their region on the right in a map whose rows run downwards. Of a ring, those corners are stored from
which it runs along a line: from (x, y) to the x of the next such corner, and from there along the column.

Where two runs of a class touch only at a corner, the ring continues along the same run; if both belong to one region,
its ring would touch itself there, and is split into two rings: a hole and the ring around it.
"""

from dataclasses import dataclass, fields

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray

from geokd.maps.polygons.connected import Runs


@dataclass(frozen=True, eq=False)
class Pieces:
    """Pieces of outlines, N of them, each from a head to before the next head.

    Parameters
    ----------
    regions : int64 array (N,)
        The region that each is an outline of.
    heads, nexts : int64 arrays (N,)
        Names of its first side and of the side after its last.
    counts : int64 array (N,)
        Number of corners of each; all corners one after the other:
    corners : int32 array (2, M), columns and lines
    """

    regions: NDArray[np.int64]
    heads: NDArray[np.int64]
    nexts: NDArray[np.int64]
    counts: NDArray[np.int64]
    corners: NDArray[np.int32]

    def __len__(self) -> int:
        """Return how many pieces there are."""
        return len(self.heads)

    def take(self, which: NDArray[np.bool_]) -> "Pieces":
        """Return some of the pieces, by a mask."""
        corners = self.corners[:, np.repeat(which, self.counts)]
        return Pieces(self.regions[which], self.heads[which], self.nexts[which], self.counts[which], corners)

    def join(self, other: "Pieces") -> "Pieces":
        """Return these pieces, then those of `other`."""
        return Pieces(*(np.concatenate([getattr(self, f.name), getattr(other, f.name)], axis=-1) for f in fields(self)))


@dataclass(frozen=True, eq=False)
class Touches:
    """Corners at which two runs of a class touch, N of them: two heads are swapped if both runs are of one region.

    Parameters
    ----------
    regions : int64 array (N, 2)
    heads : int64 array (N, 2)
    falling : bool array (N,)
        Whether the upper run is the left one. These come first.
    """

    regions: NDArray[np.int64]
    heads: NDArray[np.int64]
    falling: NDArray[np.bool_]

    def within(self, chosen: NDArray[np.bool_]) -> "Touches":
        """Return those between regions of which both are `chosen`, by a mask of regions."""
        which = chosen[self.regions[:, 0]] & chosen[self.regions[:, 1]]
        return Touches(self.regions[which], self.heads[which], self.falling[which])

    def join(self, other: "Touches") -> "Touches":
        """Return these, then those of `other`."""
        return Touches(*(np.concatenate([getattr(self, f.name), getattr(other, f.name)]) for f in fields(self)))


def no_pieces() -> tuple[Pieces, Touches]:
    """Return none."""
    none, pairs = np.zeros(0, np.int64), np.zeros((0, 2), np.int64)
    return Pieces(none, none, none, none, np.zeros((2, 0), np.int32)), Touches(pairs, pairs, np.zeros(0, np.bool_))


def trace(
    runs: Runs, outlined: NDArray[np.bool_], regions: NDArray[np.int64], top: int, named: int
) -> tuple[Pieces, Touches]:
    """Find the pieces of outlines between the first and the last row of some runs.

    Of the first row only the right sides are walked, of the last row only the left ones: the others belong to the rows
    above and below. A side's name is twice the number of its run, counted from `named`; left sides are odd.

    Parameters
    ----------
    runs : Runs
        Of two rows or more.
    outlined : bool array (N,)
        Which of the runs have outlines.
    regions : int64 array (N,)
    top : int
        Line on which the first row begins.
    named : int
    """
    last = runs.rows[-1]
    following = _following(runs, outlined)
    touches = _touches(runs, outlined)
    x = np.stack([runs.stops, runs.starts], axis=1).reshape(-1)
    row = np.repeat(runs.rows, 2)
    head = (row == 0) | (row == last)
    down = following[1::2][outlined]  # what follows left sides: right ones are where an outline turns downwards
    head[down[down % 2 == 0]] = True
    swapped = []
    for falling, (upper, lower) in zip((True, False), touches, strict=True):
        one, other = (following[2 * upper], following[2 * lower + 1]) if falling else (2 * upper + 1, 2 * lower)
        swapped.append(np.stack([one, other], axis=1))
        head[swapped[-1]] = True
    walked = np.stack([runs.rows < last, runs.rows > 0], axis=1) & outlined[:, np.newaxis]
    starts = np.flatnonzero(head & walked.reshape(-1))
    sides, counts, nexts = _walk(starts, following, head)
    cornered = x[sides] != x[following[sides]]
    ends = np.cumsum(counts)
    kept = np.append(0, np.cumsum(cornered))
    sides = sides[cornered]
    corners = np.stack([x[sides], top + row[sides] + (sides % 2 == 0)]).astype(np.int32)
    pairs = np.concatenate([np.stack(pair, axis=1) for pair in touches])
    return (
        Pieces(regions[starts // 2], 2 * named + starts, 2 * named + nexts, kept[ends] - kept[ends - counts], corners),
        Touches(
            regions[pairs],
            2 * named + np.concatenate(swapped),
            np.repeat([True, False], [len(touches[0][0]), len(touches[1][0])]),
        ),
    )


def _following(runs: Runs, outlined: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return which side follows each side, (2 N,): right sides 0, 2, .. and left ones 1, 3, .. of the runs."""
    following = np.arange(2 * len(runs)).reshape(-1, 2)[:, ::-1].copy()  # along the lower or the upper side of a run
    upper, lower = runs.touching[runs.touching_alike & outlined[runs.touching[:, 0]]].T
    if len(upper):
        same_upper, same_lower = upper[1:] == upper[:-1], lower[1:] == lower[:-1]
        right = np.append(np.where(same_lower, 2 * upper[1:] + 1, 2 * lower[:-1]), 2 * lower[-1])
        left = np.append(2 * upper[0] + 1, np.where(same_upper, 2 * lower[:-1], 2 * upper[1:] + 1))
        of_upper, of_lower = np.append(~same_upper, True), np.append(True, ~same_lower)
        following[upper[of_upper], 0] = right[of_upper]
        following[lower[of_lower], 1] = left[of_lower]
    return following.reshape(-1)


def _touches(runs: Runs, outlined: NDArray[np.bool_]) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Return the upper and lower runs of one class that touch only at a corner: falling ones, then rising ones."""
    upper, lower = runs.touching.T
    corner = np.flatnonzero((upper[1:] != upper[:-1]) & (lower[1:] != lower[:-1]))
    corner = corner[runs.rows[upper[corner]] == runs.rows[upper[corner + 1]]]
    found = []
    for one, other in ((upper[corner], lower[corner + 1]), (upper[corner + 1], lower[corner])):
        alike = (runs.codes[one] == runs.codes[other]) & outlined[one]
        found.append((one[alike], other[alike]))
    return found


def _walk(
    starts: NDArray[np.int64], following: NDArray[np.int64], head: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Walk from all `starts` at once, each up to a head: sides piece by piece; their number; the heads after them."""
    piece, at = np.arange(len(starts)), starts
    nexts, counts = np.zeros(len(starts), np.int64), np.zeros(len(starts), np.int64)
    rounds = []
    while len(piece):
        rounds.append((piece, at))
        at = following[at]
        ends = head[at]
        nexts[piece[ends]], counts[piece[ends]] = at[ends], len(rounds)
        piece, at = piece[~ends], at[~ends]
    begin = np.cumsum(counts) - counts
    sides = np.empty(int(counts.sum()), np.int64)
    for step, (piece, at) in enumerate(rounds):
        sides[begin[piece] + step] = at
    return sides, counts, nexts


def polygons(pieces: Pieces, touches: Touches, count: int, transform: Affine) -> NDArray[np.object_]:
    """Join complete pieces to polygons of the regions 0..`count` - 1, each of which has some.

    `transform` maps columns and lines to the corners of the polygons.
    """
    if count == 0:
        return np.empty(0, object)
    order, sizes = _rings(_successors(pieces, touches))
    counts = pieces.counts[order]
    begin = (np.cumsum(pieces.counts) - pieces.counts)[order]
    places = np.arange(counts.sum()) + np.repeat(begin - np.cumsum(counts) + counts, counts)
    x, y = pieces.corners[:, places]
    ring_ends = np.cumsum(sizes)
    corner_ends = np.cumsum(counts)[ring_ends - 1]
    lengths = np.diff(corner_ends, prepend=0)
    following = np.append(x[1:], 0)
    following[corner_ends - 1] = x[corner_ends - lengths]
    doubled = np.add.reduceat((following - x).astype(np.int64) * y, corner_ends - lengths)
    regions = pieces.regions[order[ring_ends - 1]]
    rings = np.lexsort([doubled > 0, regions])  # of each region, first its exterior, then its holes

    size = 2 * lengths[rings] + 1
    offsets = np.append(0, np.cumsum(size))
    begin = (corner_ends - lengths)[rings]
    own = lengths[rings]
    place = np.arange(own.sum()) + np.repeat(begin - np.cumsum(own) + own, own)
    out = np.repeat(offsets[1:] - 1 + 2 * (np.cumsum(own) - own), own) - 2 * np.arange(len(place))
    x, y, following = x[place], y[place], following[place]
    corners = np.empty((offsets[-1], 2))  # reversed: with the region on the left, exteriors are anticlockwise
    corners[out, 0], corners[out, 1] = transform @ (x, y)
    corners[out - 1, 0], corners[out - 1, 1] = transform @ (following, y)
    corners[offsets[:-1]] = corners[offsets[1:] - 1]
    polygon_offsets = np.searchsorted(regions[rings], np.arange(count + 1))
    found = shapely.from_ragged_array(shapely.GeometryType.POLYGON, corners, (offsets, polygon_offsets))
    return np.asarray(found, dtype=object)


def _successors(pieces: Pieces, touches: Touches) -> NDArray[np.int64]:
    """Return which piece follows each piece, (N,)."""
    order = np.argsort(pieces.heads)
    heads = pieces.heads[order]
    following = np.searchsorted(heads, pieces.nexts)
    of_one = touches.regions[:, 0] == touches.regions[:, 1]
    for falling in (True, False):
        one, other = np.searchsorted(heads, touches.heads[of_one & (touches.falling == falling)]).T
        swapped = np.arange(len(heads))
        swapped[one], swapped[other] = other, one
        following = swapped[following]
    return np.asarray(order[following], np.int64)


def _rings(following: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return items in the order in which they follow each other, ring by ring, and the number in each ring.

    By pointer doubling (Wyllie 1979): each looks ahead one, two, four, .. items.
    """
    first, ahead = np.arange(len(following)), following
    while np.any(first != first[following]):
        first = np.minimum(first, first[ahead])
        ahead = ahead[ahead]
    last = following == first
    ahead = np.where(last, np.arange(len(following)), following)
    left = (~last).astype(np.int64)  # number of items after each in its ring
    while not np.all(last[ahead]):
        left += left[ahead]
        ahead = ahead[ahead]
    heads = np.flatnonzero(first == np.arange(len(first)))
    sizes = left[heads] + 1
    ends = np.zeros(len(following), np.int64)
    ends[heads] = np.cumsum(sizes)
    order = np.empty(len(following), np.int64)
    order[ends[first] - 1 - left] = np.arange(len(following))
    return order, sizes
