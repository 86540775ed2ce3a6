"""Going on with a student from corrected chips: what it keeps, what it learns, what is refused."""

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("torch", reason="needs the extra geokd[train]")

import torch
from click.testing import CliRunner
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional as F

import geokd
from geokd.chips.folder import MANIFEST
from geokd.cli import main
from geokd.errors import BundleError, CallError, ChipError, RecipeError
from geokd.model.bundle import load_bundle
from geokd.model.familiarity import Familiarity
from geokd.training.continuing import continuing_recipe
from geokd.training.data.batches import NO_LABEL, Batch
from geokd.training.data.split import plain_block_split
from geokd.training.distillation import distillation_loss, kept_answers
from geokd.training.initial_weights import read_weights
from geokd.training.recipe import LossRecipe, Recipe
from geokd.training.recipe_file import recipe_from_json
from geokd.training.teacher_cache import TeacherOutputs
from geokd.training.train import train
from tests.tiny import three_fields, write_scene
from tests.training.test_run import SIDE, Lines, make_chips, tiny_recipe


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The int8 bundle of a student of two classes, its fp32 one beside it."""
    folder = tmp_path_factory.mktemp("old")
    recipe = tiny_recipe()
    train(
        make_chips(folder / "chips"),
        folder / "run",
        dataclasses.replace(recipe, loss=dataclasses.replace(recipe.loss, kl=0, cosine=0)),
        progress=Lines(),
    )
    return geokd.export(folder / "run").int8


def some_chips(folder: Path, name: str, count: int, seed: int, value: int = 120) -> Path:
    generator = np.random.default_rng(seed)
    (folder / name).mkdir(parents=True)
    for i in range(count):
        chip = generator.integers(value, value + 60, (SIDE, SIDE, 3), dtype=np.uint8)
        Image.fromarray(chip).save(folder / name / f"{i}.png")
    return folder


@pytest.fixture
def corrected(tmp_path: Path) -> Path:
    """Grey noise to be called dark: one of the two classes only."""
    return some_chips(tmp_path / "corrected", "dark", 10, 1)


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    return write_scene(tmp_path / "scene.tif", three_fields(5 * SIDE + 3, 5 * SIDE), photometric="RGB")


def quick(model: Path, *changes: str) -> Recipe:
    return continuing_recipe(model, ["student.epochs=2", "student.batch_size=8", *changes])


def test_it_continues_with_what_is_there(old: Path, corrected: Path, scene: Path, tmp_path: Path) -> None:
    lines = Lines()
    result = train(corrected, tmp_path / "run", quick(old), unlabelled=[scene], progress=lines)
    run = json.loads((tmp_path / "run" / "run.json").read_text())
    fp32 = load_bundle(old.with_name("tiny-fp32.onnx"))
    assert [c["name"] for c in run["legend"]] == ["dark", "striped"]  # no chip of the second
    assert run["derived_from"] == {"name": "tiny", "precision": "fp32", "sha256": fp32.sha256}
    assert run["temperature"] == fp32.temperature
    assert fp32.familiarity is not None
    assert Familiarity.from_json(run["familiarity"]) == fp32.familiarity
    assert result.metrics.to_json()["teacher"]["n"] == result.metrics.to_json()["student"]["n"] == 2
    assert result.metrics.to_json()["remembered"]["n"] == 5
    assert "20 patches of scene.tif on which the old student's answers are preserved, 5 to measure forgetting" in lines
    assert any(line.startswith("old student: ") and "of 2 validation chips" in line for line in lines)
    weights = load_file(tmp_path / "run" / "student.safetensors")
    before = read_weights(fp32)
    kept = [k for k in before if "running" in k]
    assert kept
    assert all(torch.equal(weights[k], before[k]) for k in kept)
    moved = [k for k in before if k.endswith("weight") and not torch.equal(weights[k], before[k])]
    assert "classifier.weight" in moved


def test_the_bundle_knows_where_it_is_from_and_maps(old: Path, corrected: Path, scene: Path, tmp_path: Path) -> None:
    train(corrected, tmp_path / "run", quick(old), unlabelled=[scene], progress=Lines())
    made = geokd.export(tmp_path / "run")
    assert made.int8.name == "tiny-reviewed.onnx"
    told = geokd.info(made.int8).to_json()["provenance"]
    assert told["derived_from"]["sha256"] == load_bundle(old.with_name("tiny-fp32.onnx")).sha256
    assert "temperature and statistics of the training data" in told["notes"][0]
    assert told["validation_before_rounding"]["remembered"]["n"] == 5
    assert geokd.verify(made.int8).passed
    again = continuing_recipe(made.int8)
    assert again.name == "tiny-reviewed"
    assert again.teacher.from_bundle == str(made.fp32)
    with pytest.raises(CallError, match=r"is the bundle .*tiny-fp32\.onnx, which is there already"):
        geokd.export(tmp_path / "run", tmp_path / "both", teacher=True)


def test_corrections_are_learned_and_the_rest_is_remembered(old: Path, tmp_path: Path) -> None:
    """Chips of the old kind, without labels, keep what the corrected ones do not speak of."""
    corrected = some_chips(tmp_path / "corrected", "striped", 24, 1, value=30)
    former = make_chips(tmp_path / "former", 40)
    recipe = continuing_recipe(old, ["student.epochs=6", "student.batch_size=16", "student.learning_rate=1e-3"])
    result = train(corrected, tmp_path / "run", recipe, unlabelled=[former], progress=Lines())
    assert result.metrics.to_json()["student"]["accuracy"] >= result.metrics.to_json()["teacher"]["accuracy"]
    assert result.metrics.to_json()["remembered"]["agreement"] > 0.5


@pytest.mark.slow
def test_a_run_is_resumed_as_if_nothing_had_been(old: Path, corrected: Path, scene: Path, tmp_path: Path) -> None:
    train(corrected, tmp_path / "whole", quick(old), unlabelled=[scene], progress=Lines())
    with pytest.raises(KeyboardInterrupt):
        train(corrected, tmp_path / "part", quick(old), unlabelled=[scene], progress=Lines("student: epoch 1/"))
    train(corrected, tmp_path / "part", quick(old), unlabelled=[scene], resume=True, progress=Lines())
    one, other = (load_file(tmp_path / name / "student.safetensors") for name in ("whole", "part"))
    assert all(torch.equal(one[k], other[k]) for k in one)


def test_the_scene_of_the_chips_is_found(old: Path, corrected: Path, scene: Path, tmp_path: Path) -> None:
    (corrected / MANIFEST).write_text(json.dumps({"scene": str(scene), "chips": []}))
    lines = Lines()
    train(corrected, tmp_path / "run", quick(old), progress=lines)
    assert any("20 patches of scene.tif" in line for line in lines)
    scene.unlink()
    lines = Lines()
    result = train(corrected, tmp_path / "other", quick(old), progress=lines)
    assert any("without them it forgets more" in line and "no such file" in line for line in lines)
    assert result.metrics.to_json()["remembered"] is None
    recipe = json.loads((tmp_path / "other" / "run.json").read_text())["recipe"]
    assert recipe["loss"]["teacher_on"] == "all"
    with pytest.raises(CallError, match="no such file"):
        train(corrected, tmp_path / "third", quick(old), unlabelled=[scene], progress=Lines())


def test_folders_are_matched_by_title_too(old: Path, tmp_path: Path) -> None:
    chips, lines = some_chips(tmp_path / "c", "Dark", 6, 1), Lines()
    train(chips, tmp_path / "run", quick(old), unlabelled=[chips], progress=lines)
    assert not any("trained the weights" in line for line in lines)  # the old student did not see them
    legend = json.loads((tmp_path / "run" / "run.json").read_text())["legend"]
    assert [c["name"] for c in legend] == ["dark", "striped"]


def no_class(folder: Path, old: Path) -> None:
    train(some_chips(folder / "x", "beach", 6, 1), folder / "run", quick(old), progress=Lines())


def no_fp32(folder: Path, old: Path) -> None:
    shutil.copy(old, folder / "alone.onnx")
    continuing_recipe(folder / "alone.onnx")


def one_place(folder: Path, old: Path) -> None:
    scene = write_scene(folder / "s.tif", three_fields(SIDE, SIDE), photometric="RGB")
    chips = geokd.tile(scene, folder / "x", options=geokd.TileOptions(patch_px=SIDE)).folder
    (chips / "dark").mkdir()
    for chip in list(chips.glob("*.tif")):
        chip.rename(chips / "dark" / chip.name)
    train(chips, folder / "run", quick(old, "input.patch_px=32"), progress=Lines())


def a_teacher(folder: Path, old: Path) -> None:
    bundle = load_bundle(old.with_name("tiny-fp32.onnx"))
    (folder / "vgg.onnx").write_bytes(dataclasses.replace(bundle, architecture="vgg16").onnx_bytes)
    continuing_recipe(folder / "vgg.onnx")


def no_recipe(folder: Path, old: Path) -> None:
    bundle = load_bundle(old.with_name("tiny-fp32.onnx"))
    (folder / "mute.onnx").write_bytes(dataclasses.replace(bundle, provenance={}).onnx_bytes)
    continuing_recipe(folder / "mute.onnx")


def styled(folder: Path, old: Path) -> None:
    fp32 = old.with_name("tiny-fp32.onnx")
    (folder / "red.csv").write_text("from,title,color_hint\ndark,Dark,#ff0000\n")
    geokd.style(folder / "red.csv", fp32, folder / "red.onnx")
    assert continuing_recipe(folder / "red.onnx").name == "red-reviewed"  # a colour changes nothing
    (folder / "night.csv").write_text("from,title\ndark,Night\n")
    geokd.style(folder / "night.csv", fp32, folder / "night.onnx")
    continuing_recipe(folder / "night.onnx")


def strange_change(_: Path, old: Path) -> None:
    continuing_recipe(old, ["student.epoch=3"])


def no_bundle(folder: Path, old: Path) -> None:
    some_chips(folder / "x", "dark", 6, 1)
    train(folder / "x", folder / "run", tiny_recipe(), unlabelled=[folder], progress=Lines())


def other_input(folder: Path, old: Path) -> None:
    recipe = quick(old, "input.ground_resolution_m=3")
    train(some_chips(folder / "x", "dark", 6, 1), folder / "run", recipe, progress=Lines())


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (no_class, ChipError, "has chips of beach, which tiny does not have; it has dark, striped: rename the folders"),
        (no_fp32, BundleError, r"is int8, but training can continue only fp32 bundles; .* alone-fp32\.onnx"),
        (one_place, ChipError, "lie within one square of 640 m, so none can be held out"),
        (a_teacher, BundleError, "holds vgg16, not a student that can be trained further"),
        (
            styled,
            BundleError,
            "the classes of night were renamed or merged by geokd style; continue with tiny",
        ),
        (no_recipe, BundleError, "has no usable recipe of its student"),
        (
            strange_change,
            RecipeError,
            "the recipe that continues with .* as changed cannot be used: .*did you mean 'epochs'",
        ),
        (no_bundle, CallError, "--unlabelled is for continuing a bundle with --init"),
        (other_input, CallError, r"\[input\] of the recipe differs from that of the bundle"),
    ],
)
def test_what_cannot_be_gone_on_with_is_refused(
    tmp_path: Path, old: Path, call: Callable[[Path, Path], None], error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        call(tmp_path, old)
    assert not (tmp_path / "run").exists()


def test_the_command(old: Path, corrected: Path, scene: Path, tmp_path: Path) -> None:
    call = ["train", str(corrected), "--init", str(old), "--unlabelled", str(scene), "-o", str(tmp_path / "run")]
    changes = ["--set", "student.epochs=1", "--set", "student.batch_size=8"]
    result = CliRunner().invoke(main, [*call, *changes, "--json"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["metrics"]["remembered"]["n"] == 5
    (tmp_path / "r.toml").write_text("")
    result = CliRunner().invoke(main, [*call, "--recipe", str(tmp_path / "r.toml")])
    assert result.exit_code == 2
    assert "leave out --recipe" in result.stderr


def test_the_recipe_is_made_of_the_bundles(old: Path) -> None:
    recipe = continuing_recipe("eurosat-rgb-maps")
    assert recipe.teacher.from_bundle == recipe.student.initial_weights == "eurosat-rgb-maps-fp32"
    assert recipe.input.value_scaling is not None
    assert recipe.augmentation.water_share == 0.8
    assert recipe.augmentation.mix_share == 0
    assert [entry.name for entry in recipe.legend][:2] == ["AnnualCrop", "Forest"]
    assert recipe_from_json(recipe.to_json()) == recipe
    assert continuing_recipe(old).split.block_m == 2 * SIDE * 10


def test_the_old_student_counts_on_chips_without_labels_alone() -> None:
    """By hand: two chips, one labelled; the KL of the other alone, mean over it alone."""
    logits = torch.tensor([[1.0, -1.0], [0.5, 0.0]])
    teacher = torch.tensor([[-3.0, 3.0], [2.0, -1.0]]).expand(8, 2, 2)
    recipe = LossRecipe(kl=0.7, cosine=0.0, temperature=2.0, teacher_on="unlabelled")
    outputs = TeacherOutputs(teacher, torch.zeros(8, 2, 1))
    loss = distillation_loss(recipe, kept_answers(outputs, recipe), nn.Identity(), 0.0)
    batch = Batch(torch.arange(2), torch.zeros(2, dtype=torch.int64), torch.tensor([0, NO_LABEL]))
    asked = F.softmax(teacher[0, 1] / 2, dim=0)
    kl = 4 * (asked * (asked.log() - F.log_softmax(logits[1] / 2, dim=0))).sum()
    expected = F.cross_entropy(logits[:1], torch.tensor([0])) + 0.7 * kl
    torch.testing.assert_close(loss(logits, torch.zeros(2, 1), batch), expected)
    labelled = Batch(torch.arange(2), torch.zeros(2, dtype=torch.int64), torch.tensor([0, 1]))
    only = loss(logits, torch.zeros(2, 1), labelled)
    torch.testing.assert_close(only, F.cross_entropy(logits, torch.tensor([0, 1])))
    with pytest.raises(ValueError, match="is for kl only"):
        LossRecipe(cosine=1.0, teacher_on="unlabelled")


@pytest.mark.parametrize("seed", range(5))
def test_plain_blocks_never_share_ground(seed: int) -> None:
    corner = np.random.default_rng(seed).uniform(0, 5000, (80, 2))
    bounds = np.hstack([corner, corner + 640])
    training, validation = plain_block_split(bounds, 0.2, 1280, seed)
    assert 16 <= len(validation) <= 30
    assert len(training) > 0
    for i in training:
        for j in validation:
            apart = (np.abs(bounds[i, :2] - bounds[j, :2]) >= 640).any()
            assert apart
    assert np.array_equal(training, plain_block_split(bounds, 0.2, 1280, seed)[0])


def test_one_block_leaves_nothing_to_hold_out() -> None:
    bounds = np.array([[0, 0, 9, 9], [20, 20, 29, 29]])
    training, validation = plain_block_split(bounds, 0.2, 1000, 0)
    assert (len(training), len(validation)) == (2, 0)
