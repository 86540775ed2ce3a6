"""`geokd classify`."""

import json
import shlex
import sys
from typing import TYPE_CHECKING, Any

import click

from geokd.cli import options as o
from geokd.cli.interrupts import said_when_interrupted
from geokd.cli.table import area_lines
from geokd.cli.talk import echo, progress_option, report, talks_json
from geokd.errors import GeokdError
from geokd.text import without_secrets

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from geokd.mapping.jobs import MappingJob
    from geokd.mapping.options import OnError
    from geokd.mapping.scene_run import ClassifyResult
    from geokd.maps.manifest import Filtered


@click.command()
@click.argument("scenes", nargs=-1, metavar="SCENE...")
@o.bands_option
@o.model_option
@o.output_option
@o.stride_option
@o.bidx_option
@o.value_scale_option
@o.value_offset_option
@o.nodata_option
@o.mask_option
@o.resample_option
@o.aoi_option
@o.where_option
@o.bbox_option
@o.min_valid_share_option
@o.min_confidence_option
@o.min_confidence_of_option
@o.smooth_option
@o.min_area_option
@o.simplify_option
@o.polygons_option
@o.probabilities_option
@o.report_option
@o.acquired_option
@o.workers_option
@o.processes_option
@o.scheduler_option
@o.dashboard_option
@o.memory_option
@o.resume_option
@o.on_error_option
@o.overwrite_option
@o.json_option
@o.quiet_option
@o.verbose_option
@progress_option
def classify(
    scenes: tuple[str, ...],
    model: str,
    output: "Path",
    on_error: "OnError",
    as_json: bool,
    quiet: bool,
    verbose: bool,
    **choices: Any,
) -> None:
    """Map the land use of each SCENE.

    A scene is a Sentinel-2 product (.SAFE folder or .zip), a Landsat product (folder or .tar), a folder of band files,
    a STAC item, or anything GDAL opens, such as a GeoTIFF.

    Writes <scene>_landuse.tif (classes), .qml (QGIS style), .gpkg (polygons), .png (scene beside map), .json (manifest:
    model, options, areas, timings) and .stac.json (STAC item), <scene>_confidence.tif (percent), <scene>_summary.csv
    (areas) and <scene>_thumbnail.png. All scenes are checked before the first is mapped.

    Finished parts are kept until the map is written. After a crash, a full disk or Ctrl-C, --resume continues.

    With --report, <scene>_report.html shows the map and its figures in a browser; for several scenes, index.html links
    the reports.

    With --json, the content of the .json file is written to stdout, one line per scene.
    """
    from geokd.mapping.many import plan_call, run_call
    from geokd.mapping.options import ClassifyOptions

    scenes = _named(scenes, choices.pop("bands"))
    choices["min_confidence_of"] = dict(choices["min_confidence_of"])
    options = ClassifyOptions(engine="processes" if choices.pop("processes") else "threads", **choices)
    call = plan_call(scenes, model, output, options, on_error)
    for job in call.jobs:
        _announce(job, quiet=quiet, verbose=verbose)
    errors, mapped = dict(call.refused), False
    command = without_secrets(shlex.join(["geokd", *sys.argv[1:]]))
    bar = _Bar(shown=not quiet and sys.stderr.isatty() and not talks_json())
    with said_when_interrupted(lambda: _what_is_kept(call.jobs)), bar:
        for job, outcome in run_call(call, progress=bar, command=command):
            if isinstance(outcome, GeokdError):
                errors[job.plan.path] = outcome
            else:
                mapped = True
                _report(job, outcome, as_json=as_json, quiet=quiet)
    if call.has_index and mapped and not quiet:
        echo(f"{call.index} links the reports", err=True)
    if errors:
        raise _summed_up(errors, len(scenes))


def _named(scenes: tuple[str, ...], bands: str | None) -> tuple[str, ...]:
    """Return all scenes that are named, with a scene of single-band files first.

    Raises
    ------
    click.UsageError
        If there is none.
    """
    if scenes and bands is None:
        return scenes
    return (*scenes, o.scene_named(None, bands, "SCENE..."))


def _report(job: "MappingJob", result: "ClassifyResult", *, as_json: bool, quiet: bool) -> None:
    for warning in result.manifest.warnings[len(job.plan.warnings) :]:
        echo(f"Warning: {job.plan.path}: {warning}", err=True)
    if not quiet:
        echo(_summary(job, result), err=True)
    if as_json:
        echo(json.dumps(result.manifest.to_json(), allow_nan=False))


