"""`geokd info`: models, scenes, and scenes with a model."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import geokd
from geokd.cli import main
from geokd.errors import CallError
from tests.bad_input import CASES
from tests.mapping.test_classify import tree
from tests.tiny import three_fields, write_scene


def info(*arguments: object) -> dict[str, Any]:
    result = CliRunner().invoke(main, ["info", *map(str, arguments), "--json"])
    assert result.exit_code == 0, result.output
    document: dict[str, Any] = json.loads(result.stdout)
    return document


def test_model(model: Path) -> None:
    about = info(model)
    assert (about["kind"], about["name"], about["input"]["patch_px"]) == ("model", "tiny", 16)
    assert about["size_bytes"] == model.stat().st_size
    assert [c["title"] for c in about["legend"]] == ["Bare", "Meadow", "Lake"]


def test_model_by_the_name_of_one_that_ships(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bundles").mkdir()
    (tmp_path / "bundles" / "shipped.onnx").write_bytes(model.read_bytes())
    monkeypatch.setattr("geokd.model.bundle.BUNDLES_FOLDER", tmp_path / "bundles")
    assert info("shipped")["kind"] == "model"


def test_scene(scene: Path) -> None:
    about = info(scene)
    assert (about["kind"], about["height"], about["width"], about["crs"]) == ("scene", 100, 130, "EPSG:32618")
    assert about["pixel_size_m"] == [10, 10]
    assert about["data_type"] == "uint8"
    assert [band["colour"] for band in about["bands"]] == ["red", "green", "blue"]
    assert about["nodata"] is None
    assert about["mapping"] is None
    colours = ["eurosat-rgb-maps", "eurosat-rgb-maps-fp32", "sentinel2-landuse-rgb", "sentinel2-landuse-rgb-fp32"]
    assert about["models_that_fit"] == colours


@pytest.mark.parametrize(("nodata", "shown"), [(np.nan, "nan"), (0.5, 0.5)])
def test_nodata_that_json_does_not_know(tmp_path: Path, nodata: float, shown: object) -> None:
    scene = write_scene(tmp_path / "f.tif", np.ones((3, 20, 20), np.float32), nodata=nodata)
    assert info(scene)["nodata"] == shown


def test_a_scale_that_json_does_not_know(tmp_path: Path) -> None:
    (case,) = (case for case in CASES if case.name == "scale tag is NaN")
    assert [band["scale"] for band in info(case.call(tmp_path).scene)["bands"]] == ["nan"] * 3


def test_scene_with_a_model_states_what_mapping_gives(scene: Path, model: Path, tmp_path: Path) -> None:
    before = tree(tmp_path)
    about = info(scene, "-m", model, "--stride", 8)
    result = geokd.classify(scene, model, tmp_path / "out", geokd.ClassifyOptions(stride_px=8))
    assert about["mapping"]["problems"] is None
    assert about["mapping"]["patches"] == result.manifest.to_json()["run"]["patches"]
    assert about["mapping"]["map"]["cells"] == result.class_map.codes.size
    assert about["mapping"]["notes"] == result.manifest.to_json()["notes"]
    assert about["mapping"]["valid_share"] == 1
    assert about["mapping"]["expected"]["seconds"] >= 0
    assert before.keys() == {"fields.tif"}


def test_valid_share(model: Path, tmp_path: Path) -> None:
    pixels = three_fields(100, 130)
    pixels[:, :50] = 0
    scene = write_scene(tmp_path / "half.tif", pixels, nodata=0, photometric="RGB")
    assert info(scene, "-m", model)["mapping"]["valid_share"] == 0.5


def test_mismatches_are_listed_not_raised(model: Path, tmp_path: Path) -> None:
    scene = write_scene(tmp_path / "s.tif", three_fields(40, 50)[:1], crs=None)
    about = info(scene, "-m", model)
    assert "coordinate reference system" in about["mapping"]["problems"]
    assert "1 band" in about["mapping"]["problems"]
    assert about["crs"] is None


def test_a_scene_that_fits_no_model_is_reported_with_the_reason(tmp_path: Path) -> None:
    about = info(write_scene(tmp_path / "s.tif", three_fields(40, 50)[:1], crs=None))
    assert about["models_that_fit"] == []
    assert "1 band" in about["problems"]
    assert "coordinate reference system" in about["problems"]


def test_text_holds_what_json_holds(scene: Path, model: Path) -> None:
    result = CliRunner().invoke(main, ["info", str(scene), "-m", str(model)])
    assert result.exit_code == 0
    for text in ("height: 100", "crs: EPSG:32618", "transform: 10, 0, 400000, 0, -10, 4200000", "valid share: 1"):
        assert text in result.stdout


def test_a_model_takes_no_model(model: Path) -> None:
    with pytest.raises(CallError, match="is a model itself"):
        geokd.info(model, model)


def test_nothing_there(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["info", str(tmp_path / "nothing.tif")])
    assert result.exit_code == 2
    assert result.stderr.startswith("Error: no such file")


@pytest.mark.parametrize("command", ["info", "tile", "robustness"])
def test_a_scene_of_one_file_for_each_band(command: str, scene: Path, model: Path, tmp_path: Path) -> None:
    """What classify takes, the other commands on scenes take as well."""
    bands = f"red={scene}:1,green={scene}:2,blue={scene}:3"
    further = {
        "info": ["--json"],
        "tile": ["-o", str(tmp_path / "chips"), "--json"],
        "robustness": ["-m", str(model), "-o", str(tmp_path / "out"), "--shift", "haze", "--json"],
    }
    done = CliRunner().invoke(main, [command, "--bands", bands, *further[command]])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)
    for named, words in (
        ([], "name a scene, or its bands with --bands"),
        (
            [str(scene), "--bands", bands],
            f"{scene} and --bands are both given; name one of the two",
        ),
    ):
        refused = CliRunner().invoke(main, [command, *named, *further[command]])
        assert refused.exit_code == 2
        assert words in refused.stderr
