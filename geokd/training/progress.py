"""Talk of a training: one line at a time."""

import sys
from collections.abc import Callable

from geokd.text import printable

Say = Callable[[str], None]
"""Takes one line of progress."""


def to_stderr(line: str) -> None:
    """Print a line of progress."""
    print(printable(line), file=sys.stderr, flush=True)
