"""Everything that the commands print is printed here."""

import errno
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from geokd.cli.streams import unheard
from geokd.text import printable, without_secrets

_AS_JSON = "geokd.progress_as_json"  # in the context of the call: stderr gets one JSON object per line


def echo(text: str = "", *, err: bool = False, nl: bool = True) -> None:
    """Print one or more lines: data to stdout or, with `err`, messages to stderr.

    Names of bands, classes and files may come from untrusted files: control characters in them are shown as text. If
    `nl` is False, no new line is added. With `--progress json` each message is a JSON object.
    """
    if err and talks_json():
        report(text)
    else:
        _print(text, nl=nl, err=err)


def report(message: str, *, done: int = 0, total: int = 0) -> None:
    """Report how far the work is: a :class:`geokd.system.progress.Progress` that writes to stderr."""
    if talks_json() or message:
        _print(message_line(message, done=done, total=total, as_json=talks_json()), err=True)


def message_line(message: str, *, done: int = 0, total: int = 0, as_json: bool) -> str:
    """Return a message, or a JSON object with it, without secrets and control characters."""
    line = json.dumps({"message": message, "done": done, "total": total}) if as_json else message
    return printable(without_secrets(line))


class _Talk(logging.Handler):
    """Prints the library's log messages in the same way as all others on stderr."""

    def emit(self, record: logging.LogRecord) -> None:
        echo(record.getMessage(), err=True)


@contextmanager
def logged() -> Iterator[None]:
    """Print warnings that the library logs, as long as this context lasts."""
    handler, log = _Talk(logging.WARNING), logging.getLogger("geokd")
    log.addHandler(handler)
    try:
        yield
    finally:
        log.removeHandler(handler)


def _print(text: str, *, err: bool, nl: bool = True) -> None:
    """Print without the secrets of addresses. Messages to a closed stderr are dropped.

    Raises
    ------
    OutputError
        If stdout cannot be written to.
    """
    try:
        click.echo(printable(without_secrets(text)), nl=nl, err=err)
    except OSError as error:
        if err:
            return
        if error.errno == errno.EPIPE:
            raise
        raise unheard(error) from error


def talks_json() -> bool:
    """Whether stderr gets one JSON object per line."""
    context = click.get_current_context(silent=True)
    return context is not None and bool(context.meta.get(_AS_JSON))


def _choose(context: click.Context, _: click.Parameter, form: str) -> None:
    context.meta[_AS_JSON] = form == "json"


def progress_option(command: Any) -> Any:
    """Give a command the option `--progress`."""
    return click.option(
        "--progress",
        type=click.Choice(["text", "json"]),
        default="text",
        show_default=True,
        is_eager=True,
        expose_value=False,
        callback=_choose,
        help="Form of the progress on stderr: text for people, or a JSON object per line with message, done and total.",
    )(command)
