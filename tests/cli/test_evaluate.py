"""`geokd evaluate` on chips whose answers are known."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import geokd
from geokd.cli import main
from geokd.errors import CallError, ChipError
from geokd.statistics.intervals import wilson
from tests.tiny import PATCH_PX

BRIGHTEST = {"red": 0, "green": 1, "blue": 2}


def write_chips(root: Path, folders: dict[str, list[str]]) -> Path:
    """Write a chip for each colour named, into the class folders given."""
    for folder, colours in folders.items():
        (root / folder).mkdir(parents=True)
        for i, colour in enumerate(colours):
            chip = np.full((PATCH_PX, PATCH_PX, 3), 50, np.uint8)
            chip[..., BRIGHTEST[colour]] = 200
            Image.fromarray(chip).save(root / folder / f"{i}.png")
    return root


def test_figures(model: Path, tmp_path: Path) -> None:
    # folders in another order than the legend (bare, meadow, lake), named by title, in other case
    chips = write_chips(tmp_path / "chips", {"LAKE": ["blue"] * 3, "Meadow": ["green", "red"], "bare": ["red"] * 4})
    result = CliRunner().invoke(main, ["evaluate", str(model), str(chips), "--json"])
    assert result.exit_code == 0, result.output
    figures = json.loads(result.stdout)
    assert figures["n"] == 9
    assert figures["accuracy"] == pytest.approx(8 / 9)
    assert figures["interval_95"] == pytest.approx(wilson(8, 9))
    assert figures["confusion_matrix"] == [[4, 0, 0], [1, 1, 0], [0, 0, 3]]
    assert [row["name"] for row in figures["per_class"]] == ["bare", "meadow", "lake"]
    assert [row["recall"] for row in figures["per_class"]] == [1.0, 0.5, 1.0]
    confidence = np.exp(0.05 * 150) / (np.exp(0.05 * 150) + 2)
    assert figures["ece"] == pytest.approx(abs(confidence - 8 / 9), abs=1e-6)
    assert figures["chips_per_second"] > 0
    assert "accuracy 88.89 %" in result.stderr
    assert "meadow" in result.stderr


def test_a_class_without_chips_has_no_recall(model: Path, tmp_path: Path) -> None:
    figures = geokd.evaluate(model, write_chips(tmp_path / "chips", {"lake": ["blue"]})).to_json()
    assert figures["confusion_matrix"] == [[0, 0, 0], [0, 0, 0], [0, 0, 1]]
    assert figures["per_class"][0]["recall"] is None
    result = CliRunner().invoke(main, ["evaluate", str(model), str(tmp_path / "chips")])
    assert result.exit_code == 0
    assert "there are no chips of bare, meadow: how well the model finds these" in result.stderr


def test_unknown_classes_are_all_named(model: Path, tmp_path: Path) -> None:
    chips = write_chips(tmp_path / "chips", {"lake": ["blue"], "moon": ["red"], "mars": ["red"]})
    with pytest.raises(ChipError, match="mars, moon are not classes of the model, which has bare, meadow, lake"):
        geokd.evaluate(model, chips)
    result = CliRunner().invoke(main, ["evaluate", str(model), str(chips)])
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1


def test_two_folders_of_one_class(model: Path, tmp_path: Path) -> None:
    chips = write_chips(tmp_path / "chips", {"lake": ["blue"], "Lake": ["blue"]})
    with pytest.raises(ChipError, match="Lake, lake mean the same class"):
        geokd.evaluate(model, chips)


def test_no_chips(model: Path, tmp_path: Path) -> None:
    with pytest.raises(CallError, match="no chips at"):
        geokd.evaluate(model, tmp_path / "nothing")
