"""Vector files that might block forever: pipes, and layers that are computed endlessly."""

import re
import sqlite3
import stat
from contextlib import suppress
from pathlib import Path

from geokd.errors import CallError, ChipError
from geokd.scenes.databases import database_read
from geokd.scenes.layer_trial import try_to_read

_SQLITE = b"SQLite format 3\x00"
_RECURSIVE = re.compile(r"\bRECURSIVE\b", re.IGNORECASE)
_SOURCE = re.compile(r"<SrcDataSource[^>]*>([^<]*)<")
_MOST_BYTES = 2**24  # of a virtual layer's description


def refuse_silent(path: Path, layer: str = "") -> None:
    """Refuse a vector file that GDAL might wait for, or compute, endlessly.

    Parameters
    ----------
    path : Path
    layer : str
        The layer to read; empty: its only layer.

    Raises
    ------
    CallError
        If it is a pipe, socket or device, or refers to one.
    ChipError
        If a view or a virtual layer in it is recursive, and so perhaps endless, or takes too long to read.
    """
    _refuse_pipe(path, "")
    if not path.is_file():
        return
    head, definitions = b"", list[str]()
    with suppress(OSError), path.open("rb") as file:
        head = file.read(_MOST_BYTES if path.suffix.lower() == ".vrt" else len(_SQLITE))
    if head.startswith(_SQLITE):
        definitions = _views(path)
    elif b"<OGRVRTDataSource" in head:
        text = head.decode(errors="replace")
        definitions = [text]
        for source in _SOURCE.findall(text):
            _refuse_pipe(path.parent / source.strip(), f"{path} refers to ")
    if definitions:
        _refuse_recursion(path, definitions)
        try_to_read(path, layer)


def _refuse_pipe(path: Path, why: str) -> None:
    mode = stat.S_IFREG
    with suppress(OSError, ValueError):
        mode = path.stat().st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise CallError(
            f"{why}{path}{', which' if why else ''} is neither a file nor a folder, but a pipe, socket or device;"
            " write it to a file first"
        )
    if "/vsistdin" in str(path):
        raise CallError(f"{why}{path} is standard input, which can be read once only; write it to a file first")


def _views(path: Path) -> list[str]:
    """Read the definitions of a database's views; none if it is broken, which is reported when it is read."""
    with suppress(sqlite3.Error), database_read(path) as database:
        return [sql for (sql,) in database.execute("SELECT sql FROM sqlite_master WHERE type = 'view'") if sql]
    return []


def _refuse_recursion(path: Path, definitions: list[str]) -> None:
    if any(map(_RECURSIVE.search, definitions)):
        raise ChipError(
            f"{path} has a recursive view, which may be endless; copy the layer that is needed out of it with ogr2ogr"
        )
