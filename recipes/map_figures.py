"""How right a map is in interpreted polygons, by kind of land, and how well its confidence is calibrated.

    python recipes/map_figures.py maps/SCENE_landuse.tif POLYGONS.gpkg ... [--field landuse]

FIELD holds the classes that an interpreter would accept, separated by `|`; `land_use` the kind of land. For each kind,
the share of its pixels with an accepted class is printed (95 % interval over polygons, by the bootstrap), and which
classes they have; over all, the share, the mean over kinds, and the expected calibration error of the confidence.
"""

import argparse
import json
from pathlib import Path

import geopandas
import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.features import rasterize
from rasterio.windows import Window

from geokd.assessment.reference import share_over_groups

BINS = 15


def main() -> None:
    """Print the figures of one map."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("map", type=Path)
    parser.add_argument("polygons", type=Path, nargs="+")
    parser.add_argument("--field", default="landuse")
    call = parser.parse_args()
    legend = json.loads(call.map.with_suffix(".json").read_text(encoding="utf-8"))["legend"]
    names = [c["name"] for c in legend]
    frame = geopandas.pd.concat([geopandas.read_file(path) for path in call.polygons])
    kinds, hits, counts, tables, sure, right = [], [], [], [], [], []
    confidence = call.map.with_name(call.map.name.replace("_landuse", "_confidence"))
    with rasterio.open(call.map) as classes, rasterio.open(confidence) as percent:
        for polygon, accepted, kind in zip(frame.geometry, frame[call.field], frame["land_use"], strict=True):
            codes, share = pixels_in(polygon, classes, percent)
            good = np.isin(codes, [names.index(name) for name in str(accepted).split("|") if name in names])
            kinds.append(kind)
            hits.append(int(good.sum()))
            counts.append(len(codes))
            tables.append(np.bincount(codes, minlength=len(names))[: len(names)])
            sure.append(share)
            right.append(good)
    of_kind, hit, count = np.array(kinds), np.array(hits), np.array(counts)
    shares = []
    for kind in dict.fromkeys(kinds):
        chosen = (of_kind == kind) & (count > 0)
        found, low, high = share_over_groups(hit[chosen], count[chosen]) or (0.0, 0.0, 0.0)
        shares.append(found)
        table = np.sum([t for t, c in zip(tables, chosen, strict=True) if c], axis=0)
        most = [f"{names[k]} {100 * table[k] / table.sum():.1f}" for k in np.argsort(-table)[:5] if table[k]]
        print(f"{kind:10s} {100 * found:5.1f} % ({100 * low:.1f} to {100 * high:.1f}), n = {count[chosen].sum():,}"
              f" pixels of {chosen.sum()} polygons: {', '.join(most)}")  # fmt: skip
    found, low, high = share_over_groups(hit[count > 0], count[count > 0]) or (0.0, 0.0, 0.0)
    print(f"all        {100 * found:5.1f} % ({100 * low:.1f} to {100 * high:.1f}), n = {count.sum():,} pixels;"
          f" mean over kinds {np.mean(shares):.3f}")  # fmt: skip
    print_calibration(np.concatenate(sure), np.concatenate(right))


def pixels_in(
    polygon: object, classes: rasterio.DatasetReader, percent: rasterio.DatasetReader
) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """Codes and confidences (0..1) of the mapped cells whose centres lie in a polygon."""
    window = rasterio.features.geometry_window(classes, [polygon])
    whole = Window(0, 0, classes.width, classes.height)
    window = window.intersection(whole)
    inside = rasterize([polygon], (int(window.height), int(window.width)), transform=classes.window_transform(window))
    codes, confidence = classes.read(1, window=window), percent.read(1, window=window)
    known = (inside > 0) & (codes != 255)
    return codes[known], confidence[known] / 100


def print_calibration(sure: NDArray[np.float64], right: NDArray[np.bool_]) -> None:
    """Print a reliability table and the expected calibration error (Guo et al. 2017, arXiv 1706.04599)."""
    bins = np.clip((sure * BINS).astype(int), 0, BINS - 1)
    error = 0.0
    for b in np.unique(bins):
        chosen = bins == b
        gap = abs(sure[chosen].mean() - right[chosen].mean())
        error += gap * chosen.mean()
        print(f"  confidence {100 * sure[chosen].mean():5.1f} %: right {100 * right[chosen].mean():5.1f} %"
              f" of {100 * chosen.mean():.1f} % of the pixels")  # fmt: skip
    print(f"expected calibration error {100 * error:.1f} % ({BINS} bins)")


if __name__ == "__main__":
    main()
