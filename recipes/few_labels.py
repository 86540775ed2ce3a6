"""Few labels of one's own: polygons alone, or polygons and what a teacher knows? By number of polygons.

    python recipes/few_labels.py SCENE OUTPUT [--counts 2,4,8,16] [--draws 1,2,3] [--rows ...] [--rates ...]

SCENE is the source of the sample scene. For each draw, COUNT polygons of each kind of land (fewer where there are
fewer) are drawn from those of sample_data/labels.gpkg, and a student of these kinds is trained for a minute. The rows:
`alone` starts with the patch student's weights, which know nothing of the teachers; `taught start` with those of the
dense student that ships, distilled elsewhere; `taught start + answers` learns the answers of that student on the clip
as well. Each is judged in sample_data/labels_around.gpkg, outside the clip. With --rates several learning rates are
tried, judged in polygons of the clip that are in no draw. What is there already is not made again; figures.json of
each run and OUTPUT/few-labels.json hold the figures.
"""

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import rasterio
import torch
from affine import Affine
from numpy.typing import NDArray
from rasterio.features import rasterize
from torch.nn import functional as F

import geokd
from geokd.model.bundle import load_bundle, resolve_model
from geokd.system.progress import to_stderr
from geokd.training.dense.data import read_dense_data
from geokd.training.dense.network import DenseNetwork
from geokd.training.dense.patches import find_places
from geokd.training.dense.recipe import ClassRecipe, DenseRecipe, RuleRecipe
from geokd.training.dense.showing import HeldOut, answer
from geokd.training.dense.training import DenseJob, build_dense, fit_dense
from geokd.training.dense.variation import View, seen_as_bytes, view_of
from geokd.training.recipe_file import load_dense_recipe

SAMPLE = Path(__file__).parent.parent / "sample_data"
RECIPE = Path(__file__).parent / "sample-scenes.toml"
TEACHER = "sentinel2-landuse-fp32"
KINDS = ("cropland", "forest", "town", "marsh", "beach", "water")
OF_TEACHER = {
    "AnnualCrop": "cropland", "PermanentCrop": "cropland", "Forest": "forest", "Residential": "town",
    "Industrial": "town", "Highway": "town", "River": "water", "SeaLake": "water", "Bare": "beach", "Wetland": "marsh",
    "HerbaceousVegetation": "", "Pasture": "", "Snow": "",
}  # fmt: skip
CHOOSING = 3  # polygons of each kind of the clip that only learning rates are chosen with
WINDOW_PX, MARGIN_PX = 448, 32


@dataclass(frozen=True)
class Row:
    """One way to learn: initial weights, the chosen learning rate, and whether the teacher's answers are used."""

    initial_weights: str
    rate: float
    answers: bool = False


ROWS = {
    "alone": Row("eurosat-rgb-maps-fp32", 3e-3),
    "taught start": Row(TEACHER, 3e-3),
    "taught start + answers": Row(TEACHER, 3e-3, answers=True),
}


