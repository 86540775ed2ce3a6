"""Sentinel-2 products of levels 1C and 2A, in the folder format SAFE: all processing baselines.

Names and meanings follow ESA's Sentinel-2 Products Specification Document: reflectance = (DN + ADD_OFFSET) /
QUANTIFICATION_VALUE, with an offset of -1000 since processing baseline 04.00 and none before.
"""

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterable
from contextlib import suppress
from pathlib import PurePosixPath

from geokd.errors import SceneError
from geokd.scenes.acquisition import Acquisition, acquired_by
from geokd.scenes.products.archive import Archive, stem_of
from geokd.scenes.products.product import BandFile, Product, ProductBand
from geokd.scenes.sensors import SENTINEL_2, baseline_offset

METADATA = re.compile(r"(?:.*/)?(?:MTD_MSIL(1C|2A)|S2[A-D]_(?:OPER|USER)_MTD_SAFL(1C|2A)_[^/]*)\.xml", re.IGNORECASE)
"""Name of the metadata file of a product; it contains the level."""

_BANDS = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12")  # by their band_id
_IMAGE = re.compile(
    r"GRANULE/([^/]+)/IMG_DATA/(?:.*/)?[^/]*_(B\d[\dA]|SCL)(?:_(\d\d)m)?\.(?:jp2|tiff?)$", re.IGNORECASE
)
_TILE = re.compile(r"_(T\d{2}[A-Z]{3})_")
_NODATA = 0.0


def read_sentinel2(
    archive: Archive, metadata: str, resolution_m: int | None = None, epsg: int | None = None
) -> Product:
    """Read a product's metadata and find the files of its bands.

    Parameters
    ----------
    archive : Archive
    metadata : str
        Name of its metadata file in the archive.
    resolution_m : int, optional
        Use only bands of this pixel size. Default: each band at its finest pixel size.
    epsg : int, optional
        Use only granules of this coordinate system, if a product has several.

    Raises
    ------
    SceneError
        If the metadata are broken, or the product has no image, or granules of several UTM zones.
    """
    document = _parsed(archive, metadata)
    root = metadata.rpartition("/")[0]
    level = _level(metadata)
    folder = _text(document, "PRODUCT_URI") or root or str(archive.path)
    baseline = _text(document, "PROCESSING_BASELINE")
    if not baseline:
        raise SceneError(
            f"{metadata} in {archive.path} names no processing baseline, as the metadata of all Sentinel-2 products do;"
            " download the product again"
        )
    images = _images(archive, root, resolution_m)
    images = _of_one_zone(images, archive, root, level, metadata, epsg)
    quantification = _number(document, "QUANTIFICATION_VALUE") or 10_000.0
    offsets = _offsets(document, baseline)
    tiles = sorted({match[1] for names in images.values() for name in names if (match := _TILE.search(name))})
    bands = tuple(
        ProductBand(
            band,
            tuple(BandFile(archive.raster(name)) for name in images[band]),
            1 / quantification,
            offsets.get(number, 0.0) / quantification,
            _NODATA,
        )
        for number, band in enumerate(_BANDS)
        if band in images
    )
    if not bands:
        what = f" of {resolution_m} m" if resolution_m else ""
        raise SceneError(
            f"{archive.path} has the metadata of a Sentinel-2 product but no image{what} below GRANULE/*/IMG_DATA;"
            " download the product again, as a whole"
        )
    masks = {"scl": tuple(BandFile(archive.raster(name)) for name in images["SCL"])} if "SCL" in images else {}
    return Product(
        name=stem_of(folder),
        kind=f"Sentinel-2 L{level} product, processing baseline {baseline}",
        bands=bands,
        sensor=SENTINEL_2,
        values_from=f"{PurePosixPath(metadata).name} (processing baseline {baseline})",
        masks=masks,
        acquisition=_acquisition(document, folder),
        metadata=(archive.raster(metadata),),
        tile=" ".join(tiles),
    )


def _level(metadata: str) -> str:
    match = METADATA.fullmatch(metadata)
    return (match[1] or match[2]).upper() if match else "1C"


