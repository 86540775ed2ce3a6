"""Masks of clouds, shadows and other pixels that are left out: where they are stored, and what their values mean."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pyproj import Transformer
from rasterio.windows import Window

from geokd.errors import CallError, SceneError, named
from geokd.scenes.grid import SceneGrid
from geokd.scenes.opening import GdalErrors, gdal_reason, open_scene
from geokd.scenes.products.product import BandFile, ProductBand
from geokd.scenes.scene_info import SceneInfo
from geokd.scenes.stacking import stack
from geokd.scenes.storage import member_files
from geokd.scenes.turns import turned_towards
from geokd.scenes.validity import refuse_several_bands
from geokd.scenes.warping import WarpedBand, warped
from geokd.text import file_name, without_secrets

SCL_CLASSES: Mapping[int, str] = {
    0: "no data", 1: "saturated", 2: "dark", 3: "cloud shadow", 4: "vegetation", 5: "bare", 6: "water",
    7: "unclassified", 8: "cloud, medium probability", 9: "cloud, high probability", 10: "thin cirrus", 11: "snow",
}  # fmt: skip
"""Classes of Sentinel-2's scene classification."""

_SCL_LEFT_OUT = (0, 1, 3, 8, 9, 10, 11)
_QA_PIXEL = {"fill": 0, "dilated": 1, "cirrus": 2, "cloud": 3, "shadow": 4, "snow": 5, "clear": 6, "water": 7}
_FMASK = {"cloud": 1, "adjacent": 2, "shadow": 3, "snow": 4, "water": 5}
_BITS: Mapping[str, Mapping[str, int]] = {"qa_pixel": _QA_PIXEL, "fmask": _FMASK}
_BITS_LEFT_OUT = {
    "qa_pixel": ("fill", "dilated", "cirrus", "cloud", "shadow", "snow"),
    "fmask": ("cloud", "adjacent", "shadow", "snow"),
}
_PARTS = {
    "scl": "Sentinel-2 L2A products",
    "qa_pixel": "Landsat products",
    "fmask": "HLS products",
    "udm2": "PlanetScope products, in a file beside the scene",
}
_KIND_IN_NAME = re.compile(rf"(?:^|[^a-z])({'|'.join(_PARTS)})(?![a-z])", re.IGNORECASE)
_VALUES = re.compile(r"\d+(?:,\d+)*")
_SUBDATASET = re.compile(r"(?:netcdf|hdf\w*|zarr):(?:[a-z]:)?[^:]*", re.IGNORECASE)  # without its variable
_FILE_OF_KIND = re.compile(rf"(.+):({'|'.join(_PARTS)})(?::([^:]+))?", re.IGNORECASE)


@dataclass(frozen=True)
class MaskRule:
    """Which pixels of a mask are left out: those with given values or bits; if none are given, all but 0.

    Parameters
    ----------
    values : tuple of int
    bits : int
        The bits, as one number.
    """

    values: tuple[int, ...] = ()
    bits: int = 0

    @property
    def example(self) -> int:
        """A value that is left out."""
        return self.values[0] if self.values else self.bits or 1

    def left_out(self, mask: NDArray[np.generic]) -> NDArray[np.bool_]:
        """Find the pixels that are left out."""
        if self.bits:
            return np.asarray((mask.astype(np.int64) & self.bits) != 0)
        return np.isin(mask, self.values) if self.values else np.asarray(mask != 0)


@dataclass(frozen=True)
class MaskPlan:
    """A mask on the grid of a scene, and how it is read; picklable.

    Parameters
    ----------
    raster : str
        Name for GDAL.
    bidx : int
    rule : MaskRule
    note : str
        What it leaves out, in a sentence.
    name : str
        As the user named it.
    files : tuple of str
        All files it is read from.
    """

    raster: str
    bidx: int
    rule: MaskRule
    note: str
    name: str
    files: tuple[str, ...] = ()

    def kept(self, window: Window, shape: tuple[int, int]) -> NDArray[np.bool_]:
        """Read which pixels of a window are not left out, bool (h, w), subsampled to `shape`.

        Raises
        ------
        SceneError
            If the mask cannot be read.
        """
        try:
            with open_scene(self.raster, self.name) as dataset:
                return ~self.rule.left_out(dataset.read(self.bidx, window=window, out_shape=shape))
        except GdalErrors as error:
            raise SceneError(f"the mask {self.name} cannot be read: {gdal_reason(error)}") from error


