"""A trial run of a model that does not ship with geokd, in a separate process with a time limit.

A network without loops ends at some time; but a few bytes can describe one that takes hours or all the memory, and no
library can be stopped in the middle of an operator.
"""

import glob
import os
import subprocess
import sys
from hashlib import file_digest

from geokd.errors import BundleError
from geokd.model.bundle import BUNDLES_FOLDER, Bundle

PATCH_SECONDS, BATCH_SECONDS = 6, 60
"""Processor time, in seconds, that a model may take to load and run a patch, and then a batch."""

BEGUN, PATCH, DONE = "begun", "patch", "done"
"""Lines that the process prints as it advances."""

_WALL_SECONDS = 300  # limit of wall time, for a busy machine
_TOOK_ITS_TIME, _KILLED = -24, -9  # signals by which the system (SIGXCPU), and we, end a process

_tried: set[str] = set()  # hashes of models


def try_out(bundle: Bundle, batch_patches: int) -> None:
    """Run a model on blank patches in a separate process, once; shipped models are not tried.

    Raises
    ------
    BundleError
        If it takes too long, or crashes the process.
    """
    if bundle.sha256 in _tried or _comes_with_geokd(bundle):
        return
    process = subprocess.Popen(
        [sys.executable, "-m", "geokd.model.trial_run", str(batch_patches), *map(str, bundle.golden.pixels.shape[1:])],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
    )
    try:
        said, _ = process.communicate(bundle.graph, timeout=_WALL_SECONDS)
    except subprocess.TimeoutExpired:
        said = BEGUN.encode()
    finally:
        process.kill()
        code = process.wait()
    steps = said.decode().split()
    if steps and code in (_TOOK_ITS_TIME, _KILLED):
        what, limit = (f"{batch_patches} patches", BATCH_SECONDS) if PATCH in steps else ("one patch", PATCH_SECONDS)
        raise BundleError(
            f"the model {bundle.name} takes more than {limit} s of processor time to load and to run {what};"
            " use a smaller one"
        )
    if steps and code < 0:
        raise BundleError(f"the model {bundle.name} makes ONNX Runtime crash (signal {-code}); export it again")
    _tried.add(bundle.sha256)  # other errors will occur here, too


def _comes_with_geokd(bundle: Bundle) -> bool:
    for path in BUNDLES_FOLDER.glob(f"{glob.escape(bundle.name)}*.onnx"):
        with path.open("rb") as file:
            if file_digest(file, "sha256").hexdigest() == bundle.sha256:
                return True
    return False
