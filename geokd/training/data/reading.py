"""Chips for training: read and split, with the contract and legend that follow from chips and recipe."""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geokd.chips.files import ChipIndex, index_chips
from geokd.chips.reading import ChipProbe, Chips, probe_chips, read_chips, scale_notes
from geokd.errors import CallError, ChipError, RecipeError, one_message
from geokd.legend.classes import NODATA, LandUseClass, Legend, default_legend, machine_name
from geokd.model.contract import InputContract, ValueScaling
from geokd.system.progress import Progress
from geokd.training.data.batches import NO_LABEL
from geokd.training.data.split import block_split, listed_split, stratified_split
from geokd.training.recipe import InputRecipe, Recipe
from geokd.training.recipe_file import expanded

_FALLBACK_RESOLUTION_M = 10.0


@dataclass(frozen=True, eq=False)
class TrainingData:
    """The data of a training run.

    Parameters
    ----------
    name : str
        Name of the folder or archive of chips.
    contract : InputContract
    legend : Legend
    training, validation : Chips
    split : str
        How they were split, in words.
    unlabelled : Chips or None
        Unlabelled patches that are held out, if the training of an old student is continued.
    derived_from : dict or None
        Name, precision and hash of the bundle of that student.
    """

    name: str
    contract: InputContract
    legend: Legend
    training: Chips
    validation: Chips
    split: str
    unlabelled: Chips | None = None
    derived_from: dict[str, str] | None = None

    @property
    def labelled(self) -> Chips:
        """Training chips that have a label: those of the teacher."""
        labelled = self.training.labels != NO_LABEL
        return self.training if labelled.all() else subset(self.training, np.flatnonzero(labelled))

    @property
    def notes(self) -> tuple[str, ...]:
        """Choices made in reading the chips, and possible problems."""
        return tuple(dict.fromkeys((*self.training.notes, *self.validation.notes)))

    def to_json(self) -> dict[str, Any]:
        """Return the record of a run's data: names, counts and hashes."""
        return {
            "chips": self.name,
            "split": self.split,
            "notes": list(self.notes),
            "fingerprint": self.training.fingerprint,
            "validation_fingerprint": self.validation.fingerprint,
            "training_sha256": _hash(self.training),  # among those that the split left for training, in order
            "labelled_sha256": _hash(self.labelled),
            "validation_sha256": _hash(self.validation),
        }


def join(labelled: Chips, others: Chips) -> Chips:
    """Concatenate chips and others without coordinates."""
    return Chips(
        pixels=np.concatenate([labelled.pixels, others.pixels]),
        labels=np.concatenate([labelled.labels, others.labels]),
        bounds=None,
        picture_hashes=np.concatenate([labelled.picture_hashes, others.picture_hashes]),
        fingerprint=hashlib.sha256(f"{labelled.fingerprint} {others.fingerprint}".encode()).hexdigest(),
        notes=(*labelled.notes, *others.notes),
    )


def read_training_data(
    chips: str | Path, recipe: Recipe, validation: str | Path | None, progress: Progress
) -> TrainingData:
    """Read chips, and split them according to the recipe, or use `validation` for validation.

    Raises
    ------
    CallError
        If the chips do not exist, or are split in two ways.
    ChipError
        If they cannot be read, do not fit the recipe, or are too few.
    """
    index = index_chips(chips)
    contract = contract_of(recipe, index, progress)
    legend = _legend(recipe, index)
    training, apart, how = _read_and_split(recipe, index, contract, validation)
    training, twins = without_twins(training, apart)
    how += twins
    _check_enough(training, index.classes)
    data = TrainingData(index.root.name, contract, legend, training, apart, how)
    for note in data.notes:
        progress(note)
    progress(f"split {how}")
    return with_labels(data, recipe, progress) if recipe.split.labelled_share < 1 else data


def with_labels(data: TrainingData, recipe: Recipe, progress: Progress) -> TrainingData:
    """Keep the labels of the recipe's `labelled_share` of the training chips, all of which have labels."""
    share, labels = recipe.split.labelled_share, data.training.labels
    generator = np.random.default_rng(split_seed(recipe))
    kept = np.zeros(len(labels), np.bool_)
    for k in np.unique(labels):  # a smaller share is part of a larger one
        of_class = generator.permutation(np.flatnonzero(labels == k))
        kept[of_class[: max(1, round(share * len(of_class)))]] = True
    how = f"{kept.sum()} of the training chips keep their labels"
    if recipe.split.unlabelled == "teacher":
        how += ", for the others the student is trained on the teacher's answers"
        training = replace(data.training, labels=np.where(kept, labels, NO_LABEL))
    else:
        how += ", the others are left out"
        training = subset(data.training, np.flatnonzero(kept))
    progress(how)
    return replace(data, training=training, split=f"{data.split}; {how}")


