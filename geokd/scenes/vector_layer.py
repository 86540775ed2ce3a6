"""The features of a vector file, in the coordinates of a scene."""

import logging
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
import pyogrio.raw
import shapely
from numpy.typing import NDArray
from pyproj import CRS, Transformer
from pyproj.exceptions import ProjError
from shapely.errors import ShapelyError

from geokd.errors import CallError, ChipError
from geokd.scenes.grid import SceneGrid
from geokd.scenes.opening import gdal_reason
from geokd.scenes.silent_layers import refuse_silent
from geokd.scenes.turns import geometries_towards, unwrapped

_LOG = logging.getLogger("geokd")
_UNREADABLE = (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError, ShapelyError)


@dataclass(frozen=True, eq=False)
class VectorLayer:
    """Features with their attributes.

    Parameters
    ----------
    geometries : array (N,) of shapely geometries
    fields : dict of str to array (N,)
        Attributes. A missing value is None, or NaN in an array of numbers.
    """

    geometries: NDArray[np.object_]
    fields: dict[str, NDArray[Any]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.geometries)

    def only(self, which: NDArray[np.bool_] | NDArray[np.intp]) -> "VectorLayer":
        """Choose features by a mask or by their numbers."""
        return VectorLayer(self.geometries[which], {name: values[which] for name, values in self.fields.items()})

    def in_parts(self) -> "VectorLayer":
        """Split multipoints and multipolygons; each part keeps the attributes."""
        parts, whole = shapely.get_parts(self.geometries, return_index=True)
        return VectorLayer(parts, self.only(whole).fields)

    def values(self, name: str) -> list[Any]:
        """Return the values of an attribute, None where there is none."""
        return [None if value != value else value for value in self.fields[name].tolist()]  # noqa: PLR0124  NaN

    def texts(self, name: str) -> list[str]:
        """Return the values of an attribute as text, empty where there is none.

        Integers, which are floats in an array with gaps, are written as integers. A letter with a combining accent
        becomes one character, as in the names of a map's classes.
        """
        return ["" if value is None else _as_text(value) for value in self.values(name)]


def read_layer(path: Path, grid: SceneGrid, *wanted: str, points: bool = False) -> VectorLayer:
    """Read the only layer of polygons of a file with the fields `wanted`, in the CRS of `grid`.

    Empty geometries are left out. With `points`, the layer may be one of points instead.

    Raises
    ------
    CallError
        If the file or field does not exist.
    ChipError
        If the file has no usable layer, or its geometries cannot be transformed to the CRS.
    """
    if grid.crs is None:
        raise ChipError("the scene has no coordinate reference system, so labels cannot be placed on it; assign one")
    layer, fields = only_layer(path)
    called = {composed(name): name for name in fields}
    wanted = tuple(wanted)
    missing = [repr(name) for name in wanted if composed(name) not in called]
    if missing:
        raise CallError(f"{path} has no field {' and '.join(missing)}; it has {', '.join(fields) or 'none at all'}")
    features, crs = _read(path, layer, {called[composed(name)]: name for name in wanted})
    if not len(features):
        raise ChipError(f"{path} has no polygons; draw some, with a class in a text field")
    _check_kinds(path, features, points=points)
    if crs is None:
        raise ChipError(
            f"the labels {path} have no coordinate reference system; assign one with ogr2ogr -a_srs EPSG:..."
        )
    try:
        return VectorLayer(brought_to(features.geometries, crs, grid), features.fields)
    except ProjError as error:
        raise ChipError(f"the labels {path} cannot be transformed to the scene's coordinates: {error}") from error


def only_layer(path: Path) -> tuple[str, list[str]]:
    """Find the only layer with geometry of a vector file; return its name and those of its fields.

    Raises
    ------
    CallError
        If the file does not exist.
    ChipError
        If it is not a vector file, or does not have exactly one such layer.
    """
    if not path.exists():
        raise CallError(f"no such file: {path}")
    refuse_silent(path)
    try:
        layers = [str(name) for name, geometry in pyogrio.list_layers(path) if geometry is not None]
        if len(layers) == 1:
            return layers[0], [str(name) for name in pyogrio.read_info(path, layer=layers[0])["fields"]]
    except (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError) as error:
        raise ChipError(f"{path} is not a vector file, or is broken: {gdal_reason(error)}") from error
    if not layers:
        raise ChipError(
            f"{path} has no layer with geometry; if it is a table with coordinates, make points of them first, in QGIS"
            " with Create Points Layer from Table, and save these as a GeoPackage"
        )
    listing = f"{len(layers)} layers with geometry ({', '.join(layers)})"
    raise ChipError(f"{path} holds {listing}, one is expected; copy the right one with ogr2ogr out.gpkg in LAYER")


def read_features(path: Path, layer: str, where: str | None = None) -> tuple[NDArray[np.object_], str | None]:
    """Read the non-empty geometries of a layer, of selected features if requested, and their CRS.

    Raises
    ------
    ChipError
        If the file is broken.
    CallError
        If `where` is not a condition on its fields.
    """
    try:
        about, _, coded, _ = pyogrio.raw.read(path, layer=layer, columns=[], where=where)
        geometries = shapely.from_wkb(coded)
    except (ValueError, pyogrio.errors.FeatureError) as error:
        if where is None:
            raise ChipError(f"{path} is not a vector file, or is broken: {gdal_reason(error)}") from error
        fields = ", ".join(map(str, pyogrio.read_info(path, layer=layer)["fields"])) or "none"
        raise CallError(
            f"{where!r} is not a condition on the fields of {path} ({fields}): {error}; write it like \"name = 'x'\""
        ) from error
    except _UNREADABLE as error:
        raise ChipError(f"{path} is not a vector file, or is broken: {gdal_reason(error)}") from error
    lies = ~(shapely.is_missing(geometries) | shapely.is_empty(geometries))
    return np.asarray(geometries, object)[lies], about["crs"]


