"""`geokd compare`."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from geokd.cli.options import json_option, overwrite_option
from geokd.cli.table import aligned, percent
from geokd.cli.talk import echo, progress_option, report

if TYPE_CHECKING:
    from collections.abc import Sequence

    from geokd.assessment.compare import ComparedModel, Comparison

_HEAD = ("", "model", "network", "precision", "parameters", "MB", "M mult-adds", "chips/s", "times as fast")
_HEAD_ON_CHIPS = (
    "",
    "model",
    "accuracy (95 % interval)",
    "ECE",
    "temperature",
    "agrees with 1",
    "only it right",
    "only 1 right",
    "McNemar's p",
)
_COUNTS = {"won": ",", "lost": ",", "p": ".2g"}


@click.command()
@click.argument("models", metavar="MODEL MODEL...", nargs=-1, required=True)
@click.argument("chips")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), metavar="FILE", help="JSON file to write all figures to."
)
@overwrite_option
@json_option
@progress_option
def compare(models: tuple[str, ...], chips: str, output: Path | None, overwrite: bool, as_json: bool) -> None:
    """Compare MODELs with the same classes on labelled CHIPS, a folder or zip archive with one sub-folder per class.

    Prints size, multiply-adds for one patch, speed in one thread, accuracy, calibration error, and the agreement of
    each model with the first.
    """
    from geokd.assessment.compare import compare as compare_models

    figures = compare_models(models, chips, output, overwrite=overwrite, progress=report)
    for note in figures.chips.notes:
        echo(f"  {note}", err=True)
    echo(json.dumps(figures.to_json(), indent=2, allow_nan=False) if as_json else "\n".join(_tables(figures)))


def _tables(figures: "Comparison") -> list[str]:
    """Three tables: properties of the models, their accuracy on the chips, and on the chips of each class."""
    entries = figures.models
    return [
        *aligned("><<<>>>>>", _HEAD, [_what_it_is(i, entry) for i, entry in enumerate(entries, 1)]),
        "MB: size of the file; parameters: as stored, with batch normalisation folded into convolutions in int8",
        "mult-adds: for one patch; chips/s: of the network alone in"
        f" {figures.speed.threads} thread on this machine, median of {figures.speed.rounds} rounds taken in turns;"
        " times as fast: median of the ratios within rounds",
        "",
        *aligned("><>>>>>>>", _HEAD_ON_CHIPS, [_how_it_does(i, entry) for i, entry in enumerate(entries, 1)]),
        f"on {figures.chips.n:,} chips of {figures.chips.path}",
        "",
        *_by_class(entries),
    ]


def _what_it_is(number: int, entry: "ComparedModel") -> tuple[str, ...]:
    return (
        str(number),
        entry.name,
        entry.architecture,
        entry.precision,
        f"{entry.parameters:,}",
        f"{entry.size_bytes / 1e6:.2f}",
        f"{entry.multiply_adds / 1e6:,.1f}",
        f"{entry.chips_per_second:,.0f}",
        f"{entry.times_as_fast:.2f}",
    )


def _how_it_does(number: int, entry: "ComparedModel") -> tuple[str, ...]:
    same = entry.agreement
    return (
        str(number),
        f"{entry.name} {entry.precision}",
        percent(entry.accuracy, entry.interval_95),
        percent(entry.ece),
        f"{entry.temperature:.3g}",
        "-" if same is None else percent(same.share, same.interval_95),
        *("-" if same is None else f"{getattr(same.mcnemar, key):{form}}" for key, form in _COUNTS.items()),
    )


def _by_class(entries: "Sequence[ComparedModel]") -> list[str]:
    """One row a class: its chips, the recall of each model, and the agreement of each with the first."""
    numbers = range(1, len(entries) + 1)
    head = ("class", "chips", *(f"recall {i}" for i in numbers), *(f"1 and {i} agree" for i in numbers[1:]))
    rows = [
        (
            row.name,
            f"{row.n:,}",
            *(percent(entry.per_class[k].recall) for entry in entries),
            *(percent(entry.agreement.per_class[k].share) for entry in entries if entry.agreement is not None),
        )
        for k, row in enumerate(entries[0].per_class)
    ]
    return aligned("<" + ">" * (len(head) - 1), head, rows)
