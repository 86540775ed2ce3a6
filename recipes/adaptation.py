"""Does a student gain from a scene without labels? The experiment behind the paragraph in docs/experiments.md.

    python recipes/adaptation.py MODEL.onnx SCENE sample_data/labels.gpkg sample_data/labels_around.gpkg

The student (an fp32 bundle) is adapted on the western half of the scene and judged on the eastern, as the scene is and
under simulated changes of it, in three ways: not at all; batch normalisation alone takes the statistics of the scene's
patches (Li et al. 2016, arXiv 1603.04779); and three epochs of self-distillation, in which the student, shown patches
varied and mixed as in training, learns its own answers averaged over the 8 dihedral views.
"""

import copy
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from geokd.assessment.robustness import unrounded
from geokd.assessment.shifts import SHIFTS
from geokd.assessment.yardstick import MapFigures, Yardstick, YardstickOptions, judge_map, lay_yardstick
from geokd.mapping.block_pixels import cut_patches
from geokd.mapping.jobs import MappingJob
from geokd.mapping.options import ClassifyOptions
from geokd.mapping.overlapping import codes_and_confidence, mean_over_patches
from geokd.mapping.planning import plan_jobs
from geokd.maps.class_map import ClassMap
from geokd.scenes.bands import wavelengths_nm
from geokd.scenes.patches import PatchGrid
from geokd.scenes.reader import mirrored
from geokd.training.data.augmentation import VIEWS, Traits, augment
from geokd.training.initial_weights import build_student, read_weights
from geokd.training.loop import predict
from geokd.training.losses import hard_loss
from geokd.training.networks import Network
from geokd.training.recipe import AugmentationRecipe
from geokd.training.recipe_file import recipe_from_json

CHANGES = (
    "haze",
    "surface reflectance (L2A-like)",
    "gain 0.8",
    "band gain, colder",
    "gamma 1.15",
    "pixels of twice the side",
)
EPOCHS, BATCH, LEARNING_RATE = 3, 64, 1e-4
AUGMENTATION = AugmentationRecipe(
    share=0.6, zoom=0.25, gain=0.25, offset=10.0, path_radiance=25.0, haze=0.12, noise=3.0, mix_share=0.3
)
FIGURES = ("agreement", "agreement_mean_of_groups", "water_recall", "false_water")


@dataclass(frozen=True, eq=False)
class Half:
    """Patches (N, C, h, w), uint8, of one half of the scene, and where they lie."""

    pixels: torch.Tensor
    rows: NDArray[np.int64]
    cols: NDArray[np.int64]


