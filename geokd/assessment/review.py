"""Choosing the cells of a map that are most worth a look, to be confirmed or corrected by an analyst."""

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.windows import Window

from geokd.assessment.doubt import Candidates
from geokd.assessment.samples.sample import check_cell_file
from geokd.errors import CallError, SceneError
from geokd.labels.cell_form import review_qml
from geokd.labels.cell_names import FIELD, LOOKED_AT, MAPPED
from geokd.labels.cell_points import CellForm, CellPoints, Column, complete, write_cell_points
from geokd.labels.scene_pictures import picture_cells
from geokd.legend.classes import NODATA
from geokd.maps.input_maps import InputMap, find_map
from geokd.maps.map_file import MapUsed, count_cells, map_hash
from geokd.scenes.opening import GdalErrors, gdal_reason, open_scene
from geokd.system.commit import staged
from geokd.system.documents import Record

NO_SAMPLE = "they are not a random sample: neither accuracies nor areas can be estimated from them"
_DESCRIPTION = f"Cells in which a land-use map is uncertain, to be confirmed or corrected for geokd tile; {NO_SAMPLE}"


@dataclass(frozen=True)
class ReviewOptions:
    """How a review is made.

    Parameters
    ----------
    scene : str or None
        The scene that the map was made from, for the pictures. None: the path in the map's manifest.
    overwrite : bool
        Whether an existing review is replaced if no cell of it was looked at.
    """

    scene: str | None = None
    overwrite: bool = False


@dataclass(frozen=True, eq=False)
class _Doubts:
    """What a map contains for some cells besides the class; (N,) each.

    Parameters
    ----------
    margins, confidence : int32 arrays
        Percent. The margin is the lead of the likeliest class over the next or, without probabilities, the confidence.
    likeliest, second : int64 arrays or None
        The likeliest class, and the likeliest class other than the map's; None without probabilities.
    """

    margins: NDArray[np.int32]
    confidence: NDArray[np.int32]
    likeliest: NDArray[np.int64] | None
    second: NDArray[np.int64] | None


@dataclass(frozen=True, kw_only=True)
class ReviewedClass(Record):
    """A class of the map: its cells, the points chosen in it, and the highest margin of these, percent."""

    value: int
    name: str
    cells: int
    points: int
    highest_margin: int


@dataclass(frozen=True, kw_only=True)
class Review(Record):
    """Cells chosen for review: the file written, the map, and the measure used ("margin" or "confidence")."""

    output: str
    map: MapUsed
    points: int
    chosen_by: str
    classes: tuple[ReviewedClass, ...]
    notes: tuple[str, ...]


def review(class_map: str | Path, points: int, output: str | Path, options: ReviewOptions | None = None) -> Review:
    """Choose the cells of a map that are most worth a look, and write them as a GeoPackage to be corrected in QGIS.

    These are cells with the smallest lead of the likeliest class over the next, spread out, from all classes. The lead
    is taken from the probabilities beside the map, or else from its confidence. `geokd.tile` cuts chips around those
    that were looked at.

    Parameters
    ----------
    class_map : path
        A class raster `<stem>_landuse.tif` with its confidence beside it.
    points : int
    output : path
        The GeoPackage.
    options : ReviewOptions, optional

    Returns
    -------
    Review

    Raises
    ------
    CallError
        If the map does not exist, the number of points is out of range, or the output exists or holds labels.
    SceneError
        If the map or a file beside it cannot be read.
    OutputError
        If the output cannot be written.
    """
    options, path = options or ReviewOptions(), Path(output)
    check_cell_file(path)
    source = find_map(class_map)
    strata = count_cells(source.file)
    cells = int(strata.cells.sum())
    if not 1 <= points <= cells:
        raise CallError(f"{points} points cannot be chosen of {cells} mapped cells; take 1 to {cells}")
    by = "confidence" if source.probabilities is None else "margin"
    with staged(path.parent, [path.name], overwrite=options.overwrite) as folder, _Layers(source) as layers:
        candidates = Candidates(strata.cells, points)
        for window, there, _ in source.file.windows():
            margins = layers.margins(window)
            layers.check(there, margins)
            candidates.pass_by((int(window.row_off), int(window.col_off)), there, margins)
        rows, cols, codes = candidates.choose()
        doubts = layers.at(rows, cols, codes)
        pictures, notes = picture_cells(source.file, options.scene, rows, cols)
        digest = map_hash(source.file)
        design = {"map": Path(source.file.path).name, "map_sha256": digest, "chosen_by": by, "purpose": _DESCRIPTION}
        columns = _columns(source, codes, doubts, pictures)
        form = CellForm("review", _DESCRIPTION, review_qml(source.file.offered, source.file.cell_size), strata, design)
        write_cell_points(CellPoints(rows, cols, codes, columns), source.file, form, folder / path.name)
    if by == "confidence":
        notes.insert(
            0,
            "cells of low confidence are chosen, because the map has no probabilities; geokd classify"
            " --probabilities writes them, and then cells are chosen in which two classes are almost equally likely",
        )
    return Review(
        output=str(path),
        map=MapUsed(path=source.file.path, sha256=digest),
        points=points,
        chosen_by=by,
        classes=tuple(
            ReviewedClass(
                value=c.value,
                name=c.name,
                cells=int(strata.cells[c.value]),
                points=int((codes == c.value).sum()),
                highest_margin=int(doubts.margins[codes == c.value].max(initial=0)),
            )
            for c in source.file.legend
        ),
        notes=tuple(notes),
    )


