"""Cells of a map that were labelled in QGIS: the GeoPackages of `geokd sample` and `geokd review`, read back."""

import sqlite3
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import shapely
from numpy.typing import NDArray

from geokd.errors import ChipError
from geokd.labels.cell_names import (
    FIELD,
    FIELD_LATER,
    LAYERS,
    LOOKED_AT,
    MAPPED,
    METADATA,
    NONE_OF_THESE,
    UNLABELLED,
    CellLayer,
)
from geokd.legend.classes import UNCLASSIFIED
from geokd.scenes.databases import database_read
from geokd.scenes.grid import SceneGrid
from geokd.scenes.vector_layer import VectorLayer, read_layer
from geokd.system.documents import parse_json


@dataclass(frozen=True, eq=False)
class CellDesign:
    """How the cells of a file were chosen.

    Parameters
    ----------
    layer : {"sample", "review"}
        Drawn at random, or chosen because the map is uncertain.
    map_sha256 : str
        Hash of the map that the cells belong to.
    names : tuple of str
        Classes of that map.
    cells : int64 array (H,)
        Cells of each stratum: each class of the map, or the changes between two maps.
    areas_ha : float64 array (H,)
        Their area.
    patch_px : int or None
        Side of the patches that the map was made with; None if unknown.
    seed : int or None
        Seed of the random draw; None for a review.
    strata : tuple of str
        Names of the strata of a sample of two maps; empty where they are the classes.
    against_sha256 : str
        Hash of the other map where the strata are whether two maps agree; else empty.
    """

    layer: CellLayer
    map_sha256: str
    names: tuple[str, ...]
    cells: NDArray[np.int64]
    areas_ha: NDArray[np.float64]
    patch_px: int | None
    seed: int | None = None
    strata: tuple[str, ...] = ()
    against_sha256: str = ""


@dataclass(frozen=True, eq=False)
class CellLabels:
    """Labelled cells in a scene's CRS.

    Parameters
    ----------
    design : CellDesign
    classes : tuple of str
        Names of the map's classes, in the order of its codes, without unclassified.
    x, y : float64 arrays (N,)
        Centres.
    codes : int64 array (N,)
        Index into `classes`, NONE_OF_THESE or UNLABELLED.
    """

    design: CellDesign
    classes: tuple[str, ...]
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    codes: NDArray[np.int64]


def read_cell_design(path: Path) -> CellDesign | None:
    """Read how the cells of a GeoPackage were chosen; None if neither `geokd sample` nor `geokd review` wrote it.

    Raises
    ------
    ChipError
        If this description is broken.
    """
    if not _is_sqlite(path):
        return None
    try:
        with database_read(path) as database:
            there = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            layer = next((layer for layer in LAYERS if layer in there), None)
            if layer is None or "gpkg_metadata" not in there:
                return None
            query = "SELECT metadata FROM gpkg_metadata WHERE md_standard_uri = ?"
            found = database.execute(query, (METADATA,)).fetchone()
        if found is None:
            return None
        description = parse_json(found[0])
        design, classes = description["design"], description["classes"]
        if [c["value"] for c in classes] != list(range(len(classes))) or not classes:
            raise ValueError("its classes are not numbered from 0")
        names = tuple(str(c["name"]) for c in classes)
        strata = description.get("strata", classes)
        cells = np.array([c["cells"] for c in strata], np.int64)
        areas_ha = np.array([c["area_ha"] for c in strata], np.float64)
        drawn_from = tuple(str(c["name"]) for c in description.get("strata", ()))
        patch_px = int(design["patch_px"]) if "patch_px" in design else None
        seed = int(design["seed"]) if "seed" in design else None
        other = str(design.get("against_sha256", ""))
        return CellDesign(layer, str(design["map_sha256"]), names, cells, areas_ha, patch_px, seed, drawn_from, other)
    except (sqlite3.Error, KeyError, ValueError, TypeError) as error:
        raise ChipError(f"the classes of the cells in {path} cannot be read: {error}") from error


def labelled_cells(path: Path) -> int:
    """Count the cells that have a label or a note; 0 if the file has none.

    Raises
    ------
    ChipError
        If it cannot be read.
    """
    design = read_cell_design(path) if path.is_file() else None
    if design is None:
        return 0
    touched = f"{FIELD} IS NOT NULL"
    if design.layer == "review":
        touched = f"{LOOKED_AT} OR {FIELD} IS NOT {MAPPED}"
    try:
        with database_read(path) as database:
            if any(column[1] == FIELD_LATER for column in database.execute(f"PRAGMA table_info({design.layer})")):
                touched += f" OR {FIELD_LATER} IS NOT NULL"
            ((count,),) = database.execute(
                f"SELECT count(*) FROM {design.layer} WHERE {touched} OR coalesce(note, '') <> ''"
            )
    except sqlite3.Error as error:
        raise ChipError(f"the {design.layer} {path} cannot be read: {error}") from error
    return int(count)


def read_cell_labels(path: Path, grid: SceneGrid) -> CellLabels | None:
    """Read labelled cells and bring them into the CRS of a scene; None if the file is neither a sample nor a review.

    A cell of a sample is labelled if it has a class; a cell of a review, which starts with the map's class, if it was
    looked at or its class was changed.

    Raises
    ------
    ChipError
        If it cannot be read, holds a code that is not in the map's legend, or has lost a field.
    """
    design = read_cell_design(path)
    if design is None:
        return None
    of_review = (LOOKED_AT, MAPPED) if design.layer == "review" else ()
    layer = read_layer(path, grid, FIELD, *of_review, points=True).in_parts()
    codes = _codes(layer, FIELD)
    if of_review:
        looked_at = np.array([value == 1 for value in layer.values(LOOKED_AT)], np.bool_)
        codes = np.where(looked_at | (codes != _codes(layer, MAPPED)), codes, UNLABELLED)
    classes = tuple(name for name in design.names if name != UNCLASSIFIED)
    strange = sorted(set(codes.tolist()) - {NONE_OF_THESE, UNLABELLED, *range(len(classes))})
    if strange:
        raise ChipError(
            f"{path} holds the classes {', '.join(map(str, strange))}, the map's are 0..{len(classes) - 1} and"
            f" {NONE_OF_THESE} for none of these; pick them from the list"
        )
    return CellLabels(design, classes, shapely.get_x(layer.geometries), shapely.get_y(layer.geometries), codes)


def _codes(layer: VectorLayer, name: str) -> NDArray[np.int64]:
    return np.array([UNLABELLED if value is None else int(value) for value in layer.values(name)], np.int64)


def _is_sqlite(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(16) == b"SQLite format 3\x00"
