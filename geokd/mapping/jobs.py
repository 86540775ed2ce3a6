"""A mapping job: a scene that was checked, with every choice made."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geokd.legend.classes import Legend
from geokd.mapping.areas import cells_of_area, has_say
from geokd.mapping.choosing import ModelChoice
from geokd.mapping.options import ClassifyOptions
from geokd.maps.names import OutputNames, output_names
from geokd.maps.options import MapOptions
from geokd.maps.pages.quicklook import notes_of_letters
from geokd.model.bundle import Bundle
from geokd.model.purpose import for_chips_alone
from geokd.scenes.acquisition import Acquisition, stated_acquisition
from geokd.scenes.grid import Rectangle, SceneGrid, whole
from geokd.scenes.patches import AnyGrid, DenseGrid, PatchBlock
from geokd.scenes.plan import ScenePlan
from geokd.scenes.scene_info import SceneInfo
from geokd.scenes.tiles import worth_keeping

if TYPE_CHECKING:
    from geokd.scenes.area import Area

_MIN_VALID_SHARE = 0.25  # default for patch students; dense ones classify every valid pixel


@dataclass(frozen=True, eq=False)
class MappingJob:
    """A scene that was checked and can be mapped: every choice made, nothing done yet.

    Parameters
    ----------
    info : SceneInfo
    plan : ScenePlan
    patches : PatchGrid or DenseGrid
    bundle : Bundle
    model : Path
        The bundle's file.
    folder : Path
        Where the outputs go.
    options : ClassifyOptions
    blocks_px : tuple of int
        Height and width of the blocks.
    identity : dict
        What scene, model and the options of scene and area come to, as JSON values.
    choice : ModelChoice
        The model as the caller named it, and the reason if it was chosen automatically.
    finished : bool
        Whether the map exists already, made from the same scene with the same model and options.
    spared : int
        Workers that are not used, for lack of memory.
    area : Area or None
        The part of the scene that is mapped; None: all of it.
    """

    @cached_property
    def part(self) -> Rectangle:
        """The cells of the scene that the map has: all, or the bounding rectangle of the area."""
        cells = self.patches.cell_grid
        return whole(cells) if self.area is None else cells_of_area(self.area, cells)

    @cached_property
    def map_grid(self) -> SceneGrid:
        """The grid of the map."""
        return self.part.of(self.patches.cell_grid)

    @cached_property
    def shown(self) -> Rectangle:
        """The pixels of the scene that the map covers."""
        return self.part.times(self.patches.cell_px, self.plan.grid)

    @cached_property
    def seen(self) -> Rectangle:
        """The pixels of the scene that the map's cells depend on, starting at a corner of the lattice of patches."""
        step, reach, scene = self.patches.stride_px, self.patches.patch_px, self.plan.grid

        def along(start: int, stop: int, size: int) -> tuple[int, int]:
            return max(0, start - reach) // step * step, min(size, stop + reach)

        return Rectangle(
            *along(self.shown.row_start, self.shown.row_stop, scene.height),
            *along(self.shown.col_start, self.shown.col_stop, scene.width),
        )

    @cached_property
    def seen_part(self) -> tuple[slice, slice]:
        """Rows and columns of the map's cells, counted from the first one that lies in the pixels seen."""
        side = self.patches.cell_px
        return self.part.within(self.seen.row_start // side, self.seen.col_start // side)

    @cached_property
    def blocks(self) -> tuple[PatchBlock, ...]:
        """The blocks that are read: all, or those that affect a cell of the area."""
        every = self.patches.blocks(*self.blocks_px)
        return tuple(block for block in every if self.area is None or has_say(block, self.patches, self.area))

    info: SceneInfo
    plan: ScenePlan
    patches: AnyGrid
    bundle: Bundle
    model: Path
    folder: Path
    options: ClassifyOptions
    blocks_px: tuple[int, int]
    identity: dict[str, Any]
    choice: ModelChoice
    finished: bool = False
    spared: int = 0
    area: "Area | None" = None

    @property
    def journal(self) -> Path:
        """Path of the journal, which exists until the map is written."""
        return self.folder / f"{self.hidden}journal"

    @property
    def hidden(self) -> str:
        """Prefix of the names of temporary files beside the outputs."""
        return f".{self.info.name}.geokd-"

    @property
    def fingerprint(self) -> str:
        """Identifies the scene, the model and all options but those of the run."""
        known = self.options.part(MapOptions) | self.identity
        return sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()

    @property
    def run(self) -> dict[str, Any]:
        """All that the result of a block depends on, as JSON values."""
        own: dict[str, Any] = {"block_px": list(self.blocks_px)}
        if self.bundle.contract.is_dense:  # its blocks keep classes, not what a class is chosen from
            shares = dict(sorted(self.options.min_confidence_of.items()))
            own |= {"probabilities_kept": self.keeps_probabilities, "min_confidence": self.options.min_confidence}
            own |= {"min_confidence_of": shares} if shares else {}
        return self.identity | own

    @property
    def names(self) -> OutputNames:
        """File names of all possible outputs."""
        return output_names(self.info.name)

    @property
    def outputs(self) -> dict[str, str]:
        """File names of the requested outputs, by the fields of `names`."""
        asked = self.options
        return self.names.chosen(polygons=asked.polygons, probabilities=asked.probabilities, report=asked.report)

    @property
    def min_valid_share(self) -> float:
        """Share of valid pixels below which a patch is not classified."""
        return least_valid_share(self.options, self.bundle)

    @property
    def kept_tile_px(self) -> tuple[int, int] | None:
        """Height and width of the scene's tiles, if they are cached for overlapping blocks."""
        kept = worth_keeping(self.info.storage_px, self.plan.grid.width)
        return self.info.storage_px if kept else None

    @property
    def keeps_probabilities(self) -> bool:
        """Whether a dense student's probabilities of all classes are kept until the map is written."""
        return keeps_probabilities(self.options, self.bundle)

    @property
    def legend(self) -> Legend:
        """Classes of the map: the model's, and unclassified if a minimum confidence is given."""
        legend = self.bundle.legend
        return legend.with_unclassified() if self.options.leaves_unsure else legend

    @property
    def least_confidences(self) -> tuple[float, ...]:
        """Confidence of each class below which a cell is left unclassified."""
        return self.options.least_confidences(self.bundle.legend)

    @property
    def acquisition(self) -> Acquisition | None:
        """Acquisition date, if known."""
        stated = self.options.acquired
        return self.info.acquisition if stated is None else stated_acquisition(stated)

    @property
    def notes(self) -> tuple[str, ...]:
        """Choices that affect the map, one sentence each."""
        size, target = (
            f"{metres:.4g} m" for metres in (max(self.plan.grid.pixel_size_m), self.bundle.contract.ground_resolution_m)
        )
        least = self.options.min_confidence
        unsure: tuple[str, ...] = (
            (f"cells with a confidence below {100 * least:g} % are left unclassified",) if least > 0 else ()
        )
        unsure += tuple(
            f"cells of {name} are left unclassified below {100 * share:g} %"
            for name, share in self.options.min_confidence_of.items()
        )
        return (
            *((self.choice.reason,) if self.choice.reason else ()),
            *self.plan.notes,
            f"pixels of {size}"
            + (", as the model expects" if size == target else f" in place of the model's {target}"),
            *(() if self.area is None else (self.area.note,)),
            *_notes_of_patches(self),
            *self.bundle.rules,
            *unsure,
            *_notes_of_filters(self.options),
            *_notes_of_workers(self),
            _note_of_acquisition(self.acquisition),
            *notes_of_letters(self.legend),
        )


def least_valid_share(options: ClassifyOptions, bundle: Bundle) -> float:
    """Return the share of valid pixels below which a patch is not classified: the caller's, or the default."""
    if options.min_valid_share is not None:
        return options.min_valid_share
    return 0.0 if bundle.contract.is_dense else _MIN_VALID_SHARE


def keeps_probabilities(options: ClassifyOptions, bundle: Bundle) -> bool:
    """Whether a dense student's probabilities of all classes are kept until the map is written.

    Filters need them for the confidence of cells whose class they change.
    """
    return bundle.contract.is_dense and (options.probabilities or options.filters)


def _notes_of_patches(job: MappingJob) -> Iterator[str]:
    """Describe the grid of patches, and how patches with invalid pixels are treated."""
    patches, least = job.patches, 100 * job.min_valid_share
    mean = "invalid pixels are filled with the mean of the patch's valid pixels"
    if isinstance(patches, DenseGrid):
        cell = max(patches.cell_grid.pixel_size_m)
        each = "every pixel" if patches.cell_px == 1 else f"every {patches.cell_px} x {patches.cell_px} pixels"
        yield f"the model classifies {each}: cells of {cell:.4g} m"
        margin = patches.margin_px
        edge = f"; the outer {margin} px of each are not used, as they lack context" if margin else ""
        yield f"patches of {patches.patch_px} px lie {patches.stride_px} px apart{edge}"
        if least > 0:
            yield f"patches with less than {least:g} % valid pixels are not classified; elsewhere {mean}"
        else:
            yield f"every cell with a valid pixel gets a class; {mean}"
        return
    why = ", a quarter of a patch (default stride)" if job.options.stride_px is None else ""
    yield f"patches of {patches.patch_px} px lie {patches.stride_px} px apart{why}"
    yield (f"patches with less than {least:g} % valid pixels are not classified; elsewhere {mean}")
    if for_chips_alone(job.bundle.provenance):
        yield (
            "the model was trained for chips, without mixed chips or simulated changes of light: expect many errors in"
            " a map of a scene"
        )


def _notes_of_workers(job: MappingJob) -> Iterator[str]:
    if job.spared:
        workers, limit = job.options.crew.workers, f"{job.options.memory_mb} MB of memory"
        yield f"{workers} workers instead of {workers + job.spared} stay within {limit}; raise it with --memory"


def _notes_of_filters(options: ClassifyOptions) -> Iterator[str]:
    if options.smooth_cells > 1:
        side = options.smooth_cells
        yield f"each cell gets the most frequent class of the {side} x {side} cells around it, if it is unique"
    if options.min_area_ha > 0:
        yield f"regions below {options.min_area_ha:g} ha are merged with the class of their longest border"
    if options.filters:
        yield "the confidence of a cell that a filter changed is the model's probability of the new class"
    if options.simplify_m > 0:
        yield (
            f"outlines of polygons are simplified by {options.simplify_m:g} m; their area_ha stays that of the cells,"
            " their perimeter_m is the outline's"
        )


def _note_of_acquisition(acquisition: Acquisition | None) -> str:
    if acquisition is None:
        return "acquisition date unknown: the STAC item uses the processing time; give the date with --acquired"
    return f"acquisition date {acquisition}, from {acquisition.source}"
