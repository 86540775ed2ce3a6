"""Maps and models with names, colours and classes of an analyst's own."""

import json
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pandas
import pytest
import rasterio
from click.testing import CliRunner
from numpy.typing import NDArray
from scipy.special import softmax

import geokd
from geokd.cli import main
from geokd.errors import CallError, SceneError
from geokd.model.bundle import load_bundle
from geokd.model.engine import make_student
from tests.in_qgis import run_in_qgis
from tests.tiny import dense_bundle, write_scene

SAMPLE = Path(__file__).parents[2] / "sample_data" / "eastern_shore.tif"
LAND = """
[[legend]]
from = ["Bare", "Meadow"]
title = "Land"
color_hint = "#123456"

[[legend]]
name = "lake"
title = "Wasser & <See>"
"""


def write(path: Path, text: str = LAND) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def bands(path: str | Path) -> NDArray[np.uint8]:
    with rasterio.open(path) as raster:
        return np.asarray(raster.read(), np.uint8)


@pytest.fixture
def patchy(tmp_path: Path) -> Path:
    """Noise about the classes' colours, so that cells are unsure, and a corner without data."""
    generator = np.random.default_rng(1)
    pixels = generator.integers(90, 140, (3, 90, 70), np.uint8)
    pixels += np.repeat(np.repeat(generator.integers(0, 40, (3, 9, 7), np.uint8), 10, 1), 10, 2)
    pixels[:, :20, :20] = 0
    return write_scene(tmp_path / "patchy.tif", pixels, photometric="RGB", nodata=0)


def mapped(scene: Path, model: Path | str, folder: Path, **options: Any) -> Path:
    result = geokd.classify(scene, model, folder, geokd.ClassifyOptions(stride_px=8, **options))
    return result.outputs["class_raster"]


def check_agreement(path: Path, manifest: dict[str, Any], cell_ha: float) -> None:
    """All files of a map count the same cells."""
    codes = bands(path)[0]
    polygons = geopandas.read_file(path.with_suffix(".gpkg"), layer="land_use")
    summary = pandas.read_csv(path.with_name(path.name.replace("_landuse.tif", "_summary.csv")))
    for area in manifest["areas"]:
        cells = int((codes == area["value"]).sum())
        mine = polygons[polygons["class_value"] == area["value"]]
        assert (area["cells"], summary["cells"][area["value"]]) == (cells, cells)
        assert mine["area_ha"].sum() == pytest.approx(cells * cell_ha) == area["area_ha"]
        assert set(mine["class_title"]) <= {area["title"]}
    assert summary["class_title"].tolist() == [area["title"] for area in manifest["areas"]]
    told = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    assert told == manifest
    item = json.loads(path.with_suffix(".stac.json").read_text(encoding="utf-8"))
    classes = item["assets"]["class_raster"]["classification:classes"]
    assert [c["title"] for c in classes] == [*(c["title"] for c in manifest["legend"]), "Not mapped"]


def test_merged_classes_compete_by_the_sum_of_their_probabilities(patchy: Path, model: Path, tmp_path: Path) -> None:
    old = mapped(patchy, model, tmp_path / "out", probabilities=True)
    new = tmp_path / "styled" / "land_landuse.tif"
    manifest = geokd.style(write(tmp_path / "a.toml"), old, new).to_json()
    check_agreement(new, manifest, 0.64)
    percent = bands(old.with_name("patchy_probabilities.tif")).astype(int)
    empty = bands(old)[0] == 255
    land, lake = percent[0] + percent[1], percent[2]
    codes, confidence = bands(new)[0], bands(new.with_name("land_confidence.tif"))[0]
    differ = land != lake
    assert np.array_equal(codes[~empty & differ], (lake > land)[~empty & differ].astype(np.uint8))
    assert (codes[empty] == 255).all()
    assert ((bands(old)[0] == 2) & (codes == 0)).any()  # lake was the likeliest of three, and is not of two
    assert np.array_equal(confidence[codes == 0], land[codes == 0].clip(0, 100))
    assert np.array_equal(confidence[codes == 1], bands(old.with_name("patchy_confidence.tif"))[0][codes == 1])
    styled = bands(new.with_name("land_probabilities.tif"))
    assert np.array_equal(styled[:, ~empty], np.stack([land.clip(0, 100), lake])[:, ~empty])
    assert (styled[:, empty] == 255).all()
    with rasterio.open(new.with_name("land_probabilities.tif")) as raster:
        assert raster.descriptions == ("Land", "Wasser & <See>")
    assert manifest["styled"]["by"] == "probability"
    assert manifest["styled"]["classes"][0]["made_of"] == ["bare", "meadow"]
    assert "Land is Bare + Meadow" in manifest["notes"]
    assert manifest["fingerprint"] is None


