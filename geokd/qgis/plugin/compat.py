"""Names that are in `Qgis` since QGIS 3.36, with scopes for Qt 6, and elsewhere in QGIS 3.22."""

from __future__ import annotations

from functools import reduce
from typing import Any

from qgis import core


def first_of(*names: str) -> Any:
    """Return the first of some dotted names that `qgis.core` has.

    Raises
    ------
    AttributeError
        If it has none.
    """
    found = [reduce(lambda holder, part: getattr(holder, part, None), name.split("."), core) for name in names]
    known = [member for member in found if member is not None]
    if not known:
        raise AttributeError(f"this QGIS has none of {', '.join(names)}")
    return known[0]


ADVANCED = first_of("Qgis.ProcessingParameterFlag.Advanced", "QgsProcessingParameterDefinition.FlagAdvanced")
ANY_FIELD = first_of("Qgis.ProcessingFieldParameterDataType.Any", "QgsProcessingParameterField.Any")
FILE = first_of("Qgis.ProcessingFileParameterBehavior.File", "QgsProcessingParameterFile.File")
INTEGER = first_of("Qgis.ProcessingNumberParameterType.Integer", "QgsProcessingParameterNumber.Integer")
DOUBLE = first_of("Qgis.ProcessingNumberParameterType.Double", "QgsProcessingParameterNumber.Double")
RASTERS = first_of("Qgis.ProcessingSourceType.Raster", "QgsProcessing.TypeRaster")
FILES = first_of("Qgis.ProcessingSourceType.File", "QgsProcessing.TypeFile")
POLYGONS = first_of("Qgis.ProcessingSourceType.VectorPolygon", "QgsProcessing.TypeVectorPolygon")
VECTORS = first_of("Qgis.ProcessingSourceType.VectorAnyGeometry", "QgsProcessing.TypeVectorAnyGeometry")
POINTS = first_of("Qgis.ProcessingSourceType.VectorPoint", "QgsProcessing.TypeVectorPoint")
RASTER_LAYER = first_of("QgsProcessingUtils.LayerHint.Raster", "QgsProcessingUtils.Raster")
VECTOR_LAYER = first_of("QgsProcessingUtils.LayerHint.Vector", "QgsProcessingUtils.Vector")
