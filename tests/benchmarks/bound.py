"""How far a map of a Sentinel-2 tile is from what decoding and the network alone would take.

    python -m tests.benchmarks.bound [SIDE_PX [STRIDE...]]

The bound is the time to decode the scene's blocks plus the time to run the student on as many patches, each alone and
with as many threads. Everything else is what geokd adds: opening, stretching, cutting, calibrating, journal, mosaic,
areas, GeoTIFFs, polygons, picture.
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.windows import Window

from geokd.mapping.block_pixels import cut_patches
from geokd.mapping.blocks import BlockTask
from geokd.mapping.classify import run_jobs
from geokd.mapping.jobs import MappingJob
from geokd.mapping.options import ClassifyOptions
from geokd.mapping.planning import plan_jobs
from geokd.mapping.scene_run import block_tasks
from geokd.mapping.workers.cores import available_cores
from geokd.model.engine import BATCH_PATCHES, open_student
from geokd.scenes.reader import read_window
from tests.benchmarks.scene import SIDE_PX, large_scene

ROUNDS = 3


def main(side_px: int = SIDE_PX, *strides: int) -> None:
    """Measure in turns, and print the ratios."""
    cores = available_cores()
    with tempfile.TemporaryDirectory() as folder:
        scene = large_scene(Path(folder, "scene.tif"), side_px, side_px)
        print(f"{side_px} x {side_px} px, {scene.stat().st_size / 1e6:.0f} MB, {cores} cores")
        header = ("stride", "workers", "patches", "decode s", "network s", "bound s", "geokd s", "ratio", "patches/s")
        print("  ".join(f"{word:>10}" for word in header))
        for stride, workers in ((64, 1), (64, cores), *((stride, cores) for stride in strides)):
            options = ClassifyOptions(stride_px=stride, workers=workers, overwrite=True)
            (job,) = plan_jobs([scene], "eurosat-rgb-maps", Path(folder, "out"), options)
            rounds = [(decode(job), network(job), whole(job)) for _ in range(ROUNDS if stride > 16 else 1)]
            decoding, running, mapping = (statistics.median(times) for times in zip(*rounds, strict=True))
            ratio = statistics.median(m / (d + r) for d, r, m in rounds)
            patches = job.patches.shape[0] * job.patches.shape[1]
            figures = (decoding, running, decoding + running, mapping, ratio)
            row = [f"{stride:>10}", f"{workers:>10}", f"{patches:>10}", *(f"{x:>10.2f}" for x in figures)]
            print("  ".join([*row, f"{patches / mapping:>10.0f}"]), flush=True)


def decode(job: MappingJob) -> float:
    """Seconds to read all blocks as they are stored."""

    def read(task: BlockTask) -> None:
        window = job.patches.block_window(task.block)
        height, width = (
            min(int(o + n), size) - int(o)
            for o, n, size in (
                (window.row_off, window.height, job.plan.grid.height),
                (window.col_off, window.width, job.plan.grid.width),
            )
        )
        with rasterio.open(task.plan.path) as dataset:
            dataset.read(list(job.plan.bidx), window=Window(window.col_off, window.row_off, width, height))

    return seconds(read, block_tasks(job), job)


def network(job: MappingJob) -> float:
    """Seconds to run the student on as many patches as there are: real ones, ready in memory, more than caches hold."""
    student = open_student(job.model, job.bundle.sha256)
    ready: list[NDArray[np.uint8]] = []
    for task in block_tasks(job):
        patches, _ = cut_patches(*read_window(job.plan, job.patches.block_window(task.block)), job.patches)
        flat = np.ascontiguousarray(patches).reshape(-1, *patches.shape[2:])
        ready += np.split(flat[: len(flat) // BATCH_PATCHES * BATCH_PATCHES], len(flat) // BATCH_PATCHES)
        if len(ready) >= 100:
            break
    batches = -(-job.patches.shape[0] * job.patches.shape[1] // BATCH_PATCHES)
    name = student.session.get_inputs()[0].name

    def run(number: int) -> None:
        student.session.run(None, {name: ready[number % len(ready)]})

    return seconds(run, range(batches), job)


def whole(job: MappingJob) -> float:
    """Seconds to map the scene, from the call to the last output."""
    start = time.perf_counter()
    for _, outcome in run_jobs([job]):
        if isinstance(outcome, Exception):
            raise outcome
    return time.perf_counter() - start


def seconds(function: Callable[[Any], None], tasks: Iterable[Any], job: MappingJob) -> float:
    """Time a function over tasks, with the job's number of threads."""
    tasks = list(tasks)
    with ThreadPoolExecutor(job.options.crew.workers) as pool:
        start = time.perf_counter()
        list(pool.map(function, tasks))
        return time.perf_counter() - start


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
