"""One block of a scene, from pixels to answers: what a worker does."""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.windows import Window

from geokd.errors import SceneError
from geokd.legend.classes import NODATA
from geokd.mapping.block_pixels import cut_patches, fill_invalid, own_lines, share_within, valid_cells
from geokd.mapping.cells import CellAnswers, decide_cells
from geokd.mapping.overlapping import PatchPredictions
from geokd.model.drift import Features, chip_features
from geokd.model.engine import Student, open_student
from geokd.scenes.grid import Rectangle, whole
from geokd.scenes.patches import AnyGrid, DenseGrid, PatchBlock, PatchGrid
from geokd.scenes.plan import ScenePlan
from geokd.scenes.reader import read_window
from geokd.scenes.tiles import TILES

FAMILIAR_PX = 64
"""Side of the windows in which a dense student's scene is compared with its training data; at most the stride."""

PERCENT_ARRAYS = ("percent_marks", "percent_values")
"""Arrays of a result that hold the probabilities of a dense student's cells."""

_FAMILIAR_SHARE = 0.9  # minimum share of valid pixels, not mirrored, in a patch that is compared with the chips
_FAMILIAR_PATCHES = 4_000  # about the most patches of a scene that are compared with the chips
_RETRY_SECONDS = (0.25, 1.0)


@dataclass(frozen=True)
class BlockTask:
    """What a worker is given: paths and numbers, neither pixels nor a network.

    Parameters
    ----------
    plan : ScenePlan
    patches : PatchGrid or DenseGrid
    block : PatchBlock
    number : int
        Of the block, from 0 on, in the order of :meth:`geokd.scenes.patches.PatchGrid.blocks`.
    scene : int
        Number of the scene among those of a call.
    model : Path
    model_sha256 : str
    min_valid_share : float
        Share of valid pixels below which a patch is not classified.
    min_confidence : float or tuple of float
        Confidence, for all classes or for each, below which a dense student leaves a cell unclassified; for a patch
        student this is decided when the patches are averaged.
    percent : bool
        Whether a dense student returns the probability of each class, too.
    tile_px : tuple of int or None
        Height and width of the tiles that a scene is stored in, if they are cached for other blocks.
    run : str
        Identifier that distinguishes this run from others, for cached tiles.
    shown : Rectangle or None
        The pixels of the scene that the map covers, for the picture; None: all.
    """

    plan: ScenePlan
    patches: AnyGrid
    block: PatchBlock
    number: int
    scene: int
    model: Path
    model_sha256: str
    min_valid_share: float
    min_confidence: float | tuple[float, ...] = 0.0
    percent: bool = False
    tile_px: tuple[int, int] | None = None
    run: str = ""
    shown: Rectangle | None = None


@dataclass(frozen=True, eq=False)
class BlockResult:
    """The result of a worker.

    Parameters
    ----------
    predictions : PatchPredictions or CellAnswers
        From a patch student the probabilities of each patch, from a dense student the final values of each cell.
    classified : int
        How many patches were classified.
    valid_cells : bool array (cell rows, cell cols)
        Which of the block's own cells contain a valid pixel.
    features : float64 array (n, 2 C)
        Of nearly whole patches that do not overlap, or windows of them, for :mod:`geokd.model.drift`.
    confidence : float32 array (n,)
        Of these.
    picture : uint8 array (C, h, w)
        The block's own part of the thinned scene, see :func:`geokd.mapping.block_pixels.picture_lines`.
    picture_valid : bool array (h, w)
    """

    predictions: PatchPredictions | CellAnswers
    classified: int
    valid_cells: NDArray[np.bool_]
    features: NDArray[np.float64]
    confidence: NDArray[np.float32]
    picture: NDArray[np.uint8]
    picture_valid: NDArray[np.bool_]

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return everything but the block, by name; the probabilities of cells, which are large, come last."""
        result = self.predictions
        answers: dict[str, NDArray[Any]]
        last: dict[str, NDArray[Any]] = {}
        if isinstance(result, PatchPredictions):
            answers = {"patches": result.probabilities}
        else:
            answers = {"codes": result.codes, "confidence_percent": result.confidence}
            last = {} if result.percent is None else dict(zip(PERCENT_ARRAYS, result.possible(), strict=True))
        names = ("valid_cells", "features", "confidence", "picture", "picture_valid")
        count = np.array(self.classified, np.int64)
        return answers | {"classified": count} | {name: getattr(self, name) for name in names} | last

    @classmethod
    def from_arrays(cls, block: PatchBlock, arrays: Mapping[str, NDArray[Any]]) -> "BlockResult":
        """Rebuild a result from :meth:`arrays`; without :data:`PERCENT_ARRAYS` cells have no probabilities."""
        rest = dict(arrays)
        result: PatchPredictions | CellAnswers
        if "patches" in rest:
            result = PatchPredictions(block, rest.pop("patches"))
        else:
            decided = rest.pop("codes"), rest.pop("confidence_percent")
            possible = [rest.pop(name) for name in PERCENT_ARRAYS if name in rest]
            result = CellAnswers.of_possible(block, *decided, *possible) if possible else CellAnswers(block, *decided)
        return cls(result, int(rest.pop("classified")), **rest)


@dataclass(frozen=True, eq=False)
class _Answered:
    """A student's answers for a block, and features and confidence of some of its patches."""

    predictions: PatchPredictions | CellAnswers
    classified: int
    features: Features
    confidence: NDArray[np.float32]


