import math

import numpy as np
import pytest

pytest.importorskip("scipy", reason="needs the extra geokd[train]")

from geokd.statistics.comparison import holm, mcnemar, mean_interval, paired_difference


def test_interval_of_a_mean_by_hand() -> None:
    # s = 1, n = 3, t(0.975, 2) = 4.302653
    mean, interval = mean_interval([1.0, 2.0, 3.0])
    assert mean == 2.0
    assert interval == pytest.approx((2 - 4.302653 / math.sqrt(3), 2 + 4.302653 / math.sqrt(3)), abs=1e-6)
    assert mean_interval([5.0]) == (5.0, None)
    mean, interval = mean_interval([0.7, 0.7, 0.7])
    assert mean == pytest.approx(0.7)
    assert interval is None  # not an interval without width


def test_intervals_cover_the_mean_as_often_as_they_say() -> None:
    draws = np.random.default_rng(0).normal(0.9, 0.01, (2000, 5))
    intervals = [interval for row in draws if (interval := mean_interval(row.tolist())[1])]
    assert len(intervals) == 2000
    covered = np.mean([low <= 0.9 <= high for low, high in intervals])
    assert 0.935 <= covered <= 0.965


def test_pairs_cancel_what_a_seed_brings() -> None:
    seeds = np.array([0.90, 0.95, 0.85, 0.92])
    better = seeds + np.array([0.010, 0.011, 0.009, 0.010])
    found = paired_difference(better.tolist(), seeds.tolist()).to_json()
    assert found["difference"] == pytest.approx(0.01)
    low, high = found["interval_95"]
    assert 0.008 < low < 0.01 < high < 0.012
    assert found["p"] < 0.001
    # by hand: differences 1, 3; mean 2, s = sqrt 2, t = 2 / (sqrt 2 / sqrt 2) = 2 with 1 degree: p = 1 - 2 atan(2) / pi
    assert paired_difference([1.0, 3.0], [0.0, 0.0]).p == pytest.approx(1 - 2 * math.atan(2) / math.pi)


@pytest.mark.parametrize(
    ("values", "reference"), [([0.5], [0.4]), ([0.5, 0.5], [0.4, 0.4]), ([0.9, 0.8, 0.7], [0.8, 0.7, 0.6])]
)
def test_what_cannot_be_tested_has_neither_interval_nor_p(values: list[float], reference: list[float]) -> None:
    found = paired_difference(values, reference).to_json()
    assert found == {"difference": pytest.approx(0.1), "interval_95": None, "p": None}


def test_mcnemar_by_hand() -> None:
    one = np.array([1, 1, 1, 1, 1, 1, 0, 1, 0], np.bool_)
    other = np.array([0, 0, 0, 0, 0, 0, 1, 1, 0], np.bool_)
    # 6 won of 7: p = 2 (7 + 1) / 2^7
    assert mcnemar(one, other).to_json() == {"won": 6, "lost": 1, "p": pytest.approx(16 / 128)}
    assert mcnemar(one, one).to_json() == {"won": 0, "lost": 0, "p": 1.0}


def test_holm_by_hand() -> None:
    assert holm([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06])  # 3 x 0.01, 2 x 0.03, and no less than that
    assert holm([0.9, 0.6]) == [1.0, 1.0]
    assert holm([]) == []


def test_holm_finds_by_chance_no_more_often_than_its_level() -> None:
    draws = np.random.default_rng(1).uniform(size=(4000, 4))
    found = np.mean([min(holm(row.tolist())) < 0.05 for row in draws])
    assert 0.04 < found < 0.06
