"""Labelled scenes read into arrays: reflectance, shares of classes, and held-out pixels."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import repeat
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rasterio.enums import Resampling
from rasterio.features import rasterize
from rasterio.io import DatasetReader
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window

from geokd.errors import CallError, ChipError, GeokdError, RecipeError, SceneError, together
from geokd.labels.polygons import read_labels
from geokd.legend.classes import LandUseClass, Legend, default_legend
from geokd.maps.map_file import class_names
from geokd.model.bundle import DEFAULT_MODEL
from geokd.model.contract import InputContract, ValueScaling
from geokd.model.purpose import for_chips_alone
from geokd.scenes.area import read_area
from geokd.scenes.bands import wavelengths_nm
from geokd.scenes.grid import SceneGrid
from geokd.scenes.masks import plan_mask
from geokd.scenes.opening import GdalErrors, gdal_reason, open_scene
from geokd.scenes.options import SceneOptions
from geokd.scenes.plan import plan_any_grid
from geokd.scenes.reader import describe_scene, read_values
from geokd.scenes.scaling import to_reflectance
from geokd.scenes.validity import refuse_several_bands
from geokd.system.progress import Progress
from geokd.training.dense.arrays import WHOLE, DenseData, LabelledTiles
from geokd.training.dense.atmosphere import standard_atmosphere
from geokd.training.dense.legend_rules import Shares, becomes_of, sharpened, student_shares
from geokd.training.dense.recipe import DenseRecipe
from geokd.training.dense.sources import Source, read_sources
from geokd.training.dense.use_teacher import UseTeacher, open_use_teacher

_MOST_PIXELS = 200_000_000  # bands x rows x cols of all sources together, held in memory


def read_dense_data(table: str | Path, recipe: DenseRecipe, progress: Progress) -> DenseData:
    """Read all labelled scenes of a table.

    Raises
    ------
    CallError, RecipeError, SceneError, ChipError, BundleError
        Problems of several scenes are in one message.
    """
    sources = read_sources(table)
    if not recipe.classes:
        raise RecipeError("the recipe names no classes; give at least two [[classes]], each with a name")
    contract, legend = _contract(recipe), _legend(recipe)
    use = open_use_teacher(recipe.use_teacher, contract) if recipe.use_teacher.bundle else None
    tiles: list[LabelledTiles] = []
    errors: list[GeokdError] = []
    for number, source in enumerate(sources):
        try:
            tiles.append(_read_source(source, recipe, contract, use, number))
        except GeokdError as error:
            errors.append(error)
    if errors:
        raise together(errors)
    total = sum(source.share for source in sources)
    notes = [*_notes(tiles, legend, recipe)]
    if use is not None and for_chips_alone(use.bundle.provenance):
        notes.append(
            f"warning: the use teacher {recipe.use_teacher.bundle} was trained for chips, and is often wrong in scenes;"
            f" {DEFAULT_MODEL}-fp32 was trained for scenes"
        )
    for note in notes:
        progress(note)
    return DenseData(
        Path(table).name,
        contract,
        legend,
        tuple(replace(one, share=one.share / total) for one in tiles),
        None if use is None else use.described,
        tuple(notes),
    )


def _contract(recipe: DenseRecipe) -> InputContract:
    wanted = recipe.input
    try:
        return InputContract(
            wanted.bands,
            wanted.patch_px,
            wanted.ground_resolution_m,
            wanted.value_scaling,
            wanted.cell_px,
            wanted.margin_px,
        )
    except ValueError as error:
        raise RecipeError(f"the recipe's [input] cannot be used: {error}") from error


def _legend(recipe: DenseRecipe) -> Legend:
    try:
        plain = default_legend(c.name for c in recipe.classes)
        return Legend(
            tuple(
                LandUseClass(one.value, one.name, given.title or one.title, given.color_hint or one.color_hint)
                for one, given in zip(plain, recipe.classes, strict=True)
            )
        )
    except ValueError as error:
        raise RecipeError(f"the recipe's [[classes]] cannot be used: {error}") from error


def _read_source(
    source: Source, recipe: DenseRecipe, contract: InputContract, use: UseTeacher | None, number: int
) -> LabelledTiles:
    reflectance, valid, grid = _reflectance(source, contract)
    drawn = np.random.default_rng((recipe.seed, number))
    held_out = None
    if source.kind == "polygons":
        names, shares, held_out = _of_polygons(source, grid, recipe, drawn)
    elif source.kind == "shares":
        names, shares = _of_bands(source, grid)
        shares = sharpened(shares, recipe.loss.label_power)
    else:
        names, shares = _of_codes(source, grid)
    side = source.chips_px
    scene, known, labels = _tiles(reflectance, side), _tiles(valid[np.newaxis], side)[:, 0], _tiles(shares, side)
    kept = known.any(axis=(1, 2))
    top = source.values == "top of atmosphere"
    air, through = (a[:, None, None] for a in standard_atmosphere(wavelengths_nm(contract.bands)))
    seen = scene[kept] if top else scene[kept] * through + air
    own = _own_labels(names, labels[kept] * known[kept][:, np.newaxis], seen, recipe, use)
    if not own.any():
        raise ChipError(f"{source.labels} gives no pixel of {source.scene} a label; check that their extents agree")
    ground = (scene[kept] - air) / through if top else scene[kept]
    mask = _held_out(own, side, recipe, drawn) if held_out is None else held_out[np.newaxis]
    return LabelledTiles(
        source.scene.name, source.share, ground.clip(0).astype(np.float16), own, source.kind == "shares", mask, top
    )


def _own_labels(
    names: Sequence[str], labels: Shares, seen: Shares, recipe: DenseRecipe, use: UseTeacher | None
) -> NDArray[np.uint8]:
    """Turn shares of the label raster's classes, (n, L, h, w), into bytes of the student's, (n, K, h, w).

    `seen` (n, C, h, w) is the input of the use teacher: top-of-atmosphere reflectance.
    """
    classes, uses = [c.name for c in recipe.classes], () if use is None else use.classes
    becomes = becomes_of(names, classes, recipe.rules, uses)
    split = use is not None and any(len(targets) > 1 for targets in becomes)
    answers: Iterable[Shares | None] = use.look(seen) if use is not None and split else repeat(None)
    own = np.zeros((len(labels), len(classes), *labels.shape[2:]), np.uint8)
    for tile, (given, answer) in enumerate(zip(labels, answers, strict=False)):
        own[tile] = np.rint(WHOLE * student_shares(given, answer, becomes, classes, uses).clip(0, 1))
    return own


def _reflectance(source: Source, contract: InputContract) -> tuple[Shares, NDArray[np.bool_], SceneGrid]:
    """Read the contract's bands of a scene as reflectance x 10,000, float32 (C, h, w), and which pixels are used.

    These are the valid ones within the area that the source names and outside its mask.
    """
    info = describe_scene(str(source.scene))
    options = SceneOptions(value_scale=source.value_scale, value_offset=source.value_offset)
    try:
        plan = plan_any_grid(info, contract, options)
        if source.mask is not None:
            plan = plan.with_mask(plan_mask(info, source.mask))
    except SceneError as error:
        raise SceneError(f"{source.scene} cannot be used for training: {error}") from error
    if info.grid.height * info.grid.width * len(contract.bands) > _MOST_PIXELS:
        raise SceneError(
            f"{source.scene} has {info.grid.height} x {info.grid.width} pixels, too many for training at once (limit:"
            f" {_MOST_PIXELS // len(contract.bands):,}); cut a part with gdal_translate -srcwin"
        )
    numbers, valid = read_values(plan, Window(0, 0, info.grid.width, info.grid.height), plan.bidx)
    if source.chips_px:  # the rest of a sheet after its last chip
        valid &= (numbers != 0).any(axis=0)
    area = read_area(source.area, info.grid, info.path)
    if area is not None:
        valid &= area.holds(info.grid, slice(0, info.grid.height), slice(0, info.grid.width))
    reflectance = np.nan_to_num(to_reflectance(numbers, plan.value_scales, plan.value_offsets))
    if plan.scaling is None:  # a picture, stretched as the student's input
        for band, s in zip(reflectance, _scaling(contract), strict=True):
            band[:] = (band - s.output_minimum) / s.slope + s.minimum
    return reflectance, valid, info.grid


def _scaling(contract: InputContract) -> tuple[ValueScaling, ...]:
    assert contract.value_scaling is not None, "recipes of dense students have one"
    return contract.value_scaling.of_bands(len(contract.bands))


def _of_bands(source: Source, grid: SceneGrid) -> tuple[list[str], Shares]:
    """Read a raster with a band for each class: names, and shares (L, h, w) scaled to sum 1 where there are any."""
    with _labels_opened(source) as dataset:
        if (dataset.height, dataset.width) != (grid.height, grid.width):
            raise SceneError(
                f"{source.labels} has {dataset.height} x {dataset.width} pixels, its scene {source.scene}"
                f" {grid.height} x {grid.width}; warp it to the scene's grid with gdalwarp"
            )
        shares = dataset.read().astype(np.float32) * np.array(dataset.scales, np.float32)[:, None, None]
        known = dataset.dataset_mask() > 0
        names = [d or str(band) for band, d in enumerate(dataset.descriptions, 1)]
    total = np.nan_to_num(shares, posinf=0, neginf=0).clip(0).sum(axis=0)
    shares = np.nan_to_num(shares, posinf=0, neginf=0).clip(0) / np.maximum(total, 1e-6)
    return names, np.asarray(shares * (known & (total > 1e-6)), np.float32)


def _of_codes(source: Source, grid: SceneGrid) -> tuple[list[str], Shares]:
    """Read a raster of codes, on any grid, at the scene's pixels: names of the codes there, and shares of 0 and 1."""
    with _labels_opened(source) as dataset:
        refuse_several_bands(dataset, str(source.labels))
        if not np.issubdtype(np.dtype(dataset.dtypes[0]), np.integer):
            raise SceneError(f"the first band of {source.labels} is {dataset.dtypes[0]}; codes must be integers")
        if dataset.crs is None or grid.crs is None or source.chips_px:
            if (dataset.height, dataset.width) != (grid.height, grid.width):
                raise SceneError(
                    f"{source.labels} has no coordinates in common with {source.scene}, and another size"
                    f" ({dataset.height} x {dataset.width} instead of {grid.height} x {grid.width} pixels)"
                )
            codes, known = dataset.read(1), dataset.dataset_mask() > 0
        else:
            outside = {"add_alpha": True} if dataset.nodata is None else {}
            shape = {"width": grid.width, "height": grid.height}
            with WarpedVRT(
                dataset, crs=grid.crs, transform=grid.transform, resampling=Resampling.nearest, **shape, **outside
            ) as laid_over:
                codes, known = laid_over.read(1), laid_over.dataset_mask() > 0
    titles = class_names(source.labels)
    found = [int(code) for code in np.unique(codes[known])]
    if len(found) > 256:
        raise SceneError(
            f"{source.labels} has {len(found)} different codes, at most 256 are possible; is it a class map?"
        )
    shares = np.stack([known & (codes == code) for code in found]) if found else np.zeros((0, *codes.shape))
    return [titles.get(code, str(code)) for code in found], shares.astype(np.float32)


