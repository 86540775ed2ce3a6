"""Size of the blocks of a scene, within a memory limit. Pure arithmetic.

The figures are those of CPython 3.11 on Linux with the libraries loaded and a student running, rounded up.
"""

import math

from geokd.errors import CallError
from geokd.mapping.workers.crew import Crew
from geokd.scenes.grid import SceneGrid
from geokd.scenes.patches import AnyGrid, DenseGrid
from geokd.scenes.plan import ScenePlan
from geokd.scenes.scene_info import SceneInfo
from geokd.scenes.storage import GDAL_CACHE_BYTES
from geokd.scenes.tiles import CACHE_BYTES, worth_keeping

_BASE_MB = 280  # the process itself, its libraries, GDAL's cache, the writers of the outputs
_WORKER_MB = 25  # memory of ONNX Runtime for a batch of a patch student
_DENSE_PIXEL_BYTES = 400  # memory for each pixel of a dense student's patch
_PROBABILITIES_MB = 100  # for writing a dense student's probabilities, while the next scene may be read already
_CELL_BYTES = 3  # class and confidence of the map, and one more for derived arrays
_BLOCK_PX = (256, 1024)  # least and greatest side of blocks, if memory allows
_DENSE_BLOCK_PX = (512, 2048)  # likewise: the larger, the fewer pixels are read twice, as margins of neighbours
_ANSWERS_AHEAD = 3  # answers of a worker's blocks that wait to be recorded, or are
_COPIES_HELD = 2.5  # for a stored block: compressed, decompressed, and bands in GDAL's cache
_MUCH = 0.1  # share of the memory above which the message mentions the scene's storage
_BLOCKS = 16  # at least as many, in scenes large enough, so that workers share them evenly


def most_stored_bytes(memory_mb: int) -> float:
    """Return the largest decompressed size of a scene's tile or strip that one worker can read within this memory."""
    return max(0, (memory_mb - _BASE_MB) * 1e6 + GDAL_CACHE_BYTES) / _COPIES_HELD


