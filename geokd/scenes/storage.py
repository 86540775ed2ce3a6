"""Storage of a scene's pixels, in blocks that are decompressed as a whole."""

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
"""GDAL's cache for decompressed blocks, in bytes; its default is a twentieth of the machine's memory."""

_MOST_SOURCES = 128
_LOOKING_S = 5.0  # then the rest is not checked, because a server may take seconds for each


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
        Decompressed size, with all bands that are stored in it.
    """

    path: str
    height: int
    width: int
    size_bytes: int


def largest_block(dataset: DatasetReader) -> StoredBlock:
    """Find the largest block of any file that a scene is read from; in a tie, the scene's own.

    For a virtual raster, these are its sources and their sources; of very many, an even selection is checked. Files
    that cannot be opened are left out.

    Parameters
    ----------
    dataset : DatasetReader
        Opened so that GDAL does not split large strips, like the sources.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)  # a VRT may georeference them
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
    """Return the size of a band's value in bytes."""
    return 4 if dtype == "complex_int16" else np.dtype(dtype).itemsize  # numpy has no such type


def _blocks_of_sources(dataset: DatasetReader, most: int, until: float) -> Iterator[StoredBlock]:
    """Open at most `most` of the sources of a virtual raster, and their sources, until a monotonic time."""
    sources = _sources(dataset)
    chosen = min(len(sources), (most + 1) // 2)  # the rest is for the sources of these
    for place in range(chosen):
        if time.monotonic() > until:
            return
        path = sources[place * len(sources) // chosen]
        with contextlib.suppress(RasterioError, CPLE_BaseError), rasterio.open(path) as source:
            if source.count:
                yield _block(source)
            yield from _blocks_of_sources(source, most // chosen - 1, until)


def _sources(dataset: DatasetReader) -> list[str]:
    """List the sources of a virtual raster; none for another file, or if a name is not UTF-8."""
    if dataset.driver != "VRT":
        return []
    with contextlib.suppress(UnicodeDecodeError):
        return [path for path in dataset.files if path != dataset.name]
    return []


def member_files(dataset: DatasetReader, depth: int = 4) -> Iterator[str]:
    """Yield the files that the pixels of a dataset are read from; for a virtual raster, its sources and their sources.

    Files of overviews and statistics are left out, because they have no pixels of the scene. Servers are not queried
    for them.
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
