"""What a user probably meant by a path that GDAL cannot open as a raster."""

from itertools import islice
from pathlib import Path

from geokd.errors import named

_MOST_NAMES = 10_000
_ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz")
_RASTERS = (".tif", ".tiff", ".jp2", ".img", ".vrt")
_UNFINISHED = (".crdownload", ".part", ".partial", ".download", ".filepart", ".aria2")
_VECTORS = (".shp", ".geojson", ".gpkg", ".kml", ".kmz", ".gml", ".fgb")
_DATA = ("", ".dat", ".img", ".bin", ".bsq", ".bil", ".bip", ".raw")  # of a raster with an ENVI header


def is_collection(path: str) -> bool:
    """Whether a path is a folder or an archive, which may hold products."""
    return not path.startswith("<") and (path.lower().endswith(_ARCHIVES) or Path(path).is_dir())


def collection_refused(path: str, name: str) -> str:
    """Return the sentence that a folder or an archive holds no scene, and what to give instead."""
    return (
        f"{name} holds no product that is known (with MTD_MSIL1C.xml, MTD_MSIL2A.xml or a Landsat _MTL.txt), no files"
        f" that are named after their bands, and no raster that GDAL opens; {_of_product(path) or _of_folder(path)}"
    )


def file_refused(path: str, name: str, reason: str) -> str:
    """Return the sentence that a file is not a raster, and what to give instead, if that is known.

    Parameters
    ----------
    path : str
    name : str
        Its name in messages.
    reason : str
        GDAL's.
    """
    file = Path(path)
    if path.startswith("<") or not file.is_file():
        return f"{name} is not a raster that GDAL can open: {reason}"
    suffix = file.suffix.lower()
    if suffix == ".hdr":
        data = [beside.name for end in _DATA if (beside := file.with_suffix(end)).is_file()]
        what = named(data, 3) if data else "which is not there"
        return f"{name} is the header of a raster, not the raster itself; give the file of its pixels ({what})"
    if suffix == ".dim" and file.with_suffix(".data").is_dir():
        return f"{name} is a product of SNAP, whose bands are in a folder: give {file.with_suffix('.data')}"
    if suffix in _UNFINISHED:
        return f"{name} is a download that was not finished ({suffix}); wait until it is, or download the file again"
    if suffix in _VECTORS:
        return (
            f"{name} is a vector file, not a raster; an area of interest is given with --aoi; for a mask, rasterise it"
            " with gdal_rasterize"
        )
    remedy = "it may be damaged: copy or download it again" if suffix in _RASTERS else _of_product(path)
    return f"{name} is not a raster that GDAL can open: {reason}{f'; {remedy}' if remedy else ''}"


def _of_product(path: str) -> str:
    """Return the remedy for a part of a Sentinel-2 product; empty if the path is not one."""
    whole = next((parent for parent in Path(path).absolute().parents if parent.suffix.upper() == ".SAFE"), None)
    return f"it is a part of a product; give that as a whole: {whole}" if whole is not None else ""


def _of_folder(path: str) -> str:
    """Return the remedy for a folder or an archive without a scene."""
    if not Path(path).is_dir():
        return "name a raster in it, or unpack an archive that lies in it"
    names = sorted(entry.name for entry in islice(Path(path).iterdir(), _MOST_NAMES) if entry.is_file())
    whole = [name for name in names if name.upper().startswith("DIM_") and name.upper().endswith(".XML")]
    if whole:
        return f"name the metadata of the scene in it ({named(whole, 3)})"
    archives, rasters = (
        [name for name in names if name.lower().endswith(endings)] for endings in (_ARCHIVES, _RASTERS)
    )
    if archives:
        return f"name an archive in it ({named(archives, 3)})"
    if len(rasters) > 1:
        return (
            f"name a raster in it ({named(rasters, 3)}), or one for each band with --bands red=...,green=...,blue=..."
        )
    if rasters:
        return f"name the raster in it ({rasters[0]})"
    return "name a folder, an archive or a raster with a scene"
