"""Regions of a map that may be too small, and the borders that decide which neighbour they are merged with."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from geokd.legend.classes import NODATA
from geokd.maps.polygons.connected import first_of_each_group, numbered

_VOTES = 2**22  # about the most counts held in memory


@dataclass(frozen=True, eq=False)
class SmallRegions:
    """Some regions, N of them, as far as they are read.

    Parameters
    ----------
    codes : uint8 array (N,)
    areas : int64 array (N,), in square centimetres
    first : int64 array (N,), number of the first cell
    settled : bool array (N,)
        Which have their final class.
    borders : int32 array (2, M)
        Pairs of regions with a common border.
    lengths : int64 array (M,), of these borders in millimetres
    outer : int32 array (2, L)
        Pairs of a region and the class of a large neighbour.
    outer_lengths : int64 array (L,), of these
    cells : int32 array (3, R)
        Cells without a gap: number of the first, how many, and the region they are of.
    """

    codes: NDArray[np.uint8]
    areas: NDArray[np.int64]
    first: NDArray[np.int64]
    settled: NDArray[np.bool_]
    borders: NDArray[np.int32]
    lengths: NDArray[np.int64]
    outer: NDArray[np.int32]
    outer_lengths: NDArray[np.int64]
    cells: NDArray[np.int32]

    def __len__(self) -> int:
        """Return how many regions there are."""
        return len(self.codes)

    @property
    def size(self) -> int:
        """Number of regions, borders and runs of cells held in memory."""
        return len(self) + len(self.lengths) + len(self.outer_lengths) + len(self.cells[0])

    def with_borders_of(self, small: NDArray[np.bool_], classified: NDArray[np.bool_]) -> "SmallRegions":
        """Keep cells of small regions and borders between them; borders with others count for the others' classes."""
        kept = small[self.outer[0]]
        outer, lengths = [self.outer[:, kept]], [self.outer_lengths[kept]]
        for near, far in (self.borders, self.borders[::-1]):
            mixed = small[near] & ~small[far] & classified[far]
            outer.append(np.stack([near[mixed], self.codes[far[mixed]].astype(np.int32)]))
            lengths.append(self.lengths[mixed])
        inner = small[self.borders].all(axis=0)
        return replace(
            self,
            borders=self.borders[:, inner],
            lengths=self.lengths[inner],
            outer=np.concatenate(outer, axis=1),
            outer_lengths=np.concatenate(lengths),
            cells=self.cells[:, small[self.cells[2]]],
        )

    def take(self, which: NDArray[np.bool_]) -> "SmallRegions":
        """Return some of the regions, and the borders between them."""
        number = (np.cumsum(which) - 1).astype(np.int32)
        inner, outer, cells = which[self.borders].all(axis=0), which[self.outer[0]], which[self.cells[2]]
        return SmallRegions(
            self.codes[which],
            self.areas[which],
            self.first[which],
            self.settled[which],
            number[self.borders[:, inner]],
            self.lengths[inner],
            np.stack([number[self.outer[0, outer]], self.outer[1, outer]]),
            self.outer_lengths[outer],
            np.stack([*self.cells[:2, cells], number[self.cells[2, cells]]]),
        )


_NO_BORDERS = (
    np.zeros((2, 0), np.int32),
    np.zeros(0, np.int64),
    np.zeros((2, 0), np.int32),
    np.zeros(0, np.int64),
    np.zeros((3, 0), np.int32),
)


def no_regions() -> SmallRegions:
    """Return none."""
    none = np.zeros(0, np.int64)
    return SmallRegions(np.zeros(0, np.uint8), none, none, np.zeros(0, np.bool_), *_NO_BORDERS)


