"""The figures of an assessment, as JSON objects: from a random sample, from polygons, from a whole reference map.

A figure is {estimate, standard_error, interval_95}, or None where it cannot be estimated. Matrices have the map in rows
and the reference in columns, as Olofsson et al. 2014 have them.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from geokd.assessment.reference import share_over_groups
from geokd.assessment.samples.area_estimation import Estimate, StratifiedSample
from geokd.statistics.metrics import kappa


def figures_of_sample(sample: StratifiedSample, area_ha: float) -> dict[str, Any]:
    """Return the figures of a random sample: accuracies of the area, and the area of each class of the reference.

    Parameters
    ----------
    sample : StratifiedSample
    area_ha : float
        Of all its strata.
    """
    return {
        "confusion_matrix": sample.counts.sum(axis=0).tolist(),
        "area_matrix": sample.area_matrix().tolist(),
        "overall_accuracy": _json(sample.overall_accuracy()),
        "users_accuracy": [_json(sample.users_accuracy(k)) for k in range(sample.classes)],
        "producers_accuracy": [_json(sample.producers_accuracy(k)) for k in range(sample.classes)],
        "area_ha": [_json(sample.area_share(k).times(area_ha)) for k in range(sample.counts.shape[2])],
        "kappa": kappa(sample.area_matrix(), sample.classes),
    }


def figures_of_polygons(cells: NDArray[np.int64], truth: NDArray[np.int64], classes: int, kinds: int) -> dict[str, Any]:
    """Return the figures of the cells in polygons; intervals are over polygons, areas cannot be told.

    Parameters
    ----------
    cells : int64 array (P, M)
        Cells of each polygon by class in the map.
    truth : int64 array (P,)
        Class of each polygon, 0..kinds-1.
    classes : int
        Classes 0..classes-1 are the same in map and reference.
    kinds : int
        Classes of the reference.
    """
    confusion = np.zeros((cells.shape[1], kinds), np.int64)
    np.add.at(confusion.T, truth, cells)
    own = np.where(truth < classes, cells[np.arange(len(cells)), np.minimum(truth, classes - 1)], 0)
    judged = cells[:, :classes].sum(axis=1)
    return {
        "confusion_matrix": confusion.tolist(),
        "area_matrix": None,
        "overall_accuracy": _over_polygons(own, judged),
        "users_accuracy": [_over_polygons(np.where(truth == k, cells[:, k], 0), cells[:, k]) for k in range(classes)],
        "producers_accuracy": [
            _over_polygons(cells[truth == k, k], cells[truth == k].sum(axis=1)) for k in range(classes)
        ],
        "area_ha": [None] * kinds,
        "kappa": kappa(confusion.astype(np.float64), classes),
    }


def figures_of_census(cells: NDArray[np.int64], areas_ha: NDArray[np.float64], classes: int) -> dict[str, Any]:
    """Return the figures of a reference that is known cell by cell: shares of the area, without intervals.

    Parameters
    ----------
    cells : int64 array (M, R)
    areas_ha : float64 array (M, R)
        By class in the map and in the reference.
    classes : int
        Classes 0..classes-1 are the same in both.
    """
    right = np.diagonal(areas_ha)[:classes]
    return {
        "confusion_matrix": cells.tolist(),
        "area_matrix": (areas_ha / areas_ha.sum()).tolist(),
        "overall_accuracy": _known(right.sum(), areas_ha[:classes].sum()),
        "users_accuracy": [_known(right[k], areas_ha[k].sum()) for k in range(classes)],
        "producers_accuracy": [_known(right[k], areas_ha[:, k].sum()) for k in range(classes)],
        "area_ha": [_known(areas_ha[:, k].sum(), 1.0) for k in range(areas_ha.shape[1])],
        "kappa": kappa(areas_ha, classes),
    }


def _json(estimate: Estimate | None) -> dict[str, Any] | None:
    return None if estimate is None else estimate.to_json()


def _over_polygons(hits: NDArray[np.int64], counts: NDArray[np.int64]) -> dict[str, Any] | None:
    share = share_over_groups(hits, counts)
    if share is None:
        return None
    return {"estimate": share[0], "standard_error": None, "interval_95": [share[1], share[2]]}


def _known(part: float, whole: float) -> dict[str, Any] | None:
    return {"estimate": float(part / whole), "standard_error": None, "interval_95": None} if whole else None
