"""Accuracy of a student on a scene, and on the same scene under simulated changes of air, sun and sensor.

Three references that need no map of the place: water and dense vegetation from indices of the near infrared (which a
student of red, green and blue never sees), polygons that a person has interpreted, and the student's own map, from
which that of a changed scene should not differ.
"""

import tempfile
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.enums import ColorInterp

from geokd.assessment.shifts import SHIFTS
from geokd.assessment.yardstick import MapFigures, YardstickOptions, judge_map, lay_yardstick
from geokd.errors import SceneError
from geokd.legend.classes import NODATA
from geokd.mapping.account import record_drift, record_model, record_options
from geokd.mapping.classify import make_map
from geokd.mapping.jobs import MappingJob
from geokd.mapping.options import ClassifyOptions
from geokd.mapping.planning import plan_jobs
from geokd.maps.class_map import ClassMap
from geokd.maps.manifest import DriftRecord, ModelRecord, OptionsRecord, package_versions, write_document
from geokd.maps.pages.contact_sheet import Panel, write_contact_sheet
from geokd.model.bundle import AUTO_MODEL
from geokd.scenes.bands import true_colour, wavelengths_nm
from geokd.scenes.grid import Rectangle
from geokd.scenes.plan import ScenePlan
from geokd.scenes.reader import describe_scene, read_values
from geokd.scenes.scaling import to_reflectance
from geokd.system.commit import staged
from geokd.system.documents import Record
from geokd.system.progress import Progress, silent

LARGEST_PX = 40_000_000
"""Pixels of a scene that are changed as a whole, in memory."""


@dataclass(frozen=True)
class RobustnessOptions(YardstickOptions):
    """What to compare the maps with, and which changes to simulate.

    Parameters
    ----------
    labels, field, group_field, green_band, nir_band
        As in :class:`geokd.assessment.yardstick.YardstickOptions`.
    shifts : tuple of str
        Names of simulated changes, of :data:`geokd.assessment.shifts.SHIFTS`.

    Raises
    ------
    CallError
        If a shift is unknown.
    """

    shifts: tuple[str, ...] = tuple(SHIFTS)

    def _problems(self) -> list[str]:
        problems = super()._problems()
        unknown = [name for name in dict.fromkeys(self.shifts) if name not in SHIFTS]
        if unknown:
            problems.append(f"no simulated change is called {', '.join(unknown)}; there are {', '.join(SHIFTS)}")
        return problems


@dataclass(frozen=True, kw_only=True)
class LabelsUsed(Record):
    """Path of a file of polygons and its SHA-256; None of a folder."""

    path: str
    sha256: str | None


@dataclass(frozen=True, kw_only=True)
class Loss(Record):
    """The change that lowers a figure most, and by how much; a fraction."""

    change: str
    loss: float


@dataclass(frozen=True, kw_only=True)
class Robustness(Record):
    """Figures of the map of a scene as it is, the first of `maps`, and under simulated changes.

    `worst` has, for each figure, the change that lowers it most.
    """

    scene: str
    model: ModelRecord
    options: OptionsRecord
    labels: tuple[LabelsUsed, ...]
    notes: tuple[str, ...]
    warnings: tuple[str, ...]
    drift: DriftRecord | None
    maps: dict[str, MapFigures]
    worst: dict[str, Loss]
    versions: dict[str, str]


def robustness(
    scene: str | Path,
    model: str | Path = AUTO_MODEL,
    output: str | Path = ".",
    options: ClassifyOptions | None = None,
    against: RobustnessOptions | None = None,
    *,
    progress: Progress = silent,
) -> Robustness:
    """Map a scene as it is and under simulated changes, and compare the maps with reference data.

    Writes `<scene>_robustness.json` and `.png` (all maps beside the scene) into the folder `output`.

    Parameters
    ----------
    scene, model, output, options
        As for :func:`geokd.mapping.classify.classify`.
    against : RobustnessOptions, optional
    progress : Progress
        Is called with the name of each map when it is made, the number of maps done and their total.

    Returns
    -------
    Robustness
        What the JSON file holds.

    Raises
    ------
    CallError, SceneError, BundleError, ChipError, OutputError
        As for :func:`geokd.mapping.classify.classify`; also if the scene is too large to be changed in memory.
    """
    options, against = options or ClassifyOptions(), against or RobustnessOptions()
    stem = describe_scene(scene).name
    names = (f"{stem}_robustness.json", f"{stem}_robustness.png")
    with staged(Path(output), names, overwrite=options.overwrite) as folder, tempfile.TemporaryDirectory() as temporary:
        (job,) = plan_jobs([scene], model, temporary, replace(options, overwrite=True))
        if job.seen.height * job.seen.width > LARGEST_PX:
            raise SceneError(
                f"the maps of {scene} take {job.seen.height} x {job.seen.width} pixels, at most {LARGEST_PX:,} can be"
                " changed in memory; take a part of it with --aoi or --bbox"
            )
        yardstick = lay_yardstick(job, against)
        pixels, valid = unrounded(job.plan, job.seen)
        mosaic = make_map(job)
        base = mosaic.class_map
        maps = {"as it is": judge_map(base, base, yardstick)}
        shifts = list(dict.fromkeys(against.shifts))
        progress("mapped: as it is", done=1, total=len(shifts) + 1)
        colours = np.ascontiguousarray(true_colour(mosaic.picture, job.bundle.contract).transpose(1, 2, 0))
        panels = [Panel("scene", job.bundle.name, colours), Panel("as it is", _note(maps["as it is"]), base.codes)]
        wavelengths = wavelengths_nm(job.bundle.contract.bands)
        for name in shifts:
            changed = _map_of(SHIFTS[name](pixels, wavelengths), valid, job, Path(temporary, "changed.tif"))
            maps[name] = judge_map(changed, base, yardstick)
            panels.append(Panel(name, _note(maps[name]), changed.codes))
            progress(f"mapped: {name}", done=len(maps), total=len(shifts) + 1)
        found = Robustness(
            scene=str(scene),
            model=record_model(job),
            options=record_options(job).evolve(overwrite=options.overwrite),
            labels=tuple(LabelsUsed(path=str(path), sha256=_file_hash(path)) for path in against.labels),
            notes=(*job.notes, *yardstick.notes),
            warnings=(*job.plan.warnings, *(mosaic.drift.warnings if mosaic.drift else ())),
            drift=record_drift(mosaic.drift),
            maps=maps,
            worst=_worst(maps),
            versions=package_versions(),
        )
        write_document(found.to_json(), folder / names[0])
        write_contact_sheet(panels, job.legend, folder / names[1])
    return found


