"""From a finished run to bundles: the student, and the teacher if requested, as ONNX in fp32 and in int8."""

import importlib.metadata
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geokd.errors import CallError, TrainingError
from geokd.files import write_bytes
from geokd.legend.classes import Legend
from geokd.model.bundle import Bundle, Golden, golden_cells
from geokd.model.contract import InputContract
from geokd.model.familiarity import Familiarity
from geokd.system.commit import check_outputs, staged
from geokd.system.documents import parse_json, read_record, read_text
from geokd.training.checkpoint import read_tensors
from geokd.training.initial_weights import build_student, build_teacher
from geokd.training.networks import Network
from geokd.training.onnx_graph import store_in_half, to_onnx
from geokd.training.quantisation import PREPARATIONS, quantise, run_graph
from geokd.training.recipe import Recipe, Stage
from geokd.training.recipe_file import dense_recipe_from_json, recipe_from_json
from geokd.training.run_folder import read_seen_chips
from geokd.training.run_record import FinishedRun

GOLDEN_PATCHES = 4
_TEACHER_NOTES = ("the teacher's bundles have no statistics of chips, so classify cannot compare scenes with them",)


@dataclass(frozen=True)
class ExportResult:
    """The bundles of a run: `int8` for CPUs, `fp32` for GPUs and for further training.

    Parameters
    ----------
    fp32, int8 : Path
        The student.
    teacher_fp32, teacher_int8 : Path or None
        The teacher, if requested.
    notes : tuple of str
        Choices that affect the bundles, one sentence each.
    """

    fp32: Path
    int8: Path
    teacher_fp32: Path | None = None
    teacher_int8: Path | None = None
    notes: tuple[str, ...] = field(default=(), kw_only=True)

    @property
    def paths(self) -> dict[str, Path]:
        """The files by their field names, without those that were not requested."""
        named = {key: getattr(self, key) for key in ("int8", "fp32", "teacher_int8", "teacher_fp32")}
        return {key: path for key, path in named.items() if path is not None}


def export(
    run: str | Path, output: str | Path | None = None, *, teacher: bool = False, overwrite: bool = False
) -> ExportResult:
    """Write the student of a finished run as `<name>.onnx` (int8) and `<name>-fp32.onnx`, and its teacher if requested.

    The fp32 bundles store their weights in half precision; int8 is made from the unrounded ones.

    A network that was not trained with simulated rounding (`student.int8_epochs` of 0) is prepared for it, see
    :func:`geokd.training.quantisation.quantise`.

    Parameters
    ----------
    run : path
        Folder from :func:`geokd.train`.
    output : path, optional
        Folder for the bundles. Default: that of the run.
    teacher : bool
        Also write the teacher, as `<name>-teacher.onnx` (int8) and `<name>-teacher-fp32.onnx`, for comparison.
    overwrite : bool
        Replace bundles of the same names.

    Returns
    -------
    ExportResult

    Raises
    ------
    CallError
        If there is no finished run, it has no teacher to write, or a bundle exists already.
    TrainingError
        If the run's files are broken.
    OutputError
        If the bundles cannot be written.
    """
    folder = Path(run)
    finished = _read_finished(folder)
    dense = InputContract.from_json(finished.contract).is_dense
    if teacher:
        _check_teacher(folder, finished, dense=dense)
    stages: tuple[Stage, ...] = ("student", "teacher") if teacher else ("student",)
    target = folder if output is None else Path(output)
    paths = [target / f"{_name(finished, stage)}{ending}.onnx" for stage in stages for ending in ("-fp32", "")]
    check_outputs(target, [path.name for path in paths], overwrite=overwrite)
    calibration, _ = read_tensors(folder / "calibration.safetensors")
    bundles, notes = [], list(_TEACHER_NOTES) if teacher else []
    for stage in stages:
        fp32 = _dense_bundle(folder, finished) if dense else _fp32_bundle(folder, stage, finished)
        preparations = PREPARATIONS  # dense students benefit from them also if trained under rounding
        if stage == "student" and not dense and recipe_from_json(finished.recipe).student.int8_epochs:
            preparations = ()
        graph = quantise(fp32.graph, calibration["pixels"].numpy(), preparations)
        int8 = fp32.with_graph(graph, "int8", golden_cells(run_graph(graph, fp32.golden.pixels)))
        rounding = {"prepared_by": [prepare.__name__ for prepare in preparations]}
        made = [with_halved_weights(fp32), replace(int8, provenance={**int8.provenance, "rounding": rounding})]
        bundles += _with_wetland_rule(made, finished) if dense else made
        notes.append(_rounding_note(stage, prepared=bool(preparations)))
    with staged(target, [path.name for path in paths], overwrite=overwrite) as temporary:
        for path, bundle in zip(paths, bundles, strict=True):
            write_bytes(temporary / path.name, bundle.onnx_bytes)
    return ExportResult(*paths, notes=tuple(notes))


