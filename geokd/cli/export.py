"""`geokd export`."""

import json
from pathlib import Path

import click

from geokd.cli.options import json_option, overwrite_option
from geokd.cli.talk import echo


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), help="Folder for the bundles; default: the folder of the run."
)
@click.option("--teacher", is_flag=True, help="Also write the teacher: <name>-teacher.onnx, <name>-teacher-fp32.onnx.")
@overwrite_option
@json_option
def export(run: Path, output: Path | None, teacher: bool, overwrite: bool, as_json: bool) -> None:
    """Write the student of a finished RUN as bundles: <name>.onnx (int8) and <name>-fp32.onnx."""
    from geokd.training.export import export as export_run

    result = export_run(run, output, teacher=teacher, overwrite=overwrite)
    for path in result.paths.values():
        echo(f"{path}  {path.stat().st_size / 1e6:.2f} MB", err=True)
    for note in result.notes:
        echo(f"  {note}", err=True)
    if as_json:
        echo(json.dumps({key: str(path) for key, path in result.paths.items()}, indent=2))
