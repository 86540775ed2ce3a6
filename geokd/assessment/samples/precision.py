"""Width of the intervals of a labelled sample, and how many more points would make them narrower."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from geokd.assessment.matching import ClassMatch
from geokd.assessment.samples.area_estimation import Estimate, StratifiedSample
from geokd.assessment.samples.goals import SampleGoals
from geokd.assessment.samples.planning import Goal, times_as_many
from geokd.errors import CallError
from geokd.system.documents import Record

_STEPS = (0.1, 0.05, 0.04, 0.03, 0.02, 0.01)
_SHOWN = 2


@dataclass(frozen=True)
class Precision(Record):
    """The width of an interval, and the points that a narrower one needs.

    Parameters
    ----------
    figure : str
        "overall accuracy" or "area of CLASS".
    half_width : float
        Half the width of the 95 % interval, a share; of an area as a share of the mapped one.
    wanted : float
        The half-width that is wanted.
    more_points : int or None
        Additional points to be labelled, allocated to the strata as now; 0 if it is reached; None if even all cells are
        too few.
    """

    figure: str
    half_width: float
    wanted: float
    more_points: int | None


def precision_of(sample: StratifiedSample, match: ClassMatch, goals: SampleGoals | None) -> list[Precision]:
    """Return how wide intervals are, and how many more points would reach the wanted width.

    The shares in each stratum are assumed to be those of the sample, and further points to be allocated like it. If
    there are no goals, rows for the overall accuracy are returned, for the two next smaller half-widths of 10, 5, 4, 3,
    2 and 1 percentage points.

    Parameters
    ----------
    sample : StratifiedSample
    match : ClassMatch
        The judged class of each class of the map.
    goals : SampleGoals or None

    Raises
    ------
    CallError
        If a goal names a class that is not judged.
    """
    return list(_rows(sample, match, goals or SampleGoals()))


def _rows(sample: StratifiedSample, match: ClassMatch, goals: SampleGoals) -> Iterator[Precision]:
    overall = sample.overall_accuracy()
    if overall is not None and (goals.accuracy_within is not None or not goals):
        judged = sample.counts[:, : sample.classes]
        units = judged.sum(axis=(1, 2))
        weights = sample.weights * units / sample.units
        right = np.trace(judged, axis1=1, axis2=2) / np.maximum(units, 1)
        goal = Goal("overall accuracy", weights, right)
        now = _half(overall)
        smaller = [step for step in _STEPS if step < now][:_SHOWN]
        for wanted in smaller if goals.accuracy_within is None else [goals.accuracy_within]:
            yield _row(sample, goal, now, wanted)
    for name, wanted in goals.area_within.items():
        k = _judged_class(match, name)
        share = sample.area_share(k)
        mapped = float(sample.area_matrix()[k].sum())
        if not mapped:
            raise CallError(f"no point lies where {name} is mapped, so the precision of its area cannot be planned")
        goal = Goal(f"area of {match.names[k]}", sample.weights, sample.counts[:, :, k].sum(axis=1) / sample.units)
        yield _row(sample, goal, _half(share) / mapped, wanted)


def _half(estimate: Estimate) -> float:
    return (estimate.high - estimate.low) / 2


def _row(sample: StratifiedSample, goal: Goal, now: float, wanted: float) -> Precision:
    times = times_as_many(goal, sample.units, sample.cells, now, wanted)
    more = None if times is None else math.ceil(int(sample.units.sum()) * (times - 1) - 1e-9)
    return Precision(goal.name, now, wanted, more)


def _judged_class(match: ClassMatch, name: str) -> int:
    folded = name.strip().casefold()
    for k, joined in enumerate(match.names):
        if folded in {part.casefold() for part in (joined, *joined.split(" + "))}:
            return k
    raise CallError(f"there is no class {name}; the classes compared are {', '.join(match.names)}")
