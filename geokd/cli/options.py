"""Options that commands share, named as in rio."""

import re
from contextlib import AbstractContextManager
from pathlib import Path

import click

from geokd.cli.goals import Shares
from geokd.cli.interrupts import said_when_interrupted
from geokd.model.bundle import AUTO_MODEL


def band_numbers(text: str) -> tuple[int, ...]:
    """Read `3,2,1` as band numbers, from 1.

    Raises
    ------
    click.BadParameter
        If it is not such a list.
    """
    try:
        bidx = tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise click.BadParameter(f"{text!r} is not a list of band numbers such as 3,2,1") from error
    if min(bidx) < 1:
        raise click.BadParameter(f"band numbers start at 1, {text!r} has a lower one")
    return bidx


def box(text: str) -> tuple[float, float, float, float]:
    """Read `west,south,east,north`.

    Raises
    ------
    click.BadParameter
        If it is not such a list.
    """
    try:
        west, south, east, north = (float(part) for part in text.replace(",", " ").split())
    except ValueError as error:
        raise click.BadParameter(f"{text!r} is not a box such as -76.2,37.8,-76.0,37.9") from error
    return west, south, east, north


class MemorySize(click.ParamType[int]):
    """A size such as 800MB or 2GB, as whole MB of 1,000,000 bytes."""

    name = "size"

    def convert(self, value: str | int, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the size in MB."""
        if isinstance(value, int):
            return value
        match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([MG])i?B?\s*", value, re.IGNORECASE)
        if match is None:
            self.fail(f"{value!r} is not a size such as 800MB or 2GB", param, ctx)
        return int(float(match[1]) * (1000 if match[2].upper() == "G" else 1))


model_option = click.option(
    "-m",
    "--model",
    default=AUTO_MODEL,
    show_default=True,
    metavar="MODEL",
    help="Model bundle: an .onnx file, or the name of one that ships with geokd; auto chooses one that fits the scene.",
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
    help="Bands to use, from 1, in the model's order, such as 3,2,1; default: found by band names or colours.",
)
value_scale_option = click.option(
    "--value-scale", type=float, help="Reflectance x 10,000 = value x SCALE + OFFSET; default: from the file's tags."
)
value_offset_option = click.option(
    "--value-offset", type=float, help="See --value-scale; -1000 for Sentinel-2 since processing baseline 04.00."
)
nodata_option = click.option("--nodata", type=float, help="Value that marks missing pixels; default: the file's own.")
mask_option = click.option(
    "--mask",
    metavar="MASK[:KIND][:VALUE,...]",
    help="Mask pixels: scl (Sentinel-2 L2A), qa_pixel (Landsat), fmask (HLS), udm2 (PlanetScope), such as scl:3,8,9 or"
    " qa_pixel:cloud,shadow; or a raster and its masked values, such as clouds.tif:1 (default: all but 0), or its"
    " kind, such as classes.tif:scl or classes.tif:scl:3,9.",
)
resample_option = click.option(
    "--resample",
    "resample_m",
    type=float,
    metavar="METRES",
    help="Resample the scene to this pixel size while reading, bilinearly; default: its own pixel size.",
)
bands_option = click.option(
    "--bands",
    metavar="NAME=FILE,...",
    help="A scene with one file per band, in place of SCENE, such as red=a_B04.tif,green=a_B03.tif,blue=a_B02.tif.",
)


def scene_named(scene: str | None, bands: str | None, what: str = "SCENE") -> str:
    """Return the name of the scene: the argument `what`, or the files of --bands.

    Raises
    ------
    click.UsageError
        If neither or both are given.
    """
    if scene is not None and bands is not None:
        raise click.UsageError(f"{scene} and --bands are both given; name one of the two")
    name = scene or bands
    if not name:
        raise click.UsageError(f"Missing argument '{what}': name a scene, or its bands with --bands")
    return name


aoi_option = click.option(
    "--aoi",
    metavar="FILE[:LAYER]",
    help="Area of interest: polygons of any vector file, in any coordinate system; default: the whole scene.",
)
where_option = click.option(
    "--where",
    metavar="CONDITION",
    help="Use only features of --aoi that meet this condition, such as \"name = 'Ambarawa'\".",
)
bbox_option = click.option(
    "--bbox",
    type=box,
    metavar="W,S,E,N",
    help="Area of interest: west, south, east, north in degrees; across the antimeridian west is greater than east.",
)
stride_option = click.option(
    "--stride",
    "stride_px",
    type=click.IntRange(min=1),
    metavar="PIXELS",
    help="Distance between patches, and side of a cell of the map; default: a quarter of the model's patch. Not for"
    " models that classify every pixel.",
)
min_valid_share_option = click.option(
    "--min-valid-share",
    type=click.FloatRange(0, 1),
    show_default="0.25; 0 for a model that classifies every pixel",
    help="Share of valid pixels below which a patch is not classified.",
)
min_confidence_option = click.option(
    "--min-confidence",
    type=click.FloatRange(0, 1),
    default=0.0,
    show_default=True,
    help="Confidence, from 0 to 1, below which a cell is left unclassified.",
)
min_confidence_of_option = click.option(
    "--min-confidence-of",
    type=Shares(per=1, example="Forest=0.7"),
    multiple=True,
    metavar="CLASS=CONFIDENCE",
    help="The same for one class, instead of --min-confidence.",
)
smooth_option = click.option(
    "--smooth",
    "smooth_cells",
    type=int,
    default=1,
    metavar="CELLS",
    help="Majority filter: each cell gets the most frequent class in a window of CELLS x CELLS; odd.",
)
min_area_option = click.option(
    "--min-area",
    "min_area_ha",
    type=float,
    default=0.0,
    metavar="HECTARES",
    help="Minimum mapping unit: smaller regions get the class with which they share the longest border.",
)
simplify_option = click.option(
    "--simplify",
    "simplify_m",
    type=float,
    default=0.0,
    metavar="METRES",
    help="Simplify polygon outlines to this tolerance, without gaps between neighbours; rasters are not changed.",
)
map_output_option = click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    required=True,
    metavar="FILE",
    help="Class raster to write, <stem>_landuse.tif; the other files of the map are written beside it.",
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
    help="Do not write the GeoPackage of polygons, the slowest output of large maps.",
)
probabilities_option = click.option(
    "--probabilities", is_flag=True, help="Also write <scene>_probabilities.tif: one band per class, in percent."
)
report_option = click.option(
    "--report",
    is_flag=True,
    help="Also write <scene>_report.html, one page that shows everything; for several scenes also index.html.",
)
acquired_option = click.option(
    "--acquired",
    metavar="DATE[/DATE]",
    help="Acquisition date, such as 2016-01-12 or 2016-01-12T15:59Z; default: from the scene's metadata or name.",
)
workers_option = click.option(
    "--workers",
    type=click.IntRange(min=1),
    metavar="N",
    help="Number of threads, or of processes with --processes; default: one per core.",
)
processes_option = click.option("--processes", is_flag=True, help="Use processes of this machine instead of threads.")
scheduler_option = click.option(
    "--scheduler", metavar="ADDRESS", help="Address or scheduler file of a running Dask cluster to use."
)
dashboard_option = click.option(
    "--dashboard", is_flag=True, help="Print the address of the Dask dashboard; needs dask[diagnostics]."
)
memory_option = click.option(
    "--memory",
    "memory_mb",
    type=MemorySize(),
    default="1GB",
    show_default=True,
    metavar="SIZE",
    help="Memory limit, such as 800MB or 2GB.",
)
resume_option = click.option(
    "--resume", is_flag=True, help="Continue an interrupted run, and skip scenes that are mapped already."
)
on_error_option = click.option(
    "--on-error",
    type=click.Choice(["fail", "skip"]),
    default="fail",
    show_default=True,
    help="When a scene fails: stop, or continue with the others.",
)
quiet_option = click.option("-q", "--quiet", is_flag=True, help="Print only warnings and errors.")
verbose_option = click.option("-v", "--verbose", is_flag=True, help="Print the value of every option, too.")


def kept_when_interrupted(folder: Path) -> AbstractContextManager[None]:
    """When Ctrl-C ends a run that writes into `folder`, print how to continue it."""

    def what_is_kept() -> str:
        from geokd.training.run_folder import is_begun

        if not is_begun(folder):
            return ""
        return f"Finished parts are kept in {folder}; continue with --resume and the same call."

    return said_when_interrupted(what_is_kept)


recipe_option = click.option(
    "--recipe", type=click.Path(path_type=Path), help="TOML recipe; default: the built-in one."
)
set_option = click.option(
    "--set", "changes", multiple=True, metavar="KEY=VALUE", help="Set a key of the recipe, such as loss.kl=0.5."
)
validation_option = click.option(
    "--validation",
    type=click.Path(path_type=Path),
    help="Validation chips; default: a part of CHIPS, split into spatial blocks if they have coordinates.",
)
