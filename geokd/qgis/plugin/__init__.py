"""geokd in the Processing toolbox of QGIS. The plugin needs no Python package: it runs the program geokd."""

from __future__ import annotations

from typing import Any


def classFactory(iface: Any) -> Any:  # noqa: N802  QGIS asks for this name
    """Return the plugin; called by QGIS."""
    from .plugin import GeokdPlugin

    return GeokdPlugin()
