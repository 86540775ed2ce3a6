"""Planning a sample: how many points a map needs for intervals of a wanted width, and how long labelling takes."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from geokd.assessment.samples.goals import PlanOptions, SampleGoals, codes_of
from geokd.assessment.samples.planning import Goal, expected_mixture, fewest_units, half_width, units_at_best
from geokd.assessment.samples.sampling import LEAST, allocate, usual_least
from geokd.errors import CallError
from geokd.maps.map_file import MapFile, Strata, count_cells, open_map
from geokd.system.documents import Record

_EXPECTED = 0.8  # user's accuracy where none is known
_AT_MOST = 0.9  # upper limit of what is expected from confidence: too high a value plans too few points


@dataclass(frozen=True)
class ClassPlan(Record):
    """The plan for a class of the map.

    Parameters
    ----------
    name : str
    cells : int
    area_ha : float
    points : int
    expected_users_accuracy : float or None
        A share; None of unclassified.
    users_half_width, area_half_width : float or None
        Half the width that the 95 % intervals of the user's accuracy and of the area are expected to have, for the area
        as a share of the mapped one; None where there is none.
    """

    name: str
    cells: int
    area_ha: float
    points: int
    expected_users_accuracy: float | None
    users_half_width: float | None
    area_half_width: float | None


@dataclass(frozen=True)
class PlannedGoal(Record):
    """A goal, and what the plan reaches.

    Parameters
    ----------
    name : str
        "overall accuracy" or "area of CLASS".
    wanted, reached : float
        Half-widths of the interval, as shares; of an area as shares of the mapped one.
    points_at_best : int
        Points that this goal alone needs with the optimal allocation for it (Olofsson et al. 2014, eq. 13).
    """

    name: str
    wanted: float
    reached: float
    points_at_best: int


@dataclass(frozen=True)
class SamplePlan(Record):
    """How many points are to be drawn, and the intervals that they are expected to give.

    Parameters
    ----------
    path : str
        The map.
    points : int
    min_per_class : int
    minutes : float
        Time for labelling.
    expected_accuracy, accuracy_half_width : float
        Overall accuracy that is expected, and half the width of its 95 % interval.
    classes : tuple of ClassPlan
    goals : tuple of PlannedGoal
    notes : tuple of str
    """

    path: str
    points: int
    min_per_class: int
    minutes: float
    expected_accuracy: float
    accuracy_half_width: float
    classes: tuple[ClassPlan, ...]
    goals: tuple[PlannedGoal, ...]
    notes: tuple[str, ...]


def plan_sample(
    class_map: str | Path,
    goals: SampleGoals | None = None,
    points: int | None = None,
    options: PlanOptions | None = None,
) -> SamplePlan:
    """Plan a sample of a map: how many points of each class are needed for intervals of a wanted width.

    Points are allocated as by :func:`geokd.sample`. Intervals are those that :func:`geokd.assess` is expected to give
    if the user's accuracies are as expected.

    Parameters
    ----------
    class_map : path
        A class raster `<stem>_landuse.tif`.
    goals : SampleGoals, optional
        The plan reaches all of them. If there are none, `points` must be given.
    points : int, optional
        Number of points; the plan lists which widths they reach.
    options : PlanOptions, optional

    Returns
    -------
    SamplePlan

    Raises
    ------
    CallError
        If the map does not exist, a class is unknown, or even all cells of the map do not reach the goals.
    SceneError
        If the map cannot be read.
    """
    goals, options = goals or SampleGoals(), options or PlanOptions()
    if points is None and not goals:
        raise CallError("a plan needs a goal: the number of points, --accuracy-within or --area-within")
    source = open_map(class_map)
    strata = count_cells(source)
    if not strata.cells.sum():
        raise CallError(f"{source.path} has no mapped cells, so nothing can be planned")
    shares, notes = _expected(source, options)
    figures = _Figures(source, strata, shares)
    wanted = figures.wanted(goals)

    def units(total: int) -> NDArray[np.int64]:
        return allocate(strata.cells, strata.areas_ha, total, _least(options, strata, total))

    if points is None:
        points = _fewest(units, wanted, strata, options, source.path)
    lowest = int(np.minimum(strata.cells, _least(options, strata, points)).sum())
    if not lowest <= points <= strata.cells.sum():
        raise CallError(f"{points} points cannot be planned; take {lowest} to {strata.cells.sum()}")
    drawn = units(points)
    return SamplePlan(
        source.path,
        points,
        _least(options, strata, points),
        points * options.minutes_per_point,
        figures.overall.expected,
        half_width(figures.overall, drawn.astype(np.float64), strata.cells),
        tuple(figures.of_class(code, drawn) for code in range(len(source.legend))),
        tuple(_reached(goal, drawn, strata) for goal in wanted),
        tuple(notes),
    )


def _least(options: PlanOptions, strata: Strata, total: int) -> int:
    if options.min_per_class is not None:
        return options.min_per_class
    return usual_least(total, int((strata.cells > 0).sum()))


def _expected(source: MapFile, options: PlanOptions) -> tuple[NDArray[np.float64], list[str]]:
    """Return the expected user's accuracy of each class, and where it comes from."""
    confidences = {
        row.name: row.mean_confidence / 100
        for row in source.manifest.areas
        if row.cells and row.mean_confidence is not None
    }
    shares = np.array([min(confidences.get(c.name, _EXPECTED), _AT_MOST) for c in source.legend])
    stated = {name: share for name, share in options.expected.items() if name}
    if "" in options.expected:
        shares[:] = options.expected[""]
    for code, share in codes_of(stated, source.legend, source.path).items():
        shares[code] = share
    if "" in options.expected or len(stated) >= len(source.offered):
        return shares, []
    of = "the model's mean confidence in each class, at most 90 %" if confidences else "80 % of each class"
    return shares, [f"expected user's accuracies are {of}; give your own with --expect"]


