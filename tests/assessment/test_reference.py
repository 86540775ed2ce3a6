import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geokd.assessment.reference import (
    interval_over_groups,
    normalised_difference,
    share_around_cells,
    share_over_groups,
)
from geokd.statistics.intervals import wilson


def test_normalised_difference_by_hand() -> None:
    index = normalised_difference(np.array([3, 0, 5], np.uint16), np.array([1, 0, 10], np.uint16))
    assert index.tolist() == pytest.approx([0.5, 0.0, -1 / 3])
    dark = normalised_difference(np.array([30.0, -15.0, -5.0]), np.array([-10.0, -40.0, 10.0]))
    assert dark.tolist() == [1.0, 0.0, -1.0]


@given(st.integers(1, 40), st.integers(1, 40), st.sampled_from([1, 2, 4, 8]), st.sampled_from([2, 8, 16]))
def test_share_around_cells_counts_pixels(height: int, width: int, cell: int, side: int) -> None:
    mask = np.random.default_rng(height * 41 + width).random((height, width)) < 0.4
    known = np.random.default_rng(height).random((height, width)) < 0.6
    shares = share_around_cells(mask, known, cell, side)
    assert shares.shape == (-(-height // cell), -(-width // cell))
    for row, col in np.ndindex(*shares.shape):
        top, left = row * cell + cell // 2 - side // 2, col * cell + cell // 2 - side // 2
        around = np.s_[max(top, 0) : top + side, max(left, 0) : left + side]
        if known[around].size and known[around].mean() >= 0.5:
            assert shares[row, col] == pytest.approx(mask[around][known[around]].mean())
        else:
            assert np.isnan(shares[row, col])


def test_interval_over_groups_is_wider_than_over_cells_and_holds_the_share() -> None:
    generator = np.random.default_rng(3)
    rates = generator.beta(4, 1, 40)
    counts = generator.integers(5, 60, 40)
    hits = np.array([generator.binomial(n, p) for n, p in zip(counts, rates, strict=True)])
    interval = interval_over_groups(hits, counts)
    assert interval is not None
    low, high = interval
    share = hits.sum() / counts.sum()
    assert low < share < high
    assert high - low > 2 * 1.96 * np.sqrt(share * (1 - share) / counts.sum())
    assert interval_over_groups(counts, counts) == (1.0, 1.0)
    assert interval_over_groups(counts[:1], counts[:1]) is None  # one polygon tells nothing of others


def test_share_over_groups_is_unsure_where_groups_do_not_differ() -> None:
    counts = np.array([10, 0, 30, 20])
    assert share_over_groups(counts, counts) == (1.0, wilson(3, 3)[0], 1.0)
    assert share_over_groups(0 * counts, counts) == (0.0, 0.0, wilson(0, 3)[1])
    single = share_over_groups(np.array([3]), np.array([4]))
    assert single is not None
    assert single[0] == 0.75
    assert single[1] < 0.3
    assert single[2] > 0.9
    share = share_over_groups(np.array([5, 0, 10, 20]), counts)
    interval = interval_over_groups(np.array([5, 10, 20]), np.array([10, 30, 20]))
    assert interval is not None
    assert share == (35 / 60, *interval)
    assert share_over_groups(np.zeros(2, np.int64), np.zeros(2, np.int64)) is None
