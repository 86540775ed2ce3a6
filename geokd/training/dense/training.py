"""From labelled scenes to a dense student: one explicit loop, resumable after each epoch."""

import math
import time
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from geokd.assessment.calibration import fit_temperature
from geokd.assessment.drift import chip_features, learn_familiarity
from geokd.assessment.metrics import accuracy, confusion_matrix, expected_calibration_error, per_class
from geokd.dense_recipe import DenseRecipe
from geokd.errors import GeokdError, TrainingError
from geokd.familiarity import Familiarity
from geokd.seen_chips import SeenChips
from geokd.training.batches import epoch_generator
from geokd.training.checkpoint import pack, read_tensors, unpack, write_tensors
from geokd.training.curves import draw_curves
from geokd.training.dense.arrays import DenseData
from geokd.training.dense.losses import dense_loss
from geokd.training.dense.network import DenseNetwork, begin_with, set_prior
from geokd.training.dense.patches import DenseBatch, Places, draw_patches, draw_water, find_places, validation_patches
from geokd.training.dense.pictures import draw_predictions
from geokd.training.dense.variation import (
    View,
    change_scale,
    change_season,
    make_turbid,
    put_under_air,
    seen_as_bytes,
    simulate_marsh,
    simulate_snow,
    view_of,
)
from geokd.training.epoch_log import forget_epochs, log_epoch
from geokd.training.fake_quantisation import fake_quantisation
from geokd.training.networks import find_weights, hash_of_tensors
from geokd.training.progress import Say, to_stderr
from geokd.training.run_folder import flattened, keep_seen_chips, made_by, open_run, write_json
from geokd.training.running_mean import RunningMean

FAMILIAR_PX = 64
"""Side of the windows whose statistics tell a familiar scene from an unfamiliar one."""

_CHECKED_PATCHES = 96  # of those held out, after each epoch
_FAMILIAR_BATCHES = 40
_CALIBRATION_PATCHES = 24
_MOST_PIXELS = 200_000  # of those held out, for the temperature
_GRADIENT_NORM = 5.0
_PICTURES = 6  # held-out patches in predictions.png
_WARM_UP = 0.05  # share of the steps


@dataclass(frozen=True, eq=False)
class HeldOut:
    """What is kept for validation, as the student would see it.

    Parameters
    ----------
    pixels : list of float tensors (C, P, P)
        Bytes 0..255: every other patch as surface reflectance, the rest under a standard atmosphere.
    labels : list of uint8 arrays (K, P, P)
        0 in all classes where a pixel is not for validation.
    """

    pixels: list[Tensor]
    labels: list[NDArray[np.uint8]]


def train_dense_on(
    data: DenseData, folder: Path, recipe: DenseRecipe, *, resume: bool = False, say: Say = to_stderr
) -> dict[str, Any]:
    """Train a dense student on labelled tiles; return its figures on what was held out.

    Raises
    ------
    CallError, RecipeError, ChipError, TrainingError
    """
    try:
        return _train(data, folder, recipe, resume=resume, say=say)
    except GeokdError:
        raise
    except OSError as error:
        then = "continue with --resume" if (folder / "run.json").is_file() else "start again"
        raise TrainingError(f"cannot write into {folder}: {error}; mend that, then {then}") from error


