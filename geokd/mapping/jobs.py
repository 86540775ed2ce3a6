"""What is to be mapped, and how: everything is checked and decided here, before any work is done."""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geokd.commit import check_outputs, settle
from geokd.errors import CallError, GeokdError, SceneError, one_message, together
from geokd.legend.classes import Legend
from geokd.mapping.areas import cells_of_area, find_area, has_say
from geokd.mapping.choosing import ModelChoice, choose_model
from geokd.mapping.journal import check_journal
from geokd.mapping.options import ClassifyOptions
from geokd.mapping.sizing import fit_blocks, most_stored_bytes
from geokd.maps.manifest import read_manifest
from geokd.maps.map_grid import MOST_CELLS
from geokd.maps.names import OutputNames, output_names
from geokd.maps.pages.quicklook import notes_of_letters
from geokd.maps.stac import strangers
from geokd.model.bundle import AUTO_MODEL, Bundle, resolve_model
from geokd.model.engine import open_bundle
from geokd.scenes.acquisition import Acquisition, stated_acquisition
from geokd.scenes.grid import AnyGrid, DenseGrid, PatchBlock, PatchGrid, Rectangle, SceneGrid, whole
from geokd.scenes.plan import ScenePlan
from geokd.scenes.reader import describe_scene, plan_scene
from geokd.scenes.scene_info import SceneInfo
from geokd.scenes.tiles import worth_keeping
from geokd.text import without_secrets

if TYPE_CHECKING:
    from geokd.scenes.area import Area

_MIN_VALID_SHARE = 0.25  # of patch students; dense ones give every valid pixel a class


@dataclass(frozen=True, eq=False)
class MappingJob:
    """A scene that was checked and may be mapped: every choice made, nothing done yet.

    Parameters
    ----------
    info : SceneInfo
    plan : ScenePlan
    patches : PatchGrid or DenseGrid
    bundle : Bundle
    model : Path
        The bundle's file.
    folder : Path
        Where the outputs go.
    options : ClassifyOptions
    blocks_px : tuple of int
        Height and width of the blocks.
    run : dict
        All that the result of a block depends on, as JSON values.
    choice : ModelChoice
        The model as the caller named it, and why it was chosen if that was left to the scene.
    finished : bool
        Whether the map is there already, made by the same model and options of the same scene.
    spared : int
        Workers that were left out for want of memory.
    area : Area or None
        The part of the scene that is mapped; None: all of it.
    """

    @cached_property
    def part(self) -> Rectangle:
        """The cells of the scene that the map has: all, or those between which the area lies."""
        cells = self.patches.cell_grid
        return whole(cells) if self.area is None else cells_of_area(self.area, cells)

    @cached_property
    def map_grid(self) -> SceneGrid:
        """The grid of the map."""
        return self.part.of(self.patches.cell_grid)

    @cached_property
    def shown(self) -> Rectangle:
        """The pixels of the scene that the map covers."""
        return self.part.times(self.patches.cell_px, self.plan.grid)

    @cached_property
    def blocks(self) -> tuple[PatchBlock, ...]:
        """The blocks that are read: all, or those that have a say in a cell of the area."""
        every = self.patches.blocks(*self.blocks_px)
        return tuple(block for block in every if self.area is None or has_say(block, self.patches, self.area))

    info: SceneInfo
    plan: ScenePlan
    patches: AnyGrid
    bundle: Bundle
    model: Path
    folder: Path
    options: ClassifyOptions
    blocks_px: tuple[int, int]
    run: dict[str, Any]
    choice: ModelChoice
    finished: bool = False
    spared: int = 0
    area: "Area | None" = None

    @property
    def journal(self) -> Path:
        """Where a journal is kept until the map is there."""
        return self.folder / f"{self.hidden}journal"

    @property
    def hidden(self) -> str:
        """What the names of all begin with that lies beside the outputs until they are there."""
        return f".{self.info.name}.geokd-"

    @property
    def fingerprint(self) -> str:
        """What tells this map from those of other scenes, models and options."""
        chosen = ("min_confidence", "smooth_cells", "min_area_ha", "simplify_m", "acquired")
        asked = {name: getattr(self.options, name) for name in chosen} | _by_class(self.options)
        known = self.run | asked | {"block_px": None, "probabilities_kept": None}
        return sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()

    @property
    def names(self) -> OutputNames:
        """File names of all outputs there can be."""
        return output_names(self.info.name)

    @property
    def outputs(self) -> dict[str, str]:
        """File names of the outputs that are asked for, by the fields of `names`."""
        asked = self.options
        return self.names.chosen(polygons=asked.polygons, probabilities=asked.probabilities, report=asked.report)

    @property
    def min_valid_share(self) -> float:
        """Share of valid pixels below which a patch is not classified."""
        return least_valid_share(self.options, self.bundle)

    @property
    def kept_tile_px(self) -> tuple[int, int] | None:
        """Height and width of the scene's tiles, if they are kept for the blocks that overlap: of a dense student."""
        kept = self.bundle.contract.is_dense and worth_keeping(self.info.storage_px, self.plan.grid.width)
        return self.info.storage_px if kept else None

    @property
    def keeps_probabilities(self) -> bool:
        """Whether a dense student's probabilities of all classes are kept until the map is written."""
        return keeps_probabilities(self.options, self.bundle)

    @property
    def legend(self) -> Legend:
        """Classes of the map: the model's, and unclassified if a least confidence is asked for."""
        legend = self.bundle.legend
        return legend.with_unclassified() if self.options.leaves_unsure else legend

    @property
    def least_confidences(self) -> tuple[float, ...]:
        """Confidence of each class below which a cell is left unclassified."""
        return self.options.least_confidences(self.bundle.legend)

    @property
    def acquisition(self) -> Acquisition | None:
        """When the scene was taken, if that is known."""
        stated = self.options.acquired
        return self.info.acquisition if stated is None else stated_acquisition(stated)

    @property
    def notes(self) -> tuple[str, ...]:
        """Choices that affect the map, one sentence each."""
        size, target = max(self.plan.grid.pixel_size_m), self.bundle.contract.ground_resolution_m
        least = self.options.min_confidence
        unsure: tuple[str, ...] = (
            (f"cells of a confidence below {100 * least:g} % are left unclassified",) if least > 0 else ()
        )
        unsure += tuple(
            f"cells of {name} are left unclassified below {100 * share:g} %"
            for name, share in self.options.min_confidence_of.items()
        )
        return (
            *((self.choice.reason,) if self.choice.reason else ()),
            *self.plan.notes,
            f"pixels of {size:.4g} m are taken for the model's {target:g} m",
            *(() if self.area is None else (self.area.note,)),
            *_notes_of_patches(self),
            *unsure,
            *_notes_of_filters(self.options),
            *_notes_of_workers(self),
            _note_of_acquisition(self.acquisition),
            *notes_of_letters(self.legend),
        )


