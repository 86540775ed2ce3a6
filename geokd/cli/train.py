"""`geokd train`."""

import json
from pathlib import Path

import click

from geokd.cli.options import json_option


@click.command()
@click.argument("chips", type=click.Path(path_type=Path))
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="Folder of the run; must be new.")
@click.option("--recipe", type=click.Path(path_type=Path), help="TOML recipe; the defaults without.")
@click.option("--set", "changes", multiple=True, metavar="KEY=VALUE", help="Set a key of the recipe, as loss.kl=0.")
@click.option(
    "--validation",
    type=click.Path(path_type=Path),
    help="Validation chips; without, a share of CHIPS is set apart, in spatial blocks if they carry coordinates.",
)
@click.option("--resume", is_flag=True, help="Go on with the run in the output folder.")
@json_option
def train(
    chips: Path,
    output: Path,
    recipe: Path | None,
    changes: tuple[str, ...],
    validation: Path | None,
    resume: bool,
    as_json: bool,
) -> None:
    """Train a student on CHIPS, a folder or zip archive with one sub-folder a class.

    A VGG16 teacher is trained first, its answers are kept, and a MobileNetV2 student learns from labels and answers.
    Give the run to `geokd export` for a bundle to map with.
    """
    from geokd.recipe import load_recipe
    from geokd.training.train import train as train_student

    result = train_student(chips, output, load_recipe(recipe, changes), validation=validation, resume=resume)
    click.echo(f"run written to {result.folder}; next: geokd export {result.folder}", err=True)
    if as_json:
        click.echo(json.dumps({"run": str(result.folder), "metrics": result.metrics}, indent=2))
