"""A map compared with points, polygons or another map: units counted by class, and their figures."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import shapely
from numpy.typing import NDArray

from geokd.assessment.figures import Figures, figures_of_census, figures_of_polygons, figures_of_sample
from geokd.assessment.labelled import raster_names
from geokd.assessment.matching import ClassMatch, match_classes
from geokd.assessment.samples.area_estimation import StratifiedSample
from geokd.errors import ChipError
from geokd.labels.cell_labels import CellDesign
from geokd.labels.ground_truth import GroundTruth, cells_in_polygon, pairs_with_raster
from geokd.legend.classes import NODATA
from geokd.maps.map_file import MapFile, Strata, map_hash
from geokd.scenes.whereabouts import touches, why_elsewhere

Kind = Literal["points", "polygons", "raster"]


@dataclass(frozen=True, eq=False)
class Judgement:
    """A comparison: how the reference was drawn, figures of the judged classes, and the area of each."""

    kind: Kind
    design: str
    match: ClassMatch
    figures: Figures
    mapped_ha: NDArray[np.float64]
    left_out: dict[str, int]
    notes: list[str]
    sample: StratifiedSample | None = None


def by_points(
    source: MapFile, truth: GroundTruth, match: ClassMatch, strata: Strata, design: CellDesign | None
) -> Judgement:
    """Compare a map with labelled points: a sample of :func:`geokd.sample`, or other points treated as random.

    Raises
    ------
    ChipError
        If no point can be used, or points were moved.
    """
    labels = _labels(truth, match)
    rows, cols, inside = source.cells_of(shapely.get_x(truth.geometries), shapely.get_y(truth.geometries))
    codes = np.full(len(labels), NODATA, np.int64)
    codes[inside] = source.codes_at(rows[inside], cols[inside])
    labelled, mapped = labels >= 0, codes != NODATA
    left_out = {
        "unlabelled": int((~labelled).sum()),
        "outside_the_map": int((labelled & ~inside).sum()),
        "not_mapped": int((labelled & inside & ~mapped).sum()),
    }
    used = labelled & mapped
    notes = [*_contradictions(rows[used], cols[used], labels[used])]
    if not used.any():
        raise ChipError(_nothing(left_out, "points", truth, source))
    of_map = np.array(match.of_map)
    if design is None:
        layers, areas, cells = codes, strata.areas_ha, None
        notes.append(
            "the points are treated as a random sample of the map or of each of its classes, and are weighted with"
            " the classes' areas; if they are not, neither areas nor intervals are valid"
        )
    else:
        layers, areas, cells = truth.others["stratum"].astype(np.int64), design.areas_ha, design.cells
        notes += _design_notes(source, design, layers, codes, mapped)
    shape = (len(areas), len(match.names) + match.has_unclassified, len(match.names) + match.has_foreign)
    counts = np.zeros(shape, np.int64)
    np.add.at(counts, (layers[used], of_map[codes[used]], labels[used]), 1)
    present: NDArray[np.bool_] = counts.sum(axis=(1, 2)) > 0
    if design and left_out["unlabelled"]:
        notes.append(
            f"{left_out['unlabelled']} of {len(labels)} points of the sample are not labelled; they are assumed to be"
            " like the labelled points of their class"
        )
    if areas[~present].sum() > 0:
        names = source.legend.names if design is None else design.strata or design.names
        lacking = [name for name, has, area in zip(names, present, areas, strict=True) if not has and area > 0]
        share = 100 * areas[~present].sum() / areas.sum()
        notes.append(
            f"no point is labelled in {', '.join(lacking)}, {share:.1f} % of the area: figures are for the rest"
        )
    sample = StratifiedSample(
        counts[present], len(match.names), areas[present], None if cells is None else cells[present]
    )
    figures = figures_of_sample(sample, float(areas[present].sum()))
    mapped_ha = _judged(strata.areas_ha, match)
    unseen = (mapped_ha > 0) & (counts.sum(axis=(0, 2)) == 0)  # the share mapped right is unknown
    producers = zip(figures.producers_accuracy, unseen, strict=False)
    figures = replace(figures, producers_accuracy=tuple(None if lacking else figure for figure, lacking in producers))
    words = "stratified random sample" if design else "random sample, weighted by the map's classes"
    return Judgement("points", words, match, figures, mapped_ha, left_out, notes, sample)


def _labels(truth: GroundTruth, match: ClassMatch) -> NDArray[np.int64]:
    """Judged class of each label, int64 (N,); -1 where there is none, or it means "unknown"."""
    found = [match.of_reference[text] if text else None for text in truth.texts]
    return np.array([-1 if label is None else label for label in found], np.int64)


def _contradictions(rows: NDArray[np.int64], cols: NDArray[np.int64], labels: NDArray[np.int64]) -> Iterator[str]:
    """Describe points that lie in one cell and have different classes."""
    places, cell = np.unique(np.stack([rows, cols]), axis=1, return_inverse=True)
    lowest, highest = np.full(places.shape[1], len(labels)), np.full(places.shape[1], -1)
    np.minimum.at(lowest, cell.ravel(), labels)
    np.maximum.at(highest, cell.ravel(), labels)
    several = int((highest[cell.ravel()] > lowest[cell.ravel()]).sum())
    if several:
        yield (
            f"{several} points lie in a cell with a point of another class: each counts, and the map agrees with one"
            " class only"
        )


def _design_notes(
    source: MapFile,
    design: CellDesign,
    layers: NDArray[np.int64],
    codes: NDArray[np.int64],
    mapped: NDArray[np.bool_],
) -> list[str]:
    """Describe what is unusual about a sample that was drawn from strata."""
    if map_hash(source) != design.map_sha256:
        return [
            "the sample was drawn from another map: the strata are that map's classes, and areas refer to its extent"
        ]
    if design.strata:
        return []
    moved = int((mapped & (layers != codes)).sum())
    if moved:
        raise ChipError(f"{moved} points lie in another class of the map than they were drawn from; put them back")
    return []


def by_polygons(
    source: MapFile, truth: GroundTruth, match: ClassMatch, strata: Strata, _: CellDesign | None
) -> Judgement:
    """Compare a map with labelled polygons, cell by cell.

    Raises
    ------
    ChipError
        If no polygon can be used.
    """
    of_map = np.array([*match.of_map, *[0] * (NODATA + 1 - len(match.of_map))])
    cells, labels = [], []
    left_out = dict.fromkeys(("unlabelled", "without_a_mapped_cell"), 0)
    with source.opened() as read:
        for polygon, text in zip(truth.geometries, truth.texts, strict=True):
            label = match.of_reference[text] if text else None
            if label is None:
                left_out["unlabelled"] += 1
                continue
            own = np.zeros(len(match.names) + match.has_unclassified, np.int64)
            for window, inside in cells_in_polygon(polygon, source.grid):
                codes = read(window)[inside]
                own += np.bincount(of_map[codes[codes != NODATA]], minlength=len(own))
            if own.any():
                cells.append(own)
                labels.append(label)
            else:
                left_out["without_a_mapped_cell"] += 1
    if not cells:
        raise ChipError(_nothing(left_out, "polygons", truth, source))
    kinds = len(match.names) + match.has_foreign
    figures = figures_of_polygons(np.array(cells), np.array(labels), len(match.names), kinds)
    notes = [
        "polygons chosen by hand are not a random sample: figures describe the cells in them, not the map, and areas"
        " cannot be corrected; intervals are over polygons, because cells of one polygon resemble each other"
    ]
    words = f"{len(cells)} polygons"
    return Judgement("polygons", words, match, figures, _judged(strata.areas_ha, match), left_out, notes)


def by_raster(source: MapFile, reference: str | Path, table: list[tuple[str, str]]) -> Judgement:
    """Compare a map with a raster of classes at the centres of the map's cells.

    Raises
    ------
    CallError, ChipError
        If classes are unknown, or the raster has none where the map has any.
    """
    pairs = pairs_with_raster(reference, source.grid, source.windows(), NODATA)
    if not pairs:
        raise ChipError(f"{reference} has no value at the centre of any mapped cell; do they show the same place?")
    names = raster_names(reference, pairs)
    match = match_classes(source.legend, names.values(), table, str(reference))
    shape = (len(match.names) + match.has_unclassified, len(match.names) + match.has_foreign)
    cells, areas = np.zeros(shape, np.int64), np.zeros(shape)
    unknown = 0
    for pair, shared in pairs.items():
        label = match.of_reference[names[pair.value]]
        if label is None:
            unknown += shared.cells
            continue
        cells[match.of_map[pair.code], label] += shared.cells
        areas[match.of_map[pair.code], label] += shared.area_ha
    if not cells.any():
        raise ChipError(f"{reference} has no class at the centre of any mapped cell")
    notes = [
        "every cell with a value in the reference counts, at its centre: nothing is sampled, so there are no"
        " intervals; figures and areas describe these cells and assume that the reference is right"
    ]
    compared = areas.sum(axis=1)
    left_out = {"unlabelled": unknown}
    figures = figures_of_census(cells, areas, len(match.names))
    return Judgement("raster", "all cells of the reference", match, figures, compared, left_out, notes)


def _judged(areas_ha: NDArray[np.float64], match: ClassMatch) -> NDArray[np.float64]:
    """Sum the areas of a map's codes by judged class."""
    kinds = len(match.names) + match.has_unclassified
    return np.asarray(np.bincount(np.array(match.of_map), areas_ha, minlength=kinds), np.float64)


def _nothing(left_out: dict[str, int], what: str, truth: GroundTruth, source: MapFile) -> str:
    """Explain that nothing of a reference can be used."""
    reasons = ", ".join(f"{count} {reason.replace('_', ' ')}" for reason, count in left_out.items() if count)
    remedy = "; give them classes first, in QGIS" if left_out.get("unlabelled") else ""
    beside = left_out.get("outside_the_map", 0) + left_out.get("without_a_mapped_cell", 0)
    if beside and not touches(truth.geometries, source.grid):
        remedy = f"; {why_elsewhere(truth.geometries, source.grid, 'the map')}"
    return f"none of the {what} can be used: {reasons}{remedy}"
