"""`geokd assess`."""

import json
from typing import TYPE_CHECKING, Any

import click

from geokd.cli import options as o
from geokd.cli.goals import accuracy_within_option, area_within_option, goals_of
from geokd.cli.table import aligned
from geokd.cli.talk import echo

if TYPE_CHECKING:
    from geokd.assessment.against import MapComparison
    from geokd.assessment.assess import Assessment
    from geokd.assessment.samples.area_estimation import Estimate
    from geokd.assessment.samples.change import ChangeReport
    from geokd.assessment.samples.precision import Precision


@click.command()
@click.argument("class_map", metavar="MAP")
@click.argument("reference")
@click.option("--field", metavar="NAME", help='Attribute that holds the class; default: "reference", or else "class".')
@click.option(
    "--match",
    metavar="FILE.csv",
    help="Table with the columns map_class and reference_class, for class names that differ.",
)
@click.option(
    "--against",
    metavar="OTHER_MAP",
    help="Another map to compare MAP with, using the same labelled points: which is better?",
)
@click.option(
    "--later",
    metavar="LATER_MAP",
    help="A map of a later date: estimate areas that classes gained and lost, from a sample labelled for both dates.",
)
@accuracy_within_option
@area_within_option
@o.json_option
def assess(class_map: str, reference: str, as_json: bool, **choices: Any) -> None:
    """Compare MAP, a <scene>_landuse.tif, with REFERENCE: points, polygons or a raster of classes.

    Prints overall, user's and producer's accuracy with 95 % intervals, and the confusion matrix. A random sample, such
    as `geokd sample` draws, also gives the error-adjusted area of each class, and how many more points would make the
    intervals narrower.
    """
    from geokd.assessment.against import compare_maps
    from geokd.assessment.assess import assess as compare_with_reference
    from geokd.assessment.samples.change import assess_change

    against, later = choices.pop("against"), choices.pop("later")
    if against is not None or later is not None:
        within = [choices.pop(name) for name in ("accuracy_within", "area_within")]
        if any(within) or (against is not None and later is not None):
            raise click.UsageError("give only one of --against, --later, and --accuracy-within or --area-within")
    if later is not None:
        change = assess_change(class_map, reference, later, **choices)
        _print(change, _changes(change), as_json=as_json)
    elif against is not None:
        compared = compare_maps(class_map, reference, against, **choices)
        _print(compared, _comparison(compared), as_json=as_json)
    else:
        goals = goals_of(choices.pop("accuracy_within"), choices.pop("area_within"))
        assessment = compare_with_reference(class_map, reference, goals=goals, **choices)
        _print(assessment, _tables(assessment), as_json=as_json)


def _print(found: "ChangeReport | MapComparison | Assessment", text: str, *, as_json: bool) -> None:
    for note in [_left_out(found.left_out), *found.notes]:
        if note:
            echo(f"  {note}", err=True)
    echo(text, err=as_json)
    if as_json:
        echo(json.dumps(found.to_json(), indent=2, allow_nan=False))


def _changes(change: "ChangeReport") -> str:
    def hectares(estimate: "Estimate", *, sign: str = "") -> str:
        return f"{estimate.estimate:{sign},.1f} ({estimate.low:{sign},.1f} to {estimate.high:{sign},.1f})"

    head = ["class", "gained ha, 95 % interval", "mapped", "lost ha, 95 % interval", "mapped", "net ha, 95 % interval"]
    rows = [
        [
            row.name,
            hectares(row.gained_ha),
            f"{row.mapped_gained_ha:,.1f}",
            hectares(row.lost_ha),
            f"{row.mapped_lost_ha:,.1f}",
            hectares(row.net_ha, sign="+"),
        ]
        for row in change.classes
    ]
    lines = [
        f"{change.path} to {change.later}: {change.points:,} points of {change.sample}",
        f"changed {hectares(change.changed_ha)} ha; by the maps {change.mapped_changed_ha:,.1f} ha",
        *aligned("<>>>>>", head, rows),
    ]
    return "\n".join(lines)


