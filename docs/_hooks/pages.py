"""What mkdocs adds to the pages: pictures of the sample data, and the command reference made from `--help`."""

import contextlib
import io
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

import click

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files

ROOT = Path(__file__).parents[2]
PICTURES = "sample_data"
MARK = "<!-- commands -->"


def command_reference() -> str:
    """Give the help of every command as Markdown, a section for each."""
    from geokd.cli import main

    names = main.list_commands(click.Context(main))
    return "\n\n".join([printed(), *(f"## geokd {name}\n\n{printed(name)}" for name in names)])


def printed(*command: str) -> str:
    """Give what `geokd COMMAND --help` prints, as a block of text."""
    from geokd.cli import main

    text = io.StringIO()
    with mock.patch.dict(os.environ, COLUMNS="80"), contextlib.redirect_stdout(text):
        main([*command, "--help"], prog_name="geokd", standalone_mode=False)
    return f"```text\n{text.getvalue().strip()}\n```"


def on_files(files: "Files", config: "MkDocsConfig") -> "Files":
    """Add the pictures of the sample data, which lie outside the folder of the pages."""
    from mkdocs.structure.files import File

    for picture in sorted((ROOT / PICTURES).glob("*.png")):
        files.append(File.generated(config, f"{PICTURES}/{picture.name}", abs_src_path=str(picture)))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Lead to the pictures where the site has them, and fill in the command reference."""
    markdown = markdown.replace(f"](../{PICTURES}/", f"]({PICTURES}/")
    return markdown.replace(MARK, command_reference()) if MARK in markdown else markdown


def on_page_content(html: str, **_: Any) -> str:
    """Take out roles of reStructuredText, as in :func:`geokd.train`, which Markdown does not know."""
    return re.sub(r":(?:func|class|meth|mod):(?=<code>)", "", html)
