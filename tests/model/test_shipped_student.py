"""The student that ships: small, proven, and as accurate as its card says."""

import os
from pathlib import Path

import numpy as np
import pytest

import geokd
from geokd.model.bundle import BUNDLES_FOLDER, load_bundle
from tests.tiny import write_scene

DATA = Path(os.environ.get("GEOKD_DATA", Path(__file__).parents[3] / "shared"))
CHIPS = DATA / "data" / "eurosat_rgb_val.zip"


@pytest.mark.parametrize("name", ["eurosat-rgb", "eurosat-rgb-fp32", "eurosat-rgb-maps", "eurosat-rgb-maps-fp32"])
def test_it_answers_as_where_it_was_made(name: str) -> None:
    result = geokd.verify(name)
    assert result.passed, result


def test_it_is_small_and_states_its_making() -> None:
    bundle = load_bundle("eurosat-rgb-maps")
    assert len(bundle.onnx_bytes) <= 3e6
    assert bundle.precision == "int8"
    assert bundle.contract == load_bundle("eurosat-rgb-maps-fp32").contract
    assert bundle.provenance["recipe"]["augmentation"]["water_classes"] == ["SeaLake"]
    assert "teacher" in bundle.provenance["validation_before_rounding"]


def test_the_student_of_chips_is_small_and_says_what_it_is_not_for(tmp_path: Path) -> None:
    bundle = load_bundle("eurosat-rgb")
    assert len(bundle.onnx_bytes) <= 3e6
    assert bundle.precision == "int8"
    assert bundle.contract == load_bundle("eurosat-rgb-maps").contract
    scene = write_scene(tmp_path / "a.tif", np.full((3, 128, 128), 900, np.uint16), ("B04", "B03", "B02"))
    legend = tmp_path / "legend.csv"
    legend.write_text("from,title\nRiver,Water\nSeaLake,Water\n", encoding="utf-8")
    geokd.style(legend, "eurosat-rgb", tmp_path / "merged.onnx")
    said = {}
    for model in ("eurosat-rgb", "eurosat-rgb-maps", tmp_path / "merged.onnx"):
        name = Path(model).stem
        result = geokd.classify(scene, model, tmp_path / name, geokd.ClassifyOptions(stride_px=64))
        said[name] = any("expect many errors in a map of a scene" in n for n in result.manifest.to_json()["notes"])
    assert said == {"eurosat-rgb": True, "eurosat-rgb-maps": False, "merged": True}


@pytest.mark.skipif(not CHIPS.is_file(), reason=f"needs EuroSAT's validation chips at {CHIPS.name} of $GEOKD_DATA/data")
@pytest.mark.parametrize(
    ("name", "accuracy"),
    [
        ("eurosat-rgb", 0.9848),
        pytest.param("eurosat-rgb-fp32", 0.9850, marks=pytest.mark.slow),
        ("eurosat-rgb-maps", 0.9728),
        pytest.param("eurosat-rgb-maps-fp32", 0.9724, marks=pytest.mark.slow),
    ],
)
def test_it_is_as_accurate_as_its_card_says(name: str, accuracy: float) -> None:
    card = (BUNDLES_FOLDER / f"{name.removesuffix('-fp32')}.md").read_text(encoding="utf-8")
    assert f"{100 * accuracy:.2f} %" in card
    figures = geokd.evaluate(name, CHIPS).to_json()
    assert figures["n"] == 5400
    assert figures["accuracy"] == pytest.approx(accuracy, abs=0.001)  # other processors round elsewhere
