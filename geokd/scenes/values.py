"""What the values of a scene mean, and how they become what a student sees. Pure: no file is opened here."""

import math
import shlex
from dataclasses import dataclass

from geokd.errors import SceneError
from geokd.model.contract import InputContract, ValueScaling
from geokd.scenes.options import SceneOptions
from geokd.scenes.scene_info import SceneInfo


@dataclass(frozen=True)
class ValueChoice:
    """How DN become bytes: scale and offset to reflectance x 10,000, the stretch, and a sentence that says so.

    Parameters
    ----------
    scale, offset : float
        Reflectance x 10,000 = DN * scale + offset.
    scaling : ValueScaling or None
        None: bytes pass through.
    note : str
    warning : str
        What may be wrong with it, or empty.
    """

    scale: float
    offset: float
    scaling: ValueScaling | None
    note: str
    warning: str = ""


def choose_values(
    info: SceneInfo, contract: InputContract, options: SceneOptions, bidx: tuple[int, ...]
) -> ValueChoice:
    """Decide how DN become bytes.

    Scale and offset are each the user's; else those of the product's metadata, or of the file's scale and offset tags;
    else what processing baseline or sensor tell, by tags or names; else 1 and 0.

    Raises
    ------
    SceneError
        If the type of the values leaves it open, or does not fit.
    """
    scaling = contract.value_scaling
    if info.dtype.startswith("complex"):
        raise SceneError(f"its values are {info.dtype}; take a product with real values")
    if info.dtype == "uint8" and (scaling is None or not values_are_known(info, options, bidx)):
        return _bytes_as_they_are(info, contract, options, bidx)
    if scaling is None:
        raise SceneError(
            f"its values are {info.dtype}, the model takes 8-bit values; stretch it with gdal_translate -ot Byte -scale"
            f" {shlex.quote(info.path)} bytes.tif"
        )
    scale, offset, why, warning = _reflectance(info, options, bidx)
    if not (math.isfinite(scale) and math.isfinite(offset) and scale > 0):
        raise SceneError(
            f"value scale {scale:g} must be positive and value offset {offset:g} finite; say what holds by"
            " --value-scale and --value-offset"
        )
    note = (
        f"reflectance x 10,000 = DN x {scale:g} {'-' if offset < 0 else '+'} {abs(offset):g}, {why}; it is stretched"
        f" from {scaling}"
    )
    return ValueChoice(scale, offset, scaling, note, warning)


def values_are_known(info: SceneInfo, options: SceneOptions, bidx: tuple[int, ...]) -> bool:
    """Whether options, metadata, tags or names tell what DN mean."""
    tagged = any((info.scales[b - 1], info.offsets[b - 1]) != (1.0, 0.0) for b in bidx)
    return bool(_said(options)) or tagged or info.told_values is not None


def _bytes_as_they_are(
    info: SceneInfo, contract: InputContract, options: SceneOptions, bidx: tuple[int, ...]
) -> ValueChoice:
    """Pass bytes through.

    Raises
    ------
    SceneError
        If the user says what they are, but the model takes no reflectance.
    """
    said, scaling = _said(options), contract.value_scaling
    if said:
        raise SceneError(
            f"the model takes 8-bit values as they are, so {' and '.join(said)} cannot hold; leave that out,"
            " or change the values of the file"
        )
    note = "8-bit values are taken as they are"
    if scaling is not None:
        note += f", as a true-colour picture stretched like the chips (reflectance x 10,000 of {scaling})"
    elif values_are_known(info, options, bidx):
        note += "; the scale and offset of its tags or product are not used, since the model takes no reflectance"
    return ValueChoice(1.0, 0.0, None, note)


def _said(options: SceneOptions) -> list[str]:
    """Return the options by which the user says what the values are."""
    given = {"--value-scale": options.value_scale, "--value-offset": options.value_offset}
    return [name for name, value in given.items() if value is not None]


def _reflectance(info: SceneInfo, options: SceneOptions, bidx: tuple[int, ...]) -> tuple[float, float, str, str]:
    """Return scale and offset from DN to reflectance x 10,000, by what they were decided, and a warning or "".

    Raises
    ------
    SceneError
        If the file's tags leave it open.
    """
    said = _said(options)
    tag_scale, tag_offset = _tags(info, options, bidx)
    has_tags = (tag_scale, tag_offset) != (1.0, 0.0)
    told = None if has_tags else info.told_values
    if info.dtype.startswith("float") and not has_tags and told is None and options.value_scale is None:
        raise SceneError(
            f"its values are {info.dtype} without scale tags, so their unit is unknown; give --value-scale 10000 for"
            " reflectance 0..1, or --value-scale 1 for reflectance x 10,000"
        )
    scale, offset = (tag_scale * 1e4, tag_offset * 1e4) if has_tags else (1.0, 0.0)  # tags give reflectance
    if told is not None:
        scale, offset = told.scale, told.offset
    scale = scale if options.value_scale is None else options.value_scale
    offset = offset if options.value_offset is None else options.value_offset
    reasons = [f"as {' and '.join(said)} say{'s' * (len(said) == 1)}"] if said else []
    if len(said) < 2 and has_tags:
        told_by = info.product.values_from if info.product is not None else ""
        reasons.append(f"by {told_by or 'the file' + chr(39) + 's scale and offset tags'}")
    elif len(said) < 2 and told is not None:
        reasons.append(f"by {told.why}")
    warning = told.warning if told is not None and not said else ""
    return scale, offset, " and ".join(reasons) or "the default, since the file states no scale or offset", warning


def _tags(info: SceneInfo, options: SceneOptions, bidx: tuple[int, ...]) -> tuple[float, float]:
    """Return the scale and offset that the metadata give for all bands that are read.

    Raises
    ------
    SceneError
        If they differ, or are no numbers, and the user does not say what holds.
    """
    said = _said(options)
    tagged = {(info.scales[b - 1], info.offsets[b - 1]) for b in bidx}
    if not all(math.isfinite(tag) for tags in tagged for tag in tags):
        if len(said) < 2:
            raise SceneError(
                "its scale and offset tags are no finite numbers; state the right ones with --value-scale and"
                " --value-offset"
            )
        tagged = {(1.0, 0.0)}
    if len(tagged) > 1 and len(said) < 2:
        raise SceneError(
            "its bands have different scale and offset tags; state the right ones with --value-scale and --value-offset"
        )
    return next(iter(tagged))
