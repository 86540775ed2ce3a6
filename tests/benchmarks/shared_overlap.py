"""Overlapping patches share most of their pixels. Could they share their computation, too?

    python -m tests.benchmarks.shared_overlap

The convolutions of the fp32 student run once over the whole sample scene for each of the four offsets of half their
total stride (32 px); a patch's features are the mean of the places that lie in it. Held against patch after patch, at
stride 16, on one thread: how much time that saves, and in how many cells the map is the same. It differs since a patch
of its own is surrounded by zeros in every layer, as the chips of training were, a part of a scene by its neighbours.
"""

import time
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from rasterio.windows import Window

from geokd.mapping.block_pixels import cut_patches
from geokd.mapping.options import ClassifyOptions
from geokd.mapping.overlapping import mean_over_patches
from geokd.mapping.planning import plan_jobs
from geokd.scenes.patches import PatchGrid
from geokd.scenes.reader import read_window
from geokd.training.initial_weights import build_student, read_weights
from geokd.training.networks import Network
from geokd.training.recipe_file import recipe_from_json
from tests.benchmarks.scene import SAMPLE

STRIDE, TOTAL_STRIDE = 16, 32


def main() -> None:
    """Time both ways and compare their maps."""
    torch.set_num_threads(1)
    (job,) = plan_jobs([SAMPLE], "eurosat-rgb-maps-fp32", Path("nowhere"), ClassifyOptions(stride_px=STRIDE))
    recipe = recipe_from_json(job.bundle.provenance["recipe"]).student
    student, _ = build_student(recipe, len(job.plan.bidx), job.bundle.legend.names, "none")
    student.load_state_dict(read_weights(job.bundle), strict=False)
    student.to(memory_format=torch.channels_last).eval()
    pixels, valid = read_window(job.plan, Window(0, 0, job.plan.grid.width, job.plan.grid.height))
    patches, _ = cut_patches(pixels, valid, job.patches)
    with torch.inference_mode():
        start = time.perf_counter()
        exact = one_by_one(student, patches)
        middle = time.perf_counter()
        shared = together(student, pixels, patches.shape[:2])
        end = time.perf_counter()
    assert isinstance(job.patches, PatchGrid)
    span = job.patches.cells_per_patch
    alike = [mean_over_patches(softmaxed, span).argmax(axis=2) for softmaxed in (exact, shared)]
    apart, shared_seconds = middle - start, end - middle
    print(f"patch after patch {apart:.2f} s, shared {shared_seconds:.2f} s: {apart / shared_seconds:.1f} x")
    print(f"the same class in {100 * (alike[0] == alike[1]).mean():.1f} % of {alike[0].size} cells")


def one_by_one(student: Network, patches: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Probabilities of patches (rows, cols, C, h, w), each computed on its own."""
    flat = np.ascontiguousarray(patches).reshape(-1, *patches.shape[2:])
    answers = [student(torch.from_numpy(flat[i : i + 32]).float())[0].softmax(dim=1) for i in range(0, len(flat), 32)]
    return np.asarray(torch.cat(answers).numpy().reshape(*patches.shape[:2], -1), np.float32)


def together(student: Network, pixels: NDArray[np.uint8], shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Probabilities of the same patches from convolutions over the whole scene (C, h, w)."""
    out = np.zeros((*shape, student.classifier.out_features), np.float32)
    steps = TOTAL_STRIDE // STRIDE
    for row in range(steps):
        for col in range(steps):
            part = pixels[:, row * STRIDE :, col * STRIDE :]
            height, width = (size // TOTAL_STRIDE * TOTAL_STRIDE for size in part.shape[1:])
            image = torch.from_numpy(part[np.newaxis, :, :height, :width].copy()).float()
            features = student.features(student.normalise(image))
            pooled = torch.nn.functional.avg_pool2d(features, 2, 1)[0].permute(1, 2, 0)
            answers = student.classifier(pooled).softmax(dim=2).numpy()
            places = out[row::steps, col::steps]
            places[:] = answers[: places.shape[0], : places.shape[1]]
    return out


if __name__ == "__main__":
    main()
