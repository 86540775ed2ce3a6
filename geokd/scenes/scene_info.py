"""What a raster file says of itself."""

from dataclasses import dataclass
from typing import Literal

from affine import Affine
from rasterio.enums import ColorInterp
from rasterio.io import DatasetReader

from geokd.errors import SceneError
from geokd.scenes.acquisition import Acquisition, told_acquisition
from geokd.scenes.grid import SceneGrid
from geokd.scenes.validity import has_mask

Placing = Literal["transform", "control points", "rational polynomials"]


@dataclass(frozen=True)
class SceneInfo:
    """What a raster file says of itself.

    Parameters
    ----------
    path : str
        As the user gave it.
    grid : SceneGrid
    dtype : str
        numpy name of the first band's type.
    descriptions : tuple of str
        Band descriptions, empty strings where there are none.
    colours : tuple of str
        Colour interpretation of each band: "red", "gray", "alpha", "undefined", ...
    nodata : float or None
    masked : bool
        Whether there is an alpha band or a mask.
    scales, offsets : tuple of float
        GDAL's tags of each band; 1 and 0 where there are none.
    storage_px : tuple of int
        Height and width of the tiles or strips that the file is stored in.
    placing : {"transform", "control points", "rational polynomials"}
        What tells where the pixels lie; the transform too where nothing does.
    acquisition : Acquisition or None
        When it was taken, if its metadata or the name of its product tell.
    """

    path: str
    grid: SceneGrid
    dtype: str
    descriptions: tuple[str, ...]
    colours: tuple[str, ...]
    nodata: float | None
    masked: bool
    scales: tuple[float, ...]
    offsets: tuple[float, ...]
    storage_px: tuple[int, int]
    placing: Placing = "transform"
    acquisition: Acquisition | None = None


def read_info(dataset: DatasetReader, path: str) -> SceneInfo:
    """Read the header of an open raster.

    Raises
    ------
    SceneError
        If it has no bands, or an unusable grid.
    """
    if dataset.count == 0:
        subdatasets = ", ".join(dataset.subdatasets[:3])
        hint = f"; it holds others, name one of them: {subdatasets}" if subdatasets else ""
        raise SceneError(f"{path} has no bands{hint}")
    try:
        grid = SceneGrid(dataset.transform, dataset.height, dataset.width, dataset.crs)
    except ValueError as error:
        raise SceneError(f"{path} has an unusable grid: {error}") from error
    return SceneInfo(
        path=path,
        grid=grid,
        dtype=dataset.dtypes[0],
        descriptions=tuple(d or "" for d in dataset.descriptions),
        colours=tuple(ColorInterp(c).name for c in dataset.colorinterp),
        nodata=dataset.nodata,
        masked=has_mask(dataset),
        scales=tuple(dataset.scales),
        offsets=tuple(dataset.offsets),
        storage_px=dataset.block_shapes[0],
        placing=_placing(dataset),
        acquisition=told_acquisition(path, dataset.tags() | dataset.tags(ns="IMAGERY")),
    )


def _placing(dataset: DatasetReader) -> Placing:
    if dataset.transform != Affine.identity():
        return "transform"
    if dataset.gcps[0]:
        return "control points"
    return "rational polynomials" if dataset.rpcs else "transform"
