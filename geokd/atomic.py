"""Files written whole, or not at all; and several moved, or none."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

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
