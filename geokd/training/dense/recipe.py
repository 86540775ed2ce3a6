"""The recipe of a dense student: everything that decides how it is trained, as frozen dataclasses.

A missing key has the default defined here (:mod:`geokd.training.recipe_file` reads recipes). The
resolved recipe is stored in the run and in the bundle.
"""

from dataclasses import dataclass, field
from typing import Any

from geokd.model.contract import ValueScaling
from geokd.scenes.bands import find_band
from geokd.training.recipe import MOST_SEED, AnyRecipe

STRIDE_PX = 32
"""Sides of patches must be multiples of this: the network halves them five times."""

COLOURS_AND_INFRARED = ("red", "green", "blue", "nir")
"""Bands that :class:`WetlandRecipe` needs."""

_WETLAND_MARGIN_PX = 16  # how far the rule reaches


def _at_least(low: float, high: float = 1e9) -> dict[str, Any]:
    return {"range": (low, high)}


@dataclass(frozen=True)
class DenseInputRecipe:
    """The student's input; becomes the bundle's input contract.

    `patch_px` and `margin_px` are those of the bundle; training has patches of its own size (`student.patch_px`).
    `value_scaling.maximum` may have one value for each band.
    """

    bands: tuple[str, ...] = ("B04", "B03", "B02", "B08")
    patch_px: int = field(default=256, metadata=_at_least(64, 4096))
    margin_px: int = field(default=32, metadata=_at_least(0, 1024))
    cell_px: int = field(default=1, metadata=_at_least(1, 64))
    ground_resolution_m: float = field(default=10.0, metadata=_at_least(1e-3, 1e5))
    value_scaling: ValueScaling = field(default_factory=ValueScaling)

    def __post_init__(self) -> None:
        if self.patch_px % STRIDE_PX:
            raise ValueError(f"patch_px = {self.patch_px} must be a multiple of {STRIDE_PX}")
        self.value_scaling.of_bands(len(self.bands))


@dataclass(frozen=True)
class ClassRecipe:
    """One class of the student: its name, title and colour. Default: title and colour derived from the name."""

    name: str
    title: str = ""
    color_hint: str = ""


@dataclass(frozen=True)
class RuleRecipe:
    """Conversion of one class of the label rasters.

    `label` is a band's description (or number, from 1) of a raster with a band for each class, or a code (or its name
    in the raster's attribute table) of a raster of codes. With several classes in `becomes`, each pixel's label is
    split among them in proportion to the use teacher's probabilities. One of them may be missing in the use teacher: it
    gets the rest up to 1. `weights`, one for each of `becomes`, above 0 and at most 1, are multiplied with the use
    teacher's probabilities first: low for a class that it overestimates. An empty `becomes` leaves pixels with this
    label out. Labels without a rule become the class of the same name.
    """

    label: str
    becomes: tuple[str, ...] = ()
    weights: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.weights and (
            len(self.weights) != len(self.becomes) or not all(0 < weight <= 1 for weight in self.weights)
        ):
            raise ValueError(f"weights of the label {self.label!r} must be above 0 and at most 1, one for each class")


@dataclass(frozen=True)
class UseTeacherRecipe:
    """The patch student that splits labels (see :class:`RuleRecipe`).

    `bundle` is the name or path of a bundle; its patches lie `stride_px` apart on the scene, and its answers are
    interpolated in between. A standard atmosphere is added to its input if the scene's values are surface reflectance.
    `views` of 8 dihedral views are averaged.
    """

    bundle: str = ""
    stride_px: int = field(default=32, metadata=_at_least(1, 4096))
    views: int = field(default=4, metadata=_at_least(1, 8))


