"""`geokd models`."""

import json
import textwrap
from typing import TYPE_CHECKING

import click

from geokd.cli.options import json_option
from geokd.cli.table import aligned, percent
from geokd.cli.talk import echo
from geokd.model.contract import ValueScaling

if TYPE_CHECKING:
    from geokd.model.shipped import ShippedModel

_HEAD = (
    *("model", "precision", "classes", "bands", "patch", "cell of the map", "ground", "values", "MB"),
    "validation accuracy (float32)",
)


@click.command()
@json_option
def models(as_json: bool) -> None:
    """List the shipped models: bands and pixel size that each needs, its classes, and its accuracy on chips."""
    from geokd.model.shipped import models as list_models

    found = list_models()
    if as_json:
        echo(json.dumps([entry.to_json() for entry in found], indent=2, allow_nan=False))
        return
    echo("\n".join(aligned("<<><><><><", _HEAD, [_row(entry) for entry in found])))
    of_classes: dict[str, list[str]] = {}
    for entry in found:
        of_classes.setdefault(", ".join(c.title for c in entry.legend), []).append(entry.model)
    for classes, names in of_classes.items():
        echo(f"\nClasses of {', '.join(names)}:")
        echo(textwrap.fill(classes, 100, initial_indent="  ", subsequent_indent="  "))


def _row(entry: "ShippedModel") -> tuple[str, ...]:
    wants, figures = entry.input, entry.validation_before_rounding
    scaling = wants["value_scaling"]
    cell_px = wants.get("cell_px")
    cell = "patch" if cell_px is None else "pixel" if cell_px == 1 else f"{cell_px} x {cell_px} px"
    values = "8-bit values as they are"
    if scaling is not None:
        values = str(ValueScaling.from_json(scaling))
    return (
        entry.model,
        entry.precision,
        str(len(entry.legend)),
        ", ".join(wants["bands"]),
        f"{wants['patch_px']} px",
        cell,
        f"{wants['ground_resolution_m']:g} m",
        values,
        f"{entry.size_bytes / 1e6:.2f}",
        "-" if figures is None else f"{percent(figures.accuracy, figures.interval_95)}, n = {figures.n:,}",
    )
