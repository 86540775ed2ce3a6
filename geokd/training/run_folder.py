"""The folder of a training run: starting, resuming, and reusing the teacher of another run.

It contains `run.json` (recipe and results), `log.csv`, `curves.png`, the two networks as `teacher.safetensors` and
`student.safetensors`, their answers for the validation chips as `*_validation.safetensors`, `teacher_outputs/`,
calibration chips for the int8 export, `seen_chips.json` (hashes of all chips that its networks were trained on), and a
checkpoint of the current stage.
"""

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from geokd.errors import CallError, GeokdError, OutputError, TrainingError
from geokd.files import PARTIAL, written_whole
from geokd.legend.classes import Legend
from geokd.model.contract import InputContract
from geokd.model.familiarity import Familiarity
from geokd.model.seen_chips import SeenChips
from geokd.system.commit import Claim
from geokd.system.documents import parse_json, read_text
from geokd.system.recovery import WORK
from geokd.training.curves import draw_curves
from geokd.training.figures import Metrics
from geokd.training.recipe import AnyRecipe
from geokd.training.recipe_file import recipe_from_json
from geokd.training.run_record import InitialWeights, MadeBy, TrainingRun, read_run

_LEFT_BY_A_FINISHED_RUN = ("student.safetensors", "student_validation.safetensors", "calibration.safetensors")
_SEEN_CHIPS = "seen_chips.json"


def check_output(folder: Path, chips: str | Path | None = None, *, resume: bool) -> None:
    """Refuse a folder that one or more new runs cannot be written into, before any work is done.

    Raises
    ------
    CallError
        If it is a file, lies among the chips, or is not empty and `resume` is False.
    """
    if chips is not None and folder.resolve().is_relative_to(Path(chips).resolve()):
        raise CallError(
            f"the output {folder} lies among the chips in {chips}, where it would be read as a class; choose another"
        )
    if resume or not folder.exists():
        return
    if not folder.is_dir():
        raise CallError(f"the output {folder} is a file; name a new folder")
    if any(file.suffix != PARTIAL and file.name != WORK for file in folder.iterdir()):  # of interrupted runs
        remedy = "continue with --resume" if is_begun(folder) else "make room there"
        raise CallError(f"the output {folder} exists already; name a new folder, or {remedy}")


@contextmanager
def claimed_run(folder: Path) -> Iterator[None]:
    """Lock a folder against other training processes.

    Raises
    ------
    CallError
        If another process is training there.
    TrainingError
        If the folder cannot be made or written, also later.
    """
    try:
        claim = Claim.take(folder, ["run.json"])
    except OutputError as error:
        why = error.__cause__.strerror if isinstance(error.__cause__, OSError) else error
        raise TrainingError(f"cannot make the folder {folder}: {why}; choose another one with -o/--output") from error
    try:
        with claim:
            yield
    except GeokdError:
        raise
    except OSError as error:
        then = "continue with --resume" if (folder / "run.json").is_file() else "start again"
        raise TrainingError(f"cannot write into {folder}: {error}; fix this, then {then}") from error


def is_begun(folder: Path) -> bool:
    """Whether a folder has a run, or rows or runs of an ablation."""
    return any(any(folder.glob(name)) for name in ("run.json", "ablation.json", "*/*/run.json", "*/*/*/run.json"))


class ReadData(Protocol):
    """What a run learns from."""

    @property
    def contract(self) -> InputContract:
        """What the student is given."""

    @property
    def legend(self) -> Legend:
        """Its classes."""

    def to_json(self) -> dict[str, Any]:
        """Return what identifies the data."""


def describe_run(
    recipe: AnyRecipe,
    data: ReadData,
    initial_weights: dict[str, InitialWeights],
    arithmetic: dict[str, str],
    *,
    teacher_only: bool = False,
) -> TrainingRun:
    """Return the record of a run that begins."""
    return TrainingRun(
        recipe=recipe.to_json(),
        recipe_sha256=recipe.sha256,
        contract=data.contract.to_json(),
        legend=tuple(data.legend.to_json()),
        data=data.to_json(),
        initial_weights=initial_weights,
        arithmetic=arithmetic,
        teacher_only=teacher_only,
    )


def open_run(
    folder: Path, run: TrainingRun, *, resume: bool, keys_of: Callable[[Any], dict[str, Any]] | None = None
) -> Metrics | None:
    """Make the run's folder, or check that an existing one is the same run; return its figures if it is finished.

    `keys_of` flattens the JSON of a recipe into keys and values. Default: for patch students.
    """
    path = folder / "run.json"
    if not resume:
        check_output(folder, resume=False)
        write_json(path, run.to_json())
        return None
    if not path.is_file():
        raise CallError(f"there is no run to resume in {folder}: it has no run.json; start it without --resume")
    try:
        before = read_run(folder)
    except ValueError as error:
        raise TrainingError(f"{path} is not the file of a run ({error}); start a new run") from error
    differ = [key for key in ("contract", "legend", "data") if getattr(before, key) != getattr(run, key)]
    changes = _changes(before.recipe, run.recipe, keys_of or _keys_of_patch_recipe)
    if changes:
        differ.insert(0, f"recipe ({changes})")
    if _hashes(before) != _hashes(run):
        origins = ", ".join(f"{stage} from {found.origin}" for stage, found in before.initial_weights.items())
        differ.append(f"set of initial weights ({origins})")
    finished = before.complete and all((folder / name).is_file() for name in _LEFT_BY_A_FINISHED_RUN)
    if not finished and before.arithmetic not in (None, run.arithmetic):  # else the result would differ
        differ.append("device or precision (" + ", ".join(f"{k}: {v}" for k, v in before.arithmetic.items()) + ")")
    if differ:
        raise CallError(
            f"the run in {folder} had another {', '.join(differ)}; resume with the same, or start a new run"
        )
    return before.metrics if finished else None


