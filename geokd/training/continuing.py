"""Going on with a student that is there: what it is taught by corrected chips, and what keeps it from forgetting.

The old student is the teacher. Corrected chips teach their labels; patches without labels, of the same scene, are
answered as the old student answers them (learning without forgetting, Li and Hoiem 2016, arXiv 1606.09282).
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
from geokd.progress import Progress
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
"""Patches without a label that are shown for each corrected chip, at most."""

_FEWEST_UNLABELLED = 256
_HELD_OUT = 5  # one of so many patches without a label is kept to see what was forgotten
_REVIEWED = "-reviewed"


def continuing_recipe(model: str | Path, changes: Sequence[str] = ()) -> Recipe:
    """Make the recipe that trains the student of a bundle further.

    Input, classes, network and augmentation are the bundle's, but chips are not mixed: corrected ones show several
    land uses as they are. Few steps, small ones; the statistics of batch normalisation stay the old student's.

    Parameters
    ----------
    model : path
        A bundle, or the name of one that ships; of one in int8 the fp32 one beside it is taken.
    changes : sequence of str
        Keys that are set anew, as `section.key=value`.

    Returns
    -------
    Recipe

    Raises
    ------
    BundleError
        If there is no such bundle, or none in fp32, or it does not tell how its student was made.
    RecipeError
        If the changes cannot be made.
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
    """Read corrected chips, of some or all classes of the old student, and patches without a label.

    Parameters
    ----------
    chips, validation
        As of :func:`geokd.training.data.reading.read_training_data`.
    recipe : Recipe
        Of :func:`continuing_recipe`.
    unlabelled : sequence of paths
        Scenes, or folders of chips; if empty, the scene that `chips` were cut from, if it is there.
    progress : Progress

    Raises
    ------
    CallError, ChipError, SceneError, BundleError
        If chips cannot be read, are too few, or are of classes that the old student does not know.
    """
    assert recipe.teacher.from_bundle is not None
    old = load_bundle(recipe.teacher.from_bundle)
    index = _indexed(chips, old)
    contract = contract_of(recipe, index, progress)
    if contract != old.contract:
        raise CallError("[input] of the recipe is not that of the bundle that it continues; leave it as it is")
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
    """Find the fp32 bundle to go on with: the name or path, and the bundle."""
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
        f"{model} is {bundle.precision}, and training can continue fp32 bundles alone; name the fp32 bundle of the same"
        f" student, which geokd export wrote as {beside.name} and which does not lie beside it"
    )


def _recipe_of(bundle: Bundle) -> Recipe:
    if bundle.architecture != "mobilenet_v2":
        raise BundleError(
            f"the bundle {bundle.name} holds {bundle.architecture}, no student that can be trained further"
        )
    origin = bundle.provenance.get("derived_from", {})
    made_of = [(c["name"], c.get("made_of", c.get("from"))) for c in origin.get("classes", [])]  # "from" until 0.1
    if any(old != [name] for name, old in made_of):
        raise BundleError(
            f"the classes of {bundle.name} were renamed or merged by geokd style; continue with {origin['name']}, from"
            " which it was made, and style what comes of it"
        )
    try:
        return recipe_from_json(bundle.provenance["recipe"])
    except (KeyError, TypeError, AttributeError, RecipeError) as error:
        raise BundleError(
            f"the bundle {bundle.name} has no usable recipe of its student ({error}), so it cannot be trained further;"
            " train a student of your own without --init"
        ) from error


def _indexed(chips: str | Path, old: Bundle) -> ChipIndex:
    """List chips, numbered by the classes of the old student."""
    index = index_chips(chips)
    legend: Legend = old.legend
    codes = {name: code for name in index.classes if (code := legend.code_named(name)) is not None}
    strangers = [name for name in index.classes if name not in codes]
    if strangers:
        raise ChipError(
            f"{index.root} has chips of {', '.join(strangers)}, which {old.name} does not know; it knows"
            f" {', '.join(legend.names)}: name the folders so, or train a student of your own classes without --init"
        )
    labels = tuple(codes[index.classes[label]] for label in index.labels)
    return ChipIndex(index.root, index.files, labels, legend.names)


def _split(chips: Chips, recipe: Recipe) -> tuple[Chips, Chips, str]:
    """Hold some corrected chips out, in blocks of ground if they carry coordinates."""
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
    how += f", {left_out} left out since they overlap these" if left_out else ""
    return subset(chips, training), subset(chips, apart), how


def _unlabelled(
    chips: str | Path, sources: Sequence[str | Path], contract: InputContract, most: int, progress: Progress
) -> tuple[Chips | None, Chips | None, str]:
    """Read up to `most` patches without a label, to learn from and to be held out; the text tells of them."""
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
        how = f"no patches without a label, on which the old student would be followed: {lacking}"
        progress(
            f"warning: {how}; without them more is forgotten: give a scene, or a folder of chips, with --unlabelled"
        )
        return None, None, f"; {how}"
    patches = reduce(join, found)
    patches = replace(patches, labels=np.full(len(patches.labels), NO_LABEL))
    held_out = np.arange(len(patches.labels)) % _HELD_OUT == _HELD_OUT - 1
    how = f"{(~held_out).sum()} patches of {' and '.join(Path(source).name for source in wanted)} on which the old"
    how += f" student is followed, {held_out.sum()} on which it is compared"
    progress(how)
    return subset(patches, np.flatnonzero(~held_out)), subset(patches, np.flatnonzero(held_out)), f"; {how}"
