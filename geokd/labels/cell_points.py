"""Cells of a map as points in a GeoPackage, with a form to label them in QGIS; `labels.cell_labels` reads it back."""

import json
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio.raw
import shapely
from numpy.typing import NDArray
from pyogrio.errors import DataLayerError, DataSourceError

from geokd.errors import OutputError
from geokd.files import plainly_named
from geokd.labels.cell_names import METADATA, CellLayer
from geokd.legend.classes import Legend
from geokd.maps.map_file import MapFile, Strata
from geokd.maps.polygons.geopackage import add_style

Column = tuple[NDArray[Any], NDArray[np.bool_]]
"""Values (N,), and which of them are missing."""


@dataclass(frozen=True, eq=False)
class CellPoints:
    """Chosen cells, in the order in which they are to be labelled.

    Parameters
    ----------
    rows, cols : int64 arrays (N,)
    codes : int64 array (N,)
        Code of the map at each cell.
    columns : dict of str to Column
        Attributes of each besides its number `point`.
    """

    rows: NDArray[np.int64]
    cols: NDArray[np.int64]
    codes: NDArray[np.int64]
    columns: dict[str, Column]


@dataclass(frozen=True, eq=False)
class CellForm:
    """Layer, form and metadata of the points.

    Parameters
    ----------
    layer : {"sample", "review"}
    description : str
        Description of the layer, in a sentence.
    qml : str
        Style and form.
    strata : Strata
        Cells and areas of each class of the map.
    design : dict of str
        How the cells were chosen.
    classes : Legend or None
        The classes to pick from, if the strata are not the classes of the map.
    """

    layer: CellLayer
    description: str
    qml: str
    strata: Strata
    design: dict[str, str]
    classes: Legend | None = None


# As in GeoPackage 1.2, section F.8.
_METADATA_TABLES = """
CREATE TABLE IF NOT EXISTS gpkg_extensions (
    table_name TEXT, column_name TEXT, extension_name TEXT NOT NULL, definition TEXT NOT NULL, scope TEXT NOT NULL,
    CONSTRAINT ge_tce UNIQUE (table_name, column_name, extension_name)
);
CREATE TABLE gpkg_metadata (
    id INTEGER CONSTRAINT m_pk PRIMARY KEY ASC NOT NULL,
    md_scope TEXT NOT NULL DEFAULT 'dataset',
    md_standard_uri TEXT NOT NULL,
    mime_type TEXT NOT NULL DEFAULT 'text/xml',
    metadata TEXT NOT NULL DEFAULT ''
);
CREATE TABLE gpkg_metadata_reference (
    reference_scope TEXT NOT NULL,
    table_name TEXT,
    column_name TEXT,
    row_id_value INTEGER,
    timestamp DATETIME NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
    md_file_id INTEGER NOT NULL,
    md_parent_id INTEGER,
    CONSTRAINT crmr_mfi_fk FOREIGN KEY (md_file_id) REFERENCES gpkg_metadata(id),
    CONSTRAINT crmr_mpi_fk FOREIGN KEY (md_parent_id) REFERENCES gpkg_metadata(id)
);
INSERT INTO gpkg_extensions VALUES
    ('gpkg_metadata', NULL, 'gpkg_metadata', 'http://www.geopackage.org/spec120/#extension_metadata', 'read-write'),
    ('gpkg_metadata_reference', NULL, 'gpkg_metadata', 'http://www.geopackage.org/spec120/#extension_metadata',
     'read-write');
"""


def complete(values: NDArray[Any]) -> Column:
    """Make a column without missing values."""
    return values, np.zeros(len(values), np.bool_)


def write_cell_points(points: CellPoints, class_map: MapFile, form: CellForm, path: Path) -> None:
    """Write the points as a layer with its form, and with the design and the map's classes as metadata.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    grid = class_map.grid
    x, y = grid.transform @ (points.cols + 0.5, points.rows + 0.5)
    columns = {"point": complete(np.arange(1, len(points.rows) + 1, dtype=np.int32)), **points.columns}
    assert grid.crs is not None
    try:
        with plainly_named(path) as plain:
            pyogrio.raw.write(
                plain,
                geometry=shapely.to_wkb(shapely.points(x, y)),
                field_data=[values for values, _ in columns.values()],
                field_mask=[mask for _, mask in columns.values()],
                fields=list(columns),
                crs=grid.crs.to_wkt(),
                geometry_type="Point",
                driver="GPKG",
                layer=form.layer,
                layer_options={"DESCRIPTION": form.description},
                dataset_options={"VERSION": "1.2"},  # newer ones make the GDAL of QGIS 3.22 warn
            )
            with closing(sqlite3.connect(plain)) as database:
                _add_metadata(database, points, class_map, form)
                add_style(database, form.layer, form.qml, f"Form of the {form.layer}")
    except (DataSourceError, DataLayerError, sqlite3.Error) as error:
        raise OutputError(f"cannot write {path.name}: {error}; make room or choose another folder") from error


def _add_metadata(database: sqlite3.Connection, points: CellPoints, class_map: MapFile, form: CellForm) -> None:
    """Add the design and the map's classes as the GeoPackage's metadata: QGIS would offer tables as layers."""
    chosen = np.bincount(points.codes, minlength=len(class_map.legend))
    classes = [
        {"value": c.value, "name": c.name, "title": c.title}
        | {"cells": int(cells), "area_ha": float(area_ha), "points": int(count)}
        for c, cells, area_ha, count in zip(class_map.legend, *form.strata, chosen, strict=True)
    ]
    options = class_map.manifest.options
    patch_px = None if options is None else options.patch_px
    design = form.design | ({} if patch_px is None else {"patch_px": str(patch_px)})
    description: dict[str, Any] = {"design": design, "classes": classes}
    if form.classes is not None:
        description = {"design": design, "classes": form.classes.to_json(), "strata": classes}
    document = json.dumps(description, ensure_ascii=False, allow_nan=False)
    database.executescript(_METADATA_TABLES)
    database.execute(
        "INSERT INTO gpkg_metadata (id, md_scope, md_standard_uri, mime_type, metadata)"
        " VALUES (1, 'dataset', ?, 'application/json', ?)",
        (METADATA, document),
    )
    database.execute("INSERT INTO gpkg_metadata_reference (reference_scope, md_file_id) VALUES ('geopackage', 1)")
    database.commit()
