"""What a map is held against: the near infrared, which students of colours never see, and interpreted polygons."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.features import rasterize
from rasterio.windows import Window

from geokd.assessment.reference import interval_over_groups, normalised_difference, share_around_cells
from geokd.errors import CallError
from geokd.legend import Legend
from geokd.mapping.jobs import MappingJob
from geokd.outputs.class_map import ClassMap
from geokd.scenes.bands import find_band
from geokd.scenes.labels import read_reference
from geokd.scenes.plan import ScenePlan
from geokd.scenes.reader import read_values

NDWI_WATER = 0.05
NDVI_DENSE = 0.5
_PURE_WATER, _NO_WATER, _DENSE = 0.95, 0.05, 0.8
_WATER = re.compile(r"water|sea|lake|river|ocean|bay|pond|stream|canal|lagoon|reservoir|estuary")
_VEGETATION = re.compile(
    r"forest|wood(land)?|tree|herb(aceous)?|vegetation|pasture|meadow|(crop|grass|farm|shrub)(land)?|field"
    r"|agricultur(e|al)|orchard|vineyard|scrub"
)


@dataclass(frozen=True)
class YardstickOptions:
    """What to hold maps against.

    Parameters
    ----------
    labels : tuple of Path
        Files of interpreted polygons.
    field : str
        Their attribute with the accepted class names, separated by `|`.
    group_field : str or None
        Their attribute to group by.
    green_band, nir_band : int or None
        1-based; None: by the file's descriptions or colours.
    """

    labels: tuple[Path, ...] = ()
    field: str = "class"
    group_field: str | None = None
    green_band: int | None = None
    nir_band: int | None = None


@dataclass(frozen=True, eq=False)
class Yardstick:
    """What is known of a scene, on its cell grid.

    Parameters
    ----------
    areas : dict of bool arrays (rows, cols)
        Cells in pure "water", on "land" without water, in dense "vegetation"; empty if there is no near infrared.
    polygons : list of (bool array (rows, cols), list of int, str)
        Of each polygon its cells, the accepted codes and its group.
    notes : tuple of str
        How these came about, and what cannot be judged.
    """

    areas: dict[str, NDArray[np.bool_]]
    polygons: list[tuple[NDArray[np.bool_], list[int], str]]
    notes: tuple[str, ...]


def lay_yardstick(job: MappingJob, against: YardstickOptions) -> Yardstick:
    """Collect what maps of a scene are held against.

    Raises
    ------
    CallError, ChipError
        If a band or a field is not there, or the polygons are unusable or of classes that the model does not know.
    SceneError
        If the scene cannot be read.
    """
    legend, notes = job.bundle.legend, []
    areas: dict[str, NDArray[np.bool_]] = {}
    outside = [band for band in (against.green_band, against.nir_band) if band and band > len(job.info.colours)]
    if outside:
        raise CallError(f"{job.plan.path} has no band {outside[0]}, its bands are 1..{len(job.info.colours)}")
    red, green, nir = (
        _band(job, "red"),
        against.green_band or _band(job, "green"),
        against.nir_band or _band(job, "nir"),
    )
    water, vegetation = codes_like(legend, _WATER), codes_like(legend, _VEGETATION)
    if not (red and green and nir):
        lacking = [n for n, band in (("red", red), ("green", green), ("near infrared", nir)) if not band]
        notes.append(
            f"no band is known to be {' or '.join(lacking)}, so water and vegetation are not judged; --green-band and"
            " --nir-band name them"
        )
    elif not (water and vegetation):
        notes.append("the legend has no class of water or none of vegetation, so neither is judged")
    else:
        values, valid = read_whole(job.plan, (red, green, nir))
        cell, side = job.patches.stride_px, job.patches.patch_px
        wet = share_around_cells(normalised_difference(values[1], values[2]) > NDWI_WATER, valid, cell, side)
        lush = share_around_cells(normalised_difference(values[2], values[0]) > NDVI_DENSE, valid, cell, side)
        areas = {"water": wet >= _PURE_WATER, "land": wet <= _NO_WATER, "vegetation": lush >= _DENSE}
        notes.append(
            f"water is where NDWI > {NDWI_WATER:g} in {100 * _PURE_WATER:g} % of the {side} px around a cell, land"
            f" where in at most {100 * _NO_WATER:g} %, dense green where NDVI > {NDVI_DENSE:g} in {100 * _DENSE:g} %"
            f" (green is band {green}, near infrared {nir});"
            f" water classes are {_names(legend, water)}, vegetated ones {_names(legend, vegetation)}"
        )
    polygons = []
    shape = (job.patches.cell_grid.height, job.patches.cell_grid.width)
    known = {name.casefold(): c.value for c in legend for name in (c.name, c.title)}
    for path in against.labels:
        read = read_reference(path, against.field, against.group_field, job.plan.grid)
        strangers = sorted({n for names in read.accepted for n in names if n.casefold() not in known})
        if strangers:
            raise CallError(
                f"{path} accepts {', '.join(strangers)}, no classes of the model, which knows {', '.join(legend.names)}"
            )
        for polygon, accepted, group in zip(read.polygons, read.accepted, read.groups, strict=True):
            cells = rasterize([polygon], out_shape=shape, transform=job.patches.cell_grid.transform) == 1
            polygons.append((cells, [known[n.casefold()] for n in accepted], group))
        if read.undecided:
            notes.append(f"{read.undecided} polygons of {path} accept no class and are not judged")
    small = sum(not cells.any() for cells, _, _ in polygons)
    if small:
        notes.append(f"{small} polygons hold the centre of no cell and are not judged; a smaller --stride may help")
    return Yardstick(areas, [p for p in polygons if p[0].any()], tuple(notes))


def codes_like(legend: Legend, pattern: re.Pattern[str]) -> list[int]:
    """Codes of the classes whose name or title holds a whole word that matches, in lower case, singular or plural."""

    def has(text: str) -> bool:
        parts = re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", text)  # SeaLake: sea, lake
        return any(pattern.fullmatch(part.lower().removesuffix("s")) for part in parts)

    return [c.value for c in legend if has(c.name) or has(c.title)]


def _band(job: MappingJob, name: str) -> int:
    """1-based number of the scene's band of this name, first of all the one that the student is given as such; or 0."""
    taken = find_band(job.bundle.contract.bands, name)
    if taken:
        return job.plan.bidx[taken - 1]
    return find_band(job.info.descriptions, name) or find_band(job.info.colours, name)


