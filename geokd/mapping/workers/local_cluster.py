"""A Dask cluster on this machine, in threads of this process or in processes of its own."""

import logging
import os
import signal
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing import resource_tracker
from typing import Any

from geokd.errors import GeokdError
from geokd.mapping.workers.crew import Crew
from geokd.mapping.workers.quiet_dask import dask, distributed

_CLOSE_SECONDS = 3.0
_DEATHS = 3  # deaths of worker processes at a task after which it fails
_SETTINGS = {
    "distributed.scheduler.allowed-failures": _DEATHS - 1,
    "distributed.scheduler.work-stealing": False,
    "distributed.worker.profile.enabled": False,
    "distributed.admin.tick.interval": "2s",  # 20 ms by default, which takes 6 % of a core from the workers
    "distributed.admin.system-monitor.interval": "5s",
    "distributed.worker.use-file-locking": False,
    "distributed.nanny.pre-spawn-environ": {},
}
_NO_LOGS = {f"DASK_LOGGING__{name}": "critical" for name in ("DISTRIBUTED", "TORNADO", "ASYNCIO")}


@contextmanager
def start_cluster(crew: Crew) -> Iterator[distributed.LocalCluster]:
    """Start a cluster on this machine, in threads or processes, that ends with this process."""
    processes, before = crew.engine == "processes", dict(os.environ)
    os.environ.update(_NO_LOGS)
    try:
        with dask.config.set(_SETTINGS), _deaf_to_interrupts(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that a port is taken
            try:
                cluster = distributed.LocalCluster(
                    n_workers=crew.workers if processes else 1,
                    threads_per_worker=1 if processes else crew.workers,
                    processes=processes,
                    protocol="tcp://" if processes else "inproc://",
                    host="127.0.0.1" if processes else None,
                    dashboard_address=f"127.0.0.1:{8787 if crew.dashboard else 0}",
                    scheduler_kwargs={"dashboard": crew.dashboard},
                    memory_limit=0,  # blocks are sized to fit the memory
                    silence_logs=logging.CRITICAL,
                )
            except (OSError, RuntimeError, TimeoutError) as error:
                count = f"{crew.workers} worker{'s' * (crew.workers > 1)}"
                raise GeokdError(
                    f"cannot start {count} with Dask: {error or type(error).__name__}; a script that uses processes"
                    " needs if __name__ == '__main__'"
                ) from error
        try:
            if not processes:  # Dask's threads serve a page that the whole network can read
                for worker in cluster.workers.values():
                    cluster.loop.add_callback(worker.http_server.stop)
            yield cluster
        finally:
            if processes:
                _kill(cluster.workers.values())
            close(cluster)
    finally:
        for name in os.environ.keys() - before.keys():
            del os.environ[name]
        os.environ.update(before)


def _kill(nannies: Iterable[distributed.Nanny]) -> None:
    """End worker processes at once; their unfinished work is not needed."""
    for nanny in nannies:
        nanny.auto_restart = False
        if nanny.pid is not None:
            with suppress(OSError):
                os.kill(nanny.pid, signal.SIGTERM if os.name == "nt" else signal.SIGKILL)


@contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    """Handle Ctrl-C, which the terminal sends to all processes, in this one alone: those started here never get it."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    resource_tracker.ensure_running()  # which would unblock the signal when it starts
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def close(part: Any) -> None:
    """Close a client or cluster that may have failed."""
    with suppress(OSError, TimeoutError, RuntimeError):
        part.close(timeout=_CLOSE_SECONDS)
