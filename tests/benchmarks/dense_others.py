"""Every pixel of a Sentinel-2 tile: geokd's dense student, the cover teacher's network, and TorchGeo's loop.

    python -m tests.benchmarks.dense_others [MODEL] [--side PX] [--part PX] [--rounds N]
        [--tensorflow PYTHON] [--torchgeo PYTHON]

All read the scene of `tests.benchmarks.dense`. geokd maps the whole of it, with its outputs, by the int8 bundle MODEL
and by MODEL-fp32. The cover teacher (Dynamic World, `weights/dynamic_world` and `tools/cover_teacher.py` of
$GEOKD_DATA) and TorchGeo's loop, which runs the fp32 student in torch, take a part of it and count by the pixel; the
20 m bands that the teacher needs besides are copies of B08. PYTHON is one in whose environment TensorFlow and rasterio
are installed, or TorchGeo, requests and geokd. A row whose library or data is missing is left out. Starting is not
counted.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import rasterio
from affine import Affine
from rasterio.windows import Window

from geokd.model.bundle import resolve_model
from tests.benchmarks.dense import SOURCE, Mapping, command, four_bands
from tests.benchmarks.scene import SIDE_PX

DATA = SOURCE.parents[1]
NETWORK, TOOL = DATA / "weights" / "dynamic_world", DATA / "tools" / "cover_teacher.py"
COARSE_BANDS = ("B05", "B06", "B07", "B11", "B12")
WARM_SIDE_PX = 768
BY_GEOKD = "geokd, int8"


class Row(NamedTuple):
    """What a tool took for so many pixels."""

    pixels: int
    wall: float
    processor: float
    peak_mb: float


def main() -> None:
    """Measure in turns, and print speeds and how many times longer than geokd each takes for a pixel."""
    options = arguments()
    scene = four_bands(Path(tempfile.gettempdir(), f"geokd_four_bands_{options.side}.tif"), options.side)
    with tempfile.TemporaryDirectory() as folder:
        part = Path(folder, "part", "scene.tif")
        part.parent.mkdir()
        cut(scene, part, options.part)
        for number in range(options.rounds):
            print(f"round {number + 1}, load {os.getloadavg()[0]:.1f}")
            header = ("pixels", "time s", "Mpx/s", "longer", "processor s", "Mpx/s", "longer", "peak MB")
            print(f"{'':<33}" + "".join(f"{word:>13}" for word in header))
            first: Row | None = None
            for name, row in measured(scene, part, options):
                first = first or row
                show(name, row, first)


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("model", nargs="?", default="sentinel2-landuse")
    parser.add_argument("--side", type=int, default=SIDE_PX)
    parser.add_argument("--part", type=int, default=1920)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--tensorflow", default=sys.executable)
    parser.add_argument("--torchgeo", default=sys.executable)
    return parser.parse_args()


def measured(scene: Path, part: Path, options: argparse.Namespace) -> Iterator[tuple[str, Row]]:
    """Run one after the other what can be run, geokd's int8 student first."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "out")
        rasters = command(scene, options.model, out, "--no-polygons")
        yield BY_GEOKD, whole(rasters, options.side)
        polygons = command(scene, options.model, out, "--min-area", "0.5")
        yield f"{BY_GEOKD}, polygons of 0.5 ha", whole(polygons, options.side)
        exact = exact_of(options.model)
        if exact is None:
            print(f"left out: the fp32 rows, as there is no {options.model}-fp32")
        else:
            yield "geokd, fp32", whole(command(scene, exact, out, "--no-polygons"), options.side)
        row = cover_teacher(part, options.tensorflow)
        if row is not None:
            yield "cover teacher, TensorFlow", row
        row = None if exact is None else torchgeo(part, exact, options.torchgeo)
        if row is not None:
            yield "TorchGeo's loop, torch fp32", row


def whole(mapping: Mapping, side_px: int) -> Row:
    """Count a map of the whole scene, from its first block to its last file."""
    return Row(side_px**2, *mapping.spent, mapping.peak_mb)


