"""From the user's options to a job: everything is checked and decided here, before any work is done."""

from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

from geokd.errors import CallError, GeokdError, SceneError, one_message, together
from geokd.mapping.areas import cells_of_area, find_area
from geokd.mapping.choosing import ModelChoice, choose_model
from geokd.mapping.jobs import MappingJob, keeps_probabilities, least_valid_share
from geokd.mapping.journal import check_journal, is_begun
from geokd.mapping.options import ClassifyOptions
from geokd.mapping.sizing import fit_blocks, most_stored_bytes
from geokd.maps.manifest import read_manifest
from geokd.maps.map_grid import MOST_CELLS
from geokd.maps.stac import strangers
from geokd.model.bundle import AUTO_MODEL, Bundle, resolve_model
from geokd.model.engine import open_bundle
from geokd.scenes.grid import Rectangle, whole
from geokd.scenes.identity import pixels_identity, source_identity
from geokd.scenes.patches import AnyGrid, DenseGrid, PatchGrid
from geokd.scenes.plan import ScenePlan
from geokd.scenes.reader import describe_scene, plan_scene
from geokd.scenes.scene_info import SceneInfo
from geokd.system.commit import check_outputs
from geokd.system.recovery import settle
from geokd.text import without_secrets


def plan_jobs(
    scenes: Sequence[str | Path], model: str | Path, output: str | Path, options: ClassifyOptions
) -> list[MappingJob]:
    """Check model, scenes, options and outputs before any work is done.

    Raises
    ------
    CallError, SceneError, BundleError
        As for :func:`geokd.classify`. Errors of several scenes are in one message.
    """
    jobs, errors = plan_what_can_be(scenes, model, output, options)
    if errors:
        raise together(list(errors.values()))
    return jobs


def plan_what_can_be(
    scenes: Sequence[str | Path], model: str | Path, output: str | Path, options: ClassifyOptions
) -> tuple[list[MappingJob], dict[str, GeokdError]]:
    """As :func:`plan_jobs`, but the errors of scenes that cannot be mapped are returned in a dict, by path.

    Raises
    ------
    CallError, BundleError
        If no scene can be mapped, for example with a broken model.
    """
    chooser = _Models(model, options)
    jobs: list[MappingJob] = []
    errors: dict[str, GeokdError] = {}
    for scene in scenes:
        try:
            info = describe_scene(scene, options.resample_m, options.nodata)
            bundle, path, choice = chooser.for_scene(info)
            jobs.append(_check_place(plan_job(info, bundle, path, Path(output), options, choice)))
        except GeokdError as error:
            errors[without_secrets(str(scene))] = error
    _refuse_clashes(jobs)
    return jobs, errors


class _Models:
    """Opens the named model at once, or those that scenes need, each once."""

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
            If it is "auto" and no model fits.
        """
        choice = choose_model(info, self._model, self._options)
        return *self._open(choice.model), choice

    def _open(self, model: str | Path) -> tuple[Bundle, Path]:
        if str(model) not in self._opened:
            path = resolve_model(model).resolve()
            bundle = open_bundle(path).bundle
            if self._options.leaves_unsure:
                check_unclassified(bundle)
            self._opened[str(model)] = bundle, path
        return self._opened[str(model)]


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
    plan = plan_scene(info, bundle.contract, options, most_stored_bytes(options.memory_mb))
    patches = lay_patches(plan, bundle, options.stride_px)
    area = find_area(options, patches, info.path)
    percent = len(bundle.legend) if keeps_probabilities(options, bundle) else 0
    classes = percent if bundle.contract.is_dense else len(bundle.legend)
    part = whole(patches.cell_grid) if area is None else cells_of_area(area, patches.cell_grid)
    _check_size(part, plan, bundle)
    sized = replace(plan, grid=part.times(patches.cell_px, plan.grid).of(plan.grid))
    options, blocks_px, spared = _fit_memory(info, sized, replace(patches, scene_grid=sized.grid), options, classes)
    source = source_identity(plan)
    identity = {
        **source,
        "scene_pixels": pixels_identity(plan, source),
        "model": bundle.sha256,
        "patch_px": patches.patch_px,
        "stride_px": patches.stride_px,
        "bidx": list(plan.bidx),
        "value_scales": list(plan.value_scales),
        "value_offsets": list(plan.value_offsets),
        "nodata": [str(value) for value in plan.nodata.of(plan.bidx)],
        "mask": None if plan.mask is None else [plan.mask.name, plan.mask.note],
        "resample_m": options.resample_m,
        "min_valid_share": least_valid_share(options, bundle),
        "area": None if area is None else area.sha256,
        **{f"{name}_version": version(name) for name in ("geokd", "numpy", "onnxruntime")},
    }
    choice = choice or ModelChoice(str(model))
    options.least_confidences(bundle.legend)
    return MappingJob(
        info, plan, patches, bundle, model, folder, options, blocks_px, identity, choice, spared=spared, area=area
    )


def _fit_memory(
    info: SceneInfo, plan: ScenePlan, patches: AnyGrid, options: ClassifyOptions, classes: int
) -> tuple[ClassifyOptions, tuple[int, int], int]:
    """Choose the blocks; if the number of workers is not given, use fewer when memory is short.

    Returns
    -------
    options : ClassifyOptions
        With as many workers as memory allows.
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
    """Refuse a job whose outputs cannot be written; return whether they exist already."""
    options = job.options
    settle(job.folder, [*job.names, job.journal.name])
    if options.resume and _is_finished(job):
        return replace(job, finished=True)
    check_outputs(job.folder, job.names, overwrite=options.overwrite)
    begun = is_begun(job.journal)
    if begun and options.resume:
        check_journal(job.journal, job.run)
    elif begun and not options.overwrite:
        raise CallError(
            f"{job.journal} holds an interrupted run of {job.plan.path}; continue it with --resume, or discard it with"
            " --overwrite"
        )
    return job


def _is_finished(job: MappingJob) -> bool:
    """Whether all outputs exist, and are of this scene, model and options according to the manifest.

    Raises
    ------
    CallError
        If they are, but the rasters beside the manifest belong to another map.
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
            " the files are not all of one run; make the map again with --overwrite"
        )
    return not others


def check_unclassified(bundle: Bundle) -> None:
    """Refuse a model whose legend has no free code for unclassified cells.

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
    """Lay the model's patches over a scene; for a patch student a quarter patch apart, unless a stride is given.

    Raises
    ------
    CallError
        If the stride does not divide the patch, no stride was given and a quarter patch is not a whole number of
        pixels, or a stride was given for a dense student.
    """
    contract = bundle.contract
    return _lay_dense(plan, bundle, stride_px) if contract.is_dense else _lay_strides(plan, bundle, stride_px)


def _check_size(part: Rectangle, plan: ScenePlan, bundle: Bundle) -> None:
    """Refuse maps with too many cells.

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
            f"the model {bundle.name} classifies {each} of a patch, so its map does not depend on a stride of"
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
        problems += [
            f"the output {job.folder / name} is a file that the map of {job.plan.path} is made from; choose another"
            " folder with -o/--output"
            for name in job.names
            if (job.folder / name).resolve() in _read_for(job) - scenes
        ]
    if problems:
        raise CallError(one_message(problems))


def _read_for(job: MappingJob) -> set[Path]:
    """Return the files that a map is made from, beside the scene: sources of a virtual raster, mask, area."""
    area = job.options.aoi or ""
    named = [*job.plan.files, area, area.rpartition(":")[0]]
    return {Path(name).resolve() for name in named if name and "\0" not in name}
