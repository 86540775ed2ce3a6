"""The training loop: one for the teacher and the student, explicit and seeded.

Everything random in an epoch is drawn from generators seeded with (seed, stage, epoch), and a checkpoint is written
after each epoch, so an interrupted run continues as if it had not been interrupted: exactly on a CPU, and on a GPU up
to the order of sums.
"""

import math
import time
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn

from geokd.errors import TrainingError
from geokd.system.progress import Progress
from geokd.training.checkpoint import pack, read_tensors, unpack, write_tensors
from geokd.training.data.augmentation import Traits, dihedral
from geokd.training.data.batches import Batch, ChipSet, draw_batches, epoch_generator, show, steps_an_epoch
from geokd.training.epoch_log import forget_epochs, log_epoch
from geokd.training.fake_quantisation import fake_quantisation
from geokd.training.networks import Classifier
from geokd.training.recipe import AugmentationRecipe, Stage, StudentRecipe, TeacherRecipe
from geokd.training.running_mean import RunningMean

_EVALUATION_BATCH = 256
_MOST_KEPT = 0.02  # share of the initial weights in the final running mean, above which a warning is given


class LossFunction(Protocol):
    """Maps logits (N, K) and penultimate features (N, D) of a batch to a scalar."""

    def __call__(self, logits: Tensor, features: Tensor, batch: Batch) -> Tensor:
        """Return the loss of a batch."""


@dataclass(frozen=True, eq=False)
class TrainingJob:
    """Everything one stage of training needs.

    Parameters
    ----------
    stage : {"teacher", "student"}
    network : Classifier
        On the training device; trained in place.
    projection : nn.Module
        Trained together with the network; an `nn.Identity` if the loss has none.
    loss : LossFunction
    recipe : TeacherRecipe or StudentRecipe
    augmentation : AugmentationRecipe or None
        None: dihedral views only.
    traits : Traits
        Properties of classes and bands, for the augmentation.
    chips, validation : ChipSet
    seed : int
    bf16 : bool
        Run the network's forward pass in bfloat16 (autocast).
    folder : Path
        Folder of the run: checkpoints and log are written there.
    progress : Progress
        Receives the progress of the training, by epochs of the stage.
    """

    stage: Stage
    network: Classifier
    projection: nn.Module
    loss: LossFunction
    recipe: TeacherRecipe | StudentRecipe
    augmentation: AugmentationRecipe | None
    traits: Traits
    chips: ChipSet
    validation: ChipSet
    seed: int
    bf16: bool
    folder: Path
    progress: Progress


