"""Opening a Dask cluster, submitting tasks and monitoring it.

Its failures become errors of one sentence that names the workers.
"""

import os
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from typing import Any, TypeVar

from geokd.errors import CallError, GeokdError, named
from geokd.mapping.workers.crew import Answer, Crew, answer
from geokd.mapping.workers.local_cluster import close, start_cluster
from geokd.mapping.workers.quiet_dask import distributed
from geokd.mapping.workers.running_cluster import check_workers, connect

T = TypeVar("T")
R = TypeVar("R")

SILENT_SECONDS = 15.0
"""Time without an answer after which a worker, or the scheduler, is considered lost."""

_ANSWER_SECONDS = 5.0


class Cluster:
    """A cluster that is open.

    Parameters
    ----------
    client : distributed.Client
    name : str
        For messages.
    crew : Crew
    """

    def __init__(self, client: distributed.Client, name: str, crew: Crew) -> None:
        self._client, self._name, self._crew = client, name, crew
        self._heard = time.monotonic()  # from the scheduler, with at least one worker
        self._workers: dict[str, _Heard] = {}
        self._number = 0
        self._deserted = False
        self.threads = crew.workers
        if not crew.in_this_process:
            self._hear()

    @property
    def dashboard(self) -> str:
        """Address of the Dask dashboard."""
        local = self._client.cluster
        if local is None:
            return str(self._client.dashboard_link)
        return f"http://127.0.0.1:{local.scheduler.http_server.port}/status"

    def submit(self, function: Callable[[T], R], task: T, avoided: Collection[str]) -> Any:
        """Submit a task to the workers, but not to those that are `avoided` or silent if there are others."""
        self._number += 1
        key = f"geokd-{os.getpid()}-{self._number}"
        chosen: list[str] | None = None
        silent = {worker for worker, heard in self._workers.items() if heard.is_silent}
        if avoided or silent:
            chosen = self.others({*avoided, *silent}) or None
        return self._client.submit(_on_worker, function, task, key=key, pure=False, workers=chosen)

    def others(self, avoided: Collection[str]) -> list[str]:
        """Return the workers of a running cluster that are not `avoided`."""
        return [worker for worker, heard in self._workers.items() if worker not in avoided and not heard.is_silent]

    def answer_of(self, future: Any) -> "Answer[Any] | None":
        """Return the answer of a finished task, or None if it is not finished.

        Raises
        ------
        GeokdError
            If it killed its workers, or the scheduler is lost.
        """
        if future.status == "cancelled":
            raise self._lost("the connection to it broke")
        try:
            got: Answer[Any] = future.result(timeout=_ANSWER_SECONDS)
        except distributed.KilledWorker as error:
            fewer = "fewer workers" if self._crew.scheduler else "fewer --workers"
            raise GeokdError(
                f"workers died repeatedly, the last {error.last_worker.address}, perhaps for lack of memory; try"
                f" {fewer}"
            ) from error
        except (distributed.client.FutureCancelledError, distributed.comm.CommClosedError) as error:
            raise self._lost("the connection to it broke") from error
        except TimeoutError:
            if future.status == "error":
                raise
            return None
        return got if self._crew.scheduler is not None else Answer(got.value, got.error)

    def stuck(self, futures: Iterable[Any]) -> list[Any]:
        """Check the workers; return the futures whose task is on a silent one, if there are others.

        Raises
        ------
        GeokdError
            If the scheduler, or all workers, have been silent for :data:`SILENT_SECONDS`.
        """
        if self._crew.in_this_process:
            return []
        self._hear()
        silent = [worker for worker, heard in self._workers.items() if heard.is_silent]
        if time.monotonic() - self._heard > SILENT_SECONDS:
            raise self._lost(self._what_is_missing(silent))
        if not silent or not self.others(silent):
            return []
        with suppress(OSError, TimeoutError):
            held = self._ask(self._client.scheduler.processing, workers=silent)
            stored = self._ask(self._client.scheduler.has_what, workers=silent)
            keys = {key for found in (held, stored) for worker in silent for key in found.get(worker, ())}
            return [future for future in futures if future.key in keys]
        return []

    def _what_is_missing(self, silent: list[str]) -> str:
        if silent and not self._deserted:
            verb = "does" if len(silent) == 1 else "do"
            return f"its worker{'s' * (len(silent) > 1)} {named(silent, 3)} {verb} not answer"
        gone = list(self._workers)
        return f"all its workers are gone{', the last ' + gone[-1] if gone else ''}"

    def _lost(self, why: str) -> GeokdError:
        return GeokdError(f"{self._name} was lost: {why}")

    def _hear(self) -> None:
        """Ask the scheduler for its workers, and when each last sent a heartbeat."""
        try:
            found = self._ask(self._client.scheduler.identity, n_workers=-1)["workers"]
        except (OSError, TimeoutError):
            if self._client.status != "running" or time.monotonic() - self._heard > SILENT_SECONDS:
                raise self._lost("its scheduler does not answer") from None
            return
        self._deserted = not found
        if found:
            known = self._workers
            self._workers = {
                worker: known[worker].again(info["last_seen"]) if worker in known else _Heard(info["last_seen"])
                for worker, info in found.items()
            }
            self.threads = max(1, sum(info["nthreads"] for info in found.values()))
            if not all(heard.is_silent for heard in self._workers.values()):
                self._heard = time.monotonic()

    def _ask(self, question: Callable[..., Any], **details: Any) -> Any:
        return self._client.sync(question, callback_timeout=_ANSWER_SECONDS, **details)


class _Heard:
    """Time of a worker's last heartbeat, by the scheduler's clock, which is only compared with itself, and by ours."""

    def __init__(self, seen: float) -> None:
        self._seen, self._at = seen, time.monotonic()

    def again(self, seen: float) -> "_Heard":
        return _Heard(seen) if seen != self._seen else self

    @property
    def is_silent(self) -> bool:
        return time.monotonic() - self._at > SILENT_SECONDS


def _on_worker(function: Callable[[T], R], task: T) -> Answer[R]:
    return answer(function, task, distributed.get_worker().address)


@contextmanager
def open_cluster(crew: Crew) -> Iterator[Cluster]:
    """Start a cluster on this machine, or connect to a running one, and check that it is usable.

    Raises
    ------
    CallError
        If a running cluster does not answer, has no workers, or some without this version of geokd; if the dashboard is
        requested and its library is missing.
    GeokdError
        If processes cannot be started.
    """
    if crew.dashboard and crew.scheduler is None and find_spec("bokeh") is None:
        raise CallError("--dashboard needs bokeh; install it with pip install 'dask[diagnostics]'")
    if crew.scheduler is not None:
        client = connect(crew.scheduler)
        try:
            check_workers(client, crew.scheduler)
            yield Cluster(client, f"the Dask cluster at {crew.scheduler!r}", crew)
        finally:
            close(client)
        return
    with start_cluster(crew) as local:
        client = distributed.Client(local, set_as_default=False, direct_to_workers=True)
        try:
            yield Cluster(client, "the Dask cluster of this process", crew)
        finally:
            close(client)
