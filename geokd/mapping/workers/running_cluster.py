"""Connecting to a running Dask cluster, and checking that it is usable."""

import socket
import warnings
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from geokd.errors import CallError, one_message
from geokd.mapping.workers.quiet_dask import distributed
from geokd.system.documents import parse_json, read_text

_CONNECT_SECONDS = 10
_PROBE_SECONDS = 5
_PROTOCOLS, _OTHER_PROTOCOLS = ("tcp", "tls"), ("inproc", "ucx", "ws", "wss")


def connect(scheduler: str) -> distributed.Client:
    """Connect to a scheduler, given its address or its file.

    Raises
    ------
    CallError
        If it is neither, or no Dask scheduler answers there.
    """
    address = _address(scheduler)
    nobody = CallError(f"no Dask scheduler answers at {scheduler!r}; start one with `dask scheduler`")
    _probe(address, nobody)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that versions differ; geokd's is checked
            return distributed.Client(address, timeout=_CONNECT_SECONDS, set_as_default=False)
    except Exception as error:  # whatever another program answers
        raise nobody from error


def _address(scheduler: str) -> str:
    """Return the address of a scheduler, or that in a scheduler file.

    Raises
    ------
    CallError
        If it is neither.
    """
    path, address = Path(scheduler), scheduler
    try:
        is_file = path.is_file()
        if is_file:
            address = parse_json(read_text(path))["address"]
        parts = urlsplit(address if "://" in address else f"tcp://{address}")
        if parts.scheme in _OTHER_PROTOCOLS or (parts.scheme in _PROTOCOLS and parts.hostname and parts.port):
            return parts.geturl()
    except OSError as error:
        raise CallError(f"cannot read the scheduler file {scheduler!r}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError):
        pass
    kind = "is not a scheduler file of Dask" if is_file else "is neither a file nor an address"
    raise CallError(f"{scheduler!r} {kind}; give a scheduler file, or an address such as tcp://host:8786")


def _probe(address: str, nobody: CallError) -> None:
    """Find out soon that nothing listens; Dask would retry for long."""
    parts = urlsplit(address)
    if parts.scheme not in _PROTOCOLS:
        return
    try:
        with socket.create_connection((parts.hostname, parts.port), _PROBE_SECONDS) as there:
            if parts.scheme == "tcp" and not there.recv(1):  # a scheduler speaks first
                raise nobody
    except (OSError, ValueError) as error:  # UnicodeError of odd host names is a ValueError
        raise nobody from error


def check_workers(client: distributed.Client, scheduler: str) -> None:
    """Refuse workers without geokd, which cannot run tasks, or with another version, whose results might differ.

    Raises
    ------
    CallError
        If there are any: all of them in one message. If there are no workers, or one does not answer.
    """

    def version_there() -> str:  # within a function, so that it is sent as code and not by the name of this module
        from importlib import import_module, metadata

        try:
            import_module("geokd")
            return metadata.version("geokd")
        except ImportError:  # PackageNotFoundError is one
            return ""

    where = f"the Dask scheduler at {scheduler!r}"
    if not client.nthreads():
        raise CallError(f"{where} has no workers; start some with `dask worker`")
    here = version("geokd")
    found: dict[str, Any] = _ask_all(client, version_there, where)
    problems = [
        f"worker {worker} of {where} has {f'geokd {there}' if there else 'no geokd'}; install geokd {here} there"
        for worker, there in sorted(found.items())
        if there != here
    ]
    if problems:
        raise CallError(one_message(problems))


def _ask_all(client: distributed.Client, question: Callable[[], str], where: str) -> dict[str, str]:
    """Run a function on all workers, alongside their tasks.

    Raises
    ------
    CallError
        If one does not answer.
    """
    workers: list[str | None] = [None]
    for _ in range(2):
        for worker in workers:
            try:
                found: dict[str, str] = client.run(
                    question, workers=worker and [worker], callback_timeout=_CONNECT_SECONDS if worker is None else 2
                )
            except (OSError, TimeoutError) as error:
                if worker is not None:
                    raise CallError(
                        f"worker {worker} of {where} does not answer; stop it, or start it again"
                    ) from error
            else:
                if worker is None:
                    return found
        workers = [*client.nthreads()]
    raise CallError(f"the workers of {where} take too long to answer; try again when they are less busy")
