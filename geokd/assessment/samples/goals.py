"""What a sample is planned for, and what the plan is based on."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from geokd.assessment.samples.sampling import LEAST
from geokd.errors import CallError, Checked
from geokd.legend.classes import Legend


@dataclass(frozen=True)
class SampleGoals(Checked):
    """Intervals of a wanted width.

    Parameters
    ----------
    accuracy_within : float or None
        Half the width of the 95 % interval of the overall accuracy, as a share: 0.03 for estimate -+ 3 points.
    area_within : dict of str to float
        For classes of the map, by name, half the width of the interval of their area, as a share of their mapped area.

    Raises
    ------
    CallError
        If a width is not between 0 and 1.
    """

    accuracy_within: float | None = None
    area_within: Mapping[str, float] = field(default_factory=dict)

    def _problems(self) -> list[str]:
        widths = [("the overall accuracy", self.accuracy_within)]
        widths += [(f"the area of {name}", within) for name, within in self.area_within.items()]
        return [
            f"{what} within {100 * within:g} % is not possible; take more than 0 and less than 100"
            for what, within in widths
            if within is not None and not 0 < within < 1
        ]

    def __bool__(self) -> bool:
        return self.accuracy_within is not None or bool(self.area_within)

    def by_code(self, legend: Legend, source: str) -> dict[int, float]:
        """Return the wanted widths of areas by code of the class.

        Raises
        ------
        CallError
            If a class is unknown.
        """
        return codes_of(self.area_within, legend, source)


@dataclass(frozen=True)
class PlanOptions(Checked):
    """What a plan is based on.

    Parameters
    ----------
    expected : dict of str to float
        Expected user's accuracies of classes, 0 to 1, by name; "" for all that are not named. Default: the
        mean confidence of the class in the map's manifest, but at most 0.9; 0.8 without a manifest.
    min_per_class : int or None
        Minimum number of points in each class; None: as in :class:`geokd.SampleOptions`.
    minutes_per_point : float
        Time that labelling a point takes.

    Raises
    ------
    CallError
        If a value is out of its range.
    """

    expected: Mapping[str, float] = field(default_factory=dict)
    min_per_class: int | None = None
    minutes_per_point: float = 1.0

    def _problems(self) -> list[str]:
        problems = [
            f"an expected accuracy of {100 * share:g} %{f' of {name}' if name else ''} is not within 0..100"
            for name, share in self.expected.items()
            if not 0 <= share <= 1
        ]
        if self.min_per_class is not None and self.min_per_class < LEAST:
            problems.append(f"{self.min_per_class} points per class are too few for a variance; take {LEAST} or more")
        if not 0 < self.minutes_per_point < math.inf:
            problems.append(f"{self.minutes_per_point:g} minutes per point is not a duration; take more than 0")
        return problems


def codes_of(wanted: Mapping[str, float], legend: Legend, source: str) -> dict[int, float]:
    """Find the codes of classes that a call names.

    Raises
    ------
    CallError
        If some are unknown: all of them in one message.
    """
    found = {name: legend.code_of(name) for name in wanted}
    unknown = [name for name, code in found.items() if code is None]
    if unknown:
        raise CallError(f"{source} has no class {', '.join(unknown)}; it has {', '.join(legend.names)}")
    return {code: wanted[name] for name, code in found.items() if code is not None}
