"""`geokd evaluate`."""

import json
from typing import Any

import click

from geokd.cli.options import json_option
from geokd.cli.table import aligned, percent
from geokd.cli.talk import echo


@click.command()
@click.argument("model")
@click.argument("chips")
@json_option
def evaluate(model: str, chips: str, as_json: bool) -> None:
    """Classify labelled CHIPS, a folder or zip archive with one sub-folder a class, by MODEL and compare."""
    from geokd.assessment.evaluate import evaluate as evaluate_model

    figures = evaluate_model(model, chips)
    echo(_summary(figures), err=True)
    if as_json:
        echo(json.dumps(figures, indent=2))


def _summary(figures: dict[str, Any]) -> str:
    head = (
        f"{figures['model']['name']} ({figures['model']['precision']}) on {figures['n']:,} chips of"
        f" {figures['chips']['path']}: accuracy {percent(figures['accuracy'], figures['interval_95'])}, calibration"
        f" error {percent(figures['ece'])}, {figures['chips_per_second']:,.0f} chips/s"
    )
    rows = [
        (row["name"], f"{row['n']:,}", *(percent(row[name]) for name in ("recall", "precision", "f1")))
        for row in figures["per_class"]
    ]
    table = aligned("<>>>>", ("class", "chips", "recall", "precision", "F1"), rows)
    return "\n".join((*figures["chips"]["notes"], head, *table))
