"""Options that commands share, named as rio has them."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from geokd.cli.goals import Shares
from geokd.cli.talk import echo
from geokd.model.bundle import AUTO_MODEL


def band_numbers(text: str) -> tuple[int, ...]:
    """Read `3,2,1` as band numbers, from 1.

    Raises
    ------
    click.BadParameter
        If it is no such list.
    """
    try:
        bidx = tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise click.BadParameter(f"{text!r} is no list of band numbers like 3,2,1") from error
    if min(bidx) < 1:
        raise click.BadParameter(f"band numbers start at 1, {text!r} has a lower one")
    return bidx


def box(text: str) -> tuple[float, float, float, float]:
    """Read `west,south,east,north`.

    Raises
    ------
    click.BadParameter
        If it is no such list.
    """
    try:
        west, south, east, north = (float(part) for part in text.replace(",", " ").split())
    except ValueError as error:
        raise click.BadParameter(f"{text!r} is no box like -76.2,37.8,-76.0,37.9") from error
    return west, south, east, north


class MemorySize(click.ParamType[int]):
    """A size like 800MB or 2GB, as whole MB of 1,000,000 bytes."""

    name = "size"

    def convert(self, value: str | int, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the size in MB."""
        if isinstance(value, int):
            return value
        match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([MG])i?B?\s*", value, re.IGNORECASE)
        if match is None:
            self.fail(f"{value!r} is no size like 800MB or 2GB", param, ctx)
        return int(float(match[1]) * (1000 if match[2].upper() == "G" else 1))


