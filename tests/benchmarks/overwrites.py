"""`--overwrite` killed (SIGKILL) at random moments while outputs are moved: are the old outputs whole, or the new ones?

    python -m tests.benchmarks.overwrites [KILLS]

Maps a scene, then maps it anew with another least confidence; each such run is killed at a random moment after its
record of moves came up, every second time another run is killed there as well, and then the folder is put in order as
the next command does. All outputs must be those of before, or all the new ones, and nothing else may be left.
"""

import hashlib
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import geokd
from geokd.system.recovery import WORK, settle
from tests.tiny import three_fields, tiny_bundle, write_scene

MOVE_SECONDS = 0.002  # that each move is made to take, so that kills come in between
PHASE_SECONDS = 0.12


def main(kills: int = 200) -> None:
    """Kill, put in order, compare; end with an error at the first mixture."""
    generator, seen = random.Random(0), Counter[str]()
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        scene = write_scene(base / "scene.tif", three_fields(96, 96))
        (base / "tiny.onnx").write_bytes(tiny_bundle().onnx_bytes)
        known = {}
        for name, least in (("old", 0.0), ("new", 0.9)):
            assert not mapped(scene, base / name, least)
            known[name] = rasters(base / name)
        assert known["old"] != known["new"]
        while seen["killed"] < kills:
            out = base / "out"
            shutil.copytree(base / "old", out)
            for _ in range(generator.randint(1, 2)):
                killed = mapped(scene, out, 0.9, after=generator.uniform(0, PHASE_SECONDS))
                seen["killed"] += killed
            seen["found in part"] += rasters(out) not in known.values()
            settle(out)
            (state,) = [name for name, files in known.items() if rasters(out) == files]
            assert sorted(p.name for p in out.iterdir() if not p.name.endswith("-journal")) == sorted(
                p.name for p in (base / "old").iterdir()
            ), "something is missing, or was left behind"
            manifest = (out / "scene_landuse.json").read_text(encoding="utf-8")
            assert ('"min_confidence": 0.9' in manifest) == (state == "new"), "rasters and manifest of two maps"
            seen[state] += 1
            shutil.rmtree(out)
    print(dict(seen))


def mapped(scene: Path, out: Path, least: float, after: float | None = None) -> bool:
    """Map the scene in a process of its own; kill it so long after its moves began. Returns whether it was killed."""
    child = os.fork()
    if child == 0:
        if after is not None:
            _slow_moves()
        options = geokd.ClassifyOptions(min_confidence=least, overwrite=True, workers=1)
        geokd.classify(scene, scene.with_name("tiny.onnx"), out, options)
        os._exit(0)
    if after is not None:
        while not list(out.glob(f"{WORK}/*/moves.json")):
            if os.waitpid(child, os.WNOHANG)[0]:
                return False
            time.sleep(0.0005)
        time.sleep(after)
        os.kill(child, signal.SIGKILL)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


def rasters(folder: Path) -> dict[str, str]:
    """Hash the rasters and tables of a map: files that are alike whenever it is made."""
    files = [path for path in folder.iterdir() if path.suffix in (".tif", ".csv", ".png", ".qml")]
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def _slow_moves() -> None:
    replace = Path.replace

    def slow(self: Path, target: Path) -> Path:
        time.sleep(MOVE_SECONDS)
        return replace(self, target)

    Path.replace = slow  # type: ignore[method-assign,assignment]


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