def _check_teacher(folder: Path, finished: FinishedRun, *, dense: bool) -> None:
    """Refuse to export the teacher of a run that has none of its own."""
    if dense:
        raise CallError(
            f"the run in {folder} has no teacher, because its labels came from rasters; leave out --teacher"
        )
    teacher = recipe_from_json(finished.recipe).teacher
    if teacher.from_bundle:
        raise CallError(
            f"the teacher of the run in {folder} is the bundle {teacher.from_bundle}, which is there already; leave out"
            " --teacher"
        )
    if teacher.ensemble:
        raise CallError(
            f"the teacher of the run in {folder} is an ensemble of other runs; leave out --teacher, or export those"
        )
    if finished.metrics.teacher is None or not (folder / "teacher.safetensors").is_file():
        raise CallError(f"the run in {folder} has no teacher, only labels were used; leave out --teacher")


def with_halved_weights(bundle: Bundle) -> Bundle:
    """Store an fp32 bundle's weights in half the bytes, see :func:`geokd.training.onnx_graph.store_in_half`.

    It still computes in fp32. Its golden logits are those of the stored graph.
    """
    graph = store_in_half(bundle.graph)
    stored = bundle.with_graph(graph, "fp32", golden_cells(run_graph(graph, bundle.golden.pixels)))
    return replace(stored, provenance={**stored.provenance, "weights_stored_as": "float16"})


def most_decided(logits: NDArray[np.float32], count: int) -> NDArray[np.intp]:
    """Choose the patches whose best class has the largest lead, which rounding does not change. Indices, (count,)."""
    best = np.sort(logits, axis=1)
    lead = best[:, -1] - best[:, -2] if logits.shape[1] > 1 else best[:, -1]
    return np.sort(np.argsort(-lead, kind="stable")[:count])


def golden_patches(contract: InputContract, count: int = 64) -> NDArray[np.uint8]:
    """Make patches to choose the golden input from: 1/f noise, from dark to bright and from smooth to rough."""
    generator = np.random.default_rng(2606)
    side, channels = contract.patch_px, len(contract.bands)
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None, :])
    frequency[0, 0] = np.inf
    noise = np.fft.rfft2(generator.standard_normal((count, channels, side, side))) / frequency
    clouds = np.fft.irfft2(noise, s=(side, side))
    clouds /= clouds.std(axis=(2, 3), keepdims=True)
    brightness = generator.uniform(40, 170, (count, channels, 1, 1))
    contrast = generator.uniform(2, 40, (count, 1, 1, 1))
    return np.clip(np.rint(brightness + contrast * clouds), 0, 255).astype(np.uint8)


def _name(finished: FinishedRun, stage: Stage) -> str:
    return finished.name if stage == "student" else f"{finished.name}-teacher"


def _fp32_bundle(folder: Path, stage: Stage, finished: FinishedRun) -> Bundle:
    """Make the fp32 bundle of a run's student or teacher."""
    recipe = recipe_from_json(finished.recipe)
    contract, legend = InputContract.from_json(finished.contract), Legend.from_json(finished.legend)
    network = _build(recipe, stage, len(contract.bands), legend.names)
    path = folder / f"{stage}.safetensors"
    tensors, _ = read_tensors(path)
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        raise TrainingError(f"{path} does not fit the recipe of the run: {error}") from error
    student = stage == "student"
    teacher = None if student else finished.metrics.teacher
    graph = to_onnx(network, contract, stage)
    golden = golden_patches(contract)
    golden = golden[most_decided(run_graph(graph, golden), GOLDEN_PATCHES)]
    return Bundle(
        graph=graph,
        name=_name(finished, stage),
        architecture=recipe.student.architecture if student else recipe.teacher.architecture,
        precision="fp32",
        contract=contract,
        legend=legend,
        temperature=finished.temperature if teacher is None else teacher.temperature,
        provenance=_provenance(finished) | ({} if student else {"notes": list(_TEACHER_NOTES)}),
        golden=Golden(golden, run_graph(graph, golden)),
        familiarity=finished.statistics if student else None,
        seen_chips=read_seen_chips(folder).get(stage),
    )


