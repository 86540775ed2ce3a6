"""Ctrl-C ends a command soon, whatever it is doing."""

import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, NamedTuple

from geokd.cli.talk import echo, message_line, talks_json

INTERRUPTED = 128 + signal.SIGINT
"""Exit code of a command that was interrupted, as in shells."""

GRACE_SECONDS = 8.0
"""Time that a command has to clean up after Ctrl-C; then the process is ended."""

_SAY_SECONDS = 1.0  # for a sentence, before the process is ended


class _Unsaid(NamedTuple):
    """A sentence to be printed on Ctrl-C, and whether stderr gets JSON."""

    sentence: Callable[[], str]
    in_json: bool


_unsaid: list[_Unsaid] = []


@contextmanager
def interruptible() -> Iterator[None]:
    """Let Ctrl-C end the process within 8 s, whatever runs in this context.

    The first Ctrl-C raises KeyboardInterrupt, so that the command can clean up; further ones are ignored, because they
    would disturb that. Python handles signals only between bytecode instructions, and a model may run for minutes
    within one: so a thread waits for the signal, and ends the process after the time limit. The disk is then as after
    kill -9, which every command can handle. Nothing changes where Ctrl-C was already ignored or handled, or outside the
    main thread.
    """
    usual = threading.current_thread() is threading.main_thread()
    if not usual or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    ours, theirs = socket.socketpair()
    theirs.settimeout(0)
    signal.signal(signal.SIGINT, _interrupt)
    wakeup_before = signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
    ended = threading.Event()
    threading.Thread(target=_wait, args=(ours, ended), daemon=True).start()
    try:
        yield
    finally:
        ended.set()
        if signal.getsignal(signal.SIGINT) is _interrupt:  # otherwise the process is about to end
            signal.signal(signal.SIGINT, signal.default_int_handler)
            signal.set_wakeup_fd(wakeup_before)
            theirs.close()


@contextmanager
def said_when_interrupted(sentence: Callable[[], str]) -> Iterator[None]:
    """Print a sentence, unless it is empty, when Ctrl-C ends this context.

    It is printed after the context has cleaned up, or before the process is ended because that takes too long.
    """
    unsaid = _Unsaid(sentence, talks_json())
    _unsaid.append(unsaid)
    try:
        yield
    except KeyboardInterrupt:
        _unsaid.remove(unsaid)
        if said := sentence():
            echo(said, err=True)
        raise
    finally:
        with suppress(ValueError):
            _unsaid.remove(unsaid)


def _interrupt(_: int, __: FrameType | None) -> Any:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise KeyboardInterrupt


def _wait(signals: socket.socket, ended: threading.Event) -> None:
    with signals:
        while received := signals.recv(1):
            if received[0] == signal.SIGINT:
                time.sleep(GRACE_SECONDS)
                if not ended.is_set():
                    last = _Unsaid(lambda: "Interrupted.", any(unsaid.in_json for unsaid in _unsaid))
                    for unsaid in [*_unsaid, last]:
                        saying = threading.Thread(target=_say, args=unsaid, daemon=True)
                        saying.start()
                        saying.join(_SAY_SECONDS)  # its disk may hang
                os._exit(INTERRUPTED)


def _say(sentence: Callable[[], str], in_json: bool) -> None:
    with suppress(Exception):  # the process must end, whatever its files say
        if said := sentence():
            os.write(2, f"{message_line(said, as_json=in_json)}\n".encode())
