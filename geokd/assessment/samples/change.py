"""Areas that classes gained and lost between two dates, from a sample labelled for both."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from geokd.assessment.labelled import NONE, read_labelled
from geokd.assessment.pairing import MappedChange, mapped_change
from geokd.assessment.samples.area_estimation import Estimate, StratifiedSample, paired_difference
from geokd.errors import CallError, ChipError
from geokd.labels.cell_labels import CellDesign
from geokd.labels.cell_names import FIELD, FIELD_LATER
from geokd.maps.map_file import open_map
from geokd.system.documents import Record


@dataclass(frozen=True)
class ClassChange(Record):
    """What a class gained and lost, in hectares: by the labels, with 95 % intervals, and by the cells of the maps."""

    name: str
    gained_ha: Estimate
    lost_ha: Estimate
    net_ha: Estimate
    mapped_gained_ha: float
    mapped_lost_ha: float


@dataclass(frozen=True)
class ChangeReport(Record):
    """Change between two dates.

    Parameters
    ----------
    path, later, sample : str
    points : int
        Points that are labelled for both dates.
    left_out : dict of str to int
    changed_ha : Estimate
        Area whose class changed.
    mapped_changed_ha : float
        The same by the maps' cells.
    classes : tuple of ClassChange
    notes : tuple of str
    """

    path: str
    later: str
    sample: str
    points: int
    left_out: dict[str, int]
    changed_ha: Estimate
    mapped_changed_ha: float
    classes: tuple[ClassChange, ...]
    notes: tuple[str, ...]


def assess_change(
    class_map: str | Path,
    sample: str | Path,
    later_map: str | Path,
    field: str | None = None,
    match: str | Path | None = None,
) -> ChangeReport:
    """Estimate the areas that classes gained and lost between the dates of two maps.

    Cells of two maps that differ are mostly errors of one of them; so areas are estimated from labels (Olofsson et al.
    2014), and the maps give the strata.

    Parameters
    ----------
    class_map : path
        The map of the earlier date.
    sample : path
        A sample of :func:`geokd.sample` with `later`, labelled for both dates: fields `reference` and
        `reference_later`.
    later_map : path
        The map of the later date, on any grid.
    field : str, optional
        The attribute with the class at the earlier date; that of the later date has the suffix `_later`.
    match : path, optional
        A CSV file with the columns map_class and reference_class, for classes of the labels and of the later map.

    Returns
    -------
    ChangeReport

    Raises
    ------
    CallError, ChipError, SceneError
        If a file cannot be read or used, classes are unknown, or no point is labelled for both dates.
    """
    source = open_map(class_map)
    field = field or FIELD
    before, design = read_labelled(source, sample, field)
    if not before.are_points or design is None:
        raise CallError(f"{sample} was not drawn with geokd sample; draw one with --later {later_map}")
    after, _ = read_labelled(source, sample, FIELD_LATER if field == FIELD else f"{field}_later")
    change = mapped_change(source, later_map, match, (*before.texts, *after.texts))

    def codes(texts: tuple[str, ...]) -> NDArray[np.int64]:
        found = [change.match.of_reference.get(text) if text else None for text in texts]
        return np.array([-1 if kind is None else kind for kind in found], np.int64)

    first, second = codes(before.texts), codes(after.texts)
    used = (first >= 0) & (second >= 0)
    if not used.any():
        raise ChipError(f"no point of {sample} is labelled for both dates; give both classes in QGIS first")
    return _Counted(change, before.others["stratum"].astype(np.int64), first, second, design).report(
        source.path, str(later_map), str(sample)
    )


@dataclass(frozen=True, eq=False)
class _Counted:
    """Labelled points: stratum, and judged class at both dates, (N,) each; -1 where there is none."""

    change: MappedChange
    strata: NDArray[np.int64]
    first: NDArray[np.int64]
    second: NDArray[np.int64]
    design: CellDesign

    def report(self, path: str, later: str, sample: str) -> ChangeReport:
        """Estimate all figures."""
        change, first, second = self.change, self.first, self.second
        used = (first >= 0) & (second >= 0)
        foreign = max(first.max(), second.max()) == len(change.match.names)
        rows = []
        for k, name in enumerate([*change.match.names, *([NONE] if foreign else [])]):
            gained, lost = (second == k) & (first != k), (first == k) & (second != k)
            net = paired_difference(self._count(gained), self._count(lost), *self._frame).times(self._area_ha)
            rows.append(ClassChange(name, self._area(gained), self._area(lost), net, *_mapped(change, k)))
        mapped = sum(_mapped(change, k)[0] for k in range(len(change.match.names) + 1))
        left_out = {"not_labelled_for_both_dates": int((~used).sum())}
        return ChangeReport(
            path,
            later,
            sample,
            int(used.sum()),
            left_out,
            self._area(first != second),
            mapped,
            tuple(rows),
            tuple(self._notes()),
        )

    @property
    def _units(self) -> NDArray[np.int64]:
        used = (self.first >= 0) & (self.second >= 0)
        return np.bincount(self.strata[used], minlength=len(self.design.cells))

    @property
    def _frame(self) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]]:
        """Units, areas and cells of the strata that have labelled points."""
        units = self._units
        return units[units > 0], self.design.areas_ha[units > 0], self.design.cells[units > 0]

    @property
    def _area_ha(self) -> float:
        return float(self._frame[1].sum())

    def _count(self, which: NDArray[np.bool_]) -> NDArray[np.int64]:
        used = (self.first >= 0) & (self.second >= 0)
        hits = np.bincount(self.strata[used & which], minlength=len(self.design.cells))
        return np.asarray(hits[self._units > 0], np.int64)

    def _area(self, which: NDArray[np.bool_]) -> Estimate:
        hits, (units, weights, cells) = self._count(which), self._frame
        counts = np.stack([hits, units - hits], axis=1)[:, np.newaxis]
        return StratifiedSample(counts, 1, weights, cells).area_share(0).times(self._area_ha)

    def _notes(self) -> Iterator[str]:
        for name in self.change.match.joined:
            yield f"{name} are one class, since a map or the labels do not distinguish them"
        lacking = (self._units == 0) & (self.design.areas_ha > 0)
        if lacking.any():
            names = self.design.strata or self.design.names
            listing = ", ".join(name for name, missing in zip(names, lacking, strict=True) if missing)
            share = 100 * float(self.design.areas_ha[lacking].sum() / self.design.areas_ha.sum())
            yield f"no point is labelled twice in {listing}, {share:.1f} % of the area: figures are for the rest"
        if not self.design.strata:
            yield "the strata are the classes of one map, so intervals of changes are wide; draw one with --later"


def _mapped(change: MappedChange, k: int) -> tuple[float, float]:
    """Hectares that the cells of the maps make a class gain and lose."""
    gained = lost = 0.0
    for pair, shared in change.pairs.items():
        kinds = change.kinds(pair)
        if kinds is not None and kinds[0] != kinds[1]:
            gained += shared.area_ha * (kinds[1] == k)
            lost += shared.area_ha * (kinds[0] == k)
    return gained, lost
