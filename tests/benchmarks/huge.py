"""A virtual scene of 200,000 x 200,000 pixels: does the map stay within the memory that is given?

    python -m tests.benchmarks.huge [SIDE_PX [SHARE [MEMORY_MB [STRIDE]]]]

The scene is a VRT that repeats one Sentinel-2 tile; `SHARE` of its tiles hold data (0.1 unless given), the others are
nodata. Prints what the map took, against the given memory.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np
import rasterio
from rasterio.crs import CRS

from tests.benchmarks.scene import SIDE_PX, large_scene


def main(side_px: int = 200_000, share: float = 0.1, memory_mb: int = 1000, stride: int = 64) -> None:
    """Map the scene by the command, in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        tile = large_scene(Path(folder, "tile.tif"), min(side_px, SIDE_PX), min(side_px, SIDE_PX))
        scene = Path(folder, "huge.vrt")
        scene.write_text(vrt(tile, side_px, share), encoding="utf-8")
        command = ["classify", scene, "-o", folder, "--stride", stride, "--memory", f"{memory_mb}MB", "--json", "-q"]
        done = subprocess.run(
            [sys.executable, "-m", "geokd", *map(str, command)], stdout=subprocess.PIPE, text=True, check=True
        )
        manifest = json.loads(done.stdout)
        with rasterio.open(Path(folder, "huge_landuse.tif")) as raster:
            size = f"{raster.height} x {raster.width}"
    run, peak_mb = manifest["run"], manifest["run"]["peak_memory_mb"]
    print(f"{side_px:,} px a side at stride {stride}: {run['classified_patches']:,} of {run['patches']:,} patches")
    print(f"map of {size} cells; blocks of {manifest['options']['block_px']} px; seconds {run['seconds']}")
    print(f"peak memory {peak_mb:.0f} MB, {peak_mb / memory_mb:.2f} of the given")


def vrt(tile: Path, side_px: int, share: float) -> str:
    """Describe a scene of the repeated `tile`."""
    with rasterio.open(tile) as source:
        width, names = source.width, source.descriptions
    crs, transform = CRS.from_epsg(3035).to_wkt(), (2.5e6, 10, 0, 5.5e6, 0, -10)  # equal areas over all of Europe
    count = -(-side_px // width)
    chosen = np.random.default_rng(0).random((count, count)) < share
    bands = []
    for band, name in enumerate(names, 1):
        sources = [
            f"<SimpleSource><SourceFilename>{escape(str(tile))}</SourceFilename><SourceBand>{band}</SourceBand>"
            f'<SrcRect xOff="0" yOff="0" xSize="{width}" ySize="{width}"/>'
            f'<DstRect xOff="{col * width}" yOff="{row * width}" xSize="{width}" ySize="{width}"/></SimpleSource>'
            for row, col in np.argwhere(chosen)
        ]
        bands.append(
            f'<VRTRasterBand dataType="UInt16" band="{band}"><Description>{name}</Description>'
            f"<NoDataValue>0</NoDataValue>{''.join(sources)}</VRTRasterBand>"
        )
    numbers = ", ".join(map(str, transform))
    return (
        f'<VRTDataset rasterXSize="{side_px}" rasterYSize="{side_px}"><SRS>{escape(crs)}</SRS>'
        f"<GeoTransform>{numbers}</GeoTransform>{''.join(bands)}</VRTDataset>"
    )


if __name__ == "__main__":
    types = (int, float, int, int)
    main(*(kind(text) for kind, text in zip(types, sys.argv[1:], strict=False)))