def split_seed(recipe: Recipe) -> int:
    """Seed of split and labelled share."""
    return recipe.seed if recipe.split.seed is None else recipe.split.seed


def spread(labels: NDArray[np.int64], count: int, seed: int) -> NDArray[np.int64]:
    """Draw up to `count` chips, as evenly over the classes as possible."""
    generator = np.random.default_rng(seed)
    order = generator.permutation(len(labels))
    rank = np.zeros(len(labels), np.int64)
    for k in np.unique(labels):
        rank[order[labels[order] == k]] = np.arange((labels == k).sum())
    return np.sort(order[np.argsort(rank[order], kind="stable")][:count])


def contract_of(recipe: Recipe, index: ChipIndex, progress: Progress) -> InputContract:
    """Complete the recipe's input from the chips, with notes."""
    probe = probe_chips(index)
    patch_px = recipe.input.patch_px or probe.side_px
    if recipe.input.patch_px is None:
        progress(f"patches of {patch_px} px, the most common side of the chips (set another with input.patch_px)")
    resolution_m = recipe.input.ground_resolution_m
    stated = resolution_m is not None
    if resolution_m is None and probe.ground_m is not None:
        resolution_m = round(probe.ground_m[1] / patch_px, 6)
        progress(f"ground resolution {resolution_m:g} m, from the chips' coordinates")
    elif resolution_m is None:
        resolution_m = _FALLBACK_RESOLUTION_M
        progress(
            f"ground resolution {resolution_m:g} m is assumed, because the chips have no coordinates"
            " (set another with input.ground_resolution_m)"
        )
    if stated and probe.ground_m is None and patch_px != probe.side_px:
        progress(
            f"chips of {probe.side_px} px become patches of {patch_px} px, whose pixels are those of"
            f" {resolution_m:g} m (input.ground_resolution_m), so the chips' own measure"
            f" {resolution_m * patch_px / probe.side_px:.3g} m: if not, correct it"
        )
    bands, scaling = _bands_and_scaling(recipe.input, probe, progress)
    try:
        contract = InputContract(bands, patch_px, resolution_m, scaling)
    except ValueError as error:
        raise RecipeError(f"the recipe's [input], as completed by the chips, cannot be used: {error}") from error
    notes = scale_notes(probe, contract)
    if notes and stated:
        raise ChipError(f"{notes[0]}, or correct input.ground_resolution_m of the recipe")
    for note in notes:
        progress(f"warning: {note}")
    return contract


def _bands_and_scaling(
    recipe: InputRecipe, probe: ChipProbe, progress: Progress
) -> tuple[tuple[str, ...], ValueScaling | None]:
    """Use the recipe's bands and stretch, or the usual ones for such chips, with notes."""
    bands, scaling = recipe.bands, recipe.value_scaling
    depth = "8 bits" if probe.bits_8 else "more than 8 bits"
    if bands is None:
        bands = ("red", "green", "blue") if probe.bits_8 else ("B04", "B03", "B02")
        progress(f"bands {', '.join(bands)} are assumed for chips of {depth} (set others with input.bands)")
    if scaling == "auto":
        scaling = None if probe.bits_8 else ValueScaling()
        what = "will accept only 8-bit scenes"
        if scaling is not None:
            what = f"will use reflectance x 10,000, stretched from {scaling}"
        progress(f"the student {what}, as for chips of {depth} (set another stretch with input.value_scaling)")
    return bands, scaling


def _legend(recipe: Recipe, index: ChipIndex) -> Legend:
    """Classes in the order of the chip folders; titles and colours from the recipe if it has them."""
    names = [machine_name(c) for c in index.classes]
    folded = [name.casefold() for name in names]
    doubled = [c for c, name in zip(index.classes, folded, strict=True) if folded.count(name) > 1]
    unknown = sorted({e.name for e in recipe.legend} - set(names) - set(index.classes))
    named = recipe.augmentation
    asked = {*named.water_classes, *named.unmixed_classes, *named.strip_classes}
    absent = sorted(asked - set(names) - set(index.classes))
    if doubled:
        raise ChipError(
            f"class folders of {index.root} differ only in case, or in characters that names cannot have:"
            f" {', '.join(doubled)}; merge them, or rename them"
        )
    if len(names) > NODATA:
        raise ChipError(f"{index.root} has {len(names)} class folders; a map can have at most {NODATA} classes")
    if (named.mix_share or named.mixup_share) and all(c in named.unmixed_classes for c in index.classes):
        raise ChipError(
            "augmentation.mix_share or mixup_share has nothing to mix: all classes are among unmixed_classes"
        )
    if unknown or absent:
        raise ChipError(f"the recipe names classes that have no chips in {index.root}: {', '.join(unknown + absent)}")
    entries = {machine_name(e.name): e for e in recipe.legend}
    try:
        defaults = default_legend(index.classes)
        return Legend(
            tuple(
                LandUseClass(c.value, c.name, entries[c.name].title, entries[c.name].color_hint)
                if c.name in entries
                else c
                for c in defaults
            )
        )
    except ValueError as error:
        raise ChipError(f"the classes of {index.root}, or [[legend]] of the recipe, cannot be used: {error}") from error


