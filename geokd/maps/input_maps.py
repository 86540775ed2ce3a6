"""Maps to be joined: their files, whether they are compatible, and their cells on another grid."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.enums import Resampling
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window

from geokd.errors import CallError, GeokdError, SceneError, named
from geokd.legend.classes import NODATA, UNCLASSIFIED
from geokd.maps.map_file import MapFile, open_map
from geokd.maps.map_grid import lies_on
from geokd.maps.names import OutputNames, output_names
from geokd.maps.overlay import Part
from geokd.maps.stac_links import GEOTIFF, ITEM_TYPE, derived_from
from geokd.scenes.acquisition import Acquisition
from geokd.scenes.grid import SceneGrid
from geokd.scenes.opening import GdalErrors, gdal_reason, open_scene
from geokd.scenes.turns import turned_towards

ENDING = "_landuse.tif"
"""Ending of the name of a map's class raster, from which the names of its other files follow."""

_TOLERANCE_CELLS = 1e-6  # so small that the values do not depend on the window; GDAL fails at 0
_MOST_NAMED = 3


@dataclass(frozen=True, eq=False)
class InputMap:
    """A map with the files beside it.

    Parameters
    ----------
    file : MapFile
        Its classes.
    confidence : str
        Path of its confidence.
    probabilities : str or None
        Path of its probabilities; None where there are none.
    """

    file: MapFile
    confidence: str
    probabilities: str | None

    @property
    def name(self) -> str:
        """Its file name."""
        return Path(self.file.path).name

    @property
    def filtered(self) -> bool:
        """Whether some classes are not those of the highest probability, according to its manifest or legend."""
        options = self.file.manifest.options
        changed = options is not None and (options.leaves_unsure or options.filters)
        return changed or self.file.unclassified is not None

    @property
    def acquisition(self) -> Acquisition | None:
        """Acquisition date of its scene, if its manifest has one."""
        return self.file.manifest.acquired

    def link(self, folder: Path) -> dict[str, Any]:
        """Return a link of a STAC item in `folder` to this map: to its item or, if it has none, its class raster."""
        model = self.file.manifest.model
        item = Path(self.file.path).with_name(names_of(self.file.path).stac_item)
        path, media_type = (str(item), ITEM_TYPE) if item.exists() else (self.file.path, GEOTIFF)
        return derived_from(path, folder, media_type, None if model is None else model.name)

    def turned_towards(self, other: "InputMap") -> "InputMap":
        """Return the map with longitudes shifted next to those of another: 180.01 instead of -179.99."""
        return replace(self, file=replace(self.file, grid=turned_towards(self.file.grid, other.file.grid)))

    def read(self, number: int, grid: SceneGrid, window: Window, *, percent: bool) -> Part:
        """Read the cells of a window of `grid`: each is that of the map in which its centre lies.

        Parameters
        ----------
        number : int
            Number of the map, from 1.
        grid : SceneGrid
        window : Window
        percent : bool
            Whether probabilities are read, too.

        Raises
        ------
        SceneError
            If a file cannot be read, or files of the map do not belong together.
        """
        codes = self._cells(self.file.path, grid, window)[0]
        confidence = self._cells(self.confidence, grid, window)[0]
        mapped = codes != NODATA
        highest = int(codes.max(where=mapped, initial=0))
        if highest >= len(self.file.legend):
            raise SceneError(
                f"{self.file.path} holds the code {highest}, its legend ends at {len(self.file.legend) - 1}"
            )
        probabilities = None
        if percent and self.probabilities is not None:
            probabilities = self._cells(self.probabilities, grid, window)
            self._check(mapped, probabilities, self.probabilities)
        self._check(mapped, confidence[np.newaxis], self.confidence)
        rows, cols = window.toslices()
        return Part(number, (rows, cols), codes, confidence, probabilities)

    def _cells(self, path: str, grid: SceneGrid, window: Window) -> NDArray[np.uint8]:
        """Read one of the files (band, row, col); not resampled if the cells of the window are cells of the map."""
        own = self.file.grid
        if not lies_on(own, grid):
            return self._warped(path, grid, window)
        left, top = (round(n) for n in ~grid.transform @ (own.transform.c, own.transform.f))
        inner = Window(window.col_off - left, window.row_off - top, window.width, window.height)
        (first_row, last_row), (first_col, last_col) = inner.toranges()
        if min(first_row, first_col) < 0 or last_row > own.height or last_col > own.width:
            return self._warped(path, grid, window)
        with _read_or_said(path), open_scene(path) as raster:
            placed = turned_towards(SceneGrid(raster.transform, raster.height, raster.width, raster.crs), own)
            if placed != own:
                return self._warped(path, grid, window)
            return np.asarray(raster.read(window=inner), np.uint8)

    def _warped(self, path: str, grid: SceneGrid, window: Window) -> NDArray[np.uint8]:
        with _read_or_said(path), open_scene(path) as raster:
            placed = turned_towards(
                SceneGrid(raster.transform, raster.height, raster.width, raster.crs), self.file.grid
            )
            with WarpedVRT(
                raster,
                crs=grid.crs,
                src_transform=placed.transform,
                transform=grid.transform,
                height=grid.height,
                width=grid.width,
                resampling=Resampling.nearest,
                nodata=NODATA,
                tolerance=_TOLERANCE_CELLS,
            ) as warped:
                return np.asarray(warped.read(window=window), np.uint8)

    def _check(self, mapped: NDArray[np.bool_], values: NDArray[np.uint8], path: str) -> None:
        """Refuse values (band, row, col) that are not percentages where the map has classes."""
        if np.any(values[:, mapped] > 100):
            raise SceneError(
                f"{path} does not belong to {self.file.path}: it has no percentage at some of its cells; copy both from"
                " the same run of geokd classify"
            )


