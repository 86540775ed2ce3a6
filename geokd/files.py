"""Single files that appear complete or not at all and survive a power failure; and system errors in plain words.

For several files that belong together see :mod:`geokd.system.commit`.
"""

import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from geokd.errors import GeokdError, OutputError

PARTIAL = ".partial"
"""Suffix of a file that is being written; one remains if the process was killed."""

_FULL_BYTES = 2**20  # less free space than this explains why a file could not be written
_MANY = 64  # files: more than this are not synchronised one by one, but with everything else


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Write a file beside `path`, then move it into place; if that fails, remove it.

    Yields the path to write to, in the same folder; hidden, and with the suffix PARTIAL. When this returns, the file
    survives a power failure.
    """
    partial = path.with_name(f".{path.name}{PARTIAL}")
    try:
        yield partial
        put_on_disk([partial])
        partial.replace(path)
        put_folders_on_disk([path.parent])
    except BaseException:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        raise


def put_on_disk(paths: Iterable[Path]) -> None:
    """Wait until the content of files is on the disk, so that it survives a power failure.

    Raises
    ------
    OSError
        If the system cannot write it, for example because a disk is full that accepted the content into its cache.
    """
    paths = list(paths)
    if len(paths) > _MANY and hasattr(os, "sync"):
        os.sync()
        return
    for path in paths:
        descriptor = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def put_folders_on_disk(folders: Iterable[Path]) -> None:
    """Wait until the names in folders are on the disk, where the system supports it."""
    for folder in folders:
        with suppress(OSError):  # Windows, and some network drives
            descriptor = os.open(folder, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


def made_folders(folder: Path) -> list[Path]:
    """Make a folder and its parents; return those that were not there, the innermost first.

    Raises
    ------
    OutputError
        If it cannot be made.
    """
    with refused_by(folder):
        made = [parent for parent in (folder, *folder.parents) if not parent.exists()]
        folder.mkdir(parents=True, exist_ok=True)
    return made


def unmake(folders: list[Path]) -> None:
    """Remove folders that :func:`made_folders` made, if they are empty; one that is in use is left alone."""
    with suppress(OSError):
        for folder in folders:
            folder.rmdir()


def write_bytes(path: Path, content: bytes) -> None:
    """Write one whole file.

    Raises
    ------
    OutputError
        If the disk is full or the place cannot be written.
    """
    try:
        path.write_bytes(content)
    except OSError as error:
        raise OutputError(
            f"cannot write {path.name} ({len(content):,} bytes): {error.strerror}; make room or choose another folder"
        ) from error


@contextmanager
def plainly_named(path: Path) -> Iterator[Path]:
    """Write a file under a name that GDAL and SQLite treat as nothing but a name; then move it to `path`.

    Yields a path in a new folder beside `path`; or, if the name of that folder is not plain either, in the system's
    folder for temporary files.

    Raises
    ------
    OutputError
        If the disk is full, or it cannot be moved.
    """
    beside = str(path.parent.resolve())
    plain = beside.isprintable() and not set(beside) & set("#?%")
    try:
        place = beside if plain else tempfile.gettempdir()
        with tempfile.TemporaryDirectory(dir=place) as folder:
            written = Path(folder, f"output{path.suffix}")
            try:
                yield written
            except Exception as error:  # of GDAL or SQLite, which seldom name a full disk
                if isinstance(error, GeokdError) or shutil.disk_usage(place).free > _FULL_BYTES:
                    raise
                remedy = (
                    "make room or choose another folder"
                    if plain
                    else f"make room in {place}, or name another folder by TMPDIR"
                )
                raise OutputError(f"cannot write {path.name}: the disk is full; {remedy}") from error
            shutil.move(written, path)
    except OSError as error:
        if isinstance(error, GeokdError):
            raise
        raise OutputError(
            f"cannot write {path.name}: {error.strerror}; make room or choose another folder with -o/--output"
        ) from error


@contextmanager
def refused_by(folder: Path) -> Iterator[None]:
    """Convert a system error into one that names the folder.

    Raises
    ------
    OutputError
        In place of an OSError.
    """
    try:
        yield
    except OSError as error:
        if isinstance(error, GeokdError):
            raise
        raise OutputError(
            f"cannot write into the folder {folder}: {error.strerror}; choose another one with -o/--output"
        ) from error
