"""Which model is taken for a scene, where that is left to the scene."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from rasterio import Affine
from rasterio.crs import CRS

import geokd
from geokd.cli import main
from geokd.errors import BundleError, SceneError
from geokd.mapping.choosing import ModelCard, choose_of, read_card
from geokd.model.contract import InputContract, ValueScaling
from geokd.scenes.grid import SceneGrid
from geokd.scenes.options import SceneOptions
from geokd.scenes.scene_info import SceneInfo
from tests.tiny import dense_bundle, three_fields, tiny_bundle, write_scene

RGB, RGBN = ("B04", "B03", "B02"), ("B04", "B03", "B02", "B08")
STRETCH = ValueScaling()
CARDS = [
    ModelCard("eurosat-rgb-maps", "int8", InputContract(RGB, 64, 10.0, STRETCH)),
    ModelCard("eurosat-rgb-maps-fp32", "fp32", InputContract(RGB, 64, 10.0, STRETCH)),
    ModelCard("rsscn7", "int8", InputContract(RGB, 224, 0.6)),
    ModelCard("ucmerced", "int8", InputContract(RGB, 128, 0.6)),
    ModelCard("ucmerced-fp32", "fp32", InputContract(RGB, 128, 0.6)),
    ModelCard("sentinel2-landuse", "int8", InputContract(RGBN, 512, 10.0, STRETCH, 1, 32)),
    ModelCard("sentinel2-landuse-fp32", "fp32", InputContract(RGBN, 512, 10.0, STRETCH, 1, 32)),
    ModelCard("sentinel2-landuse-rgb", "int8", InputContract(RGB, 512, 10.0, STRETCH, 1, 32)),
]


def scene_info(names: tuple[str, ...], dtype: str = "uint16", pixel_m: float = 10.0, colours: str = "") -> SceneInfo:
    grid = SceneGrid(Affine(pixel_m, 0, 4e5, 0, -pixel_m, 4.2e6), 100, 100, CRS.from_epsg(32618))
    count = len(names)
    shown = tuple(colours.split()) or ("undefined",) * count
    none, ones, zeros = (None,) * count, (1.0,) * count, (0.0,) * count
    return SceneInfo("s.tif", grid, dtype, names, shown, none, False, ones, zeros, (64, 64))


@pytest.mark.parametrize(
    ("info", "wanted"),
    [
        (scene_info(RGBN), "sentinel2-landuse"),
        (scene_info(("B02", "B03", "B04", "B08", "SCL")), "sentinel2-landuse"),
        (scene_info(("",) * 4, colours="red green blue nir"), "sentinel2-landuse"),
        (scene_info(RGB), "sentinel2-landuse-rgb"),
        (scene_info(("",) * 3), "sentinel2-landuse-rgb"),  # by their order; never so the near infrared
        (scene_info((*RGB, "B05")), "sentinel2-landuse-rgb"),
        (scene_info(RGBN, "uint8"), "sentinel2-landuse-rgb"),  # how B08 was stretched is unknown
        (scene_info(("",) * 4, "uint8", colours="red green blue alpha"), "sentinel2-landuse-rgb"),
    ],
)
def test_the_model_that_sees_most_is_taken(info: SceneInfo, wanted: str) -> None:
    choice = choose_of(info, CARDS, SceneOptions())
    assert choice.model == wanted
    assert choice.reason.startswith(f"model auto: chose {wanted} because it classifies every pixel")
    assert choose_of(info, CARDS[::-1], SceneOptions()) == choice


def test_bands_that_are_named_by_the_caller_count() -> None:
    assert choose_of(scene_info(("",) * 6), CARDS, SceneOptions(bidx=(3, 2, 1))).model == "sentinel2-landuse-rgb"
    assert choose_of(scene_info(("",) * 6), CARDS, SceneOptions(bidx=(3, 2, 1, 4))).model == "sentinel2-landuse"


def test_without_dense_models_the_patch_student_is_taken() -> None:
    assert choose_of(scene_info(RGBN), CARDS[:5], SceneOptions()).model == "eurosat-rgb-maps"


def test_aerial_pictures_need_a_model_that_is_named() -> None:
    with pytest.raises(SceneError, match=r"that of aerial images, and rsscn7 and ucmerced fit .* name one with"):
        choose_of(scene_info(RGB, "uint8", 0.6), CARDS, SceneOptions())


def test_a_scene_that_none_takes_is_reported_with_the_reason() -> None:
    with pytest.raises(SceneError, match=r"its pixels measure 30 x 30 m, the model needs 10 m"):
        choose_of(scene_info(RGBN, pixel_m=30.0), CARDS, SceneOptions())
    with pytest.raises(SceneError, match="do not show which are B04, B03, B02"):
        choose_of(scene_info(("a", "b", "c", "d")), CARDS, SceneOptions())
    with pytest.raises(BundleError, match="no model for satellite scenes ships"):
        choose_of(scene_info(RGB), [], SceneOptions())


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three models that ship: of patches, dense, and dense of four bands."""
    folder = tmp_path / "bundles"
    folder.mkdir()
    four = dense_bundle(bands=RGBN, classes=("a", "b", "c", "d"))
    for name, bundle in (("patches", tiny_bundle()), ("every-pixel", dense_bundle()), ("four-bands", four)):
        (folder / f"{name}.onnx").write_bytes(replace(bundle, name=name, precision="int8").onnx_bytes)
    monkeypatch.setattr("geokd.model.bundle.BUNDLES_FOLDER", folder)
    read_card.cache_clear()
    return folder


def test_scenes_of_a_call_get_each_its_own(shipped: Path, tmp_path: Path) -> None:
    red = write_scene(tmp_path / "rgb.tif", three_fields(40, 40), photometric="RGB")
    infrared = write_scene(tmp_path / "nir.tif", np.full((4, 40, 40), 900, np.uint16), RGBN)
    done = CliRunner().invoke(main, ["classify", str(red), str(infrared), "-o", str(tmp_path / "out"), "--json"])
    assert done.exit_code == 0, done.stderr
    manifests = {json.loads(line)["scene"]["path"]: json.loads(line) for line in done.stdout.splitlines()}
    assert manifests[str(red)]["model"]["name"] == "every-pixel"
    assert manifests[str(infrared)]["model"]["name"] == "four-bands"
    assert manifests[str(red)]["options"]["model"].startswith("model auto: chose every-pixel because")
    assert "  model auto: chose every-pixel because" in done.stderr
    named = geokd.classify(red, "every-pixel", tmp_path / "named")
    assert named.manifest.to_json()["options"]["model"] == "every-pixel"
    assert named.outputs["class_raster"].read_bytes() == (tmp_path / "out" / "rgb_landuse.tif").read_bytes()


def test_info_says_what_would_be_chosen(shipped: Path, tmp_path: Path) -> None:
    scene = write_scene(tmp_path / "rgb.tif", three_fields(40, 40), photometric="RGB")
    about = geokd.info(scene, "auto").to_json()["mapping"]
    assert about["model"] == "every-pixel"
    assert about["notes"][0].startswith("model auto: chose every-pixel")
    far = write_scene(tmp_path / "far.tif", three_fields(40, 40), transform=Affine(30, 0, 4e5, 0, -30, 4.2e6))
    assert "its pixels measure 30 x 30 m" in geokd.info(far, "auto").to_json()["mapping"]["problems"]
