"""What is to be mapped, and how: everything is checked and decided here, before any work is done."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

from geokd.bundle import Bundle, load_bundle, resolve_model
from geokd.errors import CallError, GeokdError, one_message
from geokd.legend import Legend
from geokd.mapping.engine import open_student
from geokd.mapping.journal import check_journal
from geokd.mapping.parallel import Crew, Engine, available_cores
from geokd.mapping.sizing import fit_blocks
from geokd.outputs.staging import OutputNames, check_outputs, output_names
from geokd.scenes.grid import PatchGrid
from geokd.scenes.plan import SceneInfo, SceneOptions, ScenePlan
from geokd.scenes.reader import describe_scene, plan_scene

_MOST_CELLS = 2**31 - 1


@dataclass(frozen=True)
class ClassifyOptions:
    """How to classify; None leaves it to the scene, the model or the machine.

    Parameters
    ----------
    stride_px : int or None
        Distance between patches and side of a cell, in scene pixels; divides the model's patch. None: a quarter patch.
    bidx : tuple of int or None
        Bands to use, 1-based, in the model's order.
    value_scale, value_offset : float or None
        Reflectance x 10,000 = DN * value_scale + value_offset.
    nodata : float or None
        Value that marks missing pixels.
    min_valid_share : float
        Share of valid pixels below which a patch is not classified, 0 to 1.
    min_confidence : float
        Confidence, 0 to 1, below which a cell is left unclassified; with 0 every cell gets a class of the model's.
    workers : int or None
        Threads, or processes. None: as many as this process may use cores.
    engine : {"threads", "processes"}
    scheduler : str or None
        Address or scheduler file of a running Dask cluster, which then does the work.
    block_px : int or None
        Side of the blocks the scene is read in; the map does not depend on it. None: by size and layout of the scene.
    memory_mb : int
        Memory to keep within, in MB.
    overwrite : bool
        Replace outputs that exist.
    resume : bool
        Go on with a run that was interrupted, and skip a scene whose map is there already.

    Raises
    ------
    CallError
        If an option is out of its range: all of them in one message.
    """

    stride_px: int | None = None
    bidx: tuple[int, ...] | None = None
    value_scale: float | None = None
    value_offset: float | None = None
    nodata: float | None = None
    min_valid_share: float = 0.25
    min_confidence: float = 0.0
    workers: int | None = None
    engine: Engine = "threads"
    scheduler: str | None = None
    block_px: int | None = None
    memory_mb: int = 1000
    overwrite: bool = False
    resume: bool = False

    def __post_init__(self) -> None:
        problems = []
        if self.stride_px is not None and self.stride_px < 1:
            problems.append(f"the stride of {self.stride_px} px must be at least 1")
        if not 0 <= self.min_valid_share <= 1:
            problems.append(f"the least valid share {self.min_valid_share:g} is not within 0..1")
        if not 0 <= self.min_confidence <= 1:
            problems.append(f"the least confidence {self.min_confidence:g} is not within 0..1")
        if self.workers is not None and self.workers < 1:
            problems.append(f"{self.workers} workers cannot work; at least 1 is needed")
        if self.scheduler is not None and (self.workers is not None or self.engine == "processes"):
            problems.append("a Dask cluster brings its own workers: leave out the number of workers and processes")
        if self.block_px is not None and self.block_px < 1:
            problems.append(f"the block of {self.block_px} px must be at least 1")
        if self.memory_mb < 1:
            problems.append(f"{self.memory_mb} MB of memory are none; at least 1 is needed")
        if self.resume and self.overwrite:
            problems.append("--resume keeps what is there and --overwrite replaces it: give one of the two")
        if problems:
            raise CallError(one_message(problems))

    @property
    def scene_options(self) -> SceneOptions:
        """The part that tells how to read the scene."""
        return SceneOptions(self.bidx, self.value_scale, self.value_offset, self.nodata)

    @property
    def crew(self) -> Crew:
        """Who does the work."""
        return Crew(self.workers or available_cores(), self.engine, self.scheduler)


@dataclass(frozen=True, eq=False)
class MappingJob:
    """A scene that was checked and may be mapped: every choice made, nothing done yet.

    Parameters
    ----------
    info : SceneInfo
    plan : ScenePlan
    patches : PatchGrid
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
    finished : bool
        Whether the map is there already, made by the same model and options of the same scene.
    """

    info: SceneInfo
    plan: ScenePlan
    patches: PatchGrid
    bundle: Bundle
    model: Path
    folder: Path
    options: ClassifyOptions
    blocks_px: tuple[int, int]
    run: dict[str, Any]
    finished: bool = False

    @property
    def journal(self) -> Path:
        """Where a journal is kept until the map is there."""
        return self.folder / f"{self.hidden}journal"

    @property
    def hidden(self) -> str:
        """What the names of all begin with that lies beside the outputs until they are there."""
        return f".{Path(self.plan.path).stem}.geokd-"

    @property
    def fingerprint(self) -> str:
        """What tells this map from those of other scenes, models and options."""
        known = self.run | {"min_confidence": self.options.min_confidence, "block_px": None}
        return sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()

    @property
    def names(self) -> OutputNames:
        """File names of the outputs."""
        return output_names(Path(self.plan.path).stem)

    @property
    def legend(self) -> Legend:
        """Classes of the map: the model's, and unclassified if a least confidence is asked for."""
        legend = self.bundle.legend
        return legend.with_unclassified() if self.options.min_confidence > 0 else legend

    @property
    def notes(self) -> tuple[str, ...]:
        """Choices that affect the map, one sentence each."""
        stride, patch = self.patches.stride_px, self.patches.patch_px
        why = ", a quarter of a patch, since no stride was given" if self.options.stride_px is None else ""
        size, target = max(self.plan.grid.pixel_size_m), self.bundle.contract.ground_resolution_m
        least = self.options.min_confidence
        unsure = (f"cells of a confidence below {100 * least:g} % are left unclassified",) if least > 0 else ()
        return (
            *self.plan.notes,
            f"pixels of {size:.4g} m are taken for the model's {target:g} m",
            f"patches of {patch} px lie {stride} px apart{why}",
            f"patches with less than {100 * self.options.min_valid_share:g} % valid pixels are not classified; in"
            " others the mean of the valid ones stands for the invalid",
            *unsure,
        )


