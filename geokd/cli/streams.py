"""Standard streams that are closed, full, or written to by libraries."""

import errno
import os
import sys
import warnings

from geokd.errors import OutputError

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EIO)
"""Reasons why a stream cannot be written to, other than that nobody reads it."""


def unheard(error: OSError) -> OutputError:
    """Return the error for a stdout that cannot be written to, and discard what is still buffered for it."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)
    return OutputError(f"cannot write to standard output: {error.strerror}; make room, or redirect it")


def prepare_streams() -> None:
    """Open streams that the caller closed, and keep messages of libraries off the terminal.

    Otherwise the next file opened would get the number of the closed stream, and messages would be written into it.
    Python's warnings and GDAL's messages are shown if -W or CPL_DEBUG request them.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, "r" if number == 0 else "w", closefd=False))
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
    if not os.environ.get("CPL_DEBUG"):
        os.environ.setdefault("CPL_LOG", os.devnull)