def composed(text: str) -> str:
    """Return a name with combined accents, however it was typed."""
    return unicodedata.normalize("NFC", text)


def guessed_encoding(path: Path) -> str | None:
    """Guess the encoding of a shapefile that does not declare it: UTF-8 if its texts are valid UTF-8, else None.

    Other texts are left to GDAL, which reads them as Latin-1.
    """
    table = next((f for f in (path.with_suffix(".dbf"), path.with_suffix(".DBF")) if f.is_file()), None)
    if path.suffix.lower() != ".shp" or table is None or path.with_suffix(".cpg").exists():
        return None
    content = table.read_bytes()
    if content[29:30] not in (b"", b"\0") or content.isascii():  # a code page is declared, or none is needed
        return None
    start = int.from_bytes(content[8:10], "little")
    try:
        content[start:].decode("utf-8")
    except UnicodeDecodeError:
        return None
    return "UTF-8"


def _read(path: Path, layer: str, wanted: Mapping[str, str]) -> tuple[VectorLayer, str | None]:
    """Read non-empty features, their fields under the wanted names, and the CRS of their file."""
    encoding = guessed_encoding(path)
    if encoding:
        _LOG.warning(
            "Warning: %s does not declare the encoding of its texts (there is no .cpg): they are read as %s",
            path,
            encoding,
        )
    try:
        about, _, coded, columns = pyogrio.raw.read(path, layer=layer, columns=list(wanted), encoding=encoding)
        geometries = shapely.from_wkb(coded)
    except UnicodeDecodeError as error:
        raise ChipError(
            f"the texts in {path} are not in the encoding that it declares ({error}); write it again in UTF-8, with"
            " ogr2ogr -lco ENCODING=UTF-8 or QGIS"
        ) from error
    except (*_UNREADABLE, pyogrio.errors.FeatureError) as error:
        raise ChipError(f"{path} is not a vector file, or is broken: {gdal_reason(error)}") from error
    fields = {wanted[str(name)]: values for name, values in zip(about["fields"], columns, strict=True)}
    features = VectorLayer(np.asarray(geometries, object), fields)
    return features.only(~(shapely.is_missing(geometries) | shapely.is_empty(geometries))), about["crs"]


def _check_kinds(path: Path, features: VectorLayer, *, points: bool) -> None:
    _, examples = np.unique(shapely.get_type_id(features.geometries), return_index=True)
    kinds = {str(features.geometries[number].geom_type) for number in examples}
    fit = {"Polygon", "MultiPolygon"}
    if points and kinds <= {"Point", "MultiPoint"}:
        fit = {"Point", "MultiPoint"}
    if kinds - fit:
        usable = "points or polygons" if points else "polygons"
        raise ChipError(
            f"{path} holds {', '.join(sorted(kinds - fit))} geometries; only {usable} can be used here, one kind per"
            " file: leave out the others"
        )


def _clipped(geometries: NDArray[np.object_], crs: str, grid: SceneGrid) -> NDArray[np.object_]:
    """Clip polygons far from the scene, which its CRS may not be able to represent."""
    assert grid.crs is not None
    around = Transformer.from_crs(grid.crs.to_wkt(), crs, always_xy=True).transform_bounds(*grid.bounds)
    if not np.isfinite(around).all() or around[0] >= around[2]:  # the scene includes the antimeridian or a pole
        return geometries
    margin = max(around[2] - around[0], around[3] - around[1])
    box = shapely.box(around[0] - margin, around[1] - margin, around[2] + margin, around[3] + margin)
    is_area = shapely.get_dimensions(geometries) == 2
    beyond = is_area & ~shapely.within(geometries, box) & shapely.intersects(geometries, box)
    if not beyond.any():
        return geometries
    clipped = geometries.copy()
    parts = shapely.intersection(shapely.make_valid(geometries[beyond]), box)
    clipped[beyond] = shapely.buffer(parts, 0)  # only polygons, no lines along the box
    return clipped


def brought_to(geometries: NDArray[np.object_], crs: str, grid: SceneGrid) -> NDArray[np.object_]:
    """Transform geometries to the CRS of a grid; polygons are clipped far from it.

    Longitudes are those of the grid: 180.01 degrees if it extends beyond 180, not -179.99.

    Raises
    ------
    ProjError
        If the transformation fails.
    """
    assert grid.crs is not None
    source, target = CRS.from_user_input(crs), CRS.from_wkt(grid.crs.to_wkt())
    if not (source.is_geographic and target.is_geographic):
        geometries = _clipped(geometries, crs, grid)
    if source != target:
        transformer = Transformer.from_crs(source, target, always_xy=True)

        def moved(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
            x, y = transformer.transform(x, y)
            return (x if source.is_geographic else unwrapped(x, grid)), y

        geometries = np.asarray(shapely.transform(geometries, moved, interleaved=False), object)
    return geometries_towards(geometries, grid) if target.is_geographic else geometries


def _as_text(value: object) -> str:
    text = str(int(value)) if isinstance(value, float) and value.is_integer() else str(value).strip()
    return composed(text)
