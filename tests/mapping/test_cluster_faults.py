"""Whatever goes wrong with a Dask cluster: one sentence, soon; what is done is kept, and the map is the same."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import distributed
import pytest

import geokd
from geokd.errors import CallError, SceneError
from geokd.mapping.options import ClassifyOptions
from geokd.mapping.workers.crew import Crew
from geokd.mapping.workers.parallel import run_tasks
from tests.tiny import three_fields, write_scene

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")

LIMIT_S = 40
INTERRUPTED_S = 15
BLOCKS = ClassifyOptions(stride_px=2)


class ClusterOfProcesses:
    """A scheduler and its workers, each a process of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.file = folder, folder / "scheduler.json"
        self.processes: list[subprocess.Popen[bytes]] = []
        self.scheduler = self._start("scheduler", "--port", "0", "--host", "127.0.0.1")

    def add_worker(self, *more: str) -> subprocess.Popen[bytes]:
        """Start a worker, and wait until the scheduler knows it."""
        before = self.log.count("Registered to")
        worker = self._start("worker", "--no-nanny", "--nthreads", "1", "--host", "127.0.0.1", *more)
        deadline = time.monotonic() + 60
        while self.log.count("Registered to") == before:
            assert time.monotonic() < deadline, self.log
            time.sleep(0.1)
        return worker

    @property
    def log(self) -> str:
        """What all have said."""
        return (self.folder / "log").read_text()

    def _start(self, *command: str) -> subprocess.Popen[bytes]:
        with (self.folder / "log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "dask", *command, "--scheduler-file", str(self.file), "--no-dashboard"],
                stdout=log,
                stderr=log,
                cwd=Path.cwd(),
            )
        self.processes.append(process)
        return process


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[ClusterOfProcesses]:
    (tmp_path / "cluster").mkdir()
    running = ClusterOfProcesses(tmp_path / "cluster")
    yield running
    for process in running.processes:
        process.kill()
        process.wait()


def start_map(scene: Path, model: Path, out: Path, cluster: ClusterOfProcesses) -> subprocess.Popen[str]:
    """Start the command, and wait until some blocks are done."""
    command = ["classify", scene, "-m", model, "-o", out, "-q", "--stride", "2", "--scheduler", cluster.file]
    running = subprocess.Popen(
        [sys.executable, "-m", "geokd", *map(str, command)], stderr=subprocess.PIPE, text=True, cwd=Path.cwd()
    )
    journal = out / ".fields.geokd-journal"
    while not (journal.exists() and journal.stat().st_size > 5000):
        assert running.poll() is None, running.communicate()
        time.sleep(0.01)
    return running


def rasters(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*.tif")}


def check_sentence_and_resume(
    running: subprocess.Popen[str], words: str, scene: Path, model: Path, out: Path, whole: Path
) -> None:
    """The command ends soon, with one sentence; continued without the cluster, it gives the same map."""
    _, talk = running.communicate(timeout=LIMIT_S)
    assert running.returncode == 1
    assert words in talk
    assert talk.startswith("Error: the Dask cluster at ")
    assert talk.endswith("blocks are kept; continue with --resume\n")
    assert talk.count("\n") == 1
    geokd.classify(scene, model, out, ClassifyOptions(stride_px=2, resume=True))
    geokd.classify(scene, model, whole, BLOCKS)
    assert rasters(out) == rasters(whole)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("scheduler killed", "was lost: "),
        ("worker killed", "all its workers are gone, the last tcp://127.0.0.1:"),
        ("worker stopped", "was lost: its worker tcp://127.0.0.1:"),
    ],
)
def test_a_lost_cluster(fault: str, words: str, cluster: ClusterOfProcesses, model: Path, tmp_path: Path) -> None:
    scene = write_scene(tmp_path / "fields.tif", three_fields(2400, 2400), photometric="RGB")
    worker = cluster.add_worker()
    running = start_map(scene, model, tmp_path / "out", cluster)
    victim = cluster.scheduler if fault.startswith("scheduler") else worker
    os.kill(victim.pid, signal.SIGSTOP if fault.endswith("stopped") else signal.SIGKILL)
    try:
        check_sentence_and_resume(running, words, scene, model, tmp_path / "out", tmp_path / "whole")
    finally:
        running.kill()


