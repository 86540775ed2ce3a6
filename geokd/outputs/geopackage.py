"""The map as polygons in a GeoPackage that brings its own QGIS style."""

import io
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyogrio.raw
import rasterio.features
import shapely
from numpy.typing import NDArray
from shapely.geometry import shape

from geokd.legend import Legend
from geokd.outputs.class_map import ClassMap, cell_areas_ha
from geokd.outputs.qgis import polygons_qml
from geokd.outputs.staging import write_bytes

LAYER = "land_use"

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


@dataclass(frozen=True, eq=False)
class Regions:
    """The connected regions of a class map, N of them: cells that share a side and a class.

    Parameters
    ----------
    polygons : object array (N,)
        Shapely polygons along the edges of the cells, in world coordinates; nothing is simplified.
    codes : uint8 array (N,)
        Class of each region.
    areas_ha : float64 array (N,)
        Sum of the areas of its cells (see :func:`geokd.outputs.class_map.cell_areas_ha`), in hectares.
    mean_confidence : float64 array (N,)
        Mean confidence of its cells in percent.
    """

    polygons: NDArray[np.object_]
    codes: NDArray[np.uint8]
    areas_ha: NDArray[np.float64]
    mean_confidence: NDArray[np.float64]


def regions_of(class_map: ClassMap) -> Regions:
    """Dissolve the cells of a map into its connected regions, in the order in which GDAL finds them."""
    found = list(rasterio.features.shapes(class_map.codes, mask=class_map.mapped, connectivity=4))
    outlines = np.array([shape(outline) for outline, _ in found], dtype=object)  # corners are whole (col, row)
    cell_ha = cell_areas_ha(class_map.grid)
    least_ha = float(cell_ha.min())  # in a projected CRS all cells are alike: their sum is exact
    cells = sum_over(outlines, np.ones(cell_ha.shape))
    transform = class_map.grid.transform
    return Regions(
        polygons=shapely.transform(outlines, lambda x, y: transform @ (x, y), interleaved=False),
        codes=np.array([code for _, code in found], dtype=np.uint8),
        areas_ha=cells * least_ha + sum_over(outlines, cell_ha - least_ha),
        mean_confidence=sum_over(outlines, class_map.confidence.astype(np.float64)) / cells,
    )


def sum_over(outlines: NDArray[np.object_], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sum `values` (rows, cols), none negative, over the cells within each of the rectilinear polygons `outlines`.

    Corners of `outlines` are whole numbers (col, row). By Green's theorem the sum within a ring is the sum, over its
    vertical edges and signed by their direction, of all values left of the edge; a summed-area table holds these.
    """
    table = np.pad(values.cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
    rings, polygon_of_ring = shapely.get_rings(outlines, return_index=True)
    corners, ring_of_corner = shapely.get_coordinates(rings, return_index=True)
    cols, rows = corners.astype(np.intp).T
    vertical = (np.diff(cols) == 0) & (np.diff(ring_of_corner) == 0)
    left_of_edge = np.diff(table[rows, cols])[vertical]
    of_ring = np.abs(np.bincount(ring_of_corner[1:][vertical], left_of_edge, minlength=len(rings)))
    is_hole = np.diff(polygon_of_ring, prepend=-1) == 0  # the first ring of a polygon is its outer one
    signed = np.where(is_hole, -of_ring, of_ring)
    return np.bincount(polygon_of_ring, signed, minlength=len(outlines)).astype(np.float64)


def write_polygons(class_map: ClassMap, path: Path) -> None:
    """Write the connected regions as layer `land_use`, with the legend's colours and titles as its default style.

    Columns: class_value, class_name, class_title, area_ha, mean_confidence (percent). A map without classes gives an
    empty layer.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    regions = regions_of(class_map)
    legend = class_map.legend
    columns = {
        "class_value": regions.codes.astype(np.int32),
        "class_name": np.array([legend[code].name for code in regions.codes], dtype=object),
        "class_title": np.array([legend[code].title for code in regions.codes], dtype=object),
        "area_ha": regions.areas_ha,
        "mean_confidence": regions.mean_confidence,
    }
    content = io.BytesIO()
    pyogrio.raw.write(
        content,
        geometry=shapely.to_wkb(regions.polygons),
        field_data=list(columns.values()),
        fields=list(columns),
        crs=class_map.grid.crs.to_wkt() if class_map.grid.crs else None,
        geometry_type="Polygon",
        driver="GPKG",
        layer=LAYER,
        dataset_options={"VERSION": "1.2"},  # newer ones make the GDAL of QGIS 3.22 warn
    )
    write_bytes(path, _with_style(content.getvalue(), legend))


def _with_style(geopackage: bytes, legend: Legend) -> bytes:
    """Add the table `layer_styles`, registered as GeoPackage contents, with the style of the one layer."""
    with closing(sqlite3.connect(":memory:")) as database:
        database.deserialize(geopackage)
        ((changed, geometry_column),) = database.execute(
            "SELECT last_change, column_name FROM gpkg_contents JOIN gpkg_geometry_columns USING (table_name)"
        )
        database.execute(_STYLE_TABLE)
        database.execute(
            "INSERT INTO layer_styles (f_table_catalog, f_table_schema, f_table_name, f_geometry_column, styleName,"
            " styleQML, styleSLD, useAsDefault, description, owner, ui, update_time)"
            " VALUES ('', '', ?, ?, ?, ?, '', 1, 'Colours and titles of the land-use classes', '', NULL, ?)",
            (LAYER, geometry_column, LAYER, polygons_qml(legend), changed),
        )
        database.execute(
            "INSERT INTO gpkg_contents (table_name, data_type, identifier, description, last_change)"
            " VALUES ('layer_styles', 'attributes', 'layer_styles', '', ?)",
            (changed,),
        )
        database.commit()
        return database.serialize()
