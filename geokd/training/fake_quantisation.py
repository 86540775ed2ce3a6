"""Training a student with simulated int8 rounding (Jacob et al. 2018, arXiv 1712.05877).

Weights are rounded per output channel, symmetrically, to 8 bits; outputs of layers per tensor, with the range of the
batch. Gradients pass straight through (Bengio et al. 2013, arXiv 1308.3432). Batch normalisation need not be folded
into its convolution: folding multiplies whole output channels, which does not affect per-channel rounding.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_WEIGHT_LIMIT = 127
_LEVELS = 255


@contextmanager
def fake_quantisation(network: nn.Module) -> Iterator[None]:
    """Round weights and outputs of the convolutions and linear layers of `network` within the block."""
    hooks = []
    layers = [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    ends = [m for m in network.modules() if _is_end(m)]
    try:
        for layer in layers:
            layer.__dict__["forward"] = _Rounded(layer)  # found before the method of the class
        hooks = [end.register_forward_hook(_round_output) for end in ends]
        yield
    finally:
        for layer in layers:
            layer.__dict__.pop("forward", None)
        for hook in hooks:
            hook.remove()


def round_weights(weight: Tensor) -> Tensor:
    """Round weights (out, ...) to 8 bits, symmetrically, with a separate step for each output channel."""
    with torch.no_grad():
        step = (weight.abs().flatten(1).amax(dim=1) / _WEIGHT_LIMIT).clamp_min(1e-12)
        zero = torch.zeros_like(step, dtype=torch.int32)
    return torch.fake_quantize_per_channel_affine(weight, step, zero, 0, -_WEIGHT_LIMIT, _WEIGHT_LIMIT)


def round_activations(values: Tensor) -> Tensor:
    """Round values to 256 steps between their minimum and maximum, including 0."""
    with torch.no_grad():
        low, high = values.amin().float().clamp_max(0.0), values.amax().float().clamp_min(0.0)
        step = ((high - low) / _LEVELS).clamp_min(1e-12)
        zero = (-low / step).round().clamp(0, _LEVELS).to(torch.int32)
    return torch.fake_quantize_per_tensor_affine(values.float(), step, zero, 0, _LEVELS).to(values.dtype)


class _Rounded:
    """A layer's forward pass with rounded weights."""

    def __init__(self, layer: nn.Conv2d | nn.Linear) -> None:
        self._layer = layer

    def __call__(self, values: Tensor) -> Tensor:
        layer, weight = self._layer, round_weights(self._layer.weight)
        if isinstance(layer, nn.Linear):
            return F.linear(values, weight, layer.bias)
        return F.conv2d(values, weight, layer.bias, layer.stride, layer.padding, layer.dilation, layer.groups)


def _is_end(module: nn.Module) -> bool:
    """Whether a module's output is stored as int8: a clipped layer's, a linear bottleneck's, a sum's."""
    children = [type(child) for child in module.children()]
    return children[-1:] in ([nn.ReLU6], [nn.BatchNorm2d]) or hasattr(module, "use_res_connect")


def _round_output(_module: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
    return round_activations(output)
