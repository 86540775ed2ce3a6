"""Networks and what they begin from."""

from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs the extra geokd[train]")

from safetensors.torch import save_file

from geokd.errors import RecipeError
from geokd.training import initial_weights
from geokd.training.initial_weights import build_student, build_teacher, nearest_student
from geokd.training.recipe import StudentRecipe, TeacherRecipe


@pytest.mark.parametrize(
    ("pixel_m", "name"),
    [
        (0.1, "ucmerced"),
        (0.5, "ucmerced"),
        (0.6, "rsscn7"),
        (3.0, "rsscn7"),
        (3.3, "eurosat-rgb"),
        (30.0, "eurosat-rgb"),
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
    assert origin == "bundle rsscn7-fp32, since no network"
    _, origin = build_teacher(TeacherRecipe(architecture="mobilenet_v2"), 3, ("a", "b"), pixel_m=1.0)
    assert origin == "bundle rsscn7-fp32, since no network"
    _, origin = build_teacher(TeacherRecipe(), 3, ("a", "b"), pixel_m=1.0)  # VGG16 has no bundle to begin from
    assert origin == "none, since no network"
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
