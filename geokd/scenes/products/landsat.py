"""Landsat 4 to 9 products of Collection 2, levels 1 and 2: bands and scaling from the metadata file MTL.

Names follow the USGS data format control books. Level 2: reflectance = DN * REFLECTANCE_MULT + REFLECTANCE_ADD; level 1
likewise, divided by the sine of the sun's elevation, which makes it top-of-atmosphere reflectance.
"""

import math
import re
from collections.abc import Mapping

from geokd.errors import SceneError
from geokd.scenes.acquisition import acquired_by
from geokd.scenes.products.archive import Archive, stem_of
from geokd.scenes.products.product import BandFile, Product, ProductBand
from geokd.scenes.sensors import BAND_NAMES, LANDSAT_OLI, LANDSAT_TM, UNUSED_BANDS

METADATA = re.compile(r"(?:.*/)?L[COTEM]0\d_L[12][A-Z]{2}_[^/]*_MTL\.txt", re.IGNORECASE)
"""Name of the metadata file of a product."""

_FILL = 0.0

_Groups = Mapping[str, Mapping[str, str]]


def read_landsat(archive: Archive, metadata: str) -> Product:
    """Read a product's metadata and find the files of its bands.

    Raises
    ------
    SceneError
        If the metadata are incomplete, there is no reflectance band, or the sensor is MSS.
    """
    groups = _groups(archive.read(metadata).decode("utf-8", errors="replace"))
    contents, image = groups.get("PRODUCT_CONTENTS", {}), groups.get("IMAGE_ATTRIBUTES", {})
    spacecraft = image.get("SPACECRAFT_ID", "")
    if any(group.get("COLLECTION_NUMBER", "").lstrip("0") == "1" for group in groups.values()):
        raise SceneError(f"{archive.path} is a Landsat product of Collection 1; download it from Collection 2")
    if not contents or not spacecraft:
        raise SceneError(
            f"{metadata} in {archive.path} is not metadata of a Landsat Collection 2 product: it lacks"
            " PRODUCT_CONTENTS or IMAGE_ATTRIBUTES; download the product again"
        )
    if image.get("SENSOR_ID", "").upper().startswith("MSS") or spacecraft[-1:] in ("1", "2", "3"):
        raise SceneError(
            f"{archive.path} is a Landsat product of the sensor MSS, which has no blue band; use one of TM, ETM+ or OLI"
        )
    sensor = LANDSAT_OLI if spacecraft[-1:] in ("8", "9") else LANDSAT_TM
    folder = metadata.rpartition("/")[0]
    level = 2 if contents.get("PROCESSING_LEVEL", "").startswith("L2") else 1
    bands = tuple(_bands(archive, folder, groups, sensor, level))
    if not bands:
        raise SceneError(
            f"{archive.path} has the metadata of a Landsat product but no image of a band; download the product again,"
            " as a whole"
        )
    quality = _file(archive, folder, contents.get("FILE_NAME_QUALITY_L1_PIXEL", ""))
    name = contents.get("LANDSAT_PRODUCT_ID", "") or stem_of(metadata.removesuffix("_MTL.txt"))
    moment = f"{image.get('DATE_ACQUIRED', '')}T{image.get('SCENE_CENTER_TIME', '')}"
    return Product(
        name=name,
        kind=f"Landsat {spacecraft[-1:]} product, Collection {contents.get('COLLECTION_NUMBER', '2').lstrip('0')}"
        f" level {level}",
        bands=bands,
        sensor=sensor,
        values_from=metadata.rpartition("/")[2]
        + (f" (sun {float(image['SUN_ELEVATION']):.4g} degrees high)" if level == 1 else ""),
        masks={"qa_pixel": (BandFile(quality),)} if quality else {},
        acquisition=acquired_by("its metadata", name, {"ACQUISITION_DATETIME": moment}),
        metadata=(archive.raster(metadata),),
        tile=f"path {image.get('WRS_PATH', '?')} row {image.get('WRS_ROW', '?')}",
    )


def _groups(text: str) -> _Groups:
    """Read `KEY = VALUE` lines, by their innermost group."""
    groups: dict[str, dict[str, str]] = {}
    inside: list[str] = []
    for line in text.splitlines():
        key, equals, value = (part.strip() for part in line.partition("="))
        if not equals:
            continue
        if key == "GROUP":
            inside.append(value)
        elif key == "END_GROUP":
            inside = inside[:-1]
        else:
            groups.setdefault(inside[-1] if inside else "", {})[key] = value.strip('"')
    return groups


def _bands(archive: Archive, folder: str, groups: _Groups, sensor: str, level: int) -> list[ProductBand]:
    """Return the existing reflectance bands.

    Raises
    ------
    SceneError
        If their scaling is missing.
    """
    scaling = groups.get("LEVEL2_SURFACE_REFLECTANCE_PARAMETERS" if level == 2 else "LEVEL1_RADIOMETRIC_RESCALING", {})
    bands = []
    try:
        sun = math.sin(math.radians(float(groups["IMAGE_ATTRIBUTES"]["SUN_ELEVATION"]))) if level == 1 else 1.0
        for number in range(1, 12):
            name = BAND_NAMES[sensor].get(f"b{number:02}", "")
            file = _file(archive, folder, groups["PRODUCT_CONTENTS"].get(f"FILE_NAME_BAND_{number}", ""))
            if not name or name in UNUSED_BANDS or not file:
                continue
            scale, offset = (float(scaling[f"REFLECTANCE_{part}_BAND_{number}"]) for part in ("MULT", "ADD"))
            bands.append(ProductBand(name, (BandFile(file),), scale / sun, offset / sun, _FILL))
    except (KeyError, ValueError, ZeroDivisionError) as error:
        raise SceneError(
            f"the metadata of {archive.path} do not give the scaling of its bands ({error}); download the product again"
        ) from error
    return bands


def _file(archive: Archive, folder: str, name: str) -> str:
    """Return GDAL's name of a file of the product; empty if it does not exist."""
    inside = f"{folder}/{name}" if folder else name
    return archive.raster(inside) if name and inside in archive.names else ""
