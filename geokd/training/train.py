"""From labelled chips to a distilled student, in stages that can be resumed."""

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from pathlib import Path

import torch

from geokd.errors import CallError, TrainingError
from geokd.model.familiarity import Familiarity
from geokd.model.seen_chips import SeenChips
from geokd.system.progress import Progress, to_stderr
from geokd.training.checkpoint import write_tensors
from geokd.training.continuing import read_corrected_data
from geokd.training.data.reading import TrainingData, read_training_data, spread
from geokd.training.dense.recipe import DenseRecipe
from geokd.training.dense.sources import is_table
from geokd.training.dense.train import train_dense
from geokd.training.distillation import Answers, fresh_answers, kept_answers
from geokd.training.ensemble import take_members
from geokd.training.figures import Metrics, NetworkFigures
from geokd.training.recipe import Recipe
from geokd.training.recipe_file import expanded, load_recipe
from geokd.training.run_folder import (
    check_output,
    claimed_run,
    close_run,
    describe_run,
    keep_seen_chips,
    open_run,
    take_teacher,
)
from geokd.training.run_record import InitialWeights, TrainingRun
from geokd.training.stages import Arithmetic, Networks, Stages, build_networks
from geokd.training.teacher_cache import cache_teacher

CALIBRATION_CHIPS = 1024

_KEPT_OF_THE_OLD = (
    "temperature and statistics of the training data are those of the old bundle: corrected cells are chosen"
    " because they are uncertain, so neither can be estimated from them",
    "validation chips are held-out corrected cells, unless others were given: uncertain ones, whose accuracies"
    " are not those of a map",
)


@dataclass(frozen=True)
class TrainResult:
    """The result of a training run.

    Parameters
    ----------
    folder : Path
    metrics : Metrics
        Of teacher (None if there was none) and student, on the validation chips or the held-out pixels.
    """

    folder: Path
    metrics: Metrics


def train(
    chips: str | Path,
    output: str | Path,
    recipe: Recipe | DenseRecipe | str | Path | None = None,
    *,
    unlabelled: Sequence[str | Path] = (),
    validation: str | Path | None = None,
    resume: bool = False,
    progress: Progress = to_stderr,
) -> TrainResult:
    """Train a student on labelled chips by distillation from a VGG16 teacher, or continue training one.

    A table of labelled scenes gives a dense student, see :func:`geokd.training.dense.train.train_dense`.

    Parameters
    ----------
    chips : path
        Folder or zip archive with one sub-folder per class; or a table of labelled scenes (.toml or .csv).
    output : path
        Folder of the run; must be new or empty, unless `resume`.
    recipe : Recipe or path, optional
        Default: that of :class:`geokd.training.recipe.Recipe`. With one of :func:`geokd.continuing_recipe` the student
        of a bundle continues training on `chips`, which may have only some of its classes, and is its own teacher, so
        that it does not forget; no VGG16 is needed.
    unlabelled : sequence of paths
        For such a recipe: scenes or folders of chips on which the old student's answers are preserved. Default: the
        scene that `chips` were cut from, according to their chips.json.
    validation : path, optional
        Validation chips. Default: a share of `chips` is held out (see :class:`geokd.training.recipe.SplitRecipe`).
    resume : bool
        Continue the run in `output`; it must be of the same recipe and chips.
    progress : Progress
        Receives the progress of the training. Default: stderr.

    Returns
    -------
    TrainResult

    Raises
    ------
    CallError, RecipeError, BundleError, ChipError, SceneError, TrainingError
    """
    if is_table(chips) or isinstance(recipe, DenseRecipe):
        if unlabelled or validation is not None:
            raise CallError(
                "validation chips and chips without labels cannot be used with a table of labelled scenes; leave"
                " out --validation and --unlabelled"
            )
        if isinstance(recipe, Recipe):
            raise CallError(f"{chips} is a table of labelled scenes: give a recipe of a dense student")
        return TrainResult(Path(output), train_dense(chips, output, recipe, resume=resume, progress=progress))
    resolved = recipe if isinstance(recipe, Recipe) else load_recipe(recipe)
    check_output(Path(output), chips, resume=resume)  # before the work of reading
    if resolved.teacher.from_bundle is None:
        if unlabelled:
            raise CallError("--unlabelled is for continuing a bundle with --init; leave it out")
        data = read_training_data(chips, resolved, validation, progress)
    else:
        data = read_corrected_data(chips, resolved, validation, unlabelled, progress)
        if data.unlabelled is None:  # then only the corrected chips are used
            resolved = replace(resolved, loss=replace(resolved.loss, teacher_on="all"))
    return train_on(data, output, resolved, resume=resume, progress=progress)


