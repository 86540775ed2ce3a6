"""Whatever `geokd classify` is given: a right map or one clear sentence; no traceback or hang, nothing half-written."""

import json
import re
import subprocess
import sys
from pathlib import Path
from shutil import copy

import numpy as np
import pyogrio
import pytest
import rasterio
from affine import Affine
from click.testing import CliRunner
from numpy.typing import NDArray

from geokd.cli import main
from geokd.scenes import opening
from tests.bad_input import CASES, Case, Made
from tests.bad_products import PRODUCT_CASES

pytest.importorskip("onnx", reason="needs the extra geokd[train]")

LIMIT_S = 60
MEMORY_BYTES = 6 * 2**30

KEPT = "blocks are kept; continue with --resume"


def run(case: Case, arguments: list[str]) -> tuple[int, str, str]:
    """Return exit code, stdout and stderr of the command, here or in a process of its own."""
    if not case.apart:
        result = CliRunner().invoke(main, arguments)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result.exit_code, result.stdout, result.stderr
    resource = pytest.importorskip("resource", reason="needs POSIX limits")
    done = subprocess.run(
        [sys.executable, "-m", "geokd", *arguments],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES)),
    )
    return done.returncode, done.stdout, done.stderr


def read_outputs(files: set[Path], folder: Path) -> tuple[NDArray[np.uint8], Affine]:
    """Read what was written with GDAL, under names that it takes; return the class map and its transform."""
    ends = ("_landuse.tif", "_confidence.tif", "_landuse.png", "_landuse.gpkg")
    classes, confidence, picture, polygons = (
        Path(copy(next(path for path in files if path.name.endswith(end)), folder / f"copy{end}")) for end in ends
    )
    for path in (confidence, picture):
        with rasterio.open(path) as raster:
            raster.read()
    assert pyogrio.read_info(polygons, layer="land_use")["driver"] == "GPKG"
    with rasterio.open(classes) as raster:
        return raster.read(1), raster.transform


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
@pytest.mark.parametrize("case", [pytest.param(c, id=c.name, marks=c.marks) for c in [*CASES, *PRODUCT_CASES]])
def test_bad_input(case: Case, tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "SILENCE_S", 1)
    place = tmp_path / "input"
    place.mkdir()
    call = case.call(place)
    before = set(tmp_path.rglob("*"))
    arguments = [str(call.scene), "-m", str(call.model or model), "-o", str(call.output or tmp_path / "out")]
    code, stdout, stderr = run(case, ["classify", *arguments, "--json", "--quiet", *call.arguments])
    made = set(tmp_path.rglob("*")) - before
    assert "Traceback" not in stderr
    if case.sentence:
        assert (code, stdout) == (case.exit_code, ""), stderr
        assert {path.name for path in made} <= ({"out", ".scene.geokd-journal"} if KEPT in stderr else set()), stderr
        error = re.search(r"^Error: (.*)", stderr, re.DOTALL | re.MULTILINE)
        assert error
        assert re.search(case.sentence, error[1], re.DOTALL), error[1]
        assert len(error[1].splitlines()) == 1 or re.match(r".*: \d+ problems:\n", error[1]), error[1]
    else:
        assert code == 0, stderr
        files = {path for path in made if path.is_file()}
        assert len(files) == 11
        case.check(Made(*read_outputs(files, place), json.loads(stdout)))
