"""The map in one table: what each class covers, for a spreadsheet."""

import csv
from io import StringIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from geokd.files import write_bytes
from geokd.maps.class_map import ClassMap, class_areas
from geokd.text import table_cell

COLUMNS = (
    *("class_value", "class_name", "class_title", "polygons", "cells"),
    *("area_ha", "share_percent", "mean_confidence"),
)


def write_summary(class_map: ClassMap, polygons: NDArray[np.int64] | None, path: Path) -> None:
    """Write a CSV file of a row a class of the legend, in its order, those without cells too.

    Parameters
    ----------
    class_map : ClassMap
    polygons : int64 (K,) or None
        How many polygons each class has; None, if polygons are left out, leaves the column empty.
    path : path
        UTF-8, comma-separated. The columns are named as those of the polygons; numbers are rounded to 12 digits
        (areas) or 6; mean_confidence, in percent, is empty where a class has no cells. A title that a spreadsheet
        would take for a formula begins with an apostrophe.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    text = StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(COLUMNS)
    counts = [""] * len(class_map.legend) if polygons is None else polygons.tolist()
    for area, count in zip(class_areas(class_map), counts, strict=True):
        confidence = area.mean_confidence
        table.writerow(
            (
                *(area.value, area.name, table_cell(area.title), count, area.cells),
                *(f"{area.area_ha:.12g}", f"{area.share_percent:.6g}"),
                "" if confidence is None else f"{confidence:.6g}",
            )
        )
    write_bytes(path, text.getvalue().encode())
