"""What distillation costs: an epoch by labels, KL and cosine from cached answers against one by labels alone.

And the share of an epoch that is spent outside the student: drawing, turning, varying and mixing chips, and the loss.

python -m tests.benchmarks.epochs [CHIPS [PATCH_PX [RECIPE]]]
"""

import csv
import statistics
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from geokd.chips.reading import Chips
from geokd.legend.classes import default_legend
from geokd.model.contract import InputContract
from geokd.training.data.reading import TrainingData
from geokd.training.initial_weights import build_student
from geokd.training.recipe import Recipe
from geokd.training.recipe_file import load_recipe
from geokd.training.train import train_on

CLASSES = tuple("abcdefghij")
EPOCHS = 3  # of which the first warms up
ROUNDS = 3


def main(chips: int = 2048, patch_px: int = 64, path: str = "recipes/paper-ablation.toml") -> None:
    """Train on noise, in turns by one loss and the other, and print the ratio of the times of an epoch."""
    recipe = _recipe(path, patch_px)
    data = _noise(chips, recipe)
    plain = replace(recipe, loss=replace(recipe.loss, kl=0.0, cosine=0.0, standardised_kl=0.0))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        train_on(data, folder / "teacher", recipe, teacher_only=True)
        taught = replace(recipe, teacher=replace(recipe.teacher, from_run=str(folder / "teacher")))
        epochs: dict[str, list[float]] = {"ce": [], "ce+kl+cosine": []}
        for turn in range(ROUNDS):
            for loss, one in (("ce", plain), ("ce+kl+cosine", taught)):
                run = train_on(data, folder / f"{loss}-{turn}", one).folder
                epochs[loss].append(statistics.median(_seconds(run / "log.csv")[1:]))
    alone = _network_alone(data, recipe)
    ratio = statistics.median(b / a for a, b in zip(*epochs.values(), strict=True))
    print(f"{chips} chips of {patch_px} px, {path}, {ROUNDS} rounds")
    for loss, seconds in epochs.items():
        took = statistics.median(seconds)
        print(f"{loss:14} {took:7.2f} s an epoch, {100 * max(0.0, 1 - alone / took):.0f} % of it outside the student")
    print(f"ce+kl+cosine against ce: {ratio:.3f}")


def _recipe(path: str, patch_px: int) -> Recipe:
    changes = [f"input.patch_px={patch_px}", "input.ground_resolution_m=10", "loss.standardised_kl=0"]
    changes += ["teacher.initial_weights=none", "student.initial_weights=none", "teacher.epochs=1"]
    changes += [f"student.epochs={EPOCHS}", "student.int8_epochs=0", "augmentation.unmixed_classes=[]", "legend=[]"]
    changes += ["augmentation.strip_classes=['a']", "augmentation.water_classes=['b']"]
    recipe = load_recipe(path, changes)
    return replace(recipe, teacher=replace(recipe.teacher, from_run=None))


def _noise(count: int, recipe: Recipe) -> TrainingData:
    generator = np.random.default_rng(0)
    side = recipe.input.patch_px or 0

    def some(n: int) -> Chips:
        pixels = generator.integers(0, 256, (n, 3, side, side), np.uint8)
        picture_hashes = generator.integers(0, 2**64, n, np.uint64)
        return Chips(pixels, generator.permutation(n) % len(CLASSES), None, picture_hashes, "noise")

    contract = InputContract(("red", "green", "blue"), side, 10.0)
    return TrainingData("noise", contract, default_legend(CLASSES), some(count), some(64), "noise")


def _seconds(log: Path) -> list[float]:
    with log.open() as lines:
        return [float(row["seconds"]) for row in csv.DictReader(lines) if row["stage"] == "student"]


def _network_alone(data: TrainingData, recipe: Recipe) -> float:
    """Time as many steps of the student as an epoch has, on one batch that lies there: forward, backward, update."""
    network, _ = build_student(recipe.student, 3, CLASSES)
    network = network.to(memory_format=torch.channels_last).train()
    optimiser = torch.optim.AdamW(network.parameters())
    size = recipe.student.batch_size
    pixels = torch.from_numpy(data.training.pixels[:size]).float().contiguous(memory_format=torch.channels_last)
    labels = torch.from_numpy(data.training.labels[:size])
    times = []
    for _ in range(EPOCHS):
        start = time.perf_counter()
        for _ in range(len(data.training.labels) // size):
            logits, _ = network(pixels)
            optimiser.zero_grad(set_to_none=True)
            torch.nn.functional.cross_entropy(logits, labels).backward()  # type: ignore[no-untyped-call]
            optimiser.step()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


if __name__ == "__main__":
    main(*(int(word) if word.isdigit() else word for word in sys.argv[1:]))  # type: ignore[arg-type]