def plan_jobs(
    scenes: Sequence[str | Path], model: str | Path, output: str | Path, options: ClassifyOptions
) -> list[MappingJob]:
    """Check model, scenes, options and outputs before any work is done.

    Raises
    ------
    CallError, SceneError, BundleError
        As :func:`classify`. What is wrong with several scenes comes in one message.
    """
    jobs, errors = plan_what_can_be(scenes, model, output, options)
    if errors:
        problems = list(errors.values())
        raise type(problems[0])(one_message([str(problem) for problem in problems])) from problems[0]
    return jobs


def plan_what_can_be(
    scenes: Sequence[str | Path], model: str | Path, output: str | Path, options: ClassifyOptions
) -> tuple[list[MappingJob], dict[str, GeokdError]]:
    """As :func:`plan_jobs`, but scenes that cannot be mapped are told of in a dict from their paths.

    Raises
    ------
    CallError, BundleError
        If nothing can be mapped in this way at all, as for a broken model.
    """
    path = resolve_model(model).resolve()
    bundle = load_bundle(path)
    open_student(path, bundle.sha256)
    if options.min_confidence > 0:
        check_unclassified(bundle)
    jobs: list[MappingJob] = []
    errors: dict[str, GeokdError] = {}
    for scene in scenes:
        try:
            job = plan_job(describe_scene(scene), bundle, path, Path(output), options)
            jobs.append(_check_place(job))
        except GeokdError as error:
            errors[str(scene)] = error
    _refuse_clashes(jobs)
    return jobs, errors


