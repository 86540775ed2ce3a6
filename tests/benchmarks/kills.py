"""The real command, killed (SIGKILL) at random moments and resumed: is anything lost, or half-written?

    python -m tests.benchmarks.kills [KILLS]

Maps the sample scene at stride 4, kills it after a random time, resumes it, and so on; whenever a map is finished, it
is compared, bit for bit, with one made without interruption, and the next is begun.
"""

import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.benchmarks.scene import SAMPLE

OUTPUTS = 11


def main(kills: int = 200) -> None:
    """Kill, resume, compare; end with an error at the first difference."""
    generator = random.Random(0)
    with tempfile.TemporaryDirectory() as folder:
        reference, out = Path(folder, "reference"), Path(folder, "out")
        start = time.monotonic()
        subprocess.run(command(reference), check=True)
        longest = time.monotonic() - start
        killed = finished = torn = 0
        while killed < kills:
            running = subprocess.Popen(command(out))
            try:
                code = running.wait(timeout=generator.uniform(0, longest))
            except subprocess.TimeoutExpired:
                running.kill()
                running.wait()
                killed += 1
                names = sorted(path.name for path in out.glob("eastern_shore*"))
                torn += len(names) not in (0, OUTPUTS)
                continue
            assert code == 0, f"exit code {code}"
            assert rasters(out) == rasters(reference), "the map is another"
            assert len(list(out.iterdir())) == OUTPUTS, "something was left behind"
            finished += 1
            shutil.rmtree(out)
    print(f"{killed} kills, {finished} maps finished between them, all alike; outputs seen in part: {torn}")


def command(out: Path) -> list[str]:
    """Return the command that maps the sample scene, from where it was."""
    arguments = ["classify", str(SAMPLE), "-o", str(out), "--stride", "4", "--resume", "-q"]
    return [sys.executable, "-m", "geokd", *arguments]


def rasters(folder: Path) -> dict[str, bytes]:
    """Read the two rasters of a map."""
    return {path.name: path.read_bytes() for path in folder.glob("*.tif")}


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
