"""From a scene to its land-use map: the pipeline, in the order in which things happen."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geokd.assessment.drift import Drift, find_drift
from geokd.bundle import DEFAULT_MODEL, InputContract
from geokd.mapping.blocks import BlockResult, BlockTask, classify_block
from geokd.mapping.jobs import ClassifyOptions, MappingJob, plan_jobs
from geokd.mapping.manifest import describe_map
from geokd.mapping.mosaic import Mosaic, assemble, cell_probabilities, codes_and_confidence
from geokd.mapping.parallel import run_tasks
from geokd.outputs.class_map import ClassMap
from geokd.outputs.geopackage import write_polygons
from geokd.outputs.geotiff import write_class_raster, write_confidence_raster
from geokd.outputs.manifest import write_manifest
from geokd.outputs.qgis import class_attributes_pam, class_raster_qml, confidence_raster_qml
from geokd.outputs.quicklook import ScenePicture, write_quicklook
from geokd.outputs.staging import staged, write_bytes
from geokd.scenes.bands import find_band
from geokd.scenes.reader import read_preview

Progress = Callable[[int, int], None]
"""Is told how many blocks are done, and how many there are."""

_PICTURE_PX = 1024


@dataclass(frozen=True, eq=False)
class ClassifyResult:
    """A map that was made.

    Parameters
    ----------
    class_map : ClassMap
    outputs : dict of str to Path
        Files written, by the fields of :class:`geokd.outputs.staging.OutputNames`.
    manifest : dict
        What the manifest file says.
    """

    class_map: ClassMap
    outputs: dict[str, Path]
    manifest: dict[str, Any]


def classify(
    scene: str | Path,
    model: str | Path = DEFAULT_MODEL,
    output: str | Path = ".",
    options: ClassifyOptions | None = None,
    *,
    progress: Progress | None = None,
) -> ClassifyResult:
    """Map the land use of a scene.

    Parameters
    ----------
    scene : path
        Anything GDAL opens.
    model : path
        A bundle, or the name of one that ships.
    output : path
        Folder for the outputs; it is made if need be.
    options : ClassifyOptions, optional
    progress : callable, optional
        Is told how many blocks are done, and how many there are.

    Raises
    ------
    CallError
        If there is no such file, an option is out of range, or outputs exist already.
    SceneError
        If the scene cannot be read or does not fit the model: all mismatches in one message.
    BundleError
        If the model is missing or broken.
    OutputError
        If outputs cannot be written. Nothing is left half-written.
    """
    (job,) = plan_jobs([scene], model, output, options or ClassifyOptions())
    return run_job(job, progress=progress)


def run_job(job: MappingJob, *, progress: Progress | None = None, command: str | None = None) -> ClassifyResult:
    """Map a scene that :func:`geokd.mapping.jobs.plan_jobs` checked.

    Parameters
    ----------
    job : MappingJob
    progress : callable, optional
    command : str, optional
        The command line, where there is one, for the manifest.

    Raises
    ------
    CallError, SceneError, BundleError, OutputError
        As :func:`classify`.
    """
    seconds: dict[str, float] = {}
    with staged(job.folder, job.names, overwrite=job.options.overwrite) as folder:
        with _timed(seconds, "classify"):
            results = _classify_blocks(job, progress)
        with _timed(seconds, "mosaic"):
            mosaic = _mosaic(job, results)
        with _timed(seconds, "write"):
            _write(job, mosaic.class_map, folder)
        manifest = describe_map(job, mosaic, seconds)
        manifest["command"] = command
        write_manifest(manifest, folder / job.names.manifest)
    outputs = {field: job.folder / name for field, name in job.names._asdict().items()}
    return ClassifyResult(mosaic.class_map, outputs, manifest)


def make_map(job: MappingJob, *, progress: Progress | None = None) -> Mosaic:
    """Map a scene without writing anything.

    Raises
    ------
    SceneError, BundleError
        As :func:`classify`.
    """
    return _mosaic(job, _classify_blocks(job, progress))


def block_tasks(job: MappingJob) -> list[BlockTask]:
    """Cut a job into tasks that know their files by absolute paths, for workers that run elsewhere."""
    path = Path(job.plan.path)
    plan = replace(job.plan, path=str(path.resolve())) if path.exists() else job.plan
    return [
        BlockTask(plan, job.patches, block, job.model, job.bundle.sha256, job.options.min_valid_share)
        for block in job.patches.blocks(job.options.block_px)
    ]


def _classify_blocks(job: MappingJob, progress: Progress | None) -> list[BlockResult]:
    tasks = block_tasks(job)
    results: list[BlockResult] = []

    def keep(result: BlockResult) -> None:
        results.append(result)
        if progress is not None:
            progress(len(results), len(tasks))

    run_tasks(classify_block, tasks, job.options.crew, keep)
    return results


def _mosaic(job: MappingJob, results: list[BlockResult]) -> Mosaic:
    grid = job.patches.cell_grid
    valid = np.zeros((grid.height, grid.width), np.bool_)
    for result in results:
        block, cells = result.predictions.block, result.valid_cells
        rows = slice(block.row_start, block.row_start + cells.shape[0])
        valid[rows, block.col_start : block.col_start + cells.shape[1]] |= cells
    patches = assemble(job.patches, (result.predictions for result in results), len(job.bundle.legend))
    probabilities = cell_probabilities(patches, job.patches)
    codes, confidence = codes_and_confidence(probabilities, valid, job.options.min_confidence)
    classified = int((~np.isnan(patches[..., 0])).sum())
    return Mosaic(ClassMap(codes, confidence, grid, job.legend), classified, valid, _drift(job, results))


def _drift(job: MappingJob, results: list[BlockResult]) -> Drift | None:
    known = job.bundle.familiarity
    if known is None:
        return None
    results = sorted(results, key=lambda r: (r.predictions.block.row_start, r.predictions.block.col_start))
    features = np.concatenate([result.features for result in results])
    confidence = np.concatenate([result.confidence for result in results])
    return find_drift(known, features, confidence, job.bundle.contract.bands)


def _write(job: MappingJob, class_map: ClassMap, folder: Path) -> None:
    """Write all outputs but the manifest."""
    names, bundle = job.names, job.bundle
    tags = {"GEOKD_MODEL": bundle.name, "GEOKD_MODEL_SHA256": bundle.sha256, "GEOKD_SCENE": Path(job.plan.path).name}
    write_class_raster(class_map, folder / names.class_raster, tags)
    write_bytes(folder / names.class_attributes, class_attributes_pam(class_map).encode())
    write_bytes(folder / names.class_style, class_raster_qml(class_map.legend).encode())
    write_confidence_raster(class_map, folder / names.confidence_raster, tags)
    write_bytes(folder / names.confidence_style, confidence_raster_qml().encode())
    write_polygons(class_map, folder / names.polygons)
    pixels, valid = read_preview(job.plan, _PICTURE_PX)
    picture = ScenePicture(true_colour(pixels, bundle.contract), valid, job.plan.grid)
    subtitle = f"Land use by the model {bundle.name} ({bundle.precision})"
    write_quicklook(class_map, picture, folder / names.quicklook, Path(job.plan.path).name, subtitle)


def true_colour(pixels: NDArray[np.uint8], contract: InputContract) -> NDArray[np.uint8]:
    """Choose red, green and blue of bands (C, h, w) by the contract's names; without them, the first band as grey."""
    bands = [find_band(contract.bands, colour) for colour in ("red", "green", "blue")]
    return pixels[[band - 1 for band in bands] if all(bands) else [0, 0, 0]]


@contextmanager
def _timed(seconds: dict[str, float], stage: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    seconds[stage] = round(time.perf_counter() - start, 3)
