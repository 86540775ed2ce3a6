"""Choice of a scene's bands for a student. Pure."""

import math
import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geokd.errors import SceneError, one_message
from geokd.model.contract import InputContract
from geokd.scenes.sensors import BAND_NAMES, PLANETSCOPE, SENTINEL_2

_NAMELESS = {"gray", "undefined"}  # colours without information about a band
_CENTRES_NM = {"blue": 490.0, "green": 560.0, "red": 665.0, "nir": 842.0}  # of Sentinel-2's
_NEAR_NM = 30.0  # as far from these lie the same bands of other sensors
_AMBIGUOUS = ("b01", "b02", "b03", "b04")  # of four bands: Sentinel-2's first ones, or PlanetScope's

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
    """Choose bands: the user's, else by description, wavelength or colour, else the first of three or four.

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
        problems = []
        if len(bidx) != len(wanted):
            problems.append(f"--bidx names {len(bidx)} bands, the model needs {len(wanted)} ({names})")
        outside = [b for b in bidx if not 1 <= b <= count]
        if outside:
            problems.append(f"--bidx {','.join(map(str, outside))} is outside the scene's bands 1..{count}")
        if problems:
            raise SceneError(one_message(problems))
        return BandChoice(bidx, f"bands {_list(bidx)} are used as {names} (--bidx)")
    named = tuple(find_band(descriptions, name, sensor) for name in wanted)
    if all(named) and len(set(named)) == len(named):
        _refuse_names_of_two_sensors(descriptions, names, sensor)
        whose = f" as those of {sensor}" if sensor not in (None, SENTINEL_2) else ""
        return BandChoice(named, f"bands {_list(named)} are used as {names}, by their descriptions{whose}")
    nearest = tuple(_nearest(centres_nm, name) for name in wanted)
    if all(nearest) and len(set(nearest)) == len(nearest):
        centres = ", ".join(f"{centres_nm[band - 1]:.0f}" for band in nearest)
        return BandChoice(
            nearest, f"bands {_list(nearest)} ({centres} nm) are used as {names}, by their central wavelengths"
        )
    coloured = tuple(find_band(colours, name) for name in wanted)
    if all(coloured) and len(set(coloured)) == len(coloured):
        return BandChoice(coloured, f"bands {_list(coloured)} are used as {names}, by their colour interpretation")
    images = [b for b, colour in enumerate(colours, 1) if colour != "alpha"]
    first = tuple(images[: len(wanted)])
    nameless = not any(descriptions) and all(colours[b - 1] in _NAMELESS for b in images)
    if len(first) == len(wanted) == 3 and len(images) <= 4 and nameless:
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


def _refuse_names_of_two_sensors(descriptions: tuple[str, ...], names: str, sensor: str | None) -> None:
    """Refuse four bands whose names are ambiguous between sensors.

    Raises
    ------
    SceneError
    """
    if sensor is None and tuple(_plain(label) for label in descriptions) == _AMBIGUOUS:
        other = ", ".join(BAND_NAMES[PLANETSCOPE][name] for name in _AMBIGUOUS)
        raise SceneError(
            f"its four bands are named {', '.join(descriptions)}, and the sensor is unknown: for PlanetScope"
            f" they are {other}, for Sentinel-2 coastal aerosol, blue, green, red. The model needs {names}: give --bidx"
            " 3,2,1 for the first, --bidx 4,3,2 for the second (with the near infrared last, if needed)"
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
    return re.sub(r"^b(\d)$", r"b0\1", words[0])


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
