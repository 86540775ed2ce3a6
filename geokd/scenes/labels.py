"""Polygons that say what the land is used for, and how much of a patch each class of them covers."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pyogrio
import shapely
from numpy.typing import NDArray
from pyproj import Transformer
from pyproj.exceptions import ProjError

from geokd.errors import CallError, ChipError
from geokd.legend import machine_name
from geokd.scenes.grid import PatchGrid, SceneGrid


@dataclass(frozen=True, eq=False)
class Labels:
    """Labelled polygons in a scene's CRS; those of one class do not overlap.

    Parameters
    ----------
    classes : tuple of str
        Class names fit for folders, sorted.
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
        If there is no such file or field.
    ChipError
        If the file holds no usable polygons, or none over the scene.
    """
    frame = read_frame(Path(path), grid, field)
    named = frame[field].notna() & (frame[field].astype(str).str.strip() != "")
    if not named.any():
        raise ChipError(
            f"the field {field!r} is empty in all {len(frame)} polygons of {path}; fill it, or name another"
        )
    by_value = frame[named]
    names = _class_names([as_text(value) for value in by_value[field].unique()])
    by_value = by_value[np.isfinite(by_value.bounds).all(axis=1)]  # what the scene's CRS cannot hold is not over it
    by_value["geokd_class"] = [names[as_text(value)] for value in by_value[field]]
    by_value.geometry = shapely.make_valid(by_value.geometry.to_numpy())
    merged = by_value.dissolve("geokd_class").explode()
    merged = merged[merged.geom_type == "Polygon"]
    if not _overlap(merged.total_bounds, grid.bounds):
        raise ChipError(
            f"none of the {len(by_value)} labels of {path} lies over the scene: they span"
            f" {_span(merged.total_bounds)}, the scene {_span(grid.bounds)} in its own coordinates"
        )
    classes = tuple(sorted(names.values()))
    codes = np.array([classes.index(name) for name in merged.index], np.int64)
    return Labels(classes, merged.geometry.to_numpy(), codes, int((~named).sum()))


@dataclass(frozen=True, eq=False)
class ReferencePolygons:
    """Polygons in a scene's CRS, each with the classes an interpreter would accept for it.

    Parameters
    ----------
    polygons : array (N,) of shapely polygons
    accepted : tuple of tuples of str
        Of each polygon, class names; at least one.
    groups : tuple of str
        Of each polygon, what to count it under.
    undecided : int
        Polygons of the file that were left out because they accept no class.
    """

    polygons: NDArray[np.object_]
    accepted: tuple[tuple[str, ...], ...]
    groups: tuple[str, ...]
    undecided: int


def read_reference(path: str | Path, field: str, group_field: str | None, grid: SceneGrid) -> ReferencePolygons:
    """Read polygons to hold a map against, those that touch the scene.

    Parameters
    ----------
    path : str or Path
        Any vector file GDAL reads, with one layer of polygons.
    field : str
        The attribute with the accepted class names, separated by `|`.
    group_field : str or None
        The attribute to group by; the accepted classes themselves without.
    grid : SceneGrid
        Of the scene.

    Raises
    ------
    CallError
        If there is no such file or field.
    ChipError
        If the file holds no usable polygons, or none over the scene.
    """
    frame = read_frame(Path(path), grid, field, *([group_field] if group_field else []))
    scene = shapely.box(*grid.bounds)
    frame = frame[frame.intersects(scene) & ~frame.touches(scene)]
    if frame.empty:
        raise ChipError(f"none of the labels of {path} lies over the scene")
    texts = ["" if missing else as_text(v) for v, missing in zip(frame[field], frame[field].isna(), strict=True)]
    accepted = [tuple(filter(None, map(str.strip, text.split("|")))) for text in texts]
    decided = np.array([bool(names) for names in accepted])
    if not decided.any():
        raise ChipError(f"the field {field!r} is empty in all polygons of {path} over the scene; fill it")
    kept = frame[decided]
    names = tuple(a for a in accepted if a)
    groups = ["|".join(a) for a in names]
    if group_field:
        by_group = kept[group_field]
        groups = ["none" if lacking else as_text(v) for v, lacking in zip(by_group, by_group.isna(), strict=True)]
    return ReferencePolygons(kept.geometry.to_numpy(), names, tuple(groups), int((~decided).sum()))


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
    """Outlines of the patches of a row in world coordinates, of rotated scenes too: array (columns,) of polygons."""
    cols = np.arange(grid.shape[1])[:, np.newaxis]
    x = grid.stride_px * cols + grid.patch_px * np.array([0, 1, 1, 0])
    y = np.broadcast_to(grid.stride_px * row + grid.patch_px * np.array([0, 0, 1, 1]), x.shape)
    t = grid.scene_grid.transform
    corners = np.stack([t.a * x + t.b * y + t.c, t.d * x + t.e * y + t.f], axis=-1)
    return np.asarray(shapely.polygons(corners))


def read_frame(path: Path, grid: SceneGrid, *wanted: str, points: bool = False) -> Any:
    """Read the only layer of polygons of a file with the fields `wanted`, as a GeoDataFrame in the CRS of `grid`.

    Empty geometries are left out. With `points`, the layer may be one of points instead.

    Raises
    ------
    CallError
        If there is no such file or field.
    ChipError
        If the file holds no layer to be used, or none that can be brought into the CRS.
    """
    if grid.crs is None:
        raise ChipError("the scene has no coordinate reference system, so labels cannot be laid over it; assign one")
    layer, fields = only_layer(path)
    missing = [repr(field) for field in wanted if field not in fields]
    if missing:
        raise CallError(f"{path} has no field {' and '.join(missing)}; it has {', '.join(fields) or 'none at all'}")
    try:
        frame = geopandas.read_file(path, layer=layer, columns=list(wanted))
    except (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError) as error:
        raise ChipError(f"{path} is no vector file, or a broken one: {error}") from error
    frame = frame[frame.geometry.notna() & ~frame.geometry.is_empty]
    if frame.empty:
        raise ChipError(f"{path} holds no polygons; draw some, with a class in a field of text")
    kinds = {"Polygon", "MultiPolygon"}
    if points and set(frame.geom_type) <= {"Point", "MultiPoint"}:
        kinds = {"Point", "MultiPoint"}
    other = sorted(set(frame.geom_type) - kinds)
    if other:
        raise ChipError(f"{path} holds {', '.join(other)} geometries, only polygons can label a chip; leave these out")
    if frame.crs is None:
        raise ChipError(
            f"the labels {path} have no coordinate reference system; assign one, by ogr2ogr -a_srs EPSG:..."
        )
    try:
        return _clipped(frame, grid).to_crs(grid.crs.to_wkt())
    except ProjError as error:
        raise ChipError(f"the labels {path} cannot be brought into the scene's coordinates: {error}") from error


def only_layer(path: Path) -> tuple[str, list[str]]:
    """Find the only layer with geometry of a vector file; return its name and those of its fields.

    Raises
    ------
    CallError
        If there is no such file.
    ChipError
        If it is no vector file, or does not hold one such layer.
    """
    if not path.exists():
        raise CallError(f"no such file: {path}")
    try:
        layers = [str(name) for name, geometry in pyogrio.list_layers(path) if geometry is not None]
        if len(layers) == 1:
            return layers[0], [str(name) for name in pyogrio.read_info(path, layer=layers[0])["fields"]]
    except (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError) as error:
        raise ChipError(f"{path} is no vector file, or a broken one: {error}") from error
    listing = f"{len(layers)} layers with geometry ({', '.join(layers)})" if layers else "no layer with geometry"
    raise ChipError(f"{path} holds {listing}, one is expected; copy the right one out by ogr2ogr out.gpkg in LAYER")


def _clipped(frame: Any, grid: SceneGrid) -> Any:
    """Cut off what of the polygons lies far from the scene: its CRS may not be able to hold it."""
    assert grid.crs is not None
    around = Transformer.from_crs(grid.crs.to_wkt(), frame.crs, always_xy=True).transform_bounds(*grid.bounds)
    if not np.isfinite(around).all() or around[0] >= around[2]:  # the scene lies about the antimeridian or a pole
        return frame
    margin = max(around[2] - around[0], around[3] - around[1])
    box = shapely.box(around[0] - margin, around[1] - margin, around[2] + margin, around[3] + margin)
    is_area = frame.geom_type.isin(["Polygon", "MultiPolygon"]).to_numpy()
    beyond = is_area & ~frame.geometry.within(box).to_numpy() & frame.geometry.intersects(box).to_numpy()
    if beyond.any():
        geometry = frame.geometry.to_numpy().copy()
        parts = shapely.intersection(shapely.make_valid(geometry[beyond]), box)
        geometry[beyond] = shapely.buffer(parts, 0)  # polygons alone, no lines along the box
        frame = frame.set_geometry(geopandas.GeoSeries(geometry, index=frame.index, crs=frame.crs))
    return frame


def as_text(value: object) -> str:
    """Write a class value as the user wrote it: whole numbers that a column with gaps made floats are whole again."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value).strip()


def _class_names(values: list[str]) -> dict[str, str]:
    """Map each value to a name fit for a folder on any system.

    Raises
    ------
    ChipError
        If two values come to the same name, or to names that differ in case only.
    """
    names = {value: machine_name(value) for value in values}
    taken: dict[str, str] = {}
    for value, name in names.items():
        other = taken.setdefault(name.lower(), value)
        if other != value:
            raise ChipError(f"the classes {other!r} and {value!r} would share the folder {name!r}; rename one of them")
    return names


def _overlap(one: Any, other: Any) -> bool:
    """Whether two boxes (left, bottom, right, top) share some area; a box that is not finite does not."""
    return bool(max(one[0], other[0]) < min(one[2], other[2]) and max(one[1], other[1]) < min(one[3], other[3]))


def _span(bounds: Any) -> str:
    left, bottom, right, top = bounds
    return f"x {left:.6g}..{right:.6g}, y {bottom:.6g}..{top:.6g}"
