"""A recipe: everything that decides how a student is trained, as frozen dataclasses.

A missing key has the default defined here (:mod:`geokd.training.recipe_file` reads recipes). The resolved recipe is
stored in the run and in the bundle, so that every choice behind a student is recorded.
"""

import hashlib
import json
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from geokd.model.contract import ValueScaling
from geokd.system.documents import Record

Stage = Literal["teacher", "student"]
"""One of the two networks of a run."""

TeacherArchitecture = Literal["vgg16", "mobilenet_v2", "efficientnet_lite2"]
StudentArchitecture = Literal["mobilenet_v2"]
_LAYERS: dict[TeacherArchitecture, int] = {"vgg16": 31, "mobilenet_v2": 19, "efficientnet_lite2": 23}
CosineOn = Literal["features", "logits"]
TeacherViews = Literal["same", "mean", "shown"]
Unlabelled = Literal["leave out", "teacher"]
TeacherOn = Literal["all", "unlabelled"]
BatchStatistics = Literal["learned", "kept"]

LOSS_TERMS = ("ce", "kl", "cosine", "standardised_kl")
"""Terms of a student's loss: the names of their weights in :class:`LossRecipe`."""

MOST_SEED = 2**31 - 1
"""The greatest seed that a recipe may have."""


def _at_least(low: float, high: float = 1e9) -> dict[str, Any]:
    """Metadata of a number that lies within low..high, both included."""
    return {"range": (low, high)}


