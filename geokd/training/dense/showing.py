"""Input of a dense student during training, and its evaluation on held-out labels."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor
from torch.nn import functional as F

from geokd.errors import TrainingError
from geokd.model.drift import chip_features, learn_familiarity
from geokd.model.familiarity import Familiarity
from geokd.training.checkpoint import write_tensors
from geokd.training.data.batches import epoch_generator
from geokd.training.dense.arrays import DenseData
from geokd.training.dense.network import DenseNetwork
from geokd.training.dense.patches import DenseBatch, Places, draw_patches, draw_water, validation_patches
from geokd.training.dense.recipe import DenseRecipe
from geokd.training.dense.variation import (
    View,
    change_scale,
    change_season,
    make_turbid,
    put_under_air,
    seen_as_bytes,
    simulate_marsh,
    simulate_snow,
)
from geokd.training.figures import NetworkFigures, judged

FAMILIAR_PX = 64
"""Side of the windows whose statistics distinguish familiar from unfamiliar scenes."""

_CHECKED_PATCHES = 96  # of those held out, after each epoch
_FAMILIAR_BATCHES = 40
_CALIBRATION_PATCHES = 24
_MOST_PIXELS = 200_000  # of those held out, for the temperature
_PICTURES = 6  # held-out patches in predictions.png


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Held-out patches, as input for the student.

    Parameters
    ----------
    pixels : list of float tensors (C, P, P)
        Bytes 0..255: every other patch as surface reflectance, the rest with a standard atmosphere.
    labels : list of uint8 arrays (K, P, P)
        0 in all classes where a pixel is not for validation.
    """

    pixels: list[Tensor]
    labels: list[NDArray[np.uint8]]


