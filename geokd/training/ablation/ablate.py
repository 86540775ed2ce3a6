"""The same student trained with several losses and fractions of labels, to see whether distillation helps.

Runs of one seed share initial weights, order of chips, views and augmentation, and all share one teacher and one draw
of labels for each fraction; so they differ only in the loss, and are compared in pairs. The intervals do not include
the effect of another draw or another teacher.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geokd.errors import CallError, TrainingError, one_message
from geokd.statistics.comparison import mcnemar, mean_interval, paired_difference
from geokd.system.commit import Claim
from geokd.system.documents import parse_json, read_record, read_text
from geokd.system.progress import Progress, to_stderr
from geokd.training.ablation.conclusions import conclusions
from geokd.training.ablation.options import AblationOptions
from geokd.training.ablation.rows import AblationRow
from geokd.training.checkpoint import read_tensors
from geokd.training.curves import draw_ablation
from geokd.training.data.batches import steps_an_epoch
from geokd.training.data.reading import TrainingData, read_training_data, split_seed, with_labels
from geokd.training.figures import Metrics
from geokd.training.recipe import LOSS_TERMS, MOST_SEED, Recipe, StudentRecipe, TeacherRecipe
from geokd.training.recipe_file import load_recipe
from geokd.training.run_folder import check_output, is_begun, write_json
from geokd.training.run_record import MadeBy
from geokd.training.train import train_on


@dataclass(frozen=True)
class AblationResult:
    """The result of an ablation.

    Parameters
    ----------
    folder : Path
        With `ablation.json`, `ablation.png`, and a folder for each run.
    rows : tuple of AblationRow
        Sorted by fraction.
    conclusions : tuple of str
        Their interpretation, one sentence for each fraction of labels; see
        :func:`geokd.training.ablation.conclusions.conclusions`.
    """

    folder: Path
    rows: tuple[AblationRow, ...]
    conclusions: tuple[str, ...]


@dataclass(frozen=True)
class _Setting:
    """A fraction of labels, with or without the other chips; its runs share data and teacher."""

    fraction: float
    unlabelled: bool

    @property
    def name(self) -> str:
        return f"labels-{100 * self.fraction:g}-percent{'-and-unlabelled' * self.unlabelled}"

    def chips(self, base: Recipe, data: TrainingData, progress: Progress) -> tuple[Recipe, TrainingData]:
        """Keep the labels of the setting; return the chips and the recipe.

        A fraction f of the labels is used in sqrt(f) times the steps that all of them get, by teacher and student: each
        chip is seen more often, and still fewer steps are taken. With the other chips, or in comparison with students
        that see them, the student takes as many steps as with all labels.
        """
        split = replace(
            base.split,
            seed=split_seed(base),
            labelled_share=self.fraction,
            unlabelled="teacher" if self.unlabelled else "leave out",
        )
        recipe = replace(base, split=split)
        taken = with_labels(data, recipe, progress) if self.fraction < 1 else data
        share, count = self.fraction**0.5, len(data.training.labels)
        teacher_epochs = _epochs(base.teacher, share, len(taken.labelled.labels), count)
        student_epochs = _epochs(base.student, 1 if self.unlabelled else share, len(taken.training.labels), count)
        teacher, student = replace(base.teacher, epochs=teacher_epochs), replace(base.student, epochs=student_epochs)
        return replace(recipe, teacher=teacher, student=student), taken


def ablate(
    chips: str | Path,
    output: str | Path,
    recipe: Recipe | str | Path | None = None,
    options: AblationOptions | None = None,
    *,
    validation: str | Path | None = None,
    resume: bool = False,
    progress: Progress = to_stderr,
) -> AblationResult:
    """Train students with several losses, seeds and fractions of labels, and compare them on the validation chips.

    Validation chips select nothing: every run takes all its epochs, and its last student is used.

    Parameters
    ----------
    chips, recipe, validation, progress
        As for :func:`geokd.training.train.train`.
    output : path
        Folder for all runs; must be new or empty, unless `resume`.
    options : AblationOptions, optional
    resume : bool
        Continue the ablation in `output`, also with other losses, fractions or more seeds, but the same first loss;
        finished runs are kept, and so are rows of losses and fractions that are no longer requested.

    Returns
    -------
    AblationResult

    Raises
    ------
    CallError, RecipeError, ChipError, TrainingError
    """
    wanted, folder = options or AblationOptions(), Path(output)
    wanted = replace(wanted, losses=tuple(_in_order(loss) for loss in wanted.losses))
    base = recipe if isinstance(recipe, Recipe) else load_recipe(recipe)
    _check(base, wanted)
    check_output(folder, chips, resume=resume)
    if resume and ((folder / "run.json").is_file() or not is_begun(folder)):
        raise CallError(f"there is no ablation to resume in {folder}; start it without --resume, in a new folder")
    every = replace(base, split=replace(base.split, labelled_share=1.0, unlabelled="leave out"))
    data = read_training_data(chips, every, validation, progress)
    facts = {"recipe": base.to_json(), "data": data.to_json()}
    with Claim.take(folder, ["ablation.json"]):
        known = {_key(row): row for row in _rows_before(folder / "ablation.json", facts, wanted)}
        for setting in _settings(wanted):
            known |= {_key(row): row for row in _rows_of(setting, base, data, folder, wanted, progress)}
            rows = sorted(known.values(), key=lambda row: (row.fraction, row.unlabelled))
            shown = conclusions(rows)
            found = {"rows": [row.to_json() for row in rows], "conclusions": shown}
            try:
                write_json(folder / "ablation.json", facts | found | MadeBy.now().to_json())
                draw_ablation(rows, folder / "ablation.png", title=base.name)
            except OSError as error:
                raise TrainingError(
                    f"cannot write into {folder}: {error}; fix this, then continue with --resume"
                ) from error
    return AblationResult(folder, tuple(rows), tuple(shown))


def _check(base: Recipe, wanted: AblationOptions) -> None:
    """Refuse settings that cannot be run, before anything is read or written."""
    problems = []
    if base.teacher.from_run is not None:
        problems.append("the recipe takes its teacher from a run (teacher.from_run): an ablation trains its own")
    if base.teacher.from_bundle is not None:
        problems.append("the recipe continues with a bundle (teacher.from_bundle): an ablation trains its own teacher")
    if base.split.labelled_share != 1 or base.split.unlabelled != "leave out":
        problems.append(
            "the recipe leaves labels out (split.labelled_share, split.unlabelled): use --fractions and"
            " --unlabelled instead"
        )
    if base.loss.teacher_on != "all":
        problems.append("the recipe uses the teacher only for chips without labels (loss.teacher_on): set all")
    last = base.seed + wanted.seeds - 1
    if last > MOST_SEED:
        problems.append(f"seeds count up from the recipe's, {base.seed}, to {last}, above {MOST_SEED}: lower it")
    if any(_taught(loss) for loss in wanted.losses) and base.teacher.epochs == 0:
        problems.append("the recipe gives the teacher no epochs (teacher.epochs), and some of the losses need one")
    if problems:
        raise CallError(one_message(problems))


def _key(row: AblationRow) -> tuple[float, bool, str]:
    return row.fraction, row.unlabelled, row.loss


def _rows_before(path: Path, facts: dict[str, Any], wanted: AblationOptions) -> list[AblationRow]:
    """Rows of an ablation that is continued; empty if it has none yet."""
    if not path.is_file():
        return []
    try:
        before = parse_json(read_text(path))
        differ = [key for key, value in facts.items() if before[key] != value]
        rows = [read_record(row, AblationRow) for row in before["rows"]]
        problems = _contradictions(rows, wanted)
    except (ValueError, KeyError, TypeError) as error:
        raise TrainingError(f"{path} is not a file of an ablation ({error}); start a new one") from error
    if differ:
        problems = [f"had another {', '.join(differ)}; resume with the same, or start a new one"]
    if problems:
        raise CallError(one_message([f"the ablation in {path.parent} {problem}" for problem in problems]))
    return rows


def _contradictions(rows: list[AblationRow], wanted: AblationOptions) -> list[str]:
    """Yield differences between the rows of an ablation and the requested settings that cannot be combined."""
    problems = []
    references = {row.loss for row in rows if row.difference is None}
    if references - {wanted.losses[0]}:
        problems.append(
            f"compares with the loss {', '.join(sorted(references))}, not {wanted.losses[0]}; put that first in"
            " --losses, or start a new one"
        )
    again = [row for row in rows if row.loss in wanted.losses and row.fraction in wanted.fractions]
    seeds = max((len(row.accuracies) for row in again), default=0)
    if wanted.seeds < seeds:
        problems.append(
            f"has {seeds} seeds of some of these losses, and --seeds is {wanted.seeds}; give as many or more"
        )
    return problems


def _settings(wanted: AblationOptions) -> Iterator[_Setting]:
    for fraction in sorted(wanted.fractions):
        yield _Setting(fraction, unlabelled=False)
        if wanted.unlabelled and fraction < 1:
            yield _Setting(fraction, unlabelled=True)


def _rows_of(
    setting: _Setting, base: Recipe, data: TrainingData, folder: Path, wanted: AblationOptions, progress: Progress
) -> Iterator[AblationRow]:
    """Make the runs of one setting, and compare them."""
    here, first = folder / setting.name, None
    recipe, taken = setting.chips(base, data, progress)
    taught = recipe
    if any(_taught(loss) for loss in wanted.losses):
        teacher = _teacher(setting, recipe, taken, folder, progress)
        taught = replace(recipe, teacher=replace(recipe.teacher, from_run=str(teacher)))
    for loss in wanted.losses:
        if _taught(loss):
            one, shown = taught, taken
        elif setting.unlabelled:
            one, shown = _alone(setting, base, data, _steps(recipe, taken), progress)
        else:
            one, shown = recipe, taken
        weights = _weights(base, loss)
        one = replace(one, loss=replace(one.loss, **weights))
        metrics = [_run(shown, here / loss, replace(one, seed=base.seed + i), progress) for i in range(wanted.seeds)]
        row = AblationRow(
            loss=loss,
            weights=weights,
            fraction=setting.fraction,
            unlabelled=setting.unlabelled,
            labelled_chips=len(taken.labelled.labels),
            epochs=one.student.epochs,
            steps=_steps(one, shown),
            **_over_seeds(metrics),
        )
        correct = _correct(here / loss, base.seed, wanted.seeds)
        if first is None:
            first = correct
        else:
            difference = paired_difference(row.accuracies, first.mean(axis=1).tolist())
            row = row.evolve(difference=difference, mcnemar=mcnemar(correct.ravel(), first.ravel()))
        yield row


def _alone(
    setting: _Setting, base: Recipe, data: TrainingData, steps: int, progress: Progress
) -> tuple[Recipe, TrainingData]:
    """Recipe and chips for labels only, for a student that takes as many steps as those that see the other chips."""
    recipe, taken = replace(setting, unlabelled=False).chips(base, data, progress)
    epochs = _epochs(base.student, 1, len(taken.training.labels), len(data.training.labels))
    recipe = replace(recipe, student=replace(recipe.student, epochs=epochs))
    own = _steps(recipe, taken)
    if abs(own - steps) > 0.05 * steps:
        progress(f"with labels only there are {own} steps, with the other chips {steps}: more epochs bring them closer")
    return recipe, taken


def _run(data: TrainingData, runs: Path, recipe: Recipe, progress: Progress) -> Metrics:
    """Train one student, or read a finished one; return the figures of student and teacher."""
    run = runs / f"seed-{recipe.seed}"
    terms = ", ".join(f"{term} {getattr(recipe.loss, term):g}" for term in LOSS_TERMS if getattr(recipe.loss, term))
    progress(f"{runs.parent.name}, {runs.name} ({terms}), seed {recipe.seed}: {run}")
    return train_on(data, run, recipe, resume=(run / "run.json").is_file(), progress=progress).metrics


def _over_seeds(metrics: list[Metrics]) -> dict[str, Any]:
    """Figures of the runs of one loss together, as fields of their row."""
    students = [of.student for of in metrics if of.student is not None]
    accuracies = tuple(student.accuracy for student in students)
    mean, interval = mean_interval(accuracies)
    teacher = metrics[0].teacher
    return {
        "teacher": None if teacher is None else teacher.accuracy,
        "n": students[0].n,
        "seen_before": max(student.seen_before or 0 for student in students),
        "accuracies": accuracies,
        "accuracy": mean,
        "interval_95": None if interval is None else (max(0.0, interval[0]), min(1.0, interval[1])),
        "ece": float(np.mean([student.ece for student in students])),
    }


def _teacher(setting: _Setting, recipe: Recipe, data: TrainingData, folder: Path, progress: Progress) -> Path:
    """Train the teacher of a setting, or read a finished one; chips without labels are only for its answers."""
    run = (folder / setting.name / "teacher").absolute()
    recipe = replace(recipe, loss=replace(recipe.loss, kl=recipe.loss.kl or 1.0))  # so that there is one
    if setting.unlabelled:
        labelled = folder / replace(setting, unlabelled=False).name / "teacher"
        recipe = replace(recipe, teacher=replace(recipe.teacher, from_run=str(labelled.absolute())))
    train_on(data, run, recipe, resume=(run / "run.json").is_file(), teacher_only=True, progress=progress)
    return run


def _epochs(recipe: TeacherRecipe | StudentRecipe, share: float, chips: int, all_chips: int) -> int:
    """Epochs over `chips` that take `share` of the recipe's steps over all chips."""
    steps, few = (steps_an_epoch(count, recipe.batch_size) for count in (all_chips, chips))
    return max(min(1, recipe.epochs), round(share * recipe.epochs * steps / few))


def _steps(recipe: Recipe, data: TrainingData) -> int:
    """Count the steps that a student takes."""
    return recipe.student.epochs * steps_an_epoch(len(data.training.labels), recipe.student.batch_size)


def _in_order(loss: str) -> str:
    """Name a loss by its terms in a fixed order."""
    return "+".join(term for term in LOSS_TERMS if term in loss.split("+"))


def _taught(loss: str) -> bool:
    """Whether the loss uses a teacher."""
    return loss != "ce"


def _weights(recipe: Recipe, loss: str) -> dict[str, Any]:
    """Weight of each term: the recipe's, or 1 where it has 0."""
    return {term: (getattr(recipe.loss, term) or 1.0) * (term in loss.split("+")) for term in LOSS_TERMS}


def _correct(runs: Path, first_seed: int, seeds: int) -> NDArray[np.bool_]:
    """Which validation chips each run's student classified correctly, (seeds, N)."""
    right = []
    for seed in range(first_seed, first_seed + seeds):
        found, _ = read_tensors(runs / f"seed-{seed}" / "student_validation.safetensors")
        right.append((found["logits"].argmax(1) == found["labels"]).numpy())
    return np.stack(right)
