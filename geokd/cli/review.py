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
@click.option("-n", "--points", type=click.IntRange(min=1), required=True, metavar="N", help="Cells in all.")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), required=True, metavar="FILE.gpkg", help="GeoPackage to write."
)
@click.option("--scene", metavar="SCENE", help="The scene, for the pictures; default: the path in the map's manifest.")
@o.overwrite_option
@o.json_option
def review(class_map: str, points: int, output: Path, as_json: bool, **choices: Any) -> None:
    """Choose the N cells of MAP, a <scene>_landuse.tif, that are most worth a look.

    In them two classes are nearly as likely; they are spread out, and of all classes. In QGIS each begins with the
    map's class: tick "looked at" where it is right, else pick another. Then `geokd tile SCENE --labels FILE.gpkg` cuts
    chips of them, and `geokd train --init` teaches the student. They are no random sample: for accuracies and areas
    take `geokd sample`.
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
