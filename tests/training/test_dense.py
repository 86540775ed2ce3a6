"""Dense students from labelled scenes: the table, the rules, the variation, the loss, and whole runs."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray
from shapely.geometry import box

pytest.importorskip("torch", reason="needs the extra geokd[train]")

import torch

import geokd
from geokd.errors import CallError, ChipError, RecipeError, SceneError
from geokd.model.bundle import load_bundle
from geokd.system.progress import silent
from geokd.training.dense.data import read_dense_data
from geokd.training.dense.legend_rules import becomes_of, sharpened, student_shares
from geokd.training.dense.losses import dense_loss
from geokd.training.dense.network import DenseNetwork, begin_with
from geokd.training.dense.onnx_graph import dense_to_onnx
from geokd.training.dense.patches import draw_patches, find_places
from geokd.training.dense.recipe import DenseLossRecipe, DenseRecipe, RuleRecipe, VariationRecipe
from geokd.training.dense.showing import varied_batch
from geokd.training.dense.sources import read_sources
from geokd.training.dense.variation import view_of
from geokd.training.export import export
from geokd.training.initial_weights import read_weights
from geokd.training.quantisation import run_graph
from geokd.training.recipe_file import dense_recipe_from_json, dense_template, load_dense_recipe
from geokd.training.train import train
from tests.tiny import write_scene

BANDS = ("B04", "B03", "B02", "B08")
CLASSES = ("Field", "Lake", "Marsh")
SIDE = 192
DARK, BRIGHT = (300, 400, 500, 150), (900, 1100, 800, 3000)  # reflectance of water and plants, B04 B03 B02 B08


def lake_and_field(seed: int = 0) -> tuple[NDArray[np.uint16], NDArray[np.uint8]]:
    """A scene whose left part is a lake and whose right part a field, and codes 1 and 2 of them."""
    generator = np.random.default_rng(seed)
    codes = np.full((SIDE, SIDE), 2, np.uint8)
    codes[:, : SIDE // 2] = 1
    values = np.where(codes == 1, np.array(DARK)[:, None, None], np.array(BRIGHT)[:, None, None])
    return (values + generator.integers(0, 60, (4, SIDE, SIDE))).astype(np.uint16), codes


def make_table(folder: Path, **fields: Any) -> Path:
    """Write the scene, its codes, and a table that names them."""
    folder.mkdir(parents=True, exist_ok=True)
    values, codes = lake_and_field()
    write_scene(folder / "scene.tif", values, BANDS)
    write_scene(folder / "codes.tif", codes[np.newaxis], nodata=0)
    entry = {"scene": "scene.tif", "labels": "codes.tif", "kind": "codes"} | fields
    lines = [f"{key} = {json.dumps(value)}" for key, value in entry.items()]
    table = folder / "scenes.toml"
    table.write_text("[[source]]\n" + "\n".join(lines) + "\n", encoding="utf-8")
    return table


def tiny_recipe(**changes: Any) -> DenseRecipe:
    document: dict[str, Any] = {
        "name": "tiny-dense",
        "classes": [{"name": name} for name in CLASSES],
        "rules": [{"label": "1", "becomes": ["Lake"]}, {"label": "2", "becomes": ["Field"]}],
        "input": {"patch_px": 64, "margin_px": 16, "value_scaling": {"maximum": [2750, 2750, 2750, 5500]}},
        "student": {
            "initial_weights": "none", "width": 8, "epochs": 2, "epoch_steps": 2, "batch_size": 2, "patch_px": 64,
            "ema_decay": 0.5,
        },
        "variation": {"scale_share": 0.0},
    }  # fmt: skip
    for key, value in changes.items():
        document[key] = document.get(key, {}) | value if isinstance(value, dict) else value
    return dense_recipe_from_json(document)


def test_a_table_is_read_from_toml_and_csv_alike(tmp_path: Path) -> None:
    table = make_table(tmp_path, share=0.5, values="top of atmosphere")
    text = "scene,labels,kind,share,values\nscene.tif,codes.tif,codes,0.5,top of atmosphere\n"
    (tmp_path / "scenes.csv").write_text(text, encoding="utf-8")
    assert read_sources(table) == read_sources(tmp_path / "scenes.csv")


def test_all_that_is_wrong_with_a_table_comes_at_once(tmp_path: Path) -> None:
    table = make_table(tmp_path, labels="missing.tif", kind="colours", share=0, chips_px=3, colour="red")
    with pytest.raises(CallError) as caught:
        read_sources(table)
    message = str(caught.value)
    for part in ("missing.tif", "'colours'", "share = 0.0", "chips_px = 3", "unknown colour"):
        assert part in message


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "lists no scene"),
        ("a = 1", "must contain only entries"),
        ("[[source", "cannot be read"),
        ("[[source]]\n", "missing"),
    ],
)
def test_tables_that_are_none_are_refused(tmp_path: Path, content: str, reason: str) -> None:
    (tmp_path / "t.toml").write_text(content, encoding="utf-8")
    with pytest.raises(CallError, match=reason):
        read_sources(tmp_path / "t.toml")


def test_labels_are_split_in_the_proportion_that_the_use_teacher_sees() -> None:
    classes, uses = ("Annual", "Permanent", "Bare"), ("Annual", "Permanent", "Forest")
    rules = [RuleRecipe("crops", ("Annual", "Permanent")), RuleRecipe("soil", ("Annual", "Bare")), RuleRecipe("snow")]
    becomes = becomes_of(["crops", "soil", "snow"], classes, rules, uses)
    shares = np.array([0.5, 0.4, 0.1], np.float32)[:, None, None]
    use = np.array([0.6, 0.2, 0.2], np.float32)[:, None, None]
    found = student_shares(shares, use, becomes, classes, uses)[:, 0, 0]
    annual, permanent = 0.5 * 0.61 / 0.82, 0.5 * 0.21 / 0.82
    bare_to_annual = 0.4 * 0.61 / 1.03
    assert found == pytest.approx([annual + bare_to_annual, permanent, 0.4 - bare_to_annual], abs=1e-6)
    assert found.sum() == pytest.approx(0.9)  # snow is left out


def test_rules_that_cannot_be_followed_are_named_together() -> None:
    rules = [RuleRecipe("crops", ("Annual", "Permanent")), RuleRecipe("soil", ("Bare", "Rock"))]
    with pytest.raises(RecipeError) as caught:
        becomes_of(["crops", "soil", "ice"], ("Annual", "Permanent", "Bare", "Rock"), rules, ("Annual", "Permanent"))
    assert "'ice'" in str(caught.value)
    assert "Bare, Rock" in str(caught.value)
    with pytest.raises(RecipeError, match="use_teacher"):
        becomes_of(["crops"], ("Annual", "Permanent"), rules, ())


@pytest.mark.parametrize(("bundle", "warned"), [("eurosat-rgb-fp32", True), ("eurosat-rgb-maps-fp32", False)])
def test_a_use_teacher_of_chips_is_warned_of(tmp_path: Path, bundle: str, warned: bool) -> None:
    recipe = tiny_recipe(use_teacher={"bundle": bundle})
    data = read_dense_data(make_table(tmp_path), recipe, silent)
    assert any("was trained for chips" in note for note in data.notes) == warned


def test_sharpening_keeps_the_sum() -> None:
    shares = np.asarray(np.random.default_rng(0).random((3, 4, 4)) / 4, np.float32)
    sharp = sharpened(shares, 2.0)
    assert sharp.sum(axis=0) == pytest.approx(shares.sum(axis=0), rel=1e-5)
    assert (sharp.max(axis=0) >= shares.max(axis=0) - 1e-6).all()
    assert sharpened(shares, 1.0) is shares


def test_codes_become_hard_labels_with_blocks_held_out(tmp_path: Path) -> None:
    data = read_dense_data(make_table(tmp_path), tiny_recipe(), silent)
    (source,) = data.sources
    _, codes = lake_and_field()
    assert (source.labels[0].argmax(axis=0) == np.where(codes == 1, 1, 0)).all()
    assert not source.soft
    assert 0 < source.held_out.mean() < 0.5
    assert source.ground.shape == (1, 4, SIDE, SIDE)


def test_soft_labels_are_read_by_their_scale_tags(tmp_path: Path) -> None:
    table = make_table(tmp_path, labels="soft.tif", kind="shares")
    _, codes = lake_and_field()
    write_scene(tmp_path / "soft.tif", np.stack([codes == 1, codes == 2]).astype(np.uint8) * 250, ("Lake", "Field"))
    with rasterio.open(tmp_path / "soft.tif", "r+") as dataset:
        dataset.scales = (1 / 250, 1 / 250)
    (source,) = read_dense_data(table, tiny_recipe(rules=[]), silent).sources
    assert source.soft
    assert (source.labels[0].argmax(axis=0) == np.where(codes == 1, 1, 0)).all()
    assert source.labels[0].max() == 255


def test_polygons_are_held_out_whole(tmp_path: Path) -> None:
    table = make_table(tmp_path, labels="polygons.gpkg", kind="polygons", field="use")
    left, top = 4e5, 4.2e6
    boxes = [box(left + 10 * c, top - 10 * (r + 16), left + 10 * (c + 16), top - 10 * r)
             for r in (0, 32, 64) for c in (16, 64, 120, 160)]  # fmt: skip
    uses = ["Lake" if b.centroid.x < left + 5 * SIDE else "Field" for b in boxes]
    frame = geopandas.GeoDataFrame({"use": uses}, geometry=boxes, crs="EPSG:32618")
    frame.to_file(tmp_path / "polygons.gpkg")
    (source,) = read_dense_data(table, tiny_recipe(rules=[], validation_share=0.3), silent).sources
    held, labelled = source.held_out[0], source.labelled[0]
    assert 0 < held.sum() < labelled.sum()
    for r in (0, 32, 64):
        for c in (16, 64, 120, 160):
            assert held[r : r + 16, c : c + 16].mean() in (0, 1)


def test_a_sheet_of_chips_is_cut(tmp_path: Path) -> None:
    data = read_dense_data(make_table(tmp_path, chips_px=64), tiny_recipe(), silent)
    assert data.sources[0].ground.shape == (9, 4, 64, 64)
    assert set(data.sources[0].held_out.mean(axis=(1, 2))) <= {0.0, 1.0}


def test_labels_outside_an_area_are_not_used(tmp_path: Path) -> None:
    """The scene is a lake in the west and a field in the east; the area begins in the middle of the lake."""
    east = box(4e5 + 5 * SIDE, 4.2e6 - 10 * SIDE, 4e5 + 10 * SIDE, 4.2e6)
    frame = geopandas.GeoDataFrame({"name": ["east", "north"]}, geometry=[east, east.buffer(300)], crs="EPSG:32618")
    frame.to_crs("EPSG:4326").to_file(tmp_path / "areas.gpkg", layer="areas")
    table = make_table(tmp_path, aoi="areas.gpkg:areas", where="name = 'east'")
    (tiles,) = read_dense_data(table, tiny_recipe(), silent).sources
    assert not tiles.labels[..., : SIDE // 2 - 2].any()
    assert tiles.labels[..., SIDE // 2 + 2 :].any(axis=1).all()
    assert tiles.ground[..., : SIDE // 2].any(), "the pixels beside the area are still seen around those within"
    west, south, east_side, north = frame.to_crs("EPSG:4326").total_bounds
    (whole,) = read_dense_data(
        make_table(tmp_path, bbox=[west, south, east_side, north]), tiny_recipe(), silent
    ).sources
    assert whole.labels.sum() > tiles.labels.sum()


@pytest.mark.parametrize("mask", ["clouds.tif", "clouds.tif:1,2", "SCL:9"])
def test_labels_under_a_mask_are_not_used(tmp_path: Path, mask: str) -> None:
    """Clouds lie over the northern half."""
    clouds = np.zeros((1, SIDE, SIDE), np.uint8)
    clouds[:, : SIDE // 2] = 9 if mask == "SCL:9" else 1
    table = make_table(tmp_path, mask=mask)
    write_scene(tmp_path / "clouds.tif", clouds)
    if mask == "SCL:9":
        with rasterio.open(tmp_path / "scene.tif") as scene:
            bands = np.concatenate([scene.read(), clouds.astype(scene.dtypes[0])])
            write_scene(tmp_path / "scene.tif", bands, (*scene.descriptions, "SCL"))
    (tiles,) = read_dense_data(table, tiny_recipe(), silent).sources
    assert not tiles.labels[..., : SIDE // 2, :].any()
    assert tiles.labels[..., SIDE // 2 :, :].any(axis=1).all()


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"where": "a = 1"}, "where selects features of aoi FILE"),
        ({"bbox": [1, 2, 3]}, "bbox = .1, 2, 3. is not four numbers"),
        ({"bbox": [1, 3, 2, 2]}, "bbox 1,3,2,2 is not a box"),
        ({"bbox": [1, 2, 3, 4], "aoi": "a.gpkg"}, "both give an area"),
        ({"bbox": [1, 2, 3, 4], "chips_px": 64}, "chips of a sheet have no place"),
        ({"mask": "scl", "chips_px": 64}, "chips of a sheet have no place; leave out aoi, bbox and mask"),
    ],
)
def test_areas_that_cannot_be(tmp_path: Path, fields: dict[str, Any], said: str) -> None:
    with pytest.raises(CallError, match=said):
        read_sources(make_table(tmp_path, **fields))


def test_what_cannot_be_used_for_training_is_said(tmp_path: Path) -> None:
    table = make_table(tmp_path / "a")
    with pytest.raises(RecipeError, match="the label '1' has no rule"):
        read_dense_data(table, tiny_recipe(rules=[]), silent)
    with pytest.raises(RecipeError, match="names no classes"):
        read_dense_data(table, DenseRecipe(), silent)
    write_scene(tmp_path / "a" / "codes.tif", np.zeros((1, SIDE, SIDE), np.uint8), nodata=0)
    with pytest.raises(ChipError, match="no pixel"):
        read_dense_data(table, tiny_recipe(), silent)
    soft = make_table(tmp_path / "b", labels="soft.tif", kind="shares")
    write_scene(tmp_path / "b" / "soft.tif", np.ones((2, 10, 10), np.uint8), ("Lake", "Field"))
    with pytest.raises(SceneError, match="10 x 10 pixels"):
        read_dense_data(soft, tiny_recipe(), silent)


def test_no_held_out_label_is_ever_shown(tmp_path: Path) -> None:
    recipe = tiny_recipe(validation_share=0.4)
    data = read_dense_data(make_table(tmp_path), recipe, silent)
    (source,) = data.sources
    marked = replace(
        source, labels=np.where(source.held_out[:, None], np.array([0, 0, 255], np.uint8)[:, None, None], source.labels)
    )
    places = find_places(replace(data, sources=(marked,)), recipe, view_of(data.contract, recipe))
    batch = draw_patches(places, 64, torch.Generator().manual_seed(0))
    assert batch.labels[:, 2].sum() == 0
    assert (batch.labels.sum(dim=1) == 0).any()  # its pixels are seen, without a label
    assert batch.labels[:, :2].sum() > 0


def test_marsh_and_snow_are_simulated_where_they_can_be(tmp_path: Path) -> None:
    names = [*CLASSES, "Snow"]
    recipe = tiny_recipe(
        classes=[{"name": name} for name in names],
        variation={
            "marsh_share": 1.0, "marsh_class": "Marsh", "snow_share": 1.0, "snow_class": "Snow",
            "water_classes": ["Lake"], "turbid_share": 1.0, "season_share": 1.0, "stretch_share": 0.5,
        },
    )  # fmt: skip
    data = read_dense_data(make_table(tmp_path), recipe, silent)
    view = view_of(data.contract, recipe)
    places = find_places(data, recipe, view)
    seen, labels, hard = varied_batch(places, view, recipe, 8, torch.Generator().manual_seed(0))
    again, _, _ = varied_batch(places, view, recipe, 8, torch.Generator().manual_seed(0))
    assert torch.equal(seen, again)
    assert seen.shape == (8, 4, 64, 64)
    assert seen.min() >= 0 and seen.max() <= 255
    assert labels[:, 2].mean() > 0.01 and labels[:, 3].mean() > 0.01
    assert labels.sum(dim=1).max() <= 1 + 1e-5
    assert hard.all()


def test_marsh_needs_water(tmp_path: Path) -> None:
    recipe = tiny_recipe(
        rules=[{"label": "1", "becomes": []}, {"label": "2", "becomes": ["Field"]}],
        variation={"marsh_share": 0.5, "marsh_class": "Marsh", "water_classes": ["Lake"]},
    )
    data = read_dense_data(make_table(tmp_path), recipe, silent)
    with pytest.raises(ChipError, match="marsh cannot be simulated"):
        find_places(data, recipe, view_of(data.contract, recipe))


def test_the_loss_is_that_of_the_formula() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn((2, 3, 2, 2), generator=generator)
    labels = torch.softmax(2 * torch.randn((2, 3, 2, 2), generator=generator), 1)
    labels[0, :, 0, 0] = 0  # a pixel without a label
    soft = torch.tensor([False, False])
    weights = DenseLossRecipe(ce=0.5, kl=2.0, cosine=0.25, temperature=3.0)
    expected, count = 0.0, 0
    for n, r, c in [(n, r, c) for n in range(2) for r in range(2) for c in range(2)]:
        y, z = labels[n, :, r, c], logits[n, :, r, c]
        if y.sum() == 0:
            continue
        t = y ** (1 / 3) / (y ** (1 / 3)).sum()
        ce = -torch.log_softmax(z, 0)[y.argmax()]
        kl = 9 * (t * (t.log() - torch.log_softmax(z / 3, 0))).sum()
        a, b = z - z.mean(), y.log() - y.log().mean()
        expected += float(0.5 * ce + 2 * kl + 0.25 * (1 - a @ b / (a.norm() * b.norm())))
        count += 1
    assert float(dense_loss(logits, labels, soft, weights)) == pytest.approx(expected / count, rel=1e-4)


def test_hard_labels_are_learned_by_cross_entropy_alone() -> None:
    logits = torch.randn((1, 3, 4, 4), generator=torch.Generator().manual_seed(0))
    labels = torch.nn.functional.one_hot(torch.randint(3, (1, 4, 4)), 3).permute(0, 3, 1, 2).float()
    expected = torch.nn.functional.cross_entropy(logits, labels.argmax(1))
    found = dense_loss(logits, labels, torch.tensor([True]), DenseLossRecipe(ce=0.0, kl=1.0, cosine=1.0))
    assert float(found) == pytest.approx(float(expected), rel=1e-5)


def test_the_network_gives_what_its_graph_gives() -> None:
    torch.manual_seed(0)
    network = DenseNetwork(4, 5, 16).eval()
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.running_mean = torch.randn_like(module.bias) / 10
    contract = read_contract(patch_px=64, cell_px=1)
    pixels = np.random.default_rng(0).integers(0, 256, (2, 4, 64, 64), dtype=np.uint8)
    with torch.inference_mode():
        logits, coarse = network(torch.from_numpy(pixels))
    assert run_graph(dense_to_onnx(network, contract), pixels) == pytest.approx(logits.numpy(), abs=1e-4)
    halves = run_graph(dense_to_onnx(network, read_contract(patch_px=64, cell_px=2)), pixels)
    assert halves == pytest.approx(coarse.numpy(), abs=1e-4)
    fours = run_graph(dense_to_onnx(network, read_contract(patch_px=64, cell_px=4)), pixels)
    assert fours == pytest.approx(torch.nn.functional.avg_pool2d(coarse, 2).numpy(), abs=1e-4)


def read_contract(patch_px: int, cell_px: int) -> Any:
    from geokd.model.contract import InputContract, ValueScaling

    return InputContract(BANDS, patch_px, 10.0, ValueScaling(), cell_px, 16)


def test_the_stem_of_a_student_of_colours_is_widened() -> None:
    colours = read_weights(load_bundle("eurosat-rgb-maps-fp32"))
    network = DenseNetwork(4, 3, 8)
    begin_with(network, colours, "eurosat-rgb-maps-fp32")
    stem, old = network.state_dict()["features.0.0.weight"], colours["features.0.0.weight"]
    grey = torch.ones((1, 4, 8, 8))
    wide = torch.nn.functional.conv2d(grey, stem, padding=1, stride=2)
    narrow = torch.nn.functional.conv2d(grey[:, :3], old, padding=1, stride=2)
    assert torch.allclose(wide, narrow, atol=1e-4)
    with pytest.raises(RecipeError, match="do not fit"):
        begin_with(network, {"features.0.0.weight": torch.zeros(1)}, "nothing")


def test_a_run_is_resumed_bit_for_bit_and_exported(tmp_path: Path) -> None:
    table, recipe = make_table(tmp_path), tiny_recipe(student={"int8_epochs": 1})
    whole = train(table, tmp_path / "whole", recipe, progress=silent)

    def stop(message: str, *, done: int = 0, total: int = 0) -> None:
        if "epoch 1/2" in message:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(table, tmp_path / "cut", recipe, progress=stop)
    train(table, tmp_path / "cut", recipe, resume=True, progress=silent)
    one, other = ((tmp_path / run / "student.safetensors").read_bytes() for run in ("whole", "cut"))
    assert one == other
    assert whole.metrics.to_json()["student"]["n"] > 0
    assert (tmp_path / "whole" / "predictions.png").stat().st_size > 0
    assert "student,2," in (tmp_path / "whole" / "log.csv").read_text(encoding="utf-8")
    with pytest.raises(CallError, match=r"student\.width was 8, is 16"):
        train(table, tmp_path / "whole", tiny_recipe(student={"width": 16, "int8_epochs": 1}), resume=True)

    result = export(tmp_path / "whole")
    for path in (result.fp32, result.int8):
        bundle = load_bundle(path)
        assert bundle.task == "semantic-segmentation"
        assert bundle.contract.answer_shape == (64, 64)
        assert geokd.verify(path).passed
    with pytest.raises(CallError, match="has no teacher, because its labels"):
        export(tmp_path / "whole", tmp_path / "other", teacher=True)
    mapped = geokd.classify(tmp_path / "scene.tif", model=result.int8, output=tmp_path / "maps")
    assert mapped.class_map.codes.shape == (SIDE, SIDE)


def test_a_run_ends_well_with_fewer_patches_in_a_batch_than_a_map_patch_has(tmp_path: Path) -> None:
    recipe = tiny_recipe(input={"patch_px": 128}, student={"epochs": 1})
    assert train(make_table(tmp_path), tmp_path / "run", recipe, progress=silent).metrics.to_json()["student"]["n"] > 0


def test_label_rasters_of_several_bands_are_refused(tmp_path: Path) -> None:
    table = make_table(tmp_path)
    write_scene(tmp_path / "codes.tif", np.stack([lake_and_field()[1]] * 2), nodata=0)
    with pytest.raises((CallError, SceneError), match="has 2 bands, and which one is meant is unknown"):
        train(table, tmp_path / "run", tiny_recipe(), progress=silent)


@pytest.mark.slow
def test_a_student_learns_where_the_lake_is(tmp_path: Path) -> None:
    recipe = tiny_recipe(student={"epochs": 3, "epoch_steps": 12, "learning_rate": 1e-2, "ema_decay": 0.8})
    result = train(make_table(tmp_path), tmp_path / "run", recipe, progress=silent)
    assert result.metrics.to_json()["student"]["accuracy"] > 0.9


def test_the_template_is_a_recipe(tmp_path: Path) -> None:
    (tmp_path / "all.toml").write_text(dense_template(), encoding="utf-8")
    assert load_dense_recipe(tmp_path / "all.toml") == DenseRecipe()


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"classes": [{"name": "a"}, {"name": "a"}]}, "repeat"),
        ({"classes": [{"name": "a"}], "rules": [{"label": "x", "becomes": ["b"]}]}, "not among the classes"),
        ({"input": {"patch_px": 100}}, "multiple of 32"),
        ({"input": {"value_scaling": {"maximum": [1, 2]}}}, "2 maxima for 4 bands"),
        ({"variation": {"marsh_share": 0.5}}, "marsh_class"),
        ({"loss": {"kl": 0.0}}, "nothing to train on"),
        ({"student": {"int8_epochs": 11}}, "more than all"),
        ({"colour": 1}, "unknown key"),
    ],
)
def test_recipes_that_cannot_be_are_refused(wrong: dict[str, Any], reason: str) -> None:
    with pytest.raises(RecipeError, match=reason):
        dense_recipe_from_json(wrong)


def test_options_of_chips_are_refused_for_a_table(tmp_path: Path) -> None:
    from click.testing import CliRunner

    from geokd.cli import main

    table = make_table(tmp_path)
    result = CliRunner().invoke(
        main, ["train", str(table), "-o", str(tmp_path / "run"), "--init", "eurosat-rgb-maps-fp32"]
    )
    assert result.exit_code == 2
    assert "--init is for chips" in result.stderr


def test_variation_is_off_by_default_but_for_air_and_light() -> None:
    off = VariationRecipe()
    assert (off.marsh_share, off.snow_share, off.season_share, off.stretch_share, off.turbid_share) == (0,) * 5
