"""Links of a STAC item to files and to the sources of a map."""

import re
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

GEOTIFF = "image/tiff; application=geotiff"
ITEM_TYPE = "application/geo+json"


def derived_from(path: str, folder: Path, media_type: str | None = None, model: str | None = None) -> dict[str, Any]:
    """Return a link to a source of a map.

    Parameters
    ----------
    path : str
        As the user gave it; relative to the working directory.
    folder : Path
        Where the item will be.
    media_type : str, optional
        Default: known for a TIFF.
    model : str, optional
        Name of the model that made the map.
    """
    if media_type is None and path.lower().endswith((".tif", ".tiff")):
        media_type = GEOTIFF
    fields = {
        "rel": "derived_from",
        "href": href_of(path, folder),
        "type": media_type,
        "title": re.split(r"[/\\]", path)[-1],
    }
    return {name: value for name, value in fields.items() if value} | ({"mlm:name": model_name(model)} if model else {})


def href(name: str) -> str:
    """Return a relative reference to a file: an IRI, in which letters of all scripts are allowed."""
    return "".join(c if c > "\x7f" and c.isprintable() else quote(c) for c in name)


def href_of(path: str, folder: Path) -> str:
    """Return a reference from a folder to anything GDAL opens: relative if it lies in the folder, else absolute."""
    with suppress(OSError):  # the name is too long for a path
        if Path(path).exists():
            file, beside = Path(path).resolve(), folder.resolve()
            return href(file.relative_to(beside).as_posix()) if file.is_relative_to(beside) else file.as_uri()
    return re.sub(r"^/vsi(curl|s3|gs)/", lambda by: {"curl": "", "s3": "s3://", "gs": "gs://"}[by[1]], path)


def model_name(name: str) -> str:
    """Return a name as `mlm` allows it: ASCII letters, digits, `_`, `.`, `-`, spaces; a letter first."""
    kept = re.sub(r"[^A-Za-z0-9_. -]+", "_", name)
    fits = re.fullmatch(r"[A-Za-z][A-Za-z0-9_. -]+[A-Za-z0-9]", kept)
    return kept if fits else f"model {kept.strip('_. -')}".strip()
