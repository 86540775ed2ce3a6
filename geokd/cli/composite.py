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
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    required=True,
    metavar="FILE",
    help="Class raster to write, <stem>_landuse.tif; the other files of a map come beside it.",
)
@click.option("--crs", metavar="CRS", help="CRS of the composite, as EPSG:32618. Default: that of the first map.")
@click.option(
    "--resolution", type=float, metavar="SIDE", help="Side of a cell in units of the CRS. Default: the first map's."
)
@click.option("--sources", is_flag=True, help="Write <stem>_sources.tif, too: which map is the surest of each cell.")
@o.polygons_option
@o.overwrite_option
@o.json_option
def composite(
    maps: tuple[str, ...], output: Path, crs: str | None, resolution: float | None, as_json: bool, **choices: Any
) -> None:
    """Join maps of several dates of one place, each a <scene>_landuse.tif of geokd classify --probabilities, into one.

    Each cell gets the class of the highest mean probability over the dates on which it was seen. Cells under clouds
    that --mask left out are taken from the other dates. <stem>_dates.tif tells on how many dates each cell was seen.
    """
    from geokd.maps.composite import CompositeOptions
    from geokd.maps.composite import composite as join
    from geokd.maps.map_grid import StatedGrid

    made = join(maps, output, CompositeOptions(grid=StatedGrid(crs, resolution), **choices))
    echo(summary(made, output), err=True)
    if as_json:
        echo(json.dumps(made.to_json(), allow_nan=False))
