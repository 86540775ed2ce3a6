"""From which weights a student best begins: the same students by labels alone, from the weights of one or another.

    python recipes/initial_weights.py CHIPS VALIDATION OUT FRACTION WEIGHTS WEIGHTS...

FRACTION of the labels is used; WEIGHTS are `imagenet` and names or paths of fp32 bundles, each compared with the
first. OUT keeps the runs, one folder for each; what is there is gone on with.
"""

import sys
from pathlib import Path

import geokd
from geokd.statistics.comparison import paired_difference

SEEDS = 5


def main(chips: str, validation: str, out: str, fraction: str, *weights: str) -> None:
    """Print accuracy and the paired difference to the first, over seeds, as rows of a Markdown table."""
    options = geokd.AblationOptions(SEEDS, ("ce",), (float(fraction),))
    reference = None
    for one in weights:
        folder = Path(out, Path(one).stem)
        recipe = geokd.load_recipe(
            "recipes/paper-ablation.toml", [f"student.initial_weights={one}", "input.ground_resolution_m=1"]
        )
        (row,) = geokd.ablate(chips, folder, recipe, options, validation=validation, resume=folder.is_dir()).rows
        line = f"| {one} | {100 * row.accuracy:.2f} %{_interval(row.interval_95)} |"
        if reference is None:
            reference = row.accuracies
        else:
            found = paired_difference(row.accuracies, reference)
            p = "" if found.p is None else f", p {found.p:.2g}"
            line += f" {100 * found.difference:+.2f}{_interval(found.interval_95, '+')}{p} |"
        print(line, flush=True)


def _interval(bounds: tuple[float, float] | None, sign: str = "") -> str:
    """Bounds in percent; nothing where all seeds are alike."""
    return "" if bounds is None else " ({:{sign}.2f} to {:{sign}.2f})".format(*(100 * b for b in bounds), sign=sign)


if __name__ == "__main__":
    main(*sys.argv[1:])
