"""How far a map of every pixel of a Sentinel-2 tile is from what decoding and the network alone would take.

    python -m tests.benchmarks.dense [MODEL [SIDE_PX [ROUNDS]]]

The scene is of four bands, tiled from `scenes/s2_eastern_shore_b04b03b02b08_uint16.tif` in the folder that
`GEOKD_DATA` names. Default: ../shared. It is kept in the system's folder for temporary files, and used again. The bound
is the time to decode the scene once plus the time to run the student on as many patches as the map has, with as many
threads; against it, the whole command by a process of its own without polygons, from its first block to its last file,
and from start to end. Where other work goes on beside, the ratio of processor time tells more than that of time.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.windows import Window

from geokd.mapping.block_pixels import cut_patches
from geokd.mapping.jobs import MappingJob
from geokd.mapping.options import ClassifyOptions
from geokd.mapping.planning import plan_jobs
from geokd.mapping.scene_run import block_tasks
from geokd.mapping.workers.cores import available_cores
from geokd.model.engine import open_student
from geokd.scenes.reader import mirrored, read_window
from tests.benchmarks.scene import SIDE_PX

SOURCE = Path(os.environ.get("GEOKD_DATA", "../shared"), "scenes", "s2_eastern_shore_b04b03b02b08_uint16.tif")
_DECODED_PX = 2048


def main(model: str = "sentinel2-landuse", side_px: int = SIDE_PX, rounds: int = 3) -> None:
    """Measure in turns, and print the ratios."""
    cores = available_cores()
    scene = four_bands(Path(tempfile.gettempdir(), f"geokd_four_bands_{side_px}.tif"), side_px)
    with tempfile.TemporaryDirectory() as folder:
        (job,) = plan_jobs([scene], model, Path(folder, "out"), ClassifyOptions(polygons=False))
        count = job.patches.shape[0] * job.patches.shape[1]
        print(f"{side_px:,} x {side_px:,} px, {scene.stat().st_size / 1e6:.0f} MB, {count:,} patches, {cores} cores")
        header = (
            "",
            "decode s",
            "network s",
            "bound s",
            "geokd s",
            "ratio",
            "with start s",
            "peak MB",
            "journal MB",
            "outputs MB",
        )
        print("  ".join(f"{word:>12}" for word in header))
        for _ in range(rounds):
            decoding, running = decode(job), network(job)
            mapping = command(scene, model, Path(folder, "out"), "--no-polygons")
            bound = decoding.wall + running.wall, decoding.processor + running.processor
            row = (decoding.wall, running.wall, bound[0], mapping.spent.wall, mapping.spent.wall / bound[0])
            show("time", (*row, mapping.whole_s, mapping.peak_mb, mapping.journal_mb, mapping.outputs_mb))
            spent = mapping.spent.processor
            show("processor", (decoding.processor, running.processor, bound[1], spent, spent / bound[1]))
            print(f"  {mapping.stages}, load {os.getloadavg()[0]:.1f}")


def show(what: str, figures: Iterable[float]) -> None:
    """Print a row of the table."""
    print("  ".join([f"{what:>12}", *(f"{figure:>12.2f}" for figure in figures)]), flush=True)


class Spent(NamedTuple):
    """Seconds by the clock, and of all processors."""

    wall: float
    processor: float


class Mapping(NamedTuple):
    """What a run of the command took."""

    spent: Spent
    whole_s: float
    peak_mb: float
    journal_mb: float
    outputs_mb: float
    stages: dict[str, float]


def four_bands(path: Path, side_px: int) -> Path:
    """Write the source repeated and mirrored, uint16: tiled, deflated, without overviews; or take the one of before."""
    if path.exists():
        return path
    with rasterio.open(SOURCE) as source:
        pixels, names = source.read(), source.descriptions
        profile = {"crs": source.crs, "transform": source.transform, "dtype": pixels.dtype, "count": len(pixels)}
    cols = mirrored(0, side_px, pixels.shape[2])
    tiled = {"tiled": True, "blockxsize": 512, "blockysize": 512, "compress": "deflate", "predictor": 2}
    unfinished = path.with_suffix(".part")
    with rasterio.open(unfinished, "w", driver="GTiff", height=side_px, width=side_px, **profile, **tiled) as scene:
        scene.descriptions = names
        for start in range(0, side_px, 512):
            height = min(512, side_px - start)
            rows = mirrored(start, height, pixels.shape[1])
            values = np.ascontiguousarray(pixels[:, rows][:, :, cols])
            scene.write(values, window=Window(0, start, side_px, height))
    unfinished.rename(path)
    return path


def decode(job: MappingJob) -> Spent:
    """Seconds to read the scene once, as it is stored."""
    height, width = job.plan.grid.height, job.plan.grid.width

    def read(place: tuple[int, int]) -> None:
        row, col = place
        window = Window(col, row, min(_DECODED_PX, width - col), min(_DECODED_PX, height - row))
        with rasterio.open(job.plan.path) as dataset:
            dataset.read(list(job.plan.bidx), window=window)

    places = [(row, col) for row in range(0, height, _DECODED_PX) for col in range(0, width, _DECODED_PX)]
    return seconds(read, places, job)


def network(job: MappingJob) -> Spent:
    """Seconds to run the student on as many patches as the map has: real ones, ready in memory."""
    student = open_student(job.model, job.bundle.sha256)
    task = next(block_tasks(job))
    patches, _ = cut_patches(*read_window(job.plan, job.patches.block_window(task.block)), job.patches)
    ready: list[NDArray[np.uint8]] = [np.ascontiguousarray(p)[np.newaxis] for row in patches for p in row]
    name = student.session.get_inputs()[0].name

    def run(number: int) -> None:
        student.session.run(None, {name: ready[number % len(ready)]})

    return seconds(run, range(job.patches.shape[0] * job.patches.shape[1]), job)


def command(scene: Path, model: str, folder: Path, *options: str) -> Mapping:
    """Map the scene in a process of its own; of its processor time, what starting takes is left out."""
    python = [sys.executable, "-m", "geokd"]
    starting = _of_children(
        lambda: subprocess.run([*python, "info", scene, "-m", model], stdout=subprocess.DEVNULL, check=True)
    )
    arguments = ["classify", scene, "-m", model, "-o", folder, *options, "--overwrite", "--json", "-q"]
    journal, largest, printed = folder / f".{scene.stem}.geokd-journal", 0, ""

    def run() -> None:
        nonlocal largest, printed
        process = subprocess.Popen([*python, *map(str, arguments)], stdout=subprocess.PIPE, text=True)
        while process.poll() is None:
            largest = max(largest, journal.stat().st_size if journal.exists() else 0)
            time.sleep(0.05)
        assert process.stdout is not None
        printed = process.stdout.read()

    whole = _of_children(run)
    manifest = json.loads(printed)
    stages = manifest["run"]["seconds"]
    spent = Spent(sum(stages.values()), whole.processor - starting.processor)
    written_mb = sum(path.stat().st_size for path in folder.iterdir()) / 1e6
    return Mapping(spent, whole.wall, manifest["run"]["peak_memory_mb"], largest / 1e6, written_mb, stages)


def seconds(function: Callable[[Any], None], tasks: Iterable[Any], job: MappingJob) -> Spent:
    """Time a function over tasks, with the job's number of threads."""
    tasks = list(tasks)
    with ThreadPoolExecutor(job.options.crew.workers) as pool:
        start, before = time.perf_counter(), time.process_time()
        list(pool.map(function, tasks))
        return Spent(time.perf_counter() - start, time.process_time() - before)


def _of_children(run: Callable[[], Any]) -> Spent:
    """Time processes that `run` starts and waits for."""

    def processor() -> float:
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return used.ru_utime + used.ru_stime

    start, before = time.perf_counter(), processor()
    run()
    return Spent(time.perf_counter() - start, processor() - before)


if __name__ == "__main__":
    types = (str, int, int)
    main(*(kind(text) for kind, text in zip(types, sys.argv[1:], strict=False)))
