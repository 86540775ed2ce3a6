"""Augmentation of training chips, in batches, on any device. Pure functions of tensors and a generator.

All take and return float tensors (N, C, H, W) in byte steps, 0..255.
"""

import math
from dataclasses import dataclass

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from geokd.scenes.bands import HAZE
from geokd.training.recipe import AugmentationRecipe

VIEWS = 8
MIXTURES = 2  # rounds, so that up to four land uses meet in a chip
_SPOT = torch.tensor(
    [[[[0.05, 0.2, 0.05], [0.25, 1.0, 0.25], [0.05, 0.2, 0.05]]]]
)  # how a whitecap spreads over pixels
_RED_NM, _BLUE_NM = 665.0, 490.0
_AIR_BLUE, _AIR_EXPONENT = 65.0, 2.5  # path radiance in EuroSAT's stretch, from its darkest forests and waters


@dataclass(frozen=True, eq=False)
class Traits:
    """Properties of classes and bands for the augmentation. The last of K + 1 is for chips without a label (-1).

    Parameters
    ----------
    water : bool tensor (K + 1,)
        The recipe's `water_classes`: their surface may be roughened.
    unmixed : bool tensor (K + 1,)
        The recipe's `unmixed_classes`: their chips stay whole.
    stripes : bool tensor (K + 1,)
        The recipe's `strip_classes`: every other strip in the mixtures is of them.
    wavelengths_nm : float tensor (C,)
        Centres of the bands.
    """

    water: Tensor
    unmixed: Tensor
    stripes: Tensor
    wavelengths_nm: Tensor


def dihedral(pixels: Tensor, views: Tensor) -> Tensor:
    """Turn each chip into one of its 8 dihedral views: view v is v % 4 quarter turns, mirrored first if v >= 4.

    Parameters
    ----------
    pixels : tensor (N, C, H, H), any dtype
    views : int64 tensor (N,), 0..7
    """
    n, channels, side, _ = pixels.shape
    plain = torch.arange(side * side, device=pixels.device).reshape(1, side, side)
    places = torch.cat([torch.rot90(plain.flip(2) if v >= 4 else plain, v % 4, (1, 2)) for v in range(VIEWS)])
    taken = places.flatten(1)[views][:, None].expand(n, channels, side * side)
    return pixels.flatten(2).gather(2, taken).reshape(pixels.shape)


def augment(
    pixels: Tensor, labels: Tensor, traits: Traits, recipe: AugmentationRecipe, generator: Generator
) -> tuple[Tensor, Tensor | None]:
    """Vary surface, scale, surroundings and radiometry like other scenes.

    Parameters
    ----------
    pixels : float tensor (N, C, H, W), 0..255
    labels : int64 tensor (N,)
    traits : Traits
    recipe : AugmentationRecipe
    generator : torch.Generator
        On the device of `pixels`.

    Returns
    -------
    pixels : float tensor (N, C, H, W), 0..255
    shares : float tensor (N, N) or None
        In row n, the share of each chip of the batch in chip n (see :func:`area_shares`); None if chips are not mixed.
    """
    if recipe.water_share > 0:
        rough = traits.water[labels] & (_uniform(len(pixels), pixels, generator) < recipe.water_share)
        if rough.any():
            pixels = pixels.clone()
            pixels[rough] = roughen_water(pixels[rough], generator)
    if recipe.zoom > 0:
        pixels = zoom(pixels, recipe.zoom, generator)
    shares = None
    if recipe.mix_share > 0:
        n, _, height, width = pixels.shape
        mixable, stripes = ~traits.unmixed[labels], traits.stripes[labels] & ~traits.unmixed[labels]
        origins = torch.arange(n, device=pixels.device)[:, None, None, None].expand(n, 1, height, width)
        for _ in range(MIXTURES):
            pixels, origins = mix(pixels, origins, mixable, stripes, recipe.mix_share, generator)
        shares = area_shares(origins, recipe.mix_focus)
    if recipe.mixup_share > 0:
        before = torch.eye(len(pixels), device=pixels.device) if shares is None else shares
        pixels, shares = mixup(pixels, before, ~traits.unmixed[labels], recipe.mixup_share, generator)
    if recipe.share > 0:
        changed = _uniform(len(pixels), pixels, generator) < recipe.share
        varied = radiometry(pixels, traits.wavelengths_nm, recipe, generator)
        pixels = torch.where(changed[:, None, None, None], varied, pixels)
    return pixels.clamp(0, 255), shares


