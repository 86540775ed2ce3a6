"""From an fp32 graph to int8: ONNX Runtime's static quantisation, and the preparation of the graph.

Weights become int8 with one step for each output channel, activations uint8 with one step per tensor. After a ReLU6
that is 6/255 for every channel, so a channel that never exceeds 0.5 has only 21 steps; and rounded weights shift the
mean output of a channel. Both are corrected beforehand, with the ranges that chips show, after Nagel et al. 2019,
"Data-Free Quantization Through Weight Equalization and Bias Correction" (arXiv 1906.04721), unless the network was
trained with simulated rounding.
"""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from onnxruntime import quantization

from geokd.model.onnx_graph import restated
from geokd.training.fake_quantisation import round_weights

_BATCH_PIXELS = 64 * 64 * 64  # pixels of the chips or patches that are run at once
_LAST = "logits"  # names of the last layer's output, or its enlargement
_MOST = 8.0  # largest factor for a channel: the weights that read it are divided by it
_MARGIN = 1.25  # reserve above a channel's range in the chips, for scenes with a wider range
_FIRST = 3  # convolutions of a dense student that stay fp32: MobileNetV2's first and its first block
_PASS_ON = ("GlobalAveragePool", "Flatten")  # operators that do not change channels

Preparation = Callable[[onnx.ModelProto, Sequence[NDArray[np.uint8]]], onnx.ModelProto]


