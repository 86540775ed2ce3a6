"""The mean of the weights of several fp32 students that began with the same weights (Wortsman et al. 2022).

    python recipes/mean_of_students.py [--probable] LABELS OUTPUT.onnx MODEL MODEL ...

LABELS is the folder of labels of recipes/dense_from_student.py. The temperature is the one with which the mean's
probabilities are nearest (cross-entropy) to these labels, probabilities of a calibrated student, on 720 chips; with
--probable, to their most probable class, as `geokd train` fits it (too confident where the labels are the mean's own).
GEOKD_DATA holds the chips. OUTPUT is fp32, without the rule for plants in water; recipes/round_dense.py rounds it.
"""

import argparse
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import rasterio
from dense_from_student import SOURCES, STEPS_OF_ONE, of_chips
from onnx import numpy_helper
from round_dense import read

from geokd.files import write_bytes
from geokd.model.bundle import Bundle, golden_cells, load_bundle, resolve_model
from geokd.training.dense.wetland import without_rule
from geokd.training.quantisation import run_graph

CHIP_ROWS = 12
OF_ONE = ("validation_before_rounding", "rounding", "rules")  # what is true of one of the students alone
TEMPERATURES = np.geomspace(0.2, 2, 93)


def main() -> None:
    """Write the mean of the models, calibrated."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("labels", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("models", nargs="+")
    parser.add_argument("--probable", action="store_true", help="fit the temperature to the most probable class")
    call = parser.parse_args()
    bundles = [load_bundle(resolve_model(model)) for model in call.models]
    graph = mean_graph([without_rule(bundle.graph) for bundle in bundles])
    first = bundles[0]
    mean = first.with_graph(graph, "fp32", golden_cells(run_graph(graph, first.golden.pixels)))
    temperature = fitted_temperature(mean, call.labels, probable=call.probable)
    kept = {key: value for key, value in mean.provenance.items() if key not in OF_ONE}
    note = {"mean_of": [{"name": bundle.name, "sha256": bundle.sha256} for bundle in bundles]}
    mean = replace(mean, temperature=temperature, provenance=kept | note)
    write_bytes(call.output, mean.onnx_bytes)
    print(f"{call.output}: mean of {len(bundles)} students, temperature {temperature:.3f}")


def mean_graph(graphs: list[bytes]) -> bytes:
    """Return the first graph with the mean of all weights."""
    models = [onnx.ModelProto.FromString(graph) for graph in graphs]
    for tensors in zip(*(model.graph.initializer for model in models), strict=True):
        values = [numpy_helper.to_array(tensor) for tensor in tensors]
        if values[0].dtype.kind == "f":
            mean = np.mean([value.astype(np.float64) for value in values], axis=0).astype(values[0].dtype)
            tensors[0].CopyFrom(numpy_helper.from_array(mean, tensors[0].name))
    return bytes(models[0].SerializeToString())


def fitted_temperature(bundle: Bundle, labels: Path, *, probable: bool) -> float:
    """Return the temperature with the least cross-entropy with the labels of some chips."""
    name, _, side, _ = SOURCES[0]
    reflectance = read(Path(os.environ["GEOKD_DATA"]) / name, bundle.contract)[:, : side * CHIP_ROWS]
    logits = bundle.temperature * np.log(np.maximum(of_chips(bundle, reflectance, side), 1e-9))
    with rasterio.open(labels / Path(name).name) as dataset:
        shares = dataset.read()[:, : side * CHIP_ROWS].astype(np.float32) / STEPS_OF_ONE
    if probable:
        shares = (shares == shares.max(axis=0)).astype(np.float32)

    def entropy(temperature: float) -> float:
        scaled = logits / temperature
        logs = scaled - scaled.max(axis=0)
        logs -= np.log(np.exp(logs).sum(axis=0))
        return float(-(shares * logs).sum(axis=0).mean())

    return float(min(TEMPERATURES, key=entropy))


if __name__ == "__main__":
    main()