def _dense_bundle(folder: Path, finished: FinishedRun) -> Bundle:
    """Make the fp32 bundle of a run's dense student."""
    from geokd.training.dense.export import dense_fp32_bundle

    golden = golden_patches(InputContract.from_json(finished.contract), count=1)
    return dense_fp32_bundle(folder, finished, _provenance(finished), golden)


def _with_wetland_rule(bundles: list[Bundle], finished: FinishedRun) -> list[Bundle]:
    """Append the rule of a dense student's recipe to its graphs; not before, for it is not rounded."""
    from geokd.training.dense.wetland import with_rule

    rule = dense_recipe_from_json(finished.recipe).wetland
    return [with_rule(bundle, rule) for bundle in bundles]


def _build(recipe: Recipe, stage: Stage, channels: int, classes: tuple[str, ...]) -> Network:
    """Build the network of a stage, without weights."""
    if stage == "student":
        return build_student(recipe.student, channels, classes, initial_weights="none")[0]
    return build_teacher(replace(recipe.teacher, initial_weights="none"), channels, classes)[0]


def _rounding_note(stage: Stage, *, prepared: bool) -> str:
    """Describe how a network was rounded."""
    if not prepared:
        return f"the {stage} is rounded to int8 without changes, because it was trained with simulated rounding"
    return (
        f"before the {stage} is rounded to int8, the ranges of its channels are equalised and its biases corrected for"
        " the shift that rounding causes"
    )


def _read_finished(folder: Path) -> FinishedRun:
    try:
        facts: dict[str, Any] = dict(parse_json(read_text(folder / "run.json")))
    except OSError as error:
        raise CallError(f"no run in {folder}: {error.strerror}; give the folder that geokd train wrote") from error
    except (ValueError, TypeError) as error:
        raise TrainingError(f"{folder}/run.json is broken: {error}; train again") from error
    if facts.get("teacher_only"):
        raise CallError(
            f"the run in {folder} is the teacher of an ablation and has no student; give the folder of one of the"
            " students, LOSS/seed-N beside it, and export this teacher, too, with --teacher"
        )
    if not facts.get("complete"):
        raise CallError(f"the run in {folder} is not finished; finish it with geokd train ... -o {folder} --resume")
    try:
        finished = read_record(facts, FinishedRun)
        _check(finished)
        return finished
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        raise TrainingError(
            f"{folder}/run.json is broken, or another version of geokd wrote it: {error}; train again"
        ) from error


def _check(finished: FinishedRun) -> None:
    """Read the parts of a run that its record keeps as JSON.

    Raises
    ------
    ValueError, TypeError, KeyError, AttributeError, OverflowError
        If one of them is broken.
    """
    contract = InputContract.from_json(finished.contract)
    Legend.from_json(finished.legend)
    (dense_recipe_from_json if contract.is_dense else recipe_from_json)(finished.recipe)
    if finished.familiarity is not None:
        Familiarity.from_json(finished.familiarity)


def _provenance(finished: FinishedRun) -> dict[str, Any]:
    """Return the record of a run for its bundles, without per-class figures."""
    facts = finished.to_json()
    metrics = {
        who: None if figures is None else {k: v for k, v in figures.items() if k != "per_class"}
        for who, figures in facts["metrics"].items()
    }
    versions = facts["versions"] | {p: importlib.metadata.version(p) for p in ("onnx", "onnxruntime")}
    kept = {key: facts[key] for key in ("recipe", "recipe_sha256", "data", "initial_weights", "machine", "date")}
    if finished.derived_from is not None:
        kept |= {key: facts[key] for key in ("derived_from", "notes")}
    return kept | {"validation_before_rounding": metrics, "versions": versions}
