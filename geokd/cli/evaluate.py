"""`geokd evaluate`."""

import json
from typing import Any

import click

from geokd.cli.options import json_option


@click.command()
@click.argument("model")
@click.argument("chips")
@json_option
def evaluate(model: str, chips: str, as_json: bool) -> None:
    """Classify labelled CHIPS, a folder or zip archive with one sub-folder a class, by MODEL and compare."""
    from geokd.mapping.evaluate import evaluate as evaluate_model

    figures = evaluate_model(model, chips)
    click.echo(_summary(figures), err=True)
    if as_json:
        click.echo(json.dumps(figures, indent=2))


def _summary(figures: dict[str, Any]) -> str:
    low, high = figures["interval_95"]
    width = max(len(row["name"]) for row in figures["per_class"])
    lines = [
        *figures["chips"]["notes"],
        f"{figures['model']['name']} ({figures['model']['precision']}) on {figures['n']:,} chips of"
        f" {figures['chips']['path']}: accuracy {100 * figures['accuracy']:.2f} % (95 % interval {100 * low:.2f} to"
        f" {100 * high:.2f} %), calibration error {100 * figures['ece']:.2f} %,"
        f" {figures['chips_per_second']:,.0f} chips/s",
        f"  {'class':<{width}} {'chips':>7} {'recall':>8} {'precision':>10} {'F1':>7}",
    ]
    lines += [
        f"  {row['name']:<{width}} {row['n']:>7,} {_percent(row['recall']):>8} {_percent(row['precision']):>10}"
        f" {_percent(row['f1']):>7}"
        for row in figures["per_class"]
    ]
    return "\n".join(lines)


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f} %"
