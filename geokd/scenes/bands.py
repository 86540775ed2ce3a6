"""Choice of a scene's bands for a student. Pure."""

import math
import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geokd.errors import SceneError, one_message
from geokd.model.contract import InputContract
from geokd.scenes.sensors import BAND_NAMES, LANDSAT_OLI, LANDSAT_TM, PLANETSCOPE, SENTINEL_2

_NAMELESS = {"gray", "undefined"}  # colours without information about a band
_CENTRES_NM = {"blue": 490.0, "green": 560.0, "red": 665.0, "nir": 842.0}  # of Sentinel-2's
_LEAST_NM = 100.0
_MOST_LISTED = 20
_NEAR_NM = 30.0  # as far from these lie the same bands of other sensors
_NUMBER = re.compile(r"b\d\d|b8a")
_TWELVE = {f"b{number:02}" for number in range(1, 13)}  # without B8A: of VENuS, for example
_NUMBERED = {
    SENTINEL_2: _TWELVE | {"b8a"},
    LANDSAT_OLI: frozenset(BAND_NAMES[LANDSAT_OLI]),
    LANDSAT_TM: frozenset(BAND_NAMES[LANDSAT_TM]) | {"b06"},  # thermal
    PLANETSCOPE: frozenset(BAND_NAMES[PLANETSCOPE]),
}
"""Numbers of all bands of a sensor."""

_WAVELENGTH = re.compile(r"(\d+(?:\.\d+)?)\s*(nm|nanomet|um|µm|micromet)", re.IGNORECASE)
_PREFIX = re.compile(r"^(?:sr|toa|boa|nbart?)_(?=\w)")

HAZE = (150.0, 190.0)
"""Bytes of bright haze at the red and the blue end, for a model's input: slightly blue."""


@dataclass(frozen=True)
class BandChoice:
    """Bands to read, 1-based, in the contract's order, and the reason in a sentence."""

    bidx: tuple[int, ...]
    note: str


def choose_bands(
    descriptions: tuple[str, ...],
    colours: tuple[str, ...],
    wanted: tuple[str, ...],
    bidx: tuple[int, ...] | None,
    sensor: str | None = None,
    centres_nm: tuple[float | None, ...] = (),
) -> BandChoice:
    """Choose bands: the user's, else by description, wavelength or colour, else all of three.

    Parameters
    ----------
    descriptions : tuple of str
        Description of each band, empty if there is none.
    colours : tuple of str
        GDAL's colour interpretation of each band.
    wanted : tuple of str
        The contract's bands.
    bidx : tuple of int or None
        The user's choice.
    sensor : str, optional
        Sensor whose band names the descriptions are; see :mod:`geokd.scenes.sensors`. Default: Sentinel-2's, or common
        names.
    centres_nm : tuple of float or None
        Central wavelength of each band, in nanometres; empty or None if unknown.

    Raises
    ------
    SceneError
        If the requested bands do not exist, or bands cannot be identified.
    """
    count = len(colours)
    names = ", ".join(wanted)
    if bidx is not None:
        return _by_user(bidx, wanted, count)
    named = tuple(find_band(descriptions, name, sensor) for name in wanted)
    if all(named) and len(set(named)) == len(named):
        doubt = doubt_of(descriptions, wanted, sensor)
        if doubt:
            raise SceneError(doubt)
        whose = f" as those of {sensor}" if sensor not in (None, SENTINEL_2) else ""
        return BandChoice(named, f"bands {_list(named)} are used as {names}, by their descriptions{whose}")
    if any(centres_nm):
        return _by_wavelengths(centres_nm, wanted)
    coloured = tuple(find_band(colours, name) for name in wanted)
    if all(coloured) and len(set(coloured)) == len(coloured):
        return BandChoice(coloured, f"bands {_list(coloured)} are used as {names}, by their colour interpretation")
    images = [b for b, colour in enumerate(colours, 1) if colour != "alpha"]
    first = tuple(images[: len(wanted)])
    nameless = not any(descriptions) and all(colours[b - 1] in _NAMELESS for b in images)
    if len(wanted) == 3 and len(images) == 4 and nameless:
        raise SceneError(
            "its four bands have no names: they may be red, green, blue and near infrared, or blue, green, red and"
            f" near infrared; for {names} give --bidx 1,2,3 or --bidx 3,2,1, in this order (1,2,3,4 or 3,2,1,4 for a"
            " model that needs the near infrared, too)"
        )
    if len(first) == len(wanted) == len(images) == 3 and nameless:
        return BandChoice(
            first, f"bands {_list(first)} are used as {names}, by their order, because the file does not name them"
        )
    listing = ", ".join(f"{b} {d or c}" for b, (d, c) in enumerate(zip(descriptions, colours, strict=True), 1))
    if "palette" in colours:
        raise SceneError(
            f"its values are indices of a colour palette, but the model needs {len(wanted)} bands ({names}); convert"
            " it with gdal_translate -expand rgb, if its colours are those"
        )
    if len(images) < len(wanted):
        raise SceneError(
            f"it has {count} band{'s' * (count > 1)} ({listing}), the model needs {len(wanted)} ({names}); give a scene"
            " with all of them: a product, one file per band with --bands, or a stack made with gdalbuildvrt -separate"
        )
    raise SceneError(
        f"its bands ({listing[:300]}) do not show which are {names}; name them in this order, such as --bidx 3,2,1"
    )


