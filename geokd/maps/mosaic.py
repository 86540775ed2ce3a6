"""From maps of neighbouring or overlapping scenes to one map."""

import datetime
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from rasterio.windows import Window

from geokd.errors import CallError, GeokdError, together
from geokd.legend.classes import NODATA, Legend
from geokd.maps.class_map import ClassMap, row_strips
from geokd.maps.geotiff import Part
from geokd.maps.input_maps import ENDING, InputMap, find_maps, names_of
from geokd.maps.manifest import JoinedMap, Manifest, MosaicRecord, areas_of, grid_fields, package_versions
from geokd.maps.map_files import MapProduct, Sources, write_map
from geokd.maps.map_grid import StatedGrid, lies_on, place, union_grid
from geokd.maps.overlay import Overlay, by_confidence, by_probability
from geokd.maps.pages.quicklook import notes_of_letters
from geokd.scenes.acquisition import Acquisition, spanned
from geokd.scenes.grid import SceneGrid
from geokd.system.commit import check_outputs, staged

By = Literal["probability", "confidence"]

_MOST_SOURCES = NODATA - 1


@dataclass(frozen=True)
class MosaicOptions:
    """How maps are joined.

    Parameters
    ----------
    by : {"probability", "confidence"} or None
        Measure used where maps overlap: the sum of their probabilities, or the highest confidence. None: probability if
        all maps have probabilities and show the likeliest class everywhere, else confidence.
    grid : StatedGrid
        CRS and cells; those of the first map unless stated.
    sources : bool
        Whether a raster is written that shows which map each cell comes from.
    dates : bool
        Whether a raster is written that shows how many maps have a class at each cell.
    polygons : bool
        Whether the GeoPackage of polygons is written.
    overwrite : bool
        Whether outputs that exist are replaced.
    """

    by: By | None = None
    grid: StatedGrid = field(default_factory=StatedGrid)
    sources: bool = False
    dates: bool = False
    polygons: bool = True
    overwrite: bool = False


@dataclass(frozen=True, eq=False)
class _Plan:
    """Everything that is decided before any cell is read."""

    maps: tuple[InputMap, ...]
    grid: SceneGrid
    windows: tuple[Window, ...]
    by: By
    acquisition: Acquisition | None
    notes: tuple[str, ...]

    @property
    def legend(self) -> Legend:
        return self.maps[0].file.legend

    def overlays(self) -> Iterator[tuple[slice, Overlay]]:
        """Decide the cells strip by strip, from above."""
        for rows in row_strips(self.grid.height, self.grid.width):
            parts = []
            for number, (source, window) in enumerate(zip(self.maps, self.windows, strict=True), 1):
                top, bottom = (min(max(row, rows.start), rows.stop) for row in _rows(window))
                if bottom > top and window.width:
                    inside = Window(window.col_off, top, window.width, bottom - top)
                    part = source.read(number, self.grid, inside, percent=self.by == "probability")
                    own = slice(top - rows.start, bottom - rows.start)
                    parts.append(part._replace(place=(own, part.place[1])))
            shape = (rows.stop - rows.start, self.grid.width)
            if self.by == "probability":
                yield rows, by_probability(parts, shape, len(self.legend))
            else:
                yield rows, by_confidence(parts, shape)