def zoom(pixels: Tensor, amount: float, generator: Generator) -> Tensor:
    """Scale each chip about a random centre by a factor within 1/(1 + amount) .. 1 + amount; outside is mirrored."""
    n = len(pixels)
    factor = torch.exp(math.log1p(amount) * _symmetric(n, pixels, generator))
    theta = torch.zeros(n, 2, 3, device=pixels.device)
    theta[:, 0, 0] = theta[:, 1, 1] = factor
    slack = (1 - factor).abs()
    theta[:, 0, 2] = slack * _symmetric(n, pixels, generator)
    theta[:, 1, 2] = slack * _symmetric(n, pixels, generator)
    grid = F.affine_grid(theta, list(pixels.shape), align_corners=False)
    return F.grid_sample(pixels, grid, mode="bilinear", padding_mode="reflection", align_corners=False)


def mix(
    pixels: Tensor, origins: Tensor, mixable: Tensor, stripes: Tensor, share: float, generator: Generator
) -> tuple[Tensor, Tensor]:
    """Replace a part, up to half, of some chips with the same part of another, like adjacent land uses in a scene.

    The part lies below a contour of a random slope or, in every other chip, a random valley, plus smooth random relief:
    a side or a strip, its borders from straight to winding. The contour is set so that the part has the share of the
    area that was drawn.

    Parameters
    ----------
    pixels : float tensor (N, C, H, W)
    origins : int64 tensor (N, 1, H, W)
        Which chip of the batch each pixel comes from; it is mixed along.
    mixable : bool tensor (N,)
        Chips that receive and give parts.
    stripes : bool tensor (N,)
        Mixable chips, if any, that every other strip comes from.
    share : float
        Share of the mixable chips that receive a part.
    generator : torch.Generator
    """
    n, _, height, width = pixels.shape
    candidates = mixable.nonzero().squeeze(1)
    shuffled = torch.randperm(len(candidates), generator=generator, device=pixels.device)
    partners = torch.arange(n, device=pixels.device)
    partners[candidates] = candidates[shuffled]
    strip = _uniform(n, pixels, generator) < 0.5
    givers = stripes.nonzero().squeeze(1)
    if len(givers):
        drawn = givers[torch.randint(len(givers), (n,), generator=generator, device=pixels.device)]
        often = _uniform(n, pixels, generator) < 0.5
        partners = torch.where(strip & often & mixable, drawn, partners)
    areas = 0.5 * _uniform(n, pixels, generator) * (mixable & (_uniform(n, pixels, generator) < share))
    angle = 2 * math.pi * _uniform(n, pixels, generator)
    coarse = torch.randn((n, 1, 5, 5), generator=generator, device=pixels.device)
    winding = _uniform(n, pixels, generator)
    middle = 0.7 * _symmetric(n, pixels, generator)

    taking = areas.nonzero().squeeze(1)  # the others, mostly the majority, do not change
    angle, winding, middle, strip = (values[taking, None, None] for values in (angle, winding, middle, strip))
    rows = torch.linspace(-1, 1, height, device=pixels.device)[:, None]
    cols = torch.linspace(-1, 1, width, device=pixels.device)[None, :]
    relief = F.interpolate(coarse[taking], size=(height, width), mode="bicubic", align_corners=True)[:, 0]
    slope = rows * torch.sin(angle) + cols * torch.cos(angle)
    surface = (1 - winding) * torch.where(strip, (slope - middle).abs(), slope) + winding * relief
    lowest_first = surface.flatten(1).argsort(dim=1)
    counts = (areas[taking] * height * width).round()[:, None]
    below = torch.arange(height * width, device=pixels.device)[None] < counts
    part = torch.zeros_like(below).scatter(1, lowest_first, below).reshape(-1, 1, height, width)

    def put_in(values: Tensor) -> Tensor:
        return values.index_copy(0, taking, torch.where(part, values[partners[taking]], values[taking]))

    return put_in(pixels), put_in(origins)