def train_on(
    data: TrainingData,
    output: str | Path,
    recipe: Recipe,
    *,
    resume: bool = False,
    teacher_only: bool = False,
    progress: Progress = to_stderr,
) -> TrainResult:
    """Train on chips that were read before, see :func:`train`; or only the teacher, for other runs."""
    folder = Path(output)
    try:
        with claimed_run(folder):
            return _train_on(data, folder, recipe, resume=resume, teacher_only=teacher_only, progress=progress)
    except torch.OutOfMemoryError as error:
        raise TrainingError(
            "the GPU's memory does not hold chips, the teacher's answers and a batch; lower student.batch_size and"
            " teacher.batch_size, give fewer chips, or hide the GPU (CUDA_VISIBLE_DEVICES='')"
        ) from error


def _train_on(
    data: TrainingData, folder: Path, recipe: Recipe, *, resume: bool, teacher_only: bool, progress: Progress
) -> TrainResult:
    networks = build_networks(recipe, data.contract, data.legend)  # first: without weights, leave no folder behind
    arithmetic = Arithmetic.of(recipe, networks)
    weights: dict[str, InitialWeights] = {
        stage: InitialWeights(origin=origin, sha256=network.sha256) for stage, (network, origin) in networks.items()
    }
    precisions = arithmetic.to_json(networks)
    run = describe_run(recipe, data, weights, precisions, teacher_only=teacher_only)
    take = _teacher_of_others(recipe, folder, run, resume=resume) if "teacher" in networks else None
    finished = open_run(folder, run, resume=resume)
    if finished is not None:
        return TrainResult(folder, finished)
    seen_before = keep_seen_chips(folder, _learned(networks, data))["before"].count(data.validation.picture_hashes)
    if seen_before:
        progress(
            f"warning: {seen_before} of the {len(data.validation.labels)} validation chips trained the weights this"
            " run starts from, so its accuracies do not apply to new chips; start from other weights or"
            " give other validation chips"
        )
    if take is not None:
        take()
    device = arithmetic.device.type
    progress("; ".join(f"{stage} on {device}, {precisions[stage]}" for stage in networks))
    stages = Stages(recipe, data, networks, folder, arithmetic, progress)
    teacher, answers, width = _taught(stages) if "teacher" in networks else (None, None, 0)
    if teacher_only:
        return TrainResult(folder, Metrics(teacher=teacher, student=None))
    network, student = stages.student(answers, width)
    metrics = Metrics(teacher=teacher, student=student.evolve(seen_before=seen_before))
    if stages.old is None:
        known: Familiarity | None = stages.familiarity(network, student.temperature)
    else:
        known = stages.old.familiarity
        metrics = metrics.evolve(remembered=stages.remembered(network, data.unlabelled))
        run = run.evolve(derived_from=data.derived_from, notes=_KEPT_OF_THE_OLD)
    chosen = spread(data.training.labels, CALIBRATION_CHIPS, recipe.seed)
    write_tensors(folder / "calibration.safetensors", {"pixels": torch.from_numpy(data.training.pixels[chosen])})
    close_run(folder, run, metrics, student.temperature, known)
    return TrainResult(folder, metrics)


def _teacher_of_others(recipe: Recipe, folder: Path, run: TrainingRun, *, resume: bool) -> Callable[[], None] | None:
    """Return what puts the teacher of other runs into the folder, if the recipe names any and it is not there yet."""
    if resume and (folder / "teacher.safetensors").is_file():
        return None
    if recipe.teacher.from_run is not None:
        return take_teacher(expanded(recipe.teacher.from_run), folder, run)
    return take_members(recipe.teacher.ensemble, folder, run) if recipe.teacher.ensemble else None


def _taught(stages: Stages) -> tuple[NetworkFigures, Answers, int]:
    """Train the teacher; return its figures, its answers for the student, and the width of its features."""
    network, figures = stages.teacher()
    bf16 = "teacher" in stages.bf16
    if stages.recipe.loss.teacher_views == "shown":
        return figures, fresh_answers(network, bf16=bf16), network.width
    kept = stages.folder / "teacher_outputs"
    outputs = cache_teacher(network, stages.chips.pixels, kept, bf16=bf16, progress=stages.progress)
    del stages.networks["teacher"]  # free its memory, where nobody asks it any more
    return figures, kept_answers(outputs, stages.recipe.loss), network.width


def _learned(networks: Networks, data: TrainingData) -> dict[str, SeenChips]:
    """Return the training chips of a run's networks, and those from `before`."""
    begun = {stage: network.seen for stage, (network, _) in networks.items()}
    before = reduce(operator.or_, begun.values())
    learned = {"before": before, "student": before | SeenChips.of(data.training.picture_hashes)}
    if "teacher" in begun:
        learned["teacher"] = begun["teacher"] | SeenChips.of(data.labelled.picture_hashes)
    return learned
