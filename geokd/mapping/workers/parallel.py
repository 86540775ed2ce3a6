"""Calling a function on many tasks: in place at first, then with Dask if enough of them are left.

All ways share one loop: tasks are submitted to a cluster as its workers become free, and results are taken as they
come. The cluster is one in this process, one of processes on this machine, or one that runs already:
:mod:`geokd.mapping.workers.cluster` opens it. Importing Dask takes longer than mapping a small scene, so work begins in
place, and continues there while Dask is imported.
"""

import math
import sys
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass, field
from importlib import import_module
from itertools import chain, islice
from queue import Empty, SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from geokd.errors import GeokdError, named
from geokd.mapping.workers.crew import Answer, Crew, answer
from geokd.system.progress import Progress, silent

if TYPE_CHECKING:
    from geokd.mapping.workers.cluster import Cluster

T = TypeVar("T")
R = TypeVar("R")

TASKS_AHEAD = 2
"""Tasks that each worker is given at a time."""

_CLUSTER = "geokd.mapping.workers.cluster"
_WORTH_SECONDS = 3.0  # of work left for one thread, above which Dask saves time: it takes up to 1 s to start
_LEAST_SECONDS = 1e-3  # assumed minimum duration of a task, so that few are taken ahead
_LOOK_SECONDS = 2.0  # between two checks of the workers
_TRIES = 3  # workers on which a task may fail


def run_tasks(
    function: Callable[[T], R], tasks: Iterable[T], crew: Crew, progress: Progress = silent
) -> Generator[tuple[T, Answer[R]], None, None]:
    """Call `function` on each of `tasks`; yield each task with its answer, in the order in which they finish.

    Tasks are taken only as workers become free, :data:`TASKS_AHEAD` for each, so there may be any number of them;
    before Dask is started, a few seconds' work of them is taken ahead, to see whether it is worth starting. Tasks of a
    worker that died are run again; a task that failed on a worker of a running cluster is tried on others. When the
    generator is closed, no further task is started.

    Parameters
    ----------
    function : callable
        Importable by name on workers.
    tasks : iterable
        Picklable values.
    crew : Crew
    progress : Progress
        Receives the dashboard's address, and which workers are no longer used.

    Raises
    ------
    CallError
        If the cluster does not answer, has no workers, or some without this version of geokd.
    GeokdError
        If workers died repeatedly, or the cluster was lost.
    """
    waiting = iter(tasks)
    if crew.in_this_process and not crew.dashboard:
        waiting = yield from _in_place(function, waiting, crew)
    try:
        first = next(waiting)
    except StopIteration:
        return
    from geokd.mapping.workers.cluster import open_cluster

    with open_cluster(crew) as cluster:
        if crew.dashboard:
            progress(f"Dask's dashboard: {cluster.dashboard}")
        yield from _Loop(function, _after(first, waiting), cluster, progress).answers()


def _in_place(
    function: Callable[[T], R], tasks: Iterator[T], crew: Crew
) -> Generator[tuple[T, Answer[R]], None, Iterator[T]]:
    """Do tasks one by one; return the rest, none if Dask would not be faster."""
    ahead: deque[T] = deque()
    loading: Thread | None = None
    began = time.monotonic()
    for done, task in enumerate(_taken(ahead, tasks), 1):
        yield task, answer(function, task)
        if loading is not None:
            if not loading.is_alive():
                break
        elif crew.workers > 1:
            worth = math.ceil(_WORTH_SECONDS / max((time.monotonic() - began) / done, _LEAST_SECONDS))
            ahead.extend(islice(tasks, max(0, worth - len(ahead))))
            if len(ahead) >= worth:
                if _CLUSTER in sys.modules:
                    break
                loading = Thread(target=import_module, args=(_CLUSTER,))
                loading.start()
    return chain(ahead, tasks)


def _taken(ahead: deque[T], others: Iterator[T]) -> Iterator[T]:
    """Yield first the tasks taken ahead."""
    while True:
        if ahead:
            yield ahead.popleft()
        else:
            try:
                yield next(others)
            except StopIteration:
                return


def _after(first: T, others: Iterator[T]) -> Iterator[T]:
    yield first
    for task in others:  # noqa: UP028  not `yield from`, which would close them with this
        yield task


@dataclass
class _Sent(Generic[T]):
    """A submitted task, and the errors of workers on which it failed."""

    task: T
    failed: dict[str, GeokdError] = field(default_factory=dict)


class _Loop(Generic[T, R]):
    """Keeps a cluster's workers busy and collects their answers."""

    def __init__(self, function: Callable[[T], R], tasks: Iterator[T], cluster: "Cluster", progress: Progress) -> None:
        self._function, self._tasks, self._cluster, self._progress = function, tasks, cluster, progress
        self._under_way: dict[Any, _Sent[T]] = {}
        self._finished: SimpleQueue[Any] = SimpleQueue()
        self._shunned: set[str] = set()
        self._looked = time.monotonic()

    def answers(self) -> Generator[tuple[T, Answer[R]], None, None]:
        """Yield tasks with their answers until all are done."""
        more = True
        while True:
            while more and len(self._under_way) < TASKS_AHEAD * self._cluster.threads:
                for task in self._tasks:
                    self._send(_Sent(task))
                    break
                else:
                    more = False
            if not self._under_way:
                return
            try:
                future = self._finished.get(timeout=_LOOK_SECONDS)
            except Empty:
                future = None
            if future in self._under_way:
                yield from self._take(future)
            if time.monotonic() - self._looked > _LOOK_SECONDS:
                self._look()

    def _send(self, sent: _Sent[T]) -> None:
        future = self._cluster.submit(self._function, sent.task, self._shunned | sent.failed.keys())
        self._under_way[future] = sent
        future.add_done_callback(self._finished.put)

    def _take(self, future: Any) -> Iterator[tuple[T, Answer[R]]]:
        """Yield the answer of a future; if the task failed and may succeed on another worker, submit it again."""
        got: Answer[R] | None = self._cluster.answer_of(future)
        if got is None:  # its worker was lost meanwhile, or is slow to return it
            self._finished.put(future)
            return
        sent = self._under_way.pop(future)
        if got.error is None:
            for worker, error in sent.failed.items():
                if worker not in self._shunned:
                    self._shunned.add(worker)
                    self._progress(f"Warning: worker {worker} is no longer used: {error}; another worker succeeded")
            yield sent.task, got
            return
        if got.worker:
            sent.failed[got.worker] = got.error
        if got.worker and len(sent.failed) < _TRIES and self._cluster.others(sent.failed.keys() | self._shunned):
            self._send(sent)
            return
        yield sent.task, Answer(None, _of_workers(got.error, list(sent.failed)))

    def _look(self) -> None:
        """Check the workers: tasks of silent ones are sent to others."""
        for future in self._cluster.stuck(self._under_way):
            sent = self._under_way.pop(future)
            future.cancel()
            self._send(sent)
        self._looked = time.monotonic()


def _of_workers(error: GeokdError, workers: list[str]) -> GeokdError:
    """Name the workers that failed, so that a worker without access to a file can be found."""
    if not workers:
        return error
    return type(error)(f"{error} (worker{'s' * (len(workers) > 1)} {named(workers, _TRIES)})")
