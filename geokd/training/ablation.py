"""The same student taught by one loss after the other, to see whether distillation pays, and with how many labels.

Runs of one seed share initial weights, order of chips, views and variation, and all share one teacher for each
fraction of labels; so they differ in the loss alone, and are compared in pairs.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geokd.assessment.comparison import mcnemar, mean_interval, paired_difference
from geokd.errors import CallError, one_message
from geokd.recipe import LOSS_TERMS, Recipe, load_recipe
from geokd.training.checkpoint import read_tensors
from geokd.training.curves import draw_ablation
from geokd.training.data import TrainingData, read_training_data, split_seed, with_labels
from geokd.training.run_folder import write_json
from geokd.training.train import Say, to_stderr, train_on

LOSSES = ("ce", "ce+kl", "ce+cosine", "ce+kl+cosine", "ce+standardised_kl")


@dataclass(frozen=True)
class AblationOptions:
    """What is set against what.

    Parameters
    ----------
    seeds : int
        Runs of each kind; their seeds count up from the recipe's.
    losses : tuple of str
        Terms joined by `+`, weighted as the recipe has them, or by 1 where it has 0. The first is what the others are
        held against.
    fractions : tuple of float
        Fractions of the training chips whose labels are used, each part of the larger ones.
    unlabelled : bool
        For fractions below 1, also show students the other chips with the teacher's answers.

    Raises
    ------
    CallError
        If an option is out of range: all of them in one message.
    """

    seeds: int = 3
    losses: tuple[str, ...] = LOSSES
    fractions: tuple[float, ...] = (1.0,)
    unlabelled: bool = False

    def __post_init__(self) -> None:
        problems = []
        if self.seeds < 1:
            problems.append(f"--seeds {self.seeds} is below 1")
        for loss in self.losses:
            terms = loss.split("+")
            unknown = [term for term in terms if term not in LOSS_TERMS]
            if unknown or len(set(terms)) < len(terms):
                what = f"has no term {' or '.join(map(repr, unknown))}" if unknown else "names a term twice"
                problems.append(f"the loss {loss!r} {what}; join some of {', '.join(LOSS_TERMS)} by +")
        if len({frozenset(loss.split("+")) for loss in self.losses}) < max(1, len(self.losses)):
            problems.append(f"the losses {', '.join(self.losses) or '(none)'} are not one or more different ones")
        problems += [f"--fractions {f:g} is not above 0 and at most 1" for f in self.fractions if not 0 < f <= 1]
        if not self.fractions or len(set(self.fractions)) < len(self.fractions):
            problems.append(f"--fractions {self.fractions} are not one or more different numbers")
        if self.unlabelled and min(self.fractions, default=1.0) >= 1:
            problems.append("--unlabelled needs a fraction below 1: else there are no chips without labels")
        if problems:
            raise CallError(one_message(problems))


@dataclass(frozen=True)
class AblationResult:
    """What came of an ablation.

    Parameters
    ----------
    folder : Path
        With `ablation.json`, `ablation.png`, and a folder for each run.
    rows : list of dict
        One a loss and fraction of labels; see :func:`ablate`.
    """

    folder: Path
    rows: list[dict[str, Any]]


@dataclass(frozen=True)
class _Setting:
    """A fraction of labels, with or without the other chips; its runs share data and teacher."""

    fraction: float
    unlabelled: bool

    @property
    def name(self) -> str:
        return f"labels-{100 * self.fraction:g}-percent{'-and-unlabelled' * self.unlabelled}"

    def recipe(self, base: Recipe) -> Recipe:
        """Change the recipe's labels and epochs: a fraction f of the labels gets 1 / sqrt(f) times the epochs.

        So a chip is seen more often where there are few, and still fewer steps are taken than with all of them.
        """
        more = self.fraction**-0.5
        split = replace(
            base.split,
            seed=split_seed(base),
            labelled_share=self.fraction,
            unlabelled="teacher" if self.unlabelled else "leave out",
        )
        return replace(
            base,
            split=split,
            teacher=replace(base.teacher, epochs=round(base.teacher.epochs * more)),
            student=replace(base.student, epochs=round(base.student.epochs * (1 if self.unlabelled else more))),
        )


def ablate(
    chips: str | Path,
    output: str | Path,
    recipe: Recipe | str | Path | None = None,
    options: AblationOptions | None = None,
    *,
    validation: str | Path | None = None,
    resume: bool = False,
    say: Say = to_stderr,
) -> AblationResult:
    """Train students by several losses, seeds and fractions of labels, and compare them on the validation chips.

    No chip for validation chooses anything: every run takes all its epochs, and its last student counts.

    Parameters
    ----------
    chips, recipe, validation, say
        As :func:`geokd.training.train.train`.
    output : path
        Folder for all runs; must be new or empty, unless `resume`.
    options : AblationOptions, optional
    resume : bool
        Go on with the ablation in `output`, perhaps with more losses, fractions or seeds; finished runs are kept.

    Returns
    -------
    AblationResult
        Its rows hold loss, fraction, unlabelled, labelled_chips, epochs, teacher (accuracy, None without one), n,
        accuracies (by seed), accuracy (mean), interval_95 (over seeds, cut off at 0 and 1, None for one), ece (mean),
        and, but for the first loss, difference (to the first loss at this fraction, in pairs) and mcnemar (on the chips
        of all seeds).

    Raises
    ------
    CallError, RecipeError, ChipError, TrainingError
    """
    wanted, folder = options or AblationOptions(), Path(output)
    base = recipe if isinstance(recipe, Recipe) else load_recipe(recipe)
    _check(base, folder, wanted, resume=resume)
    every = replace(base, split=replace(base.split, labelled_share=1.0, unlabelled="leave out"))
    data = read_training_data(chips, every, validation, say)
    rows: list[dict[str, Any]] = []
    for setting in _settings(wanted):
        rows += _rows_of(setting, base, data, folder, wanted, say)
        write_json(folder / "ablation.json", {"recipe": base.to_json(), "data": data.to_json(), "rows": rows})
        draw_ablation(rows, folder / "ablation.png", title=base.name)
    return AblationResult(folder, rows)


def ablation_table(rows: list[dict[str, Any]]) -> str:
    """Lay rows of :func:`ablate` out as a Markdown table."""
    head = (
        "labels",
        "loss",
        "accuracy, mean (95 % over seeds)",
        "seeds",
        "against the first, points",
        "p",
        "McNemar: won, lost",
    )
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for row in rows:
        mean, test, counts = f"{100 * row['accuracy']:.2f} %", row.get("difference"), row.get("mcnemar")
        labels = f"{row['labelled_chips']}{' and the others without' * row['unlabelled']}"
        cells = [labels, row["loss"], mean + _interval(row["interval_95"], ".2f"), str(len(row["accuracies"]))]
        cells.append("" if test is None else f"{100 * test['difference']:+.2f}{_interval(test['interval_95'], '+.2f')}")
        cells.append("" if test is None or test["p"] is None else f"{test['p']:.2g}")
        cells.append("" if counts is None else f"won {counts['won']}, lost {counts['lost']}, p {counts['p']:.2g}")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _interval(bounds: list[float] | None, form: str) -> str:
    return "" if bounds is None else f" ({100 * bounds[0]:{form}} to {100 * bounds[1]:{form}})"


def _check(base: Recipe, folder: Path, wanted: AblationOptions, *, resume: bool) -> None:
    """Refuse what cannot be run, before anything is read or written."""
    problems = []
    if base.teacher.from_run is not None:
        problems.append("the recipe takes its teacher from a run (teacher.from_run): an ablation trains its own")
    if base.teacher.from_bundle is not None:
        problems.append("the recipe goes on with a bundle (teacher.from_bundle): an ablation trains its own teacher")
    taught = any(set(loss.split("+")) != {"ce"} for loss in wanted.losses)
    if taught and base.teacher.epochs == 0:
        problems.append("the recipe gives the teacher no epochs (teacher.epochs), and some of the losses need one")
    if not resume and folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        problems.append(f"the output {folder} exists already; name a new folder, or go on with --resume")
    if problems:
        raise CallError(one_message(problems))


def _settings(wanted: AblationOptions) -> Iterator[_Setting]:
    for fraction in sorted(wanted.fractions):
        yield _Setting(fraction, unlabelled=False)
        if wanted.unlabelled and fraction < 1:
            yield _Setting(fraction, unlabelled=True)


def _rows_of(
    setting: _Setting, base: Recipe, data: TrainingData, folder: Path, wanted: AblationOptions, say: Say
) -> Iterator[dict[str, Any]]:
    """Make the runs of one setting, and compare them."""
    recipe = setting.recipe(base)
    taken = with_labels(data, recipe, say) if setting.fraction < 1 else data
    plain = folder / replace(setting, unlabelled=False).name
    for loss in wanted.losses:
        weights: dict[str, Any] = {term: _weight(recipe, term, loss) for term in LOSS_TERMS}
        taught = any(weights[term] for term in LOSS_TERMS[1:])
        if setting.unlabelled and not taught:
            continue
        teacher = _teacher(setting, recipe, taken, folder, say) if taught else None
        figures = []
        for seed in range(recipe.seed, recipe.seed + wanted.seeds):
            run = folder / setting.name / loss / f"seed-{seed}"
            one = replace(recipe, seed=seed, loss=replace(recipe.loss, **weights))
            if teacher is not None:
                one = replace(one, teacher=replace(one.teacher, from_run=str(teacher.absolute())))
            say(f"{setting.name}, {loss}, seed {seed}: {run}")
            result = train_on(taken, run, one, resume=(run / "run.json").is_file(), say=say)
            figures.append(result.metrics)
        correct = _correct(folder / setting.name / loss, recipe.seed, wanted.seeds)
        accuracy, interval = mean_interval([f["student"]["accuracy"] for f in figures])
        row = {
            "loss": loss,
            "fraction": setting.fraction,
            "unlabelled": setting.unlabelled,
            "labelled_chips": len(taken.labelled.labels),
            "epochs": recipe.student.epochs,
            "teacher": figures[0]["teacher"]["accuracy"] if taught else None,
            "n": figures[0]["student"]["n"],
            "accuracies": [f["student"]["accuracy"] for f in figures],
            "accuracy": accuracy,
            "interval_95": None if interval is None else [max(0.0, interval[0]), min(1.0, interval[1])],
            "ece": float(np.mean([f["student"]["ece"] for f in figures])),
        }
        if (setting.unlabelled, loss) != (False, wanted.losses[0]):
            first = _correct(plain / wanted.losses[0], recipe.seed, wanted.seeds)
            row["difference"] = paired_difference(row["accuracies"], first.mean(axis=1).tolist())
            row["mcnemar"] = mcnemar(correct.ravel(), first.ravel())
        yield row


def _teacher(setting: _Setting, recipe: Recipe, data: TrainingData, folder: Path, say: Say) -> Path:
    """Train the teacher of a setting, or find it there; chips without labels are for its answers alone."""
    run = folder / setting.name / "teacher"
    recipe = replace(recipe, loss=replace(recipe.loss, kl=recipe.loss.kl or 1.0))  # so that there is one
    if setting.unlabelled:
        labelled = folder / replace(setting, unlabelled=False).name / "teacher"
        recipe = replace(recipe, teacher=replace(recipe.teacher, from_run=str(labelled.absolute())))
    train_on(data, run, recipe, resume=(run / "run.json").is_file(), teacher_only=True, say=say)
    return run


def _weight(recipe: Recipe, term: str, loss: str) -> float:
    if term not in loss.split("+"):
        return 0.0
    weight: float = getattr(recipe.loss, term)
    return weight or 1.0


def _correct(runs: Path, first_seed: int, seeds: int) -> NDArray[np.bool_]:
    """Which validation chips each run's student got right, (seeds, N)."""
    right = []
    for seed in range(first_seed, first_seed + seeds):
        found, _ = read_tensors(runs / f"seed-{seed}" / "student_validation.safetensors")
        right.append((found["logits"].argmax(1) == found["labels"]).numpy())
    return np.stack(right)