def _columns(source: InputMap, codes: NDArray[np.int64], doubts: _Doubts, pictures: list[str]) -> dict[str, Column]:
    """Columns of a review: the class, the map's until it is changed; whether it was looked at; the map's confidence."""
    number = len(codes)
    nobody = np.ones(number, np.bool_)
    classes = (
        codes if doubts.likeliest is None else np.where(codes == source.file.unclassified, doubts.likeliest, codes)
    )
    begun: Column = classes.astype(np.int32), classes == source.file.unclassified
    second = (np.zeros(number, np.int32), nobody) if doubts.second is None else complete(doubts.second.astype(np.int32))
    return {
        FIELD: begun,
        LOOKED_AT: complete(np.zeros(number, np.bool_)),
        "note": (np.full(number, None, object), nobody),
        "second": second,
        "confidence": complete(doubts.confidence),
        "margin": complete(doubts.margins),
        MAPPED: begun,
        "picture": complete(np.array(pictures, object)),
    }


class _Layers:
    """The confidence and, if they are there, the probabilities of a map, open to be read window by window."""

    def __init__(self, source: InputMap) -> None:
        self._source, self._stack = source, ExitStack()

    def __enter__(self) -> "_Layers":
        self._confidence = self._stack.enter_context(open_scene(self._source.confidence))
        path = self._source.probabilities
        self._probabilities = None if path is None else self._stack.enter_context(open_scene(path))
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def margins(self, window: Window) -> NDArray[np.uint8]:
        """Read the margins (rows, cols) in percent, 255 where there is none."""
        if self._probabilities is None:
            return np.asarray(self._read(self._confidence, window)[0], np.uint8)
        percent = self._read(self._probabilities, window)
        if len(percent) == 1:
            return np.asarray(percent[0], np.uint8)
        best = np.partition(percent, len(percent) - 2, axis=0)
        return np.asarray(np.where(best[-1] == NODATA, NODATA, best[-1] - best[-2]), np.uint8)

    def at(self, rows: NDArray[np.int64], cols: NDArray[np.int64], codes: NDArray[np.int64]) -> _Doubts:
        """Read the values of some cells, which have `codes` in the map."""
        margins, confidence = np.zeros(len(rows), np.int32), np.zeros(len(rows), np.int32)
        likeliest, second = np.zeros(len(rows), np.int64), np.zeros(len(rows), np.int64)
        for number in np.lexsort((cols, rows)):
            window = Window(int(cols[number]), int(rows[number]), 1, 1)
            margins[number] = self.margins(window)[0, 0]
            confidence[number] = self._read(self._confidence, window)[0, 0, 0]
            if self._probabilities is not None:
                percent = self._read(self._probabilities, window)[:, 0, 0].astype(np.int64)
                likeliest[number] = percent.argmax()
                own = codes[number] if codes[number] < len(percent) else likeliest[number]
                percent[own] = -1
                second[number] = percent.argmax()
        several = self._probabilities is not None and self._probabilities.count > 1
        return _Doubts(margins, confidence, likeliest if several else None, second if several else None)

    def check(self, codes: NDArray[np.uint8], margins: NDArray[np.uint8]) -> None:
        """Refuse values that do not belong to this map.

        Raises
        ------
        SceneError
        """
        if np.any(margins[codes != NODATA] > 100):
            path = self._source.probabilities or self._source.confidence
            raise SceneError(
                f"{path} does not belong to {self._source.file.path}: it has no percentage at some of its cells; copy"
                " both from the same run of geokd classify"
            )

    def _read(self, dataset: Any, window: Window) -> NDArray[np.uint8]:
        try:
            return np.asarray(dataset.read(window=window), np.uint8)
        except GdalErrors as error:
            raise SceneError(f"{dataset.name} cannot be read: {gdal_reason(error)}; copy or make it again") from error
