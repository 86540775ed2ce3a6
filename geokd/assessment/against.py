"""Which of two maps is better, judged with the same labelled points."""

import math
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist

import numpy as np
import rasterio.warp
import shapely
from numpy.typing import NDArray
from rasterio.windows import Window

from geokd.assessment.labelled import NONE, former_classes, read_labelled
from geokd.assessment.matching import ClassMatch, match_classes, read_table
from geokd.assessment.samples.area_estimation import Estimate, StratifiedSample, paired_difference
from geokd.errors import CallError, ChipError, SceneError
from geokd.labels.cell_labels import CellDesign
from geokd.labels.ground_truth import GroundTruth, check_class_raster, is_vector
from geokd.legend.classes import NODATA, UNCLASSIFIED
from geokd.maps.map_file import MapFile, class_names, count_cells, file_hash, map_hash, open_map
from geokd.scenes.opening import GdalErrors, gdal_reason, open_scene
from geokd.system.documents import Record

_SURE = NormalDist().inv_cdf(0.975)
_FOUND = NormalDist().inv_cdf(0.8)  # a real difference is found in 80 % of samples


@dataclass(frozen=True)
class MapComparison(Record):
    """Two maps compared with the same random sample.

    Parameters
    ----------
    path, other, sample : str
    points : int
        Labelled points at which both maps have a class.
    left_out : dict of str to int
        Points that are not used, by reason.
    accuracy, other_accuracy : Estimate or None
        Overall accuracies where both maps have a class.
    difference : Estimate
        Of the overall accuracies, the first map's minus the other's, with its 95 % interval.
    only_first_right, only_other_right : int
        Points at which one map alone is right.
    differing : Estimate
        Share of the area in which one map alone is right.
    better : {"first", "other"} or None
        The better map; None if the interval contains 0.
    points_for_decision : int or None
        Number of labelled points with which 80 % of samples of the same design would show a difference as large as this
        one; None if the samples show no difference.
    notes : tuple of str
    """

    path: str
    other: str
    sample: str
    points: int
    left_out: dict[str, int]
    accuracy: Estimate | None
    other_accuracy: Estimate | None
    difference: Estimate
    only_first_right: int
    only_other_right: int
    differing: Estimate
    better: str | None
    points_for_decision: int | None
    notes: tuple[str, ...]


def compare_maps(
    class_map: str | Path,
    sample: str | Path,
    other_map: str | Path,
    field: str | None = None,
    match: str | Path | None = None,
) -> MapComparison:
    """Find out which of two maps is better, from labelled points: a paired comparison with a 95 % interval.

    Only points at which exactly one map is right count. The maps may differ in grid, resolution, CRS, extent and
    legend; they are compared where both have a class. Classes that either map does not distinguish are judged as one.

    Parameters
    ----------
    class_map : path
        A class raster `<stem>_landuse.tif`.
    sample : path
        Labelled points, a sample of :func:`geokd.sample` or other random points.
    other_map : path
        Another class raster of geokd, or any raster of integers; values without a class name are called by their
        number.
    field : str, optional
        The attribute with the class, as in :func:`geokd.assess`.
    match : path, optional
        A CSV file with the columns map_class and reference_class, as in :func:`geokd.assess`, for classes of the labels
        and of the other map.

    Returns
    -------
    MapComparison

    Raises
    ------
    CallError, ChipError, SceneError
        If a file cannot be read or used, classes are unknown (all in one message), or no labelled point lies where both
        maps have a class.
    """
    source = open_map(class_map)
    if not is_vector(sample):
        raise CallError(f"{sample} holds no points; two maps are compared with the labelled points of a random sample")
    truth, design = read_labelled(source, sample, field)
    if not truth.are_points:
        raise CallError(f"{sample} holds polygons; two maps are compared with the labelled points of a random sample")
    table = former_classes(source) if match is None else read_table(Path(match))
    table = [*table, *([("", NONE)] if design else [])]
    others = _classes_at(other_map, truth, source)
    known = {text for text in (*truth.texts, *others) if text and text.casefold() != UNCLASSIFIED}
    matched = match_classes(source.legend, known, table, f"{sample} or {other_map}")
    points = _judged(source, truth, others, matched)
    return _compared(source, str(other_map), str(sample), points, design)


@dataclass(frozen=True, eq=False)
class _Points:
    """Points, (N,) each: code of the first map, whether a point is labelled and used, and which map is right there."""

    codes: NDArray[np.int64]
    labelled: NDArray[np.bool_]
    used: NDArray[np.bool_]
    first_right: NDArray[np.bool_]
    other_right: NDArray[np.bool_]
    strata: NDArray[np.int64] | None
    notes: tuple[str, ...]


def _judged(source: MapFile, truth: GroundTruth, others: list[str], match: ClassMatch) -> _Points:
    """Find which map is right at each point."""
    foreign = len(match.names)
    rows, cols, inside = source.cells_of(shapely.get_x(truth.geometries), shapely.get_y(truth.geometries))
    codes = np.full(len(truth.texts), NODATA, np.int64)
    codes[inside] = source.codes_at(rows[inside], cols[inside])
    of_map = np.array([*match.of_map, *[foreign] * (NODATA + 1 - len(match.of_map))])

    def kinds(texts: tuple[str, ...] | list[str]) -> NDArray[np.int64]:
        found = [match.of_reference.get(text) for text in texts]
        return np.array([-1 if kind is None else kind for kind in found], np.int64)

    label, other, first = kinds(truth.texts), kinds(others), of_map[codes]
    alike = np.array([a.casefold() == b.casefold() for a, b in zip(truth.texts, others, strict=True)], np.bool_)
    labelled = label >= 0
    used = labelled & (first < foreign) & (other >= 0)
    strata = truth.others["stratum"].astype(np.int64) if "stratum" in truth.others else None
    other_right = (other == label) & ((label < foreign) | alike)
    notes = tuple(
        f"{name} are judged as one class, since a map or the labels do not distinguish them" for name in match.joined
    )
    notes = (*notes, *filter(None, [match.numbers_note]))
    return _Points(codes, labelled, used, first == label, other_right, strata, notes)


