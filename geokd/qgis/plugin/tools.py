"""The commands of geokd as tools of QGIS: names, kinds and defaults of their parameters. No QGIS in here."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Parameter:
    """A parameter of a tool.

    Parameters
    ----------
    name : str
    kind : str
        "raster", "rasters", "vector", "polygons", "file", "files", "text", "lines", "integer", "number", "flag",
        "choice", "extent", "field", "crs", "folder out", "file out", "points out".
    label : str
    option : str
        Of the command; empty: an argument without one, or nothing that geokd is told.
    default : object
    optional : bool
        Whether it may be left empty; what has a default never is, but for files.
    advanced : bool
    choices : tuple of str
    limits : tuple of float
        The least value, and perhaps the greatest.
    of : str
        The layer whose field it is; or for what file dialogs look.
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


@dataclass(frozen=True)
class Output:
    """What a tool hands on to models: "raster", "vector", "file", "folder", "number" or "text"."""

    name: str
    kind: str
    label: str


@dataclass(frozen=True)
class Tool:
    """A command as a tool.

    Parameters
    ----------
    name : str
        Of the command and of the tool.
    title, group : str
    parameters : tuple of Parameter
    outputs : tuple of Output
    arguments : tuple of str
        Names of the parameters that are arguments without an option, in order.
    told : tuple of str
        Options that are always given.
    one_of : tuple of str
        Parameters of which one at least is needed.
    tags : str
    """

    name: str
    title: str
    group: str
    parameters: tuple[Parameter, ...]
    outputs: tuple[Output, ...]
    arguments: tuple[str, ...]
    told: tuple[str, ...] = ("--json",)
    one_of: tuple[str, ...] = ()
    tags: str = ""


P = Parameter
_JSON = ("--json", "--progress", "json")

MODEL = P(
    "MODEL",
    "file",
    "Model: auto, the name of one that ships, or an .onnx file",
    "--model",
    "auto",
    of="Models (*.onnx)",
)
MAP = P("MAP", "raster", "Map (<scene>_landuse.tif)", optional=False)
SCENE = P("SCENE", "raster", "Scene")
PRODUCT = P("PRODUCT", "file", "or a product: .SAFE folder or .zip, Landsat folder or .tar, STAC item")
MASK = P("MASK", "text", "Leave pixels out, as scl:3,8,9 or qa_pixel:cloud,shadow, or a raster", "--mask")
AOI = P("AOI", "polygons", "Area of interest (polygons)", "--aoi")
EXTENT = P("EXTENT", "extent", "Map this extent alone", "--bbox")
OUTPUT = P("OUTPUT", "folder out", "Folder for the outputs", "--output", optional=False)
OVERWRITE = P("OVERWRITE", "flag", "Replace outputs that exist", "--overwrite", default=False, advanced=True)
LOAD = P("LOAD", "flag", "Open the layers in QGIS, in a group", default=True)
POLYGONS = P("POLYGONS", "flag", "Write polygons", "--no-polygons", default=True)
POINTS_OUT = P("OUTPUT", "points out", "Points to label (GeoPackage)", "--output", optional=False)

_BIDX = P("BIDX", "text", "Bands from 1, in the model's order, as 3,2,1", "--bidx", advanced=True)
_NODATA = P("NODATA", "number", "Value of missing pixels", "--nodata", advanced=True)
_STRIDE = P("STRIDE", "integer", "Distance between patches in pixels", "--stride", advanced=True, limits=(1,))
_WORKERS = P("WORKERS", "integer", "Workers", "--workers", advanced=True, limits=(1,))
_READING = (
    _STRIDE,
    _BIDX,
    P("VALUE_SCALE", "number", "Scale of values", "--value-scale", advanced=True),
    P("VALUE_OFFSET", "number", "Offset of values", "--value-offset", advanced=True),
    _NODATA,
    P("RESAMPLE", "number", "Resample to pixels of this size in metres", "--resample", advanced=True),
)
_MIN_CONFIDENCE = P(
    "MIN_CONFIDENCE", "number", "Least confidence (0 to 1), else unclassified", "--min-confidence", 0.0, limits=(0, 1)
)
_MIN_VALID_SHARE = P(
    "MIN_VALID_SHARE", "number", "Least share of valid pixels", "--min-valid-share", advanced=True, limits=(0, 1)
)
_MAP_OUTPUTS = (
    Output("LANDUSE", "raster", "Land use"),
    Output("CONFIDENCE", "raster", "Confidence"),
    Output("POLYGONS_LAYER", "vector", "Land-use polygons"),
    Output("PROBABILITIES_RASTER", "raster", "Probabilities"),
    Output("SUMMARY", "file", "Areas of classes (CSV)"),
    Output("MANIFEST", "file", "Manifest (JSON)"),
)
_FOLDER = Output("OUTPUT", "folder", "Folder of the outputs")

