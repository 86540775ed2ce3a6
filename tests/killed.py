"""Commands that kill -9 ends while they move their outputs into place."""

import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from unittest import mock

import pytest

from geokd.system.commit import Claim


class Killed(BaseException):
    """Ends the command in this process, in place of the process that was killed."""


def killed_while_moving(command: Callable[[], object], moves: int) -> None:
    """Run a command up to the move of its outputs, of which a forked process makes so many before it is killed."""
    real = Claim.replace

    def replace(self: Claim, names: Sequence[str], outdated: Sequence[str] = ()) -> None:
        child = os.fork()
        if child == 0:
            _die_after(moves + 1)  # the first one is that of the record of the moves
            real(self, names, outdated)
            os._exit(0)
        assert os.WIFSIGNALED(os.waitpid(child, 0)[1]), f"it makes fewer than {moves} moves"
        raise Killed

    with mock.patch.object(Claim, "replace", replace), pytest.raises(Killed):
        command()


def _die_after(moves: int) -> None:
    real, made = Path.replace, 0

    def counted(self: Path, target: Path) -> Path:
        nonlocal made
        moved = real(self, target)
        made += 1
        if made == moves:
            os.kill(os.getpid(), signal.SIGKILL)
        return moved

    Path.replace = counted  # type: ignore[method-assign,assignment]