_BETTER_HIGH = {"water_recall": 1, "false_water": -1, "vegetation_recall": 1, "agreement": 1}


def _worst(maps: dict[str, MapFigures]) -> dict[str, Loss]:
    """For each figure, the change that lowers it most: its name and by how much."""
    base, *changed = maps.items()
    worst: dict[str, Loss] = {}
    for figure, sign in _BETTER_HIGH.items():
        before = getattr(base[1], figure)
        losses = {
            name: sign * (before - getattr(figures, figure))
            for name, figures in changed
            if getattr(figures, figure) is not None and before is not None
        }
        name = max(losses, key=losses.__getitem__, default="")
        if name and losses[name] > 0:
            worst[figure] = Loss(change=name, loss=losses[name])
    return worst


def _note(figures: MapFigures) -> str:
    shown = {"water": figures.water_recall, "false": figures.false_water, "agree": figures.agreement}
    parts = [f"{word} {100 * share:.0f} %" for word, share in shown.items() if share is not None]
    return ", ".join(parts) or f"changed {100 * (figures.changed or 0):.0f} %"


def _file_hash(path: Path) -> str | None:
    """Hash of a file, hexadecimal; None of a folder, as some vector formats are."""
    return sha256(path.read_bytes()).hexdigest() if path.is_file() else None


def unrounded(plan: ScenePlan, part: Rectangle) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Read a part of the scene as the student sees it, neither rounded nor clipped, and which pixels are valid.

    Invalid pixels get the mean of their band, so that simulated changes do not treat them as land.
    """
    values, valid = read_values(plan, part.window, plan.bidx)
    pixels = to_reflectance(values, plan.value_scales, plan.value_offsets)
    if plan.scaling is not None:
        for band, s in zip(pixels, plan.scaling.of_bands(len(pixels)), strict=True):
            band[:] = (band - np.float32(s.minimum)) * np.float32(s.slope) + np.float32(s.output_minimum)
    if valid.any():
        pixels[:, ~valid] = pixels[:, valid].mean(axis=1, dtype=np.float64, keepdims=True)
    return np.nan_to_num(pixels), valid


def _map_of(pixels: NDArray[np.float32], valid: NDArray[np.bool_], job: MappingJob, path: Path) -> ClassMap:
    """Map changed pixels in the same way as the scene itself, from an 8-bit file with an alpha band.

    They are those that the map's cells depend on, see :attr:`geokd.mapping.jobs.MappingJob.seen`.
    """
    count, height, width = pixels.shape
    grid = job.seen.of(job.plan.grid)
    profile = {"driver": "GTiff", "dtype": "uint8", "count": count + 1, "height": height, "width": width}
    with rasterio.open(path, "w", **profile, crs=grid.crs, transform=grid.transform, tiled=True) as dataset:
        dataset.colorinterp = [*[ColorInterp.undefined] * count, ColorInterp.alpha]
        dataset.write(np.floor(pixels.clip(0, 255) + np.float32(0.5)).astype(np.uint8), list(range(1, count + 1)))
        dataset.write(valid.astype(np.uint8) * 255, count + 1)
    options = replace(
        job.options,
        bidx=tuple(range(1, count + 1)),
        value_scale=None,
        value_offset=None,
        nodata=None,
        mask=None,
        aoi=None,
        where=None,
        bbox=None,
        overwrite=True,
    )
    (changed,) = plan_jobs([path], job.model, path.parent, options)
    full = make_map(changed).class_map
    codes, confidence = full.codes[job.seen_part].copy(), full.confidence[job.seen_part].copy()
    if job.area is not None:
        outside = ~job.area.holds(job.patches.cell_grid, *job.part.slices)
        codes[outside] = confidence[outside] = NODATA
    return ClassMap(codes, confidence, job.map_grid, full.legend, trusted=True)
