"""The import rule: rooms know only those below them, and each heavy library has one room."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import geokd

PACKAGE = Path(geokd.__file__).parent
PLUGIN = PACKAGE / "qgis" / "plugin"  # runs in QGIS's Python, where its folder has another name

# From the top down. A room may import rooms of lower rank, and itself.
RANKS = {
    "__main__": 14,
    "cli": 13,
    "styling": 12,
    "training": 11,
    "assessment": 11,
    "mapping": 10,
    "chips": 9,
    "labels": 8,
    "maps": 7,
    "scenes": 6,
    "model": 5,
    "qgis": 4,
    "legend": 4,
    "statistics": 4,
    "system": 3,
    "files": 2,
    "errors": 1,
    "text": 0,
}
# Libraries, and the only modules that may import them.
ROOMS = {
    "distributed": ("geokd.mapping.workers.quiet_dask",),
    "dask": ("geokd.mapping.workers.quiet_dask",),
    "onnxruntime": ("geokd.model.engine", "geokd.model.trial_run", "geokd.training.quantisation"),
    "onnx": ("geokd.training.",),
    "torch": ("geokd.training.",),
    "torchvision": ("geokd.training.networks", "geokd.training.efficientnet_lite", "geokd.training.initial_weights"),
    "safetensors": ("geokd.training.",),
    "click": ("geokd.cli",),
}
HEAVY = (
    *("torch", "torchvision", "onnx", "onnxruntime", "rasterio", "dask", "distributed", "numpy"),
    *("geopandas", "pandas", "pyogrio", "matplotlib", "scipy"),
)


def modules() -> Iterator[tuple[str, Path]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


def imports(path: Path) -> Iterator[str]:
    """Every module a file imports, wherever in it, as dotted names."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0 or path.is_relative_to(PLUGIN), f"{path} imports relatively"
            yield node.module or ""
            if (node.module or "").split(".")[0] == "geokd":
                yield from (f"{node.module}.{alias.name}" for alias in node.names)


def room(module: str) -> str:
    return module.split(".")[1]


def upward(module: str, imported: str) -> bool:
    """Whether `module` may not know `imported`, both of geokd."""
    if imported == "geokd":
        return room(module) not in ("cli", "__main__")
    own, other = room(module), room(imported)
    if own == other or other not in RANKS:
        return False
    return RANKS[other] >= RANKS[own]


EDGES = [(module, name) for module, path in modules() for name in imports(path)]


def test_every_room_is_known() -> None:
    assert {room(module) for module, _ in modules() if module != "geokd"} <= set(RANKS)
    assert len(EDGES) > 100


def test_modules_import_each_other_in_no_circle() -> None:
    graph: dict[str, set[str]] = {module: set() for module, _ in modules()}
    for module, name in EDGES:
        target = name if name in graph else name.rpartition(".")[0]
        if target in graph and target not in (module, "geokd"):
            graph[module].add(target)
    order = list(TopologicalSorter(graph).static_order())  # CycleError names the circle
    assert len(order) == len(graph)


def test_imports_never_go_upward() -> None:
    inner = [(m, n) for m, n in EDGES if m != "geokd" and n.split(".")[0] == "geokd"]
    assert [f"{m} imports {n}" for m, n in inner if upward(m, n)] == []


def test_the_plugin_for_qgis_needs_nothing_but_qgis() -> None:
    roots = {name.split(".")[0] for module, name in EDGES if module.startswith("geokd.qgis.plugin")}
    own = {path.stem for path in PLUGIN.glob("*.py")} | {""}
    assert roots - own - set(sys.stdlib_module_names) == {"qgis", "processing"}


@pytest.mark.parametrize("library", ROOMS)
def test_each_library_has_one_room(library: str) -> None:
    users = {module for module, name in EDGES if name.split(".")[0] == library}
    assert users, f"nothing imports {library}: take it out of this test"
    allowed = ROOMS[library]
    assert {user for user in users if not user.startswith(allowed)} == set()


@pytest.mark.parametrize(
    ("module", "imported", "wrong"),
    [
        ("geokd.mapping.jobs", "geokd.training.loop", True),
        ("geokd.training.loop", "geokd.assessment.assess", True),
        ("geokd.scenes.grid", "geokd.maps.qgis", True),
        ("geokd.model.bundle", "geokd.scenes.grid", True),
        ("geokd.legend.classes", "geokd.statistics.intervals", True),
        ("geokd.errors", "geokd.legend.classes", True),
        ("geokd.mapping.jobs", "geokd", True),
        ("geokd.cli.info", "geokd.mapping.info", False),
        ("geokd.maps.qgis", "geokd.legend.classes", False),
        ("geokd.mapping.classify", "geokd.mapping.jobs", False),
    ],
)
def test_the_rule_itself(module: str, imported: str, wrong: bool) -> None:
    assert upward(module, imported) is wrong


def loaded_after(code: str) -> set[str]:
    """Which heavy libraries a fresh interpreter has loaded after running `code`."""
    listing = f"{code}\nimport sys\nprint('LOADED', *(m for m in {HEAVY!r} if m in sys.modules))"
    done = subprocess.run([sys.executable, "-c", listing], capture_output=True, text=True, check=True)
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("LOADED")]
    return set(line.split()[1:])


def test_import_is_light() -> None:
    assert loaded_after("import geokd; geokd.__version__; dir(geokd)") == set()


def test_mapping_loads_only_what_it_uses() -> None:
    assert loaded_after("import geokd.mapping.classify") == {"numpy", "onnxruntime", "rasterio"}


def test_every_public_name_is_there() -> None:
    pytest.importorskip("torch", reason="needs the extra geokd[train]")
    for name in geokd.__all__:
        assert getattr(geokd, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = geokd.nothing  # type: ignore[attr-defined]
