"""`geokd composite`."""

import json
from pathlib import Path
from typing import Any

import click

from geokd.cli import options as o
from geokd.cli.mosaic import summary
from geokd.cli.talk import echo


@click.command()
@click.argument("maps", nargs=-1, required=True, metavar="MAP...")
@o.map_output_option
@o.crs_option
@o.resolution_option
@click.option(
    "--sources", is_flag=True, help="Also write <stem>_sources.tif: which map has the highest confidence in each cell."
)
@o.polygons_option
@o.overwrite_option
@o.json_option
def composite(
    maps: tuple[str, ...], output: Path, crs: str | None, resolution: float | None, as_json: bool, **choices: Any
) -> None:
    """Join maps of one place and several dates, each a <scene>_landuse.tif of geokd classify --probabilities.

    Each cell gets the class of the highest mean probability over the dates on which it was seen. Cells under clouds
    that --mask left out are taken from the other dates. <stem>_dates.tif shows on how many dates each cell was seen.
    """
    from geokd.maps.composite import CompositeOptions
    from geokd.maps.composite import composite as join
    from geokd.maps.map_grid import StatedGrid

    made = join(maps, output, CompositeOptions(grid=StatedGrid(crs, resolution), **choices))
    echo(summary(made, output), err=True)
    if as_json:
        echo(json.dumps(made.to_json(), allow_nan=False))
