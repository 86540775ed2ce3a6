"""A tiny student whose answers can be told beforehand, and scenes for it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from numpy.typing import NDArray

from geokd.legend.classes import default_legend
from geokd.model.bundle import Bundle, Golden
from geokd.model.contract import InputContract, ValueScaling

PATCH_PX = 16
CLASSES = ("bare", "meadow", "lake")
GAIN = 0.05


def tiny_graph(classes: int = 3, channels: int = 3, gain: float = GAIN) -> bytes:
    """Logit k is `gain` times the mean of band k: the class is the brightest band."""
    onnx = pytest.importorskip("onnx", reason="needs the extra geokd[train]")
    from onnx import TensorProto, helper, numpy_helper

    weights = np.zeros((channels, classes), np.float32)
    np.fill_diagonal(weights, gain)
    nodes = [
        helper.make_node("Cast", ["pixels"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("GlobalAveragePool", ["floats"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["means"]),
        helper.make_node("Gemm", ["means", "weights"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["n", channels, PATCH_PX, PATCH_PX])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", classes])],
        [numpy_helper.from_array(weights, "weights")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def tiny_logits(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """What the tiny student answers to pixels (N, 3, h, w)."""
    return np.asarray(GAIN * pixels.mean(axis=(2, 3)), np.float32)


DENSE_PATCH_PX, DENSE_MARGIN_PX = 24, 4


def dense_graph(classes: int = 3, channels: int = 3, cell_px: int = 1, patch_px: int = DENSE_PATCH_PX) -> bytes:
    """Logit k of a cell is `GAIN` times the mean of band k about it, in 3 x 3 pixels, zeros beyond the patch.

    The zeros make what lies at the edge of a patch differ from what lies within, as in a real network.
    """
    onnx = pytest.importorskip("onnx", reason="needs the extra geokd[train]")
    from onnx import TensorProto, helper, numpy_helper

    weights = np.zeros((classes, channels, 3, 3), np.float32)
    for k in range(classes):
        weights[k, k % channels] = GAIN * (1 - 0.01 * (k // channels)) / 9
    side = patch_px // cell_px
    nodes = [
        helper.make_node("Cast", ["pixels"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Conv", ["floats", "weights"], ["means"], kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        helper.make_node("AveragePool", ["means"], ["logits"], kernel_shape=[cell_px] * 2, strides=[cell_px] * 2),
    ]
    graph = helper.make_graph(
        nodes,
        "dense",
        [helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["n", channels, patch_px, patch_px])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", classes, side, side])],
        [numpy_helper.from_array(weights, "weights")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def dense_bundle(
    cell_px: int = 1,
    bands: tuple[str, ...] = ("B04", "B03", "B02"),
    scaling: ValueScaling | None = ValueScaling(),  # noqa: B008
    margin_px: int = DENSE_MARGIN_PX,
    temperature: float = 1.0,
    classes: tuple[str, ...] = CLASSES,
) -> Bundle:
    """Make a dense student of patches of 24 px; the class of a cell is the brightest band about it."""
    from geokd.model.bundle import golden_cells
    from geokd.model.engine import make_student

    shape = (2, len(bands), DENSE_PATCH_PX, DENSE_PATCH_PX)
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    contract = InputContract(bands, DENSE_PATCH_PX, 10.0, scaling, cell_px, margin_px)
    side = contract.cells_per_side
    step = max(1, side // 16)
    blank = np.zeros(
        (2, len(classes), len(range(step // 2, side, step)), len(range(step // 2, side, step))), np.float32
    )
    bundle = Bundle(
        graph=dense_graph(len(classes), len(bands), cell_px),
        name="tiny-dense",
        architecture="mean of 3 x 3",
        precision="fp32",
        contract=contract,
        legend=default_legend(classes),
        temperature=temperature,
        provenance={},
        golden=Golden(pixels, blank),
    )
    return replace(bundle, golden=Golden(pixels, golden_cells(make_student(bundle).logits(pixels))))


def tiny_bundle(graph: bytes | None = None, scaling: ValueScaling | None = ValueScaling()) -> Bundle:  # noqa: B008
    pixels = np.random.default_rng(0).integers(0, 256, (4, 3, PATCH_PX, PATCH_PX), dtype=np.uint8)
    return Bundle(
        graph=tiny_graph() if graph is None else graph,
        name="tiny",
        architecture="mean",
        precision="fp32",
        contract=InputContract(("B04", "B03", "B02"), PATCH_PX, 10.0, scaling),
        legend=default_legend(CLASSES),
        temperature=1.0,
        provenance={},
        golden=Golden(pixels, tiny_logits(pixels)),
    )


def write_scene(path: Path, pixels: NDArray[Any], descriptions: tuple[str, ...] = (), **profile: Any) -> Path:
    """Write pixels (bands, rows, cols) as a GeoTIFF with 10 m pixels in UTM 18N."""
    profile = {"crs": "EPSG:32618", "transform": Affine(10, 0, 4e5, 0, -10, 4.2e6)} | profile
    count, height, width = pixels.shape
    with rasterio.open(
        path, "w", driver="GTiff", count=count, height=height, width=width, dtype=pixels.dtype, **profile
    ) as raster:
        raster.write(pixels)
        for band, description in enumerate(descriptions, 1):
            raster.set_band_description(band, description)
    return path


def three_fields(height: int, width: int) -> NDArray[np.uint8]:
    """Make an 8-bit picture (3, height, width) of noise: a red, a green and a blue third, from left to right."""
    pixels = np.random.default_rng(1).integers(20, 60, (3, height, width), dtype=np.uint8)
    for band, cols in enumerate(np.array_split(np.arange(width), 3)):
        pixels[band][:, cols] += 120
    return pixels
