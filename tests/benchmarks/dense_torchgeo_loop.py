"""A dense student over a part of a scene by the loop that TorchGeo's tutorials show; for `dense_others`.

    python -m tests.benchmarks.dense_torchgeo_loop FOLDER MODEL

FOLDER holds the part as a GeoTIFF, MODEL is an fp32 bundle. Patches and stride are the student's own; torch runs it
with as many threads as there are cores, and channels last, which is faster. Classes are decided and dropped, nothing is
written. Prints pixels that are answered for, seconds, seconds of all processors, and peak memory in MB as JSON.
"""

import json
import resource
import sys
import time
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader
from torchgeo.datasets import RasterDataset, stack_samples
from torchgeo.samplers import GridGeoSampler

from geokd.mapping.workers.cores import available_cores
from geokd.model.bundle import Bundle, golden_cells, load_bundle, resolve_model
from geokd.training.dense.network import DenseNetwork
from geokd.training.initial_weights import read_weights

BATCH = 4


class Scenes(RasterDataset):  # type: ignore[misc]  # TorchGeo is not installed where types are checked
    """All GeoTIFFs of a folder."""

    filename_glob = "*.tif"


def main(folder: str, model: str) -> None:
    """Classify all patches of a folder's scene and print what it took."""
    torch.set_num_threads(available_cores())
    bundle = load_bundle(resolve_model(model))
    student: torch.nn.Module = network_of(bundle).to(memory_format=torch.channels_last)
    slope, start_value = stretch_of(bundle)
    patch_px, stride_px = bundle.contract.patch_px, bundle.contract.patch_px - 2 * bundle.contract.margin_px
    scenes = Scenes(folder)
    sampler = GridGeoSampler(scenes, size=patch_px, stride=stride_px)
    loader: Any = DataLoader(scenes, batch_size=BATCH, sampler=sampler, collate_fn=stack_samples)
    patches = 0
    with torch.inference_mode():
        student(torch.zeros(BATCH, len(bundle.contract.bands), patch_px, patch_px))
        start, before = time.perf_counter(), time.process_time()
        for batch in loader:
            stretched = batch["image"].float() * slope + start_value
            pixels = torch.floor(stretched + 0.5).clamp(0, 255).contiguous(memory_format=torch.channels_last)
            logits, _ = student(pixels)
            patches += len(logits.argmax(dim=1).to(torch.uint8).numpy())
        wall, processor = time.perf_counter() - start, time.process_time() - before
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    print(json.dumps({"pixels": patches * stride_px**2, "wall": wall, "processor": processor, "peak_mb": peak_mb}))


def network_of(bundle: Bundle) -> DenseNetwork:
    """Build the student in torch from its fp32 bundle, and see that it answers as the bundle does."""
    weights = read_weights(bundle)
    classes, width = weights["head.weight"].shape[:2]
    network = DenseNetwork(len(bundle.contract.bands), classes, width)
    network.load_state_dict(weights, strict=False)
    network.eval()
    with torch.inference_mode():
        logits = network(torch.from_numpy(bundle.golden.pixels.copy()))[0].numpy()
    assert np.allclose(golden_cells(logits), bundle.golden.logits, atol=1e-2), "torch answers otherwise than the bundle"
    return network


def stretch_of(bundle: Bundle) -> tuple[torch.Tensor, torch.Tensor]:
    """Return by what each band's values are multiplied, and what is added, (C, 1, 1)."""
    scaling = bundle.contract.value_scaling
    assert scaling is not None
    each = scaling.of_bands(len(bundle.contract.bands))
    slopes = torch.tensor([band.slope for band in each]).reshape(-1, 1, 1)
    return slopes, scaling.output_minimum - slopes * scaling.minimum


if __name__ == "__main__":
    main(*sys.argv[1:3])
