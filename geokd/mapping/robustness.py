"""How well a student holds on a scene, and on the same scene as it might have been taken otherwise.

Three yardsticks that need no map of the place: water and dense vegetation by indices of the near infrared (which a
student of red, green and blue never sees), polygons that a person has interpreted, and the student's own map, from
which that of a changed scene should not differ.
"""

import re
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.enums import ColorInterp
from rasterio.features import rasterize
from rasterio.windows import Window

from geokd.assessment.reference import interval_over_groups, normalised_difference, share_around_cells
from geokd.assessment.shifts import SHIFTS
from geokd.bundle import DEFAULT_MODEL
from geokd.errors import CallError, SceneError
from geokd.legend import Legend
from geokd.mapping.classify import make_map, true_colour
from geokd.mapping.jobs import ClassifyOptions, MappingJob, plan_jobs
from geokd.mapping.manifest import describe_drift, describe_options, package_versions
from geokd.outputs.class_map import ClassMap
from geokd.outputs.contact_sheet import Panel, write_contact_sheet
from geokd.outputs.manifest import write_manifest
from geokd.outputs.staging import staged
from geokd.scenes.bands import find_band, wavelengths_nm
from geokd.scenes.labels import read_reference
from geokd.scenes.plan import ScenePlan
from geokd.scenes.reader import read_preview, read_values

LARGEST_PX = 40_000_000
"""Pixels of a scene that are changed as a whole, in memory."""

NDWI_WATER = 0.05
NDVI_DENSE = 0.5
_PURE_WATER, _NO_WATER, _DENSE = 0.95, 0.05, 0.8
_WATER = re.compile(r"water|sea|lake|river|ocean|bay|pond|stream|canal|lagoon|reservoir|estuary")
_VEGETATION = re.compile(
    r"forest|wood(land)?|tree|herb(aceous)?|vegetation|pasture|meadow|(crop|grass|farm|shrub)(land)?|field"
    r"|agricultur(e|al)|orchard|vineyard|scrub"
)


@dataclass(frozen=True)
class RobustnessOptions:
    """What to hold the maps against.

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
    shifts : tuple of str
        Names of simulated changes, of :data:`geokd.assessment.shifts.SHIFTS`.

    Raises
    ------
    CallError
        If a shift is unknown.
    """

    labels: tuple[Path, ...] = ()
    field: str = "class"
    group_field: str | None = None
    green_band: int | None = None
    nir_band: int | None = None
    shifts: tuple[str, ...] = tuple(SHIFTS)

    def __post_init__(self) -> None:
        unknown = [name for name in dict.fromkeys(self.shifts) if name not in SHIFTS]
        if unknown:
            raise CallError(f"no simulated change is called {', '.join(unknown)}; there are {', '.join(SHIFTS)}")


@dataclass(frozen=True, eq=False)
class _Reference:
    """On the cell grid: bool arrays (rows, cols) by name, and per polygon its cells, accepted codes and group."""

    areas: dict[str, NDArray[np.bool_]]
    polygons: list[tuple[NDArray[np.bool_], list[int], str]]


