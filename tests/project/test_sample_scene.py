"""The shipped students on the real sample scene: is water water, and do the outputs agree with one another?"""

import json
from pathlib import Path

import geopandas
import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray
from rasterio.features import geometry_mask
from rio_cogeo.cogeo import cog_validate

import geokd
from geokd.assessment.reference import normalised_difference, share_around_cells
from geokd.maps.class_map import ClassMap

ROOT = Path(__file__).parents[2]
SCENE = ROOT / "sample_data" / "eastern_shore.tif"
LABELS = ROOT / "sample_data" / "labels.gpkg"


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> geokd.ClassifyResult:
    """The map of the patch student, in cells of 160 m."""
    return geokd.classify(SCENE, model="eurosat-rgb-maps", output=tmp_path_factory.mktemp("map"))


@pytest.fixture(scope="module")
def dense(tmp_path_factory: pytest.TempPathFactory) -> geokd.ClassifyResult:
    """The map of the dense student that is chosen for the scene, in cells of 10 m."""
    return geokd.classify(SCENE, output=tmp_path_factory.mktemp("dense"))


def is_class(class_map: ClassMap, *names: str) -> NDArray[np.bool_]:
    return np.isin(class_map.codes, [class_map.legend.names.index(name) for name in names])


def test_water_is_water(result: geokd.ClassifyResult) -> None:
    """NDWI needs the near infrared, which the student never sees; it counts flooded marsh as water, too."""
    with rasterio.open(SCENE) as scene:
        green, infrared = scene.read([2, 4]).astype(np.float64)
    share = share_around_cells(normalised_difference(green, infrared) > 0.05, np.ones_like(green, np.bool_), 16, 64)
    water = is_class(result.class_map, "SeaLake", "River")
    all_water, all_land = share >= 0.95, share <= 0.05
    assert all_water.sum() > 800
    assert all_land.sum() > 800
    recall, false_water = float(water[all_water].mean()), float(water[all_land].mean())
    print(f"water recall {recall:.3f} (n = {all_water.sum()}), false water {false_water:.3f} (n = {all_land.sum()})")
    assert recall >= 0.75
    assert false_water <= 0.08


def test_agreement_with_interpreted_polygons(result: geokd.ClassifyResult) -> None:
    """Cells whose centre lies within a polygon, against the classes an interpreter would accept there."""
    grid = result.class_map.grid
    labels = geopandas.read_file(LABELS)
    right: dict[str, list[bool]] = {}
    for land_use, accepted, polygon in zip(labels["land_use"], labels["eurosat"], labels.geometry, strict=True):
        if not accepted:
            continue
        inside = geometry_mask([polygon], (grid.height, grid.width), grid.transform, invert=True)
        right.setdefault(land_use, []).extend(is_class(result.class_map, *accepted.split("|"))[inside])
    for land_use, answers in sorted(right.items()):
        print(f"{land_use}: {np.mean(answers):.3f} of {len(answers)} cells")
    assert np.mean(right["water_sea"]) >= 0.93
    assert np.mean(right["cropland"]) >= 0.5
    assert np.mean(right["forest"]) >= 0.4
    assert np.mean(right["water_bay"]) >= 0.93


def test_outputs_agree_with_one_another(result: geokd.ClassifyResult) -> None:
    outputs = result.outputs
    manifest = json.loads(outputs["manifest"].read_text())
    polygons = geopandas.read_file(outputs["polygons"], layer="land_use")
    with rasterio.open(outputs["class_raster"]) as raster:
        codes = raster.read(1)
        assert raster.crs.to_epsg() == 32618
        assert raster.nodata == 255
        with rasterio.open(SCENE) as scene:
            assert raster.transform == scene.transform @ scene.transform.scale(16)
    assert np.array_equal(codes, result.class_map.codes)
    cells = int((codes != 255).sum())
    assert cells == 64 * 64
    cell_ha = 160 * 160 / 1e4
    assert polygons["area_ha"].sum() == pytest.approx(cells * cell_ha, rel=1e-12)
    assert polygons.geometry.is_valid.all()
    for area in manifest["areas"]:
        mine = polygons[polygons["class_value"] == area["value"]]
        assert mine["area_ha"].sum() == pytest.approx(area["area_ha"], rel=1e-12)
        assert area["cells"] == int((codes == area["value"]).sum())
    for name in ("class_raster", "confidence_raster"):
        valid, errors, warnings = cog_validate(outputs[name], strict=True)
        assert valid, (errors, warnings)


