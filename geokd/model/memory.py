"""Memory of a process: a limit for untrusted models, and returning free memory to the system; on Linux."""

import contextlib
import ctypes
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil

_LEAST_BYTES = 2**30  # memory may become free until it is needed
_LIMITS_OF_CONTAINERS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")  # cgroups 2 and 1
_ONE_AT_A_TIME = threading.Lock()  # the limit is the process's


def fair_share_bytes() -> int:
    """Return half of the memory that is left to this machine, container and process (`ulimit -v`); at least 1 GiB."""
    available = [int(psutil.virtual_memory().available)]
    for path in _LIMITS_OF_CONTAINERS:
        with contextlib.suppress(OSError, ValueError):  # "max" where there is none
            available.append(int(Path(path).read_text(encoding="ascii")))
    if sys.platform == "linux":
        import resource

        soft, _ = resource.getrlimit(resource.RLIMIT_AS)
        if soft != resource.RLIM_INFINITY:
            available.append(soft - _address_space_bytes())
    return max(_LEAST_BYTES, min(available) // 2)


@contextlib.contextmanager
def bounded_growth(most_bytes: int) -> Iterator[None]:
    """Within this context, the process can grow by at most `more_bytes`; larger allocations fail.

    The limit applies to the address space. Other threads share it, and a process that one of them starts inherits it; a
    limit set by the user remains. On other systems than Linux there is no limit.
    """
    if sys.platform != "linux":
        yield
        return
    import resource

    with _ONE_AT_A_TIME:
        before = resource.getrlimit(resource.RLIMIT_AS)
        bounds = [bound for bound in before if bound != resource.RLIM_INFINITY]
        most = min(_address_space_bytes() + most_bytes, *bounds, sys.maxsize)
        resource.setrlimit(resource.RLIMIT_AS, (most, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_AS, before)


def give_back_freed() -> None:
    """Return freed memory to the system; after work in threads, glibc would keep much of it."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):  # another C library
            ctypes.CDLL(None).malloc_trim(0)


def _address_space_bytes() -> int:
    """Return how much address space this process has taken."""
    return int(psutil.Process().memory_info().vms)
