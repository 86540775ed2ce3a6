"""The polygons of a map, against counting cell by cell; and that equal maps give equal files."""

import functools
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
import rasterio.features
import shapely
import shapely.geometry
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from rasterio.crs import CRS

from geokd.legend.classes import default_legend
from geokd.maps.class_map import ClassMap, cell_areas_ha
from geokd.maps.geotiff import write_class_raster, write_confidence_raster
from geokd.maps.polygons.geopackage import write_polygons
from geokd.maps.polygons.regions import Regions, regions_of
from geokd.scenes.grid import SceneGrid

LEGEND = default_legend(("forest", "water", "town"))
UTM = Affine(160, 0, 400_000, 0, -160, 4_200_000)
DEGREES = Affine(0.002, 0, 10, 0, -0.001, 60)


def make_map(codes: NDArray[np.uint8], transform: Affine, epsg: int) -> ClassMap:
    confidence = np.random.default_rng(codes.size).integers(0, 101, codes.shape, dtype=np.uint8)
    grid = SceneGrid(transform, codes.shape[0], codes.shape[1], CRS.from_epsg(epsg))
    return ClassMap(codes, np.where(codes == 255, 255, confidence).astype(np.uint8), grid, LEGEND)


def all_regions(class_map: ClassMap, simplify_m: float = 0.0) -> Regions:
    return functools.reduce(Regions.join, regions_of(class_map, simplify_m))


@given(
    arrays(np.uint8, st.tuples(st.integers(1, 8), st.integers(1, 8)), elements=st.sampled_from([0, 1, 255])),
    st.sampled_from([(UTM, 32618), (UTM @ Affine.rotation(30), 32618), (DEGREES, 4326)]),
    st.integers(1, 64),
)
@settings(max_examples=200, deadline=None)
def test_each_polygon_sums_the_cells_it_holds(codes: NDArray[np.uint8], place: tuple[Affine, int], strip: int) -> None:
    class_map = make_map(codes, *place)
    with mock.patch("geokd.maps.class_map.STRIP_CELLS", strip):
        regions = all_regions(class_map)
    assert np.all(shapely.is_valid(regions.polygons))
    rows, cols = np.indices(codes.shape)
    centres = shapely.points(*(place[0] @ (cols.ravel() + 0.5, rows.ravel() + 0.5)))
    areas, holders = cell_areas_ha(class_map.grid).ravel(), np.zeros(codes.size, int)
    for number, polygon in enumerate(regions.polygons):
        held = shapely.contains(polygon, centres)
        holders += held
        assert set(codes.ravel()[held]) == {regions.codes[number]}
        assert regions.areas_ha[number] == pytest.approx(areas[held].sum(), rel=1e-12)
        assert regions.cells[number] == held.sum()
        assert regions.confidence[number] == class_map.confidence.ravel()[held].sum()
        assert regions.least_confidence[number] == class_map.confidence.ravel()[held].min()
    assert np.array_equal(holders == 1, (codes != 255).ravel())


@given(arrays(np.uint8, st.tuples(st.integers(1, 20), st.integers(1, 12)), elements=st.sampled_from([0, 1, 255])))
@settings(max_examples=200, deadline=None)
def test_strips_leave_no_seams(codes: NDArray[np.uint8]) -> None:
    """The same polygons, corner for corner, as of the whole map at once; only their order and first corners differ."""
    class_map = make_map(codes, UTM, 32618)
    whole = all_regions(class_map)
    with mock.patch("geokd.maps.class_map.STRIP_CELLS", 2 * codes.shape[1]):
        pieces = all_regions(class_map)
    assert len(pieces) == len(whole)
    places = {shapely.normalize(polygon).wkt: n for n, polygon in enumerate(whole.polygons)}
    order = [places[shapely.normalize(polygon).wkt] for polygon in pieces.polygons]
    for name in ("codes", "cells", "confidence", "least_confidence"):
        np.testing.assert_array_equal(getattr(pieces, name), getattr(whole, name)[order])
    np.testing.assert_allclose(pieces.areas_ha, whole.areas_ha[order], rtol=1e-13)


