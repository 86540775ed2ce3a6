import itertools
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs the extra geokd[train]")

from geokd.recipe import AugmentationRecipe  # noqa: E402
from geokd.training.augmentation import (  # noqa: E402
    Mixture,
    augment,
    dihedral,
    draw_mixture,
    mix,
    radiometry,
    roughen_water,
    zoom,
)

STILL = AugmentationRecipe(
    share=1, zoom=0, gain=0, band_gain=0, offset=0, gamma=0, haze=0, noise=0, blur_px=0, water_share=0
)


def _generator(seed: int = 0) -> Any:
    return torch.Generator().manual_seed(seed)


def test_dihedral_views_are_the_eight_symmetries() -> None:
    chip = torch.arange(2 * 9).reshape(1, 2, 3, 3)
    views = dihedral(chip.expand(8, -1, -1, -1).contiguous(), torch.arange(8))
    for a, b in itertools.combinations(range(8), 2):
        assert not torch.equal(views[a], views[b])
    assert torch.equal(views[0], chip[0])
    assert torch.equal(views[1], torch.rot90(chip[0], 1, (1, 2)))
    assert torch.equal(views[4], chip[0].flip(2))


def test_nothing_asked_nothing_changed() -> None:
    pixels = torch.randint(0, 256, (5, 3, 16, 16), generator=_generator()).float()
    out = augment(pixels, torch.ones(5, dtype=torch.bool), (), STILL, _generator())
    assert torch.allclose(out, pixels, atol=1e-3)


def test_same_generator_same_chips_and_within_bytes() -> None:
    pixels = torch.randint(0, 256, (6, 3, 32, 32), generator=_generator()).float()
    recipe = AugmentationRecipe(water_share=1.0, water_classes=("sea",))
    water = torch.tensor([True, False] * 3)
    first, second = (augment(pixels, water, (), recipe, _generator(7)) for _ in range(2))
    assert torch.equal(first, second)
    assert first.min() >= 0
    assert first.max() <= 255
    assert not torch.equal(first, augment(pixels, water, (), recipe, _generator(8)))


@pytest.mark.parametrize(
    ("key", "amount"),
    [("gain", 0.3), ("offset", 20.0), ("haze", 0.3), ("noise", 6.0), ("gamma", 0.3), ("path_radiance", 40.0)],
)
def test_each_radiometric_change_acts_alone(key: str, amount: float) -> None:
    flat = torch.full((64, 3, 8, 8), 100.0)
    recipe = AugmentationRecipe(**({f: getattr(STILL, f) for f in STILL.__dataclass_fields__} | {key: amount}))
    out = radiometry(flat, recipe, _generator())
    means = out.mean((1, 2, 3))
    if key == "noise":
        assert 0.5 < float((out - flat).std()) < amount
    else:
        assert float(means.std()) > 1
        assert float(out.std((2, 3)).max()) < 1e-3  # a flat chip stays flat


def test_zoom_keeps_flat_chips_flat_and_is_bounded() -> None:
    flat = torch.full((4, 1, 16, 16), 7.0)
    assert torch.allclose(zoom(flat, 0.5, _generator()), flat)


def test_roughened_water_is_rougher_and_brighter_but_keeps_its_size() -> None:
    smooth = torch.full((32, 3, 64, 64), 60.0)
    rough = roughen_water(smooth, _generator())
    texture = (rough[..., 1:] - rough[..., :-1]).abs().mean((1, 2, 3))
    assert rough.shape == smooth.shape
    assert (texture > 0.05).all()
    assert float(rough.mean()) > 65
    assert len({round(float(t), 3) for t in texture}) > 25  # every chip has a sea of its own


def test_path_radiance_is_strongest_in_the_last_band_and_mostly_taken_away() -> None:
    flat = torch.full((256, 3, 4, 4), 100.0)
    recipe = AugmentationRecipe(**({f: getattr(STILL, f) for f in STILL.__dataclass_fields__} | {"path_radiance": 40}))
    change = radiometry(flat, recipe, _generator())[:, :, 0, 0] - 100
    assert -40 <= float(change.min()) < -35
    assert 15 < float(change.max()) <= 20
    assert (change[:, 2].abs() > change[:, 1].abs()).all()
    assert (change[:, 1].abs() > change[:, 0].abs()).all()
    dark = radiometry(torch.zeros(64, 3, 4, 4), recipe, _generator())
    assert float(dark.min()) == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize("share", [0.0, 0.125, 0.5])
def test_a_part_of_exactly_the_share_is_the_partners(share: float) -> None:
    pixels = torch.arange(6.0).reshape(6, 1, 1, 1).expand(6, 3, 16, 16)
    partners = torch.tensor([1, 2, 3, 4, 5, 0])
    mixed = mix(pixels, Mixture(partners, torch.full((6,), share)), _generator())
    for k in range(6):
        of_partner = mixed[k] == float(partners[k])
        assert float(of_partner.float().mean()) == share
        assert (of_partner | (mixed[k] == k)).all()
        assert (of_partner[0] == of_partner[1]).all()  # the same part in each band


def test_mixing_mixes_values_by_area() -> None:
    mixture = Mixture(torch.tensor([1, 0]), torch.tensor([0.25, 0.0]))
    assert torch.allclose(mixture.mean(torch.tensor([[0.0], [8.0]])), torch.tensor([[2.0], [8.0]]))
    pixels = torch.rand((2, 1, 32, 32), generator=_generator())
    pixels[0] = 0.0
    pixels[1] = 8.0
    assert torch.allclose(mix(pixels, mixture, _generator()).mean((2, 3)), torch.tensor([[2.0], [8.0]]))


def test_the_share_of_mixed_chips_is_as_asked() -> None:
    mixture = draw_mixture(4000, 0.6, _generator())
    assert float((mixture.shares > 0).float().mean()) == pytest.approx(0.6, abs=0.03)
    assert float(mixture.shares.max()) <= 0.5
    assert sorted(mixture.partners.tolist()) == list(range(4000))
