"""Label Sentinel-2 scenes with Dynamic World's land-cover network, as `geokd train` takes them (kind = "shares").

The network (Brown et al. 2022, Scientific Data 9, 251; Apache-2.0, by Google with National Geographic and the World
Resources Institute) sees nine bands of top-of-atmosphere reflectance and gives nine covers at 10 m. TensorFlow runs it,
in an environment of its own, since geokd does not need it otherwise:

    python3.11 -m venv tf && tf/bin/pip install tensorflow rasterio
    tf/bin/python recipes/cover_labels.py SAVED_MODEL TEN_M.tif TWENTY_M.tif LABELS.tif [--surface] [--chips 64]

TEN_M holds B04 B03 B02 B08 and TWENTY_M B05 B06 B07 B11 B12 of the same place; value x scale tag is reflectance x
10,000.
LABELS gets a band for each cover, uint8 with a scale tag: the mean over four views, each turned otherwise. For surface
reflectance (L2A; --surface) each view is put under an atmosphere of its own, of 0.6 to 1.4 times the standard: without
one, the network takes the sea for trees and crops for bare ground. With --chips the files are sheets of square chips
that do not belong together; each is mirrored at its edges.
"""

import argparse
import os
from collections.abc import Iterator
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import rasterio
import tensorflow as tf
from numpy.typing import NDArray

Array = NDArray[np.float32]
ORDER = ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B11", "B12")
COVERS = ("water", "trees", "grass", "flooded_vegetation", "crops", "shrub_and_scrub", "built", "bare", "snow_and_ice")
# Mean and spread of log(1 + 0.005 DN) by band, as published with the network.
MEAN = np.array([1.7417268, 1.7261205, 1.6798346, 1.7734969, 2.2891541, 2.3829397, 2.3828940, 2.1952484, 1.5548129])
SPREAD = np.array([2.0232987, 2.0389052, 2.1795928, 2.2890068, 2.6171675, 2.7734184, 2.7578332, 2.7890924, 2.4140534])
# A standard atmosphere: path radiance (reflectance x 10,000) and transmittance by band.
PATH_RADIANCE = np.array([750, 430, 230, 180, 130, 105, 85, 20, 10.0])
TRANSMITTANCE = np.array([0.83, 0.87, 0.90, 0.90, 0.91, 0.92, 0.90, 0.95, 0.93])
VIEWS = ((0, False), (1, True), (2, False), (3, True))  # quarter turns, mirrored or not
AIRS = (0.6, 1.4, 1.0, 1.0)  # times the standard atmosphere, by view
TILE_PX, CONTEXT_PX, BATCH = 384, 64, 20
STEPS = 250  # of a probability of 1


def main() -> None:
    """Label one scene or sheet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("network", "ten", "twenty", "labels"):
        parser.add_argument(name)
    parser.add_argument("--surface", action="store_true", help="the values are surface reflectance")
    parser.add_argument("--chips", type=int, default=0, metavar="PX", help="side of the chips of a sheet")
    call = parser.parse_args()
    network = tf.saved_model.load(call.network)
    ground, profile = read(call.ten, call.twenty)
    total = np.zeros((*ground.shape[:2], len(COVERS)), np.float32)
    for (turns, mirrored), air in zip(VIEWS, AIRS, strict=True):
        amount = air if call.surface else 0.0
        seen = ground * (1 - (1 - TRANSMITTANCE) * amount) + PATH_RADIANCE * amount
        for places, windows in cut(seen.astype(np.float32), call.chips):
            turned = np.rot90(windows, turns, (1, 2))
            turned = turned[:, :, ::-1] if mirrored else turned
            found = probabilities(network, np.ascontiguousarray(turned))
            found = found[:, :, ::-1] if mirrored else found
            found = np.rot90(found, -turns, (1, 2))
            for (rows, cols, top, left), one in zip(places, found, strict=True):
                height, width = rows.stop - rows.start, cols.stop - cols.start
                total[rows, cols] += one[top : top + height, left : left + width]
        print(f"view of {turns} quarter turns done", flush=True)
    profile.update(count=len(COVERS), dtype="uint8", compress="ZSTD", predictor=2, nodata=None, interleave="pixel")
    with rasterio.open(call.labels, "w", **profile) as dataset:
        dataset.write(np.rint(STEPS * total / len(VIEWS)).astype(np.uint8).transpose(2, 0, 1))
        dataset.descriptions = COVERS
        dataset.scales = (1 / STEPS,) * len(COVERS)


def read(ten: str, twenty: str) -> tuple[Array, dict[str, Any]]:
    """Read nine bands as (rows, cols, 9), those of 20 m enlarged bilinearly."""
    bands: dict[str, NDArray[Any]] = {}
    with rasterio.open(ten) as dataset:
        profile, shape = dataset.profile, dataset.shape
        bands |= dict(zip(dataset.descriptions, dataset.read() * np.array(dataset.scales)[:, None, None], strict=True))
    with rasterio.open(twenty) as dataset:
        for name, values, scale in zip(dataset.descriptions, dataset.read(), dataset.scales, strict=True):
            size = [2 * length for length in values.shape]
            whole = tf.image.resize((values * scale)[..., np.newaxis], size, "bilinear").numpy()[..., 0]
            bands[name] = whole[: shape[0], : shape[1]]
    return np.stack([bands[name] for name in ORDER], axis=-1).astype(np.float32), profile


def cut(image: Array, side: int) -> Iterator[tuple[list[tuple[slice, slice, int, int]], Array]]:
    """Yield windows with their surroundings, and where each belongs: rows, columns, and its place in the window."""
    step, context = (side, side // 2) if side else (TILE_PX, CONTEXT_PX)
    corners = [(row, col) for row in range(0, image.shape[0], step) for col in range(0, image.shape[1], step)]
    size = BATCH if side else 1
    for start in range(0, len(corners), size):
        places, windows = [], []
        for row, col in corners[start : start + size]:
            rows = slice(row, min(row + step, image.shape[0]))
            cols = slice(col, min(col + step, image.shape[1]))
            if side:
                around = ((context, context), (context, context), (0, 0))
                windows.append(np.pad(image[rows, cols], around, "reflect"))
                places.append((rows, cols, context, context))
            else:
                top, left = max(0, row - context), max(0, col - context)
                windows.append(image[top : rows.stop + context, left : cols.stop + context])
                places.append((rows, cols, row - top, col - left))
        yield places, np.stack(windows)


def probabilities(network: Any, reflectance: Array) -> Array:
    """Map (n, rows, cols, 9) reflectance x 10,000 to probabilities of the nine covers, of the same shape."""
    x = np.log1p(0.005 * np.clip(reflectance, 0, None))
    x = np.exp(5 * (x - MEAN) / SPREAD - 1)
    return np.asarray(tf.nn.softmax(network(tf.constant((x / (x + 1)).astype(np.float32)))))


if __name__ == "__main__":
    main()