def robustness(
    scene: str | Path,
    model: str | Path = DEFAULT_MODEL,
    output: str | Path = ".",
    options: ClassifyOptions | None = None,
    against: RobustnessOptions | None = None,
    *,
    progress: Callable[[str, dict[str, Any]], None] = lambda name, figures: None,
) -> dict[str, Any]:
    """Map a scene as it is and as it might have been taken otherwise, and hold the maps against what is known.

    Writes `<scene>_robustness.json` and `.png` (all maps beside the scene) into the folder `output`.

    Parameters
    ----------
    scene, model, output, options
        As :func:`geokd.mapping.classify.classify`.
    against : RobustnessOptions, optional
    progress : callable
        Takes the name of each map and its figures.

    Returns
    -------
    dict
        What the JSON file holds: `maps` with the figures of each, the unchanged scene first; `worst`, for each figure
        the change that costs most. Shares are fractions: `water_recall`, of cells in pure water that are mapped as
        water; `false_water`, of cells without water; `vegetation_recall`, of cells in dense green; `agreement`, of
        cells in interpreted polygons, with its 95 % interval over polygons and its parts by group; `changed`, of cells
        whose class is another than in the unchanged scene.

    Raises
    ------
    CallError, SceneError, BundleError, ChipError, OutputError
        As :func:`geokd.mapping.classify.classify`; also if the scene is too large to be changed in memory.
    """
    options, against = options or ClassifyOptions(), against or RobustnessOptions()
    stem = Path(scene).stem
    names = (f"{stem}_robustness.json", f"{stem}_robustness.png")
    with staged(Path(output), names, overwrite=options.overwrite) as folder, tempfile.TemporaryDirectory() as temporary:
        (job,) = plan_jobs([scene], model, temporary, replace(options, overwrite=True))
        if job.plan.grid.height * job.plan.grid.width > LARGEST_PX:
            raise SceneError(
                f"{scene} has {job.plan.grid.height} x {job.plan.grid.width} pixels, at most {LARGEST_PX:,} can be"
                " changed in memory; cut a part by gdal_translate -srcwin"
            )
        reference, notes = _reference(job, against)
        pixels, valid = _unrounded(job.plan)
        mosaic = make_map(job)
        base = mosaic.class_map
        maps = {"as it is": _figures(base, base, reference)}
        progress("as it is", maps["as it is"])
        preview, _ = read_preview(job.plan)
        colours = np.ascontiguousarray(true_colour(preview, job.bundle.contract).transpose(1, 2, 0))
        panels = [Panel("scene", job.bundle.name, colours), Panel("as it is", _note(maps["as it is"]), base.codes)]
        wavelengths = wavelengths_nm(job.bundle.contract.bands)
        for name in dict.fromkeys(against.shifts):
            changed = _map_of(SHIFTS[name](pixels, wavelengths), valid, job, Path(temporary, "changed.tif"))
            maps[name] = _figures(changed, base, reference)
            panels.append(Panel(name, _note(maps[name]), changed.codes))
            progress(name, maps[name])
        document = {
            "scene": str(scene),
            "model": {"name": job.bundle.name, "precision": job.bundle.precision, "sha256": job.bundle.sha256},
            "options": describe_options(job),
            "labels": [{"path": str(path), "sha256": sha256(path.read_bytes()).hexdigest()} for path in against.labels],
            "notes": [*job.notes, *notes],
            "warnings": [*job.plan.warnings, *(mosaic.drift.warnings if mosaic.drift else ())],
            "drift": describe_drift(mosaic.drift),
            "maps": maps,
            "worst": _worst(maps),
            "versions": package_versions(),
        }
        write_manifest(document, folder / names[0])
        write_contact_sheet(panels, job.legend, folder / names[1])
    return document


def _reference(job: MappingJob, against: RobustnessOptions) -> tuple[_Reference, list[str]]:
    """Collect what the maps are held against, and say how."""
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
        values, valid = _read_whole(job.plan, (red, green, nir))
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
    return _Reference(areas, [p for p in polygons if p[0].any()]), notes


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


def _figures(class_map: ClassMap, base: ClassMap, reference: _Reference) -> dict[str, Any]:
    """Figures of one map; a figure that nothing tells of is None."""
    codes, mapped, legend = class_map.codes, class_map.mapped & base.mapped, class_map.legend
    is_water = np.isin(codes, codes_like(legend, _WATER))
    is_vegetation = np.isin(codes, codes_like(legend, _VEGETATION))

    def share(what: NDArray[np.bool_], where: str) -> float | None:
        cells = reference.areas.get(where, np.zeros_like(mapped)) & mapped
        return float(what[cells].mean()) if cells.any() else None

    figures: dict[str, Any] = {
        "water_recall": share(is_water, "water"),
        "false_water": share(is_water, "land"),
        "vegetation_recall": share(is_vegetation, "vegetation"),
        "cells": {name: int((area & mapped).sum()) for name, area in reference.areas.items()},
        "changed": float((codes != base.codes)[mapped].mean()) if mapped.any() else None,
        "mean_confidence": float(class_map.confidence[class_map.mapped].mean()) / 100 if mapped.any() else None,
        "class_shares": {
            c.name: round(float(n) / max(int(class_map.mapped.sum()), 1), 4)
            for c, n in zip(legend, class_map.cell_counts(), strict=True)
        },
        "agreement": None,
    }
    if any((cells & mapped).any() for cells, _, _ in reference.polygons):
        counts = np.array([int((cells & mapped).sum()) for cells, _, _ in reference.polygons])
        hits = np.array([int(np.isin(codes[cells & mapped], ok).sum()) for cells, ok, _ in reference.polygons])
        groups = np.array([group for _, _, group in reference.polygons])
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