def _by_user(bidx: tuple[int, ...], wanted: tuple[str, ...], count: int) -> BandChoice:
    """Take the bands that the user names, of `count`.

    Raises
    ------
    SceneError
        If they do not exist, or are too many or too few.
    """
    problems, names = [], ", ".join(wanted)
    if len(bidx) != len(wanted):
        problems.append(f"--bidx names {len(bidx)} bands, the model needs {len(wanted)} ({names})")
    outside = [b for b in bidx if not 1 <= b <= count]
    if outside:
        problems.append(f"--bidx {','.join(map(str, outside))} is outside the scene's bands 1..{count}")
    if problems:
        raise SceneError(one_message(problems))
    return BandChoice(bidx, f"bands {_list(bidx)} are used as {names} (--bidx)")


def _by_wavelengths(centres_nm: tuple[float | None, ...], wanted: tuple[str, ...]) -> BandChoice:
    """Choose the bands nearest to those wanted.

    Raises
    ------
    SceneError
        If one is not near: colours of such a file may be those of a false-colour composite.
    """
    names = ", ".join(wanted)
    nearest = tuple(_nearest(centres_nm, name) for name in wanted)
    if all(nearest) and len(set(nearest)) == len(nearest):
        centres = ", ".join(f"{centres_nm[band - 1]:.0f}" for band in nearest)
        return BandChoice(
            nearest, f"bands {_list(nearest)} ({centres} nm) are used as {names}, by their central wavelengths"
        )
    each = ", ".join("none" if centre is None else f"{centre:.0f}" for centre in centres_nm[:_MOST_LISTED])
    raise SceneError(
        f"the central wavelengths of its bands ({each}{', ...' if len(centres_nm) > _MOST_LISTED else ''} nm) are not"
        f" within {_NEAR_NM:.0f} nm of those of {names}; name the bands in this order, such as --bidx 3,2,1"
    )


def doubt_of(descriptions: tuple[str, ...], wanted: tuple[str, ...], sensor: str | None) -> str:
    """Describe why numbers of bands, such as B4, may be those of several sensors; empty if there is no doubt.

    There is none if the sensor is known, if the numbers are only of Sentinel-2 (B8A, or B11 and B12), or if all sensors
    that have these bands have the wanted ones under the same numbers.
    """
    labels = [_plain(label) for label in descriptions]
    numbers = {label for label in labels if _NUMBER.fullmatch(label)}
    if sensor is not None or not numbers or "b8a" in numbers or (numbers >= {"b11", "b12"} and not numbers >= _TWELVE):
        return ""
    readings: dict[tuple[int, ...], list[str]] = {}
    for other, names in _NUMBERED.items():
        found = tuple(find_band(descriptions, name, other) for name in wanted)
        if numbers <= names and all(found):
            readings.setdefault(found, []).append(other)
    if len(readings) < 2:
        return ""
    each = "; ".join(f"--bidx {','.join(map(str, bidx))} for {' or '.join(of)}" for bidx, of in readings.items())
    return (
        f"its bands are named {', '.join(descriptions)}, and the sensor is unknown, neither from a tag (SATELLITE) nor"
        f" from the name: give {each} ({', '.join(wanted)} in this order)"
    )


