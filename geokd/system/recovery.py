"""Recovery of folders in which a run was interrupted, by the next command that looks at them.

See :mod:`geokd.system.commit` for the files. A claim without a lock belongs to a process that died. If it has a record
of moves, they are undone; then its files are removed, with a warning.
"""

import json
import logging
import os
import re
import shutil
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from io import FileIO
from pathlib import Path, PurePath, PurePosixPath
from typing import Self

from geokd.errors import CallError, OutputError, named
from geokd.files import PARTIAL, put_folders_on_disk, refused_by, unmake
from geokd.system.locks import Owner, lock, locked_folder

WORK = ".geokd"
"""Folder in which outputs lie until all are written."""

CLAIM, MOVES, NEW, OLD = "claim.json", "moves.json", "new", "old"
"""Content of a claim's folder."""

MARK = b'{"geokd_claim": 1, '
"""First bytes of a claim's file."""

_PLACE = re.compile("[0-9a-f]{32}")
_MOST_NAMED = 4
_LOG = logging.getLogger("geokd")


def settle(folder: Path, names: Iterable[str] = ()) -> None:
    """Restore the old files of a folder in which a run was killed while it moved its outputs.

    Raises
    ------
    CallError
        If another run is writing some of the outputs `names`, or a file is in the way.
    OutputError
        If the folder cannot be written.
    """
    with refused_by(folder):
        if os.path.isdir(folder / WORK):  # noqa: PTH112  it never raises, whatever the name
            with locked_folder(folder):
                settle_locked(folder, list(names))
                unmake([folder / WORK])


