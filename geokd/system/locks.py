"""Locks that the system releases when a process dies, and what happens where there are none."""

import errno
import os
import platform
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Self

from geokd.errors import CallError

_HELD = (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES)
_PATIENCE_S = 60.0  # for work that takes moments, unless thousands of files are restored


@dataclass(frozen=True)
class Owner:
    """A process.

    Parameters
    ----------
    host : str
    process : int
    """

    host: str
    process: int

    @classmethod
    def me(cls) -> Self:
        """Return this process."""
        return cls(platform.node(), os.getpid())

    @property
    def may_live(self) -> bool:
        """Whether it runs on this machine; a process of another machine is assumed to run."""
        if self.host != platform.node() or sys.platform == "win32":
            return True
        try:
            os.kill(self.process, 0)
        except ProcessLookupError:
            return False
        except (OSError, OverflowError):  # another user's, or no process
            return True
        return True

    def __str__(self) -> str:
        return f"process {self.process} on {self.host}"


def lock(file: FileIO | int) -> bool | None:
    """Lock an open file, or a folder, for this process; False: another has it; None: this disk has no locks."""
    try:
        if sys.platform == "win32":
            import msvcrt

            descriptor = file if isinstance(file, int) else file.fileno()
            os.lseek(descriptor, 2**30, os.SEEK_SET)  # beyond the content, which other processes may read
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
            os.lseek(descriptor, 0, os.SEEK_SET)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return False if error.errno in _HELD else None
    return True


@contextmanager
def locked_folder(folder: Path) -> Iterator[None]:
    """Lock a folder for a moment against other processes that lock it, too; without effect where folders have no locks.

    Raises
    ------
    CallError
        If another process does not release it.
    """
    descriptor = None
    with suppress(OSError):  # Windows opens no folders
        descriptor = os.open(folder, os.O_RDONLY)
    if descriptor is None:
        yield
        return
    try:
        until = time.monotonic() + _PATIENCE_S
        while lock(descriptor) is False:
            if time.monotonic() > until:
                raise CallError(f"another run keeps the folder {folder} locked; wait for it, or choose another folder")
            time.sleep(0.02)
        yield
    finally:
        os.close(descriptor)
