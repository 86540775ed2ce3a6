"""Files that appear whole or not at all: one, or several together.

Writers write plainly to the path they are given. :func:`staged` gives them a temporary folder beside the final place
and moves everything at the end; nobody ever sees a half-written file under a final name.
"""

import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from geokd.errors import CallError, OutputError, one_message

PARTIAL = ".partial"
"""Suffix of a file that is being written; one is left where the process was killed."""


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Have a file written beside `path`, then put it in its place; if that fails, remove it.

    Yields the path to write to, in the same folder; hidden, and with the suffix PARTIAL.
    """
    partial = path.with_name(f".{path.name}{PARTIAL}")
    try:
        yield partial
        partial.replace(path)
    except BaseException:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        raise


def move_all(moves: Sequence[tuple[Path, Path]]) -> None:
    """Move files from their first path to their second, in order; undo it all if one cannot be moved.

    Nothing may be at a second path by then: what was there has to be moved away before. Folders of the second paths
    are made, and left when it is undone.

    Raises
    ------
    OSError
        What the system said of the file that could not be moved.
    """
    begun: list[tuple[Path, Path]] = []
    try:
        for source, target in moves:
            begun.append((source, target))
            target.parent.mkdir(parents=True, exist_ok=True)
            source.replace(target)
    except BaseException:  # an interruption, too; raised again
        for source, target in reversed(begun):  # the last may have been moved or not, whatever was said
            if target.exists() and not source.exists():
                target.replace(source)
        raise


_SIDE_FILES = (".aux.xml", ".ovr", ".msk")  # GDAL reads them with a raster; those of the one replaced would lie


_DATABASE_TRACES = ("-wal", "-journal")  # SQLite keeps them beside a GeoPackage that is open, and would replay them


def check_outputs(folder: Path, names: Iterable[str], *, overwrite: bool) -> None:
    """Refuse outputs that may not be written, before any work is done.

    Raises
    ------
    CallError
        If `folder` is a file, an output is a folder or a GeoPackage open elsewhere, or outputs exist and `overwrite` is
        False. One message names all of them.
    OutputError
        If the folder cannot be looked into.
    """
    with _refused_by(folder):
        is_file = folder.exists() and not folder.is_dir()
        present = [name for name in names if (folder / name).exists()]
    if is_file:
        raise CallError(f"{folder} is a file, not a folder to write outputs into; choose another one by -o/--output")
    folders = [name for name in present if (folder / name).is_dir()]
    problems = [
        f"{folder / name} is a folder where an output is to be written; rename it or choose another one by -o/--output"
        for name in folders
    ]
    problems += [
        f"{folder / name} is open in another program ({name}{trace} lies beside it); close it there first"
        for name in present
        for trace in _DATABASE_TRACES
        if (folder / (name + trace)).exists()
    ]
    files = [name for name in present if name not in folders]
    if files and not overwrite:
        problems.append(
            f"{folder} holds {', '.join(files)} already; replace {'it' if len(files) == 1 else 'them'} by --overwrite,"
            " or choose another folder by -o/--output"
        )
    if problems:
        raise CallError(one_message(problems))


@contextmanager
def staged(
    folder: Path,
    names: Iterable[str],
    *,
    overwrite: bool,
    prefix: str = ".geokd-",
    former: Iterable[str] = (),
) -> Iterator[Path]:
    """Write the outputs `names` of `folder`, all or none.

    Yields an empty temporary folder on the same disk; the body writes each output there under its final name. When
    the body ends, all are moved to `folder` together. When it fails, nothing is left and what `folder` held stays as
    it was. The temporary folder's name begins with `prefix`. Files `former`, which an
    earlier run may have left, count as outputs that are replaced, by nothing if they are not among `names`.

    Raises
    ------
    CallError
        As :func:`check_outputs`, at the start and, for files that came up meanwhile, at the end.
    OutputError
        If `folder` cannot be made or written, or the body wrote other files than `names`.
    """
    names = sorted(names)
    outdated = sorted(set(former) - set(names))
    check_outputs(folder, names + outdated, overwrite=overwrite)
    made = made_folders(folder)
    temporary = None
    try:
        with _refused_by(folder):
            temporary = Path(tempfile.mkdtemp(prefix=prefix, dir=folder))
        yield temporary
        written = sorted(path.name for path in temporary.iterdir())
        if written != names:
            raise OutputError(f"the outputs of {folder} should be {', '.join(names)}, but are {', '.join(written)}")
        check_outputs(folder, names + outdated, overwrite=overwrite)
        _replace(names, outdated, temporary, folder)
        made = []
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)
        unmake(made)


def sweep(folder: Path, prefix: str) -> None:
    """Remove the temporary folders that :func:`staged` left in `folder` when its process was killed."""
    for left in folder.iterdir():
        if left.name.startswith(prefix) and left.is_dir() and not left.is_symlink():
            shutil.rmtree(left, ignore_errors=True)


def made_folders(folder: Path) -> list[Path]:
    """Make a folder and its parents; return those that were not there, the innermost first.

    Raises
    ------
    OutputError
        If it cannot be made.
    """
    with _refused_by(folder):
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
    """Have a file written under a name that GDAL and SQLite take for no more than a name; then move it to `path`.

    Yields a path in a new folder beside `path`; or, where the name of that folder is no plain one either, in the
    system's folder for temporary files.

    Raises
    ------
    OutputError
        If it cannot be moved.
    """
    beside = str(path.parent.resolve())
    plain = beside.isprintable() and not set(beside) & set("#?%")
    try:
        with tempfile.TemporaryDirectory(dir=beside if plain else None) as folder:
            written = Path(folder, f"output{path.suffix}")
            yield written
            shutil.move(written, path)
    except OSError as error:
        if isinstance(error, OutputError):
            raise
        raise OutputError(
            f"cannot write {path.name}: {error.strerror}; make room or choose another folder by -o/--output"
        ) from error


@contextmanager
def _refused_by(folder: Path) -> Iterator[None]:
    """Say which folder it was that the system refused."""
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"cannot write into the folder {folder}: {error.strerror}; choose another one by -o/--output"
        ) from error


def _replace(names: list[str], outdated: list[str], source: Path, target: Path) -> None:
    """Move files from `source` into `target`, files of the same names there being replaced; undo it all on failure.

    What is outdated there goes; and so do side files that GDAL or QGIS made for a raster that is replaced or goes.
    """
    rasters = [name for name in names + outdated if name.endswith(".tif") and (target / name).exists()]
    side_files = {f"{name}{end}" for name in rasters for end in _SIDE_FILES} - set(names)
    moves = []
    for name in dict.fromkeys([*sorted(side_files), *outdated, *names]):
        if (target / name).exists():
            moves.append((target / name, source / "replaced" / name))
        if name in names:
            moves.append((source / name, target / name))
    try:
        move_all(moves)
    except OSError as error:
        name = Path(error.filename or "").name
        what = target / name if name in {path.name for path, _ in moves} else f"into {target}"
        raise OutputError(
            f"cannot write {what}: {error.strerror}; nothing was replaced, make room there or close it elsewhere first"
        ) from error
