"""From labelled scenes to a dense student: one explicit loop, resumable after each epoch."""

import math
import time
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from geokd.errors import TrainingError
from geokd.model.seen_chips import SeenChips
from geokd.system.progress import Progress, to_stderr
from geokd.training.checkpoint import pack, read_tensors, unpack, write_tensors
from geokd.training.data.batches import epoch_generator
from geokd.training.dense.arrays import DenseData
from geokd.training.dense.losses import dense_loss
from geokd.training.dense.network import DenseNetwork, begin_with, set_prior
from geokd.training.dense.patches import Places, find_places
from geokd.training.dense.pictures import draw_predictions
from geokd.training.dense.recipe import DenseRecipe
from geokd.training.dense.showing import (
    HeldOut,
    agreement,
    answer,
    held_out_figures,
    hold_out,
    last_looks,
    some_of,
    varied_batch,
)
from geokd.training.dense.variation import (
    View,
    view_of,
)
from geokd.training.epoch_log import forget_epochs, log_epoch
from geokd.training.fake_quantisation import fake_quantisation
from geokd.training.figures import Metrics, in_words
from geokd.training.initial_weights import find_weights
from geokd.training.networks import hash_of_tensors
from geokd.training.run_folder import claimed_run, close_run, describe_run, flattened, keep_seen_chips, open_run
from geokd.training.run_record import InitialWeights
from geokd.training.running_mean import RunningMean

_GRADIENT_NORM = 5.0
_WARM_UP = 0.05  # share of the steps


def train_dense_on(
    data: DenseData, folder: Path, recipe: DenseRecipe, *, resume: bool = False, progress: Progress = to_stderr
) -> Metrics:
    """Train a dense student on labelled tiles; return its figures on the held-out labels.

    Raises
    ------
    CallError, RecipeError, ChipError, TrainingError
    """
    with claimed_run(folder):
        return _train(data, folder, recipe, resume=resume, progress=progress)


def _train(data: DenseData, folder: Path, recipe: DenseRecipe, *, resume: bool, progress: Progress) -> Metrics:
    view = view_of(data.contract, recipe)
    places = find_places(data, recipe, view)
    network, origin, seen = build_dense(data, recipe)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    weights = {"student": InitialWeights(origin=origin, sha256=hash_of_tensors(network))}
    run = describe_run(recipe, data, weights, {"device": device.type, "student": "float32"})
    finished = open_run(folder, run, resume=resume, keys_of=flattened)
    if finished is not None:
        return finished
    keep_seen_chips(folder, {"before": seen, "student": seen})
    progress(f"student: dense MobileNetV2 on {device.type}, initial weights: {origin}")
    held_out = hold_out(data, recipe, view)
    network = network.to(memory_format=torch.channels_last).to(device)
    network = fit_dense(network, DenseJob(recipe, data, places, view, held_out, folder, progress))
    write_tensors(folder / "student.safetensors", dict(network.state_dict()))
    (folder / "student.checkpoint.safetensors").unlink(missing_ok=True)
    network = network.cpu()
    figures = held_out_figures(network, held_out, data, folder, origin)
    known, calibration = last_looks(network, places, view, recipe, data, figures.temperature)
    write_tensors(folder / "calibration.safetensors", {"pixels": calibration})
    progress(f"student: {in_words(figures, 'held-out pixels')}, as if pixels were independent)")
    metrics = Metrics(teacher=None, student=figures)
    close_run(folder, run, metrics, figures.temperature, known)
    return metrics


def build_dense(data: DenseData, recipe: DenseRecipe) -> tuple[DenseNetwork, str, SeenChips]:
    """Build a dense student with its initial weights; return also their origin and the chips they were trained on.

    Raises
    ------
    RecipeError
        If the initial weights are not available or do not fit.
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
        Folder of the run: checkpoints and log are written there.
    progress : Progress
        Receives the progress of the training, by epochs of the stage.
    """

    recipe: DenseRecipe
    data: DenseData
    places: list[Places]
    view: View
    held_out: HeldOut
    folder: Path
    progress: Progress


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
        job.progress(f"student: resuming after epoch {done} of {wanted.epochs}")
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
        right = agreement(averaged, job.held_out)
        rate = wanted.epoch_steps * wanted.batch_size / seconds
        row = ("student", epoch + 1, mean_loss, right, optimiser.param_groups[0]["lr"], seconds, rate)
        log_epoch(folder / "log.csv", row)
        write_tensors(path, pack(modules, optimiser), {"epochs_done": epoch + 1})
        shown = [(p, y, answer(averaged, p).argmax(0)) for p, y in some_of(job.held_out)]
        draw_predictions(shown, job.data, job.view.visible, folder / "predictions.png")
        left = (wanted.epochs - epoch - 1) * (time.perf_counter() - started)
        job.progress(
            f"student: epoch {epoch + 1}/{wanted.epochs}  loss {mean_loss:.4f}  held-out pixels {100 * right:.2f} %"
            f"  {rate:.1f} patches/s  {left / 60:.1f} min left",
            done=epoch + 1,
            total=wanted.epochs,
        )
    return average.network.eval()


def _train_epoch(
    network: DenseNetwork,
    job: DenseJob,
    epoch: int,
    optimiser: torch.optim.Optimizer,
    average: RunningMean[DenseNetwork],
) -> float:
    """Run the steps of one epoch; return their mean loss."""
    wanted = job.recipe.student
    generator = epoch_generator(job.recipe.seed, "student", epoch, torch.device("cpu"))
    device = next(network.parameters()).device
    network.train()
    rounded = epoch >= wanted.epochs - wanted.int8_epochs
    total = torch.zeros((), device=device)
    for step in range(wanted.epoch_steps):
        number = epoch * wanted.epoch_steps + step
        share = (number + 1) / (wanted.epochs * wanted.epoch_steps)
        for group in optimiser.param_groups:
            group["lr"] = wanted.learning_rate * _schedule(share)
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


def _schedule(done: float) -> float:
    """Factor of the learning rate at `done` 0..1: linear warm-up, then half a cosine down to 0."""
    return min(done / _WARM_UP, 1.0) * 0.5 * (1 + math.cos(math.pi * done)) + 1e-4
