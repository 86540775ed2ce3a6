"""From the results of all blocks to the finished map, one row of blocks after the other."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from geokd.assessment.drift import Drift, find_drift
from geokd.legend import NODATA
from geokd.mapping.blocks import BlockResult, picture_lines
from geokd.mapping.jobs import MappingJob
from geokd.mapping.majority import smooth
from geokd.mapping.mosaic import Filtered, Mosaic, codes_and_confidence, join_row, own_cells, percentages
from geokd.mapping.sieve import Sieved, sieve
from geokd.outputs.class_map import ClassMap
from geokd.scenes.grid import PatchBlock

Read = Callable[[int], BlockResult]
"""Gives the result of a block by its number."""

_RowOfBlocks = list[tuple[BlockResult, tuple[slice, slice], NDArray[np.float64]]]


def assemble(job: MappingJob, blocks: Sequence[PatchBlock], read: Read) -> Mosaic:
    """Put the blocks of a scene together; no more than one row of them is held at a time.

    Parameters
    ----------
    job : MappingJob
    blocks : sequence of PatchBlock
        As :meth:`geokd.scenes.grid.PatchGrid.blocks` cuts them.
    read : callable
    """
    grid, scene, patches = job.patches.cell_grid, job.plan.grid, job.patches
    codes = np.full((grid.height, grid.width), NODATA, np.uint8)
    confidence = codes.copy()
    lines = [picture_lines(size, max(scene.height, scene.width)) for size in (scene.height, scene.width)]
    picture = np.zeros((len(job.plan.bidx), len(lines[0]), len(lines[1])), np.uint8)
    picture_valid = np.zeros(picture.shape[1:], np.bool_)
    classified = valid = 0
    features, sure = [], []
    for row in _rows_of_blocks(job, blocks, read):
        for result, own, cells in row:
            codes[own], confidence[own] = codes_and_confidence(cells, result.valid_cells, job.options.min_confidence)
            classified += result.classified
            valid += int(result.valid_cells.sum())
            features.append(result.features)
            sure.append(result.confidence)
            shown = [_within(n, cells, patches.stride_px) for n, cells in zip(lines, own, strict=True)]
            picture[:, shown[0], shown[1]] = result.picture
            picture_valid[shown[0], shown[1]] = result.picture_valid
    filtered = _filter(job, codes, confidence, probability_rows(job, blocks, read)) if job.options.filters else None
    class_map = ClassMap(codes, confidence, grid, job.legend)
    return Mosaic(class_map, classified, valid, filtered, _drift(job, features, sure), picture, picture_valid)


def probability_rows(
    job: MappingJob, blocks: Sequence[PatchBlock], read: Read
) -> Iterator[tuple[slice, NDArray[np.uint8]]]:
    """Yield the map's rows from above, and the probability of each class there in percent.

    Parameters
    ----------
    job, blocks, read
        As :func:`assemble` takes them.

    Yields
    ------
    rows : slice
    percent : uint8 array (K, rows, cols); 255 where a cell is not mapped
    """
    for row in _rows_of_blocks(job, blocks, read):
        parts = [percentages(cells, result.valid_cells) for result, _, cells in row]
        yield row[0][1][0], np.concatenate(parts, axis=2)


def _rows_of_blocks(job: MappingJob, blocks: Sequence[PatchBlock], read: Read) -> Iterator[_RowOfBlocks]:
    """Yield rows of blocks: of each block its result, the cells that are its own, and their probabilities."""
    joined: NDArray[np.float32] | None = None
    for _, row in groupby(range(len(blocks)), key=lambda number: blocks[number].row_start):
        results = [read(number) for number in row]
        joined = join_row(joined, [result.predictions for result in results], job.patches)
        places = [(result, result.predictions.block) for result in results]
        yield [(r, job.patches.own_cells(block), own_cells(joined, block, job.patches)) for r, block in places]


def _filter(
    job: MappingJob,
    codes: NDArray[np.uint8],
    confidence: NDArray[np.uint8],
    percent: Iterable[tuple[slice, NDArray[np.uint8]]],
) -> Filtered:
    """Smooth and sieve the codes, in place; a cell of a new class gets the model's probability of that class."""
    options, classes = job.options, len(job.bundle.legend)
    before, sieved = codes.copy(), Sieved(0, 0)
    if options.smooth_cells > 1:
        smooth(codes, classes, options.smooth_cells)
    if options.min_area_ha > 0:
        sieved = sieve(codes, job.patches.cell_grid, classes, options.min_area_ha)
    changed_cells = 0
    for rows, probabilities in percent:
        changed = codes[rows] != before[rows]
        row, col = np.nonzero(changed)
        confidence[rows][changed] = probabilities[codes[rows][changed], row, col]
        changed_cells += len(row)
    return Filtered(changed_cells, sieved.merged, sieved.left)


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
