"""Reference data: the near infrared, which students of red, green and blue never see, and interpreted polygons."""

import math
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray
from rasterio.features import rasterize

from geokd.assessment.reference import interval_over_groups, normalised_difference, share_around_cells
from geokd.errors import CallError, Checked, GeokdError, one_message, together
from geokd.labels.polygons import read_reference
from geokd.legend.classes import Legend
from geokd.mapping.jobs import MappingJob
from geokd.maps.class_map import ClassMap
from geokd.scenes.bands import find_band
from geokd.scenes.grid import SceneGrid
from geokd.scenes.reader import read_values
from geokd.scenes.scaling import to_reflectance
from geokd.system.documents import Record

NDWI_WATER = 0.05
NDVI_DENSE = 0.5
_PURE_WATER, _NO_WATER, _DENSE = 0.95, 0.05, 0.8
_WATER = re.compile(r"water|sea|lake|river|ocean|bay|pond|stream|canal|lagoon|reservoir|estuar(y|ie)")
_VEGETATION = re.compile(
    r"forest|wood(land)?|tree|herb(aceous)?|vegetation|pasture|meadow|(crop|grass|farm|shrub)(land)?|field"
    r"|agricultur(e|al)|orchard|vineyard|scrub"
)
_REFLECTANCE = 10_000  # reflectance is multiplied by this
_NOT = {"no", "non", "not", "without"}


@dataclass(frozen=True)
class YardstickOptions(Checked):
    """What to compare maps with.

    Parameters
    ----------
    labels : tuple of Path
        Files of interpreted polygons.
    field : str
        Their attribute with the accepted class names, separated by `|`.
    group_field : str or None
        Their attribute to group by.
    green_band, nir_band : int or None
        Band numbers from 1; None: found by the file's band descriptions or colours.

    Raises
    ------
    CallError
        If a band is below 1.
    """

    labels: tuple[Path, ...] = ()
    field: str = "class"
    group_field: str | None = None
    green_band: int | None = None
    nir_band: int | None = None

    def _problems(self) -> list[str]:
        below = [f"{band}" for band in (self.green_band, self.nir_band) if band is not None and band < 1]
        return [f"the band {' and '.join(below)} does not exist: bands are numbered from 1"] if below else []


_Polygon = tuple[NDArray[np.int64], list[int], str]


@dataclass(frozen=True, eq=False)
class Yardstick:
    """What is known of a scene, on its cell grid.

    Parameters
    ----------
    areas : dict of bool arrays (rows, cols)
        Cells in pure "water", on "land" without water, in dense "vegetation"; empty if there is no near infrared.
    polygons : list of (int64 array (n,), list of int, str)
        Of each polygon its cells, counted row by row, the accepted codes and its group.
    notes : tuple of str
        How these were derived, and what cannot be judged.
    """

    areas: dict[str, NDArray[np.bool_]]
    polygons: list[_Polygon]
    notes: tuple[str, ...]


def lay_yardstick(job: MappingJob, against: YardstickOptions) -> Yardstick:
    """Collect the reference data of a scene.

    Raises
    ------
    CallError, ChipError
        If a band or a field does not exist, or the polygons are unusable or of classes that the model does not have.
    SceneError
        If the scene cannot be read.
    """
    areas, notes = _areas(job, against)
    polygons, of_polygons = _polygons(job, against)
    return Yardstick(areas, polygons, (*notes, *of_polygons))


