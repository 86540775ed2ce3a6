"""Augmentation of labelled patches: air, light, seasons, scale, simulated marsh and snow. Pure functions of tensors.

Pixels are float tensors (N, C, h, w) of surface reflectance x 10,000 until :func:`seen_as_bytes`; labels are float
tensors (N, K, h, w) of shares. Everything random is drawn from the generator that is passed in.
"""

import math
from dataclasses import dataclass

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from geokd.model.contract import InputContract, ValueScaling
from geokd.scenes.bands import find_band, wavelengths_nm
from geokd.training.dense.atmosphere import standard_atmosphere
from geokd.training.dense.recipe import STRIDE_PX, DenseRecipe, VariationRecipe

_SNOW = ((490.0, 1.0), (560.0, 0.98), (665.0, 0.97), (842.0, 0.88), (1610.0, 0.1), (2190.0, 0.08))  # by wavelength
_SEDIMENT = ((490.0, 450.0), (560.0, 700.0), (665.0, 800.0), (705.0, 750.0), (842.0, 150.0), (1610.0, 30.0))
_ALL_MUD = 0.6  # share of the simulated marshes that are only mud and dead stems
_FLOODED = (
    0.5  # share of these that are open water of the same shape and texture, so that only colour distinguishes them
)
_WAVES = 120.0  # standard deviation of reflectance x 10,000 on a rough sea
_BRIGHTEST = 1e4  # reflectance x 10,000


@dataclass(frozen=True, eq=False)
class View:
    """Properties of bands and classes for the augmentation.

    Parameters
    ----------
    path_radiance, transmittance : float tensors (C, 1, 1)
    snow : float tensor (C, 1, 1)
        Reflectance of bright snow, 0..1.
    redness : float tensor (C, 1, 1)
        Wavelength, 0 for blue, 1 for the near infrared and beyond.
    sediment : float tensor (C, 1, 1)
        Reflectance x 10,000 that a high sediment load adds to water.
    red, near_infrared : int
        Places of these bands; -1 where there is none.
    visible : tuple of int
        Places of red, green and blue, as far as they exist.
    scaling : tuple of ValueScaling
        For each band.
    water, tall : tuples of int
        Codes of the recipe's `water_classes` and `tall_classes`.
    marsh, snow_class : int
        Codes; -1 where there is none.
    """

    path_radiance: Tensor
    transmittance: Tensor
    snow: Tensor
    redness: Tensor
    sediment: Tensor
    red: int
    near_infrared: int
    visible: tuple[int, ...]
    scaling: tuple[ValueScaling, ...]
    water: tuple[int, ...]
    tall: tuple[int, ...]
    marsh: int
    snow_class: int


def view_of(contract: InputContract, recipe: DenseRecipe) -> View:
    """Look up bands and classes once."""
    nm = wavelengths_nm(contract.bands)
    added, through = (torch.from_numpy(a)[:, None, None] for a in standard_atmosphere(nm))
    names = [c.name for c in recipe.classes]
    found = [find_band(contract.bands, colour) - 1 for colour in ("red", "green", "blue")]
    given = recipe.variation
    snow = [_interpolated(_SNOW, wavelength) for wavelength in nm]
    assert contract.value_scaling is not None, "recipes of dense students have one"
    return View(
        added,
        through,
        torch.tensor(snow)[:, None, None],
        torch.tensor([_interpolated(((490.0, 0.0), (842.0, 1.0)), wavelength) for wavelength in nm])[:, None, None],
        torch.tensor([_interpolated(_SEDIMENT, wavelength) for wavelength in nm])[:, None, None],
        found[0],
        find_band(contract.bands, "nir") - 1,
        tuple(place for place in found if place >= 0),
        contract.value_scaling.of_bands(len(contract.bands)),
        tuple(names.index(name) for name in given.water_classes),
        tuple(names.index(name) for name in given.tall_classes),
        names.index(given.marsh_class) if given.marsh_share else -1,
        names.index(given.snow_class) if given.snow_share else -1,
    )


