"""Teacher and student, built from torchvision's layers."""

import hashlib
from collections.abc import Sequence
from typing import Self

import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional as F

from geokd.model.seen_chips import SeenChips
from geokd.training import efficientnet_lite
from geokd.training.recipe import TeacherArchitecture

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

IMAGENET = (IMAGENET_MEAN, IMAGENET_STD)

LEAST_TEACHER_PX = 32
"""VGG16 halves its input five times."""


class Normalise(nn.Module):
    """From bytes 0..255 to (x / 255 - mean) / std, per channel; without three channels, with their mean."""

    mean: Tensor
    std: Tensor

    def __init__(self, channels: int, mean_std: tuple[Sequence[float], Sequence[float]] = IMAGENET) -> None:
        super().__init__()
        mean, std = map(torch.tensor, mean_std)
        if channels != 3:
            mean, std = mean.mean().expand(channels), std.mean().expand(channels)
        self.register_buffer("mean", (255 * mean).reshape(1, channels, 1, 1).clone(), persistent=False)
        self.register_buffer("std", (255 * std).reshape(1, channels, 1, 1).clone(), persistent=False)

    def forward(self, pixels: Tensor) -> Tensor:
        """Map a float or uint8 tensor (N, C, H, W) in 0..255 to float of the same shape."""
        return (pixels.float() - self.mean) / self.std


class Classifier(nn.Module):
    """A network from pixels (N, C, H, W) in 0..255 to logits (N, K) and penultimate features (N, D).

    Attributes
    ----------
    width : int
        D.
    seen : SeenChips
        Chips that its initial weights were trained on, as far as known.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        self.seen = SeenChips()

    def train(self, mode: bool = True) -> Self:  # noqa: FBT001, FBT002  # as torch has it
        """Turn training on or off; batch normalisation of frozen layers stays in evaluation mode."""
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d) and not module.weight.requires_grad:
                module.eval()
        return self

    @property
    def sha256(self) -> str:
        """Hash of all its tensors, hexadecimal."""
        return hash_of_tensors(self)


class Network(Classifier):
    """Convolutions, global average pooling, dropout, one linear layer.

    The pooled features are the penultimate ones that the cosine loss compares.

    Parameters
    ----------
    features : nn.Module
        The convolutions, from normalised pixels (N, C, H, W) to (N, width, h, w).
    width : int
    shape : tuple of int
        Channels of the pixels, and classes.
    dropout : float
    mean_std : pair of sequences
        For :class:`Normalise`.
    upsample : int
        Factor by which the sides of the image are enlarged first, bilinearly.
    """

    def __init__(
        self,
        features: nn.Module,
        width: int,
        shape: tuple[int, int],
        dropout: float,
        mean_std: tuple[Sequence[float], Sequence[float]] = IMAGENET,
        upsample: int = 1,
    ) -> None:
        channels, classes = shape
        super().__init__(width)
        self.upsample = upsample
        self.normalise = Normalise(channels, mean_std)
        self.features = features
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(width, classes)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Map pixels (N, C, H, W) in 0..255 to logits (N, K) and penultimate features (N, width)."""
        values = self.normalise(pixels)
        if self.upsample > 1:
            values = F.interpolate(values, scale_factor=self.upsample, mode="bilinear")
        pooled = self.features(values).mean(dim=(2, 3))
        return self.classifier(self.dropout(pooled)), pooled


def hash_of_tensors(network: nn.Module) -> str:
    """Hash of all tensors of a network on the CPU, hexadecimal."""
    digest = hashlib.sha256()
    for tensor in network.state_dict().values():
        digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()


def convolutions(architecture: TeacherArchitecture, channels: int, stem_stride: int = 2) -> tuple[nn.Sequential, int]:
    """Layers for images with this number of channels, by torchvision's names, and the width of their output.

    VGG16 (Simonyan and Zisserman 2014, arXiv 1409.1556), MobileNetV2 of width 1.0 (Sandler et al. 2018, arXiv
    1801.04381) or EfficientNet-Lite2 (see :mod:`geokd.training.efficientnet_lite`).
    """
    if architecture == "efficientnet_lite2":
        return efficientnet_lite.efficientnet_lite2(channels), efficientnet_lite.WIDTH
    features = getattr(torchvision.models, architecture)(weights=None).features
    if architecture == "vgg16":
        if channels != 3:
            features[0] = nn.Conv2d(channels, 64, 3, padding=1)
        return features, 512
    if (channels, stem_stride) != (3, 2):
        features[0][0] = nn.Conv2d(channels, 32, 3, stride=stem_stride, padding=1, bias=False)
    return features, 1280


def normalisation(architecture: TeacherArchitecture) -> tuple[Sequence[float], Sequence[float]]:
    """Mean and standard deviation of red, green and blue, in 0..1, for which ImageNet's weights were trained."""
    return (efficientnet_lite.MEAN, efficientnet_lite.STD) if architecture == "efficientnet_lite2" else IMAGENET
