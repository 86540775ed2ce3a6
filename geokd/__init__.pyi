# The public names, each once: geokd/__init__.py imports a name from its module here when it is first used.

from .assessment.against import MapComparison as MapComparison
from .assessment.against import compare_maps as compare_maps
from .assessment.assess import assess as assess
from .assessment.change import ChangeReport as ChangeReport
from .assessment.change import assess_change as assess_change
from .assessment.compare import Comparison as Comparison
from .assessment.compare import compare as compare
from .assessment.evaluate import Evaluation as Evaluation
from .assessment.evaluate import evaluate as evaluate
from .assessment.plan import PlanOptions as PlanOptions
from .assessment.plan import SampleGoals as SampleGoals
from .assessment.plan import SamplePlan as SamplePlan
from .assessment.plan import plan_sample as plan_sample
from .assessment.review import Review as Review
from .assessment.review import ReviewOptions as ReviewOptions
from .assessment.review import review as review
from .assessment.robustness import Robustness as Robustness
from .assessment.robustness import RobustnessOptions as RobustnessOptions
from .assessment.robustness import robustness as robustness
from .assessment.sample import SampleOptions as SampleOptions
from .assessment.sample import sample as sample
from .chips.tiling import TileOptions as TileOptions
from .chips.tiling import TileResult as TileResult
from .chips.tiling import tile as tile
from .mapping.classify import classify as classify
from .mapping.info import ModelInfo as ModelInfo
from .mapping.info import RasterInfo as RasterInfo
from .mapping.info import info as info
from .mapping.options import ClassifyOptions as ClassifyOptions
from .mapping.scene_run import ClassifyResult as ClassifyResult
from .maps.manifest import Manifest as Manifest
from .maps.manifest import read_manifest as read_manifest
from .maps.map_grid import StatedGrid as StatedGrid
from .maps.mosaic import MosaicOptions as MosaicOptions
from .maps.mosaic import mosaic as mosaic
from .model.shipped import ShippedModel as ShippedModel
from .model.shipped import models as models
from .model.verify import VerifyResult as VerifyResult
from .model.verify import verify as verify
from .styling import style as style
from .training.ablation.ablate import AblationResult as AblationResult
from .training.ablation.ablate import ablate as ablate
from .training.ablation.options import AblationOptions as AblationOptions
from .training.continuing import continuing_recipe as continuing_recipe
from .training.dense.recipe import DenseRecipe as DenseRecipe
from .training.export import ExportResult as ExportResult
from .training.export import export as export
from .training.recipe import Recipe as Recipe
from .training.recipe_file import load_dense_recipe as load_dense_recipe
from .training.recipe_file import load_recipe as load_recipe
from .training.style_model import StyledModel as StyledModel
from .training.train import TrainResult as TrainResult
from .training.train import train as train

__all__: list[str]
__version__: str
