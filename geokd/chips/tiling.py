"""Cutting a scene into georeferenced chips, to look at or, with labels, to train on."""

import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from rasterio.errors import NotGeoreferencedWarning
from rasterio.io import DatasetReader

from geokd.chips.cutting import ChipSource, LeftOut, checked_bands, cut_chips, images_of
from geokd.chips.folder import check_folder, staged_chips, write_manifest
from geokd.chips.labelled_patches import patches_about, patches_of_grid, patches_within
from geokd.errors import CallError, ChipError
from geokd.labels.cell_labels import read_cell_labels
from geokd.labels.polygons import read_labels
from geokd.scenes.area import read_area
from geokd.scenes.masks import plan_mask
from geokd.scenes.opening import open_scene
from geokd.scenes.options import AreaOptions
from geokd.scenes.patches import PatchGrid
from geokd.scenes.plan import plan_chips
from geokd.scenes.reader import describe_scene, warnings_of_fill

_CREDIT_TAGS = ("credit", "license", "copyright", "attribution", "tifftag_copyright")
_USUAL_PATCH_PX = 64


@dataclass(frozen=True)
class TileOptions(AreaOptions):
    """How a scene is cut.

    Parameters
    ----------
    patch_px : int or None
        Side of a chip in pixels. None: for labelled cells the patch that the map was made with, else 64.
    stride_px : int or None
        Distance between neighbouring chips in pixels; divides `patch_px`. None: `patch_px`, so chips lie side by side.
        Labelled cells have a chip each, whatever the distance.
    min_cover : float
        Share of a chip that the polygons of one class must cover; above 0.5, so that it is the majority, up to 1.
    bidx : tuple of int or None
        Bands to keep, 1-based; None keeps all.
    nodata : float or None
        Value that marks missing pixels. None: the scene's own.
    mask : str or None
        Mask of what is left out, as in :func:`geokd.scenes.masks.plan_mask`.
    aoi, where, bbox
        The area that chips lie within, as :class:`geokd.AreaOptions`. None: the whole scene.
    overwrite : bool
        Whether chips of an earlier call in the folder are replaced.

    Raises
    ------
    CallError
        If values are out of range: all of them in one message.
    """

    patch_px: int | None = None
    stride_px: int | None = None
    min_cover: float = 0.6
    bidx: tuple[int, ...] | None = None
    nodata: float | None = None
    mask: str | None = None
    overwrite: bool = False

    def _problems(self) -> list[str]:
        problems = super()._problems()
        patch_px = _USUAL_PATCH_PX if self.patch_px is None else self.patch_px
        if not 8 <= patch_px <= 4096:
            problems.append(f"a patch of {patch_px} px is outside 8..4096")
        elif self.stride_px is not None and (self.stride_px < 1 or patch_px % self.stride_px):
            problems.append(
                f"stride {self.stride_px} px does not divide the patch of {patch_px} px;"
                f" take {patch_px} for chips side by side, or a divisor of it for overlapping ones"
            )
        if not 0.5 < self.min_cover <= 1:
            problems.append(f"min-cover {self.min_cover:g} is outside 0.5..1; above 0.5 one class is the majority")
        return problems


