"""From the results of all blocks to the finished map, one row of blocks after the other."""

from collections.abc import Callable, Iterable, Sequence
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from geokd.assessment.drift import Drift, find_drift
from geokd.legend import NODATA
from geokd.mapping.blocks import BlockResult, picture_lines
from geokd.mapping.jobs import MappingJob
from geokd.mapping.mosaic import Mosaic, codes_and_confidence, join_row, own_cells
from geokd.outputs.class_map import ClassMap
from geokd.scenes.grid import PatchBlock


def assemble(job: MappingJob, blocks: Sequence[PatchBlock], read: Callable[[int], BlockResult]) -> Mosaic:
    """Put the blocks of a scene together; no more than one row of them is held at a time.

    Parameters
    ----------
    job : MappingJob
    blocks : sequence of PatchBlock
        As :meth:`geokd.scenes.grid.PatchGrid.blocks` cuts them.
    read : callable
        Gives the result of a block by its number.
    """
    grid, scene, patches = job.patches.cell_grid, job.plan.grid, job.patches
    codes = np.full((grid.height, grid.width), NODATA, np.uint8)
    confidence = codes.copy()
    lines = [picture_lines(size, max(scene.height, scene.width)) for size in (scene.height, scene.width)]
    picture = np.zeros((len(job.plan.bidx), len(lines[0]), len(lines[1])), np.uint8)
    picture_valid = np.zeros(picture.shape[1:], np.bool_)
    classified = valid = 0
    features, sure = [], []
    joined: NDArray[np.float32] | None = None
    for _, row in groupby(range(len(blocks)), key=lambda number: blocks[number].row_start):
        results = [read(number) for number in row]
        joined = join_row(joined, [result.predictions for result in results], patches)
        for result in results:
            own = patches.own_cells(result.predictions.block)
            cells = own_cells(joined, result.predictions.block, patches)
            codes[own], confidence[own] = codes_and_confidence(cells, result.valid_cells, job.options.min_confidence)
            classified += result.classified
            valid += int(result.valid_cells.sum())
            features.append(result.features)
            sure.append(result.confidence)
            shown = [_within(n, cells, patches.stride_px) for n, cells in zip(lines, own, strict=True)]
            picture[:, shown[0], shown[1]] = result.picture
            picture_valid[shown[0], shown[1]] = result.picture_valid
    class_map = ClassMap(codes, confidence, grid, job.legend)
    return Mosaic(class_map, classified, valid, _drift(job, features, sure), picture, picture_valid)


def _within(lines: NDArray[np.int64], cells: slice, stride_px: int) -> slice:
    """Which of the picture's lines show rows or columns of `cells`."""
    first, stop = np.searchsorted(lines, (cells.start * stride_px, cells.stop * stride_px))
    return slice(int(first), int(stop))


def _drift(
    job: MappingJob, features: Iterable[NDArray[np.float64]], confidence: Iterable[NDArray[np.float32]]
) -> Drift | None:
    known = job.bundle.familiarity
    if known is None:
        return None
    return find_drift(
        known, np.concatenate(list(features)), np.concatenate(list(confidence)), job.bundle.contract.bands
    )
