"""Every command and every Python example of the README is run, in order, in a copy of what a clone holds."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SETUP_BLOCKS = 2  # the first two bash blocks set up; .ci/run runs them
NEEDS_TRAINING = ("geokd train", "geokd export", "geokd ablate", "geokd style", "my-run")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, flags=re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clone")
    for name in ("geokd", "recipes", "sample_data", "tests"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def run(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a command in the clone, with the geokd of this environment first on the path."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"PATH": path}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("number", range(SETUP_BLOCKS, len(blocks("bash"))))
def test_commands(clone: Path, number: int) -> None:
    block = blocks("bash")[number]
    if any(word in block for word in NEEDS_TRAINING):
        pytest.importorskip("torch", reason="needs the extra geokd[train]")
    done = run(["bash", "-euo", "pipefail", "-c", block], clone)
    assert done.returncode == 0, f"{block}\n{done.stdout}\n{done.stderr}"


@pytest.mark.parametrize("number", range(len(blocks("python"))))
def test_python_examples(clone: Path, number: int) -> None:
    block = blocks("python")[number]
    if any(word in block for word in ("geokd.train", "geokd.export", "geokd.ablate", "geokd.style(")):
        pytest.importorskip("torch", reason="needs the extra geokd[train]")
    done = run([sys.executable, "-c", block], clone)
    assert done.returncode == 0, f"{block}\n{done.stdout}\n{done.stderr}"


def test_links_lead_somewhere() -> None:
    targets = re.findall(r"\]\(([^)#]+)\)", README)
    missing = [t for t in targets if not t.startswith("http") and not (ROOT / t).exists()]
    assert targets
    assert not missing


def test_setup_commands_are_the_gate() -> None:
    gate = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert [f"block {n}" in gate for n in range(1, SETUP_BLOCKS + 1)] == [True, True]
    assert "geokd classify sample_data/eastern_shore.tif" in blocks("bash")[0]
    assert "pytest" in blocks("bash")[1]
