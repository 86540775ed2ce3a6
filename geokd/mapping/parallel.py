"""Running blocks side by side: the only module that knows Dask."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

from geokd.errors import CallError

Engine = Literal["threads", "processes"]
Task = TypeVar("Task")
Result = TypeVar("Result")

_TASKS_IN_FLIGHT_PER_WORKER = 3


@dataclass(frozen=True)
class Workers:
    """Who does the work.

    Parameters
    ----------
    count : int
        Threads or processes, at least 1; a cluster decides for itself.
    engine : {"threads", "processes"}
    scheduler : str or None
        Address or scheduler file of a running Dask cluster; goes before `engine`.

    Raises
    ------
    CallError
        If a field is out of its range.
    """

    count: int
    engine: Engine = "threads"
    scheduler: str | None = None

    def __post_init__(self) -> None:
        if self.count < 1:
            raise CallError(f"{self.count} workers cannot work; give --workers 1 or more")
        if self.engine not in get_args(Engine):
            raise CallError(f"engine {self.engine!r} is none of {', '.join(get_args(Engine))}")


def available_cores() -> int:
    """Return the number of cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_blocks(
    function: Callable[[Task], Result],
    tasks: Sequence[Task],
    workers: Workers,
    on_result: Callable[[Result], None],
) -> None:
    """Apply `function` to every task; hand each result over as it comes, in whatever order, in the calling thread's process.

    Parameters
    ----------
    function : callable
        Pure, importable by name.
    tasks : sequence
        Small and picklable.
    workers : Workers
    on_result : callable
        Called once a task, never by two threads at a time.

    Raises
    ------
    GeokdError
        What a task raised.
    CallError
        If the cluster cannot be reached.
    """
    if workers.scheduler is None and workers.engine == "threads":
        _run_in_threads(function, tasks, workers.count, on_result)
    else:
        _run_on_cluster(function, tasks, workers, on_result)


def _run_in_threads(
    function: Callable[[Task], Result], tasks: Sequence[Task], count: int, on_result: Callable[[Result], None]
) -> None:
    """Dask's threaded scheduler, without the distributed one, whose start would take longer than a small scene."""
    from dask.callbacks import Callback
    from dask.threaded import get

    def hand_over(_key: object, result: Any, *_: object) -> None:  # the scheduler calls it in its own, single loop
        on_result(result)

    graph = {("block", number): (_Call(function, task),) for number, task in enumerate(tasks)}
    with Callback(posttask=hand_over):
        get(graph, list(graph), num_workers=count)


def _run_on_cluster(
    function: Callable[[Task], Result], tasks: Sequence[Task], workers: Workers, on_result: Callable[[Result], None]
) -> None:
    """Dask's distributed scheduler: a local cluster of processes, or one that runs already; few tasks in flight."""
    from distributed import Client, LocalCluster, as_completed

    if workers.scheduler is None:
        cluster = LocalCluster(
            n_workers=workers.count, threads_per_worker=1, processes=True, dashboard_address=None, silence_logs=50
        )
        client = Client(cluster)
    else:
        cluster = None
        is_file = Path(workers.scheduler).is_file()
        try:
            client = Client(**{"scheduler_file" if is_file else "address": workers.scheduler}, timeout="10s")
        except (OSError, ValueError) as error:
            raise CallError(
                f"no Dask scheduler answers at {workers.scheduler}: {error}; start one, or leave it out"
            ) from error
    try:
        threads = max(1, sum(client.nthreads().values()))
        waiting = iter(tasks)
        first = [t for t, _ in zip(waiting, range(threads * _TASKS_IN_FLIGHT_PER_WORKER), strict=False)]
        flying = as_completed([client.submit(function, task, pure=False) for task in first])
        for future in flying:
            on_result(future.result())
            future.release()
            task = next(waiting, None)
            if task is not None:
                flying.add(client.submit(function, task, pure=False))
    finally:
        client.close()
        if cluster is not None:
            cluster.close()


class _Call:
    """A task bound to its function: Dask sees one callable without arguments and looks no further into it."""

    def __init__(self, function: Callable[[Any], Any], task: object) -> None:
        self._function, self._task = function, task

    def __call__(self) -> Any:
        return self._function(self._task)