def fit(job: TrainingJob) -> Classifier:
    """Train for the epochs of the recipe, or continue from the checkpoint in the run's folder.

    AdamW with one cosine cycle of the learning rate after a warm-up of 5 % of the steps. The result is the running mean
    of the weights if the recipe has one, else the weights themselves.

    Returns
    -------
    Classifier
        In evaluation mode.

    Raises
    ------
    TrainingError
        If the loss is not finite, or the checkpoint does not fit.
    """
    network, recipe = job.network, job.recipe
    parameters = [p for module in (network, job.projection) for p in module.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(parameters, lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
    average = RunningMean(network, recipe.ema_decay)
    modules = {"network": network, "projection": job.projection}
    if average.network is not network:
        modules["average"] = average.network
    path = job.folder / f"{job.stage}.checkpoint.safetensors"
    done = 0
    if path.is_file():
        tensors, facts = read_tensors(path)
        unpack(tensors, modules, optimiser)
        done = facts["epochs_done"]
        job.progress(f"{job.stage}: resuming after epoch {done} of {recipe.epochs}")
    forget_epochs(job.folder / "log.csv", job.stage, done)
    steps = steps_an_epoch(len(job.chips.labels), recipe.batch_size)
    kept = average.share_of_first(recipe.epochs * steps)
    if kept > _MOST_KEPT:
        job.progress(
            f"{job.stage}: after {recipe.epochs * steps} steps the running mean of the weights (ema_decay) still has"
            f" {100 * kept:.0f} % of the initial ones; lower it, or train for longer"
        )

    for epoch in range(done, recipe.epochs):
        started = time.perf_counter()
        mean_loss = _train_epoch(job, epoch, optimiser, average)
        if not math.isfinite(mean_loss):
            raise TrainingError(
                f"{job.stage}: the loss of epoch {epoch + 1} is {mean_loss};"
                f" lower the learning rate ({recipe.learning_rate:g})"
            )
        seconds = time.perf_counter() - started
        accuracy = _accuracy(average.network, job.validation, bf16=job.bf16)
        row = (
            job.stage,
            epoch + 1,
            mean_loss,
            accuracy,
            optimiser.param_groups[0]["lr"],
            seconds,
            steps * min(recipe.batch_size, len(job.chips.labels)) / seconds,
        )
        log_epoch(job.folder / "log.csv", row)
        write_tensors(path, pack(modules, optimiser), {"epochs_done": epoch + 1})
        left = (recipe.epochs - epoch - 1) * (time.perf_counter() - started)
        job.progress(
            f"{job.stage}: epoch {epoch + 1}/{recipe.epochs}  loss {mean_loss:.4f}  validation {100 * accuracy:.2f} %"
            f"  {row[-1]:.0f} chips/s  {left / 60:.1f} min left",
            done=epoch + 1,
            total=recipe.epochs,
        )
    return average.network.eval()


def _train_epoch(
    job: TrainingJob, epoch: int, optimiser: torch.optim.Optimizer, average: RunningMean[Classifier]
) -> float:
    """Train on all chips once; return the mean loss of the steps."""
    network, recipe = job.network, job.recipe
    device = job.chips.pixels.device
    steps = steps_an_epoch(len(job.chips.labels), recipe.batch_size)
    generator = epoch_generator(job.seed, job.stage, epoch, device)
    network.train()
    if recipe.batch_statistics == "kept":
        _keep_statistics(network)
    total = torch.zeros((), device=device)
    rounded = epoch >= recipe.epochs - recipe.int8_epochs
    for step, plain in enumerate(draw_batches(job.chips, recipe.batch_size, steps, generator)):
        for group in optimiser.param_groups:
            group["lr"] = recipe.learning_rate * _schedule((epoch * steps + step) / (recipe.epochs * steps))
        pixels, batch = show(job.chips, plain, job.traits, job.augmentation, generator)
        with (
            torch.autocast(device.type, torch.bfloat16, enabled=job.bf16 and not rounded),  # too narrow for 256 steps
            fake_quantisation(network) if rounded else nullcontext(),
        ):
            logits, features = network(pixels.contiguous(memory_format=torch.channels_last))
        loss = job.loss(logits.float(), features.float(), batch)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        average.update()
        total += loss.detach()
    return float(total) / steps


@torch.inference_mode()
def predict(network: Classifier, pixels: Tensor, views: Tensor | None = None, *, bf16: bool) -> tuple[Tensor, Tensor]:
    """Run a network over many chips.

    Parameters
    ----------
    network : Classifier
    pixels : uint8 tensor (N, C, H, W)
    views : int64 tensor (N,), optional
        Dihedral view of each chip. Default: unchanged.
    bf16 : bool

    Returns
    -------
    logits : float32 tensor (N, K)
    features : float32 tensor (N, D)
    """
    network.eval()
    outputs = []
    for start in range(0, len(pixels), _EVALUATION_BATCH):
        batch = pixels[start : start + _EVALUATION_BATCH]
        if views is not None:
            batch = dihedral(batch, views[start : start + _EVALUATION_BATCH])
        outputs.append(asked(network, batch, bf16=bf16))
    logits, features = (torch.cat(parts) for parts in zip(*outputs, strict=True))
    return logits, features


@torch.no_grad()
def asked(network: Classifier, pixels: Tensor, *, bf16: bool) -> tuple[Tensor, Tensor]:
    """Run a network, which is in evaluation mode, over one batch; float32 logits (N, K) and features (N, D)."""
    with torch.autocast(pixels.device.type, torch.bfloat16, enabled=bf16):
        logits, features = network(pixels.float().contiguous(memory_format=torch.channels_last))
    return logits.float(), features.float()


def _keep_statistics(network: Classifier) -> None:
    """Let batch normalisation use its running statistics without changing them."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()


def _schedule(done: float) -> float:
    """Factor of the learning rate at `done` 0..1: linear warm-up over 5 %, then half a cosine down to 0."""
    return min(done / 0.05, 1.0) * 0.5 * (1 + math.cos(math.pi * done)) if done > 0 else 0.01


def _accuracy(network: Classifier, chips: ChipSet, *, bf16: bool) -> float:
    logits, _ = predict(network, chips.pixels, bf16=bf16)
    return float((logits.argmax(1) == chips.labels).float().mean())