_BETTER_HIGH = {"water_recall": 1, "false_water": -1, "vegetation_recall": 1, "agreement": 1}


def _worst(maps: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """For each figure, the change that costs most: its name and by how much the figure gets worse."""
    base = next(iter(maps.values()))
    worst: dict[str, Any] = {}
    for figure, sign in _BETTER_HIGH.items():
        losses = {
            name: sign * (base[figure] - figures[figure])
            for name, figures in list(maps.items())[1:]
            if figures[figure] is not None and base[figure] is not None
        }
        name = max(losses, key=losses.__getitem__, default="")
        if name and losses[name] > 0:
            worst[figure] = {"change": name, "loss": losses[name]}
    return worst


def _note(figures: dict[str, Any]) -> str:
    shown = {"water": "water_recall", "false": "false_water", "agree": "agreement"}
    parts = [f"{word} {100 * figures[key]:.0f} %" for word, key in shown.items() if figures[key] is not None]
    return ", ".join(parts) or f"changed {100 * (figures['changed'] or 0):.0f} %"


def _read_whole(plan: ScenePlan, bidx: tuple[int, ...]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Read whole bands as reflectance x 10,000 (or bytes), float32 (bands, height, width), and which are valid."""
    whole = Window(0, 0, plan.grid.width, plan.grid.height)
    values, valid = read_values(plan, whole, bidx)
    return np.asarray(
        values.astype(np.float32) * np.float32(plan.value_scale) + np.float32(plan.value_offset), np.float32
    ), valid


def _unrounded(plan: ScenePlan) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Read the scene as the student sees it, neither rounded nor clipped, and which pixels are valid.

    Pixels that are not valid take the mean of their band, so that changes of the scene do not take them for land.
    """
    pixels, valid = _read_whole(plan, plan.bidx)
    if plan.scaling is not None:
        s = plan.scaling
        slope = (s.output_maximum - s.output_minimum) / (s.maximum - s.minimum)
        pixels = (pixels - np.float32(s.minimum)) * np.float32(slope) + np.float32(s.output_minimum)
    if valid.any():
        pixels[:, ~valid] = pixels[:, valid].mean(axis=1, dtype=np.float64, keepdims=True)
    return np.nan_to_num(pixels), valid


def _map_of(pixels: NDArray[np.float32], valid: NDArray[np.bool_], job: MappingJob, path: Path) -> ClassMap:
    """Map changed pixels by the same road as the scene itself, through a file of bytes with an alpha band."""
    count, height, width = pixels.shape
    grid = job.plan.grid
    profile = {"driver": "GTiff", "dtype": "uint8", "count": count + 1, "height": height, "width": width}
    with rasterio.open(path, "w", **profile, crs=grid.crs, transform=grid.transform, tiled=True) as dataset:
        dataset.colorinterp = [*[ColorInterp.undefined] * count, ColorInterp.alpha]
        dataset.write(np.floor(pixels.clip(0, 255) + np.float32(0.5)).astype(np.uint8), list(range(1, count + 1)))
        dataset.write(valid.astype(np.uint8) * 255, count + 1)
    options = replace(
        job.options, bidx=tuple(range(1, count + 1)), value_scale=None, value_offset=None, nodata=None, overwrite=True
    )
    (changed,) = plan_jobs([path], job.model, path.parent, options)
    return make_map(changed).class_map