def exact_of(model: str) -> str | None:
    """Return the fp32 bundle of an int8 one, by name or path."""
    path = resolve_model(model)
    exact = path.with_name(f"{path.stem}-fp32.onnx")
    return str(exact) if exact.is_file() else None


def cover_teacher(part: Path, python: str) -> Row | None:
    """Run the cover teacher on a part of the scene; None if it cannot be."""
    if not NETWORK.is_dir() or not TOOL.is_file():
        print(f"left out: the cover teacher, as it needs {NETWORK} and {TOOL}")
        return None
    if not has(python, "tensorflow", "rasterio"):
        print(f"left out: the cover teacher, as {python} has no TensorFlow and rasterio; name one with --tensorflow")
        return None
    loop = Path(__file__).with_name("cover_teacher_loop.py")
    with tempfile.TemporaryDirectory() as folder:
        with rasterio.open(part) as scene:
            side_px = scene.width
        for side in {side_px, WARM_SIDE_PX}:
            cut(part, Path(folder, f"10m_{side}.tif"), side)
            coarse(Path(folder, f"10m_{side}.tif"), Path(folder, f"20m_{side}.tif"))
        return told_by([python, loop, TOOL, NETWORK, folder, str(side_px), str(WARM_SIDE_PX)])


def torchgeo(part: Path, model: str, python: str) -> Row | None:
    """Run TorchGeo's loop on a part of the scene; None if it cannot be."""
    if not has(python, "torchgeo", "requests", "torch", "geokd"):
        print(f"left out: TorchGeo, as {python} lacks torchgeo, requests or geokd[train]; name one with --torchgeo")
        return None
    return told_by([python, "-m", "tests.benchmarks.dense_torchgeo_loop", part.parent, model])


def has(python: str, *libraries: str) -> bool:
    """Whether an interpreter finds all of some libraries."""
    find = f"import importlib.util as u, sys; sys.exit(not all(map(u.find_spec, {libraries!r})))"
    return subprocess.run([python, "-c", find], check=False).returncode == 0


def told_by(arguments: list[str | Path]) -> Row:
    """Run a loop in a process of its own, and read what it prints last."""
    printed = subprocess.run(arguments, stdout=subprocess.PIPE, check=True, text=True).stdout
    return Row(**json.loads(printed.splitlines()[-1]))


def cut(scene: Path, part: Path, side_px: int) -> None:
    """Write the upper left square of a scene, stored as the scene is."""
    with rasterio.open(scene) as source:
        profile = source.profile | {"height": side_px, "width": side_px}
        with rasterio.open(part, "w", **profile) as target:
            target.descriptions = source.descriptions
            target.write(source.read(window=Window(0, 0, side_px, side_px)))


def coarse(ten: Path, twenty: Path) -> None:
    """Write the bands of 20 m that go with those of 10 m: each B08, every other pixel."""
    with rasterio.open(ten) as source:
        values = source.read(source.descriptions.index("B08") + 1)[::2, ::2]
        height, width = values.shape
        transform = source.transform @ Affine.scale(2)
        profile = source.profile | {"height": height, "width": width, "count": len(COARSE_BANDS)}
    with rasterio.open(twenty, "w", **(profile | {"transform": transform})) as target:
        target.descriptions = COARSE_BANDS
        target.write(np.broadcast_to(values, (len(COARSE_BANDS), height, width)))


def show(name: str, row: Row, first: Row) -> None:
    """Print a row of the table."""
    megapixels = row.pixels / 1e6
    figures: list[float] = [megapixels]
    for mine, base in ((row.wall, first.wall), (row.processor, first.processor)):
        figures += [mine, megapixels / mine, mine / row.pixels / (base / first.pixels)]
    print(f"{name:<33}" + "".join(f"{figure:>13.2f}" for figure in (*figures, row.peak_mb)), flush=True)


if __name__ == "__main__":
    main()