def least_valid_share(options: ClassifyOptions, bundle: Bundle) -> float:
    """Return the share of valid pixels below which a patch is not classified: the caller's, or the default."""
    if options.min_valid_share is not None:
        return options.min_valid_share
    return 0.0 if bundle.contract.is_dense else _MIN_VALID_SHARE


def keeps_probabilities(options: ClassifyOptions, bundle: Bundle) -> bool:
    """Whether a dense student's probabilities of all classes are kept until the map is written.

    Filters need them for the confidence of cells whose class they change.
    """
    return bundle.contract.is_dense and (options.probabilities or options.filters)


def _notes_of_patches(job: MappingJob) -> Iterator[str]:
    """Say how patches lie, and what becomes of those that are not wholly valid."""
    patches, least = job.patches, 100 * job.min_valid_share
    mean = "invalid pixels are filled with the mean of the patch's valid pixels"
    if isinstance(patches, DenseGrid):
        cell = max(patches.cell_grid.pixel_size_m)
        each = "every pixel" if patches.cell_px == 1 else f"every {patches.cell_px} x {patches.cell_px} pixels"
        yield f"the model gives a class to {each}: cells of {cell:.4g} m"
        margin = patches.margin_px
        edge = f"; the outer {margin} px of each are not used, where the model sees too little around" if margin else ""
        yield f"patches of {patches.patch_px} px lie {patches.stride_px} px apart{edge}"
        if least > 0:
            yield f"patches with less than {least:g} % valid pixels are not classified; elsewhere {mean}"
        else:
            yield f"every cell with a valid pixel gets a class; {mean}"
        return
    why = ", a quarter of a patch, since no stride was given" if job.options.stride_px is None else ""
    yield f"patches of {patches.patch_px} px lie {patches.stride_px} px apart{why}"
    yield (f"patches with less than {least:g} % valid pixels are not classified; elsewhere {mean}")


