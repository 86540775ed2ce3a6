"""The parts of the plugin that need no QGIS: the search for geokd, its environment, arguments, process, and results."""

import ast
import importlib
import os
import re
import signal
import stat
import subprocess
import sys
import time
import types
from pathlib import Path
from typing import Any

import click
import pytest

import geokd
from geokd.qgis.plugin.arguments import command, missing
from geokd.qgis.plugin.child import News, read_documents, read_news, run
from geokd.qgis.plugin.environment import cleaned
from geokd.qgis.plugin.executable import INSTALL, Search, ask_version, candidates, find
from geokd.qgis.plugin.parameters import Tool
from geokd.qgis.plugin.results import layers, outputs
from geokd.qgis.plugin.tools import TOOLS

PLUGIN = Path(geokd.__file__).parent / "qgis" / "plugin"
TOOL = {tool.name: tool for tool in TOOLS}


def script(path: Path, text: str) -> Path:
    """Write a program of the shell."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def search(home: Path, **given: object) -> Search:
    settings = {"setting": "", "environment": {"PATH": ""}, "home": home} | given
    return Search(**settings)  # type: ignore[arg-type]


def options_of(command: str) -> dict[str, click.Parameter]:
    """The parameters of a command by the names of its options."""
    found: click.Command = getattr(importlib.import_module(f"geokd.cli.{command}"), command)
    return {option: parameter for parameter in found.params for option in parameter.opts + parameter.secondary_opts}


def test_what_leads_astray_is_taken_out_of_the_environment() -> None:
    kept = {"HOME": "/home/a", "LANG": "de_DE.UTF-8", "HTTPS_PROXY": "http://proxy", "GDAL_CACHEMAX": "64"}
    dropped: tuple[str, ...] = (
        "PYTHONHOME",
        "PYTHONPATH",
        "PYTHONEXECUTABLE",
        "GDAL_DATA",
        "PROJ_LIB",
        "PROJ_DATA",
        "GDAL_DRIVER_PATH",
    )
    dropped += ("LD_LIBRARY_PATH", "SSL_CERT_FILE", "SSL_CERT_DIR", "DYLD_LIBRARY_PATH", "__PYVENV_LAUNCHER__")
    folders = ["/usr/bin", "/Applications/QGIS.app/Contents/MacOS/bin", "/home/a/.local/bin", "/opt/OSGeo4W/bin"]
    before = kept | dict.fromkeys(dropped, "/elsewhere") | {"PATH": os.pathsep.join(folders)}
    assert cleaned(before) == kept | {"PATH": os.pathsep.join([folders[0], folders[2]])}


def test_folders_of_users_stay_in_the_path() -> None:
    folders = ["/home/qgis-user/bin" if os.name == "posix" else r"C:\Users\a\bin", "/usr/local/bin"]
    assert cleaned({"PATH": "/usr/local/bin"})["PATH"] == "/usr/local/bin"
    assert cleaned({"Path": folders[1]})["Path"] == folders[1]


@pytest.mark.parametrize(
    "place",
    [
        "{home}/.local/bin/geokd",
        "{home}/.local/share/pipx/venvs/geokd/bin/geokd",
        "{home}/.local/share/uv/tools/geokd/bin/geokd",
        "{home}/miniforge3/envs/geokd/bin/geokd",
        "{home}/.geokd/bin/geokd",
        "{profile}/geokd/.venv/bin/geokd",
    ],
)
def test_geokd_is_found_in_the_usual_places(place: str, tmp_path: Path) -> None:
    home, profile = tmp_path / "home", tmp_path / "profile"
    path = script(Path(place.format(home=home, profile=profile)), "echo geokd 0.2.0")
    found, problem = find(search(home, profile=profile))
    assert problem == ""
    assert found is not None
    assert (found.path, found.version) == (str(path), (0, 2, 0))


def test_the_setting_comes_before_the_path_and_the_path_before_the_rest(tmp_path: Path) -> None:
    paths = [script(tmp_path / name / "geokd", "echo geokd 1.2.3") for name in ("set", "path", "recorded")]
    where = search(tmp_path, environment={"PATH": str(tmp_path / "path")}, recorded=str(paths[2]))
    assert list(candidates(where))[:2] == [str(paths[1]), str(paths[2])]
    found, _ = find(search(tmp_path, environment={"PATH": str(tmp_path / "path")}, setting=str(paths[0])))
    assert found is not None and found.path == str(paths[0])


def test_what_is_missing_is_said_in_a_sentence(tmp_path: Path) -> None:
    old = script(tmp_path / "old" / "geokd", "echo geokd 0.1.0")
    broken = script(tmp_path / "broken" / "geokd", "exit 3")
    nothing = search(tmp_path / "nobody")
    if all(not Path(path).exists() for path in candidates(nothing)):
        found, problem = find(nothing)
        assert found is None
        assert problem.startswith(f"geokd was not found. Install it from a clone of its repository with: {INSTALL} (or")
    _, problem = find(search(tmp_path, environment={"PATH": str(old.parent)}))
    assert f"geokd 0.2.0 or newer is needed; found: {old} (0.1.0)" in problem
    assert INSTALL in problem
    _, problem = find(search(tmp_path, setting=str(broken)))
    assert f"the settings name {broken} (does not run)" in problem
    _, problem = find(search(tmp_path, setting=str(tmp_path / "none")))
    assert problem.startswith(f"There is no file {tmp_path / 'none'}")


def test_an_old_one_on_the_path_does_not_hide_a_newer_one(tmp_path: Path) -> None:
    script(tmp_path / "path" / "geokd", "echo geokd 0.1.0")
    newer = script(tmp_path / "home" / ".local" / "bin" / "geokd", "echo geokd 0.10.0")
    found, _ = find(search(tmp_path / "home", environment={"PATH": str(tmp_path / "path")}))
    assert found is not None and found.path == str(newer)


def test_a_polluted_environment_does_no_harm_to_the_version(tmp_path: Path) -> None:
    path = script(tmp_path / "geokd", f"exec {sys.executable} -c \"print('geokd 0.2.0')\"")
    assert ask_version(str(path), dict(os.environ) | {"PYTHONHOME": "/nowhere", "PYTHONPATH": "/nowhere"}) == (0, 2, 0)


def test_lines_of_progress() -> None:
    assert read_news('{"message": "", "done": 3, "total": 12}\n') == News("", 25.0)
    assert read_news('{"message": "epoch 1/2", "done": 9, "total": 2}') == News("epoch 1/2", 100.0)
    assert read_news('{"message": "bands", "done": 0, "total": 0}') == News("bands")
    for line in ("plain talk", '{"message": 3}', '["a"]', "{broken", "12", ""):
        assert read_news(line) == News(line)


def test_documents_of_stdout() -> None:
    assert read_documents('{"a": 1}\n{"b": 2}\n') == [{"a": 1}, {"b": 2}]
    assert read_documents('{\n "a": 1\n}\n') == [{"a": 1}]
    assert read_documents("nothing\n") == []


def test_a_process_runs_to_its_end_and_is_heard() -> None:
    heard: list[News] = []
    code = "import sys; print('x' * 300000); print('Жа', file=sys.stderr); sys.exit(3)"
    environment = dict(os.environ) | {"PYTHONUTF8": "1"}
    done = run([sys.executable, "-c", code], environment, heard.append, lambda: True)
    assert (done.code, len(done.stdout.strip()), done.stopped) == (3, 300_000, False)
    assert heard == [News("Жа")]


@pytest.mark.skipif(sys.platform == "win32", reason="sends POSIX signals")
@pytest.mark.parametrize("stubborn", [False, True])
def test_a_stop_ends_the_process_and_its_workers(
    stubborn: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("geokd.qgis.plugin.child._PATIENCE_S", 5.0)
    code = f"""
