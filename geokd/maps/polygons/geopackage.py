"""The map as polygons in a GeoPackage with its own QGIS style."""

import functools
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pyogrio.raw
import shapely
from numpy.typing import NDArray
from pyogrio.errors import DataLayerError, DataSourceError

from geokd.errors import OutputError
from geokd.files import plainly_named
from geokd.maps.class_map import ClassMap
from geokd.maps.polygons.perimeter import perimeters_m
from geokd.maps.polygons.regions import Regions, regions_of
from geokd.maps.qgis import polygons_qml

LAYER = "land_use"

_BATCH = 1_000_000  # about as many corners of polygons are written together

# The columns, in the order and spelling that QGIS writes itself.
_STYLE_TABLE = """
CREATE TABLE layer_styles (
    id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    f_table_catalog TEXT(256),
    f_table_schema TEXT(256),
    f_table_name TEXT(256),
    f_geometry_column TEXT(256),
    styleName TEXT(30),
    styleQML TEXT,
    styleSLD TEXT,
    useAsDefault BOOLEAN,
    description TEXT,
    owner TEXT(30),
    ui TEXT(30),
    update_time DATETIME DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
)
"""


def write_polygons(class_map: ClassMap, path: Path, simplify_m: float = 0.0) -> NDArray[np.int64]:
    """Write the connected regions as layer `land_use`, with the legend's colours and titles as its default style.

    Columns: class_value, class_name, class_title, area_ha, perimeter_m, mean_confidence and min_confidence (percent). A
    map without classes gives an empty layer. It is the only layer, so that QGIS opens it without a dialog. With
    `simplify_m` outlines are simplified (see :func:`geokd.maps.polygons.regions.regions_of`): area_ha remains that of
    the cells, so that it agrees with the rasters, while perimeter_m is that of the simplified outline.

    Returns
    -------
    int64 (K,)
        How many polygons each class of the legend has.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    written = np.zeros(len(class_map.legend), np.int64)
    try:
        with plainly_named(path) as plain:
            for regions in _in_batches(regions_of(class_map, simplify_m)):
                if len(regions) or not plain.exists():
                    _append(regions, class_map, plain, append=plain.exists())
                written += np.bincount(regions.codes, minlength=len(written))
            with closing(sqlite3.connect(plain)) as database:
                ((kept,),) = database.execute(f"SELECT count(*) FROM {LAYER}")
                add_style(database, LAYER, polygons_qml(class_map.legend), "Colours and titles of the land-use classes")
    except (DataSourceError, DataLayerError, sqlite3.Error) as error:
        raise OutputError(f"cannot write {path.name}: {error}; make room or choose another folder") from error
    if kept != written.sum():
        raise OutputError(f"cannot write {path.name} to its end; make room or choose another folder")
    return written


def _in_batches(parts: Iterable[Regions]) -> Iterator[Regions]:
    """Join parts to batches of :data:`_BATCH` corners or more; the last one has the rest, or none."""
    batch: list[Regions] = []
    corners = 0
    for regions in parts:
        batch.append(regions)
        corners += int(shapely.get_num_coordinates(regions.polygons).sum())
        if corners >= _BATCH:
            yield functools.reduce(Regions.join, batch)
            batch, corners = [], 0
    if batch:
        yield functools.reduce(Regions.join, batch)


def _append(regions: Regions, class_map: ClassMap, path: Path, *, append: bool) -> None:
    legend = class_map.legend
    columns = {
        "class_value": regions.codes.astype(np.int32),
        "class_name": np.array([legend[code].name for code in regions.codes], dtype=object),
        "class_title": np.array([legend[code].title for code in regions.codes], dtype=object),
        "area_ha": regions.areas_ha,
        "perimeter_m": perimeters_m(regions.polygons, class_map.grid.crs),
        "mean_confidence": regions.confidence / regions.cells,
        "min_confidence": regions.least_confidence.astype(np.int32),
    }
    pyogrio.raw.write(
        path,
        geometry=shapely.to_wkb(regions.polygons),
        field_data=list(columns.values()),
        fields=list(columns),
        crs=class_map.grid.crs.to_wkt() if class_map.grid.crs else None,
        geometry_type="Polygon",
        driver="GPKG",
        layer=LAYER,
        append=append,
        **({} if append else {"dataset_options": {"VERSION": "1.2"}}),  # newer ones make the GDAL of QGIS 3.22 warn
    )


def add_style(database: sqlite3.Connection, layer: str, qml: str, description: str) -> None:
    """Add the table `layer_styles`, registered as GeoPackage contents, with the style of one layer.

    Raises
    ------
    sqlite3.Error
        If it cannot be written.
    """
    ((changed, geometry_column),) = database.execute(
        "SELECT last_change, column_name FROM gpkg_contents JOIN gpkg_geometry_columns USING (table_name)"
        " WHERE table_name = ?",
        (layer,),
    )
    database.execute(_STYLE_TABLE)
    database.execute(
        "INSERT INTO layer_styles (f_table_catalog, f_table_schema, f_table_name, f_geometry_column, styleName,"
        " styleQML, styleSLD, useAsDefault, description, owner, ui, update_time)"
        " VALUES ('', '', ?, ?, ?, ?, '', 1, ?, '', NULL, ?)",
        (layer, geometry_column, layer, qml, description, changed),
    )
    database.execute(
        "INSERT INTO gpkg_contents (table_name, data_type, identifier, description, last_change)"
        " VALUES ('layer_styles', 'attributes', 'layer_styles', '', ?)",
        (changed,),
    )
    database.commit()
