"""Scenes on disk: what they are, whether a student can take them, and their pixels as bytes.

Three steps: :func:`describe_scene` opens a file once, :func:`plan_scene` checks it against a student's contract and
fixes every choice, :func:`read_window` reads by that plan, in any process.
"""

import contextlib
import math
import os
import re
import shlex
import stat
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio._err import CPLE_BaseError  # some properties of datasets let these through
from rasterio.enums import ColorInterp
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.io import DatasetReader, MemoryFile
from rasterio.windows import Window

from geokd.contract import InputContract
from geokd.errors import CallError, ChipError, SceneError, one_message
from geokd.scenes.acquisition import told_acquisition
from geokd.scenes.bands import choose_bands
from geokd.scenes.grid import METRES_PER_DEGREE_LATITUDE, SceneGrid
from geokd.scenes.plan import Placing, SceneInfo, SceneOptions, ScenePlan, choose_values, fix_plan
from geokd.scenes.scaling import to_uint8
from geokd.scenes.storage import GDAL_CACHE_BYTES, largest_block
from geokd.scenes.validity import alpha_band, has_mask, valid_pixels

GdalErrors = (RasterioError, CPLE_BaseError)
"""What rasterio raises where GDAL fails."""

SILENCE_S = 20
"""How long a server may say nothing; the user's own settings (environment, rasterio.Env) go before."""

_MOST_BLOCK_BYTES = 2**29
_KNOWN_TO_GDAL_ALONE = re.compile(r"/vsi|\w+://|\w{2,}:.", re.ASCII)  # virtual file, URL, part of a file by its driver
_NO_NAME = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_PREVIEW_PX = 512
_SMALL_PX = 4_000_000  # a scene of so many pixels is looked at as a whole
_SAMPLE_PX, _SAMPLES_A_SIDE = 64, 5  # in a larger one without overviews, windows from all over it
_BASELINE_OFFSET_DN = 1000


@contextlib.contextmanager
def open_scene(path: str) -> Iterator[DatasetReader]:
    """Open a raster; what GDAL says becomes one sentence.

    Raises
    ------
    CallError
        If there is no such file, or its name or kind is not fit for one.
    SceneError
        If it is no raster.
    """
    _check_path(path)
    with rasterio.Env.from_defaults(GDAL_CACHEMAX=GDAL_CACHE_BYTES, **_patience()):
        try:
            dataset = rasterio.open(path)
        except GdalErrors as error:
            raise SceneError(f"{path} is not a raster that GDAL can open: {gdal_reason(error)}") from error
        with dataset:
            yield dataset


def _check_path(path: str) -> None:
    """Refuse what GDAL would not find, would wait for without end, or could not name."""
    if _NO_NAME.search(path):
        raise CallError(f"the name {path!a} holds control characters or bytes that are no UTF-8; rename it")
    try:
        mode = Path(path).stat().st_mode if path else 0
    except OSError:
        mode = 0
    if not mode and not _KNOWN_TO_GDAL_ALONE.match(path):
        raise CallError(f"no such file: {path or repr(path)}")
    if mode and not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise CallError(
            f"{path} is neither a file nor a folder, but a pipe, socket or device; write it to a file first"
        )


def _patience() -> dict[str, int]:
    """How long GDAL waits for servers, unless the user said so; by itself it would wait for ever."""
    limits = {
        "GDAL_HTTP_CONNECTTIMEOUT": SILENCE_S,
        "GDAL_HTTP_LOW_SPEED_TIME": SILENCE_S,
        "GDAL_HTTP_LOW_SPEED_LIMIT": 1,  # bytes a second
    }
    said = {*os.environ, *(rasterio.env.getenv() if rasterio.env.hasenv() else ())}
    return {name: limit for name, limit in limits.items() if name not in said}


def describe_scene(path: str | Path) -> SceneInfo:
    """Read a raster's header. `path` may be anything GDAL opens: a file, a URL, a /vsi path.

    Raises
    ------
    CallError
        If there is no such file.
    SceneError
        If it is no raster, or its grid is unusable.
    """
    with warnings.catch_warnings():  # here alone, not in workers' threads: what maps was seen to be georeferenced
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with open_scene(str(path)) as dataset:
            try:
                return _info(dataset, str(path))
            except (*GdalErrors, ValueError) as error:
                raise SceneError(f"the header of {path} cannot be read: {error}; copy or download it again") from error


