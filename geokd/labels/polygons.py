"""Polygons with land-use classes, and how much of a patch each class covers."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from geokd.errors import ChipError
from geokd.legend.classes import machine_name
from geokd.scenes.grid import SceneGrid
from geokd.scenes.patches import PatchGrid
from geokd.scenes.vector_layer import read_layer


@dataclass(frozen=True, eq=False)
class Labels:
    """Labelled polygons in a scene's CRS; those of one class do not overlap.

    Parameters
    ----------
    classes : tuple of str
        Class names that can be folder names, sorted.
    polygons : array (N,) of shapely polygons
    codes : int64 array (N,)
        Index into `classes` of each polygon.
    nameless : int
        Polygons of the file that were left out because they have no class.
    """

    classes: tuple[str, ...]
    polygons: NDArray[np.object_]
    codes: NDArray[np.int64]
    nameless: int

    @cached_property
    def tree(self) -> shapely.STRtree:
        """Spatial index of the polygons."""
        return shapely.STRtree(self.polygons)


def read_labels(path: str | Path, field: str, grid: SceneGrid) -> Labels:
    """Read polygons and bring them into the CRS of a scene.

    Parameters
    ----------
    path : str or Path
        Any vector file GDAL reads, with one layer of polygons.
    field : str
        The attribute that holds the class.
    grid : SceneGrid
        Of the scene.

    Raises
    ------
    CallError
        If the file or field does not exist.
    ChipError
        If the file holds no usable polygons, or none over the scene.
    """
    layer = read_layer(Path(path), grid, field)
    texts = np.array(layer.texts(field), object)
    has_class = texts != ""
    if not has_class.any():
        raise ChipError(
            f"the field {field!r} is empty in all {len(layer)} polygons of {path}; fill it, or name another"
        )
    names = _class_names(list(dict.fromkeys(texts[has_class])))
    placed = has_class & np.isfinite(shapely.bounds(layer.geometries)).all(axis=1)  # else outside the CRS
    shapes, texts = shapely.make_valid(layer.geometries[placed]), texts[placed]
    classes = tuple(sorted(names.values()))
    merged = [_merged(shapes[texts == text]) for text in sorted(names, key=lambda text: classes.index(names[text]))]
    polygons = np.concatenate(merged)
    bounds = shapely.total_bounds(polygons)
    if not _overlap(bounds, grid.bounds):
        raise ChipError(
            f"none of the {len(shapes)} labels of {path} lies over the scene: they span"
            f" {_span(bounds)}, the scene {_span(grid.bounds)} in its own coordinates"
        )
    codes = np.repeat(np.arange(len(classes)), [len(parts) for parts in merged])
    return Labels(classes, polygons, codes, int((~has_class).sum()))


@dataclass(frozen=True, eq=False)
class ReferencePolygons:
    """Polygons in a scene's CRS, each with the classes an interpreter would accept for it.

    Parameters
    ----------
    polygons : array (N,) of shapely polygons
    accepted : tuple of tuples of str
        For each polygon its class names; at least one.
    groups : tuple of str
        For each polygon the group it is counted in.
    undecided : int
        Polygons of the file that were left out because they accept no class.
    """

    polygons: NDArray[np.object_]
    accepted: tuple[tuple[str, ...], ...]
    groups: tuple[str, ...]
    undecided: int


def read_reference(path: str | Path, field: str, group_field: str | None, grid: SceneGrid) -> ReferencePolygons:
    """Read the polygons that touch the scene, to compare a map with them.

    Parameters
    ----------
    path : str or Path
        Any vector file GDAL reads, with one layer of polygons.
    field : str
        The attribute with the accepted class names, separated by `|`.
    group_field : str or None
        The attribute to group by; None: the accepted classes.
    grid : SceneGrid
        Of the scene.

    Raises
    ------
    CallError
        If the file or field does not exist.
    ChipError
        If the file holds no usable polygons, or none over the scene.
    """
    layer = read_layer(Path(path), grid, field, *([group_field] if group_field else []))
    scene = shapely.box(*grid.bounds)
    layer = layer.only(shapely.intersects(layer.geometries, scene) & ~shapely.touches(layer.geometries, scene))
    if not len(layer):
        raise ChipError(f"none of the labels of {path} lies over the scene")
    accepted = [tuple(filter(None, map(str.strip, text.split("|")))) for text in layer.texts(field)]
    decided = np.array([bool(names) for names in accepted])
    if not decided.any():
        raise ChipError(f"the field {field!r} is empty in all polygons of {path} over the scene; fill it")
    kept = layer.only(decided)
    names = tuple(a for a in accepted if a)
    groups = ["|".join(a) for a in names]
    if group_field:
        lacking = [value is None for value in kept.values(group_field)]
        groups = ["none" if lacks else text for text, lacks in zip(kept.texts(group_field), lacking, strict=True)]
    return ReferencePolygons(kept.geometries, names, tuple(groups), int((~decided).sum()))


def cover_of_row(labels: Labels, grid: PatchGrid, row: int) -> NDArray[np.float64]:
    """Compute which share of each patch of a row each class covers.

    Parameters
    ----------
    labels : Labels
    grid : PatchGrid
    row : int

    Returns
    -------
    float64 array (columns, classes), 0..1
    """
    outlines = patch_outlines(grid, row)
    cover = np.zeros((len(outlines), len(labels.classes)))
    patches, polygons = labels.tree.query(outlines, predicate="intersects")
    shared = shapely.area(shapely.intersection(outlines[patches], labels.polygons[polygons]))
    np.add.at(cover, (patches, labels.codes[polygons]), shared)
    return np.asarray(cover / shapely.area(outlines)[:, np.newaxis], np.float64)


def patch_outlines(grid: PatchGrid, row: int) -> NDArray[np.object_]:
    """Outlines of the patches of a row in world coordinates, also in rotated scenes: array (columns,) of polygons."""
    cols = np.arange(grid.shape[1])[:, np.newaxis]
    x = grid.stride_px * cols + grid.patch_px * np.array([0, 1, 1, 0])
    y = np.broadcast_to(grid.stride_px * row + grid.patch_px * np.array([0, 0, 1, 1]), x.shape)
    t = grid.scene_grid.transform
    corners = np.stack([t.a * x + t.b * y + t.c, t.d * x + t.e * y + t.f], axis=-1)
    return np.asarray(shapely.polygons(corners))


def _merged(shapes: NDArray[np.object_]) -> NDArray[np.object_]:
    """Join polygons of one class: array of polygons that do not overlap."""
    parts = shapely.get_parts(shapely.union_all(shapes))
    return np.asarray(parts[shapely.get_type_id(parts) == shapely.GeometryType.POLYGON], object)


def _class_names(values: list[str]) -> dict[str, str]:
    """Map each value to a name that can be a folder name on any system.

    Raises
    ------
    ChipError
        If two values give the same name, or names that differ in case only.
    """
    names = {value: machine_name(value) for value in values}
    taken: dict[str, str] = {}
    for value, name in names.items():
        other = taken.setdefault(name.lower(), value)
        if other != value:
            raise ChipError(f"the classes {other!r} and {value!r} would share the folder {name!r}; rename one of them")
    return names


def _overlap(one: Any, other: Any) -> bool:
    """Whether two boxes (left, bottom, right, top) overlap; a box that is not finite does not."""
    return bool(max(one[0], other[0]) < min(one[2], other[2]) and max(one[1], other[1]) < min(one[3], other[3]))


def _span(bounds: Any) -> str:
    left, bottom, right, top = bounds
    return f"x {left:.6g}..{right:.6g}, y {bottom:.6g}..{top:.6g}"
