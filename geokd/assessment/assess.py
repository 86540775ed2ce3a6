"""The accuracy of a map, from points, polygons or another map."""

from dataclasses import dataclass
from pathlib import Path

from geokd.assessment.judging import Judgement, Kind, by_points, by_polygons, by_raster
from geokd.assessment.labelled import NONE, former_classes, read_labelled
from geokd.assessment.matching import match_classes, read_table
from geokd.assessment.samples.area_estimation import Estimate
from geokd.assessment.samples.goals import SampleGoals
from geokd.assessment.samples.precision import Precision, precision_of
from geokd.labels.ground_truth import is_vector
from geokd.legend.classes import UNCLASSIFIED
from geokd.maps.map_file import MapFile, MapUsed, count_cells, map_hash, open_map
from geokd.system.documents import Record
from geokd.text import without_secrets


@dataclass(frozen=True, kw_only=True)
class ReferenceUsed(Record):
    """The reference: path, kind, how it was drawn, and the judged class of each of its class names.

    The class is None if a name means "unknown".
    """

    path: str
    kind: Kind
    design: str
    classes: dict[str, str | None]


@dataclass(frozen=True, kw_only=True)
class ClassFigures(Record):
    """A judged class: units (points or cells) of it in map and reference, accuracies (fractions) and areas (ha).

    Estimates are None where they are not possible: accuracies of a class without units, areas from polygons chosen by
    hand.
    """

    name: str
    units_in_map: int
    units_in_reference: int
    users_accuracy: Estimate | None
    producers_accuracy: Estimate | None
    mapped_area_ha: float
    area_ha: Estimate | None


@dataclass(frozen=True, kw_only=True)
class Assessment(Record):
    """A map compared with a reference.

    Parameters
    ----------
    map : MapUsed
    reference : ReferenceUsed
    units : int
        Points or cells that are compared.
    left_out : dict of str to int
        Points, polygons or cells that are not compared, by reason.
    overall_accuracy : Estimate or None
        Share of the classified area that is right.
    per_class : tuple of ClassFigures
    none_of_these_area_ha : Estimate or None
        Area of land that belongs to none of the map's classes.
    unclassified_area_ha : float
    map_classes, reference_classes : tuple of str
        The judged classes; "unclassified" and "none of these" come last, if there are any.
    confusion_matrix : tuple of tuples of int
        Units by class in the map (rows) and in the reference.
    area_matrix : tuple of tuples of float, or None
        Their shares of the area; None of polygons.
    kappa : float or None
    notes : tuple of str
    precision : tuple of Precision
        Widths of intervals and the points that narrower ones need; empty for a reference that is not a random sample.
    """

    map: MapUsed
    reference: ReferenceUsed
    units: int
    left_out: dict[str, int]
    overall_accuracy: Estimate | None
    per_class: tuple[ClassFigures, ...]
    none_of_these_area_ha: Estimate | None
    unclassified_area_ha: float
    map_classes: tuple[str, ...]
    reference_classes: tuple[str, ...]
    confusion_matrix: tuple[tuple[int, ...], ...]
    area_matrix: tuple[tuple[float, ...], ...] | None
    kappa: float | None
    notes: tuple[str, ...]
    precision: tuple[Precision, ...]


def assess(
    class_map: str | Path,
    reference: str | Path,
    field: str | None = None,
    match: str | Path | None = None,
    goals: SampleGoals | None = None,
) -> Assessment:
    """Compare a map with a reference: confusion matrix, accuracies, error-adjusted areas.

    Parameters
    ----------
    class_map : path
        A class raster `<stem>_landuse.tif`.
    reference : path
        Labelled points, above all a sample of :func:`geokd.sample`; polygons; or a raster of classes on any grid.
    field : str, optional
        The attribute with the class, by name, title or value; several acceptable classes are separated by `|`. Default:
        `reference`, or else `class`.
    match : path, optional
        A CSV file with the columns map_class and reference_class. Classes that it joins are judged as one; an empty
        map_class marks a class that the map does not have. Default: classes are matched by name, also by the names that
        a restyled map (:func:`geokd.style`) had before.
    goals : SampleGoals, optional
        Intervals of a wanted width; `precision` lists how many additional points they need.

    Returns
    -------
    Assessment

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
        judgement = by_raster(source, reference, table)
    else:
        truth, design = read_labelled(source, reference, field)
        if design:
            table = [*table, ("", NONE)]
        known = match_classes(source.legend, filter(None, truth.texts), table, str(reference))
        judge = by_points if truth.are_points else by_polygons
        judgement = judge(source, truth, known, strata, design)
    precision = [] if judgement.sample is None else precision_of(judgement.sample, judgement.match, goals)
    return _assessment(source, str(reference), judgement, tuple(precision))


def _assessment(source: MapFile, reference: str, judgement: Judgement, precision: tuple[Precision, ...]) -> Assessment:
    match, figures, kinds = judgement.match, judgement.figures, len(judgement.match.names)
    reference_classes = (*match.names, *([NONE] if match.has_foreign else []))
    notes = [*judgement.notes, *filter(None, [match.numbers_note])]
    notes += [f"{name} are judged as one class, as the reference does not distinguish them" for name in match.joined]
    if match.has_unclassified:
        notes.append("unclassified cells count in areas and producer's accuracy, not in overall accuracy")
    classes = {text: None if k is None else reference_classes[k] for text, k in match.of_reference.items()}
    return Assessment(
        map=MapUsed(path=source.path, sha256=map_hash(source)),
        reference=ReferenceUsed(
            path=without_secrets(reference), kind=judgement.kind, design=judgement.design, classes=classes
        ),
        units=sum(map(sum, figures.confusion_matrix)),
        left_out=judgement.left_out,
        overall_accuracy=figures.overall_accuracy,
        per_class=tuple(
            ClassFigures(
                name=name,
                units_in_map=sum(figures.confusion_matrix[k]),
                units_in_reference=sum(row[k] for row in figures.confusion_matrix),
                users_accuracy=figures.users_accuracy[k],
                producers_accuracy=figures.producers_accuracy[k],
                mapped_area_ha=float(judgement.mapped_ha[k]),
                area_ha=figures.area_ha[k],
            )
            for k, name in enumerate(match.names)
        ),
        none_of_these_area_ha=figures.area_ha[kinds] if match.has_foreign else None,
        unclassified_area_ha=float(judgement.mapped_ha[kinds]) if match.has_unclassified else 0.0,
        map_classes=(*match.names, *([UNCLASSIFIED] if match.has_unclassified else [])),
        reference_classes=reference_classes,
        confusion_matrix=figures.confusion_matrix,
        area_matrix=figures.area_matrix,
        kappa=figures.kappa,
        notes=tuple(notes),
        precision=precision,
    )
