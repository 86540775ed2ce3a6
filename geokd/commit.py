"""Outputs that come into a folder together, or not at all: whatever ends the process, and whenever.

A command claims the outputs that it is to write. The claim is a file in the hidden folder `.geokd` of the outputs'
folder, locked as long as the process lives, so that no other run writes the same ones meanwhile. The outputs are
written beside it. When they are whole and on the disk, a record of all moves is written; the files of before are set
aside, the new ones moved to their places, and the record is removed. If the process dies on the way, the next command
that looks at the folder finds a claim that nobody holds: if there is a record, it puts all back as it was before; then
it removes what that claim had made. Nothing is removed because of its name alone.

    FOLDER/.geokd/<32 hexadecimal digits>/claim.json   who writes which outputs
                                          new/         the outputs, until they are moved
                                          moves.json   while they are moved: which, and which are set aside
                                          old/         what is set aside
"""

import json
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from io import FileIO
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Self
from uuid import uuid4

from geokd.errors import CallError, GeokdError, OutputError, named, one_message
from geokd.files import made_folders, put_folders_on_disk, put_on_disk, refused_by, unmake, written_whole
from geokd.locks import Owner, lock, locked_folder

WORK = ".geokd"
"""Folder in which outputs lie until they are all there."""

_CLAIM, _MOVES, _NEW, _OLD = "claim.json", "moves.json", "new", "old"
_PLACE = re.compile("[0-9a-f]{32}")
_MARK = b'{"geokd_claim": 1, '
_SIDE_FILES = (".aux.xml", ".ovr", ".msk")  # GDAL reads them with a raster; those of the one replaced would lie
_DATABASE_TRACES = ("-wal", "-journal")  # SQLite keeps them beside a GeoPackage that is open, and would replay them
_MOST_NAMED, _MOST_SHOWN = 4, 40  # outputs, and characters of a name
_USUAL_NAME_BYTES = 255


class Claim:
    """The right to write some outputs into a folder, until it is released or the process ends.

    Made by :meth:`take`. As a context manager, it is released at the end.

    Parameters
    ----------
    folder, place : Path
        Of the outputs, and of the claim.
    file : FileIO
        The claim's, locked.
    made : list of Path
        Folders that were made for it, the innermost first.
    """

    def __init__(self, folder: Path, place: Path, file: FileIO, made: list[Path]) -> None:
        self.folder, self._place, self._file, self._made = folder, place, file, made

    @classmethod
    def take(cls, folder: Path, names: Iterable[str]) -> Self:
        """Claim the outputs `names` of `folder`, which is made if need be.

        Raises
        ------
        CallError
            If another run is at work on some of them.
        OutputError
            If the folder cannot be written.
        """
        names = sorted(names)
        made = made_folders(folder)
        try:
            with refused_by(folder), locked_folder(folder):
                _settle(folder, names)
                place = folder.resolve() / WORK / uuid4().hex
                place.mkdir(parents=True)
                file = (place / _CLAIM).open("xb", buffering=0)
                lock(file)
                facts = {"geokd_claim": 1, **asdict(Owner.me()), "outputs": names}
                file.write(json.dumps(facts).encode())
                put_on_disk([place / _CLAIM])
                put_folders_on_disk([place, place.parent])
        except BaseException:
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
        """Let go of the outputs, and remove the folders that were made for nothing."""
        self._file.close()
        with suppress(GeokdError), locked_folder(self.folder):
            if not (self._place / _MOVES).exists():  # else the next command puts back what is set aside
                _remove(self._place)
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
        new = self._place / _NEW
        with refused_by(self.folder):
            new.mkdir()
        try:
            yield new
        finally:
            if not (self._place / _MOVES).exists():
                shutil.rmtree(new, ignore_errors=True)

    def replace(self, names: Sequence[str], outdated: Sequence[str] = ()) -> None:
        """Move `names` from the stage into the folder, and what is `outdated` out of it: all, or nothing.

        Files of the same names are replaced; side files that GDAL or QGIS made for a raster go with it.

        Raises
        ------
        OutputError
            If a file cannot be moved; all is as it was before.
        """
        folder, place = self.folder, self._place
        try:
            moves = _Moves(_present(folder, [*names, *outdated], names), _identities(place / _NEW, names))
            put_on_disk(place / _NEW / name for name in names)
            with written_whole(place / _MOVES) as partial:
                partial.write_text(json.dumps(asdict(moves)), encoding="utf-8")
            for source, target in moves.within(folder, place):
                target.parent.mkdir(parents=True, exist_ok=True)
                source.replace(target)
            put_folders_on_disk({target.parent for _, target in moves.within(folder, place)})
            (place / _MOVES).unlink()
        except BaseException as error:  # an interruption, too
            _put_back(folder, place)
            if isinstance(error, OSError) and not isinstance(error, GeokdError):
                raise _unmovable(folder, error, [*names, *outdated]) from error
            raise
        self._made = []
        put_folders_on_disk([place])
        shutil.rmtree(place / _OLD, ignore_errors=True)
        _remove_empty(folder, outdated)


