"""Land-use maps from raster scenes with small, distilled networks.

Each command of `geokd` is a view of one function here, of the same name.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from geokd.dense_recipe import DenseRecipe
    from geokd.mapping.assess import assess
    from geokd.mapping.classify import classify
    from geokd.mapping.compare import compare
    from geokd.mapping.evaluate import evaluate
    from geokd.mapping.info import info
    from geokd.mapping.join_maps import MosaicOptions, mosaic
    from geokd.mapping.map_grid import StatedGrid
    from geokd.mapping.models import models
    from geokd.mapping.options import ClassifyOptions
    from geokd.mapping.review import ReviewOptions, review
    from geokd.mapping.robustness import RobustnessOptions, robustness
    from geokd.mapping.sample import SampleOptions, sample
    from geokd.mapping.scene_run import ClassifyResult
    from geokd.mapping.verify import VerifyResult, verify
    from geokd.recipe_file import load_dense_recipe, load_recipe
    from geokd.scenes.tiling import TileOptions, TileResult, tile
    from geokd.styling import style
    from geokd.training.ablation import AblationResult, ablate
    from geokd.training.ablation_options import AblationOptions
    from geokd.training.continuing import continuing_recipe
    from geokd.training.export import export
    from geokd.training.train import train

    __version__: str

__all__ = [
    "AblationOptions",
    "AblationResult",
    "ClassifyOptions",
    "ClassifyResult",
    "DenseRecipe",
    "MosaicOptions",
    "ReviewOptions",
    "RobustnessOptions",
    "SampleOptions",
    "StatedGrid",
    "TileOptions",
    "TileResult",
    "VerifyResult",
    "__version__",
    "ablate",
    "assess",
    "classify",
    "compare",
    "continuing_recipe",
    "evaluate",
    "export",
    "info",
    "load_dense_recipe",
    "load_recipe",
    "models",
    "mosaic",
    "review",
    "robustness",
    "sample",
    "style",
    "tile",
    "train",
    "verify",
]

_MODULES = {
    "AblationOptions": "geokd.training.ablation_options",
    "AblationResult": "geokd.training.ablation",
    "ClassifyOptions": "geokd.mapping.options",
    "ClassifyResult": "geokd.mapping.scene_run",
    "DenseRecipe": "geokd.dense_recipe",
    "MosaicOptions": "geokd.mapping.join_maps",
    "ReviewOptions": "geokd.mapping.review",
    "RobustnessOptions": "geokd.mapping.robustness",
    "SampleOptions": "geokd.mapping.sample",
    "StatedGrid": "geokd.mapping.map_grid",
    "TileOptions": "geokd.scenes.tiling",
    "TileResult": "geokd.scenes.tiling",
    "VerifyResult": "geokd.mapping.verify",
    "ablate": "geokd.training.ablation",
    "assess": "geokd.mapping.assess",
    "classify": "geokd.mapping.classify",
    "compare": "geokd.mapping.compare",
    "continuing_recipe": "geokd.training.continuing",
    "evaluate": "geokd.mapping.evaluate",
    "export": "geokd.training.export",
    "info": "geokd.mapping.info",
    "load_dense_recipe": "geokd.recipe_file",
    "load_recipe": "geokd.recipe_file",
    "models": "geokd.mapping.models",
    "mosaic": "geokd.mapping.join_maps",
    "review": "geokd.mapping.review",
    "robustness": "geokd.mapping.robustness",
    "sample": "geokd.mapping.sample",
    "style": "geokd.styling",
    "tile": "geokd.scenes.tiling",
    "train": "geokd.training.train",
    "verify": "geokd.mapping.verify",
}


def __getattr__(name: str) -> Any:
    """Import a function when it is first asked for: `import geokd` alone loads nothing heavy."""
    if name == "__version__":
        from importlib.metadata import version

        return version("geokd")
    if name not in _MODULES:
        raise AttributeError(f"module 'geokd' has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return __all__