def _notes_of_workers(job: MappingJob) -> Iterator[str]:
    if job.spared:
        workers, limit = job.options.crew.workers, f"{job.options.memory_mb} MB of memory"
        yield f"{workers} workers instead of {workers + job.spared} keep within {limit}; --memory gives more"


def _notes_of_filters(options: ClassifyOptions) -> Iterator[str]:
    if options.smooth_cells > 1:
        side = options.smooth_cells
        yield f"each cell takes the class that most of the {side} x {side} cells around it have, if one has the most"
    if options.min_area_ha > 0:
        yield f"regions below {options.min_area_ha:g} ha go to the class with which they share the longest border"
    if options.filters:
        yield "the confidence of a cell whose class is changed so is the model's in the new class"
    if options.simplify_m > 0:
        yield (
            f"outlines of polygons are simplified by {options.simplify_m:g} m; their area_ha stays that of the cells,"
            " their perimeter_m is the outline's"
        )


def _note_of_acquisition(acquisition: Acquisition | None) -> str:
    if acquisition is None:
        return "acquisition date unknown: the STAC item uses the processing time; give the date with --acquired"
    return f"the scene was taken {acquisition}, by {acquisition.source}"


def plan_jobs(
    scenes: Sequence[str | Path], model: str | Path, output: str | Path, options: ClassifyOptions
) -> list[MappingJob]:
    """Check model, scenes, options and outputs before any work is done.

    Raises
    ------
    CallError, SceneError, BundleError
        As :func:`geokd.classify`. What is wrong with several scenes comes in one message.
    """
    jobs, errors = plan_what_can_be(scenes, model, output, options)
    if errors:
        raise together(list(errors.values()))
    return jobs


def plan_what_can_be(
    scenes: Sequence[str | Path], model: str | Path, output: str | Path, options: ClassifyOptions
) -> tuple[list[MappingJob], dict[str, GeokdError]]:
    """As :func:`plan_jobs`, but scenes that cannot be mapped are returned in a dict from their paths.

    Raises
    ------
    CallError, BundleError
        If nothing can be mapped in this way at all, as for a broken model.
    """
    chooser = _Models(model, options)
    jobs: list[MappingJob] = []
    errors: dict[str, GeokdError] = {}
    for scene in scenes:
        try:
            info = describe_scene(scene, options.resample_m)
            bundle, path, choice = chooser.for_scene(info)
            jobs.append(_check_place(plan_job(info, bundle, path, Path(output), options, choice)))
        except GeokdError as error:
            errors[without_secrets(str(scene))] = error
    _refuse_clashes(jobs)
    return jobs, errors


class _Models:
    """Opens the model that is named, at once, or those that scenes need, each once."""

    def __init__(self, model: str | Path, options: ClassifyOptions) -> None:
        self._model, self._options = model, options
        self._opened: dict[str, tuple[Bundle, Path]] = {}
        if model != AUTO_MODEL:
            self._open(model)

    def for_scene(self, info: SceneInfo) -> tuple[Bundle, Path, ModelChoice]:
        """Return the model for a scene, its file, and how it was chosen.

        Raises
        ------
        SceneError
            If it is left to the scene, and no model fits.
        """
        choice = choose_model(info, self._model, self._options.scene_options)
        return *self._open(choice.model), choice

    def _open(self, model: str | Path) -> tuple[Bundle, Path]:
        if str(model) not in self._opened:
            path = resolve_model(model).resolve()
            bundle = open_bundle(path).bundle
            if self._options.leaves_unsure:
                check_unclassified(bundle)
            self._opened[str(model)] = bundle, path
        return self._opened[str(model)]


def _by_class(options: ClassifyOptions) -> dict[str, Any]:
    """Return the least confidences of classes, where there are any, in a fixed order."""
    return {"min_confidence_of": dict(sorted(options.min_confidence_of.items()))} if options.min_confidence_of else {}


