"""Answers of patch and dense students for labelled chips, each of which has one class."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from geokd.chips.reading import ChipProbe
from geokd.mapping.cells import mean_probabilities
from geokd.model.contract import InputContract
from geokd.model.engine import Student
from geokd.scenes.reader import mirrored

_LEAST = 1e-30  # of a probability, before its logarithm


def chip_contract(contract: InputContract, probe: ChipProbe) -> InputContract:
    """Return the contract for reading chips: a dense student takes them at their own size, up to its patch's."""
    if not contract.is_dense:
        return contract
    return replace(contract, patch_px=min(max(probe.side_px, 8), contract.patch_px), cell_px=None, margin_px=0)


def chip_logits(student: Student, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Run a student on chips.

    A dense student answers with the mean probability over the cells of a chip. A chip smaller than its patch is placed
    in the middle and mirrored at its edges; for a chip as large as its patch, the margin is left out.

    Parameters
    ----------
    student : Student
    pixels : uint8 array (N, C, side, side)
        Read with the contract of :func:`chip_contract`.

    Returns
    -------
    float32 array (N, K)
        Logits; for a dense student those whose softmax, at its temperature, is the mean probability.

    Raises
    ------
    BundleError
        As for :meth:`geokd.model.engine.Student.logits`.
    """
    contract = student.bundle.contract
    if contract.cell_px is None:
        return student.logits(pixels)
    side, cell, temperature = pixels.shape[-1], contract.cell_px, student.bundle.temperature
    before = (contract.patch_px - side) // 2 // cell * cell
    places = mirrored(-before, contract.patch_px, side)
    start, stop = max(before, contract.margin_px), min(before + side, contract.patch_px - contract.margin_px)
    own = slice(start // cell, max(stop // cell, start // cell + 1))
    logits = np.empty((len(pixels), len(student.bundle.legend)), np.float32)
    for number, chip in enumerate(pixels):
        (answer,) = student.answers(chip[np.newaxis, :, places][:, :, :, places])
        means = mean_probabilities(answer[:, :, own, own], temperature)
        logits[number] = temperature * np.log(np.maximum(means[0], _LEAST))
    return logits