class _Figures:
    """The figures of a map as goals: overall accuracy, and user's accuracy and area of each class."""

    def __init__(self, source: MapFile, strata: Strata, shares: NDArray[np.float64]) -> None:
        self._legend, self._strata, self._shares = source.legend, strata, shares
        self._path, self._unclassified = source.path, source.unclassified
        classes = len(source.offered)
        judged = strata.areas_ha.copy()
        judged[classes:] = 0
        self.overall = Goal("overall accuracy", judged, shares)
        self._mixture = expected_mixture(strata.areas_ha[:classes], shares[:classes])
        if classes < len(shares):  # unclassified cells are assumed to be divided over the classes by their areas
            rest = strata.areas_ha[:classes] / max(strata.areas_ha[:classes].sum(), 1e-12)
            self._mixture = np.concatenate([self._mixture, rest[np.newaxis]])

    def wanted(self, goals: SampleGoals) -> list[Goal]:
        """Goals with their margins."""
        found = []
        if goals.accuracy_within is not None:
            found.append(replace(self.overall, margin=goals.accuracy_within))
        for code, within in goals.by_code(self._legend, self._path).items():
            if code == self._unclassified or not self._strata.cells[code]:
                raise CallError(f"{self._path} has no cells of {self._legend.names[code]}, so none can be planned")
            area = self._area(code)
            found.append(replace(area, margin=within * area.whole))
        return found

    def of_class(self, code: int, units: NDArray[np.int64]) -> ClassPlan:
        """Return the plan for a class."""
        cells, area_ha = int(self._strata.cells[code]), float(self._strata.areas_ha[code])
        name, points = self._legend.names[code], int(units[code])
        if code == self._unclassified or not cells:
            return ClassPlan(name, cells, area_ha, points, None, None, None)
        own = np.zeros(len(units))
        own[code] = 1
        drawn = units.astype(np.float64)
        users = half_width(Goal("", own, self._shares), drawn, self._strata.cells)
        area = self._area(code)
        of_area = half_width(area, drawn, self._strata.cells) / area.whole
        return ClassPlan(name, cells, area_ha, points, float(self._shares[code]), users, of_area)

    def _area(self, code: int) -> Goal:
        areas, mixture = self._strata.areas_ha, self._mixture[:, code]
        return Goal(f"area of {self._legend.names[code]}", areas, mixture, whole=float(areas[code] / areas.sum()))


def _fewest(
    units: Callable[[int], NDArray[np.int64]], wanted: list[Goal], strata: Strata, options: PlanOptions, path: str
) -> int:
    """Find the fewest points that reach all goals.

    Raises
    ------
    CallError
        If even all cells do not reach them.
    """

    def reached(total: int) -> bool:
        drawn = units(total).astype(np.float64)
        return all(half_width(goal, drawn, strata.cells) <= (goal.margin or 1) for goal in wanted)

    lowest = int(np.minimum(strata.cells, options.min_per_class or LEAST).sum())
    points = fewest_units(reached, lowest, int(strata.cells.sum()))
    if points is None:
        raise CallError(f"all {strata.cells.sum():,} cells of {path} do not reach the goals; take wider intervals")
    return points


def _reached(goal: Goal, units: NDArray[np.int64], strata: Strata) -> PlannedGoal:
    assert goal.margin is not None
    reached = half_width(goal, units.astype(np.float64), strata.cells)
    return PlannedGoal(goal.name, goal.margin / goal.whole, reached / goal.whole, units_at_best(goal, strata.cells))
