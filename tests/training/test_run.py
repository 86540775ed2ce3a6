"""Whole runs on a handful of small chips: the road, not the accuracy."""

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("torch", reason="needs the extra geokd[train]")

import torch
from safetensors.numpy import load_file

from geokd.errors import CallError, ChipError, RecipeError, TrainingError
from geokd.model.bundle import load_bundle, resolve_model
from geokd.training.checkpoint import read_tensors, write_tensors
from geokd.training.export import export
from geokd.training.initial_weights import read_weights
from geokd.training.quantisation import run_graph
from geokd.training.recipe import AugmentationRecipe, Recipe
from geokd.training.recipe_file import _set, load_recipe, recipe_from_json
from geokd.training.train import train

SIDE = 32


def make_chips(folder: Path, count: int = 12, seed: int = 0) -> Path:
    """Two classes that are easily told apart: dark noise and bright stripes."""
    generator = np.random.default_rng(seed)
    for name in ("dark", "striped"):
        (folder / name).mkdir(parents=True)
        for i in range(count):
            chip = generator.integers(0, 60, (SIDE, SIDE, 3), dtype=np.uint8)
            if name == "striped":
                chip[::4] += 150
            Image.fromarray(chip).save(folder / name / f"{i}.png")
    return folder


def tiny_recipe(*, architecture: str = "mobilenet_v2", **student: object) -> Recipe:
    """A recipe of seconds; its teacher is not VGG16, by default, which takes twice as long."""
    teacher = {"architecture": architecture, "initial_weights": "none", "frozen_layers": 0}
    return recipe_from_json(
        {
            "name": "tiny",
            "split": {"validation_share": 0.34},
            "teacher": teacher | {"epochs": 2, "batch_size": 8},
            "student": {"initial_weights": "none", "epochs": 2, "batch_size": 8, "ema_decay": 0.5} | student,
        }
    )


TINY_TOML = """name = "tiny"
[split]
validation_share = 0.34
[teacher]
architecture = "mobilenet_v2"
frozen_layers = 0
initial_weights = "none"
epochs = 2
batch_size = 8
[student]
initial_weights = "none"
epochs = 2
batch_size = 8
ema_decay = 0.5
"""


class Lines(list[str]):
    """Progress lines; raises KeyboardInterrupt when one contains `stop`."""

    def __init__(self, stop: str = "") -> None:
        super().__init__()
        self.stop = stop

    def __call__(self, message: str, *, done: int = 0, total: int = 0) -> None:
        self.append(message)
        if self.stop and self.stop in message:
            raise KeyboardInterrupt


@pytest.fixture(scope="module")
def chips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_chips(tmp_path_factory.mktemp("chips") / "two")