def simulate_marsh(
    pixels: Tensor, labels: Tensor, water: Tensor, view: View, recipe: VariationRecipe, generator: Generator
) -> tuple[Tensor, Tensor]:
    """Simulate marsh in parts of some patches: plants, or mud with dead stems, in water, with creeks of open water.

    Both are mixed within the pixel. On land, water comes from `water`; in water, plants come from another patch of the
    batch. Mud is dark and nearly equal in all bands. Some areas are only water, in the shapes and textures of mud, and
    labelled so.

    Parameters
    ----------
    pixels, labels : tensors (N, C, h, w), (N, K, h, w)
    water : tensor (N, C, h, w)
        Patches of open water.
    """
    n, _, height, width = pixels.shape
    chosen = _chance(n, recipe.marsh_share, generator)
    if not chosen.any():
        return pixels, labels
    before, labels_before = pixels, labels
    pixels, labels = pixels.clone(), labels.clone()
    others = torch.randint(n, (n,), generator=generator).tolist()
    for i in torch.nonzero(chosen)[:, 0].tolist():
        draw = torch.rand(13, generator=generator).tolist()
        area, creeks = clouds(2, (height, width), 1.2 + 1.2 * draw[0], generator)
        density, texture = clouds(2, (height, width), 0.7 + 1.7 * draw[9], generator)
        wet = labels_before[i, list(view.water)].sum(0) > 0.5
        plants_here = 1 - labels_before[i, [*view.water, *view.tall]].sum(0) > 0.6
        other = 1 - labels_before[others[i], [*view.water, *view.tall]].sum(0) > 0.6
        all_mud = draw[10] < _ALL_MUD
        flooded = all_mud and draw[12] < _FLOODED
        inside = area + 4 * (draw[1] - 0.4) > 0
        stands = inside & (plants_here | (wet if all_mud else wet & other))
        open_water = torch.where(wet, before[i], water[i])
        plants = torch.where(wet, before[others[i]], before[i]) * (0.25 + 0.75 * draw[2])
        if view.near_infrared >= 0:
            plants[view.near_infrared] *= 1 - 0.7 * draw[3]  # dead stems
        slope = -0.35 - 0.4 * draw[7] if flooded else 1.1 * draw[7]
        mud = (250 + 700 * draw[6] ** 2) * (1 + 0.2 * draw[11] * texture) * (1 + slope * view.redness)
        plants = torch.lerp(plants, mud.clamp_min(60), 1.0 if all_mud else draw[8])
        least = 0.8 if all_mud else 0.2
        share = least + (0.95 - least) * torch.sigmoid(0.5 * density + 3 * (draw[4] - 0.4))
        creek = stands & (creeks.abs() < 0.12 * draw[5])
        marsh = stands & ~creek
        mixed = share * plants + (1 - share) * open_water
        pixels[i] = torch.where(marsh, mixed, torch.where(creek, open_water, pixels[i]))
        still_water = (creek & wet) | (marsh & wet if flooded else creek & wet)
        labels[i] = labels[i] * ~(stands & ~still_water)
        if not flooded:
            labels[i, view.marsh] += marsh
        new_water = stands & ~wet if flooded else creek & ~wet
        for code in view.water:
            labels[i, code] += new_water / len(view.water)
    return pixels, labels


def simulate_snow(
    pixels: Tensor, labels: Tensor, view: View, recipe: VariationRecipe, generator: Generator
) -> tuple[Tensor, Tensor]:
    """Cover some patches with snow, thinner under tall objects, none on water; half-covered pixels get no label."""
    n, _, height, width = pixels.shape
    chosen = _chance(n, recipe.snow_share, generator)
    if not chosen.any():
        return pixels, labels
    pixels, labels = pixels.clone(), labels.clone()
    for i in torch.nonzero(chosen)[:, 0].tolist():
        draw = torch.rand(4, generator=generator).tolist()
        cover, light = clouds(2, (height, width), 0.8 + 0.8 * draw[0], generator)
        lies = torch.sigmoid(3 * cover + 5 * (draw[1] - 0.3))
        lies = lies * (1 - labels[i, list(view.tall)].sum(0) * (0.5 + 0.5 * draw[2]))
        lies = lies * (1 - labels[i, list(view.water)].sum(0))
        bright = (1 + 0.12 * light) * (0.5 + 0.45 * draw[3])
        pixels[i] = lies * bright * _BRIGHTEST * view.snow + (1 - lies) * pixels[i]
        labels[i] = labels[i] * (lies < 0.3)
        labels[i, view.snow_class] += lies > 0.45
    return pixels, labels


def make_turbid(pixels: Tensor, labels: Tensor, view: View, recipe: VariationRecipe, generator: Generator) -> Tensor:
    """Put sediment and waves into the water of some patches.

    Sediment is brighter in the visible, a little in the near infrared; waves reflect the sky, equally in all bands.
    """
    n, _, height, width = pixels.shape
    chosen = _chance(n, recipe.turbid_share, generator)
    amount = torch.rand(n, generator=generator) * chosen
    drift = torch.sigmoid(2 * clouds(n, (height, width), 1.3, generator)) * amount[:, None, None]
    water = labels[:, list(view.water)].sum(1) * chosen[:, None, None]
    waves = clouds(n, (height, width), 0.4, generator) * _WAVES * torch.rand((n, 1, 1), generator=generator) ** 2
    return pixels + (water * drift)[:, None] * view.sediment + (water * waves)[:, None]


