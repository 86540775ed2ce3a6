"""From the results of all blocks to the finished map, one row of blocks after the other."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from geokd.legend.classes import NODATA
from geokd.mapping.block_pixels import picture_lines
from geokd.mapping.blocks import BlockResult
from geokd.mapping.cells import CellAnswers
from geokd.mapping.jobs import MappingJob
from geokd.mapping.overlapping import (
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
from geokd.maps.manifest import Filtered
from geokd.model.drift import Drift, find_drift
from geokd.scenes.patches import PatchBlock, PatchGrid


class Read(Protocol):
    """Returns the result of a block by its number; probabilities of a dense student's cells only if requested."""

    def __call__(self, number: int, *, percent: bool = False) -> BlockResult:
        """Return the result of block `number`."""


class _Own(NamedTuple):
    """A block's result, the cells of the scene that it owns, and the final values of those that are in the map."""

    result: BlockResult
    own: tuple[slice, slice]
    place: tuple[slice, slice]
    cells: CellAnswers
    valid: NDArray[np.bool_]
    inside: int


def assemble(job: MappingJob, blocks: Sequence[PatchBlock], read: Read) -> Mosaic:
    """Assemble the map from the blocks of a scene; memory holds at most one row of blocks.

    Parameters
    ----------
    job : MappingJob
    blocks : sequence of PatchBlock
        As :meth:`geokd.scenes.patches.PatchGrid.blocks` cuts them.
    read : Read
    """
    grid = job.map_grid
    codes = np.full((grid.height, grid.width), NODATA, np.uint8)
    confidence = codes.copy()
    lines = picture_lines(job.shown)
    picture = np.zeros((len(job.plan.bidx), len(lines[0]), len(lines[1])), np.uint8)
    picture_valid = np.zeros(picture.shape[1:], np.bool_)
    classified = valid = inside = 0
    features, sure = [], []
    for part in _own_parts(job, blocks, read, percent=False):
        result = part.result
        codes[part.place], confidence[part.place] = part.cells.codes, part.cells.confidence
        classified += result.classified
        valid += int(np.count_nonzero(part.valid))
        inside += part.inside
        features.append(result.features)
        sure.append(result.confidence)
        shown = [_within(n, own, job.patches.cell_px) for n, own in zip(lines, part.own, strict=True)]
        picture[:, shown[0], shown[1]] = result.picture
        picture_valid[shown[0], shown[1]] = result.picture_valid
    own_parts = _own_parts(job, blocks, read, percent=True)
    filtered = _filter(job, codes, confidence, own_parts) if job.options.filters else None
    class_map = ClassMap(codes, confidence, grid, job.legend)
    drift = _drift(job, features, sure)
    return Mosaic(class_map, classified, valid, codes.size - inside, filtered, drift, picture, picture_valid)


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
    for part in _own_parts(job, blocks, read, percent=True):
        assert part.cells.percent is not None, "a dense student's task has probabilities if they are requested"
        if part.cells.codes.size:
            yield part.place, part.cells.percent
    read_ones = set(blocks)
    for block in job.patches.blocks(*job.blocks_px):
        part_of_map = job.part.common(*job.patches.own_cells(block))
        if block not in read_ones and part_of_map.height and part_of_map.width:
            shape = len(job.bundle.legend), part_of_map.height, part_of_map.width
            yield part_of_map.within(job.part.row_start, job.part.col_start), np.full(shape, NODATA, np.uint8)


def _own_parts(job: MappingJob, blocks: Sequence[PatchBlock], read: Read, *, percent: bool) -> Iterator[_Own]:
    """Yield the blocks in their order; of a patch student, a row of blocks is joined with the patches above it."""
    patches = job.patches
    if isinstance(patches, PatchGrid):
        yield from _joined_parts(job, patches, blocks, read, percent=percent)
        return
    for number in range(len(blocks)):
        result = read(number, percent=percent)
        assert isinstance(result.predictions, CellAnswers)
        yield _in_map(job, result, result.predictions)


def _joined_parts(
    job: MappingJob, patches: PatchGrid, blocks: Sequence[PatchBlock], read: Read, *, percent: bool
) -> Iterator[_Own]:
    """Yield the blocks of a patch student; blocks far from the area of interest were not read and have no answer."""
    numbers = {block: number for number, block in enumerate(blocks)}
    joined: NDArray[np.float32] | None = None
    for _, row in groupby(patches.blocks(*job.blocks_px), key=lambda block: block.row_start):
        of_row = list(row)
        results = [read(numbers[block]) for block in of_row if block in numbers]
        if not results:
            joined = None  # no cell below is in the area, else its patches would reach up here
            continue
        said = {r.predictions.block: r.predictions for r in results if isinstance(r.predictions, PatchPredictions)}
        unread = len(job.bundle.legend)
        joined = join_row(joined, [said.get(block) or _no_answer(block, unread) for block in of_row], patches)
        for result in results:
            block, valid = result.predictions.block, result.valid_cells
            means = own_cells(joined, block, patches)
            decided = codes_and_confidence(means, valid, job.least_confidences)
            yield _in_map(job, result, CellAnswers(block, *decided, percentages(means, valid) if percent else None))


def _no_answer(block: PatchBlock, classes: int) -> PatchPredictions:
    return PatchPredictions(block, np.full((block.rows, block.cols, classes), np.nan, np.float32))


def _in_map(job: MappingJob, result: BlockResult, cells: CellAnswers) -> _Own:
    """Keep the cells of a block that are part of the map, and mask those outside the area of interest."""
    own = job.patches.own_cells(cells.block)
    part = job.part.common(*own)
    source = part.within(own[0].start, own[1].start)
    place = part.within(job.part.row_start, job.part.col_start)
    cells, valid, inside = cells.part(*source), result.valid_cells[source], part.height * part.width
    if job.area is not None and inside:
        held = job.area.holds(job.patches.cell_grid, *part.slices)
        cells, valid, inside = cells.copy(), valid & held, int(np.count_nonzero(held))
        cells.leave_out(~held)
    return _Own(result, own, place, cells, valid, inside)


def _filter(
    job: MappingJob, codes: NDArray[np.uint8], confidence: NDArray[np.uint8], own_parts: Iterable[_Own]
) -> Filtered:
    """Smooth and sieve the codes, in place; a changed cell gets the model's probability of its new class as confidence.

    The model's probabilities are read from the blocks again, so that no copy of a large map is made.
    """
    options, classes = job.options, len(job.bundle.legend)
    sieved = Sieved(0, 0)
    if options.smooth_cells > 1:
        smooth(codes, classes, options.smooth_cells)
    if options.min_area_ha > 0:
        sieved = sieve(codes, job.map_grid, classes, options.min_area_ha)
    changed_cells = 0
    for part in own_parts:
        place, cells = part.place, part.cells
        assert cells.percent is not None, "a dense student's task has probabilities if they are requested"
        now = codes[place]
        changed = now != cells.codes
        row, col = np.nonzero(changed)
        confidence[place][changed] = cells.percent[now[changed], row, col]
        changed_cells += len(row)
    return Filtered(changed_cells=changed_cells, merged_regions=sieved.merged, regions_left=sieved.left)


def _within(lines: NDArray[np.int64], cells: slice, cell_px: int) -> slice:
    """Which lines of the picture show rows or columns of `cells`."""
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
