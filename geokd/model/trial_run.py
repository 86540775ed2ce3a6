"""The process of :mod:`geokd.model.trial`: runs the model on standard input on a patch, then on a batch."""

import sys
from contextlib import suppress

import numpy as np
import onnxruntime

from geokd.errors import BundleError
from geokd.model.engine import session_of, told_in_a_sentence
from geokd.model.memory import bounded_growth, fair_share_bytes
from geokd.model.trial import BATCH_SECONDS, BEGUN, DONE, PATCH, PATCH_SECONDS


def main(batch_patches: int, channels: int, height: int, width: int) -> None:
    """Run it, and print how far it got; errors of the model are found by the calling process."""
    graph = sys.stdin.buffer.read()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    with suppress(BundleError), told_in_a_sentence("try the model"), bounded_growth(fair_share_bytes()):
        _end_in(PATCH_SECONDS)
        print(BEGUN, flush=True)
        session = session_of(graph, options)
        for count, step in ((1, PATCH), (batch_patches, DONE)):
            blank = np.zeros((count, channels, height, width), np.uint8)
            session.run(None, {session.get_inputs()[0].name: blank})
            print(step, flush=True)
            _end_in(BATCH_SECONDS)


def _end_in(seconds: int) -> None:
    """Let the system end this process after that much more processor time; on Linux and macOS."""
    if sys.platform != "win32":
        import resource

        used = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
        _, hard = resource.getrlimit(resource.RLIMIT_CPU)
        resource.setrlimit(resource.RLIMIT_CPU, (round(used) + seconds, hard))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
