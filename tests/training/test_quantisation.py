"""What is done to a graph before it is rounded to int8, and what that is worth."""

import tempfile
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the extra geokd[train]")

import onnx
from numpy.typing import NDArray
from onnx import numpy_helper
from onnxruntime import quantization

import geokd
from geokd.chips.files import index_unlabelled
from geokd.chips.reading import read_chips
from geokd.model.bundle import load_bundle, resolve_model
from geokd.training.dense.wetland import without_rule
from geokd.training.quantisation import (
    PREPARATIONS,
    correct_biases,
    equalise,
    equalise_sums,
    quantise,
    run_graph,
)

SCENE = Path(__file__).parents[2] / "sample_data" / "eastern_shore.tif"


@pytest.fixture(scope="module")
def student() -> bytes:
    return load_bundle(resolve_model("eurosat-rgb-maps-fp32")).graph


@pytest.fixture(scope="module")
def patches(tmp_path_factory: pytest.TempPathFactory) -> NDArray[np.uint8]:
    """The sample scene, cut into 256 patches."""
    folder = tmp_path_factory.mktemp("patches") / "cut"
    geokd.tile(SCENE, folder, options=geokd.TileOptions(patch_px=64, stride_px=64))
    contract = load_bundle(resolve_model("eurosat-rgb-maps-fp32")).contract
    return read_chips(index_unlabelled(folder, 1000), contract).pixels


@pytest.fixture(scope="module")
def pixels(patches: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return patches[::2]


@pytest.fixture(scope="module")
def folded(student: bytes) -> onnx.ModelProto:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "folded.onnx")
        quantization.quant_pre_process(onnx.load_from_string(student), path, skip_symbolic_shape=True)
        return onnx.load(path)


def weights_of(model: onnx.ModelProto) -> dict[str, NDArray[np.float32]]:
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


def divergence(logits: NDArray[np.float32], expected: NDArray[np.float32]) -> float:
    """Mean KL divergence of the softmax of logits from that of the expected ones."""
    log_p, log_q = (z - np.log(np.exp(z).sum(axis=1, keepdims=True)) for z in (expected, logits))
    return float((np.exp(log_p) * (log_p - log_q)).sum(axis=1).mean())


def test_equal_ranges_change_weights_and_no_answer(folded: onnx.ModelProto, pixels: NDArray[np.uint8]) -> None:
    before = folded.SerializeToString()
    equal = equalise(folded, [pixels[:40], pixels[40:]])
    assert folded.SerializeToString() == before
    ours, theirs = weights_of(equal), weights_of(folded)
    layers = [node for node in folded.graph.node if node.op_type == "Conv"]
    factors = [ours[n.input[2]] / theirs[n.input[2]] for n in layers]  # by which a bias was multiplied
    clipped = [bool(f.max() > 1) for f in factors]
    assert sum(clipped) == 35  # all with a ReLU6: the stem, 16 and 17 in the blocks, the last
    assert all(f.min() > 0.999 and f.max() < 8.001 for f in factors)
    np.testing.assert_allclose(run_graph(equal.SerializeToString(), pixels), run_graph(before, pixels), atol=0.02)


def test_a_bias_loses_what_rounding_its_weights_adds(folded: onnx.ModelProto, pixels: NDArray[np.uint8]) -> None:
    corrected = weights_of(correct_biases(folded, [pixels]))
    first = next(node for node in folded.graph.node if node.op_type == "Conv")
    kernel, bias = (weights_of(folded)[name] for name in first.input[1:])
    step = np.abs(kernel).max(axis=(1, 2, 3), keepdims=True) / 127
    added = (np.round(kernel / step) * step - kernel).sum(axis=(2, 3))
    mean, std = (np.array(v, np.float32) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    seen = (pixels.mean(axis=(0, 2, 3)) / 255 - mean) / std
    np.testing.assert_allclose(corrected[first.input[2]], bias - added @ seen, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_int8_is_nearer_to_fp32_than_by_rounding_alone(student: bytes, patches: NDArray[np.uint8]) -> None:
    shown, others = patches[::2], patches[1::2]
    expected = run_graph(student, others)
    prepared, plain = (
        divergence(run_graph(quantise(student, shown, preparations), others), expected)
        for preparations in (PREPARATIONS, ())
    )
    assert prepared < 0.6 * plain, (prepared, plain)


def test_equal_ranges_of_sums_change_weights_and_no_answer(folded: onnx.ModelProto, pixels: NDArray[np.uint8]) -> None:
    equal = equalise_sums(folded, [pixels[:40], pixels[40:]])
    ours, theirs = weights_of(equal), weights_of(folded)
    layers = [node for node in folded.graph.node if node.op_type == "Conv"]
    factors = [ours[n.input[2]] / theirs[n.input[2]] for n in layers]
    assert sum(bool(f.max() > 1.01) for f in factors) == 17  # the last convolution of each block
    np.testing.assert_allclose(
        run_graph(equal.SerializeToString(), pixels), run_graph(folded.SerializeToString(), pixels), atol=0.02
    )


def test_a_dense_student_keeps_its_first_and_last_convolutions() -> None:
    bundle = load_bundle(resolve_model("sentinel2-landuse-fp32"))
    side = bundle.contract.patch_px
    values = np.random.default_rng(0).integers(1, 255, (1, 4, side // 8, side // 8), dtype=np.uint8)
    pixels = values.repeat(8, axis=2).repeat(8, axis=3)
    model = onnx.load_from_string(quantise(without_rule(bundle.graph), pixels, PREPARATIONS))
    stored = {tensor.name for tensor in model.graph.initializer}
    exact = [node.input[1] in stored for node in model.graph.node if node.op_type == "Conv"]
    assert exact == [True] * 3 + [False] * (len(exact) - 4) + [True]
