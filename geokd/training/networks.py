"""Teacher and student, built from torchvision's layers."""

import hashlib
from typing import Self

import torch
import torchvision
from torch import Tensor, nn

from geokd.model.seen_chips import SeenChips
from geokd.training.recipe import TeacherArchitecture

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

LEAST_TEACHER_PX = 32
"""VGG16 halves its input five times."""


class Normalise(nn.Module):
    """From bytes 0..255 to (x / 255 - mean) / std, per channel; other than three channels take the means' mean."""

    mean: Tensor
    std: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        mean, std = torch.tensor(IMAGENET_MEAN), torch.tensor(IMAGENET_STD)
        if channels != 3:
            mean, std = mean.mean().expand(channels), std.mean().expand(channels)
        self.register_buffer("mean", (255 * mean).reshape(1, channels, 1, 1).clone(), persistent=False)
        self.register_buffer("std", (255 * std).reshape(1, channels, 1, 1).clone(), persistent=False)

    def forward(self, pixels: Tensor) -> Tensor:
        """Map a float or uint8 tensor (N, C, H, W) in 0..255 to float of the same shape."""
        return (pixels.float() - self.mean) / self.std


class Network(nn.Module):
    """Convolutions, global average pooling, dropout, one linear layer.

    The pooled features are the penultimate ones that the cosine loss compares.

    Attributes
    ----------
    seen : SeenChips
        Chips that its initial weights learned from, as far as known.
    """

    def __init__(self, features: nn.Module, width: int, shape: tuple[int, int], dropout: float) -> None:
        channels, classes = shape
        super().__init__()
        self.normalise = Normalise(channels)
        self.features = features
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(width, classes)
        self.seen = SeenChips()

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Map pixels (N, C, H, W) in 0..255 to logits (N, K) and penultimate features (N, width)."""
        pooled = self.features(self.normalise(pixels)).mean(dim=(2, 3))
        return self.classifier(self.dropout(pooled)), pooled

    def train(self, mode: bool = True) -> Self:  # noqa: FBT001, FBT002  # as torch has it
        """Turn training on or off; batch normalisation of layers that need no gradient stays as it is in use."""
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d) and not module.weight.requires_grad:
                module.eval()
        return self

    @property
    def sha256(self) -> str:
        """Hash of all its tensors, hexadecimal."""
        return hash_of_tensors(self)


def hash_of_tensors(network: nn.Module) -> str:
    """Hash of all tensors of a network on the CPU, hexadecimal."""
    digest = hashlib.sha256()
    for tensor in network.state_dict().values():
        digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()


def convolutions(architecture: TeacherArchitecture, channels: int, stem_stride: int = 2) -> tuple[nn.Sequential, int]:
    """Layers for images of so many channels, by torchvision's names, and the width of what they give.

    VGG16 (Simonyan and Zisserman 2014, arXiv 1409.1556) or MobileNetV2 of width 1.0 (Sandler et al. 2018, arXiv
    1801.04381).
    """
    features = getattr(torchvision.models, architecture)(weights=None).features
    if architecture == "vgg16":
        if channels != 3:
            features[0] = nn.Conv2d(channels, 64, 3, padding=1)
        return features, 512
    if (channels, stem_stride) != (3, 2):
        features[0][0] = nn.Conv2d(channels, 32, 3, stride=stem_stride, padding=1, bias=False)
    return features, 1280