def plan_job(info: SceneInfo, bundle: Bundle, model: Path, folder: Path, options: ClassifyOptions) -> MappingJob:
    """Make every choice of how a scene is mapped.

    Raises
    ------
    SceneError
        If the scene does not fit the model.
    CallError
        If an option does not fit the two, or the memory does not suffice.
    """
    plan = plan_scene(info, bundle.contract, options.scene_options)
    patches = lay_patches(plan, bundle, options.stride_px)
    blocks_px = fit_blocks(info, plan, patches, options.crew, options.memory_mb, options.block_px)
    run = {
        **source_identity(plan),
        "model": bundle.sha256,
        "patch_px": patches.patch_px,
        "stride_px": patches.stride_px,
        "bidx": list(plan.bidx),
        "value_scale": plan.value_scale,
        "value_offset": plan.value_offset,
        "nodata": None if plan.nodata is None else str(plan.nodata),
        "min_valid_share": options.min_valid_share,
        "block_px": list(blocks_px),
        **{f"{name}_version": version(name) for name in ("geokd", "numpy", "onnxruntime")},
    }
    return MappingJob(info, plan, patches, bundle, model, folder, options, blocks_px, run)


def _check_place(job: MappingJob) -> MappingJob:
    """Refuse a job whose outputs may not be written; tell of one whose outputs are there already."""
    options = job.options
    if options.resume and _is_finished(job):
        return replace(job, finished=True)
    check_outputs(job.folder, job.names, overwrite=options.overwrite)
    if job.journal.exists() and options.resume:
        check_journal(job.journal, job.run)
    elif job.journal.exists() and not options.overwrite:
        raise CallError(
            f"{job.journal} holds an interrupted run of {job.plan.path}; go on with it by --resume, or drop it by"
            " --overwrite"
        )
    return job


def source_identity(plan: ScenePlan) -> dict[str, Any]:
    """Return what tells whether a scene is still the same: its path and, of a file, size and time of change."""
    path = Path(plan.path)
    try:
        status = path.stat()
    except OSError:  # a URL, a /vsi path, or gone
        return {"scene": plan.path, "scene_bytes": None, "scene_changed_ns": None}
    return {
        "scene": str(path.resolve()),
        "scene_bytes": status.st_size,
        "scene_changed_ns": status.st_mtime_ns,
    }


def _is_finished(job: MappingJob) -> bool:
    """Whether all outputs are there, and the manifest says that they are of this scene, model and options."""
    try:
        manifest = json.loads((job.folder / job.names.manifest).read_text(encoding="utf-8"))
        return manifest["fingerprint"] == job.fingerprint and all((job.folder / name).exists() for name in job.names)
    except (OSError, ValueError, KeyError, TypeError):
        return False


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


def lay_patches(plan: ScenePlan, bundle: Bundle, stride_px: int | None) -> PatchGrid:
    """Lay the model's patches over a scene; without a stride, a quarter patch apart.

    Raises
    ------
    CallError
        If the stride does not divide the patch, none was given and a quarter patch is no whole number of pixels, or
        the map would have too many cells.
    """
    patch_px = bundle.contract.patch_px
    stride = patch_px / 4 if stride_px is None else stride_px
    if stride != int(stride) or patch_px % stride:
        fitting = ", ".join(str(n) for n in range(1, patch_px + 1) if patch_px % n == 0)
        raise CallError(
            f"a stride of {stride:g} px does not divide the model's patch of {patch_px} px; take one of {fitting}"
        )
    patches = PatchGrid(plan.grid, patch_px, int(stride))
    cells = patches.cell_grid.height * patches.cell_grid.width
    if cells > _MOST_CELLS:
        raise CallError(
            f"the map of {plan.path} would have {cells:,} cells, more than {_MOST_CELLS:,}; take a stride of up to"
            f" {patch_px} px, or cut the scene into parts by gdal_translate -srcwin"
        )
    return patches


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