def change_season(pixels: Tensor, view: View, recipe: VariationRecipe, generator: Generator) -> Tensor:
    """Reduce the greenness of plants in some patches by up to `season`: brown in the visible, less near infrared."""
    n = len(pixels)
    if view.near_infrared < 0 or len(view.visible) < 3:
        return pixels
    strength = recipe.season * torch.rand((n, 1, 1, 1), generator=generator)
    strength = strength * _chance(n, recipe.season_share, generator)[:, None, None, None]
    red, nir = (pixels[:, band : band + 1] for band in (view.red, view.near_infrared))
    lost = strength * ((nir - red) / (nir + red + 1)).clamp(0, 1)
    brown = pixels[:, list(view.visible)].mean(dim=1, keepdim=True) * 1.1
    out = pixels.clone()
    for band, factor in zip(view.visible, (1.25, 1.0, 0.75), strict=True):
        own = pixels[:, band : band + 1]
        out[:, band : band + 1] = own * (1 - lost) + lost * brown * factor
    out[:, view.near_infrared : view.near_infrared + 1] = nir * (1 - 0.5 * lost)
    return out


def change_scale(
    pixels: Tensor, labels: Tensor, recipe: VariationRecipe, generator: Generator
) -> tuple[Tensor, Tensor]:
    """Resample a batch, at random, to a side between exp(-scale) and exp(scale) times its own."""
    turn, amount = torch.rand(2, generator=generator).tolist()
    if turn >= recipe.scale_share:
        return pixels, labels
    side = pixels.shape[-1] * math.exp(recipe.scale * (2 * amount - 1))
    size = max(STRIDE_PX, round(side / STRIDE_PX) * STRIDE_PX)
    resized = [F.interpolate(t, size=(size, size), mode="bilinear", align_corners=False) for t in (pixels, labels)]
    return resized[0], resized[1]


def put_under_air(pixels: Tensor, view: View, recipe: VariationRecipe, generator: Generator) -> Tensor:
    """Add a random atmosphere to surface reflectance; change gain and noise. The result is not negative."""
    n, bands = pixels.shape[:2]

    def normal(*shape: int) -> Tensor:
        return torch.randn((n, *shape, 1, 1), generator=generator)

    amount = _chance(n, recipe.air_share, generator) * (0.5 + torch.rand(n, generator=generator))
    amount = amount[:, None, None, None] + 0.1 * normal(1) * (recipe.air_share > 0)
    tint = 1 + recipe.air_tint * normal(bands)
    seen = pixels * (1 - (1 - view.transmittance) * amount) + view.path_radiance * tint * amount
    seen = seen * torch.exp(recipe.gain * normal(1) + recipe.band_gain * normal(bands))
    noise = recipe.noise * torch.rand((n, 1, 1, 1), generator=generator)
    return (seen + noise * torch.randn(seen.shape, generator=generator)).clamp_min(0)


def seen_as_bytes(pixels: Tensor, view: View, recipe: VariationRecipe, generator: Generator) -> Tensor:
    """Stretch reflectance to 0..255 according to the contract, or some patches like pictures."""
    low, slope, first, last = (
        torch.tensor([getattr(one, name) for one in view.scaling])[:, None, None]
        for name in ("minimum", "slope", "output_minimum", "output_maximum")
    )
    high = low + (last - first) / slope
    out = (first + slope * (pixels - low)).clamp(0, 255)
    chosen = _chance(len(pixels), recipe.stretch_share, generator)
    for i in torch.nonzero(chosen)[:, 0].tolist():
        tail, together, strength = torch.rand(3, generator=generator).tolist()
        ends = torch.tensor([0.02 * tail**2, 1 - 0.02 * tail**2])
        thinned = pixels[i].flatten(1)[:, ::7]
        if together < 0.5:
            a, z = (q[:, None, None] for q in torch.quantile(thinned, ends, dim=1))
        else:
            a, z = torch.quantile(thinned.flatten(), ends)
        a, z = low + (a - low) * strength, high + (z - high) * strength
        out[i] = (255 * (pixels[i] - a) / (z - a).clamp_min(50)).clamp(0, 255)
    return out


def clouds(count: int, shape: tuple[int, int], exponent: float, generator: Generator) -> Tensor:
    """Draw smooth random fields (count, h, w) of mean 0 and standard deviation 1; amplitudes fall as 1 / f^exponent."""
    height, width = shape
    frequency = torch.hypot(torch.fft.fftfreq(height)[:, None], torch.fft.rfftfreq(width)[None])
    frequency[0, 0] = math.inf
    spectrum = torch.fft.rfft2(torch.randn((count, height, width), generator=generator)) / frequency**exponent
    fields = torch.fft.irfft2(spectrum, s=(height, width))
    scaled: Tensor = fields / fields.std(dim=(1, 2), keepdim=True)
    return scaled


def _chance(count: int, share: float, generator: Generator) -> Tensor:
    """Draw which of `count` patches are changed, as float 0 or 1."""
    return (torch.rand(count, generator=generator) < share).float()


def _interpolated(points: tuple[tuple[float, float], ...], at: float) -> float:
    import numpy as np

    xs, ys = zip(*points, strict=True)
    return float(np.interp(at, xs, ys))