def mosaic(maps: Sequence[str | Path], output: str | Path, options: MosaicOptions | None = None) -> Manifest:
    """Join maps of neighbouring or overlapping scenes into one.

    Parameters
    ----------
    maps : sequence of path
        Class rasters `<stem>_landuse.tif`, with `<stem>_confidence.tif` and perhaps `<stem>_probabilities.tif` beside
        them; all of one legend. Their order matters only in ties, and for the grid if that is not stated.
    output : path
        Class raster to write, `<stem>_landuse.tif`; the other files of a map are written beside it, and, if
        probabilities decided, `<stem>_probabilities.tif`.
    options : MosaicOptions, optional

    Returns
    -------
    Manifest
        As in the manifest file; the maps and how they were joined are under `mosaic`.

    Raises
    ------
    CallError
        If the call is wrong: all problems in one message.
    SceneError
        If maps cannot be read or are not compatible.
    OutputError
        If outputs cannot be written. Nothing is left half-written.
    """
    options, path = options or MosaicOptions(), Path(output)
    plan = _plan(maps, path, options)
    names = names_of(path)
    by_probability = plan.by == "probability"
    outputs = names.chosen(
        polygons=options.polygons, probabilities=by_probability, sources=options.sources, dates=options.dates
    )
    with staged(path.parent, outputs.values(), overwrite=options.overwrite, former=names) as folder:
        class_map, numbers, taken, dates = _join(plan, options)
        product = MapProduct(
            class_map=class_map,
            outputs=outputs,
            title=path.name.removesuffix(ENDING),
            subtitle=f"{'Composite' if options.dates else 'Mosaic'} of {len(plan.maps)} maps by {plan.by}",
            tags={"GEOKD_MOSAIC_OF": ", ".join(source.name for source in plan.maps)},
            describe=lambda _: _describe(plan, class_map, taken, options, outputs),
            made_of=[source.link(path.parent) for source in plan.maps],
            percent=_percent(plan) if by_probability else None,
            sources=None if numbers is None else Sources(numbers, [source.name for source in plan.maps]),
            dates=dates,
        )
        return write_map(product, folder, path.parent)


def _plan(paths: Sequence[str | Path], path: Path, options: MosaicOptions) -> _Plan:
    """Check everything that does not need cells, and decide how maps are joined."""
    maps, problems = find_maps(paths)
    problems += _problems_of_call(paths, maps, path, options)
    grid = None
    try:
        check_outputs(path.parent, names_of(path), overwrite=options.overwrite)
        grid = union_grid([source.file.grid for source in maps], options.grid) if maps else None
    except GeokdError as error:
        problems.append(error)
    if problems or grid is None:
        raise together(problems)
    by, why = _decider(maps, options.by)
    windows = tuple(place(source.file.grid, grid) for source in maps)
    acquisition = spanned([source.acquisition for source in maps])
    notes = [_about_grid(maps, grid), _about_resampling(maps, grid), why]
    if acquisition is None:
        notes.append("the acquisition date of some maps is unknown: the STAC item uses the processing time")
    notes += notes_of_letters(maps[0].file.legend)
    return _Plan(tuple(maps), grid, windows, by, acquisition, tuple(notes))


def _problems_of_call(
    paths: Sequence[str | Path], maps: Sequence[InputMap], path: Path, options: MosaicOptions
) -> Iterator[CallError]:
    if not path.name.endswith(ENDING):
        yield CallError(f"the mosaic {path} must be named <stem>{ENDING}, such as {path.with_name(path.stem + ENDING)}")
    if path.resolve() in [Path(p).resolve() for p in paths]:
        yield CallError(f"the mosaic {path} is one of the maps; give it another name")
    if options.sources and len(paths) > _MOST_SOURCES:
        yield CallError(f"sources can be recorded for {_MOST_SOURCES} maps, not for {len(paths)}; leave out --sources")
    if options.dates and len(paths) > _MOST_SOURCES:
        yield CallError(f"{len(paths)} dates are more than the {_MOST_SOURCES} of a composite; use fewer")
    if options.by != "probability":
        return
    bare = [source.file.path for source in maps if source.probabilities is None]
    if bare:
        yield CallError(
            f"{', '.join(bare)} have no probabilities; map these scenes with geokd classify --probabilities, or"
            " join with --by confidence"
        )
    if any(source.file.unclassified is not None for source in maps):
        yield CallError(
            "probabilities do not show which cells are unclassified, as these maps do; join with --by confidence"
        )


