"""Several files moved as one: all of them, or none."""

from collections.abc import Sequence
from pathlib import Path


def move_all(moves: Sequence[tuple[Path, Path]]) -> None:
    """Move files from their first path to their second, in order; undo it all if one cannot be moved.

    A file that is at a second path goes. Folders of the second paths are made, and left when it is undone.

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
    except BaseException as error:  # an interruption, too, before or after the move itself; raised again
        if isinstance(error, OSError):
            begun.pop()  # it was not moved
        for source, target in reversed(begun):
            if not source.exists():
                target.replace(source)
        raise