def _read_and_split(
    recipe: Recipe,
    index: ChipIndex,
    contract: InputContract,
    validation: str | Path | None,
) -> tuple[Chips, Chips, str]:
    """Read chips for training and validation; the text describes how they were split."""
    if validation is not None and recipe.split.file is not None:
        raise CallError(
            f"the recipe splits the chips with {recipe.split.file}, but validation chips are given, too; leave one out"
        )
    if validation is not None:
        other = index_chips(validation)
        if other.classes != index.classes:
            lacks = [
                f"{there.root} has no {', '.join(sorted(set(here.classes) - set(there.classes)))}"
                for here, there in ((index, other), (other, index))
                if set(here.classes) - set(there.classes)
            ]
            raise ChipError(
                f"training and validation chips have different classes: {'; '.join(lacks)}; rename them, or"
                " move the others away"
            )
        chips, apart = _read_both(index, other, contract)
        if notes := scale_notes(probe_chips(other), contract):
            raise ChipError(f"the validation chips differ from the training chips: {notes[0]}")
        how = f"given: {len(chips.labels)} training and {len(apart.labels)} validation chips"
        return chips, apart, how
    chips = read_chips(index, contract)
    share, seed = recipe.split.validation_share, split_seed(recipe)
    if recipe.split.file is not None:
        path = expanded(recipe.split.file)
        training, apart_at = listed_split(index.files, path, recipe.split.training, recipe.split.validation)
        how = f"by {path.name}, {' and '.join(recipe.split.training)} for training,"
        how += f" {' and '.join(recipe.split.validation)} for validation"
    elif chips.bounds is not None:
        how = f"in blocks of {recipe.split.block_m:g} m"
        training, apart_at = block_split(chips.labels, chips.bounds, share, recipe.split.block_m, seed)
    else:
        how = "at random, stratified; neighbouring chips on both sides may make the accuracy too high"
        training, apart_at = stratified_split(chips.labels, share, seed)
    how += f": {len(training)} training and {len(apart_at)} validation chips"
    left_out = len(chips.labels) - len(training) - len(apart_at)
    if left_out:
        how += f", {left_out} left out"
        how += "" if recipe.split.file is not None else " because they overlap validation chips"
    unseen = [name for k, name in enumerate(index.classes) if k not in chips.labels[apart_at]]
    if unseen:
        how += f"; no validation chip of {', '.join(unseen)}"
    return subset(chips, training), subset(chips, apart_at), how


def _read_both(training: ChipIndex, validation: ChipIndex, contract: InputContract) -> tuple[Chips, Chips]:
    """Read chips for training and those for validation; problems of both are reported together."""
    problems = []
    read = []
    for index in (training, validation):
        try:
            read.append(read_chips(index, contract))
        except ChipError as error:
            problems.append(str(error))
    if problems:
        raise ChipError(one_message(problems))
    return read[0], read[1]


def without_twins(training: Chips, validation: Chips) -> tuple[Chips, str]:
    """Leave out training chips that equal validation chips, with a note: the accuracy would include memorised chips."""
    twins = np.isin(training.picture_hashes, validation.picture_hashes)
    if not twins.any():
        return training, ""
    said = f"; {twins.sum()} training chips left out that equal validation chips"
    return subset(training, np.flatnonzero(~twins)), said


def _check_enough(training: Chips, classes: tuple[str, ...]) -> None:
    """Check that each class has training chips, and that there are at least two classes."""
    if len(classes) == 1:
        raise ChipError(f"{classes[0]} is the only class; add chips of other classes")
    untaught = [name for k, name in enumerate(classes) if k not in training.labels]
    if untaught:
        raise ChipError(
            f"no training chips are left of {', '.join(untaught)}, without those that equal validation chips; add some"
        )


def subset(chips: Chips, which: NDArray[np.int64]) -> Chips:
    """Take some chips, by number."""
    bounds = None if chips.bounds is None else chips.bounds[which]
    taken = {name: getattr(chips, name)[which] for name in ("pixels", "labels", "picture_hashes")}
    return replace(chips, bounds=bounds, **taken)


def _hash(chips: Chips) -> str:
    """Hash of pixels and labels, hexadecimal."""
    digest = hashlib.sha256(np.ascontiguousarray(chips.pixels).data)
    digest.update(np.ascontiguousarray(chips.labels).data)
    return digest.hexdigest()
