"""Amount of computation of a network, counted from the shapes of its layers. Pure arithmetic."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Layer:
    """One node of an ONNX graph, as it is run on a single patch.

    Parameters
    ----------
    kind : str
        ONNX operator.
    inputs : tuple of shapes
        Activations first, then weights, in the operator's order.
    output : shape
    """

    kind: str
    inputs: tuple[Shape, ...]
    output: Shape


def count_multiply_adds(layers: Iterable[Layer]) -> int:
    """Multiply-adds of convolutions and matrix products; the rest is negligible.

    A convolution takes c/g * kh * kw of them for each number of its output, a product (m, k) by (k, n) takes m * k * n.
    """
    total = 0
    for layer in layers:
        if layer.kind == "Conv":
            total += math.prod(layer.output) * math.prod(layer.inputs[1][1:])
        elif layer.kind in ("Gemm", "MatMul"):
            total += math.prod(layer.output) * layer.inputs[0][-1]
    return total


def count_parameters(layers: Iterable[Layer]) -> int:
    """Weights and biases of convolutions and matrix products, scales and shifts of batch normalisation.

    A network with batch normalisation folded into its convolutions has fewer of them.
    """
    total = 0
    for layer in layers:
        if layer.kind in ("Conv", "Gemm", "MatMul"):
            total += sum(map(math.prod, layer.inputs[1:]))
        elif layer.kind == "BatchNormalization":
            total += sum(map(math.prod, layer.inputs[1:3]))  # the other two are statistics, not trained
    return total
