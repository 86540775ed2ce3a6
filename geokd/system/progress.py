"""Progress of long work, in one form for the whole library."""

import sys
from typing import Protocol

from geokd.text import printable


class Progress(Protocol):
    """Receives the progress of long work: a line of text, how much is done, or both.

    It is called in the thread that called the function of geokd.
    """

    def __call__(self, message: str, /, *, done: int = 0, total: int = 0) -> None:
        """Receive one report.

        Parameters
        ----------
        message : str
            A line of text; empty if only `done` changed.
        done, total : int
            Equal parts of the current stage that are done, and their total (blocks, epochs, maps); 0 if unknown.
        """


def silent(message: str, *, done: int = 0, total: int = 0) -> None:
    """Ignore progress."""


def to_stderr(message: str, *, done: int = 0, total: int = 0) -> None:
    """Print lines of progress on stderr."""
    if message:
        print(printable(message), file=sys.stderr, flush=True)
