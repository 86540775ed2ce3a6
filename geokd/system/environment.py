"""Environment variables that point to the data of another PROJ or GDAL: found and unset at the start.

Installers of PostGIS, QGIS and Python distributions set them for all programs. rasterio and pyogrio bring their own
data, and with those of another version they find no coordinate systems: maps would have none.
"""

import logging
import os
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing, suppress
from importlib.util import find_spec
from pathlib import Path

_LAYOUT = "SELECT value FROM metadata WHERE key LIKE 'DATABASE.LAYOUT.VERSION.M__OR' ORDER BY key"  # MAJOR, MINOR


def leave_out_foreign_data() -> None:
    """Unset environment variables that point to data of another installation, and warn of each.

    If the libraries bring no data of their own, as in packages of an operating system, nothing changes.
    """
    for problem in _foreign():
        logging.getLogger("geokd").warning("Warning: %s", problem)


def _foreign() -> Iterator[str]:
    """Unset the variables; yield a sentence for each."""
    for name in ("PROJ_DATA", "PROJ_LIB"):
        own = _own("proj_data/proj.db") if os.environ.get(name) else []
        if own and not _fits(os.environ[name], own):
            folder = os.environ.pop(name)
            _tell_rasterio(own[0].parent)
            yield f"{name} points to {folder}, the data of another PROJ, which are not used; unset the variable"
    for name, has in (("GDAL_DATA", "gdalvrt.xsd"), ("GDAL_DRIVER_PATH", "")):
        own = _own("gdal_data/gdalvrt.xsd") if os.environ.get(name) else []
        if own and not (has and Path(os.environ[name], has).is_file()) and os.environ[name] != "disable":
            folder = os.environ.pop(name)
            yield f"{name} points to {folder}, which belongs to another GDAL and is not used; unset the variable"


def _own(file: str) -> list[Path]:
    """Return files that the libraries bring, in those of their folders that exist; nothing is imported."""
    roots = [find_spec(name) for name in ("rasterio", "pyogrio")]
    files = [Path(root.origin).parent / file for root in roots if root is not None and root.origin]
    return [file for file in files if file.is_file()]


def _tell_rasterio(data: Path) -> None:
    """Make rasterio search its own data, if it was imported before and has read the variable."""
    if "rasterio" in sys.modules:
        from rasterio._env import set_proj_data_search_path

        set_proj_data_search_path(str(data))


def _fits(folders: str, own: list[Path]) -> bool:
    """Whether the libraries' PROJ can read the first database in some folders, by the rule that PROJ itself uses."""
    databases = [Path(folder, "proj.db") for folder in folders.split(os.pathsep)]
    found = next((layout for file in databases if (layout := _layout(file))), ())
    wanted = max(layout for file in own if (layout := _layout(file)))
    return found[:1] == wanted[:1] and found >= wanted


def _layout(database: Path) -> tuple[int, ...]:
    """Return the major and minor version of a database's layout; empty if it is not such a database."""
    if not database.is_file():
        return ()
    with suppress(sqlite3.Error, ValueError, OSError):
        address = f"{database.resolve().as_uri()}?mode=ro&immutable=1"
        with closing(sqlite3.connect(address, uri=True)) as opened:
            return tuple(int(value) for (value,) in opened.execute(_LAYOUT))
    return ()
