"""The cover teacher on a part of a scene, by the tool that teaches dense students with it; for `dense_others`.

    TENSORFLOW_PYTHON tests/benchmarks/cover_teacher_loop.py TOOL NETWORK FOLDER SIDE_PX WARM_SIDE_PX

FOLDER holds `10m_SIDE.tif` and `20m_SIDE.tif` of both sides. It needs TensorFlow and rasterio, but not geokd. A small
part goes first, so that neither loading the network nor TensorFlow's first call counts. Prints pixels, seconds, seconds
of all processors, and peak memory in MB as JSON.
"""

import functools
import importlib
import json
import resource
import sys
import time
from pathlib import Path


def main(tool: Path, network: str, folder: Path, side_px: int, warm_side_px: int) -> None:
    """Run the tool on the small part, then on the one that counts."""
    sys.path.insert(0, str(tool.parent))
    teacher = importlib.import_module(tool.stem)
    teacher.tf.saved_model.load = functools.cache(teacher.tf.saved_model.load)
    for side in (warm_side_px, side_px):
        files = (folder / f"{name}_{side}.tif" for name in ("10m", "20m", "covers"))
        sys.argv = [str(tool), network, *map(str, files)]
        start, before = time.perf_counter(), time.process_time()
        teacher.main()
        wall, processor = time.perf_counter() - start, time.process_time() - before
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    print(json.dumps({"pixels": side_px**2, "wall": wall, "processor": processor, "peak_mb": peak_mb}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5]))
