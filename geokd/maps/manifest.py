"""The manifest: one JSON document that says how a map came about."""

import importlib.metadata
import json
import math
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import rasterio

from geokd.documents import parse_json, read_text
from geokd.errors import OutputError
from geokd.files import write_bytes
from geokd.maps.class_map import ClassMap, class_areas
from geokd.scenes.grid import SceneGrid


def write_manifest(document: Mapping[str, Any], path: Path) -> None:
    """Write `document` as JSON: UTF-8, two spaces a level, keys in the order given.

    Raises
    ------
    ValueError
        If a number is NaN or infinite, which JSON does not know.
    TypeError
        If a value is no JSON value.
    OutputError
        If it cannot be written.
    """
    text = json.dumps(dict(document), ensure_ascii=False, allow_nan=False, indent=2)
    write_bytes(path, (text + "\n").encode())


def read_manifest(path: Path) -> dict[str, Any]:
    """Read what :func:`write_manifest` wrote.

    Raises
    ------
    OutputError
        If it is no manifest any more.
    """
    try:
        return dict(parse_json(read_text(path)))
    except (OSError, ValueError, TypeError) as error:
        raise OutputError(f"{path} is no manifest any more: {error}") from error


_PACKAGES = ("geokd", "numpy", "rasterio", "pyogrio", "shapely", "onnxruntime", "dask")


def describe_cells(grid: SceneGrid) -> dict[str, Any]:
    """Return the grid of a map, the ground size of its cells, and how areas are measured, as a JSON object."""
    return describe_grid(grid) | {
        "cell_size_m": list(grid.pixel_size_m),
        "areas_measured": where_areas_are_measured(grid),
    }


def describe_areas(class_map: ClassMap) -> dict[str, Any]:
    """Return the area of all classes, and of each, as a JSON object."""
    areas = class_areas(class_map)
    return {"area_ha": math.fsum(area["area_ha"] for area in areas), "areas": [dict(area) for area in areas]}


def package_versions() -> dict[str, str]:
    """Return the versions of what a map depends on, by name."""
    versions = {name: importlib.metadata.version(name) for name in _PACKAGES}
    return versions | {"gdal": rasterio.__gdal_version__, "python": platform.python_version()}


def describe_grid(grid: SceneGrid) -> dict[str, Any]:
    """Return size, CRS and transform (a, b, c, d, e, f), as a JSON object."""
    return {
        "height": grid.height,
        "width": grid.width,
        "crs": None if grid.crs is None else grid.crs.to_string(),
        "transform": list(grid.transform)[:6],
    }


def where_areas_are_measured(grid: SceneGrid) -> str:
    """Say what kind of areas those of :func:`geokd.maps.class_map.cell_areas_ha` are."""
    return "on the ellipsoid" if grid.crs is not None and grid.crs.is_geographic else "in the plane of the CRS"


def json_number(value: float | None) -> float | str | None:
    """Return a number as JSON may hold it: NaN and infinities, which scenes use for nodata, as text."""
    return value if value is None or math.isfinite(value) else str(value)