def main() -> None:
    """Train and judge what is missing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("scene", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--counts", default="2,4,8,16")
    parser.add_argument("--draws", default="1,2,3")
    parser.add_argument("--rows", default=",".join(ROWS))
    parser.add_argument("--rates", default="", help="learning rates to be tried instead of the chosen ones")
    call = parser.parse_args()
    counts, draws = ([int(n) for n in text.split(",")] for text in (call.counts, call.draws))
    rates = [float(rate) for rate in call.rates.split(",") if rate]
    wanted = [
        (name, rate, count, draw)
        for draw in draws
        for count in counts
        for name in call.rows.split(",")
        for rate in rates or [ROWS[name].rate]
    ]
    figures = []
    for name, rate, count, draw in wanted:
        run = call.output / f"{name.replace(' ', '-')}-{rate:g}" / f"{count}-polygons" / f"draw-{draw}"
        if not (run / "figures.json").is_file():
            train_and_judge(run, replace(ROWS[name], rate=rate), count, draw, call.scene)
        facts = json.loads((run / "figures.json").read_text(encoding="utf-8"))
        figures.append({"row": name, "rate": rate, "polygons": count, "draw": draw, **facts})
    (call.output / "few-labels.json").write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    print_table(figures, "chosen_with" if rates else "judged")


def train_and_judge(run: Path, row: Row, count: int, draw: int, scene: Path) -> None:
    """Train one student with polygons of one draw, map the scene, and keep its figures."""
    run.mkdir(parents=True, exist_ok=True)
    training, choosing = drawn_polygons(count, draw)
    training.to_file(run / "polygons.gpkg", driver="GPKG")
    recipe = recipe_of(row, draw)
    clip = SAMPLE / "eastern_shore.tif"
    table = f'[[source]]\nscene = "{clip.resolve()}"\nvalues = "top of atmosphere"\n'
    sources = table + 'labels = "polygons.gpkg"\nkind = "polygons"\nfield = "land_use"\n'
    if row.answers:
        sources += table + f'labels = "{teacher_answers(run.parents[2], clip)}"\nkind = "shares"\n'
    (run / "scenes.toml").write_text(sources, encoding="utf-8")
    data = read_dense_data(run / "scenes.toml", recipe, to_stderr)
    data = replace(data, sources=tuple(replace(one, held_out=one.held_out & False) for one in data.sources))
    view = view_of(data.contract, recipe)
    network, _, _ = build_dense(data, recipe)
    network = network.to(memory_format=torch.channels_last)
    places = find_places(data, recipe, view)
    network = fit_dense(network, DenseJob(recipe, data, places, view, HeldOut([], []), run, to_stderr))
    classes, place = mapped(network, recipe, view, scene)
    figures = {
        "chosen_with": shares_right(classes, place, choosing),
        "judged": shares_right(classes, place, polygons_of("labels_around.gpkg")),
    }
    (run / "figures.json").write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    (run / "student.checkpoint.safetensors").unlink()


def mapped(network: DenseNetwork, recipe: DenseRecipe, view: View, scene: Path) -> tuple[NDArray[np.uint8], Affine]:
    """Return the class of each pixel of a scene, by windows whose margins are not used, and where the scene lies."""
    with rasterio.open(scene) as dataset:
        values, place = torch.from_numpy(dataset.read().astype(np.float32)), dataset.transform
    pixels = seen_as_bytes(values[None], view, recipe.variation, torch.Generator())
    height, width = pixels.shape[2:]
    padded = F.pad(pixels, (MARGIN_PX, MARGIN_PX + WINDOW_PX, MARGIN_PX, MARGIN_PX + WINDOW_PX), mode="reflect")[
        0
    ].round()
    classes = np.zeros((height + WINDOW_PX, width + WINDOW_PX), np.uint8)
    for row in range(0, height, WINDOW_PX):
        for col in range(0, width, WINDOW_PX):
            side = WINDOW_PX + 2 * MARGIN_PX
            found = answer(network, padded[:, row : row + side, col : col + side]).argmax(0)
            classes[row : row + WINDOW_PX, col : col + WINDOW_PX] = found[MARGIN_PX:-MARGIN_PX, MARGIN_PX:-MARGIN_PX]
    return classes[:height, :width], place


def polygons_of(name: str) -> geopandas.GeoDataFrame:
    """Read polygons of the sample, bay and sea as one kind."""
    frame = geopandas.read_file(SAMPLE / name)
    frame["land_use"] = frame["land_use"].str.replace("water_.*", "water", regex=True)
    return frame[["land_use", "geometry"]]


def drawn_polygons(count: int, draw: int) -> tuple[geopandas.GeoDataFrame, geopandas.GeoDataFrame]:
    """Draw `count` polygons of each kind for training; return also those that learning rates are chosen with."""
    frame = polygons_of("labels.gpkg")
    training, choosing = [], []
    for code, kind in enumerate(KINDS):
        mine = np.flatnonzero(frame["land_use"] == kind)
        mine = np.random.default_rng((0, code)).permutation(mine)  # the same for all draws
        choosing += [*mine[:CHOOSING]]
        training += [*np.random.default_rng((draw, code)).permutation(mine[CHOOSING:])[:count]]
    return frame.iloc[training], frame.iloc[choosing]


def recipe_of(row: Row, draw: int) -> DenseRecipe:
    """Return the recipe of sample-scenes.toml for the six kinds of land."""
    changes = ["student.epochs=4", "student.epoch_steps=20", f"student.initial_weights={row.initial_weights}"]
    recipe = load_dense_recipe(RECIPE, [*changes, f"student.learning_rate={row.rate}", f"seed={draw}"])
    legend = load_bundle(resolve_model(TEACHER)).legend
    rules = tuple(RuleRecipe(one.title, tuple(filter(None, [OF_TEACHER[one.name]]))) for one in legend)
    classes = tuple(ClassRecipe(kind) for kind in KINDS)
    return replace(recipe, classes=classes, rules=rules if row.answers else ())


def teacher_answers(output: Path, clip: Path) -> Path:
    """Map the clip with the teacher once; return its raster of probabilities, a band for each class."""
    folder = output / "teacher"
    found = folder / f"{clip.stem}_probabilities.tif"
    if not found.is_file():
        options = geokd.ClassifyOptions(polygons=False, probabilities=True, overwrite=True, workers=1)
        geokd.classify(clip, model=TEACHER, output=folder, options=options)
    return found.resolve()


def shares_right(classes: NDArray[np.uint8], place: Affine, frame: geopandas.GeoDataFrame) -> dict[str, float]:
    """Return the share of right pixels by kind of land, over all, and the mean over kinds."""
    right = {}
    for kind in dict.fromkeys(frame["land_use"]):
        inside = rasterize(frame.geometry[frame["land_use"] == kind], classes.shape, transform=place) > 0
        right[kind] = (int((classes[inside] == KINDS.index(kind)).sum()), int(inside.sum()))
    shares = {kind: hit / count for kind, (hit, count) in right.items()}
    total = sum(hit for hit, _ in right.values()) / sum(count for _, count in right.values())
    return {"all": total, "mean_over_kinds": float(np.mean(list(shares.values()))), **shares}


def print_table(figures: list[dict[str, Any]], judged: str) -> None:
    """Print a Markdown row for each way to learn and number of polygons: mean and standard deviation over draws."""
    for row, rate, count in dict.fromkeys((f["row"], f["rate"], f["polygons"]) for f in figures):
        of_row = [f[judged] for f in figures if (f["row"], f["rate"], f["polygons"]) == (row, rate, count)]
        print(f"| {count} | {row}, {rate:g} | {' | '.join(cells(of_row))} |")


def cells(found: list[dict[str, float]]) -> Iterator[str]:
    """Yield each figure's mean and standard deviation in per cent."""
    for key in ("cropland", "forest", "town", "marsh", "beach", "water", "all", "mean_over_kinds"):
        if key in found[0]:
            values = [100 * one[key] for one in found]
            yield f"{np.mean(values):.1f} ({np.std(values, ddof=1) if len(values) > 1 else 0:.1f})"


if __name__ == "__main__":
    main()
