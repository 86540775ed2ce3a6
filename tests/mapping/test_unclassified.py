"""Cells in which the model is not sure: a class of their own, in every output and report."""

import json
from dataclasses import replace
from pathlib import Path

import geopandas
import numpy as np
import pytest
import rasterio
from click.testing import CliRunner

import geokd
from geokd.cli import main
from geokd.errors import CallError
from geokd.legend.classes import default_legend
from geokd.mapping.cells import CellAnswers, decide_cells
from geokd.mapping.overlapping import codes_and_confidence
from geokd.model.bundle import Bundle
from geokd.scenes.patches import PatchBlock
from tests.tiny import tiny_bundle


def test_the_least_confidence_is_held_before_rounding() -> None:
    cells = np.array([[[0.6, 0.4], [0.596, 0.404], [np.nan, np.nan]]])
    codes, confidence = codes_and_confidence(cells, np.array([[True, True, True]]), 0.6)
    assert codes.tolist() == [[0, 2, 255]]
    assert confidence.tolist() == [[60, 60, 255]]


def test_unsure_cells_have_code_colour_and_area(model: Path, scene: Path, tmp_path: Path) -> None:
    plain = geokd.classify(scene, model, tmp_path / "plain")
    least = float(np.median(plain.class_map.confidence)) / 100
    result = geokd.classify(scene, model, tmp_path / "unsure", geokd.ClassifyOptions(min_confidence=least))
    codes, unsure = result.class_map.codes, result.class_map.codes == 3
    assert 0 < unsure.sum() < unsure.size
    assert np.array_equal(codes[~unsure], plain.class_map.codes[~unsure])
    assert np.array_equal(result.class_map.confidence, plain.class_map.confidence)
    assert (result.class_map.confidence[unsure] <= 100 * least + 0.5).all()

    row = result.manifest.to_json()["areas"][3]
    assert (row["name"], row["cells"]) == ("unclassified", int(unsure.sum()))
    assert sum(r["cells"] for r in result.manifest.to_json()["areas"]) == unsure.size
    assert result.manifest.to_json()["options"]["min_confidence"] == least
    assert any("are left unclassified" in note for note in result.manifest.to_json()["notes"])
    with rasterio.open(result.outputs["class_raster"]) as raster:
        assert raster.colormap(1)[3][:3] == (0xC8, 0xC8, 0xC8)
    assert "Unclassified" in result.outputs["class_style"].read_text()
    assert "Unclassified" in result.outputs["class_attributes"].read_text()
    polygons = geopandas.read_file(result.outputs["polygons"], layer="land_use")
    assert polygons.loc[polygons["class_name"] == "unclassified", "area_ha"].sum() == pytest.approx(row["area_ha"])


def test_the_least_confidence_of_a_class(model: Path, scene: Path, tmp_path: Path) -> None:
    """Cells of one class alone are left out below its own limit, whatever the limit of the others."""
    plain = geokd.classify(scene, model, tmp_path / "plain").class_map
    names, code = plain.legend.names, int(np.bincount(plain.codes.ravel()).argmax())
    least = (float(np.median(plain.confidence[plain.codes == code])) + 0.5) / 100
    options = geokd.ClassifyOptions(min_confidence_of={names[code]: least})
    result = geokd.classify(scene, model, tmp_path / "of", options)
    unsure = result.class_map.codes == len(names)
    assert unsure.any()
    assert (plain.codes[unsure] == code).all()
    assert np.array_equal(unsure, (plain.codes == code) & (plain.confidence <= 100 * least))
    assert result.manifest.to_json()["options"]["min_confidence_of"] == {names[code]: least}
    assert any(f"cells of {names[code]} are left unclassified" in note for note in result.manifest.to_json()["notes"])
    spared = geokd.ClassifyOptions(min_confidence=1.0, min_confidence_of={names[code]: 0.0})
    others = geokd.classify(scene, model, tmp_path / "others", spared).class_map
    assert np.array_equal(others.codes == code, plain.codes == code)
    with pytest.raises(CallError, match="--min-confidence-of names Lava; the model's classes are"):
        geokd.classify(scene, model, tmp_path / "no", geokd.ClassifyOptions(min_confidence_of={"Lava": 0.5}))
    with pytest.raises(CallError, match=r"the minimum confidence 7 of Lava is not within 0\.\.1"):
        geokd.ClassifyOptions(min_confidence_of={"Lava": 7})
    with pytest.raises(CallError, match="already; replace them"):
        geokd.classify(scene, model, tmp_path / "plain", replace(options, resume=True))


def test_the_least_confidence_of_a_class_of_a_dense_student() -> None:
    """Each cell is held against the limit of its own class; one limit for all is the same as equal limits."""
    logits = np.random.default_rng(0).normal(size=(3, 20, 30)).astype(np.float32)
    decided = []
    for least in (0.0, 0.5, (0.5, 0.5, 0.5), (0.9, 0.0, 0.0)):
        cells = CellAnswers.unmapped(PatchBlock(0, 0, 20, 30), (20, 30), None)
        decide_cells(logits, 1.0, least, cells)
        decided.append((cells.codes.copy(), cells.confidence.copy()))
    assert np.array_equal(decided[1][0], decided[2][0])
    codes, confidence = decided[0]
    assert set(np.unique(codes[decided[3][0] == 3])) == {0}
    assert (decided[3][0][(codes == 0) & (confidence < 90)] == 3).all()
    assert np.array_equal(decided[3][0][codes > 0], codes[codes > 0])


def test_without_it_there_is_no_such_class(model: Path, scene: Path, tmp_path: Path) -> None:
    result = geokd.classify(scene, model, tmp_path)
    assert "unclassified" not in result.class_map.legend.names
    assert "nclassified" not in "".join(result.manifest.to_json()["notes"])


def test_wrong_calls(scene: Path, tmp_path: Path) -> None:
    with pytest.raises(CallError, match=r"the minimum confidence 60 is not within 0\.\.1"):
        geokd.ClassifyOptions(min_confidence=60)
    bundle = tiny_bundle()
    legend = default_legend(("bare", "unclassified", "lake"))
    path = tmp_path / "own.onnx"
    path.write_bytes(
        Bundle(bundle.graph, "own", "mean", "fp32", bundle.contract, legend, 1.0, {}, bundle.golden).onnx_bytes
    )
    with pytest.raises(CallError, match="has a class 'unclassified' already"):
        geokd.classify(scene, path, tmp_path / "out", geokd.ClassifyOptions(min_confidence=0.5))


def test_the_command_counts_them(model: Path, scene: Path, tmp_path: Path) -> None:
    arguments = ["classify", str(scene), "-m", str(model), "-o", str(tmp_path), "--min-confidence", "0.99", "--json"]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    assert "Unclassified" in result.stderr
    assert json.loads(result.stdout)["areas"][3]["cells"] > 0
