"""Progress and talk as lines of JSON, for programs that run geokd."""

import inspect
import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

import geokd
from geokd.cli import main
from geokd.system.progress import silent, to_stderr


def talk(*arguments: object) -> tuple[int, list[dict[str, object]], str]:
    """Run a command with `--progress json`; return its exit code, its stderr line by line, and its stdout."""
    result = CliRunner().invoke(main, [*map(str, arguments), "--progress", "json"])
    return result.exit_code, [json.loads(line) for line in result.stderr.splitlines()], result.stdout


def test_every_line_on_stderr_is_an_object(scene: Path, model: Path, tmp_path: Path) -> None:
    exit_code, lines, stdout = talk("classify", scene, "-m", model, "-o", tmp_path / "out", "--stride", 8)
    assert (exit_code, stdout) == (0, "")
    assert all(set(line) == {"message", "done", "total"} for line in lines)
    counted = [(line["done"], line["total"]) for line in lines if line["total"]]
    assert counted == [(k, len(counted)) for k in range(1, len(counted) + 1)]
    assert any("written to" in str(line["message"]) for line in lines)


def test_errors_and_warnings_are_objects_too(tmp_path: Path) -> None:
    exit_code, lines, _ = talk("classify", tmp_path / "nowhere.tif", "-o", tmp_path)
    assert exit_code == 2
    assert [str(line["message"])[:7] for line in lines] == ["Error: "]


def test_data_stay_on_stdout(scene: Path, model: Path, tmp_path: Path) -> None:
    exit_code, lines, stdout = talk("classify", scene, "-m", model, "-o", tmp_path, "--json", "-q")
    assert exit_code == 0
    assert json.loads(stdout)["scene"]["path"] == str(scene)
    assert all(line["message"] == "" and line["total"] for line in lines)


def test_talk_of_one_call_does_not_reach_the_next(tmp_path: Path) -> None:
    talk("classify", tmp_path / "nowhere.tif")
    assert CliRunner().invoke(main, ["classify", str(tmp_path / "nowhere.tif")]).stderr.startswith("Error: ")


def test_letters_pass_whatever_the_encoding_of_the_terminal(model: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "geokd", "classify", tmp_path / "Жа.tif", "-m", model, "--progress", "json"],
        capture_output=True,
        env={"PYTHONIOENCODING": "ascii", "PYTHONPATH": str(Path(geokd.__file__).parents[1])},
        check=False,
    )
    assert done.returncode == 2
    assert "Жа.tif" in json.loads(done.stderr)["message"]


@pytest.mark.parametrize("name", ["ablate", "classify", "compare", "robustness", "train"])
def test_progress_has_one_shape(name: str) -> None:
    if name in ("ablate", "train"):
        pytest.importorskip("torch", reason="needs the extra geokd[train]")
    parameter = inspect.signature(getattr(geokd, name)).parameters["progress"]
    assert parameter.annotation.__name__ == "Progress"
    assert parameter.default in (silent, to_stderr)
    assert "--progress" in CliRunner().invoke(main, [name, "--help"]).stdout
