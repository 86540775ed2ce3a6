"""Parameters and outputs of a tool as QGIS objects, and the plain values that the user gave."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from qgis.core import (
    NULL,
    QgsCoordinateReferenceSystem,
    QgsProcessingException,
    QgsProcessingFeatureSourceDefinition,
    QgsProcessingOutputFile,
    QgsProcessingOutputFolder,
    QgsProcessingOutputNumber,
    QgsProcessingOutputRasterLayer,
    QgsProcessingOutputString,
    QgsProcessingOutputVectorLayer,
    QgsProcessingParameterBoolean,
    QgsProcessingParameterCrs,
    QgsProcessingParameterEnum,
    QgsProcessingParameterExtent,
    QgsProcessingParameterFeatureSource,
    QgsProcessingParameterField,
    QgsProcessingParameterFile,
    QgsProcessingParameterFileDestination,
    QgsProcessingParameterFolderDestination,
    QgsProcessingParameterMultipleLayers,
    QgsProcessingParameterNumber,
    QgsProcessingParameterRasterLayer,
    QgsProcessingParameterString,
    QgsProcessingParameterVectorDestination,
    QgsVectorLayer,
)

from . import compat
from .parameters import Output, Parameter

if TYPE_CHECKING:
    from qgis.core import QgsProcessingAlgorithm, QgsProcessingContext, QgsProcessingFeedback

_VECTOR_FILES = ["gpkg", "shp", "geojson", "json", "gml", "kml", "fgb"]  # that are handed to geokd as they are
_OUTPUTS = {
    "raster": QgsProcessingOutputRasterLayer,
    "vector": QgsProcessingOutputVectorLayer,
    "file": QgsProcessingOutputFile,
    "folder": QgsProcessingOutputFolder,
    "number": QgsProcessingOutputNumber,
    "text": QgsProcessingOutputString,
}


def output_definition(output: Output) -> Any:
    """Return an output as a QGIS object."""
    return _OUTPUTS[output.kind](output.name, output.label)


def parameter_definition(p: Parameter, help_text: str) -> Any:
    """Return a parameter as a QGIS object."""
    made = _definition(p if p.default is None or p.kind == "file" else replace(p, optional=False))
    if p.advanced:
        made.setFlags(made.flags() | compat.ADVANCED)
    if help_text and hasattr(made, "setHelp"):
        made.setHelp(help_text)
    return made


def _number(p: Parameter) -> Any:
    kind = compat.INTEGER if p.kind == "integer" else compat.DOUBLE
    made = QgsProcessingParameterNumber(p.name, p.label, kind, p.default, p.optional)
    if p.limits:
        made.setMinimum(p.limits[0])
    if len(p.limits) > 1:
        made.setMaximum(p.limits[1])
    return made


def _definition(p: Parameter) -> Any:  # noqa: PLR0911  a line a kind
    if p.kind in ("number", "integer"):
        return _number(p)
    if p.kind == "rasters":
        return QgsProcessingParameterMultipleLayers(p.name, p.label, compat.RASTERS, optional=p.optional)
    if p.kind == "files":
        return QgsProcessingParameterMultipleLayers(p.name, p.label, compat.FILES, optional=p.optional)
    if p.kind in ("vector", "polygons", "area"):
        kinds = [compat.VECTORS if p.kind == "vector" else compat.POLYGONS]
        return QgsProcessingParameterFeatureSource(p.name, p.label, kinds, optional=p.optional)
    if p.kind == "choice":
        return QgsProcessingParameterEnum(
            p.name,
            p.label,
            list(p.choices),
            False,
            p.default,
            p.optional,
            True,
        )
    if p.kind == "field":
        return QgsProcessingParameterField(p.name, p.label, None, p.of, compat.ANY_FIELD, False, p.optional)
    if p.kind == "file":
        names = f"{p.of};;All files (*)" if p.of else "All files (*)"  # `*.*` would refuse names without a dot
        return QgsProcessingParameterFile(p.name, p.label, compat.FILE, "", p.default, p.optional, names)
    if p.kind == "file out":
        return QgsProcessingParameterFileDestination(p.name, p.label, p.of, None, p.optional, False)
    if p.kind == "points out":
        return QgsProcessingParameterVectorDestination(p.name, p.label, compat.POINTS)
    plain = {
        "raster": QgsProcessingParameterRasterLayer,
        "text": QgsProcessingParameterString,
        "lines": QgsProcessingParameterString,
        "flag": QgsProcessingParameterBoolean,
        "extent": QgsProcessingParameterExtent,
        "crs": QgsProcessingParameterCrs,
        "folder out": QgsProcessingParameterFolderDestination,
    }[p.kind]
    return plain(p.name, p.label, defaultValue=p.default, optional=p.optional)


class Reader:
    """Reads the user's values for the parameters of an algorithm; in the main thread, where layers live."""

    def __init__(
        self,
        algorithm: QgsProcessingAlgorithm,
        given: dict[str, Any],
        context: QgsProcessingContext,
        feedback: QgsProcessingFeedback,
    ) -> None:
        self._algorithm, self._given, self._context, self._feedback = algorithm, given, context, feedback

    def value(self, p: Parameter) -> object:
        """Return the value of a parameter as text, number, bool or list of texts; None if nothing is given.

        Raises
        ------
        QgsProcessingException
            If geokd cannot read a layer.
        """
        given = self._given.get(p.name)
        if (given is None or given == NULL) and p.optional and p.default is None:
            return None
        read = getattr(self, "_" + p.kind.replace(" ", "_"))
        value: object = read(p.name)
        return value

    def _call(self, name: str, parameter: str) -> Any:
        return getattr(self._algorithm, name)(self._given, parameter, self._context)

    def _raster(self, name: str) -> str | None:
        layer = self._call("parameterAsRasterLayer", name)
        return None if layer is None else _source(layer, "gdal")

    def _rasters(self, name: str) -> list[str]:
        return [_source(layer, "gdal") for layer in self._call("parameterAsLayerList", name)]

    def _files(self, name: str) -> list[str]:
        given = self._given.get(name)
        return [str(one) for one in (given if isinstance(given, (list, tuple)) else [given]) if one]

    def _file(self, name: str) -> str:
        return str(self._call("parameterAsFile", name))

    def _area(self, name: str) -> str:
        """Return FILE:LAYER, or FILE where its only layer is meant."""
        path, layer = self._file_of_vector(name, _VECTOR_FILES)
        there = bool(layer) and QgsVectorLayer(f"{path}|layername={layer}").isValid()  # a copy has a name of its own
        return f"{path}:{layer}" if there else path

    def _polygons(self, name: str) -> str:
        return self._vector(name)

    def _vector(self, name: str) -> str:
        """Return a file with one layer."""
        path, layer = self._file_of_vector(name, _VECTOR_FILES)
        whole = QgsVectorLayer(path)
        if layer and whole.isValid() and len(whole.dataProvider().subLayers()) > 1:
            path, _ = self._file_of_vector(name, [])
        return path

    def _file_of_vector(self, name: str, formats: list[str]) -> tuple[str, str]:
        """Return file and layer: the layer's own, or a copy of what is selected, filtered, or in no file of `formats`.

        Raises
        ------
        QgsProcessingException
            If the layer has changes that are not saved.
        """
        given = self._given[name]
        if isinstance(given, QgsProcessingFeatureSourceDefinition):
            given = given.source.staticValue()
        layer = self._algorithm.parameterAsVectorLayer({name: given}, name, self._context)
        if layer is not None and layer.isModified():
            raise QgsProcessingException(
                f"The layer {layer.name()} has changes that are not saved: save them, then run the tool again."
            )
        path, part = self._algorithm.parameterAsCompatibleSourceLayerPathAndLayerName(
            self._given, name, self._context, formats, "gpkg", self._feedback
        )
        return str(path), str(part or "")

    def _text(self, name: str) -> str:
        return str(self._call("parameterAsString", name)).strip()

    def _lines(self, name: str) -> list[str]:
        return [part.strip() for part in self._text(name).split(",") if part.strip()]

    def _integer(self, name: str) -> int:
        return int(self._call("parameterAsInt", name))

    def _number(self, name: str) -> float:
        return float(self._call("parameterAsDouble", name))

    def _flag(self, name: str) -> bool:
        return bool(self._call("parameterAsBool", name))

    def _choice(self, name: str) -> str:
        return str(self._call("parameterAsEnumString", name))

    def _field(self, name: str) -> str:
        return str(self._call("parameterAsString", name))

    def _crs(self, name: str) -> str:
        crs = self._call("parameterAsCrs", name)
        return str(crs.authid() or crs.toWkt()) if crs.isValid() else ""

    def _extent(self, name: str) -> str:
        degrees = QgsCoordinateReferenceSystem("EPSG:4326")
        box = self._algorithm.parameterAsExtent(self._given, name, self._context, degrees)
        if box.isNull():
            return ""
        sides = (box.xMinimum(), box.yMinimum(), box.xMaximum(), box.yMaximum())
        return ",".join(f"{side:.9f}" for side in sides)

    def _folder_out(self, name: str) -> str:
        return str(self._call("parameterAsFileOutput", name))

    def _file_out(self, name: str) -> str:
        return str(self._call("parameterAsFileOutput", name))

    def _points_out(self, name: str) -> str:
        return str(self._call("parameterAsOutputLayer", name))


def _source(layer: Any, provider: str) -> str:
    """Return the file of a layer, or another name for GDAL."""
    if layer.providerType() != provider:
        raise QgsProcessingException(
            f"The layer {layer.name()} is of {layer.providerType()}: geokd reads files; save it as GeoTIFF first."
        )
    return str(layer.source())
