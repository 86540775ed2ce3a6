"""Majority and minimum mapping unit, against doing it cell by cell and region by region."""

import tracemalloc
from collections import Counter
from unittest import mock

import numpy as np
import pytest
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from rasterio.crs import CRS

from geokd.maps.class_map import cell_areas_ha
from geokd.maps.filters.majority import smooth
from geokd.maps.filters.sieve import Sieved, sieve
from geokd.maps.polygons.connected import connected_labels
from geokd.scenes.grid import SceneGrid

CLASSES = 3  # 3 is unclassified, 255 not mapped
CODES = arrays(
    np.uint8, st.tuples(st.integers(1, 12), st.integers(1, 12)), elements=st.sampled_from([0, 0, 1, 1, 2, 3, 255])
)
PLACES = {
    "square metres": (Affine(100, 0, 4e5, 0, -100, 4.2e6), 32618),  # a cell is a hectare
    "wide cells": (Affine(200, 0, 4e5, 0, -50, 4.2e6), 32618),
    "degrees, turned": (Affine(0.001, 0, 10, 0, -0.001, 60) @ Affine.rotation(20), 4326),
}


def grid_of(codes: NDArray[np.uint8], place: str = "square metres") -> SceneGrid:
    transform, epsg = PLACES[place]
    return SceneGrid(transform, codes.shape[0], codes.shape[1], CRS.from_epsg(epsg))


def smoothed(codes: NDArray[np.uint8], window: int, strip: int = 10**6) -> NDArray[np.uint8]:
    out = codes.copy()
    with mock.patch("geokd.maps.class_map.STRIP_CELLS", strip):
        smooth(out, CLASSES, window)
    return out


def sieved(
    codes: NDArray[np.uint8], grid: SceneGrid, least_ha: float, strip: int = 10**6
) -> tuple[NDArray[np.uint8], Sieved]:
    out = codes.copy()
    with mock.patch("geokd.maps.class_map.STRIP_CELLS", strip):
        done = sieve(out, grid, CLASSES, least_ha)
    return out, done


def counted(codes: NDArray[np.uint8], window: int) -> NDArray[np.uint8]:
    out, reach = codes.copy(), window // 2
    for row, col in np.ndindex(*codes.shape):
        around = codes[max(0, row - reach) : row + reach + 1, max(0, col - reach) : col + reach + 1]
        votes = Counter(around[around < CLASSES].tolist()).most_common()
        if codes[row, col] < CLASSES and (len(votes) == 1 or votes[0][1] > votes[1][1]):
            out[row, col] = votes[0][0]
    return out


def taken_one_by_one(codes: NDArray[np.uint8], grid: SceneGrid, least_ha: float) -> tuple[NDArray[np.uint8], Sieved]:
    """What the sieve's text says, with everything looked at anew after each region."""
    codes, areas, merged = codes.copy(), np.rint(cell_areas_ha(grid) * 1e8), 0
    across, down = (round(1000 * side) for side in grid.pixel_size_m)
    least = round(least_ha * 1e8)
    step = 2 * areas.min()
    while True:
        labels, count = connected_labels(codes)  # in the order of their first cells
        sizes = np.bincount(labels.ravel(), areas.ravel(), minlength=count)
        borders: list[Counter[int]] = [Counter() for _ in range(count)]
        for row, col in np.ndindex(*codes.shape):
            for r, c, side in ((row + 1, col, across), (row, col + 1, down)):
                if r < codes.shape[0] and c < codes.shape[1] and labels[r, c] != labels[row, col]:
                    for (a, b), (y, x) in (((row, col), (r, c)), ((r, c), (row, col))):
                        if codes[a, b] < CLASSES and codes[y, x] < CLASSES:
                            borders[labels[a, b]][int(codes[y, x])] += side
        classified = [codes[labels == n][0] < CLASSES for n in range(count)]
        small = [n for n in range(count) if classified[n] and sizes[n] < min(step, least)]
        going = next((n for n in small if borders[n]), None)
        if going is not None:
            codes[labels == going] = max(borders[going], key=lambda code: (borders[going][code], -code))
            merged += 1
        elif step < least:
            step *= 2
        else:
            return codes, Sieved(merged, len(small))