@dataclass(frozen=True)
class Moves:
    """Files that are moved, by their paths below the folder.

    Parameters
    ----------
    old : list of str
        Set aside.
    new : dict of str to [int, int]
        Moved in: size in bytes and modification time (ns), by which a file is recognised.
    """

    old: list[str]
    new: dict[str, list[int]]

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read the record of a claim.

        Raises
        ------
        FileNotFoundError
            If there is none.
        OutputError
            If it is damaged, or names files outside the folder.
        """
        try:
            facts = json.loads(path.read_bytes())
            old = [str(name) for name in facts["old"]]
            new = {str(name): [int(part) for part in known] for name, known in facts["new"].items()}
            inside = all(not PurePath(name).anchor and ".." not in PurePath(name).parts for name in [*old, *new])
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            inside = False
        if not inside:
            raise OutputError(
                f"{path} is damaged, the record of a run that was interrupted while it moved its outputs; move the old"
                f" files back from {path.with_name(OLD)}, then delete {path.parent}"
            )
        return cls(old, new)

    def aside(self, folder: Path, place: Path) -> list[tuple[Path, Path]]:
        """List the moves that set old files aside, from a path to a path."""
        return [(folder / name, place / OLD / name) for name in self.old]

    def into(self, folder: Path, place: Path) -> list[tuple[Path, Path]]:
        """List the moves that bring the outputs in, which come after all the others."""
        return [(place / NEW / name, folder / name) for name in self.new]


def settle_locked(folder: Path, names: list[str]) -> None:
    """Do what :func:`settle` does, in a folder that this process has locked."""
    if not (folder / WORK).is_dir():
        return
    for place in sorted((folder.resolve() / WORK).iterdir()):
        if not _PLACE.fullmatch(place.name) or place.is_symlink() or not (place / CLAIM).is_file():
            with suppress(OSError):
                place.rmdir()  # made just before a process died; a folder with content is not ours
            continue
        try:
            file = (place / CLAIM).open("r+b", buffering=0)
        except OSError:
            if (place / MOVES).exists():
                raise
            continue  # on a read-only disk, leftovers do no harm
        with file:
            _settle_claim(folder, place, file, names)


def _settle_claim(folder: Path, place: Path, file: FileIO, names: list[str]) -> None:
    content = file.read()
    if not content.startswith(MARK[: len(content)]):
        return  # of another program
    try:
        facts = json.loads(content)
        owner, outputs = Owner(str(facts["host"]), int(facts["process"])), {str(name) for name in facts["outputs"]}
    except (ValueError, KeyError, TypeError, RecursionError):  # interrupted before anything else was made
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
    done = _what_is_done(place)
    put_back(folder, place)
    remove_claim(place)
    if done:
        what = named(sorted(name for name in outputs if not name.startswith(".")), _MOST_NAMED)
        _LOG.warning("Warning: an earlier run (%s) was interrupted %s", owner, done.format(folder=folder, what=what))


def _what_is_done(place: Path) -> str:
    """Return the end of the sentence on what a claim left and how it is handled; empty if it left nothing."""
    if (place / MOVES).exists():
        return (
            "while its outputs ({what}) were moved into {folder}: they are removed, and the previous files are restored"
        )
    if any(path.is_file() for path in (place / OLD).rglob("*")):
        return "after its outputs ({what}) were in {folder}: they are kept, and the previous files are removed"
    if any(path.is_file() for path in (place / NEW).rglob("*")):
        return "while it wrote its outputs ({what}) for {folder}: they are removed, other files are unchanged"
    return ""


def put_back(folder: Path, place: Path) -> None:
    """Undo the moves of a claim, as far as they were made; may be repeated after an interruption.

    Raises
    ------
    CallError
        If another file lies where an old one is to be restored.
    OutputError
        If it cannot be done.
    """
    try:
        moves = Moves.read(place / MOVES)
    except FileNotFoundError:
        return
    old = set(moves.old)
    ours = {name for name in moves.new if _is_moved(folder, place, name, moves.new[name], replaces=name in old)}
    taken = [n for n in moves.old if n not in ours and os.path.lexists(place / OLD / n) and (folder / n).exists()]
    if taken:
        raise CallError(
            f"{folder / taken[0]} was written after an interrupted run had set the old file aside; move it away, then"
            f" the next command restores the old file from {place / OLD}"
        )
    try:
        move([(folder / name, place / NEW / name) for name in ours], place)
        move([(old, new) for new, old in moves.aside(folder, place) if os.path.lexists(old)], folder)
        (place / MOVES).unlink()
    except OSError as error:
        raise OutputError(
            f"cannot restore the old files in {folder}: {error.strerror}; they lie in {place / OLD}, and the"
            " next command that writes there restores them"
        ) from error
    remove_empty(folder, ours)


def move(moves: Sequence[tuple[Path, Path]], root: Path) -> None:
    """Move files, from a path to a path below `root`. No move is on the disk before its folders, or after later ones.

    Raises
    ------
    OSError
        If one cannot be moved.
    """
    folders = sorted({folder for _, target in moves for folder in target.parents if folder.is_relative_to(root)})
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
    put_folders_on_disk(folders)
    for source, target in moves:
        source.replace(target)
    put_folders_on_disk(folders)


def _is_moved(folder: Path, place: Path, name: str, known: list[int], *, replaces: bool) -> bool:
    """Whether a new file is at its place, and still the one that was moved there."""
    path = folder / name
    if os.path.lexists(place / NEW / name) or not path.exists():
        return False
    if replaces and not os.path.lexists(place / OLD / name):
        return False
    return identity(path) == known


def identity(path: Path) -> list[int]:
    """Return size in bytes and modification time (ns) of a file, by which it is recognised."""
    status = path.stat()
    return [status.st_size, status.st_mtime_ns]


def remove_claim(place: Path) -> None:
    """Remove a claim and its files, the claim's own file last, because it describes the rest."""
    for part in (NEW, OLD):
        shutil.rmtree(place / part, ignore_errors=True)
    with suppress(OSError):
        (place / f".{MOVES}{PARTIAL}").unlink(missing_ok=True)
        put_folders_on_disk([place])
        if any(os.path.lexists(place / part) for part in (NEW, OLD)):
            return
        (place / CLAIM).unlink(missing_ok=True)
        place.rmdir()


def remove_empty(folder: Path, names: Iterable[str]) -> None:
    """Remove the folders of removed files, below `folder`, if they are empty."""
    for parent in {str(PurePosixPath(name).parent) for name in names} - {"."}:
        with suppress(OSError):
            (folder / parent).rmdir()
