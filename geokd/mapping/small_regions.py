"""Regions of a map that may be too small, and the borders by which they go to their neighbours."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class SmallRegions:
    """Some regions, N of them, as far as they are seen.

    Parameters
    ----------
    codes : uint8 array (N,)
    areas : int64 array (N,), in square centimetres
    first : int64 array (N,), number of the first cell
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
    borders: NDArray[np.int64]
    outer: NDArray[np.int64]
    cells: NDArray[np.int64]

    def __len__(self) -> int:
        """Return how many regions there are."""
        return len(self.codes)

    def take(self, which: NDArray[np.bool_]) -> "SmallRegions":
        """Return some of the regions, and the borders between them."""
        number = np.cumsum(which) - 1
        borders = self.borders[which[self.borders[:, 0]] & which[self.borders[:, 1]]]
        outer, cells = self.outer[which[self.outer[:, 0]]], self.cells[which[self.cells[:, 2]]]
        return SmallRegions(
            self.codes[which],
            self.areas[which],
            self.first[which],
            np.column_stack([number[borders[:, :2]], borders[:, 2]]),
            np.column_stack([number[outer[:, 0]], outer[:, 1:]]),
            np.column_stack([cells[:, :2], number[cells[:, 2]]]),
        )


class BorderGraph:
    """Small regions, and the borders they have with one another and with classes around; it changes as they merge."""

    def __init__(self, regions: SmallRegions, least_cm2: int) -> None:
        self._least = least_cm2
        self._codes: list[int] = regions.codes.tolist()
        self._areas: list[int] = regions.areas.tolist()
        self._first: list[int] = regions.first.tolist()
        self._joined_to = list(range(len(regions)))
        self._near: list[dict[int, int]] = [{} for _ in self._codes]  # by region, the length of the border with it
        self._outer: list[dict[int, int]] = [{} for _ in self._codes]  # by class
        for one, other, length in regions.borders.tolist():
            self._add_border(one, other, length)
        for region, code, length in regions.outer.tolist():
            _add(self._outer[region], code, length)

    def key(self, region: int) -> tuple[int, int, int]:
        """Area, first cell and number of a region: the lowest goes first. It changes when something joins."""
        end = self._joined_to[region]
        return self._areas[end], self._first[end], end

    def is_small(self, region: int) -> bool:
        """Whether a region is below the least area."""
        return self._areas[region] < self._least

    def border_lengths(self, region: int) -> dict[int, int]:
        """Return the length of the border of a region with each class."""
        lengths = dict(self._outer[region])
        for other, length in self._near[region].items():
            _add(lengths, self._codes[other], length)
        return lengths

    def give(self, region: int, code: int) -> None:
        """Give a region to a class it touches, and join to it what it touches of that class."""
        self._codes[region] = code
        if code in self._outer[region]:
            self._areas[region] = max(self._areas[region], self._least)
        for other in [other for other in self._near[region] if self._codes[other] == code]:
            self._join(region, other)
        if not self.is_small(region):
            for other, length in self._near[region].items():
                del self._near[other][region]
                _add(self._outer[other], code, length)

    def codes_at_the_end(self) -> NDArray[np.uint8]:
        """Return the class that each region ended up in, (N,)."""
        end = np.array(self._joined_to, np.int64)
        while not np.array_equal(further := end[end], end):
            end = further
        return np.array(self._codes, np.uint8)[end]

    def _join(self, region: int, other: int) -> None:
        self._joined_to[other] = region
        self._areas[region] += self._areas[other]
        self._first[region] = min(self._first[region], self._first[other])
        del self._near[region][other], self._near[other][region]
        for third, length in self._near[other].items():
            del self._near[third][other]
            self._add_border(region, third, length)
        for code, length in self._outer[other].items():
            _add(self._outer[region], code, length)

    def _add_border(self, one: int, other: int, length: int) -> None:
        _add(self._near[one], other, length)
        _add(self._near[other], one, length)


def _add(lengths: dict[int, int], key: int, length: int) -> None:
    lengths[key] = lengths.get(key, 0) + length
