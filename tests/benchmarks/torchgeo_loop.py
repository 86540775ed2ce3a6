"""The same scene and weights through TorchGeo's grid sampler, the loop its tutorials show, and through geokd.

    pip install "torchgeo==0.8.1" requests
    python -m tests.benchmarks.torchgeo_loop [SIDE_PX]

TorchGeo reads patches one by one through a sampler and a data loader, and torch runs the fp32 student; geokd runs the
same student from the same bundle, fp32 and int8. All at stride 64, with as many threads as there are cores.
"""

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader
from torchgeo.datasets import RasterDataset, stack_samples
from torchgeo.samplers import GridGeoSampler

from geokd.bundle import load_bundle, resolve_model
from geokd.mapping.classify import run_jobs
from geokd.mapping.jobs import plan_jobs
from geokd.mapping.options import ClassifyOptions
from geokd.mapping.parallel import available_cores
from geokd.recipe import recipe_from_json
from geokd.training.export import read_weights
from geokd.training.networks import build_student
from tests.benchmarks.scene import SIDE_PX, large_scene


class Scenes(RasterDataset):  # type: ignore[misc]  # TorchGeo is not installed where types are checked
    """All GeoTIFFs of a folder."""

    filename_glob = "*.tif"


def main(side_px: int = SIDE_PX) -> None:
    """Time both and print the ratios."""
    torch.set_num_threads(available_cores())
    with tempfile.TemporaryDirectory() as folder:
        scene = large_scene(Path(folder, "scene.tif"), side_px, side_px)
        patches, seconds = torchgeo(Path(folder))
        print(f"{side_px} x {side_px} px; torchgeo: {patches} patches, {patches / seconds:.0f} a second")
        for model in ("eurosat-rgb-fp32", "eurosat-rgb"):
            (job,) = plan_jobs([scene], model, Path(folder, model), ClassifyOptions(stride_px=64))
            start = time.perf_counter()
            ((_, outcome),) = run_jobs([job])
            speed = job.patches.shape[0] * job.patches.shape[1] / (time.perf_counter() - start)
            assert not isinstance(outcome, Exception), outcome
            print(f"geokd, {model}, a whole map: {speed:.0f} patches a second, {speed / (patches / seconds):.0f} x")


def torchgeo(folder: Path) -> tuple[int, float]:
    """Classify every patch as TorchGeo's tutorials do; return how many and the seconds."""
    bundle = load_bundle(resolve_model("eurosat-rgb-fp32"))
    recipe = recipe_from_json(bundle.provenance["recipe"]).student
    student, _ = build_student(recipe, len(bundle.contract.bands), bundle.legend.names, "none")
    student.load_state_dict(read_weights(bundle), strict=False)
    student.eval()
    scenes = Scenes(str(folder))
    sampler = GridGeoSampler(scenes, size=64, stride=64)
    loader: Any = DataLoader(scenes, batch_size=32, sampler=sampler, collate_fn=stack_samples)
    scaling = bundle.contract.value_scaling
    assert scaling is not None
    slope = (scaling.output_maximum - scaling.output_minimum) / (scaling.maximum - scaling.minimum)
    answers = []
    start = time.perf_counter()
    with torch.inference_mode():
        for batch in loader:
            stretched = (batch["image"].float() - scaling.minimum) * slope + scaling.output_minimum
            logits, _ = student(torch.floor(stretched + 0.5).clamp(0, 255))
            answers.append(logits.argmax(dim=1).numpy())
    return len(np.concatenate(answers)), time.perf_counter() - start


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
