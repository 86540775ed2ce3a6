"""A trial run of a model that did not come with geokd, in a process of its own that is ended when it takes too long.

Without loops a network ends some time; but a few bytes can describe one that takes hours or all of the memory, and no
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
"""Seconds of one processor that a model may take to be loaded and to answer for a patch, and then for a batch."""

BEGUN, PATCH, DONE = "begun", "patch", "done"
"""What the process says, a line each, as it gets on."""

_WALL_SECONDS = 300  # on a machine that is busy with other things
_TOOK_ITS_TIME, _KILLED = -24, -9  # what the system ends a process with (SIGXCPU), and what we do

_tried: set[str] = set()  # hashes of models


def try_out(bundle: Bundle, batch_patches: int) -> None:
    """Run a model on blank patches in a process of its own, once; not those that come with geokd.

    Raises
    ------
    BundleError
        If it takes too long, or brings the process down.
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
            f"the model {bundle.name} takes more than {limit} s of a processor to be loaded and to answer for {what};"
            " take a smaller one"
        )
    if steps and code < 0:
        raise BundleError(f"the model {bundle.name} makes ONNX Runtime crash (signal {-code}); export it again")
    _tried.add(bundle.sha256)  # what else is wrong with it will be seen here, too


def _comes_with_geokd(bundle: Bundle) -> bool:
    for path in BUNDLES_FOLDER.glob(f"{glob.escape(bundle.name)}*.onnx"):
        with path.open("rb") as file:
            if file_digest(file, "sha256").hexdigest() == bundle.sha256:
                return True
    return False