def classify_block(task: BlockTask) -> BlockResult:
    """Read a block and run the student on its patches.

    Raises
    ------
    SceneError
        If the scene cannot be read after several attempts.
    BundleError
        If the model cannot be opened, or was changed since the task was made.
    """
    student = open_student(task.model, task.model_sha256)
    grid, block = task.patches, task.block
    pixels, valid = _read_patiently(task, grid.block_window(block))
    own_valid = valid_cells(valid, grid, block)
    if isinstance(grid, DenseGrid):
        result = _answer_cells(student, task, grid, pixels, valid)
        assert isinstance(result.predictions, CellAnswers)
        result.predictions.leave_out(~own_valid)
    else:
        result = _answer_patches(student, task, grid, pixels, valid)
    picture_rows, picture_cols = (
        lines[(lines >= first) & (lines < stop)] - first + grid.margin_px
        for lines, first, stop in own_lines(grid, block, task.shown or whole(grid.scene_grid))
    )
    return BlockResult(
        result.predictions,
        result.classified,
        own_valid,
        result.features,
        result.confidence,
        pixels[:, picture_rows[:, np.newaxis], picture_cols],
        valid[picture_rows[:, np.newaxis], picture_cols],
    )


def _answer_patches(
    student: Student, task: BlockTask, grid: PatchGrid, pixels: NDArray[np.uint8], valid: NDArray[np.bool_]
) -> _Answered:
    """Run a patch student on the patches of a block."""
    block = task.block
    patches, patches_valid = cut_patches(pixels, valid, grid)
    whole = bool(valid.all())
    share = np.ones((block.rows, block.cols)) if whole else patches_valid.mean(axis=(2, 3))
    rows, cols = np.nonzero((share > 0) & (share >= task.min_valid_share))
    probabilities = np.full((block.rows, block.cols, len(student.bundle.legend)), np.nan, np.float32)
    for start in range(0, len(rows), student.batch_patches):
        chosen = rows[start : start + student.batch_patches], cols[start : start + student.batch_patches]
        filled = patches[chosen] if whole else fill_invalid(patches[chosen], patches_valid[chosen])
        probabilities[chosen] = student.probabilities(filled)
    step = grid.cells_per_patch * _familiar_step(grid)
    apart = np.zeros((block.rows, block.cols), np.bool_)  # patches of the whole scene's grid that do not overlap
    apart[-block.row_start % step :: step, -block.col_start % step :: step] = True
    looked_at = apart[rows, cols] & ((share * share_within(grid, block))[rows, cols] >= _FAMILIAR_SHARE)
    chosen = rows[looked_at], cols[looked_at]
    features = chip_features(fill_invalid(patches[chosen], patches_valid[chosen]))
    sure = probabilities[chosen].max(axis=1, initial=0.0)
    return _Answered(PatchPredictions(block, probabilities), len(rows), features, sure)


