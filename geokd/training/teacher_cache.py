"""The teacher's answers on every training chip in all 8 dihedral views, so that the teacher runs only once."""

import time
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from geokd.errors import TrainingError
from geokd.system.progress import Progress
from geokd.training.checkpoint import read_tensors, write_tensors
from geokd.training.data.augmentation import VIEWS
from geokd.training.loop import predict
from geokd.training.networks import Classifier


@dataclass(frozen=True, eq=False)
class TeacherOutputs:
    """The teacher's answers.

    Parameters
    ----------
    logits : float32 tensor (8, N, K)
    features : float16 tensor (8, N, D)
        Penultimate.
    """

    logits: Tensor
    features: Tensor


def cache_teacher(
    teacher: Classifier, pixels: Tensor, folder: Path, *, bf16: bool, progress: Progress
) -> TeacherOutputs:
    """Run the teacher on uint8 chips (N, C, H, W), one file per view in `folder`; existing views are read back.

    Raises
    ------
    TrainingError
        If a file cannot be written or read, or is for other chips.
    """
    folder.mkdir(exist_ok=True)
    parts = []
    for view in range(VIEWS):
        path = folder / f"view{view}.safetensors"
        if not path.is_file():
            started = time.perf_counter()
            views = torch.full((len(pixels),), view, device=pixels.device)
            logits, features = predict(teacher, pixels, views, bf16=bf16)
            write_tensors(path, {"logits": logits.cpu(), "features": features.half().cpu()})
            seconds = time.perf_counter() - started
            left = (VIEWS - view - 1) * seconds
            line = f"teacher outputs: view {view + 1}/{VIEWS}, {left / 60:.1f} min left"
            progress(line, done=view + 1, total=VIEWS)
        tensors, _ = read_tensors(path)
        if any(len(tensors.get(name, ())) != len(pixels) for name in ("logits", "features")):
            raise TrainingError(f"{path} has answers for other chips than these {len(pixels)}; remove it")
        parts.append((tensors["logits"], tensors["features"]))
    logits, features = (torch.stack(p).to(pixels.device) for p in zip(*parts, strict=True))
    return TeacherOutputs(logits, features)
