"""`geokd robustness`."""

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from geokd.cli import options as o
from geokd.cli.talk import echo, progress_option, report

if TYPE_CHECKING:
    from geokd.assessment.yardstick import MapFigures


@click.command()
@click.argument("scene", required=False)
@o.model_option
@o.output_option
@click.option(
    "--labels", type=click.Path(path_type=Path), multiple=True, help="Polygons to compare with; may be repeated."
)
@click.option("--field", help="Attribute with the acceptable classes, separated by '|'; default: 'class'.")
@click.option("--group-field", help="Attribute that groups the polygons in the figures, such as the land cover.")
@click.option(
    "--green-band",
    type=click.IntRange(min=1),
    help="Number of the green band; default: found by band names or colours.",
)
@click.option("--nir-band", type=click.IntRange(min=1), help="Number of the near-infrared band; default: likewise.")
@click.option(
    "--shift",
    "shifts",
    multiple=True,
    metavar="NAME",
    help="Simulated change, such as haze; may be repeated; default: all.",
)
@o.stride_option
@o.bands_option
@o.bidx_option
@o.value_scale_option
@o.value_offset_option
@o.nodata_option
@o.mask_option
@o.resample_option
@o.aoi_option
@o.where_option
@o.bbox_option
@o.min_confidence_option
@o.workers_option
@o.overwrite_option
@o.json_option
@progress_option
def robustness(
    scene: str | None,
    model: str,
    output: Path,
    as_json: bool,
    shifts: tuple[str, ...],
    **choices: Any,
) -> None:
    """Map SCENE as it is and with simulated changes of atmosphere, sun and sensor, and compare the maps.

    The maps are compared with water (NDWI) and dense vegetation (NDVI), if the scene has a near-infrared band, and with
    the polygons of --labels. Writes <scene>_robustness.json (all figures) and .png (all maps beside the scene). For the
    accuracy of a map see `geokd sample`.
    """
    from geokd.assessment.robustness import RobustnessOptions
    from geokd.assessment.robustness import robustness as measure
    from geokd.assessment.shifts import SHIFTS
    from geokd.mapping.options import ClassifyOptions

    scene = o.scene_named(scene, choices.pop("bands"))
    if not choices["labels"] and (choices["field"] or choices["group_field"]):
        raise click.UsageError("--field and --group-field describe polygons: give these with --labels")
    choices["field"] = choices["field"] or "class"
    known = {f.name for f in dataclasses.fields(RobustnessOptions)}
    against = RobustnessOptions(
        **{name: choices.pop(name) for name in known & set(choices)}, shifts=shifts or tuple(SHIFTS)
    )
    figures = measure(scene, model, output, ClassifyOptions(**choices), against, progress=report)
    _show(figures.maps)
    for warning in figures.warnings:
        echo(f"Warning: {scene}: {warning}", err=True)
    for note in figures.notes:
        echo(f"  {note}", err=True)
    for figure, worst in figures.worst.items():
        echo(f"  worst for {figure}: {worst.change}, by {100 * worst.loss:.1f} points", err=True)
    if as_json:
        echo(json.dumps(figures.to_json(), indent=2, allow_nan=False))


def _show(maps: "dict[str, MapFigures]") -> None:
    keys = ("water_recall", "false_water", "vegetation_recall", "agreement", "changed", "mean_confidence")
    shares = {name: [getattr(figures, key) for key in keys] for name, figures in maps.items()}
    rows = [
        _row(name, *("-" if share is None else f"{100 * share:.1f} %" for share in found))
        for name, found in shares.items()
    ]
    echo("\n".join([_row(*_HEAD), *rows]), err=True)


_HEAD = ("map", "water recall", "false water", "vegetation", "agreement", "changed", "confidence")


def _row(name: str, *values: str) -> str:
    return f"{name:<32}" + "".join(f"{value:>14}" for value in values)
