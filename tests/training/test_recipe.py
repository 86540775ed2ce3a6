import re
import tomllib
from pathlib import Path

import pytest

from geokd.errors import CallError, RecipeError
from geokd.model.contract import ValueScaling
from geokd.training.recipe import Recipe
from geokd.training.recipe_file import (
    dense_recipe_from_json,
    expanded,
    load_dense_recipe,
    load_recipe,
    recipe_from_json,
    template,
)

PUBLISHED = sorted((Path(__file__).parents[2] / "recipes").glob("*.toml"))
DENSE = [path for path in PUBLISHED if "\n[[classes]]" in path.read_text(encoding="utf-8")]
TABLES = [path for path in PUBLISHED if "\n[[source]]" in "\n" + path.read_text(encoding="utf-8")]
RECIPES = [path for path in PUBLISHED if path not in (*DENSE, *TABLES)]


@pytest.mark.parametrize("path", RECIPES, ids=lambda p: p.stem)
def test_published_recipes_load_and_round_trip(path: Path) -> None:
    recipe = load_recipe(path)
    assert recipe_from_json(recipe.to_json()) == recipe
    assert recipe.name == path.stem


@pytest.mark.parametrize("path", DENSE, ids=lambda p: p.stem)
def test_published_recipes_of_dense_students_load_and_round_trip(path: Path) -> None:
    recipe = load_dense_recipe(path)
    assert dense_recipe_from_json(recipe.to_json()) == recipe
    assert recipe.name == path.stem


def test_every_published_table_has_scenes() -> None:
    assert [path.stem for path in TABLES] == ["sentinel2-landuse-scenes"]
    for path in TABLES:
        assert len(tomllib.loads(path.read_text(encoding="utf-8"))["source"]) == 4


def test_defaults_and_hash() -> None:
    assert recipe_from_json({}) == Recipe()
    assert (Recipe().input.bands, Recipe().input.value_scaling) == (None, "auto")
    stated = recipe_from_json({"input": {"value_scaling": {"maximum": 4000}}})
    assert stated.input.value_scaling == ValueScaling(0, 4000, 1, 255)
    assert Recipe().sha256 != recipe_from_json({"seed": 2}).sha256


def test_value_scaling_can_be_switched_off() -> None:
    recipe = recipe_from_json({"input": {"value_scaling": False}})
    assert recipe.input.value_scaling is None
    assert recipe_from_json(recipe.to_json()) == recipe


def test_all_problems_at_once() -> None:
    bad = {
        "sed": 1,
        "teacher": {"epochs": -1, "epoch": 3},
        "loss": {"cosine_on": "x", "kl": "much"},
        "legend": [{"name": "a"}],
    }
    with pytest.raises(RecipeError) as caught:
        recipe_from_json(bad)
    text = str(caught.value)
    for part in (
        "unknown key 'sed': did you mean 'seed'?",
        "teacher.epochs = -1 is outside 0..10000",
        "unknown key 'teacher.epoch': did you mean 'epochs'?",
        "loss.cosine_on = 'x' is not one of 'features', 'logits'",
        "loss.kl = 'much' is not of type float",
        "key 'legend[0].title' is missing",
    ):
        assert part in text


def test_no_more_layers_can_be_frozen_than_there_are() -> None:
    recipe_from_json({"teacher": {"frozen_layers": 31}})
    with pytest.raises(RecipeError, match="frozen_layers = 31 is above 19"):
        recipe_from_json({"teacher": {"architecture": "mobilenet_v2", "frozen_layers": 31}})


def test_nothing_to_learn_from() -> None:
    with pytest.raises(RecipeError, match="nothing to train on"):
        recipe_from_json({"loss": {"ce": 0, "kl": 0, "cosine": 0}})


def test_files(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="cannot read the recipe"):
        load_recipe(tmp_path / "none.toml")
    path = tmp_path / "r.toml"
    path.write_text("seed = ")
    with pytest.raises(RecipeError, match="is not TOML"):
        load_recipe(path)


def test_changes_of_a_recipe(tmp_path: Path) -> None:
    path = tmp_path / "r.toml"
    path.write_text("[loss]\nkl = 2.0\n")
    changes = ["loss.kl=0", "name=alone", "augmentation.water_classes=['Sea', 'Lake']", "input.value_scaling=false"]
    recipe = load_recipe(path, changes)
    assert (recipe.loss.kl, recipe.name) == (0.0, "alone")
    assert recipe.augmentation.water_classes == ("Sea", "Lake")
    assert recipe.input.value_scaling is None
    assert load_recipe(None) == Recipe()
    assert load_recipe(None, ["seed=5"]).seed == 5
    with pytest.raises(RecipeError, match="the defaults as changed cannot be used: unknown key 'loss.ki'"):
        load_recipe(None, ["loss.ki=0"])
    for wrong in ("loss.kl", "=3", "loss.=3", ".kl=3"):
        with pytest.raises(CallError, match=r"is not of the form section\.key=value"):
            load_recipe(path, [wrong])
    with pytest.raises(CallError, match=r"(?s)the change 'a' is not.*the change 'b' is not"):
        load_recipe(path, ["a", "b", "loss.kl=2"])
    with pytest.raises(CallError, match="names 'kl', which is not a section"):
        load_recipe(path, ["loss.kl.x=1"])


def test_the_template_holds_every_key_with_its_default() -> None:
    document = tomllib.loads(template())
    assert recipe_from_json(document) == Recipe()
    for name, section in Recipe().to_json().items():
        for key in section if isinstance(section, dict) else [name]:
            assert re.search(rf"^(# )?(\[\[)?{key}( =|\]\])", template(), re.MULTILINE), key
    assert ":class:" not in template()


def test_lists_may_be_set_with_commas() -> None:
    recipe = load_recipe(None, ["input.bands=B08, B04,B03", "augmentation.water_classes=Sea"])
    assert recipe.input.bands == ("B08", "B04", "B03")
    assert recipe.augmentation.water_classes == ("Sea",)


def test_a_path_is_filled_in_unless_it_is_there_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLACE", "elsewhere")
    path = tmp_path / "a$PLACE"
    assert expanded(str(path)) == tmp_path / "aelsewhere"
    path.mkdir()
    assert expanded(str(path)) == path