def _what_is_kept(jobs: "Sequence[MappingJob]") -> str:
    kept = ", ".join(job.plan.path for job in jobs if job.journal.exists())
    return f"\nFinished parts of {kept} are kept; continue with --resume and the same call." if kept else ""


def _summed_up(errors: dict[str, GeokdError], scenes: int) -> GeokdError:
    """Join the errors of scenes into one, grouped by what went wrong."""
    first = next(iter(errors.values()))
    if scenes == 1:
        return first
    groups: dict[str, list[str]] = {}
    for path, error in errors.items():
        groups.setdefault(str(error).replace(path, "it"), []).append(path)
    lines = [f"  - {', '.join(paths)}: {reason}" for reason, paths in groups.items()]
    return type(first)("\n".join([f"{len(errors)} of {scenes} scenes could not be mapped:", *lines]))


class _Bar:
    """A progress bar on stderr, or the form that --progress requests."""

    def __init__(self, *, shown: bool) -> None:
        self._shown = shown
        self._bar: Any = None

    def __enter__(self) -> "_Bar":
        return self

    def __call__(self, message: str, *, done: int = 0, total: int = 0) -> None:
        if message or not self._shown:
            report(message, done=done, total=total)
            return
        if self._bar is None:
            self._bar = click.progressbar(length=total, label="classify", file=sys.stderr)
            self._bar.__enter__()
        self._bar.update(done - self._bar.pos)

    def __exit__(self, *error: Any) -> None:
        if self._bar is not None:
            self._bar.__exit__(*error)


def _announce(job: "MappingJob", *, quiet: bool, verbose: bool) -> None:
    from geokd.mapping.account import record_options

    if not quiet:
        echo(f"{job.plan.path}: model {job.bundle.name} ({job.bundle.precision}), {job.model}", err=True)
        for note in job.notes:
            echo(f"  {note}", err=True)
    if verbose:
        for name, value in record_options(job).to_json().items():
            echo(f"  {name}: {json.dumps(value)}", err=True)
    for warning in job.plan.warnings:
        echo(f"Warning: {job.plan.path}: {warning}", err=True)


def _summary(job: "MappingJob", result: "ClassifyResult") -> str:
    manifest = result.manifest
    nothing = ["  no cell could be mapped: no patch has enough valid pixels"]
    lines = [f"{job.plan.path}:", *(area_lines(manifest.areas) or nothing)]
    lines += _what_filters_did(manifest.filters)
    left_out = 0 if manifest.unmapped_cells is None else manifest.unmapped_cells.in_no_classified_patch
    if left_out:
        share = f"{100 * job.min_valid_share:g} %"
        lines.append(f"  {left_out:,} cells with data are not mapped: no patch over them has {share} valid pixels")
    drift = manifest.drift
    if drift is not None and drift.unfamiliar_share is None:
        lines.append(
            "  whether the scene resembles the training data was not checked:"
            f" too few whole patches without overlap: {drift.patches}"
        )
    if job.finished:
        return "\n".join([*lines, f"  finished by an earlier run, in {job.folder}"])
    run = manifest.run
    assert run is not None, "a scene mapped now has timings"
    if run.resumed_blocks:
        lines.append(f"  {run.resumed_blocks} of {run.blocks} blocks were taken from the interrupted run")
    count, speed = run.classified_patches, f"{run.patches_per_second:,.0f} a second"
    if run.megapixels_per_second is not None:
        speed = f"{run.megapixels_per_second:,.1f} million pixels a second"
    seconds = ", ".join(f"{stage} {spent:.1f} s" for stage, spent in run.seconds.items())
    lines += [
        f"  {count:,} patch{'es' * (count != 1)}, {speed}; {seconds}",
        f"  written to {job.folder}: {', '.join(job.outputs.values())}",
    ]
    return "\n".join(lines)


def _what_filters_did(filters: "Filtered | None") -> list[str]:
    if filters is None:
        return []
    lines = [
        f"  {filters.changed_cells:,} cells changed their class by filtering, {filters.merged_regions:,} regions"
        " were merged with a neighbour"
    ]
    if filters.regions_left:
        lines.append(f"  {filters.regions_left:,} regions remain below --min-area, because they touch no other class")
    return lines