def varied_batch(
    places: list[Places], view: View, recipe: DenseRecipe, count: int, generator: Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Draw patches and augment them; return bytes (N, C, P, P), labels (N, K, P, P) and which labels are hard (N,)."""
    given = recipe.variation
    batch: DenseBatch = draw_patches(places, count, generator)
    pixels, labels = batch.ground, batch.labels
    if given.turbid_share:
        pixels = make_turbid(pixels, labels, view, given, generator)
    if given.marsh_share:
        pixels, labels = simulate_marsh(pixels, labels, draw_water(places, count, generator), view, given, generator)
    if given.snow_share:
        pixels, labels = simulate_snow(pixels, labels, view, given, generator)
    if given.season_share:
        pixels = change_season(pixels, view, given, generator)
    pixels, labels = change_scale(pixels, labels, given, generator)
    pixels = put_under_air(pixels, view, given, generator)
    return seen_as_bytes(pixels, view, given, generator), labels, batch.hard


@torch.inference_mode()
def answer(network: DenseNetwork, pixels: Tensor) -> NDArray[np.float32]:
    """Logits (K, h, w) of one patch (C, h, w) of bytes whose sides are multiples of 32."""
    device = next(network.parameters()).device
    logits, _ = network(pixels[None].to(device).contiguous(memory_format=torch.channels_last))
    return np.asarray(logits[0].cpu().numpy(), np.float32)


def hold_out(data: DenseData, recipe: DenseRecipe, view: View) -> HeldOut:
    """Lay patches over held-out labels; every other one gets a standard atmosphere."""
    plain = replace(
        recipe.variation, air_share=0.0, air_tint=0.0, gain=0.0, band_gain=0.0, noise=0.0, stretch_share=0.0
    )
    generator = Generator().manual_seed(0)
    pixels, labels = [], []
    for number, (_, ground, own) in enumerate(validation_patches(data, recipe, _CHECKED_PATCHES)):
        seen = torch.from_numpy(ground)
        if number % 2:
            seen = seen * view.transmittance + view.path_radiance
        side = -(-seen.shape[-1] // 32) * 32 - seen.shape[-1]
        seen = F.pad(seen[None], (0, side, 0, side), mode="reflect")
        pixels.append(seen_as_bytes(seen, view, plain, generator)[0].round())
        labels.append(np.pad(own, ((0, 0), (0, side), (0, side))))
    return HeldOut(pixels, labels)


def some_of(held_out: HeldOut) -> list[tuple[Tensor, NDArray[np.uint8]]]:
    """Choose a few patches for the picture: pixels and labels of each."""
    step = max(1, len(held_out.pixels) // _PICTURES)
    return list(zip(held_out.pixels, held_out.labels, strict=True))[::step][:_PICTURES]


def agreement(network: DenseNetwork, held_out: HeldOut) -> float:
    """Share of the held-out pixels in which the student's class is the label's most probable one."""
    right = total = 0
    for pixels, labels in zip(held_out.pixels, held_out.labels, strict=True):
        known = labels.any(axis=0)
        right += int((answer(network, pixels).argmax(0) == labels.argmax(0))[known].sum())
        total += int(known.sum())
    return right / max(1, total)


def held_out_figures(
    network: DenseNetwork, held_out: HeldOut, data: DenseData, folder: Path, origin: str
) -> NetworkFigures:
    """Figures on the held-out pixels, compared with the most probable class of each label."""
    logits, truth = [], []
    for pixels, labels in zip(held_out.pixels, held_out.labels, strict=True):
        known = labels.any(axis=0)
        logits.append(answer(network, pixels)[:, known].T)
        truth.append(labels.argmax(axis=0)[known])
    if not truth:
        raise TrainingError("no pixel was held out for validation: raise validation_share, or give more labels")
    z, y = np.concatenate(logits), np.concatenate(truth).astype(np.int64)
    thin = np.random.default_rng(0).permutation(len(y))[:_MOST_PIXELS]
    z, y = z[thin], y[thin]
    write_tensors(
        folder / "student_validation.safetensors", {"logits": torch.from_numpy(z), "labels": torch.from_numpy(y)}
    )
    return judged(z, y, network, data.legend, origin=origin)


def last_looks(
    network: DenseNetwork, places: list[Places], view: View, recipe: DenseRecipe, data: DenseData, temperature: float
) -> tuple[Familiarity, Tensor]:
    """Collect the statistics of familiar windows, and patches of the bundle's size for the ranges of int8."""
    generator = epoch_generator(recipe.seed, "student", recipe.student.epochs, torch.device("cpu"))
    features: list[NDArray[np.float64]] = []
    confidence: list[NDArray[np.float32]] = []
    unvaried: list[NDArray[np.float64]] = []
    calibration: list[Tensor] = []
    side, size = data.contract.patch_px, recipe.student.patch_px
    across = -(-side // size)
    plain = replace(
        recipe.variation, air_share=0.5, air_tint=0.0, gain=0.0, band_gain=0.0, noise=0.0, stretch_share=0.0
    )
    fixed_scale = replace(recipe, variation=replace(recipe.variation, scale_share=0.0))
    while len(features) < _FAMILIAR_BATCHES:
        pixels, _, _ = varied_batch(places, view, fixed_scale, recipe.student.batch_size, generator)
        pixels = pixels.round()
        found = _windows(pixels)
        features.append(chip_features(found.to(torch.uint8).numpy()))
        surest = [torch.softmax(torch.from_numpy(answer(network, p)) / temperature, 0).amax(0) for p in pixels[:4]]
        confidence.append(_windows(torch.stack(surest)[:, None]).mean(dim=(1, 2, 3)).numpy())
        ground = draw_patches(places, recipe.student.batch_size, generator).ground
        seen = seen_as_bytes(put_under_air(ground, view, plain, generator), view, plain, generator).round()
        unvaried.append(chip_features(_windows(seen).to(torch.uint8).numpy()))
        if len(calibration) < _CALIBRATION_PATCHES:
            while len(pixels) < across**2:  # of small batches
                more, _, _ = varied_batch(places, view, fixed_scale, recipe.student.batch_size, generator)
                pixels = torch.cat([pixels, more.round()])
            whole = torch.cat([torch.cat(list(pixels[i * across : (i + 1) * across]), 2) for i in range(across)], 1)
            calibration.append(whole[:, :side, :side].to(torch.uint8))
    known = learn_familiarity(np.concatenate(features), np.concatenate(confidence), np.concatenate(unvaried))
    return known, torch.stack(calibration)


def _windows(pixels: Tensor) -> Tensor:
    """Cut (N, C, P, P) into windows of FAMILIAR_PX that do not overlap, (M, C, side, side)."""
    n, bands, height, width = pixels.shape
    side = min(FAMILIAR_PX, height, width)
    rows, cols = height // side, width // side
    cut = pixels[:, :, : rows * side, : cols * side].reshape(n, bands, rows, side, cols, side)
    return cut.permute(0, 2, 4, 1, 3, 5).reshape(n * rows * cols, bands, side, side)
