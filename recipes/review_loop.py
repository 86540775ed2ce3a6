"""Did a review make the map better where nobody reviewed it? The experiment behind a section of docs/experiments.md.

    python recipes/review_loop.py BEFORE_landuse.tif AFTER_landuse.tif REVIEW.gpkg LABELS.gpkg [LABELS.gpkg ...]

Compares two maps of a scene with interpreted polygons, without the cells of which a patch overlaps the chip of a
labelled cell. Intervals are percentile bootstraps over polygons, of the difference over pairs.
"""

import json
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rasterio.features import rasterize
from rasterio.windows import Window

from geokd.labels.cell_labels import read_cell_labels
from geokd.labels.cell_names import UNLABELLED
from geokd.labels.polygons import read_reference
from geokd.legend.classes import Legend
from geokd.maps.map_file import MapFile, open_map

RESAMPLES = 2000


def main(before: str, after: str, review: str, *labels: str) -> None:
    """Print agreement before and after, by kind of land use, and of all."""
    maps = [open_map(path) for path in (before, after)]
    away = far_from_review(maps[0], review)
    codes = [whole(class_map) for class_map in maps]
    rows = []
    for path in labels:
        polygons = read_reference(path, "eurosat", "land_use", maps[0].grid)
        for polygon, accepted, group in zip(polygons.polygons, polygons.accepted, polygons.groups, strict=True):
            cells = rasterize([polygon], out_shape=away.shape, transform=maps[0].grid.transform) == 1
            cells &= away
            right = [np.isin(code[cells], of_names(accepted, maps[0].legend)).sum() for code in codes]
            rows.append((group, cells.sum(), *right))
    kept = [row for row in rows if row[1]]
    groups = np.array([row[0] for row in kept])
    counts = np.array([row[1:] for row in kept], np.float64)
    print(f"{int(away.sum())} of {away.size} cells lie away from the review")
    print("| land use | polygons | cells | before | after | difference |\n|---|---|---|---|---|---|")
    for group in (*sorted(set(groups)), None):
        of_group = counts if group is None else counts[groups == group]
        print(
            "| "
            + " | ".join(
                [group or "**all**", str(len(of_group)), f"{int(of_group[:, 0].sum())}", *figures_of(of_group)]
            )
            + " |"
        )
    means = [[counts[groups == g][:, k].sum() / counts[groups == g][:, 0].sum() for g in set(groups)] for k in (1, 2)]
    print("mean of the kinds:", " -> ".join(f"{100 * np.mean(mean):.1f} %" for mean in means))


def far_from_review(class_map: MapFile, review: str) -> NDArray[np.bool_]:
    """Cells (rows, cols) none of whose patches shares ground with the chip of a labelled cell."""
    labels = read_cell_labels(Path(review), class_map.grid)
    assert labels is not None
    options = json.loads(Path(class_map.path).with_suffix(".json").read_text(encoding="utf-8"))["options"]
    reach = 1.5 * options["patch_px"] / options["stride_px"]  # from the centre of a chip to that of a cell, in cells
    used = labels.codes != UNLABELLED
    cols, rows = ~class_map.grid.transform @ (labels.x[used], labels.y[used])
    row = np.arange(class_map.grid.height)[:, np.newaxis] + 0.5
    col = np.arange(class_map.grid.width) + 0.5
    near = np.zeros((class_map.grid.height, class_map.grid.width), np.bool_)
    for r, c in zip(rows, cols, strict=True):
        near |= (np.abs(row - r) < reach) & (np.abs(col - c) < reach)
    return ~near


def whole(class_map: MapFile) -> NDArray[np.uint8]:
    """All codes of a map."""
    with class_map.opened() as read:
        return read(Window(0, 0, class_map.grid.width, class_map.grid.height))


def of_names(names: tuple[str, ...], legend: Legend) -> list[int]:
    """Codes of classes."""
    return [legend.names.index(name) for name in names]


def figures_of(counts: NDArray[np.float64]) -> list[str]:
    """Agreement before, after, and the difference in points, of polygons (N, 3): cells, right before, right after."""
    drawn = counts[np.random.default_rng(0).integers(0, len(counts), (RESAMPLES, len(counts)))].sum(axis=1)
    shares, all_of = drawn[:, 1:] / drawn[:, :1], counts.sum(axis=0)
    texts = []
    for k in (0, 1):
        low, high = np.percentile(100 * shares[:, k], [2.5, 97.5])
        texts.append(f"{100 * all_of[k + 1] / all_of[0]:.1f} % ({low:.1f} to {high:.1f})")
    low, high = np.percentile(100 * (shares[:, 1] - shares[:, 0]), [2.5, 97.5])
    return [*texts, f"{100 * (all_of[2] - all_of[1]) / all_of[0]:+.1f} ({low:+.1f} to {high:+.1f})"]


if __name__ == "__main__":
    main(*sys.argv[1:])
