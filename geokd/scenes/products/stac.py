"""STAC items, 1.0 and 1.1: bands by common names, scaling from `raster:bands` or `bands`, grid from `proj`."""

import http.client
import json
import re
import urllib.request
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePath
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit

from geokd.errors import SceneError, named
from geokd.scenes.acquisition import Acquisition, acquired_by, spanned
from geokd.scenes.products.product import BandFile, Product, ProductBand
from geokd.scenes.sensors import (
    BAND_NAMES,
    LANDSAT_OLI,
    LANDSAT_TM,
    SENTINEL_2,
    UNUSED_BANDS,
    baseline_offset,
    known_sensor,
)
from geokd.text import file_name

_MOST_BYTES = 20_000_000
_PATIENCE_S = 20.0
_PICTURES = {"visual", "overview", "thumbnail", "rendered_preview", "preview", "quicklook"}
_IMAGES = re.compile(r"\.(?:tiff?|jp2|vrt|img)$", re.IGNORECASE)
_MASKS = {"scl": "scl", "qa_pixel": "qa_pixel", "fmask": "fmask", "udm2": "udm2", "ortho_udm2": "udm2"}
_COMMON = {name for names in BAND_NAMES.values() for name in names.values()}
_OFFSET_APPLIED = ("earthsearch:boa_offset_applied", "sentinel:boa_offset_applied")
_BASELINES = ("s2:processing_baseline", "processing:version", "sentinel:processing_baseline")
_BASELINE = re.compile(r"N?(\d{2})\.?(\d{2})")  # another text is the version of some software
_SIZE = re.compile(r"_(\d{2})m$", re.IGNORECASE)  # pixel size, at the end of an asset's name

_Json = Mapping[str, Any]


def read_stac(path: str) -> Product | None:
    """Read an item, or a collection of items of one day; None if it is neither.

    Parameters
    ----------
    path : str
        A file, or the URL of one.

    Raises
    ------
    SceneError
        If it is an item without bands or a broken one, or items of several days, or cannot be fetched.
    """
    document = _document(path)
    if isinstance(document, dict) and document.get("type") in ("Catalog", "Collection") and "stac_version" in document:
        raise SceneError(f"{path} is a STAC {document['type'].lower()}, which is not a scene; name one of its items")
    items = [document] if _is_item(document) else document.get("features", []) if isinstance(document, dict) else []
    if not items or not all(map(_is_item, items)):
        return None
    try:
        products = [_of_item(item, _base(path)) for item in items]
    except (TypeError, ValueError, AttributeError, KeyError) as error:  # a list where an object should be, and so on
        raise SceneError(
            f"the STAC item {file_name(path)} is not made as STAC's specification has it: {error}; download it again"
        ) from error
    return products[0] if len(products) == 1 else _of_one_day(products, path)


def _document(path: str) -> Any:
    """Read a JSON document; None if it is not one."""
    try:
        if path.lower().startswith(("http://", "https://")):
            with urllib.request.urlopen(_request(path), timeout=_PATIENCE_S) as answer:
                content = answer.read(_MOST_BYTES + 1)
        elif Path(path).is_file():
            with Path(path).open("rb") as file:
                content = file.read(_MOST_BYTES + 1)
        else:  # a pipe, which might never end
            return None
    except (http.client.InvalidURL, ValueError) as error:  # its message contains parts of the address
        name = file_name(path.partition("?")[0])
        raise SceneError(
            f"the STAC item {name} cannot be read: its address is not valid; write a space as %20, and in a password /"
            " as %2F, @ as %40, : as %3A"
        ) from error
    except (OSError, http.client.HTTPException) as error:
        raise SceneError(f"the STAC item {urlsplit(path).path} cannot be read: {error}") from error
    try:
        return json.loads(content) if len(content) <= _MOST_BYTES else None
    except (ValueError, RecursionError):
        return None


def _request(address: str) -> urllib.request.Request:
    """Return a request for an address; user and password in it become a header, as urllib does not know them."""
    parts = urlsplit(address)
    user, at, host = parts.netloc.rpartition("@")
    request = urllib.request.Request(parts._replace(netloc=host).geturl())
    if at:
        request.add_unredirected_header("Authorization", f"Basic {b64encode(unquote(user).encode()).decode()}")
    return request