def find_maps(paths: Sequence[str | Path]) -> tuple[list[InputMap], list[GeokdError]]:
    """Open maps and check that they are compatible; returns those that could be opened, and all problems."""
    problems: list[GeokdError] = []
    maps = []
    if len(paths) < 2:
        problems.append(CallError(f"{len(paths)} map cannot be joined; name two or more"))
    places = [Path(path).resolve() for path in paths]
    twice = sorted({str(path) for path, place in zip(paths, places, strict=True) if places.count(place) > 1})
    if twice:
        problems.append(CallError(f"{', '.join(twice)} is named more than once; name each map once"))
    for path in paths:
        try:
            maps.append(find_map(path))
        except GeokdError as error:
            problems.append(error)
    maps = [maps[0], *(m.turned_towards(maps[0]) for m in maps[1:])] if maps else []
    problems += [SceneError(text) for other in maps[1:] for text in _differences(maps[0], other)]
    return maps, problems


def find_map(path: str | Path) -> InputMap:
    """Open a map with the files beside it.

    Raises
    ------
    CallError
        If it does not exist, or its confidence is not beside it.
    SceneError
        If it cannot be read, or its files do not belong together.
    """
    found = open_map(path)
    if not str(path).endswith(ENDING):
        raise CallError(f"{path} is not named <stem>{ENDING}, so its confidence cannot be found; rename it")
    names, folder = names_of(path), Path(path).parent
    confidence, probabilities = folder / names.confidence_raster, folder / names.probability_raster
    if not confidence.exists():
        raise CallError(f"{path} has no {confidence.name} beside it; copy that file to the map's folder")
    classes = sum(name != UNCLASSIFIED for name in found.legend.names)
    _check_beside(found, confidence, 1)
    if probabilities.exists():
        _check_beside(found, probabilities, classes)
    return InputMap(found, str(confidence), str(probabilities) if probabilities.exists() else None)


def names_of(path: str | Path) -> OutputNames:
    """Return the names of all files of a map whose class raster is called `<stem>_landuse.tif`."""
    return output_names(Path(path).name.removesuffix(ENDING))


def _check_beside(found: MapFile, path: Path, bands: int) -> None:
    with open_scene(str(path)) as raster:
        grid = SceneGrid(raster.transform, raster.height, raster.width, raster.crs)
        is_like = raster.count == bands and raster.nodata == NODATA and set(raster.dtypes) == {"uint8"}
    if grid != found.grid or not is_like:
        raise SceneError(
            f"{path} does not belong to {found.path}: it should have the same cells, and {bands} 8-bit bands with"
            f" nodata {NODATA}; copy both from the same run of geokd classify"
        )


def _differences(first: InputMap, other: InputMap) -> list[str]:
    """Describe in one sentence how the legend of `other` differs from that of `first`, in values or names."""
    here, there = ({c.value: c.name for c in m.file.legend} for m in (other, first))
    differing = [value for value in sorted({*here, *there}) if here.get(value) != there.get(value)]
    if not differing:
        return []
    differences = [f"{v} is {here.get(v, 'nothing')} (not {there.get(v, 'nothing')})" for v in differing]
    return [
        f"the legend of {other.file.path} is not that of {first.file.path}: {named(differences, _MOST_NAMED)}; map them"
        " with models of the same classes, and all or none with --min-confidence"
    ]


@contextmanager
def _read_or_said(path: str) -> Iterator[None]:
    try:
        yield
    except GdalErrors as error:
        raise SceneError(f"{path} cannot be read: {gdal_reason(error)}; copy or make it again") from error
