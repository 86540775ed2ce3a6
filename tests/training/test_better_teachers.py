"""Teachers of several runs, teachers that see what the student sees, and students that enlarge their patches."""

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the extra geokd[train]")

import torch
from PIL import Image
from safetensors.numpy import load_file
from torch import Tensor, nn

import geokd
from geokd.errors import CallError, RecipeError
from geokd.model.bundle import load_bundle
from geokd.model.engine import trace_layers
from geokd.model.workload import count_multiply_adds
from geokd.training.data.batches import Batch
from geokd.training.distillation import distillation_loss, fresh_answers
from geokd.training.ensemble import Ensemble
from geokd.training.export import export
from geokd.training.losses import cosine_loss, hard_loss, kl_loss
from geokd.training.networks import Classifier
from geokd.training.quantisation import run_graph
from geokd.training.recipe import LossRecipe, Recipe
from geokd.training.recipe_file import changed, load_recipe
from geokd.training.train import train
from tests.training.test_run import Lines, make_chips, tiny_recipe

ROOT = Path(__file__).parents[2]
KINDS = {"lite": "efficientnet_lite2", "mobile": "mobilenet_v2"}


class _Constant(Classifier):
    """Answers with the same logits and features whatever it sees."""

    def __init__(self, logits: list[float], features: list[float]) -> None:
        super().__init__(len(features))
        self.logits, self.features = torch.tensor(logits), torch.tensor(features)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        return self.logits.expand(len(pixels), -1), self.features.expand(len(pixels), -1)


class _Brightness(Classifier):
    """Answers with what it is shown: two means of the pixels."""

    def __init__(self) -> None:
        super().__init__(2)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        means = torch.stack([pixels[:, :, :2].mean((1, 2, 3)), pixels[:, :, 2:].mean((1, 2, 3))], dim=1) / 100
        return means, means + 1


@pytest.fixture(scope="module")
def chips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_chips(tmp_path_factory.mktemp("chips") / "two")


def recipe_with(*changes: str) -> Recipe:
    return changed(tiny_recipe(), ["teacher.architecture=mobilenet_v2", "teacher.epochs=1", *changes], "the test's")


