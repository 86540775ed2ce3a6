"""The run of one scene, from the tasks of its blocks to its files."""

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from uuid import uuid4

from geokd.errors import GeokdError, OutputError, SceneError
from geokd.legend.classes import Legend
from geokd.mapping.account import describe_map, peak_memory_mb
from geokd.mapping.assembly import assemble, probability_parts
from geokd.mapping.blocks import BlockResult, BlockTask
from geokd.mapping.jobs import MappingJob
from geokd.mapping.journal import Journal, is_begun
from geokd.mapping.overlapping import Mosaic
from geokd.mapping.workers.crew import Answer
from geokd.maps.class_map import ClassMap
from geokd.maps.geotiff import read_class_map
from geokd.maps.manifest import Manifest, RunRecord, read_manifest
from geokd.maps.map_files import MapProduct, write_map
from geokd.maps.pages.panels import ScenePicture
from geokd.maps.stac_links import derived_from
from geokd.model.engine import let_students_rest
from geokd.scenes.bands import true_colour
from geokd.scenes.identity import source_identity
from geokd.scenes.patches import PatchGrid
from geokd.scenes.tiles import TILES, blocks_abreast
from geokd.system.commit import Claim

_LARGE_CELLS = 4_000_000  # cells of a map; before a larger one is assembled, freed memory is returned to the system


@dataclass(frozen=True, eq=False)
class ClassifyResult:
    """A map that was made.

    Parameters
    ----------
    outputs : dict of str to Path
        Files written, by the fields of :class:`geokd.maps.names.OutputNames`.
    manifest : Manifest
        How it was made, as in the manifest file.
    """

    outputs: dict[str, Path]
    manifest: Manifest

    @cached_property
    def class_map(self) -> ClassMap:
        """Classes and confidence of all cells, uint8 (rows, cols), read from the files when this is first used.

        Results of many scenes would fill the memory otherwise: 240 MB for a Sentinel-2 tile at 10 m.

        Raises
        ------
        OutputError
            If the map was replaced since, or its rasters cannot be read.
        SceneError
            If its manifest was removed, or cannot be read.
        """
        if read_manifest(self.outputs["manifest"]) != self.manifest:
            raise OutputError(f"{self.outputs['class_raster']} was replaced by another map; make this one again")
        legend = Legend(self.manifest.legend)
        return read_class_map(self.outputs["class_raster"], self.outputs["confidence_raster"], legend)


