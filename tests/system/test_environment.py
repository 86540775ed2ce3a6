"""Data of another PROJ or GDAL, closed and full streams: what a terminal may be like when geokd starts."""

import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tiny import three_fields, write_scene

pytest.importorskip("onnx", reason="needs the extra geokd[train]")

CLEAN = {k: v for k, v in os.environ.items() if k not in ("PROJ_DATA", "PROJ_LIB", "GDAL_DATA", "GDAL_DRIVER_PATH")}


def run(*arguments: str | Path, **variables: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "geokd", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=CLEAN | variables, check=False)


def old_data(folder: Path, minor: str = "0") -> Path:
    """Make a database as an older PROJ has it."""
    folder.mkdir()
    with sqlite3.connect(folder / "proj.db") as database:
        database.execute("CREATE TABLE metadata (key TEXT PRIMARY KEY, value TEXT)")
        layout = [("DATABASE.LAYOUT.VERSION.MAJOR", "1"), ("DATABASE.LAYOUT.VERSION.MINOR", minor)]
        database.executemany("INSERT INTO metadata VALUES (?, ?)", layout)
    return folder


@pytest.fixture(scope="module")
def grey(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_scene(tmp_path_factory.mktemp("scene") / "scene.tif", three_fields(64, 64), photometric="RGB")


@pytest.mark.parametrize("variable", ["PROJ_DATA", "PROJ_LIB", "GDAL_DATA", "GDAL_DRIVER_PATH"])
def test_data_of_another_installation_are_named_once_and_not_used(
    variable: str, grey: Path, model: Path, tmp_path: Path
) -> None:
    folder = old_data(tmp_path / "old")
    done = run("classify", grey, "-m", model, "-o", tmp_path / "maps", **{variable: str(folder)})
    assert done.returncode == 0, done.stderr
    assert done.stderr.count(variable) == 1
    assert "ERROR" not in done.stderr
    item = json.loads((tmp_path / "maps" / "scene_landuse.stac.json").read_text())
    assert item["geometry"] is not None
    assert item["properties"]["proj:code"] == "EPSG:32618"


def test_fitting_data_are_left_alone(tmp_path: Path) -> None:
    rasterio = pytest.importorskip("rasterio")
    own = Path(rasterio.__file__).parent / "proj_data"
    if not (own / "proj.db").is_file():
        pytest.skip("rasterio brings no data here")
    code = "import os, geokd; print(os.environ['PROJ_DATA'])"
    for folders in (str(own), f"{tmp_path}{os.pathsep}{own}", str(old_data(tmp_path / "newer", "9999"))):
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, env=CLEAN | {"PROJ_DATA": folders}, check=True
        )
        assert done.stdout.strip() == folders
        assert not done.stderr


def test_rasterio_that_was_imported_before_is_reported(tmp_path: Path) -> None:
    code = "import rasterio, geokd; from rasterio.crs import CRS; print(CRS.from_epsg(32618))"
    environment = CLEAN | {"PROJ_DATA": str(old_data(tmp_path / "old"))}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert done.stdout.strip() == "EPSG:32618"


def test_a_proj_without_coordinate_systems_is_refused(tmp_path: Path) -> None:
    """Where nothing better is there, as in a distribution's PROJ, there is no map without a CRS."""
    code = (
        "import rasterio._env, geokd; from geokd.scenes.reader import describe_scene;"
        f"rasterio._env.set_proj_data_search_path({str(tmp_path)!r}); describe_scene({str(tmp_path / 'x.tif')!r})"
    )
    write_scene(tmp_path / "x.tif", three_fields(8, 8))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=CLEAN, check=False)
    assert "PROJ finds no coordinate systems" in done.stderr


@pytest.mark.parametrize("closed", ["2>&-", ">&-", "<&-", ">&- 2>&- <&-"])
def test_closed_streams_are_borne(closed: str, grey: Path, model: Path, tmp_path: Path) -> None:
    command = f'"$0" -m geokd classify "$1" -m "$2" -o "$3" --json {closed}'
    arguments = ["sh", "-c", command, sys.executable, str(grey), str(model), str(tmp_path)]
    assert subprocess.run(arguments, check=False, env=CLEAN, capture_output=True).returncode == 0
    assert (tmp_path / "scene_landuse.tif").exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize(
    "arguments", [["models"], ["--help"], ["style", "--template", "eurosat-rgb-maps"], ["models", "--json"]]
)
def test_a_full_stdout_is_said(arguments: list[str]) -> None:
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "geokd", *arguments]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False, env=CLEAN)
    assert done.returncode == 1
    assert done.stderr.startswith("Error: cannot write to standard output")
    assert "Traceback" not in done.stderr
    assert "ignored" not in done.stderr