@given(CODES, st.sampled_from([1, 3, 5, 9]), st.integers(1, 40))
@settings(max_examples=200, deadline=None)
def test_majority_is_that_of_counting_in_strips_of_any_height(
    codes: NDArray[np.uint8], window: int, strip: int
) -> None:
    assert np.array_equal(smoothed(codes, window, strip), counted(codes, window))


@given(CODES, st.sampled_from(list(PLACES)), st.sampled_from([0.0, 1.0, 1.5, 2.0, 4.0, 9.0, 40.0]), st.integers(1, 40))
@settings(max_examples=300, deadline=None)
def test_the_sieve_is_that_of_going_one_by_one_in_strips_of_any_height(
    codes: NDArray[np.uint8], place: str, least_ha: float, strip: int
) -> None:
    grid = grid_of(codes, place)
    expected, expected_done = taken_one_by_one(codes, grid, least_ha)
    for found, done in (sieved(codes, grid, least_ha), sieved(codes, grid, least_ha, strip)):
        assert np.array_equal(found, expected)
        assert done == expected_done
    assert np.array_equal(expected >= CLASSES, codes >= CLASSES)
    assert np.array_equal(expected[codes >= CLASSES], codes[codes >= CLASSES])


@pytest.mark.parametrize("strip", [1, 700, 3_000, 10**6])
def test_strips_do_not_matter_in_a_map_of_noise(strip: int) -> None:
    codes = np.random.default_rng(3).choice(np.array([0, 0, 0, 0, 1, 1, 2, 3, 255], np.uint8), (90, 100))
    grid = grid_of(codes)
    whole, done = sieved(codes, grid, 12)
    found, again = sieved(codes, grid, 12, strip)
    assert np.array_equal(found, whole)
    assert again == done
    assert done.merged > 500
    labels, count = connected_labels(whole)
    cells = np.bincount(labels.ravel())
    small = [n for n in range(count) if cells[n] < 12 and whole[labels == n][0] < CLASSES]
    assert len(small) == done.left
    twice, nothing = sieved(whole, grid, 12)
    assert np.array_equal(twice, whole)
    assert nothing == Sieved(0, done.left)


def test_sections_do_not_matter_in_a_map_of_noise() -> None:
    codes = np.random.default_rng(4).integers(0, CLASSES, (300, 40), dtype=np.uint8)
    whole, done = sieved(codes, grid_of(codes), 20)
    for held in (0, 2, 5):
        with mock.patch("geokd.maps.filters.sieve._HELD_STRIPS", held):
            found, again = sieved(codes, grid_of(codes), 20, 1600)
        assert np.array_equal(found, whole)
        assert again == done


def test_codes_that_are_no_block_of_memory_are_not_sieved_in_a_copy() -> None:
    codes = np.zeros((4, 4), np.uint8)[:, ::2]
    with pytest.raises(ValueError, match="must be contiguous"):
        sieve(codes, grid_of(codes), CLASSES, 2)


def test_memory_does_not_grow_with_the_map() -> None:
    """Of noise, in which nearly all regions are too small and hang together."""

    def peak(height: int) -> int:
        codes = np.random.default_rng(5).integers(0, CLASSES, (height, 60), dtype=np.uint8)
        grid = grid_of(codes)
        tracemalloc.start()
        with mock.patch("geokd.maps.class_map.STRIP_CELLS", 1200):
            sieve(codes, grid, CLASSES, 9)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(100)  # what is loaded and cached once
    assert peak(1600) < 1.25 * peak(200)


def test_a_region_goes_to_the_longest_border_not_to_the_largest_neighbour() -> None:
    codes = np.array([[0, 0, 0, 0], [0, 0, 0, 0], [1, 2, 1, 0], [1, 1, 1, 0]], np.uint8)
    found, done = sieved(codes, grid_of(codes), 2)
    assert found[2, 1] == 1
    assert done == Sieved(1, 0)


def test_borders_of_equal_length_go_to_the_lower_code() -> None:
    codes = np.array([[0, 0, 2, 1, 1]], np.uint8)
    assert sieved(codes, grid_of(codes), 2)[0].tolist() == [[0, 0, 0, 1, 1]]