def _hashes(run: TrainingRun) -> dict[str, str]:
    return {stage: weights.sha256 for stage, weights in run.initial_weights.items()}


def close_run(
    folder: Path, run: TrainingRun, metrics: Metrics, temperature: float, familiarity: Familiarity | None
) -> None:
    """Draw the curves of a run; at last, write that it is finished, and what came of it."""
    made = MadeBy.now()
    finished = run.evolve(
        complete=True,
        temperature=temperature,
        familiarity=None if familiarity is None else familiarity.to_json(),
        metrics=metrics,
        machine=made.machine,
        versions=made.versions,
        date=made.date,
    )
    draw_curves(folder / "log.csv", folder / "curves.png", title=run.name)
    write_json(folder / "run.json", finished.to_json())


def _changes(before: Any, now: dict[str, Any], keys_of: Callable[[Any], dict[str, Any]]) -> str:
    """Describe in which keys the recipe of a run differs from the requested one."""
    try:
        was = keys_of(before)
    except (GeokdError, AttributeError, TypeError):
        return "which cannot be read"
    return "; ".join(
        f"{key} was {was.get(key)}, is {value}" for key, value in keys_of(now).items() if was.get(key) != value
    )


def flattened(recipe: dict[str, Any]) -> dict[str, Any]:
    """Keys of a recipe as in --set, with their values."""
    keys: dict[str, Any] = {}
    for name, value in recipe.items():
        keys |= {f"{name}.{key}": v for key, v in value.items()} if isinstance(value, dict) else {name: value}
    return keys


def _keys_of_patch_recipe(recipe: Any) -> dict[str, Any]:
    """Keys and values; keys that did not exist at the time of the run have their defaults.

    The path of the teacher's run is ignored: folders may be moved, and a teacher is checked when it is copied.
    """
    keys = flattened(recipe_from_json(recipe).to_json())
    keys["teacher.from_run"] = "given" if keys["teacher.from_run"] else "not given"
    return keys


def take_teacher(source: Path, folder: Path, run: TrainingRun) -> Callable[[], None]:
    """Check that the teacher of the run in `source` is the one that `run` needs; return a function that copies it.

    Its answers are copied, too, as far as they are for the same chips.

    Raises
    ------
    CallError
        If the run does not exist, or its teacher is different.
    """
    try:
        other = read_run(source)
        before = recipe_from_json(other.recipe).to_json()
        wanted, had = ({**recipe["teacher"], "from_run": None} for recipe in (run.recipe, before))
        mine, its = run.data, other.data
        same = [getattr(run, key) == getattr(other, key) for key in ("contract", "legend")]
        same += [wanted == had, mine["labelled_sha256"] == its.get("labelled_sha256", its["training_sha256"])]
        answers = []
        if mine["training_sha256"] == its["training_sha256"]:
            answers += sorted((source / "teacher_outputs").glob("view*.safetensors"))
        if mine["validation_sha256"] == its.get("validation_sha256"):
            answers += source.glob("teacher_validation.safetensors")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CallError(f"teacher.from_run = {source}: there is no run to take a teacher from ({error})") from error
    if not (source / "teacher.safetensors").is_file():
        raise CallError(f"teacher.from_run = {source}: that run has no finished teacher")
    if not all(same):
        raise CallError(
            f"teacher.from_run = {source}: that run had another [teacher], input, legend, split or other chips;"
            " leave out from_run, or make them equal"
        )

    def take() -> None:
        (folder / "teacher_outputs").mkdir(exist_ok=True)
        for path in (*answers, source / "teacher.safetensors"):  # the teacher last: it marks a complete copy
            _link(path, folder / path.relative_to(source))

    return take


def _link(path: Path, target: Path) -> None:
    """Hard-link a file that is no longer changed, or copy it if that is not possible."""
    if target.is_file():
        return
    with written_whole(target) as partial:
        partial.unlink(missing_ok=True)
        try:
            os.link(path, partial)
        except OSError:
            shutil.copyfile(path, partial)


def keep_seen_chips(folder: Path, seen: Mapping[str, SeenChips]) -> dict[str, SeenChips]:
    """Record the training chips of a run's networks, by stage; return the record from before an interruption.

    This is stored because the folder of another run, from which a teacher was copied, may be moved.
    """
    kept = {**seen, **read_seen_chips(folder)}
    write_json(folder / _SEEN_CHIPS, {stage: chips.to_json() for stage, chips in kept.items()})
    return kept


def read_seen_chips(folder: Path) -> dict[str, SeenChips]:
    """Read the training chips of a run's networks, by stage; empty for runs made before these were recorded.

    `before` are the chips that the initial weights, of teacher and student, were trained on.

    Raises
    ------
    TrainingError
        If the file is broken.
    """
    path = folder / _SEEN_CHIPS
    try:
        document = parse_json(read_text(path))
        return {stage: SeenChips.from_json(chips) for stage, chips in document.items()}
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise TrainingError(f"{path} is broken: {error}; delete it, or train again") from error


def write_json(path: Path, document: dict[str, Any]) -> None:
    """Write a JSON document, complete or not at all."""
    text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    with written_whole(path) as partial:
        partial.write_text(text, encoding="utf-8")
