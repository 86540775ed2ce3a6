"""Models side by side on the same chips: size, speed, accuracy and agreement."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from geokd.assessment.evaluate import absence_notes, count_seen, match_classes, seen_notes
from geokd.chips.files import index_chips
from geokd.chips.reading import Chips, probe_chips, read_chips
from geokd.errors import CallError, one_message
from geokd.legend.classes import Legend
from geokd.mapping.chip_answers import chip_contract, chip_logits
from geokd.maps.manifest import package_versions, write_document
from geokd.model.bundle import Bundle, load_bundle, resolve_model
from geokd.model.engine import Student, make_student, patches_per_second, softmax, trace_layers
from geokd.model.workload import count_multiply_adds, count_parameters
from geokd.statistics.metrics import (
    Accuracy,
    Agreement,
    ClassAccuracy,
    accuracy,
    agreement,
    confusion_matrix,
    expected_calibration_error,
    per_class,
)
from geokd.system.commit import check_outputs, staged
from geokd.system.documents import Record
from geokd.system.progress import Progress, silent

ROUNDS = 5
"""How often the speed of each model is measured, in turn with the others, so that other load affects all alike."""


@dataclass(frozen=True, kw_only=True)
class ComparedModel(Accuracy):
    """One of the compared models.

    Parameters of the network, size of the bundle, multiply-adds for one patch of patch_px; chips per second, the median
    of several rounds in which the models took turns, of the network alone in one thread; times as fast as the first,
    the median of the ratios within rounds, and their range; accuracy with its 95 % Wilson interval, figures of each
    class, ECE (15 bins) at the bundle's temperature; how many of the chips it was trained on (None if it has no record
    of these); agreement with the first model, None for the first itself.
    """

    model: str
    path: str
    name: str
    architecture: str
    precision: str
    sha256: str
    size_bytes: int
    temperature: float
    patch_px: int
    parameters: int
    multiply_adds: int
    chips_fingerprint: str
    seen_before: int | None
    ece: float
    per_class: tuple[ClassAccuracy, ...]
    agreement: Agreement | None
    chips_per_second: float
    times_as_fast: float
    times_as_fast_range: tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class ComparedChips(Record):
    """The chips: path, number, and notes on how they were read and on models that were trained on them."""

    path: str
    n: int
    notes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class SpeedMeasured(Record):
    """How speed was measured: rounds, threads, and cores of the machine."""

    rounds: int
    threads: int
    cores: int | None


@dataclass(frozen=True, kw_only=True)
class Comparison(Record):
    """Models side by side on the same chips, in the order given."""

    chips: ComparedChips
    speed: SpeedMeasured
    models: tuple[ComparedModel, ...]
    versions: dict[str, str]


def compare(
    models: Sequence[str | Path],
    chips: str | Path,
    output: str | Path | None = None,
    *,
    overwrite: bool = False,
    progress: Progress = silent,
) -> Comparison:
    """Measure models of the same classes on the same labelled chips. The others are compared with the first.

    Parameters
    ----------
    models : sequence of paths
        Bundles, or names of shipped ones; at least two. Each gets the chips as its own contract requires.
    chips : path
        Folder or zip archive with one sub-folder a class, as for :func:`geokd.evaluate`.
    output : path, optional
        JSON file to write the figures to.
    overwrite : bool
        Replace it if it exists.
    progress : Progress
        Is called with a line about what is measured next, the number of models done and their total.

    Returns
    -------
    Comparison

    Raises
    ------
    BundleError
        If a model is missing or broken.
    CallError
        If there are fewer than two models, their classes differ, `output` exists already, or the chips do not exist.
    ChipError
        If the chips cannot be read, or a folder is not a class of the models.
    OutputError
        If the file cannot be written.
    """
    target = None if output is None else Path(output)
    if target is not None:
        check_outputs(target.parent, [target.name], overwrite=overwrite)
    bundles = [load_bundle(model) for model in models]
    _check_classes(models, bundles)
    legend = bundles[0].legend
    index = index_chips(chips)
    codes = match_classes(index.classes, legend)
    students = [make_student(bundle) for bundle in bundles]
    probe = probe_chips(index)
    contracts = {bundle.contract: chip_contract(bundle.contract, probe) for bundle in bundles}
    read = {own: read_chips(index, as_chips) for own, as_chips in contracts.items()}
    judged: list[_Judged] = []
    first: NDArray[np.int64] | None = None
    for done, (model, student) in enumerate(zip(models, students, strict=True)):
        progress(f"classifying {len(index):,} chips with {model}", done=done, total=len(models) + 1)
        read_as = read[student.bundle.contract]
        logits, truth = _logits(student, read_as.pixels, legend), codes[read_as.labels]
        same = None if first is None else agreement(logits.argmax(axis=1), first, truth, legend.names)
        judged.append(_Judged(read_as, logits, truth, same))
        first = logits.argmax(axis=1) if first is None else first
    progress(f"measuring the speed of each in {ROUNDS} rounds", done=len(models), total=len(models) + 1)
    speeds = np.array([[patches_per_second(student) for student in students] for _ in range(ROUNDS)])
    compared = tuple(
        _compared(model, bundle, on_chips, _speed(speeds, number), legend)
        for number, (model, bundle, on_chips) in enumerate(zip(models, bundles, judged, strict=True))
    )
    notes = list(dict.fromkeys(note for chips_read in read.values() for note in chips_read.notes))
    notes += absence_notes(codes, legend)
    notes += [note for entry in compared for note in seen_notes(entry.model, entry.seen_before, len(index))]
    found = Comparison(
        chips=ComparedChips(path=str(chips), n=len(index), notes=tuple(notes)),
        speed=SpeedMeasured(rounds=ROUNDS, threads=1, cores=os.cpu_count()),
        models=compared,
        versions=package_versions(),
    )
    if target is not None:
        with staged(target.parent, [target.name], overwrite=overwrite) as folder:
            write_document(found.to_json(), folder / target.name)
    return found


def _check_classes(models: Sequence[str | Path], bundles: list[Bundle]) -> None:
    """Refuse models that cannot be compared."""
    if len(bundles) < 2:
        raise CallError(f"{len(bundles)} model cannot be compared: give at least two; geokd evaluate measures one")
    first = bundles[0].legend.names
    problems = [
        f"{model} has other classes ({', '.join(bundle.legend.names)}) than {models[0]} ({', '.join(first)})"
        for model, bundle in zip(models, bundles, strict=True)
        if set(bundle.legend.names) != set(first)
    ]
    if problems:
        raise CallError(one_message([f"{problem}; compare models of the same classes" for problem in problems]))


def _logits(student: Student, pixels: NDArray[np.uint8], legend: Legend) -> NDArray[np.float32]:
    """Logits (N, K) with the classes in the order of `legend`, which may not be the student's own."""
    own = student.bundle.legend.names
    return chip_logits(student, pixels)[:, [own.index(name) for name in legend.names]]