@contextmanager
def staged(folder: Path, names: Iterable[str], *, overwrite: bool, former: Iterable[str] = ()) -> Iterator[Path]:
    """Write the outputs `names` of `folder`, all or none.

    Yields an empty temporary folder on the same disk; the body writes each output there under its final name. When
    the body ends, all are moved to `folder` together. When it fails, nothing is left and what `folder` held stays as
    it was. Files `former`, which an earlier run may have left, count as outputs that are replaced, by nothing if they
    are not among `names`.

    Raises
    ------
    CallError
        As :func:`check_outputs`, at the start and, for files that came up meanwhile, at the end.
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
        If `folder` is a file, an output is a folder or a GeoPackage open elsewhere, another run is at work on them, or
        outputs exist and `overwrite` is False. One message names all of them.
    OutputError
        If the folder cannot be looked into.
    """
    names = sorted(names)
    settle(folder, names)
    _check(folder, names, overwrite=overwrite)


def settle(folder: Path, names: Iterable[str] = ()) -> None:
    """Put a folder in order in which a run was killed while it moved its outputs: those of before are put back.

    Raises
    ------
    CallError
        If another run is at work on some of the outputs `names`, or a file is in the way.
    OutputError
        If the folder cannot be written.
    """
    with refused_by(folder):
        if os.path.isdir(folder / WORK):  # noqa: PTH112  it never raises, whatever the name
            with locked_folder(folder):
                _settle(folder, list(names))
                unmake([folder / WORK])


@dataclass(frozen=True)
class _Moves:
    """What is moved, by names below the folder.

    Parameters
    ----------
    old : list of str
        Set aside.
    new : dict of str to [int, int]
        Moved in: bytes and time of change (ns), by which a file is known again.
    """

    old: list[str]
    new: dict[str, list[int]]

    def within(self, folder: Path, place: Path) -> Iterator[tuple[Path, Path]]:
        """Yield all moves in their order, from a path to a path."""
        old = set(self.old)
        for name in dict.fromkeys([*self.old, *self.new]):
            if name in old:
                yield folder / name, place / _OLD / name
            if name in self.new:
                yield place / _NEW / name, folder / name


def _settle(folder: Path, names: list[str]) -> None:
    """See :func:`settle`; nobody else does it meanwhile."""
    if not (folder / WORK).is_dir():
        return
    for place in sorted((folder.resolve() / WORK).iterdir()):
        if not _PLACE.fullmatch(place.name) or place.is_symlink() or not (place / _CLAIM).is_file():
            with suppress(OSError):
                place.rmdir()  # made in the last moment of a process; anything that holds something is not ours
            continue
        try:
            file = (place / _CLAIM).open("r+b", buffering=0)
        except OSError:
            if (place / _MOVES).exists():
                raise
            continue  # on a disk that cannot be written, what is left there harms nobody
        with file:
            _settle_claim(folder, place, file, names)


def _settle_claim(folder: Path, place: Path, file: FileIO, names: list[str]) -> None:
    content = file.read()
    if not content.startswith(_MARK[: len(content)]):
        return  # somebody else's
    try:
        facts = json.loads(content)
        owner, outputs = Owner(str(facts["host"]), int(facts["process"])), set(facts["outputs"])
    except (ValueError, KeyError, TypeError):  # cut off before anything else was made
        owner, outputs = Owner("", 0), set()
    locked = lock(file)
    if locked is False or (locked is None and owner.may_live):
        both = sorted(outputs & set(names))
        if both:
            raise CallError(
                f"another run ({owner}) is writing {named(both, _MOST_NAMED)} into {folder}; wait for it, or choose"
                " another folder with -o/--output"
                + (f". If it is not running, delete {place}" if locked is None else "")
            )
        return
    _put_back(folder, place)
    _remove(place)


