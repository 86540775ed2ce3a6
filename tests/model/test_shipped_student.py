"""The student that ships: small, proven, and as accurate as its card says."""

import os
from pathlib import Path

import pytest

import geokd
from geokd.model.bundle import BUNDLES_FOLDER, load_bundle

DATA = Path(os.environ.get("GEOKD_DATA", Path(__file__).parents[3] / "shared"))
CHIPS = DATA / "data" / "eurosat_rgb_val.zip"
CARD = (BUNDLES_FOLDER / "eurosat-rgb.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["eurosat-rgb", "eurosat-rgb-fp32"])
def test_it_answers_as_where_it_was_made(name: str) -> None:
    result = geokd.verify(name)
    assert result.passed, result


def test_it_is_small_and_states_its_making() -> None:
    bundle = load_bundle("eurosat-rgb")
    assert len(bundle.onnx_bytes) <= 3e6
    assert bundle.precision == "int8"
    assert bundle.contract == load_bundle("eurosat-rgb-fp32").contract
    assert bundle.provenance["recipe"]["augmentation"]["water_classes"] == ["SeaLake"]
    assert "teacher" in bundle.provenance["validation_before_rounding"]


@pytest.mark.skipif(not CHIPS.is_file(), reason=f"needs EuroSAT's validation chips at {CHIPS.name} of $GEOKD_DATA/data")
@pytest.mark.parametrize(
    ("name", "accuracy"), [("eurosat-rgb", 0.9728), pytest.param("eurosat-rgb-fp32", 0.9724, marks=pytest.mark.slow)]
)
def test_it_is_as_accurate_as_its_card_says(name: str, accuracy: float) -> None:
    assert f"{100 * accuracy:.2f} %" in CARD
    figures = geokd.evaluate(name, CHIPS).to_json()
    assert figures["n"] == 5400
    assert figures["accuracy"] == pytest.approx(accuracy, abs=0.001)  # other processors round elsewhere