def join(
    pieces: list[SmallRegions], pairs: NDArray[np.int64], classes: int, least_cm2: int
) -> tuple[SmallRegions, NDArray[np.int64]]:
    """Concatenate the regions of several pieces, and join those that `pairs` (n, 2) connect.

    Cells and borders are kept as :meth:`SmallRegions.with_borders_of` does for regions of less than `least_cm2`. The
    list is emptied, so that little is held twice.

    Returns
    -------
    regions : SmallRegions
    number : int64 array (N,)
        New number of each former region, for all pieces one after the other.
    """
    counts = list(map(len, pieces))
    number, heads = numbered(first_of_each_group(sum(counts), pairs))
    areas, settled = np.zeros(len(heads), np.int64), np.zeros(len(heads), np.bool_)
    np.add.at(areas, number, np.concatenate([piece.areas for piece in pieces]))
    settled[number[np.concatenate([piece.settled for piece in pieces])]] = True
    every_first = np.concatenate([piece.first for piece in pieces])
    first = every_first[heads]
    np.minimum.at(first, number, every_first)
    codes = np.concatenate([piece.codes for piece in pieces])[heads]
    classified = codes < classes
    small = classified & (areas < least_cm2)
    whole = SmallRegions(codes, areas, first, settled, *_NO_BORDERS)
    renumbered, start = [], 0
    pieces.reverse()
    for count in counts:
        own = number[start : start + count].astype(np.int32)
        piece, start = pieces.pop(), start + count
        borders = own[piece.borders]
        apart = borders[0] != borders[1]
        renumbered.append(
            replace(
                whole,
                borders=borders[:, apart],
                lengths=piece.lengths[apart],
                outer=np.stack([own[piece.outer[0]], piece.outer[1]]),
                outer_lengths=piece.outer_lengths,
                cells=np.stack([*piece.cells[:2], own[piece.cells[2]]]),
            ).with_borders_of(small, classified)
        )
    columns = ("borders", "lengths", "outer", "outer_lengths", "cells")
    lists = {name: [getattr(piece, name) for piece in renumbered] for name in columns}
    del renumbered
    return replace(whole, **{name: np.concatenate(lists.pop(name), axis=-1) for name in columns}), number


def give_away(regions: SmallRegions, going: NDArray[np.bool_]) -> tuple[SmallRegions, NDArray[np.bool_]]:
    """Merge regions with the classes of their longest borders, in the order of their first cells.

    A region that another was merged into before does not change, nor does one that touches no class. All borders of the
    merged regions must be known. Each round merges the regions without an unmerged earlier neighbour: they do not touch
    each other, so that the result is the same as one by one.

    Returns
    -------
    regions : SmallRegions
        With their new codes; merged and joined regions are settled.
    went : bool array (N,)
    """
    count = len(regions)
    codes = np.concatenate(
        [regions.codes, np.arange(NODATA, dtype=np.uint8)]
    )  # numbers after the regions: classes around them
    settled, went = regions.settled.copy(), np.zeros(count, np.bool_)
    begin, sides, lengths = _sides_of(regions, going)
    first, going = np.append(regions.first, np.full(NODATA, -1)), np.append(going, np.zeros(NODATA, np.bool_))
    one, other = regions.borders[:, going[regions.borders].all(axis=0)]
    before = np.bincount(np.where(first[one] > first[other], one, other), minlength=count)  # neighbours merged first
    classes = int(codes[sides].max(initial=0)) + 1
    ready = np.flatnonzero(going[:count] & (before == 0))
    while len(ready):
        freed = []
        for now in np.array_split(ready, 1 + len(ready) * classes // _VOTES):
            sizes = begin[now + 1] - begin[now]
            own = np.repeat(np.arange(len(now)), sizes)
            places = np.arange(len(own)) + np.repeat(begin[now] - np.cumsum(sizes) + sizes, sizes)
            far = sides[places]
            votes = np.bincount(own * classes + codes[far], lengths[places], minlength=len(now) * classes)
            code = votes.reshape(-1, classes).argmax(axis=1).astype(np.uint8)
            goes = ~settled[now] & (sizes > 0)
            codes[now[goes]], settled[now[goes]], went[now[goes]] = code[goes], True, True
            settled[far[(goes[own] & (codes[far] == code[own]) & (far < count))]] = True
            freed.append(far[going[far] & (first[far] > first[now[own]])])
        later = np.concatenate(freed)
        np.subtract.at(before, later, 1)
        ready = np.unique(later[before[later] == 0])
    return replace(regions, codes=codes[:count], settled=settled), went


def _sides_of(
    regions: SmallRegions, going: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int64]]:
    """Return where the sides of each region begin (N + 1,); what lies there (classes behind the regions); lengths."""
    (one, other), outer = regions.borders, regions.outer
    kept = going[one], going[other], going[outer[0]]
    owner = np.concatenate([one[kept[0]], other[kept[1]], outer[0, kept[2]]])
    order = np.argsort(owner)
    sides = np.concatenate([other[kept[0]], one[kept[1]], outer[1, kept[2]] + np.int32(len(regions))])[order]
    lengths = np.concatenate([regions.lengths[kept[0]], regions.lengths[kept[1]], regions.outer_lengths[kept[2]]])
    begin = np.zeros(len(regions) + 1, np.int64)
    np.cumsum(np.bincount(owner, minlength=len(regions)), out=begin[1:])
    return begin, sides, lengths[order]
