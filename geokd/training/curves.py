"""A picture of a training run: loss and validation accuracy by epoch, teacher and student."""

import csv
from pathlib import Path


def draw_curves(log: Path, picture: Path, title: str) -> None:
    """Draw `log.csv` of a run into a PNG file.

    Parameters
    ----------
    log : Path
        As written by :func:`geokd.training.loop.fit`.
    picture : Path
    title : str
    """
    from matplotlib.figure import Figure

    with log.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    figure.suptitle(title)
    for axes, column, label in zip(
        figure.subplots(1, 2),
        ("loss", "validation_accuracy"),
        ("training loss", "validation accuracy"),
        strict=True,
    ):
        for stage, colour in (("teacher", "#8a8a8a"), ("student", "#1f5fa8")):
            points = [(int(r["epoch"]), float(r[column])) for r in rows if r["stage"] == stage]
            if points:
                axes.plot(*zip(*points, strict=True), marker="o", markersize=3, color=colour, label=stage)
        axes.set(xlabel="epoch", ylabel=label)
        axes.grid(alpha=0.3)
        axes.legend(frameon=False)
    temporary = picture.with_name(f".{picture.name}.partial")
    figure.savefig(temporary, dpi=120, format="png")
    temporary.replace(picture)
