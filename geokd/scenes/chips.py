"""Labelled chips: a folder (or zip archive) with one sub-folder a class, of JPEG, PNG or (Geo)TIFF images of any size.

Plain images are read by Pillow, so that a machine without GDAL can train on them; TIFFs by rasterio, through the same
band choice and scaling as scenes.
"""

import hashlib
import io
import zipfile
import zlib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from geokd.bundle import InputContract
from geokd.errors import CallError, ChipError, SceneError, one_message
from geokd.scenes.bands import choose_bands

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff")
_TIFF_SUFFIXES = (".tif", ".tiff")
_MOST_NAMED = 8  # problems named one by one before the rest is only counted


@dataclass(frozen=True)
class ChipIndex:
    """Which chips there are.

    Parameters
    ----------
    root : Path
        The folder or archive.
    files : tuple of str
        Paths inside `root`, with `/`, sorted.
    labels : tuple of int
        Index into `classes` of each file.
    classes : tuple of str
        Names of the class folders, sorted.
    """

    root: Path
    files: tuple[str, ...]
    labels: tuple[int, ...]
    classes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.files)


@dataclass(frozen=True)
class ChipProbe:
    """What a sample of the chips tells about all.

    Parameters
    ----------
    side_px : int
        The commonest longer side.
    resolution_m : float or None
        The median pixel size in metres of the georeferenced ones; None if there are none.
    """

    side_px: int
    resolution_m: float | None


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
    fingerprint : str
        Hash of all pixels and labels, hexadecimal.
    notes : tuple of str
        What was chosen in reading them, and what looks wrong, one sentence each.
    """

    pixels: NDArray[np.uint8]
    labels: NDArray[np.int64]
    bounds: NDArray[np.float64] | None
    fingerprint: str
    notes: tuple[str, ...] = ()


def index_chips(path: str | Path) -> ChipIndex:
    """List the chips below `path`.

    Hidden files and folders are passed over. Single folders on the way (`eurosat_rgb/train/`) are walked through.

    Raises
    ------
    CallError
        If there is no such folder or archive.
    ChipError
        If there are no class folders with images in it.
    """
    root = Path(path)
    images = _images(root)
    parents = {PurePosixPath(name).parent for name in images} - {PurePosixPath()}
    if not parents:
        raise ChipError(
            f"{root} holds no class folders with {', '.join(IMAGE_SUFFIXES)} images: one folder a class is expected"
        )
    depths = Counter(len(parent.parts) for parent in parents)
    if len(depths) > 1:
        raise ChipError(
            f"{root} holds images at several depths ({dict(depths)}): put each class into one folder, side by side"
        )
    if len({parent.parent for parent in parents}) > 1:
        splits = ", ".join(sorted({str(parent.parent) for parent in parents}))
        raise ChipError(f"{root} holds several chip folders ({splits}): name one of them")
    classes = tuple(sorted(parent.name for parent in parents))
    number = {name: i for i, name in enumerate(classes)}
    labelled = [name for name in images if PurePosixPath(name).parent.parts]
    return ChipIndex(root, tuple(labelled), tuple(number[PurePosixPath(n).parent.name] for n in labelled), classes)


def index_unlabelled(path: str | Path, most: int) -> ChipIndex:
    """List up to `most` images below `path`, evenly among all, in whatever folders, as if of one class.

    Raises
    ------
    CallError
        If there is no such folder or archive, or no image in it.
    """
    root = Path(path)
    images = _images(root)
    if not images:
        raise CallError(f"{root} holds no {', '.join(IMAGE_SUFFIXES)} images")
    step = max(1.0, len(images) / most)
    kept = tuple(images[int(i * step)] for i in range(min(most, len(images))))
    return ChipIndex(root, kept, (0,) * len(kept), ("unlabelled",))


def _images(root: Path) -> list[str]:
    """Paths of the images in a folder or archive, sorted, hidden ones left out."""
    if root.is_dir():
        names = [p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_file()]
    elif root.is_file() and zipfile.is_zipfile(root):
        with zipfile.ZipFile(root) as archive:
            names = [i.filename for i in archive.infolist() if not i.is_dir()]
    else:
        raise CallError(f"no chips at {root}: it is neither a folder nor a zip archive; give a folder of class folders")
    return sorted(
        name
        for name in names
        if name.lower().endswith(IMAGE_SUFFIXES) and not any(part.startswith(".") for part in PurePosixPath(name).parts)
    )


def probe_chips(index: ChipIndex, sample: int = 48) -> ChipProbe:
    """Look at an even sample of the chips.

    Raises
    ------
    ChipError
        If none of the sample can be opened.
    """
    sides: Counter[int] = Counter()
    resolutions = []
    with _Archive(index.root) as archive:
        for name in index.files[:: max(1, len(index) // sample)]:
            try:
                height, width, resolution_m = _header(archive.read(name), name)
            except ChipError:
                continue
            sides[max(height, width)] += 1
            if resolution_m is not None:
                resolutions.append(resolution_m)
    if not sides:
        raise ChipError(f"{index.root}: none of a sample of its {len(index)} chips can be opened as an image")
    return ChipProbe(sides.most_common(1)[0][0], float(np.median(resolutions)) if resolutions else None)


def read_chips(index: ChipIndex, contract: InputContract) -> Chips:
    """Read all chips as the network is to see them.

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
    problems = []
    notes: Counter[str] = Counter()
    with _Archive(index.root) as archive:
        for i, name in enumerate(index.files):
            try:
                image, bounds[i], choices = _decode(archive.read(name), name, contract)
                pixels[i] = _resize(image, side)
                notes.update(choices)
                if image.shape[1:] != (side, side):
                    notes[f"resized to {side} x {side} px"] += 1
            except ChipError as error:
                problems.append(str(error))
    if problems:
        rest = len(problems) - _MOST_NAMED
        more = [f"and {rest} more"] if rest > 0 else []
        raise ChipError(f"{index.root}: " + one_message(problems[:_MOST_NAMED] + more))
    labels = np.asarray(index.labels, np.int64)
    digest = hashlib.sha256(pixels.tobytes())
    digest.update(labels.tobytes())
    said = [f"{'all' if n == len(index) else f'{n} of {len(index)}'} chips: {note}" for note, n in notes.items()]
    said += _contradictions(index, pixels)
    return Chips(pixels, labels, bounds if np.isfinite(bounds).all() else None, digest.hexdigest(), tuple(said))


