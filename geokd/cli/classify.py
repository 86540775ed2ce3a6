"""`geokd classify`."""

import json
import shlex
import sys
from typing import TYPE_CHECKING, Any

import click

from geokd.cli import options as o

if TYPE_CHECKING:
    from pathlib import Path

    from geokd.mapping.classify import ClassifyResult
    from geokd.mapping.jobs import MappingJob


@click.command()
@click.argument("scenes", nargs=-1, required=True, metavar="SCENE...")
@o.model_option
@o.output_option
@o.stride_option
@o.bidx_option
@o.value_scale_option
@o.value_offset_option
@o.nodata_option
@o.min_valid_share_option
@o.min_confidence_option
@o.workers_option
@o.processes_option
@o.scheduler_option
@o.overwrite_option
@o.json_option
@o.quiet_option
@o.verbose_option
def classify(
    scenes: tuple[str, ...],
    model: str,
    output: "Path",
    processes: bool,
    as_json: bool,
    quiet: bool,
    verbose: bool,
    **choices: Any,
) -> None:
    """Map the land use of each SCENE, anything GDAL opens.

    Writes <scene>_landuse.tif (classes), .qml (style), .gpkg (polygons), .png (picture) and .json (how it came about),
    and <scene>_confidence.tif (percent). All scenes are checked before the first is mapped.

    With --json, one line of JSON a scene goes to stdout: what the .json file holds.
    """
    from geokd.mapping.jobs import ClassifyOptions, plan_jobs

    options = ClassifyOptions(engine="processes" if processes else "threads", **choices)
    jobs = plan_jobs(scenes, model, output, options)
    from geokd.mapping.classify import run_job  # after the checks: the writers take a second to import

    for job in jobs:
        _announce(job, quiet=quiet, verbose=verbose)
        with _Bar(shown=not quiet and sys.stderr.isatty()) as bar:
            result = run_job(job, progress=bar, command=shlex.join(["geokd", *sys.argv[1:]]))
        for warning in result.manifest["warnings"][len(job.plan.warnings) :]:
            click.echo(f"Warning: {job.plan.path}: {warning}", err=True)
        if not quiet:
            click.echo(_summary(job, result), err=True)
        if as_json:
            click.echo(json.dumps(result.manifest, allow_nan=False))


class _Bar:
    """A progress bar on stderr, on terminals only."""

    def __init__(self, *, shown: bool) -> None:
        self._shown = shown
        self._bar: Any = None

    def __enter__(self) -> "_Bar":
        return self

    def __call__(self, done: int, total: int) -> None:
        if self._bar is None and self._shown:
            self._bar = click.progressbar(length=total, label="classify", file=sys.stderr)
            self._bar.__enter__()
        if self._bar is not None:
            self._bar.update(done - self._bar.pos)

    def __exit__(self, *error: Any) -> None:
        if self._bar is not None:
            self._bar.__exit__(*error)


def _announce(job: "MappingJob", *, quiet: bool, verbose: bool) -> None:
    from geokd.mapping.manifest import describe_options

    if not quiet:
        click.echo(f"{job.plan.path}: model {job.bundle.name} ({job.bundle.precision}), {job.model}", err=True)
        for note in job.notes:
            click.echo(f"  {note}", err=True)
    if verbose:
        for name, value in describe_options(job).items():
            click.echo(f"  {name}: {json.dumps(value)}", err=True)
    for warning in job.plan.warnings:
        click.echo(f"Warning: {job.plan.path}: {warning}", err=True)


def _summary(job: "MappingJob", result: "ClassifyResult") -> str:
    manifest = result.manifest
    areas = sorted((area for area in manifest["areas"] if area["cells"]), key=lambda area: -area["area_ha"])
    width = max((len(area["title"]) for area in areas), default=0)
    lines = [
        f"  {area['title']:<{width}}  {area['area_ha']:>14,.1f} ha  {area['share_percent']:5.1f} %"
        f"  confidence {area['mean_confidence']:.0f} %"
        for area in areas
    ] or ["  no cell could be mapped: no patch has enough valid pixels"]
    left_out = manifest["unmapped_cells"]["in_no_classified_patch"]
    if left_out:
        share = f"{100 * job.options.min_valid_share:g} %"
        lines.append(f"  {left_out:,} cells with data are not mapped: no patch over them has {share} valid pixels")
    seconds = ", ".join(f"{stage} {spent:.1f} s" for stage, spent in manifest["seconds"].items())
    lines += [
        f"  {manifest['patches']['classified']:,} patches, {manifest['patches_per_second']:,.0f} a second; {seconds}",
        f"  written to {job.folder}: {', '.join(job.names)}",
    ]
    return "\n".join(lines)
