"""Drawing a sample of a map, to be labelled and compared with it."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from geokd.assessment.pairing import PairedMaps, pair_against, pair_maps
from geokd.assessment.samples.enlarging import read_former
from geokd.assessment.samples.sampling import LEAST, Draw, allocate, usual_least
from geokd.errors import CallError, Checked
from geokd.labels.cell_form import sample_qml
from geokd.labels.cell_labels import labelled_cells
from geokd.labels.cell_names import FIELD, FIELD_LATER
from geokd.labels.cell_points import CellForm, CellPoints, Column, complete, write_cell_points
from geokd.labels.scene_pictures import picture_cells
from geokd.legend.classes import NODATA
from geokd.maps.map_file import MapFile, MapUsed, Strata, count_cells, file_hash, map_hash, open_map
from geokd.system.commit import staged
from geokd.system.documents import Record

_WHERE_MAPS_AGREE, _WHERE_MAPS_DIFFER = (
    0.2,
    0.8,
)  # of the points; the difference shows in the latter
_DESCRIPTION = "Cells of a land-use map, drawn at random in each of its classes, to be labelled for geokd assess"


@dataclass(frozen=True)
class SampleOptions(Checked):
    """How a sample is drawn.

    Parameters
    ----------
    seed : int
        Seed of the random generator: the same seed gives the same points.
    min_per_class : int or None
        Minimum number of points in each class. None: 50, but at most half of all points are used for this.
    scene : str or None
        The scene that the map was made from, for the pictures. None: the path in the map's manifest.
    later : path or None
        A map of a later date: the strata are the changes between the two maps, and both dates are labelled.
    against : path or None
        Another map of the same date: the strata are the cells in which the two maps agree and those in which they
        differ. Four fifths of the points are drawn in the latter.
    match : path or None
        For `later` and `against`, a CSV file with the columns map_class and reference_class; the latter has the other
        map's classes.
    enlarge : path or None
        A sample of the same map, drawn with fewer points, whose cells, labels and seed are kept.
    overwrite : bool
        Whether an existing sample without labels is replaced.

    Raises
    ------
    CallError
        If a value is out of its range.
    """

    seed: int = 0
    min_per_class: int | None = None
    scene: str | None = None
    later: str | Path | None = None
    against: str | Path | None = None
    match: str | Path | None = None
    enlarge: str | Path | None = None
    overwrite: bool = False

    def _problems(self) -> list[str]:
        problems = []
        if self.seed < 0:
            problems.append(f"the seed {self.seed} is below 0")
        if self.min_per_class is not None and self.min_per_class < LEAST:
            problems.append(
                f"{self.min_per_class} points per class are too few to estimate a variance; take {LEAST} or more"
            )
        if self.later is not None and self.against is not None:
            problems.append("a sample is for change (later) or for comparing two maps (against); draw one of each")
        if self.enlarge is not None and (self.later is not None or self.against is not None):
            problems.append("a sample of two maps cannot be enlarged; draw a new one with more points")
        return problems


@dataclass(frozen=True, kw_only=True)
class Stratum(Record):
    """A class of the map: its cells and their area, and the points drawn in it."""

    value: int
    name: str
    cells: int
    area_ha: float
    points: int


@dataclass(frozen=True, kw_only=True)
class Sample(Record):
    """A sample that was drawn: the file written, the map, the points of each class.

    `labelled` points took their labels from the sample that was enlarged.
    """

    output: str
    map: MapUsed
    points: int
    labelled: int
    seed: int
    min_per_class: int
    strata: tuple[Stratum, ...]
    notes: tuple[str, ...]


def sample(class_map: str | Path, points: int, output: str | Path, options: SampleOptions | None = None) -> Sample:
    """Draw a stratified random sample of cells, and write it as a GeoPackage to be labelled in QGIS.

    The strata are the classes of the map, unclassified among them; :func:`geokd.assess` reads the file back.

    Parameters
    ----------
    class_map : path
        A class raster `<stem>_landuse.tif`.
    points : int
    output : path
        The GeoPackage.
    options : SampleOptions, optional

    Returns
    -------
    Sample

    Raises
    ------
    CallError
        If the map does not exist, the number of points is out of range, or the output exists or holds labels.
    SceneError
        If the map cannot be read.
    OutputError
        If the output cannot be written.
    """
    options, path = options or SampleOptions(), Path(output)
    check_cell_file(path)
    source = open_map(class_map)
    if options.later is not None:
        source = pair_maps(source, options.later, options.match)
    elif options.against is not None:
        source = pair_against(source, options.against, options.match)
    strata = count_cells(source)
    least = options.min_per_class
    if least is None:
        least = usual_least(points, max(int((strata.cells > 0).sum()), 1))
    former = None if options.enlarge is None else read_former(Path(options.enlarge), source)
    seed = options.seed if former is None else former.seed
    shares = strata.areas_ha if options.against is None else np.array([_WHERE_MAPS_AGREE, _WHERE_MAPS_DIFFER])
    units = _allocated(source, strata, shares, points, least if former is None else np.maximum(former.units, least))
    with staged(path.parent, [path.name], overwrite=options.overwrite) as folder:
        rows, cols, codes = _drawn(source, units, seed)
        pictures, notes = picture_cells(source, options.scene, rows, cols)
        digest = map_hash(source)
        design = {"map": Path(source.path).name, "map_sha256": digest, "seed": str(seed)}
        by = "by area" if options.against is None else "four fifths where the maps differ"
        each = "class" if options.against is None else "stratum"
        design |= {"allocation": f"{by}, at least {least} points in each {each}"}
        design |= {"draw": f"random cells of each {each}, without replacement, probability proportional to area"}
        if options.against is not None:
            design |= {"against": Path(options.against).name, "against_sha256": file_hash(options.against)}
        paired = isinstance(source, PairedMaps)
        qml = sample_qml(source.offered, source.cell_size, two_dates=options.later is not None)
        form = CellForm("sample", _DESCRIPTION, qml, strata, design, source.offered if paired else None)
        columns = _columns(codes, pictures, two_dates=options.later is not None)
        if former is not None:
            columns[FIELD], columns["note"] = former.columns(rows, cols)
        write_cell_points(CellPoints(rows, cols, codes, columns), source, form, folder / path.name)
    return Sample(
        output=str(path),
        map=MapUsed(path=source.path, sha256=digest),
        points=points,
        labelled=0 if former is None else former.labelled,
        seed=seed,
        min_per_class=least,
        strata=tuple(
            Stratum(
                value=c.value,
                name=c.name,
                cells=int(strata.cells[c.value]),
                area_ha=float(strata.areas_ha[c.value]),
                points=int(units[c.value]),
            )
            for c in source.legend
        ),
        notes=tuple(notes),
    )


def check_cell_file(path: Path) -> None:
    """Refuse to replace cells that are labelled already, or to write to anything but a GeoPackage.

    Raises
    ------
    CallError
    """
    if path.suffix.lower() != ".gpkg":
        raise CallError(f"the output {path} is not a GeoPackage; call it {path.with_suffix('.gpkg')}")
    labelled = labelled_cells(path)
    if labelled:
        raise CallError(f"{path} holds {labelled} labelled points, which are not replaced; move it away first")


def _columns(codes: NDArray[np.int64], pictures: list[str], *, two_dates: bool) -> dict[str, Column]:
    """Columns of a sample: the class and a note, both empty, the map's code, the picture."""
    number = len(codes)
    nobody = np.ones(number, np.bool_)
    empty = np.zeros(number, np.int32), nobody
    return {
        FIELD: empty,
        **({FIELD_LATER: empty} if two_dates else {}),
        "note": (np.full(number, None, object), nobody),
        "stratum": complete(codes.astype(np.int32)),
        "picture": complete(np.array(pictures, object)),
    }