import os, signal, subprocess, sys, time
{"signal.signal(signal.SIGINT, signal.SIG_IGN)" if stubborn else ""}
deaf = "import signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN); time.sleep(60)"
worker = subprocess.Popen([sys.executable, "-c", deaf])
try:
    print(worker.pid, file=sys.stderr, flush=True)
    time.sleep(60)
except KeyboardInterrupt:
    print("kept", file=sys.stderr, flush=True)
    sys.exit(130)
"""
    heard: list[str] = []
    started = time.monotonic()
    done = run(
        [sys.executable, "-c", code], dict(os.environ), lambda news: heard.append(news.message), lambda: not heard
    )
    assert done.stopped
    assert time.monotonic() - started < 20
    assert done.code == (-signal.SIGKILL if stubborn else 130)
    assert ("kept" in heard) != stubborn
    assert ended(int(heard[0]))


def ended(pid: int) -> bool:
    """Whether a process is gone, or no more than waits to be forgotten, within five seconds."""
    for _ in range(50):
        state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False)
        if state.stdout.strip()[:1] in ("", "Z"):
            return True
        time.sleep(0.1)
    return False


@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.name)
def test_tools_and_their_commands_agree(tool: Tool) -> None:
    options = options_of(tool.command or tool.name)
    assert {p.option for p in tool.parameters if p.option} - set(options) == set()
    assert {word for word in tool.always if word.startswith("--")} - set(options) == set()
    names = [p.name for p in tool.parameters]
    assert len(set(names)) == len(names)
    assert {*tool.arguments, *tool.one_of, *(p.of for p in tool.parameters if p.kind == "field")} <= set(names)
    assert ("--progress" in options) == ("--progress" in tool.always)
    for p in tool.parameters:
        option = options.get(p.option)
        if p.kind == "choice":
            assert isinstance(option, click.Option) and isinstance(option.type, click.Choice)
            assert tuple(option.type.choices) == p.choices
        if p.kind == "flag" and p.option:
            assert isinstance(option, click.Option) and option.is_flag


# Options that no tool offers, each with its reason.
LEFT_OUT = {
    ("info", "--json"): "a person reads the description",
    ("classify", "--quiet"): "the log holds what geokd prints",
    ("classify", "--verbose"): "the manifest holds the value of every option",
    ("style", "--template"): "in QGIS a legend is changed in the style of the layer, and saved as .qml",
    ("train", "--template"): "prints text to begin a recipe with; what the tool needs is the file",
    ("train", "--dense-template"): "likewise",
} | {
    (command, "--where"): "a layer is filtered, or its features selected, in QGIS"
    for command in ("classify", "info", "robustness", "tile")
}


def test_every_option_of_every_command_is_offered_or_left_out_for_a_reason() -> None:
    left_out = set()
    for name in {tool.command or tool.name for tool in TOOLS}:
        tools = [tool for tool in TOOLS if name == (tool.command or tool.name)]
        offered = {p.option for tool in tools for p in tool.parameters} | {word for t in tools for word in t.always}
        options = {p.opts[-1] for p in options_of(name).values() if isinstance(p, click.Option)}
        left_out |= {(name, option) for option in options - offered}
    assert left_out == set(LEFT_OUT)


@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.name)
def test_defaults_are_those_of_the_command(tool: Tool) -> None:
    options = options_of(tool.command or tool.name)
    for p in tool.parameters:
        option = options.get(p.option)
        if p.option and p.default is not None and p.kind != "flag" and p.name != "NAME":
            assert isinstance(option, click.Option)
            assert option.required or str(p.default) == str(option.default), p.name


def test_arguments_of_classify() -> None:
    values: dict[str, object] = {
        "SCENES": ["/d/a b.tif", "-x.tif"],
        "PRODUCTS": ["/d/S2.SAFE"],
        "MODEL": "auto",
        "AOI": "/d/я.gpkg:layer",
    }
    values |= {"EXTENT": "-76.2,37.8,-76,37.9", "MIN_AREA": 0.5, "SMOOTH": 3, "POLYGONS": False, "REPORT": True}
    values |= {"MASK": "", "STRIDE": None, "LOAD": True, "OUTPUT": "/o"}
    assert command(TOOL["classify"], values) == [
        *("classify", "--json", "--progress", "json", "--model=auto", "--aoi=/d/я.gpkg:layer"),
        *("--bbox=-76.2,37.8,-76,37.9", "--smooth=3", "--min-area=0.5", "--no-polygons", "--report", "--output=/o"),
        *("--", "/d/a b.tif", "-x.tif", "/d/S2.SAFE"),
    ]


def test_names_of_results_in_a_folder() -> None:
    words = command(TOOL["mosaic"], {"MAPS": ["a", "b"], "NAME": "both", "OUTPUT": "/o", "POLYGONS": True})
    assert f"--output={Path('/o', 'both_landuse.tif')!s}" in words
    words = command(TOOL["style"], {"MODEL": "rsscn7", "LEGEND": "l.toml", "NAME": "own", "OUTPUT": "/o"})
    assert words == ["style", "--json", f"--output={Path('/o', 'own.onnx')!s}", "--", "l.toml", "rsscn7"]
    words = command(TOOL["train"], {"CHIPS": "c", "SET": ["seed=1", "student.epochs=2"], "OUTPUT": "/o"})
    assert words[4:] == ["--set=seed=1", "--set=student.epochs=2", "--output=/o", "--", "c"]


def test_a_tool_without_input_says_what_to_give() -> None:
    assert "SCENES or PRODUCTS" in missing(TOOL["classify"], {"SCENES": [], "PRODUCTS": None})
    assert missing(TOOL["classify"], {"PRODUCTS": ["a"]}) == ""
    assert missing(TOOL["review"], {}) == ""


def test_outputs_and_layers_of_several_maps() -> None:
    made = [
        {"outputs": {"class_raster": f"{stem}_landuse.tif", "polygons": f"{stem}_landuse.gpkg", "summary": "s.csv"}}
        for stem in ("a", "b")
    ]
    found = outputs(TOOL["classify"], {"OUTPUT": "/o"}, made)
    assert found["LANDUSE"] == str(Path("/o", "a_landuse.tif"))
    assert "CONFIDENCE" not in found
    assert [(layer.group, layer.kind, layer.shown) for layer in layers({"OUTPUT": "/o"}, made)] == [
        *(("a", "vector", False), ("a", "raster", True), ("b", "vector", False), ("b", "raster", True))
    ]


@pytest.mark.parametrize("names", ["of Qt 5", "of Qt 6"])
def test_names_of_both_generations_of_qgis(names: str, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (PLUGIN / "compat.py").read_text(encoding="utf-8")
    pairs = re.findall(r'first_of\("([\w.]+)", "([\w.]+)"\)', text)
    assert len(pairs) == text.count(" = first_of(") == 12
    core = types.ModuleType("qgis.core")
    for pair in pairs:
        path = pair[names == "of Qt 5"].split(".")
        holder: Any = core
        for part in path[:-1]:
            if not hasattr(holder, part):
                setattr(holder, part, types.SimpleNamespace())
            holder = getattr(holder, part)
        setattr(holder, path[-1], ".".join(path))
    package = types.ModuleType("qgis")
    package.core = core  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "qgis", package)
    monkeypatch.delitem(sys.modules, "geokd.qgis.plugin.compat", raising=False)
    compat = importlib.import_module("geokd.qgis.plugin.compat")
    monkeypatch.delitem(sys.modules, "geokd.qgis.plugin.compat")
    assert {getattr(compat, name) for name in vars(compat) if name.isupper()} == {p[names == "of Qt 5"] for p in pairs}
    with pytest.raises(AttributeError, match="this QGIS has none of Qgis.Nothing"):
        compat.first_of("Qgis.Nothing")


@pytest.mark.parametrize("path", sorted(PLUGIN.glob("*.py")), ids=lambda path: path.name)
def test_the_plugin_is_python_3_9(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    ast.parse(text, feature_version=(3, 9))
    assert path.name == "__init__.py" or "from __future__ import annotations" in text


@pytest.mark.parametrize("path", sorted(PLUGIN.glob("*.py")), ids=lambda path: path.name)
def test_no_shell_and_no_code_of_strangers(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    called = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    keywords = {word.arg for node in ast.walk(tree) if isinstance(node, ast.Call) for word in node.keywords}
    assert called & {"eval", "exec", "compile", "os.system", "os.popen", "__import__"} == set()
    assert "shell" not in keywords
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    assert imported & {"pickle", "marshal", "shelve", "telnetlib", "xml"} == set()


def test_metadata_are_those_that_qgis_asks_for() -> None:
    entries = dict(
        line.split("=", 1) for line in (PLUGIN / "metadata.txt").read_text(encoding="utf-8").splitlines() if "=" in line
    )
    assert entries["hasProcessingProvider"] == "yes"
    assert (entries["qgisMinimumVersion"], entries["qgisMaximumVersion"]) == ("3.22", "4.99")
    assert entries["supportsQt6"] == "yes"
    wanted = "name description about version author email tracker repository homepage license tags category icon"
    wanted += " changelog"
    assert set(wanted.split()) <= set(entries)
    assert (PLUGIN / entries["icon"]).is_file()
    assert (PLUGIN / "LICENSE").read_bytes() == (PLUGIN.parents[2] / "LICENSE").read_bytes()
    assert re.fullmatch(r"[\d.]+", entries["version"])
    assert entries["changelog"].endswith(f"First version: {', '.join(tool.name for tool in TOOLS)}.")
