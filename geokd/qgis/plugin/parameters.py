"""Tools, and the parameters that several tools share. Independent of QGIS."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Parameter:
    """A parameter of a tool.

    Parameters
    ----------
    name : str
    kind : str
        "raster", "rasters", "vector", "polygons", "area" (FILE:LAYER), "file", "files", "text", "lines", "integer",
        "number", "flag", "choice", "extent", "field", "crs", "folder out", "file out", "points out".
    label : str
    option : str
        Of the command; empty: an argument without one, or not passed to geokd.
    default : object
    optional : bool
        Whether it may be empty; parameters with a default never are, except files.
    advanced : bool
    choices : tuple of str
    limits : tuple of float
        The minimum, and optionally the maximum.
    of : str
        The layer whose field it is; or the filter of file dialogs.
    help : str
        Replaces the help of the command's option.
    """

    name: str
    kind: str
    label: str
    option: str = ""
    default: object = None
    optional: bool = True
    advanced: bool = False
    choices: tuple[str, ...] = ()
    limits: tuple[float, ...] = ()
    of: str = ""
    help: str = ""


@dataclass(frozen=True)
class Output:
    """Output of a tool for models: "raster", "vector", "file", "folder", "number" or "text"."""

    name: str
    kind: str
    label: str


@dataclass(frozen=True)
class Tool:
    """A command as a tool.

    Parameters
    ----------
    name : str
        Of the tool, and of its command unless `command` names another.
    title, group : str
    parameters : tuple of Parameter
    outputs : tuple of Output
    arguments : tuple of str
        Names of the parameters that are arguments without an option, in order.
    always : tuple of str
        Options that are always given.
    one_of : tuple of str
        Parameters of which at least one is needed.
    tags : str
    command : str
        Of geokd; empty: the tool's name.
    help : str
        Replaces the command's own help.
    """

    name: str
    title: str
    group: str
    parameters: tuple[Parameter, ...]
    outputs: tuple[Output, ...]
    arguments: tuple[str, ...]
    always: tuple[str, ...] = ("--json",)
    one_of: tuple[str, ...] = ()
    tags: str = ""
    command: str = ""
    help: str = ""


P = Parameter

MODEL = P(
    "MODEL",
    "file",
    "Model (auto, a name such as sentinel2-landuse, or an .onnx file)",
    "--model",
    "auto",
    of="Models (*.onnx)",
)
MAP = P("MAP", "raster", "Map (<scene>_landuse.tif)", optional=False)
LATER = P("LATER", "raster", "Map of a later date, for areas of change", "--later", advanced=True)
SCENE = P("SCENE", "raster", "Scene (raster layer)")
SCENE_SHOWN = P("SCENE", "raster", "Scene, for the pictures (default: the one that was mapped)", "--scene")
PRODUCT = P("PRODUCT", "file", "Or a product (.SAFE folder or .zip, Landsat folder or .tar, STAC item)")
LABELS = P("LABELS", "polygons", "Interpreted polygons", "--labels")
MASK = P("MASK", "text", "Mask (such as scl:3,8,9 or qa_pixel:cloud,shadow, or a raster file, or FILE:scl)", "--mask")
AOI = P("AOI", "area", "Area of interest (polygons)", "--aoi")
EXTENT = P("EXTENT", "extent", "Extent to map", "--bbox", help="Area of interest as a box, in any coordinate system.")
OUTPUT = P("OUTPUT", "folder out", "Folder for the outputs", "--output", optional=False)
OVERWRITE = P("OVERWRITE", "flag", "Replace outputs that exist", "--overwrite", default=False, advanced=True)
LOAD = P("LOAD", "flag", "Open the layers in QGIS, in a group", default=True)
POLYGONS = P(
    "POLYGONS",
    "flag",
    "Write polygons",
    "--no-polygons",
    default=True,
    help="Write a GeoPackage of polygons, the slowest output of large maps.",
)
NAMED_OUTPUT = replace(OUTPUT, help="Folder for <name>_landuse.tif and the other files of the map.")
POINTS_OUT = P("OUTPUT", "points out", "Points to label (GeoPackage)", "--output", optional=False)
ACCURACY_WITHIN = P(
    "ACCURACY_WITHIN",
    "number",
    "Half-width wanted for the overall accuracy (percentage points)",
    "--accuracy-within",
    limits=(0.1, 99),
)
AREA_WITHIN = P(
    "AREA_WITHIN",
    "lines",
    "Half-widths wanted for areas, in percent (such as Forest=10, Pasture=20)",
    "--area-within",
    advanced=True,
)
EXPECT = P(
    "EXPECT",
    "lines",
    "Expected user's accuracies in percent (such as 85; Forest=95, Pasture=60)",
    "--expect",
    advanced=True,
)
MIN_PER_CLASS = P(
    "MIN_PER_CLASS", "integer", "Minimum number of points in each class", "--min-per-class", advanced=True, limits=(2,)
)
BANDS = P(
    "BANDS",
    "text",
    "Scene with one file for each band (such as red=a.tif,green=b.tif)",
    "--bands",
    advanced=True,
)
BIDX = P("BIDX", "text", "Numbers of the bands, in the model's order (such as 3,2,1)", "--bidx", advanced=True)
NODATA = P("NODATA", "number", "Value of missing pixels", "--nodata", advanced=True)
STRIDE = P("STRIDE", "integer", "Distance between patches in pixels", "--stride", advanced=True, limits=(1,))
WORKERS = P("WORKERS", "integer", "Workers", "--workers", advanced=True, limits=(1,))
READING = (
    STRIDE,
    BIDX,
    P("VALUE_SCALE", "number", "Scale of values", "--value-scale", advanced=True),
    P("VALUE_OFFSET", "number", "Offset of values", "--value-offset", advanced=True),
    NODATA,
    P("RESAMPLE", "number", "Resample to pixels of this size in metres", "--resample", advanced=True),
)
MIN_CONFIDENCE = P(
    "MIN_CONFIDENCE",
    "number",
    "Minimum confidence (0 to 1); cells below it are unclassified",
    "--min-confidence",
    0.0,
    limits=(0, 1),
)
MIN_VALID_SHARE = P(
    "MIN_VALID_SHARE", "number", "Minimum share of valid pixels", "--min-valid-share", advanced=True, limits=(0, 1)
)
MAP_OUTPUTS = (
    Output("LANDUSE", "raster", "Land use"),
    Output("CONFIDENCE", "raster", "Confidence"),
    Output("POLYGONS_LAYER", "vector", "Land-use polygons"),
    Output("PROBABILITIES_RASTER", "raster", "Probabilities"),
    Output("SUMMARY", "file", "Areas of classes (CSV)"),
    Output("MANIFEST", "file", "Manifest (JSON)"),
)
SOURCES_OUTPUT = Output("SOURCES_RASTER", "raster", "Map that each cell comes from")
FOLDER = Output("OUTPUT", "folder", "Folder of the outputs")

AS_JSON = ("--json", "--progress", "json")
"""Options of a command that reports its progress."""
