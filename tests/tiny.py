"""A tiny student whose answers can be told beforehand, and scenes for it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from numpy.typing import NDArray

from geokd.bundle import Bundle, Golden
from geokd.contract import InputContract, ValueScaling
from geokd.legend import default_legend

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