def _of_polygons(
    source: Source, grid: SceneGrid, recipe: DenseRecipe, drawn: np.random.Generator
) -> tuple[list[str], Shares, NDArray[np.bool_]]:
    """Rasterise polygons; a share of those of each class is held out, at least one where there are two or more."""
    labels = read_labels(source.labels, source.field, grid)
    shape = (grid.height, grid.width)
    shares = np.zeros((len(labels.classes), *shape), np.float32)
    held_out = np.zeros(shape, np.bool_)
    for code in range(len(labels.classes)):
        mine = labels.polygons[labels.codes == code]
        count = min(len(mine) - 1, max(1, round(recipe.validation_share * len(mine))))
        order = drawn.permutation(len(mine))
        for part, outlines in ((True, mine[order[:count]]), (False, mine[order[count:]])):
            if len(outlines):
                burnt = rasterize(outlines, shape, transform=grid.transform).astype(np.bool_)
                shares[code][burnt] = 1
                if part:
                    held_out |= burnt
    shares /= np.maximum(shares.sum(axis=0), 1)
    return list(labels.classes), shares, held_out


@contextmanager
def _labels_opened(source: Source) -> Iterator[DatasetReader]:
    """Open a label raster; GDAL's errors become one sentence."""
    with open_scene(str(source.labels)) as dataset:
        try:
            yield dataset
        except GdalErrors as error:
            raise SceneError(
                f"{source.labels} cannot be read: {gdal_reason(error)}; copy or download it again"
            ) from error