def _answer_cells(
    student: Student, task: BlockTask, grid: DenseGrid, pixels: NDArray[np.uint8], valid: NDArray[np.bool_]
) -> _Answered:
    """Run a dense student on the patches of a block, and decide the cells that they own."""
    block, bundle = task.block, student.bundle
    own = grid.own_cells(block)
    shape = own[0].stop - own[0].start, own[1].stop - own[1].start
    cells = CellAnswers.unmapped(block, shape, len(bundle.legend) if task.percent else None)
    patches, patches_valid = cut_patches(pixels, valid, grid)
    whole = bool(valid.all())
    share = np.ones((block.rows, block.cols)) if whole else patches_valid.mean(axis=(2, 3))
    rows, cols = np.nonzero((share > 0) & (share >= task.min_valid_share))
    margin, side = grid.margin_px // grid.cell_px, grid.stride_px // grid.cell_px
    for start in range(0, len(rows), student.batch_patches):
        chosen = rows[start : start + student.batch_patches], cols[start : start + student.batch_patches]
        filled = patches[chosen] if whole else fill_invalid(patches[chosen], patches_valid[chosen])
        logits = student.logits(filled) if len(filled) > 1 else next(student.answers(filled))
        for answer, row, col in zip(logits, *chosen, strict=True):
            place = slice(row * side, (row + 1) * side), slice(col * side, (col + 1) * side)
            inner = answer[:, margin : margin + side, margin : margin + side]
            decide_cells(inner, bundle.temperature, task.min_confidence, cells.part(*place))
    features, sure = _look_at_windows(grid, cells, pixels, valid)
    return _Answered(cells, len(rows), features, sure)


def _look_at_windows(
    grid: DenseGrid, cells: CellAnswers, pixels: NDArray[np.uint8], valid: NDArray[np.bool_]
) -> tuple[Features, NDArray[np.float32]]:
    """Features of windows on a lattice fixed by the scene, and the mean confidence of the cells in each.

    Windows of `FAMILIAR_PX` lie side by side in the square that a patch owns; in a large scene every n-th is used.
    Windows with many invalid pixels, or that reach past the scene, are left out.
    """
    side = max(min(FAMILIAR_PX, grid.stride_px) // grid.cell_px, 1) * grid.cell_px
    number = grid.stride_px // side  # along one side of a patch
    scene, block, margin = grid.scene_grid, cells.block, grid.margin_px
    step = max(1, math.ceil(math.sqrt(math.prod(grid.shape) * number**2 / _FAMILIAR_PATCHES)))

    def places(start: int, stop: int, size: int) -> list[int]:
        """First pixel of each window, counted from the block's first own pixel."""
        windows = range(-(-start * number // step) * step, stop * number, step)
        pixels_of = (n // number * grid.stride_px + n % number * side for n in windows)
        return [place - start * grid.stride_px for place in pixels_of if place + side <= size]

    found, sure = [], []
    for top in places(block.row_start, block.row_stop, scene.height):
        for left in places(block.col_start, block.col_stop, scene.width):
            window = slice(top + margin, top + margin + side), slice(left + margin, left + margin + side)
            known = valid[window]
            of = (
                slice(top // grid.cell_px, (top + side) // grid.cell_px),
                slice(left // grid.cell_px, (left + side) // grid.cell_px),
            )
            percent = cells.confidence[of]
            mapped = percent != NODATA
            if known.mean() >= _FAMILIAR_SHARE and mapped.any():
                found.append(fill_invalid(pixels[:, *window][np.newaxis], known[np.newaxis]))
                sure.append(float(percent.mean(where=mapped)) / 100)
    if not found:
        return np.empty((0, 2 * len(pixels))), np.empty(0, np.float32)
    return chip_features(np.concatenate(found)), np.array(sure, np.float32)


def _familiar_step(grid: PatchGrid) -> int:
    """Interval, in patches that do not overlap, at which one is compared with the training chips."""
    cells = grid.cell_grid
    apart = cells.height * cells.width / grid.cells_per_patch**2
    return max(1, math.ceil(math.sqrt(apart / _FAMILIAR_PATCHES)))


def _read_patiently(task: BlockTask, window: Window) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Read a window; retry if a disk or server fails for a moment."""

    def read() -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        if task.tile_px is None:
            return read_window(task.plan, window)
        return TILES.read_window(task.plan, window, task.tile_px, task.run)

    for seconds in _RETRY_SECONDS:
        try:
            return read()
        except SceneError:
            time.sleep(seconds)
    return read()