def _comparison(compared: "MapComparison") -> str:
    low, high = 100 * compared.difference.low, 100 * compared.difference.high
    lines = [f"{compared.path} and {compared.other}: {compared.points:,} points where both have a class"]
    for name, accuracy in (("first", compared.accuracy), ("other", compared.other_accuracy)):
        lines.append(f"overall accuracy of the {name} map {_percent(accuracy)}")
    lines += [
        f"difference {100 * compared.difference.estimate:+.1f} points ({low:+.1f} to {high:+.1f}); only the first is"
        f" right at {compared.only_first_right:,} points, only the other at {compared.only_other_right:,}",
        f"exactly one map is right in {_percent(compared.differing)} of the area",
    ]
    wanted = compared.points_for_decision
    if compared.better is not None:
        lines.append(f"the {compared.better} map is better")
    elif wanted is None:
        lines.append("undecided: the maps are equally accurate at these points")
    else:
        lines.append(
            f"undecided; a true difference as large as this would be shown with {wanted:,} labelled points in all in"
            " 80 % of samples"
        )
    return "\n".join(lines)


def _left_out(left_out: dict[str, int]) -> str:
    reasons = [f"{count:,} {reason.replace('_', ' ')}" for reason, count in left_out.items() if count]
    return f"left out: {', '.join(reasons)}" if reasons else ""


def _tables(found: "Assessment") -> str:
    what = {"points": "points", "polygons": "cells", "raster": "cells"}[found.reference.kind]
    width = max(len(name) for name in [*found.map_classes, *found.reference_classes, "map \\ reference"])
    rows = found.per_class
    lines = [
        f"{found.map.path} compared with {found.reference.path}: {found.units:,} {what}, {found.reference.design}",
        f"overall accuracy {_percent(found.overall_accuracy)}",
        *(_more(row) for row in found.precision),
        "",
        f"{'class':<{width}}  {_HEAD}",
        *(
            f"{row.name:<{width}}  {_percent(row.users_accuracy):>23}  {_percent(row.producers_accuracy):>23}"
            f"  {row.mapped_area_ha:>12,.1f}  {_hectares(row.area_ha)}"
            for row in rows
        ),
    ]
    if found.none_of_these_area_ha:
        lines.append(f"{'none of these':<{width}}  {'':>62}  {_hectares(found.none_of_these_area_ha)}")
    if found.unclassified_area_ha:
        lines.append(f"{'unclassified':<{width}}  {'':>48}  {found.unclassified_area_ha:>12,.1f}")
    numbers = [[f"{count:,}" for count in row] for row in found.confusion_matrix]
    columns = [max(len(text) for text in column) for column in zip(*numbers, strict=True)]
    columns = [max(size, len(str(k + 1))) for k, size in enumerate(columns)]
    heads = "  ".join(f"{k + 1:>{size}}" for k, size in enumerate(columns))
    lines += ["", f"{what}, map in rows, reference in columns:", f"{'':<{width + 4}}  {heads}"]
    for k, (name, row) in enumerate(zip(found.map_classes, numbers, strict=True)):
        cells = "  ".join(f"{text:>{size}}" for text, size in zip(row, columns, strict=True))
        lines.append(f"{k + 1:>2}  {name:<{width}}  {cells}")
    if len(found.reference_classes) > len(rows):
        lines.append(f"{len(rows) + 1:>2} in columns: none of these")
    if found.kappa is not None:
        lines += ["", f"(kappa {found.kappa:.2f}; given for comparison with other studies only)"]
    return "\n".join(lines)


def _more(row: "Precision") -> str:
    now = f"{row.figure} has a 95 % interval of +- {100 * row.half_width:.1f} %"
    if row.more_points is None:
        return f"  {now}; not even all cells make it {100 * row.wanted:g} %"
    if not row.more_points:
        return f"  {now}, as wanted ({100 * row.wanted:g} %)"
    return f"  {now}; within {100 * row.wanted:g} % with about {row.more_points:,} more points"


_COLUMNS = {"user's accuracy": 23, "producer's accuracy": 23, "mapped ha": 12, "area ha, 95 % interval": 34}
_HEAD = "  ".join(f"{name:>{size}}" for name, size in _COLUMNS.items())


def _percent(figure: "Estimate | None") -> str:
    if figure is None:
        return "-"
    interval = figure.interval_95
    text = f"{100 * figure.estimate:.1f} %"
    return text if interval is None else f"{text} ({100 * interval[0]:.1f} to {100 * interval[1]:.1f})"


def _hectares(figure: "Estimate | None") -> str:
    if figure is None:
        return f"{'-':>34}"
    interval = figure.interval_95
    text = f"{figure.estimate:,.1f}"
    return f"{text if interval is None else f'{text} ({interval[0]:,.1f} to {interval[1]:,.1f})':>34}"
