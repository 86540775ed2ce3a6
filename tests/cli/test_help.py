"""The frame of the command line: help, version, exit codes, and what is not imported."""

import re
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import geokd
from geokd.cli import _COMMANDS, main
from geokd.cli.options import kept_when_interrupted
from geokd.errors import CallError, SceneError
from tests.project.test_architecture import loaded_after

RUN = """
from geokd.cli import main
try:
    main({arguments!r})
except SystemExit as stop:
    assert stop.code in (0, None), stop.code
"""


def test_help_lists_every_command_in_one_line_each() -> None:
    result = CliRunner().invoke(main, ["--help"])
    assert result.exit_code == 0
    for name, (_, line) in _COMMANDS.items():
        assert any(row.split() == [name, *line.split()] for row in result.output.splitlines())


@pytest.mark.parametrize("name", _COMMANDS)
def test_each_command_has_help(name: str) -> None:
    result = CliRunner().invoke(main, [name, "--help"])
    assert result.exit_code == 0, result.output
    assert f"Usage: main {name}" in result.output


@pytest.mark.parametrize("name", sorted(set(_COMMANDS) - {"qgis-plugin"}))
def test_each_command_is_a_function_of_the_library(name: str) -> None:
    if name in ("train", "export"):
        pytest.importorskip("torch", reason="needs the extra geokd[train]")
    assert callable(getattr(geokd, name))


def test_version() -> None:
    assert CliRunner().invoke(main, ["--version"]).output == f"geokd {geokd.__version__}\n"


def test_help_imports_nothing_heavy() -> None:
    assert loaded_after(RUN.format(arguments=["--help"])) == set()
    assert loaded_after(RUN.format(arguments=["classify", "--help"])) <= {"numpy"}


def test_help_takes_little_time() -> None:
    def seconds() -> float:
        code = RUN.format(arguments=["--help"]) + "\nimport time\nprint('CPU', time.process_time())"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        return float(done.stdout.splitlines()[-1].split()[1])

    assert min(seconds() for _ in range(3)) < 0.3


def test_info_and_classify_do_not_import_torch(scene: Path, model: Path, tmp_path: Path) -> None:
    options = ["-m", str(model)]
    assert "torch" not in loaded_after(RUN.format(arguments=["info", str(scene), *options]))
    arguments = ["classify", str(scene), *options, "-o", str(tmp_path / "out")]
    loaded = loaded_after(RUN.format(arguments=arguments))
    assert {"rasterio", "onnxruntime"} <= loaded
    assert not loaded & {"torch", "torchvision", "onnx", "dask", "distributed"}


@pytest.mark.parametrize(
    ("error", "exit_code", "message"),
    [
        (SceneError("s.tif has no bands"), 1, "Error: s.tif has no bands\n"),
        (CallError("no such file: s.tif"), 2, "Error: no such file: s.tif\n"),
        (KeyboardInterrupt(), 130, "Interrupted.\n"),
        (ModuleNotFoundError("No module named 'torch'", name="torch"), 1, "pip install 'geokd[train]'\n"),
    ],
)
def test_errors_become_one_sentence_and_an_exit_code(
    error: BaseException, exit_code: int, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    @click.command()
    def verify() -> None:
        raise error

    monkeypatch.setattr("geokd.cli.verify.verify", verify)
    result = CliRunner().invoke(main, ["verify"])
    assert result.exit_code == exit_code
    assert result.stderr.endswith(message)
    assert result.stdout == ""


def test_a_defect_shows_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    @click.command()
    def verify() -> None:
        raise ModuleNotFoundError("No module named 'geokd.nothing'", name="geokd.nothing")

    monkeypatch.setattr("geokd.cli.verify.verify", verify)
    assert isinstance(CliRunner().invoke(main, ["verify"]).exception, ModuleNotFoundError)


def test_unknown_command() -> None:
    result = CliRunner().invoke(main, ["clasify"])
    assert result.exit_code == 2
    assert "No such command 'clasify'" in result.stderr


@pytest.mark.parametrize("begun", [False, True])
def test_a_training_that_is_interrupted_says_what_is_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], begun: bool
) -> None:
    if begun:
        (tmp_path / "run.json").touch()
    with pytest.raises(KeyboardInterrupt), kept_when_interrupted(tmp_path):
        raise KeyboardInterrupt
    assert ("continue with --resume and the same call" in capsys.readouterr().err) == begun


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize(
    ("sentence", "said"), [("'Parts are kept.'", "Parts are kept.\n"), ("1 / 0", ""), ("time.sleep(60)", "")]
)
def test_what_is_kept_is_said_before_a_slow_cleanup_is_cut_off(sentence: str, said: str) -> None:
    """The process ends, also if the sentence cannot be found, or looks at a disk that does not answer."""
    code = (
        "import os, signal, time; from geokd.cli import interrupts\n"
        "interrupts.GRACE_SECONDS = interrupts._SAY_SECONDS = 0.3\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        f"with interrupts.interruptible(), interrupts.said_when_interrupted(lambda: {sentence}):\n"
        "    try: os.kill(os.getpid(), signal.SIGINT); time.sleep(60)\n"
        "    finally: time.sleep(60)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 130
    assert done.stderr == f"{said}Interrupted.\n"


def test_the_template_of_recipes_needs_no_chips() -> None:
    result = CliRunner().invoke(main, ["train", "--template"])
    assert result.exit_code == 0
    assert result.stdout.startswith("# All keys of a recipe") and "[augmentation]" in result.stdout


@pytest.mark.skipif(sys.platform == "win32", reason="Windows keeps the folder of a process")
@pytest.mark.parametrize(
    "command", [["classify", "here.tif"], ["classify", "SCENE", "-o", "out"], ["tile", "SCENE", "-o", "out"]]
)
def test_a_deleted_current_folder_is_named(command: list[str], scene: Path, tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    code = "import os, sys; os.rmdir(os.getcwd()); from geokd.cli import main; main(sys.argv[1:])"
    arguments = [str(scene) if word == "SCENE" else word for word in command]
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=gone, check=False, capture_output=True, text=True
    )
    assert done.returncode in (1, 2)
    assert "Traceback" not in done.stderr, done.stderr
    sentences = r"Error: (the current folder was deleted|no such file: here.tif|cannot write into the folder out)"
    assert re.search(sentences, done.stderr), done.stderr