def mixup(pixels: Tensor, shares: Tensor, mixable: Tensor, share: float, generator: Generator) -> tuple[Tensor, Tensor]:
    """Blend another chip into some, with a weight drawn evenly from 0 to 1/2 (Zhang et al. 2018, arXiv 1710.09412).

    Parameters
    ----------
    pixels : float tensor (N, C, H, W)
    shares : float tensor (N, N)
        In row n, the share of each chip of the batch in chip n; it is blended, too.
    mixable : bool tensor (N,)
        Chips that receive and give.
    share : float
        Share of the mixable chips that receive another.
    generator : torch.Generator
    """
    n = len(pixels)
    candidates = mixable.nonzero().squeeze(1)
    partners = torch.arange(n, device=pixels.device)
    partners[candidates] = candidates[torch.randperm(len(candidates), generator=generator, device=pixels.device)]
    weights = 0.5 * _uniform(n, pixels, generator) * (mixable & (_uniform(n, pixels, generator) < share))
    blended = torch.lerp(pixels, pixels[partners], weights[:, None, None, None])
    return blended, torch.lerp(shares, shares[partners], weights[:, None])


def area_shares(origins: Tensor, focus: float) -> Tensor:
    """Share of each chip of a batch in each mixed chip: of the area, or of a window around the centre.

    Parameters
    ----------
    origins : int64 tensor (N, 1, H, W)
        Which chip of the batch each pixel is of.
    focus : float
        0 counts all pixels equally; else they are weighted with a Gaussian around the centre, with this standard
        deviation as a fraction of the side.

    Returns
    -------
    float tensor (N, N), rows that sum to 1
    """
    n, _, height, width = origins.shape
    weights = torch.ones((height, width), device=origins.device)
    if focus > 0:
        rows = torch.linspace(-0.5, 0.5, height, device=origins.device)[:, None] / focus
        cols = torch.linspace(-0.5, 0.5, width, device=origins.device)[None, :] / focus
        weights = torch.exp(-0.5 * (rows**2 + cols**2))
    weights = (weights / weights.sum()).flatten().expand(n, -1)
    return torch.zeros((n, n), device=origins.device).scatter_add(1, origins.flatten(1), weights)


def radiometry(pixels: Tensor, wavelengths_nm: Tensor, recipe: AugmentationRecipe, generator: Generator) -> Tensor:
    """Change each chip (of bands at the wavelengths (C,)) like sensor, sun and atmosphere.

    In this order: blur, contrast, path radiance, gamma, gain, band gain, offset, haze, noise. Path radiance, the light
    scattered by the atmosphere towards the sensor, falls with wavelength^-e, e from 1.3 (aerosol) to 4 (molecules,
    Rayleigh); a correction to surface reflectance removes it. The signal of the ground is weaker in winter: that is
    contrast. Haze mixes in a bright, slightly blue colour; noise is half white, half correlated over about 2 px.
    """
    n, channels = pixels.shape[:2]
    wavelengths = wavelengths_nm[:, None, None]

    def each(amount: float, size: int = 1) -> Tensor:
        return amount * _symmetric(n * size, pixels, generator).reshape(n, size, 1, 1)

    pixels = _blur(pixels, recipe.blur_px * _uniform(n, pixels, generator))
    if recipe.contrast > 0:
        air = _AIR_BLUE * (_BLUE_NM / wavelengths) ** _AIR_EXPONENT
        factor = 1 + recipe.contrast * (1 - 4 * _uniform(n, pixels, generator))[:, None, None, None] / 3
        pixels = (air + factor * (pixels - air)).clamp_min(0)
    if recipe.path_radiance > 0:
        exponent = 1.3 + 2.7 * _uniform(n, pixels, generator)[:, None, None, None]
        amount = recipe.path_radiance * (0.5 - 1.5 * _uniform(n, pixels, generator))[:, None, None, None]
        pixels = (pixels + amount * (_BLUE_NM / wavelengths) ** exponent).clamp_min(0)
    pixels = 255 * (pixels / 255).clamp_min(1e-6) ** torch.exp(each(recipe.gamma))
    pixels = pixels * torch.exp(each(recipe.gain) + each(recipe.band_gain, channels)) + each(recipe.offset)
    blueness = ((_RED_NM - wavelengths) / (_RED_NM - _BLUE_NM)).clamp(0, 1)
    veil = HAZE[0] + (HAZE[1] - HAZE[0]) * blueness
    pixels = torch.lerp(pixels, veil.expand_as(pixels), each(recipe.haze).clamp_min(0).expand_as(pixels))
    white = torch.randn(pixels.shape, generator=generator, device=pixels.device)
    smooth = 2 * F.avg_pool2d(F.pad(white, (1, 1, 1, 1), mode="circular"), 3, stride=1)
    amount = recipe.noise * _uniform(n, pixels, generator)[:, None, None, None]
    return pixels + amount * (white + smooth) / math.sqrt(2)


