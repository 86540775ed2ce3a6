"""The figures of an assessment: from a random sample, from polygons, from a whole reference map."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geokd.assessment.reference import share_over_groups
from geokd.assessment.samples.area_estimation import Estimate, StratifiedSample
from geokd.statistics.metrics import kappa


@dataclass(frozen=True, kw_only=True)
class Figures:
    """Figures of a map; each is None where it cannot be estimated.

    Matrices have the map in rows and the reference in columns, as in Olofsson et al. 2014: units, and shares of
    the area. Accuracies are of the classes 0..K-1 that map and reference share, areas (ha) of all classes of the
    reference.
    """

    confusion_matrix: tuple[tuple[int, ...], ...]
    area_matrix: tuple[tuple[float, ...], ...] | None
    overall_accuracy: Estimate | None
    users_accuracy: tuple[Estimate | None, ...]
    producers_accuracy: tuple[Estimate | None, ...]
    area_ha: tuple[Estimate | None, ...]
    kappa: float | None


def figures_of_sample(sample: StratifiedSample, area_ha: float) -> Figures:
    """Return the figures of a random sample: accuracies of the area, and the area of each class of the reference.

    Parameters
    ----------
    sample : StratifiedSample
    area_ha : float
        Of all its strata.
    """
    return Figures(
        confusion_matrix=_rows(sample.counts.sum(axis=0)),
        area_matrix=_rows(sample.area_matrix()),
        overall_accuracy=sample.overall_accuracy(),
        users_accuracy=tuple(sample.users_accuracy(k) for k in range(sample.classes)),
        producers_accuracy=tuple(sample.producers_accuracy(k) for k in range(sample.classes)),
        area_ha=tuple(sample.area_share(k).times(area_ha) for k in range(sample.counts.shape[2])),
        kappa=kappa(sample.area_matrix(), sample.classes),
    )


def figures_of_polygons(cells: NDArray[np.int64], truth: NDArray[np.int64], classes: int, kinds: int) -> Figures:
    """Return the figures of the cells in polygons; intervals are over polygons, areas cannot be estimated.

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
    return Figures(
        confusion_matrix=_rows(confusion),
        area_matrix=None,
        overall_accuracy=_over_polygons(own, judged),
        users_accuracy=tuple(_over_polygons(np.where(truth == k, cells[:, k], 0), cells[:, k]) for k in range(classes)),
        producers_accuracy=tuple(
            _over_polygons(cells[truth == k, k], cells[truth == k].sum(axis=1)) for k in range(classes)
        ),
        area_ha=(None,) * kinds,
        kappa=kappa(confusion.astype(np.float64), classes),
    )


def figures_of_census(cells: NDArray[np.int64], areas_ha: NDArray[np.float64], classes: int) -> Figures:
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
    return Figures(
        confusion_matrix=_rows(cells),
        area_matrix=_rows(areas_ha / areas_ha.sum()),
        overall_accuracy=_known(right.sum(), areas_ha[:classes].sum()),
        users_accuracy=tuple(_known(right[k], areas_ha[k].sum()) for k in range(classes)),
        producers_accuracy=tuple(_known(right[k], areas_ha[:, k].sum()) for k in range(classes)),
        area_ha=tuple(_known(areas_ha[:, k].sum(), 1.0) for k in range(areas_ha.shape[1])),
        kappa=kappa(areas_ha, classes),
    )


def _rows(matrix: NDArray[Any]) -> tuple[tuple[Any, ...], ...]:
    return tuple(map(tuple, matrix.tolist()))


def _over_polygons(hits: NDArray[np.int64], counts: NDArray[np.int64]) -> Estimate | None:
    share = share_over_groups(hits, counts)
    return None if share is None else Estimate(share[0], None, share[1:])


def _known(part: float, whole: float) -> Estimate | None:
    return Estimate(float(part / whole), None, None) if whole else None