@pytest.mark.slow
def test_interrupts_leave_the_cluster_to_others(cluster: ClusterOfProcesses, model: Path, tmp_path: Path) -> None:
    """Ctrl-C once, twice or three times ends the command, not the cluster, whose workers soon have nothing to do."""
    scene = write_scene(tmp_path / "fields.tif", three_fields(1400, 1400), photometric="RGB")
    geokd.classify(scene, model, tmp_path / "whole", BLOCKS)
    workers = [cluster.add_worker() for _ in range(2)]
    for times in (1, 2, 3):
        out = tmp_path / f"out{times}"
        running = start_map(scene, model, out, cluster)
        for _ in range(times):
            running.send_signal(signal.SIGINT)
            time.sleep(0.2)
        _, talk = running.communicate(timeout=INTERRUPTED_S)
        assert running.returncode == 130
        assert "Finished parts of " in talk
        assert talk.endswith("Interrupted.\n")
        assert "Traceback" not in talk
        assert (out / ".fields.geokd-journal").stat().st_size > 5000
        with distributed.Client(scheduler_file=str(cluster.file), set_as_default=False) as client:
            wait_until(lambda client=client: not any(client.processing().values()) and not client.who_has())  # type: ignore[misc]
        answers = [answer.result() for _, answer in run_tasks(see, [scene] * 4, Crew(1, scheduler=str(cluster.file)))]
        assert answers == ["fields.tif"] * 4
        result = geokd.classify(scene, model, out, ClassifyOptions(stride_px=2, resume=True))
        assert result.manifest.run is not None
        assert result.manifest.run.resumed_blocks > 0
        assert rasters(out) == rasters(tmp_path / "whole")
    assert all(process.poll() is None for process in (cluster.scheduler, *workers))


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def see(path: Path) -> str:
    """What a worker does in these tests: read a file."""
    blind = os.environ.get("GEOKD_TEST_BLIND")
    if blind or not path.is_file():
        raise SceneError(f"cannot read {path}: No such file or directory")
    return path.name


@pytest.mark.slow
def test_a_worker_that_does_not_see_the_scene(
    cluster: ClusterOfProcesses, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "scene.tif"
    file.touch()
    crew, told = Crew(1, scheduler=str(cluster.file)), []

    def progress(message: str, *, done: int = 0, total: int = 0) -> None:
        told.append(message)

    monkeypatch.setenv("GEOKD_TEST_BLIND", "1")
    cluster.add_worker()
    ((_, answer),) = run_tasks(see, [file], crew)
    with pytest.raises(SceneError, match=r"cannot read .* \(worker tcp://127\.0\.0\.1:\d+\)$"):
        answer.result()
    monkeypatch.delenv("GEOKD_TEST_BLIND")
    cluster.add_worker()
    answers = [answer.result() for _, answer in run_tasks(see, [file] * 20, crew, progress)]
    assert answers == ["scene.tif"] * 20
    (warning,) = told
    assert warning.startswith("Warning: worker tcp://127.0.0.1:")
    assert "is no longer used: cannot read" in warning


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "is not a scheduler file of Dask"),
        ("[]", "is not a scheduler file of Dask"),
        ('{"address": 5}', "is not a scheduler file of Dask"),
        ('{"address": "nonsense"}', "is not a scheduler file of Dask"),
        ('{"address": "tcp://127.0.0.1:9"}', "no Dask scheduler answers at"),
    ],
)
def test_bad_scheduler_files(content: str, words: str, tmp_path: Path) -> None:
    file = tmp_path / "scheduler.json"
    file.write_text(content)
    with pytest.raises(CallError, match=words):
        list(run_tasks(see, [file], Crew(1, scheduler=str(file))))


@pytest.mark.parametrize(
    "address", ["nonsense", "scheduler.json", "tcp://", "tcp://:9", "tcp://a:b", "http://a:80", ""]
)
def test_bad_addresses(address: str, tmp_path: Path) -> None:
    with pytest.raises(CallError, match=r"is neither a file nor an address; give a scheduler file, or an address"):
        list(run_tasks(see, [tmp_path], Crew(1, scheduler=address)))


@pytest.mark.slow
def test_a_port_at_which_something_else_listens(tmp_path: Path) -> None:
    began = time.monotonic()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"tcp://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(CallError, match=r"no Dask scheduler answers at 'tcp://127\.0\.0\.1:\d+'; start one"):
            list(run_tasks(see, [tmp_path], Crew(1, scheduler=address)))
    assert time.monotonic() - began < LIMIT_S
