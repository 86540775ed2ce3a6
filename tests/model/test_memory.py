"""The bound on the memory of foreign code."""

import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import psutil
import pytest

from geokd.model.memory import bounded_growth, fair_share_bytes, give_back_freed

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux holds a process to a bound")
MIB = 2**20


def test_growth_beyond_the_bound_is_refused_and_smaller_growth_is_not() -> None:
    with bounded_growth(256 * MIB):
        kept = np.empty(32 * MIB, np.uint8)
        with pytest.raises(MemoryError):
            np.empty(512 * MIB, np.uint8)
    assert len(kept) == 32 * MIB


def test_the_bound_ends_also_after_an_error() -> None:
    import resource

    before = resource.getrlimit(resource.RLIMIT_AS)
    with pytest.raises(ZeroDivisionError), bounded_growth(256 * MIB):
        raise ZeroDivisionError
    assert resource.getrlimit(resource.RLIMIT_AS) == before
    assert len(np.empty(512 * MIB, np.uint8)) == 512 * MIB


def test_threads_that_set_it_at_once_leave_none_behind() -> None:
    import resource

    before = resource.getrlimit(resource.RLIMIT_AS)

    def some_times() -> None:
        for _ in range(20):
            with bounded_growth(512 * MIB):
                pass

    threads = [threading.Thread(target=some_times) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert resource.getrlimit(resource.RLIMIT_AS) == before


@pytest.mark.parametrize(
    ("available_gib", "container_gib", "share_gib"),
    [(8, None, 4), (8, 4, 2), (8, 64, 4), (0.5, None, 1), (8, 0.25, 1)],
)
def test_the_share_is_half_of_the_least_of_all_limits(
    monkeypatch: pytest.MonkeyPatch, available_gib: float, container_gib: float | None, share_gib: float
) -> None:
    files = {
        "/sys/fs/cgroup/memory.max": "max\n" if container_gib is None else f"{int(container_gib * 2**30)}\n",
    }

    def read_text(path: Path, encoding: str) -> str:
        if str(path) not in files:
            raise FileNotFoundError(path)
        return files[str(path)].encode().decode(encoding)

    monkeypatch.setattr(Path, "read_text", read_text)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=int(available_gib * 2**30)))
    assert fair_share_bytes() == share_gib * 2**30


def test_the_share_of_a_process_that_is_held_to_less() -> None:
    held_to = 5 * 2**30
    code = (
        "import resource; from geokd.model.memory import fair_share_bytes;"
        f"resource.setrlimit(resource.RLIMIT_AS, ({held_to}, {held_to})); print(fair_share_bytes())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 2**30 <= int(done.stdout) < held_to // 2


def test_freed_memory_is_given_back() -> None:
    def resident() -> int:
        return int(psutil.Process().memory_info().rss)

    pieces = [bytes(range(100)) * 100 for _ in range(5_000)]  # each too small for a mapping of its own
    last, before = bytes(10_000), resident()
    del pieces
    give_back_freed()
    assert resident() < before - 40_000_000
    assert len(last) == 10_000
