"""Networks and what they begin from."""

import pytest

pytest.importorskip("torch", reason="needs the extra geokd[train]")

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
