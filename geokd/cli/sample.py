"""`geokd sample`."""

import json
from pathlib import Path
from typing import Any

import click

from geokd.cli import options as o
from geokd.cli.talk import echo


@click.command()
@click.argument("class_map", metavar="MAP")
@click.option("-n", "--points", type=click.IntRange(min=1), required=True, metavar="N", help="Points in all.")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), required=True, metavar="FILE.gpkg", help="GeoPackage to write."
)
@click.option(
    "--min-per-class",
    type=click.IntRange(min=2),
    metavar="N",
    help="Points of each class at least; without, 50, but no more than half of all points for this.",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of the random draw.")
@click.option("--scene", metavar="SCENE", help="The scene, for the pictures; where the map's manifest says without.")
@o.overwrite_option
@o.json_option
def sample(class_map: str, points: int, output: Path, as_json: bool, **choices: Any) -> None:
    """Draw N random cells of MAP, a <scene>_landuse.tif, to be labelled in QGIS.

    The strata are the map's classes. Points are shared out by area, with a least number for each class. In QGIS, pick
    the class that you see in each square from the list of the field "reference", without looking at the map; then
    `geokd assess MAP FILE.gpkg`.
    """
    from geokd.assessment.sample import SampleOptions
    from geokd.assessment.sample import sample as draw

    drawn = draw(class_map, points, output, SampleOptions(**choices))
    echo(_summary(drawn), err=True)
    if as_json:
        echo(json.dumps(drawn, indent=2, allow_nan=False))


def _summary(drawn: dict[str, Any]) -> str:
    width = max(len(row["name"]) for row in drawn["strata"])
    lines = [
        f"{drawn['points']:,} points written to {drawn['output']}: by area, at least {drawn['min_per_class']} of each"
        f" class, seed {drawn['seed']}",
        f"  {'class':<{width}} {'cells':>12} {'area ha':>14} {'points':>7}",
    ]
    lines += [
        f"  {row['name']:<{width}} {row['cells']:>12,} {row['area_ha']:>14,.1f} {row['points']:>7,}"
        for row in drawn["strata"]
    ]
    return "\n".join([*lines, *(f"  {note}" for note in drawn["notes"])])
