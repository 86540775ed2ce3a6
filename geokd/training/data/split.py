"""Splitting off validation chips."""

import csv
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from geokd.errors import CallError, ChipError
from geokd.system.documents import csv_rows, read_text

Indices = NDArray[np.int64]


def listed_split(
    files: Sequence[str], path: Path, training: Collection[str], validation: Collection[str]
) -> tuple[Indices, Indices]:
    """Split with a CSV whose first two columns are a chip, `Class/name.jpg`, and its part.

    Parameters
    ----------
    files : sequence of str
        The chips, with `/` between folders; the last two names of each are looked up.
    path : Path
    training, validation : collections of str
        Names of parts; chips of other parts are left out.

    Returns
    -------
    training, validation : int64 arrays of chip numbers, sorted

    Raises
    ------
    CallError
        If the file does not exist.
    ChipError
        If it is not such a CSV, lacks chips, or leaves a side empty.
    """
    try:
        rows = csv_rows(read_text(path))
    except OSError as error:
        raise CallError(f"cannot read the split {path}: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise ChipError(f"the split {path} is not a CSV file: {error}") from error
    both = set(training) & set(validation)
    if both:
        raise ChipError(
            f"the part {', '.join(sorted(both))} of the split {path} is named for both training and validation"
        )
    listed = [(row[0].strip(), row[1].strip()) for row in rows if len(row) >= 2]
    parts = dict(listed)
    torn = sorted({key for key, part in listed if parts[key] != part})
    if torn:
        raise ChipError(f"the split {path} puts {len(torn)} chips into two parts, {torn[0]} first")
    keys = ["/".join(name.split("/")[-2:]) for name in files]
    lacking = [key for key in keys if key not in parts]
    if lacking:
        last = ",".join(rows[-1]) if rows else ""
        raise ChipError(
            f"the split {path} lacks {len(lacking)} of {len(keys)} chips, {lacking[0]} first; each line"
            f" has a chip, such as Class/name.jpg, a comma and its part; the last is {last!r}"
        )
    sides = [
        np.array([i for i, key in enumerate(keys) if parts[key] in names], np.int64) for names in (training, validation)
    ]
    for names, side in zip((training, validation), sides, strict=True):
        if not len(side):
            known = ", ".join(sorted({parts[key] for key in keys}))
            raise ChipError(f"the split {path} has no chip of the part {' or '.join(names)}; its parts are {known}")
    untaught = sorted({key.split("/")[0] for key in keys} - {keys[i].split("/")[0] for i in sides[0]})
    if untaught:
        raise ChipError(f"the split {path} leaves no chips for training of {', '.join(untaught)}; leave these out")
    return sides[0], sides[1]


def stratified_split(labels: Indices, validation_share: float, seed: int) -> tuple[Indices, Indices]:
    """Draw the share of each class at random, at least one chip for each side; a class of one chip is for training.

    Returns
    -------
    training, validation : int64 arrays of chip numbers, sorted

    Raises
    ------
    ChipError
        If no class has two chips.
    """
    counts = np.bincount(labels)
    if counts.max() < 2:
        raise ChipError("there are too few chips to train and validate: one per class; add some")
    generator = np.random.default_rng(seed)
    validation = []
    for k, count in enumerate(counts):
        chips = generator.permutation(np.flatnonzero(labels == k))
        validation.append(chips[: max(0, min(max(1, round(validation_share * count)), count - 1))])
    chosen = np.sort(np.concatenate(validation))
    return np.setdiff1d(np.arange(len(labels)), chosen), chosen


def block_split(
    labels: Indices, bounds: NDArray[np.float64], validation_share: float, block_m: float, seed: int
) -> tuple[Indices, Indices]:
    """Hold out whole squares of ground, so that no validation chip overlaps a training chip.

    Chips belong to the square of side `block_m` that holds their centre. Squares, in random order, are used for
    validation as long as they bring a class nearer to its share and leave it training chips. Training chips that
    overlap a validation chip are left out of both.

    Parameters
    ----------
    labels : int64 array (N,)
    bounds : float64 array (N, 4)
        Left, bottom, right, top, in the units of `block_m`.

    Returns
    -------
    training, validation : int64 arrays of chip numbers, sorted

    Raises
    ------
    ChipError
        If a class would be left without training chips, or there would be no validation chip at all.
    """
    block = _blocks(bounds, block_m)
    wanted = validation_share * np.bincount(labels)
    per_block = np.zeros((block.max() + 1, len(wanted)))
    np.add.at(per_block, (block, labels), 1)
    got = np.zeros_like(wanted)
    chosen = []
    for number in np.random.default_rng(seed).permutation(len(per_block)):
        after = got + per_block[number]
        touched = per_block[number] > 0
        if (np.abs(after - wanted) < np.abs(got - wanted))[touched].all():
            got = after
            chosen.append(number)
    training, validation = _apart(bounds, np.isin(block, chosen))
    if not len(validation) or set(labels[training]) != set(labels):
        raise ChipError(
            f"chips cannot be split in blocks of {block_m:g} m: a class lies within too few of them;"
            " make split.block_m smaller in the recipe, or give validation chips"
        )
    return training, validation


def plain_block_split(
    bounds: NDArray[np.float64], validation_share: float, block_m: float, seed: int
) -> tuple[Indices, Indices]:
    """Hold out random squares of ground as :func:`block_split` does, whatever the classes, up to the share of chips.

    For chips of which a class may be left without any, because a student was trained on it already.

    Returns
    -------
    training, validation : int64 arrays of chip numbers, sorted
        Neither overlaps the other; some chips may be in none.
    """
    block = _blocks(bounds, block_m)
    sizes = np.bincount(block)
    order = np.random.default_rng(seed).permutation(len(sizes))
    count = int(np.searchsorted(sizes[order].cumsum(), validation_share * len(bounds))) + 1
    return _apart(bounds, np.isin(block, order[: min(count, len(order) - 1)]))


def _blocks(bounds: NDArray[np.float64], block_m: float) -> Indices:
    """Return the number of the square of side `block_m` that holds the centre of each chip, (N,)."""
    centres = (bounds[:, :2] + bounds[:, 2:]) / 2
    _, block = np.unique(np.floor(centres / block_m).astype(np.int64), axis=0, return_inverse=True)
    return block.ravel()


def _apart(bounds: NDArray[np.float64], is_validation: NDArray[np.bool_]) -> tuple[Indices, Indices]:
    """Return the numbers of the other chips, except those that overlap validation chips, and of these."""
    validation = np.flatnonzero(is_validation)
    others = [i for i in np.flatnonzero(~is_validation) if not _overlaps(bounds[i], bounds[validation])]
    return np.array(others, np.int64), validation


def _overlaps(box: NDArray[np.float64], boxes: NDArray[np.float64]) -> bool:
    """Whether `box` shares area with any of `boxes` (M, 4); touching sides share none."""
    apart = (boxes[:, 0] >= box[2]) | (boxes[:, 2] <= box[0]) | (boxes[:, 1] >= box[3]) | (boxes[:, 3] <= box[1])
    return bool((~apart).any())
