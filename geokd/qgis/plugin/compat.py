"""Names that QGIS 3.22 (Qt 5) and QGIS 4 (Qt 6) have in different places."""

from __future__ import annotations

from functools import reduce
from typing import Any

from qgis.core import (
    QgsProcessing,
    QgsProcessingParameterDefinition,
    QgsProcessingParameterField,
    QgsProcessingParameterFile,
    QgsProcessingParameterNumber,
)


def first_of(holder: Any, *names: str) -> Any:
    """Return the first of the dotted names that `holder` has.

    Raises
    ------
    AttributeError
        If it has none.
    """
    found = [reduce(lambda of, part: getattr(of, part, None), name.split("."), holder) for name in names]
    known = [member for member in found if member is not None]
    if not known:
        raise AttributeError(f"{holder.__name__} has none of {', '.join(names)}")
    return known[0]


ADVANCED = first_of(QgsProcessingParameterDefinition, "FlagAdvanced", "Flag.FlagAdvanced")
ANY_FIELD = first_of(QgsProcessingParameterField, "Any", "DataType.Any")
FILE = first_of(QgsProcessingParameterFile, "Behavior.File", "File")
INTEGER = first_of(QgsProcessingParameterNumber, "Type.Integer", "Integer")
DOUBLE = first_of(QgsProcessingParameterNumber, "Type.Double", "Double")
RASTERS = first_of(QgsProcessing, "TypeRaster", "SourceType.TypeRaster")
FILES = first_of(QgsProcessing, "TypeFile", "SourceType.TypeFile")
POLYGONS = first_of(QgsProcessing, "TypeVectorPolygon", "SourceType.TypeVectorPolygon")
VECTORS = first_of(QgsProcessing, "TypeVectorAnyGeometry", "SourceType.TypeVectorAnyGeometry")
POINTS = first_of(QgsProcessing, "TypeVectorPoint", "SourceType.TypeVectorPoint")
