"""A student or teacher as an ONNX graph, node by node.

Training can continue from a bundle, so its graph must keep batch normalisation separate and name each tensor as torch
does; ONNX Runtime folds batch normalisation when it opens the file. The older exporter of torch.onnx.export can keep it
separate, too (in training mode), but gives equal tensors one name and replaces the others with Identity nodes; the
newer one needs the package onnxscript. The networks here have only nine kinds of layers, so this module writes them
itself: names, operator set and the order of nodes do not depend on torch's version.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from geokd.model.contract import InputContract
from geokd.training.efficientnet_lite import SameConv2d
from geokd.training.networks import Network

_OPSET = 17  # the newest that ONNX Runtime's quantiser handles without conversion
_IR_VERSION = 8
_LEAST = 1e-30  # smallest probability: its logarithm is finite
_LEAST_HALVED = 1024  # numbers of a tensor: smaller ones save little


def to_onnx(network: Network, contract: InputContract, name: str = "student") -> bytes:
    """Write a network as an ONNX model from uint8 `pixels` (n, C, H, W) to float32 `logits` (n, K).

    Initialisers have the names of the network's state dict; `name` is that of the graph.

    Raises
    ------
    TypeError
        If the network has a layer that is not supported here.
    """
    graph = Graph()
    x = graph.normalise("pixels", network.normalise.mean, network.normalise.std)
    if network.upsample > 1:
        x = graph.resize(x, network.upsample)
    x = graph.layer(network.features, x, "features")
    x = graph.node("GlobalAveragePool", [x])
    x = graph.node("Flatten", [x], axis=1)
    weights = [graph.constant(f"classifier.{k}", v) for k, v in network.classifier.named_parameters()]
    graph.node("Gemm", [x, *weights], output="logits", transB=1)
    return graph.finish(contract, network.classifier.out_features, name)


def merge_logits(model: bytes, groups: Sequence[Sequence[int]], temperature: float) -> bytes:
    """Add nodes that merge classes to an ONNX model, so that probabilities are the sums over each group.

    From logits z the new ones are T log(sum over the group of softmax(z / T)), with the bundle's temperature T. A sum
    below 1e-30 counts as 1e-30.

    Parameters
    ----------
    model : bytes
        With one output, logits (n, K) or (n, K, h, w).
    groups : sequence of sequences of int
        For each new class its old ones.
    temperature : float
    """
    merged = onnx.load_from_string(model)
    graph = merged.graph
    (logits,) = graph.output
    prefix = f"merge{len(graph.node)}_"  # another name if a merged model is merged again
    inner = f"{prefix}logits"
    for node in graph.node:
        node.output[:] = [inner if name == logits.name else name for name in node.output]
        node.input[:] = [inner if name == logits.name else name for name in node.input]
    members = np.zeros((sum(len(group) for group in groups), len(groups)), np.float32)
    for new, group in enumerate(groups):
        members[list(group), new] = 1
    end = Graph(prefix)
    x = end.node("Div", [inner, end.constant(f"{prefix}temperature", temperature)])
    x = end.node("Softmax", [x], axis=1)
    answer = list(logits.type.tensor_type.shape.dim)
    if len(answer) == 2:
        x = end.node("MatMul", [x, end.constant(f"{prefix}members", torch.from_numpy(members))])
    else:
        x = end.node("Conv", [x, end.constant(f"{prefix}members", torch.from_numpy(members.T[..., None, None]))])
    x = end.node("Log", [end.node("Max", [x, end.constant(f"{prefix}least", _LEAST)])])
    end.node("Mul", [x, f"{prefix}temperature"], output=logits.name)
    end.nodes[-1].name = f"{prefix}mul"
    graph.node.extend(end.nodes)
    graph.initializer.extend(end.initialisers)
    shape = ["n", len(groups), *(length.dim_value for length in answer[2:])]
    graph.output[0].CopyFrom(helper.make_tensor_value_info(logits.name, TensorProto.FLOAT, shape))
    onnx.checker.check_model(merged)
    return bytes(merged.SerializeToString())


def store_in_half(model: bytes) -> bytes:
    """Store the weights of an ONNX model's layers in 16 bits each, and cast them to 32 before they are used.

    Tensors of two or more axes and 1,024 or more numbers become float16, rounded to 11 significant bits; biases, batch
    statistics and small tensors do not change, nor does a tensor that would overflow or vanish in half precision.
    Initialisers keep their names. ONNX Runtime casts them once, when it opens the model, which then runs as before.

    Parameters
    ----------
    model : bytes
        As from :func:`to_onnx`: no node has a subgraph.
    """
    halved = onnx.load_from_string(model)
    graph = halved.graph
    cast_names = {}
    for tensor in graph.initializer:
        if _fits_half(tensor):
            cast_names[tensor.name] = f"{tensor.name}_float32"
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float16), tensor.name))
    nodes = list(graph.node)
    for node in nodes:
        node.input[:] = [cast_names.get(name, name) for name in node.input]
    casts = [helper.make_node("Cast", [k], [v], name=v, to=TensorProto.FLOAT) for k, v in cast_names.items()]
    del graph.node[:]
    graph.node.extend([*casts, *nodes])
    onnx.checker.check_model(halved)
    return bytes(halved.SerializeToString())


def _fits_half(tensor: onnx.TensorProto) -> bool:
    """Whether a tensor is large, of 32-bit floats, and its largest number is a normal one in half precision."""
    if tensor.data_type != TensorProto.FLOAT or len(tensor.dims) < 2 or math.prod(tensor.dims) < _LEAST_HALVED:
        return False
    half = np.finfo(np.float16)
    return bool(half.tiny <= np.abs(numpy_helper.to_array(tensor)).max() <= half.max)


class Graph:
    """Nodes and initialisers under construction."""

    def __init__(self, prefix: str = "") -> None:
        self._prefix = prefix  # of the names of nodes
        self.nodes: list[onnx.NodeProto] = []
        self.initialisers: list[onnx.TensorProto] = []

    def node(self, kind: str, inputs: list[str], output: str | None = None, **attributes: Any) -> str:
        """Append a node and return the name of its output."""
        name = output or f"{self._prefix}{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [name], name=name, **attributes))
        return name

    def normalise(self, pixels: str, mean: Tensor, std: Tensor) -> str:
        """Append the conversion of bytes to normalised floats and return the name of its output."""
        x = self.node("Cast", [pixels], to=TensorProto.FLOAT)
        x = self.node("Sub", [x, self.constant("normalise.mean", mean)])
        return self.node("Div", [x, self.constant("normalise.std", std)])

    def resize(self, x: str, times: int, output: str | None = None) -> str:
        """Append a bilinear enlargement of rows and columns, as in torch, and return the name of its output."""
        scales = self.constant(f"scales.{times}", torch.tensor([1.0, 1.0, times, times]))
        half_pixel = {"mode": "linear", "coordinate_transformation_mode": "half_pixel"}
        return self.node("Resize", [x, "", scales], output, **half_pixel)

    def finish(self, contract: InputContract, classes: int, name: str) -> bytes:
        """Return the checked model, from uint8 `pixels` to float32 `logits`, both according to the contract."""
        patch: list[str | int | None] = ["n", len(contract.bands), contract.patch_px, contract.patch_px]
        answer: list[str | int | None] = ["n", classes, *contract.answer_shape]
        model = helper.make_model(
            helper.make_graph(
                self.nodes,
                name,
                [helper.make_tensor_value_info("pixels", TensorProto.UINT8, patch)],
                [helper.make_tensor_value_info("logits", TensorProto.FLOAT, answer)],
                self.initialisers,
            ),
            producer_name="geokd",
            opset_imports=[helper.make_opsetid("", _OPSET)],
            ir_version=_IR_VERSION,
        )
        onnx.checker.check_model(model, full_check=True)
        return bytes(model.SerializeToString())

    def constant(self, name: str, value: Tensor | float) -> str:
        """Append an initialiser, once, and return its name."""
        if all(tensor.name != name for tensor in self.initialisers):
            array = value.detach().cpu().numpy() if isinstance(value, Tensor) else np.float32(value)
            self.initialisers.append(
                numpy_helper.from_array(np.ascontiguousarray(array).reshape(np.shape(array)), name)
            )
        return name

    def layer(self, module: nn.Module, x: str, prefix: str) -> str:
        """Append `module`, whose parameters are named `prefix.*`, and return the name of its output."""
        write = self._writers().get(type(module).__name__)
        if write is not None:
            return write(module, x, prefix)
        if isinstance(module, nn.Sequential):  # torchvision's Conv2dNormActivation too
            for name, child in module.named_children():
                x = self.layer(child, x, f"{prefix}.{name}")
            return x
        raise TypeError(f"no ONNX form of the layer {type(module).__name__} at {prefix}")

    def _writers(self) -> dict[str, Callable[[Any, str, str], str]]:
        return {
            "Conv2d": self._convolution,
            "SameConv2d": self._convolution,
            "BatchNorm2d": self._batch_norm,
            "MaxPool2d": self._max_pool,
            "ReLU": self._relu,
            "ReLU6": self._relu6,
            "InvertedResidual": self._inverted_residual,
        }

    def _convolution(self, module: nn.Conv2d, x: str, prefix: str) -> str:
        weights = [self.constant(f"{prefix}.{k}", v) for k, v in module.named_parameters()]
        (top, left) = (int(p) for p in module.padding)
        pads = {"auto_pad": "SAME_UPPER"} if isinstance(module, SameConv2d) else {"pads": [top, left, top, left]}
        return self.node(
            "Conv",
            [x, *weights],
            **pads,
            strides=list(module.stride),
            group=module.groups,
            dilations=list(module.dilation),
            kernel_shape=list(module.kernel_size),
        )

    def _batch_norm(self, module: nn.BatchNorm2d, x: str, prefix: str) -> str:
        state = module.state_dict()
        names = ("weight", "bias", "running_mean", "running_var")
        inputs = [x, *(self.constant(f"{prefix}.{k}", state[k]) for k in names)]
        return self.node("BatchNormalization", inputs, epsilon=module.eps)

    def _max_pool(self, module: nn.MaxPool2d, x: str, prefix: str) -> str:
        side, stride = module.kernel_size, module.stride
        if not (isinstance(side, int) and isinstance(stride, int)):
            raise TypeError(f"no ONNX form of the MaxPool2d at {prefix}: its window or stride is not a single number")
        if module.padding or module.dilation != 1 or module.ceil_mode:
            raise TypeError(f"no ONNX form of the MaxPool2d at {prefix}: it is padded, dilated or rounds up")
        return self.node("MaxPool", [x], kernel_shape=[side, side], strides=[stride, stride])

    def _relu(self, _module: nn.ReLU, x: str, _prefix: str) -> str:
        return self.node("Relu", [x])

    def _relu6(self, _module: nn.ReLU6, x: str, _prefix: str) -> str:
        return self.node("Clip", [x, self.constant("zero", 0.0), self.constant("six", 6.0)])

    def _inverted_residual(self, module: Any, x: str, prefix: str) -> str:
        y = self.layer(module.conv, x, f"{prefix}.conv")
        return self.node("Add", [x, y]) if module.use_res_connect else y
