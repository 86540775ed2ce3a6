"""`geokd tile`."""

import json
from typing import TYPE_CHECKING, Any

import click

from geokd.cli import options as o
from geokd.cli.talk import echo

if TYPE_CHECKING:
    from geokd.chips.tiling import TileResult


@click.command()
@click.argument("scene", required=False)
@click.option("-o", "--output", required=True, metavar="FOLDER", help="Folder for the chips; must be new or empty.")
@click.option(
    "--patch",
    "patch_px",
    type=int,
    metavar="PIXELS",
    help="Side of a chip; default: for labelled cells the patch that the map was made with, else 64.",
)
@click.option(
    "--stride",
    "stride_px",
    type=int,
    metavar="PIXELS",
    help="Distance between chips, a divisor of the patch; default: the patch, so that chips lie side by side.",
)
@click.option("--labels", metavar="FILE", help="Polygons with classes, or cells labelled in a review or sample.")
@click.option("--field", metavar="NAME", help="Attribute of the polygons that holds the class.")
@click.option(
    "--min-cover",
    type=float,
    default=0.6,
    show_default=True,
    metavar="SHARE",
    help="Share of a chip that the polygons of one class must cover, above 0.5.",
)
@click.option(
    "-b", "--bidx", type=o.band_numbers, metavar="N,N,N", help="Bands to keep, from 1, such as 1,2,3; default: all."
)
@o.bands_option
@o.nodata_option
@o.mask_option
@o.aoi_option
@o.where_option
@o.bbox_option
@o.overwrite_option
@o.json_option
def tile(
    scene: str | None,
    output: str,
    labels: str | None,
    field: str | None,
    bands: str | None,
    as_json: bool,
    **choices: Any,
) -> None:
    """Cut SCENE into georeferenced chips, in class folders when labels are given.

    Patches that extend beyond the scene, contain invalid pixels, or are not clearly of one class are left out and
    counted. From a file of `geokd review` or `geokd sample`, one chip is cut around each labelled cell.
    """
    from geokd.chips.tiling import TileOptions
    from geokd.chips.tiling import tile as cut

    scene = o.scene_named(scene, bands)
    result = cut(scene, output, labels, field, TileOptions(**choices))
    echo(_summary(result), err=True)
    for warning in result.warnings:
        echo(f"Warning: {scene}: {warning}", err=True)
    if as_json:
        echo(json.dumps(result.to_json(), indent=2))


def _summary(result: "TileResult") -> str:
    lines = [*result.notes, f"{len(result.chips):,} chips written to {result.folder}"]
    lines += [f"  {name}: {count:,}" for name, count in result.counts.items()]
    lines.append(f"  patches left out: {result.left_out}")
    if result.nameless_labels:
        lines.append(f"  polygons without a class left out: {result.nameless_labels:,}")
    return "\n".join(lines)
