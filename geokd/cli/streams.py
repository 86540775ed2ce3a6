"""Streams as callers leave them: closed, full, and written to by libraries."""

import errno
import os
import sys
import warnings

from geokd.errors import OutputError

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EIO)
"""Why a stream takes nothing, other than that nobody reads it."""


def unheard(error: OSError) -> OutputError:
    """Return the error of a stdout that takes nothing, and let what is left for it go nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)
    return OutputError(f"cannot write to standard output: {error.strerror}; make room, or send it elsewhere")


def prepare_streams() -> None:
    """Open streams that the caller closed, and keep what libraries say of themselves off the terminal.

    A closed stream's number would be that of the next file opened, into which messages then go. Python's warnings, and
    GDAL's messages, are shown where they are asked for with -W or CPL_DEBUG.
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
