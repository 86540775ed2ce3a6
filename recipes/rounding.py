"""How far a student in int8 is from itself in fp32: by rounding alone, and with what may be done to the graph before.

    python recipes/rounding.py FP32_BUNDLE CALIBRATION FOLDER

CALIBRATION is the calibration.safetensors of the run, FOLDER holds chips or patches in whatever folders; if
these bear the names of classes, prints how often each way is right.
"""

import sys
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax

from geokd.chips.files import index_unlabelled
from geokd.chips.reading import read_chips
from geokd.model.bundle import load_bundle, resolve_model
from geokd.statistics.comparison import mcnemar
from geokd.statistics.intervals import wilson
from geokd.training.checkpoint import read_tensors
from geokd.training.quantisation import Preparation, correct_biases, equalise, quantise, run_graph

WAYS: dict[str, tuple[Preparation, ...]] = {
    "rounding alone": (),
    "similar ranges": (equalise,),
    "biases": (correct_biases,),
    "both": (equalise, correct_biases),
}


def main(model: str, calibration: str, folder: str) -> None:
    """Print agreement with fp32 and KL divergence of each way of rounding, and if known how often each is right."""
    bundle = load_bundle(resolve_model(model))
    shown = read_tensors(Path(calibration))[0]["pixels"].numpy()
    index = index_unlabelled(folder, 100_000)
    pixels = read_chips(index, bundle.contract).pixels
    kinds = np.array([PurePosixPath(file).parent.name for file in index.files])
    known = set(kinds) <= set(bundle.legend.names)
    fp32 = log_softmax(run_graph(bundle.graph, pixels), axis=1)
    names = np.array(bundle.legend.names)
    reference = None
    for way, preparations in WAYS.items():
        int8 = log_softmax(run_graph(quantise(bundle.graph, shown, preparations), pixels), axis=1)
        divergence = float(np.mean((np.exp(fp32) * (fp32 - int8)).sum(axis=1)))
        line = f"{way}: agrees with fp32 on {_share(int8.argmax(1) == fp32.argmax(1))}, KL {divergence:.4f}"
        if known:
            right = names[int8.argmax(1)] == kinds
            reference = right if reference is None else reference
            line += f"; right on {_share(right)}, against rounding alone {mcnemar(right, reference).to_json()}"
        print(line, flush=True)
    if known:
        print(f"fp32: right on {_share(names[fp32.argmax(1)] == kinds)}")


def _share(yes: NDArray[np.bool_]) -> str:
    low, high = wilson(int(yes.sum()), len(yes))
    return f"{100 * yes.mean():.2f} % ({100 * low:.2f} to {100 * high:.2f}) of {len(yes)}"


if __name__ == "__main__":
    main(*sys.argv[1:])
