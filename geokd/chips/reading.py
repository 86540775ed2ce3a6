"""Labelled chips: a folder (or zip archive) with one sub-folder a class, of JPEG, PNG or (Geo)TIFF images of any size.

Plain images are read with Pillow, so that a machine without GDAL can train on them; TIFFs with rasterio, with the same
band choice and scaling as scenes.
"""

import hashlib
import io
from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from geokd.chips.files import ChipArchive, ChipIndex, check_size
from geokd.errors import ChipError, SceneError, named, one_message
from geokd.model.contract import InputContract
from geokd.scenes.bands import choose_bands

_TIFF_SUFFIXES = (".tif", ".tiff")
_PILLOW_FORMATS = ("JPEG", "PNG")
_PILLOW_ERRORS = (OSError, ValueError, SyntaxError, Image.DecompressionBombError)
_PICTURE_BYTES = 16  # a pixel, while a picture is turned into RGB
_PNG_DEPTH_AT = 24  # byte of a PNG with its bits per band
_MODES = {"L": "grey", "LA": "grey", "1": "black and white"}
_MOST_NAMED = 8  # problems listed one by one; the rest is only counted
_SATURATED = 0.5  # from this share of a chip's values at an end of the stretch on, a note is given
_SCALE_TOLERANCE = 1.25


@dataclass(frozen=True)
class ChipProbe:
    """Properties of the chips, found from a sample.

    Parameters
    ----------
    side_px : int
        Most common length of the longer side.
    ground_m : tuple of float or None
        Minimum, median and maximum length of the longer side on the ground, of the georeferenced ones; None if there
        are none.
    bits_8 : bool
        Whether all have 8 bits a band.
    """

    side_px: int
    ground_m: tuple[float, float, float] | None
    bits_8: bool


@dataclass(frozen=True, eq=False)
class Chips:
    """Chips in memory.

    Parameters
    ----------
    pixels : uint8 array (N, C, patch_px, patch_px)
    labels : int64 array (N,)
    bounds : float64 array (N, 4) or None
        Left, bottom, right, top of each chip in metres (or the units of its CRS); None unless all chips have
        coordinates.
    picture_hashes : uint64 array (N,)
        Hash of each chip's pixels, in the contract's bands and stretch, before resizing.
    fingerprint : str
        Hash of all pixels and labels, hexadecimal.
    notes : tuple of str
        Choices made in reading them, and possible problems, one sentence each.
    """

    pixels: NDArray[np.uint8]
    labels: NDArray[np.int64]
    bounds: NDArray[np.float64] | None
    picture_hashes: NDArray[np.uint64]
    fingerprint: str
    notes: tuple[str, ...] = ()


