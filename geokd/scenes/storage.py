"""How the pixels of a scene are stored: in blocks, of which each is unpacked as a whole."""

import contextlib
import re
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import rasterio
from rasterio._err import CPLE_BaseError
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.io import DatasetReader

GDAL_CACHE_BYTES = 64 * 2**20
"""For unpacked blocks, as rasterio wants it, in bytes; GDAL's own default is a twentieth of the machine's memory."""

_MOST_SOURCES = 128
_LOOKING_S = 5.0  # then sources are left unseen, since a server may take seconds for each


@dataclass(frozen=True)
class StoredBlock:
    """A tile or strip of a file.

    Parameters
    ----------
    path : str
        Name of the file.
    height, width : int
        In pixels.
    size_bytes : int
        What it unpacks to, with all bands that are stored in it.
    """

    path: str
    height: int
    width: int
    size_bytes: int


def largest_block(dataset: DatasetReader) -> StoredBlock:
    """Find the largest block of any file that a scene is read from; of equal ones, the scene's own.

    Of a virtual raster, these are its sources and theirs; of very many, some from all over the list are looked at.
    Those that cannot be opened are left out.

    Parameters
    ----------
    dataset : DatasetReader
        Opened without GDAL splitting large strips, as the sources will be.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)  # a virtual raster may place what has no place
        blocks = [_block(dataset), *_blocks_of_sources(dataset, _MOST_SOURCES, time.monotonic() + _LOOKING_S)]
    return max(blocks, key=lambda block: block.size_bytes)


def _block(dataset: DatasetReader) -> StoredBlock:
    """Find the largest block of any band."""
    together = dataset.count if dataset.tags(ns="IMAGE_STRUCTURE").get("INTERLEAVE") == "PIXEL" else 1
    blocks = [
        StoredBlock(dataset.name, height, width, height * width * together * item_bytes(dtype))
        for (height, width), dtype in set(zip(dataset.block_shapes, dataset.dtypes, strict=True))
    ]
    return max(blocks, key=lambda block: block.size_bytes)


def item_bytes(dtype: str) -> int:
    """Return what a value of a band takes."""
    return 4 if dtype == "complex_int16" else np.dtype(dtype).itemsize  # numpy has no such type


def _blocks_of_sources(dataset: DatasetReader, most: int, until: float) -> Iterator[StoredBlock]:
    """Open at most `most` of the sources of a virtual raster, and theirs, until a moment of the monotonic clock."""
    sources = _sources(dataset)
    chosen = min(len(sources), (most + 1) // 2)  # what is left is for the sources of these
    for place in range(chosen):
        if time.monotonic() > until:
            return
        path = sources[place * len(sources) // chosen]
        with contextlib.suppress(RasterioError, CPLE_BaseError), rasterio.open(path) as source:
            if source.count:
                yield _block(source)
            yield from _blocks_of_sources(source, most // chosen - 1, until)


def _sources(dataset: DatasetReader) -> list[str]:
    """List the sources of a virtual raster; none of another file, or if a name is no UTF-8."""
    if dataset.driver != "VRT":
        return []
    with contextlib.suppress(UnicodeDecodeError):
        return [path for path in dataset.files if path != dataset.name]
    return []


def member_files(dataset: DatasetReader, depth: int = 4) -> Iterator[str]:
    """Yield the files that the pixels of a dataset are read from; of a virtual raster, its sources and theirs.

    Files of overviews and statistics are left out, since no pixel comes from them. Servers are not asked for such.
    """
    if dataset.driver != "VRT" and re.match(r"\w+://|/vsi(?!zip|tar|gzip|mem|sub)", dataset.name):
        yield dataset.name
        return
    try:
        paths = dataset.files
    except UnicodeDecodeError:
        return
    for path in paths:
        if path == dataset.name or not (dataset.driver == "VRT" and (path.startswith("<") or path.endswith(".vrt"))):
            if not path.startswith("<") and not path.endswith((".aux.xml", ".ovr")):
                yield path
        elif depth > 0:
            with contextlib.suppress(RasterioError, CPLE_BaseError), rasterio.open(path) as source:
                yield from member_files(source, depth - 1)
