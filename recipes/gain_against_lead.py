"""Gain of a student from a teacher, against the teacher's lead over the student trained on labels only.

    python recipes/gain_against_lead.py PICTURE ABLATION.json [ABLATION.json ...]

Each file is the ablation.json of `geokd ablate`. Prints a row for each loss and fraction of labels, and draws them:
gain and lead are in points of validation accuracy against the first loss of the same setting, intervals 95 % over
seeds. Both are differences to the same figure, so its chance alone makes them go together a little.
"""

import json
import sys
from dataclasses import dataclass
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

MARKERS = "osD^vPX*"


@dataclass(frozen=True)
class Point:
    """One loss of one setting, in points."""

    source: str
    setting: str
    loss: str
    lead: float
    gain: float
    interval: tuple[float, float]


def read_points(path: Path) -> list[Point]:
    """Read the losses with a teacher of an ablation; interval is (gain, gain) for a single seed."""
    rows = json.loads(path.read_text(encoding="utf-8"))["rows"]
    alone = {(r["fraction"], r["unlabelled"]): r["accuracy"] for r in rows if r.get("difference") is None}
    points = []
    for row in rows:
        if row["teacher"] is None or row.get("difference") is None:
            continue
        setting = f"{100 * row['fraction']:g} %{' and unlabelled' * row['unlabelled']}"
        gain = 100 * row["difference"]["difference"]
        low, high = row["difference"]["interval_95"] or (gain / 100, gain / 100)
        lead = 100 * (row["teacher"] - alone[row["fraction"], row["unlabelled"]])
        points.append(Point(path.stem, setting, row["loss"], lead, gain, (100 * low, 100 * high)))
    return points


def draw(points: list[Point], picture: Path) -> None:
    """Draw gain against lead: a colour for each loss, a marker for each file."""
    losses, sources = (list(dict.fromkeys(getattr(p, name) for p in points)) for name in ("loss", "source"))
    figure, axes = plt.subplots(figsize=(8, 5), layout="constrained")
    for point in points:
        reach = [[point.gain - point.interval[0]], [point.interval[1] - point.gain]]
        look = {"color": f"C{losses.index(point.loss)}", "marker": MARKERS[sources.index(point.source) % len(MARKERS)]}
        aside = 0.08 * losses.index(point.loss)  # so that intervals do not cover each other
        axes.errorbar([point.lead + aside], [point.gain], reach, capsize=3, linestyle="", **look)
    for number, loss in enumerate(losses):
        axes.plot([], [], color=f"C{number}", label=loss)
    for number, source in enumerate(sources):
        axes.plot([], [], color="grey", marker=MARKERS[number % len(MARKERS)], linestyle="", label=source)
    axes.axhline(0, color="grey", linewidth=1)
    axes.axvline(0, color="grey", linewidth=1)
    axes.set(xlabel="teacher's lead over labels alone, points", ylabel="gain over labels alone, points")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    figure.savefig(picture, dpi=120)


def main(picture: str, *files: str) -> None:
    """Print and draw."""
    points = [point for file in files for point in read_points(Path(file))]
    for p in sorted(points, key=lambda p: p.lead):
        low, high = p.interval
        line = f"{p.source}, {p.setting}, {p.loss}: lead {p.lead:+.2f}, gain {p.gain:+.2f} ({low:+.2f} to {high:+.2f})"
        print(line)
    draw(points, Path(picture))


if __name__ == "__main__":
    main(*sys.argv[1:])