class SceneRun:
    """The run of one scene: blocks go into the journal; when all are done, the map is assembled and written."""

    def __init__(self, number: int, job: MappingJob, command: str | None) -> None:
        self.job, self.number, self.command = job, number, command
        self.blocks = job.blocks
        self.error: GeokdError | None = None
        self._journal: Journal | None = None
        self._claim: Claim | None = None
        self._writing: Future[ClassifyResult] | None = None
        self._seconds: dict[str, float] = {}
        self._resumed = self._patches = 0
        self._began = 0.0
        self._run = uuid4().hex

    @property
    def done(self) -> int:
        """Number of finished blocks."""
        if self.job.finished or self._writing is not None:
            return len(self.blocks)
        return 0 if self._journal is None else self._journal.count

    @property
    def has_outcome(self) -> bool:
        """Whether :meth:`outcome` can be called; it may have to wait."""
        return self.job.finished or self.error is not None or self._writing is not None

    @property
    def is_over(self) -> bool:
        """Whether :meth:`outcome` returns at once."""
        return self.has_outcome and (self._writing is None or self._writing.done())

    def tasks(self) -> Iterator[BlockTask]:
        """Start, and yield the tasks of the unfinished blocks, until the scene fails."""
        job = self.job
        if job.finished:
            with suppress(OSError):  # left by a run that was killed when all else was done; the disk may be full
                job.journal.unlink(missing_ok=True)
            return
        self._began = time.perf_counter()
        try:
            self._claim = Claim.take(job.folder, [*job.names, job.journal.name])
            opened = Journal.resume if job.options.resume and is_begun(job.journal) else Journal.begin
            self._journal = opened(job.journal, job.run, self.blocks)
        except GeokdError as error:
            self.error = error
            return
        before = self._journal.done
        self._resumed = len(before)
        for task in block_tasks(job, self.number, self._run):
            if self.error is not None:
                return
            if task.number not in before:
                yield task

    def give_up(self, error: GeokdError, *, begun_only: bool) -> None:
        """Fail, because no worker is left, unless all blocks are done."""
        if not self.has_outcome and not (begun_only and self._journal is None):
            self.error = error

    def keep(self, task: BlockTask, answer: Answer[BlockResult]) -> None:
        """Record the result of a task."""
        if self.error is not None or self._journal is None:
            return
        try:
            result = answer.result()
            self._journal.append(task.number, result)
            self._patches += result.classified
        except GeokdError as error:
            self.error = error

    def write_if_complete(self, writer: ThreadPoolExecutor) -> None:
        """Start to write the map as soon as all blocks are done."""
        if self.has_outcome or self._journal is None or self.done < len(self.blocks):
            return
        if source_identity(self.job.plan).items() <= self.job.run.items():
            self._seconds["classify"] = time.perf_counter() - self._began
            self._writing = writer.submit(self._write, self._journal)
        else:
            self._journal.forget()
            self.error = SceneError(f"{self.job.plan.path} changed while it was being mapped; start again")

    def outcome(self) -> ClassifyResult | GeokdError:
        """Return the outcome; waits until the map is written."""
        if self.job.finished:
            return _read_result(self.job)
        if self._writing is None:
            assert self.error is not None
            return self._with_remedy(self.error)
        try:
            return replace(self._writing.result())  # a copy: the map that its user reads from it is not kept here
        except GeokdError as error:
            return self._with_remedy(error)

    def close(self) -> None:
        """Release journal and folder; empty ones are removed."""
        if self._journal is not None:
            self._journal.close()
        if self._claim is not None:
            self._claim.release()

    def _with_remedy(self, error: GeokdError) -> GeokdError:
        """Add to an error how many blocks of the failed scene are kept."""
        done = self._journal.count if self._journal is not None else 0
        if not (done and self.job.journal.exists()):
            return error
        return type(error)(f"{error}; {done} of {len(self.blocks)} blocks are kept; continue with --resume")

    def _make_room(self) -> None:
        """Return the memory of the blocks to the system, if the map is large."""
        TILES.forget(self._run)
        cells = self.job.map_grid
        if cells.height * cells.width > _LARGE_CELLS:
            let_students_rest()

    def _write(self, journal: Journal) -> ClassifyResult:
        """Assemble the map and write all outputs."""
        job, seconds = self.job, self._seconds
        names, overwrite = job.outputs.values(), job.options.overwrite
        assert self._claim is not None, "set before the first block"
        with self._claim.staged(names, overwrite=overwrite, former=job.names) as folder:
            start = time.perf_counter()
            self._make_room()
            mosaic = assemble(job, self.blocks, journal.read)
            seconds["mosaic"] = time.perf_counter() - start
            manifest = write_map(self._product(journal, mosaic), folder, job.folder)
        journal.forget()
        return ClassifyResult(_outputs(job), manifest)

    def _product(self, journal: Journal, mosaic: Mosaic) -> MapProduct:
        """Gather the content of the map's files."""
        job, bundle = self.job, self.job.bundle
        kept = job.options.probabilities
        return MapProduct(
            class_map=mosaic.class_map,
            outputs=job.outputs,
            title=job.info.title,
            subtitle=f"Land use by the model {bundle.name} ({bundle.precision})",
            tags={"GEOKD_MODEL": bundle.name, "GEOKD_MODEL_SHA256": bundle.sha256, "GEOKD_SCENE": job.info.title},
            describe=lambda write_seconds: describe_map(job, mosaic, self._took(mosaic, write_seconds)),
            made_of=[derived_from(path, job.folder) for path in job.info.named_files],
            picture=_scene_picture(job, mosaic),
            simplify_m=job.options.simplify_m,
            percent=probability_parts(job, self.blocks, journal.read) if kept else None,
        )

    def _took(self, mosaic: Mosaic, write_seconds: float) -> RunRecord:
        """Return timings and memory of the run, except for writing the manifest, the report and the STAC item."""
        job, seconds = self.job, self._seconds | {"write": write_seconds}
        classify = max(seconds["classify"], 1e-3)
        megapixels = self._patches * job.patches.stride_px**2 / 1e6
        return RunRecord(
            seconds={stage: round(spent, 3) for stage, spent in seconds.items()},
            peak_memory_mb=peak_memory_mb(job.options.crew),
            patches=sum(block.rows * block.cols for block in self.blocks),
            classified_patches=mosaic.classified_patches,
            blocks=len(self.blocks),
            resumed_blocks=self._resumed,
            patches_per_second=round(self._patches / classify, 1),
            megapixels_per_second=round(megapixels / classify, 2) if job.bundle.contract.is_dense else None,
            command=self.command,
        )


def block_tasks(job: MappingJob, scene: int = 0, run: str | None = None) -> Iterator[BlockTask]:
    """Split a job into tasks with absolute paths, for workers that run elsewhere."""
    path = Path(job.plan.path)
    plan = replace(job.plan, files=())  # workers do not need them
    if path.exists():
        plan = replace(plan, path=str(path.resolve()))
    run = run or uuid4().hex
    for number in _reading_order(job):
        yield BlockTask(
            plan,
            job.patches,
            job.blocks[number],
            number,
            scene,
            job.model,
            job.bundle.sha256,
            job.min_valid_share,
            job.least_confidences,
            percent=job.keeps_probabilities,
            tile_px=job.kept_tile_px,
            shown=None if job.area is None else job.shown,
            run=run,
        )


def _reading_order(job: MappingJob) -> Sequence[int]:
    """Return the numbers of the blocks: row by row, in strips so narrow that tiles are kept from row to row.

    Blocks of a patch student are not read in strips, because their overlapping answers are joined by whole rows.
    """
    every = range(len(job.blocks))
    if job.kept_tile_px is None or not job.blocks or isinstance(job.patches, PatchGrid):
        return every
    cols = max(block.cols for block in job.blocks)
    window = job.patches.block_window(max(job.blocks, key=lambda block: block.rows * block.cols))
    abreast = blocks_abreast(
        (window.height, window.width), cols * job.patches.stride_px, job.kept_tile_px, len(job.plan.bidx)
    )
    return sorted(every, key=lambda number: job.blocks[number].col_start // (abreast * cols))


def _outputs(job: MappingJob) -> dict[str, Path]:
    return {field: job.folder / name for field, name in job.outputs.items()}


def _read_result(job: MappingJob) -> ClassifyResult:
    """Read the map of a job that was finished before."""
    outputs = _outputs(job)
    return ClassifyResult(outputs, read_manifest(outputs["manifest"]))


def _scene_picture(job: MappingJob, mosaic: Mosaic) -> ScenePicture:
    return ScenePicture(
        true_colour(mosaic.picture, job.bundle.contract), mosaic.picture_valid, job.shown.of(job.plan.grid)
    )
