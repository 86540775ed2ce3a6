"""Two maps, overlaid: the strata of samples of change and of samples that compare maps."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rasterio.windows import Window

from geokd.assessment.labelled import raster_names
from geokd.assessment.matching import ClassMatch, match_classes, read_table
from geokd.errors import CallError
from geokd.labels.ground_truth import Pair, Shared, laid_over, pairs_with_raster
from geokd.legend.classes import NODATA, UNCLASSIFIED, Legend, default_legend
from geokd.maps.map_file import MapFile

AGREEMENT = ["maps agree", "maps differ"]
"""Strata of a sample for the comparison of two maps."""

_MOST_CHANGES = 12
_OTHER = "other_changes"


@dataclass(frozen=True, eq=False)
class PairedMaps(MapFile):
    """Two maps on the grid of the first; codes are strata, of pairs of their classes.

    Parameters
    ----------
    first : MapFile
    later : str
        The other one.
    strata : dict of (int, int) to int
        Stratum of each code of the first map and value of the other one.
    """

    first: MapFile
    later: str
    strata: dict[tuple[int, int], int]

    @property
    def offered(self) -> Legend:
        """The classes of the first map."""
        return self.first.offered

    def windows(self) -> Iterator[tuple[Window, NDArray[np.uint8], NDArray[np.float64]]]:
        """Yield each window with the strata and the areas in hectares of its cells, NODATA where a map has no class."""
        for window, codes, areas, values, known in laid_over(self.later, self.grid, self.first.windows(), NODATA):
            strata = np.full(codes.shape, NODATA, np.uint8)
            for (code, value), stratum in self.strata.items():
                strata[known & (codes == code) & (values == value)] = stratum
            yield window, strata, areas


@dataclass(frozen=True, eq=False)
class MappedChange:
    """The changes between two maps.

    Parameters
    ----------
    match : ClassMatch
    pairs : dict of Pair to Shared
        Cells by code of the first map and value of the later one.
    names : dict of int to str
        Classes of the later map by value.
    """

    match: ClassMatch
    pairs: dict[Pair, Shared]
    names: dict[int, str]

    def kinds(self, pair: Pair) -> tuple[int, int] | None:
        """Judged class before and after; None where a map has no class."""
        before, after = self.match.of_map[pair.code], self.match.of_reference.get(self.names[pair.value])
        if before >= len(self.match.names) or after is None:
            return None
        return before, after


def mapped_change(
    first: MapFile, later: str | Path, match: str | Path | None, labels: tuple[str, ...] = ()
) -> MappedChange:
    """Count the changes between two maps, whose classes and those of the labels are matched.

    Raises
    ------
    CallError, SceneError
        If the later map cannot be used, classes are unknown, or the maps share no cell.
    """
    pairs = pairs_with_raster(later, first.grid, first.windows(), NODATA)
    if not pairs:
        raise CallError(f"{first.path} and {later} have no mapped cell in common; do they show the same place?")
    names = raster_names(later, pairs)
    table = [] if match is None else read_table(Path(match))
    known = {name for name in (*names.values(), *labels) if name and name.casefold() != UNCLASSIFIED}
    return MappedChange(match_classes(first.legend, known, [*table, ("", "none of these")], str(later)), pairs, names)


def pair_maps(first: MapFile, later: str | Path, match: str | Path | None) -> PairedMaps:
    """Overlay a map with one of a later date; changes that cover little area share one stratum.

    Raises
    ------
    CallError, SceneError
        As for :func:`mapped_change`.
    """
    change = mapped_change(first, later, match)
    titles = [*change.match.names, "other"]
    cells: dict[tuple[int, int], int] = {}
    for pair, shared in change.pairs.items():
        kinds = change.kinds(pair)
        if kinds is not None:
            cells[kinds] = cells.get(kinds, 0) + shared.cells
    stable = sorted(kinds for kinds in cells if kinds[0] == kinds[1])
    changed = sorted((kinds for kinds in cells if kinds[0] != kinds[1]), key=lambda kinds: -cells[kinds])
    own = [*stable, *changed[:_MOST_CHANGES]]
    names = [titles[a] if a == b else f"{titles[a]} to {titles[b]}" for a, b in own]
    if len(changed) > _MOST_CHANGES:
        names.append(_OTHER)
    strata = {
        (pair.code, pair.value): own.index(kinds) if kinds in own else len(own)
        for pair, kinds in ((pair, change.kinds(pair)) for pair in change.pairs)
        if kinds is not None
    }
    return PairedMaps(first.path, first.grid, default_legend(names), first.manifest, first, str(later), strata)


def pair_against(first: MapFile, other: str | Path, match: str | Path | None) -> PairedMaps:
    """Lay another map over one; the strata are the cells in which the two agree, and those in which they differ.

    Raises
    ------
    CallError, SceneError
        As :func:`mapped_change`, or if the maps differ nowhere.
    """
    change = mapped_change(first, other, match)
    found = {(pair.code, pair.value): change.kinds(pair) for pair in change.pairs}
    strata = {pair: int(kinds[0] != kinds[1]) for pair, kinds in found.items() if kinds is not None}
    if 1 not in strata.values():
        cells = sum(shared.cells for shared in change.pairs.values())
        raise CallError(
            f"{first.path} and {other} differ in none of the {cells:,} cells that both have mapped: neither is better"
        )
    return PairedMaps(first.path, first.grid, default_legend(AGREEMENT), first.manifest, first, str(other), strata)
