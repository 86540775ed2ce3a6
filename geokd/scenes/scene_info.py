"""What a raster file says of itself."""

from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import Literal

from affine import Affine
from rasterio.enums import ColorInterp
from rasterio.io import DatasetReader

from geokd.errors import SceneError
from geokd.scenes.acquisition import Acquisition, told_acquisition
from geokd.scenes.grid import SceneGrid
from geokd.scenes.products.product import Product
from geokd.scenes.sensors import ToldValues, told_sensor, told_values
from geokd.scenes.storage import member_files
from geokd.scenes.validity import has_mask
from geokd.text import file_name, without_secrets

Placing = Literal["transform", "control points", "rational polynomials"]


@dataclass(frozen=True)
class SceneInfo:
    """What a raster file says of itself.

    Parameters
    ----------
    path : str
        As the user gave it, without the secrets of an address.
    grid : SceneGrid
    dtype : str
        numpy name of the first band's type.
    descriptions : tuple of str
        Band descriptions, empty strings where there are none.
    colours : tuple of str
        Colour interpretation of each band: "red", "gray", "alpha", "undefined", ...
    nodata : tuple of float or None
        Value that marks missing pixels, of each band.
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
    sensor : str or None
        See :mod:`geokd.scenes.sensors`; None if unknown.
    told_values : ToldValues or None
        What names or tags say about its values, beyond scale and offset tags.
    product : Product or None
        What it is made of, if it is more than a raster.
    virtual : str
        What GDAL opens in place of `path`, such as a virtual raster or an address with its secrets; empty of a raster.
    files : tuple of str
        All files that its pixels are read from, as far as they are known.
    notes : tuple of str
        How it is read, one sentence each, where that is more than opening a file.
    dtypes : tuple of str
        numpy names of the types of all bands; empty if they are not known.
    """

    path: str
    grid: SceneGrid
    dtype: str
    descriptions: tuple[str, ...]
    colours: tuple[str, ...]
    nodata: tuple[float | None, ...]
    masked: bool
    scales: tuple[float, ...]
    offsets: tuple[float, ...]
    storage_px: tuple[int, int]
    placing: Placing = "transform"
    acquisition: Acquisition | None = None
    sensor: str | None = None
    told_values: ToldValues | None = None
    product: Product | None = None
    virtual: str = ""
    files: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    dtypes: tuple[str, ...] = ()

    @property
    def raster(self) -> str:
        """What GDAL opens."""
        return self.virtual or self.path

    @property
    def name(self) -> str:
        """What the names of outputs begin with."""
        return PurePath(file_name(self.path)).stem if self.product is None else self.product.name

    @property
    def title(self) -> str:
        """What it is called in pictures and tags."""
        return file_name(self.path) if self.product is None else self.product.name

    @property
    def named_files(self) -> tuple[str, ...]:
        """What a map was made of: the scene as it is named, or the files of one that is only a list of them."""
        listed = self.product is not None and not Path(self.path).exists() and "=" in self.path
        return self.files if listed else (self.path,)

    def of_product(self, product: Product, virtual: str) -> "SceneInfo":
        """Return what is known of a product whose bands `virtual` lays over one another."""
        tile = f", tile {product.tile}" if product.tile else ""
        scales = tuple(1.0 if band.scale is None else band.scale for band in product.bands)
        told = any(band.scale is not None for band in product.bands)
        first = without_secrets(product.bands[0].files[0].path)
        return replace(
            self,
            product=product,
            virtual=virtual,
            scales=scales if told else self.scales,
            offsets=tuple(band.offset for band in product.bands) if told else self.offsets,
            sensor=product.sensor or self.sensor,
            told_values=None if told else told_values(first, {}, self.dtype),
            acquisition=product.acquisition or self.acquisition,
            files=(*product.metadata, *self.files),
            notes=(f"{product.kind}{tile}: {len(product.bands)} bands", *product.notes),
        )


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
    tags, address = _all_tags(dataset), path
    path = without_secrets(path)
    return SceneInfo(
        path=path,
        grid=grid,
        dtype=dataset.dtypes[0],
        descriptions=tuple(d or "" for d in dataset.descriptions),
        colours=tuple(ColorInterp(c).name for c in dataset.colorinterp),
        nodata=tuple(dataset.nodatavals),
        masked=has_mask(dataset),
        scales=tuple(dataset.scales),
        offsets=tuple(dataset.offsets),
        storage_px=dataset.block_shapes[0],
        placing=_placing(dataset),
        acquisition=told_acquisition(path, tags),
        sensor=told_sensor(path, tags),
        told_values=told_values(path, tags, dataset.dtypes[0]),
        virtual="" if path == address else address,
        files=tuple(dict.fromkeys(map(without_secrets, member_files(dataset)))),
        dtypes=tuple(dataset.dtypes),
    )


def _all_tags(dataset: DatasetReader) -> dict[str, str]:
    tags: dict[str, str] = dataset.tags() | dataset.tags(ns="IMAGERY")
    return tags


def _placing(dataset: DatasetReader) -> Placing:
    if dataset.transform != Affine.identity():
        return "transform"
    if dataset.gcps[0]:
        return "control points"
    return "rational polynomials" if dataset.rpcs else "transform"
