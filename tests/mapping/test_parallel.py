"""Every way to spread work gives every result once, and every error as it was."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from importlib import import_module
from pathlib import Path

import pytest

from geokd.errors import CallError, GeokdError, SceneError
from geokd.mapping.workers import parallel
from geokd.mapping.workers.cores import available_cores
from geokd.mapping.workers.crew import Crew
from geokd.mapping.workers.parallel import TASKS_AHEAD, run_tasks

TASKS = list(range(7))
TAKEN_AHEAD = len(TASKS) + 1  # of work in place, to see whether Dask is worth starting


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


@pytest.fixture(params=["in place", "1 thread", "3 threads", "2 processes", "cluster"])
def crew(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Crew:
    if request.param == "cluster":
        return Crew(1, scheduler=request.getfixturevalue("cluster"))
    if request.param == "in place":
        monkeypatch.setattr(parallel, "_LEAST_SECONDS", parallel._WORTH_SECONDS / TAKEN_AHEAD)
        return Crew(3)
    monkeypatch.setattr(parallel, "_WORTH_SECONDS", 0)
    import_module(parallel._CLUSTER)
    count, kind = request.param.split()
    return Crew(int(count), "processes" if kind == "processes" else "threads")


def test_every_result_once(crew: Crew) -> None:
    results = [(task, future.result()) for task, future in run_tasks(square, TASKS, crew)]
    assert sorted(results) == [(n, square(n)) for n in TASKS]


def test_errors_come_as_they_were_and_others_continue(crew: Crew) -> None:
    futures = dict(run_tasks(fail_on_three, TASKS, crew))
    with pytest.raises(SceneError, match=r"^cannot read the scene at rows 3\.\.4( \(worker \S+\))?$"):
        futures.pop(3).result()
    assert {n: future.result() for n, future in futures.items()} == {n: n for n in TASKS if n != 3}


def test_tasks_are_taken_only_as_workers_come_free(crew: Crew) -> None:
    taken: list[int] = []

    def endless() -> Iterator[int]:
        while True:
            taken.append(len(taken))
            yield taken[-1]

    results = run_tasks(square, endless(), crew)
    for _ in range(10):
        next(results)
    results.close()
    assert 10 <= len(taken) <= 10 + 3 * TASKS_AHEAD + TAKEN_AHEAD


@pytest.mark.parametrize(("tasks", "with_dask"), [(5, False), (500, True)])
def test_dask_is_imported_only_where_it_saves_time(tasks: int, with_dask: bool) -> None:
    program = f"""
import sys, time
from geokd.mapping.workers.crew import Crew
from geokd.mapping.workers.parallel import run_tasks
done = [answer.result() for _, answer in run_tasks(time.sleep, [0.02] * {tasks}, Crew(8))]
print(len(done), "distributed" in sys.modules)
"""
    ran = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert ran.stdout.split() == [str(tasks), str(with_dask)]


@pytest.mark.parametrize("task", ["task-1", ("a", "b"), [1, "task-0"], {"x": 1}])
def test_tasks_are_handed_over_untouched(task: object) -> None:
    results = [future.result() for _, future in run_tasks(identity, [task, task], Crew(2))]
    assert results == [task, task]


def identity(task: object) -> object:
    return task


def test_no_further_task_is_begun_after_the_last_result_was_taken() -> None:
    begun: list[int] = []

    def fail_at_once(number: int) -> None:
        begun.append(number)
        raise SceneError("first")

    results = run_tasks(fail_at_once, range(100), Crew(2))
    next(results)
    results.close()
    assert len(begun) < 10


def die_once(marker: Path) -> int:
    if not marker.exists():
        marker.touch()
        os._exit(1)
    return os.getpid()


def test_tasks_of_a_worker_that_died_are_run_again(tmp_path: Path) -> None:
    markers = [tmp_path / "a", *[tmp_path] * 5]  # the folder is there: those tasks live
    results = list(run_tasks(die_once, markers, Crew(2, "processes")))
    assert sorted(task for task, _ in results) == sorted(markers)
    assert all(future.result() != os.getpid() for _, future in results)


def test_workers_that_die_again_and_again() -> None:
    with pytest.raises(GeokdError, match="workers died repeatedly"):
        list(run_tasks(die, TASKS, Crew(1, "processes")))


def test_workers_without_geokd_are_refused(tmp_path: Path) -> None:
    """A real scheduler, and a real worker in which geokd cannot be imported."""
    (tmp_path / "without.py").write_text('import sys\nsys.modules["geokd"] = None\n')
    file = tmp_path / "scheduler.json"
    dask = [sys.executable, "-m", "dask"]
    start = partial(subprocess.Popen[bytes], cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    options = ["--scheduler-file", str(file), "--no-dashboard"]
    with (
        start([*dask, "scheduler", *options, "--port", "0"]) as scheduler,
        start([*dask, "worker", *options, "--no-nanny", "--preload", "without.py"]) as worker,
    ):
        try:
            with pytest.raises(CallError, match=r"^worker tcp://\S+ of the Dask scheduler at .* has no geokd; install"):
                until_there_are_workers(lambda: list(run_tasks(square, TASKS, Crew(1, scheduler=str(file)))), file)
        finally:
            worker.kill()
            scheduler.kill()


def until_there_are_workers(call: Callable[[], object], file: Path, seconds: float = 60) -> None:
    """Call again and again while the cluster is still starting."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if file.is_file():
                call()
                return
        except CallError as error:
            if "has no workers" not in str(error):
                raise
        time.sleep(0.2)


def test_no_scheduler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("geokd.mapping.workers.running_cluster._PROBE_SECONDS", 0.5)
    with pytest.raises(CallError, match=r"no Dask scheduler answers at 'tcp://127\.0\.0\.1:9'"):
        list(run_tasks(square, TASKS, Crew(1, scheduler="tcp://127.0.0.1:9")))


def test_available_cores() -> None:
    assert 1 <= available_cores() <= (os.cpu_count() or 1)
