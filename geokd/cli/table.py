"""Tables for reading."""

from collections.abc import Sequence


def aligned(sides: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lay a table out in columns, two spaces apart; `sides` has `<` or `>` for each column. Returns its lines."""
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