def _train(data: DenseData, folder: Path, recipe: DenseRecipe, *, resume: bool, say: Say) -> dict[str, Any]:
    view = view_of(data.contract, recipe)
    places = find_places(data, recipe, view)
    network, origin, seen = build_dense(data, recipe)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    run: dict[str, Any] = {
        "recipe": recipe.to_json(),
        "recipe_sha256": recipe.sha256,
        "contract": data.contract.to_json(),
        "legend": data.legend.to_json(),
        "data": data.to_json(),
        "initial_weights": {"student": {"origin": origin, "sha256": hash_of_tensors(network)}},
        "arithmetic": {"device": device.type, "student": "float32"},
    }
    finished = open_run(folder, run, resume=resume, keys_of=flattened)
    if finished is not None:
        return finished
    keep_seen_chips(folder, {"before": seen, "student": seen})
    say(f"student: dense MobileNetV2 on {device.type}, initial weights: {origin}")
    held_out = _held_out(data, recipe, view)
    network = network.to(memory_format=torch.channels_last).to(device)
    network = fit_dense(network, DenseJob(recipe, data, places, view, held_out, folder, say))
    write_tensors(folder / "student.safetensors", dict(network.state_dict()))
    (folder / "student.checkpoint.safetensors").unlink(missing_ok=True)
    network = network.cpu()
    figures = _figures(network, held_out, data, folder)
    known, calibration = _last_looks(network, places, view, recipe, data, figures["temperature"])
    write_tensors(folder / "calibration.safetensors", {"pixels": calibration})
    low, high = figures["interval_95"]
    say(
        f"student: {100 * figures['accuracy']:.2f} % of {figures['n']:,} held-out pixels"
        f" (95 % interval {100 * low:.2f}-{100 * high:.2f} %, as if pixels were independent)"
    )
    metrics = {"teacher": None, "student": figures | {"initial_weights": origin, "seen_before": 0}}
    run |= {
        "complete": True,
        "temperature": figures["temperature"],
        "familiarity": known.to_json(),
        "metrics": metrics,
        **made_by(),
    }
    write_json(folder / "run.json", run)
    draw_curves(folder / "log.csv", folder / "curves.png", title=recipe.name)
    return metrics


def build_dense(data: DenseData, recipe: DenseRecipe) -> tuple[DenseNetwork, str, SeenChips]:
    """Build a dense student with its initial weights; return also where these are from and what they learned from.

    Raises
    ------
    RecipeError
        If the initial weights cannot be had or do not fit.
    """
    torch.manual_seed(recipe.seed)
    wanted = recipe.student
    network = DenseNetwork(len(data.contract.bands), len(data.legend), wanted.width)
    counts = sum(source.share * source.labels.mean(axis=(0, 2, 3)) for source in data.sources)
    set_prior(network, torch.as_tensor(np.asarray(counts) / max(float(np.sum(counts)), 1e-9), dtype=torch.float32))
    if wanted.initial_weights == "none":
        return network, "none", SeenChips()
    weights, origin, seen = find_weights("mobilenet_v2", wanted.initial_weights, data.legend.names)
    begin_with(network, dict(weights), origin)
    return network, origin, seen


@dataclass(frozen=True, eq=False)
class DenseJob:
    """Everything the training of a dense student needs.

    Parameters
    ----------
    recipe : DenseRecipe
    data : DenseData
    places : list of Places
        Where training patches may be cut.
    view : View
    held_out : HeldOut
    folder : Path
        Of the run: checkpoints and log are written there.
    say : callable
        Takes one line of progress.
    """

    recipe: DenseRecipe
    data: DenseData
    places: list[Places]
    view: View
    held_out: HeldOut
    folder: Path
    say: Say


def fit_dense(network: DenseNetwork, job: DenseJob) -> DenseNetwork:
    """Train for the epochs of the recipe, or continue from the checkpoint in the run's folder.

    AdamW with one cosine cycle of the learning rate after a warm-up. The result is the running mean of the weights.

    Raises
    ------
    TrainingError
        If the loss is not finite, or the checkpoint does not fit.
    """
    wanted, folder = job.recipe.student, job.folder
    optimiser = torch.optim.AdamW(network.parameters(), lr=wanted.learning_rate, weight_decay=wanted.weight_decay)
    average = RunningMean(network, wanted.ema_decay)
    modules: dict[str, nn.Module] = {"network": network}
    if average.network is not network:
        modules["average"] = average.network
    path, done = folder / "student.checkpoint.safetensors", 0
    if (folder / "student.safetensors").is_file():
        tensors, _ = read_tensors(folder / "student.safetensors")
        network.load_state_dict(tensors)
        return network.eval()
    if path.is_file():
        tensors, facts = read_tensors(path)
        unpack(tensors, modules, optimiser)
        done = facts["epochs_done"]
        job.say(f"student: resuming after epoch {done} of {wanted.epochs}")
    forget_epochs(folder / "log.csv", "student", done)
    for epoch in range(done, wanted.epochs):
        started = time.perf_counter()
        mean_loss = _train_epoch(network, job, epoch, optimiser, average)
        if not math.isfinite(mean_loss):
            raise TrainingError(
                f"the loss of epoch {epoch + 1} is {mean_loss}; lower student.learning_rate ({wanted.learning_rate:g})"
            )
        seconds = time.perf_counter() - started
        averaged = average.network.eval()
        agreement = _agreement(averaged, job.held_out)
        rate = wanted.epoch_steps * wanted.batch_size / seconds
        row = ("student", epoch + 1, mean_loss, agreement, optimiser.param_groups[0]["lr"], seconds, rate)
        log_epoch(folder / "log.csv", row)
        write_tensors(path, pack(modules, optimiser), {"epochs_done": epoch + 1})
        shown = [(p, y, answer(averaged, p).argmax(0)) for p, y in _some(job.held_out)]
        draw_predictions(shown, job.data, job.view.visible, folder / "predictions.png")
        left = (wanted.epochs - epoch - 1) * (time.perf_counter() - started)
        job.say(
            f"student: epoch {epoch + 1}/{wanted.epochs}  loss {mean_loss:.4f}  held-out pixels {100 * agreement:.2f} %"
            f"  {rate:.1f} patches/s  {left / 60:.1f} min left"
        )
    return average.network.eval()


