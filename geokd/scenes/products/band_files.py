"""Single-band files: named by the user, or found in a folder by their names."""

import re
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from geokd.errors import CallError, SceneError, named, one_message
from geokd.scenes.acquisition import known_acquisition
from geokd.scenes.bands import common_name
from geokd.scenes.opening import KNOWN_TO_GDAL_ALONE
from geokd.scenes.products.archive import Archive
from geokd.scenes.products.product import BandFile, Product, ProductBand
from geokd.scenes.sensors import BAND_NAMES, SENTINEL_2, UNUSED_BANDS, known_sensor
from geokd.text import file_name, without_secrets

_NAMED = re.compile(r"[A-Za-z]\w*=.+")
_KNOWN = sorted({name for names in BAND_NAMES.values() for name in names.values()})
_BAND = re.compile(
    rf"^(?P<stem>.*?)[_.-]?(?P<band>B\d{{1,2}}A?|B8A|{'|'.join(_KNOWN)})(?:_\d\dm)?\.(?:tiff?|jp2|img|vrt)$",
    re.IGNORECASE,
)
_MASK = re.compile(r"(?:^|[_.-])(?P<mask>SCL|QA_PIXEL|Fmask|udm2)(?:_\d\dm)?\.(?:tiff?|jp2)$", re.IGNORECASE)


def read_band_list(text: str) -> Product | None:
    """Read `red=a.tif,green=b.tif,...`; None if it is not such a list.

    A file may be followed by a colon and the number of the band in it.

    Raises
    ------
    CallError
        If a file is missing, or a band is named twice: all in one message.
    """
    if not _NAMED.fullmatch(text) or Path(text).exists():
        return None
    pairs = [part.partition("=") for part in re.split(r",(?=[A-Za-z]\w*=)", text)]
    names = [name for name, _, _ in pairs]
    problems = [f"{name} is named twice" for name in dict.fromkeys(names) if names.count(name) > 1]
    files = [_file(path) for _, _, path in pairs]
    problems += [f"no such file: {file.path}" for file in files if not _there(file.path)]
    if problems:
        raise CallError(f"--bands {without_secrets(text)[:200]} cannot be used: {one_message(problems)}")
    stems = [PurePosixPath(file_name(file.path.replace("\\", "/"))).stem for file in files]
    return _product(
        re.sub(r"[_.\s-]+B?0?$", "", _common_start(stems)) or "bands",
        [ProductBand(name, (file,)) for name, file in zip(names, files, strict=True)],
        files,
        {},
    )


def read_band_folder(archive: Archive) -> Product | None:
    """Find the bands in a folder or archive by the names of its files; None if there are not two of them.

    Raises
    ------
    SceneError
        If they belong to several scenes.
    """
    found: dict[str, dict[str, str]] = {}
    for name in archive.names:
        match = _BAND.match(PurePosixPath(name).name) if name.count("/") <= 1 else None
        if match:
            found.setdefault(match["stem"].rstrip("_.-"), {}).setdefault(match["band"], name)
    stems = [stem for stem, bands in found.items() if len(bands) > 1]
    if not stems:
        return None
    if len(stems) > 1:
        raise SceneError(
            f"{archive.path} holds bands of {len(stems)} scenes ({named(sorted(stems), 3)}); name those of one with"
            " --bands red=...,green=...,blue=..."
        )
    (stem,) = stems
    sensor = known_sensor(PurePosixPath(next(iter(found[stem].values()))).name, {})
    files = {
        band: BandFile(archive.raster(name))
        for band, name in sorted(found[stem].items())
        if common_name(band, sensor or SENTINEL_2) not in UNUSED_BANDS
    }
    masks: dict[str, tuple[BandFile, ...]] = {}
    for name in archive.names:
        match = _MASK.search(PurePosixPath(name).name)
        if match and PurePosixPath(name).name.startswith(stem.removesuffix("_SR")):  # QA_PIXEL of Landsat level 2
            masks.setdefault(match["mask"].lower(), (BandFile(archive.raster(name)),))  # the finest comes first
    bands = [ProductBand(band, (file,)) for band, file in files.items()]
    return _product(stem or archive.path.name, bands, list(files.values()), masks)


def _product(
    name: str, bands: list[ProductBand], files: Iterable[BandFile], masks: dict[str, tuple[BandFile, ...]]
) -> Product:
    paths = [without_secrets(file.path) for file in files]
    sensor = next((sensor for path in paths if (sensor := known_sensor(path, {}))), None)
    common = any(not re.fullmatch(r"B\d{1,2}A?", band.name, re.IGNORECASE) for band in bands)
    acquired = next((moment for path in paths if (moment := known_acquisition(path, {}))), None)
    return Product(
        name=name,
        kind=f"band files{'' if sensor is None else f' of {sensor}'}",
        bands=tuple(bands),
        sensor=None if common and sensor != SENTINEL_2 else sensor,
        masks=masks,
        acquisition=acquired,
    )


def _common_start(texts: list[str]) -> str:
    """Return the common beginning of all texts."""
    first, last = min(texts), max(texts)
    length = next((n for n, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), min(len(first), len(last)))
    return first[:length]


def _file(path: str) -> BandFile:
    """Read a path, optionally with a colon and the number of a band."""
    match = re.fullmatch(r"(.+):(\d+)", path)
    if match and not Path(path).exists() and Path(match[1]).exists():
        return BandFile(str(Path(match[1]).absolute()), int(match[2]))
    return BandFile(str(Path(path).absolute()) if Path(path).exists() else path)


def _there(path: str) -> bool:
    return KNOWN_TO_GDAL_ALONE.match(path) is not None or Path(path).exists()
