"""Land-use maps from raster scenes with small, distilled networks.

Each command of `geokd` except `qgis-plugin` calls the function of the same name here.
"""

from typing import Any

import lazy_loader

from geokd.system.environment import leave_out_foreign_data

_import_name, _, _names = lazy_loader.attach_stub(__name__, __file__)  # the names in __init__.pyi
leave_out_foreign_data()
__all__ = [*_names, "__version__"]  # noqa: PLE0604  all are strings


def __getattr__(name: str) -> Any:
    """Import a function when it is first used: `import geokd` alone loads nothing heavy."""
    if name == "__version__":
        from importlib.metadata import version

        return version("geokd")
    if name not in _names:
        raise AttributeError(f"module 'geokd' has no attribute {name!r}")
    return _import_name(name)


def __dir__() -> list[str]:
    return __all__
