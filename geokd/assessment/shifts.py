"""Simulated changes of how a scene was taken. Pure numpy.

Each takes and returns the scene as the student sees it, but not rounded: float32 (C, rows, cols) in byte steps,
not clipped. Amounts are for Sentinel-2 stretched like EuroSAT, 0..2750 to 1..255, where a byte step is reflectance
0.00108. A band whose steps are larger, such as near infrared stretched from 0..5500, is changed by as many steps: its
haze is brighter than real haze.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from geokd.scenes.bands import HAZE

Pixels = NDArray[np.float32]

_RED_NM, _BLUE_NM = 665.0, 490.0


def _by_wavelength(ends: tuple[float, float], nm: Sequence[float]) -> Pixels:
    """Amounts of the bands, linear in wavelength from the red to the blue and alike beyond, to be broadcast."""
    amounts = np.asarray(np.interp(nm, [_BLUE_NM, _RED_NM], ends[::-1]), np.float32)
    return amounts[:, np.newaxis, np.newaxis]


def haze(pixels: Pixels, nm: Sequence[float]) -> Pixels:
    """Add thin, slightly blue haze of 12 % to the scene."""
    return pixels + np.float32(0.12) * (_by_wavelength(HAZE, nm) - pixels)


def molecular_light(pixels: Pixels, nm: Sequence[float], blue: float) -> Pixels:
    """Add light that molecules of air scatter: `blue` steps at 490 nm, falling as wavelength^-4."""
    falling = np.asarray((_BLUE_NM / np.asarray(nm)) ** 4, np.float32)
    return pixels + np.float32(blue) * falling[:, np.newaxis, np.newaxis]


def surface_reflectance(pixels: Pixels, nm: Sequence[float]) -> Pixels:
    """Correct the atmosphere, as from Level-1C to Level-2A: subtract path radiance, divide by transmittance.

    Rayleigh reflectance 0.05 in the blue, as between 490 nm and the sun in middle heights; transmittance 0.94 to 0.88.
    """
    clear = molecular_light(pixels, nm, -46.0)
    return clear / _by_wavelength((0.94, 0.88), nm)


def coarser(pixels: Pixels) -> Pixels:
    """Resample to pixels of twice the side (mean) and back (bilinear)."""
    rows, cols = pixels.shape[1] // 2 * 2, pixels.shape[2] // 2 * 2
    if not rows or not cols:
        return pixels.copy()
    half = pixels[:, :rows, :cols].reshape(len(pixels), rows // 2, 2, cols // 2, 2).mean(axis=(2, 4))
    padded = np.pad(half, ((0, 0), (1, 1), (1, 1)), mode="edge")
    for axis in (1, 2):  # halves of coarse pixels lie a quarter of their side from the centre
        near = np.take(padded, np.arange(1, padded.shape[axis] - 1), axis)
        before = np.take(padded, np.arange(padded.shape[axis] - 2), axis)
        after = np.take(padded, np.arange(2, padded.shape[axis]), axis)
        both = np.stack([0.75 * near + 0.25 * before, 0.75 * near + 0.25 * after], axis=axis + 1)
        shape = list(near.shape)
        shape[axis] *= 2
        padded = np.asarray(both.reshape(shape), np.float32)
    out = pixels.copy()
    out[:, :rows, :cols] = padded
    return out


def sharper(pixels: Pixels) -> Pixels:
    """Sharpen, like pixels of half the side: add half of the difference from a 3 x 3 mean."""
    padded = np.pad(pixels, ((0, 0), (1, 1), (1, 1)), mode="edge")
    rows, cols = pixels.shape[1:]
    total: Pixels = np.zeros_like(pixels)
    for i in range(3):
        for j in range(3):
            total += padded[:, i : i + rows, j : j + cols]
    return np.asarray(pixels + np.float32(0.5) * (pixels - total / np.float32(9)), np.float32)


def gamma(pixels: Pixels, exponent: float) -> Pixels:
    """Apply a power law on 0..255."""
    return np.asarray(255 * (pixels.clip(0) / 255) ** np.float32(exponent), np.float32)


def contrast(pixels: Pixels, factor: float) -> Pixels:
    """Apply a gain about the scene's mean."""
    mean = pixels.mean(axis=(1, 2), keepdims=True)
    return np.asarray(mean + np.float32(factor) * (pixels - mean), np.float32)


def noise(pixels: Pixels, steps: float) -> Pixels:
    """Add white noise of standard deviation `steps`, the same at every call."""
    drawn = np.random.default_rng(0).standard_normal(pixels.shape, np.float32)
    return pixels + np.float32(steps) * drawn


def band_gain(pixels: Pixels, nm: Sequence[float], red: float, blue: float) -> Pixels:
    """Apply a different gain to each band, linear in wavelength from the red to the blue."""
    return pixels * _by_wavelength((red, blue), nm)


SHIFTS: dict[str, Callable[[Pixels, Sequence[float]], Pixels]] = {
    "haze": haze,
    "more air light": lambda p, nm: molecular_light(p, nm, 15.0),
    "less air light": lambda p, nm: molecular_light(p, nm, -25.0),
    "surface reflectance (L2A-like)": surface_reflectance,
    "gain 0.8": lambda p, _: p * np.float32(0.8),
    "gain 1.25": lambda p, _: p * np.float32(1.25),
    "low sun (contrast 0.75)": lambda p, _: contrast(p, 0.75),
    "high sun (contrast 1.3)": lambda p, _: contrast(p, 1.3),
    "band gain, warmer": lambda p, nm: band_gain(p, nm, 1.07, 0.93),
    "band gain, colder": lambda p, nm: band_gain(p, nm, 0.93, 1.07),
    "offset +10": lambda p, _: p + np.float32(10),
    "offset -10": lambda p, _: p - np.float32(10),
    "gamma 0.85": lambda p, _: gamma(p, 0.85),
    "gamma 1.15": lambda p, _: gamma(p, 1.15),
    "noise of 3 steps": lambda p, _: noise(p, 3.0),
    "pixels of twice the side": lambda p, _: coarser(p),
    "pixels of half the side": lambda p, _: sharper(p),
}
"""By the name that reports show: functions of the pixels and of the wavelengths of their bands, in nm."""
