"""Scenes on disk: their metadata, whether they fit a student, and their pixels as bytes.

Three steps: :func:`describe_scene` opens a file once, :func:`plan_scene` compares it with a student's contract and
makes every choice, :func:`read_window` reads according to that plan, in any process.
"""

import contextlib
import shlex
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.errors import NotGeoreferencedWarning
from rasterio.io import DatasetReader
from rasterio.windows import Window

from geokd.errors import SceneError, one_message
from geokd.model.contract import InputContract
from geokd.scenes.bands import find_band
from geokd.scenes.collars import collar_of_windows, collars_of
from geokd.scenes.masks import plan_mask
from geokd.scenes.opening import MORE_FILES, TOO_MANY_FILES, GdalErrors, gdal_reason, open_scene
from geokd.scenes.options import SceneOptions
from geokd.scenes.plan import ScenePlan, fix_plan
from geokd.scenes.products.finding import find_product
from geokd.scenes.resampling import resampled
from geokd.scenes.scaling import to_uint8
from geokd.scenes.scene_info import SceneInfo, read_info
from geokd.scenes.stacking import stack_product
from geokd.scenes.storage import largest_block
from geokd.scenes.unusual import Look, unusual, unusual_fill
from geokd.scenes.validity import alpha_band, valid_pixels
from geokd.scenes.values import values_are_known
from geokd.scenes.warping import gdal_type

_MOST_BLOCK_BYTES = 2**29
_PREVIEW_PX = 512
_SMALL_PX = 4_000_000  # a scene of at most so many pixels is checked as a whole
_SAMPLE_PX, _SAMPLES_A_SIDE = 64, 5  # in a larger one without overviews, windows spread over it


def describe_scene(path: str | Path, resample_m: float | None = None, nodata: float | None = None) -> SceneInfo:
    """Read a product's metadata and a raster's header.

    Parameters
    ----------
    path : str or Path
        A product (see :func:`geokd.scenes.products.finding.find_product`), or anything GDAL opens: a file, a URL, a
        /vsi path.
    resample_m : float, optional
        Pixel size, in metres, to which it is resampled while reading.
    nodata : float, optional
        The user's value of missing pixels, which resampling leaves out. Default: the file's.

    Raises
    ------
    CallError
        If the file does not exist.
    SceneError
        If it is not a raster, its grid is unusable, or a product is broken.
    """
    with warnings.catch_warnings():  # only here: workers get georeferenced scenes alone
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        product = find_product(str(path))
        virtual = ""
        if product is not None:
            product, virtual = stack_product(product)
        with open_scene(virtual or str(path), str(path)) as dataset:
            try:
                info = read_info(dataset, str(path))
            except (*GdalErrors, ValueError) as error:
                raise SceneError(f"the header of {path} cannot be read: {error}; copy or download it again") from error
    if product is not None:
        info = info.of_product(product, virtual)
    return info if resample_m is None else resampled(info, resample_m, nodata)


def plan_scene(
    info: SceneInfo,
    contract: InputContract,
    options: SceneOptions | None = None,
    most_stored_bytes: float = _MOST_BLOCK_BYTES,
) -> ScenePlan:
    """Compare a scene with a student's contract, decide how it is read, and check a subsampled copy for problems.

    Parameters
    ----------
    info : SceneInfo
    contract : InputContract
    options : SceneOptions, optional
    most_stored_bytes : float
        Largest decompressed size of a tile or strip that memory allows.

    Raises
    ------
    SceneError
        If the scene does not fit: all mismatches in one message, each with its remedy.
    """
    options = options or SceneOptions()
    plan = fix_plan(info, contract, options)
    plan = replace(plan, stored_bytes=_check_storage(plan, most_stored_bytes))
    if options.mask is not None:
        plan = plan.with_mask(plan_mask(info, options.mask))
    known = values_are_known(info, options, plan.bidx)
    visible = tuple(n for n, name in enumerate(contract.bands) if not find_band((name,), "nir"))
    warnings = unusual(plan, _look(plan), info.sensor, visible or (0,), known=known)
    return replace(plan, warnings=(*plan.warnings, *warnings))


def warnings_of_fill(plan: ScenePlan) -> list[str]:
    """Check a subsampled copy of a scene for fill without a declared nodata value, one sentence each.

    Raises
    ------
    SceneError
        If the pixels cannot be read.
    """
    return list(unusual_fill(plan, _look(plan)))