def main(model: str, scene: str, *labels: str) -> None:
    """Adapt and judge under each change, and print the figures."""
    with tempfile.TemporaryDirectory() as folder:
        (job,) = plan_jobs([scene], model, folder, ClassifyOptions())
    yardstick = lay_yardstick(job, YardstickOptions(tuple(map(Path, labels)), "eurosat", "land_use"))
    east = np.zeros((job.patches.cell_grid.height, job.patches.cell_grid.width), np.bool_)
    east[:, east.shape[1] // 2 :] = True
    eastern = Yardstick(
        {name: area & east for name, area in yardstick.areas.items()},
        [(cells & east, codes, group) for cells, codes, group in yardstick.polygons if (cells & east).any()],
        yardstick.notes,
    )
    pixels, valid = unrounded(job.plan, job.seen)
    print(f"{'':32}{'':16}" + "".join(f"{figure:>26}" for figure in FIGURES))
    gains: dict[str, list[float]] = {}
    for name in ("as it is", *CHANGES):
        changed = pixels if name == "as it is" else SHIFTS[name](pixels, wavelengths_nm(job.bundle.contract.bands))
        west_half, east_half = halves(np.floor(changed.clip(0, 255) + np.float32(0.5)).astype(np.uint8), valid, job)
        before: MapFigures | None = None
        for way in ("not adapted", "statistics", "distilled"):
            student = adapted(load(job), west_half, job, way)
            figures = judge(student, east_half, job, eastern)
            before = before or figures
            gains.setdefault(way, []).append((figures.agreement or 0) - (before.agreement or 0))
            print(f"{name:32}{way:16}" + "".join(f"{100 * getattr(figures, f):25.1f}%" for f in FIGURES), flush=True)
    for way, differences in gains.items():
        print(f"mean change of the agreement, {way}: {100 * np.mean(differences):+.1f} points")


def load(job: MappingJob) -> Network:
    """Bring the student of a bundle back into torch."""
    bundle = job.bundle
    recipe = recipe_from_json(bundle.provenance["recipe"]).student
    student, _ = build_student(recipe, len(bundle.contract.bands), bundle.legend.names, "none")
    student.load_state_dict(read_weights(bundle), strict=False)
    return student.eval()


def patch_grid(job: MappingJob) -> PatchGrid:
    """Return the grid of a patch student's patches."""
    assert isinstance(job.patches, PatchGrid), "give a patch student: a dense one has no patches that overlap"
    return job.patches


def halves(pixels: NDArray[np.uint8], valid: NDArray[np.bool_], job: MappingJob) -> tuple[Half, Half]:
    """Patches that lie wholly in the west, a stride of half a patch apart, and all that touch the east."""
    grid = patch_grid(job)
    window = grid.window(grid.shape[0] - 1, grid.shape[1] - 1)
    rows = mirrored(0, int(window.row_off + window.height), pixels.shape[1])
    cols = mirrored(0, int(window.col_off + window.width), pixels.shape[2])
    patches, whole = cut_patches(pixels[:, rows][:, :, cols], valid[rows][:, cols], grid)
    classified = whole.mean(axis=(2, 3)) >= job.options.min_valid_share
    middle, span = grid.cell_grid.width // 2, grid.cells_per_patch
    western, eastern = classified.copy(), classified.copy()
    western[:, middle - span + 1 :] = False
    western[1::2], western[:, 1::2] = False, False
    eastern[:, : middle - span + 1] = False
    west, east = (Half(torch.from_numpy(patches[which]), *np.nonzero(which)) for which in (western, eastern))
    return west, east


def adapted(student: Network, west: Half, job: MappingJob, way: str) -> Network:
    """Return the student as it is after one of the three ways."""
    if way == "not adapted":
        return student
    if way == "statistics":
        norms = [m for m in student.modules() if isinstance(m, torch.nn.BatchNorm2d)]
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # a plain mean over the batches
        student.train()
        with torch.inference_mode():
            for batch in shuffled(len(west.pixels), 256, torch.Generator().manual_seed(1)):
                student(west.pixels[batch].float())
        return student.eval()
    answers = torch.zeros(len(west.pixels), len(job.bundle.legend))
    for view in range(VIEWS):
        views = torch.full((len(west.pixels),), view)
        logits, _ = predict(student, west.pixels, views, bf16=False)
        answers += torch.softmax(logits / job.bundle.temperature, dim=1) / VIEWS
    generator = torch.Generator().manual_seed(1)
    none = torch.zeros(len(job.bundle.legend), dtype=torch.bool)
    traits = Traits(none, none, none, torch.tensor(wavelengths_nm(job.bundle.contract.bands)))
    learner = copy.deepcopy(student)  # in evaluation mode: statistics of varied patches would spoil it
    optimiser = torch.optim.AdamW(learner.parameters(), lr=LEARNING_RATE)
    for _ in range(EPOCHS):
        for batch in shuffled(len(west.pixels), BATCH, generator):
            labels = answers[batch].argmax(dim=1)
            shown, shares = augment(west.pixels[batch].float(), labels, traits, AUGMENTATION, generator)
            logits, _ = learner(shown)
            targets = answers[batch] if shares is None else shares @ answers[batch]
            loss = hard_loss(logits, targets)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
    return learner.eval()


def shuffled(n: int, size: int, generator: torch.Generator) -> tuple[torch.Tensor, ...]:
    """Cut a permutation of 0 .. n - 1 into batches."""
    order = torch.randperm(n, generator=generator)
    return tuple(order[start : start + size] for start in range(0, n, size))


def judge(student: Network, east: Half, job: MappingJob, yardstick: Yardstick) -> MapFigures:
    """Map the eastern half and compare it with reference data."""
    logits, _ = predict(student, east.pixels, bf16=False)
    probabilities = np.full((*job.patches.shape, len(job.bundle.legend)), np.nan, np.float32)
    probabilities[east.rows, east.cols] = torch.softmax(logits / job.bundle.temperature, dim=1).numpy()
    cells = mean_over_patches(probabilities, patch_grid(job).cells_per_patch)
    codes, confidence = codes_and_confidence(cells, np.ones(cells.shape[:2], np.bool_))
    class_map = ClassMap(codes, confidence, job.patches.cell_grid, job.bundle.legend)
    return judge_map(class_map, class_map, yardstick)


if __name__ == "__main__":
    main(*sys.argv[1:])
