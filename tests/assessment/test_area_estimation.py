"""Accuracy and area estimation against published examples, hand arithmetic, and the truth of simulated maps."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from geokd.assessment.samples.area_estimation import Estimate, StratifiedSample
from geokd.statistics.intervals import wilson

# Olofsson et al. 2014, tables 8 and 9 and section 5: deforestation, forest gain, stable forest, stable non-forest
COUNTS = np.array([[66, 0, 5, 4], [0, 55, 8, 12], [1, 0, 153, 11], [2, 1, 9, 313]])
PIXELS = np.array([200_000, 150_000, 3_200_000, 6_450_000])
PIXEL_HA = 0.09


def by_class(counts: NDArray[Any]) -> NDArray[np.int64]:
    """Counts (M, R) of a sample whose strata are the classes of the map, as (H, M, R)."""
    spread = np.zeros((len(counts), *counts.shape), np.int64)
    for k, row in enumerate(counts):
        spread[k, k] = row
    return spread


OLOFSSON = StratifiedSample(by_class(COUNTS), 4, PIXELS * PIXEL_HA)


def printed(estimate: Estimate | None, digits: int) -> str:
    assert estimate is not None
    assert estimate.standard_error is not None
    return f"{estimate.estimate:.{digits}f} {1.96 * estimate.standard_error:.{digits}f}"


def test_olofsson_et_al_error_matrix() -> None:
    expected = [
        [0.0176, 0, 0.0013, 0.0011],
        [0, 0.0110, 0.0016, 0.0024],
        [0.0019, 0, 0.2967, 0.0213],
        [0.0040, 0.0020, 0.0179, 0.6212],
    ]
    assert OLOFSSON.area_matrix().round(4).tolist() == expected


def test_olofsson_et_al_areas() -> None:
    hectares = float(PIXELS.sum() * PIXEL_HA)
    areas = [printed(OLOFSSON.area_share(k).times(hectares), 0) for k in range(4)]
    assert areas == ["21158 6158", "11686 3756", "285770 15510", "581386 16282"]
    assert printed(OLOFSSON.area_share(0).times(float(PIXELS.sum())), 0) == "235086 68418"


def test_olofsson_et_al_accuracies() -> None:
    assert printed(OLOFSSON.overall_accuracy(), 2) == "0.95 0.02"
    assert printed(OLOFSSON.overall_accuracy(), 3) == "0.947 0.018"
    users = [printed(OLOFSSON.users_accuracy(k), 2) for k in range(4)]
    assert users == ["0.88 0.07", "0.73 0.10", "0.93 0.04", "0.96 0.02"]
    producers = [printed(OLOFSSON.producers_accuracy(k), 2) for k in range(4)]
    # The paper prints +- 0.23 for forest gain and +- 0.01 for stable non-forest; its equation 7 gives these.
    assert producers == ["0.75 0.21", "0.85 0.25", "0.93 0.03", "0.96 0.02"]


def test_producers_variance_is_equation_7() -> None:
    units, users = COUNTS.sum(1), np.diag(COUNTS) / COUNTS.sum(1)
    shares = COUNTS / units[:, np.newaxis]
    for j in range(4):
        true = float(PIXELS @ shares[:, j])
        producers = PIXELS[j] * users[j] / true
        own = PIXELS[j] ** 2 * (1 - producers) ** 2 * users[j] * (1 - users[j]) / (units[j] - 1)
        others = [i for i in range(4) if i != j]
        rest = sum(PIXELS[i] ** 2 * shares[i, j] * (1 - shares[i, j]) / (units[i] - 1) for i in others)
        estimate = OLOFSSON.producers_accuracy(j)
        assert estimate is not None
        assert estimate.estimate == pytest.approx(producers)
        assert estimate.standard_error == pytest.approx(math.sqrt(own + producers**2 * rest) / true)


def test_stehman_example_of_strata_other_than_the_map() -> None:
    """Stehman 2014, tables 2 and 3: four strata of 40,000, 30,000, 20,000 and 10,000 pixels, ten units each."""
    strata = "A" * 10 + "B" * 10 + "C" * 10 + "D" * 10
    mapped = "A" * 7 + "B" * 3 + "A" + "B" * 11 + "C" * 6 + "BB" + "D" * 10
    truth = "AAAAACBABC" + "ABBBBBAABB" + "CCCCCDDBBA" + "D" * 7 + "CCB"
    counts = np.zeros((4, 4, 4), np.int64)
    for s, m, r in zip(strata, mapped, truth, strict=True):
        counts["ABCD".index(s), "ABCD".index(m), "ABCD".index(r)] += 1
    cells = np.array([40_000, 30_000, 20_000, 10_000])
    sample = StratifiedSample(counts, 4, cells.astype(float), cells)

    def rounded(estimate: Estimate | None) -> tuple[float, float]:
        assert estimate is not None
        assert estimate.standard_error is not None
        return round(estimate.estimate, 3), round(estimate.standard_error, 3)

    assert rounded(sample.area_share(0)) == (0.35, 0.082)
    assert rounded(sample.area_share(2)) == (0.20, 0.064)
    assert rounded(sample.overall_accuracy()) == (0.63, 0.085)
    assert rounded(sample.users_accuracy(1)) == (0.574, 0.125)
    assert rounded(sample.producers_accuracy(1)) == (0.794, 0.117)
    assert sample.area_matrix()[1, 2] == pytest.approx(0.08)


def test_one_stratum_gives_wilsons_interval() -> None:
    sample = StratifiedSample(np.array([[[40, 10], [20, 130]]]), 2, np.ones(1))
    for estimate, hits, units in (
        (sample.overall_accuracy(), 170, 200),
        (sample.area_share(0), 60, 200),
    ):
        assert estimate is not None
        assert (estimate.low, estimate.high) == pytest.approx(wilson(hits, units))
    of_class = StratifiedSample(by_class(np.array([[40, 10], [20, 130]])), 2, np.array([3.0, 1.0]))
    users = of_class.users_accuracy(0)
    assert users is not None
    assert (users.low, users.high) == pytest.approx(wilson(40, 50))


def test_a_stratum_looked_at_whole_is_known() -> None:
    counts = by_class(np.array([[4, 1], [0, 5]]))
    known = StratifiedSample(counts, 2, np.array([5.0, 5.0]), np.array([5, 5]))
    overall = known.overall_accuracy()
    assert overall is not None
    assert overall.standard_error == 0
    assert (overall.low, overall.estimate, overall.high) == pytest.approx((0.9, 0.9, 0.9), abs=1e-6)


def test_no_error_seen_is_not_no_error() -> None:
    sample = StratifiedSample(by_class(np.array([[30, 0], [0, 30]])), 2, np.array([1.0, 9.0]))
    producers = sample.producers_accuracy(0)
    assert producers is not None
    assert (producers.estimate, producers.standard_error, producers.high) == (1.0, 0.0, 1.0)
    assert producers.low < 0.6  # a tenth of the large stratum missed would look alike in one sample of 23
    assert sample.area_share(0).high > 0.15


def test_unclassified_cells_count_in_areas_only_and_foreign_classes_as_errors() -> None:
    counts = np.zeros((3, 3, 3), np.int64)  # the map's third class is unclassified, the reference's foreign
    counts[0, 0] = [8, 1, 1]
    counts[1, 1] = [0, 10, 0]
    counts[2, 2] = [5, 5, 0]
    sample = StratifiedSample(counts, 2, np.array([10.0, 10.0, 20.0]))
    overall, users, producers = sample.overall_accuracy(), sample.users_accuracy(0), sample.producers_accuracy(0)
    assert overall is not None
    assert overall.estimate == pytest.approx(18 / 20)
    assert users is not None
    assert users.estimate == pytest.approx(0.8)
    assert producers is not None
    assert producers.estimate == pytest.approx(8 / (8 + 10))
    assert [sample.area_share(k).estimate for k in range(3)] == pytest.approx([18 / 40, 21 / 40, 1 / 40])


def test_what_nothing_shows_is_none() -> None:
    sample = StratifiedSample(by_class(np.array([[3, 0, 0], [1, 2, 0], [1, 0, 0]])), 3, np.ones(3))
    assert sample.producers_accuracy(2) is None
    users = sample.users_accuracy(2)
    assert users is not None
    assert users.standard_error is None  # of one unit
    assert 0 == users.estimate == users.low < users.high < 1
    nothing_classified = StratifiedSample(np.array([[[0], [4]]]), 1, np.ones(1))
    assert nothing_classified.overall_accuracy() is None
    assert nothing_classified.users_accuracy(0) is None


@pytest.mark.parametrize(
    ("counts", "classes", "weights", "cells", "said"),
    [
        (np.ones((2, 2), np.int64), 2, np.ones(2), None, "not of the same strata"),
        (np.ones((2, 2, 2), np.int64), 2, np.ones(3), None, "not of the same strata"),
        (np.ones((2, 2, 2), np.int64), 3, np.ones(2), None, "3 classes"),
        (np.zeros((2, 2, 2), np.int64), 2, np.ones(2), None, "no unit"),
        (np.ones((2, 2, 2), np.int64), 2, np.zeros(2), None, "no area"),
        (np.ones((2, 2, 2), np.int64), 2, np.ones(2), np.array([3, 9]), "fewer cells"),
    ],
)
def test_impossible_samples_are_refused(counts: Any, classes: int, weights: Any, cells: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        StratifiedSample(counts, classes, weights, cells)


@given(st.lists(st.lists(st.integers(0, 6), min_size=9, max_size=9), min_size=1, max_size=4), st.integers(0, 99))
def test_intervals_hold_the_estimate_within_0_and_1(rows: list[list[int]], seed: int) -> None:
    counts = np.array([[max(row[0], 1), *row[1:]] for row in rows], np.int64).reshape(-1, 3, 3)
    weights = np.random.default_rng(seed).uniform(0.1, 10, len(counts))
    sample = StratifiedSample(counts, 3, weights)
    estimates = [sample.overall_accuracy()]
    for k in range(3):
        estimates += [sample.users_accuracy(k), sample.producers_accuracy(k), sample.area_share(k)]
    for estimate in estimates:
        if estimate is not None:
            assert -1e-9 <= estimate.low <= estimate.estimate + 1e-9
            assert estimate.estimate - 1e-9 <= estimate.high <= 1 + 1e-9
    assert sum(sample.area_share(k).estimate for k in range(3)) == pytest.approx(1)
    assert sample.area_matrix().sum() == pytest.approx(1)


def coverage(
    shares: NDArray[Any], mixture: NDArray[Any], units: NDArray[Any], repeats: int
) -> tuple[dict[str, float], dict[str, float]]:
    """How often intervals hold the truth of a map, by kind of figure: ours, and estimate -+ 1.96 standard errors.

    `shares` (K,) of the area are mapped as each class, `mixture` (K, K) is the truth within each.
    """
    draws, classes = np.random.default_rng(7), len(shares)
    joint = shares[:, np.newaxis] * mixture
    ours: dict[str, list[bool]] = {}
    plain: dict[str, list[bool]] = {}
    for _ in range(repeats):
        counts = np.array([draws.multinomial(n, p) for n, p in zip(units, mixture, strict=True)])
        sample = StratifiedSample(by_class(counts), classes, shares)
        judged = [("overall", sample.overall_accuracy(), np.trace(joint))]
        for k in range(classes):
            judged += [
                ("users", sample.users_accuracy(k), mixture[k, k]),
                ("producers", sample.producers_accuracy(k), joint[k, k] / joint[:, k].sum()),
                ("area", sample.area_share(k), joint[:, k].sum()),
            ]
        for kind, estimate, truth in judged:
            if estimate is not None and estimate.standard_error is not None:
                ours.setdefault(kind, []).append(estimate.low <= truth <= estimate.high)
                plain.setdefault(kind, []).append(abs(estimate.estimate - truth) <= 1.96 * estimate.standard_error)
    return ({k: float(np.mean(v)) for k, v in ours.items()}, {k: float(np.mean(v)) for k, v in plain.items()})


@pytest.mark.parametrize(
    ("shares", "accuracy", "units"),
    [
        pytest.param([0.02, 0.015, 0.32, 0.645], 0.94, [75, 75, 165, 325], id="as Olofsson et al."),
        pytest.param([0.02, 0.015, 0.32, 0.645], 0.94, [50, 50, 50, 50], id="few units", marks=pytest.mark.slow),
        pytest.param([0.05, 0.95], 0.99, [50, 150], id="a rare class, few errors"),
        pytest.param(
            [0.3, 0.2, 0.15, 0.1, 0.1, 0.05, 0.04, 0.03, 0.02, 0.01],
            0.8,
            [30] * 10,
            id="ten classes",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_intervals_cover_the_truth(shares: list[float], accuracy: float, units: list[int]) -> None:
    classes = len(shares)
    mixture = np.full((classes, classes), (1 - accuracy) / (classes - 1))
    np.fill_diagonal(mixture, accuracy)
    ours, plain = coverage(np.array(shares), mixture, np.array(units), repeats=300)
    assert min(ours.values()) >= 0.93, ours
    assert min(ours.values()) > min(plain.values())


def test_plain_intervals_would_miss_it() -> None:
    """Why the intervals are not estimate -+ 1.96 standard errors: rare errors that were not seen count for nothing."""
    mixture = np.array([[0.9, 0.1], [0.005, 0.995]])
    ours, plain = coverage(np.array([0.05, 0.95]), mixture, np.array([50, 150]), repeats=400)
    assert max(plain.values()) < 0.8
    assert min(ours.values()) >= 0.93
