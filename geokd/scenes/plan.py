"""Whether a student can take a scene, and every choice of how to read it. Pure: no file is opened here."""

import math
import shlex
from dataclasses import dataclass

from geokd.errors import SceneError, one_message
from geokd.model.contract import InputContract, ValueScaling
from geokd.scenes.bands import choose_bands
from geokd.scenes.georeferencing import grid_problems
from geokd.scenes.grid import SceneGrid
from geokd.scenes.scene_info import SceneInfo


@dataclass(frozen=True)
class SceneOptions:
    """What the user says of a scene; None leaves it to the file.

    Parameters
    ----------
    bidx : tuple of int or None
        Bands to use, 1-based, in the contract's order.
    value_scale, value_offset : float or None
        Reflectance x 10,000 = DN * value_scale + value_offset.
    nodata : float or None
        Value that marks missing pixels.
    """

    bidx: tuple[int, ...] | None = None
    value_scale: float | None = None
    value_offset: float | None = None
    nodata: float | None = None


@dataclass(frozen=True)
class ScenePlan:
    """How to read one scene for one student: every choice made, picklable.

    Parameters
    ----------
    path : str
    grid : SceneGrid
    bidx : tuple of int
        Bands, 1-based, in the contract's order.
    value_scale, value_offset : float
        Reflectance x 10,000 = DN * value_scale + value_offset.
    scaling : ValueScaling or None
        None: bytes pass through.
    nodata : float or None
    notes : tuple of str
        Choices that affect the map, one sentence each.
    warnings : tuple of str
        What looks wrong, with the remedy, one sentence each.
    """

    path: str
    grid: SceneGrid
    bidx: tuple[int, ...]
    value_scale: float
    value_offset: float
    scaling: ValueScaling | None
    nodata: float | None
    notes: tuple[str, ...]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class ValueChoice:
    """How DN become bytes: scale and offset to reflectance x 10,000, the stretch, and a sentence that says so."""

    scale: float
    offset: float
    scaling: ValueScaling | None
    note: str


def fix_plan(info: SceneInfo, contract: InputContract, options: SceneOptions) -> ScenePlan:
    """Check a scene against a student's contract and fix how it is read.

    Raises
    ------
    SceneError
        If the scene does not fit: all mismatches in one message, each with its remedy.
    """
    problems = grid_problems(info, contract)
    choice = values = None
    try:
        choice = choose_bands(info.descriptions, info.colours, contract.bands, options.bidx)
    except SceneError as error:
        problems.append(str(error))
    try:
        values = choose_values(info, contract, options, choice.bidx if choice else (1,))
    except SceneError as error:
        problems.append(str(error))
    if problems or choice is None or values is None:
        raise SceneError(f"{info.path} does not fit the model: {one_message(problems)}")
    nodata = info.nodata if options.nodata is None else options.nodata
    return ScenePlan(
        path=info.path,
        grid=info.grid,
        bidx=choice.bidx,
        value_scale=values.scale,
        value_offset=values.offset,
        scaling=values.scaling,
        nodata=nodata,
        notes=(choice.note, values.note, _nodata_note(info, options)),
    )


def choose_values(
    info: SceneInfo, contract: InputContract, options: SceneOptions, bidx: tuple[int, ...]
) -> ValueChoice:
    """Decide how DN become bytes: scale and offset are each the user's, else GDAL's tag, else 1 and 0.

    Raises
    ------
    SceneError
        If the type of the values leaves it open, or does not fit.
    """
    scaling = contract.value_scaling
    if info.dtype.startswith("complex"):
        raise SceneError(f"its values are {info.dtype}; take a product with real values")
    if info.dtype == "uint8" and not _said(options):
        note = "8-bit values are taken as they are"
        if scaling is not None:
            note += f", as a true-colour picture stretched like the chips (reflectance x 10,000 of {scaling})"
        return ValueChoice(1.0, 0.0, None, note)
    if scaling is None and info.dtype == "uint8":
        raise SceneError(
            f"the model takes 8-bit values as they are, so {' and '.join(_said(options))} cannot hold; leave that out,"
            " or change the values of the file"
        )
    if scaling is None:
        raise SceneError(
            f"its values are {info.dtype}, the model takes 8-bit values; stretch it by gdal_translate -ot Byte -scale"
            f" {shlex.quote(info.path)} bytes.tif"
        )
    scale, offset, why = _reflectance(info, options, bidx)
    if not (math.isfinite(scale) and math.isfinite(offset) and scale > 0):
        raise SceneError(
            f"value scale {scale:g} must be positive and value offset {offset:g} finite; say what holds by"
            " --value-scale and --value-offset"
        )
    note = (
        f"reflectance x 10,000 = DN x {scale:g} {'-' if offset < 0 else '+'} {abs(offset):g}, {why}; it is stretched"
        f" from {scaling}"
    )
    return ValueChoice(scale, offset, scaling, note)


def _said(options: SceneOptions) -> list[str]:
    """Return the options by which the user says what the values are."""
    given = {"--value-scale": options.value_scale, "--value-offset": options.value_offset}
    return [name for name, value in given.items() if value is not None]


def _reflectance(info: SceneInfo, options: SceneOptions, bidx: tuple[int, ...]) -> tuple[float, float, str]:
    """Return scale and offset from DN to reflectance x 10,000, and by what they were decided.

    Raises
    ------
    SceneError
        If the file's tags leave it open.
    """
    said = _said(options)
    tagged = {(info.scales[b - 1], info.offsets[b - 1]) for b in bidx}
    if not all(math.isfinite(tag) for tags in tagged for tag in tags):
        if len(said) < 2:
            raise SceneError(
                "its scale and offset tags are no finite numbers; say what holds by --value-scale and --value-offset"
            )
        tagged = {(1.0, 0.0)}
    if len(tagged) > 1 and len(said) < 2:
        raise SceneError(
            "its bands have different scale and offset tags; say which holds by --value-scale and --value-offset"
        )
    tag_scale, tag_offset = next(iter(tagged))
    has_tags = (tag_scale, tag_offset) != (1.0, 0.0)
    if info.dtype.startswith("float") and not has_tags and options.value_scale is None:
        raise SceneError(
            f"its values are {info.dtype} without scale tags, so their unit is unknown; give --value-scale 10000 for"
            " reflectance 0..1, or --value-scale 1 for reflectance x 10,000"
        )
    scale, offset = (tag_scale * 1e4, tag_offset * 1e4) if has_tags else (1.0, 0.0)  # tags give reflectance
    scale = scale if options.value_scale is None else options.value_scale
    offset = offset if options.value_offset is None else options.value_offset
    reasons = [f"as {' and '.join(said)} say{'s' * (len(said) == 1)}"] if said else []
    if has_tags and len(said) < 2:
        reasons.append("by the file's scale and offset tags")
    return scale, offset, " and ".join(reasons) or "since nothing says otherwise"


def _nodata_note(info: SceneInfo, options: SceneOptions) -> str:
    alpha = [f"band {bidx} is alpha, as the file says" for bidx, c in enumerate(info.colours, 1) if c == "alpha"]
    mask = f"; {(alpha or ['it has a mask'])[0]}: what is 0 there is missing" if info.masked else ""
    if options.nodata is not None:
        return f"nodata is {options.nodata:g}, as --nodata says{mask}"
    if info.nodata is not None:
        return f"nodata is {info.nodata:g}, as the file says{mask}"
    return f"no nodata value is declared{mask or ': every pixel counts as valid'}"
