"""The same scene and weights through TorchGeo's grid sampler, the loop its tutorials show, and through geokd.

    pip install "torchgeo==0.8.1" requests
    python -m tests.benchmarks.torchgeo_loop [SIDE_PX]

TorchGeo reads patches one by one through a sampler and a data loader, and torch runs the fp32 student; geokd runs the
same student from the same bundle, fp32 and int8. All at stride 64, with as many threads as there are cores.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader
from torchgeo.datasets import RasterDataset, stack_samples
from torchgeo.samplers import GridGeoSampler

from tests.benchmarks.loops import BATCH, PATCH_PX, against


class Scenes(RasterDataset):  # type: ignore[misc]  # TorchGeo is not installed where types are checked
    """All GeoTIFFs of a folder."""

    filename_glob = "*.tif"


def torchgeo(scene: Path) -> Iterator[torch.Tensor]:
    """Read every patch as TorchGeo's tutorials do."""
    scenes = Scenes(str(scene.parent))
    sampler = GridGeoSampler(scenes, size=PATCH_PX, stride=PATCH_PX)
    loader: Any = DataLoader(scenes, batch_size=BATCH, sampler=sampler, collate_fn=stack_samples)
    return (batch["image"] for batch in loader)


if __name__ == "__main__":
    against("TorchGeo", torchgeo)
