"""A trial reading of layers that are computed while they are read, in a separate process that can be ended.

A view of a few bytes can describe a layer of trillions of features, and neither SQLite nor GDAL stops in the middle.
"""

import os
import subprocess
import sys
from pathlib import Path

from geokd.errors import ChipError

CPU_SECONDS, MOST_GIB = 20, 4
"""Processor time and memory that reading such a layer may take."""

_WALL_SECONDS = 120  # for a busy machine
_TOO_MUCH = "too much"


def try_to_read(path: Path, layer: str) -> None:
    """Read a layer in a separate process; other errors are found when it is read again.

    Parameters
    ----------
    path : Path
        A vector file.
    layer : str
        Its layer; empty: the only one with geometry, if there is one.

    Raises
    ------
    ChipError
        If it takes too long, or too much memory.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "geokd.scenes.layer_trial", path, layer, str(CPU_SECONDS)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
    )
    try:
        said, _ = process.communicate(timeout=_WALL_SECONDS)
        ended = process.returncode >= 0 and _TOO_MUCH.encode() not in said
    except subprocess.TimeoutExpired:
        ended = False
    finally:
        process.kill()
        process.wait()
    if not ended:
        raise ChipError(
            f"{path} holds a view that takes more than {CPU_SECONDS} s of processor time or {MOST_GIB} GiB to read;"
            " copy the layer that you need into a file of its own with ogr2ogr"
        )


def _main(path: str, layer: str, seconds: str) -> None:
    import pyogrio.raw

    if sys.platform != "win32":
        import resource

        used = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
        for limit, most in ((resource.RLIMIT_CPU, round(used) + int(seconds)), (resource.RLIMIT_AS, MOST_GIB * 2**30)):
            _, hard = resource.getrlimit(limit)
            resource.setrlimit(limit, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        layers = [str(name) for name, geometry in pyogrio.list_layers(path) if geometry is not None]
        if layer in layers or len(layers) == 1:
            pyogrio.raw.read(path, layer=layer if layer in layers else layers[0])
    except MemoryError:
        print(_TOO_MUCH)


if __name__ == "__main__":
    _main(*sys.argv[1:])