def _areas(job: MappingJob, against: YardstickOptions) -> tuple[dict[str, NDArray[np.bool_]], list[str]]:
    """Cells of pure water, of land and of dense vegetation from the near infrared, and notes on how they were found."""
    legend, colours = job.bundle.legend, job.info.colours
    bands = {
        "red": _band(job, "red"),
        "green": against.green_band or _band(job, "green"),
        "near infrared": against.nir_band or _band(job, "nir"),
    }
    problems = [
        f"{job.plan.path} has no band {band} to use as {name}; its bands are 1..{len(colours)}"
        for name, band in bands.items()
        if band > len(colours)
    ]
    problems += [
        f"band {band} of {job.plan.path} is its alpha band, which cannot be {name}"
        for name, band in bands.items()
        if 0 < band <= len(colours) and colours[band - 1] == "alpha"
    ]
    known = [band for band in bands.values() if band]
    if len(set(known)) < len(known):
        listing = ", ".join(f"{name} {band}" for name, band in bands.items())
        problems.append(f"one band cannot be two ({listing}); name them with --green-band and --nir-band")
    if problems:
        raise CallError(one_message(problems))
    lacking = [name for name, band in bands.items() if not band]
    if lacking:
        hint = "--green-band and --nir-band name them" if "red" not in lacking else "the model has no red band"
        return {}, [f"no band is known to be {' or '.join(lacking)}, so water and vegetation are not judged; {hint}"]
    values, valid = _reflectance(job, tuple(bands.values()))
    cell, part = job.patches.cell_px, job.seen_part
    side = cell if job.bundle.contract.is_dense else job.patches.patch_px
    areas: dict[str, NDArray[np.bool_]] = {}
    notes = [f"red is band {bands['red']}, green {bands['green']}, near infrared {bands['near infrared']}"]
    water, vegetation = codes_like(legend, _WATER), codes_like(legend, _VEGETATION)
    if water:
        wet = share_around_cells(normalised_difference(values[1], values[2]) > NDWI_WATER, valid, cell, side)
        wet = wet[part]
        areas |= {"water": wet >= _PURE_WATER, "land": wet <= _NO_WATER}
        notes.append(
            f"water is where NDWI > {NDWI_WATER:g} in {100 * _PURE_WATER:g} % of the {side} px around a cell, land"
            f" where in at most {100 * _NO_WATER:g} %; water classes are {_names(legend, water)}"
        )
    else:
        notes.append("the legend has no class of water, so water is not judged")
    if vegetation:
        lush = share_around_cells(normalised_difference(values[2], values[0]) > NDVI_DENSE, valid, cell, side)
        areas["vegetation"] = lush[part] >= _DENSE
        notes.append(
            f"dense vegetation is where NDVI > {NDVI_DENSE:g} in {100 * _DENSE:g} % of the {side} px; its classes are"
            f" {_names(legend, vegetation)}"
        )
    else:
        notes.append("the legend has no class of vegetation, so vegetation is not judged")
    return areas, notes


def _polygons(job: MappingJob, against: YardstickOptions) -> tuple[list[_Polygon], list[str]]:
    """For each interpreted polygon its cells, the accepted codes and its group; and notes on what is not judged."""
    legend, notes = job.bundle.legend, []
    polygons: list[_Polygon] = []
    problems: list[GeokdError] = []
    for path in {path.resolve(): path for path in against.labels}.values():  # each file once
        try:
            read = read_reference(path, against.field, against.group_field, job.plan.grid)
        except GeokdError as error:
            problems.append(error)
            continue
        strangers = sorted({n for names in read.accepted for n in names if legend.code_named(n) is None})
        if strangers:
            names = ", ".join(legend.names)
            problems.append(
                CallError(f"{path} accepts {', '.join(strangers)}, not classes of the model, which has {names}")
            )
            continue
        for polygon, accepted, group in zip(read.polygons, read.accepted, read.groups, strict=True):
            cells = _cells_within(polygon, job.map_grid)
            polygons.append((cells, [code for n in accepted if (code := legend.code_named(n)) is not None], group))
        if read.undecided:
            notes.append(f"{read.undecided} polygons of {path} have no class and are not judged")
    if problems:
        raise together(problems)
    small = sum(not cells.size for cells, _, _ in polygons)
    if small:
        remedy = "" if job.bundle.contract.is_dense else "; a smaller --stride may help"
        notes.append(f"{small} polygons contain no cell centre of the map and are not judged{remedy}")
    return [p for p in polygons if p[0].size], notes


def _cells_within(polygon: shapely.Geometry, grid: SceneGrid) -> NDArray[np.int64]:
    """Return the cells whose centre lies in a polygon of world coordinates, counted row by row, (n,)."""
    corners = shapely.transform(polygon, lambda x, y: ~grid.transform @ (x, y), interleaved=False)
    left, top, right, bottom = shapely.bounds(corners)
    cols = slice(max(0, math.floor(left)), min(grid.width, math.ceil(right)))
    rows = slice(max(0, math.floor(top)), min(grid.height, math.ceil(bottom)))
    if rows.start >= rows.stop or cols.start >= cols.stop:
        return np.empty(0, np.int64)
    shape = rows.stop - rows.start, cols.stop - cols.start
    moved = grid.transform @ Affine.translation(cols.start, rows.start)
    row, col = np.nonzero(rasterize([polygon], out_shape=shape, transform=moved))
    return np.asarray((row + rows.start) * grid.width + col + cols.start, np.int64)


