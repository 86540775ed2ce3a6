"""From the values of a tool's parameters to the arguments of geokd."""

from __future__ import annotations

import os
from collections.abc import Mapping

from .parameters import Parameter, Tool

Value = object
"""A text, a number, a bool, or a list of texts; None if nothing is given."""


def missing(tool: Tool, values: Mapping[str, Value]) -> str:
    """Return a message if none of the inputs that a tool needs is given; empty if there is no problem."""
    if not tool.one_of or any(_given(values.get(name)) for name in tool.one_of):
        return ""
    labels = [parameter.label for parameter in tool.parameters if parameter.name in tool.one_of]
    return f"Give one of: {'; '.join(labels)} ({' or '.join(tool.one_of)})."


def command(tool: Tool, values: Mapping[str, Value]) -> list[str]:
    """Return the arguments of geokd, the command first."""
    words = [tool.command or tool.name, *tool.always]
    for parameter in tool.parameters:
        if parameter.option and parameter.name not in tool.arguments:
            words += _option(parameter, _as_written(tool, parameter, values))
    words.append("--")  # what follows may begin with a dash
    for name in tool.arguments:
        value = values.get(name)
        if _given(value):
            words += [str(part) for part in value] if isinstance(value, list) else [str(value)]
    return words


def _as_written(tool: Tool, parameter: Parameter, values: Mapping[str, Value]) -> Value:
    """Return the value of a parameter; the file in the folder OUTPUT for tools whose result has a NAME."""
    value, name = values.get(parameter.name), values.get("NAME")
    if parameter.name != "OUTPUT" or not name:
        return value
    stem = str(name)
    if tool.name == "style" and not _given(values.get("MAP")):
        return os.path.join(str(value), stem if stem.endswith(".onnx") else f"{stem}.onnx")
    return os.path.join(str(value), stem if stem.endswith("_landuse.tif") else f"{stem}_landuse.tif")


def _option(parameter: Parameter, value: Value) -> list[str]:
    if parameter.kind == "flag":
        return [parameter.option] if bool(value) != parameter.option.startswith("--no-") else []
    if not _given(value):
        return []
    if isinstance(value, list):
        return [f"{parameter.option}={one}" for one in value]
    if isinstance(value, float):
        return [f"{parameter.option}={value:.15g}"]
    return [f"{parameter.option}={value}"]


def _given(value: Value) -> bool:
    return value is not None and value not in ("", [])
