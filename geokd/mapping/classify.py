"""From scenes to their land-use maps: the pipeline, step by step."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

from geokd.errors import GeokdError
from geokd.mapping.assembly import assemble
from geokd.mapping.blocks import BlockResult, BlockTask, classify_block
from geokd.mapping.jobs import MappingJob
from geokd.mapping.options import ClassifyOptions, OnError
from geokd.mapping.overlapping import Mosaic
from geokd.mapping.planning import plan_jobs
from geokd.mapping.scene_run import ClassifyResult, SceneRun, block_tasks
from geokd.mapping.workers.crew import Crew
from geokd.mapping.workers.parallel import run_tasks
from geokd.model.bundle import AUTO_MODEL
from geokd.system.progress import Progress, silent


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
        Folder for the outputs; it is made if it does not exist.
    options : ClassifyOptions, optional
    progress : Progress
        Is called with the number of finished blocks and their total.

    Returns
    -------
    ClassifyResult
        The map, the files that were written, and the manifest.

    Raises
    ------
    CallError
        If a file does not exist, an option is out of range, or outputs exist already.
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
    """Map scenes checked by :func:`geokd.mapping.planning.plan_jobs`. Workers start the next while one is written.

    Parameters
    ----------
    jobs : sequence of MappingJob
        All of the same options.
    on_error : {"fail", "skip"}
        When a scene fails: start no other, or continue with the others.
    progress : Progress
        Is called with the number of finished blocks of all scenes and their total; messages are the address of the
        dashboard and workers that are no longer used.
    command : str, optional
        The command line, where there is one, for the manifests.

    Yields
    ------
    job : MappingJob
    outcome : ClassifyResult or GeokdError
        Its result; in the order of `jobs`, for those that were started.
    """
    if not jobs:
        return
    runs = [SceneRun(number, job, command) for number, job in enumerate(jobs)]
    crew = min((job.options.crew for job in jobs), key=lambda crew: crew.workers)

    try:
        with ThreadPoolExecutor(1) as writer:
            yield from _run(runs, writer, crew, progress, stop=on_error == "fail")
    finally:
        for run in runs:
            run.close()


def _run(
    runs: Sequence[SceneRun], writer: ThreadPoolExecutor, crew: Crew, progress: Progress, *, stop: bool
) -> Iterator[tuple[MappingJob, ClassifyResult | GeokdError]]:
    """Map scenes as :func:`run_jobs`; with `stop` no scene is started after one that failed."""
    waiting, total = list(runs), sum(len(run.blocks) for run in runs)

    def tasks() -> Iterator[BlockTask]:
        for run in runs:
            if stop and any(other.error for other in runs):
                return
            yield from run.tasks()
            run.write_if_complete(writer)  # if no task was left

    try:
        with closing(run_tasks(classify_block, tasks(), crew, progress)) as done:
            for task, answer in done:
                run = runs[task.scene]
                run.keep(task, answer)
                run.write_if_complete(writer)
                progress("", done=sum(other.done for other in runs), total=total)
                while waiting and waiting[0].is_over:
                    first = waiting.pop(0)
                    yield first.job, first.outcome()
                if stop and run.error:
                    break
    except GeokdError as error:  # of the cluster
        for run in waiting:
            run.give_up(error, begun_only=stop)
        if not any(run.error is error for run in waiting):
            raise
    for run in waiting:
        if run.has_outcome:
            yield run.job, run.outcome()


def make_map(job: MappingJob) -> Mosaic:
    """Map a scene without writing anything.

    Raises
    ------
    SceneError, BundleError
        As for :func:`classify`.
    """
    with closing(run_tasks(classify_block, block_tasks(job), job.options.crew)) as done:
        results = {task.number: answer.result() for task, answer in done}

    def read(number: int, *, percent: bool = False) -> BlockResult:
        return results[number]

    return assemble(job, job.blocks, read)
