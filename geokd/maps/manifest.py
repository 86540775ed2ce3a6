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
from geokd.errors import SceneError
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
    SceneError
        If it cannot be read, is no JSON object, or a value that is used has the wrong type: all in one message.
    """
    try:
        document = parse_json(read_text(path))
        if not isinstance(document, dict):
            raise ValueError("it is no JSON object")
    except (OSError, ValueError) as error:
        raise SceneError(f"the manifest {path} cannot be read: {error}; make the map again, or remove it") from error
    broken = [place for place, kinds in _KINDS.items() if not all(isinstance(v, kinds) for v in _at(document, place))]
    if broken:
        raise SceneError(f"the manifest {path} is broken at {', '.join(broken)}; make the map again, or remove it")
    return document


def _at(document: dict[str, Any], place: str) -> list[Any]:
    """Return the value at a place such as `options.patch_px`; of a list, that of each member. Missing ones are none."""
    found: list[Any] = [document]
    for key in place.split("."):
        members = [m for value in found for m in (value if isinstance(value, list) else [value])]
        found = [value[key] for value in members if isinstance(value, dict) and key in value]
    return found


_KINDS: dict[str, tuple[type, ...]] = {
    "legend": (list,),
    "options": (dict,),
    "options.patch_px": (int, type(None)),
    "options.polygons": (bool,),
    "options.simplify_m": (int, float),
    "notes": (list,),
    "scene": (dict,),
    "scene.path": (str,),
    "scene.bands_used": (list,),
    "scene.bands_used.bidx": (int,),
    "model": (dict,),
    "model.name": (str,),
}
"""Types of what is used of a manifest again, where it is there."""

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
