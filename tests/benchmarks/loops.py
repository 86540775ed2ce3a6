"""What another tool's loop over a scene is held against: the same student in torch, and geokd's own map."""

import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import torch

from geokd.mapping.classify import run_jobs
from geokd.mapping.options import ClassifyOptions
from geokd.mapping.planning import plan_jobs
from geokd.mapping.workers.cores import available_cores
from geokd.model.bundle import load_bundle, resolve_model
from geokd.training.initial_weights import build_student, read_weights
from geokd.training.recipe_file import recipe_from_json
from tests.benchmarks.scene import SIDE_PX, large_scene

BATCH = 32
PATCH_PX = 64

Loop = Callable[[Path], Iterable[torch.Tensor]]
"""Takes the path of a scene and yields batches of patches (N, C, H, W) of its values, side by side."""


def against(name: str, loop: Loop) -> None:
    """Time a tool's loop, and geokd, on a scene of the side named in the call, and print the ratios."""
    side_px = int(sys.argv[1]) if len(sys.argv) > 1 else SIDE_PX
    torch.set_num_threads(available_cores())
    with tempfile.TemporaryDirectory() as folder:
        scene = large_scene(Path(folder, "scene.tif"), side_px, side_px)
        patches, seconds = _classified(loop, scene)
        print(f"{side_px} x {side_px} px; {name}: {patches} patches, {patches / seconds:.0f} a second")
        for model in ("eurosat-rgb-maps-fp32", "eurosat-rgb-maps"):
            (job,) = plan_jobs([scene], model, Path(folder, model), ClassifyOptions(stride_px=PATCH_PX))
            start = time.perf_counter()
            ((_, outcome),) = run_jobs([job])
            speed = job.patches.shape[0] * job.patches.shape[1] / (time.perf_counter() - start)
            assert not isinstance(outcome, Exception), outcome
            print(f"geokd, {model}, a whole map: {speed:.0f} patches a second, {speed / (patches / seconds):.0f} x")


def _classified(loop: Loop, scene: Path) -> tuple[int, float]:
    """Classify every patch of a loop by the fp32 student in torch; return how many and the seconds."""
    bundle = load_bundle(resolve_model("eurosat-rgb-maps-fp32"))
    recipe = recipe_from_json(bundle.provenance["recipe"]).student
    student, _ = build_student(recipe, len(bundle.contract.bands), bundle.legend.names, "none")
    student.load_state_dict(read_weights(bundle), strict=False)
    student.eval()
    scaling = bundle.contract.value_scaling
    assert scaling is not None
    assert not isinstance(scaling.maximum, tuple)
    slope = scaling.slope
    answers = []
    start = time.perf_counter()
    with torch.inference_mode():
        for values in loop(scene):
            stretched = (values.float() - scaling.minimum) * slope + scaling.output_minimum
            logits, _ = student(torch.floor(stretched + 0.5).clamp(0, 255))
            answers.append(logits.argmax(dim=1).numpy())
    return len(np.concatenate(answers)), time.perf_counter() - start
