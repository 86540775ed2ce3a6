"""Regions of a map that may be too small, and the borders by which they go to their neighbours."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from geokd.legend import NODATA


@dataclass(frozen=True, eq=False)
class SmallRegions:
    """Some regions, N of them, as far as they are seen.

    Parameters
    ----------
    codes : uint8 array (N,)
    areas : int64 array (N,), in square centimetres
    first : int64 array (N,), number of the first cell
    settled : bool array (N,)
        Which have their class for good.
    borders : int64 array (M, 3)
        Two of the regions, and the length of a border between them in millimetres.
    outer : int64 array (L, 3)
        A region, the class of one that is large enough, and the length of a border between them.
    cells : int64 array (R, 3)
        Cells without a gap: number of the first, of the one behind the last, and the region they are of.
    """

    codes: NDArray[np.uint8]
    areas: NDArray[np.int64]
    first: NDArray[np.int64]
    settled: NDArray[np.bool_]
    borders: NDArray[np.int64]
    outer: NDArray[np.int64]
    cells: NDArray[np.int64]

    def __len__(self) -> int:
        """Return how many regions there are."""
        return len(self.codes)

    def with_borders_of(self, small: NDArray[np.bool_], classified: NDArray[np.bool_]) -> "SmallRegions":
        """Keep cells of small regions and borders between them; borders with others count for the others' classes."""
        one, other, _ = self.borders.T
        outer = [self.outer[small[self.outer[:, 0]]]]
        for near, far in ((one, other), (other, one)):
            mixed = small[near] & ~small[far] & classified[far]
            outer.append(np.column_stack([near, self.codes[far], self.borders[:, 2]])[mixed])
        cells = self.cells[small[self.cells[:, 2]]]
        return replace(self, borders=self.borders[small[one] & small[other]], outer=np.concatenate(outer), cells=cells)

    def take(self, which: NDArray[np.bool_]) -> "SmallRegions":
        """Return some of the regions, and the borders between them."""
        number = np.cumsum(which) - 1
        borders = self.borders[which[self.borders[:, 0]] & which[self.borders[:, 1]]]
        outer, cells = self.outer[which[self.outer[:, 0]]], self.cells[which[self.cells[:, 2]]]
        return SmallRegions(
            self.codes[which],
            self.areas[which],
            self.first[which],
            self.settled[which],
            np.column_stack([number[borders[:, :2]], borders[:, 2]]),
            np.column_stack([number[outer[:, 0]], outer[:, 1:]]),
            np.column_stack([cells[:, :2], number[cells[:, 2]]]),
        )


def no_regions() -> SmallRegions:
    """Return none."""
    none, triples = np.zeros(0, np.int64), np.zeros((0, 3), np.int64)
    return SmallRegions(np.zeros(0, np.uint8), none, none, np.zeros(0, np.bool_), triples, triples, triples)


def give_away(regions: SmallRegions, going: NDArray[np.bool_]) -> tuple[SmallRegions, NDArray[np.bool_]]:
    """Give regions to the classes with which they share the longest borders, in the order of their first cells.

    One that another has joined before stays as it is, and so does one that touches no class. Of those that go all
    borders must be known.

    Returns
    -------
    regions : SmallRegions
        With their codes of now; what went and what was joined is settled.
    went : bool array (N,)
    """
    count = len(regions)
    codes = [*regions.codes.tolist(), *range(NODATA)]  # behind the regions, the classes of what lies around them
    settled = [*regions.settled.tolist(), *[True] * NODATA]
    borders, outer = regions.borders, regions.outer
    owner = np.concatenate([borders[:, 0], borders[:, 1], outer[:, 0]])
    order = np.argsort(owner, kind="stable")
    sides = np.concatenate([borders[:, 1], borders[:, 0], count + outer[:, 1]])[order].tolist()
    lengths = np.concatenate([borders[:, 2], borders[:, 2], outer[:, 2]])[order].tolist()
    begin = np.searchsorted(owner[order], np.arange(count + 1)).tolist()
    went = np.zeros(count, np.bool_)
    numbers = np.flatnonzero(going)
    for region in numbers[np.argsort(regions.first[numbers])].tolist():
        mine = slice(begin[region], begin[region + 1])
        if settled[region] or not sides[mine]:
            continue
        by_class: dict[int, int] = {}
        for side, length in zip(sides[mine], lengths[mine], strict=True):
            by_class[codes[side]] = by_class.get(codes[side], 0) + length
        code = max(by_class, key=lambda c: (by_class[c], -c))
        codes[region], settled[region], went[region] = code, True, True
        for side in sides[mine]:
            settled[side] = settled[side] or codes[side] == code
    now = np.array(codes[:count], np.uint8), np.array(settled[:count], np.bool_)
    return replace(regions, codes=now[0], settled=now[1]), went