def probe_chips(index: ChipIndex, sample: int = 48) -> ChipProbe:
    """Look at an evenly chosen sample of the chips.

    Raises
    ------
    ChipError
        If none of the sample can be opened.
    """
    sides: Counter[int] = Counter()
    ground, reasons, bits_8 = [], [], True
    with ChipArchive(index.root) as archive:
        for name in index.files[:: max(1, len(index) // sample)]:
            try:
                height, width, resolution_m, dtype = _header(archive.read(name), name)
            except ChipError as error:
                reasons.append(str(error))
                continue
            sides[max(height, width)] += 1
            bits_8 = bits_8 and dtype == "uint8"
            if resolution_m is not None:
                ground.append(resolution_m * max(height, width))
    if not sides:
        raise ChipError(f"{index.root}: none of {len(reasons)} of its {len(index)} chips can be opened; {reasons[0]}")
    middle = sorted(ground)[len(ground) // 2] if ground else 0.0
    return ChipProbe(sides.most_common(1)[0][0], (min(ground), middle, max(ground)) if ground else None, bits_8)


def scale_notes(probe: ChipProbe, contract: InputContract) -> list[str]:
    """Warn if pixels of chips, resized to a patch, differ in size by more than a quarter from the contract's."""
    if probe.ground_m is None:
        return []
    finest, _, coarsest = (side_m / contract.patch_px for side_m in probe.ground_m)
    wanted = contract.ground_resolution_m
    if wanted / _SCALE_TOLERANCE <= finest and coarsest <= wanted * _SCALE_TOLERANCE:
        return []
    pixels = f"{finest:g} m" if finest == coarsest else f"{finest:g} to {coarsest:g} m"
    return [
        f"the chips have pixels of {pixels} at {contract.patch_px} px a side, {wanted:g} m are expected; use chips"
        " of that pixel size"
    ]


def read_chips(index: ChipIndex, contract: InputContract) -> Chips:
    """Read all chips in the form that the network takes.

    Chips of another size are resized (antialiased bilinear) to `contract.patch_px`.

    Parameters
    ----------
    index : ChipIndex
    contract : InputContract

    Raises
    ------
    ChipError
        If any chip cannot be read or lacks the bands: all of them in one message.
    """
    side = contract.patch_px
    pixels = np.empty((len(index), len(contract.bands), side, side), np.uint8)
    bounds = np.full((len(index), 4), np.nan)
    picture_hashes = np.empty(len(index), np.uint64)
    problems = []
    notes: Counter[str] = Counter()
    with ChipArchive(index.root) as archive:
        for i, name in enumerate(index.files):
            try:
                image, bounds[i], choices = _decode(archive.read(name), name, contract)
                pixels[i], picture_hashes[i] = _resize(image, side), picture_hash(image)
                notes.update(choices)
                if image.shape[1:] != (side, side):
                    notes[f"resized to {side} x {side} px"] += 1
            except ChipError as error:
                problems.append(str(error))
    if problems:
        raise ChipError(f"{index.root}: {one_message(problems, _MOST_NAMED)}")
    labels = np.asarray(index.labels, np.int64)
    digest = hashlib.sha256(pixels.tobytes())
    digest.update(labels.tobytes())
    said = [f"{'all' if n == len(index) else f'{n} of {len(index)}'} chips: {note}" for note, n in notes.items()]
    said += [*index.notes, *_contradictions(index, picture_hashes)]
    lacking = int((~np.isfinite(bounds).all(axis=1)).sum())
    if 0 < lacking < len(index):
        said.append(f"{lacking} of {len(index)} chips have no coordinates, so those of the others are not used either")
    known = bounds if np.isfinite(bounds).all() else None
    return Chips(pixels, labels, known, picture_hashes, digest.hexdigest(), tuple(said))


def picture_hash(pixels: NDArray[np.uint8]) -> int:
    """Return a hash of 64 bits of the pixels of one chip, (C, h, w)."""
    return int.from_bytes(hashlib.blake2b(pixels.tobytes(), digest_size=8).digest())


def _contradictions(index: ChipIndex, picture_hashes: NDArray[np.uint64]) -> list[str]:
    """Warn of the same image in different classes."""
    first: dict[int, int] = {}
    pairs = []
    for i, picture in enumerate(picture_hashes.tolist()):
        other = first.setdefault(picture, i)
        if index.labels[other] != index.labels[i]:
            pairs.append(f"{index.files[other]} and {index.files[i]}")
    if not pairs:
        return []
    return [f"the same image lies in different classes; remove the wrong ones: {named(pairs, _MOST_NAMED, '; ')}"]


def _header(content: bytes, name: str) -> tuple[int, int, float | None, str]:
    """Height, width, pixel size in metres where there are coordinates, and numpy's name of the type."""
    if name.lower().endswith(_TIFF_SUFFIXES):
        from geokd.chips.geotiff import open_chip

        with open_chip(content, name) as (_, info):
            georeferenced = info.grid.crs is not None
            resolution_m = info.grid.pixel_size_m[0] if georeferenced else None
            return info.grid.height, info.grid.width, resolution_m, info.dtype
    try:
        with Image.open(io.BytesIO(content), formats=_PILLOW_FORMATS) as image:
            return image.height, image.width, None, "uint8"
    except _PILLOW_ERRORS as error:
        raise ChipError(f"chip {name} cannot be read: {_reason(error, content)}") from error


def _decode(
    content: bytes, name: str, contract: InputContract
) -> tuple[NDArray[np.uint8], tuple[float, ...], tuple[str, ...]]:
    """Pixels (C, h, w), bounds (NaN without coordinates), and choices made."""
    if name.lower().endswith(_TIFF_SUFFIXES):
        from geokd.chips.geotiff import read_chip

        pixels, bounds, choices = read_chip(content, name, contract)
        ends = contract.value_scaling
        if ends is not None and np.isin(pixels, (ends.output_minimum, ends.output_maximum)).mean() > _SATURATED:
            choices += ("more than half of the values are at an end of that stretch; check input.value_scaling",)
        return pixels, bounds, choices
    try:
        choice = choose_bands(("", "", ""), ("red", "green", "blue"), contract.bands, None)
    except SceneError as error:
        raise ChipError(f"chip {name} is a colour image: {error}") from error
    try:
        with Image.open(io.BytesIO(content), formats=_PILLOW_FORMATS) as image:
            count = image.width * image.height
            check_size(name, count, _PICTURE_BYTES * count)
            if image.mode.startswith(("I", "F")) or (image.format == "PNG" and content[_PNG_DEPTH_AT] > 8):
                raise ChipError(f"chip {name} has 16 or 32 bits per band; save it as GeoTIFF, or as 8-bit RGB")
            if image.has_transparency_data and np.asarray(image.convert("RGBA"))[..., 3].min() < 255:
                raise ChipError(f"chip {name} has transparent pixels; leave it out")
            rgb = np.asarray(image.convert("RGB")).transpose(2, 0, 1)
            coloured = image.mode in ("RGB", "RGBA", "P", "PA")
            choices = () if coloured else (f"{_MODES.get(image.mode, image.mode)} images, converted to RGB",)
            return rgb[[b - 1 for b in choice.bidx]], (np.nan,) * 4, choices
    except _PILLOW_ERRORS as error:
        if isinstance(error, ChipError):
            raise
        raise ChipError(f"chip {name} cannot be read: {_reason(error, content)}") from error


def _reason(error: Exception, content: bytes) -> str:
    if isinstance(error, UnidentifiedImageError):
        return f"its {len(content):,} bytes are not a JPEG or PNG image" if content else "it is empty"
    return str(error)


def _resize(image: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Resize (C, h, w) to (C, side, side), antialiased; unchanged where it fits already."""
    if image.shape[1:] == (side, side):
        return image
    size = (side, side)
    return np.stack([np.asarray(Image.fromarray(band).resize(size, Image.Resampling.BILINEAR)) for band in image])
