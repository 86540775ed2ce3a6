"""The same scene and weights through Raster Vision's sliding windows, the loop of its learner, and through geokd.

    pip install rastervision-core==0.31.1 rastervision-pytorch-learner==0.31.1
    python -m tests.benchmarks.raster_vision_loop [SIDE_PX]

Raster Vision reads windows one by one through a data loader, and torch runs the fp32 student; geokd runs the same
student from the same bundle, fp32 and int8. All at stride 64, with as many threads as there are cores.
"""

from collections.abc import Iterator
from pathlib import Path

import torch
from rastervision.core.data import RasterioSource, Scene
from rastervision.pytorch_learner import ClassificationSlidingWindowGeoDataset
from torch.utils.data import DataLoader

from tests.benchmarks.loops import BATCH, PATCH_PX, against


def raster_vision(scene: Path) -> Iterator[torch.Tensor]:
    """Read every window as Raster Vision's learner does when it predicts a scene."""
    source = RasterioSource(str(scene))
    windows = ClassificationSlidingWindowGeoDataset(
        Scene(id="", raster_source=source), size=PATCH_PX, stride=PATCH_PX, padding=0, normalize=False
    )
    return (values for values, _ in DataLoader(windows, batch_size=BATCH))


if __name__ == "__main__":
    against("Raster Vision", raster_vision)
