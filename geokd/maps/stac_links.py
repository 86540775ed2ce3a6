"""How a STAC item names files and what a map was made of."""

import re
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

GEOTIFF = "image/tiff; application=geotiff"
ITEM_TYPE = "application/geo+json"


def derived_from(path: str, folder: Path, media_type: str | None = None, model: str | None = None) -> dict[str, Any]:
    """Return a link to what a map was made of.

    Parameters
    ----------
    path : str
        As the user gave it; relative to the working directory.
    folder : Path
        Where the item will be.
    media_type : str, optional
        Of a TIFF it is known.
    model : str, optional
        Name of the model that made it.
    """
    if media_type is None and path.lower().endswith((".tif", ".tiff")):
        media_type = GEOTIFF
    told = {
        "rel": "derived_from",
        "href": href_of(path, folder),
        "type": media_type,
        "title": re.split(r"[/\\]", path)[-1],
    }
    return {name: value for name, value in told.items() if value} | ({"mlm:name": model_name(model)} if model else {})


def href(name: str) -> str:
    """Return a relative reference to a file: an IRI, in which letters of all scripts may stand as they are."""
    return "".join(c if c > "\x7f" and c.isprintable() else quote(c) for c in name)


def href_of(path: str, folder: Path) -> str:
    """Return a reference from a folder to anything GDAL opens: relative to what lies in the folder, else absolute."""
    with suppress(OSError):  # of a name that is too long for one
        if Path(path).exists():
            file, beside = Path(path).resolve(), folder.resolve()
            return href(file.relative_to(beside).as_posix()) if file.is_relative_to(beside) else file.as_uri()
    return re.sub(r"^/vsi(curl|s3|gs)/", lambda by: {"curl": "", "s3": "s3://", "gs": "gs://"}[by[1]], path)


def model_name(name: str) -> str:
    """Return a name as `mlm` allows it: ASCII letters, digits, `_`, `.`, `-`, blanks; a letter first, no sign last."""
    kept = re.sub(r"[^A-Za-z0-9_. -]+", "_", name)
    fits = re.fullmatch(r"[A-Za-z][A-Za-z0-9_. -]+[A-Za-z0-9]", kept)
    return kept if fits else f"model {kept.strip('_. -')}".strip()
