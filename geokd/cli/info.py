"""`geokd info`."""

import json
from typing import Any

import click

from geokd.cli import options as o
from geokd.cli.talk import echo


@click.command()
@click.argument("path", metavar="SCENE|MODEL", required=False)
@click.option(
    "-m",
    "--model",
    metavar="MODEL",
    help="For a scene: estimate what mapping it with this model takes; auto: the model that fits.",
)
@o.stride_option
@o.bands_option
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
@o.workers_option
@o.json_option
def info(path: str | None, model: str | None, bands: str | None, as_json: bool, **choices: Any) -> None:
    """Describe a scene or a model. With --model, estimate what mapping the scene takes; nothing is mapped."""
    from geokd.mapping.info import info as describe
    from geokd.mapping.options import ClassifyOptions

    about = describe(o.scene_named(path, bands, "SCENE|MODEL"), model, ClassifyOptions(**choices)).to_json()
    if as_json:
        echo(json.dumps(about, indent=2, allow_nan=False))
    else:
        about.get("provenance", {}).pop("recipe", None)  # long; --json has it
        about = {key: value for key, value in about.items() if value is not None or key in ("nodata", "crs")}
        echo("\n".join(_lines(about)))


def _lines(value: dict[str, Any], indent: str = "") -> list[str]:
    """Format a JSON object for reading: nested objects indented, lists of objects with one per line."""
    lines = []
    for key, entry in value.items():
        label = f"{indent}{key.replace('_', ' ')}:"
        if isinstance(entry, dict):
            lines += [label, *_lines(entry, indent + "  ")]
        elif entry == []:
            lines.append(f"{label} none")
        elif isinstance(entry, list) and any(isinstance(item, dict | str) for item in entry):
            lines += [label, *(f"{indent}  {_one_line(item)}" for item in entry)]
        else:
            lines.append(f"{label} {_one_line(entry)}")
    return lines


def _one_line(value: Any) -> str:
    if isinstance(value, dict):
        return "  ".join(f"{key} {_one_line(entry)}" for key, entry in value.items() if entry is not None)
    if isinstance(value, list):
        return ", ".join(map(_one_line, value))
    return "none" if value is None else f"{value:.12g}" if isinstance(value, float) else str(value)
