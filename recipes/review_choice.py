"""Do doubtful cells teach more than as many random ones? The experiment behind a paragraph of docs/experiments.md.

    python recipes/review_choice.py MAP_landuse.tif CLIP SCENE OUT

A hundred cells of the map (of the clip, with its probabilities) that lie in polygons of sample_data/labels.gpkg are
labelled by these: the most doubtful ones as `geokd review` would choose them, random ones, or random ones evenly of
each class of the map. The student goes on from each, and maps the scene, which polygons around the clip judge.
"""

import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.features import rasterize
from rasterio.windows import Window

import geokd
from geokd.assessment.doubt import Candidates
from geokd.labels.polygons import read_reference
from geokd.legend.classes import NODATA
from geokd.maps.map_file import MapFile, open_map
from geokd.model.bundle import load_bundle
from geokd.scenes.reader import describe_scene, plan_scene, read_window

CELLS, SEEDS = 100, (1, 2)
LABELS = Path(__file__).parent.parent / "sample_data"
READ_AS: Mapping[tuple[str, ...], str] = MappingProxyType(  # which of the accepted classes the interpreter would pick
    {
        ("AnnualCrop", "PermanentCrop"): "AnnualCrop",
        ("HerbaceousVegetation", "Pasture"): "HerbaceousVegetation",
        ("Residential", "Industrial"): "Residential",
        ("River", "SeaLake"): "SeaLake",
    }
)


def main(class_map: str, clip: str, scene: str, out: str) -> None:
    """Choose, teach, map and judge; print a line each."""
    source = open_map(class_map)
    with source.opened() as read:
        codes = read(Window(0, 0, source.grid.width, source.grid.height))
    truth = truth_of(source)
    codes = np.where(truth == NODATA, NODATA, codes).astype(np.uint8)
    with rasterio.open(class_map.replace("_landuse.tif", "_probabilities.tif")) as raster:
        percent = np.sort(raster.read(), axis=0)
    margins = percent[-1] - percent[-2]
    judge(scene, "eurosat-rgb-maps", Path(out, "before"), "before")
    for seed in SEEDS:
        for way, cells in choices(codes, margins, seed).items():
            folder = Path(out, f"{way.replace(' ', '-')}-{seed}")
            write_chips(clip, source, cells, truth, folder / "chips")
            recipe = geokd.continuing_recipe("eurosat-rgb-maps", [f"seed={seed}"])
            geokd.train(folder / "chips", folder / "run", recipe, unlabelled=[clip], progress=lambda *_, **__: None)
            right = (codes[cells] == truth[cells]).mean()
            model = str(geokd.export(folder / "run").int8)
            judge(
                scene, model, folder, f"{way}, seed {seed}, of {len(cells[0])} cells {100 * right:.0f} % mapped right"
            )


def truth_of(source: MapFile) -> NDArray[np.uint8]:
    """Code of each cell whose centre lies in a polygon of the clip."""
    polygons = read_reference(LABELS / "labels.gpkg", "eurosat", None, source.grid)
    truth = np.full((source.grid.height, source.grid.width), NODATA, np.uint8)
    for polygon, accepted in zip(polygons.polygons, polygons.accepted, strict=True):
        inside = rasterize([polygon], out_shape=truth.shape, transform=source.grid.transform) == 1
        truth[inside] = source.legend.names.index(READ_AS.get(accepted, accepted[0]))
    return truth


def choices(
    codes: NDArray[np.uint8], margins: NDArray[np.uint8], seed: int
) -> dict[str, tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Rows and columns of the cells that each way chooses among those with a code."""
    generator = np.random.default_rng(seed)
    candidates = Candidates(np.bincount(codes[codes != NODATA]), CELLS)
    candidates.pass_by((0, 0), codes, margins)
    rows, cols, _ = candidates.choose()
    everywhere = np.argwhere(codes != NODATA)
    drawn = everywhere[generator.choice(len(everywhere), CELLS, replace=False)]
    classes = [np.argwhere(codes == code) for code in np.unique(codes[codes != NODATA])]
    each = CELLS // len(classes)
    even = np.concatenate([generator.permutation(cells)[:each] for cells in classes])
    return {
        "doubtful": (rows, cols),
        "random": (drawn[:, 0], drawn[:, 1]),
        "random of each class": (even[:, 0], even[:, 1]),
    }


def write_chips(
    clip: str,
    source: MapFile,
    cells: tuple[NDArray[np.int64], NDArray[np.int64]],
    truth: NDArray[np.uint8],
    folder: Path,
) -> None:
    """Write the patch about each cell into the folder of its true class, moved inwards at the edge, as bytes."""
    contract = load_bundle("eurosat-rgb-maps").contract
    plan = plan_scene(describe_scene(clip), contract)
    side, cell = contract.patch_px, plan.grid.width // source.grid.width
    for row, col in zip(*cells, strict=True):
        top, left = (min(max(int(k) * cell + cell // 2 - side // 2, 0), plan.grid.width - side) for k in (row, col))
        pixels, _ = read_window(plan, Window(left, top, side, side))
        path = folder / source.legend[int(truth[row, col])].name / f"{row}_{col}.tif"
        path.parent.mkdir(parents=True, exist_ok=True)
        place = {
            "crs": plan.grid.crs,
            "transform": rasterio.windows.transform(Window(left, top, side, side), plan.grid.transform),
        }
        with rasterio.open(
            path,
            "w",
            driver="GTiff",
            count=len(pixels),
            dtype="uint8",
            height=side,
            width=side,
            photometric="RGB",
            **place,
        ) as chip:
            chip.write(pixels)


def judge(scene: str, model: str, folder: Path, what: str) -> None:
    """Map the scene and print the agreement with the polygons around the clip."""
    against = geokd.RobustnessOptions((LABELS / "labels_around.gpkg",), "eurosat", "land_use", shifts=())
    figures = geokd.robustness(scene, model, folder / "map", against=against).to_json()["maps"]["as it is"]
    mean = figures["agreement_mean_of_groups"]
    print(f"{what}: agreement {100 * figures['agreement']:.1f} %, mean of the kinds {100 * mean:.1f} %", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
