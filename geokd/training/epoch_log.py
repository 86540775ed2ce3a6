"""`log.csv` of a run: one row per epoch."""

import csv
from pathlib import Path
from typing import Any

from geokd.files import written_whole
from geokd.training.recipe import Stage

LOG_COLUMNS = (
    "stage",
    "epoch",
    "loss",
    "validation_accuracy",
    "learning_rate",
    "seconds",
    "chips_per_second",
)


def log_epoch(path: Path, row: tuple[Any, ...]) -> None:
    """Add a row with the columns LOG_COLUMNS."""
    new = not path.is_file()
    with path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        if new:
            writer.writerow(LOG_COLUMNS)
        writer.writerow([f"{v:.6g}" if isinstance(v, float) else v for v in row])


def forget_epochs(path: Path, stage: Stage, done: int) -> None:
    """Drop rows of epochs whose checkpoint was not written."""
    if path.is_file():
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.reader(file))
        kept = [r for r in rows if len(r) == len(LOG_COLUMNS) and (r[0] != stage or int(r[1]) <= done)]
        with written_whole(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows(kept)
