import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geokd.assessment.samples.sampling import Draw, allocate, usual_least


def shared_out(cells: list[int], total: int, least: int) -> list[int]:
    return [int(n) for n in allocate(np.array(cells), np.array(cells, float), total, least)]


@pytest.mark.parametrize(
    ("cells", "total", "least", "units"),
    [
        (
            [200_000, 150_000, 3_200_000, 6_450_000],
            640,
            75,
            [75, 75, 162, 328],
        ),  # Olofsson et al. 2014: 75, 75, 165, 325
        ([100, 100, 200], 40, 2, [10, 10, 20]),
        ([1000, 3, 0, 1000], 43, 10, [20, 3, 0, 20]),  # all cells of a class smaller than the least
        ([10, 990], 1000, 2, [10, 990]),
        ([5, 100, 1], 105, 2, [5, 99, 1]),
        ([7], 3, 2, [3]),
    ],
)
def test_points_are_shared_out_by_area_with_a_least(cells: list[int], total: int, least: int, units: list[int]) -> None:
    assert shared_out(cells, total, least) == units


@given(
    st.lists(st.tuples(st.integers(0, 500), st.floats(0.1, 10)), min_size=1, max_size=12),
    st.integers(2, 60),
    st.integers(0, 6000),
)
def test_every_allocation_fits(strata: list[tuple[int, float]], least: int, total: int) -> None:
    cells = np.array([count for count, _ in strata])
    areas = cells * np.array([size for _, size in strata])
    floor = np.minimum(cells, least)
    if not floor.sum() <= total <= cells.sum():
        with pytest.raises(ValueError, match="outside"):
            allocate(cells, areas, total, least)
        return
    units = allocate(cells, areas, total, least)
    assert units.sum() == total
    assert (units >= floor).all()
    assert (units <= cells).all()
    free = (units > floor) & (units < cells)
    if free.any():  # by area among those at neither end, to the unit
        shares = units[free] / areas[free]
        assert np.ptp(shares) <= 2 / areas[free].min() + 1e-9


def test_usual_least() -> None:
    assert [usual_least(n, 10) for n in (2000, 1000, 200, 25, 1)] == [50, 50, 10, 2, 2]


def test_cells_are_drawn_by_area_however_they_pass_by() -> None:
    """Twice as large, twice as likely; whole or in parts, the same cells for the same variates."""
    random = np.random.default_rng(5)
    rows, cols = np.arange(100), np.arange(100) + 7
    areas = np.where(rows < 50, 2.0, 1.0)
    drawn = np.zeros(100)
    for _ in range(2000):
        keys = random.exponential(size=100) / areas
        whole, parts = Draw(6), Draw(6)
        whole.pass_by(rows, cols, keys)
        for start in range(0, 100, 9):
            part = slice(start, start + 9)
            parts.pass_by(rows[part], cols[part], keys[part])
        assert np.array_equal(whole.cells, parts.cells)
        assert len(np.unique(whole.cells[:, 0])) == 6
        assert (whole.cells[:, 1] == whole.cells[:, 0] + 7).all()
        drawn[whole.cells[:, 0]] += 1
    assert drawn[:50].sum() / drawn[50:].sum() == pytest.approx(2, rel=0.08)
    assert drawn[50:].min() > 0


def test_fewer_cells_than_wanted_are_all_drawn() -> None:
    draw = Draw(5)
    draw.pass_by(np.array([1, 2]), np.array([0, 0]), np.array([0.3, 0.1]))
    assert draw.cells.tolist() == [[2, 0], [1, 0]]
