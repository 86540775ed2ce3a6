"""Metadata of a raster file."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import Literal

from affine import Affine
from rasterio.enums import ColorInterp
from rasterio.io import DatasetReader

from geokd.errors import SceneError
from geokd.scenes.acquisition import Acquisition, known_acquisition
from geokd.scenes.bands import doubt_of, find_band, wavelength_nm
from geokd.scenes.grid import SceneGrid
from geokd.scenes.products.product import Product
from geokd.scenes.sensors import KnownValues, known_sensor, known_values
from geokd.scenes.storage import member_files
from geokd.scenes.validity import has_mask
from geokd.text import file_name, without_secrets

Placing = Literal["transform", "control points", "rational polynomials"]


@dataclass(frozen=True)
class SceneInfo:
    """Metadata of a raster file.

    Parameters
    ----------
    path : str
        As the user gave it, without the secrets of an address.
    grid : SceneGrid
    dtype : str
        numpy name of the first band's type.
    descriptions : tuple of str
        Band descriptions, empty strings if there are none.
    colours : tuple of str
        Colour interpretation of each band: "red", "gray", "alpha", "undefined", ...
    nodata : tuple of float or None
        Value that marks missing pixels, of each band.
    masked : bool
        Whether there is an alpha band or a mask.
    scales, offsets : tuple of float
        GDAL's tags of each band; 1 and 0 if there are none.
    storage_px : tuple of int
        Height and width of the tiles or strips that the file is stored in.
    placing : {"transform", "control points", "rational polynomials"}
        Kind of georeferencing; "transform" also if there is none.
    acquisition : Acquisition or None
        Acquisition date, from its metadata or the name of its product.
    sensor : str or None
        See :mod:`geokd.scenes.sensors`; None if unknown.
    known_values : KnownValues or None
        Meaning of its values from names or tags, besides scale and offset tags.
    product : Product or None
        The product, if it is not a single raster.
    virtual : str
        Name for GDAL in place of `path`, such as a virtual raster or an address with its secrets; empty for a raster.
    files : tuple of str
        All files that its pixels are read from, as far as known.
    notes : tuple of str
        How it is read, one sentence each.
    dtypes : tuple of str
        numpy names of the types of all bands; empty if they are not known.
    centres_nm : tuple of float or None
        Central wavelength of each band, in nanometres, from its tags; empty or None if they have none.
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
    known_values: KnownValues | None = None
    product: Product | None = None
    virtual: str = ""
    files: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    dtypes: tuple[str, ...] = ()
    centres_nm: tuple[float | None, ...] = ()

    @property
    def raster(self) -> str:
        """Name for GDAL."""
        return self.virtual or self.path

    @property
    def name(self) -> str:
        """Beginning of the names of outputs."""
        return PurePath(file_name(self.path)).stem if self.product is None else self.product.name

    @property
    def title(self) -> str:
        """Its name in pictures and tags."""
        return file_name(self.path) if self.product is None else self.product.name

    @property
    def named_files(self) -> tuple[str, ...]:
        """Sources of a map: the scene as named, or its files if it is a list of files."""
        listed = self.product is not None and not Path(self.path).exists() and "=" in self.path
        return self.files if listed else (self.path,)

    def of_product(self, product: Product, virtual: str) -> "SceneInfo":
        """Describe a product whose bands are stacked in `virtual`."""
        tile = f", tile {product.tile}" if product.tile else ""
        scales = tuple(1.0 if band.scale is None else band.scale for band in product.bands)
        has_scale = any(band.scale is not None for band in product.bands)
        first = without_secrets(product.bands[0].files[0].path)
        return replace(
            self,
            product=product,
            virtual=virtual,
            scales=scales if has_scale else self.scales,
            offsets=tuple(band.offset for band in product.bands) if has_scale else self.offsets,
            sensor=product.sensor or self.sensor,
            known_values=None if has_scale else known_values(first, {}, self.dtype),
            acquisition=product.acquisition or self.acquisition,
            files=(*product.metadata, *self.files),
            notes=(
                f"{product.kind}{tile}: {len(product.bands)} bands",
                *product.notes,
                *(f"{reason}: the band is left out" for reason in _unreadable(product).values()),
            ),
        )

    @property
    def left_out(self) -> tuple[str, ...]:
        """Bands of a product whose files cannot be opened, one sentence each."""
        return () if self.product is None else tuple(_unreadable(self.product).values())

    def unreadable_of(self, bands: tuple[str, ...]) -> str:
        """Describe which of a model's bands the scene has, but in files that cannot be opened; empty if none."""
        unreadable = {} if self.product is None else _unreadable(self.product)
        names = tuple(unreadable)
        found = dict.fromkeys(names[band - 1] for name in bands if (band := find_band(names, name, self.sensor)))
        return "; ".join(unreadable[name] for name in found)

    def doubt_of(self, bands: tuple[str, ...]) -> str:
        """Describe why the numbers of a model's bands may be those of another sensor; empty if they are not."""
        return doubt_of(self.descriptions, bands, self.sensor)