def _decider(maps: Sequence[InputMap], by: By | None) -> tuple[By, str]:
    """Choose the measure used where maps overlap, with a note."""
    bare = [source.name for source in maps if source.probabilities is None]
    filtered = [source.name for source in maps if source.filtered]
    if by is None:
        by = "confidence" if bare or filtered else "probability"
        if bare:
            reason = f", because {', '.join(bare)} have no probabilities"
        elif filtered:
            reason = f", because filters or a minimum confidence changed {', '.join(filtered)}"
        else:
            reason = ", because all maps have probabilities"
    else:
        reason = ""
    if by == "confidence":
        return by, f"where maps overlap, the class of the highest confidence is used{reason}"
    undone = f"; filters of {', '.join(filtered)} have no effect there" if filtered else ""
    return by, f"where maps overlap, the class of the highest mean probability is used{reason}{undone}"


def _about_grid(maps: Sequence[InputMap], grid: SceneGrid) -> str:
    size_x, size_y = (f"{size:.6g}" for size in grid.pixel_size_m)
    first = f", the grid of {maps[0].name} extended" if lies_on(maps[0].file.grid, grid) else ""
    crs = grid.crs.to_string() if grid.crs else "no CRS"
    return f"{grid.width:,} x {grid.height:,} cells of {size_x} x {size_y} m in {crs}{first}"


def _about_resampling(maps: Sequence[InputMap], grid: SceneGrid) -> str:
    moved = [source.name for source in maps if not lies_on(source.file.grid, grid)]
    if not moved:
        return "all maps are on this grid; nothing is resampled"
    return f"on other grids, resampled to the nearest cell: {', '.join(moved)}"


def _rows(window: Window) -> tuple[int, int]:
    return int(window.row_off), int(window.row_off + window.height)


def _join(
    plan: _Plan, options: MosaicOptions
) -> tuple[ClassMap, NDArray[np.uint8] | None, NDArray[np.int64], NDArray[np.uint8] | None]:
    """Decide all cells.

    Returns the map, the number of the source map of each cell, the cells from each map, and how many maps cover each
    cell.
    """
    shape = (plan.grid.height, plan.grid.width)
    codes, confidence = (np.full(shape, NODATA, np.uint8) for _ in range(2))
    sources = np.full(shape, NODATA, np.uint8) if options.sources else None
    dates = np.full(shape, NODATA, np.uint8) if options.dates else None
    taken = np.zeros(len(plan.maps) + 1, np.int64)
    for rows, overlay in plan.overlays():
        codes[rows], confidence[rows] = overlay.codes, overlay.confidence
        taken += np.bincount(overlay.sources.ravel(), minlength=len(taken))
        if sources is not None:
            sources[rows] = np.where(overlay.sources > 0, overlay.sources, NODATA)
        if dates is not None:
            dates[rows] = np.where(overlay.covering > 0, overlay.covering, NODATA)
    return ClassMap(codes, confidence, plan.grid, plan.legend), sources, taken[1:], dates


def _percent(plan: _Plan) -> Iterator[Part]:
    for rows, overlay in plan.overlays():
        assert overlay.percent is not None, "joined by probability"
        yield (rows, slice(0, plan.grid.width)), overlay.percent


def _describe(
    plan: _Plan, class_map: ClassMap, taken: NDArray[np.int64], options: MosaicOptions, outputs: dict[str, str]
) -> Manifest:
    joined = [
        JoinedMap(
            number=number,
            path=source.file.path,
            model=source.file.manifest.model,
            scene=None if source.file.manifest.scene is None else source.file.manifest.scene.path,
            resampled=not lies_on(source.file.grid, plan.grid),
            cells_taken=int(cells),
            **grid_fields(source.file.grid),
        )
        for number, (source, cells) in enumerate(zip(plan.maps, taken, strict=True), 1)
    ]
    return Manifest(
        date=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        acquired=plan.acquisition,
        legend=plan.legend.classes,
        mosaic=MosaicRecord(
            decided_by=plan.by,
            maps=tuple(joined),
            by=options.by,
            crs=options.grid.crs,
            resolution=options.grid.resolution,
            sources=options.sources,
            dates=options.dates,
            polygons=options.polygons,
            overwrite=options.overwrite,
        ),
        notes=plan.notes,
        outputs=outputs,
        versions=package_versions(),
        **areas_of(class_map),
    )
