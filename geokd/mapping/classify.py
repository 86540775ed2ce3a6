"""From scenes to their land-use maps: the pipeline, in the order in which things happen."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Literal

from geokd.errors import GeokdError
from geokd.mapping.assembly import assemble
from geokd.mapping.blocks import BlockResult, BlockTask, classify_block
from geokd.mapping.jobs import MappingJob, plan_jobs
from geokd.mapping.options import ClassifyOptions
from geokd.mapping.overlapping import Mosaic
from geokd.mapping.parallel import run_tasks
from geokd.mapping.scene_run import ClassifyResult, SceneRun, block_tasks
from geokd.model.bundle import AUTO_MODEL
from geokd.progress import Progress, silent

OnError = Literal["fail", "skip"]


def classify(
    scene: str | Path,
    model: str | Path = AUTO_MODEL,
    output: str | Path = ".",
    options: ClassifyOptions | None = None,
    *,
    progress: Progress = silent,
) -> ClassifyResult:
    """Map the land use of a scene.

    Parameters
    ----------
    scene : path
        Anything GDAL opens.
    model : path
        A bundle, or the name of one that ships; "auto" takes the one that fits the scene.
    output : path
        Folder for the outputs; it is made if need be.
    options : ClassifyOptions, optional
    progress : Progress
        Is told how many blocks are done, and how many there are.

    Raises
    ------
    CallError
        If there is no such file, an option is out of range, or outputs exist already.
    SceneError
        If the scene cannot be read or does not fit the model: all mismatches in one message.
    BundleError
        If the model is missing or broken.
    OutputError
        If outputs cannot be written. Nothing is left half-written.
    """
    (job,) = plan_jobs([scene], model, output, options or ClassifyOptions())
    ((_, outcome),) = run_jobs([job], progress=progress)
    if isinstance(outcome, GeokdError):
        raise outcome
    return outcome


def run_jobs(
    jobs: Sequence[MappingJob],
    *,
    on_error: OnError = "fail",
    progress: Progress = silent,
    command: str | None = None,
) -> Iterator[tuple[MappingJob, ClassifyResult | GeokdError]]:
    """Map scenes that :func:`geokd.mapping.jobs.plan_jobs` checked. Workers go on to the next while one is written.

    Parameters
    ----------
    jobs : sequence of MappingJob
        All of the same options.
    on_error : {"fail", "skip"}
        When a scene fails: begin no other, or go on.
    progress : Progress
        Is told how many blocks of all scenes are done, and how many there are.
    command : str, optional
        The command line, where there is one, for the manifests.

    Yields
    ------
    job : MappingJob
    outcome : ClassifyResult or GeokdError
        What came of it; in the order of `jobs`, of those that were begun.
    """
    if not jobs:
        return
    runs = [SceneRun(number, job, command) for number, job in enumerate(jobs)]
    waiting = list(runs)
    total = sum(len(run.blocks) for run in runs)
    crew = min((job.options.crew for job in jobs), key=lambda crew: crew.workers)

    def tasks() -> Iterator[BlockTask]:
        for run in runs:
            if on_error == "fail" and any(other.error for other in runs):
                return
            yield from run.tasks()

    try:
        with ThreadPoolExecutor(1) as writer, closing(run_tasks(classify_block, tasks(), crew)) as done:
            for task, future in done:
                runs[task.scene].keep(task, future)
                progress("", done=sum(run.done for run in runs), total=total)
                for run in waiting:
                    run.write_if_complete(writer)
                while waiting and waiting[0].is_over:
                    run = waiting.pop(0)
                    yield run.job, run.outcome()
                if on_error == "fail" and any(run.error for run in runs):
                    break
            for run in waiting:
                run.write_if_complete(writer)
            for run in waiting:
                if run.has_outcome:
                    yield run.job, run.outcome()
    finally:
        for run in runs:
            run.close()


def make_map(job: MappingJob) -> Mosaic:
    """Map a scene without writing anything.

    Raises
    ------
    SceneError, BundleError
        As :func:`classify`.
    """
    with closing(run_tasks(classify_block, block_tasks(job), job.options.crew)) as done:
        results = {task.number: future.result() for task, future in done}

    def read(number: int, *, percent: bool = False) -> BlockResult:
        return results[number]

    return assemble(job, job.blocks, read)
