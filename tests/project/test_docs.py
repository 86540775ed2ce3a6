"""Every command and every Python example of README and docs/ is run, page by page, in a copy of what a clone holds."""

import importlib.util
import inspect
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import geokd
from tests.products import SIDE_PX, land, write_safe

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
SETUP_BLOCKS = 2  # the first two bash blocks of the README set up; .ci/run runs them
NEEDS_TRAINING = re.compile(
    r"geokd[. ](train|export|ablate|compare)|geokd.style\(|cropland.toml eurosat-rgb-maps|cropland.onnx|my-run"
)
FAST_PAGES = ("README", "quickstart", "models")  # the others are slow tests
NOT_RUN = {"accuracy": 3, "experiments": 28, "inputs": 2, "qgis-plugin": 4, "quickstart": 1}
BLOCK = re.compile(r"^( *<!-- not run: [^\n]+ -->\n)?( *)```(\w+)\n(.*?)^\2```$", flags=re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A block of code of a page."""

    page: str
    number: int
    language: str
    text: str
    marked: bool  # as one that cannot be run


def blocks(page: Path) -> list[Block]:
    found = BLOCK.findall(page.read_text(encoding="utf-8"))
    return [Block(page.stem, i, language, text, bool(mark)) for i, (mark, _, language, text) in enumerate(found)]


def to_run() -> list[Block]:
    """Blocks in their order, without those that set up an environment."""
    every = [block for page in PAGES for block in blocks(page) if block.language in {"bash", "python"}]
    setup = [b for b in every if b.page == "README" and b.language == "bash"][:SETUP_BLOCKS]
    setup += [b for b in every if b.page == "CONTRIBUTING"]
    return [b for b in every if not b.marked and b not in setup]


def as_parameter(block: Block) -> object:
    marks = [] if block.page in FAST_PAGES else [pytest.mark.slow]
    return pytest.param(block, marks=marks, id=f"{block.page}-{block.number}")


@pytest.fixture(scope="module")
def clones(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A clone for each page that has been reached."""
    return {}


def clone_for(page: str, clones: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    if page not in clones:
        folder = clones[page] = tmp_path_factory.mktemp(page)
        for name in ("geokd", "recipes", "sample_data", "tests"):
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "pyproject.toml", folder)
        if page == "quickstart":
            bands = land()
            seen = np.full((SIDE_PX // 2, SIDE_PX // 2), 4, np.uint8)  # vegetation, in the scene classification
            write_safe(folder, "2A", "05.11", {name: bands[name] for name in ("B02", "B03", "B04", "B08")}, seen)
    return clones[page]


def run(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a command in the clone, with the geokd of this environment first on the path."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_XDIST")}
    environment |= {"PATH": path, "COLUMNS": "80"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("block", [as_parameter(block) for block in to_run()])
def test_blocks(block: Block, clones: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> None:
    if NEEDS_TRAINING.search(block.text):
        pytest.importorskip("torch", reason="needs the extra geokd[train]")
    command = ["bash", "-euo", "pipefail", "-c"] if block.language == "bash" else [sys.executable, "-c"]
    done = run([*command, block.text], clone_for(block.page, clones, tmp_path_factory))
    assert done.returncode == 0, f"{block.text}\n{done.stdout}\n{done.stderr}"


def test_blocks_that_are_not_run_are_counted() -> None:
    marked = {page.stem: sum(block.marked for block in blocks(page)) for page in PAGES}
    assert {page: count for page, count in marked.items() if count} == NOT_RUN
    assert len(to_run()) > 40


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_block_names_a_known_language(page: Path) -> None:
    assert {block.language for block in blocks(page)} <= {"bash", "python", "text"}
    fences = re.findall(r"^ *```(\w*)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert len(fences) == 2 * len(blocks(page))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8"))
    missing = [t for t in targets if not t.startswith("http") and not (page.parent / t).exists()]
    assert not missing


def test_the_readme_is_short_and_leads_to_the_pages() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.encode()) <= 9 * 1024
    assert text.count("](docs/") > 20


def test_setup_commands_are_the_gate() -> None:
    gate = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert [f"block {n}" in gate for n in range(1, SETUP_BLOCKS + 1)] == [True, True]
    first, second = [b.text for b in blocks(ROOT / "README.md") if b.language == "bash"][:SETUP_BLOCKS]
    assert "geokd classify sample_data/eastern_shore.tif" in first
    assert "pytest" in second
    assert "mkdocs build --strict" in gate


@pytest.fixture(scope="module")
def hooks() -> ModuleType:
    """What mkdocs adds to the pages."""
    spec = importlib.util.spec_from_file_location("pages", ROOT / "docs" / "_hooks" / "pages.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def commands() -> list[str]:
    done = run([sys.executable, "-m", "geokd", "--help"], ROOT)
    return re.findall(r"^  ([a-z-]+)  ", done.stdout.partition("Commands:")[2], flags=re.MULTILINE)


def test_the_command_reference_is_what_help_prints(hooks: ModuleType) -> None:
    page = hooks.on_page_markdown((ROOT / "docs" / "commands.md").read_text(encoding="utf-8"))
    names = commands()
    assert len(names) >= 16
    for name in names:
        assert f"## geokd {name}\n" in page
        assert f"Usage: geokd {name} [OPTIONS]" in page
    shown = run(["geokd", "classify", "--help"], ROOT).stdout.strip()
    assert shown in page


def test_the_readme_names_every_command() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert [name for name in commands() if f"[`{name}`](docs/" not in text] == []


def test_the_python_reference_has_every_public_name() -> None:
    names = re.findall(
        r"^::: geokd\.(\w+)$", (ROOT / "docs" / "api.md").read_text(encoding="utf-8"), flags=re.MULTILINE
    )
    assert sorted(names) == sorted(set(geokd.__all__) - {"__version__"})


@pytest.mark.parametrize("name", sorted(set(geokd.__all__) - {"__version__"}))
def test_public_names_say_what_they_take_and_give(name: str) -> None:
    """A function describes each parameter and what it returns; a class of options describes each field."""
    public: Any = getattr(geokd, name)
    described = inspect.getdoc(public) or ""
    assert len(described.splitlines()[0]) > 12
    told = re.findall(r"^(\w+(?:, \w+)*)(?: :.*)?$", described, flags=re.MULTILINE)
    names = {word for line in told for word in line.split(", ")}
    if not inspect.isclass(public):
        assert set(inspect.signature(public).parameters) <= names
        assert "Raises\n------" in described
        assert "Returns\n-------" in described or inspect.signature(public).return_annotation is None
    elif name.endswith("Options"):
        assert set(vars(public)["__dataclass_fields__"]) <= names


def test_pages_load_nothing_from_elsewhere(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs", reason="needs the extra geokd[docs]")
    done = run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")], ROOT
    )
    assert done.returncode == 0, done.stderr
    pages = list((tmp_path / "site").rglob("*.html"))
    assert len(pages) > 20
    loaded = r"<(?:script|img|link|iframe|source)\b[^>]*?(?:src|href)=[\"']?((?:https?:)?//[^\"' >]+)"
    assert [hit for page in pages for hit in re.findall(loaded, page.read_text(encoding="utf-8"))] == []
