"""A map of a Sentinel-2 product in JPEG 2000, against decoding its bands alone.

    python -m tests.benchmarks.jp2 [SIDE_PX [WORKERS]]

The bands are written as products have them: one lossless file each, in tiles of 1024 pixels. Decoding alone reads each
tile of the bands once, in as many threads. Both are measured in turns; the quotient of each turn counts.
"""

import statistics
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import rasterio
from rasterio.windows import Window

from geokd.mapping.classify import run_jobs
from geokd.mapping.options import ClassifyOptions
from geokd.mapping.planning import plan_jobs
from geokd.mapping.workers.cores import available_cores

SAMPLE = Path(__file__).parents[2] / "sample_data" / "eastern_shore.tif"
BANDS = {"red": 1, "green": 2, "blue": 3, "nir": 4}
TILE_PX, ROUNDS = 1024, 3


def main(side_px: int = 10_980, workers: int = 0) -> None:
    """Measure in turns, and print the quotients."""
    workers = workers or available_cores()
    with tempfile.TemporaryDirectory() as folder:
        files = {
            name: write_band(Path(folder, f"T18SVG_{name}.jp2"), number, side_px) for name, number in BANDS.items()
        }
        print(f"{side_px} x {side_px} px, {len(files)} bands, {workers} workers", flush=True)
        scene = ",".join(f"{name}={path}" for name, path in files.items())
        quotients = []
        for _ in range(ROUNDS):
            alone = decode(list(files.values()), side_px, workers)
            mapped = classify(scene, Path(folder, "maps"), workers)
            quotients.append(mapped / alone)
            print(f"decode {alone:.1f} s, geokd classify {mapped:.1f} s, {mapped / alone:.3f}", flush=True)
        print(f"median {statistics.median(quotients):.3f}")


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


def decode(files: list[Path], side_px: int, workers: int) -> float:
    """Seconds to read each tile of each band once, nothing else."""
    starts = range(0, side_px, TILE_PX)
    parts = [(path, Window(col, row, TILE_PX, TILE_PX)) for row in starts for col in starts for path in files]

    def read(part: tuple[Path, Window]) -> None:
        with rasterio.Env(GDAL_NUM_THREADS=1), rasterio.open(part[0]) as band:
            band.read(1, window=part[1], boundless=False)

    start = time.perf_counter()
    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(read, parts))
    return time.perf_counter() - start


def classify(scene: str, folder: Path, workers: int) -> float:
    """Seconds of the whole run, from opening to the last file."""
    start = time.perf_counter()
    options = ClassifyOptions(workers=workers, polygons=False, overwrite=True)
    for _, outcome in run_jobs(plan_jobs([scene], "sentinel2-landuse", folder, options)):
        if isinstance(outcome, Exception):
            raise outcome
    return time.perf_counter() - start


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
