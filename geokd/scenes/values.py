"""The meaning of a scene's values, and how they become a student's input. Pure: no file is opened here."""

import math
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from geokd.errors import SceneError
from geokd.model.contract import InputContract, ValueScaling
from geokd.scenes.options import SceneOptions
from geokd.scenes.scene_info import SceneInfo
from geokd.scenes.sensors import LANDSAT_OLI, LANDSAT_TM

_ScaleOffset = tuple[float, float]
_UNTAGGED = (1.0, 0.0)


@dataclass(frozen=True)
class ValueChoice:
    """How DN become bytes: scale and offset to reflectance x 10,000, the stretch, and a sentence about them.

    Parameters
    ----------
    scales, offsets : tuple of float
        Of each band that is read: reflectance x 10,000 = DN * scale + offset.
    scaling : ValueScaling or None
        None: bytes pass through.
    note : str
    warning : str
        What may be wrong with it, or empty.
    """

    scales: tuple[float, ...]
    offsets: tuple[float, ...]
    scaling: ValueScaling | None
    note: str
    warning: str = ""


def choose_values(
    info: SceneInfo, contract: InputContract, options: SceneOptions, bidx: tuple[int, ...]
) -> ValueChoice:
    """Decide how DN become bytes.

    Scale and offset are each the user's; else those of the product's metadata, or of the file's scale and offset tags,
    separately for each band; else those of the processing baseline or sensor, found from tags or names; else 1 and 0.

    Raises
    ------
    SceneError
        If the type of the values is ambiguous, or does not fit.
    """
    scaling = contract.value_scaling
    if info.dtype.startswith("complex"):
        raise SceneError(f"its values are {info.dtype}; use a product with real values")
    if info.dtype == "uint8" and (scaling is None or not values_are_known(info, options, bidx)):
        return _bytes_as_they_are(info, contract, options, bidx)
    if scaling is None:
        raise SceneError(
            f"its values are {info.dtype}, the model needs 8-bit values; stretch it with gdal_translate -ot Byte -scale"
            f" {shlex.quote(info.path)} bytes.tif"
        )
    each, why, warning = _reflectance(info, options, bidx)
    for scale, offset in each:
        if not (math.isfinite(scale) and math.isfinite(offset) and scale > 0):
            raise SceneError(
                f"value scale {scale:g} must be positive and value offset {offset:g} finite; set them with"
                " --value-scale and --value-offset"
            )
    note = f"reflectance x 10,000 = {_formula(each, contract.bands)}, {why}; it is stretched from {scaling}"
    scales, offsets = zip(*each, strict=True)
    return ValueChoice(scales, offsets, scaling, note, warning)


def values_are_known(info: SceneInfo, options: SceneOptions, bidx: tuple[int, ...]) -> bool:
    """Whether options, metadata, tags or names give the meaning of DN."""
    tagged = any((info.scales[b - 1], info.offsets[b - 1]) != (1.0, 0.0) for b in bidx)
    return bool(_said(options)) or tagged or info.known_values is not None


def _bytes_as_they_are(
    info: SceneInfo, contract: InputContract, options: SceneOptions, bidx: tuple[int, ...]
) -> ValueChoice:
    """Pass bytes through.

    Raises
    ------
    SceneError
        If the user gives a scale or offset, but the model does not use reflectance.
    """
    said, scaling = _said(options), contract.value_scaling
    if scaling is not None and info.product is not None and info.sensor in (LANDSAT_OLI, LANDSAT_TM):
        raise SceneError(
            "its 8-bit values are DN of a Landsat level 1 product, not a picture; name the folder of the product with"
            " its _MTL.txt, or give --value-scale and --value-offset"
        )
    if said:
        raise SceneError(
            f"the model uses 8-bit values as they are, so {' and '.join(said)} cannot apply; leave that out,"
            " or change the values of the file"
        )
    note = "8-bit values are used as they are"
    if scaling is not None:
        note += f", as a true-colour image stretched like the chips (reflectance x 10,000 of {scaling})"
    elif values_are_known(info, options, bidx):
        note += "; the scale and offset of its tags or product are not used, because the model does not use reflectance"
    return ValueChoice((1.0,) * len(bidx), (0.0,) * len(bidx), None, note)


def _said(options: SceneOptions) -> list[str]:
    """Return the user's options about the values."""
    given = {"--value-scale": options.value_scale, "--value-offset": options.value_offset}
    return [name for name, value in given.items() if value is not None]


def _formula(each: Sequence[_ScaleOffset], bands: Sequence[str]) -> str:
    """Write how DN become reflectance x 10,000, for each band if they differ."""
    formulas = [f"DN x {scale:g} {'-' if offset < 0 else '+'} {abs(offset):g}" for scale, offset in each]
    if len(set(formulas)) == 1:
        return formulas[0]
    return ", ".join(f"{formula} in {band}" for formula, band in zip(formulas, bands, strict=False))


def _reflectance(
    info: SceneInfo, options: SceneOptions, bidx: tuple[int, ...]
) -> tuple[tuple[_ScaleOffset, ...], str, str]:
    """Return scale and offset of each band to reflectance x 10,000, their source, and a warning or "".

    Raises
    ------
    SceneError
        If the file's tags are ambiguous.
    """
    said = _said(options)
    tags = _tags(info, options, bidx)
    has_tags = any(own != _UNTAGGED for own in tags)
    known = None if has_tags else info.known_values
    if info.dtype.startswith("float") and not has_tags and known is None and options.value_scale is None:
        raise SceneError(
            f"its values are {info.dtype} without scale tags, so their unit is unknown; give --value-scale 10000 for"
            " reflectance 0..1, or --value-scale 1 for reflectance x 10,000"
        )
    each = tuple((scale * 1e4, offset * 1e4) if has_tags else (1.0, 0.0) for scale, offset in tags)  # of reflectance
    if known is not None:
        each = ((known.scale, known.offset),) * len(bidx)
    each = tuple(
        (
            scale if options.value_scale is None else options.value_scale,
            offset if options.value_offset is None else options.value_offset,
        )
        for scale, offset in each
    )
    reasons = [f"from {' and '.join(said)}"] if said else []
    if len(said) < 2 and has_tags:
        source = info.product.values_from if info.product is not None else ""
        reasons.append(f"from {source or 'the file' + chr(39) + 's scale and offset tags'}")
    elif len(said) < 2 and known is not None:
        reasons.append(f"from {known.why}")
    warning = known.warning if known is not None and not said else ""
    return each, " and ".join(reasons) or "the default, because the file has no scale or offset", warning


def _tags(info: SceneInfo, options: SceneOptions, bidx: tuple[int, ...]) -> tuple[_ScaleOffset, ...]:
    """Return the scale and offset that the metadata give for each band that is read.

    Raises
    ------
    SceneError
        If some bands have none, or they are not numbers, and the user gives no values.
    """
    tags = tuple((info.scales[b - 1], info.offsets[b - 1]) for b in bidx)
    without = [str(b) for b, own in zip(bidx, tags, strict=True) if own == _UNTAGGED]
    broken = not all(math.isfinite(tag) for own in tags for tag in own)
    if broken or 0 < len(without) < len(bidx):
        if len(_said(options)) == 2:
            return (_UNTAGGED,) * len(bidx)
        what = (
            "its scale and offset tags are not finite numbers"
            if broken
            else f"its bands have scale and offset tags, except band {' and '.join(without)}"
        )
        raise SceneError(f"{what}; give the right ones with --value-scale and --value-offset")
    return tags
