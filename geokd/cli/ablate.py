"""`geokd ablate`."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from geokd.cli.options import json_option, kept_when_interrupted, recipe_option, set_option, validation_option
from geokd.cli.table import percent
from geokd.cli.talk import echo, progress_option, report

if TYPE_CHECKING:
    from collections.abc import Sequence

    from geokd.statistics.comparison import PairedDifference
    from geokd.training.ablation.rows import AblationRow

_HEAD = (
    "labels",
    "loss",
    "steps",
    "accuracy, mean (95 % over seeds)",
    "seeds",
    "difference from the first, points",
    "p",
    "McNemar, each chip once per seed",
)


def _losses(_: click.Context, __: click.Parameter, text: str | None) -> tuple[str, ...] | None:
    return None if text is None else tuple(part.strip() for part in text.split(","))


def _fractions(_: click.Context, __: click.Parameter, text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise click.BadParameter(f"{text!r} is not a list of numbers such as 0.01,0.1,1") from error


@click.command()
@click.argument("chips", type=click.Path(path_type=Path))
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="Folder for all runs.")
@recipe_option
@set_option
@validation_option
@click.option("--seeds", type=int, default=3, show_default=True, help="Number of runs of each loss.")
@click.option(
    "--losses",
    callback=_losses,
    metavar="LIST",
    help="Losses; the first is the reference.  [default: ce,ce+kl,ce+cosine,ce+kl+cosine,ce+standardised_kl]",
)
@click.option(
    "--fractions",
    callback=_fractions,
    default="1",
    metavar="LIST",
    help="Fractions of the training chips whose labels are used, such as 0.01,0.1,1.  [default: 1]",
)
@click.option(
    "--unlabelled", is_flag=True, help="Also train on the other chips, with the teacher's answers in place of labels."
)
@click.option(
    "--resume", is_flag=True, help="Continue an interrupted ablation, or add losses, seeds or fractions to it."
)
@json_option
@progress_option
def ablate(
    chips: Path,
    *,
    output: Path,
    recipe: Path | None,
    changes: tuple[str, ...],
    validation: Path | None,
    seeds: int,
    losses: tuple[str, ...] | None,
    fractions: tuple[float, ...],
    unlabelled: bool,
    resume: bool,
    as_json: bool,
) -> None:
    """Train students on CHIPS with several losses, to find out whether distillation improves them.

    Runs of one seed differ only in the loss. A table and its interpretation are written to stdout, ablation.json and
    ablation.png to the output folder, with all runs.
    """
    from geokd.training.ablation.ablate import ablate as run_ablation
    from geokd.training.ablation.options import LOSSES, AblationOptions
    from geokd.training.recipe_file import load_recipe

    options = AblationOptions(seeds, losses or LOSSES, fractions, unlabelled)
    resolved = load_recipe(recipe, changes)
    with kept_when_interrupted(output):
        result = run_ablation(chips, output, resolved, options, validation=validation, resume=resume, progress=report)
    if as_json:
        echo(json.dumps([row.to_json() for row in result.rows], indent=2))
    else:
        echo("\n".join([_table(result.rows), *result.conclusions]))


def _table(rows: "Sequence[AblationRow]") -> str:
    """Format the rows of an ablation as a Markdown table."""
    lines = [f"| {' | '.join(_HEAD)} |", "|---" * len(_HEAD) + "|"]
    for row in rows:
        difference, counts = row.difference, row.mcnemar
        others = row.unlabelled and row.teacher is not None
        cells = [
            f"{row.labelled_chips}{' and unlabelled ones' * others}",
            row.loss,
            str(row.steps),
            percent(row.accuracy, row.interval_95),
            str(len(row.accuracies)),
            "" if difference is None else _points(difference),
            "" if difference is None or difference.p is None else f"{difference.p:.2g}",
            "" if counts is None else f"won {counts.won}, lost {counts.lost}, p {counts.p:.2g}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    teachers = {(row.labelled_chips, row.teacher, row.n) for row in rows if row.teacher is not None}
    notes = [f"teacher of {labels} labels: {percent(share)} of {n} validation chips" for labels, share, n in teachers]
    return "\n".join([*lines, *sorted(notes)])


def _points(difference: "PairedDifference") -> str:
    bounds = difference.interval_95
    interval = "" if bounds is None else f" ({100 * bounds[0]:+.2f} to {100 * bounds[1]:+.2f})"
    return f"{100 * difference.difference:+.2f}{interval}"