def _names(legend: Legend, codes: list[int]) -> str:
    return ", ".join(legend[code].name for code in codes)


def judge_map(class_map: ClassMap, base: ClassMap, yardstick: Yardstick) -> dict[str, Any]:
    """Hold a map against a yardstick, and against another map of the scene.

    Returns
    -------
    dict
        As :func:`geokd.mapping.robustness.robustness` describes; a figure that nothing tells of is None.
    """
    codes, mapped, legend = class_map.codes, class_map.mapped & base.mapped, class_map.legend
    is_water = np.isin(codes, codes_like(legend, _WATER))
    is_vegetation = np.isin(codes, codes_like(legend, _VEGETATION))

    def share(what: NDArray[np.bool_], where: str) -> float | None:
        cells = yardstick.areas.get(where, np.zeros_like(mapped)) & mapped
        return float(what[cells].mean()) if cells.any() else None

    figures: dict[str, Any] = {
        "water_recall": share(is_water, "water"),
        "false_water": share(is_water, "land"),
        "vegetation_recall": share(is_vegetation, "vegetation"),
        "cells": {name: int((area & mapped).sum()) for name, area in yardstick.areas.items()},
        "changed": float((codes != base.codes)[mapped].mean()) if mapped.any() else None,
        "mean_confidence": float(class_map.confidence[class_map.mapped].mean()) / 100 if mapped.any() else None,
        "class_shares": {
            c.name: round(float(n) / max(int(class_map.mapped.sum()), 1), 4)
            for c, n in zip(legend, class_map.cell_counts(), strict=True)
        },
        "agreement": None,
    }
    if any((cells & mapped).any() for cells, _, _ in yardstick.polygons):
        counts = np.array([int((cells & mapped).sum()) for cells, _, _ in yardstick.polygons])
        hits = np.array([int(np.isin(codes[cells & mapped], ok).sum()) for cells, ok, _ in yardstick.polygons])
        groups = np.array([group for _, _, group in yardstick.polygons])
        counts, hits, groups = counts[counts > 0], hits[counts > 0], groups[counts > 0]
        parts = {
            str(group): {
                "polygons": int((groups == group).sum()),
                "cells": int(counts[groups == group].sum()),
                "agreement": float(hits[groups == group].sum() / counts[groups == group].sum()),
            }
            for group in sorted(set(groups))
        }
        interval = interval_over_groups(hits, counts)
        figures |= {
            "agreement": float(hits.sum() / counts.sum()),
            "agreement_interval_95": None if interval is None else list(interval),
            "agreement_mean_of_groups": float(np.mean([p["agreement"] for p in parts.values()])),
            "groups": parts,
        }
    return figures


def read_whole(plan: ScenePlan, bidx: tuple[int, ...]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Read whole bands as reflectance x 10,000 (or bytes), float32 (bands, height, width), and which are valid."""
    whole = Window(0, 0, plan.grid.width, plan.grid.height)
    values, valid = read_values(plan, whole, bidx)
    return np.asarray(
        values.astype(np.float32) * np.float32(plan.value_scale) + np.float32(plan.value_offset), np.float32
    ), valid
