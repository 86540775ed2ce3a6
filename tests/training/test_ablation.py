"""Ablations of tiny students: what is compared with what, and that nothing is done twice."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

pytest.importorskip("torch", reason="needs the extra geokd[train]")

from PIL import Image
from torch import Generator

from geokd.cli import main
from geokd.errors import CallError
from geokd.training import loop
from geokd.training.ablation.ablate import AblationResult, ablate
from geokd.training.ablation.options import AblationOptions
from geokd.training.checkpoint import read_tensors
from geokd.training.data.batches import Batch, ChipSet, draw_batches
from geokd.training.export import export
from geokd.training.recipe import Recipe
from tests.training.test_run import Lines, make_chips, tiny_recipe

OPTIONS = AblationOptions(seeds=2, losses=("ce", "ce+kl+cosine"), fractions=(0.5, 1.0), unlabelled=True)


@pytest.fixture(scope="module")
def chips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_chips(tmp_path_factory.mktemp("chips") / "two")


@pytest.fixture(scope="module")
def whole(chips: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[AblationResult, list[str]]:
    lines = Lines()
    result = ablate(chips, tmp_path_factory.mktemp("ablation") / "out", small(), OPTIONS, progress=lines)
    return result, lines


def small(epochs: int = 2) -> Recipe:
    """A tiny recipe whose teacher is as small as the student: runs of many teachers are short."""
    recipe = tiny_recipe(epochs=epochs)
    return replace(recipe, teacher=replace(recipe.teacher, architecture="mobilenet_v2"))


def run_of(result: AblationResult, setting: str, loss: str, seed: int) -> dict[str, object]:
    document: dict[str, object] = json.loads((result.folder / setting / loss / f"seed-{seed}" / "run.json").read_text())
    return document


@pytest.mark.slow
def test_rows_hold_every_setting_against_the_first_loss(whole: tuple[AblationResult, list[str]]) -> None:
    result, _ = whole
    assert [(row.fraction, row.unlabelled, row.loss) for row in result.rows] == [
        (0.5, False, "ce"),
        (0.5, False, "ce+kl+cosine"),
        (0.5, True, "ce"),
        (0.5, True, "ce+kl+cosine"),
        (1.0, False, "ce"),
        (1.0, False, "ce+kl+cosine"),
    ]
    assert [row.labelled_chips for row in result.rows] == [8, 8, 8, 8, 16, 16]
    assert [row.steps for row in result.rows] == [3, 3, 4, 4, 4, 4]  # all: 2 epochs of 2; half: sqrt(0.5) of these
    assert [row.epochs for row in result.rows] == [3, 3, 4, 2, 2, 2]
    assert [row.weights["kl"] for row in result.rows] == [0, 1, 0, 1, 0, 1]
    assert [row.difference is not None for row in result.rows] == [False, True, False, True, False, True]
    last = result.rows[-1]
    pairs = np.subtract(last.accuracies, result.rows[-2].accuracies)
    assert last.difference is not None
    assert last.difference.difference == pytest.approx(pairs.mean())
    assert last.mcnemar is not None
    assert (last.mcnemar.won - last.mcnemar.lost) / (2 * last.n) == pytest.approx(pairs.mean())
    assert json.loads((result.folder / "ablation.json").read_text())["rows"] == [row.to_json() for row in result.rows]
    with Image.open(result.folder / "ablation.png") as picture:
        assert picture.width > 500


@pytest.mark.slow
def test_runs_of_a_seed_differ_in_the_loss_alone(whole: tuple[AblationResult, list[str]]) -> None:
    result, _ = whole
    runs = {
        (loss, seed): run_of(result, "labels-100-percent", loss, seed) for loss in OPTIONS.losses for seed in (1, 2)
    }
    starts = {key: run["initial_weights"]["student"]["sha256"] for key, run in runs.items()}  # type: ignore[index]
    assert starts["ce", 1] == starts["ce+kl+cosine", 1] != starts["ce", 2] == starts["ce+kl+cosine", 2]
    assert len({json.dumps(run["data"]) for run in runs.values()}) == 1
    first, other = (runs[loss, 1]["recipe"] for loss in OPTIONS.losses)
    assert {k for k in first if first[k] != other[k]} == {"loss", "teacher"}  # type: ignore[attr-defined,index]
    assert other["teacher"]["from_run"].endswith("labels-100-percent/teacher")  # type: ignore[index]


@pytest.mark.slow
def test_runs_of_a_seed_see_the_same_chips_in_the_same_order(
    chips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[list[int], list[int]]] = []
    drawn = draw_batches

    def recorded(chips: ChipSet, batch_size: int, steps: int, generator: Generator) -> Iterator[Batch]:
        for batch in drawn(chips, batch_size, steps, generator):
            if (len(chips.labels), batch_size) == (16, 8):  # the student's; the teacher's are of 4
                seen.append((batch.chips.tolist(), batch.views.tolist()))
            yield batch

    monkeypatch.setattr(loop, "draw_batches", recorded)
    recipe = replace(small(), teacher=replace(small().teacher, batch_size=4))
    ablate(chips, tmp_path / "out", recipe, AblationOptions(seeds=2, losses=("ce", "ce+kl+cosine")), progress=Lines())
    assert len(seen) == 2 * 2 * 2 * 2  # losses, seeds, epochs, steps
    assert seen[:8] == seen[8:]
    assert seen[:4] != seen[4:8]  # another seed, another order


@pytest.mark.slow
def test_each_teacher_is_trained_once_on_labelled_chips(whole: tuple[AblationResult, list[str]]) -> None:
    result, lines = whole
    assert sum(line.startswith("teacher: epoch 1/") for line in lines) == 2  # half and all of the labels
    answers = result.folder / "labels-50-percent-and-unlabelled" / "teacher" / "teacher_outputs" / "view0.safetensors"
    tensors, _ = read_tensors(answers)
    assert len(tensors["logits"]) == 16  # of the chips without labels too
    pair = ("labels-50-percent", "labels-50-percent-and-unlabelled")
    teachers = [(result.folder / name / "teacher" / "teacher.safetensors").read_bytes() for name in pair]
    assert teachers[0] == teachers[1]
    with pytest.raises(CallError, match="is the teacher of an ablation and has no student; give the folder of one"):
        export(result.folder / pair[0] / "teacher")


@pytest.mark.slow
def test_an_interrupted_ablation_ends_as_it_would_have(
    chips: Path, whole: tuple[AblationResult, list[str]], tmp_path: Path
) -> None:
    with pytest.raises(KeyboardInterrupt):
        ablate(chips, tmp_path / "out", small(), OPTIONS, progress=Lines("teacher: epoch 1/"))
    with pytest.raises(CallError, match="exists already"):
        ablate(chips, tmp_path / "out", small(), OPTIONS, progress=Lines())
    with pytest.raises(KeyboardInterrupt):
        last = Lines("labels-50-percent-and-unlabelled, ce+kl+cosine (ce 1, kl 1, cosine 1), seed 2")
        ablate(chips, tmp_path / "out", small(), OPTIONS, resume=True, progress=last)
    assert ablate(chips, tmp_path / "out", small(), OPTIONS, resume=True, progress=Lines()).rows == whole[0].rows
    again = Lines()
    (tmp_path / "out").rename(tmp_path / "moved")
    ablate(chips, tmp_path / "moved", small(), OPTIONS, resume=True, progress=again)
    assert not any(": epoch " in line for line in again)  # nothing is trained twice


def test_steps_that_whole_epochs_cannot_make_alike_are_reported(chips: Path, tmp_path: Path) -> None:
    recipe = small(epochs=1)
    recipe = replace(recipe, student=replace(recipe.student, batch_size=4))
    lines = Lines()
    options = AblationOptions(seeds=1, losses=("ce",), fractions=(0.8,), unlabelled=True)
    rows = ablate(chips, tmp_path / "out", recipe, options, progress=lines).rows
    assert rows[1].steps == 3
    assert any("with labels only there are 3 steps, with the other chips 4" in line for line in lines)
    assert any("after 3 steps the running mean of the weights (ema_decay) still has 12 %" in line for line in lines)


@pytest.mark.slow
def test_a_finished_ablation_takes_more_seeds(chips: Path, tmp_path: Path) -> None:
    one = AblationOptions(seeds=1, losses=("ce",))
    assert ablate(chips, tmp_path / "out", small(), one, progress=Lines()).rows[0].interval_95 is None
    two = AblationOptions(seeds=2, losses=("ce", "ce+standardised_kl"))
    lines = Lines()
    rows = ablate(chips, tmp_path / "out", small(), two, resume=True, progress=lines).rows
    assert [len(row.accuracies) for row in rows] == [2, 2]
    assert sum(line.startswith("student: epoch 1/") for line in lines) == 3
    renamed = AblationOptions(seeds=2, losses=("ce", "standardised_kl+ce"))
    again = Lines()
    assert ablate(chips, tmp_path / "out", small(), renamed, resume=True, progress=again).rows == rows
    assert not any(": epoch " in line for line in again)  # terms in another order are no other loss
    wrong = AblationOptions(seeds=1, losses=("ce+standardised_kl", "ce"))
    with pytest.raises(CallError, match=r"with the loss ce, not ce\+standardised_kl") as refused:
        ablate(chips, tmp_path / "out", small(), wrong, resume=True, progress=Lines())
    assert "has 2 seeds" in str(refused.value)
    fewer = AblationOptions(seeds=1, losses=("ce",), fractions=(0.5,))
    more = ablate(chips, tmp_path / "out", small(), fewer, resume=True, progress=Lines()).rows
    assert more[1:] == rows  # what was not asked for again stays
    assert (more[0].fraction, len(more[0].accuracies)) == (0.5, 1)
    with pytest.raises(CallError, match=r"had another recipe"):
        ablate(chips, tmp_path / "out", small(epochs=3), two, resume=True, progress=Lines())
    run = tmp_path / "out" / "labels-100-percent" / "ce" / "seed-1"
    with pytest.raises(CallError, match="no ablation to resume"):
        ablate(chips, run, small(), one, resume=True, progress=Lines())


def test_recipes_that_an_ablation_would_change_are_refused(chips: Path, tmp_path: Path) -> None:
    call = ["ablate", str(chips), "-o", str(tmp_path / "out"), "--losses", "ce,ce+kl", "--set", "loss.cosine=0"]
    call += [
        "--set",
        "seed=2147483647",
        "--set",
        "split.labelled_share=0.5",
        "--set",
        "loss.teacher_on=unlabelled",
        "--set",
        "teacher.epochs=0",
    ]
    done = CliRunner().invoke(main, call)
    assert done.exit_code == 2, done.output
    for part in ("split.labelled_share", "loss.teacher_on", "teacher.epochs", "2147483649, above 2147483647"):
        assert part in done.stderr, part
    assert not (tmp_path / "out").exists()


def test_wrong_calls_name_all_that_is_wrong(chips: Path, tmp_path: Path) -> None:
    call = ["ablate", str(chips), "-o", str(tmp_path / "out"), "--losses", "ce+k1,kl+kl", "--fractions", "0,2"]
    done = CliRunner().invoke(main, [*call, "--seeds", "0", "--unlabelled"])
    assert done.exit_code == 2
    for part in ("--seeds 0", "'k1'", "'kl+kl' names a term twice", "--fractions 0 ", "--fractions 2 "):
        assert part in done.stderr, part
    assert not (tmp_path / "out").exists()
    alike = CliRunner().invoke(main, [*call[:4], "--fractions", "0.3333333,0.33333334"])
    assert (alike.exit_code, "differ in six digits" in alike.stderr) == (2, True)
    no_numbers = CliRunner().invoke(main, [*call[:4], "--fractions", "half"])
    assert (no_numbers.exit_code, "is not a list of numbers" in no_numbers.stderr) == (2, True)
