"""A scene as 8-bit pictures of it, stretched in three ways, to map with a student of red, green and blue.

    python recipes/stretched.py SCENE.tif FOLDER

Red, green and blue are the first three bands of SCENE. FOLDER gets extremes.tif (smallest and largest value of each
band), percentiles.tif (percentiles 1 and 99 of each band) and together.tif (percentiles 2 and 98 of all bands).
"""

import sys
from pathlib import Path

import numpy as np
import rasterio
from rasterio.enums import ColorInterp


def main(scene: str, folder: str) -> None:
    """Write the pictures."""
    with rasterio.open(scene) as dataset:
        values = dataset.read([1, 2, 3]).astype(np.float32)
        profile = dataset.profile | {"count": 3, "dtype": "uint8", "nodata": None}
    ends = {
        "extremes": np.percentile(values, [0, 100], axis=(1, 2)),
        "percentiles": np.percentile(values, [1, 99], axis=(1, 2)),
        "together": np.repeat(np.percentile(values, [2, 98])[:, np.newaxis], 3, axis=1),
    }
    Path(folder).mkdir(parents=True, exist_ok=True)
    for name, (low, high) in ends.items():
        stretched = 1 + 254 * (values - low[:, None, None]) / (high - low)[:, None, None]
        with rasterio.open(Path(folder, f"{name}.tif"), "w", **profile) as picture:
            picture.write(np.rint(np.clip(stretched, 1, 255)).astype(np.uint8))
            picture.colorinterp = (ColorInterp.red, ColorInterp.green, ColorInterp.blue)


if __name__ == "__main__":
    main(*sys.argv[1:])
