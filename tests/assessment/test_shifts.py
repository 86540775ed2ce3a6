import numpy as np
import pytest

from geokd.assessment.shifts import SHIFTS, coarser, gamma, molecular_light, noise, sharper, surface_reflectance
from geokd.scenes.bands import wavelengths_nm

RGB_NM = wavelengths_nm(("B04", "B03", "B02"))


@pytest.mark.parametrize("name", SHIFTS)
def test_each_shift_changes_the_scene_but_not_its_form(name: str) -> None:
    pixels = np.random.default_rng(1).uniform(20, 200, (3, 33, 40)).astype(np.float32)
    before = pixels.copy()
    changed = SHIFTS[name](pixels, RGB_NM)
    assert changed.shape == pixels.shape
    assert changed.dtype == np.float32
    assert np.isfinite(changed).all()
    assert np.array_equal(pixels, before)  # the scene itself is left alone
    assert np.abs(changed - pixels).mean() > 0.5
    assert np.array_equal(changed, SHIFTS[name](pixels, RGB_NM))  # the same at every call


def test_air_light_falls_with_the_fourth_power_of_the_wavelength() -> None:
    change = molecular_light(np.zeros((3, 1, 1), np.float32), RGB_NM, 10.0)[:, 0, 0]
    assert change == pytest.approx([10 * (490 / 665) ** 4, 10 * (490 / 560) ** 4, 10.0], rel=1e-5)


def test_surface_reflectance_darkens_blue_shadow_and_brightens_red_sand() -> None:
    dark = surface_reflectance(np.full((3, 1, 1), 60.0, np.float32), RGB_NM)[:, 0, 0]
    bright = surface_reflectance(np.full((3, 1, 1), 240.0, np.float32), RGB_NM)[:, 0, 0]
    assert dark[2] < 20 < dark[0] < 60
    assert bright[0] > 240


def test_coarser_keeps_ramps_and_means_and_smooths() -> None:
    ramp = np.broadcast_to(np.arange(16, dtype=np.float32), (1, 16, 16)).copy()
    assert np.allclose(coarser(ramp)[:, :, 2:-2], ramp[:, :, 2:-2])
    rough = np.random.default_rng(0).uniform(0, 255, (2, 31, 30)).astype(np.float32)
    smooth = coarser(rough)
    assert smooth.std() < 0.7 * rough.std()
    assert smooth.mean() == pytest.approx(rough.mean(), rel=0.02)


def test_sharper_keeps_ramps_and_roughens() -> None:
    ramp = np.broadcast_to(np.arange(16, dtype=np.float32), (1, 16, 16)).copy()
    assert np.allclose(sharper(ramp)[:, :, 1:-1], ramp[:, :, 1:-1])
    rough = np.random.default_rng(0).uniform(0, 255, (2, 30, 30)).astype(np.float32)
    assert sharper(rough).std() > 1.2 * rough.std()


def test_gamma_and_noise_by_hand() -> None:
    assert gamma(np.array([[[0.0, 255.0, 63.75]]], np.float32), 0.5).ravel() == pytest.approx([0, 255, 127.5])
    assert noise(np.zeros((3, 50, 50), np.float32), 3.0).std() == pytest.approx(3, rel=0.03)
