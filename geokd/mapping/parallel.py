"""Spreading a function over tasks: the only module that knows Dask.

By default threads of this process do the work, without `distributed`, whose import alone takes longer than a small map.
"""

import signal
from collections.abc import Callable, Iterable
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Literal, TypeVar

from geokd.errors import CallError, GeokdError

T = TypeVar("T")
R = TypeVar("R")

Engine = Literal["threads", "processes"]

_CONNECT_SECONDS = 15
_TASKS_AHEAD = 2  # tasks a thread of a cluster is given at a time


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
    """Return how many cores this process may use, by affinity and by the limit of its container."""
    from dask.system import CPU_COUNT

    return int(CPU_COUNT)


def run_tasks(function: Callable[[T], R], tasks: list[T], crew: Crew, on_result: Callable[[R], None]) -> None:
    """Call `function` on each of `tasks` and hand each result to `on_result`, here and in whatever order they finish.

    Only a few tasks a worker are under way at any time. When a task fails or the user interrupts, no
    further one is begun.

    Parameters
    ----------
    function : callable
        Importable by name on workers.
    tasks : list
        Picklable values.
    crew : Crew
    on_result : callable

    Raises
    ------
    Exception
        What a task raised, as it was.
    CallError
        If the cluster does not answer or has no workers.
    GeokdError
        If a worker died.
    """
    if crew.scheduler is not None:
        _run_on_cluster(function, tasks, crew.scheduler, on_result)
    elif crew.engine == "processes":
        with ProcessPoolExecutor(crew.workers, get_context("spawn"), _ignore_interrupt) as pool:
            _run_in_pool(function, tasks, pool, on_result)
    else:
        with ThreadPoolExecutor(crew.workers) as pool:
            _run_in_pool(function, tasks, pool, on_result)


def _run_in_pool(
    function: Callable[[T], R], tasks: Iterable[T], pool: Executor, on_result: Callable[[R], None]
) -> None:
    import dask.multiprocessing
    import dask.threaded
    from dask.callbacks import Callback

    def finished(_key: str, result: R, *_: Any) -> None:
        on_result(result)

    # a task without arguments: Dask would take strings and tuples among arguments for keys and tasks
    graph = {f"task-{i}": (partial(function, task),) for i, task in enumerate(tasks)}
    try:
        with Callback(posttask=finished):
            if isinstance(pool, ProcessPoolExecutor):
                dask.multiprocessing.get(graph, list(graph), pool=pool, optimize_graph=False, chunksize=1)
            else:
                dask.threaded.get(graph, list(graph), pool=pool)
    except BrokenProcessPool as error:
        raise GeokdError("a worker process died, perhaps for want of memory; try fewer --workers") from error


def _run_on_cluster(
    function: Callable[[T], R], tasks: Iterable[T], scheduler: str, on_result: Callable[[R], None]
) -> None:
    from distributed import Client, KilledWorker, as_completed

    where = {"scheduler_file": scheduler} if Path(scheduler).is_file() else {"address": scheduler}
    try:
        client = Client(**where, timeout=_CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError, TimeoutError) as error:
        raise CallError(f"no Dask scheduler answers at {scheduler!r}; start one by `dask scheduler`") from error
    with client:
        threads = sum(client.nthreads().values())
        if threads == 0:
            raise CallError(f"the Dask scheduler at {scheduler!r} has no workers; start some by `dask worker`")
        waiting = iter(tasks)
        submit = partial(client.submit, function, pure=False)
        under_way = as_completed([submit(task) for task in islice(waiting, _TASKS_AHEAD * threads)], loop=client.loop)
        try:
            for future in under_way:
                on_result(future.result())
                future.release()
                for task in islice(waiting, 1):
                    under_way.add(submit(task))
        except KilledWorker as error:
            raise GeokdError("workers of the Dask cluster died again and again; look into their logs") from error


def _ignore_interrupt() -> None:
    """Leave Ctrl-C, which the terminal sends to all processes, to the one that started the others."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
