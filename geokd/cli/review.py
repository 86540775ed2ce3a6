"""`geokd review`."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from geokd.cli import options as o
from geokd.cli.talk import echo

if TYPE_CHECKING:
    from geokd.assessment.review import Review


@click.command()
@click.argument("class_map", metavar="MAP")
@click.option("-n", "--points", type=click.IntRange(min=1), required=True, metavar="N", help="Number of cells.")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), required=True, metavar="FILE.gpkg", help="GeoPackage to write."
)
@click.option("--scene", metavar="SCENE", help="The scene, for the pictures; default: the path in the map's manifest.")
@o.overwrite_option
@o.json_option
def review(class_map: str, points: int, output: Path, as_json: bool, **choices: Any) -> None:
    """Choose N uncertain cells of MAP, a <scene>_landuse.tif, to be confirmed or corrected in QGIS.

    In these cells two classes are almost equally likely; the cells are spread out and come from all classes. In QGIS
    each starts with the map's class: tick "looked at" if it is right, else choose another. Then `geokd tile SCENE
    --labels FILE.gpkg` cuts chips around them, and `geokd train --init` trains the student further (patch
    students only). They are not a random sample: for accuracies and areas use `geokd sample`.
    """
    from geokd.assessment.review import ReviewOptions
    from geokd.assessment.review import review as choose

    chosen = choose(class_map, points, output, ReviewOptions(**choices))
    echo(_summary(chosen), err=True)
    if as_json:
        echo(json.dumps(chosen.to_json(), indent=2, allow_nan=False))


def _summary(chosen: "Review") -> str:
    width = max(len(row.name) for row in chosen.classes)
    measure = "margin" if chosen.chosen_by == "margin" else "confidence"
    lines = [
        f"{chosen.points:,} points written to {chosen.output}, for correction, not for accuracies or areas",
        f"  {'class':<{width}} {'cells':>12} {'points':>7}  {measure} up to",
    ]
    lines += [
        f"  {row.name:<{width}} {row.cells:>12,} {row.points:>7,}  {row.highest_margin:>{len(measure)}} %"
        for row in chosen.classes
    ]
    return "\n".join([*lines, *(f"  {note}" for note in chosen.notes)])