def plan_job(
    info: SceneInfo,
    bundle: Bundle,
    model: Path,
    folder: Path,
    options: ClassifyOptions,
    choice: ModelChoice | None = None,
) -> MappingJob:
    """Make every other choice of how a scene is mapped.

    Raises
    ------
    SceneError
        If the scene does not fit the model.
    CallError
        If an option does not fit the two, or the memory does not suffice.
    """
    plan = plan_scene(info, bundle.contract, options.scene_options, most_stored_bytes(options.memory_mb))
    patches = lay_patches(plan, bundle, options.stride_px)
    area = find_area(options.area_options, patches, info.path)
    percent = len(bundle.legend) if keeps_probabilities(options, bundle) else 0
    classes = percent if bundle.contract.is_dense else len(bundle.legend)
    part = whole(patches.cell_grid) if area is None else cells_of_area(area, patches.cell_grid)
    _check_size(part, plan, bundle)
    sized = replace(plan, grid=part.times(patches.cell_px, plan.grid).of(plan.grid))
    options, blocks_px, spared = _fit_memory(info, sized, replace(patches, scene_grid=sized.grid), options, classes)
    run = {
        **source_identity(plan),
        "model": bundle.sha256,
        "patch_px": patches.patch_px,
        "stride_px": patches.stride_px,
        "bidx": list(plan.bidx),
        "value_scale": plan.value_scale,
        "value_offset": plan.value_offset,
        "nodata": [str(value) for value in plan.nodata.of(plan.bidx)],
        "mask": None if plan.mask is None else [plan.mask.name, plan.mask.note],
        "resample_m": options.resample_m,
        "min_valid_share": least_valid_share(options, bundle),
        "area": None if area is None else area.sha256,
        "block_px": list(blocks_px),
        **({} if isinstance(patches, PatchGrid) else {"probabilities_kept": percent > 0}),
        **({} if isinstance(patches, PatchGrid) else {"min_confidence": options.min_confidence}),
        **({} if isinstance(patches, PatchGrid) else _by_class(options)),
        **{f"{name}_version": version(name) for name in ("geokd", "numpy", "onnxruntime")},
    }
    choice = choice or ModelChoice(str(model))
    options.least_confidences(bundle.legend)
    return MappingJob(
        info, plan, patches, bundle, model, folder, options, blocks_px, run, choice, spared=spared, area=area
    )


def _fit_memory(
    info: SceneInfo, plan: ScenePlan, patches: AnyGrid, options: ClassifyOptions, classes: int
) -> tuple[ClassifyOptions, tuple[int, int], int]:
    """Choose the blocks; where the number of workers is left open, with fewer of them rather than not at all.

    Returns
    -------
    options : ClassifyOptions
        With as many workers as there is memory for.
    blocks_px : tuple of int
    spared : int
        Workers that were left out.

    Raises
    ------
    CallError
        If the memory does not suffice.
    """
    most = options.crew.workers
    fewest = most if options.workers is not None or options.scheduler is not None else 1
    for workers in range(most, fewest - 1, -1):
        chosen = options if workers == most else replace(options, workers=workers)
        try:
            blocks_px = fit_blocks(info, plan, patches, chosen.crew, options.memory_mb, options.block_px, classes)
        except CallError:
            if workers == fewest:
                raise
        else:
            return chosen, blocks_px, most - workers
    raise AssertionError("there is at least one worker")


def _check_place(job: MappingJob) -> MappingJob:
    """Refuse a job whose outputs may not be written; tell of one whose outputs are there already."""
    options = job.options
    settle(job.folder, [*job.names, job.journal.name])
    if options.resume and _is_finished(job):
        return replace(job, finished=True)
    check_outputs(job.folder, job.names, overwrite=options.overwrite)
    if job.journal.exists() and options.resume:
        check_journal(job.journal, job.run)
    elif job.journal.exists() and not options.overwrite:
        raise CallError(
            f"{job.journal} holds an interrupted run of {job.plan.path}; continue it with --resume, or drop it with"
            " --overwrite"
        )
    return job


def source_identity(plan: ScenePlan) -> dict[str, Any]:
    """Return what tells whether a scene is still the same: its path and, of its files, sizes and times of change."""
    path = Path(plan.path)
    try:
        status = path.stat()
        file: dict[str, Any] = {"scene": str(path.resolve())}
        if path.is_file():
            file |= {"scene_bytes": status.st_size, "scene_changed_ns": status.st_mtime_ns}
    except (OSError, ValueError):  # a URL, a /vsi path, or gone
        file = {"scene": plan.path}
    none = {"scene_bytes": None, "scene_changed_ns": None}
    return none | file | {"files": [_file_identity(path) for path in plan.files if path != plan.path]}


def _file_identity(path: str) -> list[Any]:
    """Return name, size and time of change of a file; of one in an archive, those of the archive."""
    inside = re.match(r"/vsi(?:zip|tar|gzip)/(.+?\.(?:zip|tar|tgz|gz))(?:/|$)", path, re.IGNORECASE)
    try:
        status = Path(inside[1] if inside else path).stat()
    except (OSError, ValueError):
        return [path, None, None]
    return [path, status.st_size, status.st_mtime_ns]


