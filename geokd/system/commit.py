"""Outputs that appear in a folder together, or not at all, whenever and however the process ends.

A command claims the outputs that it will write. The claim is a file in the hidden folder `.geokd` of the outputs'
folder, locked as long as the process lives, so that no other run writes the same outputs. They are written beside the
claim. When they are complete and on the disk, a record of all moves is written; the old files are set aside, the new
ones moved to their places, and the record is removed. If the process dies before that, the next command that looks at
the folder finds a claim without a lock: if there is a record, it restores the old files; then it removes the files of
that claim, with a warning (:mod:`geokd.system.recovery`). No file is removed because of its name alone.

    FOLDER/.geokd/<32 hexadecimal digits>/claim.json   who writes which outputs
                                          new/         the outputs, until they are moved
                                          moves.json   while they are moved: which, and which are set aside
                                          old/         what is set aside
"""

import json
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from io import FileIO
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Self
from uuid import uuid4

from geokd.errors import CallError, GeokdError, OutputError, one_message
from geokd.files import made_folders, put_folders_on_disk, put_on_disk, refused_by, unmake, written_whole
from geokd.system.locks import Owner, lock, locked_folder
from geokd.system.recovery import (
    CLAIM,
    MOVES,
    NEW,
    OLD,
    WORK,
    Moves,
    identity,
    move,
    put_back,
    remove_claim,
    remove_empty,
    settle,
    settle_locked,
)

_SIDE_FILES = (".aux.xml", ".ovr", ".msk")  # GDAL reads them with a raster; those of the replaced one would be wrong
_DATABASE_TRACES = ("-wal", "-journal")  # SQLite keeps them beside a GeoPackage that is open, and would replay them
_MOST_SHOWN = 40  # characters of a name
_USUAL_NAME_BYTES = 255


class Claim:
    """The exclusive right to write some outputs into a folder, until it is released or the process ends.

    Made by :meth:`take`. As a context manager, it is released at the end.

    Parameters
    ----------
    folder, place : Path
        The folder of the outputs, and that of the claim.
    file : FileIO
        The claim's file, locked.
    made : list of Path
        Folders that were made for it, the innermost first.
    """

    def __init__(self, folder: Path, place: Path, file: FileIO, made: list[Path]) -> None:
        self.folder, self._place, self._file, self._made = folder, place, file, made

    @classmethod
    def take(cls, folder: Path, names: Iterable[str]) -> Self:
        """Claim the outputs `names` of `folder`, which is made if it does not exist.

        Raises
        ------
        CallError
            If another run is writing some of them.
        OutputError
            If the folder cannot be written.
        """
        names = sorted(names)
        made = made_folders(folder)
        place = folder.resolve() / WORK / uuid4().hex
        try:
            with refused_by(folder), locked_folder(folder):
                settle_locked(folder, names)
                place.mkdir(parents=True)
                file = (place / CLAIM).open("xb", buffering=0)
                lock(file)
                facts = {"geokd_claim": 1, **asdict(Owner.me()), "outputs": names}
                file.write(json.dumps(facts).encode())
                put_on_disk([place / CLAIM])
                put_folders_on_disk([place, place.parent, folder])
        except BaseException:
            with suppress(OSError):
                (place / CLAIM).unlink(missing_ok=True)
            unmake([place])
            unmake([folder / WORK, *made])
            raise
        return cls(folder, place, file, made)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def release(self) -> None:
        """Release the outputs, and remove folders that were made but not used."""
        self._file.close()
        with suppress(GeokdError), locked_folder(self.folder):
            if not (self._place / MOVES).exists():  # else the next command restores the files set aside
                remove_claim(self._place)
            unmake([self._place.parent, *self._made])

    @contextmanager
    def staged(self, names: Iterable[str], *, overwrite: bool, former: Iterable[str] = ()) -> Iterator[Path]:
        """Write outputs that this claims, all or none; see the function :func:`staged`."""
        names = sorted(names)
        outdated = sorted(set(former) - set(names))
        _check(self.folder, names + outdated, overwrite=overwrite)
        with self.stage() as new:
            yield new
            written = sorted(path.name for path in new.iterdir())
            if written != names:
                raise OutputError(
                    f"the outputs of {self.folder} should be {', '.join(names)}, but are {', '.join(written)}"
                )
            _check(self.folder, names + outdated, overwrite=overwrite)
            self.replace(names, outdated)

    @contextmanager
    def stage(self) -> Iterator[Path]:
        """Yield an empty folder on the same disk, from which :meth:`replace` takes the outputs; removed at the end."""
        new = self._place / NEW
        with refused_by(self.folder):
            new.mkdir()
        try:
            yield new
        finally:
            if not (self._place / MOVES).exists():
                shutil.rmtree(new, ignore_errors=True)

    def replace(self, names: Sequence[str], outdated: Sequence[str] = ()) -> None:
        """Move `names` from the stage into the folder, and `outdated` files out of it, all or nothing.

        Files of the same names are replaced; side files that GDAL or QGIS made for a replaced raster are removed.

        Raises
        ------
        OutputError
            If a file cannot be moved; the folder is then as before.
        """
        folder, place = self.folder, self._place
        try:
            moves = Moves(
                _present(folder, [*names, *outdated], names), {name: identity(place / NEW / name) for name in names}
            )
            put_on_disk(place / NEW / name for name in names)
            with written_whole(place / MOVES) as partial:
                partial.write_text(json.dumps(asdict(moves)), encoding="utf-8")
            move(moves.aside(folder, place), place)
            move(moves.into(folder, place), folder)
            (place / MOVES).unlink()
        except BaseException as error:  # an interruption, too
            put_back(folder, place)
            if isinstance(error, OSError) and not isinstance(error, GeokdError):
                raise _unmovable(folder, error, [*names, *outdated]) from error
            raise
        self._made = []
        put_folders_on_disk([place])
        shutil.rmtree(place / OLD, ignore_errors=True)
        remove_empty(folder, outdated)


