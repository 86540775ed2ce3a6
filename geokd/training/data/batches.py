"""Batches of chips for training: drawn, rotated, augmented and mixed, all on the device.

Everything random in an epoch is drawn from one generator, seeded with (seed, stage, epoch); dropout uses torch's global
generator, seeded in the same way.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Generator, Tensor

from geokd.training.data.augmentation import VIEWS, Traits, augment, dihedral
from geokd.training.recipe import AugmentationRecipe, Stage

NO_LABEL = -1
"""Label of a chip for which only the teacher's answers are known."""

_VARIED_BATCH = 256  # affects what is drawn, and so the statistics of the chips


@dataclass(frozen=True, eq=False)
class Batch:
    """The data that a loss can use.

    Parameters
    ----------
    chips, views, labels : int64 tensors (N,)
    shares : float tensor (N, N) or None
        Share of each chip of the batch in each mixed chip, if they are mixed.
    pixels : float tensor (N, C, H, W) or None
        Input of the network, once it is known.
    """

    chips: Tensor
    views: Tensor
    labels: Tensor
    shares: Tensor | None = None
    pixels: Tensor | None = None

    def mean(self, values: Tensor) -> Tensor:
        """Mix values (N, D) of the original chips in the same way as the chips."""
        return values if self.shares is None else self.shares.to(values.dtype) @ values


@dataclass(frozen=True, eq=False)
class ChipSet:
    """Chips on the training device: uint8 pixels (N, C, H, W) and int64 labels (N,), perhaps NO_LABEL."""

    pixels: Tensor
    labels: Tensor


def steps_an_epoch(chips: int, batch_size: int) -> int:
    """Full batches in an epoch; fewer chips than a batch make one."""
    return chips // batch_size or 1


def epoch_generator(seed: int, stage: Stage, epoch: int, device: torch.device) -> Generator:
    """Make the generator of one epoch, and seed torch's global one (dropout) in the same way."""
    key = int.from_bytes(hashlib.sha256(f"{seed}/{stage}/{epoch}".encode()).digest()[:4])
    torch.manual_seed(key)
    return Generator(device).manual_seed(key)


def draw_batches(chips: ChipSet, batch_size: int, steps: int, generator: Generator) -> Iterator[Batch]:
    """Yield `steps` batches of a new permutation, each chip in a random view; the rest is not used in this epoch."""
    n, device = len(chips.labels), chips.labels.device
    order = torch.randperm(n, generator=generator, device=device)
    views = torch.randint(VIEWS, (n,), generator=generator, device=device)
    for step in range(steps):
        chosen = order[step * batch_size : (step + 1) * batch_size]
        yield Batch(chosen, views[chosen], chips.labels[chosen])


def show(
    chips: ChipSet, batch: Batch, traits: Traits, augmentation: AugmentationRecipe | None, generator: Generator
) -> tuple[Tensor, Batch]:
    """Input pixels (N, C, H, W) of a batch, and the batch with its mixtures."""
    pixels = dihedral(chips.pixels[batch.chips], batch.views).float()
    if augmentation is None:
        return pixels, replace(batch, pixels=pixels)
    pixels, shares = augment(pixels, batch.labels, traits, augmentation, generator)
    return pixels, replace(batch, shares=shares, pixels=pixels)


def varied(
    chips: ChipSet, traits: Traits, augmentation: AugmentationRecipe, count: int, generator: Generator
) -> Iterator[Tensor]:
    """Yield batches of uint8 chips, at least `count` in all, each augmented again as in training."""
    done = 0
    while done < count:
        size = min(len(chips.labels), _VARIED_BATCH)
        for batch in draw_batches(chips, size, len(chips.labels) // size, generator):
            pixels, _ = show(chips, batch, traits, augmentation, generator)
            yield pixels.round().to(torch.uint8)
            done += size
