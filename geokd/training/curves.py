"""Plots of training: of one run by epoch, and of many runs by loss and fraction of labels."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from geokd.files import written_whole
from geokd.training.ablation.rows import AblationRow

_GREY = "#8a8a8a"


def draw_curves(log: Path, picture: Path, title: str) -> None:
    """Draw `log.csv` of a run into a PNG file.

    Parameters
    ----------
    log : Path
        As written by :func:`geokd.training.epoch_log.log_epoch`.
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
        for stage, colour in (("teacher", _GREY), ("student", "#1f5fa8")):
            points = [(int(r["epoch"]), float(r[column])) for r in rows if r["stage"] == stage]
            if points:
                axes.plot(*zip(*points, strict=True), marker="o", markersize=3, color=colour, label=stage)
        axes.set(xlabel="epoch", ylabel=label)
        axes.grid(alpha=0.3)
        axes.legend(frameon=False)
    _save(figure, picture)


def draw_ablation(rows: Sequence[AblationRow], picture: Path, title: str) -> None:
    """Draw rows of :func:`geokd.ablate` into a PNG file: accuracies, and differences from the first loss.

    Means with their 95 % intervals over seeds; faint dots are single runs, grey the teachers. For one fraction, the
    losses are side by side; for several, each is a line over the number of labels.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.2), layout="constrained")
    figure.suptitle(f"{title}: means and 95 % intervals over seeds, {rows[0].n:,} validation chips")
    accuracies, differences = figure.subplots(1, 2, sharex=True)
    kinds = list(dict.fromkeys((row.loss, row.unlabelled) for row in rows))
    losses = list(dict.fromkeys(loss for loss, _ in kinds))
    counts = sorted({row.labelled_chips for row in rows})
    by_labels = len(counts) > 1
    for number, (loss, unlabelled) in enumerate(kinds):
        look = {"color": f"C{losses.index(loss)}", "linestyle": (":" if unlabelled else "-") if by_labels else ""}
        look["markerfacecolor"] = "white" if unlabelled else look["color"]
        aside = 1.04 ** (number - len(kinds) / 2)  # so that intervals do not cover each other
        found = [row for row in rows if (row.loss, row.unlabelled) == (loss, unlabelled)]
        beside = "chips without labels" if found[0].teacher is not None else "as many steps as all get"
        name = f"{loss}, {beside}" if unlabelled else loss
        places = [row.labelled_chips * aside if by_labels else number for row in found]
        _means(accuracies, places, [(row.accuracy, row.interval_95) for row in found], look | {"label": name})
        for place, row in zip(places, found, strict=True):
            runs = [100 * accuracy for accuracy in row.accuracies]
            accuracies.plot([place] * len(runs), runs, color=look["color"], linestyle="", marker=".", alpha=0.4)
        compared = [(p, row.difference) for p, row in zip(places, found, strict=True) if row.difference is not None]
        _means(differences, [p for p, _ in compared], [(d.difference, d.interval_95) for _, d in compared], look)
    _teachers(accuracies, rows, by_labels=by_labels)
    differences.axhline(0, color=_GREY, linewidth=1)
    for axes, what in ((accuracies, "validation accuracy, %"), (differences, f"difference from {losses[0]}, points")):
        axes.set(ylabel=what)
        axes.grid(alpha=0.3)
        if by_labels:
            axes.set(xscale="log", xlabel="labelled chips")
            axes.set_xticks(counts, [f"{count:,}" for count in counts])
            axes.set_xticks([], minor=True)
        else:
            axes.set_xticks(range(len(kinds)), [loss for loss, _ in kinds], rotation=20)
    if len(kinds) > len(losses) or by_labels:
        accuracies.legend(frameon=False)
    _save(figure, picture)


def _teachers(axes: Any, rows: Sequence[AblationRow], *, by_labels: bool) -> None:
    """Draw the accuracy of each teacher: there is one for each fraction of labels."""
    found = dict(sorted({row.labelled_chips: 100 * row.teacher for row in rows if row.teacher}.items()))
    look = {"color": _GREY, "linestyle": "--", "label": "teacher"}
    if by_labels:
        axes.plot(list(found), list(found.values()), marker="s", markersize=4, **look)
    elif found:
        (share,) = found.values()
        axes.axhline(share, **look)
        axes.annotate("teacher", (1, share), xycoords=("axes fraction", "data"), ha="right", va="bottom", color=_GREY)


def _means(
    axes: Any, places: list[float], means: list[tuple[float, tuple[float, float] | None]], look: dict[str, str]
) -> None:
    """Draw means, given as shares, in percent, with their intervals if they have any."""
    if means:
        values = [100 * mean for mean, _ in means]
        reaches = [[100 * abs(bound - mean) for bound in interval or (mean, mean)] for mean, interval in means]
        axes.errorbar(places, values, [*zip(*reaches, strict=True)], marker="o", markersize=4, capsize=3, **look)


def _save(figure: Any, picture: Path) -> None:
    with written_whole(picture) as partial:
        figure.savefig(partial, dpi=120, format="png")
