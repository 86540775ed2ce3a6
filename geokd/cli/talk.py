"""What the commands print, all of it, passes here."""

import click

from geokd.text import printable


def echo(text: str = "", *, err: bool = False, nl: bool = True) -> None:
    """Print a line, or several: data to stdout, or with `err` talk to stderr.

    Names of bands, classes and files come from strangers: what a terminal would obey in them is shown instead.
    Without `nl` no new line is added.
    """
    click.echo(printable(text), nl=nl, err=err)