def codes_like(legend: Legend, pattern: re.Pattern[str]) -> list[int]:
    """Codes of the classes whose name or title contains one of the words, in lower case, singular or plural."""

    def has(text: str) -> bool:
        words = [part.lower() for part in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", text)]  # SeaLake: sea, lake
        matches = (pattern.fullmatch(form) for word in words for form in (word, word.removesuffix("s")))
        return any(matches) and _NOT.isdisjoint(words)

    return [c.value for c in legend if has(c.name) or has(c.title)]


def _band(job: MappingJob, name: str) -> int:
    """Return the number, from 1, of the scene's band of this name, first of all the one that the student uses; or 0."""
    taken = find_band(job.bundle.contract.bands, name)
    if taken:
        return job.plan.bidx[taken - 1]
    return find_band(job.info.descriptions, name, job.info.sensor) or find_band(job.info.colours, name)


def _names(legend: Legend, codes: list[int]) -> str:
    return ", ".join(legend[code].name for code in codes)


@dataclass(frozen=True, kw_only=True)
class GroupAgreement(Record):
    """Of a group of polygons: how many, the cells within, and the share of these whose class is accepted."""

    polygons: int
    cells: int
    agreement: float


@dataclass(frozen=True, kw_only=True)
class MapFigures(Record):
    """A map compared with reference data; fractions, None where a figure cannot be estimated.

    `water_recall`, of cells in pure water that are mapped as water; `false_water`, of cells without water;
    `vegetation_recall`, of cells in dense vegetation; `agreement`, of cells in interpreted polygons, with its 95 %
    interval over polygons, its mean over groups and its parts by group; `changed`, of cells whose class is another than
    in the unchanged scene; `cells` of each kind; the share of each class.
    """

    water_recall: float | None
    false_water: float | None
    vegetation_recall: float | None
    changed: float | None
    mean_confidence: float | None
    agreement: float | None = None
    agreement_interval_95: tuple[float, float] | None = None
    agreement_mean_of_groups: float | None = None
    groups: dict[str, GroupAgreement] | None = None
    cells: dict[str, int]
    class_shares: dict[str, float]


def judge_map(class_map: ClassMap, base: ClassMap, yardstick: Yardstick) -> MapFigures:
    """Compare a map with reference data, and with another map of the scene.

    Returns
    -------
    MapFigures
    """
    codes, mapped, legend = class_map.codes, class_map.mapped & base.mapped, class_map.legend
    is_water = np.isin(codes, codes_like(legend, _WATER))
    is_vegetation = np.isin(codes, codes_like(legend, _VEGETATION))

    def share(what: NDArray[np.bool_], where: str) -> float | None:
        cells = yardstick.areas.get(where, np.zeros_like(mapped)) & mapped
        return float(what[cells].mean()) if cells.any() else None

    figures = MapFigures(
        water_recall=share(is_water, "water"),
        false_water=share(is_water, "land"),
        vegetation_recall=share(is_vegetation, "vegetation"),
        changed=float((codes != base.codes)[mapped].mean()) if mapped.any() else None,
        mean_confidence=float(class_map.confidence[class_map.mapped].mean()) / 100 if mapped.any() else None,
        cells={name: int((area & mapped).sum()) for name, area in yardstick.areas.items()},
        class_shares={
            c.name: round(float(n) / max(int(class_map.mapped.sum()), 1), 4)
            for c, n in zip(legend, class_map.cell_counts(), strict=True)
        },
    )
    flat, flat_mapped = codes.ravel(), mapped.ravel()
    judged = [(flat[cells[flat_mapped[cells]]], accepted) for cells, accepted, _ in yardstick.polygons]
    if not any(found.size for found, _ in judged):
        return figures
    counts = np.array([found.size for found, _ in judged])
    hits = np.array([int(np.isin(found, accepted).sum()) for found, accepted in judged])
    groups = np.array([group for _, _, group in yardstick.polygons])
    counts, hits, groups = counts[counts > 0], hits[counts > 0], groups[counts > 0]
    parts = {
        str(group): GroupAgreement(
            polygons=int((groups == group).sum()),
            cells=int(counts[groups == group].sum()),
            agreement=float(hits[groups == group].sum() / counts[groups == group].sum()),
        )
        for group in sorted(set(groups))
    }
    return figures.evolve(
        agreement=float(hits.sum() / counts.sum()),
        agreement_interval_95=interval_over_groups(hits, counts),
        agreement_mean_of_groups=float(np.mean([part.agreement for part in parts.values()])),
        groups=parts,
    )


def _reflectance(job: MappingJob, bidx: tuple[int, ...]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Read bands around the map's cells, each with its own scale and offset, and which pixels are valid in all of them.

    Returns
    -------
    float32 array (bands, height, width)
        Reflectance x 10,000, or bytes.
    bool array (height, width)
    """
    plan, info, first = job.plan, job.info, job.plan.bidx[0] - 1
    read = dict(zip(plan.bidx, zip(plan.value_scales, plan.value_offsets, strict=True), strict=True))
    bands = []
    everywhere = np.ones((job.seen.height, job.seen.width), np.bool_)
    for band in bidx:  # one by one: they may be of different types, and a gap in one is a gap
        values, valid = read_values(plan, job.seen.window, (band,))
        scale, offset = read.get(band) or (
            plan.value_scales[0] * info.scales[band - 1] / info.scales[first],
            plan.value_offsets[0] + _REFLECTANCE * (info.offsets[band - 1] - info.offsets[first]),
        )
        bands.append(to_reflectance(values[0], scale, offset))
        everywhere &= valid
    return np.stack(bands), everywhere
