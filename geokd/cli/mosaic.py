"""`geokd mosaic`."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from geokd.cli import options as o
from geokd.cli.table import area_lines
from geokd.cli.talk import echo

if TYPE_CHECKING:
    from geokd.maps.manifest import Manifest
    from geokd.maps.mosaic import By


@click.command()
@click.argument("maps", nargs=-1, required=True, metavar="MAP...")
@o.map_output_option
@click.option(
    "--by",
    type=click.Choice(["probability", "confidence"]),
    help="Which map is used where maps overlap; default: probability if all maps have it and none was filtered.",
)
@o.crs_option
@o.resolution_option
@click.option("--sources", is_flag=True, help="Also write <stem>_sources.tif: which map each cell comes from.")
@o.polygons_option
@o.overwrite_option
@o.json_option
def mosaic(
    maps: tuple[str, ...],
    output: Path,
    by: "By | None",
    crs: str | None,
    resolution: float | None,
    as_json: bool,
    **choices: Any,
) -> None:
    """Join maps of neighbouring or overlapping scenes, each a <scene>_landuse.tif of geokd classify, into one.

    The maps may lie in different UTM zones; their legends must be equal. Where grids agree, nothing is resampled. In a
    tie the map that is named first is used, and its grid is that of the mosaic unless --crs or --resolution is given.
    """
    from geokd.maps.map_grid import StatedGrid
    from geokd.maps.mosaic import MosaicOptions
    from geokd.maps.mosaic import mosaic as join

    made = join(maps, output, MosaicOptions(by=by, grid=StatedGrid(crs, resolution), **choices))
    echo(summary(made, output), err=True)
    if as_json:
        echo(json.dumps(made.to_json(), allow_nan=False))


def summary(made: "Manifest", output: Path) -> str:
    """Return lines that describe what was joined, and how."""
    maps = () if made.mosaic is None else made.mosaic.maps
    lines = [f"{output}:", *(f"  {note}" for note in made.notes)]
    lines += [f"  {source.cells_taken:>14,} cells from {source.path}" for source in maps]
    lines += area_lines(made.areas)
    return "\n".join([*lines, f"  written to {output.parent}: {', '.join(made.outputs.values())}"])
