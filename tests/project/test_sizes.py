"""Modules stay below 350 lines and functions below 60; larger ones stand here with their reasons.

`python -m tests.project.test_sizes` prints a table of the rooms, and all that is larger; with a folder, that of another
commit's `geokd`.
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import geokd

PACKAGE = Path(geokd.__file__).parent
MODULE_LINES, FUNCTION_LINES = 350, 60

LARGE_MODULES: dict[str, str] = {}
LARGE_FUNCTIONS: dict[str, str] = {}


class Function(NamedTuple):
    """A function: its name with its module, its lines in all, and those of its docstring."""

    name: str
    lines: int
    docstring: int


def modules(package: Path = PACKAGE) -> Iterator[tuple[str, str]]:
    for path in sorted(package.rglob("*.py")):
        yield path.relative_to(package).as_posix(), path.read_text(encoding="utf-8")


def functions(module: str, text: str) -> Iterator[Function]:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0]
            docstring = 0 if ast.get_docstring(node) is None else lines_of(first)
            yield Function(f"{module}: {node.name}", lines_of(node), docstring)


def lines_of(node: ast.stmt) -> int:
    assert node.end_lineno is not None
    return node.end_lineno - node.lineno + 1


def large_modules(package: Path = PACKAGE) -> dict[str, int]:
    sizes = {module: len(text.splitlines()) for module, text in modules(package)}
    return {module: size for module, size in sizes.items() if size > MODULE_LINES}


def large_functions(package: Path = PACKAGE) -> list[Function]:
    every = (function for module, text in modules(package) for function in functions(module, text))
    return [function for function in every if function.lines > FUNCTION_LINES]


def test_large_modules_have_a_reason() -> None:
    assert large_modules().keys() == LARGE_MODULES.keys()


def test_large_functions_have_a_reason() -> None:
    """A docstring is one: public functions name their parameters and errors."""
    code = {function.name for function in large_functions() if function.lines - function.docstring > FUNCTION_LINES}
    assert code == LARGE_FUNCTIONS.keys()


def table(package: Path) -> Iterator[str]:
    rooms: dict[str, list[int]] = {}
    for module, text in modules(package):
        room = module.split("/")[0] if "/" in module else "(files)"
        rooms.setdefault(room, []).append(len(text.splitlines()))
    yield "room            files   lines  largest"
    for room, sizes in rooms.items():
        yield f"{room:<14} {len(sizes):>6} {sum(sizes):>7} {max(sizes):>8}"
    every = [size for sizes in rooms.values() for size in sizes]
    yield f"{'all':<14} {len(every):>6} {sum(every):>7} {max(every):>8}"
    yield f"\nmodules above {MODULE_LINES} lines"
    for module, size in large_modules(package).items():
        yield f"{size:>4}  {module}: {LARGE_MODULES.get(module, 'NO REASON')}"
    yield f"\nfunctions above {FUNCTION_LINES} lines"
    for name, lines, docstring in large_functions(package):
        of_docstring = f"{docstring} lines are its docstring" if lines - docstring <= FUNCTION_LINES else "NO REASON"
        yield f"{lines:>4}  {name}: {LARGE_FUNCTIONS.get(name, of_docstring)}"


if __name__ == "__main__":
    print("\n".join(table(Path(sys.argv[1]) if sys.argv[1:] else PACKAGE)))
