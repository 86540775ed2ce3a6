"""Pictures of trainings: of one run by epoch, and of many runs by loss and fraction of labels."""

import csv
from pathlib import Path
from typing import Any


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
    _save(figure, picture)


def draw_ablation(rows: list[dict[str, Any]], picture: Path, title: str) -> None:
    """Draw rows of :func:`geokd.training.ablation.ablate` into a PNG file: mean accuracies, intervals and single runs.

    Of one fraction, the losses stand side by side; of several, each is a line over the number of labels.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.2), layout="constrained")
    axes = figure.subplots()
    kinds = list(dict.fromkeys((row["loss"], row["unlabelled"]) for row in rows))
    by_labels = len({row["labelled_chips"] for row in rows}) > 1
    for number, (loss, unlabelled) in enumerate(kinds):
        found = [row for row in rows if (row["loss"], row["unlabelled"]) == (loss, unlabelled)]
        places = [row["labelled_chips"] * 1.03 ** (number - len(kinds) / 2) if by_labels else number for row in found]
        means = [100 * row["accuracy"] for row in found]
        reaches = [
            0 if row["interval_95"] is None else 100 * row["interval_95"][1] - m
            for row, m in zip(found, means, strict=True)
        ]
        name = f"{loss}{', and chips without labels' * unlabelled}"
        colour = f"C{[k for k, _ in kinds].index(loss)}"
        line = (":" if unlabelled else "-") if by_labels else ""
        axes.errorbar(places, means, reaches, color=colour, linestyle=line, marker="o", capsize=3, label=name)
        for place, row in zip(places, found, strict=True):
            runs = [100 * accuracy for accuracy in row["accuracies"]]
            axes.plot([place] * len(runs), runs, color=colour, linestyle="", marker=".", alpha=0.5)
    if by_labels:
        axes.set(xscale="log", xlabel="labelled chips")
        axes.legend(frameon=False)
    else:
        axes.set_xticks(range(len(kinds)), [loss for loss, _ in kinds])
    axes.set(title=title, ylabel="validation accuracy, %")
    axes.grid(alpha=0.3)
    _save(figure, picture)


def _save(figure: Any, picture: Path) -> None:
    temporary = picture.with_name(f".{picture.name}.partial")
    figure.savefig(temporary, dpi=120, format="png")
    temporary.replace(picture)
