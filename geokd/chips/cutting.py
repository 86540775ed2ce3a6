"""Chips cut out of an open scene, each a GeoTIFF with the band metadata and georeferencing of the scene."""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio.io import DatasetReader
from rasterio.windows import Window

from geokd.errors import CallError, OutputError, SceneError
from geokd.scenes.opening import GdalErrors, gdal_reason
from geokd.scenes.patches import PatchGrid
from geokd.scenes.plan import ScenePlan
from geokd.scenes.reader import read_values
from geokd.scenes.scene_info import SceneInfo


@dataclass(frozen=True)
class ChipSource:
    """An open scene, how its pixels are read, its patches, and the bands to keep."""

    dataset: DatasetReader
    info: SceneInfo
    plan: ScenePlan
    grid: PatchGrid
    bidx: tuple[int, ...]


@dataclass(frozen=True)
class LeftOut:
    """Number of patches that did not become chips, each counted once, by the first reason that applies.

    Parameters
    ----------
    past_the_edge : int
        They reach past the scene's last row or column.
    not_labelled : int
        The labels of all classes together cover less than `min_cover`.
    mixed : int
        Labels cover enough, but no single class does; or two classes do, where polygons overlap.
    invalid_pixels : int
        They hold nodata, masked pixels or values that are not finite.
    none_of_these : int
        They were labelled as none of the map's classes.
    repeated : int
        Another labelled cell has the same patch, as at the scene's edge.
    outside_area : int
        They do not lie wholly within the area of interest.
    """

    past_the_edge: int
    not_labelled: int
    mixed: int
    invalid_pixels: int
    none_of_these: int = 0
    repeated: int = 0
    outside_area: int = 0

    def __str__(self) -> str:
        reasons = {
            "reach past the scene's edge": self.past_the_edge,
            "are not labelled": self.not_labelled,
            "are mixed": self.mixed,
            "hold invalid pixels": self.invalid_pixels,
            "are of no class of the map": self.none_of_these,
            "share the patch of another": self.repeated,
            "do not lie wholly within the area": self.outside_area,
        }
        return ", ".join(f"{count:,} {reason}" for reason, count in reasons.items() if count) or "none"


def checked_bands(info: SceneInfo, bidx: tuple[int, ...] | None) -> tuple[int, ...]:
    """Return the bands to keep: those requested, or all.

    Raises
    ------
    CallError
        If a band does not exist.
    SceneError
        If they are of different types.
    """
    there = range(1, len(info.colours) + 1)
    bidx = tuple(there) if bidx is None else bidx
    if not bidx or any(band not in there for band in bidx):
        asked = ",".join(map(str, bidx))
        raise CallError(f"--bidx {asked} is not among the scene's bands 1..{len(there)}")
    types = sorted({info.dtypes[band - 1] for band in bidx})
    if len(types) > 1:
        raise SceneError(
            f"the scene's bands are of different types ({', '.join(types)}); keep those of one with --bidx"
        )
    return bidx


def images_of(info: SceneInfo, bidx: tuple[int, ...]) -> tuple[int, ...]:
    """Return the bands that are not alpha."""
    return tuple(band for band in bidx if info.colours[band - 1] != "alpha")


def cut_chips(
    source: ChipSource, wanted: Iterable[tuple[Window, str]], reasons: Counter[str], folder: Path
) -> tuple[list[str], LeftOut]:
    """Write all chips below `folder`; return their paths in it, and how many patches were left out.

    Raises
    ------
    SceneError
        If the scene cannot be read.
    OutputError
        If a chip cannot be written.
    """
    chips: list[str] = []
    stem = re.sub(r'[\\/:*?"<>|]', "_", source.info.name)  # the name of a URL or subdataset may contain these
    scene = source.grid.scene_grid
    digits = len(str(max(scene.height, scene.width)))
    for window, class_name in wanted:
        values = _read_if_valid(source, window)
        if values is None:
            reasons["invalid_pixels"] += 1
            continue
        name = f"{stem}_r{window.row_off:0{digits}}_c{window.col_off:0{digits}}.tif"
        chip = folder / class_name / name
        _write_chip(chip, source, window, values)
        chips.append(chip.relative_to(folder).as_posix())
    return chips, LeftOut(**{field.name: reasons[field.name] for field in fields(LeftOut)})


def _read_if_valid(source: ChipSource, window: Window) -> NDArray[np.generic] | None:
    """Read the DN (C, h, w) of a window; None if any pixel is invalid."""
    images = source.plan.bidx
    values, valid = read_values(source.plan, window, images, source.dataset)
    if not valid.all() or images == source.bidx:
        return values if valid.all() else None
    try:
        return np.asarray(source.dataset.read(list(source.bidx), window=window))
    except GdalErrors as error:
        raise SceneError(f"cannot read {source.info.path}: {gdal_reason(error)}") from error


def _write_chip(path: Path, source: ChipSource, window: Window, values: NDArray[np.generic]) -> None:
    """Write a chip with the band metadata and georeferencing of the scene."""
    dataset, info, bands = source.dataset, source.info, [band - 1 for band in source.bidx]
    scales, offsets = _told_scales(info)
    scene = source.grid.scene_grid
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with rasterio.open(
            path,
            "w",
            driver="GTiff",
            dtype=values.dtype,
            count=len(bands),
            height=window.height,
            width=window.width,
            crs=scene.crs,
            transform=scene.transform @ Affine.translation(window.col_off, window.row_off),
            nodata=source.plan.nodata.of(source.bidx)[0],
            compress="deflate",
        ) as chip:
            chip.write(values)
            chip.colorinterp = [dataset.colorinterp[band] for band in bands]
            chip.descriptions = [dataset.descriptions[band] for band in bands]
            chip.scales = [scales[band] for band in bands]
            chip.offsets = [offsets[band] for band in bands]
    except (*GdalErrors, OSError) as error:
        raise OutputError(
            f"cannot write the chip {path.name}: {gdal_reason(error)}; make room or choose another folder"
        ) from error


def _told_scales(info: SceneInfo) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return scale and offset of each band to reflectance: from metadata or tags, else from file names."""
    known, tagged = info.known_values, set(info.scales) != {1.0} or set(info.offsets) != {0.0}
    if tagged or known is None or known.why == "":
        return info.scales, info.offsets
    count = len(info.scales)
    return (known.scale / 1e4,) * count, (known.offset / 1e4,) * count
