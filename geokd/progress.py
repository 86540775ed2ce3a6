"""Progress of long work, told in one way by all of the library."""

import sys
from typing import Protocol

from geokd.text import printable


class Progress(Protocol):
    """Takes news of long work: a line for people, how much is done, or both.

    Whoever gives one to a function of geokd is called in the thread that called the function.
    """

    def __call__(self, message: str, /, *, done: int = 0, total: int = 0) -> None:
        """Take one piece of news.

        Parameters
        ----------
        message : str
            A line for people; empty if only `done` changed.
        done, total : int
            Equal parts of the present stage that are done, and all of them (blocks, epochs, maps); a total of 0 if
            that is not known.
        """


def silent(message: str, *, done: int = 0, total: int = 0) -> None:
    """Pass over progress."""


def to_stderr(message: str, *, done: int = 0, total: int = 0) -> None:
    """Print lines of progress on stderr."""
    if message:
        print(printable(message), file=sys.stderr, flush=True)
