"""Spreading a function over tasks: the only module that knows Dask.

Threads of this process by default, or its own processes, or a running Dask cluster: all three are used as executors,
and one loop keeps each of them full.
"""

import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from itertools import islice
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar

from geokd.errors import CallError, GeokdError, one_message

if TYPE_CHECKING:
    from distributed import Client

T = TypeVar("T")
R = TypeVar("R")

Engine = Literal["threads", "processes"]

TASKS_AHEAD = 2
"""Tasks that each worker is given at a time."""

_CONNECT_SECONDS = 15
_DEATHS = 3  # of worker processes, after which it is no accident


@dataclass(frozen=True)
class Crew:
    """Who does the work.

    Parameters
    ----------
    workers : int
        Threads or processes; not used with `scheduler`.
    engine : {"threads", "processes"}
        Processes are spawned: a script that asks for them needs `if __name__ == "__main__":`.
    scheduler : str or None
        Address ("tcp://host:8786") or scheduler file of a running Dask cluster, whose workers see the same files.
    """

    workers: int
    engine: Engine = "threads"
    scheduler: str | None = None


def available_cores() -> int:
    """Return how many cores this process may use, by affinity and by the limit of its container (cgroup)."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    for quota, period in _cgroup_limits():
        if quota > 0 and period > 0:
            cores = min(cores, max(1, round(quota / period)))
    return cores


def run_tasks(function: Callable[[T], R], tasks: Iterable[T], crew: Crew) -> Generator[tuple[T, Future[R]], None, None]:
    """Call `function` on each of `tasks`; yield each task with its finished future, in whatever order they finish.

    Tasks are taken only as workers come free, :data:`TASKS_AHEAD` for each, so there may be any number of them. Tasks
    of a worker that died are run again. When the generator is closed, no further task is begun.

    Parameters
    ----------
    function : callable
        Importable by name on workers.
    tasks : iterable
        Picklable values.
    crew : Crew

    Raises
    ------
    CallError
        If the cluster does not answer, has no workers, or some without this version of geokd.
    GeokdError
        If workers died again and again.
    """
    waiting = iter(tasks)
    again: deque[T] = deque()
    for _attempt in range(_DEATHS):
        with _executor(crew) as (executor, workers, lost):
            under_way: dict[Future[R], T] = {}
            queue = _queue(again, waiting)
            try:
                while True:
                    for task in islice(queue, TASKS_AHEAD * workers - len(under_way)):
                        under_way[executor.submit(function, task)] = task
                    if not under_way:
                        return
                    finished, _ = wait(under_way, return_when=FIRST_COMPLETED)
                    for future in finished:
                        if isinstance(future.exception(), lost):
                            raise _WorkerLostError
                        yield under_way.pop(future), future
            except (_WorkerLostError, BrokenProcessPool):  # a broken pool may also refuse a task
                again.extend(under_way.values())
            finally:
                for future in under_way:
                    future.cancel()
    raise GeokdError("workers died again and again, perhaps for want of memory; try fewer --workers")


def _queue(again: deque[T], waiting: Iterator[T]) -> Iterator[T]:
    while again:
        yield again.popleft()
    for task in waiting:  # noqa: UP028  not `yield from`, which would close them with this
        yield task


class _WorkerLostError(Exception):
    """A worker died, and with it what it was at."""


_Hands = tuple[Executor, int, tuple[type[BaseException], ...]]


@contextmanager
def _executor(crew: Crew) -> Iterator[_Hands]:
    """Open an executor; yield it, how many tasks it runs at a time, and what tasks of a lost worker raise."""
    if crew.scheduler is not None:
        with _cluster(crew.scheduler) as hands:
            yield hands
    elif crew.engine == "processes":
        with ProcessPoolExecutor(crew.workers, get_context("spawn"), _begin_worker) as pool:
            yield pool, crew.workers, (BrokenProcessPool,)
    else:
        with ThreadPoolExecutor(crew.workers) as threads:
            yield threads, crew.workers, ()


@contextmanager
def _cluster(scheduler: str) -> Iterator[_Hands]:
    from distributed import Client, KilledWorker

    where = {"scheduler_file": scheduler} if Path(scheduler).is_file() else {"address": scheduler}
    try:
        client = Client(**where, timeout=_CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError, TimeoutError) as error:
        raise CallError(f"no Dask scheduler answers at {scheduler!r}; start one by `dask scheduler`") from error
    with client:
        threads = sum(client.nthreads().values())
        if threads == 0:
            raise CallError(f"the Dask scheduler at {scheduler!r} has no workers; start some by `dask worker`")
        _check_workers(client, scheduler)
        yield client.get_executor(pure=False), threads, (KilledWorker,)


def _check_workers(client: "Client", scheduler: str) -> None:
    """Refuse workers without geokd, which could not run tasks, or of another version, which might run them otherwise.

    Raises
    ------
    CallError
        If there are any: all of them in one message.
    """

    def version_there() -> str:  # within a function, so that it is sent as code and not by the name of this module
        from importlib import import_module, metadata

        try:
            import_module("geokd")
            return metadata.version("geokd")
        except ImportError:  # PackageNotFoundError is one
            return ""

    here = version("geokd")
    found: dict[str, str] = client.run(version_there)
    problems = [
        f"worker {address} of the Dask scheduler at {scheduler!r} has {f'geokd {there}' if there else 'no geokd'};"
        f" install geokd {here} there"
        for address, there in sorted(found.items())
        if there != here
    ]
    if problems:
        raise CallError(one_message(problems))


def _cgroup_limits() -> Iterator[tuple[int, int]]:
    """Quota and period of the container's share of processor time, of cgroups v2 and v1."""
    for files in (("cpu.max",), ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us")):
        try:
            numbers = " ".join(Path("/sys/fs/cgroup", file).read_text(encoding="ascii") for file in files).split()
            yield int(numbers[0]), int(numbers[1])
        except (OSError, ValueError, IndexError):  # no such limit
            continue


def _begin_worker() -> None:
    """Leave Ctrl-C, which the terminal sends to all processes, to the parent; and do not outlive it if it is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_die_with_parent, daemon=True).start()


def _die_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
