import json
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from geokd.model.drift import chip_features, find_drift, learn_familiarity
from geokd.model.familiarity import Familiarity

BANDS = ("B04", "B03", "B02")


def chips(count: int = 1500, seed: int = 0) -> NDArray[np.uint8]:
    """Chips of many brightnesses and textures, blue a little brighter than red."""
    generator = np.random.default_rng(seed)
    brightness = generator.uniform(60, 130, (count, 1, 1, 1))
    colour = generator.normal(1, 0.04, (count, 3, 1, 1)) * np.array([0.9, 1.0, 1.1])[:, None, None]
    texture = generator.uniform(1, 8, (count, 1, 1, 1)) * generator.standard_normal((count, 3, 12, 12))
    return np.asarray(np.clip(brightness * colour + texture, 0, 255), np.uint8)


@pytest.fixture(scope="module")
def known() -> Familiarity:
    return learn_familiarity(chip_features(chips()), np.linspace(0.4, 1, 1500), chip_features(chips()))


def drift_of(known: Familiarity, pixels: NDArray[Any], confidence: float = 0.9) -> tuple[float | None, tuple[str, ...]]:
    pixels = np.clip(pixels, 0, 255).astype(np.uint8)
    drift = find_drift(known, chip_features(pixels), np.full(len(pixels), confidence), BANDS)
    return drift.unfamiliar_share, drift.warnings


def test_features_by_hand() -> None:
    chip = np.array([[[[10, 14], [20, 20]], [[0, 0], [0, 8]]]], np.uint8)
    assert chip_features(chip)[0] == pytest.approx([16, 2, np.log(2 + 0.5), np.log(4 + 0.5)])


def test_chips_like_those_of_training_are_familiar(known: Familiarity) -> None:
    share, warnings = drift_of(known, chips(seed=1))
    assert share is not None
    assert share < 0.05
    assert warnings == ()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda p: p / 3.0, "times darker, so check --value-scale"),
        (lambda p: p * 2.0, "times brighter, so check --value-scale"),
        (lambda p: p[:, ::-1], "check the order of the bands"),
        (lambda p: p * np.array([1, 1, 0.5])[:, None, None], "the band used as B02 is"),
        (lambda p: np.broadcast_to(p.mean(axis=(2, 3), keepdims=True), p.shape), "smoother, so check the pixel size"),
    ],
)
def test_unlike_chips_are_recognised_by_what_is_unlike(known: Familiarity, change: Any, sentence: str) -> None:
    share, (warning,) = drift_of(known, change(chips(seed=2).astype(float)))
    assert share is not None
    assert share > 0.5
    assert sentence in warning


def test_far_too_dark_scenes_are_unlike_even_where_training_darkened_its_chips() -> None:
    darkened = chips() * np.random.default_rng(1).uniform(0.3, 1, (1500, 1, 1, 1))
    confidence = np.linspace(0.4, 1, 1500)
    known = learn_familiarity(chip_features(darkened.astype(np.uint8)), confidence, chip_features(chips()))
    _, (warning,) = drift_of(known, chips(seed=2) / 3.0)
    assert "times darker" in warning
    assert drift_of(known, chips(seed=2) * 0.9)[1] == ()


def test_an_unsure_student_says_so(known: Familiarity) -> None:
    assert known.confidence_limit == pytest.approx(0.43, abs=0.01)
    _, (warning,) = drift_of(known, chips(seed=3), confidence=0.4)
    assert "in 100 % of the patches the confidence is lower" in warning
    assert "--min-confidence" in warning


def test_the_commonest_oddness_is_named_where_there_are_several(known: Familiarity) -> None:
    dark, swapped = chips(300, seed=4) // 5, chips(100, seed=5)[:, ::-1]
    _, (warning,) = drift_of(known, np.concatenate([dark, swapped]))
    assert "times darker" in warning


def test_one_odd_patch_of_a_small_scene_is_no_warning(known: Familiarity) -> None:
    few = chips(12, seed=1)
    few[3] //= 6
    share, warnings = drift_of(known, few)
    assert share == pytest.approx(1 / 12)
    assert warnings == ()


def test_too_few_patches_tell_nothing(known: Familiarity) -> None:
    assert drift_of(known, chips(3) // 4) == (None, ())


def test_flat_chips_can_be_learnt() -> None:
    flat = chip_features(np.full((9, 1, 8, 8), 50, np.uint8))
    drift = find_drift(learn_familiarity(flat, np.ones(9), flat), flat, np.ones(9), ("grey",))
    assert drift.unfamiliar_share == 0


def test_familiarity_round_trips_and_refuses_what_does_not_fit(known: Familiarity) -> None:
    document = json.loads(json.dumps(known.to_json()))
    assert Familiarity.from_json(document) == known
    for key, value in {"mean": [1.0], "marks": [], "covariance": [[1.0]], "distance_limit": float("nan")}.items():
        with pytest.raises(ValueError, match="do not fit together|not finite"):
            Familiarity.from_json(document | {key: value})
    flat = {
        "covariance": np.ones((6, 6)).tolist(),
        "marks": [[0.0, 0.0]] * 5,
        "brightness_limits": [9, 1],
        "confidence_limit": 2,
    }
    for key, value in flat.items():
        with pytest.raises(ValueError, match="are impossible for chips"):
            Familiarity.from_json(document | {key: value})
    with pytest.raises(ValueError, match="unknown keys: colour"):
        Familiarity.from_json(document | {"colour": 1})
    with pytest.raises(ValueError, match="missing or unknown keys"):
        Familiarity.from_json({})
