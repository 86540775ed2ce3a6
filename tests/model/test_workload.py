"""Multiply-adds and parameters against hand arithmetic."""

import pytest

from geokd.model.workload import Layer, count_multiply_adds, count_parameters

LAYERS = {
    # 5 x 5 kernels over 4 bands for each of 6 x 7 x 8 numbers
    "convolution": (Layer("Conv", ((1, 4, 9, 9), (6, 4, 5, 5), (6,)), (1, 6, 7, 8)), 6 * 7 * 8 * 4 * 25, 606),
    "convolution by channel": (Layer("Conv", ((1, 6, 9, 9), (6, 1, 3, 3)), (1, 6, 9, 9)), 6 * 81 * 9, 54),
    "linear, weights transposed": (Layer("Gemm", ((1, 20), (10, 20), (10,)), (1, 10)), 200, 210),
    "linear": (Layer("MatMul", ((1, 20), (20, 10)), (1, 10)), 200, 200),
    "batch normalisation": (Layer("BatchNormalization", ((1, 6, 7, 8), *[(6,)] * 4), (1, 6, 7, 8)), 0, 12),
    "anything else": (Layer("Add", ((1, 6, 7, 8), (1, 6, 7, 8)), (1, 6, 7, 8)), 0, 0),
}


@pytest.mark.parametrize("name", LAYERS)
def test_one_layer(name: str) -> None:
    layer, multiply_adds, parameters = LAYERS[name]
    assert count_multiply_adds([layer]) == multiply_adds
    assert count_parameters([layer]) == parameters


def test_layers_add_up() -> None:
    layers, multiply_adds, parameters = zip(*LAYERS.values(), strict=True)
    assert count_multiply_adds(layers) == sum(multiply_adds)
    assert count_parameters(layers) == sum(parameters)
