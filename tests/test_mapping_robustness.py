import json
from pathlib import Path

import geopandas
import numpy as np
import pytest
import shapely
from click.testing import CliRunner
from PIL import Image

from geokd.cli import main
from geokd.errors import CallError, ChipError
from geokd.legend import default_legend
from geokd.mapping.jobs import ClassifyOptions
from geokd.mapping.robustness import RobustnessOptions, robustness
from geokd.mapping.yardstick import _VEGETATION, _WATER, codes_like
from tests.tiny import write_scene

SHIFTS = ("haze", "gain 1.25")


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    """A reflectance scene of 128 x 192 pixels: a red bare field, a green meadow, a blue lake, and near infrared."""
    pixels = np.full((4, 128, 192), 600, np.uint16)
    for band in range(3):
        pixels[band, :, 64 * band : 64 * (band + 1)] = 1500
    pixels[3, :, :64], pixels[3, :, 64:128], pixels[3, :, 128:] = 1500, 2500, 200
    return write_scene(tmp_path / "lake.tif", pixels, ("B04", "B03", "B02", "B08"))


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    def box(left: int, right: int) -> shapely.Polygon:
        return shapely.box(4e5 + 10 * left, 4.2e6 - 1280, 4e5 + 10 * right, 4.2e6)

    frame = geopandas.GeoDataFrame(
        {"kinds": ["bare|meadow", "lake", "meadow", None], "zone": ["west", "east", "east", "nowhere"]},
        geometry=[box(0, 96), box(160, 192), box(128, 160), box(96, 112)],
        crs="EPSG:32618",
    )
    path = tmp_path / "labels.gpkg"
    frame.to_file(path, layer="labels")
    return path


def test_figures_by_hand(model: Path, lake: Path, labels: Path, tmp_path: Path) -> None:
    against = RobustnessOptions((labels,), "kinds", "zone", shifts=SHIFTS)
    seen: list[str] = []
    document = robustness(
        lake, model, tmp_path / "out", ClassifyOptions(16), against, progress=lambda name, _: seen.append(name)
    )
    assert seen == ["as it is", *SHIFTS]
    figures = document["maps"]["as it is"]
    assert figures["water_recall"] == 1
    assert figures["false_water"] == 0
    assert figures["vegetation_recall"] == 1
    assert figures["cells"]["water"] == 8 * 4
    assert figures["changed"] == 0
    # 48 cells of the western polygon and 16 of the lake are right, 16 of lake under "meadow" wrong
    assert figures["agreement"] == pytest.approx(64 / 80)
    assert figures["groups"]["east"] == {"polygons": 2, "cells": 32, "agreement": 0.5}
    low, high = figures["agreement_interval_95"]
    assert low < 0.8 < high
    assert any("1 polygons" in note for note in document["notes"])
    assert json.loads((tmp_path / "out" / "lake_robustness.json").read_text()) == document
    with Image.open(tmp_path / "out" / "lake_robustness.png") as picture:
        assert picture.width > 3 * 380


def test_without_near_infrared_or_labels_maps_are_still_compared(model: Path, scene: Path, tmp_path: Path) -> None:
    document = robustness(scene, model, tmp_path / "out", against=RobustnessOptions(shifts=("noise of 3 steps",)))
    figures = document["maps"]["noise of 3 steps"]
    assert figures["water_recall"] is None
    assert figures["agreement"] is None
    assert 0 <= figures["changed"] < 0.2
    assert document["worst"] == {}
    assert any("no band is known to be near infrared" in note for note in document["notes"])


def test_wrong_calls(model: Path, lake: Path, labels: Path, tmp_path: Path) -> None:
    with pytest.raises(CallError, match="no simulated change is called sandstorm; there are haze"):
        RobustnessOptions(shifts=("sandstorm",))
    with pytest.raises(CallError, match=r"accepts east, nowhere, west, no classes of the model"):
        robustness(lake, model, tmp_path / "out", against=RobustnessOptions((labels,), "zone"))
    with pytest.raises(CallError, match="has no field 'class'"):
        robustness(lake, model, tmp_path / "out", against=RobustnessOptions((labels,)))
    far = tmp_path / "far.gpkg"
    geopandas.GeoDataFrame({"class": ["lake"]}, geometry=[shapely.box(0, 0, 9, 9)], crs="EPSG:32618").to_file(far)
    with pytest.raises(ChipError, match="lies over the scene"):
        robustness(lake, model, tmp_path / "out", against=RobustnessOptions((far,)))
    with pytest.raises(CallError, match=r"has no band 9, its bands are 1\.\.4"):
        robustness(lake, model, tmp_path / "out", against=RobustnessOptions(nir_band=9))
    assert not list((tmp_path / "out").glob("*"))


