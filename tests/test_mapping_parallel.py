"""Every way to spread work gives every result once, and every error as it was."""

import os
import threading
from collections.abc import Iterator

import pytest

from geokd.errors import CallError, GeokdError, SceneError
from geokd.mapping.parallel import Crew, available_cores, run_tasks

TASKS = list(range(7))


def square(number: int) -> int:
    return number * number


def fail_on_three(number: int) -> int:
    if number == 3:
        raise SceneError("cannot read the scene at rows 3..4")
    return number


def die(_: int) -> int:
    os._exit(1)


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    from distributed import LocalCluster

    with LocalCluster(n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None) as running:
        yield running.scheduler_address


@pytest.fixture(params=["1 thread", "3 threads", "2 processes", "cluster"])
def crew(request: pytest.FixtureRequest) -> Crew:
    if request.param == "cluster":
        return Crew(1, scheduler=request.getfixturevalue("cluster"))
    count, kind = request.param.split()
    return Crew(int(count), "processes" if kind == "processes" else "threads")


def test_every_result_once_and_here(crew: Crew) -> None:
    results: list[int] = []
    threads = set()

    def keep(result: int) -> None:
        results.append(result)
        threads.add(threading.get_ident())

    run_tasks(square, TASKS, crew, keep)
    assert sorted(results) == [square(n) for n in TASKS]
    assert threads == {threading.get_ident()}


def test_errors_come_as_they_were(crew: Crew) -> None:
    with pytest.raises(SceneError, match=r"^cannot read the scene at rows 3\.\.4$"):
        run_tasks(fail_on_three, TASKS, crew, lambda _: None)


@pytest.mark.parametrize("task", ["task-1", ("a", "b"), [1, "task-0"], {"x": 1}])
def test_tasks_are_handed_over_untouched(task: object) -> None:
    results: list[object] = []
    run_tasks(identity, [task, task], Crew(2), results.append)
    assert results == [task, task]


def identity(task: object) -> object:
    return task


def test_no_further_task_is_begun_after_an_error() -> None:
    begun: list[int] = []

    def fail_at_once(number: int) -> None:
        begun.append(number)
        raise SceneError("first")

    with pytest.raises(SceneError):
        run_tasks(fail_at_once, list(range(100)), Crew(2), lambda _: None)
    assert len(begun) < 10


def test_a_worker_that_dies() -> None:
    with pytest.raises(GeokdError, match="a worker process died"):
        run_tasks(die, TASKS, Crew(1, "processes"), lambda _: None)


def test_no_scheduler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("geokd.mapping.parallel._CONNECT_SECONDS", 0.5)
    with pytest.raises(CallError, match=r"no Dask scheduler answers at 'tcp://127\.0\.0\.1:9'"):
        run_tasks(square, TASKS, Crew(1, scheduler="tcp://127.0.0.1:9"), lambda _: None)


def test_available_cores() -> None:
    assert 1 <= available_cores() <= (os.cpu_count() or 1)
