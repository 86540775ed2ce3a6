"""`geokd export`."""

import json
from pathlib import Path

import click

from geokd.cli.options import json_option, overwrite_option


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Folder for the bundles; the run's own without.")
@overwrite_option
@json_option
def export(run: Path, output: Path | None, overwrite: bool, as_json: bool) -> None:
    """Write the student of a finished RUN as bundles: <name>.onnx (int8) and <name>-fp32.onnx."""
    from geokd.training.export import export as export_run

    result = export_run(run, output, overwrite=overwrite)
    for path in (result.int8, result.fp32):
        click.echo(f"{path}  {path.stat().st_size / 1e6:.2f} MB", err=True)
    if as_json:
        click.echo(json.dumps({"int8": str(result.int8), "fp32": str(result.fp32)}, indent=2))
