"""How often the teacher of a run is right in each dihedral view, and by the mean of its answers over all eight.

    python recipes/teacher_views.py RUN CHIPS VALIDATION

RUN is a folder that `geokd train` or `geokd ablate` filled, CHIPS and VALIDATION are the chips that it was given.
"""

import sys
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from geokd.statistics.intervals import wilson
from geokd.system.progress import silent
from geokd.training.checkpoint import read_tensors
from geokd.training.data.augmentation import VIEWS
from geokd.training.data.reading import read_training_data
from geokd.training.initial_weights import build_teacher
from geokd.training.loop import predict
from geokd.training.recipe_file import recipe_from_json
from geokd.training.run_record import read_run


def main(run: str, chips: str, validation: str) -> None:
    """Print a row for each view, and for the mean."""
    recipe = recipe_from_json(read_run(Path(run)).recipe)
    data = read_training_data(chips, recipe, validation, silent)
    network, _ = build_teacher(
        replace(recipe.teacher, initial_weights="none"), len(data.contract.bands), data.legend.names
    )
    network.load_state_dict(read_tensors(Path(run, "teacher.safetensors"))[0])
    pixels, labels = torch.from_numpy(data.validation.pixels), torch.from_numpy(data.validation.labels)
    views = [predict(network, pixels, torch.full((len(pixels),), view), bf16=False)[0] for view in range(VIEWS)]
    for number, logits in enumerate(views):
        print(f"view {number}: {_share(logits, labels)}")
    print(f"mean of all: {_share(torch.stack(views).mean(dim=0), labels)}")


def _share(logits: Tensor, labels: Tensor) -> str:
    right, n = int((logits.argmax(1) == labels).sum()), len(labels)
    low, high = wilson(right, n)
    return f"{100 * right / n:.2f} % ({100 * low:.2f} to {100 * high:.2f}) of {n}"


if __name__ == "__main__":
    main(*sys.argv[1:])