def pictures(pixels: NDArray[np.uint8]) -> NDArray[np.bytes_]:
    """Return a hash of each chip's pixels, (N,): the same for equal ones alone."""
    return np.array([hashlib.blake2b(chip.tobytes(), digest_size=16).hexdigest() for chip in pixels], "S32")


def _contradictions(index: ChipIndex, pixels: NDArray[np.uint8]) -> list[str]:
    """Tell of equal pictures in different classes."""
    first: dict[bytes, int] = {}
    pairs = []
    for i, picture in enumerate(pictures(pixels).tolist()):
        other = first.setdefault(picture, i)
        if index.labels[other] != index.labels[i]:
            pairs.append(f"{index.files[other]} and {index.files[i]}")
    if not pairs:
        return []
    more = f" and {len(pairs) - _MOST_NAMED} more" if len(pairs) > _MOST_NAMED else ""
    return [
        f"equal pictures lie in different classes, leave out the wrong ones: {'; '.join(pairs[:_MOST_NAMED])}{more}"
    ]


class _Archive:
    """Reads files of a folder or zip archive by name, as bytes."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._zip = None if root.is_dir() else zipfile.ZipFile(root)

    def __enter__(self) -> "_Archive":
        return self

    def __exit__(self, *_: object) -> None:
        if self._zip is not None:
            self._zip.close()

    def read(self, name: str) -> bytes:
        try:
            return (self._root / name).read_bytes() if self._zip is None else self._zip.read(name)
        except (OSError, zipfile.BadZipFile, zlib.error, RuntimeError) as error:
            raise ChipError(f"chip {name} cannot be read: {error}") from error


def _header(content: bytes, name: str) -> tuple[int, int, float | None]:
    """Height, width, and pixel size in metres where there are coordinates."""
    if name.lower().endswith(_TIFF_SUFFIXES):
        from geokd.scenes.reader import open_chip

        with open_chip(content, name) as (_, info):
            georeferenced = info.grid.crs is not None
            return info.grid.height, info.grid.width, info.grid.pixel_size_m[0] if georeferenced else None
    try:
        with Image.open(io.BytesIO(content)) as image:
            return image.height, image.width, None
    except (OSError, Image.DecompressionBombError) as error:
        raise ChipError(f"chip {name} cannot be read: {_reason(error, content)}") from error


def _decode(
    content: bytes, name: str, contract: InputContract
) -> tuple[NDArray[np.uint8], tuple[float, ...], tuple[str, ...]]:
    """Pixels (C, h, w), bounds (NaN without coordinates), and what was chosen."""
    if name.lower().endswith(_TIFF_SUFFIXES):
        from geokd.scenes.reader import read_chip

        return read_chip(content, name, contract)
    try:
        choice = choose_bands(("", "", ""), ("red", "green", "blue"), contract.bands, None)
    except SceneError as error:
        raise ChipError(f"chip {name} is a colour picture: {error}") from error
    try:
        with Image.open(io.BytesIO(content)) as image:
            if image.mode.startswith(("I", "F")):
                raise ChipError(f"chip {name} has 16 or 32 bits a band: save it as GeoTIFF, or as 8-bit RGB")
            if image.has_transparency_data and np.asarray(image.convert("RGBA"))[..., 3].min() < 255:
                raise ChipError(f"chip {name} holds transparent pixels; leave it out")
            rgb = np.asarray(image.convert("RGB")).transpose(2, 0, 1)
            return rgb[[b - 1 for b in choice.bidx]], (np.nan,) * 4, ()
    except (OSError, Image.DecompressionBombError) as error:
        raise ChipError(f"chip {name} cannot be read: {_reason(error, content)}") from error


def _reason(error: Exception, content: bytes) -> str:
    if isinstance(error, UnidentifiedImageError):
        return f"its {len(content):,} bytes are no picture" if content else "it is empty"
    return str(error)


def _resize(image: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Resize (C, h, w) to (C, side, side), antialiased; unchanged where it fits already."""
    if image.shape[1:] == (side, side):
        return image
    size = (side, side)
    return np.stack([np.asarray(Image.fromarray(band).resize(size, Image.Resampling.BILINEAR)) for band in image])