class _Judged(NamedTuple):
    """Chips as a model takes them, its logits (N, K) in the order of the first legend, and the truth (N,)."""

    chips: Chips
    logits: NDArray[np.float32]
    truth: NDArray[np.int64]
    agreement: Agreement | None


def _compared(
    model: str | Path, bundle: Bundle, judged: _Judged, speed: dict[str, Any], legend: Legend
) -> ComparedModel:
    """Describe a model: size, speed and accuracy."""
    side = bundle.contract.patch_px
    layers = trace_layers(bundle.graph, (len(bundle.contract.bands), side, side))
    confusion = confusion_matrix(judged.truth, judged.logits.argmax(axis=1), len(legend))
    overall = accuracy(confusion)
    return ComparedModel(
        model=str(model),
        path=str(resolve_model(model)),
        name=bundle.name,
        architecture=bundle.architecture,
        precision=bundle.precision,
        sha256=bundle.sha256,
        size_bytes=len(bundle.onnx_bytes),
        temperature=bundle.temperature,
        patch_px=side,
        parameters=count_parameters(layers),
        multiply_adds=count_multiply_adds(layers),
        chips_fingerprint=judged.chips.fingerprint,
        seen_before=count_seen(bundle, judged.chips),
        n=overall.n,
        accuracy=overall.accuracy,
        interval_95=overall.interval_95,
        ece=expected_calibration_error(softmax(judged.logits, bundle.temperature), judged.truth),
        per_class=per_class(confusion, legend.names),
        agreement=judged.agreement,
        **speed,
    )


def _speed(speeds: NDArray[np.float64], number: int) -> dict[str, Any]:
    """Medians over rounds (rows) of a model (column), and of its ratios to the first model in the same round."""
    own, ratios = speeds[:, number], speeds[:, number] / speeds[:, 0]
    return {
        "chips_per_second": round(float(np.median(own)), 1),
        "times_as_fast": round(float(np.median(ratios)), 3),
        "times_as_fast_range": (round(float(ratios.min()), 3), round(float(ratios.max()), 3)),
    }
