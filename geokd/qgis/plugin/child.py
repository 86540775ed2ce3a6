"""Running geokd in a separate process: its messages line by line, and stopping it with all its workers."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess  # nosec B404  # geokd is run by the list of its arguments, never by a shell
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Any, Callable

_POLL_S = 0.2
_PATIENCE_S = 15.0
"""Time that geokd has to close its files after a request to stop."""


@dataclass(frozen=True)
class News:
    """A line of geokd's stderr: a message, which may be empty, and the progress of the current stage, in percent."""

    message: str
    percent: float | None = None


@dataclass(frozen=True)
class Finished:
    """How a process ended: its exit code, what it wrote to stdout, and whether it was stopped."""

    code: int
    stdout: str
    stopped: bool


def read_news(line: str) -> News:
    """Read a line of stderr: JSON of `--progress json`, or plain text of a command that does not have it."""
    line = line.rstrip("\r\n")
    try:
        found = json.loads(line)
    except ValueError:
        return News(line)
    if not isinstance(found, dict) or not isinstance(found.get("message"), str):
        return News(line)
    done, total = found.get("done"), found.get("total")
    if isinstance(done, (int, float)) and isinstance(total, (int, float)) and total > 0:
        return News(found["message"], min(100.0, 100.0 * done / total))
    return News(found["message"])


def read_documents(stdout: str) -> list[dict[str, Any]]:
    """Read what a command with `--json` writes to stdout: a single object, or one per line."""
    try:
        found = [json.loads(stdout)]
    except ValueError:
        found = [json.loads(line) for line in stdout.splitlines() if line.startswith("{")]
    return [one for one in found if isinstance(one, dict)]


def run(
    command: Sequence[str],
    environment: Mapping[str, str],
    hear: Callable[[News], None],
    wanted: Callable[[], bool],
    *,
    own_group: bool = True,
) -> Finished:
    """Run a command to its end, or until it is no longer `wanted`.

    Parameters
    ----------
    command : sequence of str
    environment : mapping
    hear : callable
        Receives each line of stderr, in this thread.
    wanted : callable
        Is called several times a second.
    own_group : bool
        Whether the process and its workers are stopped together. Otherwise, Ctrl-C in a terminal reaches all of them.
    """
    process = start(command, environment, own_group=own_group)
    lines: queue.Queue[str] = queue.Queue()
    parts: list[str] = []
    readers = [
        threading.Thread(target=_forward, args=(process.stderr, lines.put), daemon=True),
        threading.Thread(target=_forward, args=(process.stdout, parts.append), daemon=True),
    ]
    for reader in readers:
        reader.start()
    stopped = False
    try:
        while process.poll() is None:
            if not wanted():
                stopped = True
                stop(process, own_group=own_group)
            _hear_all(lines, hear, _POLL_S)
        for reader in readers:  # to the end of the pipes' content; a worker that keeps them open is not waited for
            reader.join(_PATIENCE_S if not stopped else _POLL_S)
        _hear_all(lines, hear, 0)
    finally:
        if process.poll() is None:
            stop(process, own_group=own_group)
    return Finished(process.returncode, "".join(parts), stopped)


def start(command: Sequence[str], environment: Mapping[str, str], *, own_group: bool = True) -> subprocess.Popen[str]:
    """Start a command, optionally in a new process group, without a window."""
    group: dict[str, Any] = {"start_new_session": own_group}
    if sys.platform == "win32":
        new = subprocess.CREATE_NEW_PROCESS_GROUP if own_group else 0
        group = {"creationflags": new | subprocess.CREATE_NO_WINDOW}
    return subprocess.Popen(  # nosec B603  # a list of arguments; no shell
        list(command),
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
        **group,
    )


def stop(process: subprocess.Popen[str], *, own_group: bool = True) -> None:
    """Ask a process to stop as Ctrl-C does, wait, and end it; with all its workers if it has its own process group."""
    if sys.platform == "win32":
        process.send_signal(signal.CTRL_BREAK_EVENT)
    else:
        process.send_signal(signal.SIGINT)
    try:
        process.wait(_PATIENCE_S)
    except subprocess.TimeoutExpired:
        pass
    process.kill()
    if own_group:
        _kill_group(process)
    process.wait()


def _kill_group(process: subprocess.Popen[str]) -> None:
    """End the rest of a process and of those that it started."""
    if sys.platform == "win32":
        taskkill = os.path.join(os.environ.get("SYSTEMROOT", r"C:\Windows"), "System32", "taskkill.exe")
        command = [taskkill, "/T", "/F", "/PID", str(process.pid)]
        subprocess.run(command, capture_output=True, check=False)  # nosec B603  # a list of arguments; no shell
        return
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass


def _forward(pipe: IO[str] | None, take: Callable[[str], None]) -> None:
    if pipe is not None:
        with pipe:
            for line in pipe:
                take(line)


def _hear_all(lines: queue.Queue[str], hear: Callable[[News], None], seconds: float) -> None:
    """Pass on the available lines; wait at most `seconds` for the first."""
    try:
        hear(read_news(lines.get(timeout=seconds) if seconds else lines.get_nowait()))
        while True:
            hear(read_news(lines.get_nowait()))
    except queue.Empty:
        return
