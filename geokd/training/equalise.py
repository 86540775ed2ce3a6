"""Making a network's channels alike before quantisation, without changing what it computes.

A tensor is quantised with one step for all its channels. A channel whose values are tiny beside the others' comes
out as a few steps, and if the next layer enlarges it again, so does its rounding error. But the scale of a channel
is free: what writes it may be multiplied by any s > 0 if what reads it is divided by s (Nagel et al. 2019, arXiv
1906.04721, cross-layer equalisation). Here s is chosen by the ranges that calibration chips show, rather than by weights alone.
"""

from collections import defaultdict
from collections.abc import Iterator

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import numpy_helper

HEADROOM = 2.0
"""How far values of a clipped channel may grow on other chips, beyond those seen, before they are clipped."""

_BATCH = 64
_LARGEST_SCALE = 1e6


def equalise(model: onnx.ModelProto, pixels: NDArray[np.uint8]) -> onnx.ModelProto:
    """Scale the channels of every inner tensor to like ranges.

    Parameters
    ----------
    model : onnx.ModelProto
        Convolutions with folded batch normalisation, Clip(0, 6), Add, GlobalAveragePool, Flatten and one Gemm; every
        tensor between layers.
    pixels : uint8 array (N, C, H, W)
        Calibration chips.

    Returns
    -------
    onnx.ModelProto
        Of the same function, as long as no value grows past `HEADROOM` times the range seen.
    """
    model = onnx.ModelProto.FromString(model.SerializeToString())
    graph = model.graph
    weights = {t.name: numpy_helper.to_array(t).copy() for t in graph.initializer}
    ranges = _channel_ranges(model, pixels)
    for group in _groups(graph):
        scale = _scales(np.max([ranges[name] for name in group.tensors], axis=0), clipped=group.clipped)
        for node in group.writers:
            weights[node.input[1]] *= scale.reshape(-1, *[1] * (weights[node.input[1]].ndim - 1))
            weights[node.input[2]] *= scale
        for node in group.readers:
            weight = weights[node.input[1]]
            depthwise = node.op_type == "Conv" and weight.shape[1] == 1
            shape = (-1, 1) if depthwise else (1, -1)
            weights[node.input[1]] = weight / scale.reshape(*shape, *[1] * (weight.ndim - 2))
    for tensor in graph.initializer:
        tensor.CopyFrom(numpy_helper.from_array(weights[tensor.name].astype(np.float32), tensor.name))
    return model


class _Group:
    """Tensors whose channels share their scales, since they are added to one another, and what writes and reads them."""

    def __init__(self) -> None:
        self.tensors: list[str] = []
        self.writers: list[onnx.NodeProto] = []
        self.readers: list[onnx.NodeProto] = []
        self.clipped = False


def _groups(graph: onnx.GraphProto) -> Iterator[_Group]:
    """Yield the groups of tensors whose writers and readers are all layers with weights."""
    parent: dict[str, str] = {}

    def root(name: str) -> str:
        while parent.setdefault(name, name) != name:
            name = parent[name]
        return name

    for node in graph.node:
        if node.op_type == "Add":
            for name in node.input:
                parent[root(name)] = root(node.output[0])
    clips = {node.input[0]: node.output[0] for node in graph.node if node.op_type == "Clip"}
    passes = {node.output[0]: node.input[0] for node in graph.node if node.op_type in ("GlobalAveragePool", "Flatten")}
    groups: defaultdict[str, _Group] = defaultdict(_Group)
    for node in graph.node:
        if node.op_type not in ("Conv", "Gemm"):
            continue
        source = node.input[0]
        while source in passes:
            source = passes[source]
        groups[root(source)].readers.append(node)
        target = clips.get(node.output[0], node.output[0])
        group = groups[root(target)]
        group.writers.append(node)
        group.tensors.append(target)
        group.clipped = target != node.output[0]
    for node in graph.node:
        if node.op_type == "Add":
            groups[root(node.output[0])].tensors.append(node.output[0])
    for group in groups.values():
        if group.writers and group.readers:  # not the network's input, nor its logits
            yield group


def _scales(ranges: NDArray[np.float64], *, clipped: bool) -> NDArray[np.float32]:
    """Scale of each channel (C,): to the widest channel's range, or to a share of the clipping value 6; never down."""
    target = 6.0 / HEADROOM if clipped else ranges.max()
    with np.errstate(divide="ignore"):
        scale = np.where(ranges > 0, target / ranges, 1.0)
    return np.clip(scale, 1.0, _LARGEST_SCALE).astype(np.float32)


def _channel_ranges(model: onnx.ModelProto, pixels: NDArray[np.uint8]) -> dict[str, NDArray[np.float64]]:
    """Largest magnitude of each channel of each inner tensor, over all chips."""
    watched = onnx.ModelProto.FromString(model.SerializeToString())
    names = [n.output[0] for n in model.graph.node if n.op_type in ("Conv", "Clip", "Add")]
    del watched.graph.output[:]
    watched.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in names)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(watched.SerializeToString(), options, providers=["CPUExecutionProvider"])
    ranges: dict[str, NDArray[np.float64]] = {}
    for start in range(0, len(pixels), _BATCH):
        for name, values in zip(names, session.run(names, {"pixels": pixels[start : start + _BATCH]}), strict=True):
            largest = np.abs(values).max(axis=(0, 2, 3)).astype(np.float64)
            ranges[name] = np.maximum(ranges.get(name, 0.0), largest)
    return ranges