@dataclass(frozen=True)
class DenseStudentRecipe:
    """The student and its schedule.

    `initial_weights` is the name or path of an fp32 bundle (a patch student's or a dense one's), the path of a
    .safetensors file with MobileNetV2's `features.*`, or "none". `width` is the number of channels in which features of
    all resolutions are joined. An epoch has `epoch_steps` batches of `batch_size` patches of `patch_px`. `ema_decay` is
    the decay per step of the running mean of the weights that is validated and exported; in the first steps it is
    lower. The last `int8_epochs` are trained with simulated int8 rounding.
    """

    initial_weights: str = "eurosat-rgb-maps-fp32"
    width: int = field(default=48, metadata=_at_least(8, 256))
    epochs: int = field(default=10, metadata=_at_least(1, 10_000))
    epoch_steps: int = field(default=100, metadata=_at_least(1, 100_000))
    batch_size: int = field(default=16, metadata=_at_least(2, 1024))
    patch_px: int = field(default=128, metadata=_at_least(64, 1024))
    learning_rate: float = field(default=1.5e-3, metadata=_at_least(1e-8, 10))
    weight_decay: float = field(default=2e-2, metadata=_at_least(0, 1))
    ema_decay: float = field(default=0.99, metadata=_at_least(0, 0.99999))
    int8_epochs: int = field(default=0, metadata=_at_least(0, 10_000))

    def __post_init__(self) -> None:
        if self.patch_px % STRIDE_PX:
            raise ValueError(f"patch_px = {self.patch_px} must be a multiple of {STRIDE_PX}")
        if self.int8_epochs > self.epochs:
            raise ValueError(f"int8_epochs = {self.int8_epochs} are more than all {self.epochs} epochs")


@dataclass(frozen=True)
class DenseLossRecipe:
    """Weights of loss = ce * CE + kl * T^2 KL(teacher || student) + cosine * (1 - cos), pixel by pixel.

    CE is the cross-entropy with the most probable class of a soft label, or with the class of a hard one. KL compares
    with the soft label at temperature T; it is not used for hard labels. The cosine compares logits with the logarithms
    of the soft label, both less their mean over the classes. With `label_power` p soft labels are raised to the power p
    and scaled to sum 1 first: above 1 they are sharper.
    """

    ce: float = field(default=0.0, metadata=_at_least(0))
    kl: float = field(default=1.0, metadata=_at_least(0))
    cosine: float = field(default=0.0, metadata=_at_least(0))
    temperature: float = field(default=1.0, metadata=_at_least(0.1, 100))
    label_power: float = field(default=1.0, metadata=_at_least(0.1, 10))

    def __post_init__(self) -> None:
        if not (self.ce or self.kl or self.cosine):
            raise ValueError("ce, kl and cosine are all 0: there is nothing to train on")


@dataclass(frozen=True)
class VariationRecipe:
    """Augmentation of training patches, besides the 8 dihedral views that are always used. Shares are of patches.

    Atmosphere: `air_share` get a standard atmosphere (path radiance and transmittance by wavelength) times 0.5 to 1.5,
    tinted by `air_tint` (standard deviation), so that one student accepts top-of-atmosphere and surface reflectance.
    Then a gain for all bands and one for each (standard deviations of their logarithms), and noise of up to `noise`
    (reflectance x 10,000). `scale_share` are resampled, to pixels smaller or larger by up to `scale`.
    `season_share` lose up to `season` of the greenness of vegetation.

    Simulated land: `marsh_share` get areas in which plants, or mud with dead stems, stand in water, mixed within the
    pixel, with open creeks; their label is `marsh_class`. `snow_share` get a snow cover, thinner under trees and
    houses; its label is `snow_class`. `turbid_share` get sediment and waves into their water. `water_classes` and
    `tall_classes` name the classes of water and of tall objects for this.

    `stretch_share` are stretched to bytes like pictures (with their own quantiles, by band or for all bands) instead of
    the contract's range, for a student of 8-bit pictures.
    """

    air_share: float = field(default=0.6, metadata=_at_least(0, 1))
    air_tint: float = field(default=0.15, metadata=_at_least(0, 1))
    gain: float = field(default=0.15, metadata=_at_least(0, 1))
    band_gain: float = field(default=0.05, metadata=_at_least(0, 1))
    noise: float = field(default=25.0, metadata=_at_least(0, 1000))
    scale_share: float = field(default=0.35, metadata=_at_least(0, 1))
    scale: float = field(default=0.35, metadata=_at_least(0, 0.7))
    season_share: float = field(default=0.0, metadata=_at_least(0, 1))
    season: float = field(default=0.9, metadata=_at_least(0, 1))
    marsh_share: float = field(default=0.0, metadata=_at_least(0, 1))
    marsh_class: str = ""
    snow_share: float = field(default=0.0, metadata=_at_least(0, 1))
    snow_class: str = ""
    turbid_share: float = field(default=0.0, metadata=_at_least(0, 1))
    water_classes: tuple[str, ...] = ()
    tall_classes: tuple[str, ...] = ()
    stretch_share: float = field(default=0.0, metadata=_at_least(0, 1))

    def __post_init__(self) -> None:
        for share, name in ((self.marsh_share, "marsh"), (self.snow_share, "snow")):
            if share and not getattr(self, f"{name}_class"):
                raise ValueError(f"{name}_share = {share:g} needs {name}_class, the label of what is simulated")
        if (self.marsh_share or self.turbid_share) and not self.water_classes:
            raise ValueError("marsh_share and turbid_share need water_classes, the classes whose pixels are water")


