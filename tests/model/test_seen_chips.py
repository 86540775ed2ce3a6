"""What a model was trained on travels with it, and is held against what it is examined on."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray
from PIL import Image

import geokd
from geokd.chips.files import index_chips
from geokd.chips.reading import read_chips
from geokd.cli import main
from geokd.errors import BundleError
from geokd.model.bundle import load_bundle, shipped_models
from geokd.model.seen_chips import SeenChips
from tests.cli.test_evaluate import write_chips
from tests.tiny import PATCH_PX, tiny_bundle

CHIPS = {  # of UC Merced's 1,512 two are alike; dense students begin with EuroSAT's weights
    "eurosat-rgb": 16_200,
    "eurosat-rgb-maps": 16_200,
    "rsscn7": 2_016 + 1_511,
    "sentinel2-landuse": 16_200,
    "sentinel2-landuse-rgb": 16_200,
    "ucmerced": 1_511,
}


def pictures(seed: int, count: int) -> NDArray[np.uint64]:
    return np.random.default_rng(seed).integers(0, 2**64, count, np.uint64)


def test_chips_are_known_again() -> None:
    old, other = pictures(0, 27_000), pictures(1, 27_000)
    seen = SeenChips.of(old)
    assert seen.count(old[::3]) == 9_000
    assert seen.count(np.concatenate([old[:5], other])) == 5
    assert SeenChips().count(old) == 0
    both = seen | SeenChips.of(other)
    assert both.count(old) == both.count(other) == 27_000
    again = SeenChips.from_json(seen.to_json())
    assert np.array_equal(again.hashes, seen.hashes)
    assert len(again) == seen.to_json()["chips"]


def test_what_is_no_list_of_chips_is_refused(tmp_path: Path) -> None:
    document = SeenChips.of(pictures(0, 3)).to_json()
    with pytest.raises(ValueError, match="15 bytes, 4 chips have 5 each"):
        SeenChips.from_json(document | {"chips": 4})
    with pytest.raises(ValueError, match=r"15 bytes, '\\x1b' chips"):
        SeenChips.from_json(document | {"chips": "\x1b"})
    path = tmp_path / "broken.onnx"
    whole = dataclasses.replace(tiny_bundle(), seen_chips=SeenChips.of(pictures(0, 3))).onnx_bytes
    path.write_bytes(whole.replace(b'"seen_chips": {"chips": 3', b'"seen_chips": {"chips": 7'))
    with pytest.raises(BundleError, match="15 bytes, 7 chips have 5 each"):
        load_bundle(path)


def test_a_model_is_not_examined_unawares_on_what_it_learned(tmp_path: Path) -> None:
    learned = write_chips(tmp_path / "learned", {"lake": ["blue"], "meadow": ["green"], "bare": ["red"]})
    bundle = tiny_bundle()
    seen = SeenChips.of(read_chips(index_chips(learned), bundle.contract).picture_hashes)
    model, silent = tmp_path / "tiny.onnx", tmp_path / "silent.onnx"
    model.write_bytes(dataclasses.replace(bundle, seen_chips=seen).onnx_bytes)
    silent.write_bytes(bundle.onnx_bytes)
    assert load_bundle(model).describe().seen_chips == 3

    result = CliRunner().invoke(main, ["evaluate", str(model), str(learned)])
    said = f"{model} was trained on 3 of the 3 chips, itself or through the model it was made from"
    assert said in result.stderr
    assert geokd.evaluate(silent, learned).chips.seen_before is None
    found = geokd.compare([silent, model], learned).to_json()
    assert [entry["seen_before"] for entry in found["models"]] == [None, 3]
    assert [note for note in found["chips"]["notes"] if "was trained on" in note] == [
        f"{said}: its figures do not show how well it does on new ones"
    ]
    others = write_chips(tmp_path / "others", {"lake": ["blue"]})
    Image.new("RGB", (PATCH_PX, PATCH_PX), (9, 9, 9)).save(others / "lake" / "grey.png")
    figures = geokd.evaluate(model, others).to_json()
    assert figures["chips"]["seen_before"] == 1
    assert any("was trained on 1 of the 2 chips" in note for note in figures["chips"]["notes"])


def test_what_ships_knows_its_chips() -> None:
    """EuroSAT's 16,200 training chips; nine tenths of UC Merced and of RSSCN7, whose student came of UC Merced's."""
    seen = {name: load_bundle(name).seen_chips for name in shipped_models()}
    counts = {name: 0 if chips is None else len(chips) for name, chips in seen.items()}
    assert counts == {f"{name}{precision}": count for name, count in CHIPS.items() for precision in ("", "-fp32")}
    first, second = seen["ucmerced"], seen["rsscn7"]
    assert first is not None
    assert second is not None
    assert len(first | second) == len(second)
