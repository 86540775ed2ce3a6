"""Opening rasters with GDAL, with its errors as one sentence and with time limits."""

import contextlib
import errno
import functools
import html
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

import rasterio
from rasterio._err import CPLE_BaseError  # some properties of datasets raise these
from rasterio.errors import CRSError, RasterioError
from rasterio.io import DatasetReader

from geokd.errors import CallError, SceneError
from geokd.scenes.mistaken import collection_refused, file_refused, is_collection
from geokd.scenes.storage import GDAL_CACHE_BYTES

GdalErrors = (RasterioError, CPLE_BaseError)
"""Exceptions of rasterio when GDAL fails."""

SILENCE_S = 20
"""How long a server may be silent; the user's settings (environment, rasterio.Env) take precedence."""

TOO_MANY_FILES = os.strerror(errno.EMFILE)
"""GDAL's reason if this process may not open another file."""

MORE_FILES = "allow more files with ulimit -n"
"""The remedy for that."""

KNOWN_TO_GDAL_ALONE = re.compile(r"/vsi|\w+://|\w{2,}:.", re.ASCII)
"""Names of virtual files, URLs and subdatasets."""

_SOURCE = re.compile(r"<Source(?:Filename|Dataset)[^>]*>([^<]+)<")
_MOST_VRT_BYTES, _MOST_DEPTH = 2**26, 4
_PLAIN = (
    (re.compile(r"^['`](.*)' not recognized as being in a supported file format.*"), r"the format of \1 is not known"),
    (
        re.compile(r"^(?:(.+), band \d+: )?IReadBlock failed at X offset (\d+), Y offset (\d+).*"),
        lambda match: f"{f'{match[1]}: ' if match[1] else ''}its block in row {match[3]}, column {match[2]} is damaged",
    ),
)
_NO_NAME = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


@contextlib.contextmanager
def open_scene(path: str, name: str = "") -> Iterator[DatasetReader]:
    """Open a raster; GDAL's errors become one sentence.

    Parameters
    ----------
    path : str
        Anything that GDAL opens; also the text of a virtual raster.
    name : str
        Its name in messages. Default: `path`, without its secrets.

    Raises
    ------
    CallError
        If the file does not exist, or its name or kind is unsuitable.
    SceneError
        If it is not a raster.
    """
    if not path.startswith("<VRTDataset"):
        _check_path(path)
    _check_proj()
    with rasterio.Env.from_defaults(GDAL_CACHEMAX=GDAL_CACHE_BYTES, **_settings()):
        try:
            dataset = rasterio.open(path)
        except GdalErrors as error:
            if is_collection(path):
                raise SceneError(collection_refused(path, name or path)) from error
            reason = gdal_reason(error).replace(f"the format of {path} is", "its format is")
            if TOO_MANY_FILES in reason:
                raise SceneError(f"cannot open {name or path}: {reason}; {MORE_FILES}") from error
            raise SceneError(file_refused(path, name or path, reason)) from error
        with dataset:
            yield dataset


def gdal_reason(error: Exception) -> str:
    """Return GDAL's error message in one line, in plain words; rasterio's own often only refers to it."""
    reason = " ".join(str(error.__cause__ or error).split()).rstrip(".")
    for pattern, plain in _PLAIN:
        reason = pattern.sub(plain, reason)
    return reason


def _check_path(path: str) -> None:
    """Refuse names that GDAL would not find, would wait for endlessly, or could not handle."""
    if _NO_NAME.search(path):
        raise CallError(f"the name {path!a} has control characters or bytes that are not UTF-8; rename it")
    try:
        mode = Path(path).stat().st_mode if path else 0
    except OSError:
        mode = 0
    if not mode and not KNOWN_TO_GDAL_ALONE.match(path):
        raise CallError(f"no such file: {path or repr(path)}")
    if "/vsistdin" in path:
        raise CallError(f"{path} is standard input, which can be read only once; write it to a file first")
    if mode and not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise CallError(
            f"{path} is neither a file nor a folder, but a pipe, socket or device; write it to a file first"
        )
    if stat.S_ISREG(mode) and path.lower().endswith(".vrt"):
        silent = _silent_source(path, Path(path).stat().st_mtime_ns)
        if silent:
            raise CallError(
                f"{path} refers to {silent}, which is standard input, a pipe, socket or device, not a file; write"
                " that to a file first"
            )


@functools.lru_cache(maxsize=64)
def _silent_source(path: str, changed_ns: int, depth: int = _MOST_DEPTH) -> str:
    """Find a source of a virtual raster, or of its sources, that might block forever; empty if there is none."""
    with contextlib.suppress(OSError), Path(path).open("rb") as file:
        text = file.read(_MOST_VRT_BYTES).decode(errors="replace")
        for source in map(html.unescape, dict.fromkeys(_SOURCE.findall(text))):
            if "/vsistdin" in source:
                return source
            with contextlib.suppress(OSError, ValueError):
                beside = Path(path).parent / source.strip()
                status = beside.stat()
                if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
                    return str(beside)
                if depth and beside.suffix.lower() == ".vrt":
                    found = _silent_source(str(beside), status.st_mtime_ns, depth - 1)
                    if found:
                        return found
    return ""


@functools.cache
def _check_proj() -> None:
    """Refuse to work with a PROJ that finds no coordinate systems, because maps would have none.

    Raises
    ------
    SceneError
    """
    try:
        rasterio.crs.CRS.from_epsg(4326)
    except CRSError as error:
        leading = [f"{name} ({os.environ[name]})" for name in ("PROJ_DATA", "PROJ_LIB") if os.environ.get(name)]
        cause = f"; unset {' and '.join(leading)}" if leading else "; reinstall rasterio"
        raise SceneError(f"PROJ finds no coordinate systems: {gdal_reason(error)}{cause}") from error


def _settings() -> dict[str, int]:
    """Return settings of GDAL, except those that the user has set.

    GDAL's own defaults set no limit on waiting for servers, and decode each JPEG 2000 tile with one thread per core,
    which are too many: each worker decodes, too.
    """
    limits = {
        "GDAL_NUM_THREADS": 1,
        "GDAL_HTTP_CONNECTTIMEOUT": SILENCE_S,
        "GDAL_HTTP_LOW_SPEED_TIME": SILENCE_S,
        "GDAL_HTTP_LOW_SPEED_LIMIT": 1,  # bytes a second
    }
    said = {*os.environ, *(rasterio.env.getenv() if rasterio.env.hasenv() else ())}
    return {name: limit for name, limit in limits.items() if name not in said}
