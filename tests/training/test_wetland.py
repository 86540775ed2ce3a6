"""The rule for plants in water: what it changes, what it must not, and the whole road from a recipe to a map."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("torch", reason="needs the extra geokd[train]")

import torch

import geokd
from geokd.assessment.shifts import SHIFTS
from geokd.errors import RecipeError
from geokd.legend.classes import default_legend
from geokd.model.bundle import Bundle, Golden, golden_cells, load_bundle
from geokd.model.contract import InputContract, ValueScaling
from geokd.system.progress import silent
from geokd.training.dense.atmosphere import standard_atmosphere
from geokd.training.dense.recipe import WetlandRecipe
from geokd.training.dense.wetland import CORE_PX, GAP_PX, REACH_PX, RULE, with_rule, without_rule
from geokd.training.export import export
from geokd.training.onnx_graph import Graph
from geokd.training.quantisation import run_graph
from geokd.training.recipe_file import dense_recipe_from_json
from geokd.training.train import train
from tests.tiny import write_scene
from tests.training.test_dense import BANDS, make_table, tiny_recipe

SIDE = 128
NAMES = ("River", "Sea", "Marsh", "Woods")
RECIPE = WetlandRecipe("Sea", ("River", "Sea"), "Marsh")
RIVER, SEA, MARSH, WOODS = range(4)
WATER, PLANTS, TREES = (300, 400, 450, 150), (300, 320, 330, 420), (180, 350, 200, 2500)  # at the surface
NM = (665.0, 560.0, 490.0, 842.0)
SCALING = ValueScaling(maximum=(2750.0, 2750.0, 2750.0, 5500.0))


def student(water: int = SEA) -> Bundle:
    """Make a dense student to which all that is dark in the near infrared is one class of water."""
    contract = InputContract(BANDS, SIDE, 10.0, SCALING, 1, 32)
    graph = Graph()
    weights = torch.zeros(4, 4, 1, 1)
    weights[WOODS, 3] = 1.0
    bias = torch.tensor([-9.0, -9.0, -8.0, -60.0])
    bias[water] = 0.0
    x = graph.node("Cast", ["pixels"], to=1)
    x = graph.node("AveragePool", [x], kernel_shape=[2, 2], strides=[2, 2])
    x = graph.node("Conv", [x, graph.constant("weights", weights), graph.constant("bias", bias)])
    graph.resize(x, 2, "logits")
    model = graph.finish(contract, 4, "student")
    pixels = np.random.default_rng(0).integers(0, 256, (1, 4, SIDE, SIDE), dtype=np.uint8)
    golden = Golden(pixels, golden_cells(run_graph(model, pixels)))
    return Bundle(model, "tiny", "tiny", "fp32", contract, default_legend(NAMES), 1.0, {}, golden)


Surfaces = tuple[tuple[int, int, int, int], ...]


def patch(land: NDArray[np.int64], air: float = 1.0, surfaces: Surfaces = (WATER, PLANTS, TREES)) -> NDArray[np.uint8]:
    """Pixels (1, 4, h, w) of surfaces by their number in `land`, under so many standard atmospheres."""
    surface = np.array(surfaces, np.float64)[land].transpose(2, 0, 1)
    path, through = (np.asarray(a, np.float64)[:, None, None] for a in standard_atmosphere(NM))
    top = surface * (1 - (1 - through) * air) + path * air
    steps = [s.output_minimum + s.slope * (band - s.minimum) for s, band in zip(SCALING.of_bands(4), top, strict=True)]
    return np.asarray(np.rint(np.clip(steps, 0, 255)).astype(np.uint8)[np.newaxis])


def landscape() -> NDArray[np.int64]:
    """Water, with trees at the top and a marsh of 40 x 40 px at the bottom."""
    land = np.zeros((SIDE, SIDE), np.int64)
    land[:24] = 2
    land[70:110, 40:80] = 1
    return land


def codes(bundle: Bundle, pixels: NDArray[np.uint8]) -> NDArray[np.intp]:
    return np.asarray(run_graph(bundle.graph, pixels)[0].argmax(axis=0))


@pytest.mark.parametrize("air", [0.0, 0.5, 1.0, 1.5])
def test_marsh_is_found_under_any_atmosphere_and_water_stays(air: float) -> None:
    land = landscape()
    before, after = (codes(bundle, patch(land, air)) for bundle in (student(), with_rule(student(), RECIPE)))
    assert (before[land == 1] == SEA).all()
    assert (after[72:108, 42:78] == MARSH).all()
    assert (after[land == 0] == SEA).mean() > 0.99  # one pixel at the marsh's edge is interpolated
    assert (after[land == 2] == before[land == 2]).all()


def test_dead_pixels_do_not_switch_the_rule_off() -> None:
    land = landscape()
    pixels = patch(land)
    pixels[:, :, 120:122, 120:122] = 0
    assert (codes(with_rule(student(), RECIPE), pixels)[72:108, 42:78] == MARSH).all()


def test_haze_does_not_make_marsh_of_a_turbid_bay() -> None:
    land = landscape()
    pixels = patch(land)
    bay = patch(np.zeros((2, 2), np.int64), surfaces=((600, 600, 500, 400),))[0, :, 0, 0]
    pixels[0][:, land == 1] = bay[:, np.newaxis]
    hazy = np.rint(SHIFTS["haze"](pixels[0].astype(np.float32), NM).clip(0, 255)).astype(np.uint8)[np.newaxis]
    for seen in (pixels, hazy):
        assert (codes(with_rule(student(), RECIPE), seen)[land == 1] == SEA).all()


def test_dark_water_of_any_colour_stays() -> None:
    land = landscape()
    pixels = patch(land)
    lake = patch(np.zeros((2, 2), np.int64), surfaces=((60, 60, 210, 90),))[0, :, 0, 0]  # more near infrared than red
    pixels[0][:, land == 1] = lake[:, np.newaxis]
    assert (codes(with_rule(student(), RECIPE), pixels)[land == 1] == SEA).all()


def test_shores_and_narrow_strips_stay_water() -> None:
    land = landscape()
    land[70:110, 40:80] = 0
    land[24:28] = 1  # a shore where plants are mixed into the pixels
    land[60:64, :] = 1
    pixels = patch(land)
    assert (codes(with_rule(student(), RECIPE), pixels) == codes(student(), pixels)).all()


def test_creeks_stay_and_gaps_of_a_marsh_are_closed() -> None:
    land = landscape()
    land[70:110, 58:64] = 0  # a creek of 60 m
    land[80:82, 48:50] = 0
    found = codes(with_rule(student(), RECIPE), patch(land))
    assert (found[72:108, 59:63] == SEA).all()
    assert (found[78:84, 46:52] == MARSH).all()


def test_rivers_change_only_beside_open_water() -> None:
    pixels = patch(landscape())
    assert (codes(with_rule(student(RIVER), RECIPE), pixels) == codes(student(RIVER), pixels)).all()


def test_what_the_rule_does_not_change_is_the_same_bit_for_bit() -> None:
    plain, ruled = student(), with_rule(student(), RECIPE)
    pixels = patch(landscape())
    one, other = run_graph(plain.graph, pixels)[0], run_graph(ruled.graph, pixels)[0]
    far = np.ones((SIDE, SIDE), np.bool_)
    far[68:112, 38:82] = False
    assert (one[:, far] == other[:, far]).all()
    assert (one[WOODS] == other[WOODS]).all()
    noise = plain.golden.pixels
    assert (run_graph(without_rule(ruled.graph), noise) == run_graph(plain.graph, noise)).all()
    assert without_rule(plain.graph) == plain.graph
    assert (ruled.golden.logits == golden_cells(run_graph(ruled.graph, noise))).all()


def test_the_new_class_takes_over_the_confidence() -> None:
    pixels = patch(landscape())
    before, after = (run_graph(b.graph, pixels)[0][:, 90, 60] for b in (student(), with_rule(student(), RECIPE)))
    assert after[MARSH] == before[SEA]
    assert after[SEA] == after[MARSH] - 4
    assert after[RIVER] == min(before[RIVER], after[MARSH] - 4)


def test_the_reach_stays_within_the_margin() -> None:
    from geokd.training.dense.recipe import _WETLAND_MARGIN_PX

    assert 2 * (CORE_PX // 2 + REACH_PX + 2 * (GAP_PX // 2)) <= _WETLAND_MARGIN_PX


def test_bands_may_have_another_order() -> None:
    order = [3, 2, 1, 0]
    plain = student()
    scaling = ValueScaling(maximum=tuple(np.take(SCALING.maximum, order)))
    contract = replace(plain.contract, bands=tuple(BANDS[k] for k in order), value_scaling=scaling)
    first = torch.zeros(4, 4, 1, 1)
    first[torch.arange(4), order] = 1
    graph = Graph()
    x = graph.node("Cast", ["pixels"], to=1)
    x = graph.node("AveragePool", [x], kernel_shape=[2, 2], strides=[2, 2])
    weights = torch.zeros(4, 4, 1, 1)
    weights[WOODS, 0] = 1.0
    bias = torch.tensor([-9.0, 0.0, -8.0, -60.0])
    x = graph.node("Conv", [x, graph.constant("weights", weights), graph.constant("bias", bias)])
    graph.resize(x, 2, "logits")
    model = graph.finish(contract, 4, "student")
    golden = Golden(plain.golden.pixels, golden_cells(run_graph(model, plain.golden.pixels)))
    turned = with_rule(replace(plain, graph=model, contract=contract, golden=golden), RECIPE)
    pixels = patch(landscape())
    expected = codes(with_rule(plain, RECIPE), pixels)
    assert (codes(turned, np.ascontiguousarray(pixels[:, order])) == expected).all()
    assert (expected == MARSH).any()


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"wetland": {"open_water": "Sea", "water": ["Lake"], "becomes": "Marsh"}}, "must be one of the classes"),
        ({"wetland": {"open_water": "Lake", "water": ["Lake"], "becomes": "Lake"}}, "none of them"),
        ({"wetland": {"open_water": "Lake", "water": ["Lake"]}}, "lacks becomes"),
        ({"wetland": {"open_water": "Sea", "water": ["Sea"], "becomes": "Marsh"}}, "Sea are not among the classes"),
        ({"input": {"bands": ["B04", "B03", "B02"], "value_scaling": {}}}, "needs the band nir"),
        ({"input": {"cell_px": 2, "margin_px": 8}}, "needs cell_px = 1, margin_px >= 16"),
    ],
)
def test_rules_that_cannot_be_are_refused(wrong: dict[str, Any], reason: str) -> None:
    rule = {"open_water": "Lake", "water": ["Lake"], "becomes": "Marsh"}
    document = {"classes": [{"name": "Field"}, {"name": "Lake"}, {"name": "Marsh"}], "wetland": rule} | wrong
    with pytest.raises(RecipeError, match=reason):
        dense_recipe_from_json(document)


def test_a_rule_of_a_recipe_is_in_the_bundles_and_said_with_the_map(tmp_path: Path) -> None:
    rule = {"open_water": "Lake", "water": ["Lake"], "becomes": "Marsh"}
    table, recipe = make_table(tmp_path), tiny_recipe(wetland=rule)
    train(table, tmp_path / "run", recipe, progress=silent)
    result = export(tmp_path / "run")
    for path in (result.fp32, result.int8):
        assert load_bundle(path).rules == (RULE,)
        assert geokd.verify(path).passed
    assert result.int8.stat().st_size < result.fp32.stat().st_size
    geokd.classify(tmp_path / "scene.tif", model=result.int8, output=tmp_path / "maps")
    manifest = json.loads((tmp_path / "maps" / "scene_landuse.json").read_text(encoding="utf-8"))
    assert RULE in manifest["notes"]


def test_merged_classes_keep_the_rule(tmp_path: Path) -> None:
    ruled = with_rule(student(), RECIPE)
    (tmp_path / "ruled.onnx").write_bytes(ruled.onnx_bytes)
    legend = tmp_path / "legend.csv"
    legend.write_text("from,title\nRiver,Water\nSea,Water\n", encoding="utf-8")
    geokd.style(legend, tmp_path / "ruled.onnx", tmp_path / "merged.onnx")
    merged = load_bundle(tmp_path / "merged.onnx")
    assert merged.rules == (f"before classes were merged: {RULE}",)
    plain = replace(merged, graph=without_rule(merged.graph))
    assert not (codes(plain, patch(landscape())) == merged.legend.names.index("Marsh")).any()
    with pytest.raises(ValueError, match="or has the rule"):
        with_rule(ruled, RECIPE)
    pixels = patch(landscape())
    found, old = codes(merged, pixels), codes(ruled, pixels)
    assert (found == merged.legend.names.index("Marsh")).sum() == (old == MARSH).sum() > 0


def test_the_shipped_student_finds_marsh_in_a_scene(tmp_path: Path) -> None:
    for model in ("sentinel2-landuse", "sentinel2-landuse-fp32"):
        assert load_bundle(model).rules == (RULE,)
    assert load_bundle("sentinel2-landuse-rgb").rules == ()
    land = np.zeros((256, 256), np.int64)
    land[:60] = 2
    land[100:220, 60:200] = 1
    surface = np.array([WATER, PLANTS, TREES])[land].transpose(2, 0, 1)
    scene = (surface + np.random.default_rng(0).integers(-15, 15, surface.shape)).clip(0).astype(np.uint16)
    write_scene(tmp_path / "scene.tif", scene, BANDS)
    options = geokd.ClassifyOptions(polygons=False)
    result = geokd.classify(tmp_path / "scene.tif", model="sentinel2-landuse", output=tmp_path, options=options)
    names = load_bundle("sentinel2-landuse").legend.names
    codes_of_map = result.class_map.codes
    assert np.isin(codes_of_map[70:95], [names.index("River"), names.index("SeaLake")]).mean() > 0.9
    assert (codes_of_map[104:216, 64:196] == names.index("Wetland")).mean() > 0.5
