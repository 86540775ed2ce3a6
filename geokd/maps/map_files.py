"""The files of a map."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from geokd.files import write_bytes
from geokd.maps.class_map import ClassMap
from geokd.maps.geotiff import write_class_raster, write_confidence_raster
from geokd.maps.names import OutputNames
from geokd.maps.pages.quicklook import write_thumbnail
from geokd.maps.pages.summary import write_summary
from geokd.maps.qgis import class_attributes_pam, class_raster_qml, confidence_raster_qml


def write_layers(
    class_map: ClassMap,
    names: OutputNames,
    folder: Path,
    tags: Mapping[str, str],
    simplify_m: float = 0.0,
    *,
    polygons: bool = True,
) -> None:
    """Write the rasters of classes and confidence with names and styles, polygons, summary and thumbnail."""
    with ThreadPoolExecutor(2) as beside:  # GDAL lets go of Python's lock
        rasters = [
            beside.submit(write_confidence_raster, class_map, folder / names.confidence_raster, tags),
            beside.submit(write_class_raster, class_map, folder / names.class_raster, tags),
        ]
        write_bytes(folder / names.class_attributes, class_attributes_pam(class_map).encode())
        write_bytes(folder / names.class_style, class_raster_qml(class_map.legend).encode())
        write_bytes(folder / names.confidence_style, confidence_raster_qml().encode())
        counts = _write_polygons(class_map, folder / names.polygons, simplify_m) if polygons else None
        write_summary(class_map, counts, folder / names.summary)
        write_thumbnail(class_map, folder / names.thumbnail)
        for raster in rasters:
            raster.result()


def _write_polygons(class_map: ClassMap, path: Path, simplify_m: float) -> NDArray[np.int64]:
    """Write the GeoPackage; pyogrio is imported here, since it takes GeoPandas and pandas along where they are."""
    from geokd.maps.polygons.geopackage import write_polygons

    return write_polygons(class_map, path, simplify_m)
