"""`geokd sample`."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from geokd.cli import options as o
from geokd.cli.goals import Shares, accuracy_within_option, area_within_option, goals_of
from geokd.cli.table import aligned
from geokd.cli.talk import echo

if TYPE_CHECKING:
    from geokd.assessment.samples.plan import SamplePlan
    from geokd.assessment.samples.sample import Sample


@click.command()
@click.argument("class_map", metavar="MAP")
@click.option("-n", "--points", type=click.IntRange(min=1), metavar="N", help="Number of points.")
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="FILE.gpkg", help="GeoPackage to write.")
@click.option("--plan", "plan_only", is_flag=True, help="Print how many points are needed, and write nothing.")
@accuracy_within_option
@area_within_option
@click.option(
    "--expect",
    "expected",
    type=Shares(all_classes=True),
    multiple=True,
    metavar="[CLASS=]PERCENT",
    help="Expected user's accuracy, for planning; default: the model's mean confidence, at most 90.",
)
@click.option(
    "--minutes",
    type=click.FloatRange(0, min_open=True),
    default=1.0,
    show_default=True,
    help="Time to label one point, for planning.",
)
@click.option(
    "--min-per-class",
    type=click.IntRange(min=2),
    metavar="N",
    help="Minimum number of points in each class; default: 50, but at most half of all points are used for this.",
)
@click.option(
    "--later",
    metavar="LATER_MAP",
    help="A map of a later date: the strata are the changes, and both dates are labelled.",
)
@click.option(
    "--against",
    metavar="OTHER_MAP",
    help="Another map of the same date: four fifths of the points are drawn where the two differ.",
)
@click.option(
    "--match",
    metavar="FILE.csv",
    help="Table with the columns map_class and reference_class (class of the other map), where names differ.",
)
@click.option(
    "--enlarge",
    metavar="SAMPLE.gpkg",
    help="An earlier, smaller sample to enlarge: its cells and labels are kept.",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of the random draw.")
@click.option("--scene", metavar="SCENE", help="The scene, for the pictures; default: the path in the map's manifest.")
@o.overwrite_option
@o.json_option
def sample(class_map: str, points: int | None, output: Path | None, as_json: bool, **choices: Any) -> None:
    """Draw N random cells of MAP, a <scene>_landuse.tif, to be labelled in QGIS.

    The strata are the map's classes. Points are allocated by area, with a minimum number in each class. In QGIS, pick
    the class that you see in each square from the list of the field "reference", without looking at the map; then
    `geokd assess MAP FILE.gpkg`. Instead of N, give the wanted precision: `--accuracy-within 3`.
    """
    from geokd.assessment.samples.goals import PlanOptions
    from geokd.assessment.samples.plan import plan_sample
    from geokd.assessment.samples.sample import SampleOptions
    from geokd.assessment.samples.sample import sample as draw

    goals = goals_of(choices.pop("accuracy_within"), choices.pop("area_within"))
    expected, minutes, plan_only = dict(choices.pop("expected")), choices.pop("minutes"), choices.pop("plan_only")
    if not plan_only and output is None:
        raise click.UsageError("Missing option '-o' / '--output'; or print a plan with --plan.")
    if points is None and not goals:
        raise click.UsageError("Missing option '-n' / '--points'; or give a precision with --accuracy-within 3.")
    plan = None
    if (plan_only or goals) and (choices["later"] or choices["against"]):
        raise click.UsageError("Plans are for one map: with --later or --against, give the number of points with -n.")
    if plan_only or goals:
        plan = plan_sample(class_map, goals, points, PlanOptions(expected, choices["min_per_class"], minutes))
        echo(_planned(plan), err=not plan_only or as_json)
        points = plan.points
    if plan is not None and plan_only:
        if as_json:
            echo(json.dumps(plan.to_json(), indent=2, allow_nan=False))
        return
    assert points is not None
    assert output is not None
    drawn = draw(class_map, points, output, SampleOptions(**choices))
    echo(_summary(drawn, by="four fifths where the maps differ" if choices["against"] else "by area"), err=True)
    if as_json:
        echo(json.dumps(drawn.to_json(), indent=2, allow_nan=False))


def _planned(plan: "SamplePlan") -> str:
    hours, minutes = divmod(round(plan.minutes), 60)
    lines = [
        f"plan for {plan.path}: {plan.points:,} points, at least {plan.min_per_class} in each class; labelling takes"
        f" {f'{hours} h ' if hours else ''}{minutes} min",
        f"overall accuracy: {100 * plan.expected_accuracy:.1f} % expected, within"
        f" {100 * plan.accuracy_half_width:.1f} points at 95 % confidence",
    ]
    lines += [
        f"  {goal.name} within {100 * goal.wanted:.3g} % wanted: {100 * goal.reached:.3g} % expected; allocated for"
        f" this goal alone, {goal.points_at_best:,} points (Olofsson et al. 2014, eq. 13)"
        for goal in plan.goals
    ]
    head = ["class", "cells", "area ha", "points", "expected user's accuracy", "area within"]
    rows = [
        [
            row.name,
            f"{row.cells:,}",
            f"{row.area_ha:,.1f}",
            f"{row.points:,}",
            "-"
            if row.expected_users_accuracy is None or row.users_half_width is None
            else f"{100 * row.expected_users_accuracy:.0f} % within {100 * row.users_half_width:.0f}",
            _of_area(row.area_half_width),
        ]
        for row in plan.classes
    ]
    return "\n".join([*lines, *(f"  {line}" for line in aligned("<>>>>>", head, rows)), *plan.notes])


def _of_area(half_width: float | None) -> str:
    if half_width is None:
        return "-"
    return f"{100 * half_width:,.0f} %" if half_width < 1 else "> 100 %"


def _summary(drawn: "Sample", by: str) -> str:
    width = max(len(row.name) for row in drawn.strata)
    lines = [
        f"{drawn.points:,} points written to {drawn.output}: {by}, at least {drawn.min_per_class} in each"
        f" class, seed {drawn.seed}" + (f"; {drawn.labelled:,} of them are labelled already" if drawn.labelled else ""),
        f"  {'class':<{width}} {'cells':>12} {'area ha':>14} {'points':>7}",
    ]
    lines += [f"  {row.name:<{width}} {row.cells:>12,} {row.area_ha:>14,.1f} {row.points:>7,}" for row in drawn.strata]
    return "\n".join([*lines, *(f"  {note}" for note in drawn.notes)])