def plan_mask(info: SceneInfo, asked: str) -> MaskPlan:
    """Find the mask that a user names, warp it to the scene's grid, and decide what it leaves out.

    Parameters
    ----------
    info : SceneInfo
    asked : str
        "scl", "qa_pixel", "fmask" or "udm2", with values or names after a colon; or a file, or the description of a
        band of the scene, with values, or one of these kinds and perhaps its values or names, after a colon.

    Raises
    ------
    CallError
        If the mask, value or name does not exist.
    SceneError
        If it cannot be read, or does not overlap the scene.
    """
    name, kind, chosen = parse_mask(asked)
    own = _band_of_scene(info, name) if name else _mask_of_scene(info, kind)
    what = f"the mask {file_name(name) if name else kind}"
    if not kind and not chosen:
        _refuse_likely_kind(name)
    file = own or BandFile(_absolute(name))
    rule, words = _rule(kind, chosen)
    raster, files, whole = _on_grid(file, info.grid, rule, what, named_band=own is not None or kind == "udm2")
    note = f"pixels where {what} {words} are left out{'' if whole else ', and those outside the mask'}"
    return MaskPlan(raster, 1 if raster.startswith("<") else file.bidx, rule, note, without_secrets(asked), files)


def parse_mask(asked: str) -> tuple[str, str, str]:
    """Return name of a file or band, kind, and values or names of what is left out; each may be empty."""
    match = _FILE_OF_KIND.fullmatch(asked)
    if match and not _SUBDATASET.fullmatch(match[1]):  # a variable may have the name of a kind
        return match[1], match[2].lower(), match[3] or ""
    name, _, chosen = asked.rpartition(":")
    if name.lower() in _PARTS:
        return "", name.lower(), chosen
    if asked.lower() in _PARTS:
        return "", asked.lower(), ""
    return (name, "", chosen) if name and _VALUES.fullmatch(chosen) else (asked, "", "")


def _refuse_likely_kind(name: str) -> None:
    """Refuse a file without values whose name is that of a mask in which clear pixels are not 0.

    Raises
    ------
    CallError
    """
    match = _KIND_IN_NAME.search(file_name(name))
    if match and Path(name).exists():
        kind = match[1].lower()
        some = f"{kind}:{','.join(_BITS_LEFT_OUT[kind][-2:])}" if kind in _BITS else f"{kind}:VALUE,VALUE"
        raise CallError(
            f"by its name, the mask {file_name(name)} seems to be a mask {kind} of {_PARTS[kind].split(',')[0]}, whose"
            f" clear pixels are not 0: give --mask {name}:{kind}, or --mask {name}:{some} to leave out only these; for"
            f" a mask in which 1 is to be left out, --mask {name}:1"
        )


def _rule(kind: str, chosen: str) -> tuple[MaskRule, str]:
    """Return what is left out, with a description.

    Raises
    ------
    CallError
        If the mask does not have these values or names.
    """
    parts = [part.strip().lower() for part in chosen.split(",")] if chosen else []
    if kind in _BITS:
        bits = _BITS[kind]
        taken = parts or list(_BITS_LEFT_OUT[kind])
        unknown = [part for part in taken if part not in bits]
        if unknown:
            raise CallError(f"--mask {kind} has no {' or '.join(unknown)}; it has {', '.join(bits)}")
        return MaskRule(bits=sum(1 << bits[part] for part in taken)), f"marks {', '.join(taken)}"
    if not all(part.isdigit() for part in parts):
        raise CallError(f"--mask {kind}:{chosen} is not a list of values such as {kind}:3,8,9")
    values = tuple(int(part) for part in parts)
    if kind == "scl":
        values = values or _SCL_LEFT_OUT
        unknown = [str(value) for value in values if value not in SCL_CLASSES]
        if unknown:
            raise CallError(f"--mask scl has no class {', '.join(unknown)}; it has 0 to {max(SCL_CLASSES)}")
        return MaskRule(values), f"is {', '.join(f'{value} ({SCL_CLASSES[value]})' for value in values)}"
    if kind == "udm2":
        return MaskRule(values or (0,)), f"(its band of clear pixels) is {', '.join(map(str, values or (0,)))}"
    return MaskRule(values), f"is {', '.join(map(str, values))}" if values else "is not 0"