def plan_scene(info: SceneInfo, contract: InputContract, options: SceneOptions | None = None) -> ScenePlan:
    """Check a scene against a student's contract, fix how it is read, and look at a thinned copy for what is unusual.

    Raises
    ------
    SceneError
        If the scene does not fit: all mismatches in one message, each with its remedy.
    """
    plan = fix_plan(info, contract, options or SceneOptions())
    _check_storage(plan, options or SceneOptions())
    values, valid = _sampled(plan)
    return replace(plan, warnings=tuple(_unusual(plan, values[:, valid], valid.size)))


def read_window(
    plan: ScenePlan, window: Window, dataset: DatasetReader | None = None
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Read a window as the student is to see it.

    The window may reach past the scene's last row and column: that part mirrors the scene about its last row and
    column, pixels and validity alike, so what is read does not depend on the window asked for.

    Parameters
    ----------
    plan : ScenePlan
    window : Window
        Whole pixels, starting within the scene.
    dataset : DatasetReader, optional
        An open dataset of the same scene; without, it is opened for this call.

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
    pixels = to_uint8(values, plan.value_scale, plan.value_offset, plan.scaling)
    if inside == window:  # as most are; one that starts at the last row has this size too, but mirrored rows
        return pixels, valid
    take = np.ix_(rows - top, cols - left)
    return pixels[:, take[0], take[1]], valid[take]


def read_values(
    plan: ScenePlan, window: Window, bidx: tuple[int, ...], dataset: DatasetReader | None = None
) -> tuple[NDArray[np.generic], NDArray[np.bool_]]:
    """Read DN (C, h, w) of any bands in a window within the scene, and which pixels are valid (h, w).

    A single band is held against its own nodata value if the plan has none.

    Raises
    ------
    SceneError
        As :func:`read_window`.
    """
    try:
        with contextlib.nullcontext(dataset) if dataset else open_scene(plan.path) as source:
            values = source.read(list(bidx), window=window)
            own = source.nodatavals[bidx[0] - 1] if plan.nodata is None and len(bidx) == 1 else plan.nodata
            return values, valid_pixels(source, values, window, bidx, own)
    except GdalErrors as error:
        bottom, right = window.row_off + window.height - 1, window.col_off + window.width - 1
        raise SceneError(
            f"cannot read {plan.path} at rows {window.row_off}..{bottom}, columns {window.col_off}..{right}:"
            f" {gdal_reason(error)}; it may be cut short: copy or download it again"
        ) from error


def read_preview(plan: ScenePlan, longest_px: int = _PREVIEW_PX) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Read the whole scene, thinned to at most `longest_px` a side: uint8 pixels (C, h, w) and valid (h, w)."""
    values, valid = _thinned(plan, longest_px)
    return to_uint8(values, plan.value_scale, plan.value_offset, plan.scaling), valid


def gdal_reason(error: Exception) -> str:
    """Return what GDAL says went wrong, in one line; rasterio's own words often only point there."""
    return " ".join(str(error.__cause__ or error).split()).rstrip(".")


def mirrored(start: int, length: int, size: int) -> NDArray[np.int64]:
    """Mirror indices start .. start + length - 1 about the first and last of 0 .. size - 1, not repeating these.

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


@contextlib.contextmanager
def open_chip(content: bytes, name: str) -> Iterator[tuple[DatasetReader, SceneInfo]]:
    """Open the bytes of a (Geo)TIFF chip.

    Raises
    ------
    ChipError
        If they are no raster.
    """
    try:
        with warnings.catch_warnings(), MemoryFile(content) as memory:
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            with memory.open() as dataset:
                yield dataset, _info(dataset, name)
    except (*GdalErrors, SceneError) as error:
        raise ChipError(f"chip {name} cannot be read: {error}") from error


def _bounds_m(grid: SceneGrid) -> tuple[float, ...]:
    """Bounds for telling which chips lie near one another: degrees count as on a square grid; NaN without a CRS."""
    if grid.crs is None:
        return (math.nan,) * 4
    metres = METRES_PER_DEGREE_LATITUDE if grid.crs.is_geographic else 1.0
    return tuple(metres * side for side in grid.bounds)


def read_chip(
    content: bytes, name: str, contract: InputContract
) -> tuple[NDArray[np.uint8], tuple[float, ...], tuple[str, ...]]:
    """Read the bytes of a (Geo)TIFF chip as a scene of the contract would be.

    Returns
    -------
    pixels : uint8 array (C, h, w)
    bounds : left, bottom, right, top in the units of the chip's CRS; NaN without one
    notes : what was chosen, one sentence each

    Raises
    ------
    ChipError
        If it cannot be read or lacks the bands.
    """
    with open_chip(content, name) as (dataset, info):
        try:
            choice = choose_bands(info.descriptions, info.colours, contract.bands, None)
            values = choose_values(info, contract, SceneOptions(), choice.bidx)
        except SceneError as error:
            raise ChipError(f"chip {name}: {error} (options are for scenes: mend the files of chips)") from error
        if len({dataset.dtypes[b - 1] for b in choice.bidx}) > 1:
            raise ChipError(f"chip {name}: its bands are of different types; save them alike")
        numbers = dataset.read(list(choice.bidx))
        whole = Window(0, 0, dataset.width, dataset.height)
        if not valid_pixels(dataset, numbers, whole, choice.bidx, info.nodata).all():
            band = alpha_band(dataset)
            why = (
                f" (band {band} is alpha, as its file says; if it is another, set its colour interpretation)"
                if band
                else ""
            )
            raise ChipError(f"chip {name} holds nodata or masked pixels{why}; leave it out")
        pixels = to_uint8(numbers, values.scale, values.offset, values.scaling)
        return pixels, _bounds_m(info.grid), (choice.note, values.note)


def _info(dataset: DatasetReader, path: str) -> SceneInfo:
    if dataset.count == 0:
        subdatasets = ", ".join(dataset.subdatasets[:3])
        hint = f"; it holds others, name one of them: {subdatasets}" if subdatasets else ""
        raise SceneError(f"{path} has no bands{hint}")
    try:
        grid = SceneGrid(dataset.transform, dataset.height, dataset.width, dataset.crs)
    except ValueError as error:
        raise SceneError(f"{path} has an unusable grid: {error}") from error
    return SceneInfo(
        path=path,
        grid=grid,
        dtype=dataset.dtypes[0],
        descriptions=tuple(d or "" for d in dataset.descriptions),
        colours=tuple(ColorInterp(c).name for c in dataset.colorinterp),
        nodata=dataset.nodata,
        masked=has_mask(dataset),
        scales=tuple(dataset.scales),
        offsets=tuple(dataset.offsets),
        storage_px=dataset.block_shapes[0],
        placing=_placing(dataset),
        acquisition=told_acquisition(path, dataset.tags() | dataset.tags(ns="IMAGERY")),
    )


def _placing(dataset: DatasetReader) -> Placing:
    if dataset.transform != Affine.identity():
        return "transform"
    if dataset.gcps[0]:
        return "control points"
    return "rational polynomials" if dataset.rpcs else "transform"


def _check_storage(plan: ScenePlan, options: SceneOptions) -> None:
    """Refuse chosen bands that differ in type or nodata, and blocks that are too large to be unpacked.

    Raises
    ------
    SceneError
    """
    path = shlex.quote(plan.path)
    whole_strips = rasterio.Env(GDAL_ENABLE_TIFF_SPLIT="NO")  # else a large one poses as many
    with _read_or_said(plan.path), whole_strips, open_scene(plan.path) as dataset:
        dtypes = sorted({dataset.dtypes[band - 1] for band in plan.bidx})
        nodata = {str(dataset.nodatavals[band - 1]) for band in plan.bidx}
        block = largest_block(dataset)
        virtual = block.path != dataset.name
    problems = []
    if len(dtypes) > 1:
        problems.append(
            f"its bands are of different types ({', '.join(dtypes)}); bring them to one by gdal_translate -ot Float32"
            f" {path} one_type.tif"
        )
    if len(nodata) > 1 and options.nodata is None:
        problems.append(
            f"its bands have different nodata values ({', '.join(sorted(nodata))}); say which one holds by --nodata, or"
            f" bring them to one by gdalwarp -dstnodata 0 {path} one_nodata.tif"
        )
    if block.size_bytes > _MOST_BLOCK_BYTES:
        problems.append(
            f"{f'its source {block.path}' if virtual else 'it'} is stored in blocks of {block.height:,} x"
            f" {block.width:,} pixels that unpack to {block.size_bytes / 2**20:,.0f} MiB each, more than"
            f" {_MOST_BLOCK_BYTES / 2**20:,.0f}; cut it up by gdal_translate -co TILED=YES {shlex.quote(block.path)}"
            f" tiled.tif{' and make the virtual raster of that' if virtual else ''}"
        )
    if problems:
        raise SceneError(f"{plan.path} cannot be read as it is: {one_message(problems)}")


def _thinned(plan: ScenePlan, longest_px: int) -> tuple[NDArray[np.generic], NDArray[np.bool_]]:
    """DN (C, h, w) and validity (h, w) of the whole scene, every n-th pixel so that no side exceeds `longest_px`."""
    shrink = max(1.0, max(plan.grid.height, plan.grid.width) / longest_px)
    shape = max(1, round(plan.grid.height / shrink)), max(1, round(plan.grid.width / shrink))
    with _read_or_said(plan.path), open_scene(plan.path) as dataset:
        whole = Window(0, 0, plan.grid.width, plan.grid.height)
        values = dataset.read(list(plan.bidx), out_shape=(len(plan.bidx), *shape))
        return values, valid_pixels(dataset, values, whole, plan.bidx, plan.nodata)


@contextlib.contextmanager
def _read_or_said(path: str) -> Iterator[None]:
    """Say why a scene cannot be read."""
    try:
        yield
    except GdalErrors as error:
        raise SceneError(
            f"cannot read {path}: {gdal_reason(error)}; it may be cut short: copy or download it again"
        ) from error


def _sampled(plan: ScenePlan) -> tuple[NDArray[np.generic], NDArray[np.bool_]]:
    """DN (C, n) and validity (n,) of pixels from all over the scene, without reading all of a large one."""
    grid = plan.grid
    with open_scene(plan.path) as dataset:
        thinned = grid.height * grid.width <= _SMALL_PX or bool(dataset.overviews(plan.bidx[0]))
    if thinned:
        values, valid = _thinned(plan, _PREVIEW_PX)
        return values.reshape(len(values), -1), valid.ravel()
    height, width = min(grid.height, _SAMPLE_PX), min(grid.width, _SAMPLE_PX)
    rows, cols = (
        np.unique(np.linspace(0, size - side, _SAMPLES_A_SIDE).astype(int))
        for size, side in ((grid.height, height), (grid.width, width))
    )
    parts = []
    with open_scene(plan.path) as dataset:
        for row in rows:
            for col in cols:
                values, valid = read_values(plan, Window(int(col), int(row), width, height), plan.bidx, dataset)
                parts.append((values.reshape(len(values), -1), valid.ravel()))
    return np.concatenate([v for v, _ in parts], axis=1), np.concatenate([v for _, v in parts])


def _unusual(plan: ScenePlan, values: NDArray[np.generic], pixels: int) -> Iterator[str]:
    """Say what is unusual in the valid DN (C, n) of a scene thinned to `pixels` pixels."""
    if values.shape[1] == 0:
        yield "the scene has no valid pixel"
        return
    zero = float((values == 0).all(axis=0).sum()) / pixels
    if plan.nodata is None and zero >= 0.01:
        yield (
            f"{100 * zero:.0f} % of the pixels are 0 in all bands though no nodata is declared;"
            " if they are fill, give --nodata 0"
        )
    if plan.nodata is None:
        values = values[:, (values != 0).any(axis=0)]
    if plan.scaling is not None and plan.value_offset == 0 and values.size and values.min() >= _BASELINE_OFFSET_DN:
        yield (
            f"no pixel is below {_BASELINE_OFFSET_DN} DN: Sentinel-2 products of processing baseline 04.00 and later"
            f" carry +{_BASELINE_OFFSET_DN}; if this is one, give --value-offset -{_BASELINE_OFFSET_DN}"
        )
    stretched = to_uint8(values, plan.value_scale, plan.value_offset, plan.scaling)
    if stretched.size and (stretched == stretched[:, :1]).all():
        yield "all valid pixels are alike: there is nothing to see in the scene"
    elif stretched.size and (stretched == 255).mean() > 0.5:
        yield "more than half of the values are at the upper end of the stretch; check --value-scale and --value-offset"
    elif stretched.size and np.median(stretched) < 5:
        yield "most values are at the lower end of the stretch, the scene is nearly black; check --value-scale"
