"""Options of a map."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from geokd.errors import CallError, Checked
from geokd.legend.classes import Legend
from geokd.scenes.acquisition import stated_acquisition

_MOST_SMOOTH_CELLS = 99


@dataclass(frozen=True, kw_only=True)
class MapOptions(Checked):
    """What shapes a map; None leaves it to the scene or the model.

    Parameters
    ----------
    stride_px : int or None
        Distance between patches and side of a cell, in scene pixels; divides the model's patch. None: a quarter patch.
        Not for a dense student, which classifies every cell of a patch.
    min_valid_share : float or None
        Share of valid pixels below which a patch is not classified, 0 to 1. None: 0.25; 0 for a dense student, so that
        every valid pixel gets a class.
    min_confidence : float
        Confidence, 0 to 1, below which a cell is left unclassified; with 0 every cell gets a class of the model.
    min_confidence_of : dict of str to float
        For classes of the model, by name, another minimum confidence than `min_confidence`.
    smooth_cells : int
        Side of the window, in cells, of a majority filter; odd. 1 leaves the map as it is.
    min_area_ha : float
        Minimum mapping unit: area below which a region is merged with its neighbours; 0 leaves the map as it is. After
        smoothing.
    simplify_m : float
        How far the outlines of polygons are simplified: corners are left out whose triangle covers less than a square
        of this side. 0 leaves them along the cells.
    acquired : str or None
        When the scene was taken: a date or a date with its time, in UTC, or two of them with a slash between. None:
        from its metadata or the name of the product.

    Raises
    ------
    CallError
        If an option is out of range: all of them in one message.
    """

    stride_px: int | None = None
    min_valid_share: float | None = None
    min_confidence: float = 0.0
    min_confidence_of: Mapping[str, float] = field(default_factory=dict)
    smooth_cells: int = 1
    min_area_ha: float = 0.0
    simplify_m: float = 0.0
    acquired: str | None = None

    def _problems(self) -> list[str]:
        problems = super()._problems()
        if self.stride_px is not None and self.stride_px < 1:
            problems.append(f"the stride of {self.stride_px} px must be at least 1")
        if self.min_valid_share is not None and not 0 <= self.min_valid_share <= 1:
            problems.append(f"the minimum valid share {self.min_valid_share:g} is not within 0..1")
        if not 0 <= self.min_confidence <= 1:
            problems.append(f"the minimum confidence {self.min_confidence:g} is not within 0..1")
        problems += [
            f"the minimum confidence {share:g} of {name} is not within 0..1"
            for name, share in self.min_confidence_of.items()
            if not 0 <= share <= 1
        ]
        if self.smooth_cells not in range(1, _MOST_SMOOTH_CELLS + 1, 2):
            problems.append(
                f"a window of {self.smooth_cells} cells cannot smooth the map; take an odd number from 1 to"
                f" {_MOST_SMOOTH_CELLS}"
            )
        for name, value, unit in (("minimum area", self.min_area_ha, "ha"), ("simplification", self.simplify_m, "m")):
            if not 0 <= value < math.inf:
                problems.append(f"the {name} of {value:g} {unit} must be 0 or more")
        try:
            if self.acquired is not None:
                stated_acquisition(self.acquired)
        except ValueError as error:
            problems.append(f"the acquisition date {self.acquired!r} cannot be used: {error}")
        return problems

    @property
    def leaves_unsure(self) -> bool:
        """Whether cells may be left unclassified."""
        return self.min_confidence > 0 or any(share > 0 for share in self.min_confidence_of.values())

    @property
    def filters(self) -> bool:
        """Whether filters change classes after the model."""
        return self.smooth_cells > 1 or self.min_area_ha > 0

    def least_confidences(self, legend: Legend) -> tuple[float, ...]:
        """Return the minimum confidence of each class of a model.

        Raises
        ------
        CallError
            If a class is unknown.
        """
        codes = {name: legend.code_of(name) for name in self.min_confidence_of}
        unknown = [name for name, code in codes.items() if code is None]
        if unknown:
            raise CallError(
                f"--min-confidence-of names {', '.join(unknown)}; the model's classes are {', '.join(legend.names)}"
            )
        of = {code: self.min_confidence_of[name] for name, code in codes.items()}
        return tuple(of.get(c.value, self.min_confidence) for c in legend)
