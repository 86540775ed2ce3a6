"""`geokd qgis-plugin`."""

import importlib
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from geokd.cli import options as o
from geokd.cli.talk import echo

if TYPE_CHECKING:
    from geokd.qgis.help_texts import HelpText


@click.command(name="qgis-plugin")
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="FILE.zip", help="Zip file to write.")
@click.option("--install", is_flag=True, help="Put the plugin into your profile of QGIS.")
@click.option("--profile", default="default", show_default=True, metavar="NAME", help="With --install: which profile.")
@click.option(
    "--set",
    "entries",
    multiple=True,
    metavar="KEY=VALUE",
    help="With --output: an entry of metadata.txt, as email=me@example.org; may be repeated.",
)
@o.overwrite_option
def qgis_plugin(output: Path | None, install: bool, profile: str, entries: tuple[str, ...], overwrite: bool) -> None:
    """Install geokd in the Processing toolbox of QGIS, or write the plugin as a zip file.

    The plugin runs this geokd in a separate process; QGIS needs no Python package. It is tested with QGIS 3.22 and
    3.44.
    """
    import geokd
    from geokd.qgis.help_texts import texts_of_tools
    from geokd.qgis.packing import install_plugin, pack_plugin

    if install == (output is not None):
        raise click.UsageError("give either --install or --output FILE.zip")
    if install and entries:
        raise click.UsageError("--set is for --output")
    metadata = dict(_entry(text) for text in entries)
    texts = texts_of_tools(command_help())
    if output is not None:
        size = pack_plugin(output, geokd.__version__, texts, metadata=metadata, overwrite=overwrite)
        echo(f"{output}  {size / 1e3:.0f} kB", err=True)
        echo("  in QGIS: Plugins > Manage and Install Plugins > Install from ZIP", err=True)
        return
    executable = own_executable()
    for folder in install_plugin(geokd.__version__, texts, executable, profile):
        echo(f"plugin written to {folder}", err=True)
    echo(f"  it runs {executable or 'the geokd that it finds'}", err=True)
    echo("  in QGIS: restart it, then Plugins > Manage and Install Plugins > Installed > tick geokd", err=True)
    echo("  without windows: qgis_process plugins enable geokd", err=True)


def _entry(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals:
        raise click.BadParameter(f"{text!r} is not an entry such as email=me@example.org", param_hint="--set")
    return key.strip(), value.strip()


def own_executable() -> str:
    """Return the path of the running geokd, or of that in the same environment; empty if there is none."""
    beside = shutil.which("geokd", path=str(Path(sys.executable).parent))
    called = shutil.which(sys.argv[0]) if Path(sys.argv[0]).stem == "geokd" else None
    found = called or beside
    return str(Path(found).absolute()) if found else ""


def command_help() -> dict[str, "HelpText"]:
    """Return the help of the commands that are tools of the plugin."""
    from geokd.qgis.help_texts import HelpText
    from geokd.qgis.plugin.tools import TOOLS

    texts = {}
    for name in dict.fromkeys(tool.command or tool.name for tool in TOOLS):  # also that of its module
        command: click.Command = getattr(importlib.import_module(f"geokd.cli.{name}"), name)
        options = {p.opts[-1]: p.help for p in command.params if isinstance(p, click.Option) and p.help}
        paragraphs = (command.help or "").split("\n\n")
        texts[name] = HelpText("\n\n".join(" ".join(part.split()) for part in paragraphs), options)
    return texts