def test_a_map_without_probabilities_keeps_its_classes(patchy: Path, model: Path, tmp_path: Path) -> None:
    old = mapped(patchy, model, tmp_path / "out")
    new = tmp_path / "land_landuse.tif"
    manifest = geokd.style(write(tmp_path / "a.toml"), old, new).to_json()
    check_agreement(new, manifest, 0.64)
    assert np.array_equal(bands(new), np.array([0, 0, 1, *[255] * 253], np.uint8)[bands(old)])
    before, after = (path.with_name(path.name.replace("landuse", "confidence")) for path in (old, new))
    assert np.array_equal(bands(before), bands(after))
    assert manifest["styled"]["by"] == "class"
    assert any("so too low" in note for note in manifest["notes"])
    assert not new.with_name("land_probabilities.tif").exists()


def test_filters_and_unsure_cells_hold(patchy: Path, model: Path, tmp_path: Path) -> None:
    options = {"min_confidence": 0.5, "min_area_ha": 3.0, "simplify_m": 40.0, "probabilities": True}
    old = mapped(patchy, model, tmp_path / "out", **options)
    new = tmp_path / "land_landuse.tif"
    manifest = geokd.style(write(tmp_path / "a.toml"), old, new).to_json()
    check_agreement(new, manifest, 0.64)
    table = np.full(256, 255, np.uint8)
    table[:4] = 0, 0, 1, 2
    assert (bands(old) == 3).any()
    assert np.array_equal(bands(new), table[bands(old)])
    assert manifest["legend"][2]["name"] == "unclassified"
    percent = bands(old.with_name("patchy_probabilities.tif")).astype(int)
    confidence, codes = bands(new.with_name("land_confidence.tif"))[0], bands(new)[0]
    assert np.array_equal(confidence[codes == 0], (percent[0] + percent[1])[codes == 0].clip(0, 100))
    assert np.array_equal(confidence[codes == 2], bands(old.with_name("patchy_confidence.tif"))[0][codes == 2])
    outlines = [geopandas.read_file(path.with_suffix(".gpkg"), layer="land_use") for path in (old, new)]
    assert outlines[1].area.sum() == pytest.approx(outlines[0].area.sum())


def test_other_names_and_colours_leave_the_cells(patchy: Path, model: Path, tmp_path: Path) -> None:
    old = mapped(patchy, model, tmp_path / "out", probabilities=True)
    new = tmp_path / "mine_landuse.tif"
    manifest = geokd.style(write(tmp_path / "a.csv", "from,title,color_hint\nBare,Rock,#010203\n"), old, new).to_json()
    check_agreement(new, manifest, 0.64)
    for name in ("landuse", "confidence", "probabilities"):
        before, after = (path.with_name(path.name.replace("landuse", name)) for path in (old, new))
        assert np.array_equal(bands(before), bands(after))
    with rasterio.open(new) as raster:
        assert raster.colormap(1)[0] == (1, 2, 3, 255)
    assert [c["title"] for c in manifest["legend"]] == ["Rock", "Meadow", "Lake"]
    again = geokd.style(write(tmp_path / "b.toml"), old, new, overwrite=True).to_json()
    assert again["legend"][0]["title"] == "Land"


@pytest.mark.parametrize("name", ["eurosat-rgb-maps", "eurosat-rgb-maps-fp32"])
def test_probabilities_of_a_merged_model_are_sums(name: str, tmp_path: Path) -> None:
    legend = write(tmp_path / "a.csv", "from,title\nAnnualCrop,Crop\nPermanentCrop,Crop\nRiver,Water\nSeaLake,Water\n")
    made = geokd.style(legend, name, tmp_path / "merged.onnx").to_json()
    old, new = load_bundle(name), load_bundle(tmp_path / "merged.onnx")
    assert (new.name, new.sha256, made["derived_from"]["sha256"]) == ("merged", made["sha256"], old.sha256)
    pixels = np.random.default_rng(0).integers(0, 256, (40, 3, 64, 64), np.uint8)
    before, after = (softmax(make_student(b).logits(pixels) / b.temperature, axis=1) for b in (old, new))
    groups = [[old.legend.names.index(text) for text in c["made_of"]] for c in made["classes"]]
    assert [len(group) for group in groups] == [2, 1, 1, 1, 1, 1, 1, 2]
    expected = np.stack([before[:, group].sum(axis=1) for group in groups], axis=1)
    assert after == pytest.approx(expected, abs=1e-5)
    assert geokd.verify(tmp_path / "merged.onnx").passed
    assert new.familiarity is not None
    assert "validation_before_rounding" not in new.provenance  # it was of other classes
    twice = write(tmp_path / "b.csv", "from,title\nCrop,Green\nForest,Green\n")
    geokd.style(twice, tmp_path / "merged.onnx", tmp_path / "twice.onnx")
    assert len(load_bundle(tmp_path / "twice.onnx").legend) == 7
    assert geokd.verify(tmp_path / "twice.onnx").passed


