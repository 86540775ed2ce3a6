"""Cutting a scene into georeferenced chips, to look at or, with labels, to train on."""

import re
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio.enums import ColorInterp
from rasterio.errors import NotGeoreferencedWarning
from rasterio.io import DatasetReader
from rasterio.windows import Window

from geokd.chips.folder import check_folder, staged_chips, write_manifest
from geokd.chips.labelled_patches import patches_about, patches_of_grid
from geokd.errors import CallError, ChipError, OutputError, SceneError, one_message
from geokd.labels.cell_labels import read_cell_labels
from geokd.labels.polygons import read_labels
from geokd.scenes.grid import PatchGrid
from geokd.scenes.opening import GdalErrors, gdal_reason, open_scene
from geokd.scenes.reader import describe_scene
from geokd.scenes.validity import Nodata, valid_pixels

_CREDIT_TAGS = ("credit", "license", "copyright", "attribution", "tifftag_copyright")
_USUAL_PATCH_PX = 64


@dataclass(frozen=True)
class TileOptions:
    """How a scene is cut.

    Parameters
    ----------
    patch_px : int or None
        Side of a chip in pixels. None: that of the patches that labelled cells were mapped from, else 64.
    stride_px : int or None
        Distance between neighbouring chips in pixels; divides `patch_px`. None: `patch_px`, so chips lie side by side.
        Of labelled cells each has a chip of its own, whatever the distance.
    min_cover : float
        Share of a chip that the polygons of one class must cover: above 0.5, so that it prevails, to 1.
    bidx : tuple of int or None
        Bands to keep, 1-based; None keeps all.
    overwrite : bool
        Whether chips that an earlier call wrote into the folder are replaced.

    Raises
    ------
    CallError
        If values are out of their range: all of them in one message.
    """

    patch_px: int | None = None
    stride_px: int | None = None
    min_cover: float = 0.6
    bidx: tuple[int, ...] | None = None
    overwrite: bool = False

    def __post_init__(self) -> None:
        problems = []
        patch_px = _USUAL_PATCH_PX if self.patch_px is None else self.patch_px
        if not 8 <= patch_px <= 4096:
            problems.append(f"a patch of {patch_px} px is outside 8..4096")
        elif self.stride_px is not None and (self.stride_px < 1 or patch_px % self.stride_px):
            problems.append(
                f"stride {self.stride_px} px does not divide the patch of {patch_px} px;"
                f" take {patch_px} for chips side by side, or a fraction of it for overlapping ones"
            )
        if not 0.5 < self.min_cover <= 1:
            problems.append(f"min-cover {self.min_cover:g} is outside 0.5..1; above 0.5 one class prevails")
        if problems:
            raise CallError(one_message(problems))


@dataclass(frozen=True)
class LeftOut:
    """Number of patches that did not become chips, each counted once, by the first reason that holds.

    Parameters
    ----------
    past_the_edge : int
        They reach past the scene's last row or column.
    not_labelled : int
        The labels of all classes together cover less than `min_cover`.
    mixed : int
        Labels cover enough, but not those of one class; or those of two, where polygons overlap.
    invalid_pixels : int
        They hold nodata, masked pixels or values that are not finite.
    none_of_these : int
        Somebody found that they are of no class of the map.
    repeated : int
        Another labelled cell has the same patch, as at the scene's edge.
    """

    past_the_edge: int
    not_labelled: int
    mixed: int
    invalid_pixels: int
    none_of_these: int = 0
    repeated: int = 0

    def __str__(self) -> str:
        reasons = {
            "reach past the scene's edge": self.past_the_edge,
            "are not labelled": self.not_labelled,
            "are mixed": self.mixed,
            "hold invalid pixels": self.invalid_pixels,
            "are of no class of the map": self.none_of_these,
            "share the patch of another": self.repeated,
        }
        return ", ".join(f"{count:,} {reason}" for reason, count in reasons.items() if count) or "none"


