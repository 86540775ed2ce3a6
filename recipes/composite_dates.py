"""What a composite of several dates gains over the best of them, on simulated dates of the sample scene.

Each date is the scene with clouds that a mask leaves out, haze and thin cloud that no mask knows, the brightness of
another day, and noise. Maps of single dates, and composites with different weights, are compared with the polygons of
`sample_data/labels.gpkg`; cells that are not mapped count as wrong.

    python recipes/composite_dates.py [SEEDS] [DATES]
"""

import sys
import tempfile
from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

import geokd
from geokd.labels.ground_truth import cells_in_polygon, read_ground_truth
from geokd.maps.map_file import open_map

ROOT = Path(__file__).parents[1]
SCENE, LABELS = ROOT / "sample_data" / "eastern_shore.tif", ROOT / "sample_data" / "labels.gpkg"
CLOUDS, THIN = 0.2, 0.15  # shares of the scene
POWERS = (0, 1, 2, 4)


def field(random: np.random.Generator, shape: tuple[int, int], side: float) -> NDArray[np.float64]:
    """Make smooth ranks from 0 to 1: what is above 0.8 is a fifth of the scene, in patches."""
    smooth = gaussian_filter(random.normal(size=shape), side)
    return np.asarray(smooth.ravel().argsort().argsort().reshape(shape) / smooth.size)


def one_date(values: NDArray[np.float64], random: np.random.Generator) -> NDArray[np.uint16]:
    """Make another date of a scene (bands, rows, cols), reflectance x 10,000; 0 where a mask knows a cloud."""
    shape = values.shape[1:]
    clouds, thin = field(random, shape, 40), field(random, shape, 30)
    opacity = np.clip((thin - (1 - THIN)) / THIN, 0, 1) * 0.5 + random.uniform(0, 0.05)
    gains = random.normal(1, 0.08, (len(values), 1, 1)) * random.uniform(0.85, 1.15)
    seen = (values * gains + random.normal(0, 30, values.shape)) * (1 - opacity) + 3500 * opacity
    seen[:, clouds > 1 - CLOUDS] = 0
    return np.where(seen > 0, seen.clip(1, 10_000), 0).round().astype(np.uint16)


def right(codes: NDArray[np.uint8], accepted: NDArray[np.uint32]) -> float:
    """Percent of the labelled cells whose class is one that is accepted there."""
    known = accepted > 0
    bits = np.where(codes == 255, 0, np.uint32(1) << codes.astype(np.uint32))
    return 100 * float(((bits & accepted) > 0)[known].mean())


def main(seeds: int = 4, dates: int = 2) -> None:
    """Print what each seed gives, and the mean."""
    with rasterio.open(SCENE) as source:
        values, profile, names = source.read().astype(float), source.profile, source.descriptions
    print("seed, best date, composites weighted by confidence to the power of", *POWERS)
    print("each: of all labelled cells, of those that all dates see")
    rows = []
    for seed in range(seeds):
        random = np.random.default_rng(seed)
        with tempfile.TemporaryDirectory() as folder:
            scenes = [Path(folder, f"date{number}.tif") for number in range(dates)]
            for path in scenes:
                with rasterio.open(path, "w", **profile | {"nodata": 0}) as target:
                    target.write(one_date(values, random))
                    target.descriptions = names
            options = geokd.ClassifyOptions(probabilities=True, polygons=False)
            maps = [geokd.classify(path, output=folder, options=options) for path in scenes]
            with rasterio.open(Path(folder, "date0_landuse.tif")) as first:
                found = open_map(first.name)
            percent = [rasterio.open(m.outputs["probability_raster"]).read() for m in maps]
            codes = [m.class_map.codes for m in maps]
        truth = np.zeros(codes[0].shape, np.uint32)
        labels = read_ground_truth(LABELS, "landuse", found.grid)
        for polygon, text in zip(labels.geometries, labels.texts, strict=True):
            accepted = [found.legend.code_of(name) for name in text.split("|")]
            for window, inside in cells_in_polygon(polygon, found.grid):
                truth[window.toslices()][inside] = sum(1 << code for code in accepted if code is not None)
        everywhere = np.where(np.all([c != 255 for c in codes], axis=0), truth, 0)
        row = [max(right(c, where) for c in codes) for where in (truth, everywhere)]
        for power in POWERS:
            scores = sum(
                np.where(p == 255, 0, p.astype(float)) * (np.where(c == 255, 0, p.max(0)) / 100.0) ** power * (c != 255)
                for p, c in zip(percent, codes, strict=True)
            )
            seen = np.any([c != 255 for c in codes], axis=0)
            joined = np.where(seen, scores.argmax(0), 255).astype(np.uint8)
            row += [right(joined, where) for where in (truth, everywhere)]
        rows.append(row)
        print(seed, *(f"{value:.2f}" for value in row), flush=True)
    print("mean", *(f"{value:.2f}" for value in np.mean(rows, axis=0)))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
