"""Warnings about a scene's values, before it is mapped. Pure: no file is opened here."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geokd.scenes.collars import Collar
from geokd.scenes.plan import ScenePlan
from geokd.scenes.scaling import to_reflectance, to_uint8
from geokd.scenes.sensors import LANDSAT_OLI, LANDSAT_TM, SENTINEL_2

_BASELINE_OFFSET_DN = 1000
_SNOW_DN = 5000  # more than half of a Sentinel-2 scene is hardly as bright
_LANDSAT_DN = 5000  # reflectance 0 in Landsat Collection 2 is a DN of 5,000 (level 1) or 7,273 (level 2)
_DARKEST = 1.0  # percent of the values that may be lower: a few dark or broken pixels are ignored
_MOST_BELOW_ZERO = 0.2  # share of values with a reflectance below 0
_LEAST_ZEROS = 0.01
_BRIGHT, _LEAST_BRIGHT = 99.0, 1000.0  # percent of the values, and what they reach where there is land: 0.1
_FULL_SCALES = {65_535: 0.1526, 32_768: 0.3052}  # DN of a reflectance of 1, and their --value-scale
_IMAGE_VALUES = 0.2  # share of an alpha band that is neither 0 nor its highest value, above which it is not a mask


@dataclass(frozen=True, eq=False)
class Look:
    """Pixels from all over a scene.

    Parameters
    ----------
    values : array (C, n)
        DN of the valid ones.
    pixels : int
        Number of sampled pixels.
    collars : tuple of Collar
    alpha : array (n,) or None
        Values of the alpha band.
    """

    values: NDArray[Any]
    pixels: int
    collars: tuple[Collar, ...] = ()
    alpha: NDArray[Any] | None = None


def unusual(plan: ScenePlan, look: Look, sensor: str | None, visible: tuple[int, ...], *, known: bool) -> Iterator[str]:
    """Yield what is unusual.

    Parameters
    ----------
    plan : ScenePlan
    look : Look
    sensor : str or None
        See :mod:`geokd.scenes.sensors`.
    visible : tuple of int
        Which of the bands, from 0, are not near infrared, in which water is dark.
    known : bool
        Whether the meaning of DN is known.
    """
    values = look.values
    yield from unusual_fill(plan, look)
    if values.shape[1] == 0:
        yield "the scene has no valid pixel"
        return
    if not plan.declares_nodata:
        values = values[:, (values != 0).any(axis=0)]
    if plan.scaling is not None and values.size:
        yield from _offsets(plan, values, values[list(visible)], sensor, known=known)
    yield from _ends_of_stretch(plan, values, known=known)


def unusual_fill(plan: ScenePlan, look: Look) -> Iterator[str]:
    """Yield what is unusual in the marking of missing pixels: an alpha band with an image, undeclared fill."""
    yield from _wrong_alpha(look)
    if not plan.declares_nodata and look.values.shape[1]:
        yield from _undeclared(look)


def _wrong_alpha(look: Look) -> Iterator[str]:
    """Warn of an alpha band with an image, such as a near-infrared band that a program marked as alpha."""
    if look.alpha is None or look.alpha.size == 0:
        return
    between = float(((look.alpha > 0) & (look.alpha < look.alpha.max())).mean())
    if between > _IMAGE_VALUES and len(np.unique(look.alpha)) > 16:
        yield (
            "its alpha band has many different values, like an image and unlike a mask; if it is a near"
            " infrared, mark it with gdal_edit.py -colorinterp_4 undefined (with the number of the band)"
        )


def _undeclared(look: Look) -> Iterator[str]:
    """Warn of fill without a declared nodata value."""
    zero = float((look.values == 0).all(axis=0).sum()) / look.pixels
    if zero >= _LEAST_ZEROS:
        yield (
            f"{100 * zero:.0f} % of the pixels are 0 in all bands but no nodata value is declared;"
            " if they are fill, give --nodata 0"
        )
    yield from (str(collar) for collar in look.collars if collar.value != 0 or zero < _LEAST_ZEROS)


def _offsets(
    plan: ScenePlan, values: NDArray[Any], visible: NDArray[Any], sensor: str | None, *, known: bool
) -> Iterator[str]:
    """Warn of an offset that seems to be forgotten, or subtracted twice."""
    darkest = float(np.percentile(visible, _DARKEST))
    if min(plan.value_offsets) < 0:
        below = float((to_reflectance(values, plan.value_scales, plan.value_offsets) < 0).mean())
        if below > _MOST_BELOW_ZERO:
            yield (
                f"{100 * below:.0f} % of the values have a reflectance below 0; if the offset was subtracted already,"
                " give --value-offset 0"
            )
    elif known or any(plan.value_offsets):
        return
    elif darkest >= _LANDSAT_DN and sensor in (None, LANDSAT_OLI, LANDSAT_TM):
        yield (
            f"{100 - _DARKEST:.0f} % of the values are above {darkest:,.0f} DN, as in Landsat Collection 2 level 2;"
            " if this is one, give --value-scale 0.275 --value-offset -2000, or the folder of the product"
        )
    elif darkest >= _BASELINE_OFFSET_DN and sensor in (None, SENTINEL_2) and np.median(values) < _SNOW_DN:
        yield (
            f"hardly any pixel is below {_BASELINE_OFFSET_DN} DN: Sentinel-2 products of processing baseline 04.00 and"
            f" later are offset by +{_BASELINE_OFFSET_DN}; if this is one, give --value-offset -{_BASELINE_OFFSET_DN}"
        )


def _ends_of_stretch(plan: ScenePlan, values: NDArray[Any], *, known: bool) -> Iterator[str]:
    """Warn of values that the stretch to bytes clips, or that are darker than any land."""
    made_by = "how they were stretched to 8 bits" if plan.scaling is None else "--value-scale and --value-offset"
    stretched = to_uint8(values, plan.value_scales, plan.value_offsets, plan.scaling)
    counts = plan.scaling is not None and not known
    if values.size and (values == values[:, :1]).all():
        yield "all valid pixels have the same value: the scene has no content"
    elif stretched.size and (stretched == 255).mean() > 0.5:
        full = "; ".join(
            f"--value-scale {scale} for {dn:,} as a reflectance of 1" for dn, scale in _FULL_SCALES.items()
        )
        scales = f" ({full})" if counts and values.dtype == np.uint16 else ""
        yield f"more than half of the values are at the upper end of the stretch; check {made_by}{scales}"
    elif stretched.size and np.median(stretched) < 5:
        yield f"most values are at the lower end of the stretch, the scene is nearly black; check {made_by}"
    elif counts and values.size:
        bright = float(np.percentile(to_reflectance(values, plan.value_scales, plan.value_offsets), _BRIGHT))
        if bright < _LEAST_BRIGHT:
            yield (
                f"{_BRIGHT:.0f} % of the values are below a reflectance of {bright / 1e4:.2g}, as over water alone; if"
                " there is land, they are not reflectance x 10,000 but counts or radiance of a sensor: give"
                " --value-scale and --value-offset"
            )