def quantise(graph: bytes, pixels: NDArray[np.uint8], preparations: Sequence[Preparation]) -> bytes:
    """Quantise an fp32 graph to int8 with the ranges of calibration chips (N, C, H, W).

    The preparations change the graph first, in their order, its batch normalisation folded. A student that was trained
    with simulated rounding needs none: its weights and biases are adapted to rounding. The first three convolutions of
    a dense student and its last stay fp32: everything else is computed from the former, and rounded logits would be
    equal in many cells.
    """
    size = max(1, _BATCH_PIXELS // (pixels.shape[2] * pixels.shape[3]))
    batches = [pixels[i : i + size] for i in range(0, len(pixels), size)]
    with tempfile.TemporaryDirectory() as folder:
        plain, prepared, quantised = (Path(folder, f"{name}.onnx") for name in ("plain", "prepared", "int8"))
        plain.write_bytes(graph)  # given as a value, it would be split, and shapes of Resize not inferred
        quantization.quant_pre_process(plain, prepared, skip_symbolic_shape=True)
        model = onnx.load(prepared)
        for prepare in preparations:
            model = prepare(model, batches)
        onnx.save(model, prepared)
        kept = [node.name for node in _unrounded(model.graph)]
        quantization.quantize_static(
            prepared,
            quantised,
            _Reader(batches),
            quant_format=quantization.QuantFormat.QDQ,
            per_channel=True,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            calibrate_method=quantization.CalibrationMethod.MinMax,
            nodes_to_exclude=kept,
            op_types_to_quantize=["Conv", "Clip", "Relu", "MaxPool", "Add", "GlobalAveragePool", "Flatten", "Gemm"],
        )
        model = onnx.load(quantised)
    del model.metadata_props[:], model.graph.value_info[:]
    return bytes(model.SerializeToString())


def equalise(model: onnx.ModelProto, batches: Sequence[NDArray[np.uint8]]) -> onnx.ModelProto:
    """Scale the channels of clipped tensors up to the clip's limit, and divide where they are read.

    The network's output does not change, unless a channel is clipped that was not before.

    Parameters
    ----------
    model : onnx.ModelProto
        From uint8 `pixels` (n, C, H, W), with batch normalisation folded.
    batches : sequence of uint8 arrays (n, C, H, W)
        Chips to measure the ranges with.

    Returns
    -------
    onnx.ModelProto
        A new model; `model` is not changed.
    """
    equal = _copy(model)
    tensors = list(_clipped(equal.graph))
    weights = {tensor.name: tensor for tensor in equal.graph.initializer}
    peaks = _by_channel(equal, "ReduceMax", [t.name for t in tensors], batches)
    for tensor, peak in zip(tensors, (p.max(axis=0) for p in peaks), strict=True):
        factor = np.clip(tensor.limit / (_MARGIN * np.maximum(peak, 1e-6)), 1.0, _MOST).astype(np.float32)
        kernel, bias = tensor.writer.input[1:]
        _multiply(weights[kernel], factor, axis=0)
        _multiply(weights[bias], factor, axis=0)
        _multiply(weights[tensor.reader.input[1]], 1 / factor, axis=0 if _is_depthwise(tensor.reader) else 1)
    return equal


def equalise_sums(model: onnx.ModelProto, batches: Sequence[NDArray[np.uint8]]) -> onnx.ModelProto:
    """Scale the channels of unclipped tensors to similar ranges, with the same factors for tensors that are added.

    Parameters and result are as for :func:`equalise`; the network's output does not change.
    """
    equal = _copy(model)
    sums = list(_sums(equal.graph))
    weights = {tensor.name: tensor for tensor in equal.graph.initializer}
    names = [name for one in sums for name in one.names]
    highest, lowest = (_by_channel(equal, reduction, names, batches) for reduction in ("ReduceMax", "ReduceMin"))
    peaks = {n: np.maximum(h.max(axis=0), -w.min(axis=0)) for n, h, w in zip(names, highest, lowest, strict=True)}
    for one in sums:
        peak = np.max([peaks[name] for name in one.names], axis=0)
        factor = np.clip(peak.max() / np.maximum(peak, 1e-6), 1.0, _MOST).astype(np.float32)
        for writer in one.writers:
            _multiply(weights[writer.input[1]], factor, axis=0)
            _multiply(weights[writer.input[2]], factor, axis=0)
        for reader in one.readers:
            _multiply(weights[reader.input[1]], 1 / factor, axis=0 if _is_depthwise(reader) else 1)
    return equal


def correct_biases(model: onnx.ModelProto, batches: Sequence[NDArray[np.uint8]]) -> onnx.ModelProto:
    """Subtract from each convolution's bias the mean shift of its outputs by rounded weights.

    That is the sum over inputs and kernel of (rounded weight - weight) * mean of the input; borders are ignored.

    Parameters and result are as for :func:`equalise`.
    """
    corrected = _copy(model)
    weights = {tensor.name: tensor for tensor in corrected.graph.initializer}
    exact = _unrounded(corrected.graph)
    layers = [n for n in corrected.graph.node if n.op_type == "Conv" and len(n.input) == 3 and n not in exact]
    sizes = [len(pixels) for pixels in batches]
    means = _by_channel(corrected, "ReduceMean", [n.input[0] for n in layers], batches)
    for layer, mean in zip(layers, (np.average(m, axis=0, weights=sizes) for m in means), strict=True):
        kernel = numpy_helper.to_array(weights[layer.input[1]])
        added = (round_weights(torch.tensor(kernel)).numpy() - kernel).sum(axis=(2, 3))
        shift = added[:, 0] * mean if _is_depthwise(layer) else added @ mean
        _set(weights[layer.input[2]], numpy_helper.to_array(weights[layer.input[2]]) - shift)
    return corrected


PREPARATIONS: tuple[Preparation, ...] = (equalise, equalise_sums, correct_biases)


def run_graph(graph: bytes, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Run a graph on pixels (N, C, H, W); return logits (N, K) or (N, K, h, w)."""
    return open_graph(graph)(pixels)


def open_graph(graph: bytes) -> Callable[[NDArray[np.uint8]], NDArray[np.float32]]:
    """Open a graph, to be run in one thread as :func:`run_graph` does."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.add_session_config_entry("session.x64quantprecision", "1")  # as in the engine for mapping
    options.add_session_config_entry("session.load_model_format", "ONNX")
    session = onnxruntime.InferenceSession(restated(graph), options, providers=["CPUExecutionProvider"])

    def run(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        (logits,) = session.run(None, {"pixels": pixels})
        return np.asarray(logits, np.float32)

    return run


class _Reader(quantization.CalibrationDataReader):  # type: ignore[misc]  # untyped base
    """Feeds calibration chips in batches."""

    def __init__(self, batches: Sequence[NDArray[np.uint8]]) -> None:
        self._batches = iter(batches)

    def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
        batch = next(self._batches, None)
        return None if batch is None else {"pixels": batch}


@dataclass(frozen=True)
class _Tensor:
    """A tensor clipped to 0..limit, with the single layer that writes it and the single layer that reads it."""

    name: str
    writer: onnx.NodeProto
    reader: onnx.NodeProto
    limit: float


def _clipped(graph: onnx.GraphProto) -> Iterator[_Tensor]:
    """Find clipped tensors between a convolution and one layer with separate weights for each channel."""
    scalars = {t.name: float(numpy_helper.to_array(t)) for t in graph.initializer if not t.dims}
    written = {name: node for node in graph.node for name in node.output}
    for clip in graph.node:
        if clip.op_type != "Clip" or not set(clip.input[1:]) <= set(scalars):
            continue
        low, high = (scalars[name] for name in clip.input[1:])
        writer, reader = written.get(clip.input[0]), _layer_after(graph, clip.output[0])
        only_clipped = _only_reader(graph, clip.input[0]) is not None
        if writer is None or reader is None or low != 0 or not only_clipped:
            continue
        if writer.op_type == "Conv" and len(writer.input) == 3 and (reader.op_type == "Conv" or _is_linear(reader)):
            yield _Tensor(clip.output[0], writer, reader, high)


@dataclass(frozen=True)
class _Sum:
    """Unclipped tensors that are added, or a single one, with the convolutions that write and read them."""

    names: tuple[str, ...]
    writers: tuple[onnx.NodeProto, ...]
    readers: tuple[onnx.NodeProto, ...]


def _sums(graph: onnx.GraphProto) -> Iterator[_Sum]:
    """Find unclipped tensors that only convolutions write and read, and additions of them."""
    outputs = {output.name for output in graph.output}
    group: dict[str, set[str]] = {}
    for node in graph.node:
        if node.op_type in ("Conv", "Add"):
            joined = [node.output[0], *(node.input if node.op_type == "Add" else ())]
            union = set(joined).union(*(group.get(name, ()) for name in joined))
            group.update(dict.fromkeys(union, union))
    for names in {id(one): one for one in group.values()}.values():
        writers = [node for node in graph.node if node.output[0] in names]
        readers = [node for node in graph.node if names & set(node.input)]
        plain = all(node.op_type == "Add" or (node.op_type == "Conv" and len(node.input) == 3) for node in writers)
        read = readers and all(node.op_type in ("Conv", "Add") for node in readers) and not names & outputs
        if plain and read and len(writers) == len(names):
            convolutions = [tuple(n for n in nodes if n.op_type == "Conv") for nodes in (writers, readers)]
            yield _Sum(tuple(sorted(names)), *convolutions)


def _unrounded(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """Convolutions of a dense student that stay fp32: the first three and the last."""
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    last = [node for node in convolutions if _makes_logits(graph, node)]
    return [*convolutions[:_FIRST], *last] if last else []


def _only_reader(graph: onnx.GraphProto, name: str) -> onnx.NodeProto | None:
    readers = [node for node in graph.node if name in node.input]
    return readers[0] if len(readers) == 1 else None


def _layer_after(graph: onnx.GraphProto, name: str) -> onnx.NodeProto | None:
    """Find the only layer that reads a tensor, perhaps after a mean over rows and columns."""
    reader = _only_reader(graph, name)
    if reader is None or reader.op_type not in _PASS_ON:
        return reader
    return _layer_after(graph, reader.output[0])


def _is_linear(node: onnx.NodeProto) -> bool:
    """Whether a node multiplies by weights (out, in)."""
    return node.op_type == "Gemm" and any(a.name == "transB" and a.i == 1 for a in node.attribute)


def _is_depthwise(node: onnx.NodeProto) -> bool:
    return any(a.name == "group" and a.i > 1 for a in node.attribute)


def _by_channel(
    model: onnx.ModelProto, reduction: str, names: list[str], batches: Sequence[NDArray[np.uint8]]
) -> list[NDArray[np.float32]]:
    """Reduce tensors (n, C, H, W) to one value per channel, batch by batch: an array (batches, C) for each tensor."""
    seen = _copy(model)
    outputs = [f"{name}_{reduction}" for name in names]
    for name, output in dict(zip(names, outputs, strict=True)).items():  # several layers may read one tensor
        seen.graph.node.append(helper.make_node(reduction, [name], [output], axes=[0, 2, 3], keepdims=0))
        seen.graph.output.append(helper.make_tensor_value_info(output, onnx.TensorProto.FLOAT, None))
    session = onnxruntime.InferenceSession(seen.SerializeToString(), providers=["CPUExecutionProvider"])
    found = [session.run(outputs, {"pixels": pixels}) for pixels in batches] if names else []
    return [np.stack(values) for values in zip(*found, strict=True)]


def _makes_logits(graph: onnx.GraphProto, node: onnx.NodeProto) -> bool:
    """Whether the output of a node is that of the graph, perhaps resized or pooled first."""
    if node.output[0] == _LAST:
        return True
    reader = _only_reader(graph, node.output[0])
    return reader is not None and reader.op_type in ("Resize", "Identity", "AveragePool") and reader.output[0] == _LAST


def _copy(model: onnx.ModelProto) -> onnx.ModelProto:
    other = onnx.ModelProto()
    other.CopyFrom(model)
    return other


def _multiply(tensor: onnx.TensorProto, factor: NDArray[np.float32], axis: int) -> None:
    values = numpy_helper.to_array(tensor)
    _set(tensor, values * factor.reshape([-1 if i == axis else 1 for i in range(values.ndim)]))


def _set(tensor: onnx.TensorProto, values: NDArray[np.floating]) -> None:
    tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float32), tensor.name))
