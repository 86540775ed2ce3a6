"""Train a dense student on a table of labelled scenes."""

from pathlib import Path

from geokd.system.progress import Progress, to_stderr
from geokd.training.dense.data import read_dense_data
from geokd.training.dense.recipe import DenseRecipe
from geokd.training.dense.training import train_dense_on
from geokd.training.figures import Metrics
from geokd.training.recipe_file import load_dense_recipe
from geokd.training.run_folder import check_output


def train_dense(
    scenes: str | Path,
    output: str | Path,
    recipe: DenseRecipe | str | Path | None = None,
    *,
    resume: bool = False,
    progress: Progress = to_stderr,
) -> Metrics:
    """Train a dense student, which classifies every cell, on labelled scenes.

    Parameters
    ----------
    scenes : path
        Table of labelled scenes (TOML or CSV), see :func:`geokd.training.dense.sources.read_sources`.
    output : path
        Folder of the run; must be new or empty, unless `resume`.
    recipe : DenseRecipe or path
    resume : bool
        Continue the run in `output`; it must have the same recipe and scenes.
    progress : Progress
        Receives the progress of the training. Default: stderr.

    Returns
    -------
    Metrics
        Of the student, on the held-out pixels, compared with the most probable class of each label.

    Raises
    ------
    CallError, RecipeError, BundleError, ChipError, SceneError, TrainingError
    """
    resolved = recipe if isinstance(recipe, DenseRecipe) else load_dense_recipe(recipe)
    folder = Path(output)
    check_output(folder, resume=resume)
    data = read_dense_data(scenes, resolved, progress)
    return train_dense_on(data, folder, resolved, resume=resume, progress=progress)
