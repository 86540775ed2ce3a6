"""Text of unknown origin does nothing to what shows it."""

import ast
from pathlib import Path

import pytest

import geokd
from geokd.text import file_name, printable, table_cell, without_secrets


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


@pytest.mark.parametrize(
    ("text", "shown", "name"),
    [
        ("https://a.b/x/scene.tif?sig=SECRET%3D", "https://a.b/x/scene.tif", "scene.tif"),
        ("https://user:pass@a.b/my%20scene.tif", "https://a.b/my%20scene.tif", "my scene.tif"),
        ("https://a.b/x%2F..%2Fscene%0A.tif", "https://a.b/x%2F..%2Fscene%0A.tif", "scene_.tif"),
        ("/vsicurl/https://a.b/scene.tif?sig=SECRET", "/vsicurl/https://a.b/scene.tif", "scene.tif"),
        (
            "/vsicurl?header.Authorization=Bearer%20S&url=https%3A%2F%2Fh%2Fscene.tif%3Fsig%3DSECRET",
            *("/vsicurl/https://h/scene.tif", "scene.tif"),
        ),
        ("/vsis3/bucket/scene.tif", "/vsis3/bucket/scene.tif", "scene.tif"),
        ("red=https://a/r.tif?s=1,green=https://a/g.tif?s=2", "red=https://a/r.tif,green=https://a/g.tif", "g.tif"),
        ("PG:host=h user=u password='se cret' table=x", "PG:host=h user=u password=*** table=x", None),
        (
            "cannot read https://a/r.tif?s=1: 403 (see https://a/b?c)",
            "cannot read https://a/r.tif: 403 (see https://a/b)",
            None,
        ),
        ("what is 100%? 'a/scene?.tif' and it?", "what is 100%? 'a/scene?.tif' and it?", None),
        ("folder/scene?x.tif", "folder/scene?x.tif", "scene?x.tif"),
    ],
)
def test_addresses_lose_their_secrets_and_nothing_else(text: str, shown: str, name: str | None) -> None:
    assert without_secrets(text) == shown
    if name is not None:
        assert file_name(text) == name
