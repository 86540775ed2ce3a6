"""The manifest: one typed, versioned JSON document that describes how a map was made."""

import importlib.metadata
import json
import math
import platform
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import rasterio

from geokd.errors import CallError, SceneError
from geokd.files import write_bytes
from geokd.legend.classes import LandUseClass, Legend
from geokd.legend.regrouping import NewClass
from geokd.maps.class_map import ClassArea, ClassMap, class_areas
from geokd.maps.options import MapOptions
from geokd.scenes.acquisition import Acquisition
from geokd.scenes.grid import SceneGrid
from geokd.scenes.options import AreaOptions
from geokd.system.documents import Record, parse_json, read_record, read_text

VERSION = 2
"""Version of the document. 1 had no version and other keys for mosaics; the parts that are still used are read."""


@dataclass(frozen=True, kw_only=True)
class GridRecord(Record):
    """Height and width in cells, CRS, and transform (a, b, c, d, e, f)."""

    height: int
    width: int
    crs: str | None
    transform: tuple[float, float, float, float, float, float]


@dataclass(frozen=True, kw_only=True)
class CellsRecord(GridRecord):
    """The grid of a map, the ground size of its cells in metres (x, y), and how areas are measured."""

    cell_size_m: tuple[float, float]
    areas_measured: str


@dataclass(frozen=True, kw_only=True)
class BandRecord(Record):
    """A band of a scene that was used: its number, from 1, its own name, and the model's band that it is used for."""

    bidx: int
    description: str | None
    taken_as: str


@dataclass(frozen=True, kw_only=True)
class SceneRecord(GridRecord):
    """The scene that was mapped; `files` are those of a product."""

    path: str
    size_bytes: int | None
    data_type: str
    bands_used: tuple[BandRecord, ...]
    sensor: str | None = None
    product: str | None = None
    tile: str | None = None
    masks: tuple[str, ...] = ()
    files: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ModelRecord(Record):
    """The model; `input` is its contract, as in :meth:`geokd.model.contract.InputContract.to_json`."""

    name: str
    architecture: str
    precision: str
    task: str
    path: str
    sha256: str
    size_bytes: int
    input: dict[str, Any]
    classes: int


@dataclass(frozen=True, kw_only=True)
class OptionsRecord(MapOptions, AreaOptions, Record):
    """Every option of `classify` with the value it came to, defaults included; see :class:`geokd.ClassifyOptions`.

    Options missing in older manifests have their defaults.
    """

    model: str | None = None
    patch_px: int | None = None
    cell_px: int | None = None
    margin_px: int | None = None
    bidx: tuple[int, ...] = ()
    value_scale: float | tuple[float, ...] | None = None
    value_offset: float | tuple[float, ...] | None = None
    value_scaling: dict[str, Any] | None = None
    nodata: float | str | tuple[float | str | None, ...] | None = None
    mask: str | None = None
    resample_m: float | None = None
    polygons: bool = True
    probabilities: bool = False
    report: bool = False
    workers: int | None = None
    engine: str | None = None
    scheduler: str | None = None
    block_px: tuple[int, int] | None = None
    memory_mb: int | None = None
    overwrite: bool = False
    resume: bool = False


@dataclass(frozen=True, kw_only=True)
class Filtered(Record):
    """Effect of filters on a map.

    Cells whose class was changed; regions below the minimum mapping unit that were merged with a neighbour; regions
    that remain below it because they touch no other class.
    """

    changed_cells: int
    merged_regions: int
    regions_left: int


@dataclass(frozen=True, kw_only=True)
class DriftRecord(Record):
    """Figures of the drift check, see :class:`geokd.model.drift.Drift`."""

    patches: int
    unfamiliar_share: float | None
    unsure_share: float | None


@dataclass(frozen=True, kw_only=True)
class UnmappedCells(Record):
    """Cells without a class, by reason; `outside_area` is None if no area of interest was given."""

    without_valid_pixel: int
    in_no_classified_patch: int
    outside_area: int | None = None


@dataclass(frozen=True, kw_only=True)
class RunRecord(Record):
    """Timings and memory of the run that made the map.

    Seconds of each stage, peak of memory in MB, patches of the scene and those classified, blocks and those taken from
    an interrupted run, speed in patches per second and, for dense students, in million pixels per second.
    """

    seconds: dict[str, float]
    peak_memory_mb: float | None
    patches: int
    classified_patches: int
    blocks: int
    resumed_blocks: int
    patches_per_second: float
    megapixels_per_second: float | None
    command: str | None


@dataclass(frozen=True, kw_only=True)
class JoinedMap(GridRecord):
    """A map of a mosaic: its number, path, model and scene; whether it was resampled; number of cells from it."""

    number: int
    path: str
    model: ModelRecord | None
    scene: str | None
    resampled: bool
    cells_taken: int


@dataclass(frozen=True, kw_only=True)
class MosaicRecord(Record):
    """How maps were joined: the measure used where they overlap, the maps, and the options as given."""

    decided_by: str
    maps: tuple[JoinedMap, ...]
    by: str | None
    crs: str | None
    resolution: float | None
    sources: bool
    polygons: bool
    overwrite: bool
    dates: bool = False