@dataclass(frozen=True)
class TileResult:
    """What was cut.

    Parameters
    ----------
    folder : Path
    chips : tuple of str
        Files below `folder`, with `/`, in the order of patches.
    counts : dict
        Chips of each class, of classes without chips too; empty without labels.
    left_out : LeftOut
    nameless_labels : int
        Polygons that were left out because their field is empty.
    """

    folder: Path
    chips: tuple[str, ...]
    counts: dict[str, int]
    left_out: LeftOut
    nameless_labels: int

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object with the counts, without the list of chips."""
        return {
            "folder": str(self.folder),
            "chips": len(self.chips),
            "counts": self.counts,
            "left_out": asdict(self.left_out),
            "nameless_labels": self.nameless_labels,
        }


def tile(
    scene: str | Path,
    output: str | Path,
    labels: str | Path | None = None,
    field: str | None = None,
    options: TileOptions | None = None,
) -> TileResult:
    """Cut a scene into chips: GeoTIFFs with the scene's own bands, type, nodata, CRS and exact place.

    Only whole patches of valid pixels become chips, named `<stem>_r<row>_c<col>.tif` by their first pixel. With labels,
    each goes into a folder named by the class whose polygons cover enough of it. A `chips.json` beside them tells
    what was cut how. All of it appears together, or none does.

    Parameters
    ----------
    scene : str or Path
        Anything GDAL opens.
    output : str or Path
        A new or empty folder; or that of an earlier call, if `options.overwrite`.
    labels : str or Path, optional
        Vector file with one layer of polygons, in any CRS; or cells that were labelled in a file of
        :func:`geokd.review` or :func:`geokd.sample`, of each of which the patch about it is cut.
    field : str, optional
        The attribute of the polygons that holds the class.
    options : TileOptions, optional

    Raises
    ------
    CallError
        If there is no such file, field or band, or the folder may not be written.
    SceneError
        If the scene cannot be read.
    ChipError
        If the labels cannot be used, or no patch is fit to become a chip.
    OutputError
        If the chips cannot be written.
    """
    options = options or TileOptions()
    folder = Path(output)
    scene_grid = describe_scene(scene).grid
    cells = None if labels is None else read_cell_labels(Path(labels), scene_grid)
    if cells is None and (labels is None) != (field is None):
        raise CallError(
            "--labels and --field go together: the file of polygons, and the attribute that holds the class"
        )
    if cells is not None and (field or options.stride_px):
        raise CallError(f"{labels} holds labelled cells, each with a chip of its own: leave --field and --stride out")
    check_folder(folder, overwrite=options.overwrite)
    patch_px = options.patch_px or (cells and cells.design.patch_px) or _USUAL_PATCH_PX
    options = replace(options, patch_px=patch_px)
    grid = PatchGrid(scene_grid, patch_px, options.stride_px or patch_px)
    polygons = None if cells or labels is None or field is None else read_labels(labels, field, scene_grid)
    with _no_georeferencing_warnings(), open_scene(str(scene)) as dataset:
        source = _Source(dataset, str(scene), grid, _checked_bands(dataset, options.bidx))
        with staged_chips(folder) as stage:
            reasons = Counter[str]()
            if cells is None:
                wanted = patches_of_grid(grid, polygons, options.min_cover, reasons)
            else:
                wanted = patches_about(cells, grid, reasons)
            chips, left_out = _cut(source, wanted, reasons, stage)
            if not chips:
                raise ChipError(f"no chip can be cut from {scene}: of its patches {left_out}")
            found = Counter(PurePosixPath(chip).parent.name for chip in chips)
            classes = cells.classes if cells else polygons.classes if polygons else ()
            result = TileResult(
                folder=folder,
                chips=tuple(chips),
                counts={name: found[name] for name in classes},
                left_out=left_out,
                nameless_labels=polygons.nameless if polygons else 0,
            )
            inputs = {"scene": str(scene), "labels": None if labels is None else str(labels), "field": field}
            write_manifest(stage, {**inputs, **_account(result, options), "credit": _credit(dataset), "chips": chips})
    return result


@contextmanager
def _no_georeferencing_warnings() -> Iterator[None]:
    """Keep quiet about a scene without coordinates: its chips have none either."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        yield


@dataclass(frozen=True)
class _Source:
    """An open scene, its patches, and the bands to keep."""

    dataset: DatasetReader
    path: str
    grid: PatchGrid
    bidx: tuple[int, ...]


