"""`geokd train`."""

import json
from pathlib import Path
from typing import Any

import click

from geokd.cli.options import json_option, kept_when_interrupted, recipe_option, set_option, validation_option
from geokd.cli.talk import echo, progress_option, report


def _print_template(ctx: click.Context, option: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        from geokd.training.recipe_file import dense_template, template

        echo(dense_template() if option.name == "dense_template" else template(), nl=False)
        ctx.exit()


@click.command()
@click.argument("chips", type=click.Path(path_type=Path))
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="Folder of the run; must be new.")
@click.option(
    "--init",
    metavar="BUNDLE",
    help="Train the patch student of this bundle further, with itself as teacher; CHIPS may be few.",
)
@click.option(
    "--unlabelled",
    multiple=True,
    metavar="SCENE|FOLDER",
    help="With --init: scenes or chips on which the old answers are preserved; may be repeated; default: the scene of"
    " CHIPS.",
)
@recipe_option
@set_option
@validation_option
@click.option("--resume", is_flag=True, help="Continue the run in the output folder.")
@click.option(
    "--template",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_template,
    help="Print all keys of a recipe with their defaults as TOML, and exit.",
)
@click.option(
    "--dense-template",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_template,
    help="The same for the recipe of a dense student.",
)
@json_option
@progress_option
def train(
    chips: Path,
    output: Path,
    init: str | None,
    recipe: Path | None,
    changes: tuple[str, ...],
    as_json: bool,
    **choices: Any,
) -> None:
    """Train a student on CHIPS: a folder or zip archive with one sub-folder per class, or a table of scenes.

    First a teacher (default: VGG16) is trained and its answers are stored; then a MobileNetV2 student is trained on
    labels and answers. `geokd export` makes a bundle for mapping from the run.

    A table (.toml or .csv) lists scenes with rasters or polygons that label their pixels. It trains a dense student,
    which classifies every pixel; the recipe must name the classes (see --dense-template).

    With --init the patch student of a bundle is trained further, with chips that `geokd tile` cut around the cells of a
    review. Its own earlier answers on the rest of the scene keep it from forgetting. To train a dense student further,
    name its fp32 bundle as student.initial_weights in a recipe.
    """
    from geokd.training.continuing import continuing_recipe
    from geokd.training.dense.recipe import DenseRecipe
    from geokd.training.dense.sources import is_table
    from geokd.training.recipe import Recipe
    from geokd.training.recipe_file import load_dense_recipe, load_recipe
    from geokd.training.train import train as train_student

    if init is not None and recipe is not None:
        raise click.UsageError("--init has its own recipe: leave out --recipe, or change keys with --set")
    resolved: Recipe | DenseRecipe
    if is_table(chips):
        if init is not None:
            raise click.UsageError("--init is for chips; name the bundle to start from as student.initial_weights")
        resolved = load_dense_recipe(recipe, changes)
    else:
        resolved = load_recipe(recipe, changes) if init is None else continuing_recipe(init, changes)
    with kept_when_interrupted(output):
        result = train_student(chips, output, resolved, **choices, progress=report)
    echo(f"run written to {result.folder}; next: geokd export {result.folder}", err=True)
    if as_json:
        echo(json.dumps({"run": str(result.folder), "metrics": result.metrics.to_json()}, indent=2))
