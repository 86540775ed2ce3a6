"""A map of a Sentinel-2 product in JPEG 2000, against decoding its bands and running the network alone.

    python -m tests.benchmarks.jp2 [SIDE_PX [WORKERS [ROUNDS [MODEL]]]]

MODEL is sentinel2-landuse unless given; a patch student maps patches side by side, and its network, a small part, is
not measured alone. The bands are written as products have them: one lossless file each, in tiles of 1024 pixels.
Decoding alone reads each tile of the bands once, in as many threads; the network alone runs on as many patches as the
map has. All are measured in turns, by the clock and in processor time, which tells more where other work goes on
beside. It counts, too, how often a tile is unpacked for the map of a dense student.
"""

import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.windows import Window

import geokd.scenes.tiles
from geokd.mapping.classify import run_jobs
from geokd.mapping.jobs import MappingJob
from geokd.mapping.options import ClassifyOptions
from geokd.mapping.planning import plan_jobs
from geokd.mapping.workers.cores import available_cores
from geokd.model.bundle import load_bundle
from tests.benchmarks.dense import Spent, network, seconds

SAMPLE = Path(__file__).parents[2] / "sample_data" / "eastern_shore.tif"
BANDS = {"B04": ("red", 1), "B03": ("green", 2), "B02": ("blue", 3), "B08": ("nir", 4)}
TILE_PX = 1024


def main(side_px: int = 10_980, workers: int = 0, rounds: int = 3, *, model: str) -> None:
    """Measure in turns, and print seconds (and processor seconds) and the quotients."""
    contract = load_bundle(model).contract
    stride_px = None if contract.is_dense else contract.patch_px
    options = ClassifyOptions(workers=workers or available_cores(), polygons=False, overwrite=True, stride_px=stride_px)
    with tempfile.TemporaryDirectory() as folder:
        files = {
            name: write_band(Path(folder, f"T18SVG_{name}.jp2"), number, side_px)
            for name, number in (BANDS[band] for band in contract.bands)
        }
        print(f"{side_px} x {side_px} px, {len(files)} bands, {options.crew.workers} workers", flush=True)
        scene = ",".join(f"{name}={path}" for name, path in files.items())
        quotients = []
        for _ in range(rounds):
            (job,) = plan_jobs([scene], model, Path(folder, "alone"), options)
            decoding = decode(list(files.values()), side_px, job)
            running = network(job) if contract.is_dense else Spent(0, 0)
            mapping, unpacked = classify(scene, model, Path(folder, "maps"), options)
            against = [
                (part[0] / part[1], part[0] / (part[1] + part[2]))
                for part in zip(mapping, decoding, running, strict=True)
            ]
            quotients.append(against)
            print(
                f"decode {_shown(decoding)}, network {_shown(running)}, geokd classify {_shown(mapping)};"
                f" tiles unpacked {unpacked / (-(-side_px // TILE_PX)) ** 2:.2f} times",
                flush=True,
            )
        for number, what in enumerate(("by the clock", "processor")):
            alone, both = (statistics.median(part[number][place] for part in quotients) for place in (0, 1))
            print(f"{what}: {alone:.2f} times decoding, {both:.2f} times decoding and network")


def _shown(spent: Spent) -> str:
    return f"{spent.wall:.1f} s (processor {spent.processor:.1f})"


def write_band(path: Path, number: int, side_px: int) -> Path:
    """Write a band of the sample scene, repeated in mirror images, as ESA does."""
    with rasterio.open(SAMPLE) as source:
        values, transform, crs = source.read(number), source.transform, source.crs
    double = np.block([[values, values[:, ::-1]], [values[::-1], values[::-1, ::-1]]])
    repeats = -(-side_px // len(double))
    large = np.tile(double, (repeats, repeats))[:side_px, :side_px]
    profile = {"driver": "JP2OpenJPEG", "QUALITY": "100", "REVERSIBLE": "YES", "BLOCKXSIZE": 1024, "BLOCKYSIZE": 1024}
    size = {"height": side_px, "width": side_px, "count": 1, "dtype": "uint16", "nodata": 0}
    with (
        rasterio.Env(GDAL_NUM_THREADS="ALL_CPUS"),
        rasterio.open(path, "w", **profile, **size, crs=crs, transform=transform) as target,
    ):
        target.write(large, 1)
    return path


def decode(files: list[Path], side_px: int, job: MappingJob) -> Spent:
    """Seconds to read each tile of each band once, nothing else."""
    starts = range(0, side_px, TILE_PX)
    parts = [(path, Window(col, row, TILE_PX, TILE_PX)) for row in starts for col in starts for path in files]

    def read(part: tuple[Path, Window]) -> None:
        with rasterio.Env(GDAL_NUM_THREADS=1), rasterio.open(part[0]) as band:
            band.read(1, window=part[1], boundless=False)

    return seconds(read, parts, job)


def classify(scene: str, model: str, folder: Path, options: ClassifyOptions) -> tuple[Spent, int]:
    """Seconds of the whole run, from opening to the last file, and how many tiles were unpacked."""
    unpack, count = geokd.scenes.tiles._unpack, 0

    def counted(*arguments: Any) -> Any:
        nonlocal count
        count += 1
        return unpack(*arguments)

    setattr(geokd.scenes.tiles, "_unpack", counted)  # noqa: B010  a module, not an object of ours
    start, before = time.perf_counter(), time.process_time()
    for _, outcome in run_jobs(plan_jobs([scene], model, folder, options)):
        if isinstance(outcome, Exception):
            raise outcome
    setattr(geokd.scenes.tiles, "_unpack", unpack)  # noqa: B010
    return Spent(time.perf_counter() - start, time.process_time() - before), count


if __name__ == "__main__":
    main(*map(int, sys.argv[1:4]), model=(*sys.argv[4:], "sentinel2-landuse")[0])