@dataclass(frozen=True)
class TileResult:
    """What was cut.

    Parameters
    ----------
    folder : Path
    chips : tuple of str
        Files below `folder`, with `/`, in the order of patches.
    counts : dict
        Number of chips of each class, 0 included; empty without labels.
    left_out : LeftOut
    nameless_labels : int
        Polygons that were left out because their field is empty.
    notes : tuple of str
        How the scene was read, one sentence each.
    warnings : tuple of str
        Possible problems of the scene, with the remedy, one sentence each.
    """

    folder: Path
    chips: tuple[str, ...]
    counts: dict[str, int]
    left_out: LeftOut
    nameless_labels: int
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object with the counts, without the list of chips."""
        return {
            "folder": str(self.folder),
            "chips": len(self.chips),
            "counts": self.counts,
            "left_out": asdict(self.left_out),
            "nameless_labels": self.nameless_labels,
            "notes": list(self.notes),
            "warnings": list(self.warnings),
        }


def tile(
    scene: str | Path,
    output: str | Path,
    labels: str | Path | None = None,
    field: str | None = None,
    options: TileOptions | None = None,
) -> TileResult:
    """Cut a scene into chips: GeoTIFFs with the scene's own bands, data type, nodata, CRS and exact position.

    Only whole patches of valid pixels become chips, named `<stem>_r<row>_c<col>.tif` by their first pixel. With labels,
    each goes into a folder named by the class whose polygons cover enough of it. A `chips.json` beside them lists the
    chips and how they were cut. All files appear together, or none does.

    Parameters
    ----------
    scene : str or Path
        Anything GDAL opens.
    output : str or Path
        A new or empty folder; or that of an earlier call, if `options.overwrite`.
    labels : str or Path, optional
        Vector file with one layer of polygons, in any CRS; or cells that were labelled in a file of
        :func:`geokd.review` or :func:`geokd.sample`: the patch around each of them is cut.
    field : str, optional
        The attribute of the polygons that holds the class.
    options : TileOptions, optional

    Returns
    -------
    TileResult

    Raises
    ------
    CallError
        If a file, field or band does not exist, or the folder may not be written.
    SceneError
        If the scene cannot be read.
    ChipError
        If the labels cannot be used, or no patch can become a chip.
    OutputError
        If the chips cannot be written.
    """
    options = options or TileOptions()
    folder = Path(output)
    info = describe_scene(scene)
    scene_grid = info.grid
    cells = None if labels is None else read_cell_labels(Path(labels), scene_grid)
    if cells is None and (labels is None) != (field is None):
        raise CallError(
            "--labels and --field go together: the file of polygons, and the attribute that holds the class"
        )
    if cells is not None and (field or options.stride_px):
        raise CallError(f"{labels} holds labelled cells, each of which gives one chip; leave out --field and --stride")
    check_folder(folder, overwrite=options.overwrite)
    patch_px = options.patch_px or (cells and cells.design.patch_px) or _USUAL_PATCH_PX
    options = replace(options, patch_px=patch_px)
    grid = PatchGrid(scene_grid, patch_px, options.stride_px or patch_px)
    polygons = None if cells or labels is None or field is None else read_labels(labels, field, scene_grid)
    area = read_area(options, scene_grid, info.path)
    bidx = checked_bands(info, options.bidx)
    plan = plan_chips(info, images_of(info, bidx), options.nodata)
    if options.mask is not None:
        plan = plan.with_mask(plan_mask(info, options.mask))
    with _no_georeferencing_warnings(), open_scene(info.raster, info.path) as dataset:
        source = ChipSource(dataset, info, plan, grid, bidx)
        with staged_chips(folder) as stage:
            reasons = Counter[str]()
            if cells is None:
                wanted = patches_of_grid(grid, polygons, options.min_cover, reasons)
            else:
                wanted = patches_about(cells, grid, reasons)
            chips, left_out = cut_chips(source, patches_within(area, wanted, grid, reasons), reasons, stage)
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
                notes=(*info.notes, *plan.notes),
                warnings=tuple(warnings_of_fill(plan)),
            )
            inputs = {"scene": str(scene), "labels": None if labels is None else str(labels), "field": field}
            write_manifest(stage, {**inputs, **_account(result, options), "credit": _credit(dataset), "chips": chips})
    return result


@contextmanager
def _no_georeferencing_warnings() -> Iterator[None]:
    """Suppress the warning about a scene without coordinates: its chips have none either."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        yield


def _account(result: TileResult, options: TileOptions) -> dict[str, Any]:
    """Return for the manifest how chips were cut and how many there are."""
    figures = {k: v for k, v in result.to_json().items() if k not in ("folder", "chips")}
    return {"options": {k: v for k, v in asdict(options).items() if k != "overwrite"}, **figures}


def _credit(dataset: DatasetReader) -> dict[str, str]:
    """Tags of a scene that name its makers or its licence."""
    return {tag: text for tag, text in sorted(dataset.tags().items()) if tag.lower() in _CREDIT_TAGS}
