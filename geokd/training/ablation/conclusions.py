"""Interpretation of an ablation, in words: no more than its seeds allow."""

from itertools import groupby
from typing import Any

from geokd.statistics.comparison import holm

_LEVEL = 0.05


def conclusions(rows: list[dict[str, Any]]) -> list[str]:
    """List for each setting which losses are shown to be better or worse than its first, and what could not be shown.

    A loss is shown to differ if p of its paired t-test over seeds is below 0.05 when adjusted for the number of losses
    that the setting compares.

    Parameters
    ----------
    rows : list of dict
        From :func:`geokd.training.ablation.ablate.ablate`, sorted by setting.

    Returns
    -------
    list of str
        One sentence per setting with several losses; and one more if initial weights were trained on validation chips.
    """
    said = []
    for (labels, _, unlabelled), group in groupby(rows, key=_setting):
        first, *others = sorted(group, key=lambda row: "difference" in row)
        if others:
            where = f"{labels:,} labels{' and unlabelled chips' * unlabelled}"
            said.append(f"{where}: {'; '.join([*_compared(first, others), *_teacher(first, others)])}")
    known = {row["loss"]: row["seen_before"] for row in rows if row.get("seen_before")}
    if known:
        said.append(
            f"{max(known.values()):,} of the {rows[0]['n']:,} validation chips trained the weights that students or"
            f" teachers of {', '.join(known)} start from: these accuracies do not apply to new chips"
        )
    return said


def _setting(row: dict[str, Any]) -> tuple[int, float, bool]:
    return row["labelled_chips"], row["fraction"], row["unlabelled"]


def _compared(first: dict[str, Any], others: list[dict[str, Any]]) -> list[str]:
    """Compare each of the other losses with the first."""
    tested = [row for row in others if row["difference"]["p"] is not None]
    adjusted = holm([row["difference"]["p"] for row in tested])
    parts = [_shown(row, first, p) for row, p in zip(tested, adjusted, strict=True) if p < _LEVEL]
    still_open = [(row, p) for row, p in zip(tested, adjusted, strict=True) if p >= _LEVEL]
    if still_open:
        names = ", ".join(row["loss"] for row, _ in still_open)
        least, reach = min(p for _, p in still_open), max(_reach(row) for row, _ in still_open)
        more = " or more" * (len(still_open) > 1)
        parts.append(
            f"{names} not shown to differ from {first['loss']} (p {least:.2g}{more}, up to {reach:.1f} points either"
            " way still possible)"
        )
    untested = [row["loss"] for row in others if row["difference"]["p"] is None]
    if untested:
        parts.append(
            f"{', '.join(untested)} not tested: the runs have one seed, or equal differences; more seeds are needed"
        )
    if len(tested) > 1:
        parts.append(f"p adjusted for {len(tested)} comparisons")
    return parts


def _shown(row: dict[str, Any], first: dict[str, Any], p: float) -> str:
    difference = row["difference"]
    low, high = sorted(100 * abs(bound) for bound in difference["interval_95"])
    return (
        f"{row['loss']} is {'better' if difference['difference'] > 0 else 'worse'} than {first['loss']} by"
        f" {100 * abs(difference['difference']):.2f} points ({low:.2f} to {high:.2f}, p {p:.2g})"
    )


def _reach(row: dict[str, Any]) -> float:
    low, high = row["difference"]["interval_95"]
    return 100 * max(-float(low), float(high))


def _teacher(first: dict[str, Any], others: list[dict[str, Any]]) -> list[str]:
    """Report a teacher that is no better than the student without it."""
    teacher = others[0]["teacher"]
    if first["teacher"] is not None or teacher is None or teacher > first["accuracy"]:
        return []
    return [
        f"the teacher ({100 * teacher:.2f} %) is no better than {first['loss']} without it"
        f" ({100 * first['accuracy']:.2f} %)"
    ]