def _tiles(array: Shares | NDArray[np.bool_], side: int) -> NDArray[np.float32]:
    """Cut (B, h, w) into the chips of a sheet, (n, B, side, side), row by row; a scene is a single tile."""
    if not side:
        return array[np.newaxis]  # type: ignore[return-value]
    bands, rows, cols = array.shape[0], array.shape[1] // side, array.shape[2] // side
    if not rows or not cols:
        raise CallError(f"chips_px = {side} is larger than the sheet of {array.shape[1]} x {array.shape[2]} pixels")
    cut = array[:, : rows * side, : cols * side].reshape(bands, rows, side, cols, side)
    return cut.transpose(1, 3, 0, 2, 4).reshape(rows * cols, bands, side, side)  # type: ignore[return-value]


def _held_out(
    labels: NDArray[np.uint8], side: int, recipe: DenseRecipe, drawn: np.random.Generator
) -> NDArray[np.bool_]:
    """Choose chips, or square blocks of a scene, whose labels are for validation only; bool (n, h, w)."""
    count, _, height, width = labels.shape
    share = recipe.validation_share
    if side:
        chosen = np.zeros(count, np.bool_)
        chosen[drawn.permutation(count)[: max(1, round(share * count))]] = count > 1
        return np.broadcast_to(chosen[:, None, None], (count, height, width))
    block = min(recipe.validation_block_px, max(8, min(height, width) // 4))
    rows, cols = -(-height // block), -(-width // block)
    places = drawn.permutation(rows * cols)[: max(1, round(share * rows * cols))]
    blocks = np.zeros(rows * cols, np.bool_)
    blocks[places] = True
    whole = blocks.reshape(rows, cols).repeat(block, axis=0).repeat(block, axis=1)
    return np.asarray(whole[np.newaxis, :height, :width])


def _notes(tiles: Sequence[LabelledTiles], legend: Legend, recipe: DenseRecipe) -> Iterator[str]:
    pixels = np.zeros(len(legend))
    for one in tiles:
        labelled, held = one.labelled, one.held_out & one.labelled
        yield (
            f"{one.name}: {len(one.ground)} tile{'s' * (len(one.ground) > 1)} of {one.ground.shape[2]} x"
            f" {one.ground.shape[3]} px, {100 * labelled.mean():.1f} % of the pixels labelled,"
            f" {100 * held.sum() / max(1, labelled.sum()):.1f} % of these held out for validation"
        )
        pixels += one.labels.sum(axis=(0, 2, 3), dtype=np.float64) / WHOLE
    simulated = {recipe.variation.marsh_class, recipe.variation.snow_class}
    empty = [c.name for c, count in zip(legend, pixels, strict=True) if count < 1 and c.name not in simulated]
    if empty:
        yield f"warning: no pixel is labelled {', '.join(empty)}, so the student cannot learn it"
    yield "pixels by class: " + ", ".join(f"{c.name} {count:,.0f}" for c, count in zip(legend, pixels, strict=True))
