"""Accuracy of a model on labelled chips."""

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from geokd.chips.files import index_chips
from geokd.chips.reading import Chips, probe_chips, read_chips, scale_notes
from geokd.errors import ChipError
from geokd.legend.classes import Legend
from geokd.mapping.chip_answers import chip_contract, chip_logits
from geokd.model.bundle import Bundle, load_bundle, resolve_model
from geokd.model.engine import make_student, softmax
from geokd.statistics.metrics import (
    Accuracy,
    ClassAccuracy,
    accuracy,
    confusion_matrix,
    expected_calibration_error,
    per_class,
)
from geokd.system.documents import Record


@dataclass(frozen=True, kw_only=True)
class ModelUsed(Record):
    """Name, precision, path and SHA-256 of a bundle."""

    name: str
    precision: str
    path: str
    sha256: str


@dataclass(frozen=True, kw_only=True)
class ChipsUsed(Record):
    """Labelled chips: their path, a hash of all, and notes on how they were read.

    `seen_before` counts those that the model was trained on, None if its bundle has no record of these.
    """

    path: str
    fingerprint: str
    seen_before: int | None
    notes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Evaluation(Accuracy):
    """How well a model classifies labelled chips.

    Overall accuracy with its 95 % Wilson interval; figures of each class; the confusion matrix (truth in rows, in the
    order of the legend); expected calibration error (15 bins); chips per second of the network alone in one thread.
    """

    model: ModelUsed
    chips: ChipsUsed
    per_class: tuple[ClassAccuracy, ...]
    confusion_matrix: tuple[tuple[int, ...], ...]
    ece: float
    chips_per_second: float


def evaluate(model: str | Path, chips: str | Path) -> Evaluation:
    """Classify labelled chips and compare with their labels. A dense student answers with the mean over a chip's cells.

    Parameters
    ----------
    model : path
        A bundle, or the name of a shipped one.
    chips : path
        Folder or zip archive with one sub-folder a class. Folders are matched with the legend by name or title,
        whatever the case.

    Returns
    -------
    Evaluation

    Raises
    ------
    BundleError
        If the model is missing or broken.
    CallError, ChipError
        If the chips do not exist or cannot be read, or a folder is not a class of the model: all in one message.
    """
    path = resolve_model(model)
    bundle = load_bundle(path)
    student = make_student(bundle)
    index = index_chips(chips)
    codes = match_classes(index.classes, bundle.legend)
    probe = probe_chips(index)
    contract = chip_contract(bundle.contract, probe)
    read = read_chips(index, contract)
    notes = [*read.notes, *scale_notes(probe, contract), *absence_notes(codes, bundle.legend)]
    seen_before = count_seen(bundle, read)
    notes += seen_notes(str(model), seen_before, len(index))
    start = time.perf_counter()
    logits = chip_logits(student, read.pixels)
    seconds = time.perf_counter() - start
    truth = codes[read.labels]
    confusion = confusion_matrix(truth, logits.argmax(axis=1), len(bundle.legend))
    overall = accuracy(confusion)
    return Evaluation(
        model=ModelUsed(name=bundle.name, precision=bundle.precision, path=str(path), sha256=bundle.sha256),
        chips=ChipsUsed(path=str(chips), fingerprint=read.fingerprint, seen_before=seen_before, notes=tuple(notes)),
        n=overall.n,
        accuracy=overall.accuracy,
        interval_95=overall.interval_95,
        per_class=per_class(confusion, bundle.legend.names),
        confusion_matrix=tuple(map(tuple, confusion.tolist())),
        ece=expected_calibration_error(softmax(logits, bundle.temperature), truth),
        chips_per_second=round(len(truth) / seconds, 1),
    )


def match_classes(folders: tuple[str, ...], legend: Legend) -> NDArray[np.int64]:
    """Find the legend's code of each class folder, by name or title, whatever the case.

    Returns
    -------
    int64 array (len(folders),)

    Raises
    ------
    ChipError
        If a folder is not a class of the legend, or two folders mean the same one: all of them in one message.
    """
    found = [legend.code_named(folder) for folder in folders]
    strangers = [folder for folder, code in zip(folders, found, strict=True) if code is None]
    if strangers:
        raise ChipError(
            f"the chip folders {', '.join(strangers)} are not classes of the model, which has"
            f" {', '.join(legend.names)}; rename or leave them out"
        )
    twice = [folder for folder, code in zip(folders, found, strict=True) if found.count(code) > 1]
    if twice:
        raise ChipError(f"the chip folders {', '.join(twice)} mean the same class of the model; merge them")
    return np.array(found, np.int64)


def absence_notes(codes: NDArray[np.int64], legend: Legend) -> list[str]:
    """List the classes of the legend that have no folder, given the codes from :func:`match_classes`."""
    absent = [c.name for c in legend if c.value not in codes]
    if not absent:
        return []
    return [f"there are no chips of {', '.join(absent)}: how well the model finds these cannot be estimated"]


def count_seen(bundle: Bundle, chips: Chips) -> int | None:
    """Count the chips that a model, or the model it was made from, was trained on; None if there is no record."""
    return None if bundle.seen_chips is None else bundle.seen_chips.count(chips.picture_hashes)


def seen_notes(model: str, seen_before: int | None, count: int) -> list[str]:
    """Describe that a model is evaluated on chips it was trained on."""
    if not seen_before:
        return []
    return [
        f"{model} was trained on {seen_before:,} of the {count:,} chips, itself or through the model it was made"
        " from: its figures do not show how well it does on new ones"
    ]
