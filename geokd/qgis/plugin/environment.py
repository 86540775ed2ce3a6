"""The environment of geokd's process: that of QGIS, without variables that affect another Python or GDAL."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

# Of QGIS's own Python, GDAL, PROJ and libraries. geokd brings its own of each.
_DROPPED = re.compile(
    r"PYTHON(HOME|PATH|EXECUTABLE|PLATLIBDIR|STARTUP|USERBASE)|__PYVENV_LAUNCHER__|GDAL_(DATA|DRIVER_PATH)"
    r"|PROJ_(LIB|DATA)|(LD|DYLD(_FALLBACK)?)_LIBRARY_PATH|DYLD_FRAMEWORK_PATH|LD_PRELOAD|SSL_CERT_\w+",
    re.IGNORECASE,
)
_OF_QGIS = re.compile(r"(^|[\\/])(qgis|osgeo4w)", re.IGNORECASE)


def cleaned(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables to keep; folders of QGIS are removed from PATH."""
    kept = {name: value for name, value in environment.items() if not _DROPPED.fullmatch(name)}
    paths = {name: value.split(os.pathsep) for name, value in kept.items() if name.upper() == "PATH"}
    return kept | {
        name: os.pathsep.join(folder for folder in folders if not _OF_QGIS.search(folder))
        for name, folders in paths.items()
    }
