"""Continuing the training of a student: with corrected chips, and with its own answers against forgetting.

The old student is the teacher. The student is trained on the labels of corrected chips, and on the old student's
answers for unlabelled patches of the same scene (learning without forgetting, Li and Hoiem 2016, arXiv 1606.09282).
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import reduce
from pathlib import Path

import numpy as np

from geokd.chips.files import ChipIndex, index_chips
from geokd.chips.folder import origin_of
from geokd.chips.reading import Chips, read_chips
from geokd.chips.unlabelled import read_unlabelled
from geokd.errors import BundleError, CallError, ChipError, GeokdError, RecipeError, SceneError
from geokd.legend.classes import Legend
from geokd.model.bundle import Bundle, load_bundle, resolve_model
from geokd.model.contract import InputContract
from geokd.system.progress import Progress
from geokd.training.data.batches import NO_LABEL
from geokd.training.data.reading import TrainingData, contract_of, join, split_seed, subset, without_twins
from geokd.training.data.split import plain_block_split, stratified_split
from geokd.training.recipe import (
    InputRecipe,
    LegendEntry,
    LossRecipe,
    Recipe,
    SplitRecipe,
    StudentRecipe,
    TeacherRecipe,
)
from geokd.training.recipe_file import changed, recipe_from_json

_FOR_EACH_LABEL = 4
"""Maximum number of unlabelled patches for each corrected chip."""

_FEWEST_UNLABELLED = 256
_HELD_OUT = 5  # one in this many unlabelled patches is held out, to measure forgetting
_REVIEWED = "-reviewed"


def continuing_recipe(model: str | Path, changes: Sequence[str] = ()) -> Recipe:
    """Make the recipe that continues the training of a bundle's student.

    Input, classes, network and augmentation are the bundle's, but chips are not mixed: corrected ones show several land
    uses already. There are few steps with a low learning rate; batch normalisation keeps the old student's statistics.

    Parameters
    ----------
    model : path
        A bundle, or the name of a shipped one; for an int8 one the fp32 one beside it is used.
    changes : sequence of str
        Changed keys, as `section.key=value`.

    Returns
    -------
    Recipe

    Raises
    ------
    BundleError
        If the bundle does not exist, there is none in fp32, or it has no recipe of its student.
    RecipeError
        If the changes are invalid.
    """
    name, bundle = _fp32(model)
    before = _recipe_of(bundle)
    contract = bundle.contract
    recipe = Recipe(
        name=bundle.name if bundle.name.endswith(_REVIEWED) else bundle.name + _REVIEWED,
        seed=before.seed,
        input=InputRecipe(contract.bands, contract.patch_px, contract.ground_resolution_m, contract.value_scaling),
        split=SplitRecipe(block_m=2 * contract.patch_px * contract.ground_resolution_m),
        teacher=TeacherRecipe(from_bundle=name, epochs=0),
        student=StudentRecipe(
            initial_weights=name,
            epochs=10,
            batch_size=32,
            learning_rate=1e-4,
            weight_decay=before.student.weight_decay,
            dropout=before.student.dropout,
            stem_stride=before.student.stem_stride,
            upsample=before.student.upsample,
            int8_epochs=min(before.student.int8_epochs, 2),
            batch_statistics="kept",
        ),
        loss=LossRecipe(kl=1.0, cosine=0.0, temperature=2.0, teacher_on="unlabelled", teacher_views="mean"),
        augmentation=replace(before.augmentation, mix_share=0.0, mixup_share=0.0),
        legend=tuple(LegendEntry(c.name, c.title, c.color_hint) for c in bundle.legend),
    )
    return changed(recipe, changes, f"the recipe that continues with {model}")


def read_corrected_data(
    chips: str | Path,
    recipe: Recipe,
    validation: str | Path | None,
    unlabelled: Sequence[str | Path],
    progress: Progress,
) -> TrainingData:
    """Read corrected chips, of some or all classes of the old student, and unlabelled patches.

    Parameters
    ----------
    chips, validation
        As for :func:`geokd.training.data.reading.read_training_data`.
    recipe : Recipe
        From :func:`continuing_recipe`.
    unlabelled : sequence of paths
        Scenes, or folders of chips; if empty, the scene that `chips` were cut from, if it exists.
    progress : Progress

    Raises
    ------
    CallError, ChipError, SceneError, BundleError
        If chips cannot be read, are too few, or are of classes that the old student does not have.
    """
    assert recipe.teacher.from_bundle is not None
    old = load_bundle(recipe.teacher.from_bundle)
    index = _indexed(chips, old)
    contract = contract_of(recipe, index, progress)
    if contract != old.contract:
        raise CallError("[input] of the recipe differs from that of the bundle; do not change it")
    labelled = read_chips(index, contract)
    if validation is None:
        training, apart, how = _split(labelled, recipe)
    else:
        training, apart = labelled, read_chips(_indexed(validation, old), contract)
        how = f"given: {len(training.labels)} corrected chips and {len(apart.labels)} validation chips"
        training, twins = without_twins(training, apart)
        how += twins
    if not len(training.labels):
        raise ChipError(f"{chips} leaves no chips for training, {len(apart.labels)} are for validation; correct more")
    progress(f"split {how}")
    most = max(_FEWEST_UNLABELLED, _FOR_EACH_LABEL * len(training.labels))
    rest, held_out, source = _unlabelled(chips, unlabelled, contract, most, progress)
    data = TrainingData(
        name=index.root.name,
        contract=contract,
        legend=old.legend,
        training=training if rest is None else join(training, rest),
        validation=apart,
        split=how + source,
        unlabelled=held_out,
        derived_from={"name": old.name, "precision": old.precision, "sha256": old.sha256},
    )
    for note in data.notes:
        progress(note)
    return data


def _fp32(model: str | Path) -> tuple[str, Bundle]:
    """Find the fp32 bundle to continue with: its name or path, and the bundle."""
    bundle = load_bundle(model)
    if bundle.precision == "fp32":
        return str(model), bundle
    path = resolve_model(model)
    beside = path.with_name(f"{path.stem}-fp32.onnx")
    if beside.is_file():
        other = load_bundle(beside)
        if other.precision == "fp32" and other.name == bundle.name and other.legend == bundle.legend:
            return (f"{model}-fp32" if path.name == f"{model}.onnx" else str(beside)), other
    raise BundleError(
        f"{model} is {bundle.precision}, but training can continue only fp32 bundles; name the fp32 bundle of the same"
        f" student, which geokd export wrote as {beside.name}; it is not beside the int8 one"
    )


def _recipe_of(bundle: Bundle) -> Recipe:
    if bundle.architecture != "mobilenet_v2":
        raise BundleError(
            f"the bundle {bundle.name} holds {bundle.architecture}, not a student that can be trained further"
        )
    origin = bundle.provenance.get("derived_from", {})
    made_of = [(c["name"], c.get("made_of", c.get("from"))) for c in origin.get("classes", [])]  # "from" until 0.1
    if any(old != [name] for name, old in made_of):
        raise BundleError(
            f"the classes of {bundle.name} were renamed or merged by geokd style; continue with {origin['name']}, from"
            " which it was made, and style the result"
        )
    try:
        return recipe_from_json(bundle.provenance["recipe"])
    except (KeyError, TypeError, AttributeError, RecipeError) as error:
        raise BundleError(
            f"the bundle {bundle.name} has no usable recipe of its student ({error}), so it cannot be trained further;"
            " train a new student without --init"
        ) from error


def _indexed(chips: str | Path, old: Bundle) -> ChipIndex:
    """List chips, numbered by the classes of the old student."""
    index = index_chips(chips)
    legend: Legend = old.legend
    codes = {name: code for name in index.classes if (code := legend.code_named(name)) is not None}
    strangers = [name for name in index.classes if name not in codes]
    if strangers:
        raise ChipError(
            f"{index.root} has chips of {', '.join(strangers)}, which {old.name} does not have; it has"
            f" {', '.join(legend.names)}: rename the folders, or train a new student of your classes without --init"
        )
    labels = tuple(codes[index.classes[label]] for label in index.labels)
    return ChipIndex(index.root, index.files, labels, legend.names)


def _split(chips: Chips, recipe: Recipe) -> tuple[Chips, Chips, str]:
    """Hold out some corrected chips, in spatial blocks if they have coordinates."""
    seed = split_seed(recipe)
    share = recipe.split.validation_share
    if chips.bounds is None:
        how = "at random, stratified"
        training, apart = stratified_split(chips.labels, share, seed)
    else:
        how = f"in blocks of {recipe.split.block_m:g} m"
        training, apart = plain_block_split(chips.bounds, share, recipe.split.block_m, seed)
        if not len(apart):
            raise ChipError(
                f"the corrected chips lie within one square of {recipe.split.block_m:g} m, so none can be held out;"
                " review more of the map, give validation chips, or make split.block_m smaller"
            )
    how += f": {len(training)} corrected chips for training, {len(apart)} held out"
    left_out = len(chips.labels) - len(training) - len(apart)
    how += f", {left_out} left out because they overlap these" if left_out else ""
    return subset(chips, training), subset(chips, apart), how


def _unlabelled(
    chips: str | Path, sources: Sequence[str | Path], contract: InputContract, most: int, progress: Progress
) -> tuple[Chips | None, Chips | None, str]:
    """Read up to `most` unlabelled patches, for training and to be held out, with a description."""
    wanted: list[str | Path] = list(sources)
    if not wanted:
        origin = origin_of(Path(chips))
        wanted = [origin] if origin else []
    lacking: GeokdError | str = "the scene that the chips were cut from is unknown"
    found = []
    for source in wanted:
        try:
            found.append(read_unlabelled(source, contract, most // len(wanted)))
        except (CallError, SceneError) as error:
            if sources:
                raise
            lacking = error
    if not found:
        how = f"no unlabelled patches, on which the old answers would be preserved: {lacking}"
        progress(f"warning: {how}; without them it forgets more: give a scene, or a folder of chips, with --unlabelled")
        return None, None, f"; {how}"
    patches = reduce(join, found)
    patches = replace(patches, labels=np.full(len(patches.labels), NO_LABEL))
    held_out = np.arange(len(patches.labels)) % _HELD_OUT == _HELD_OUT - 1
    how = f"{(~held_out).sum()} patches of {' and '.join(Path(source).name for source in wanted)} on which the old"
    how += f" student's answers are preserved, {held_out.sum()} to measure forgetting"
    progress(how)
    return subset(patches, np.flatnonzero(~held_out)), subset(patches, np.flatnonzero(held_out)), f"; {how}"
