"""Which bands of a scene a student is given. Pure."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geokd.errors import SceneError, one_message
from geokd.model.contract import InputContract

# One set of names a spectral band goes by: STAC common names and Sentinel-2's.
_ALIASES = (
    {"blue", "b02", "b2"},
    {"green", "b03", "b3"},
    {"red", "b04", "b4"},
    {"nir", "b08", "b8"},
)
_NAMELESS = {"gray", "undefined"}  # colours that tell nothing of a band
_CENTRES_NM = (490.0, 560.0, 665.0, 842.0)  # of Sentinel-2's, in the same order


@dataclass(frozen=True)
class BandChoice:
    """Bands to read, 1-based, in the contract's order, and a sentence that says why these."""

    bidx: tuple[int, ...]
    note: str


def choose_bands(
    descriptions: tuple[str, ...],
    colours: tuple[str, ...],
    wanted: tuple[str, ...],
    bidx: tuple[int, ...] | None,
) -> BandChoice:
    """Choose bands: the user's, else by description, else by colour interpretation, else the first of three or four.

    Parameters
    ----------
    descriptions : tuple of str
        Of each band, empty where there is none.
    colours : tuple of str
        GDAL's colour interpretation of each band.
    wanted : tuple of str
        The contract's bands.
    bidx : tuple of int or None
        What the user asked for.

    Raises
    ------
    SceneError
        If the bands asked for are not there, or cannot be told.
    """
    count = len(colours)
    names = ", ".join(wanted)
    if bidx is not None:
        problems = []
        if len(bidx) != len(wanted):
            problems.append(f"--bidx names {len(bidx)} bands, the model takes {len(wanted)} ({names})")
        outside = [b for b in bidx if not 1 <= b <= count]
        if outside:
            problems.append(f"--bidx {','.join(map(str, outside))} is outside the scene's bands 1..{count}")
        if problems:
            raise SceneError(one_message(problems))
        return BandChoice(bidx, f"bands {_list(bidx)} are taken as {names}, as --bidx says")
    named = tuple(find_band(descriptions, name) for name in wanted)
    if all(named) and len(set(named)) == len(named):
        return BandChoice(named, f"bands {_list(named)} are taken as {names}, by their descriptions")
    coloured = tuple(find_band(colours, name) for name in wanted)
    if all(coloured) and len(set(coloured)) == len(coloured):
        return BandChoice(coloured, f"bands {_list(coloured)} are taken as {names}, by their colour interpretation")
    images = [b for b, colour in enumerate(colours, 1) if colour != "alpha"]
    first = tuple(images[: len(wanted)])
    nameless = not any(descriptions) and all(colours[b - 1] in _NAMELESS for b in images)
    if len(first) == len(wanted) == 3 and len(images) <= 4 and nameless:
        return BandChoice(
            first, f"bands {_list(first)} are taken as {names}, by their order: nothing in the file names them"
        )
    listing = ", ".join(f"{b} {d or c}" for b, (d, c) in enumerate(zip(descriptions, colours, strict=True), 1))
    if "palette" in colours:
        raise SceneError(
            f"its values are numbers of colours in a palette, the model takes {len(wanted)} bands ({names}); give each"
            " colour a band of its own by gdal_translate -expand rgb, if its colours are those"
        )
    if len(images) < len(wanted):
        raise SceneError(
            f"it has {count} band{'s' * (count > 1)} ({listing}), the model takes {len(wanted)} ({names});"
            " stack the missing bands, for instance by gdalbuildvrt -separate"
        )
    raise SceneError(
        f"its bands ({listing[:300]}) do not tell which are {names}; name them in this order, for instance --bidx 3,2,1"
    )


def find_band(labels: tuple[str, ...], wanted: str) -> int:
    """1-based number of the band with this label or an alias of it; 0 if there is none."""
    name = wanted.lower()
    accepted = next((aliases for aliases in _ALIASES if name in aliases), {name})
    for band, label in enumerate(labels, 1):
        words = label.lower().replace(",", " ").replace("(", " ").replace(")", " ").split()
        if label.lower() in accepted or (words and words[0] in accepted):
            return band
    return 0


def wavelengths_nm(bands: tuple[str, ...]) -> tuple[float, ...]:
    """Centre of each band; if one is of no known name, all are taken to lie evenly from red to blue."""
    known = [[nm for names, nm in zip(_ALIASES, _CENTRES_NM, strict=True) if b.lower() in names] for b in bands]
    if all(known):
        return tuple(centre[0] for centre in known)
    step = (_CENTRES_NM[0] - _CENTRES_NM[2]) / max(len(bands) - 1, 1)
    return tuple(_CENTRES_NM[2] + step * i for i in range(len(bands)))


def _list(bidx: tuple[int, ...]) -> str:
    return ", ".join(map(str, bidx))


def true_colour(pixels: NDArray[np.uint8], contract: InputContract) -> NDArray[np.uint8]:
    """Choose red, green and blue of bands (C, h, w) by the contract's names; without them, the first band as grey."""
    bands = [find_band(contract.bands, colour) for colour in ("red", "green", "blue")]
    return pixels[[band - 1 for band in bands] if all(bands) else [0, 0, 0]]
