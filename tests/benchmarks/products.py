"""How large the files of a map are, and how long the filters and writers take, on a scene of the size of a tile.

    python -m tests.benchmarks.products [SIDE_PX [STRIDE]]

Raster, polygons and summary are held against each other after each run: if their areas differ, it ends with an error.
"""

import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import geopandas
import numpy as np
import pandas
import rasterio

import geokd
from geokd.mapping.options import ClassifyOptions
from geokd.mapping.scene_run import ClassifyResult
from tests.benchmarks.scene import SIDE_PX, large_scene

RUNS = {
    "no filter": ClassifyOptions(),
    "--smooth 3 --min-area 20": ClassifyOptions(smooth_cells=3, min_area_ha=20),
    "the same, --simplify 160": ClassifyOptions(smooth_cells=3, min_area_ha=20, simplify_m=160),
    "--probabilities": ClassifyOptions(probabilities=True),
    "--report": ClassifyOptions(report=True),
}
FILES = ("class_raster", "confidence_raster", "probability_raster", "polygons", "quicklook", "report")


def main(side_px: int = SIDE_PX, stride_px: int = 16) -> None:
    """Map the scene in each of the ways, and print what came of it."""
    with tempfile.TemporaryDirectory() as folder:
        scene = large_scene(Path(folder, "scene.tif"), side_px, side_px)
        print(f"{side_px} x {side_px} px, stride {stride_px}")
        print("  ".join([f"{'':<26}", *(f"{word:>18}" for word in ("polygons", "mosaic, write s", *FILES))]))
        for name, options in RUNS.items():
            chosen = replace(options, stride_px=stride_px, overwrite=True)
            result = geokd.classify(scene, output=Path(folder, "out"), options=chosen)
            polygons = agreeing(result)
            seconds = result.manifest.to_json()["run"]["seconds"]
            sizes = [result.outputs[file].stat().st_size / 1e3 if file in result.outputs else np.nan for file in FILES]
            row = [f"{polygons:>18,}", f"{seconds['mosaic'] + seconds['write']:>18.2f}"]
            row += ["" if np.isnan(size) else f"{size:,.0f} kB" for size in sizes]
            print("  ".join([f"{name:<26}", *(f"{text:>18}" for text in row)]), flush=True)


def agreeing(result: ClassifyResult) -> int:
    """Return the number of polygons; end if raster, polygons, summary and manifest tell of other areas."""
    with rasterio.open(result.outputs["class_raster"]) as raster:
        codes, cell_ha = raster.read(1), abs(raster.transform.determinant) / 1e4
    frame = geopandas.read_file(result.outputs["polygons"], layer="land_use", columns=["class_value", "area_ha"])
    summary = pandas.read_csv(result.outputs["summary"])
    for area in result.manifest.to_json()["areas"]:
        mine = frame["class_value"] == area["value"]
        told = (
            int((codes == area["value"]).sum()) * cell_ha,
            area["area_ha"],
            frame["area_ha"][mine].sum(),
            summary["area_ha"][area["value"]],
        )
        if not np.allclose(told, told[0], rtol=1e-9):
            raise SystemExit(f"areas of {area['name']} differ: {told}")
    return len(frame)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
