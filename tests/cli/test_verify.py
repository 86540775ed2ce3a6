"""`geokd verify`: a model that answers as it did, and models that don't."""

import dataclasses
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

import geokd
from geokd.cli import main
from geokd.model.bundle import Golden, load_bundle


def test_a_sound_model(model: Path) -> None:
    result = CliRunner().invoke(main, ["verify", str(model), "--json"])
    assert result.exit_code == 0
    figures = json.loads(result.stdout)
    assert figures["passed"] is True
    assert figures["same_classes"] is True
    assert figures["largest_difference"] <= figures["tolerance"]
    assert figures["sha256"] == load_bundle(model).sha256
    assert "verified" in result.stderr


@pytest.mark.parametrize(
    ("shift_in_ranges", "passed", "same_classes"), [(0.0005, True, True), (0.002, False, True), (1.5, False, False)]
)
def test_stored_logits_that_differ(
    shift_in_ranges: float, passed: bool, same_classes: bool, model: Path, tmp_path: Path
) -> None:
    bundle = load_bundle(model)
    logits = bundle.golden.logits.copy()
    last = logits.argmax(axis=1)[-1]  # raising another class of the last patch changes its class when it is enough
    logits[-1, (last if shift_in_ranges < 1 else (last + 1) % 3)] += shift_in_ranges * float(
        logits.max() - logits.min()
    )
    path = tmp_path / "shifted.onnx"
    path.write_bytes(dataclasses.replace(bundle, golden=Golden(bundle.golden.pixels, logits)).onnx_bytes)
    result = geokd.verify(path)
    assert (result.passed, result.same_classes) == (passed, same_classes)
    shown = CliRunner().invoke(main, ["verify", str(path)])
    assert shown.exit_code == (0 if passed else 1)
    assert ("FAILED" in shown.stderr) is not passed


def test_no_such_model() -> None:
    result = CliRunner().invoke(main, ["verify", "no-such-model"])
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: no model 'no-such-model'")