def _allocated(
    class_map: MapFile, strata: Strata, shares: NDArray[np.float64], points: int, least: int | NDArray[np.int64]
) -> NDArray[np.int64]:
    """Allocate the points to the strata by `shares` (K,). `least` is for all strata alike, or for each.

    Raises
    ------
    CallError
        If it is too small or too large.
    """
    cells = int(strata.cells.sum())
    lowest = int(np.minimum(strata.cells, least).sum())
    if cells == 0:
        raise CallError(f"{class_map.path} has no mapped cells, so no sample can be drawn")
    if points > cells:
        raise CallError(f"{points} points cannot be drawn of {cells} mapped cells; take fewer")
    if points < lowest and not isinstance(least, int):
        raise CallError(f"{points} points are too few to enlarge the sample; take {lowest} or more")
    if points < lowest:
        classes = int((strata.cells > 0).sum())
        raise CallError(
            f"{points} points are too few for at least {least} of each of the {classes} classes; take"
            f" {lowest} or more" + (f", or lower --min-per-class to {LEAST} or more" if np.max(least) > LEAST else "")
        )
    return allocate(strata.cells, shares, points, least)


def _drawn(
    class_map: MapFile, units: NDArray[np.int64], seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Draw cells window by window; return rows, cols and codes in random order, which does not reveal the class."""
    draws = {code: Draw(int(count)) for code, count in enumerate(units) if count}
    for number, (window, codes, areas) in enumerate(class_map.windows()):
        random = np.random.default_rng([seed, number])
        keys = random.exponential(size=codes.shape) / areas
        for code in np.unique(codes[codes != NODATA]):
            rows, cols = np.nonzero(codes == code)
            draws[int(code)].pass_by(rows + int(window.row_off), cols + int(window.col_off), keys[rows, cols])
    cells = np.concatenate([draw.cells for draw in draws.values()])
    strata = np.repeat(np.array(list(draws), np.int64), [len(draw.cells) for draw in draws.values()])
    order = np.random.default_rng([seed]).permutation(len(cells))
    return cells[order, 0], cells[order, 1], strata[order]