def test_nodata_is_neither_land_nor_part_of_the_changes(model: Path, tmp_path: Path) -> None:
    """Half of the scene is fill: figures are those of the other half, which no change of the scene confuses."""
    pixels = np.zeros((4, 128, 256), np.uint16)
    pixels[:, :, :128] = np.array([1500, 600, 600, 1500])[:, None, None]
    whole = write_scene(tmp_path / "whole.tif", pixels[:, :, :128], ("B04", "B03", "B02", "B08"), nodata=0)
    half = write_scene(tmp_path / "half.tif", pixels, ("B04", "B03", "B02", "B08"), nodata=0)
    against = RobustnessOptions(shifts=("low sun (contrast 0.75)", "pixels of twice the side"))
    one, other = (robustness(path, model, tmp_path / "out", ClassifyOptions(16), against) for path in (whole, half))
    assert one["maps"]["as it is"]["cells"]["land"] == 64
    assert other["maps"]["as it is"]["cells"]["land"] <= 64 + 8  # cells half known count, too
    for name in against.shifts:
        assert other["maps"][name]["changed"] == one["maps"][name]["changed"] == 0


def test_bands_are_those_the_student_is_given_or_by_number(model: Path, tmp_path: Path) -> None:
    pixels = np.full((4, 64, 64), 600, np.uint16)
    pixels[0], pixels[3] = 200, 1500  # near infrared first, then blue, green, red, none of them named
    scene = write_scene(tmp_path / "unnamed.tif", pixels, ("", "", "", ""))
    options = ClassifyOptions(16, bidx=(4, 3, 2))
    against = RobustnessOptions(nir_band=1, shifts=("haze", "haze"))
    document = robustness(scene, model, tmp_path / "out", options, against)
    assert list(document["maps"]) == ["as it is", "haze"]
    assert document["maps"]["as it is"]["cells"] == {"water": 16, "land": 0, "vegetation": 0}
    assert any("green is band 3, near infrared 1" in note for note in document["notes"])
    assert document["options"]["bidx"] == [4, 3, 2]


def test_classes_of_water_and_vegetation_are_told_by_whole_words() -> None:
    names = ["SeaLake", "Seasonal", "AnnualCrop", "cropping", "open-water", "Bayonne", "rivers", "Wetland", "grassland"]
    legend = default_legend(names)
    assert [names[k] for k in codes_like(legend, _WATER)] == ["SeaLake", "open-water", "rivers"]
    assert [names[k] for k in codes_like(legend, _VEGETATION)] == ["AnnualCrop", "grassland"]


def test_command(model: Path, lake: Path, labels: Path, tmp_path: Path) -> None:
    arguments = ["robustness", str(lake), "-m", str(model), "-o", str(tmp_path / "out"), "--labels", str(labels)]
    arguments += ["--field", "kinds", "--shift", "haze", "--json"]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["maps"]["haze"]["agreement"] > 0.5
    assert "water is where NDWI" in result.stderr
    again = CliRunner().invoke(main, arguments)
    assert again.exit_code == 2
    assert "lake_robustness.json" in again.stderr


def test_polygons_without_mapped_cells_and_unsure_cells(model: Path, lake: Path, tmp_path: Path) -> None:
    tiny = geopandas.GeoDataFrame({"class": ["lake"]}, geometry=[shapely.box(4e5 + 1, 4.2e6 - 9, 4e5 + 9, 4.2e6 - 1)])
    tiny.set_crs("EPSG:32618").to_file(tmp_path / "tiny.gpkg")
    against = RobustnessOptions((tmp_path / "tiny.gpkg",), shifts=("haze",))
    document = robustness(lake, model, tmp_path / "out", ClassifyOptions(16, min_confidence=0.99999), against)
    assert document["maps"]["as it is"]["agreement"] is None
    assert document["maps"]["as it is"]["class_shares"]["unclassified"] > 0
    assert any("hold the centre of no cell" in note for note in document["notes"])
