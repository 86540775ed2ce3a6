"""`geokd classify` from the outside."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from geokd.cli import main
from tests.mapping.test_classify import tree, wrong_scene
from tests.tiny import three_fields, write_scene


def classify(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["classify", *map(str, arguments)])


def test_json_is_on_stdout_and_talk_on_stderr(scene: Path, model: Path, tmp_path: Path) -> None:
    second = write_scene(tmp_path / "second.tif", three_fields(40, 50), photometric="RGB")
    result = classify(scene, second, "-m", model, "-o", tmp_path / "out", "--json", "--stride", 8)
    assert result.exit_code == 0, result.output
    manifests = [json.loads(line) for line in result.stdout.splitlines()]
    assert [Path(m["scene"]["path"]).name for m in manifests] == ["fields.tif", "second.tif"]
    assert manifests[0] == json.loads((tmp_path / "out" / "fields_landuse.json").read_text(encoding="utf-8"))
    assert manifests[0]["options"]["stride_px"] == 8
    assert manifests[0]["run"]["command"].split()[0] == "geokd"
    for word in ("tiny", "bands 1, 2, 3", "Meadow", " ha", "fields_landuse.gpkg"):
        assert word in result.stderr
    assert len(list((tmp_path / "out").iterdir())) == 2 * 11


def test_without_json_stdout_is_empty(scene: Path, model: Path, tmp_path: Path) -> None:
    result = classify(scene, "-m", model, "-o", tmp_path / "out")
    assert (result.exit_code, result.stdout) == (0, "")


def test_defaults_that_affect_the_map_are_said(scene: Path, model: Path, tmp_path: Path) -> None:
    stderr = classify(scene, "-m", model, "-o", tmp_path / "out").stderr
    assert "patches of 16 px lie 4 px apart, a quarter of a patch (default stride)" in stderr
    assert "patches with less than 25 % valid pixels are not classified" in stderr
    assert "  pixels of 10 m, as the model expects\n" in stderr


def test_quiet_leaves_warnings_only(model: Path, tmp_path: Path) -> None:
    scene = write_scene(tmp_path / "s.tif", three_fields(40, 50), photometric="RGB")
    assert classify(scene, "-m", model, "-o", tmp_path / "a", "-q").stderr == ""
    empty = write_scene(tmp_path / "empty.tif", np.zeros((3, 40, 50), np.uint8), nodata=0, photometric="RGB")
    result = classify(empty, "-m", model, "-o", tmp_path / "b", "-q")
    assert result.exit_code == 0
    assert [line.split(":")[0] for line in result.stderr.splitlines()] == ["Warning"]


def test_a_map_without_a_class_is_reported(model: Path, tmp_path: Path) -> None:
    empty = write_scene(tmp_path / "empty.tif", np.zeros((3, 40, 50), np.uint8), nodata=0, photometric="RGB")
    result = classify(empty, "-m", model, "-o", tmp_path / "out")
    assert result.exit_code == 0
    assert "  no cell could be mapped: no patch has enough valid pixels\n" in result.stderr


def test_a_scene_too_small_to_be_compared_with_the_chips_is_reported(tmp_path: Path) -> None:
    one = write_scene(tmp_path / "one.tif", three_fields(64, 64), photometric="RGB")
    patches = ("-m", "eurosat-rgb-maps", "-o", tmp_path / "out")
    result = classify(one, *patches, "--stride", 64)
    assert "was not checked: too few whole patches without overlap: 1" in result.stderr
    assert "  1 patch, " in result.stderr
    whole = write_scene(tmp_path / "whole.tif", three_fields(256, 256), photometric="RGB")
    assert "was not checked" not in classify(whole, *patches).stderr


def test_verbose_states_every_option(scene: Path, model: Path, tmp_path: Path) -> None:
    stderr = classify(scene, "-m", model, "-o", tmp_path / "out", "-v", "--workers", 1).stderr
    assert "min_valid_share: 0.25" in stderr
    assert "workers: 1" in stderr


def test_bands_can_be_named(scene: Path, model: Path, tmp_path: Path) -> None:
    result = classify(scene, "-m", model, "-o", tmp_path / "out", "-b", "3,2,1", "--json")
    assert json.loads(result.stdout)["options"]["bidx"] == [3, 2, 1]


@pytest.mark.parametrize(
    ("kind", "exit_code"),
    [("missing", 2), ("not_a_raster", 1), ("no_crs", 1), ("one_band", 1), ("wrong_pixel_size", 1), ("damaged", 1)],
)
def test_wrong_scenes(kind: str, exit_code: int, model: Path, tmp_path: Path) -> None:
    scene = wrong_scene(tmp_path, kind)
    before = tree(tmp_path)
    result = classify(scene, "-m", model, "-o", tmp_path / "out")
    assert result.exit_code == exit_code
    assert isinstance(result.exception, SystemExit)
    assert result.stderr.startswith("Error: ")
    assert result.stdout == ""
    assert tree(tmp_path) == before


@pytest.mark.parametrize(
    "arguments",
    [
        ["--stride", "0"],
        ["--stride", "5"],
        ["--bidx", "1,x,3"],
        ["--bidx", "0,1,2"],
        ["--workers", "0"],
        ["--min-valid-share", "2"],
        ["--scheduler", "tcp://127.0.0.1:9", "--processes"],
    ],
)
def test_wrong_calls(arguments: list[str], scene: Path, model: Path, tmp_path: Path) -> None:
    result = classify(scene, "-m", model, "-o", tmp_path / "out", *arguments)
    assert result.exit_code == 2
    assert "Error: " in result.stderr
    assert not (tmp_path / "out").exists()


def test_existing_output_and_unknown_or_broken_model(scene: Path, model: Path, tmp_path: Path) -> None:
    assert classify(scene, "-m", model, "-o", tmp_path / "out").exit_code == 0
    again = classify(scene, "-m", model, "-o", tmp_path / "out")
    assert again.exit_code == 2
    assert again.stderr.count("\n") == 1
    assert classify(scene, "-m", model, "-o", tmp_path / "out", "--overwrite").exit_code == 0
    assert classify(scene, "-m", "no-such-model", "-o", tmp_path / "new").exit_code == 1
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"not a model")
    result = classify(scene, "-m", broken, "-o", tmp_path / "new")
    assert result.exit_code == 1
    assert result.stderr.startswith(f"Error: {broken} is not an ONNX file")
    assert not (tmp_path / "new").exists()


def heed_interrupts() -> None:
    """A shell's background jobs, and so their children, ignore Ctrl-C; a user's command does not."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C is sent as a POSIX signal")
@pytest.mark.parametrize("engine", [[], ["--processes"]])
def test_interrupt(engine: list[str], model: Path, tmp_path: Path) -> None:
    scene = write_scene(tmp_path / "big.tif", three_fields(4000, 4000), photometric="RGB")
    out = tmp_path / "out"
    command = ["-m", "geokd", "classify", str(scene), "-m", str(model), "-o", str(out), "--stride", "1", *engine]
    running = subprocess.Popen(
        [sys.executable, *command],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        cwd=Path.cwd(),
        preexec_fn=heed_interrupts,  # noqa: PLW1509  no thread of the tests holds a lock here
    )
    deadline = time.monotonic() + 60
    while not list(out.glob(".*-journal")) and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(4 if engine else 0.5)  # until the work itself is under way
    os.killpg(running.pid, signal.SIGINT)  # as a terminal does: to the whole group
    _, talk = running.communicate(timeout=60)
    assert running.returncode == 130
    assert talk.endswith("Interrupted.\n")
    assert "Traceback" not in talk
    assert {path.name for path in out.glob("*")} <= {".big.geokd-journal"}
    assert ("are kept; continue with --resume" in talk) == out.exists()