CLASSIFY = Tool(
    "classify",
    "Map land use",
    "Mapping",
    (
        P("SCENES", "rasters", "Scenes"),
        P("PRODUCTS", "files", "and products: .SAFE folders or .zip, Landsat folders or .tar, STAC items"),
        MODEL,
        AOI,
        EXTENT,
        MASK,
        _MIN_CONFIDENCE,
        P("SMOOTH", "integer", "Majority filter, side of the window in cells (odd)", "--smooth", 1, limits=(1,)),
        P("MIN_AREA", "number", "Smallest region in hectares", "--min-area", 0.0, limits=(0,)),
        POLYGONS,
        P("PROBABILITIES", "flag", "Write probabilities, a band a class", "--probabilities", default=False),
        P("REPORT", "flag", "Write a report (HTML)", "--report", default=False),
        LOAD,
        P("RESUME", "flag", "Continue an interrupted run", "--resume", default=False, advanced=True),
        P("ON_ERROR", "choice", "When a scene fails", "--on-error", "fail", choices=("fail", "skip"), advanced=True),
        P("SIMPLIFY", "number", "Simplify outlines by metres", "--simplify", 0.0, advanced=True, limits=(0,)),
        *_READING,
        _MIN_VALID_SHARE,
        P("ACQUIRED", "text", "Date of the scene, as 2016-01-12", "--acquired", advanced=True),
        P("MEMORY", "text", "Memory limit, as 800MB or 2GB", "--memory", "1GB", advanced=True),
        _WORKERS,
        P("PROCESSES", "flag", "Work in processes, not threads", "--processes", default=False, advanced=True),
        P("SCHEDULER", "text", "Dask cluster: address or scheduler file", "--scheduler", advanced=True),
        P("DASHBOARD", "flag", "Print the address of Dask's page", "--dashboard", default=False, advanced=True),
        OVERWRITE,
        OUTPUT,
    ),
    (*_MAP_OUTPUTS, Output("REPORT_PAGE", "file", "Report (HTML)"), _FOLDER),
    ("SCENES", "PRODUCTS"),
    told=_JSON,
    one_of=("SCENES", "PRODUCTS"),
    tags="land use,land cover,classification,sentinel-2,landsat,deep learning,onnx",
)
INFO = Tool(
    "info",
    "Describe a scene or model",
    "Mapping",
    (
        SCENE,
        replace(PRODUCT, label="or a product, or a model (name or .onnx file)"),
        replace(MODEL, label="Model whose mapping of the scene is described", default=None),
        AOI,
        EXTENT,
        MASK,
        *_READING,
        _MIN_VALID_SHARE,
        _WORKERS,
        P("OUTPUT", "file out", "Description", of="Text files (*.txt)"),
    ),
    (Output("DESCRIPTION", "text", "Description"),),
    ("SCENE", "PRODUCT"),
    told=(),
    one_of=("SCENE", "PRODUCT"),
    tags="metadata,bands",
)
MOSAIC = Tool(
    "mosaic",
    "Join maps",
    "Mapping",
    (
        P("MAPS", "rasters", "Maps (<scene>_landuse.tif)", optional=False),
        P("NAME", "text", "Name of the mosaic", default="mosaic", optional=False),
        P("BY", "choice", "What decides where maps overlap", "--by", choices=("probability", "confidence")),
        P("CRS", "crs", "Coordinate system", "--crs"),
        P("RESOLUTION", "number", "Side of a cell in units of the coordinate system", "--resolution"),
        POLYGONS,
        P("SOURCES", "flag", "Write from which map each cell comes", "--sources", default=False, advanced=True),
        LOAD,
        OVERWRITE,
        OUTPUT,
    ),
    (*_MAP_OUTPUTS, _FOLDER),
    ("MAPS",),
    tags="merge,join",
)
STYLE = Tool(
    "style",
    "Change names, colours and classes",
    "Mapping",
    (
        replace(MAP, optional=True),
        replace(MODEL, label="or a model: the name of one that ships, or an .onnx file", option="", default=None),
        P("LEGEND", "file", "Legend: .toml, .csv, or a .qml that QGIS saved", optional=False),
        P("NAME", "text", "Name of the result", default="styled", optional=False),
        LOAD,
        OVERWRITE,
        OUTPUT,
    ),
    (*_MAP_OUTPUTS, Output("MODEL_FILE", "file", "Model"), _FOLDER),
    ("LEGEND", "MAP", "MODEL"),
    one_of=("MAP", "MODEL"),
    tags="legend,colour,reclassify,merge classes",
)
SAMPLE = Tool(
    "sample",
    "Draw a sample to label",
    "Quality",
    (
        MAP,
        P("POINTS", "integer", "Points", "--points", limits=(1,)),
        P(
            "ACCURACY_WITHIN",
            "number",
            "or as many as make the interval of the overall accuracy so narrow: half its width in percentage points",
            "--accuracy-within",
            limits=(0.1, 99),
        ),
        P("MIN_PER_CLASS", "integer", "Points of each class at least", "--min-per-class", limits=(2,)),
        P("ENLARGE", "file", "Keep cells and labels of an earlier, smaller sample", "--enlarge", advanced=True),
        P("SEED", "integer", "Seed of the random draw", "--seed", 0, limits=(0,)),
        replace(SCENE, label="Scene, for the pictures", option="--scene"),
        OVERWRITE,
        POINTS_OUT,
    ),
    (),
    ("MAP",),
    one_of=("POINTS", "ACCURACY_WITHIN"),
    tags="accuracy,validation,stratified random sample",
)
REVIEW = Tool(
    "review",
    "Choose doubtful cells to correct",
    "Quality",
    (
        MAP,
        P("POINTS", "integer", "Cells", "--points", 200, optional=False, limits=(1,)),
        replace(SCENE, label="Scene, for the pictures", option="--scene"),
        OVERWRITE,
        POINTS_OUT,
    ),
    (),
    ("MAP",),
    tags="active learning,correction",
)
ASSESS = Tool(
    "assess",
    "Estimate accuracies and areas",
    "Quality",
    (
        MAP,
        P("REFERENCE", "vector", "Reference: labelled points or polygons"),
        P("REFERENCE_RASTER", "raster", "or a raster of classes"),
        P("FIELD", "field", "Field of the class", "--field", of="REFERENCE"),
        P("MATCH", "file", "Table of classes with other names (CSV)", "--match", advanced=True),
        P("OUTPUT", "file out", "Figures (JSON)", of="JSON (*.json)"),
    ),
    (Output("OVERALL_ACCURACY", "number", "Overall accuracy, 0 to 1"),),
    ("MAP", "REFERENCE", "REFERENCE_RASTER"),
    one_of=("REFERENCE", "REFERENCE_RASTER"),
    tags="accuracy,confusion matrix,validation,area estimation",
)
ROBUSTNESS = Tool(
    "robustness",
    "Test a model on changes of a scene",
    "Quality",
    (
        SCENE,
        PRODUCT,
        MODEL,
        P("LABELS", "polygons", "Interpreted polygons", "--labels"),
        P("FIELD", "field", "Field of accepted classes", "--field", of="LABELS"),
        P("SHIFTS", "lines", "Simulated changes, separated by commas; empty: all", "--shift"),
        MASK,
        P("GROUP_FIELD", "field", "Field to group by", "--group-field", of="LABELS", advanced=True),
        P("GREEN_BAND", "integer", "Number of the green band", "--green-band", advanced=True, limits=(1,)),
        P("NIR_BAND", "integer", "Number of the near infrared", "--nir-band", advanced=True, limits=(1,)),
        *_READING,
        replace(_MIN_CONFIDENCE, advanced=True),
        _WORKERS,
        OVERWRITE,
        OUTPUT,
    ),
    (Output("FIGURES", "file", "Figures (JSON)"), Output("PICTURE", "file", "All maps (PNG)"), _FOLDER),
    ("SCENE", "PRODUCT"),
    told=_JSON,
    one_of=("SCENE", "PRODUCT"),
    tags="atmosphere,haze,domain shift",
)
TILE = Tool(
    "tile",
    "Cut labelled chips",
    "Training",
    (
        SCENE,
        PRODUCT,
        P("LABELS", "vector", "Labels: polygons, or cells of a review or sample", "--labels"),
        P("FIELD", "field", "Field of the class (polygons)", "--field", of="LABELS"),
        P("PATCH", "integer", "Side of a chip in pixels", "--patch", limits=(1,)),
        P("STRIDE", "integer", "Distance between chips in pixels", "--stride", limits=(1,)),
        P("MIN_COVER", "number", "Share of a chip that one class covers", "--min-cover", 0.6, limits=(0.5, 1)),
        AOI,
        EXTENT,
        MASK,
        _BIDX,
        _NODATA,
        OVERWRITE,
        replace(OUTPUT, label="Folder for the chips"),
    ),
    (Output("CHIPS", "number", "Chips"), replace(_FOLDER, label="Folder of the chips")),
    ("SCENE", "PRODUCT"),
    one_of=("SCENE", "PRODUCT"),
    tags="training data,patches",
)
TRAIN = Tool(
    "train",
    "Train a model",
    "Training",
    (
        P(
            "CHIPS",
            "file",
            "Chips (folder or zip with a sub-folder a class), or table of labelled scenes",
            optional=False,
        ),
        P("INIT", "file", "Continue with this model: name or .onnx file", "--init", of="Models (*.onnx)"),
        P("RECIPE", "file", "Recipe (TOML)", "--recipe", of="Recipes (*.toml)"),
        P("SET", "lines", "Changes of the recipe, as student.epochs=5, separated by commas", "--set"),
        P("VALIDATION", "file", "Chips for validation", "--validation"),
        P("UNLABELLED", "files", "With a model: scenes on which its answers are kept", "--unlabelled", advanced=True),
        P("RESUME", "flag", "Continue the run in the folder", "--resume", default=False, advanced=True),
        replace(OUTPUT, label="Folder of the run"),
    ),
    (Output("MODEL", "file", "Model (int8)"), Output("MODEL_FP32", "file", "Model (fp32)"), _FOLDER),
    ("CHIPS",),
    told=_JSON,
    tags="distillation,deep learning",
)

TOOLS = (CLASSIFY, INFO, MOSAIC, STYLE, SAMPLE, REVIEW, ASSESS, ROBUSTNESS, TILE, TRAIN)
