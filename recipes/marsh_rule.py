"""Train a dense student on with marsh by a rule: water to it, but brighter in the near infrared than in the green.

    python recipes/marsh_rule.py OUTPUT [--steps 80] [--rate 5e-4]
    python recipes/marsh_rule.py --judge SCENE POLYGONS.gpkg ...

With --judge nothing is trained: of each kind of land in interpreted polygons, the share of the pixels is printed that
the rule makes wetland, from top-of-atmosphere SCENE as it is and as surface reflectance under a standard atmosphere.

GEOKD_DATA holds the chips and scenes of Sentinel-2. The labels are the probabilities of `sentinel2-landuse-fp32`
itself; where it sees water and (green - nir) / (green + nir) of surface reflectance is below 0 (McFeeters 1996) in
more than single rows of pixels, the label is wetland. OUTPUT gets them, the run and the bundles.
"""

import argparse
import os
from dataclasses import replace
from pathlib import Path

import geopandas
import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.features import rasterize
from round_dense import as_bytes, read
from scipy.ndimage import binary_opening

from geokd.model.bundle import Bundle, load_bundle, resolve_model
from geokd.progress import to_stderr
from geokd.scenes.bands import wavelengths_nm
from geokd.training.dense.atmosphere import standard_atmosphere
from geokd.training.dense.data import read_dense_data
from geokd.training.dense.recipe import UseTeacherRecipe
from geokd.training.dense.training import train_dense_on
from geokd.training.export import export
from geokd.training.quantisation import open_graph
from geokd.training.recipe_file import load_dense_recipe

TEACHER = "sentinel2-landuse-fp32"
SOURCES = (  # file, share, side of chips, top of atmosphere or not
    ("chips_s2/s2_l2a_chips_10m_b04b03b02b08.tif", 0.65, 64, False),
    ("scenes/s2_l2a_thailand_2020-02-23_10m.tif", 0.15, 0, False),
    ("scenes/s2_l1c_brandenburg_2017-02-16_10m.tif", 0.2, 0, True),
)
STEPS_OF_ONE = 250


def main() -> None:
    """Label, train, export."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("output", type=Path, nargs="?")
    parser.add_argument("--judge", type=Path, nargs="+", metavar="SCENE POLYGONS")
    parser.add_argument("--steps", type=int, default=80)
    parser.add_argument("--rate", type=float, default=5e-4)
    call = parser.parse_args()
    bundle, table = load_bundle(resolve_model(TEACHER)), ""
    if call.judge:
        judge(bundle, *call.judge)
        return
    call.output.mkdir(parents=True, exist_ok=True)
    for name, share, side, top in SOURCES:
        scene = Path(os.environ["GEOKD_DATA"]) / name
        labels = (call.output / Path(name).name).resolve()
        if not labels.is_file():
            label(bundle, scene, labels, top=top)
        values = "top of atmosphere" if top else "surface reflectance"
        table += f'[[source]]\nscene = "{scene}"\nlabels = "{labels}"\nkind = "shares"\nshare = {share}\n'
        table += f'chips_px = {side}\nvalues = "{values}"\n' + ("value_scale = 10\n" if side else "")
    (call.output / "scenes.toml").write_text(table, encoding="utf-8")
    changes = [f"student.initial_weights={TEACHER}", "student.epochs=1", f"student.epoch_steps={call.steps}"]
    changes += ["student.int8_epochs=0", f"student.learning_rate={call.rate}", "loss.label_power=1", "rarity=0.4"]
    recipe = load_dense_recipe(Path(__file__).parent / "sentinel2-landuse.toml", changes)
    recipe = replace(recipe, rules=(), use_teacher=UseTeacherRecipe())
    data = read_dense_data(call.output / "scenes.toml", recipe, to_stderr)
    run = call.output / "run"
    train_dense_on(data, run, recipe, resume=(run / "run.json").is_file())
    print(export(run, overwrite=True).fp32)


def label(bundle: Bundle, scene: Path, labels: Path, *, top: bool) -> None:
    """Write the student's probabilities, and wetland according to the rule."""
    reflectance, names = read(scene, bundle.contract), bundle.legend.names
    shares = answers(bundle, reflectance)
    marsh = by_rule(shares, at_surface(bundle, reflectance) if top else reflectance, names)
    shares[:, marsh] = 0
    shares[names.index("Wetland"), marsh] = 1
    print(f"{scene.name}: {marsh.sum():,} pixels become wetland")
    with rasterio.open(scene) as dataset:
        profile = dataset.profile | {"count": len(names), "dtype": "uint8", "nodata": None, "compress": "ZSTD"}
    with rasterio.open(labels, "w", **profile) as dataset:
        dataset.write(np.rint(STEPS_OF_ONE * shares).astype(np.uint8))
        dataset.descriptions = names
        dataset.scales = (1 / STEPS_OF_ONE,) * len(names)


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
    main()
