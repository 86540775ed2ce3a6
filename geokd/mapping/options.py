"""The options of `classify`."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from geokd.errors import CallError, one_message
from geokd.legend.classes import Legend
from geokd.mapping.workers.cores import available_cores
from geokd.mapping.workers.crew import Crew, Engine
from geokd.scenes.acquisition import stated_acquisition
from geokd.scenes.options import AreaOptions, SceneOptions

OnError = Literal["fail", "skip"]
"""When one of several scenes fails: start no other, or continue with the others."""

_MOST_SMOOTH_CELLS = 99

# The first are recorded with the values they take for scene and model; the others affect neither cells nor outlines.
_NOT_IN_FINGERPRINT = frozenset(
    [
        *("stride_px", "bidx", "value_scale", "value_offset", "nodata", "mask", "resample_m", "min_valid_share"),
        *("aoi", "where", "bbox"),
        *("workers", "engine", "scheduler", "dashboard", "block_px", "memory_mb", "overwrite", "resume"),
        *("polygons", "probabilities", "report"),
    ]
)


@dataclass(frozen=True)
class ClassifyOptions:
    """How to classify; None leaves it to the scene, the model or the machine.

    Parameters
    ----------
    stride_px : int or None
        Distance between patches and side of a cell, in scene pixels; divides the model's patch. None: a quarter patch.
        Not for a dense student, which classifies every cell of a patch.
    bidx : tuple of int or None
        Bands to use, 1-based, in the model's order.
    value_scale, value_offset : float or None
        Reflectance x 10,000 = DN * value_scale + value_offset.
    nodata : float or None
        Value that marks missing pixels.
    mask : str or None
        Mask of pixels that are left out: "scl", "qa_pixel", "fmask", "udm2", or a raster; see
        :func:`geokd.scenes.masks.plan_mask`.
    resample_m : float or None
        Pixel size, in metres, to which the scene is resampled while reading, bilinearly. None: its own.
    aoi : str or None
        Area of interest: a vector file with polygons; if it has several layers, the layer after a colon.
    where : str or None
        SQL condition for the features of `aoi` to use.
    bbox : tuple of float or None
        Area of interest as a box: west, south, east, north in degrees; west is greater than east across the
        antimeridian.
    min_valid_share : float or None
        Share of valid pixels below which a patch is not classified, 0 to 1. None: 0.25; 0 for a dense student, so that
        every valid pixel gets a class.
    min_confidence : float
        Confidence, 0 to 1, below which a cell is left unclassified; with 0 every cell gets a class of the model.
    min_confidence_of : dict of str to float
        For classes of the model, by name, another minimum confidence than `min_confidence`.
    smooth_cells : int
        Side of the window, in cells, of a majority filter; odd. 1 leaves the map as it is.
    min_area_ha : float
        Minimum mapping unit: area below which a region is merged with its neighbours; 0 leaves the map as it is. After
        smoothing.
    simplify_m : float
        How far the outlines of polygons are simplified: corners are left out whose triangle covers less than a square
        of this side. 0 leaves them along the cells.
    polygons : bool
        Write the GeoPackage of polygons.
    probabilities : bool
        Write the probability of each class, too.
    report : bool
        Write a page that shows the map and all that is known about it, too.
    acquired : str or None
        When the scene was taken: a date or a date with its time, in UTC, or two of them with a slash between. None:
        from its metadata or the name of the product.
    workers : int or None
        Threads, or processes. None: one for each core that this process may use.
    engine : {"threads", "processes"}
    scheduler : str or None
        Address or scheduler file of a running Dask cluster to use.
    dashboard : bool
        Show the Dask dashboard.
    block_px : int or None
        Side of the blocks the scene is read in; the map does not depend on it. None: by size and layout of the scene.
    memory_mb : int
        Memory limit, in MB.
    overwrite : bool
        Replace outputs that exist.
    resume : bool
        Continue a run that was interrupted, and skip a scene that is mapped already. With `overwrite`, existing outputs
        of another map are replaced.

    Raises
    ------
    CallError
        If an option is out of range: all of them in one message.
    """

    stride_px: int | None = None
    bidx: tuple[int, ...] | None = None
    value_scale: float | None = None
    value_offset: float | None = None
    nodata: float | None = None
    mask: str | None = None
    resample_m: float | None = None
    aoi: str | None = None
    where: str | None = None
    bbox: tuple[float, float, float, float] | None = None
    min_valid_share: float | None = None
    min_confidence: float = 0.0
    min_confidence_of: Mapping[str, float] = field(default_factory=dict)
    smooth_cells: int = 1
    min_area_ha: float = 0.0
    simplify_m: float = 0.0
    polygons: bool = True
    probabilities: bool = False
    report: bool = False
    acquired: str | None = None
    workers: int | None = None
    engine: Engine = "threads"
    scheduler: str | None = None
    dashboard: bool = False
    block_px: int | None = None
    memory_mb: int = 1000
    overwrite: bool = False
    resume: bool = False

    def __post_init__(self) -> None:
        problems = []
        if self.stride_px is not None and self.stride_px < 1:
            problems.append(f"the stride of {self.stride_px} px must be at least 1")
        if self.min_valid_share is not None and not 0 <= self.min_valid_share <= 1:
            problems.append(f"the minimum valid share {self.min_valid_share:g} is not within 0..1")
        if not 0 <= self.min_confidence <= 1:
            problems.append(f"the minimum confidence {self.min_confidence:g} is not within 0..1")
        problems += [
            f"the minimum confidence {share:g} of {name} is not within 0..1"
            for name, share in self.min_confidence_of.items()
            if not 0 <= share <= 1
        ]
        if self.smooth_cells not in range(1, _MOST_SMOOTH_CELLS + 1, 2):
            problems.append(
                f"a window of {self.smooth_cells} cells cannot smooth the map; take an odd number from 1 to"
                f" {_MOST_SMOOTH_CELLS}"
            )
        for name, value, unit in (("minimum area", self.min_area_ha, "ha"), ("simplification", self.simplify_m, "m")):
            if not 0 <= value < math.inf:
                problems.append(f"the {name} of {value:g} {unit} must be 0 or more")
        problems += self._problems_of_outputs()
        if self.workers is not None and self.workers < 1:
            problems.append(f"{self.workers} workers are too few; at least 1 is needed")
        if self.scheduler is not None and (self.workers is not None or self.engine == "processes"):
            problems.append("a Dask cluster has its own workers: leave out --workers and --processes")
        if self.block_px is not None and self.block_px < 1:
            problems.append(f"the block of {self.block_px} px must be at least 1")
        if self.memory_mb < 1:
            problems.append(f"{self.memory_mb} MB of memory are too few; at least 1 is needed")
        if problems:
            raise CallError(one_message(problems))

    def _problems_of_outputs(self) -> list[str]:
        problems = []
        if self.simplify_m > 0 and not self.polygons:
            problems.append("--simplify applies to polygons, which --no-polygons leaves out: give only one of the two")
        try:
            AreaOptions(self.aoi, self.where, self.bbox)
        except CallError as error:
            problems.append(str(error))
        try:
            if self.acquired is not None:
                stated_acquisition(self.acquired)
        except ValueError as error:
            problems.append(f"the acquisition date {self.acquired!r} cannot be used: {error}")
        return problems

    @property
    def scene_options(self) -> SceneOptions:
        """The options for reading the scene."""
        return SceneOptions(self.bidx, self.value_scale, self.value_offset, self.nodata, self.mask, self.resample_m)

    @property
    def area_options(self) -> AreaOptions:
        """The options for the area of interest."""
        return AreaOptions(self.aoi, self.where, self.bbox)

    @property
    def leaves_unsure(self) -> bool:
        """Whether cells may be left unclassified."""
        return self.min_confidence > 0 or any(share > 0 for share in self.min_confidence_of.values())

    def least_confidences(self, legend: Legend) -> tuple[float, ...]:
        """Return the minimum confidence of each class of a model.

        Raises
        ------
        CallError
            If a class is unknown.
        """
        codes = {name: legend.code_of(name) for name in self.min_confidence_of}
        unknown = [name for name, code in codes.items() if code is None]
        if unknown:
            raise CallError(
                f"--min-confidence-of names {', '.join(unknown)}; the model's classes are {', '.join(legend.names)}"
            )
        of = {code: self.min_confidence_of[name] for name, code in codes.items()}
        return tuple(of.get(c.value, self.min_confidence) for c in legend)

    @property
    def of_the_map(self) -> dict[str, Any]:
        """The options that affect the map besides the model's answers: all but those listed above.

        A new option counts until it is listed, so that --resume never confuses two maps.
        """
        chosen = {name: value for name, value in vars(self).items() if name not in _NOT_IN_FINGERPRINT}
        return chosen | {"min_confidence_of": dict(self.min_confidence_of)}

    @property
    def filters(self) -> bool:
        """Whether filters change classes after the model."""
        return self.smooth_cells > 1 or self.min_area_ha > 0

    @property
    def crew(self) -> Crew:
        """The workers to use."""
        return Crew(self.workers or available_cores(), self.engine, self.scheduler, self.dashboard)
