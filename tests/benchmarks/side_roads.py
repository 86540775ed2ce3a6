"""Commands on a large map: seconds and peak memory of each.

    python -m tests.benchmarks.side_roads [SIDE_PX]

A scene of 8,000 x 8,000 pixels, made of the sample scene, is mapped whole and in two halves with the colours' dense
student; then each command runs in a process of its own. Peak memory is that of the process (Linux).
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import rasterio
from rasterio.windows import Window

from tests.benchmarks.scene import large_scene

LEGEND = """from,title,color_hint
AnnualCrop,Fields,F2D45C
PermanentCrop,Fields,F2D45C
River,Water,1F5FA8
SeaLake,Water,1F5FA8
"""


def main(side_px: str = "8000") -> None:
    """Print a row for each command."""
    with tempfile.TemporaryDirectory() as made:
        folder, side = Path(made), int(side_px)
        scene = large_scene(folder / "whole.tif", side, side)
        for name, start in (("west", 0), ("east", side // 2)):
            part(scene, folder / f"{name}.tif", start, side // 2)
        (folder / "again.tif").symlink_to(folder / "west.tif")
        (folder / "legend.csv").write_text(LEGEND, encoding="utf-8")
        mapped = folder / "maps" / "whole_landuse.tif"
        halves = [folder / "maps" / f"{name}_landuse.tif" for name in ("west", "east")]
        parts = [folder / f"{name}.tif" for name in ("west", "east", "again")]
        again = folder / "maps" / "again_landuse.tif"
        probabilities = ["-o", mapped.parent, "--probabilities"]
        for call in (
            ["classify", scene, *probabilities],
            ["classify", *parts, *probabilities, "--no-polygons"],
            ["mosaic", *halves, "-o", folder / "mosaic" / "m_landuse.tif"],
            ["composite", halves[0], again, "-o", folder / "composite" / "c_landuse.tif"],
            ["style", folder / "legend.csv", mapped, "-o", folder / "style" / "s_landuse.tif"],
            ["sample", mapped, "--plan", "--accuracy-within", "3"],
            ["sample", mapped, "-n", "500", "-o", folder / "sample.gpkg"],
            ["review", mapped, "-n", "200", "-o", folder / "review.gpkg"],
            ["assess", mapped, halves[0]],
            ["info", scene, "-m", "auto"],
            ["tile", scene, "-o", folder / "chips"],
        ):
            seconds, peak_mb = measured(list(map(str, call)))
            words = " ".join(Path(str(word)).name for word in call)
            print(f"{words[:70]:<70} {seconds:6.1f} s {peak_mb:6.0f} MB", flush=True)


def part(scene: Path, path: Path, start: int, width: int) -> None:
    """Write columns of a scene."""
    with rasterio.open(scene) as source:
        window = Window(start, 0, width, source.height)
        profile = source.profile | {"width": width, "transform": source.window_transform(window)}
        with rasterio.open(path, "w", **profile) as target:
            target.write(source.read(window=window))
            target.descriptions = source.descriptions


def measured(arguments: list[str]) -> tuple[float, float]:
    """Run geokd in a process of its own; return seconds and peak memory in MB."""
    began, peak_kb = time.monotonic(), 0
    with subprocess.Popen([sys.executable, "-m", "geokd", *arguments], stdout=-3, stderr=subprocess.PIPE) as running:
        assert running.stderr is not None
        status = Path(f"/proc/{running.pid}/status")
        while running.poll() is None:
            lines = status.read_text(encoding="ascii").splitlines() if status.exists() else []
            peak_kb = max([peak_kb, *(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))])
            time.sleep(0.02)
        talk = running.stderr.read().decode()
    assert running.returncode == 0, talk
    return time.monotonic() - began, peak_kb / 1024


if __name__ == "__main__":
    main(*sys.argv[1:])
