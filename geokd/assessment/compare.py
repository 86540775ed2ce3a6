"""Models side by side on the same chips: how large, how fast, how good, and how far they agree."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geokd.assessment.evaluate import absence_notes, count_seen, match_classes, seen_notes
from geokd.chips.files import index_chips
from geokd.chips.reading import probe_chips, read_chips
from geokd.commit import check_outputs, staged
from geokd.errors import CallError, one_message
from geokd.legend.classes import Legend
from geokd.mapping.chip_answers import chip_contract, chip_logits
from geokd.maps.manifest import package_versions, write_document
from geokd.model.bundle import Bundle, load_bundle, resolve_model
from geokd.model.engine import Student, make_student, patches_per_second, softmax, trace_layers
from geokd.model.workload import count_multiply_adds, count_parameters
from geokd.progress import Progress, silent
from geokd.statistics.metrics import accuracy, agreement, confusion_matrix, expected_calibration_error, per_class

ROUNDS = 5
"""Times that the speed of each model is measured, in turn with the others: what else the machine does hits all."""


def compare(
    models: Sequence[str | Path],
    chips: str | Path,
    output: str | Path | None = None,
    *,
    overwrite: bool = False,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Measure models of the same classes on the same labelled chips. The others are compared with the first.

    Parameters
    ----------
    models : sequence of paths
        Bundles, or names of some that ship; two at least. Each gets the chips as its own contract asks for them.
    chips : path
        Folder or zip archive with one sub-folder a class, as :func:`geokd.evaluate` takes it.
    output : path, optional
        JSON file to write the figures to.
    overwrite : bool
        Replace it if it exists.
    progress : Progress
        Takes a line about what is measured next; models are its parts.

    Returns
    -------
    dict
        `chips`: {path, n, notes}, the notes on what was chosen in reading them and on models that learned from them.
        `models`, in the order given, each with

        - parameters, size_bytes of the bundle, multiply_adds for one patch of patch_px;
        - chips_per_second, the median of several rounds in which the models took turns, of the network alone in one
          thread; times_as_fast as the first, the median of the ratios within rounds, and times_as_fast_range;
        - n, accuracy, interval_95 (Wilson), per_class, ece (15 bins) at the bundle's `temperature`;
        - seen_before, how many of the chips it learned from, as far as it tells; None if it does not;
        - agreement with the first, overall and on the chips of each class; None for the first itself.

    Raises
    ------
    BundleError
        If a model is missing or broken.
    CallError
        If there are fewer than two models, or not all know the same classes, or `output` exists already, or there are
        no such chips.
    ChipError
        If the chips cannot be read, or a folder is no class of the models.
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
    figures, first = [], None
    for done, (model, student) in enumerate(zip(models, students, strict=True)):
        progress(f"classifying {len(index):,} chips by {model}", done=done, total=len(models) + 1)
        read_as = read[student.bundle.contract]
        logits, truth = _logits(student, read_as.pixels, legend), codes[read_as.labels]
        answers = logits.argmax(axis=1)
        figures.append(
            _describe(model, student.bundle)
            | {"chips_fingerprint": read_as.fingerprint, "seen_before": count_seen(student.bundle, read_as)}
            | _judge(logits, truth, legend, student.bundle.temperature)
            | {"agreement": None if first is None else agreement(answers, first, truth, legend.names)}
        )
        first = answers if first is None else first
    progress(f"measuring the speed of each in {ROUNDS} rounds", done=len(models), total=len(models) + 1)
    speeds = np.array([[patches_per_second(student) for student in students] for _ in range(ROUNDS)])
    notes = list(dict.fromkeys(note for chips_read in read.values() for note in chips_read.notes))
    notes += absence_notes(codes, legend)
    notes += [note for of in figures for note in seen_notes(of["model"], of["seen_before"], len(index))]
    document = {
        "chips": {"path": str(chips), "n": len(index), "notes": notes},
        "speed": {"rounds": ROUNDS, "threads": 1, "cores": os.cpu_count()},
        "models": [entry | speed for entry, speed in zip(figures, _describe_speeds(speeds), strict=True)],
        "versions": package_versions(),
    }
    if target is not None:
        with staged(target.parent, [target.name], overwrite=overwrite) as folder:
            write_document(document, folder / target.name)
    return document


def _check_classes(models: Sequence[str | Path], bundles: list[Bundle]) -> None:
    """Refuse models that cannot be compared."""
    if len(bundles) < 2:
        raise CallError(f"{len(bundles)} model is nothing to compare: give two at least; geokd evaluate measures one")
    first = bundles[0].legend.names
    problems = [
        f"{model} knows other classes ({', '.join(bundle.legend.names)}) than {models[0]} ({', '.join(first)})"
        for model, bundle in zip(models, bundles, strict=True)
        if set(bundle.legend.names) != set(first)
    ]
    if problems:
        raise CallError(one_message([f"{problem}; compare models of the same classes" for problem in problems]))


def _logits(student: Student, pixels: NDArray[np.uint8], legend: Legend) -> NDArray[np.float32]:
    """Logits (N, K) with the classes in the order of `legend`, which may not be the student's own."""
    own = student.bundle.legend.names
    return chip_logits(student, pixels)[:, [own.index(name) for name in legend.names]]


def _describe(model: str | Path, bundle: Bundle) -> dict[str, Any]:
    """Say what a model is, and how much."""
    about = bundle.describe()
    side = bundle.contract.patch_px
    layers = trace_layers(bundle.graph, (len(bundle.contract.bands), side, side))
    return {
        "model": str(model),
        "path": str(resolve_model(model)),
        **{key: about[key] for key in ("name", "architecture", "precision", "sha256", "size_bytes", "temperature")},
        "patch_px": side,
        "parameters": count_parameters(layers),
        "multiply_adds": count_multiply_adds(layers),
    }


def _judge(logits: NDArray[np.float32], truth: NDArray[np.int64], legend: Legend, temperature: float) -> dict[str, Any]:
    """Figures of merit on chips."""
    confusion = confusion_matrix(truth, logits.argmax(axis=1), len(legend))
    return {
        **accuracy(confusion),
        "ece": expected_calibration_error(softmax(logits, temperature), truth),
        "per_class": per_class(confusion, legend.names),
    }


def _describe_speeds(speeds: NDArray[np.float64]) -> list[dict[str, Any]]:
    """Medians over rounds (rows) of the models (columns), and of their ratios to the first model in the same round."""
    ratios = speeds / speeds[:, :1]
    return [
        {
            "chips_per_second": round(float(np.median(speeds[:, i])), 1),
            "times_as_fast": round(float(np.median(ratios[:, i])), 3),
            "times_as_fast_range": [round(float(r), 3) for r in (ratios[:, i].min(), ratios[:, i].max())],
        }
        for i in range(speeds.shape[1])
    ]