def _mask_of_scene(info: SceneInfo, kind: str) -> BandFile:
    """Find a mask that belongs to a scene: in its product, among its bands, or in a file beside it.

    Raises
    ------
    CallError
        If it does not exist.
    """
    if info.product is not None and kind in info.product.masks:
        files = info.product.masks[kind]
        return files[0] if len(files) == 1 else BandFile(stack((ProductBand(kind, files),), info.path))
    for number, description in enumerate(info.descriptions, 1):
        if description.lower() == kind:
            return BandFile(_absolute(info.raster), number)
    if kind == "udm2":
        stem = re.sub(r"(?i)_(?:ortho_)?analytic\w*$", "", Path(info.path).stem)
        beside = [file for file in Path(info.path).parent.glob(f"{stem}*udm2*.tif*") if not file.name.endswith(".xml")]
        if len(beside) == 1:
            return BandFile(str(beside[0].absolute()))
    there = sorted(info.product.masks) if info.product is not None else []
    hint = f"it has {named(there, 5)}" if there else "give the mask as a file: --mask FILE:VALUE,VALUE"
    raise CallError(f"{info.path} has no mask {kind}, which is part of {_PARTS[kind]}; {hint}")


def _band_of_scene(info: SceneInfo, name: str) -> BandFile | None:
    """Find a band of the scene by its description, unless there is a file of that name."""
    if Path(name).exists():
        return None
    numbers = [n for n, description in enumerate(info.descriptions, 1) if description.lower() == name.lower()]
    return BandFile(_absolute(info.raster), numbers[0]) if numbers else None


def _absolute(path: str) -> str:
    return str(Path(path).absolute()) if Path(path).exists() else path


def _on_grid(
    file: BandFile, grid: SceneGrid, rule: MaskRule, what: str, *, named_band: bool
) -> tuple[str, tuple[str, ...], bool]:
    """Return GDAL's name of a mask on a grid, its files, and whether it covers the grid.

    Raises
    ------
    SceneError
        If it is not georeferenced, or does not overlap the grid.
    """
    try:
        with open_scene(file.path, what) as dataset:
            try:
                own = SceneGrid(dataset.transform, dataset.height, dataset.width, dataset.crs)
            except ValueError as error:
                raise SceneError(f"{what} has an unusable grid: {error}") from error
            files = tuple(dict.fromkeys(map(without_secrets, member_files(dataset))))
            if not named_band:
                refuse_several_bands(dataset, what)
            if file.bidx > dataset.count:
                raise SceneError(f"{what} has no band {file.bidx}, only {dataset.count}")
            dtype = dataset.dtypes[file.bidx - 1]
    except GdalErrors as error:
        raise SceneError(f"{what} cannot be read: {error}") from error
    if dtype.startswith(("float", "complex")):
        raise SceneError(f"{what} holds {dtype} values; a mask has integers: convert it with gdal_translate -ot Byte")
    own = turned_towards(own, grid)
    if own == grid:
        return file.path, files, True
    if own.crs is None or grid.crs is None:
        raise SceneError(f"{what} or the scene has no coordinate reference system, so they cannot be overlaid")
    text = warped(file.path, own, grid, [WarpedBand(file.bidx, dtype, beyond=float(rule.example))])
    share = _covered(own, grid)
    if share == 0:
        raise SceneError(f"{what} does not overlap the scene; use the mask of this scene")
    return text, files, share == 1


def _covered(mask: SceneGrid, grid: SceneGrid) -> float:
    """Share of points all over a grid that lie within that of a mask."""
    assert mask.crs is not None
    assert grid.crs is not None
    rows, cols = np.meshgrid(np.linspace(0.5, grid.height - 0.5, 21), np.linspace(0.5, grid.width - 0.5, 21))
    x, y = grid.transform @ (cols.ravel(), rows.ravel())
    if mask.crs != grid.crs:
        x, y = Transformer.from_crs(grid.crs.to_wkt(), mask.crs.to_wkt(), always_xy=True).transform(x, y)
    col, row = ~mask.transform @ (np.asarray(x), np.asarray(y))
    inside = (col >= 0) & (col <= mask.width) & (row >= 0) & (row <= mask.height)
    return float(inside.mean())
