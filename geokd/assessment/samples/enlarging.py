"""Enlarging a sample whose first cells are labelled: the same draw continues, and labels are kept."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import shapely
from numpy.typing import NDArray

from geokd.errors import CallError
from geokd.labels.cell_labels import read_cell_design
from geokd.labels.cell_names import FIELD, UNLABELLED
from geokd.labels.cell_points import Column
from geokd.maps.map_file import MapFile, map_hash
from geokd.scenes.vector_layer import read_layer


@dataclass(frozen=True, eq=False)
class FormerSample:
    """A sample that was drawn before, with its labels.

    Parameters
    ----------
    path : str
    seed : int
        Of its draw.
    units : int64 array (K,)
        Its points by class of the map.
    rows, cols : int64 arrays (N,)
    codes : int64 array (N,)
        Labels; UNLABELLED where there is none.
    notes : tuple of str or None
    """

    path: str
    seed: int
    units: NDArray[np.int64]
    rows: NDArray[np.int64]
    cols: NDArray[np.int64]
    codes: NDArray[np.int64]
    notes: tuple[str | None, ...]

    @property
    def labelled(self) -> int:
        """How many points have a label."""
        return int((self.codes != UNLABELLED).sum())

    def columns(self, rows: NDArray[np.int64], cols: NDArray[np.int64]) -> tuple[Column, Column]:
        """Labels and notes of cells of the enlarged sample, in their order.

        Raises
        ------
        CallError
            If the enlarged sample lacks a cell of this one.
        """
        place = {(int(row), int(col)): number for number, (row, col) in enumerate(zip(rows, cols, strict=True))}
        found = [place.get((int(row), int(col))) for row, col in zip(self.rows, self.cols, strict=True)]
        lost = sum(number is None for number in found)
        if lost:
            raise CallError(
                f"{lost} points of {self.path} are not where they were drawn, so the sample cannot be enlarged; put"
                " them back, or draw a new sample"
            )
        at = np.array(found, np.int64)
        labels, missing = np.zeros(len(rows), np.int32), np.ones(len(rows), np.bool_)
        labels[at], missing[at] = np.where(self.codes == UNLABELLED, 0, self.codes), self.codes == UNLABELLED
        texts = np.full(len(rows), None, object)
        texts[at] = self.notes
        return (labels, missing), (texts, np.array([text is None for text in texts], np.bool_))


def read_former(path: Path, source: MapFile) -> FormerSample:
    """Read a sample to be enlarged.

    Raises
    ------
    CallError
        If it is not a sample of this map.
    ChipError
        If it cannot be read.
    """
    if not path.is_file():
        raise CallError(f"the sample {path} to be enlarged does not exist")
    design = read_cell_design(path)
    if design is None or design.layer != "sample" or design.seed is None:
        raise CallError(f"{path} was not drawn with geokd sample, so it cannot be enlarged")
    if design.strata:
        raise CallError(f"{path} is a sample of two maps, which cannot be enlarged; draw a new one with more points")
    if design.map_sha256 != map_hash(source):
        raise CallError(f"{path} was drawn from another map than {source.path}; name that map, or draw a new sample")
    layer = read_layer(path, source.grid, FIELD, "note", "stratum", points=True).in_parts()
    rows, cols, inside = source.cells_of(shapely.get_x(layer.geometries), shapely.get_y(layer.geometries))
    codes = [UNLABELLED if value is None else int(value) for value in layer.values(FIELD)]
    strata = np.array([int(value) for value in layer.values("stratum")], np.int64)
    notes = tuple(None if value is None else str(value) for value in layer.values("note"))
    units = np.bincount(strata, minlength=len(source.legend))
    rows = np.where(inside, rows, -1)
    return FormerSample(str(path), design.seed, units, rows, cols, np.array(codes, np.int64), notes)