def _train_epoch(
    network: DenseNetwork,
    job: DenseJob,
    epoch: int,
    optimiser: torch.optim.Optimizer,
    average: RunningMean[DenseNetwork],
) -> float:
    """Take the steps of one epoch; return their mean loss."""
    wanted = job.recipe.student
    generator = epoch_generator(job.recipe.seed, "student", epoch, torch.device("cpu"))
    device = next(network.parameters()).device
    network.train()
    rounded = epoch >= wanted.epochs - wanted.int8_epochs
    total = torch.zeros((), device=device)
    for step in range(wanted.epoch_steps):
        number = epoch * wanted.epoch_steps + step
        progress = (number + 1) / (wanted.epochs * wanted.epoch_steps)
        for group in optimiser.param_groups:
            group["lr"] = wanted.learning_rate * _schedule(progress)
        pixels, labels, hard = varied_batch(job.places, job.view, job.recipe, wanted.batch_size, generator)
        pixels = pixels.to(device).contiguous(memory_format=torch.channels_last)
        with fake_quantisation(network) if rounded else nullcontext():
            logits = network.coarse(pixels)
        loss = dense_loss(logits, F.avg_pool2d(labels, 2).to(device), hard.to(device), job.recipe.loss)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), _GRADIENT_NORM)
        optimiser.step()
        average.update(number)
        total += loss.detach()
    return float(total) / wanted.epoch_steps


def varied_batch(
    places: list[Places], view: View, recipe: DenseRecipe, count: int, generator: Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Draw patches and vary them; return bytes (N, C, P, P), labels (N, K, P, P) and which labels are hard (N,)."""
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


def _held_out(data: DenseData, recipe: DenseRecipe, view: View) -> HeldOut:
    """Lay patches over what is held out; every other one is put under a standard atmosphere."""
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


def _some(held_out: HeldOut) -> list[tuple[Tensor, NDArray[np.uint8]]]:
    step = max(1, len(held_out.pixels) // _PICTURES)
    return list(zip(held_out.pixels, held_out.labels, strict=True))[::step][:_PICTURES]


def _agreement(network: DenseNetwork, held_out: HeldOut) -> float:
    """Share of the held-out pixels in which the student's class is the label's most probable one."""
    right = total = 0
    for pixels, labels in zip(held_out.pixels, held_out.labels, strict=True):
        known = labels.any(axis=0)
        right += int((answer(network, pixels).argmax(0) == labels.argmax(0))[known].sum())
        total += int(known.sum())
    return right / max(1, total)


def _figures(network: DenseNetwork, held_out: HeldOut, data: DenseData, folder: Path) -> dict[str, Any]:
    """Figures on the held-out pixels, against the most probable class of each label."""
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
    confusion = confusion_matrix(y, z.argmax(1), len(data.legend))
    temperature = fit_temperature(z, y)
    calibrated = torch.softmax(torch.from_numpy(z) / temperature, dim=1).numpy()
    return {
        **accuracy(confusion),
        "ece": expected_calibration_error(calibrated, y),
        "temperature": temperature,
        "parameters": sum(p.numel() for p in network.parameters()),
        "per_class": per_class(confusion, data.legend.names),
    }


def _last_looks(
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


def _schedule(progress: float) -> float:
    """Factor of the learning rate at `progress` 0..1: linear warm-up, then half a cosine down to 0."""
    return min(progress / _WARM_UP, 1.0) * 0.5 * (1 + math.cos(math.pi * progress)) + 1e-4
