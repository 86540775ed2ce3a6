"""How far a student in int8 is from itself in fp32: by rounding alone, and with what is done to the graph before.

    python recipes/rounding.py FP32_BUNDLE CALIBRATION FOLDER

CALIBRATION is the calibration.safetensors of the run, FOLDER holds chips or patches in whatever folders.
"""

import sys
from pathlib import Path

import numpy as np
import onnx
from scipy.special import log_softmax

from geokd.assessment.intervals import wilson
from geokd.bundle import load_bundle, resolve_model
from geokd.scenes.chip_files import index_unlabelled
from geokd.scenes.chips import read_chips
from geokd.training import quantisation
from geokd.training.checkpoint import read_tensors
from geokd.training.quantisation import run_graph

STEPS = ("equalise", "correct_biases")


def unchanged(model: onnx.ModelProto, _batches: object) -> onnx.ModelProto:
    """Leave a graph as it is."""
    return model


def main(model: str, calibration: str, folder: str) -> None:
    """Print agreement and KL divergence of each way of rounding."""
    bundle = load_bundle(resolve_model(model))
    shown = read_tensors(Path(calibration))[0]["pixels"].numpy()
    pixels = read_chips(index_unlabelled(folder, 100_000), bundle.contract).pixels
    fp32 = log_softmax(run_graph(bundle.graph, pixels), axis=1)
    own = {name: getattr(quantisation, name) for name in STEPS}
    for kept in ((), ("equalise",), ("correct_biases",), STEPS):
        for name in STEPS:
            setattr(quantisation, name, own[name] if name in kept else unchanged)
        int8 = log_softmax(run_graph(quantisation.quantise(bundle.graph, shown), pixels), axis=1)
        same, n = int((int8.argmax(1) == fp32.argmax(1)).sum()), len(pixels)
        divergence = float(np.mean((np.exp(fp32) * (fp32 - int8)).sum(axis=1)))
        low, high = wilson(same, n)
        print(
            f"{' and '.join(kept) or 'rounding alone'}: agrees with fp32 on {100 * same / n:.2f} %"
            f" ({100 * low:.2f} to {100 * high:.2f}) of {n}, KL {divergence:.4f}"
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
