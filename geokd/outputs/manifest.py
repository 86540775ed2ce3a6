"""The manifest: one JSON document that says how a map came about."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from geokd.errors import OutputError
from geokd.outputs.staging import write_bytes


def write_manifest(document: Mapping[str, Any], path: Path) -> None:
    """Write `document` as JSON: UTF-8, two spaces a level, keys in the order given.

    Raises
    ------
    ValueError
        If a number is NaN or infinite, which JSON does not know.
    TypeError
        If a value is no JSON value.
    OutputError
        If it cannot be written.
    """
    text = json.dumps(dict(document), ensure_ascii=False, allow_nan=False, indent=2)
    write_bytes(path, (text + "\n").encode())


def read_manifest(path: Path) -> dict[str, Any]:
    """Read what :func:`write_manifest` wrote.

    Raises
    ------
    OutputError
        If it is no manifest any more.
    """
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise OutputError(f"{path} is no manifest any more: {error}") from error
