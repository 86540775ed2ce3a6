"""Connected cells, against walking from cell to cell."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from geokd.maps.polygons.connected import connected_labels, first_of_each_group, runs_of

CODES = arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.sampled_from([0, 1, 255]))


def walked(codes: NDArray[np.uint8]) -> NDArray[np.int32]:
    labels = np.full(codes.shape, -1, np.int32)
    count = 0
    for row, col in np.ndindex(*codes.shape):
        if labels[row, col] >= 0:
            continue
        open_cells = [(row, col)]
        while open_cells:
            r, c = open_cells.pop()
            inside = 0 <= r < codes.shape[0] and 0 <= c < codes.shape[1]
            if inside and labels[r, c] < 0 and codes[r, c] == codes[row, col]:
                labels[r, c] = count
                open_cells += [(r + 1, c), (r - 1, c), (r, c + 1), (r, c - 1)]
        count += 1
    return labels


@given(CODES)
def test_labels_are_those_of_walking(codes: NDArray[np.uint8]) -> None:
    labels, count = connected_labels(codes)
    assert np.array_equal(labels, walked(codes))
    assert count == labels.max() + 1


def test_a_long_spiral_is_one_region() -> None:
    side = 101
    codes = np.zeros((side, side), np.uint8)
    for ring in range(0, side // 2, 2):  # walls, each open at one place, on one side or the other
        codes[ring + 1 : side - ring - 1, ring + 1] = codes[ring + 1 : side - ring - 1, side - ring - 2] = 1
        codes[ring + 1, ring + 1 : side - ring - 1] = codes[side - ring - 2, ring + 1 : side - ring - 1] = 1
        codes[ring + 1 if ring % 4 else side - ring - 2, side // 2 - 5] = 0
    labels, _ = connected_labels(codes)
    assert np.array_equal(labels, walked(codes))


@given(CODES)
def test_runs_tell_every_side_that_rows_share(codes: NDArray[np.uint8]) -> None:
    runs = runs_of(codes)
    rebuilt = np.repeat(runs.codes, runs.stops - runs.starts).reshape(codes.shape)
    assert np.array_equal(rebuilt, codes)
    upper, lower = runs.touching.T
    assert np.array_equal(runs.rows[upper] + 1, runs.rows[lower])
    common = np.minimum(runs.stops[upper], runs.stops[lower]) - np.maximum(runs.starts[upper], runs.starts[lower])
    assert np.array_equal(common, runs.shared)
    assert runs.shared.sum() == (codes.shape[0] - 1) * codes.shape[1]


@given(st.integers(1, 12).flatmap(lambda n: st.tuples(st.just(n), st.lists(st.tuples(*[st.integers(0, n - 1)] * 2)))))
def test_groups_are_those_of_joining_one_by_one(case: tuple[int, list[tuple[int, int]]]) -> None:
    count, pairs = case
    group = list(range(count))
    for one, other in pairs:
        low, high = sorted((group[one], group[other]))
        group = [low if g == high else g for g in group]
    found = first_of_each_group(count, np.array(pairs, np.int64).reshape(-1, 2))
    assert found.tolist() == group