@pytest.mark.parametrize("cell_px", [1, 2])
def test_probabilities_of_a_merged_dense_model_are_sums(cell_px: int, tmp_path: Path) -> None:
    old = dense_bundle(cell_px)
    (tmp_path / "old.onnx").write_bytes(old.onnx_bytes)
    made = geokd.style(write(tmp_path / "a.toml"), tmp_path / "old.onnx", tmp_path / "merged.onnx").to_json()
    new = load_bundle(tmp_path / "merged.onnx")
    assert geokd.verify(tmp_path / "merged.onnx").passed
    side = old.contract.patch_px
    pixels = np.random.default_rng(0).integers(0, 256, (3, 3, side, side), np.uint8)
    before, after = (softmax(make_student(b).logits(pixels) / b.temperature, axis=1) for b in (old, new))
    groups = [[old.legend.names.index(text) for text in c["made_of"]] for c in made["classes"]]
    assert [len(group) for group in groups] == [2, 1]
    expected = np.stack([before[:, group].sum(axis=1) for group in groups], axis=1)
    assert after.shape == (3, len(groups), side // cell_px, side // cell_px)
    assert after == pytest.approx(expected, abs=1e-5)


def test_a_model_that_is_only_renamed_answers_as_before(model: Path, tmp_path: Path) -> None:
    geokd.style(write(tmp_path / "a.csv", "from,title\nBare,Fels\n"), model, tmp_path / "mine.onnx")
    old, new = load_bundle(model), load_bundle(tmp_path / "mine.onnx")
    assert (new.graph, new.temperature) == (old.graph, old.temperature)
    assert new.legend[0].title == "Fels"
    assert new.provenance["derived_from"]["sha256"] == old.sha256
    assert {**new.provenance, "derived_from": None} == {**old.provenance, "derived_from": None}


def test_a_merged_model_maps_as_the_map_is_merged(tmp_path: Path) -> None:
    with rasterio.open(SAMPLE) as source:
        pixels, profile = source.read(window=((300, 700), (300, 700))), source.profile
        profile |= {"width": 400, "height": 400}
        with rasterio.open(tmp_path / "clip.tif", "w", **profile) as clip:
            clip.write(pixels)
            clip.descriptions = source.descriptions
    legend = write(tmp_path / "a.csv", "from,title\nAnnualCrop,Crop\nPermanentCrop,Crop\nPasture,Crop\n")
    geokd.style(legend, "eurosat-rgb-maps", tmp_path / "crop.onnx")
    direct = geokd.classify(tmp_path / "clip.tif", tmp_path / "crop.onnx", tmp_path / "direct").class_map.codes
    options = geokd.ClassifyOptions(probabilities=True)
    whole = geokd.classify(tmp_path / "clip.tif", "eurosat-rgb-maps", tmp_path / "whole", options)
    geokd.style(legend, whole.outputs["class_raster"], tmp_path / "styled_landuse.tif")
    styled = bands(tmp_path / "styled_landuse.tif")[0]
    assert (styled != direct).mean() < 0.01  # where percentages, as rounded, are equal
    assert (whole.class_map.codes != direct).mean() > 0.02


def test_command(patchy: Path, model: Path, tmp_path: Path) -> None:
    old = mapped(patchy, model, tmp_path / "out")
    run = CliRunner()
    for target, output in ((old, tmp_path / "a_landuse.tif"), (model, tmp_path / "a.onnx")):
        template = run.invoke(main, ["style", "--template", str(target)])
        assert template.exit_code == 0
        legend = write(tmp_path / "a.toml", template.stdout.replace('title = "Bare"', 'title = "Rock"'))
        done = run.invoke(main, ["style", str(legend), str(target), "-o", str(output), "--json"])
        assert done.exit_code == 0, done.output
        assert "Rock" in done.stderr
        told = json.loads(done.stdout)
        classes = told["styled"]["classes"] if output.suffix == ".tif" else told["classes"]
        assert [(c["name"], c["title"]) for c in classes] == [("bare", "Rock"), ("meadow", "Meadow"), ("lake", "Lake")]
    saved = write(tmp_path / "new_summary.csv", "from,title,color_hint\nbare,Rock,AAAAAA\n")
    for wrong, told in (
        (["style", str(model)], "give a LEGEND and a TARGET"),
        (["style", "--template", "a.toml", str(model)], "--template takes only a TARGET, no LEGEND"),
        (["style", "a.toml", str(model)], "give the file to write with -o/--output"),
        (["style", str(tmp_path / "a.toml"), str(old), "-o", str(old)], "is the map itself"),
        (
            ["style", str(saved), str(old), "-o", str(tmp_path / "new_landuse.tif"), "--overwrite"],
            "new_summary.csv is named like a file of the output; rename it, or the output",
        ),
        (["style", str(tmp_path / "a.toml"), str(model), "-o", str(model)], "is the model itself"),
        (["style", str(tmp_path / "a.toml"), str(model), "-o", "x.tif"], "must be named <name>.onnx, such as x.onnx"),
        (["style", str(tmp_path / "a.toml"), str(old), "-o", "x.tif"], "<stem>_landuse.tif, such as x_landuse.tif"),
        (["style", str(tmp_path / "a.toml"), str(old), "-o", str(tmp_path / "a_landuse.tif")], "already; replace them"),
        (["style", str(tmp_path / "a.toml"), str(model), "-o", str(tmp_path / "a.onnx")], "already; replace it"),
    ):
        refused = run.invoke(main, wrong)
        assert refused.exit_code == 2, wrong
        assert told in refused.output


def test_everything_is_wrong_at_once(tmp_path: Path) -> None:
    with pytest.raises(CallError) as caught:
        geokd.style(tmp_path / "no.toml", SAMPLE.with_name("eastern_shore_landuse.png"), tmp_path / "x.tif")
    assert "is not a class raster" in str(caught.value)
    assert "must be named" in str(caught.value)
    with pytest.raises(SceneError, match="is not a class raster"):
        geokd.style(tmp_path / "no.toml", SAMPLE, tmp_path / "x_landuse.tif")
    assert list(tmp_path.iterdir()) == []


IN_QGIS = """
styled, saved = arguments
layer = QgsRasterLayer(styled, "classes")
classes = layer.renderer().classes()
answer["seen"] = [[c.value, c.label, c.color.name()] for c in classes]
classes[0].label, classes[0].color = "Fels", QColor(1, 2, 3)
renderer = QgsPalettedRasterRenderer(layer.dataProvider(), 1, classes)
layer.setRenderer(renderer)
layer.saveNamedStyle(saved)
polygons = QgsVectorLayer(styled.replace(".tif", ".gpkg"), "polygons", "ogr")
categories = polygons.renderer().categories()
answer["polygons"] = [[int(c.value()), c.label()] for c in categories]
symbols = [category.symbol().clone() for category in categories]
symbols[1].setColor(QColor(9, 8, 7))
titles = ["Land", "Gewässer"]
changed = [QgsRendererCategory(c.value(), s, t) for c, s, t in zip(categories, symbols, titles)]
polygons.setRenderer(QgsCategorizedSymbolRenderer("class_value", changed))
polygons.saveNamedStyle(saved.replace("raster", "polygons"))
"""


@pytest.mark.slow
def test_there_and_back_through_qgis(patchy: Path, model: Path, tmp_path: Path) -> None:
    old = mapped(patchy, model, tmp_path / "out", probabilities=True)
    new = tmp_path / "land_landuse.tif"
    geokd.style(write(tmp_path / "a.toml"), old, new)
    answer = run_in_qgis(IN_QGIS, new, tmp_path / "raster.qml")
    assert answer["seen"][0] == [0, "Land", "#123456"]
    assert answer["polygons"] == [[0, "Land"], [1, "Wasser & <See>"]]
    for name, expected in (
        ("raster", [("Fels", "010203"), ("Wasser & <See>", None)]),
        ("polygons", [("Land", "123456"), ("Gewässer", "090807")]),
    ):
        made = geokd.style(tmp_path / f"{name}.qml", new, tmp_path / f"{name}_landuse.tif").to_json()
        for c, (title, colour) in zip(made["legend"], expected, strict=True):
            assert c["title"] == title
            assert colour in (None, c["color_hint"])
        assert np.array_equal(bands(tmp_path / f"{name}_landuse.tif"), bands(new))
