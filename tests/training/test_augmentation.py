import itertools
from dataclasses import replace
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs the extra geokd[train]")

from geokd.training.data.augmentation import (  # noqa: E402
    Traits,
    area_shares,
    augment,
    dihedral,
    mix,
    mixup,
    radiometry,
    roughen_water,
    zoom,
)
from geokd.training.recipe import AugmentationRecipe  # noqa: E402

STILL = AugmentationRecipe(
    share=1, zoom=0, gain=0, band_gain=0, offset=0, gamma=0, haze=0, noise=0, blur_px=0, water_share=0
)


RGB_NM = torch.tensor([665.0, 560.0, 490.0])
NONE = torch.tensor([False])
WATER_AND_LAND = Traits(
    water=torch.tensor([True, False]), unmixed=NONE.expand(2), stripes=NONE.expand(2), wavelengths_nm=RGB_NM
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
    out, shares = augment(pixels, torch.zeros(5, dtype=torch.int64), WATER_AND_LAND, STILL, _generator())
    assert torch.allclose(out, pixels, atol=1e-3)
    assert shares is None


def test_same_generator_same_chips_and_within_bytes() -> None:
    pixels = torch.randint(0, 256, (6, 3, 32, 32), generator=_generator()).float()
    recipe = AugmentationRecipe(water_share=1.0, water_classes=("sea",))
    labels = torch.tensor([0, 1] * 3)
    first, second, other = (augment(pixels, labels, WATER_AND_LAND, recipe, _generator(k))[0] for k in (7, 7, 8))
    assert torch.equal(first, second)
    assert first.min() >= 0
    assert first.max() <= 255
    assert not torch.equal(first, other)


@pytest.mark.parametrize(
    ("key", "amount"),
    [
        ("gain", 0.3),
        ("offset", 20.0),
        ("haze", 0.3),
        ("noise", 6.0),
        ("gamma", 0.3),
        ("path_radiance", 40.0),
        ("contrast", 0.5),
    ],
)
def test_each_radiometric_change_acts_alone(key: str, amount: float) -> None:
    flat = torch.full((64, 3, 8, 8), 100.0)
    recipe = AugmentationRecipe(**({f: getattr(STILL, f) for f in STILL.__dataclass_fields__} | {key: amount}))
    out = radiometry(flat, RGB_NM, recipe, _generator())
    means = out.mean((1, 2, 3))
    if key == "noise":
        assert 0.5 < float((out - flat).std()) < amount
    else:
        assert float(means.std()) > 1
        assert float(out.std((2, 3)).max()) < 1e-3  # a flat chip stays flat


def test_contrast_is_lost_about_the_light_of_the_air() -> None:
    recipe = replace(STILL, contrast=0.6)
    air = torch.tensor([65 * (490 / nm) ** 2.5 for nm in RGB_NM.tolist()])
    levels = torch.stack([air, air + 50], dim=1)[None, :, None].repeat_interleave(4, dim=3).expand(500, 3, 4, 8)
    out = radiometry(levels, RGB_NM, recipe, _generator())
    assert torch.allclose(out[..., 0], levels[..., 0], atol=0.01)  # nothing but air stays as it is
    factors = (out[:, 0, 0, 7] - out[:, 0, 0, 0]) / 50
    assert 0.4 <= float(factors.min()) < 0.42
    assert 1.18 < float(factors.max()) <= 1.2


def test_zoom_keeps_flat_chips_flat_and_scales_within_its_bounds() -> None:
    flat = torch.full((4, 1, 16, 16), 7.0)
    assert torch.allclose(zoom(flat, 0.5, _generator()), flat)
    ramp = torch.arange(64.0).expand(400, 1, 64, 64)  # its slope tells the scale
    out = zoom(ramp, 0.5, _generator())
    slopes = (out[:, 0, 32, 1:] - out[:, 0, 32, :-1]).median(dim=1).values
    assert 1 / 1.5 - 1e-3 <= float(slopes.min()) < 0.7
    assert 1.45 < float(slopes.max()) <= 1.5 + 1e-3


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
    change = radiometry(flat, RGB_NM, recipe, _generator())[:, :, 0, 0] - 100
    assert -40 <= float(change.min()) < -35
    assert 15 < float(change.max()) <= 20
    assert (change[:, 2].abs() > change[:, 1].abs()).all()
    assert (change[:, 1].abs() > change[:, 0].abs()).all()
    dark = radiometry(torch.zeros(64, 3, 4, 4), RGB_NM, recipe, _generator())
    assert float(dark.min()) == pytest.approx(0, abs=1e-3)


def _origins(n: int, side: int) -> Any:
    return torch.arange(n)[:, None, None, None].expand(n, 1, side, side)


def test_mixing_takes_parts_of_others_and_returns_of_whom_each_pixel_is() -> None:
    n, side = 400, 16
    pixels = torch.arange(float(n)).reshape(n, 1, 1, 1).expand(n, 3, side, side)
    mixed, origins = mix(pixels, _origins(n, side), torch.ones(n, dtype=torch.bool), NONE.expand(n), 0.6, _generator())
    assert torch.equal(mixed, origins.float().expand(n, 3, side, side))  # the same part in each band
    foreign = (origins != _origins(n, side)).float().mean((1, 2, 3))
    assert float(foreign.max()) <= 0.5
    assert float((foreign > 0).float().mean()) == pytest.approx(0.6, abs=0.06)
    assert all(len(chip.unique()) <= 2 for chip in origins)


def test_unmixed_chips_neither_take_nor_give() -> None:
    pixels = torch.zeros(60, 1, 8, 8)
    mixable = torch.arange(60) >= 20
    _, origins = mix(pixels, _origins(60, 8), mixable, NONE.expand(60), 1.0, _generator())
    assert torch.equal(origins[:20], _origins(60, 8)[:20])
    assert int(origins[20:].min()) == 20
    assert (origins[20:] != _origins(60, 8)[20:]).any()


def test_mixup_blends_whole_chips_and_states_how_much_of_each() -> None:
    n = 300
    pixels = 255 * torch.rand(n, 3, 4, 4, generator=_generator(1))
    mixable = torch.arange(n) >= 20
    blended, shares = mixup(pixels, torch.eye(n), mixable, 0.6, _generator())
    torch.testing.assert_close(shares.sum(dim=1), torch.ones(n))
    torch.testing.assert_close(blended.flatten(1), shares @ pixels.flatten(1), atol=1e-3, rtol=1e-4)
    assert torch.equal(shares[:20], torch.eye(n)[:20])  # neither taken from
    assert torch.equal(shares[20:, :20], torch.zeros(n - 20, 20))  # nor given
    foreign = 1 - shares.diagonal()[20:]
    assert float(foreign.max()) <= 0.5
    assert float((foreign > 0).float().mean()) == pytest.approx(0.6, abs=0.08)
    assert float(foreign[foreign > 0].mean()) == pytest.approx(0.25, abs=0.03)


def test_mixup_continues_from_what_was_mixed_before() -> None:
    n = 40
    pixels = torch.arange(float(n)).reshape(n, 1, 1, 1).expand(n, 3, 8, 8)
    traits = replace(WATER_AND_LAND, wavelengths_nm=RGB_NM)
    recipe = replace(STILL, share=0, mix_share=0.8, mixup_share=0.8)
    mixed, shares = augment(pixels, torch.zeros(n, dtype=torch.int64), traits, recipe, _generator())
    assert shares is not None
    torch.testing.assert_close(mixed.mean((1, 2, 3)), shares @ torch.arange(float(n)), atol=1e-3, rtol=1e-4)
    assert int((shares > 0).sum(dim=1).max()) > 2


def test_every_other_strip_is_of_the_strip_classes() -> None:
    n = 2000
    stripes = torch.arange(n) < 20
    everything = torch.ones(n, dtype=torch.bool)
    _, origins = mix(torch.zeros(n, 1, 8, 8), _origins(n, 8), everything, stripes, 1.0, _generator())
    taken = ((origins < 20) & (origins != _origins(n, 8))).flatten(1).any(1)
    assert float(taken.float().mean()) == pytest.approx(0.25 + 0.75 * 0.01, abs=0.04)  # half of half of the parts


@pytest.mark.parametrize("focus", [0.0, 0.2])
def test_shares_are_of_the_area_or_of_what_is_near_the_centre(focus: float) -> None:
    origins = torch.zeros(3, 1, 32, 32, dtype=torch.int64)
    origins[1] = 1
    origins[1, :, 8:24, 8:24] = 0  # a quarter of the area, in the middle
    origins[2, :, :, :16] = 2
    shares = area_shares(origins, focus)
    assert torch.allclose(shares.sum(1), torch.ones(3))
    assert shares[0].tolist() == pytest.approx([1, 0, 0])
    assert shares[2].tolist() == pytest.approx([0.5, 0, 0.5])
    if focus:
        assert 0.5 < float(shares[1, 0]) < 0.8
    else:
        assert shares[1].tolist() == pytest.approx([0.25, 0.75, 0])


def test_after_all_rounds_the_shares_are_those_of_the_pixels() -> None:
    """Chips of one flat brightness each: the mean of a mixed chip is the mean of its parts by their shares."""
    values = torch.linspace(10, 200, 64)
    pixels = values[:, None, None, None].expand(64, 3, 32, 32)
    recipe = replace(STILL, share=0, mix_share=1.0)
    labels = torch.ones(64, dtype=torch.int64)
    mixed, shares = augment(pixels, labels, WATER_AND_LAND, recipe, _generator())
    assert shares is not None
    assert torch.allclose(mixed.mean((1, 2, 3)), shares @ values, atol=1e-2)
    assert int((shares > 0).sum(1).max()) > 2  # more than two land uses meet
