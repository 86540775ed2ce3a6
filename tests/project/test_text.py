"""Text of unknown origin does nothing to what shows it."""

import ast
from pathlib import Path

import pytest

import geokd
from geokd.text import printable, table_cell


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Wälder, 森林\tand\nmore", "Wälder, 森林\tand\nmore"),
        ("\x1b[2J", "\\u001b[2J"),
        ("a\rb", "a\\u000db"),
        ("\x9b2J\x7f", "\\u009b2J\\u007f"),
        ("exe\u202efdp", "exe\\u202efdp"),
        ("\ud800", "\\ud800"),
    ],
)
def test_what_a_terminal_would_obey_is_shown(text: str, shown: str) -> None:
    assert printable(text) == shown


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(1)", "\t=1", "\r=1"])
def test_a_formula_is_no_formula(text: str) -> None:
    assert table_cell(text) == f"'{text}"
    assert table_cell(f"a {text}") == f"a {text}"


def test_commands_print_in_one_place() -> None:
    printing = []
    for path in sorted((Path(geokd.__file__).parent / "cli").glob("*.py")):
        calls = [node.func for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
        if any(isinstance(f, ast.Attribute) and f.attr in ("echo", "secho") for f in calls):
            printing.append(path.name)
    assert printing == ["talk.py"]
