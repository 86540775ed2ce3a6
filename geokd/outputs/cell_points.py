"""Cells of a map as points in a GeoPackage, with a form to label them in QGIS; `scenes.cell_labels` reads it back."""

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
from geokd.outputs.geopackage import add_style
from geokd.outputs.map_file import MapFile, Strata
from geokd.outputs.staging import plainly_named
from geokd.scenes.cell_labels import CLASS_TABLES, DESIGN, CellLayer

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
        What is said of each beside its number `point`.
    """

    rows: NDArray[np.int64]
    cols: NDArray[np.int64]
    codes: NDArray[np.int64]
    columns: dict[str, Column]


@dataclass(frozen=True, eq=False)
class CellForm:
    """What surrounds the points in their file.

    Parameters
    ----------
    layer : {"sample", "review"}
    description : str
        What the layer is, in a sentence.
    qml : str
        Style and form.
    strata : Strata
        Cells and areas of each class of the map.
    design : dict of str
        How the cells were chosen.
    """

    layer: CellLayer
    description: str
    qml: str
    strata: Strata
    design: dict[str, str]


def complete(values: NDArray[Any]) -> Column:
    """Make a column of which no value is missing."""
    return values, np.zeros(len(values), np.bool_)


def write_cell_points(points: CellPoints, class_map: MapFile, form: CellForm, path: Path) -> None:
    """Write the points as a layer with its form, a table of the map's classes, and the table `design`.

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
                _add_tables(database, points, class_map, form)
                add_style(database, form.layer, form.qml, f"Form of the {form.layer}")
    except (DataSourceError, DataLayerError, sqlite3.Error) as error:
        raise OutputError(f"cannot write {path.name}: {error}; make room or choose another folder") from error


def _add_tables(database: sqlite3.Connection, points: CellPoints, class_map: MapFile, form: CellForm) -> None:
    """Add the tables without geometry, registered as GeoPackage contents."""
    legend, strata, classes = class_map.legend, form.strata, CLASS_TABLES[form.layer]
    database.executescript(
        f"""
        CREATE TABLE {classes} (
            value INTEGER PRIMARY KEY NOT NULL, name TEXT NOT NULL, title TEXT NOT NULL,
            cells INTEGER NOT NULL, area_ha REAL NOT NULL, points INTEGER NOT NULL
        );
        CREATE TABLE {DESIGN} (id INTEGER PRIMARY KEY NOT NULL, name TEXT NOT NULL, value TEXT NOT NULL);
        """
    )
    chosen = np.bincount(points.codes, minlength=len(legend))
    database.executemany(
        f"INSERT INTO {classes} VALUES (?, ?, ?, ?, ?, ?)",
        [
            (c.value, c.name, c.title, int(cells), float(area_ha), int(count))
            for c, cells, area_ha, count in zip(legend, *strata, chosen, strict=True)
        ],
    )
    patch_px = class_map.manifest.get("options", {}).get("patch_px")
    design = form.design | ({} if patch_px is None else {"patch_px": str(patch_px)})
    database.executemany(f"INSERT INTO {DESIGN} (name, value) VALUES (?, ?)", list(design.items()))
    for table in (classes, DESIGN):
        database.execute(
            "INSERT INTO gpkg_contents (table_name, data_type, identifier) VALUES (?, 'attributes', ?)", (table, table)
        )