@pytest.fixture(scope="module")
def members(chips: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Runs whose teachers are of two kinds."""
    folder = tmp_path_factory.mktemp("members")
    for name, kind in KINDS.items():
        recipe = recipe_with(f"teacher.architecture={kind}", "student.epochs=1")
        train(chips, folder / name, recipe, progress=Lines())
    return [folder / name for name in KINDS]


def of_members(members: list[Path], *changes: str) -> Recipe:
    return recipe_with(f"teacher.ensemble={json.dumps([str(run) for run in members])}", *changes)


def test_an_ensemble_answers_by_the_mean_of_probabilities() -> None:
    # (3/4, 1/4) and (1/4, 3/4) times two, (1/2, 1/2)
    one, two = _Constant([1.0986123, 0.0], [3.0, 4.0]), _Constant([0.0, 1.0986123], [0.0, 0.0, 5.0])
    ensemble = Ensemble([one, two, two, _Constant([7.0, 7.0], [1.0])])
    assert ensemble.width == 2 + 3 + 3 + 1
    logits, features = ensemble(torch.zeros(2, 3, 8, 8))
    torch.testing.assert_close(logits.exp(), torch.tensor([[0.4375, 0.5625]]).expand(2, -1))
    assert features[0].tolist() == pytest.approx([0.6, 0.8, 0, 0, 1, 0, 0, 1, 1])


def test_a_run_is_taught_by_the_teachers_of_several(chips: Path, members: list[Path], tmp_path: Path) -> None:
    lines = Lines()
    result = train(chips, tmp_path / "run", of_members(members), progress=lines)
    assert not any(line.startswith("teacher: epoch") for line in lines)
    for view in ("view0", "view5"):
        own = load_file(result.folder / "teacher_outputs" / f"{view}.safetensors")
        theirs = [load_file(run / "teacher_outputs" / f"{view}.safetensors") for run in members]
        mean = np.mean([torch.softmax(torch.tensor(t["logits"]), 1).numpy() for t in theirs], axis=0)
        np.testing.assert_allclose(np.exp(own["logits"]), mean, atol=1e-5)
        assert own["features"].shape == (16, 2560)
        np.testing.assert_allclose(np.linalg.norm(own["features"].astype(np.float32), axis=1), np.sqrt(2), rtol=1e-2)
    run = json.loads((result.folder / "run.json").read_text())
    assert run["metrics"]["teacher"]["initial_weights"] == "mean of the runs lite, mobile"
    assert run["metrics"]["teacher"]["parameters"] == sum(
        json.loads((member / "run.json").read_text())["metrics"]["teacher"]["parameters"] for member in members
    )
    assert load_bundle(export(result.folder).int8).describe().seen_chips == 16
    with pytest.raises(CallError, match="is an ensemble of other runs; leave out --teacher, or export those"):
        export(result.folder, tmp_path / "both", teacher=True)


@pytest.mark.slow
def test_a_resumed_run_of_an_ensemble_equals_an_uninterrupted_one(
    chips: Path, members: list[Path], tmp_path: Path
) -> None:
    recipe = of_members(members)
    train(chips, tmp_path / "whole", recipe, progress=Lines())
    with pytest.raises(KeyboardInterrupt):
        train(chips, tmp_path / "run", recipe, progress=Lines("student: epoch 1/"))
    train(chips, tmp_path / "run", recipe, resume=True, progress=Lines())
    _assert_equal_students(tmp_path / "run", tmp_path / "whole")


@pytest.mark.slow
def test_losses_may_be_compared_with_an_ensemble_as_teacher(chips: Path, members: list[Path], tmp_path: Path) -> None:
    options = geokd.AblationOptions(seeds=1, losses=("ce", "ce+kl+cosine"))
    recipe = of_members(members, "student.epochs=1")
    rows = geokd.ablate(chips, tmp_path / "ablation", recipe, options, progress=Lines()).rows
    assert [row.loss for row in rows] == ["ce", "ce+kl+cosine"]
    assert rows[1].teacher is not None
    assert 0 <= rows[1].teacher <= 1


def test_members_that_do_not_fit_are_named_together(chips: Path, members: list[Path], tmp_path: Path) -> None:
    other = make_chips(tmp_path / "other", 13)
    with pytest.raises(CallError, match=r"(?s)lite had another labelled chips.*mobile had another labelled chips"):
        train(other, tmp_path / "run", of_members(members), progress=Lines())
    nowhere = tmp_path / "nowhere"
    with pytest.raises(CallError, match="teacher.ensemble: there is no run to take a teacher from in .*nowhere"):
        train(chips, tmp_path / "run", of_members([nowhere]), progress=Lines())
    unfinished = tmp_path / "unfinished"
    shutil.copytree(members[0], unfinished)
    (unfinished / "teacher.safetensors").unlink()
    with pytest.raises(CallError, match="unfinished has no finished teacher; finish it, or name another"):
        train(chips, tmp_path / "run", of_members([unfinished]), progress=Lines())
    facts = json.loads((members[0] / "run.json").read_text())
    facts["recipe"]["teacher"]["ensemble"] = ["another"]
    shutil.copytree(members[0], tmp_path / "nested")
    (tmp_path / "nested" / "run.json").write_text(json.dumps(facts))
    with pytest.raises(CallError, match="nested was not trained there as one network; name others"):
        train(chips, tmp_path / "run", of_members([tmp_path / "nested"]), progress=Lines())
    assert not (tmp_path / "run").exists()
    with pytest.raises(RecipeError, match="from_bundle and ensemble each name a teacher"):
        of_members(members, "teacher.from_bundle=eurosat-rgb-maps-fp32")


def test_the_teacher_may_be_shown_the_very_mixtures() -> None:
    pixels = torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(0)) * 255
    shares = torch.tensor([[0.75, 0.25], [0.0, 1.0]])
    batch = Batch(torch.tensor([4, 1]), torch.tensor([7, 0]), torch.tensor([1, 0]), shares, pixels)
    recipe = LossRecipe(ce=1.0, kl=1.0, cosine=1.0, temperature=2.0, teacher_views="shown")
    logits, features = torch.tensor([[0.3, -0.2], [0.1, 0.5]]), torch.tensor([[1.0, 2.0], [0.5, 0.1]])
    teacher = _Brightness()
    total = distillation_loss(recipe, fresh_answers(teacher, bf16=False), nn.Identity(), 0.0)(logits, features, batch)
    asked, deep = teacher(pixels)
    targets = torch.tensor([[0.25, 0.75], [1.0, 0.0]])  # labels are mixed, answers are of the mixture
    expected = hard_loss(logits, targets) + kl_loss(logits, torch.softmax(asked / 2, 1), 2.0)
    torch.testing.assert_close(total, expected + cosine_loss(features, deep))
    with pytest.raises(RecipeError, match="needs stored answers: teacher_views = 'same' or 'mean'"):
        recipe_with("loss.teacher_on=unlabelled", "loss.cosine=0", "loss.teacher_views=shown")


@pytest.mark.slow
def test_a_teacher_that_sees_what_the_student_sees_keeps_no_answers(chips: Path, tmp_path: Path) -> None:
    recipe = recipe_with(
        "loss.teacher_views=shown", "augmentation.mix_share=0.7", "augmentation.mixup_share=0.7", "student.upsample=2"
    )
    train(chips, tmp_path / "whole", recipe, progress=Lines())
    assert not (tmp_path / "whole" / "teacher_outputs").exists()
    with pytest.raises(KeyboardInterrupt):
        train(chips, tmp_path / "run", recipe, progress=Lines("student: epoch 1/"))
    train(chips, tmp_path / "run", recipe, resume=True, progress=Lines())
    _assert_equal_students(tmp_path / "run", tmp_path / "whole")
    same = dataclasses.replace(recipe, loss=dataclasses.replace(recipe.loss, teacher_views="same"))
    train(chips, tmp_path / "same", same, progress=Lines())
    one, other = (load_file(tmp_path / name / "student.safetensors") for name in ("whole", "same"))
    assert any(not np.array_equal(one[key], other[key]) for key in one)  # the answers differ


@pytest.mark.slow
def test_int8_holds_the_enlargement_and_stays_small(chips: Path, tmp_path: Path) -> None:
    alone = ("loss.kl=0", "loss.cosine=0", "input.patch_px=32")
    plain = train(chips, tmp_path / "plain", recipe_with(*alone), progress=Lines()).folder
    large = train(chips, tmp_path / "large", recipe_with(*alone, "student.upsample=2"), progress=Lines()).folder
    made = export(large)
    assert made.int8.stat().st_size < 4e6
    fp32, int8 = load_bundle(made.fp32), load_bundle(made.int8)
    assert fp32.contract == int8.contract == load_bundle(export(plain).int8).contract  # patches are as small as before
    small = load_bundle(plain / "tiny-fp32.onnx")
    shape = (3, 32, 32)
    counts = [count_multiply_adds(trace_layers(bundle.graph, shape)) for bundle in (fp32, small)]
    assert counts[0] == pytest.approx(4 * counts[1], rel=0.02)
    pixels = load_file(large / "calibration.safetensors")["pixels"]
    exact, rounded = (run_graph(bundle.graph, pixels) for bundle in (fp32, int8))
    assert float(np.abs(exact - rounded).max()) < 0.3 * max(float(np.ptp(exact)), 1.0)
    found = geokd.evaluate(made.int8, chips)
    assert found.n == 24
    went_on = geokd.continuing_recipe(made.fp32)
    assert went_on.student.upsample == 2


@pytest.mark.slow
def test_the_recipe_of_a_classifier_of_chips_runs_with_its_teacher(tmp_path: Path) -> None:
    """A few steps of all its stages on noise of ten classes."""
    recipe = load_recipe(ROOT / "recipes" / "eurosat-rgb.toml")
    generator = np.random.default_rng(0)
    for number, entry in enumerate(recipe.legend):
        folder = tmp_path / "chips" / entry.name
        folder.mkdir(parents=True)
        for chip in range(8):
            noise = generator.integers(0, 60, (64, 64, 3), dtype=np.uint8) + np.uint8(15 * number)
            Image.fromarray(noise).save(folder / f"{chip}.png")
    few = ["teacher.epochs=1", "teacher.batch_size=16", "student.epochs=2", "student.batch_size=16"]
    few += ["loss.kl=1.0", "student.initial_weights=none"]  # ImageNet's would be downloaded
    result = train(tmp_path / "chips", tmp_path / "run", changed(recipe, few, "the test's"), progress=Lines())
    assert result.metrics.to_json()["teacher"]["n"] == result.metrics.to_json()["student"]["n"] == 20
    assert export(result.folder).int8.stat().st_size < 4e6


def _assert_equal_students(one: Path, other: Path) -> None:
    mine, theirs = (load_file(folder / "student.safetensors") for folder in (one, other))
    assert mine.keys() == theirs.keys()
    assert all(np.array_equal(mine[key], theirs[key]) for key in mine)
