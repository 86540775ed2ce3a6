"""The sample of a map: points in a GeoPackage, to be labelled in QGIS and read back."""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyogrio.raw
import shapely
from numpy.typing import NDArray
from pyogrio.errors import DataLayerError, DataSourceError

from geokd.errors import ChipError, OutputError
from geokd.legend import Legend
from geokd.outputs.geopackage import add_style
from geokd.outputs.map_file import MapFile, Strata
from geokd.outputs.qgis import sample_qml
from geokd.outputs.staging import plainly_named

LAYER, STRATA, DESIGN = "sample", "strata", "design"
FIELD = "reference"

# What is no layer with geometry: the strata, and how the points came about.
_TABLES = f"""
CREATE TABLE {STRATA} (
    value INTEGER PRIMARY KEY NOT NULL, name TEXT NOT NULL, title TEXT NOT NULL,
    cells INTEGER NOT NULL, area_ha REAL NOT NULL, points INTEGER NOT NULL
);
CREATE TABLE {DESIGN} (id INTEGER PRIMARY KEY NOT NULL, name TEXT NOT NULL, value TEXT NOT NULL);
"""


@dataclass(frozen=True, eq=False)
class SamplePoints:
    """Cells that were drawn, in the order in which they are to be labelled.

    Parameters
    ----------
    rows, cols : int64 arrays (N,)
    strata : int64 array (N,)
        Code of the map at each cell.
    pictures : sequence of str
        JPEG in base64 of the scene about each cell, or the empty text.
    """

    rows: NDArray[np.int64]
    cols: NDArray[np.int64]
    strata: NDArray[np.int64]
    pictures: Sequence[str]


@dataclass(frozen=True, eq=False)
class SampleDesign:
    """How the points of a file were drawn.

    Parameters
    ----------
    map_sha256 : str
        Of the map that they were drawn from.
    names : tuple of str
        Classes of that map.
    cells : int64 array (H,)
        Cells of each class.
    areas_ha : float64 array (H,)
        Their area.
    """

    map_sha256: str
    names: tuple[str, ...]
    cells: NDArray[np.int64]
    areas_ha: NDArray[np.float64]


def write_sample(points: SamplePoints, class_map: MapFile, strata: Strata, design: dict[str, str], path: Path) -> None:
    """Write the points as layer `sample`, with a form to pick the class in, and the tables `strata` and `design`.

    Columns: point (from 1), reference (the class, empty), note (empty), stratum (the map's code), picture.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    grid, legend = class_map.grid, class_map.legend
    x, y = grid.transform @ (points.cols + 0.5, points.rows + 0.5)
    number = len(points.rows)
    nobody, nothing = np.ones(number, np.bool_), np.zeros(number, np.bool_)
    columns = {
        "point": (np.arange(1, number + 1, dtype=np.int32), nothing),
        FIELD: (np.zeros(number, np.int32), nobody),
        "note": (np.full(number, None, object), nobody),
        "stratum": (points.strata.astype(np.int32), nothing),
        "picture": (np.array(points.pictures, object), nothing),
    }
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
                layer=LAYER,
                dataset_options={"VERSION": "1.2"},  # newer ones make the GDAL of QGIS 3.22 warn
            )
            with closing(sqlite3.connect(plain)) as database:
                _add_tables(database, points, legend, strata, design)
                offered = legend if class_map.unclassified is None else Legend(legend.classes[:-1])
                side = abs(grid.transform.determinant) ** 0.5
                add_style(database, LAYER, sample_qml(offered, side), "Form to label the points in")
    except (DataSourceError, DataLayerError, sqlite3.Error) as error:
        raise OutputError(f"cannot write {path.name}: {error}; make room or choose another folder") from error


def _add_tables(
    database: sqlite3.Connection, points: SamplePoints, legend: Legend, strata: Strata, design: dict[str, str]
) -> None:
    """Add the tables without geometry, registered as GeoPackage contents."""
    database.executescript(_TABLES)
    drawn = np.bincount(points.strata, minlength=len(legend))
    database.executemany(
        f"INSERT INTO {STRATA} VALUES (?, ?, ?, ?, ?, ?)",
        [
            (c.value, c.name, c.title, int(strata.cells[c.value]), float(strata.areas_ha[c.value]), int(drawn[c.value]))
            for c in legend
        ],
    )
    database.executemany(f"INSERT INTO {DESIGN} (name, value) VALUES (?, ?)", list(design.items()))
    for table in (STRATA, DESIGN):
        database.execute(
            "INSERT INTO gpkg_contents (table_name, data_type, identifier) VALUES (?, 'attributes', ?)",
            (table, table),
        )


def read_design(path: Path) -> SampleDesign | None:
    """Read how the points of a GeoPackage were drawn; None if :func:`write_sample` did not write it.

    Raises
    ------
    ChipError
        If its tables were broken.
    """
    if not _is_sqlite(path):
        return None
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as database:
            names = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            if not {LAYER, STRATA, DESIGN} <= names:
                return None
            design = dict(database.execute(f"SELECT name, value FROM {DESIGN}"))
            rows = database.execute(f"SELECT value, name, cells, area_ha FROM {STRATA} ORDER BY value").fetchall()
        if [value for value, *_ in rows] != list(range(len(rows))) or not rows:
            raise ValueError("its strata are not numbered from 0")
        _, of_classes, cells, areas = zip(*rows, strict=True)
        return SampleDesign(design["map_sha256"], of_classes, np.array(cells, np.int64), np.array(areas, np.float64))
    except (sqlite3.Error, KeyError, ValueError, TypeError) as error:
        raise ChipError(f"the strata of the sample {path} cannot be read: {error}; draw it anew") from error


def labelled_points(path: Path) -> int:
    """Count the points of a sample that somebody has labelled or noted something about; 0 if it is no sample.

    Raises
    ------
    ChipError
        If it cannot be read.
    """
    if not path.is_file() or read_design(path) is None:
        return 0
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as database:
            ((count,),) = database.execute(
                f"SELECT count(*) FROM {LAYER} WHERE {FIELD} IS NOT NULL OR coalesce(note, '') <> ''"
            )
    except sqlite3.Error as error:
        raise ChipError(f"the sample {path} cannot be read: {error}") from error
    return int(count)


def _is_sqlite(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(16) == b"SQLite format 3\x00"
