"""Whether a scene is still the one that it was: what identifies its files and, where there are none, its pixels."""

import re
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from rasterio.windows import Window

from geokd.scenes.opening import GdalErrors, open_scene
from geokd.scenes.plan import ScenePlan

CONTENT_KEYS = frozenset({"scene_bytes", "scene_changed_ns", "scene_sample", "files", "scene_pixels"})
"""Keys that differ if the content of a scene changed: those of :func:`source_identity` but its path, and its pixels."""

_SAMPLES, _SAMPLE_BYTES = 16, 4096
_SHARES = (0.25, 0.5, 0.75)


def source_identity(plan: ScenePlan) -> dict[str, Any]:
    """Return what identifies an unchanged scene: its path, and size, modification time and a sample of each file.

    A sample, because another file can have the same size and time, for instance from an archive that sets all times.
    """
    path = Path(plan.path)
    try:
        file: dict[str, Any] = {"scene": str(path.resolve())}
        if path.is_file():
            status = path.stat()
            file |= {"scene_bytes": status.st_size, "scene_changed_ns": status.st_mtime_ns}
            file |= {"scene_sample": _sample(path, status.st_size)}
        elif not path.exists():
            file = {"scene": plan.path}
    except (OSError, ValueError):  # a URL, a /vsi path, or removed
        file = {"scene": plan.path}
    none = {"scene_bytes": None, "scene_changed_ns": None, "scene_sample": None}
    return none | file | {"files": [_file_identity(path) for path in plan.files if path != plan.path]}


def pixels_identity(plan: ScenePlan, source: Mapping[str, Any]) -> int | None:
    """Return a checksum of some pixels of a scene that is not in files here, such as one on a server; else None.

    Parameters
    ----------
    plan : ScenePlan
    source : mapping
        From :func:`source_identity`.
    """
    sizes = [source["scene_bytes"]] if source["scene_bytes"] is not None else [size for _, size, *_ in source["files"]]
    if sizes and None not in sizes:
        return None
    checksum = 0
    try:
        with open_scene(plan.raster, plan.path) as dataset:
            for row, col in ((int(y * dataset.height), int(x * dataset.width)) for y in _SHARES for x in _SHARES):
                values = dataset.read(list(plan.bidx), window=Window(col, row, 1, 1))
                checksum = zlib.crc32(np.ascontiguousarray(values).data, checksum)
    except GdalErrors:
        return None  # what cannot be read is reported when the scene is mapped
    return checksum


def _file_identity(path: str) -> list[Any]:
    """Return name, size, time and sample of a file; for one in an archive, those of the archive."""
    inside = re.match(r"/vsi(?:zip|tar|gzip)/(.+?\.(?:zip|tar|tgz|gz))(?:/|$)", path, re.IGNORECASE)
    file = Path(inside[1] if inside else path)
    try:
        status = file.stat()
        return [path, status.st_size, status.st_mtime_ns, _sample(file, status.st_size)]
    except (OSError, ValueError):
        return [path, None, None, None]


def _sample(path: Path, size: int) -> int | None:
    """Return a checksum of parts of a file, evenly spaced; None if it is a folder or cannot be read."""
    checksum = 0
    try:
        with path.open("rb", buffering=0) as file:
            for number in range(_SAMPLES):
                file.seek(max(0, size - _SAMPLE_BYTES) * number // (_SAMPLES - 1))
                checksum = zlib.crc32(file.read(_SAMPLE_BYTES), checksum)
    except OSError:
        return None
    return checksum
