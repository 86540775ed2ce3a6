"""Names of a raster's values: from category names or a raster attribute table, wherever GDAL finds them."""

import re
import xml.etree.ElementTree as ET
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import pyogrio
import rasterio.shutil
from pyogrio.errors import DataLayerError, DataSourceError
from rasterio.io import DatasetReader

_NAME, _MIN, _MAX, _VALUE = "2", "3", "4", "5"  # GDAL's numbers for the usage of columns
_TEXT = "2"  # and for their types
_CALLED_NAME = re.compile(r"class|name|label|categ|title|cover|landuse|land_use|descr", re.IGNORECASE)
_MOST_VALUES = 65_536


def names_of_values(dataset: DatasetReader) -> dict[int, str]:
    """Return the names of the values of the first band; empty if there are none.

    They may be in the file, or in `.aux.xml` or `.vat.dbf` beside it. rasterio does not read attribute tables, so a
    virtual raster is written in memory, and its XML is read. A `.vat.dbf` is read as it is, since rasterio's GDAL 3.10
    does not take it for the table of a GeoTIFF.
    """
    place = f"/vsimem/{uuid4().hex}.vrt"
    rasterio.shutil.copy(dataset, place, driver="VRT")
    try:
        with rasterio.open(place) as virtual:
            band = ET.fromstring(virtual.tags(ns="xml:VRT")["xml:VRT"]).find("VRTRasterBand[@band='1']")
    finally:
        rasterio.shutil.delete(place)
    if band is None:
        return {}
    categories = {value: c.text for value, c in enumerate(band.findall("CategoryNames/Category")) if c.text}
    table = band.find("GDALRasterAttributeTable")
    return categories or ({} if table is None else _of_table(table)) or _of_dbf(Path(f"{dataset.name}.vat.dbf"))


def _of_dbf(path: Path) -> dict[int, str]:
    """Return the names in a table of ArcGIS; empty if there is none, or it has no values or no names."""
    if not path.is_file():
        return {}
    try:
        meta, _, _, columns = pyogrio.raw.read(path)
    except (DataSourceError, DataLayerError):
        return {}
    values = [column for name, column in zip(meta["fields"], columns, strict=True) if name.lower() == "value"]
    texts = {name: column for name, column in zip(meta["fields"], columns, strict=True) if column.dtype == object}
    called = [column for name, column in texts.items() if _CALLED_NAME.search(name)]
    named = next(iter([*called, *texts.values()]), None)
    if not values or named is None:
        return {}
    found: dict[int, str] = {}
    for value, name in zip(values[0], named, strict=True):
        with suppress(ValueError, OverflowError):  # no number, or none at all
            found |= {int(value): str(name).strip()} if name else {}
    return found


def _of_table(table: ET.Element) -> dict[int, str]:
    columns = [
        (d.findtext("Name", ""), d.findtext("Type", ""), d.findtext("Usage", "")) for d in table.iter("FieldDefn")
    ]
    uses = [use for _, _, use in columns]
    texts = [number for number, (_, kind, _) in enumerate(columns) if kind == _TEXT]
    called = [number for number in texts if _CALLED_NAME.search(columns[number][0])]
    named = [number for number, use in enumerate(uses) if use == _NAME]
    by_name = [number for number, (name, _, _) in enumerate(columns) if name.lower() == "value"]
    name = next(iter([*named, *called, *texts]), None)
    if name is None:
        return {}
    first, last = (
        next((uses.index(use) for use in kinds if use in uses), None) for kinds in ((_VALUE, _MIN), (_VALUE, _MAX))
    )
    first = next(iter(by_name), None) if first is None else first
    first, last = first if first is not None else last, last if last is not None else first
    found: dict[int, str] = {}
    for number, row in enumerate(table.iter("Row")):
        cells = [cell.text or "" for cell in row.findall("F")]
        with suppress(ValueError, IndexError):
            low, high = (number if at is None else int(float(cells[at])) for at in (first, last))
            if cells[name].strip() and high - low < _MOST_VALUES:
                found |= dict.fromkeys(range(low, high + 1), cells[name].strip())
    return found