@pytest.mark.parametrize("strip", [60, 400, 10**6])
@pytest.mark.parametrize("classes", [2, 3])
def test_outlines_are_those_of_gdal(classes: int, strip: int) -> None:
    """In maps of noise, with regions as long as the map, that touch themselves and have islands in holes."""
    codes = np.random.default_rng(classes).integers(0, classes, (70, 60), dtype=np.uint8)
    codes[20:30, 20:30] = 255
    class_map = make_map(codes, UTM, 32618)
    with mock.patch("geokd.maps.class_map.STRIP_CELLS", strip):
        found = all_regions(class_map)
    shapes = rasterio.features.shapes(codes, mask=codes != 255, connectivity=4, transform=UTM)
    expected = {shapely.normalize(shapely.geometry.shape(outline)).wkt: int(code) for outline, code in shapes}
    assert expected == {shapely.normalize(p).wkt: c for p, c in zip(found.polygons, found.codes, strict=True)}
    assert len(found) == len(expected)
    assert np.all(shapely.is_ccw(shapely.get_exterior_ring(found.polygons)))


@given(
    arrays(np.uint8, st.tuples(st.integers(1, 20), st.integers(1, 12)), elements=st.sampled_from([0, 0, 1, 1, 2, 255])),
    st.sampled_from([(UTM, 32618), (DEGREES, 4326)]),
    st.sampled_from([60.0, 120.0, 200.0, 500.0, 5000.0]),
    st.integers(1, 240),
)
@settings(max_examples=300, deadline=None)
def test_simplified_outlines_share_their_borders(
    codes: NDArray[np.uint8], place: tuple[Affine, int], simplify_m: float, strip: int
) -> None:
    """Valid polygons without gaps or overlaps, of the cells' areas, and the map's outer border is where it was."""
    class_map = make_map(codes, *place)
    exact = all_regions(class_map)
    with mock.patch("geokd.maps.class_map.STRIP_CELLS", strip):
        found = all_regions(class_map, simplify_m)
    assert np.all(shapely.is_valid(found.polygons))
    assert np.all(shapely.get_type_id(found.polygons) == shapely.GeometryType.POLYGON)
    assert shapely.coverage_is_valid(found.polygons)
    assert sorted(zip(found.codes, found.cells, strict=True)) == sorted(zip(exact.codes, exact.cells, strict=True))
    assert shapely.area(found.polygons).sum() == pytest.approx(shapely.area(exact.polygons).sum(), rel=1e-9)
    assert shapely.symmetric_difference(
        shapely.union_all(found.polygons), shapely.union_all(exact.polygons)
    ).area == pytest.approx(0, abs=1e-9 * class_map.grid.transform.a**2)


def test_stairs_become_a_slope() -> None:
    codes = np.tril(np.ones((30, 30), np.uint8))
    class_map = make_map(codes, UTM, 32618)
    exact, simpler = all_regions(class_map), all_regions(class_map, 160)
    assert shapely.get_num_coordinates(exact.polygons).sum() > 120
    assert shapely.get_num_coordinates(simpler.polygons).sum() < 20
    np.testing.assert_array_equal(simpler.areas_ha, exact.areas_ha)


def test_areas_in_a_projected_crs_are_the_planar_ones_in_feet_too() -> None:
    class_map = make_map(np.zeros((3, 4), np.uint8), Affine(100, 0, 1e6, 0, -100, 2e5), 2263)  # US survey feet
    (area_ha,) = all_regions(class_map).areas_ha
    assert area_ha == pytest.approx(12 * (100 * 1200 / 3937) ** 2 / 1e4, rel=1e-9)


def test_equal_maps_give_equal_files(tmp_path: Path) -> None:
    codes = np.random.default_rng(0).choice(np.array([0, 1, 2, 255], np.uint8), (40, 50))
    folders = tmp_path / "1", tmp_path / "2"
    rows: list[Any] = []
    for folder in folders:
        folder.mkdir()
        class_map = make_map(codes, UTM, 32618)
        write_class_raster(class_map, folder / "a.tif", {"MODEL": "m"})
        write_confidence_raster(class_map, folder / "b.tif", {})
        write_polygons(class_map, folder / "a.gpkg")
        with closing(sqlite3.connect(folder / "a.gpkg")) as database:  # its tables; the file bears times of writing
            rows.append(database.execute("SELECT * FROM land_use").fetchall())
    for name in ("a.tif", "b.tif"):
        assert (folders[0] / name).read_bytes() == (folders[1] / name).read_bytes()
    assert rows[0] == rows[1]
    assert len(rows[0]) > 100
