"""The options of `classify`."""

from dataclasses import dataclass, fields
from typing import Any, Literal

from geokd.errors import Checked
from geokd.mapping.workers.cores import available_cores
from geokd.mapping.workers.crew import Crew, Engine
from geokd.maps.options import MapOptions
from geokd.scenes.options import AreaOptions, SceneOptions

OnError = Literal["fail", "skip"]
"""When one of several scenes fails: start no other, or continue with the others."""


@dataclass(frozen=True, kw_only=True)
class RunOptions(Checked):
    """What is written and who does the work; the classes of the cells do not depend on it.

    Parameters
    ----------
    polygons : bool
        Write the GeoPackage of polygons.
    probabilities : bool
        Write the probability of each class, too.
    report : bool
        Write a page that shows the map and all that is known about it, too.
    workers : int or None
        Threads, or processes. None: one for each core that this process may use.
    engine : {"threads", "processes"}
    scheduler : str or None
        Address or scheduler file of a running Dask cluster to use.
    dashboard : bool
        Show the Dask dashboard.
    block_px : int or None
        Side of the blocks the scene is read in. None: by size and layout of the scene.
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

    polygons: bool = True
    probabilities: bool = False
    report: bool = False
    workers: int | None = None
    engine: Engine = "threads"
    scheduler: str | None = None
    dashboard: bool = False
    block_px: int | None = None
    memory_mb: int = 1000
    overwrite: bool = False
    resume: bool = False

    def _problems(self) -> list[str]:
        problems = super()._problems()
        if self.workers is not None and self.workers < 1:
            problems.append(f"{self.workers} workers are too few; at least 1 is needed")
        if self.scheduler is not None and (self.workers is not None or self.engine == "processes"):
            problems.append("a Dask cluster has its own workers: leave out --workers and --processes")
        if self.block_px is not None and self.block_px < 1:
            problems.append(f"the block of {self.block_px} px must be at least 1")
        if self.memory_mb < 1:
            problems.append(f"{self.memory_mb} MB of memory are too few; at least 1 is needed")
        return problems

    @property
    def crew(self) -> Crew:
        """The workers to use."""
        return Crew(self.workers or available_cores(), self.engine, self.scheduler, self.dashboard)


@dataclass(frozen=True, kw_only=True)
class ClassifyOptions(RunOptions, MapOptions, AreaOptions, SceneOptions):
    """How to classify: the options of scene, area, map and run, each given by its own name.

    Scene, area and map decide what the map is; the run does not.

    Parameters
    ----------
    bidx, value_scale, value_offset, nodata, mask, resample_m
        As :class:`geokd.SceneOptions`.
    aoi, where, bbox
        As :class:`geokd.AreaOptions`.
    stride_px, min_valid_share, min_confidence, min_confidence_of, smooth_cells, min_area_ha, simplify_m, acquired
        As :class:`geokd.MapOptions`.
    polygons, probabilities, report, workers, engine, scheduler, dashboard, block_px, memory_mb, overwrite, resume
        As :class:`geokd.RunOptions`.

    Raises
    ------
    CallError
        If an option is out of range: all of them in one message.
    """

    def part(self, group: type[MapOptions] | type[AreaOptions]) -> dict[str, Any]:
        """Return the options of a group, by name."""
        return {field.name: getattr(self, field.name) for field in fields(group)}

    def _problems(self) -> list[str]:
        problems = super()._problems()
        if self.simplify_m > 0 and not self.polygons:
            problems.append("--simplify applies to polygons, which --no-polygons leaves out: give only one of the two")
        return problems
