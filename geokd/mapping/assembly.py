"""From the results of all blocks to the finished map, one row of blocks after the other."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from geokd.legend.classes import NODATA
from geokd.mapping.blocks import BlockResult, picture_lines
from geokd.mapping.cells import CellAnswers
from geokd.mapping.jobs import MappingJob
from geokd.mapping.overlapping import (
    Filtered,
    Mosaic,
    PatchPredictions,
    codes_and_confidence,
    join_row,
    own_cells,
    percentages,
)
from geokd.maps.class_map import ClassMap
from geokd.maps.filters.majority import smooth
from geokd.maps.filters.sieve import Sieved, sieve
from geokd.maps.geotiff import Part
from geokd.model.drift import Drift, find_drift
from geokd.scenes.grid import PatchBlock, PatchGrid


class Read(Protocol):
    """Gives the result of a block by its number; probabilities of a dense student's cells only if they are wanted."""

    def __call__(self, number: int, *, percent: bool = False) -> BlockResult:
        """Return the result of block `number`."""


class _Own(NamedTuple):
    """A block's result, the cells that are its own, and what is final for these."""

    result: BlockResult
    place: tuple[slice, slice]
    cells: CellAnswers


def assemble(job: MappingJob, blocks: Sequence[PatchBlock], read: Read) -> Mosaic:
    """Put the blocks of a scene together; no more than one row of them is held at a time.

    Parameters
    ----------
    job : MappingJob
    blocks : sequence of PatchBlock
        As :meth:`geokd.scenes.grid.PatchGrid.blocks` cuts them.
    read : Read
    """
    grid, scene, patches = job.patches.cell_grid, job.plan.grid, job.patches
    codes = np.full((grid.height, grid.width), NODATA, np.uint8)
    confidence = codes.copy()
    lines = [picture_lines(size, max(scene.height, scene.width)) for size in (scene.height, scene.width)]
    picture = np.zeros((len(job.plan.bidx), len(lines[0]), len(lines[1])), np.uint8)
    picture_valid = np.zeros(picture.shape[1:], np.bool_)
    classified = valid = 0
    features, sure = [], []
    for result, place, cells in _own_parts(job, blocks, read, percent=False):
        codes[place], confidence[place] = cells.codes, cells.confidence
        classified += result.classified
        valid += int(np.count_nonzero(result.valid_cells))
        features.append(result.features)
        sure.append(result.confidence)
        shown = [_within(n, own, patches.cell_px) for n, own in zip(lines, place, strict=True)]
        picture[:, shown[0], shown[1]] = result.picture
        picture_valid[shown[0], shown[1]] = result.picture_valid
    own_parts = _own_parts(job, blocks, read, percent=True)
    filtered = _filter(job, codes, confidence, own_parts) if job.options.filters else None
    class_map = ClassMap(codes, confidence, grid, job.legend)
    return Mosaic(class_map, classified, valid, filtered, _drift(job, features, sure), picture, picture_valid)


def probability_parts(job: MappingJob, blocks: Sequence[PatchBlock], read: Read) -> Iterator[Part]:
    """Yield parts of the map, block after block, and the probability of each class there in percent.

    Parameters
    ----------
    job, blocks, read
        As :func:`assemble` takes them.

    Yields
    ------
    rows, cols : slice
    percent : uint8 array (K, rows, cols); 255 where a cell is not mapped
    """
    for _, place, cells in _own_parts(job, blocks, read, percent=True):
        assert cells.percent is not None, "a task of a dense student was asked for probabilities"
        yield place, cells.percent


def _own_parts(job: MappingJob, blocks: Sequence[PatchBlock], read: Read, *, percent: bool) -> Iterator[_Own]:
    """Yield the blocks in their order; of a patch student, a row of blocks is joined with the patches above it."""
    patches = job.patches
    if not isinstance(patches, PatchGrid):
        for number, block in enumerate(blocks):
            result = read(number, percent=percent)
            assert isinstance(result.predictions, CellAnswers)
            yield _Own(result, patches.own_cells(block), result.predictions)
        return
    joined: NDArray[np.float32] | None = None
    for _, row in groupby(range(len(blocks)), key=lambda number: blocks[number].row_start):
        results = [read(number) for number in row]
        told = [r.predictions for r in results if isinstance(r.predictions, PatchPredictions)]
        joined = join_row(joined, told, patches)
        for result, said in zip(results, told, strict=True):
            means, valid = own_cells(joined, said.block, patches), result.valid_cells
            decided = codes_and_confidence(means, valid, job.options.min_confidence)
            cells = CellAnswers(said.block, *decided, percentages(means, valid) if percent else None)
            yield _Own(result, patches.own_cells(said.block), cells)


def _filter(
    job: MappingJob, codes: NDArray[np.uint8], confidence: NDArray[np.uint8], own_parts: Iterable[_Own]
) -> Filtered:
    """Smooth and sieve the codes, in place; a cell of a new class gets the model's probability of that class.

    What the model said is taken from the blocks once more, so that no copy of a large map is made.
    """
    options, classes = job.options, len(job.bundle.legend)
    sieved = Sieved(0, 0)
    if options.smooth_cells > 1:
        smooth(codes, classes, options.smooth_cells)
    if options.min_area_ha > 0:
        sieved = sieve(codes, job.patches.cell_grid, classes, options.min_area_ha)
    changed_cells = 0
    for _, place, cells in own_parts:
        assert cells.percent is not None, "a task of a dense student was asked for probabilities"
        now = codes[place]
        changed = now != cells.codes
        row, col = np.nonzero(changed)
        confidence[place][changed] = cells.percent[now[changed], row, col]
        changed_cells += len(row)
    return Filtered(changed_cells, sieved.merged, sieved.left)


def _within(lines: NDArray[np.int64], cells: slice, cell_px: int) -> slice:
    """Which of the picture's lines show rows or columns of `cells`."""
    first, stop = np.searchsorted(lines, (cells.start * cell_px, cells.stop * cell_px))
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
