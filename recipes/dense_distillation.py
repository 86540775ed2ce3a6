"""Does distillation pay for dense students? The seed's table, by the pixel, judged on a scene not trained on.

    python recipes/dense_distillation.py TABLE.toml RECIPE.toml SCENE OUTPUT [--seeds 1,2,3] [--steps 300] [--rows ...]

Trains one student for each row and seed with equal steps, exports and maps it, and judges its map of SCENE in the
polygons of sample_data. What is there already is not made again. The rows: `hard`, the most probable class of the
teachers' labels (cross-entropy); `kl`, their probabilities; `cosine`, logits like theirs; `kl+cosine`; `cover`, the
cover teacher alone, whose nine covers are judged by kinds of land that these can distinguish.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path

import geopandas
import numpy as np
import rasterio
from map_figures import pixels_in

import geokd
from geokd.system.progress import to_stderr
from geokd.training.dense.data import read_dense_data
from geokd.training.dense.recipe import ClassRecipe, DenseRecipe, UseTeacherRecipe
from geokd.training.dense.training import train_dense_on
from geokd.training.export import export
from geokd.training.recipe_file import load_dense_recipe

SAMPLE = Path(__file__).parent.parent / "sample_data"
COVERS = ("water", "trees", "grass", "flooded_vegetation", "crops", "shrub_and_scrub", "built", "bare")
# Classes accepted for each kind of land: of the student of uses, and of the student of covers, which has fewer.
ACCEPTED = {
    "cropland": (("AnnualCrop", "PermanentCrop"), ("crops",)),
    "forest": (("Forest",), ("trees",)),
    "town": (("Residential", "Industrial"), ("built",)),
    "marsh": (("Wetland", "HerbaceousVegetation", "Pasture"), ("flooded_vegetation", "grass", "shrub_and_scrub")),
    "water_bay": (("River", "SeaLake"), ("water",)),
    "water_sea": (("River", "SeaLake"), ("water",)),
    "beach": (("Bare",), ("bare",)),
}
ROWS = {
    "hard": {"ce": 1.0, "kl": 0.0, "cosine": 0.0},
    "kl": {"ce": 0.0, "kl": 1.0, "cosine": 0.0},
    "cosine": {"ce": 0.0, "kl": 0.0, "cosine": 1.0},
    "kl+cosine": {"ce": 0.0, "kl": 1.0, "cosine": 1.0},
    "cover": {"ce": 0.0, "kl": 1.0, "cosine": 0.0},
}


def main() -> None:
    """Train and judge what is missing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("table", type=Path)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("scene", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--rows", default=",".join(ROWS))
    call = parser.parse_args()
    changes = [f"student.epochs={max(1, call.steps // 100)}", "student.int8_epochs=0"]
    recipe = load_dense_recipe(call.recipe, changes)
    seeds, wanted = [int(seed) for seed in call.seeds.split(",")], call.rows.split(",")
    for of_covers in (False, True):
        rows = [row for row in wanted if (row == "cover") == of_covers]
        todo = [(r, s) for s in seeds for r in rows if not (call.output / r / f"seed-{s}" / "figures.json").is_file()]
        if todo:
            own = cover_recipe(recipe) if of_covers else recipe
            data = read_dense_data(call.table, own, to_stderr)
            for row, seed in todo:
                run = call.output / row / f"seed-{seed}"
                chosen = replace(own, seed=seed, loss=replace(own.loss, **ROWS[row]))
                train_dense_on(data, run, chosen, resume=(run / "run.json").is_file())
                judge(run, call.scene)
    print_table(call.output, wanted, seeds)


def cover_recipe(recipe: DenseRecipe) -> DenseRecipe:
    """Return the recipe for the covers themselves, without the use teacher and what is simulated."""
    variation = replace(
        recipe.variation, marsh_share=0.0, snow_share=0.0, turbid_share=0.0, water_classes=(), tall_classes=(),
        marsh_class="", snow_class="",
    )  # fmt: skip
    classes = tuple(ClassRecipe(name) for name in COVERS)
    snow = tuple(rule for rule in recipe.rules if not rule.becomes)
    return replace(recipe, classes=classes, rules=snow, use_teacher=UseTeacherRecipe(), variation=variation)


def judge(run: Path, scene: Path) -> None:
    """Map the scene with the student of a run, and keep its shares of right pixels by kind of land."""
    bundle = export(run, overwrite=True).fp32
    result = geokd.classify(
        scene, model=bundle, output=run / "map", options=geokd.ClassifyOptions(polygons=False, overwrite=True)
    )
    names = [c.name for c in result.manifest.legend]
    paths = [SAMPLE / "labels.gpkg", SAMPLE / "labels_around.gpkg"]
    frame = geopandas.pd.concat([geopandas.read_file(path) for path in paths])
    right: dict[str, list[int]] = {}
    with (
        rasterio.open(result.outputs["class_raster"]) as classes,
        rasterio.open(result.outputs["confidence_raster"]) as percent,
    ):
        for polygon, kind in zip(frame.geometry, frame["land_use"], strict=True):
            codes, _ = pixels_in(polygon, classes, percent)
            accepted = [names.index(name) for names_of in ACCEPTED[kind] for name in names_of if name in names]
            sums = right.setdefault(kind, [0, 0])
            sums[0] += int(np.isin(codes, accepted).sum())
            sums[1] += len(codes)
    shares = {kind: hit / count for kind, (hit, count) in right.items()}
    total = sum(h for h, _ in right.values()) / sum(c for _, c in right.values())
    figures = {"all": total, "mean_over_kinds": float(np.mean(list(shares.values()))), **shares}
    (run / "figures.json").write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


def print_table(output: Path, rows: list[str], seeds: list[int]) -> None:
    """Print the mean over seeds of each figure, with its standard deviation, and differences to the first row."""
    first: list[dict[str, float]] = []
    for row in rows:
        paths = [output / row / f"seed-{seed}" / "figures.json" for seed in seeds]
        found = [json.loads(path.read_text(encoding="utf-8")) for path in paths if path.is_file()]
        if not found:
            continue
        first = first or found
        cells = [f"{key} {100 * np.mean([f[key] for f in found]):.1f} ({100 * np.std([f[key] for f in found]):.1f})"
                 for key in found[0]]  # fmt: skip
        gains = [100 * (a["mean_over_kinds"] - b["mean_over_kinds"]) for a, b in zip(found, first, strict=False)]
        print(f"{row}, {len(found)} seeds: {', '.join(cells)}; gain over {rows[0]} by seed"
              f" {', '.join(f'{gain:+.1f}' for gain in gains)}")  # fmt: skip


if __name__ == "__main__":
    main()
