"""Options for the wanted width of intervals, of `geokd sample` and `geokd assess`."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from geokd.assessment.samples.goals import SampleGoals


class Shares(click.ParamType[tuple[str, float]]):
    """`CLASS=PERCENT` as the class and a share; `PERCENT` alone for all classes where that is allowed."""

    name = "share"

    def __init__(self, *, all_classes: bool = False, per: float = 100, example: str = "Forest=10") -> None:
        self._all, self._per, self._example = all_classes, per, example

    def convert(
        self, value: str | tuple[str, float], param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, float]:
        """Return the name, empty for all classes, and the share."""
        if isinstance(value, tuple):
            return value
        name, _, percent = value.rpartition("=")
        try:
            if not name and not self._all:
                raise ValueError
            return name.strip(), float(percent) / self._per
        except ValueError:
            self.fail(f"{value!r} does not have the form {self._example}" + (" or 85" if self._all else ""), param, ctx)


accuracy_within_option = click.option(
    "--accuracy-within",
    type=click.FloatRange(0, 100, min_open=True, max_open=True),
    metavar="PERCENT",
    help="Wanted half-width of the 95 % interval of the overall accuracy, in percentage points.",
)
area_within_option = click.option(
    "--area-within",
    type=Shares(),
    multiple=True,
    metavar="CLASS=PERCENT",
    help="Wanted half-width of the 95 % interval of a class's area, in percent of its mapped area.",
)


def goals_of(accuracy_within: float | None, area_within: Sequence[tuple[str, float]]) -> "SampleGoals":
    """Combine the two options."""
    from geokd.assessment.samples.goals import SampleGoals

    return SampleGoals(None if accuracy_within is None else accuracy_within / 100, dict(area_within))
