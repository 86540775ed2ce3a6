"""The bound on the memory of foreign code."""

import sys
import threading

import numpy as np
import pytest

from geokd.mapping.memory import bounded_growth, fair_share_bytes

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


def test_the_share_is_at_least_a_gibibyte() -> None:
    assert fair_share_bytes() >= 2**30
