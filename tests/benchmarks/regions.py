"""Regions of a Sentinel-2 tile in cells of 10 m: filters, polygons and GeoPackage, in seconds and memory.

    python -m tests.benchmarks.regions [SIDE_CELLS|MAP [MIN_AREA_HA [STAGE ...]]]

MAP is the class raster of a map, its confidence beside it. Default: one that is more broken up than a dense student's,
by thresholds on the indices of a real scene, mirrored until it is large enough
(`scenes/s2_eastern_shore_b04b03b02b08_uint16.tif` of $GEOKD_DATA; `../shared` beside the repository unless set). Each
stage runs in a process of its own, since memory once taken is not given back; the peak counts codes and confidence.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio.crs import CRS

from geokd.legend.classes import NODATA, default_legend
from geokd.maps.class_map import ClassMap, row_strips
from geokd.maps.filters.majority import smooth
from geokd.maps.filters.sieve import sieve
from geokd.maps.polygons.connected import connected_labels
from geokd.maps.polygons.geopackage import write_polygons
from geokd.maps.polygons.regions import regions_of
from geokd.scenes.grid import SceneGrid
from geokd.scenes.reader import mirrored
from tests.benchmarks.scene import SIDE_PX

DATA = Path(os.environ.get("GEOKD_DATA", Path(__file__).parents[3] / "shared"))
SCENE = DATA / "scenes" / "s2_eastern_shore_b04b03b02b08_uint16.tif"
LEGEND = default_legend(tuple(f"class {number}" for number in range(20)))
STAGES = ("labels", "majority", "sieve", "polygons", "geopackage", "sieved polygons", "sieved geopackage", "simplified")


def main(given: str = str(SIDE_PX), min_area_ha: str = "0.5", *stages: str) -> None:
    """Make or read the map, then run each stage in a process of its own."""
    if given.isdigit() and not SCENE.is_file():
        print(f"skipped: it needs {SCENE.name} at {SCENE}; set GEOKD_DATA to the folder that holds scenes/")
        return
    with tempfile.TemporaryDirectory() as folder:
        codes, confidence = pseudo_map(int(given)) if given.isdigit() else real_map(Path(given))
        np.save(Path(folder, "codes.npy"), codes)
        np.save(Path(folder, "confidence.npy"), confidence)
        sieve(codes, grid_of(len(codes)), len(LEGEND), float(min_area_ha))
        np.save(Path(folder, "sieved.npy"), codes)
        del codes, confidence
        for stage in stages or STAGES:
            worker = [sys.executable, "-m", "tests.benchmarks.regions", "--stage", stage, folder, min_area_ha]
            subprocess.run(worker, check=True)


def grid_of(side: int) -> SceneGrid:
    """Return a grid of 10 m."""
    return SceneGrid(Affine(10, 0, 399_960, 0, -10, 4_200_000), side, side, CRS.from_epsg(32618))


def pseudo_map(side: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return codes and confidence of nine classes by thresholds, (side, side); a corner is not mapped."""
    with rasterio.open(SCENE) as scene:
        red, green, blue, infrared = (_median(band) for band in scene.read().astype(np.float32))
    green_index, wet_index = (infrared - red) / (infrared + red + 1), (green - infrared) / (green + infrared + 1)
    bright = (red + green + blue) / 3
    land = np.digitize(green_index, [0.2, 0.35, 0.5, 0.62]) + 4
    codes = np.where(wet_index > 0, np.digitize(-wet_index, [-0.5, -0.25]), land)
    codes = np.where((codes == 4) & (bright > 1500), 3, codes).astype(np.uint8)
    sure = (30 + (bright * 7 + green_index * 500).astype(np.int64) % 71).astype(np.uint8)
    rows, cols = mirrored(0, side, codes.shape[0]), mirrored(0, side, codes.shape[1])
    codes, sure = (np.ascontiguousarray(values[rows][:, cols]) for values in (codes, sure))
    for line in range(side // 8):
        codes[line, : side // 8 - line] = sure[line, : side // 8 - line] = NODATA
    return codes, sure


def real_map(classes: Path) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Read codes and confidence of a map, (side, side)."""
    of_confidence = classes.with_name(classes.name.replace("_landuse", "_confidence"))
    with rasterio.open(classes) as codes, rasterio.open(of_confidence) as confidence:
        return codes.read(1), confidence.read(1)


def run_stage(stage: str, folder: Path, min_area_ha: float) -> None:
    """Run one stage and print what it took."""
    sieved = stage.startswith(("sieved", "simplified"))
    codes = np.load(folder / ("sieved.npy" if sieved else "codes.npy"))
    grid = grid_of(len(codes))
    class_map = ClassMap(codes, np.load(folder / "confidence.npy"), grid, LEGEND)
    calls: dict[str, Callable[[], object]] = {
        "labels": lambda: sum(connected_labels(codes[rows])[1] for rows in row_strips(*codes.shape)),
        "majority": lambda: smooth(codes, len(LEGEND), 3),
        "sieve": lambda: sieve(codes, grid, len(LEGEND), min_area_ha),
        "polygons": lambda: sum(map(len, regions_of(class_map))),
        "geopackage": lambda: write_polygons(class_map, folder / "map.gpkg").sum(),
        "simplified": lambda: sum(map(len, regions_of(class_map, 20.0))),
    }
    begun, begun_cpu = time.perf_counter(), time.process_time()
    outcome = calls[stage.removeprefix("sieved ")]()
    seconds, cpu = time.perf_counter() - begun, time.process_time() - begun_cpu
    status = Path("/proc/self/status").read_text(encoding="ascii")  # getrusage tells the parent's peak, too
    peak_mb = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:")) / 1e3
    (folder / "map.gpkg").unlink(missing_ok=True)
    print(
        f"{stage:<18} {seconds:>7.1f} s, {cpu:>5.1f} s of a core, peak {peak_mb:>5,.0f} MB",
        "" if outcome is None else outcome,
        flush=True,
    )


def _median(band: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the median of the 3 x 3 pixels around each."""
    near = np.lib.stride_tricks.sliding_window_view(np.pad(band, 1, mode="edge"), (3, 3))
    return np.asarray(np.partition(near.reshape(*band.shape, 9), 4, axis=2)[..., 4], np.float32)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--stage"]:
        run_stage(sys.argv[2], Path(sys.argv[3]), float(sys.argv[4]))
    else:
        main(*sys.argv[1:])