def _put_back(folder: Path, place: Path) -> None:
    """Undo the moves of a claim, as far as they were made; it may be done again where it was interrupted.

    Raises
    ------
    CallError
        If somebody put another file where one of before is to be put back.
    OutputError
        If it cannot be done.
    """
    try:
        facts = json.loads((place / _MOVES).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return
    moves, old = _Moves(facts["old"], facts["new"]), set(facts["old"])
    ours = {name for name in moves.new if _is_moved(folder, place, name, moves.new[name], replaces=name in old)}
    taken = [n for n in moves.old if n not in ours and os.path.lexists(place / _OLD / n) and (folder / n).exists()]
    if taken:
        raise CallError(
            f"{folder / taken[0]} was written after a run was cut off that was about to replace it; move it away, then"
            f" the file of before is put back, which lies in {place / _OLD}"
        )
    try:
        for name in ours:
            (folder / name).replace(place / _NEW / name)
        for name in moves.old:
            if os.path.lexists(place / _OLD / name):
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (place / _OLD / name).replace(folder / name)
        put_folders_on_disk({(folder / name).parent for name in [*moves.old, *ours]})
        (place / _MOVES).unlink()
    except OSError as error:
        raise OutputError(
            f"cannot put the files of before back into {folder}: {error.strerror}; they lie in {place / _OLD}, and the"
            " next command that writes there puts them back"
        ) from error
    _remove_empty(folder, ours)


def _is_moved(folder: Path, place: Path, name: str, identity: list[int], *, replaces: bool) -> bool:
    """Whether a new file is at its place, and still the one that was moved there."""
    path = folder / name
    if os.path.lexists(place / _NEW / name) or not path.exists():
        return False
    if replaces and not os.path.lexists(place / _OLD / name):
        return False
    return _identity(path) == identity


def _check(folder: Path, names: list[str], *, overwrite: bool) -> None:
    """As :func:`check_outputs`, of the folder as it is."""
    longest = max(names, key=lambda name: len(os.fsencode(name)), default="")
    if len(os.fsencode(longest)) > _most_name_bytes(folder):
        raise CallError(
            f"an output in {folder} would be called {longest[:_MOST_SHOWN]}..., {len(os.fsencode(longest))} bytes, too"
            f" long a name for this disk ({_most_name_bytes(folder)}); give the scene or the output a shorter name"
        )
    with refused_by(folder):
        is_file = folder.exists() and not folder.is_dir()
        present = [name for name in names if (folder / name).exists()]
    if is_file:
        raise CallError(f"{folder} is a file, not a folder to write outputs into; choose another one with -o/--output")
    folders = [name for name in present if (folder / name).is_dir()]
    problems = [
        f"{folder / name} is a folder where an output is to be written; rename it or choose another with -o/--output"
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
    """Return how long names of files may be, by the nearest folder that is there."""
    for parent in (folder, *folder.absolute().parents):
        with suppress(OSError, AttributeError, ValueError):  # not on Windows
            return os.pathconf(parent, "PC_NAME_MAX")
    return _USUAL_NAME_BYTES


def _present(folder: Path, names: Sequence[str], fresh: Sequence[str]) -> list[str]:
    """List what is to be set aside: files of these names, and side files of rasters that no fresh ones replace."""
    there = [name for name in dict.fromkeys(names) if os.path.lexists(folder / name)]
    sides = {f"{name}{end}" for name in there if name.endswith(".tif") for end in _SIDE_FILES} - {*fresh, *there}
    return [*(name for name in sorted(sides) if os.path.lexists(folder / name)), *there]


def _identity(path: Path) -> list[int]:
    status = path.stat()
    return [status.st_size, status.st_mtime_ns]


def _identities(folder: Path, names: Sequence[str]) -> dict[str, list[int]]:
    return {name: _identity(folder / name) for name in names}


def _unmovable(folder: Path, error: OSError, names: Sequence[str]) -> OutputError:
    name = Path(error.filename or "").name
    what = folder / name if name in {PurePosixPath(path).name for path in names} else f"into {folder}"
    return OutputError(
        f"cannot write {what}: {error.strerror}; nothing was replaced, make room there or close it elsewhere first"
    )


def _remove(place: Path) -> None:
    """Remove a claim and all that it holds, the claim's own file last: it tells what the rest is."""
    for part in (_NEW, _OLD):
        shutil.rmtree(place / part, ignore_errors=True)
    with suppress(OSError):
        (place / f".{_MOVES}.partial").unlink(missing_ok=True)
        (place / _CLAIM).unlink(missing_ok=True)
        place.rmdir()


def _remove_empty(folder: Path, names: Iterable[str]) -> None:
    """Remove the folders of files that are gone, below `folder`, if nothing is left in them."""
    for parent in {str(PurePosixPath(name).parent) for name in names} - {"."}:
        with suppress(OSError):
            (folder / parent).rmdir()
