"""Choice of the shipped model for a scene, with `--model auto`."""

import mmap
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from geokd.errors import BundleError, SceneError
from geokd.model.bundle import AUTO_MODEL, DEFAULT_MODEL, Precision, resolve_model, shipped_models
from geokd.model.contract import InputContract
from geokd.model.onnx_file import read_metadata
from geokd.model.purpose import for_chips_alone
from geokd.scenes.bands import find_band
from geokd.scenes.georeferencing import grid_problems
from geokd.scenes.options import SceneOptions
from geokd.scenes.plan import fix_plan
from geokd.scenes.scene_info import SceneInfo
from geokd.scenes.values import values_are_known
from geokd.system.documents import parse_json

_COLOURS = ("red", "green", "blue")


@dataclass(frozen=True)
class ModelCard:
    """What is known of a model before its network is loaded.

    Parameters
    ----------
    model : str
        Its name.
    precision : {"fp32", "int8"}
    contract : InputContract
    for_chips_alone : bool
        Whether it was trained for chips, and is often wrong in scenes.
    """

    model: str
    precision: Precision
    contract: InputContract
    for_chips_alone: bool = False


@dataclass(frozen=True)
class ModelChoice:
    """A model for a scene.

    Parameters
    ----------
    model : str
        A path, or the name of a shipped one.
    reason : str
        Why it was chosen, in a sentence; empty if the caller named it.
    """

    model: str
    reason: str = ""


def choose_model(info: SceneInfo, model: str | Path, options: SceneOptions) -> ModelChoice:
    """Return the model that the caller named, or for "auto" the shipped one that suits the scene best.

    Raises
    ------
    SceneError, BundleError
        As for :func:`choose_of`; also if a shipped model is broken.
    """
    if str(model) != AUTO_MODEL:
        return ModelChoice(str(model))
    return choose_of(info, [read_card(name) for name in shipped_models()], options)


def choose_of(info: SceneInfo, cards: Sequence[ModelCard], options: SceneOptions) -> ModelChoice:
    """Choose a model for satellite scenes that fits the scene; preferred are dense, more bands, int8, in this order.

    Models for 8-bit images, such as aerial ones, are never chosen: their classes differ, and a file does not show which
    are wanted.

    Parameters
    ----------
    info : SceneInfo
    cards : sequence of ModelCard
    options : SceneOptions

    Raises
    ------
    SceneError
        If none fits: the message explains why, or names the models that the caller can use.
    BundleError
        If there is no model.
    """
    ranked = sorted(cards, key=_rank)
    satellite = [card for card in ranked if card.contract.value_scaling is not None]
    others = [card for card in ranked if card.contract.value_scaling is None and card.precision == "int8"]
    problems: dict[str, SceneError] = {}
    for card in satellite:
        problem = _problem(info, card, options)
        if problem is None:
            return ModelChoice(card.model, _reason(info, card))
        if info.unreadable_of(card.contract.bands) and not grid_problems(info, card.contract):
            raise SceneError(f"{problem}; or name a model that does not need it with -m/--model")
        if options.bidx is None and info.doubt_of(card.contract.bands):
            raise problem
        problems[card.model] = problem
    fitting = [card.model for card in others if _problem(info, card, options) is None]
    if fitting:
        raise SceneError(
            f"no model can be chosen for {info.path}: its pixel size is that of aerial images, and"
            + (
                f" {' and '.join(fitting)} fit but have different classes; name one with -m/--model"
                if len(fitting) > 1
                else f" {fitting[0]} fits but has other classes; name it with -m/--model"
            )
        )
    if not problems:
        raise BundleError("no model for satellite scenes ships with geokd; name one with -m/--model")
    least = min(satellite, key=lambda card: (len(card.contract.bands), _rank(card)))
    raise problems[least.model]


@cache
def read_card(model: str) -> ModelCard:
    """Read what is known of a bundle before its network is loaded.

    Raises
    ------
    BundleError
        If the bundle is broken.
    """
    path = resolve_model(model)
    try:
        with path.open("rb") as file:  # memory-mapped, so that the network is not read from the disk
            content = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        document = parse_json(read_metadata(content)["geokd"])
        contract, provenance = InputContract.from_json(document["input"]), document["provenance"]
        return ModelCard(model, document["precision"], contract, for_chips_alone(provenance))
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise BundleError(f"the bundle {path} is broken: {error}") from error


def _rank(card: ModelCard) -> tuple[bool, bool, int, bool, bool, str]:
    """Order models, the best first."""
    contract = card.contract
    default = card.model == DEFAULT_MODEL
    whole, fast = contract.is_dense, card.precision == "int8"
    return card.for_chips_alone, not whole, -len(contract.bands), not fast, not default, card.model


def _problem(info: SceneInfo, card: ModelCard, options: SceneOptions) -> SceneError | None:
    """Return why a scene does not fit; None if it does."""
    colours = {find_band(card.contract.bands, colour) for colour in _COLOURS} - {0}
    known = values_are_known(info, options, tuple(range(1, len(info.scales) + 1)))
    if info.dtype == "uint8" and not known and len(card.contract.bands) > len(colours):
        return SceneError(
            f"{info.path} does not fit the model {card.model}: its values are 8-bit, and how those of the near infrared"
            " were stretched is unknown; use reflectance"
        )
    try:
        fix_plan(info, card.contract, options)
    except SceneError as error:
        return error
    return None


def _reason(info: SceneInfo, card: ModelCard) -> str:
    """Return the reason for a choice, as a sentence."""
    contract = card.contract
    what = "classifies every pixel" if contract.cell_px == 1 else "is made for such scenes"
    size = max(info.grid.pixel_size_m)
    return (
        f"model {AUTO_MODEL}: chose {card.model} because it {what}, and the scene has its bands"
        f" {', '.join(contract.bands)} in pixels of {size:.3g} m"
    )
