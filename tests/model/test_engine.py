"""The engine: checks on opening, and answers that depend on nothing but the patch."""

import dataclasses
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from geokd.errors import BundleError
from geokd.legend.classes import default_legend
from geokd.model.bundle import DEFAULT_MODEL, Golden, load_bundle, resolve_model
from geokd.model.contract import InputContract
from geokd.model.engine import (
    BATCH_PATCHES,
    Student,
    make_student,
    open_student,
    softmax,
    sums_bytes_exactly,
    trace_layers,
)
from tests.bad_input import unpacks_to
from tests.tiny import PATCH_PX, tiny_bundle, tiny_graph, tiny_logits


def noise(count: int, channels: int = 3, side: int = PATCH_PX) -> NDArray[np.uint8]:
    return np.random.default_rng(5).integers(0, 256, (count, channels, side, side), dtype=np.uint8)


@pytest.mark.parametrize("count", [0, 1, BATCH_PATCHES - 1, BATCH_PATCHES, 2 * BATCH_PATCHES + 3])
def test_logits(count: int) -> None:
    pixels = noise(count)
    logits = make_student(tiny_bundle()).logits(pixels)
    assert logits.dtype == np.float32
    assert logits.shape == (count, 3)
    np.testing.assert_allclose(logits, tiny_logits(pixels), rtol=1e-5)


@pytest.fixture(scope="module")
def mobilenet() -> Student:
    """A MobileNetV2 with random weights, in fp32: where orders of sums would show."""
    torch = pytest.importorskip("torch", reason="needs the extra geokd[train]")
    from geokd.training.initial_weights import build_student
    from geokd.training.onnx_graph import to_onnx
    from geokd.training.recipe import StudentRecipe

    torch.manual_seed(0)
    side, classes = 64, 10
    contract = InputContract(("B04", "B03", "B02"), side, 10.0)
    network, _ = build_student(StudentRecipe(), 3, tuple(map(str, range(classes))), initial_weights="none")
    for part in network.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            part.momentum = 1.0  # take over the statistics of one batch, so that signals don't fade from layer to layer
    with torch.no_grad():
        network.train()(torch.from_numpy(noise(32, side=side)).float())
    golden = Golden(noise(1, side=side), np.zeros((1, classes), np.float32))
    bundle = dataclasses.replace(
        tiny_bundle(),
        graph=to_onnx(network.eval(), contract),
        contract=contract,
        legend=default_legend([f"class_{i}" for i in range(classes)]),
        golden=golden,
    )
    return make_student(bundle)


def test_answer_does_not_depend_on_the_batch(mobilenet: Student) -> None:
    pixels = noise(70, side=64)
    whole = mobilenet.probabilities(pixels)
    assert len(np.unique(whole, axis=0)) == 70
    for count in (1, 2, 31, 33):
        np.testing.assert_array_equal(mobilenet.probabilities(pixels[:count]), whole[:count])
    order = np.random.default_rng(0).permutation(70)
    np.testing.assert_array_equal(mobilenet.probabilities(pixels[order]), whole[order])


logit_rows = hnp.arrays(
    np.float32, st.tuples(st.integers(1, 5), st.integers(1, 20)), elements=st.floats(-90, 90, width=32)
)


@given(logit_rows, st.floats(0.1, 20))
def test_softmax(logits: NDArray[np.float32], temperature: float) -> None:
    probabilities = softmax(logits, temperature)
    assert probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
    for row, z in zip(probabilities, logits.astype(float), strict=True):
        weights = [np.exp((v - z.max()) / temperature) for v in z]
        np.testing.assert_allclose(row, np.array(weights) / sum(weights), rtol=1e-5, atol=1e-30)


@given(logit_rows)
def test_softmax_of_a_row_does_not_depend_on_the_others(logits: NDArray[np.float32]) -> None:
    whole = softmax(logits, 1.7)
    for i in range(len(logits)):
        np.testing.assert_array_equal(softmax(logits[i : i + 1], 1.7), whole[i : i + 1])


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        (b"\x3a\x03abc", "ONNX Runtime cannot load the model tiny"),
        (tiny_graph(channels=4), r"takes tensor\(uint8\) \('n', 4, 16, 16\), the bundle requires"),
        (tiny_graph(classes=5), r"yields tensor\(float\) \('n', 5\), the bundle requires tensor\(float\) \('N', 3\)"),
    ],
)
def test_graphs_that_do_not_fit_their_bundle(graph: bytes, message: str) -> None:
    with pytest.raises(BundleError, match=message) as caught:
        make_student(tiny_bundle(graph))
    assert "\n" not in str(caught.value)


def test_both_mismatches_in_one_message() -> None:
    with pytest.raises(BundleError, match="2 problems"):
        make_student(tiny_bundle(tiny_graph(channels=4, classes=5)))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux holds a process to a bound")
def test_network_that_takes_more_than_its_share_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    onnx = pytest.importorskip("onnx", reason="needs the extra geokd[train]")
    monkeypatch.setattr("geokd.model.engine.fair_share_bytes", lambda: 2**28)
    network = onnx.load_from_string(tiny_graph())
    unpacks_to(2**29)(network)
    graph = network.SerializeToString()
    with pytest.raises(
        BundleError, match=r"^ONNX Runtime cannot run the model tiny: it needs more memory than the 0\.2 GiB"
    ):
        make_student(tiny_bundle(graph))
    with pytest.raises(BundleError, match=r"node by node: it needs more memory than the 0\.2 GiB"):
        trace_layers(graph, (3, PATCH_PX, PATCH_PX))
    make_student(tiny_bundle())  # others are not held to it


def test_session_is_kept_and_a_changed_file_is_noticed(tmp_path: Path) -> None:
    bundle = tiny_bundle()
    path = tmp_path / "m.onnx"
    path.write_bytes(bundle.onnx_bytes)
    assert open_student(path, bundle.sha256) is open_student(path, bundle.sha256)
    other = dataclasses.replace(bundle, temperature=2.0)
    path.write_bytes(other.onnx_bytes)
    assert open_student(path, other.sha256).bundle.temperature == 2.0
    path.write_bytes(dataclasses.replace(bundle, temperature=3.0).onnx_bytes)
    with pytest.raises(BundleError, match="was changed while it was in use"):
        open_student(path, "0" * 64)


@pytest.mark.skipif(not sums_bytes_exactly(), reason="the processor has no VNNI, so only the exact kernels run")
def test_fast_and_exact_kernels_give_the_same_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = load_bundle(resolve_model(DEFAULT_MODEL))
    fast = make_student(bundle)
    monkeypatch.setattr("geokd.model.engine.sums_bytes_exactly", lambda: False)
    exact = make_student(bundle)
    generator = np.random.default_rng(0)
    noise = generator.integers(0, 256, (64, 3, 64, 64), dtype=np.uint8)
    extremes = (255 * generator.integers(0, 2, (64, 3, 64, 64))).astype(np.uint8)  # sums as large as can be
    for pixels in (noise, extremes, bundle.golden.pixels):
        np.testing.assert_array_equal(fast.logits(pixels), exact.logits(pixels))