def test_eight_bits_and_three_bands_give_the_same_map(result: geokd.ClassifyResult, tmp_path: Path) -> None:
    with rasterio.open(SCENE) as scene:
        profile = scene.profile | {"driver": "GTiff", "count": 3, "tiled": False}
        values = scene.read([1, 2, 3])
        infrared = scene.read(4)
    bytes_ = np.clip(np.floor(values / 2750 * 254 + 1 + 0.5), 0, 255).astype(np.uint8)
    variants = {
        "three": (values, {}),
        "bytes": (bytes_, {"dtype": "uint8"}),
        "swapped": (np.concatenate([infrared[None], values[::-1]]), {"count": 4}),
    }
    for name, (pixels, changes) in variants.items():
        with rasterio.open(tmp_path / f"{name}.tif", "w", **(profile | changes)) as copy:
            copy.write(pixels)
        options = geokd.ClassifyOptions(bidx=(4, 3, 2) if name == "swapped" else None)
        other = geokd.classify(tmp_path / f"{name}.tif", model="eurosat-rgb-maps", output=tmp_path, options=options)
        assert np.array_equal(other.class_map.codes, result.class_map.codes), name


def test_the_map_is_not_one_class(result: geokd.ClassifyResult) -> None:
    counts = result.class_map.cell_counts()
    assert (counts > 0).sum() >= 7
    assert counts.max() < 0.5 * counts.sum()


def test_the_dense_student_is_chosen_for_a_scene_with_near_infrared(dense: geokd.ClassifyResult) -> None:
    assert dense.manifest.to_json()["model"]["name"] == "sentinel2-landuse"
    assert dense.manifest.to_json()["model"]["precision"] == "int8"
    assert dense.class_map.codes.shape == (1024, 1024)


def test_colours_alone_get_the_student_of_colours(tmp_path: Path) -> None:
    with rasterio.open(SCENE) as scene:
        window = rasterio.windows.Window(0, 0, 256, 256)
        profile = scene.profile | {
            "driver": "GTiff", "count": 3, "tiled": False, "height": 256, "width": 256,
        }  # fmt: skip
        with rasterio.open(tmp_path / "colours.tif", "w", **profile) as copy:
            copy.write(scene.read([1, 2, 3], window=window))
            copy.descriptions = ("B04", "B03", "B02")
    result = geokd.classify(tmp_path / "colours.tif", output=tmp_path)
    assert result.manifest.to_json()["model"]["name"] == "sentinel2-landuse-rgb"


def test_the_dense_map_agrees_with_interpreted_polygons(dense: geokd.ClassifyResult) -> None:
    """Pixels within polygons, against the classes an interpreter would accept there; figures in the model card."""
    grid = dense.class_map.grid
    right: dict[str, list[bool]] = {}
    labels = geopandas.read_file(LABELS)
    for land_use, accepted, polygon in zip(labels["land_use"], labels["landuse"], labels.geometry, strict=True):
        inside = geometry_mask([polygon], (grid.height, grid.width), grid.transform, invert=True)
        right.setdefault(land_use, []).extend(is_class(dense.class_map, *accepted.split("|"))[inside])
    for land_use, answers in sorted(right.items()):
        print(f"{land_use}: {np.mean(answers):.3f} of {len(answers)} pixels")
    assert np.mean(right["forest"]) >= 0.97
    assert np.mean(right["cropland"]) >= 0.85
    assert np.mean(right["water_sea"]) >= 0.95
    assert np.mean(right["beach"]) >= 0.85
    assert np.mean(right["town"]) >= 0.55


def test_water_of_the_dense_map_is_water(dense: geokd.ClassifyResult) -> None:
    with rasterio.open(SCENE) as scene:
        green, infrared = scene.read([2, 4]).astype(np.float64)
    index = normalised_difference(green, infrared)
    water = is_class(dense.class_map, "SeaLake", "River")
    print(f"water found {water[index > 0.3].mean():.4f}, land called water {water[index < -0.2].mean():.4f}")
    assert water[index > 0.3].mean() >= 0.95
    assert water[index < -0.2].mean() <= 0.015
