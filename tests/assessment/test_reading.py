import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geokd.statistics.calibration import fit_temperature
from geokd.statistics.intervals import wilson
from geokd.statistics.metrics import accuracy, confusion_matrix, expected_calibration_error, kappa, per_class


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_against_published_values(successes: int, n: int, low: float, high: float) -> None:
    # Newcombe 1998, Statistics in Medicine 17, 857-872, table I, method 3
    assert wilson(successes, n) == pytest.approx((low, high), abs=5e-5)


@given(st.integers(1, 10_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_holds_the_proportion(case: tuple[int, int]) -> None:
    low, high = wilson(*case)
    assert 0 <= low <= case[0] / case[1] <= high <= 1


@pytest.mark.parametrize("case", [(1, 0), (-1, 3), (4, 3)])
def test_wilson_refuses(case: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="not a proportion"):
        wilson(*case)


def test_confusion_by_hand() -> None:
    truth, called = np.array([0, 0, 0, 1, 1, 2]), np.array([0, 0, 1, 1, 1, 0])
    matrix = confusion_matrix(truth, called, 4)
    assert matrix.tolist() == [[2, 1, 0, 0], [0, 2, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]]
    assert accuracy(matrix).accuracy == pytest.approx(4 / 6)
    first, second, third, fourth = per_class(matrix, ("a", "b", "c", "d"))
    assert (first.recall, first.precision) == pytest.approx((2 / 3, 2 / 3))
    assert (second.recall, second.precision, second.f1) == pytest.approx((1, 2 / 3, 0.8))
    assert (third.recall, third.precision) == (0, None)
    assert (fourth.n, fourth.recall, fourth.f1) == (0, None, None)


def test_confusion_refuses() -> None:
    with pytest.raises(ValueError, match="outside 0..1"):
        confusion_matrix(np.array([0, 2]), np.array([0, 1]), 2)
    with pytest.raises(ValueError, match="one length"):
        confusion_matrix(np.array([0]), np.array([0, 1]), 2)


def test_calibration_error_by_hand() -> None:
    probabilities = np.array([[0.9, 0.1], [0.9, 0.1], [0.6, 0.4], [0.4, 0.6]])
    truth = np.array([0, 1, 0, 1])
    # two bins: 0.9 confidence is right 1 of 2 times, 0.6 is right 2 of 2 times
    assert expected_calibration_error(probabilities, truth, bins=10) == pytest.approx(0.5 * 0.4 + 0.5 * 0.4)


@pytest.mark.parametrize("temperature", [0.5, 1.7, 4.0])
def test_temperature_is_found_again(temperature: float) -> None:
    generator = np.random.default_rng(0)
    calibrated = generator.normal(0, 2, (20_000, 5))
    odds = np.exp(calibrated) / np.exp(calibrated).sum(1, keepdims=True)
    truth = (odds.cumsum(1) > generator.random((20_000, 1))).argmax(1)
    assert fit_temperature(calibrated * temperature, truth) == pytest.approx(temperature, rel=0.03)


def test_kappa_by_hand() -> None:
    assert kappa(np.array([[20.0, 5], [10, 15]]), 2) == pytest.approx(0.4)
    assert kappa(np.array([[7.0]]), 1) is None
    foreign = np.array([[4.0, 0, 2], [0, 4, 0], [1, 1, 0]])  # both have a class that the other has not
    assert kappa(foreign, 2) == pytest.approx((8 / 12 - 50 / 144) / (1 - 50 / 144))