def _compared(source: MapFile, other: str, sample: str, points: _Points, design: CellDesign | None) -> MapComparison:
    used, labelled = points.used, points.labelled
    left_out = {"unlabelled": int((~labelled).sum()), "not_in_both_maps": int((labelled & ~used).sum())}
    if not used.any():
        raise ChipError(
            f"no labelled point of {sample} lies where {source.path} and {other} both have a class: "
            f"{left_out['unlabelled']} are not labelled, {left_out['not_in_both_maps']} lie elsewhere"
        )
    notes = list(points.notes)
    if design is None or points.strata is None:
        strata, areas, cells = points.codes, count_cells(source).areas_ha, None
        notes.append("the points are treated as a random sample; if they are not, intervals are not valid")
        strata = np.where(used, strata, 0)
    else:
        strata, areas, cells = points.strata, design.areas_ha, design.cells

    def count(which: NDArray[np.bool_]) -> NDArray[np.int64]:
        return np.bincount(strata[which], minlength=len(areas))

    units, looked = count(used), count(labelled)
    present = units > 0
    shares = units[present] / np.maximum(looked[present], units[present])
    weights = areas[present] * shares
    inside = None if cells is None else np.maximum((cells[present] * shares).astype(np.int64), units[present])
    first, second = points.first_right & used, points.other_right & used
    won, lost = (count(which)[present] for which in (first & ~second, second & ~first))
    units = units[present]
    accuracy, other_accuracy = (_share(count(which)[present], units, weights, inside) for which in (first, second))
    if inside is not None and design is not None and _maps_agree(source, other, design, won + lost, present):
        inside[0] = units[0]  # all of that stratum is known: nobody alone is right there
    difference = paired_difference(won, lost, units, weights, inside)
    missing = 100 * areas[~present].sum() / areas.sum()
    if missing > 0:
        notes.append(f"no point can be used in {missing:.1f} % of the area: figures are for the rest")
    decided = "first" if difference.low > 0 else "other" if difference.high < 0 else None
    return MapComparison(
        source.path,
        other,
        sample,
        int(units.sum()),
        left_out,
        accuracy,
        other_accuracy,
        difference,
        int(won.sum()),
        int(lost.sum()),
        _share(won + lost, units, weights, inside),
        decided,
        _for_decision(difference, int(units.sum())),
        tuple(notes),
    )


def _maps_agree(
    source: MapFile, other: str, design: CellDesign, one_right: NDArray[np.int64], present: NDArray[np.bool_]
) -> bool:
    """Whether the first stratum is where just these two maps agree, and points there bear it out."""
    drawn_for_them = design.against_sha256 != "" and design.against_sha256 == file_hash(other)
    return bool(drawn_for_them and design.map_sha256 == map_hash(source) and present[0] and one_right[0] == 0)


def _share(
    hits: NDArray[np.int64], units: NDArray[np.int64], weights: NDArray[np.float64], cells: NDArray[np.int64] | None
) -> Estimate:
    """Estimate the share of the area that is hit."""
    counts = np.stack([hits, units - hits], axis=1)[:, np.newaxis]
    return StratifiedSample(counts, 1, weights, cells).area_share(0)


def _for_decision(difference: Estimate, points: int) -> int | None:
    """Points with which 80 % of samples show a difference d: n ((1.96 + 0.84) s / d)^2, s its standard error."""
    if difference.estimate == 0 or not difference.standard_error:
        return None
    return math.ceil(points * ((_SURE + _FOUND) * difference.standard_error / difference.estimate) ** 2)


def _classes_at(path: str | Path, truth: GroundTruth, source: MapFile) -> list[str]:
    """Read the class that another map has at each point: its name, or its value as text; empty where there is none.

    Raises
    ------
    CallError, SceneError
        If the raster does not exist or cannot be used.
    """
    names = class_names(path)
    with open_scene(str(path)) as dataset:
        check_class_raster(dataset, path)
        assert source.grid.crs is not None
        places = shapely.get_x(truth.geometries).tolist(), shapely.get_y(truth.geometries).tolist()
        x, y = rasterio.warp.transform(source.grid.crs, dataset.crs, *places)
        cols, rows = ~dataset.transform @ (np.array(x), np.array(y))
        found = [""] * len(x)
        try:
            for number in np.lexsort((cols, rows)):
                row, col = math.floor(rows[number]), math.floor(cols[number])
                if not (0 <= row < dataset.height and 0 <= col < dataset.width):
                    continue
                value = dataset.read(1, window=Window(col, row, 1, 1), masked=True)[0, 0]
                if value is not np.ma.masked:
                    found[number] = names.get(int(value), str(int(value)))
        except GdalErrors as error:
            raise SceneError(f"{path} cannot be read: {gdal_reason(error)}; copy or download it again") from error
    return found
