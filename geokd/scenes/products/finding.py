"""Finding scenes of several files: a product, single-band files in a folder, a STAC item."""

import re
from contextlib import suppress
from pathlib import Path

from geokd.errors import SceneError
from geokd.scenes.products import landsat, sentinel2
from geokd.scenes.products.archive import Archive, beside, open_archive
from geokd.scenes.products.band_files import read_band_folder, read_band_list
from geokd.scenes.products.product import Product
from geokd.scenes.products.stac import read_stac

_METADATA = {"Sentinel-2": sentinel2.METADATA, "Landsat": landsat.METADATA}
_READERS = {"Sentinel-2": sentinel2.read_sentinel2, "Landsat": landsat.read_landsat}
_SENTINEL2_DATASET = re.compile(
    r"SENTINEL2_L(?:1C|2A):(?P<path>.+\.xml|.+\.zip):(?P<size>\d+)m:EPSG_(?P<epsg>\d+)", re.IGNORECASE
)
_STACIT = re.compile(r'STACIT:"?(?P<path>[^"]+?)"?', re.IGNORECASE)  # with `:asset=NAME` it is a raster for GDAL


def find_product(path: str) -> Product | None:
    """Recognise a product by its name, its metadata or the names of its files; None if `path` is a raster for GDAL.

    Raises
    ------
    CallError
        If a file of a list of bands is missing.
    SceneError
        If it is a broken product, or several products.
    """
    dataset = _SENTINEL2_DATASET.fullmatch(path)
    if dataset:
        return _of_dataset(dataset["path"], int(dataset["size"]), int(dataset["epsg"]))
    item = _STACIT.fullmatch(path)
    if item and ":asset=" not in path:
        return read_stac(item["path"])
    if path.lower().partition("?")[0].endswith((".json", ".geojson")) and (_exists(path) or "://" in path):
        return read_stac(path)
    found = _by_file(path)
    if isinstance(found, Archive):
        return read_band_folder(found)
    return read_band_list(path) if found is None else _READERS[_kind(found[1])](*found)


def _of_dataset(path: str, size_m: int, epsg: int) -> Product | None:
    """Read a name of GDAL's SENTINEL2 driver: the bands of one pixel size in one UTM zone."""
    found = _by_file(path)
    if isinstance(found, tuple) and sentinel2.METADATA.fullmatch(found[1]):
        return sentinel2.read_sentinel2(*found, size_m, epsg)
    return None


def _by_file(path: str) -> tuple[Archive, str] | Archive | None:
    """Return the archive of a product and the name of its metadata in it, or an archive without metadata.

    Raises
    ------
    SceneError
        If there are several products.
    """
    inside = re.fullmatch(r"/vsi(?:zip|tar)/(.+?\.(?:zip|tar|tgz|tar\.gz))(?:/(.+))?", path, re.IGNORECASE)
    file = Path(inside[1] if inside else path)
    if file.name.lower() == "manifest.safe":
        file = file.parent
    if not _exists(str(file)):
        return None
    wanted = inside[2] if inside else None
    if not inside and file.is_file() and _kind(file.name):
        return beside(file), file.name
    archive = open_archive(file)
    if archive is None:
        return None
    if wanted is not None and _kind(wanted):
        return (archive, wanted) if wanted in archive.names else None
    names = [name for name in archive.names if _kind(name) and (wanted is None or name.startswith(wanted))]
    if len(names) > 1:
        raise SceneError(
            f"{path} holds {len(names)} products ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''}); name one"
            " of them"
        )
    if names:
        return archive, names[0]
    return (_around(file) or archive) if wanted is None else None


def _around(folder: Path) -> tuple[Archive, str] | None:
    """Return the Sentinel-2 product that a folder of its bands, such as `R10m`, belongs to; None if there is none.

    The files of its bands have neither offset nor nodata value: these are in the metadata of the product.
    """
    with suppress(OSError, RuntimeError):  # a link to itself
        path = folder.resolve()
        for parent in [above.parent for above in (path, *path.parents)[:4] if above.name.upper() == "GRANULE"]:
            names = sorted(file.name for file in parent.iterdir() if sentinel2.METADATA.fullmatch(file.name))
            if names:
                return beside(parent / names[0]), names[0]
    return None


def _kind(name: str) -> str:
    """Return which product a metadata file belongs to; empty if to none."""
    return next((kind for kind, pattern in _METADATA.items() if pattern.fullmatch(name)), "")


def _exists(path: str) -> bool:
    try:
        return Path(path).exists()
    except (OSError, ValueError):  # the name is too long, or has a null character
        return False
