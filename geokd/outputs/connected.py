"""Which cells hang together: those that share a side and a code. Runs along rows instead of single cells."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Runs:
    """Runs of equal codes along the rows of an array, N of them, row by row from left to right.

    Parameters
    ----------
    rows, starts, stops : int64 arrays (N,)
        Row of each run, its first column, and the column behind its last.
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
    rows, starts = np.divmod(first, width)
    stops = starts + np.diff(first, append=codes.size)
    run = (np.cumsum(begins) - 1).reshape(codes.shape)
    part = np.flatnonzero(begins[1:] | begins[:-1])  # where, of two rows, the runs of one or the other begin
    touching = np.stack([run[:-1].ravel()[part], run[1:].ravel()[part]], axis=1)
    shared = np.diff(part, append=(height - 1) * width)
    return Runs(rows, starts, stops, codes.ravel()[first], touching, shared)


def connected_labels(codes: NDArray[np.uint8]) -> tuple[NDArray[np.int32], int]:
    """Label the connected regions of an array (rows, cols) 0.. in the order of their first cells; tell how many."""
    runs = runs_of(codes)
    first = first_of_each_group(len(runs), runs.touching[runs.touching_alike])
    numbers = np.cumsum(first == np.arange(len(runs))) - 1
    labels = np.repeat(numbers[first], runs.stops - runs.starts).reshape(codes.shape)
    return labels.astype(np.int32), int(numbers[-1]) + 1


def first_of_each_group(count: int, pairs: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return, for each of `count` things of which `pairs` (n, 2) belong together, the lowest of its group, (count,).

    Each round hangs the first things of groups below those of lower groups that they are paired with.
    """
    first = np.arange(count, dtype=np.int64)
    one, other = pairs[:, 0], pairs[:, 1]
    while True:
        low, high = np.minimum(first[one], first[other]), np.maximum(first[one], first[other])
        apart = low < high
        if not apart.any():
            return first
        one, other = one[apart], other[apart]
        np.minimum.at(first, high[apart], low[apart])
        while not np.array_equal(above := first[first], first):
            first = above
