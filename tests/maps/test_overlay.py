"""Cells that several maps cover: by hand, and whatever the maps and their order."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from geokd.legend.classes import NODATA
from geokd.maps.overlay import Overlay, Part, by_confidence, by_probability

SHAPE, CLASSES = (2, 3), 3
EVERY = (slice(0, 2), slice(0, 3))


def part(number: int, percent: NDArray[np.uint8], mapped: NDArray[np.bool_], first_row: int = 0) -> Part:
    """A map that shows its likeliest classes, on the rows from `first_row` on."""
    percent = np.where(mapped, percent, NODATA).astype(np.uint8)[:, first_row:]
    mapped = mapped[first_row:]
    codes = np.where(mapped, percent.argmax(axis=0), NODATA).astype(np.uint8)
    return Part(number, (slice(first_row, 2), EVERY[1]), codes, percent.max(axis=0), percent)


@st.composite
def parts(draw: st.DrawFn) -> list[Part]:
    made = []
    for number in range(1, draw(st.integers(1, 5)) + 1):
        values = draw(st.lists(st.integers(0, 100), min_size=18, max_size=18))
        mapped = draw(st.lists(st.booleans(), min_size=6, max_size=6))
        percent = np.array(values, np.uint8).reshape(CLASSES, *SHAPE)
        made.append(part(number, percent, np.array(mapped).reshape(SHAPE), draw(st.integers(0, 1))))
    return made


def covered(made: list[Part]) -> NDArray[np.int64]:
    count = np.zeros(SHAPE, np.int64)
    for one in made:
        count[one.place] += one.codes != NODATA
    return count


def joined(made: list[Part], by: str) -> Overlay:
    return by_confidence(made, SHAPE) if by == "confidence" else by_probability(made, SHAPE, CLASSES)


@pytest.mark.parametrize("by", ["confidence", "probability"])
@given(made=parts(), data=st.data())
def test_order_decides_ties_only(by: str, made: list[Part], data: st.DataObject) -> None:
    numbers = data.draw(st.permutations(range(1, len(made) + 1)))
    renamed = [one._replace(number=n) for n, one in zip(numbers, made, strict=True)]
    one, other = joined(made, by), joined(renamed, by)
    assert np.array_equal(one.confidence, other.confidence)
    if by == "probability":
        assert np.array_equal(one.codes, other.codes)
        return
    for row, col in np.argwhere(one.codes != other.codes):
        tied = [p for p in made if row >= p.place[0].start]
        at = [(p.codes[row - p.place[0].start, col], p.confidence[row - p.place[0].start, col]) for p in tied]
        assert len({code for code, sure in at if code != NODATA and sure == one.confidence[row, col]}) > 1


@pytest.mark.parametrize("by", ["confidence", "probability"])
@given(made=parts())
def test_every_cell_that_a_map_covers_is_mapped_and_no_other(by: str, made: list[Part]) -> None:
    overlay = joined(made, by)
    count = covered(made)
    for values in (overlay.codes, overlay.confidence):
        assert np.array_equal(values != NODATA, count > 0)
    assert np.array_equal(overlay.sources > 0, count > 0)
    for one in made:
        alone = (one.codes != NODATA) & (count[one.place] == 1)
        assert np.array_equal(overlay.codes[one.place][alone], one.codes[alone])
        assert np.array_equal(overlay.confidence[one.place][alone], one.confidence[alone])
        assert (overlay.sources[one.place][alone] == one.number).all()
        chosen = overlay.sources[one.place] == one.number
        assert (one.codes[chosen] != NODATA).all()


@given(made=parts(), copies=st.integers(2, 4))
def test_a_map_joined_with_itself_stays_as_it_is(made: list[Part], copies: int) -> None:
    for by in ("confidence", "probability"):
        overlay = joined([made[0]._replace(number=number) for number in range(1, copies + 1)], by)
        assert np.array_equal(overlay.codes[made[0].place], made[0].codes)
        assert np.array_equal(overlay.confidence[made[0].place], made[0].confidence)
        assert set(np.unique(overlay.sources)) <= {0, 1}


@given(made=parts())
def test_probability_is_the_mean_of_the_maps_there(made: list[Part]) -> None:
    overlay = by_probability(made, SHAPE, CLASSES)
    assert overlay.percent is not None
    for row, col in np.argwhere(covered(made) > 0):
        told = [
            p.percent[:, row - p.place[0].start, col] for p in made if p.percent is not None and row >= p.place[0].start
        ]
        total = np.sum([values for values in told if values[0] != NODATA], axis=0, dtype=int)
        n = covered(made)[row, col]
        assert overlay.percent[:, row, col].tolist() == np.rint(total / n).astype(int).tolist()
        assert total[overlay.codes[row, col]] == total.max()


def test_by_hand() -> None:
    # percent of three classes in two maps at one cell, and what comes of it: class, confidence, map
    cases = [
        ((60, 30, 10), (20, 50, 30), (0, 40, 1), (0, 60, 1)),  # 80 : 80, both shown once: the lower code
        ((50, 40, 10), (10, 80, 10), (1, 60, 2), (1, 80, 2)),
        ((45, 44, 11), (5, 46, 49), (1, 45, 2), (2, 49, 2)),  # neither map shows the likeliest of both
        ((70, 20, 10), (70, 10, 20), (0, 70, 1), (0, 70, 1)),  # equals: the first map
    ]
    for first, second, of_sum, of_surer in cases:
        made = [
            Part(n, (slice(0, 1), slice(0, 1)), cell(int(np.argmax(p))), cell(max(p)), column(p))
            for n, p in enumerate((first, second), 1)
        ]
        for overlay, expected in ((by_probability(made, (1, 1), 3), of_sum), (by_confidence(made, (1, 1)), of_surer)):
            assert tuple(int(a[0, 0]) for a in overlay[:3]) == expected


def cell(value: int) -> NDArray[np.uint8]:
    return np.full((1, 1), value, np.uint8)


def column(percent: tuple[int, ...]) -> NDArray[np.uint8]:
    return np.array(percent, np.uint8).reshape(-1, 1, 1)


def test_more_maps_than_percents_do_not_outweigh_a_percent() -> None:
    many = [Part(n, (slice(0, 1), slice(0, 1)), cell(0), cell(50), column((50, 50))) for n in range(1, 300)]
    last = Part(300, many[0].place, cell(1), cell(51), column((49, 51)))
    overlay = by_probability([*many, last], (1, 1), 2)
    assert (overlay.codes[0, 0], overlay.sources[0, 0]) == (1, 300)
