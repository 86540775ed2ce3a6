"""`geokd evaluate`."""

import json
from typing import TYPE_CHECKING

import click

from geokd.cli.options import json_option
from geokd.cli.table import aligned, percent
from geokd.cli.talk import echo

if TYPE_CHECKING:
    from geokd.assessment.evaluate import Evaluation


@click.command()
@click.argument("model")
@click.argument("chips")
@json_option
def evaluate(model: str, chips: str, as_json: bool) -> None:
    """Measure the accuracy of MODEL on CHIPS, a folder or zip archive with one sub-folder per class."""
    from geokd.assessment.evaluate import evaluate as evaluate_model

    found = evaluate_model(model, chips)
    echo(_summary(found), err=True)
    if as_json:
        echo(json.dumps(found.to_json(), indent=2))


def _summary(found: "Evaluation") -> str:
    head = (
        f"{found.model.name} ({found.model.precision}) on {found.n:,} chips of {found.chips.path}: accuracy"
        f" {percent(found.accuracy, found.interval_95)}, calibration error {percent(found.ece)},"
        f" {found.chips_per_second:,.0f} chips/s"
    )
    rows = [(row.name, f"{row.n:,}", *map(percent, (row.recall, row.precision, row.f1))) for row in found.per_class]
    table = aligned("<>>>>", ("class", "chips", "recall", "precision", "F1"), rows)
    return "\n".join((*found.chips.notes, head, *table))
