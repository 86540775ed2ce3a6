"""A scene as large as wanted, made of the sample scene, mirrored again and again so that it has no seams."""

from pathlib import Path

import numpy as np
import rasterio
from rasterio.windows import Window

from geokd.scenes.reader import mirrored

SAMPLE = Path(__file__).parents[2] / "sample_data" / "eastern_shore.tif"
SIDE_PX = 10_980
"""Of a Sentinel-2 tile."""

_ROWS = 512


def large_scene(path: Path, height: int = SIDE_PX, width: int = SIDE_PX) -> Path:
    """Write red, green and blue of the sample scene, uint16, repeated: tiled, deflated, without overviews."""
    with rasterio.open(SAMPLE) as sample:
        pixels = sample.read([1, 2, 3])
        profile = {"crs": sample.crs, "transform": sample.transform, "dtype": pixels.dtype}
        names = sample.descriptions[:3]
    cols = mirrored(0, width, pixels.shape[2])
    tiled = {"tiled": True, "blockxsize": 512, "blockysize": 512, "compress": "deflate", "predictor": 2}
    with rasterio.open(path, "w", driver="GTiff", count=3, height=height, width=width, **profile, **tiled) as scene:
        scene.descriptions = names
        for start in range(0, height, _ROWS):
            count = min(_ROWS, height - start)
            rows = mirrored(start, count, pixels.shape[1])
            scene.write(np.ascontiguousarray(pixels[:, rows][:, :, cols]), window=Window(0, start, width, count))
    return path