def _unreadable(product: Product) -> dict[str, str]:
    return {name: f"band {name} cannot be read: {reason}" for name, reason in product.unreadable.items()}


def read_info(dataset: DatasetReader, path: str) -> SceneInfo:
    """Read the header of an open raster.

    Raises
    ------
    SceneError
        If it has no bands, or an unusable grid.
    """
    if dataset.count == 0:
        subdatasets = ", ".join(dataset.subdatasets[:3])
        hint = (
            f"; it has subdatasets ({subdatasets}): name one of them, or one for each band with --bands"
            " red=...,green=...,blue=..."
            if subdatasets
            else ""
        )
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
        descriptions=tuple(d or _moment(dataset.tags(number)) for number, d in enumerate(dataset.descriptions, 1)),
        colours=tuple(ColorInterp(c).name for c in dataset.colorinterp),
        nodata=tuple(dataset.nodatavals),
        masked=has_mask(dataset),
        scales=tuple(dataset.scales),
        offsets=tuple(dataset.offsets),
        storage_px=dataset.block_shapes[0],
        placing=_placing(dataset),
        acquisition=known_acquisition(path, tags),
        sensor=known_sensor(path, tags),
        known_values=known_values(path, tags, dataset.dtypes[0]),
        virtual="" if path == address else address,
        files=tuple(dict.fromkeys(map(without_secrets, member_files(dataset)))),
        dtypes=tuple(dataset.dtypes),
        centres_nm=_centres_nm(dataset),
    )


def _all_tags(dataset: DatasetReader) -> dict[str, str]:
    tags: dict[str, str] = dataset.tags(ns="ENVI") | dataset.tags() | dataset.tags(ns="IMAGERY")
    return tags


def _moment(tags: Mapping[str, str]) -> str:
    """Name a band that has no description by its place along a dimension of a netCDF file, such as its time."""
    return ", ".join(f"{key.removeprefix('NETCDF_DIM_')} {text}" for key, text in tags.items() if "NETCDF_DIM_" in key)


def _centres_nm(dataset: DatasetReader) -> tuple[float | None, ...]:
    """Read the central wavelength of each band, as GDAL, an ENVI header or its description states it.

    Bands that an ENVI header marks as bad have none.
    """
    good = [part.strip("{} ") for part in dataset.tags(ns="ENVI").get("bbl", "").split(",")]
    centres: list[float | None] = []
    for band, description in zip(dataset.indexes, dataset.descriptions, strict=True):
        tags = {key.lower(): text for key, text in dataset.tags(band).items()}
        micrometres = dataset.tags(band, ns="IMAGERY").get("CENTRAL_WAVELENGTH_UM") or tags.get("central_wavelength_um")
        if band <= len(good) and re.fullmatch(r"0(\.0*)?", good[band - 1]):
            centres.append(None)
        elif tags.get("wavelength"):
            centres.append(wavelength_nm(tags["wavelength"], tags.get("wavelength_units", "")))
        elif micrometres:
            centres.append(wavelength_nm(micrometres, "um"))
        else:
            centres.append(wavelength_nm(description or "", bare=False))
    return tuple(centres)


def _placing(dataset: DatasetReader) -> Placing:
    if dataset.transform != Affine.identity():
        return "transform"
    if dataset.gcps[0]:
        return "control points"
    return "rational polynomials" if dataset.rpcs else "transform"