@contextmanager
def staged(folder: Path, names: Iterable[str], *, overwrite: bool, former: Iterable[str] = ()) -> Iterator[Path]:
    """Write the outputs `names` of `folder`, all or none.

    Yields an empty temporary folder on the same disk; the body writes each output there under its final name. When the
    body ends, all are moved to `folder` together. When it fails, `folder` is left as it was. Files `former`, which an
    earlier run may have left, are replaced, or removed if they are not among `names`.

    Raises
    ------
    CallError
        As for :func:`check_outputs`, at the start and, for files that appeared meanwhile, at the end.
    OutputError
        If `folder` cannot be made or written, or the body wrote other files than `names`.
    """
    names, former = list(names), list(former)
    check_outputs(folder, {*names, *former}, overwrite=overwrite)
    with (
        Claim.take(folder, {*names, *former}) as claim,
        claim.staged(names, overwrite=overwrite, former=former) as new,
    ):
        yield new


def check_outputs(folder: Path, names: Iterable[str], *, overwrite: bool) -> None:
    """Refuse outputs that may not be written, before any work is done.

    Raises
    ------
    CallError
        If `folder` is a file, an output is a folder or a GeoPackage open in another program, another run is writing
        them, or outputs exist and `overwrite` is False: all of them in one message.
    OutputError
        If the folder cannot be read.
    """
    names = sorted(names)
    settle(folder, names)
    _check(folder, names, overwrite=overwrite)


def _check(folder: Path, names: list[str], *, overwrite: bool) -> None:
    """As :func:`check_outputs`, for the current state of the folder."""
    longest = max(names, key=lambda name: len(os.fsencode(name)), default="")
    if len(os.fsencode(longest)) > _most_name_bytes(folder):
        raise CallError(
            f"an output in {folder} would be named {longest[:_MOST_SHOWN]}..., {len(os.fsencode(longest))} bytes, too"
            f" long a name for this disk ({_most_name_bytes(folder)}); give the scene or the output a shorter name"
        )
    with refused_by(folder):
        is_file = folder.exists() and not folder.is_dir()
        present = [name for name in names if os.path.lexists(folder / name)]
    if is_file:
        raise CallError(f"{folder} is a file, not a folder to write outputs into; choose another one with -o/--output")
    folders = [name for name in present if (folder / name).is_dir()]
    problems = [
        f"{folder / name} is a folder, but an output has this name; rename it or choose another folder with -o/--output"
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
            f"{folder} holds {', '.join(files)} already; replace {'it' if len(files) == 1 else 'them'} with --overwrite"
            ", or choose another folder with -o/--output"
        )
    if problems:
        raise CallError(one_message(problems))


def _most_name_bytes(folder: Path) -> int:
    """Return how long file names may be, according to the nearest folder that exists."""
    for parent in (folder, *folder.absolute().parents):
        with suppress(OSError, AttributeError, ValueError):  # not on Windows
            return os.pathconf(parent, "PC_NAME_MAX")
    return _USUAL_NAME_BYTES


def _present(folder: Path, names: Sequence[str], fresh: Sequence[str]) -> list[str]:
    """List the files to set aside: those of these names, and side files of rasters that no new ones replace."""
    there = [name for name in dict.fromkeys(names) if os.path.lexists(folder / name)]
    sides = {f"{name}{end}" for name in there if name.endswith(".tif") for end in _SIDE_FILES} - {*fresh, *there}
    return [*(name for name in sorted(sides) if os.path.lexists(folder / name)), *there]


def _unmovable(folder: Path, error: OSError, names: Sequence[str]) -> OutputError:
    name = Path(error.filename or "").name
    what = folder / name if name in {PurePosixPath(path).name for path in names} else f"into {folder}"
    return OutputError(
        f"cannot write {what}: {error.strerror}; nothing was replaced; make room there, or close it elsewhere"
    )
