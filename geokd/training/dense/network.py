"""The dense student: MobileNetV2 whose features of five resolutions are joined to classify every cell."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from geokd.errors import RecipeError
from geokd.training.networks import IMAGENET_MEAN, IMAGENET_STD, convolutions

LEVELS = ((1, 16), (3, 24), (6, 32), (13, 96), (17, 320))
"""Layers of MobileNetV2 whose output is used, and its channels; strides 2, 4, 8, 16 and 32."""

_FEATURES = 18  # layers of MobileNetV2 before its last 1 x 1 convolution
_STEM = "features.0.0.weight"


class Normalise(nn.Module):
    """From bytes 0..255 to (x / 255 - mean) / std of ImageNet; bands beyond three use the mean of the three."""

    mean: Tensor
    std: Tensor

    def __init__(self, bands: int) -> None:
        super().__init__()
        for name, values in (("mean", IMAGENET_MEAN), ("std", IMAGENET_STD)):
            known = torch.tensor(values)
            whole = torch.cat([known, known.mean().expand(max(0, bands - 3))])[:bands]
            self.register_buffer(name, (255 * whole).reshape(1, bands, 1, 1), persistent=False)

    def forward(self, pixels: Tensor) -> Tensor:
        """Map a float or uint8 tensor (N, C, H, W) in 0..255 to float of the same shape."""
        return (pixels.float() - self.mean) / self.std


class DenseNetwork(nn.Module):
    """MobileNetV2 (Sandler et al. 2018, arXiv 1801.04381) with a feature pyramid (Lin et al. 2017, arXiv 1612.03144).

    Each level is projected to `width` channels with a 1 x 1 convolution; from the coarsest on, the sum so far is
    enlarged (bilinear), added to the next level, and passed through a separable 3 x 3 convolution. The last 1 x 1
    convolution answers at stride 2; its logits are enlarged to stride 1.

    Parameters
    ----------
    bands, classes, width : int
    """

    def __init__(self, bands: int, classes: int, width: int) -> None:
        super().__init__()
        self.normalise = Normalise(bands)
        self.features = convolutions("mobilenet_v2", bands)[0][:_FEATURES]
        self.sides = nn.ModuleList(
            nn.Sequential(nn.Conv2d(channels, width, 1, bias=False), nn.BatchNorm2d(width)) for _, channels in LEVELS
        )
        self.joins = nn.ModuleList(_separable(width) for _ in LEVELS[1:])
        self.head = nn.Conv2d(width, classes, 1)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Map pixels (N, C, H, W) in 0..255 to logits (N, K, H, W); also return those at stride 2.

        H and W are multiples of 32.
        """
        logits = self.coarse(pixels)
        return F.interpolate(logits, scale_factor=2.0, mode="bilinear", align_corners=False), logits

    def coarse(self, pixels: Tensor) -> Tensor:
        """Map pixels (N, C, H, W) in 0..255 to logits (N, K, H / 2, W / 2), as training compares them."""
        x, levels = self.normalise(pixels), []
        used = [layer for layer, _ in LEVELS]
        for number, layer in enumerate(self.features):
            x = layer(x)
            if number in used:
                levels.append(x)
        y = self.sides[-1](levels[-1])
        for level in range(len(levels) - 2, -1, -1):
            y = F.interpolate(y, size=levels[level].shape[2:], mode="bilinear", align_corners=False)
            y = self.joins[level](y + self.sides[level](levels[level]))
        logits: Tensor = self.head(y)
        return logits


def begin_with(network: DenseNetwork, weights: dict[str, Tensor], origin: str) -> None:
    """Load the weights of a patch student or a dense one into `network`, as far as they exist.

    The first convolution of a student of red, green and blue is widened to more bands: each band beyond three starts
    with the mean of the three, and all are scaled so that their sum does not change.

    Raises
    ------
    RecipeError
        If they are not those of a MobileNetV2, or of other shapes.
    """
    own = network.state_dict()
    given = {name: value for name, value in weights.items() if name in own}
    stem, wanted = given.get(_STEM), own[_STEM].shape
    if stem is not None and stem.ndim == 4 and stem.shape[1] == 3 < wanted[1]:
        extra = stem.mean(dim=1, keepdim=True).expand(-1, wanted[1] - 3, -1, -1)
        given[_STEM] = torch.cat([stem, extra], dim=1) * (3 / wanted[1])
    if "head.weight" in given and given["head.weight"].shape != own["head.weight"].shape:
        given = {name: value for name, value in given.items() if not name.startswith("head.")}  # other classes
    lacking = [name for name in own if name.startswith("features.") and name not in given and "num_batches" not in name]
    wrong = [name for name, value in given.items() if value.shape != own[name].shape]
    if lacking or wrong:
        raise RecipeError(
            f"the initial weights {origin} do not fit a dense student: {len(lacking)} tensors are missing and"
            f" {len(wrong)} have another shape, {(lacking + wrong)[0]} first"
        )
    network.load_state_dict(given, strict=False)


def set_prior(network: DenseNetwork, shares: Tensor) -> None:
    """Initialise a new head with the classes' shares (K,), so that training need not learn these first."""
    with torch.no_grad():
        bias = shares.clamp_min(1e-4).log()
        network.head.bias.copy_(bias - bias.mean())  # type: ignore[union-attr]
        nn.init.normal_(network.head.weight, std=1 / math.sqrt(network.head.in_channels))


def _separable(width: int) -> nn.Sequential:
    """Build a 3 x 3 convolution for each channel, then a 1 x 1 one, each with batch normalisation and ReLU6."""
    depthwise = nn.Conv2d(width, width, 3, padding=1, groups=width, bias=False)
    pointwise = nn.Conv2d(width, width, 1, bias=False)
    return nn.Sequential(
        nn.Sequential(depthwise, nn.BatchNorm2d(width), nn.ReLU6()),
        nn.Sequential(pointwise, nn.BatchNorm2d(width), nn.ReLU6()),
    )