def _parsed(archive: Archive, metadata: str) -> list[ET.Element]:
    """Return all elements of the metadata."""
    try:
        return list(ET.fromstring(archive.read(metadata)).iter())
    except ET.ParseError as error:
        raise SceneError(
            f"{metadata} in {archive.path} is broken: {error}; copy or download the product again"
        ) from error


def _text(document: Iterable[ET.Element], name: str) -> str:
    """Return the text of the first element of this name, without namespace; empty if there is none."""
    for element in document:
        if element.tag.rpartition("}")[2].endswith(name) and element.text:
            return element.text.strip()
    return ""


def _number(document: Iterable[ET.Element], name: str) -> float | None:
    with suppress(ValueError):
        return float(_text(document, name))
    return None


def _offsets(document: Iterable[ET.Element], baseline: str) -> dict[int, float]:
    """Return the offset of each band by its number; if the metadata lack them, from the processing baseline."""
    found: dict[int, float] = {}
    for element in document:
        if element.tag.rpartition("}")[2] in ("RADIO_ADD_OFFSET", "BOA_ADD_OFFSET"):
            with suppress(ValueError):
                found[int(element.get("band_id", ""))] = float(element.text or "")
    return found or dict.fromkeys(range(len(_BANDS)), baseline_offset(baseline))


def _images(archive: Archive, root: str, resolution_m: int | None) -> dict[str, list[str]]:
    """Find the images of each band, at the finest pixel size of each granule."""
    found: dict[tuple[str, str], tuple[int, str]] = {}
    for name in archive.names:
        match = _IMAGE.search(name) if name.startswith(root) else None
        if match is None:
            continue
        granule, band, size = match[1], match[2].upper(), int(match[3] or 0)
        if resolution_m is not None and (size or _native_m(band)) != resolution_m and band != "SCL":
            continue
        if (granule, band) not in found or size < found[granule, band][0]:
            found[granule, band] = size, name
    images: dict[str, list[str]] = {}
    for (_, band), (_, name) in sorted(found.items()):
        images.setdefault(band, []).append(name)
    return images


def _native_m(band: str) -> int:
    if band in ("B02", "B03", "B04", "B08"):
        return 10
    return 60 if band in ("B01", "B09", "B10") else 20


def _of_one_zone(
    images: dict[str, list[str]], archive: Archive, root: str, level: str, metadata: str, epsg: int | None
) -> dict[str, list[str]]:
    """Keep the granules of one UTM zone.

    Raises
    ------
    SceneError
        If there are several zones, and none is requested.
    """
    zones = {zone for names in images.values() for name in names if (zone := _zone(name))}
    if epsg is not None:
        wanted = {zone for zone in zones if _epsg(zone) == epsg}
    elif len({_epsg(zone) for zone in zones}) > 1:
        path = archive.raster(metadata)
        choices = ", ".join(f"SENTINEL2_L{level}:{path}:10m:EPSG_{code}" for code in sorted({*map(_epsg, zones)}))
        raise SceneError(f"{archive.path} holds granules of several UTM zones; name one of them: {choices}")
    else:
        return images
    kept = {band: [name for name in names if _zone(name) in wanted] for band, names in images.items()}
    return {band: names for band, names in kept.items() if names}


def _zone(name: str) -> str:
    """Return the first three letters of a tile's name: UTM zone and latitude band."""
    match = _TILE.search(name)
    return match[1][1:4] if match else ""


def _epsg(zone: str) -> int:
    return (32600 if zone[2] >= "N" else 32700) + int(zone[:2])


def _acquisition(document: list[ET.Element], folder: str) -> Acquisition | None:
    tags = {
        "DATATAKE_1_DATATAKE_SENSING_START": _text(document, "DATATAKE_SENSING_START"),
        "PRODUCT_START_TIME": _text(document, "PRODUCT_START_TIME"),
        "PRODUCT_STOP_TIME": _text(document, "PRODUCT_STOP_TIME"),
    }
    return acquired_by("its metadata", folder, {name: text for name, text in tags.items() if text})