class AnyRecipe(Record):
    """Base of recipes, which a training run records and compares."""

    @property
    def sha256(self) -> str:
        """Hash of the resolved recipe, hexadecimal: equal recipes have equal hashes, whatever their files look like."""
        return hashlib.sha256(json.dumps(self.to_json(), sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class InputRecipe:
    """The student's input; becomes the bundle's input contract.

    Missing keys are derived from the chips, with a note: `patch_px` is their most common side, `ground_resolution_m`
    the pixel size of georeferenced chips, else 10. Chips of 8 bits give a student of red, green and blue that accepts
    only 8-bit values (`value_scaling = false`), others one of Sentinel-2's B04, B03 and B02, with the default stretch
    of :class:`geokd.model.contract.ValueScaling`.
    """

    bands: tuple[str, ...] | None = None
    patch_px: int | None = field(default=None, metadata=_at_least(8, 4096))
    ground_resolution_m: float | None = field(default=None, metadata=_at_least(1e-3, 1e5))
    value_scaling: ValueScaling | Literal["auto"] | None = "auto"


@dataclass(frozen=True)
class SplitRecipe:
    """How validation chips are split off if none are given.

    `file` is a CSV whose first two columns are a chip (`Class/name.jpg`) and its part: the chips of the parts
    `training` and `validation` are used, others left out. Default: stratified at random, or in spatial blocks of
    `block_m` if the chips have coordinates. `seed` is that of the split. Default: the recipe's.

    With a `labelled_share` below 1, only this share of the training chips of each class, at least one, keeps its
    labels. The others are left out or, with `unlabelled = "teacher"`, used for the student with the teacher's answers
    only; the teacher is never trained on them.
    """

    file: str | None = None
    training: tuple[str, ...] = ("train",)
    validation: tuple[str, ...] = ("val",)
    validation_share: float = field(default=0.2, metadata=_at_least(0.01, 0.9))
    block_m: float = field(default=1280.0, metadata=_at_least(1e-3))
    seed: int | None = field(default=None, metadata=_at_least(0, MOST_SEED))
    labelled_share: float = field(default=1.0, metadata=_at_least(1e-6, 1))
    unlabelled: Unlabelled = "leave out"

    def __post_init__(self) -> None:
        if self.file is not None and not (self.training and self.validation):
            raise ValueError("training and validation must each name at least one part of the file")


@dataclass(frozen=True)
class TeacherRecipe:
    """The teacher: VGG16's convolutions, global average pooling, dropout and one linear layer.

    `architecture` "efficientnet_lite2" is a teacher with a higher accuracy on ImageNet, from weights that are installed
    with geokd[train]. "mobilenet_v2" is the student's own architecture (born-again networks, Furlanello et al. 2018,
    arXiv 1805.04770); its mean answer over the dihedral views (`loss.teacher_views`) is better than that for a single
    view. `initial_weights` is "auto" (ImageNet's if available, else as for the student, or none for VGG16; with a
    note), "imagenet", "none", the path of a .safetensors file, or for a MobileNetV2 an fp32 bundle. `frozen_layers`
    counts `features` from the input, of which VGG16 has 31, MobileNetV2 19 and EfficientNet-Lite2 23. `upsample` is as
    for the student. `from_run` names the folder of a run on the same chips, whose teacher and answers are reused; all
    other keys here must be the same as there. `ensemble` names folders of several such runs, whose teachers'
    probabilities are averaged in each view; no teacher is trained then. `from_bundle` is the name or path of an fp32
    bundle whose student is used as teacher (see :func:`geokd.training.continuing.continuing_recipe`).
    """

    architecture: TeacherArchitecture = "vgg16"
    initial_weights: str = "auto"
    from_run: str | None = None
    ensemble: tuple[str, ...] = ()
    from_bundle: str | None = None
    frozen_layers: int = field(default=10, metadata=_at_least(0, 31))
    epochs: int = field(default=5, metadata=_at_least(0, 10_000))
    batch_size: int = field(default=64, metadata=_at_least(1))
    learning_rate: float = field(default=1e-4, metadata=_at_least(1e-8, 10))
    weight_decay: float = field(default=1e-4, metadata=_at_least(0, 1))
    dropout: float = field(default=0.3, metadata=_at_least(0, 0.95))
    label_smoothing: float = field(default=0.0, metadata=_at_least(0, 0.9))
    upsample: int = field(default=1, metadata=_at_least(1, 4))

    # only for students, so not keys of a recipe here
    ema_decay: ClassVar[float] = 0.0
    int8_epochs: ClassVar[int] = 0
    batch_statistics: ClassVar[BatchStatistics] = "learned"

    def __post_init__(self) -> None:
        if self.ensemble and self.from_bundle is not None:
            raise ValueError("from_bundle and ensemble each name a teacher: leave one out")
        most = _LAYERS[self.architecture]
        if self.frozen_layers > most:
            raise ValueError(
                f"frozen_layers = {self.frozen_layers} is above {most}, the number of layers of {self.architecture}"
            )


@dataclass(frozen=True)
class StudentRecipe:
    """The student: MobileNetV2.

    `initial_weights` as for the teacher, or the name or path of an fp32 bundle; if ImageNet's are not available, "auto"
    uses the shipped student with the nearest pixel size.

    `stem_stride` is the stride of the first convolution: 1 keeps every pixel of small patches, at four times the cost.
    `upsample` is a factor by which the network enlarges the sides of the patch, bilinearly, so that small patches have
    the scale of ImageNet's images; 2 costs four times as much. `ema_decay` is the decay per step of the running mean of
    the weights that is validated and exported; 0 turns it off. The last `int8_epochs` of the `epochs` are trained with
    simulated int8 rounding. With `batch_statistics` "kept", batch normalisation keeps the statistics of the initial
    weights, for few chips and low learning rates.
    """

    architecture: StudentArchitecture = "mobilenet_v2"
    initial_weights: str = "auto"
    epochs: int = field(default=20, metadata=_at_least(1, 10_000))
    batch_size: int = field(default=32, metadata=_at_least(2))
    learning_rate: float = field(default=1e-3, metadata=_at_least(1e-8, 10))
    weight_decay: float = field(default=1e-2, metadata=_at_least(0, 1))
    dropout: float = field(default=0.2, metadata=_at_least(0, 0.95))
    label_smoothing: float = field(default=0.0, metadata=_at_least(0, 0.9))
    stem_stride: int = field(default=2, metadata=_at_least(1, 2))
    upsample: int = field(default=1, metadata=_at_least(1, 4))
    ema_decay: float = field(default=0.9, metadata=_at_least(0, 0.99999))
    int8_epochs: int = field(default=0, metadata=_at_least(0, 10_000))
    batch_statistics: BatchStatistics = "learned"


@dataclass(frozen=True)
class LossRecipe:
    """Weights of loss = ce * CE + kl * T^2 KL(teacher || student) + cosine * (1 - cos), T = `temperature`.

    `standardised_kl` is the weight of a KL of logits that were standardised first, for comparison (Sun et al. 2024).
    The cosine compares penultimate features, the student's after a linear projection, or the logits. With
    `teacher_views` "same" the teacher's answer is that for the student's dihedral view of the chip, without further
    augmentation; with "mean" the mean of its logits and features over the 8 views; with "shown" that for the same
    augmented and mixed pixels as the student's (Beyer et al. 2022, arXiv 2106.05237), computed in each step, which is
    slow. With `teacher_on` "unlabelled" its probabilities count only for chips without a label.
    """

    ce: float = field(default=1.0, metadata=_at_least(0))
    kl: float = field(default=1.0, metadata=_at_least(0))
    cosine: float = field(default=1.0, metadata=_at_least(0))
    standardised_kl: float = field(default=0.0, metadata=_at_least(0))
    temperature: float = field(default=4.0, metadata=_at_least(0.1, 100))
    cosine_on: CosineOn = "features"
    teacher_views: TeacherViews = "same"
    teacher_on: TeacherOn = "all"

    def __post_init__(self) -> None:
        if self.teacher_on == "unlabelled" and self.teacher_views == "shown":
            raise ValueError("teacher_on = 'unlabelled' needs stored answers: teacher_views = 'same' or 'mean'")
        if self.teacher_on == "unlabelled" and (self.cosine or self.standardised_kl):
            raise ValueError("teacher_on = 'unlabelled' is for kl only: cosine and standardised_kl must be 0")

    @property
    def needs_teacher(self) -> bool:
        """Whether a term needs the teacher's answers."""
        return bool(self.kl or self.cosine or self.standardised_kl)


@dataclass(frozen=True)
class AugmentationRecipe:
    """Augmentation of training chips, besides the 8 dihedral views that are always used.

    Amounts are the largest change, drawn evenly from zero; bytes are steps of the 0..255 input. `share` is the share of
    chips whose radiometry is changed. `contrast` is the largest loss of contrast relative to path radiance, as with a
    low sun and dark soils; up to a third of it is gained instead. `path_radiance` is the change of path radiance in the
    bluest band: up to all of it is subtracted or up to half is added.

    `mix_share` is the share of chips of which, in each of two rounds, a part, up to half, is replaced with that part of
    another chip, with labels and the teacher's answers mixed by area or, with a `mix_focus`, by the area near the
    centre (standard deviation of the window as a fraction of the side). Chips of `unmixed_classes` are not mixed: lines
    through other land, such as roads, which a part of a chip may not show. Half of the parts are strips, and every
    other strip is of `strip_classes`: such as woods between fields, which must not be confused with rivers.

    `mixup_share` is the share of chips into which another is blended, by up to half (mixup, Zhang et al.
    2018, arXiv 1710.09412), with labels and answers in the same proportion; `unmixed_classes` are left out here, too.

    `water_share` is the share of the chips of `water_classes` that get a simulated wind-roughened surface (see
    :func:`geokd.training.data.augmentation.roughen_water`).
    """

    share: float = field(default=0.8, metadata=_at_least(0, 1))
    zoom: float = field(default=0.2, metadata=_at_least(0, 0.9))
    gain: float = field(default=0.2, metadata=_at_least(0, 0.9))
    band_gain: float = field(default=0.08, metadata=_at_least(0, 0.9))
    offset: float = field(default=12.0, metadata=_at_least(0, 128))
    gamma: float = field(default=0.2, metadata=_at_least(0, 0.9))
    contrast: float = field(default=0.0, metadata=_at_least(0, 0.9))
    path_radiance: float = field(default=0.0, metadata=_at_least(0, 128))
    haze: float = field(default=0.15, metadata=_at_least(0, 0.9))
    noise: float = field(default=4.0, metadata=_at_least(0, 128))
    blur_px: float = field(default=0.8, metadata=_at_least(0, 4))
    mix_share: float = field(default=0.0, metadata=_at_least(0, 1))
    mix_focus: float = field(default=0.0, metadata=_at_least(0, 1))
    unmixed_classes: tuple[str, ...] = ()
    strip_classes: tuple[str, ...] = ()
    mixup_share: float = field(default=0.0, metadata=_at_least(0, 1))
    water_share: float = field(default=0.0, metadata=_at_least(0, 1))
    water_classes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        both = sorted(set(self.strip_classes) & set(self.unmixed_classes))
        if both:
            raise ValueError(f"{', '.join(both)} cannot be strip_classes and unmixed_classes at once")


@dataclass(frozen=True)
class LegendEntry:
    """Title and colour (RRGGBB) of one class, by the name of its chip folder."""

    name: str
    title: str
    color_hint: str


@dataclass(frozen=True)
class Recipe(AnyRecipe):
    """A whole recipe. `seed` decides initial weights, order, views and augmentation."""

    name: str = "student"
    seed: int = field(default=1, metadata=_at_least(0, MOST_SEED))
    input: InputRecipe = field(default_factory=InputRecipe)
    split: SplitRecipe = field(default_factory=SplitRecipe)
    teacher: TeacherRecipe = field(default_factory=TeacherRecipe)
    student: StudentRecipe = field(default_factory=StudentRecipe)
    loss: LossRecipe = field(default_factory=LossRecipe)
    augmentation: AugmentationRecipe = field(default_factory=AugmentationRecipe)
    legend: tuple[LegendEntry, ...] = ()