@pytest.fixture(scope="module")
def whole_run(chips: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "whole"
    train(chips, folder, tiny_recipe(), progress=Lines())
    return folder


def test_a_run_leaves_what_it_promises(whole_run: Path) -> None:
    run = json.loads((whole_run / "run.json").read_text())
    assert run["complete"] is True
    for who in ("teacher", "student"):
        figures = run["metrics"][who]
        assert figures["n"] == 8
        low, high = figures["interval_95"]
        assert low <= figures["accuracy"] <= high
        assert [row["name"] for row in figures["per_class"]] == ["dark", "striped"]
    assert run["contract"]["patch_px"] == SIDE
    assert recipe_from_json(run["recipe"]) == tiny_recipe()
    rows = (whole_run / "log.csv").read_text().splitlines()
    assert [r.split(",")[:2] for r in rows[1:]] == [
        ["teacher", "1"],
        ["teacher", "2"],
        ["student", "1"],
        ["student", "2"],
    ]
    with Image.open(whole_run / "curves.png") as picture:
        assert picture.width > 500
    assert len(list((whole_run / "teacher_outputs").iterdir())) == 8
    assert not list(whole_run.glob("*checkpoint*"))


@pytest.mark.parametrize("stop", ["teacher: epoch 1/", "teacher outputs: view 3/", "student: epoch 1/"])
def test_a_resumed_run_equals_an_uninterrupted_one(chips: Path, whole_run: Path, tmp_path: Path, stop: str) -> None:
    folder = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        train(chips, folder, tiny_recipe(), progress=Lines(stop))
    assert json.loads((folder / "run.json").read_text())["complete"] is False
    train(chips, folder, tiny_recipe(), resume=True, progress=Lines())
    for name in ("teacher.safetensors", "student.safetensors", "calibration.safetensors"):
        mine, theirs = load_file(folder / name), load_file(whole_run / name)
        assert mine.keys() == theirs.keys()
        assert all(np.array_equal(mine[k], theirs[k]) for k in mine), name
    drop = slice(0, 5)  # all but the seconds
    assert [r.split(",")[drop] for r in (folder / "log.csv").read_text().splitlines()] == [
        r.split(",")[drop] for r in (whole_run / "log.csv").read_text().splitlines()
    ]


@pytest.mark.slow
def test_a_killed_process_resumes(chips: Path, whole_run: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    recipe = tmp_path / "tiny.toml"
    recipe.write_text(TINY_TOML)
    command = [sys.executable, "-m", "geokd", "train", str(chips), "-o", str(folder), "--recipe", str(recipe)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, env=os.environ)
    deadline = time.monotonic() + 120
    while not (folder / "student.checkpoint.safetensors").is_file() and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.wait()
    subprocess.run([*command, "--resume"], check=True, capture_output=True)
    mine, theirs = load_file(folder / "student.safetensors"), load_file(whole_run / "student.safetensors")
    assert all(np.array_equal(mine[k], theirs[k]) for k in theirs)


KILLER = """
import os, signal, sys
from pathlib import Path
name, wanted, moment, *sys.argv[1:] = sys.argv[1:]
real, seen = Path.replace, 0
def replace(self, target):
    global seen
    seen += Path(target).name == name
    if (Path(target).name, seen, moment) == (name, int(wanted), "before"):
        os.kill(os.getpid(), signal.SIGKILL)
    moved = real(self, target)
    if (Path(target).name, seen) == (name, int(wanted)):
        os.kill(os.getpid(), signal.SIGKILL)
    return moved
Path.replace = replace
from geokd.cli import main
main()
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="kill -9 is POSIX")
@pytest.mark.parametrize(
    ("name", "times", "moment"),
    [
        ("run.json", 1, "before"),
        ("run.json", 1, "after"),
        ("view3.safetensors", 1, "before"),
        ("student.safetensors", 1, "before"),
        ("run.json", 2, "before"),
        ("run.json", 2, "after"),
    ],
)
def test_killed_at_a_rename(
    name: str, times: int, moment: str, chips: Path, whole_run: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The advice of the next call works, and what comes of it is what an uninterrupted run gives."""
    folder, recipe = tmp_path / "run", tmp_path / "tiny.toml"
    recipe.write_text(TINY_TOML)
    arguments = ["train", str(chips), "-o", str(folder), "--recipe", str(recipe)]
    ended = subprocess.run(
        [sys.executable, "-c", KILLER, name, str(times), moment, *arguments], check=False, capture_output=True
    )
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    if (name, times, moment) == ("run.json", 1, "before"):
        with pytest.raises(CallError, match=r"there is no run to resume in .*; start it without --resume"):
            train(chips, folder, tiny_recipe(), resume=True, progress=Lines())
        train(chips, folder, tiny_recipe(), progress=Lines())
    else:
        with pytest.raises(CallError, match="exists already; name a new folder, or continue with --resume"):
            train(chips, folder, tiny_recipe(), progress=Lines())
        train(chips, folder, tiny_recipe(), resume=True, progress=Lines())
    assert json.loads((folder / "run.json").read_text())["complete"]
    for tensors in ("teacher.safetensors", "student.safetensors", "calibration.safetensors"):
        assert (folder / tensors).read_bytes() == (whole_run / tensors).read_bytes()
    assert {path.name for path in folder.rglob("*")} == {path.name for path in whole_run.rglob("*")}
    assert not caplog.messages, "no output of that run was moved or removed"


def test_any_changed_bit_of_a_file_of_tensors_is_found(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    tensors = {"weights": torch.arange(6.0).reshape(2, 3), "count": torch.tensor(5), "half": torch.ones(3).half()}
    write_tensors(path, tensors, {"epochs_done": 2})
    again, facts = read_tensors(path)
    assert facts == {"epochs_done": 2}
    assert all(torch.equal(again[name], tensors[name]) for name in tensors)
    content = path.read_bytes()
    for bit in range(8 * len(content)):
        changed = bytearray(content)
        changed[bit // 8] ^= 1 << bit % 8
        path.write_bytes(changed)
        if b'"facts"' in changed:  # else its name is what was changed
            with pytest.raises(TrainingError, match="cannot read"):
                read_tensors(path)


def test_student_alone_needs_no_teacher(chips: Path, tmp_path: Path) -> None:
    recipe = dataclasses.replace(tiny_recipe(), loss=dataclasses.replace(Recipe().loss, kl=0.0, cosine=0.0))
    result = train(chips, tmp_path / "run", recipe, progress=Lines())
    assert result.metrics.to_json()["teacher"] is None
    assert not (tmp_path / "run" / "teacher_outputs").exists()


@pytest.mark.slow
def test_networks_that_learned_nothing_are_named(chips: Path, tmp_path: Path) -> None:
    recipe, lines = tiny_recipe(learning_rate=1e-8), Lines()
    recipe = dataclasses.replace(recipe, teacher=dataclasses.replace(recipe.teacher, learning_rate=1e-8))
    train(chips, tmp_path / "out", recipe, progress=lines)
    for who in ("teacher", "student"):
        (line,) = (line for line in lines if f"the {who} learned nothing" in line)
        assert "always choosing the most common class (50 %)" in line
        assert f"{who}.learning_rate" in line


def test_wrong_calls(chips: Path, whole_run: Path, tmp_path: Path) -> None:
    with pytest.raises(CallError, match="exists already.*--resume"):
        train(chips, whole_run, tiny_recipe(), progress=Lines())
    with pytest.raises(CallError, match="no run to resume"):
        train(chips, tmp_path / "none", tiny_recipe(), resume=True, progress=Lines())
    with pytest.raises(CallError, match=r"had another recipe \(.*student.epochs was 2, is 3"):
        train(chips, whole_run, tiny_recipe(epochs=3), resume=True, progress=Lines())
    with pytest.raises(CallError, match="neither a folder nor a zip"):
        train(tmp_path / "nowhere", tmp_path / "run", tiny_recipe(), progress=Lines())
    with pytest.raises(RecipeError, match="no such file"):
        train(chips, tmp_path / "run", tiny_recipe(initial_weights="nowhere.safetensors"), progress=Lines())
    assert not (tmp_path / "none").exists()
    assert not (tmp_path / "run").exists()


def test_recipes_that_contradict_themselves_or_the_chips(chips: Path, tmp_path: Path) -> None:
    both = ('augmentation.strip_classes=["a"]', 'augmentation.unmixed_classes=["a"]')
    with pytest.raises(
        RecipeError, match=r"(?s)loss.kl = inf is outside 0..1e.09.*a cannot be strip_classes and unmixed"
    ):
        load_recipe(None, ("loss.kl=inf", *both))
    with pytest.raises(RecipeError, match="loss.ce = inf is outside"):
        load_recipe(None, (f"loss.ce=1{400 * '0'}",))
    with pytest.raises(RecipeError, match="training and validation must each name at least one part"):
        load_recipe(None, ("split.file=x.csv", "split.training=[]"))
    names = sorted(path.name for path in chips.iterdir())
    mixing = AugmentationRecipe(mix_share=0.5, unmixed_classes=tuple(names))
    all_whole = dataclasses.replace(tiny_recipe(), augmentation=mixing)
    with pytest.raises(ChipError, match="has nothing to mix: all classes are among unmixed_classes"):
        train(chips, tmp_path / "run", all_whole)
    few = make_chips(tmp_path / "few", count=2)
    for path in list(few.iterdir())[1:]:
        shutil.rmtree(path)
    with pytest.raises(ChipError, match="striped is the only class"):
        train(few, tmp_path / "run", tiny_recipe())
    assert not (tmp_path / "run").exists()


def test_a_folder_that_cannot_be_made_is_no_wrong_call(chips: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(TrainingError, match=r"cannot make the folder .*file/run: .*; choose another one with -o"):
        train(chips, tmp_path / "file" / "run", tiny_recipe(), progress=Lines())


def test_damaged_runs_are_not_resumed(chips: Path, whole_run: Path, tmp_path: Path) -> None:
    shutil.copytree(whole_run, tmp_path / "run")
    (tmp_path / "run" / "student.safetensors").unlink()
    view = tmp_path / "run" / "teacher_outputs" / "view0.safetensors"
    write_tensors(view, {"logits": torch.zeros(2, 3), "features": torch.zeros(2, 512)})
    with pytest.raises(TrainingError, match="view0.safetensors has answers for other chips"):
        train(chips, tmp_path / "run", tiny_recipe(), resume=True)
    write_tensors(tmp_path / "run" / "teacher.safetensors", {"features.0.weight": torch.zeros(3)})
    with pytest.raises(TrainingError, match="teacher.safetensors has another network than mobilenet_v2"):
        train(chips, tmp_path / "run", tiny_recipe(), resume=True)
    for text in ("[]", '{"initial_weights": 3}', "nonsense"):
        (tmp_path / "run" / "run.json").write_text(text)
        with pytest.raises(TrainingError, match="is not the file of a run"):
            train(chips, tmp_path / "run", tiny_recipe(), resume=True)


def test_classes_must_agree(chips: Path, tmp_path: Path) -> None:
    legend = recipe_from_json({"legend": [{"name": "sea", "title": "Sea", "color_hint": "0000FF"}]})
    with pytest.raises(ChipError, match="no chips in.*sea"):
        train(chips, tmp_path / "run", legend, progress=Lines())
    other = make_chips(tmp_path / "other", count=2)
    (other / "dark").rename(other / "dusky")
    with pytest.raises(ChipError, match=r"different classes: .*/other has no dark; .*/two has no dusky; rename them"):
        train(chips, tmp_path / "run", tiny_recipe(), validation=other, progress=Lines())
    assert not (tmp_path / "run").exists()


def test_a_diverging_run_says_so(chips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("geokd.training.distillation.hard_loss", lambda logits, *_: logits.sum() * float("nan"))
    with pytest.raises(TrainingError, match=r"the loss of epoch 1 is nan; lower the learning rate \(0.0001\)"):
        train(chips, tmp_path / "run", tiny_recipe(), progress=Lines())


def test_other_initial_weights_are_not_resumed_from(chips: Path, whole_run: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(whole_run, folder)
    run = json.loads((folder / "run.json").read_text())
    run["initial_weights"]["student"] |= {"origin": "ImageNet", "sha256": "0" * 64}
    (folder / "run.json").write_text(json.dumps(run))
    with pytest.raises(CallError, match="student from ImageNet"):
        train(chips, folder, tiny_recipe(), resume=True, progress=Lines())


def test_a_run_continues_only_with_the_arithmetic_it_began_with(chips: Path, whole_run: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(whole_run, folder)
    run = json.loads((folder / "run.json").read_text())
    assert run["arithmetic"].keys() == {"device", "teacher", "student"}
    run["arithmetic"] = {"device": "abacus", "teacher": "beads", "student": "beads"}
    (folder / "run.json").write_text(json.dumps(run))
    finished = train(chips, folder, tiny_recipe(), resume=True, progress=Lines())
    assert finished.metrics.to_json() == run["metrics"]
    (folder / "run.json").write_text(json.dumps(run | {"complete": False}))
    with pytest.raises(
        CallError, match=r"another device or precision \(device: abacus, teacher: beads, student: beads\)"
    ):
        train(chips, folder, tiny_recipe(), resume=True, progress=Lines())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_all_of_a_training_runs_on_a_gpu(chips: Path, tmp_path: Path) -> None:
    document = tiny_recipe(int8_epochs=1).to_json()
    changes = ["augmentation.mix_share=0.7", "augmentation.mix_focus=0.2", "augmentation.contrast=0.5"]
    changes += ["augmentation.path_radiance=30", "augmentation.water_share=1", "augmentation.water_classes=['dark']"]
    changes += ["augmentation.strip_classes=['striped']", "loss.standardised_kl=1"]
    for change in changes:
        _set(document, change)
    recipe = recipe_from_json(document)
    with pytest.raises(KeyboardInterrupt):
        train(chips, tmp_path / "run", recipe, progress=Lines("student: epoch 1/"))
    train(chips, tmp_path / "run", recipe, resume=True, progress=Lines())
    run = json.loads((tmp_path / "run" / "run.json").read_text())
    assert (run["complete"], run["arithmetic"]["device"]) == (True, "cuda")


def test_outputs_among_the_chips_and_small_patches_are_refused(chips: Path, tmp_path: Path) -> None:
    for output in (chips, chips / "run", chips / "dark" / "run"):
        with pytest.raises(CallError, match="lies among the chips"):
            train(chips, output, tiny_recipe(), progress=Lines())
    small = tiny_recipe(architecture="vgg16").to_json()
    small["input"]["patch_px"] = 28
    with pytest.raises(RecipeError, match=r"28 px are too small for the teacher.* input.patch_px = 32 or more"):
        train(chips, tmp_path / "run", recipe_from_json(small), progress=Lines())
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "holiday.jpg").touch()
    with pytest.raises(CallError, match="exists already; name a new folder, or make room there"):
        train(chips, tmp_path / "run", tiny_recipe(), progress=Lines())


def test_a_full_disk_is_one_sentence(chips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("geokd.training.loop.log_epoch", full)
    with pytest.raises(TrainingError, match="No space left on device; fix this, then continue with --resume"):
        train(chips, tmp_path / "run", tiny_recipe(), progress=Lines())
    monkeypatch.undo()
    train(chips, tmp_path / "run", tiny_recipe(), resume=True, progress=Lines())


def test_a_teacher_may_be_taken_from_another_run(chips: Path, whole_run: Path, tmp_path: Path) -> None:
    recipe = tiny_recipe(learning_rate=0.002)
    borrowed = dataclasses.replace(recipe, teacher=dataclasses.replace(recipe.teacher, from_run=str(whole_run)))
    lines = Lines()
    train(chips, tmp_path / "run", borrowed, progress=lines)
    assert not any(line.startswith("teacher: epoch") for line in lines)
    for name in ("teacher.safetensors", "teacher_outputs/view3.safetensors"):
        assert (tmp_path / "run" / name).read_bytes() == (whole_run / name).read_bytes()
    metrics = [
        json.loads((folder / "run.json").read_text())["metrics"]["teacher"] for folder in (whole_run, tmp_path / "run")
    ]
    assert metrics[0]["accuracy"] == metrics[1]["accuracy"]
    assert metrics[1]["initial_weights"] == f"run {whole_run.name}"

    other = dataclasses.replace(borrowed, teacher=dataclasses.replace(borrowed.teacher, epochs=3))
    with pytest.raises(CallError, match=r"had another \[teacher\], input, legend, split or other chips"):
        train(chips, tmp_path / "other", other, progress=Lines())
    with pytest.raises(CallError, match="had another"):
        train(make_chips(tmp_path / "more", 13), tmp_path / "other", borrowed, progress=Lines())
    split = dataclasses.replace(borrowed, split=dataclasses.replace(borrowed.split, validation_share=0.2))
    with pytest.raises(CallError, match="had another"):
        train(chips, tmp_path / "other", split, progress=Lines())
    nowhere = dataclasses.replace(recipe, teacher=dataclasses.replace(recipe.teacher, from_run="nowhere"))
    with pytest.raises(CallError, match="there is no run to take a teacher from"):
        train(chips, tmp_path / "other", nowhere, progress=Lines())
    assert not (tmp_path / "other").exists()


@pytest.mark.slow
def test_weights_that_knew_the_validation_chips_are_named(chips: Path, tmp_path: Path) -> None:
    """A line of students: what the first was trained on is still known of the third."""
    alone = dataclasses.replace(Recipe().loss, kl=0.0, cosine=0.0)
    first = dataclasses.replace(tiny_recipe(epochs=1), loss=alone)
    lines = Lines()
    metrics = train(chips, tmp_path / "first", first, progress=lines).metrics.to_json()
    assert metrics["student"]["seen_before"] == 0
    assert not any("trained the weights" in line for line in lines)

    others = make_chips(tmp_path / "others", seed=1)
    second = tiny_recipe(epochs=1)
    second = dataclasses.replace(
        second,
        teacher=dataclasses.replace(
            second.teacher, architecture="mobilenet_v2", epochs=1, initial_weights=str(export(tmp_path / "first").fp32)
        ),
    )
    metrics = train(others, tmp_path / "second", second, progress=Lines()).metrics.to_json()
    assert metrics["student"]["seen_before"] == 0
    borrowed = dataclasses.replace(
        second, teacher=dataclasses.replace(second.teacher, from_run=str(tmp_path / "second"))
    )
    with pytest.raises(KeyboardInterrupt):
        train(others, tmp_path / "borrowed", borrowed, progress=Lines("student: epoch 1/"))
    (tmp_path / "second").rename(tmp_path / "elsewhere")
    train(others, tmp_path / "borrowed", borrowed, resume=True, progress=Lines())
    for path in export(tmp_path / "borrowed", teacher=True).paths.values():
        assert load_bundle(path).describe().seen_chips == 32  # 16 of 24, twice

    weights = str(tmp_path / "borrowed" / "student.safetensors")
    third = dataclasses.replace(tiny_recipe(epochs=1, initial_weights=weights), loss=alone, seed=5)
    lines = Lines()
    known = train(chips, tmp_path / "third", third, progress=lines).metrics.to_json()["student"]["seen_before"]
    assert 0 < known < 8  # another seed parts the chips otherwise
    assert [
        line for line in lines if line.startswith(f"warning: {known} of the 8 validation chips trained the weights")
    ]


@pytest.mark.slow
def test_a_teacher_of_the_students_own_kind(chips: Path, tmp_path: Path) -> None:
    document = tiny_recipe().to_json()
    changes = ["input.patch_px=16", "teacher.architecture=mobilenet_v2", "teacher.frozen_layers=2"]
    changes += ["teacher.initial_weights=eurosat-rgb-maps-fp32", "loss.teacher_views=mean"]
    for change in changes:  # 16 px: too few for VGG16
        _set(document, change)
    lines = Lines()
    run = train(chips, tmp_path / "run", recipe_from_json(document), progress=lines)
    assert [line for line in lines if line.startswith("teacher: mobilenet_v2")] == [
        "teacher: mobilenet_v2, initial weights: bundle eurosat-rgb-maps-fp32; its first 2 layers are frozen"
    ]
    assert run.metrics.to_json()["teacher"]["n"] == run.metrics.to_json()["student"]["n"] == 8
    assert load_file(run.folder / "teacher_outputs" / "view7.safetensors")["features"].shape == (16, 1280)
    before = read_weights(load_bundle(resolve_model("eurosat-rgb-maps-fp32")))
    after = load_file(run.folder / "teacher.safetensors")
    same = {name for name, tensor in before.items() if np.array_equal(tensor.numpy(), after[name])}
    frozen = {name for name in before if name.startswith(("features.0.", "features.1."))}
    assert any("running_mean" in name for name in frozen)
    assert same == frozen  # weights and statistics alike
    made = export(run.folder, teacher=True)
    assert made.teacher_fp32 is not None
    bundle = load_bundle(made.teacher_fp32)
    assert (bundle.name, bundle.architecture) == ("tiny-teacher", "mobilenet_v2")
    np.testing.assert_array_equal(run_graph(bundle.graph, bundle.golden.pixels), bundle.golden.logits)


def test_a_run_with_all_variation_and_a_split_by_a_list(tmp_path: Path) -> None:
    chips = make_chips(tmp_path / "chips")
    lines = [f"{kind}/{i}.png,{'far' if i % 3 == 0 else 'near'}" for kind in ("dark", "striped") for i in range(12)]
    (tmp_path / "parts.csv").write_text("file,part\n" + "\n".join(lines))
    changes = [f"split.file='{tmp_path}/parts.csv'", "split.training=['near']", "split.validation=['far']"]
    changes += ["student.stem_stride=1", "loss.teacher_views=mean", "augmentation.mix_share=0.7"]
    changes += ["augmentation.path_radiance=30", "augmentation.water_share=1", "augmentation.water_classes=['dark']"]
    document = tiny_recipe().to_json()
    for change in changes:
        _set(document, change)
    result = train(chips, tmp_path / "run", recipe_from_json(document), progress=Lines())
    run = json.loads((result.folder / "run.json").read_text())
    assert (
        run["data"]["split"]
        == "by parts.csv, near for training, far for validation: 16 training and 8 validation chips"
    )
    assert run["familiarity"]["chips"] == 8 * 64
    assert 0 < run["familiarity"]["confidence_limit"] <= 1
