"""Connected components: cells that share a side and a code. Works on runs along rows instead of single cells."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Runs:
    """Runs of equal codes along the rows of an array, N of them, row by row from left to right.

    Parameters
    ----------
    rows, starts, stops : int64 arrays (N,)
        Row of each run, its first column, and the column after its last.
    codes : uint8 array (N,)
    touching : int64 array (M, 2)
        Runs of neighbouring rows that have columns in common: the upper, the lower.
    shared : int64 array (M,)
        How many columns they have in common.
    """

    rows: NDArray[np.int64]
    starts: NDArray[np.int64]
    stops: NDArray[np.int64]
    codes: NDArray[np.uint8]
    touching: NDArray[np.int64]
    shared: NDArray[np.int64]

    def __len__(self) -> int:
        """Return how many runs there are."""
        return len(self.codes)

    @property
    def touching_alike(self) -> NDArray[np.bool_]:
        """Which of the touching pairs have the same code, (M,)."""
        upper, lower = self.touching.T
        return np.asarray(self.codes[upper] == self.codes[lower], np.bool_)


def runs_of(codes: NDArray[np.uint8]) -> Runs:
    """Cut the rows of an array (rows, cols) into runs of equal codes."""
    height, width = codes.shape
    begins = np.ones(codes.shape, np.bool_)
    np.not_equal(codes[:, 1:], codes[:, :-1], out=begins[:, 1:])
    first = np.flatnonzero(begins)
    in_row = np.count_nonzero(begins, axis=1)
    rows = np.repeat(np.arange(height), in_row)
    starts = first - rows * width
    stops = starts + np.diff(first, append=codes.size)
    part = np.flatnonzero(begins[1:] | begins[:-1])  # columns at which a run of either of two rows begins
    touching = np.empty((len(part), 2), np.int64)
    np.cumsum(begins[:-1].reshape(-1)[part], out=touching[:, 0])
    np.cumsum(begins[1:].reshape(-1)[part], out=touching[:, 1])
    touching += (-1, int(in_row[0]) - 1)
    shared = np.diff(part, append=(height - 1) * width)
    return Runs(rows, starts, stops, codes.reshape(-1)[first], touching, shared)


def connected_labels(codes: NDArray[np.uint8]) -> tuple[NDArray[np.int32], int]:
    """Label the connected components of an array (rows, cols) 0.. in the order of first cells; return their number."""
    runs = runs_of(codes)
    numbers, firsts = regions_of_runs(runs)
    labels = np.repeat(numbers.astype(np.int32), runs.stops - runs.starts).reshape(codes.shape)
    return labels, len(firsts)


def regions_of_runs(runs: Runs) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the region number of each run, (N,), and the first run of each region, in that order."""
    return numbered(first_of_each_group(len(runs), runs.touching[runs.touching_alike]))


def numbered(first: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the group number of each item, 0.. in the order of the groups' `first` items, and these items."""
    heads = first == np.arange(len(first))
    return (np.cumsum(heads) - 1)[first], np.flatnonzero(heads)


def first_of_each_group(count: int, pairs: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return, for each of `count` items of which `pairs` (n, 2) belong together, the lowest of its group, (count,).

    Each round attaches the first items of groups to those of lower groups that they are paired with.
    """
    first = np.arange(count, dtype=np.int64)
    low, high = np.minimum(pairs[:, 0], pairs[:, 1]), np.maximum(pairs[:, 0], pairs[:, 1])
    while True:
        apart = low < high
        low, high = low[apart], high[apart]
        if len(low) == 0:
            return first
        np.minimum.at(first, high, low)
        while not np.array_equal(above := first[first], first):
            first = above
        one, other = first[low], first[high]
        low, high = np.minimum(one, other), np.maximum(one, other)
