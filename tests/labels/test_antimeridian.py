"""Across 180 degrees, longitudes are as a file has them: what lies at one place is brought together all the same."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine

from geokd.assessment.assess import assess
from geokd.labels.ground_truth import pairs_with_raster
from geokd.labels.polygons import read_labels
from geokd.mapping.classify import classify
from geokd.mapping.options import ClassifyOptions
from geokd.maps.map_file import open_map
from geokd.maps.mosaic import mosaic
from geokd.scenes.grid import SceneGrid
from geokd.scenes.reader import describe_scene
from geokd.scenes.turns import turned_towards, turns_over
from tests.tiny import three_fields, write_scene
from tests.tiny_maps import LEGEND, write_map

pytest.importorskip("onnx", reason="needs the extra geokd[train]")

HIGH = 10 / 111_195
WIDE = HIGH / np.cos(np.radians(17))
SIDE = 64
WEST_HALF = shapely.box(179.9, -17.1, 180, -16.9)
EAST_HALF = shapely.box(-180, -17.1, -179.9, -16.9)
FORMS = {
    "-180 to 180, two polygons": [WEST_HALF, EAST_HALF],
    "0 to 360": [WEST_HALF, shapely.box(180, -17.1, 180.1, -16.9)],
    "below -180": [shapely.box(-180.1, -17.1, -180, -16.9), EAST_HALF],
}
SCENES = {"beyond 180": 180.0, "below -180": -180.0}


def place(middle: float, crs: str = "EPSG:4326") -> dict[str, Any]:
    return {"crs": crs, "transform": Affine(WIDE, 0, middle - SIDE / 2 * WIDE, 0, -HIGH, -17.0)}


def write_halves(path: Path, halves: list[Any], crs: str = "EPSG:4326") -> Path:
    frame = geopandas.GeoDataFrame({"class": ["Open_sea", "Wood_trees"]}, geometry=halves, crs=4326).to_crs(crs)
    frame.to_file(path)
    return path


@pytest.mark.parametrize("middle", SCENES.values(), ids=SCENES)
@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_labels_of_both_sides_count(middle: float, form: list[Any], tmp_path: Path) -> None:
    scene = write_scene(tmp_path / "scene.tif", three_fields(SIDE, SIDE), photometric="RGB", **place(middle))
    labels = read_labels(write_halves(tmp_path / "labels.gpkg", form), "class", describe_scene(scene).grid)
    left, _, right, _ = describe_scene(scene).grid.bounds
    covered = [
        shapely.clip_by_rect(shapely.union_all(labels.polygons[labels.codes == k]), left, -18, right, -16)
        for k in (0, 1)
    ]
    assert covered[0].bounds[2] == pytest.approx(middle)
    assert covered[1].bounds[0] == pytest.approx(middle)
    assert covered[0].area == pytest.approx(covered[1].area)


def test_one_polygon_across_in_a_plane_is_not_torn(tmp_path: Path) -> None:
    """In zone 60 it is one box; in degrees its corners would lie on both sides of the world."""
    zone = geopandas.GeoSeries([shapely.box(179.995, -17.1, 180, -16.9)], crs=4326).to_crs(32760).total_bounds
    box = shapely.box(zone[0], zone[1], 2 * zone[2] - zone[0], zone[3])
    geopandas.GeoDataFrame({"class": ["sea"]}, geometry=[box], crs=32760).to_file(tmp_path / "labels.gpkg")
    scene = write_scene(tmp_path / "scene.tif", three_fields(SIDE, SIDE), **place(180))
    labels = read_labels(tmp_path / "labels.gpkg", "class", describe_scene(scene).grid)
    left, _, right, _ = shapely.total_bounds(labels.polygons)
    assert 179.9 < left < 180 - SIDE / 2 * WIDE
    assert 180 + SIDE / 2 * WIDE < right < 180.1


@pytest.mark.parametrize("middle", SCENES.values(), ids=SCENES)
@pytest.mark.parametrize("bbox", [(179.999, -17.003, -179.999, -17.001), (-180.001, -17.003, -179.999, -17.001)])
def test_boxes_and_areas(middle: float, bbox: Any, model: Path, tmp_path: Path) -> None:
    scene = write_scene(tmp_path / "scene.tif", three_fields(SIDE, SIDE), photometric="RGB", **place(middle))
    made = classify(scene, model, tmp_path / "box", ClassifyOptions(bbox=bbox))
    halves = write_halves(
        tmp_path / "aoi.gpkg",
        [shapely.box(179.999, -17.003, 180, -17.001), shapely.box(-180, -17.003, -179.999, -17.001)],
    )
    same = classify(scene, model, tmp_path / "aoi", ClassifyOptions(aoi=str(halves)))
    assert (made.class_map.codes != 255).sum() > 10
    assert np.array_equal(made.class_map.codes, same.class_map.codes)


@pytest.mark.parametrize("middle", SCENES.values(), ids=SCENES)
@pytest.mark.parametrize("first", [-180.0, 0.0, 100.0])
def test_references_of_the_whole_world(middle: float, first: float, tmp_path: Path) -> None:
    """A raster round the world, wherever it begins, lies under all cells of a map across 180 degrees."""
    write_map(
        tmp_path / "m_landuse.tif",
        np.zeros((4, 4), np.uint8),
        LEGEND,
        Affine(0.5, 0, middle - 1, 0, -0.5, 1),
        "EPSG:4326",
    )
    world = np.repeat(np.arange(360)[np.newaxis], 2, 0).astype(np.uint16)  # the value is the longitude from `first` on
    with rasterio.open(
        tmp_path / "world.tif",
        "w",
        driver="GTiff",
        width=360,
        height=2,
        count=1,
        dtype="uint16",
        crs="EPSG:4326",
        transform=Affine(1, 0, first, 0, -1, 1),
    ) as raster:
        raster.write(world[np.newaxis])
    found = open_map(tmp_path / "m_landuse.tif")
    pairs = pairs_with_raster(tmp_path / "world.tif", found.grid, found.windows(), 255)
    expected = {int((180 - first - 1) % 360): 8, int((180 - first) % 360): 8}
    assert {pair.value: shared.cells for pair, shared in pairs.items()} == expected


def test_a_reference_from_0_to_360_under_a_map_in_a_plane(tmp_path: Path) -> None:
    write_map(
        tmp_path / "m_landuse.tif",
        np.zeros((4, 4), np.uint8),
        LEGEND,
        Affine(1000, 0, 400_000, 0, -1000, 8_120_000),
        "EPSG:32701",
    )
    with rasterio.open(
        tmp_path / "world.tif",
        "w",
        driver="GTiff",
        width=36,
        height=18,
        count=1,
        dtype="uint8",
        crs="EPSG:4326",
        transform=Affine(10, 0, 0, 0, -10, 90),
    ) as raster:
        raster.write(np.ones((1, 18, 36), np.uint8))
    found = open_map(tmp_path / "m_landuse.tif")
    (shared,) = pairs_with_raster(tmp_path / "world.tif", found.grid, found.windows(), 255).values()
    assert shared.cells == 16


@pytest.mark.parametrize("east", [180.0, -180.0])
def test_mosaics_join_both_sides(east: float, tmp_path: Path) -> None:
    """A map that ends at 180 and one that begins there, or at -180, are neighbours."""
    codes = np.arange(16, dtype=np.uint8).reshape(4, 4) % 3
    for name, west, values in (("a", 179.96, codes), ("b", east, codes[::-1])):
        place = {"transform": Affine(0.01, 0, west, 0, -0.01, -17), "crs": "EPSG:4326"}
        write_map(tmp_path / f"{name}_landuse.tif", values, LEGEND, **place)
        profile = {"driver": "GTiff", "width": 4, "height": 4, "count": 1, "dtype": "uint8", "nodata": 255, **place}
        with rasterio.open(tmp_path / f"{name}_confidence.tif", "w", **profile) as raster:
            raster.write(np.full((1, 4, 4), 80, np.uint8))
    mosaic([tmp_path / "a_landuse.tif", tmp_path / "b_landuse.tif"], tmp_path / "all_landuse.tif")
    with rasterio.open(tmp_path / "all_landuse.tif") as joined:
        assert joined.shape == (4, 8)
        assert np.array_equal(joined.read(1), np.hstack([codes, codes[::-1]]))


def test_masks_are_turned_too(model: Path, tmp_path: Path) -> None:
    scene = write_scene(tmp_path / "scene.tif", three_fields(SIDE, SIDE), photometric="RGB", **place(181))
    mask = np.zeros((1, SIDE, SIDE), np.uint8)
    mask[:, : SIDE // 2] = 1
    write_scene(tmp_path / "clouds.tif", mask, **place(-179))
    made = classify(scene, model, tmp_path / "maps", ClassifyOptions(mask=str(tmp_path / "clouds.tif")))
    assert 0.3 < (made.class_map.codes == 255).mean() < 0.6


def test_assess_compares_all_cells_of_both_sides(tmp_path: Path) -> None:
    codes = np.zeros((8, 8), np.uint8)
    codes[:, 4:] = 1
    write_map(tmp_path / "m_landuse.tif", codes, LEGEND, Affine(0.01, 0, 179.96, 0, -0.01, -16.96), "EPSG:4326")
    report = assess(
        tmp_path / "m_landuse.tif", write_halves(tmp_path / "truth.gpkg", [WEST_HALF, EAST_HALF]), "class"
    ).to_json()
    assert report["units"] == 64
    assert report["overall_accuracy"]["estimate"] == 1


def test_turns_by_hand() -> None:
    scene = SceneGrid(Affine(0.01, 0, 179.9, 0, -0.01, 1), 10, 20, rasterio.crs.CRS.from_epsg(4326))
    assert list(turns_over(-180, -179.9, scene)) == [1]
    assert list(turns_over(-180, 180, scene)) == [0, 1]
    assert list(turns_over(10, 20, scene)) == []
    other = replace(scene, transform=Affine(0.01, 0, -180.1, 0, -0.01, 1))
    assert turned_towards(other, scene).bounds[0] == pytest.approx(179.9)
    in_plane = replace(scene, crs=rasterio.crs.CRS.from_epsg(32618))
    assert list(turns_over(0, 1, in_plane)) == [0]
    assert turned_towards(in_plane, scene) is in_plane