def read_window(
    plan: ScenePlan, window: Window, dataset: DatasetReader | None = None
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Read a window as input for the student.

    The window may reach past the scene on all sides: that part mirrors the scene about its first or last row and
    column, pixels and validity alike, so that pixels do not depend on the window.

    Parameters
    ----------
    plan : ScenePlan
    window : Window
        In whole pixels, overlapping the scene.
    dataset : DatasetReader, optional
        An open dataset of the same scene. Default: opened for this call.

    Returns
    -------
    pixels : uint8 array (C, h, w)
    valid : bool array (h, w)

    Raises
    ------
    SceneError
        If the pixels cannot be read; the message names the window.
    """
    rows = mirrored(window.row_off, window.height, plan.grid.height)
    cols = mirrored(window.col_off, window.width, plan.grid.width)
    top, left = int(rows.min()), int(cols.min())
    inside = Window(left, top, int(cols.max()) - left + 1, int(rows.max()) - top + 1)
    values, valid = read_values(plan, inside, plan.bidx, dataset)
    pixels = to_uint8(values, plan.value_scales, plan.value_offsets, plan.scaling)
    if inside == window:  # the usual case; a window that starts at the last row has this size, too, but mirrored rows
        return pixels, valid
    return pixels[:, rows - top][:, :, cols - left], valid[rows - top][:, cols - left]


def read_values(
    plan: ScenePlan, window: Window, bidx: tuple[int, ...], dataset: DatasetReader | None = None
) -> tuple[NDArray[np.generic], NDArray[np.bool_]]:
    """Read DN (C, h, w) of any bands in a window within the scene, and which pixels are valid (h, w).

    Raises
    ------
    SceneError
        As for :func:`read_window`.
    """
    try:
        with contextlib.nullcontext(dataset) if dataset else open_scene(plan.raster, plan.path) as source:
            values = source.read(list(bidx), window=window)
            return values, _valid(plan, source, values, window, bidx)
    except GdalErrors as error:
        bottom, right = window.row_off + window.height - 1, window.col_off + window.width - 1
        where = f"rows {window.row_off}..{bottom}, columns {window.col_off}..{right}"
        raise _unreadable(f"{plan.path} at {where}", error) from error


def read_preview(plan: ScenePlan, longest_px: int = _PREVIEW_PX) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Read the whole scene, subsampled to at most `longest_px` a side: uint8 pixels (C, h, w) and valid (h, w)."""
    values, valid = _thinned(plan, longest_px)
    return to_uint8(values, plan.value_scales, plan.value_offsets, plan.scaling), valid


def mirrored(start: int, length: int, size: int) -> NDArray[np.int64]:
    """Mirror indices start .. start + length - 1 at the first and last of 0 .. size - 1, not repeating these.

    Parameters
    ----------
    start, length, size : int

    Returns
    -------
    int64 array (length,), values 0 .. size - 1
    """
    period = max(2 * (size - 1), 1)
    folded = np.arange(start, start + length, dtype=np.int64) % period
    return np.minimum(folded, period - folded) if size > 1 else np.zeros(length, np.int64)


def _check_storage(plan: ScenePlan, most_bytes: float) -> int:
    """Refuse chosen bands that differ in type, and blocks too large to decompress; return the size of these in bytes.

    Raises
    ------
    SceneError
    """
    path = shlex.quote(plan.path)
    whole_strips = rasterio.Env(GDAL_ENABLE_TIFF_SPLIT="NO")  # else GDAL presents a large strip as many small ones
    with _read_or_said(plan.path), whole_strips, open_scene(plan.raster, plan.path) as dataset:
        dtypes = {band: dataset.dtypes[band - 1] for band in sorted(plan.bidx)}
        block = largest_block(dataset)
        virtual = block.path != dataset.name
    problems = []
    if len(set(dtypes.values())) > 1:
        each = ", ".join(f"band {band} {dtype}" for band, dtype in dtypes.items())
        common = gdal_type(np.result_type(*dtypes.values()).name)
        what = f"{path} one_type.tif" if not plan.virtual else "the files of the others, and name the new ones"
        problems.append(f"its bands are of different types ({each}); convert with gdal_translate -ot {common} {what}")
    most_bytes = min(most_bytes, _MOST_BLOCK_BYTES)
    if block.size_bytes > most_bytes:
        memory = "; or raise --memory" if block.size_bytes <= _MOST_BLOCK_BYTES else ""
        problems.append(
            f"{f'its source {block.path}' if virtual else 'it'} is stored in blocks of {block.height:,} x"
            f" {block.width:,} pixels of {block.size_bytes / 2**20:,.0f} MiB each decompressed, more than"
            f" {most_bytes / 2**20:,.0f}; tile it with gdal_translate -co TILED=YES {shlex.quote(block.path)}"
            f" tiled.tif{' and make the virtual raster of that' if virtual else ''}{memory}"
        )
    if problems:
        raise SceneError(f"{plan.path} cannot be read: {one_message(problems)}")
    return block.size_bytes


def _thinned(plan: ScenePlan, longest_px: int) -> tuple[NDArray[np.generic], NDArray[np.bool_]]:
    """DN (C, h, w) and validity (h, w) of the whole scene, every n-th pixel so that no side exceeds `longest_px`."""
    shrink = max(1.0, max(plan.grid.height, plan.grid.width) / longest_px)
    shape = max(1, round(plan.grid.height / shrink)), max(1, round(plan.grid.width / shrink))
    with _read_or_said(plan.path), open_scene(plan.raster, plan.path) as dataset:
        whole = Window(0, 0, plan.grid.width, plan.grid.height)
        values = dataset.read(list(plan.bidx), out_shape=(len(plan.bidx), *shape))
        return values, _valid(plan, dataset, values, whole, plan.bidx)


def _valid(
    plan: ScenePlan, dataset: DatasetReader, values: NDArray[np.generic], window: Window, bidx: tuple[int, ...]
) -> NDArray[np.bool_]:
    """Find the pixels (h, w) of a window that are valid by their values, by the file's masks, and by the plan's."""
    valid = valid_pixels(dataset, values, window, bidx, plan.nodata)
    if plan.mask is not None:
        valid &= plan.mask.kept(window, valid.shape)
    return valid


@contextlib.contextmanager
def _read_or_said(path: str) -> Iterator[None]:
    """Return the error for a scene that cannot be read."""
    try:
        yield
    except GdalErrors as error:
        raise _unreadable(path, error) from error


def _unreadable(what: str, error: Exception) -> SceneError:
    reason = gdal_reason(error)
    remedy = MORE_FILES if TOO_MANY_FILES in reason else "it may be truncated: copy or download it again"
    return SceneError(f"cannot read {what}: {reason}; {remedy}")


def _look(plan: ScenePlan) -> Look:
    """Sample pixels from all over the scene, without reading all of a large one."""
    grid = plan.grid
    with open_scene(plan.raster, plan.path) as dataset:
        thinned = grid.height * grid.width <= _SMALL_PX or bool(dataset.overviews(plan.bidx[0]))
        alpha = _thin_alpha(dataset) if thinned else None
    if thinned:
        values, valid = _thinned(plan, _PREVIEW_PX)
        collars = () if plan.declares_nodata else tuple(collars_of(values, valid))
        return Look(values[:, valid], valid.size, collars, alpha)
    rows, cols, parts = _windows(plan)
    values = np.concatenate([v[:, known] for v, known in parts], axis=1)
    at_border = [
        parts[row * len(cols) + col]
        for row in range(len(rows))
        for col in range(len(cols))
        if row in (0, len(rows) - 1) or col in (0, len(cols) - 1)
    ]
    collars = () if plan.declares_nodata else tuple(collar_of_windows(at_border))
    return Look(values, sum(known.size for _, known in parts), collars)


def _windows(
    plan: ScenePlan,
) -> tuple[NDArray[np.int64], NDArray[np.int64], list[tuple[NDArray[np.generic], NDArray[np.bool_]]]]:
    """Read DN (C, h, w) and validity (h, w) of windows spread over a scene, and their first rows and columns."""
    grid = plan.grid
    height, width = min(grid.height, _SAMPLE_PX), min(grid.width, _SAMPLE_PX)
    rows, cols = (
        np.unique(np.linspace(0, size - side, _SAMPLES_A_SIDE).astype(np.int64))
        for size, side in ((grid.height, height), (grid.width, width))
    )
    with open_scene(plan.raster, plan.path) as dataset:
        parts = [
            read_values(plan, Window(int(col), int(row), width, height), plan.bidx, dataset)
            for row in rows
            for col in cols
        ]
    return rows, cols, parts


def _thin_alpha(dataset: DatasetReader) -> NDArray[np.generic] | None:
    """Values of the alpha band, subsampled; None if there is none."""
    band = alpha_band(dataset)
    shape = min(dataset.height, _PREVIEW_PX), min(dataset.width, _PREVIEW_PX)
    return dataset.read(band, out_shape=shape).ravel() if band else None