def roughen_water(pixels: Tensor, generator: Generator) -> Tensor:
    """Simulate a wind-roughened sea on chips of smooth water.

    A multispectral scanner records waves as a directional field of brightness, each band a little later than the one
    before, so that the waves have moved along their direction (the effect wave-celerity retrievals use, e.g. Bergsma
    et al. 2019, Remote Sensing 11, 1918); in strong wind whitecaps stand out as small bright spots. The field is
    white noise through a directional band-pass of 0.06-0.3 cycles/px, its other amounts drawn per chip.
    """
    n, channels, height, width = pixels.shape

    def draw(low: float, high: float) -> Tensor:
        return (low + (high - low) * _uniform(n, pixels, generator))[:, None, None]

    fy = torch.fft.fftfreq(height, device=pixels.device)[:, None]
    fx = torch.fft.fftfreq(width, device=pixels.device)[None, :]
    direction = draw(0, 2 * math.pi)
    along = fx * torch.cos(direction) + fy * torch.sin(direction)
    radius = torch.sqrt(fx**2 + fy**2)
    centre, spread = draw(0.06, 0.30), draw(0.02, 0.12)
    ring = torch.exp(-0.5 * ((radius - centre) / spread) ** 2)
    focus = (along / radius.clamp_min(1e-6)).abs() ** draw(0, 6)
    spectrum = torch.fft.fft2(torch.randn((n, height, width), generator=generator, device=pixels.device)) * ring * focus
    delay_px = draw(0.0, 1.5)
    bands = []
    for band in range(channels):
        shifted = spectrum * torch.exp(-2j * math.pi * along * delay_px * band)
        bands.append(torch.fft.ifft2(shifted).real)
    waves = torch.stack(bands, dim=1)
    waves = waves / waves.std(dim=(1, 2, 3), keepdim=True).clamp_min(1e-6)
    amplitude = draw(0.5, 4.0)[:, None]
    brightness = draw(-5, 45)[:, None]  # sun glint and spray: a wind-roughened sea is brighter than a smooth one

    windy = draw(0, 1) < 0.6
    seeds = torch.rand((n, height, width), generator=generator, device=pixels.device)
    caps = (seeds < draw(0, 0.015) * windy).float() * draw(8, 70) * (0.3 + seeds.flip(2))
    caps = F.conv2d(caps[:, None], _SPOT.to(pixels.device), padding=1)
    return (pixels + brightness + amplitude * waves + caps).clamp(0, 255)


def _blur(pixels: Tensor, sigma_px: Tensor) -> Tensor:
    """Gaussian blur of radius 2 px, each chip with its own standard deviation (N,)."""
    n, channels, height, width = pixels.shape
    steps = torch.arange(-2, 3, device=pixels.device)
    kernel = torch.exp(-0.5 * (steps / sigma_px.clamp_min(1e-3)[:, None]) ** 2)
    kernel = (kernel / kernel.sum(dim=1, keepdim=True)).repeat_interleave(channels, dim=0)
    flat = F.pad(pixels, (2, 2, 2, 2), mode="reflect").reshape(1, n * channels, height + 4, width + 4)
    flat = F.conv2d(flat, kernel[:, None, :, None], groups=n * channels)
    flat = F.conv2d(flat, kernel[:, None, None, :], groups=n * channels)
    return flat.reshape(pixels.shape)


def _uniform(n: int, like: Tensor, generator: Generator) -> Tensor:
    return torch.rand(n, generator=generator, device=like.device)


def _symmetric(n: int, like: Tensor, generator: Generator) -> Tensor:
    return 2 * _uniform(n, like, generator) - 1