def _checked_bands(dataset: DatasetReader, bidx: tuple[int, ...] | None) -> tuple[int, ...]:
    """Return the bands to keep: those asked for, or all."""
    if bidx is None:
        bidx = tuple(dataset.indexes)
    if not bidx or any(band not in dataset.indexes for band in bidx):
        asked = ",".join(map(str, bidx))
        raise CallError(f"--bidx {asked} is not among the scene's bands 1..{dataset.count}")
    types = sorted({dataset.dtypes[band - 1] for band in bidx})
    if len(types) > 1:
        raise SceneError(f"the scene's bands are of different types ({', '.join(types)}); keep those of one by --bidx")
    return bidx


def _cut(
    source: _Source, wanted: Iterable[tuple[Window, str]], reasons: Counter[str], folder: Path
) -> tuple[list[str], LeftOut]:
    """Write all chips below `folder`; return their paths in it, and how many patches came to none."""
    chips: list[str] = []
    stem = re.sub(r'[\\/:*?"<>|]', "_", Path(source.path).stem)  # of a URL or subdataset it may hold these
    scene = source.grid.scene_grid
    digits = len(str(max(scene.height, scene.width)))
    for window, class_name in wanted:
        values = _read_if_valid(source, window)
        if values is None:
            reasons["invalid_pixels"] += 1
            continue
        name = f"{stem}_r{window.row_off:0{digits}}_c{window.col_off:0{digits}}.tif"
        chip = folder / class_name / name
        _write_chip(chip, source, window, values)
        chips.append(chip.relative_to(folder).as_posix())
    return chips, LeftOut(**{field.name: reasons[field.name] for field in fields(LeftOut)})


def _read_if_valid(source: _Source, window: Window) -> NDArray[np.generic] | None:
    """Read the DN (C, h, w) of a window; None if any pixel is invalid."""
    dataset = source.dataset
    alpha = [dataset.colorinterp[band - 1] == ColorInterp.alpha for band in source.bidx]
    images = tuple(band for band, is_alpha in zip(source.bidx, alpha, strict=True) if not is_alpha)
    try:
        values = dataset.read(list(source.bidx), window=window)
        valid = valid_pixels(dataset, values[np.invert(alpha)], window, images, Nodata(dataset.nodatavals))
    except GdalErrors as error:
        raise SceneError(
            f"cannot read {source.path} at row {window.row_off}, column {window.col_off}: {gdal_reason(error)};"
            " the file may be cut short: copy or download it again"
        ) from error
    return values if valid.all() else None


def _write_chip(path: Path, source: _Source, window: Window, values: NDArray[np.generic]) -> None:
    """Write a chip with all that the scene says of its bands and its place."""
    dataset, bands = source.dataset, [band - 1 for band in source.bidx]
    scene = source.grid.scene_grid
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with rasterio.open(
            path,
            "w",
            driver="GTiff",
            dtype=values.dtype,
            count=len(bands),
            height=window.height,
            width=window.width,
            crs=scene.crs,
            transform=scene.transform @ Affine.translation(window.col_off, window.row_off),
            nodata=dataset.nodata,
            compress="deflate",
        ) as chip:
            chip.write(values)
            chip.colorinterp = [dataset.colorinterp[band] for band in bands]
            chip.descriptions = [dataset.descriptions[band] for band in bands]
            chip.scales = [dataset.scales[band] for band in bands]
            chip.offsets = [dataset.offsets[band] for band in bands]
    except (*GdalErrors, OSError) as error:
        raise OutputError(
            f"cannot write the chip {path.name}: {gdal_reason(error)}; make room or choose another folder"
        ) from error


def _account(result: TileResult, options: TileOptions) -> dict[str, Any]:
    """Tell for the manifest how chips were cut and how many came of it."""
    figures = {k: v for k, v in result.to_json().items() if k not in ("folder", "chips")}
    return {"options": {k: v for k, v in asdict(options).items() if k != "overwrite"}, **figures}


def _credit(dataset: DatasetReader) -> dict[str, str]:
    """Tags of a scene that name its makers or its licence."""
    return {tag: text for tag, text in sorted(dataset.tags().items()) if tag.lower() in _CREDIT_TAGS}