def find_band(labels: tuple[str, ...], wanted: str, sensor: str | None = None) -> int:
    """1-based number of the band with this label or an alias of it; 0 if there is none.

    Parameters
    ----------
    labels : tuple of str
        Descriptions or colours.
    wanted : str
        A common name, or the name of a Sentinel-2 band.
    sensor : str, optional
        Sensor of the labels. Default: Sentinel-2.
    """
    name = common_name(wanted, SENTINEL_2)
    if name == "nir" and any(_plain(label) == "broadnir" for label in labels):  # beside a "nir" that is B8A
        name = "broadnir"
    for band, label in enumerate(labels, 1):
        if name in (common_name(label, sensor or SENTINEL_2), label.lower()):
            return band
    return 0


def _nearest(centres_nm: tuple[float | None, ...], wanted: str) -> int:
    """1-based number of the band nearest to the centre of a wanted one; 0 if none is near."""
    centre = _CENTRES_NM.get(common_name(wanted, SENTINEL_2), math.nan)
    near = [(abs(own - centre), band) for band, own in enumerate(centres_nm, 1) if own is not None]
    least, band = min(near, default=(math.inf, 0))
    return band if least <= _NEAR_NM else 0


def common_name(label: str, sensor: str) -> str:
    """Return the common name of a band, of a sensor, labelled `b4`, `B04` or `B4, central wavelength 665 nm`."""
    name = _plain(label)
    return BAND_NAMES.get(sensor, {}).get(name, name)


def _plain(label: str) -> str:
    """Return the first word of a label in lower case, `b4` as `b04`."""
    words = re.split(r"[\s,()]+", label.lower().strip(), maxsplit=1)
    return re.sub(r"^b(\d)$", r"b0\1", _PREFIX.sub("", words[0]))


def wavelength_nm(text: str, unit: str = "", *, bare: bool = True) -> float | None:
    """Read a wavelength, in nanometres, such as `664.9 nm` or `0.665 um`; None if it is not one.

    Parameters
    ----------
    text : str
    unit : str
        Its unit, if that is stated apart.
    bare : bool
        Whether a number without a unit is a wavelength: below 100 in micrometres, else in nanometres.
    """
    match = _WAVELENGTH.search(f"{text} {unit}")
    if not match and (not bare or unit.lower() not in ("", "unknown")):
        return None
    number, unit = (match[1], match[2].lower()) if match else (text, "")
    try:
        value = float(number)
    except ValueError:
        return None
    micrometres = unit.startswith(("u", "µ", "mi")) if unit else value < _LEAST_NM
    value *= 1000 if micrometres else 1
    return value if math.isfinite(value) and value > 0 else None


def wavelengths_nm(bands: tuple[str, ...]) -> tuple[float, ...]:
    """Centre of each band; if a name is unknown, all are assumed to lie evenly from red to blue."""
    known = [_CENTRES_NM.get(common_name(band, SENTINEL_2)) for band in bands]
    if all(known):
        return tuple(centre for centre in known if centre is not None)
    red, blue = _CENTRES_NM["red"], _CENTRES_NM["blue"]
    step = (blue - red) / max(len(bands) - 1, 1)
    return tuple(red + step * i for i in range(len(bands)))


def _list(bidx: tuple[int, ...]) -> str:
    return ", ".join(map(str, bidx))


def true_colour(pixels: NDArray[np.uint8], contract: InputContract) -> NDArray[np.uint8]:
    """Choose red, green and blue of bands (C, h, w) by the contract's names, or else the first band as grey."""
    bands = [find_band(contract.bands, colour) for colour in ("red", "green", "blue")]
    return pixels[[band - 1 for band in bands] if all(bands) else [0, 0, 0]]
