"""Setting validation chips apart. Pure numpy."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from geokd.errors import ChipError

Indices = NDArray[np.int64]


def stratified_split(
    labels: Indices, classes: Sequence[str], validation_share: float, seed: int
) -> tuple[Indices, Indices]:
    """Draw the share of each class at random, at least one chip of each for either side.

    Returns
    -------
    training, validation : int64 arrays of chip numbers, sorted

    Raises
    ------
    ChipError
        If a class has fewer than two chips.
    """
    counts = np.bincount(labels, minlength=len(classes))
    few = [f"{classes[k]} ({counts[k]})" for k in range(len(classes)) if counts[k] < 2]
    if few:
        raise ChipError(
            f"too few chips to train and validate: {', '.join(few)}; give each class at least 2, or leave it out"
        )
    generator = np.random.default_rng(seed)
    validation = []
    for k, count in enumerate(counts):
        chips = generator.permutation(np.flatnonzero(labels == k))
        validation.append(chips[: min(max(1, round(validation_share * count)), count - 1)])
    chosen = np.sort(np.concatenate(validation))
    return np.setdiff1d(np.arange(len(labels)), chosen), chosen


def block_split(
    labels: Indices, bounds: NDArray[np.float64], validation_share: float, block_m: float, seed: int
) -> tuple[Indices, Indices]:
    """Set whole squares of ground apart, so that no validation chip overlaps a training chip.

    Chips belong to the square of side `block_m` that holds their centre. Squares, in random order, go to validation
    as long as they bring a class nearer to its share and leave it training chips. Training chips that overlap a
    validation chip are left out of both.

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
    centres = (bounds[:, :2] + bounds[:, 2:]) / 2
    _, block = np.unique(np.floor(centres / block_m).astype(np.int64), axis=0, return_inverse=True)
    block = block.ravel()
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
    is_validation = np.isin(block, chosen)
    validation = np.flatnonzero(is_validation)
    training = np.array(
        [i for i in np.flatnonzero(~is_validation) if not _overlaps(bounds[i], bounds[validation])], np.int64
    )
    if not len(validation) or set(labels[training]) != set(labels):
        raise ChipError(
            f"chips cannot be split in blocks of {block_m:g} m: a class lies within too few of them;"
            " make split.block_m smaller in the recipe, or give validation chips of your own"
        )
    return training, validation


def _overlaps(box: NDArray[np.float64], boxes: NDArray[np.float64]) -> bool:
    """Whether `box` shares area with any of `boxes` (M, 4); touching sides share none."""
    apart = (boxes[:, 0] >= box[2]) | (boxes[:, 2] <= box[0]) | (boxes[:, 1] >= box[3]) | (boxes[:, 3] <= box[1])
    return bool((~apart).any())
