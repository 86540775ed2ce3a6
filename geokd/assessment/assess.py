"""The accuracy of a map, from points, polygons or another map."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import shapely
from numpy.typing import NDArray

from geokd.assessment.figures import figures_of_census, figures_of_polygons, figures_of_sample
from geokd.assessment.matching import ClassMatch, match_classes, read_table
from geokd.assessment.samples.area_estimation import StratifiedSample
from geokd.assessment.samples.plan import SampleGoals
from geokd.assessment.samples.precision import precision_of
from geokd.errors import CallError, ChipError
from geokd.labels.cell_labels import CellDesign, read_cell_design
from geokd.labels.cell_names import NONE_OF_THESE
from geokd.labels.ground_truth import (
    GroundTruth,
    Pair,
    Shared,
    cells_in_polygon,
    is_vector,
    pairs_with_raster,
    read_ground_truth,
)
from geokd.legend.classes import NODATA, UNCLASSIFIED
from geokd.maps.map_file import MapFile, Strata, class_names, count_cells, map_hash, open_map
from geokd.text import without_secrets

NONE = "none of these"
"""What classes of the reference are called that the map does not have."""

Kind = Literal["points", "polygons", "raster"]


@dataclass(frozen=True, eq=False)
class _Judgement:
    """What came of a comparison, before it is put in words."""

    kind: Kind
    design: str
    match: ClassMatch
    figures: dict[str, Any]
    mapped_ha: NDArray[np.float64]
    left_out: dict[str, int]
    notes: list[str]
    sample: StratifiedSample | None = None


def assess(
    class_map: str | Path,
    reference: str | Path,
    field: str | None = None,
    match: str | Path | None = None,
    goals: SampleGoals | None = None,
) -> dict[str, Any]:
    """Hold a map against a reference: confusion matrix, accuracies, areas corrected for the map's errors.

    Parameters
    ----------
    class_map : path
        A class raster `<stem>_landuse.tif`.
    reference : path
        Labelled points, above all a sample of :func:`geokd.sample`; polygons; or a raster of classes on any grid.
    field : str, optional
        The attribute with the class, by name, title or value; several that would be accepted separated by `|`. Without,
        `reference` or else `class`.
    match : path, optional
        A CSV file with the columns map_class and reference_class. Classes that it joins are judged as one; an empty
        map_class is for what the map has no class of. Without, classes go by their names, those of a map from before it
        was restyled (:func:`geokd.style`) too.
    goals : SampleGoals, optional
        Intervals of a wanted width, of which `precision` tells how many points more they take.

    Returns
    -------
    dict
        kind, design, overall_accuracy, per_class (users_accuracy, producers_accuracy, mapped_area_ha, area_ha),
        confusion_matrix (map in rows) of `map_classes` and `reference_classes`, area_matrix, kappa, left_out, notes;
        precision, a list of {figure, half_width, wanted, more_points}, empty where nothing was drawn at random.
        Figures are {estimate, standard_error, interval_95}, or None where they cannot be estimated.

    Raises
    ------
    CallError, ChipError, SceneError
        If map or reference cannot be read, classes of the reference are unknown (all in one message), or nothing of it
        lies on the map.
    """
    source = open_map(class_map)
    table = former_classes(source) if match is None else read_table(Path(match))
    strata = count_cells(source)
    if not is_vector(reference):
        judgement = _by_raster(source, reference, table)
    else:
        truth, design = read_labelled(source, reference, field)
        if design:
            table = [*table, ("", NONE)]
        known = match_classes(source.legend, filter(None, truth.texts), table, str(reference))
        judge = _by_points if truth.are_points else _by_polygons
        judgement = judge(source, truth, known, strata, design)
    precision = [] if judgement.sample is None else precision_of(judgement.sample, judgement.match, goals)
    return _report(source, str(reference), judgement) | {"precision": [row.to_json() for row in precision]}


def read_labelled(source: MapFile, reference: str | Path, field: str | None) -> tuple[GroundTruth, CellDesign | None]:
    """Read labelled points or polygons, and how they were drawn if `geokd sample` drew them.

    Raises
    ------
    CallError
        If they are cells of a review, or have no such field.
    ChipError
        If they cannot be read.
    """
    design = read_cell_design(Path(reference))
    if design and design.layer == "review":
        raise CallError(
            f"{reference} holds cells that geokd review chose because the map is in doubt there: they are no random"
            " sample, so neither accuracies nor areas can be estimated from them; draw one with geokd sample"
        )
    truth = read_ground_truth(reference, field, source.grid, *(("stratum",) if design else ()))
    if design:  # codes are those of the map it was drawn from, which may be of another legend
        names = {str(value): name for value, name in enumerate(design.names)} | {str(NONE_OF_THESE): NONE}
        truth = replace(truth, texts=tuple(names.get(text, text) for text in truth.texts))
    return truth, design


def former_classes(source: MapFile) -> list[tuple[str, str]]:
    """Classes that a restyled map had before and has no longer, as a table of its own by these."""
    styled = source.manifest.styled
    pairs = [] if styled is None else [(new.name, old) for new in styled.classes for old in new.made_of]
    return [
        (new, old)
        for new, old in pairs
        if source.legend.code_of(old) is None and source.legend.code_of(new) is not None
    ]


def _by_points(
    source: MapFile, truth: GroundTruth, match: ClassMatch, strata: Strata, design: CellDesign | None
) -> _Judgement:
    labels = np.array([-1 if not t or match.of_reference[t] is None else match.of_reference[t] for t in truth.texts])
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
    if not used.any():
        raise ChipError(_nothing(left_out, "points"))
    of_map = np.array(match.of_map)
    notes = []
    if design is None:
        layers, areas, cells = codes, strata.areas_ha, None
        notes.append(
            "the points are taken for a random sample, of the whole map or of each of its classes, and are weighted by"
            " the classes' areas; of points chosen otherwise neither areas nor intervals hold"
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
            f"{left_out['unlabelled']} of {len(labels)} points of the sample are not labelled; figures take them to be"
            " like the others of their class"
        )
    if areas[~present].sum() > 0:
        names = source.legend.names if design is None else design.strata or design.names
        lacking = [name for name, has, area in zip(names, present, areas, strict=True) if not has and area > 0]
        share = 100 * areas[~present].sum() / areas.sum()
        notes.append(
            f"no point is labelled in {', '.join(lacking)}, {share:.1f} % of the area: figures are of the rest"
        )
    sample = StratifiedSample(
        counts[present], len(match.names), areas[present], None if cells is None else cells[present]
    )
    figures = figures_of_sample(sample, float(areas[present].sum()))
    mapped_ha = _judged(strata.areas_ha, match)
    for k, in_map in enumerate(counts.sum(axis=(0, 2))[: len(match.names)]):
        if mapped_ha[k] > 0 and not in_map:  # what of the class is mapped right cannot be told then
            figures["producers_accuracy"][k] = None
    words = "stratified random sample" if design else "random sample, weighted by the map's classes"
    return _Judgement("points", words, match, figures, mapped_ha, left_out, notes, sample)


def _design_notes(
    source: MapFile,
    design: CellDesign,
    layers: NDArray[np.int64],
    codes: NDArray[np.int64],
    mapped: NDArray[np.bool_],
) -> list[str]:
    """Say what is unusual about a sample that was drawn from strata."""
    if map_hash(source) != design.map_sha256:
        return [
            "the sample was drawn from another map; its classes are the strata, and areas are of what that map covers"
        ]
    if design.strata:
        return []
    moved = int((mapped & (layers != codes)).sum())
    if moved:
        raise ChipError(f"{moved} points lie in another class of the map than they were drawn from; put them back")
    return []


def _by_polygons(
    source: MapFile, truth: GroundTruth, match: ClassMatch, strata: Strata, _: CellDesign | None
) -> _Judgement:
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
        raise ChipError(_nothing(left_out, "polygons"))
    kinds = len(match.names) + match.has_foreign
    figures = figures_of_polygons(np.array(cells), np.array(labels), len(match.names), kinds)
    notes = [
        "polygons that somebody chose are no random sample: figures are of the cells in them, not of the map, and areas"
        " cannot be corrected by them; intervals are over polygons, since cells of one are alike"
    ]
    words = f"{len(cells)} polygons"
    return _Judgement("polygons", words, match, figures, _judged(strata.areas_ha, match), left_out, notes)


def _by_raster(source: MapFile, reference: str | Path, table: list[tuple[str, str]]) -> _Judgement:
    pairs = pairs_with_raster(reference, source.grid, source.windows(), NODATA)
    if not pairs:
        raise ChipError(f"{reference} has no value at the centre of any mapped cell; does it lie elsewhere?")
    names, notes = raster_names(reference, pairs)
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
    notes.append(
        "every cell with a value in the reference counts, at its centre: nothing is left to chance, so there are no"
        " intervals; figures and areas are of these cells, and take the reference to be right"
    )
    compared = areas.sum(axis=1)
    left_out = {"unlabelled": unknown}
    figures = figures_of_census(cells, areas, len(match.names))
    return _Judgement("raster", "all cells of the reference", match, figures, compared, left_out, notes)


def raster_names(reference: str | Path, pairs: dict[Pair, Shared]) -> tuple[dict[int, str], list[str]]:
    """Name the values of a reference; values without a name are their own."""
    told = class_names(reference)
    values = sorted({pair.value for pair in pairs})
    nameless = [value for value in values if value not in told]
    notes = []
    if nameless:
        listing = ", ".join(map(str, nameless[:10])) + (", ..." if len(nameless) > 10 else "")
        notes.append(f"nothing names the values {listing} of the reference, which are taken for codes of the map")
    return {value: told.get(value, str(value)) for value in values}, notes


def _judged(areas_ha: NDArray[np.float64], match: ClassMatch) -> NDArray[np.float64]:
    """Sum what the codes of a map cover by judged class."""
    kinds = len(match.names) + match.has_unclassified
    return np.asarray(np.bincount(np.array(match.of_map), areas_ha, minlength=kinds), np.float64)


def _nothing(left_out: dict[str, int], what: str) -> str:
    reasons = ", ".join(f"{count} {reason.replace('_', ' ')}" for reason, count in left_out.items() if count)
    remedy = "; give them classes first, in QGIS" if left_out.get("unlabelled") else ""
    return f"none of the {what} can be used: {reasons}{remedy}"


def _report(source: MapFile, reference: str, judgement: _Judgement) -> dict[str, Any]:
    match, figures = judgement.match, judgement.figures
    map_classes = [*match.names, *([UNCLASSIFIED] if match.has_unclassified else [])]
    reference_classes = [*match.names, *([NONE] if match.has_foreign else [])]
    confusion = np.array(figures["confusion_matrix"])
    notes = list(judgement.notes)
    notes += [f"{name} are judged as one class, since the reference does not distinguish them" for name in match.joined]
    if match.has_unclassified:
        notes.append("unclassified cells count in areas and producer's accuracy, not in overall accuracy")
    rows = [
        {
            "name": name,
            "units_in_map": int(confusion[k].sum()),
            "units_in_reference": int(confusion[:, k].sum()),
            "users_accuracy": figures["users_accuracy"][k],
            "producers_accuracy": figures["producers_accuracy"][k],
            "mapped_area_ha": float(judgement.mapped_ha[k]),
            "area_ha": figures["area_ha"][k],
        }
        for k, name in enumerate(match.names)
    ]
    return {
        "map": {"path": source.path, "sha256": map_hash(source)},
        "reference": {
            "path": without_secrets(reference),
            "kind": judgement.kind,
            "design": judgement.design,
            "classes": {text: None if k is None else reference_classes[k] for text, k in match.of_reference.items()},
        },
        "units": int(confusion.sum()),
        "left_out": judgement.left_out,
        "overall_accuracy": figures["overall_accuracy"],
        "per_class": rows,
        "none_of_these_area_ha": figures["area_ha"][len(match.names)] if match.has_foreign else None,
        "unclassified_area_ha": float(judgement.mapped_ha[len(match.names)]) if match.has_unclassified else 0.0,
        "map_classes": map_classes,
        "reference_classes": reference_classes,
        "confusion_matrix": figures["confusion_matrix"],
        "area_matrix": figures["area_matrix"],
        "kappa": figures["kappa"],
        "notes": notes,
    }