def fit_blocks(
    info: SceneInfo,
    plan: ScenePlan,
    patches: AnyGrid,
    crew: Crew,
    memory_mb: int,
    block_px: int | None,
    classes: int = 0,
) -> tuple[int, int]:
    """Choose height and width, in pixels, of the blocks a scene is read in.

    Blocks are square, or as wide as the scene where its file is stored in rows. Workers of a running cluster have their
    own memory; each is assumed to have as much as this process.

    Parameters
    ----------
    info : SceneInfo
    plan : ScenePlan
    patches : PatchGrid or DenseGrid
    crew : Crew
    memory_mb : int
    block_px : int or None
        Side requested by the caller.
    classes : int
        Number of probabilities kept for each patch, or for each cell of a dense student.

    Raises
    ------
    CallError
        If even the smallest blocks need more memory.
    """
    scene, cells = plan.grid, patches.cell_grid
    workers = 1 if crew.scheduler is not None else crew.workers
    processes = workers if crew.engine == "processes" else 1
    map_mb = _CELL_BYTES * cells.height * cells.width / 1e6
    dense = isinstance(patches, DenseGrid)
    worker_mb = _DENSE_PIXEL_BYTES * patches.patch_px**2 / 1e6 if dense else _WORKER_MB
    kept_bytes = min(CACHE_BYTES, (len(plan.bidx) + 1) * scene.height * scene.width)
    kept = worth_keeping(info.storage_px, scene.width)
    kept_mb = kept_bytes / 1e6 if kept else 0
    unpacked_mb = math.prod(info.storage_px) * _read_bytes(info, plan) / 1e6 if kept else 0
    held_mb = max(0, workers * _COPIES_HELD * plan.stored_bytes - GDAL_CACHE_BYTES) / 1e6
    fixed_mb = processes * (_BASE_MB + kept_mb) + workers * (worker_mb + unpacked_mb) + map_mb + held_mb
    fixed_mb += _PROBABILITIES_MB if dense and classes else 0
    pixel_bytes = _bytes_per_pixel(info, plan, patches, classes)
    most_px = (memory_mb - fixed_mb) * 1e6 / workers / pixel_bytes
    height, width = _wanted(info, scene, block_px, (patches.patch_px, most_px), dense=dense)
    joining_mb = memory_mb - _BASE_MB - map_mb
    while height > patches.patch_px and _joining_mb(patches, (height, width), classes) > joining_mb:
        height = max(patches.patch_px, height * 3 // 4)
    needed = max(
        fixed_mb + workers * patches.patch_px**2 * pixel_bytes / 1e6,
        _BASE_MB + map_mb + _joining_mb(patches, (patches.patch_px, min(width, patches.patch_px)), classes),
    )
    if needed > memory_mb:
        stride = "" if dense else " or a larger --stride"
        stored = (
            f"; the scene is stored in blocks of {plan.stored_bytes / 1e6:,.0f} MB decompressed, tiles would be"
            f" smaller: gdal_translate -co TILED=YES"
            if held_mb > _MUCH * memory_mb
            else ""
        )
        raise CallError(
            f"{memory_mb} MB of memory are too few for {workers} worker{'s' * (workers > 1)} and a map of"
            f" {cells.height} x {cells.width} cells: at least {math.ceil(needed)} MB are needed; raise --memory, or use"
            f" fewer --workers{stride}{stored}"
        )
    return height, width


def _wanted(
    info: SceneInfo, scene: SceneGrid, block_px: int | None, bounds: tuple[int, float], *, dense: bool
) -> tuple[int, int]:
    """Choose the blocks' height and width from size and layout of the scene, from a smallest side to most pixels."""
    patch_px, most_px = bounds
    if block_px is not None:
        return _at_most(most_px, block_px, block_px, patch_px)
    least, greatest = _DENSE_BLOCK_PX if dense else _BLOCK_PX
    side = int(min(max(math.sqrt(scene.height * scene.width / _BLOCKS), least), greatest))
    if info.storage_px[1] >= scene.width > side:
        return _at_most(most_px, max(patch_px, side * side // scene.width), scene.width, patch_px)
    return _at_most(most_px, side, side, patch_px)


def _joining_mb(patches: AnyGrid, blocks_px: tuple[int, int], classes: int) -> float:
    """Memory for joining a row of blocks of a patch student: see :mod:`geokd.mapping.overlapping`."""
    if isinstance(patches, DenseGrid):
        return 0.0
    span, (height, width) = patches.cells_per_patch, (side / patches.stride_px for side in blocks_px)
    row = (height + span) * patches.cell_grid.width * 4 * 3  # float32: the blocks', joined, and below those above
    block = (height + 2 * span) * (min(width, patches.cell_grid.width) + 2 * span) * 8 * 4  # float64: sums and means
    return classes * (row + block) / 1e6


def _at_most(most_px: float, height: int, width: int, least: int) -> tuple[int, int]:
    """Shrink a block to `most_px` pixels, no side below `least`."""
    if height * width > most_px:
        height = max(least, min(height, int(most_px // width)))
        width = max(least, min(width, int(most_px // height)))
    return height, width


def _bytes_per_pixel(info: SceneInfo, plan: ScenePlan, patches: AnyGrid, classes: int) -> float:
    """Memory that a worker takes for each pixel of its block."""
    kept = worth_keeping(info.storage_px, plan.grid.width)
    pixel = 3 * len(plan.bidx) + 6 if kept else _read_bytes(info, plan)
    if isinstance(patches, DenseGrid):
        answer = 3 + classes  # class, confidence and validity of a cell, and its probabilities
        return pixel + _ANSWERS_AHEAD * answer / patches.cell_px**2
    patch = 4 * 16 + 2 * patches.patch_px  # probabilities, and intermediate shares of valid pixels
    return pixel + patch / patches.stride_px**2


def _read_bytes(info: SceneInfo, plan: ScenePlan) -> int:
    """Memory to read a pixel of the scene and to make bytes of it."""
    bands, value = len(plan.bidx), _ITEM_BYTES.get(info.dtype, 8)
    stretch = 0 if plan.scaling is None or (value <= 2 and not info.dtype.startswith("float")) else 8 + 8 + 4 + 4
    return bands * (value + 1 + stretch) + 4  # validity, twice, and GDAL's buffers


_ITEM_BYTES = {"uint8": 1, "int8": 1, "uint16": 2, "int16": 2, "float16": 2, "uint32": 4, "int32": 4, "float32": 4}
