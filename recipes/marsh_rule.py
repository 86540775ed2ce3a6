"""Marsh by a rule: water to the student, but brighter in the near infrared than in the green.

    python recipes/marsh_rule.py SCENE POLYGONS.gpkg ...

Of each kind of land in interpreted polygons, the share of the pixels is printed that the rule makes wetland: where
`sentinel2-landuse-fp32` sees water, and (green - nir) / (green + nir) is below 0 (McFeeters 1996) in more than single
rows of pixels. It is applied to top-of-atmosphere SCENE as it is, and to surface reflectance under a standard
atmosphere. recipes/dense_from_student.py --marsh trains with it.
"""

import sys
from pathlib import Path

import geopandas
import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.features import rasterize
from round_dense import as_bytes, read
from scipy.ndimage import binary_opening

from geokd.model.bundle import Bundle, load_bundle, resolve_model
from geokd.scenes.bands import wavelengths_nm
from geokd.training.dense.atmosphere import standard_atmosphere
from geokd.training.quantisation import open_graph

TEACHER = "sentinel2-landuse-fp32"


def main(scene: str, *polygons: str) -> None:
    """Judge the rule."""
    judge(load_bundle(resolve_model(TEACHER)), Path(scene), *map(Path, polygons))


def judge(bundle: Bundle, scene: Path, *polygons: Path) -> None:
    """Print which share of the pixels of each kind of land the rule makes wetland."""
    reflectance, names = read(scene, bundle.contract), bundle.legend.names
    shares = answers(bundle, reflectance)
    frame = geopandas.pd.concat([geopandas.read_file(path) for path in polygons])
    kinds = sorted(set(frame["land_use"]))
    with rasterio.open(scene) as dataset:
        shapes = zip(
            frame.to_crs(dataset.crs).geometry, (1 + kinds.index(kind) for kind in frame["land_use"]), strict=True
        )
        place = rasterize(shapes, dataset.shape, transform=dataset.transform)
    before = shares.argmax(axis=0) == names.index("Wetland")
    for values, ground in (("top of atmosphere", reflectance), ("surface", at_surface(bundle, reflectance))):
        after = before | by_rule(shares, ground, names)
        for number, kind in enumerate(kinds, 1):
            there = place == number
            was, now = (100 * wetland[there].mean() for wetland in (before, after))
            print(f"{values}: {kind} {now:.1f} % (without the rule {was:.1f}), n = {there.sum():,} pixels")


def answers(bundle: Bundle, reflectance: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the student's probabilities, float32 (classes, rows, cols)."""
    run, side = open_graph(bundle.graph), bundle.contract.patch_px
    pixels = as_bytes(reflectance, bundle.contract)
    shape = pixels.shape[1:]
    shares = np.zeros((len(bundle.legend), *shape), np.float32)
    for row in starts(shape[0], side):
        for col in starts(shape[1], side):
            logits = run(pixels[np.newaxis, :, row : row + side, col : col + side])[0] / bundle.temperature
            exact = np.exp(logits - logits.max(axis=0))
            shares[:, row : row + side, col : col + side] = exact / exact.sum(axis=0)
    return shares


def at_surface(bundle: Bundle, reflectance: NDArray[np.float32]) -> NDArray[np.float32]:
    """Turn top-of-atmosphere reflectance (bands, rows, cols) into that of the surface, under a standard atmosphere."""
    air, through = (a[:, None, None] for a in standard_atmosphere(wavelengths_nm(bundle.contract.bands)))
    return np.asarray((reflectance - air) / through, np.float32)


def by_rule(shares: NDArray[np.float32], ground: NDArray[np.float32], names: tuple[str, ...]) -> NDArray[np.bool_]:
    """Return where the student sees water and the near infrared (fourth band) is above the green (second)."""
    water = np.isin(shares.argmax(axis=0), [names.index("River"), names.index("SeaLake")])
    return np.asarray(binary_opening(water & (ground[3] > ground[1]), np.ones((3, 3))))


def starts(length: int, side: int) -> list[int]:
    """First rows or columns of windows that cover a length."""
    return [*range(0, length - side, side), length - side]


if __name__ == "__main__":
    main(*sys.argv[1:])
