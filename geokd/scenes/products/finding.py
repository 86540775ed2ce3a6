"""What a user names, if it is more than one raster: a product, the bands of one in a folder, a STAC item."""

import re
from pathlib import Path

from geokd.errors import SceneError
from geokd.scenes.products import sentinel2
from geokd.scenes.products.archive import Archive, beside, open_archive
from geokd.scenes.products.product import Product

_SENTINEL2_DATASET = re.compile(
    r"SENTINEL2_L(?:1C|2A):(?P<path>.+\.xml|.+\.zip):(?P<size>\d+)m:EPSG_(?P<epsg>\d+)", re.IGNORECASE
)


def find_product(path: str) -> Product | None:
    """Recognise a product by its name, its metadata or the names of its files; None if `path` is for GDAL alone.

    Raises
    ------
    SceneError
        If it is a product, but broken, or several of them.
    """
    dataset = _SENTINEL2_DATASET.fullmatch(path)
    if dataset:
        found = _by_file(dataset["path"])
        if found is not None and sentinel2.METADATA.fullmatch(found[1]):
            return sentinel2.read_sentinel2(*found, int(dataset["size"]), int(dataset["epsg"]))
        return None
    found = _by_file(path)
    if found is None:
        return None
    return sentinel2.read_sentinel2(*found)


def _by_file(path: str) -> tuple[Archive, str] | None:
    """Return the archive of a product and the name of its metadata in it; None if there is none."""
    inside = re.fullmatch(r"/vsi(?:zip|tar)/(.+?\.(?:zip|tar|tgz|tar\.gz))(?:/(.+))?", path, re.IGNORECASE)
    file = Path(inside[1] if inside else path)
    try:
        if not file.exists():
            return None
    except (OSError, ValueError):
        return None
    wanted = inside[2] if inside else None
    if not inside and file.is_file() and _is_metadata(file.name):
        return beside(file), file.name
    archive = open_archive(file)
    if archive is None:
        return None
    if wanted is not None and _is_metadata(wanted):
        return (archive, wanted) if wanted in archive.names else None
    names = [name for name in archive.names if _is_metadata(name) and (wanted is None or name.startswith(wanted))]
    if len(names) > 1:
        raise SceneError(
            f"{path} holds {len(names)} products ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''}); name one"
        )
    return (archive, names[0]) if names else None


def _is_metadata(name: str) -> bool:
    return sentinel2.METADATA.fullmatch(name) is not None