def _is_item(document: Any) -> bool:
    return isinstance(document, dict) and document.get("type") == "Feature" and isinstance(document.get("assets"), dict)


def _base(path: str) -> str:
    return path if "://" in path else Path(path).absolute().as_uri()


def _of_item(item: _Json, base: str) -> Product:
    """Describe the bands of an item.

    Raises
    ------
    SceneError
        If there are none.
    """
    name, properties = str(item.get("id", "item")), item.get("properties") or {}
    sensor = known_sensor(name, {"PLATFORM": str(properties.get("platform") or properties.get("constellation") or "")})
    bands: dict[str, ProductBand] = {}
    masks: dict[str, tuple[BandFile, ...]] = {}
    for key, asset in sorted(item["assets"].items(), key=lambda entry: _size_m(*entry)):  # the finest first
        if not isinstance(asset, dict) or not _is_image(asset):
            continue
        file = _gdal_path(urljoin(base, str(asset["href"])))
        kind = _MASKS.get(_SIZE.sub("", key).lower())
        if kind:
            masks.setdefault(kind, (BandFile(file),))
        elif key.lower() not in _PICTURES and not _PICTURES & set(asset.get("roles") or ()):
            for band in _bands(key, asset, file, properties, sensor):
                bands.setdefault(band.name, band)
    if not bands:
        raise SceneError(
            f"the STAC item {name} has no asset whose bands have a name (eo:bands, bands, or the asset's own); it has"
            f" {named(sorted(item['assets']), 8)}: name files with --bands red=...,green=...,blue=..."
        )
    scaled = any(band.scale is not None for band in bands.values())
    applied = any(properties.get(flag) is True for flag in _OFFSET_APPLIED)
    notes = ("according to its item the offset was subtracted already, so it is not applied",) if applied else ()
    return Product(
        name=name,
        kind=f"STAC item {name}{f' of {sensor}' if sensor else ''}",
        bands=tuple(bands.values()),
        sensor=sensor,
        values_from="its STAC item" if scaled else "",
        masks=masks,
        acquisition=_acquisition(name, properties),
        metadata=() if "://" in base and not base.startswith("file:") else (_gdal_path(base),),
        tile=str(properties.get("grid:code") or properties.get("s2:mgrs_tile") or ""),
        notes=notes,
    )


def _size_m(key: str, asset: Any) -> float:
    """Return the pixel size of an asset, from its grid or its name; 0 if unknown."""
    about = asset if isinstance(asset, dict) else {}
    transform, named_m = about.get("proj:transform"), _SIZE.search(key)
    for size in (about.get("gsd"), transform[0] if isinstance(transform, list) and transform else None):
        if isinstance(size, int | float):
            return float(size)
    return float(named_m[1]) if named_m else 0.0


def _is_image(asset: _Json) -> bool:
    kind, href = str(asset.get("type") or ""), str(asset.get("href") or "")
    return bool(href) and (
        kind.startswith(("image/tiff", "image/jp2", "image/vnd.stac.geotiff"))
        or (not kind and _IMAGES.search(urlsplit(href).path) is not None)
    )


def _bands(key: str, asset: _Json, file: str, properties: _Json, sensor: str | None) -> list[ProductBand]:
    """Describe the bands of an asset that have a name."""
    spectral = asset.get("bands") or asset.get("eo:bands") or [{}]
    raster = asset.get("raster:bands") or asset.get("bands") or [{}]
    found = []
    for number, band in enumerate(spectral, 1):
        name = _band_name(key, band, sensor, alone=len(spectral) == 1)
        if name and name not in UNUSED_BANDS:
            about = {**asset, **band, **(raster[number - 1] if number <= len(raster) else {})}
            place = {
                part: asset.get(f"proj:{part}", properties.get(f"proj:{part}"))
                for part in ("epsg", "code", "transform")
            }
            found.append(_band(name, BandFile(file, number, **_place(place)), about, properties, sensor))
    return found


