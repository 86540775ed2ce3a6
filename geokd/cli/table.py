"""Tables for reading."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from geokd.maps.class_map import ClassArea


def aligned(sides: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Format a table in columns, two spaces apart; `sides` has `<` or `>` for each column. Returns its lines."""
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
    return [
        "  ".join(f"{text:{side}{width}}" for text, side, width in zip(row, sides, widths, strict=True)).rstrip()
        for row in (head, *rows)
    ]


def percent(share: float | None, interval: Sequence[float] | None = None) -> str:
    """Return `97.28 %`, with an interval `97.28 % (96.81 to 97.68)`; `-` for None."""
    if share is None:
        return "-"
    return f"{100 * share:.2f} %" + (
        "" if interval is None else f" ({100 * interval[0]:.2f} to {100 * interval[1]:.2f})"
    )


def area_lines(areas: Sequence["ClassArea"]) -> list[str]:
    """One line per class that has cells, from a manifest's `areas`, the largest first."""
    found = sorted((area for area in areas if area.cells), key=lambda area: -area.area_ha)
    width = max((len(area.title) for area in found), default=0)
    return [
        f"  {area.title:<{width}}  {area.area_ha:>14,.1f} ha  {area.share_percent:5.1f} %"
        f"  confidence {area.mean_confidence:.0f} %"
        for area in found
    ]
