"""Land-use maps from raster scenes with small, distilled networks.

Each command of `geokd` is a view of one function here, of the same name.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from geokd.assessment.assess import assess
    from geokd.assessment.compare import compare
    from geokd.assessment.evaluate import evaluate
    from geokd.assessment.review import ReviewOptions, review
    from geokd.assessment.robustness import RobustnessOptions, robustness
    from geokd.assessment.sample import SampleOptions, sample
    from geokd.chips.tiling import TileOptions, TileResult, tile
    from geokd.mapping.classify import classify
    from geokd.mapping.info import info
    from geokd.mapping.options import ClassifyOptions
    from geokd.mapping.scene_run import ClassifyResult
    from geokd.maps.map_grid import StatedGrid
    from geokd.maps.mosaic import MosaicOptions, mosaic
    from geokd.model.shipped import models
    from geokd.model.verify import VerifyResult, verify
    from geokd.styling import style
    from geokd.training.ablation.ablate import AblationResult, ablate
    from geokd.training.ablation.options import AblationOptions
    from geokd.training.continuing import continuing_recipe
    from geokd.training.dense.recipe import DenseRecipe
    from geokd.training.export import export
    from geokd.training.recipe_file import load_dense_recipe, load_recipe
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
    "AblationOptions": "geokd.training.ablation.options",
    "AblationResult": "geokd.training.ablation.ablate",
    "ClassifyOptions": "geokd.mapping.options",
    "ClassifyResult": "geokd.mapping.scene_run",
    "DenseRecipe": "geokd.training.dense.recipe",
    "MosaicOptions": "geokd.maps.mosaic",
    "ReviewOptions": "geokd.assessment.review",
    "RobustnessOptions": "geokd.assessment.robustness",
    "SampleOptions": "geokd.assessment.sample",
    "StatedGrid": "geokd.maps.map_grid",
    "TileOptions": "geokd.chips.tiling",
    "TileResult": "geokd.chips.tiling",
    "VerifyResult": "geokd.model.verify",
    "ablate": "geokd.training.ablation.ablate",
    "assess": "geokd.assessment.assess",
    "classify": "geokd.mapping.classify",
    "compare": "geokd.assessment.compare",
    "continuing_recipe": "geokd.training.continuing",
    "evaluate": "geokd.assessment.evaluate",
    "export": "geokd.training.export",
    "info": "geokd.mapping.info",
    "load_dense_recipe": "geokd.training.recipe_file",
    "load_recipe": "geokd.training.recipe_file",
    "models": "geokd.model.shipped",
    "mosaic": "geokd.maps.mosaic",
    "review": "geokd.assessment.review",
    "robustness": "geokd.assessment.robustness",
    "sample": "geokd.assessment.sample",
    "style": "geokd.styling",
    "tile": "geokd.chips.tiling",
    "train": "geokd.training.train",
    "verify": "geokd.model.verify",
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
