"""Many scenes in one call, and the page that leads to their reports."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from geokd.errors import GeokdError
from geokd.mapping.jobs import MappingJob
from geokd.mapping.options import ClassifyOptions, OnError
from geokd.mapping.planning import plan_jobs, plan_what_can_be
from geokd.maps.names import INDEX_NAME
from geokd.model.bundle import AUTO_MODEL
from geokd.system.progress import Progress, silent
from geokd.text import without_secrets

if TYPE_CHECKING:
    from geokd.mapping.scene_run import ClassifyResult


@dataclass(frozen=True, eq=False)
class ScenesCall:
    """A checked call with many scenes; nothing is done yet.

    Parameters
    ----------
    scenes : tuple of str
        All scenes of the call, in its order.
    jobs : tuple of MappingJob
        Those that can be mapped.
    refused : dict
        Why the others cannot, by their paths.
    folder : Path
    options : ClassifyOptions
    on_error : {"fail", "skip"}
    """

    scenes: tuple[str, ...]
    jobs: tuple[MappingJob, ...]
    refused: dict[str, GeokdError]
    folder: Path
    options: ClassifyOptions
    on_error: OnError

    @property
    def has_index(self) -> bool:
        """Whether a page is written that links the reports."""
        return self.options.report and len(self.scenes) > 1

    @property
    def index(self) -> Path:
        """Where this page is written."""
        return self.folder / INDEX_NAME


@dataclass(frozen=True, eq=False)
class SceneOutcome:
    """The outcome of a scene: its map, or the error that prevented it.

    Parameters
    ----------
    scene : str
    result : ClassifyResult or None
    error : GeokdError or None
        Both are None for a scene that was not started because another one failed before.
    """

    scene: str
    result: "ClassifyResult | None" = None
    error: GeokdError | None = None


def classify_many(
    scenes: Sequence[str | Path],
    model: str | Path = AUTO_MODEL,
    output: str | Path = ".",
    options: ClassifyOptions | None = None,
    *,
    on_error: OnError = "fail",
    progress: Progress = silent,
) -> list[SceneOutcome]:
    """Map the land use of several scenes. All are checked before the first is mapped.

    Parameters
    ----------
    scenes : sequence of path
    model, output, options
        As for :func:`geokd.classify`. With the option `report`, index.html links the reports.
    on_error : {"fail", "skip"}
        When a scene fails: start no other, or continue with the others.
    progress : Progress
        Is called with the number of finished blocks of all scenes and their total.

    Returns
    -------
    list of SceneOutcome
        In the order of `scenes`.

    Raises
    ------
    CallError, SceneError, BundleError, OutputError
        As for :func:`geokd.classify`, if the call is wrong; with "fail", also if a scene cannot be mapped.
    """
    call = plan_call(scenes, model, output, options or ClassifyOptions(), on_error)
    outcomes = {path: SceneOutcome(path, error=error) for path, error in call.refused.items()}
    for job, outcome in run_call(call, progress=progress):
        path = job.plan.path
        if not isinstance(outcome, GeokdError):
            outcomes[path] = SceneOutcome(path, result=outcome)
        elif on_error == "fail":
            raise outcome
        else:
            outcomes[path] = SceneOutcome(path, error=outcome)
    return [outcomes.get(scene, SceneOutcome(scene)) for scene in call.scenes]


def plan_call(
    scenes: Sequence[str | Path], model: str | Path, output: str | Path, options: ClassifyOptions, on_error: OnError
) -> ScenesCall:
    """Check model, scenes, options and outputs before any work is done.

    Raises
    ------
    CallError, SceneError, BundleError
        As for :func:`geokd.classify`; with "skip", errors of single scenes are in `refused`.
    """
    if on_error == "skip":
        jobs, refused = plan_what_can_be(scenes, model, output, options)
    else:
        jobs, refused = plan_jobs(scenes, model, output, options), {}
    call = ScenesCall(tuple(map(str, scenes)), tuple(jobs), refused, Path(output), options, on_error)
    if call.has_index:
        from geokd.mapping.index import check_index  # the writers take a second to import

        check_index(call.folder, options)
    return call


def run_call(
    call: ScenesCall, *, progress: Progress = silent, command: str | None = None
) -> "Iterator[tuple[MappingJob, ClassifyResult | GeokdError]]":
    """Map the scenes of a call, and write the page that links the reports when all are done.

    Yields
    ------
    job, outcome
        As for :func:`geokd.mapping.classify.run_jobs`.
    """
    from geokd.mapping.classify import run_jobs  # the writers take a second to import
    from geokd.mapping.index import index_entry, write_index

    entries = {path: index_entry(path, error) for path, error in call.refused.items()} if call.has_index else {}
    for job, outcome in run_jobs(call.jobs, on_error=call.on_error, progress=progress, command=command):
        if call.has_index:
            entries[job.plan.path] = index_entry(job.plan.path, outcome)
        yield job, outcome
    if call.has_index:
        write_index([without_secrets(scene) for scene in call.scenes], entries, call.folder, call.options)
