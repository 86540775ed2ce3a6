"""Interpretation of an ablation, in words: no more than its seeds allow."""

from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

from geokd.statistics.comparison import holm
from geokd.training.ablation.rows import AblationRow

_LEVEL = 0.05


def conclusions(rows: Sequence[AblationRow]) -> list[str]:
    """List for each setting which losses are shown to be better or worse than its first, and what could not be shown.

    A loss is shown to differ if p of its paired t-test over seeds is below 0.05 when adjusted for the number of losses
    that the setting compares.

    Parameters
    ----------
    rows : sequence of AblationRow
        Sorted by setting.

    Returns
    -------
    list of str
        One sentence per setting with several losses; and one more if initial weights were trained on validation chips.
    """
    said = []
    for (labels, _, unlabelled), group in groupby(rows, key=_setting):
        first, *others = sorted(group, key=lambda row: row.difference is not None)
        if others:
            where = f"{labels:,} labels{' and unlabelled chips' * unlabelled}"
            said.append(f"{where}: {'; '.join([*_compared(first, others), *_teacher(first, others)])}")
    known = {row.loss: row.seen_before for row in rows if row.seen_before}
    if known:
        said.append(
            f"{max(known.values()):,} of the {rows[0].n:,} validation chips trained the weights that students or"
            f" teachers of {', '.join(known)} start from: these accuracies do not apply to new chips"
        )
    return said


def _setting(row: AblationRow) -> tuple[int, float, bool]:
    return row.labelled_chips, row.fraction, row.unlabelled


class _Test(NamedTuple):
    """A loss compared with the first: difference, its 95 % interval, and p."""

    loss: str
    difference: float
    interval_95: tuple[float, float]
    p: float


def _compared(first: AblationRow, others: Sequence[AblationRow]) -> list[str]:
    """Compare each of the other losses with the first."""
    tested = [
        _Test(row.loss, found.difference, found.interval_95, found.p)
        for row in others
        for found in (row.difference,)
        if found is not None and found.interval_95 is not None and found.p is not None
    ]
    tests = [test._replace(p=p) for test, p in zip(tested, holm([test.p for test in tested]), strict=True)]
    parts = [_shown(test, first) for test in tests if test.p < _LEVEL]
    still_open = [test for test in tests if test.p >= _LEVEL]
    if still_open:
        names = ", ".join(test.loss for test in still_open)
        least, reach = min(test.p for test in still_open), max(map(_reach, still_open))
        more = " or more" * (len(still_open) > 1)
        parts.append(
            f"{names} not shown to differ from {first.loss} (p {least:.2g}{more}, up to {reach:.1f} points either"
            " way still possible)"
        )
    untested = [row.loss for row in others if row.loss not in {test.loss for test in tests}]
    if untested:
        parts.append(
            f"{', '.join(untested)} not tested: the runs have one seed, or equal differences; more seeds are needed"
        )
    if len(tests) > 1:
        parts.append(f"p adjusted for {len(tests)} comparisons")
    return parts


def _shown(test: _Test, first: AblationRow) -> str:
    low, high = sorted(100 * abs(bound) for bound in test.interval_95)
    return (
        f"{test.loss} is {'better' if test.difference > 0 else 'worse'} than {first.loss} by"
        f" {100 * abs(test.difference):.2f} points ({low:.2f} to {high:.2f}, p {test.p:.2g})"
    )


def _reach(test: _Test) -> float:
    low, high = test.interval_95
    return 100 * max(-low, high)


def _teacher(first: AblationRow, others: Sequence[AblationRow]) -> list[str]:
    """Report a teacher that is no better than the student without it."""
    teacher = others[0].teacher
    if first.teacher is not None or teacher is None or teacher > first.accuracy:
        return []
    return [
        f"the teacher ({100 * teacher:.2f} %) is no better than {first.loss} without it ({100 * first.accuracy:.2f} %)"
    ]