def _band_name(key: str, band: _Json, sensor: str | None, *, alone: bool) -> str:
    """Return the name of a band: its common name, else its own or the asset's if that is a known one."""
    common = str(band.get("eo:common_name") or band.get("common_name") or "").lower()
    if common in _COMMON:
        return "nir" if common == "nir08" and sensor in (LANDSAT_OLI, LANDSAT_TM) else common
    for name in (str(band.get("name") or ""), key if alone else ""):
        plain = re.sub(r"^b(\d)$", r"b0\1", _SIZE.sub("", name).lower())
        if plain in _COMMON:
            return plain
        if plain in BAND_NAMES.get(sensor or SENTINEL_2, {}):
            return BAND_NAMES[sensor or SENTINEL_2][plain]
    return ""


def _band(name: str, file: BandFile, about: _Json, properties: _Json, sensor: str | None) -> ProductBand:
    """Return a band with scale, offset and nodata from the item."""
    scale, offset = (_number(about, f"raster:{part}", part) for part in ("scale", "offset"))
    nodata = _number(about, "nodata")
    fill = None
    if scale is None and offset is None and sensor == SENTINEL_2:
        texts = (_BASELINE.fullmatch(str(properties.get(name) or "")) for name in _BASELINES)
        baseline = next((f"{text[1]}.{text[2]}" for text in texts if text), "")
        if baseline:
            scale, offset = 1e-4, baseline_offset(baseline) / 1e4
        fill = 0.0
    if any(properties.get(flag) is True for flag in _OFFSET_APPLIED):
        offset = 0.0
    if scale is None and offset is not None:
        scale = 1.0
    return ProductBand(name, (file,), scale, offset or 0.0, nodata, fill)


def _number(about: _Json, *names: str) -> float | None:
    for name in names:
        value = about.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
    return None


def _place(place: _Json) -> dict[str, Any]:
    """Return CRS and transform of an asset from the item; empty if it has none."""
    code, numbers = place["code"] or (f"EPSG:{place['epsg']}" if place["epsg"] else ""), place["transform"]
    if not code or not isinstance(numbers, list) or len(numbers) < 6:
        return {}
    return {"crs": str(code), "transform": tuple(float(number) for number in numbers[:6])}


def _gdal_path(address: str) -> str:
    """Return GDAL's name of an address."""
    parts = urlsplit(address)
    if parts.scheme == "file":
        return urllib.request.url2pathname(parts.path)
    if parts.scheme in ("s3", "gs"):
        return f"/vsi{parts.scheme}/{parts.netloc}{parts.path}"
    return f"/vsicurl/{address}" if parts.scheme in ("http", "https") else address


def _acquisition(name: str, properties: _Json) -> Acquisition | None:
    start, end = properties.get("start_datetime"), properties.get("end_datetime")
    tags = {"START_DATETIME": start, "END_DATETIME": end} if start and end else {"DATETIME": properties.get("datetime")}
    return acquired_by("its STAC item", name, {key: str(value) for key, value in tags.items() if value})


def _of_one_day(products: Sequence[Product], path: str) -> Product:
    """Join the items of one day.

    Raises
    ------
    SceneError
        If they are of several days or sensors.
    """
    days = sorted({str(product.acquisition)[:10] for product in products})
    sensors = {product.sensor for product in products}
    if len(days) > 1 or len(sensors) > 1:
        what = f"days ({named(days, 5)})" if len(days) > 1 else "sensors"
        raise SceneError(f"{path} has items of several {what}; a scene has one: keep only the items of one")
    first = products[0]
    bands = []
    for band in first.bands:
        alike = [other for product in products for other in product.bands if other.name == band.name]
        if len(alike) == len(products) and len({(other.scale, other.offset) for other in alike}) == 1:
            files = tuple(file for other in alike for file in other.files)
            bands.append(replace(band, files=files))
    masks = {
        kind: tuple(file for product in products for file in product.masks[kind])
        for kind in first.masks
        if all(kind in product.masks for product in products)
    }
    return Product(
        name=PurePath(file_name(path)).stem,
        kind=f"{len(products)} STAC items of {days[0]}{f', of {first.sensor}' if first.sensor else ''}",
        bands=tuple(bands),
        sensor=first.sensor,
        values_from=first.values_from,
        masks=masks,
        acquisition=spanned([product.acquisition for product in products]),
        metadata=tuple(dict.fromkeys(file for product in products for file in product.metadata)),
        tile=" ".join(product.tile for product in products if product.tile),
        notes=first.notes,
    )
