"""Train a dense student with the answers of another: `sentinel2-landuse-fp32`, which sees the near infrared.

    python recipes/dense_from_student.py RECIPE.toml OUTPUT [--labels FOLDER] [--set KEY=VALUE ...]

GEOKD_DATA holds the chips and scenes of Sentinel-2. Labels are the student's probabilities, made once; a chip of a
sheet is extended with its mirror images, so that none sees its neighbour on the sheet. The rule for plants in water is
left out of the answers. OUTPUT gets labels, run and bundles.
"""

import argparse
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray
from round_dense import as_bytes, read

from geokd.model.bundle import Bundle, load_bundle, resolve_model
from geokd.system.progress import to_stderr
from geokd.training.dense.data import read_dense_data
from geokd.training.dense.recipe import UseTeacherRecipe
from geokd.training.dense.training import train_dense_on
from geokd.training.dense.wetland import without_rule
from geokd.training.export import export
from geokd.training.quantisation import open_graph
from geokd.training.recipe_file import load_dense_recipe

TEACHER = "sentinel2-landuse-fp32"
SOURCES = (  # file, share, side of chips, top of atmosphere or not
    ("chips_s2/s2_l2a_chips_10m_b04b03b02b08.tif", 0.65, 64, False),
    ("scenes/s2_l2a_thailand_2020-02-23_10m.tif", 0.15, 0, False),
    ("scenes/s2_l1c_brandenburg_2017-02-16_10m.tif", 0.2, 0, True),
)
MARGIN_PX = 32
STEPS_OF_ONE = 250


def main() -> None:
    """Label, train, export."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recipe", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--labels", type=Path, help="folder of the labels; default: OUTPUT")
    parser.add_argument("--set", action="append", default=[], dest="changes", metavar="KEY=VALUE")
    call = parser.parse_args()
    folder = (call.labels or call.output).resolve()
    for made in (call.output, folder):
        made.mkdir(parents=True, exist_ok=True)
    bundle, table = load_bundle(resolve_model(TEACHER)), ""
    for name, share, side, top in SOURCES:
        scene = Path(os.environ["GEOKD_DATA"]) / name
        labels = folder / Path(name).name
        if not labels.is_file():
            write_labels(bundle, scene, labels, side)
        values = "top of atmosphere" if top else "surface reflectance"
        table += f'[[source]]\nscene = "{scene}"\nlabels = "{labels}"\nkind = "shares"\nshare = {share}\n'
        table += f'chips_px = {side}\nvalues = "{values}"\n' + ("value_scale = 10\n" if side else "")
    (call.output / "scenes.toml").write_text(table, encoding="utf-8")
    recipe = load_dense_recipe(call.recipe, call.changes)
    recipe = replace(recipe, rules=(), use_teacher=UseTeacherRecipe())
    data = read_dense_data(call.output / "scenes.toml", recipe, to_stderr)
    run = call.output / "run"
    train_dense_on(data, run, recipe, resume=(run / "run.json").is_file())
    print(export(run, overwrite=True).fp32)


def write_labels(bundle: Bundle, scene: Path, labels: Path, chips_px: int) -> None:
    """Write the teacher's probabilities of a scene, or of each chip of a sheet on its own (`chips_px` above 0)."""
    reflectance, names = read(scene, bundle.contract), bundle.legend.names
    shares = of_chips(bundle, reflectance, chips_px) if chips_px else answers(bundle, reflectance)
    with rasterio.open(scene) as dataset:
        profile = dataset.profile | {"count": len(names), "dtype": "uint8", "nodata": None, "compress": "ZSTD"}
    with rasterio.open(labels, "w", **profile) as dataset:
        dataset.write(np.rint(STEPS_OF_ONE * shares).astype(np.uint8))
        dataset.descriptions = names
        dataset.scales = (1 / STEPS_OF_ONE,) * len(names)


def answers(bundle: Bundle, reflectance: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the student's probabilities in a scene, float32 (classes, rows, cols)."""
    run, side = open_graph(without_rule(bundle.graph)), bundle.contract.patch_px
    pixels = as_bytes(reflectance, bundle.contract)
    shares = np.zeros((len(bundle.legend), *pixels.shape[1:]), np.float32)
    for row in starts(pixels.shape[1], side):
        for col in starts(pixels.shape[2], side):
            logits = run(pixels[np.newaxis, :, row : row + side, col : col + side])[0] / bundle.temperature
            exact = np.exp(logits - logits.max(axis=0))
            shares[:, row : row + side, col : col + side] = exact / exact.sum(axis=0)
    return shares


def starts(length: int, side: int) -> list[int]:
    """First rows or columns of windows that cover a length."""
    return [*range(0, length - side, side), length - side]


def of_chips(bundle: Bundle, reflectance: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    """Return probabilities, float32 (classes, rows, cols), of chips that lie side by side but not on the ground."""
    pixels = as_bytes(reflectance, bundle.contract)
    shares = np.zeros((len(bundle.legend), *pixels.shape[1:]), np.float32)
    places = [
        (slice(None), slice(row, row + side), slice(col, col + side))
        for row in range(0, pixels.shape[1], side)
        for col in range(0, pixels.shape[2], side)
    ]
    for place, found in zip(places, chip_shares(bundle, [pixels[place] for place in places]), strict=True):
        shares[place] = found
    return shares


def chip_shares(bundle: Bundle, chips: Sequence[NDArray[np.uint8]]) -> Iterator[NDArray[np.float32]]:
    """Yield probabilities, float32 (classes, side, side), of chips, uint8 (bands, side, side)."""
    run, side = open_graph(without_rule(bundle.graph)), chips[0].shape[1]
    wide = side + 2 * MARGIN_PX
    across = bundle.contract.patch_px // wide
    margins = ((0, 0), (MARGIN_PX, MARGIN_PX), (MARGIN_PX, MARGIN_PX))
    for first in range(0, len(chips), across**2):
        batch = chips[first : first + across**2]
        patch = np.zeros((len(chips[0]), bundle.contract.patch_px, bundle.contract.patch_px), np.uint8)
        corners = [(wide * (n // across), wide * (n % across)) for n in range(len(batch))]
        for chip, (row, col) in zip(batch, corners, strict=True):
            patch[:, row : row + wide, col : col + wide] = np.pad(chip, margins, mode="symmetric")
        logits = run(patch[np.newaxis])[0] / bundle.temperature
        shares = np.exp(logits - logits.max(axis=0))
        shares /= shares.sum(axis=0)
        for row, col in corners:
            inside = slice(row + MARGIN_PX, row + MARGIN_PX + side), slice(col + MARGIN_PX, col + MARGIN_PX + side)
            yield shares[:, inside[0], inside[1]]


if __name__ == "__main__":
    main()
