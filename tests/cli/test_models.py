"""`geokd models`: what ships, as the bundles themselves say it."""

import dataclasses
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

import geokd
from geokd.cli import main
from geokd.model.bundle import BUNDLES_FOLDER, load_bundle
from tests.cli.test_help import RUN
from tests.project.test_architecture import loaded_after
from tests.tiny import tiny_bundle


def test_all_that_ships_is_listed() -> None:
    result = CliRunner().invoke(main, ["models", "--json"])
    assert result.exit_code == 0, result.output
    listed = json.loads(result.stdout)
    assert listed == [entry.to_json() for entry in geokd.models()]
    assert [entry["model"] for entry in listed] == sorted(path.stem for path in BUNDLES_FOLDER.glob("*.onnx"))
    assert len(listed) >= 2
    for entry in listed:
        bundle = load_bundle(entry["model"])
        assert (entry["name"], entry["precision"], entry["sha256"]) == (bundle.name, bundle.precision, bundle.sha256)
        assert entry["size_bytes"] == (BUNDLES_FOLDER / f"{entry['model']}.onnx").stat().st_size
        assert entry["input"] == bundle.contract.to_json()
        assert entry["legend"] == bundle.legend.to_json()
        if "mean_of" in bundle.provenance:  # it was never validated on held-out pixels of its own
            assert entry["validation_before_rounding"] is None
            continue
        recorded = bundle.provenance["validation_before_rounding"]["student"]
        assert entry["validation_before_rounding"].items() <= recorded.items()
        assert set(entry["validation_before_rounding"]) == {"n", "accuracy", "interval_95"}


def test_the_table_says_the_same() -> None:
    shown = CliRunner().invoke(main, ["models"])
    assert shown.exit_code == 0, shown.output
    head, *rows = shown.stdout.splitlines()
    for entry, row in zip(geokd.models(), rows, strict=False):
        assert row.split()[:3] == [entry.model, entry.precision, str(len(entry.legend))]
        assert ", ".join(entry.input["bands"]) in row
        assert f" {entry.input['patch_px']} px " in row
        measured = ", n = " if entry.validation_before_rounding else " -"
        assert row.rindex(measured) >= head.index("validation") - 1
    words = " ".join(shown.stdout.split())
    assert all(", ".join(c.title for c in entry.legend) in words for entry in geokd.models())


def test_bundles_of_any_contract(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = tiny_bundle(scaling=None)
    figures = {"n": 1200, "accuracy": 0.975, "interval_95": [0.96, 0.98], "ece": 0.1}
    measured = dataclasses.replace(bundle, provenance={"validation_before_rounding": {"student": figures}})
    (tmp_path / "aerial.onnx").write_bytes(measured.onnx_bytes)
    (tmp_path / "bare.onnx").write_bytes(tiny_bundle().onnx_bytes)
    monkeypatch.setattr("geokd.model.bundle.BUNDLES_FOLDER", tmp_path)
    _, aerial, bare, *classes = CliRunner().invoke(main, ["models"]).stdout.splitlines()
    assert "8-bit values as they are" in aerial
    assert aerial.endswith("97.50 % (96.00 to 98.00), n = 1,200")
    assert "0..2750 to 1..255" in bare
    assert bare.endswith(" -")
    assert classes == ["", "Classes of aerial, bare:", "  Bare, Meadow, Lake"]


def test_nothing_heavy_is_loaded() -> None:
    assert loaded_after(RUN.format(arguments=["models"])) == {"numpy"}
