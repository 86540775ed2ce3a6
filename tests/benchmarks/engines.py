"""The same map by one thread, by all cores' threads, by processes and by a Dask cluster of processes on this machine.

python -m tests.benchmarks.engines [SIDE_PX [STRIDE]]
"""

import statistics
import sys
import tempfile
import time
from pathlib import Path

from distributed import LocalCluster

from geokd.mapping.classify import run_jobs
from geokd.mapping.options import ClassifyOptions
from geokd.mapping.planning import plan_jobs
from geokd.mapping.workers.cores import available_cores
from tests.benchmarks.scene import large_scene

ROUNDS = 3


def main(side_px: int = 8192, stride: int = 32) -> None:
    """Time each in turns, and print the ratios to threads on all cores."""
    cores = available_cores()
    with (
        tempfile.TemporaryDirectory() as folder,
        LocalCluster(n_workers=cores, threads_per_worker=1, dashboard_address=None) as cluster,
    ):
        scene = large_scene(Path(folder, "scene.tif"), side_px, side_px)
        ways = {
            f"{cores} threads": ClassifyOptions(stride_px=stride, workers=cores, overwrite=True),
            "1 thread": ClassifyOptions(stride_px=stride, workers=1, overwrite=True),
            f"{cores} processes": ClassifyOptions(
                stride_px=stride, workers=cores, engine="processes", memory_mb=2000, overwrite=True
            ),
            f"cluster of {cores} processes": ClassifyOptions(
                stride_px=stride, scheduler=cluster.scheduler_address, overwrite=True
            ),
        }
        times: dict[str, list[float]] = {way: [] for way in ways}
        for _ in range(ROUNDS):
            for way, options in ways.items():
                (job,) = plan_jobs([scene], "eurosat-rgb-maps", Path(folder, "out"), options)
                start = time.perf_counter()
                ((_, outcome),) = run_jobs([job])
                times[way].append(time.perf_counter() - start)
                assert not isinstance(outcome, Exception), outcome
        first = next(iter(times.values()))
        print(f"{side_px} x {side_px} px at stride {stride}, {ROUNDS} rounds")
        for way, seconds in times.items():
            ratio = statistics.median(s / f for s, f in zip(seconds, first, strict=True))
            print(f"{way:24}  {statistics.median(seconds):6.2f} s  {ratio:5.2f} x the first")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