@dataclass(frozen=True)
class WetlandRecipe:
    """A rule at the end of the exported network: where plants stand in water, there is wetland.

    Pixels of the class `open_water`, and around these of all `water`, become the class `becomes` where they reflect
    more near infrared than red and green at the surface, see :mod:`geokd.training.dense.wetland`. With an empty
    `becomes` there is no rule. It needs the bands red, green, blue and near infrared, cells of one pixel and a margin
    of at least 16 px.
    """

    open_water: str = ""
    water: tuple[str, ...] = ()
    becomes: str = ""

    def __post_init__(self) -> None:
        if (self.open_water or self.water) and not self.becomes:
            raise ValueError("the rule [wetland] lacks becomes, the class of plants in water")
        if self.becomes and (self.open_water not in self.water or self.becomes in self.water):
            raise ValueError(
                f"open_water = {self.open_water!r} must be one of the classes of water ({', '.join(self.water)}), and"
                f" becomes = {self.becomes!r} none of them"
            )

    @property
    def classes(self) -> tuple[str, ...]:
        """All classes that are named; none without a rule."""
        return (*self.water, self.becomes) if self.becomes else ()

    def lacks(self, student: DenseInputRecipe) -> list[str]:
        """Return what a student with this input lacks for the rule."""
        if not self.becomes:
            return []
        lacking = [f"the band {band}" for band in COLOURS_AND_INFRARED if not find_band(student.bands, band)]
        lacking += [] if student.cell_px == 1 else ["cell_px = 1"]
        return lacking + ([] if student.margin_px >= _WETLAND_MARGIN_PX else [f"margin_px >= {_WETLAND_MARGIN_PX}"])


@dataclass(frozen=True)
class DenseRecipe(AnyRecipe):
    """A whole recipe of a dense student. `seed` determines initial weights, held-out labels, order and augmentation.

    `classes` are the student's, in the order of their codes. `validation_share` of the labels is held out: chips of a
    sheet, polygons, or squares of `validation_block_px` of a raster. Patches are drawn with a weight of 1 / frequency ^
    `rarity` of their most frequent class; 0 draws all equally.
    """

    name: str = "dense-student"
    seed: int = field(default=1, metadata=_at_least(0, MOST_SEED))
    classes: tuple[ClassRecipe, ...] = ()
    rules: tuple[RuleRecipe, ...] = ()
    validation_share: float = field(default=0.1, metadata=_at_least(0.01, 0.9))
    validation_block_px: int = field(default=128, metadata=_at_least(8, 4096))
    rarity: float = field(default=0.25, metadata=_at_least(0, 1))
    input: DenseInputRecipe = field(default_factory=DenseInputRecipe)
    use_teacher: UseTeacherRecipe = field(default_factory=UseTeacherRecipe)
    student: DenseStudentRecipe = field(default_factory=DenseStudentRecipe)
    loss: DenseLossRecipe = field(default_factory=DenseLossRecipe)
    variation: VariationRecipe = field(default_factory=VariationRecipe)
    wetland: WetlandRecipe = field(default_factory=WetlandRecipe)

    def __post_init__(self) -> None:
        names = [c.name for c in self.classes]
        if len(set(names)) < len(names):
            raise ValueError(f"classes repeat: {', '.join(names)}")
        if names:
            wanted = [name for rule in self.rules for name in rule.becomes]
            v = self.variation
            wanted += [*v.water_classes, *v.tall_classes, *filter(None, (v.marsh_class, v.snow_class))]
            wanted += self.wetland.classes
            unknown = [name for name in dict.fromkeys(wanted) if name not in names]
            if unknown:
                raise ValueError(f"{', '.join(unknown)} are not among the classes ({', '.join(names)})")
        lacking = self.wetland.lacks(self.input)
        if lacking:
            raise ValueError(f"the rule [wetland] needs {', '.join(lacking)}; change the input, or leave the rule out")