@dataclass(frozen=True, kw_only=True)
class StyledRecord(Record):
    """The map that a restyled map was made from, and the changes."""

    map: str
    legend_file: str
    classes: tuple[NewClass, ...]
    by: str
    notes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Manifest(Record):
    """How a map was made, and what it contains.

    A part that does not apply is None: `scene`, `model`, `options`, `run`, `drift` and so on of a mosaic, `mosaic` of a
    classified scene, `styled` of a map that was not restyled. A restyled map keeps the parts of the old one that are
    still true.
    """

    version: int = VERSION
    date: str | None = None
    acquired: Acquisition | None = None
    scene: SceneRecord | None = None
    model: ModelRecord | None = None
    legend: tuple[LandUseClass, ...] = ()
    options: OptionsRecord | None = None
    mosaic: MosaicRecord | None = None
    styled: StyledRecord | None = None
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    filters: Filtered | None = None
    drift: DriftRecord | None = None
    map: CellsRecord | None = None
    valid_cells: int = 0
    unmapped_cells: UnmappedCells | None = None
    area_ha: float = 0.0
    areas: tuple[ClassArea, ...] = ()
    cells_by_confidence: tuple[int, ...] = ()
    run: RunRecord | None = None
    outputs: dict[str, str] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    fingerprint: str | None = None

    @property
    def has_polygons(self) -> bool:
        """Whether the GeoPackage of polygons was requested."""
        asked = self.mosaic or self.options
        return asked is None or asked.polygons

    @property
    def simplify_m(self) -> float:
        """Tolerance of the simplified polygon outlines, in metres."""
        return 0.0 if self.options is None else self.options.simplify_m


def write_manifest(manifest: Manifest, path: Path) -> None:
    """Write a manifest.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    write_document(manifest.to_json(), path)


def write_document(document: dict[str, Any], path: Path) -> None:
    """Write a JSON document: UTF-8, indented by two spaces, keys in the order given.

    Raises
    ------
    ValueError
        If a number is NaN or infinite, which JSON does not allow.
    OutputError
        If it cannot be written.
    """
    text = json.dumps(document, ensure_ascii=False, allow_nan=False, indent=2)
    write_bytes(path, (text + "\n").encode())


def read_manifest(path: Path) -> Manifest:
    """Read a manifest, also of an older version: unknown keys are ignored.

    Parameters
    ----------
    path : Path
        The file `<stem>_landuse.json`.

    Returns
    -------
    Manifest

    Raises
    ------
    SceneError
        If it cannot be read, is of a newer version, or a value has the wrong type.
    """
    what = f"the manifest {path}"
    try:
        document = parse_json(read_text(path))
        if isinstance(document, dict) and "version" not in document:  # version 1, with other keys
            document.pop("styled", None)
        manifest = read_record(document, Manifest)
        if manifest.legend:
            Legend(manifest.legend)
    except (OSError, ValueError, CallError) as error:
        why = getattr(error, "strerror", error)
        raise SceneError(f"{what} cannot be read: {why}; make the map again, or remove it") from error
    if manifest.version > VERSION:
        raise SceneError(f"{what} has version {manifest.version}, this geokd reads up to {VERSION}; update geokd")
    return manifest


def areas_of(class_map: ClassMap) -> dict[str, Any]:
    """Return the fields of a manifest about the cells of a map: its grid, the number of mapped cells, and the areas."""
    areas = class_areas(class_map)
    return {
        "map": record_cells(class_map.grid),
        "valid_cells": int(class_map.cell_counts().sum()),
        "area_ha": math.fsum(area.area_ha for area in areas),
        "areas": tuple(areas),
    }


def record_cells(grid: SceneGrid) -> CellsRecord:
    """Return the grid of a map, the ground size of its cells, and how areas are measured."""
    return CellsRecord(
        **grid_fields(grid), cell_size_m=grid.pixel_size_m, areas_measured=where_areas_are_measured(grid)
    )


def grid_fields(grid: SceneGrid) -> dict[str, Any]:
    """Return the fields of a :class:`GridRecord`."""
    return {
        "height": grid.height,
        "width": grid.width,
        "crs": None if grid.crs is None else grid.crs.to_string(),
        "transform": tuple(grid.transform)[:6],
    }


_PACKAGES = ("geokd", "numpy", "rasterio", "pyogrio", "shapely", "onnxruntime", "dask")


def package_versions() -> dict[str, str]:
    """Return the versions of the libraries that a map depends on, by name."""
    versions = {name: importlib.metadata.version(name) for name in _PACKAGES}
    return versions | {"gdal": rasterio.__gdal_version__, "python": platform.python_version()}


def where_areas_are_measured(grid: SceneGrid) -> str:
    """Describe how :func:`geokd.maps.class_map.cell_areas_ha` measures areas."""
    return "on the ellipsoid" if grid.crs is not None and grid.crs.is_geographic else "in the plane of the CRS"


def json_number(value: float | None) -> float | str | None:
    """Return a number as a JSON value: NaN and infinities, which scenes use for nodata, as text."""
    return value if value is None or math.isfinite(value) else str(value)
