"""The command line: one command per module, each a call of one function of the library."""

import errno
import importlib
import sys
from pathlib import Path
from typing import Any, NoReturn

import click

from geokd.cli.interrupts import INTERRUPTED, interruptible
from geokd.cli.streams import FULL, prepare_streams, unheard
from geokd.cli.talk import echo, logged
from geokd.errors import GeokdError
from geokd.text import printable, without_secrets

# Name, module and attribute, one line for `geokd --help`: listing the commands imports none of them.
_COMMANDS = {
    "classify": ("geokd.cli.classify:classify", "Map the land use of scenes."),
    "models": ("geokd.cli.models:models", "List the shipped models with their input, classes and accuracy."),
    "info": ("geokd.cli.info:info", "Describe a scene or a model, and estimate what mapping takes."),
    "verify": ("geokd.cli.verify:verify", "Check that a model gives the expected results on this machine."),
    "mosaic": ("geokd.cli.mosaic:mosaic", "Join maps of neighbouring scenes into one."),
    "composite": ("geokd.cli.composite:composite", "Join maps of one place from several dates into one."),
    "style": ("geokd.cli.style:style", "Give the classes of a map or model your own names and colours."),
    "sample": ("geokd.cli.sample:sample", "Draw a random sample of a map, to be labelled in QGIS."),
    "assess": ("geokd.cli.assess:assess", "Estimate the accuracy of a map, and error-adjusted areas."),
    "review": ("geokd.cli.review:review", "Choose uncertain cells of a map, to be corrected in QGIS."),
    "robustness": ("geokd.cli.robustness:robustness", "Test a model on simulated changes of a scene."),
    "tile": ("geokd.cli.tile:tile", "Cut a scene into chips, labelled with polygons."),
    "train": ("geokd.cli.train:train", "Train a student on labelled chips or scenes, with a teacher."),
    "export": ("geokd.cli.export:export", "Write a trained student as model files."),
    "evaluate": ("geokd.cli.evaluate:evaluate", "Measure the accuracy of a model on labelled chips."),
    "compare": ("geokd.cli.compare:compare", "Compare models on the same chips: size, speed, accuracy."),
    "ablate": ("geokd.cli.ablate:ablate", "Compare losses: does distillation improve the student?"),
    "qgis-plugin": ("geokd.cli.qgis_plugin:qgis_plugin", "Install geokd in the Processing toolbox of QGIS."),
}
_SHORT = (errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENOMEM)
_TRAIN_EXTRA = ("torch", "torchvision", "onnx", "safetensors", "matplotlib", "scipy")


class _Commands(click.Group):
    """Imports a command when it is called, and reports errors in one sentence with an exit code."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module, _, attribute = _COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in _COMMANDS.items()])

    def main(self, *args: Any, **extra: Any) -> Any:
        prepare_streams()
        try:
            return super().main(*args, **extra)
        except OSError as error:  # raised by --help, which click prints itself
            if error.errno not in FULL or error.filename is not None:
                raise
            echo(f"Error: {unheard(error)}", err=True)
            sys.exit(1)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            with interruptible(), logged():
                return super().invoke(ctx)
        except GeokdError as error:
            _stop(ctx, f"Error: {error}", error.exit_code)
        except ModuleNotFoundError as error:
            if error.name not in _TRAIN_EXTRA:
                raise
            _stop(ctx, f"Error: this command needs {error.name}; install it with pip install 'geokd[train]'", 1)
        except click.UsageError as error:
            raise click.UsageError(printable(without_secrets(error.format_message())), error.ctx) from error
        except OSError as error:
            if _folder_is_gone():
                _stop(ctx, "Error: the current folder was deleted; go to another one with cd, or name full paths", 1)
            if error.errno not in _SHORT:
                raise
            _stop(ctx, f"Error: the system refused a file, a process or memory: {error.strerror}; see ulimit -a", 1)
        except KeyboardInterrupt:
            _stop(ctx, "Interrupted.", INTERRUPTED)


def _folder_is_gone() -> bool:
    """Whether the current folder was deleted."""
    try:
        Path.cwd()
    except FileNotFoundError:
        return True
    return False


def _stop(ctx: click.Context, message: str, exit_code: int) -> NoReturn:
    echo(message, err=True)
    ctx.exit(exit_code)


def _show_version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        import geokd

        echo(f"geokd {geokd.__version__}")
        ctx.exit()


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_show_version, help="Show the version."
)
def main() -> None:
    """Land-use maps from raster scenes with small, distilled networks.

    Commands write data to stdout, and messages and progress to stderr. Exit codes: 0 success, 1 the work failed, 2 the
    call was wrong.
    """
