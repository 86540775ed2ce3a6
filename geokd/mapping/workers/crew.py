"""The workers to use, and their answers."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

from geokd.errors import GeokdError

T = TypeVar("T")
R = TypeVar("R")

Engine = Literal["threads", "processes"]


@dataclass(frozen=True)
class Crew:
    """The workers to use.

    Parameters
    ----------
    workers : int
        Threads or processes; not used with `scheduler`.
    engine : {"threads", "processes"}
        Processes are spawned: a script that uses them needs `if __name__ == "__main__":`.
    scheduler : str or None
        Address ("tcp://host:8786") or scheduler file of a running Dask cluster, whose workers see the same files.
    dashboard : bool
        Show the Dask dashboard, and print its address.
    """

    workers: int
    engine: Engine = "threads"
    scheduler: str | None = None
    dashboard: bool = False

    @property
    def in_this_process(self) -> bool:
        """Whether the workers are threads of this process."""
        return self.scheduler is None and self.engine == "threads"


@dataclass(frozen=True)
class Answer(Generic[R]):
    """The answer to a task: its result, or an error of geokd.

    Parameters
    ----------
    value : R or None
    error : GeokdError or None
    worker : str
        Address of the worker, if it belongs to a cluster.
    """

    value: R | None
    error: GeokdError | None = None
    worker: str = ""

    def result(self) -> R:
        """Return the result.

        Raises
        ------
        GeokdError
            The error, if there is one.
        """
        if self.error is not None:
            raise self.error
        return self.value  # type: ignore[return-value]  # None may be a result


def answer(function: Callable[[T], R], task: T, worker: str = "") -> Answer[R]:
    """Call a function; an error of geokd becomes part of the answer, others are raised."""
    try:
        return Answer(function(task), None, worker)
    except GeokdError as error:
        return Answer(None, error, worker)