def _is_finished(job: MappingJob) -> bool:
    """Whether all outputs are there, and the manifest says that they are of this scene, model and options.

    Raises
    ------
    CallError
        If it does, but the rasters beside it are those of another map.
    """
    try:
        manifest = read_manifest(job.folder / job.names.manifest)
        there = all((job.folder / name).exists() for name in job.outputs.values())
        if manifest.fingerprint != job.fingerprint or not there:
            return False
        others = strangers(job.folder, job.outputs)
    except (SceneError, OSError, ValueError, KeyError, TypeError):
        return False
    if others and not job.options.overwrite:
        raise CallError(
            f"{job.folder / job.names.stac_item} describes another {' and '.join(others)} than the one beside it:"
            " the files are not all of one run; make the map anew with --overwrite"
        )
    return not others


def check_unclassified(bundle: Bundle) -> None:
    """Refuse a model whose legend has no room for cells that are left unclassified.

    Raises
    ------
    CallError
    """
    try:
        bundle.legend.with_unclassified()
    except ValueError as error:
        raise CallError(
            f"the model {bundle.name} cannot leave cells unclassified: {error}; leave out --min-confidence"
        ) from error


def lay_patches(plan: ScenePlan, bundle: Bundle, stride_px: int | None) -> AnyGrid:
    """Lay the model's patches over a scene; of a patch student a quarter patch apart, unless a stride is given.

    Raises
    ------
    CallError
        If the stride does not divide the patch, none was given and a quarter patch is no whole number of pixels, or one
        was given for a dense student.
    """
    contract = bundle.contract
    return _lay_dense(plan, bundle, stride_px) if contract.is_dense else _lay_strides(plan, bundle, stride_px)


def _check_size(part: Rectangle, plan: ScenePlan, bundle: Bundle) -> None:
    """Refuse maps of too many cells.

    Raises
    ------
    CallError
    """
    contract, cells = bundle.contract, part.height * part.width
    if cells > MOST_CELLS:
        coarser = "" if contract.is_dense else f"take a stride of up to {contract.patch_px} px, or "
        raise CallError(
            f"the map of {plan.path} would have {cells:,} cells, more than {MOST_CELLS:,}; {coarser}map parts of the"
            " scene, one after the other, with --aoi or --bbox"
        )


def _lay_dense(plan: ScenePlan, bundle: Bundle, stride_px: int | None) -> DenseGrid:
    """Lay a dense student's patches over a scene.

    Raises
    ------
    CallError
        If a stride was given.
    """
    contract = bundle.contract
    assert contract.cell_px is not None, "a dense student"
    if stride_px is not None:
        each = "every pixel" if contract.cell_px == 1 else f"every {contract.cell_px} x {contract.cell_px} pixels"
        raise CallError(
            f"the model {bundle.name} answers for {each} of a patch, so its map does not depend on a stride of"
            f" {stride_px} px; leave out --stride"
        )
    return DenseGrid(plan.grid, contract.patch_px, contract.cell_px, contract.margin_px)


def _lay_strides(plan: ScenePlan, bundle: Bundle, stride_px: int | None) -> PatchGrid:
    patch_px = bundle.contract.patch_px
    stride = patch_px / 4 if stride_px is None else stride_px
    if stride != int(stride) or patch_px % stride:
        fitting = ", ".join(str(n) for n in range(1, patch_px + 1) if patch_px % n == 0)
        raise CallError(
            f"a stride of {stride:g} px does not divide the model's patch of {patch_px} px; take one of {fitting}"
        )
    return PatchGrid(plan.grid, patch_px, int(stride))


def _refuse_clashes(jobs: list[MappingJob]) -> None:
    """Refuse scenes whose outputs would replace one another, or one of the scenes."""
    makers: dict[Path, str] = {}
    problems = []
    for job in jobs:
        first = makers.setdefault(job.folder / job.names.class_raster, job.plan.path)
        if first is not job.plan.path:
            problems.append(
                f"{first} and {job.plan.path} would both be written to {job.folder / job.names.class_raster};"
                " map them into different folders"
            )
    scenes = {Path(job.plan.path).resolve() for job in jobs}
    for job in jobs:
        problems += [
            f"the output {job.folder / name} of {job.plan.path} is itself a scene to be mapped; choose another folder"
            for name in job.names
            if (job.folder / name).resolve() in scenes
        ]
    if problems:
        raise CallError(one_message(problems))
