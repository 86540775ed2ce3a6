"""`geokd style`."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from geokd.cli import options as o
from geokd.cli.talk import echo

if TYPE_CHECKING:
    from collections.abc import Sequence

    from geokd.legend.regrouping import NewClass
    from geokd.maps.manifest import Manifest
    from geokd.training.style_model import StyledModel


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="[LEGEND] TARGET")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="File to write: <stem>_landuse.tif for a map (other files beside it), <name>.onnx for a model.",
)
@click.option("--template", is_flag=True, help="Print TARGET's legend as TOML, to be edited, and exit.")
@o.overwrite_option
@o.json_option
def style(paths: tuple[str, ...], output: Path | None, template: bool, overwrite: bool, as_json: bool) -> None:
    """Give TARGET, a map or a model, the names, colours and classes of LEGEND.

    TARGET is a <scene>_landuse.tif with the files of the map beside it, or a model: a bundle, or the name of one that
    ships. LEGEND is a .toml as --template prints it, a .csv with the columns from,title,color_hint, or a .qml saved by
    QGIS. Classes that are not in it do not change; classes with the same title, or in one `from`, are merged.
    """
    from geokd.styling import style as restyle
    from geokd.styling import template as legend_of
    from geokd.training.style_model import StyledModel

    target = paths[-1]
    if template:
        if len(paths) != 1 or output is not None:
            raise click.UsageError("--template takes only a TARGET, no LEGEND")
        echo(legend_of(target), nl=False)
        return
    if len(paths) != 2:
        raise click.UsageError("give a LEGEND and a TARGET, or a TARGET with --template")
    if output is None:
        raise click.UsageError("give the file to write with -o/--output")
    made = restyle(paths[0], target, output, overwrite=overwrite)
    echo(_about_model(made) if isinstance(made, StyledModel) else _about_map(made, output), err=True)
    if as_json:
        echo(json.dumps(made.to_json(), allow_nan=False))


def _about_model(made: "StyledModel") -> str:
    origin = made.derived_from
    return "\n".join([f"{made.output}, from {origin.name} ({origin.sha256[:12]}):", *_classes(made.classes)])


def _about_map(made: "Manifest", output: Path) -> str:
    styled = made.styled
    assert styled is not None, "a restyled map"
    areas = [f"  {a.area_ha:>14,.1f} ha  {a.share_percent:5.1f} %" for a in made.areas]
    rows = [row + area for row, area in zip(_classes(styled.classes), areas, strict=True)]
    notes = [f"  {note}" for note in styled.notes]
    written = f"  written to {output.parent}: {', '.join(made.outputs.values())}"
    return "\n".join([f"{output}, from {styled.map}:", *notes, *rows, written])


def _classes(classes: "Sequence[NewClass]") -> list[str]:
    width = max(len(c.title) for c in classes)
    origins = [" + ".join(c.made_of) for c in classes]
    wide = max(map(len, origins))
    return [
        f"  {c.value:>3}  {c.title:<{width}}  #{c.color_hint}  from {origin:<{wide}}"
        for c, origin in zip(classes, origins, strict=True)
    ]
