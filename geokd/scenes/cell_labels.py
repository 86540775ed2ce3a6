"""Cells of a map that somebody labelled in QGIS: the GeoPackages of `geokd sample` and `geokd review`, read back."""

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from geokd.errors import ChipError
from geokd.legend import UNCLASSIFIED
from geokd.scenes.grid import SceneGrid
from geokd.scenes.labels import read_frame

CellLayer = Literal["sample", "review"]

CLASS_TABLES: dict[CellLayer, str] = {"sample": "strata", "review": "classes"}
"""The layer of either file, and its table of the map's classes."""

DESIGN = "design"
FIELD, LOOKED_AT, MAPPED = "reference", "looked_at", "mapped"

NONE_OF_THESE = -1
"""What an analyst picks for a place that is of no class of the legend."""

UNLABELLED = -2
"""Code of a cell that nobody has looked at yet."""


@dataclass(frozen=True, eq=False)
class CellDesign:
    """How the cells of a file were chosen.

    Parameters
    ----------
    layer : {"sample", "review"}
        Drawn at random, or chosen since the map is in doubt.
    map_sha256 : str
        Of the map that they are of.
    names : tuple of str
        Classes of that map.
    cells : int64 array (H,)
        Cells of each class.
    areas_ha : float64 array (H,)
        Their area.
    patch_px : int or None
        Side of the patches that the map was made of; None if nothing told it.
    """

    layer: CellLayer
    map_sha256: str
    names: tuple[str, ...]
    cells: NDArray[np.int64]
    areas_ha: NDArray[np.float64]
    patch_px: int | None


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
        If its tables were broken.
    """
    if not _is_sqlite(path):
        return None
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as database:
            there = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            layer = next((layer for layer, table in CLASS_TABLES.items() if {layer, table, DESIGN} <= there), None)
            if layer is None:
                return None
            design = dict(database.execute(f"SELECT name, value FROM {DESIGN}"))
            rows = database.execute(
                f"SELECT value, name, cells, area_ha FROM {CLASS_TABLES[layer]} ORDER BY value"
            ).fetchall()
        if [value for value, *_ in rows] != list(range(len(rows))) or not rows:
            raise ValueError("its classes are not numbered from 0")
        _, names, cells, areas = zip(*rows, strict=True)
        patch_px = int(design["patch_px"]) if "patch_px" in design else None
        numbers = np.array(cells, np.int64), np.array(areas, np.float64)
        return CellDesign(layer, design["map_sha256"], names, *numbers, patch_px)
    except (sqlite3.Error, KeyError, ValueError, TypeError) as error:
        raise ChipError(f"the classes of the cells in {path} cannot be read: {error}; make the file anew") from error


def labelled_cells(path: Path) -> int:
    """Count the cells that somebody has labelled or noted something about; 0 if the file holds none.

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
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as database:
            ((count,),) = database.execute(
                f"SELECT count(*) FROM {design.layer} WHERE {touched} OR coalesce(note, '') <> ''"
            )
    except sqlite3.Error as error:
        raise ChipError(f"the {design.layer} {path} cannot be read: {error}") from error
    return int(count)


def read_cell_labels(path: Path, grid: SceneGrid) -> CellLabels | None:
    """Read labelled cells and bring them into the CRS of a scene; None if the file is none of these.

    A cell of a sample is labelled if it has a class; one of a review, which comes with the map's, if it was looked at
    or its class is not the map's any more.

    Raises
    ------
    ChipError
        If it cannot be read, holds a code that the map's legend does not know, or has lost a field.
    """
    design = read_cell_design(path)
    if design is None:
        return None
    of_review = (LOOKED_AT, MAPPED) if design.layer == "review" else ()
    frame = read_frame(path, grid, FIELD, *of_review, points=True).explode(ignore_index=True)
    codes = frame[FIELD].fillna(UNLABELLED).to_numpy(np.int64)
    if of_review:
        mapped = frame[MAPPED].fillna(UNLABELLED).to_numpy(np.int64)
        looked_at = frame[LOOKED_AT].eq(1).to_numpy(np.bool_)
        codes = np.where(looked_at | (codes != mapped), codes, UNLABELLED)
    classes = tuple(name for name in design.names if name != UNCLASSIFIED)
    strange = sorted(set(codes.tolist()) - {NONE_OF_THESE, UNLABELLED, *range(len(classes))})
    if strange:
        raise ChipError(
            f"{path} holds the classes {', '.join(map(str, strange))}, the map's are 0..{len(classes) - 1} and"
            f" {NONE_OF_THESE} for none of these; pick them from the list"
        )
    return CellLabels(design, classes, frame.geometry.x.to_numpy(), frame.geometry.y.to_numpy(), codes)


def _is_sqlite(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(16) == b"SQLite format 3\x00"