model_option = click.option(
    "-m",
    "--model",
    default=AUTO_MODEL,
    show_default=True,
    metavar="MODEL",
    help="Model bundle: an .onnx file, or the name of one that ships with geokd; auto takes the one that fits.",
)
output_option = click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    default=Path(),
    show_default="the current folder",
    metavar="FOLDER",
    help="Folder for the outputs.",
)
overwrite_option = click.option("--overwrite", is_flag=True, help="Replace outputs that exist.")
json_option = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON on stdout.")
bidx_option = click.option(
    "-b",
    "--bidx",
    type=band_numbers,
    metavar="N,N,N",
    help="Bands to use, from 1, in the model's order, such as 3,2,1; default: by the file's band names or colours.",
)
value_scale_option = click.option(
    "--value-scale", type=float, help="Reflectance x 10,000 = value x SCALE + OFFSET; default: from the file's tags."
)
value_offset_option = click.option(
    "--value-offset", type=float, help="See --value-scale; -1000 for Sentinel-2 from processing baseline 04.00 on."
)
nodata_option = click.option("--nodata", type=float, help="Value that marks missing pixels; default: the file's own.")
mask_option = click.option(
    "--mask",
    metavar="MASK[:VALUE,...]",
    help="Leave pixels out: scl (Sentinel-2 L2A), qa_pixel (Landsat), fmask (HLS), udm2 (PlanetScope), as scl:3,8,9 or"
    " qa_pixel:cloud,shadow; or a raster, with the values that are left out. Default: all of it but 0.",
)
resample_option = click.option(
    "--resample",
    "resample_m",
    type=float,
    metavar="METRES",
    help="Resample the scene to pixels of this size as it is read, bilinearly. Default: its own.",
)
bands_option = click.option(
    "--bands",
    metavar="NAME=FILE,...",
    help="A scene of one file a band, in place of SCENE, as red=a_B04.tif,green=a_B03.tif,blue=a_B02.tif.",
)
aoi_option = click.option(
    "--aoi",
    metavar="FILE[:LAYER]",
    help="Map an area alone: polygons of any vector file, in any coordinate system. Default: the whole scene.",
)
where_option = click.option(
    "--where", metavar="CONDITION", help="Of --aoi, the features that meet a condition, as \"name = 'Ambarawa'\"."
)
bbox_option = click.option(
    "--bbox",
    type=box,
    metavar="W,S,E,N",
    help="Map a box alone: west, south, east, north in degrees; across the antimeridian west is greater than east.",
)
stride_option = click.option(
    "--stride",
    "stride_px",
    type=click.IntRange(min=1),
    metavar="PIXELS",
    help="Distance between patches, and side of a cell of the map. Default: a quarter of the model's patch. Not for"
    " models that answer for every pixel.",
)
min_valid_share_option = click.option(
    "--min-valid-share",
    type=click.FloatRange(0, 1),
    show_default="0.25; 0 of a model that answers for every pixel",
    help="Share of valid pixels below which a patch is not classified.",
)
min_confidence_option = click.option(
    "--min-confidence",
    type=click.FloatRange(0, 1),
    default=0.0,
    show_default=True,
    help="Confidence below which a cell is left unclassified.",
)
min_confidence_of_option = click.option(
    "--min-confidence-of",
    type=Shares(per=1, example="Forest=0.7"),
    multiple=True,
    metavar="CLASS=CONFIDENCE",
    help="The same for one class, in place of --min-confidence.",
)
smooth_option = click.option(
    "--smooth",
    "smooth_cells",
    type=int,
    default=1,
    metavar="CELLS",
    help="Majority filter: each cell takes the class that is the most frequent in a window of CELLS x CELLS; odd.",
)
min_area_option = click.option(
    "--min-area",
    "min_area_ha",
    type=float,
    default=0.0,
    metavar="HECTARES",
    help="Minimum mapping unit: smaller regions go to the class with which they share the longest border.",
)
simplify_option = click.option(
    "--simplify",
    "simplify_m",
    type=float,
    default=0.0,
    metavar="METRES",
    help="Simplify the outlines of polygons, borders that they share alike; rasters stay as they are.",
)
map_output_option = click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    required=True,
    metavar="FILE",
    help="Class raster to write, <stem>_landuse.tif; the other files of a map come beside it.",
)
crs_option = click.option("--crs", metavar="CRS", help="CRS of the map, such as EPSG:32618; default: the first map's.")
resolution_option = click.option(
    "--resolution",
    type=float,
    metavar="SIDE",
    help="Side of a cell in units of the CRS; default: that of the first map.",
)
polygons_option = click.option(
    "--no-polygons",
    "polygons",
    flag_value=False,
    default=True,
    help="Leave out the GeoPackage of polygons, the slowest output of large maps.",
)
probabilities_option = click.option(
    "--probabilities", is_flag=True, help="Write <scene>_probabilities.tif, too: a band a class, in percent."
)
report_option = click.option(
    "--report",
    is_flag=True,
    help="Write <scene>_report.html, too: a page to look at and hand on; for several scenes also index.html.",
)
acquired_option = click.option(
    "--acquired",
    metavar="DATE[/DATE]",
    help="When the scene was taken, such as 2016-01-12 or 2016-01-12T15:59Z; default: from its metadata or name.",
)
workers_option = click.option(
    "--workers",
    type=click.IntRange(min=1),
    metavar="N",
    help="Threads, or processes; default: one for each core.",
)
processes_option = click.option(
    "--processes", is_flag=True, help="Work in processes instead of threads: a Dask cluster on this machine."
)
scheduler_option = click.option(
    "--scheduler", metavar="ADDRESS", help="Address or scheduler file of a running Dask cluster that is to do the work."
)
dashboard_option = click.option(
    "--dashboard", is_flag=True, help="Print the address of Dask's page that shows what the workers do; needs bokeh."
)
memory_option = click.option(
    "--memory",
    "memory_mb",
    type=MemorySize(),
    default="1GB",
    show_default=True,
    metavar="SIZE",
    help="Memory to keep within, as 800MB or 2GB.",
)
resume_option = click.option(
    "--resume", is_flag=True, help="Continue an interrupted run, and skip scenes whose map is there already."
)
on_error_option = click.option(
    "--on-error",
    type=click.Choice(["fail", "skip"]),
    default="fail",
    show_default=True,
    help="When a scene fails: stop, or continue with the others.",
)
quiet_option = click.option("-q", "--quiet", is_flag=True, help="Say nothing but warnings and errors.")
verbose_option = click.option("-v", "--verbose", is_flag=True, help="Print the value of every option, too.")


@contextmanager
def kept_when_interrupted(folder: Path) -> Iterator[None]:
    """Say, when Ctrl-C ends what goes into `folder`, how it can be gone on with."""
    try:
        yield
    except KeyboardInterrupt:
        from geokd.training.run_folder import is_begun

        if not is_begun(folder):
            raise
        echo(f"What is done is kept in {folder}; continue with --resume and the same call.", err=True)
        raise


recipe_option = click.option("--recipe", type=click.Path(path_type=Path), help="TOML recipe; default: built in.")
set_option = click.option(
    "--set", "changes", multiple=True, metavar="KEY=VALUE", help="Set a key of the recipe, as loss.kl=0.5."
)
validation_option = click.option(
    "--validation",
    type=click.Path(path_type=Path),
    help="Validation chips; default: a share of CHIPS, in spatial blocks if they have coordinates.",
)
