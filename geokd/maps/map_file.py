"""A map on disk, read back: its grid and legend at once, its cells window by window."""

import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import file_digest
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from rasterio.io import DatasetReader
from rasterio.windows import Window

from geokd.errors import OutputError, SceneError
from geokd.legend.classes import NODATA, UNCLASSIFIED, LandUseClass, Legend, default_legend, machine_name
from geokd.maps.attribute_table import names_of_values
from geokd.maps.class_map import cell_areas_ha, sum_by_label
from geokd.maps.manifest import Manifest, read_manifest
from geokd.scenes.grid import SceneGrid
from geokd.scenes.opening import GdalErrors, gdal_reason, open_scene
from geokd.system.documents import Record
from geokd.system.recovery import settle

WINDOW_CELLS = 1024
"""Side of the windows that a map is read in; a multiple of its blocks."""


@dataclass(frozen=True, eq=False)
class MapFile:
    """A class raster written by `geokd classify`.

    Parameters
    ----------
    path : str
    grid : SceneGrid
        Its cells.
    legend : Legend
        From the manifest beside it or, if there is none, its category names and palette.
    manifest : Manifest
        Empty if there is none.
    """

    path: str
    grid: SceneGrid
    legend: Legend
    manifest: Manifest

    @property
    def unclassified(self) -> int | None:
        """Code of unclassified cells, if the legend has one."""
        return len(self.legend) - 1 if self.legend.names[-1] == UNCLASSIFIED else None

    @property
    def offered(self) -> Legend:
        """The classes that a cell may be of: all but unclassified."""
        return self.legend if self.unclassified is None else Legend(self.legend.classes[:-1])

    @property
    def cell_size(self) -> float:
        """Side of a cell in units of the CRS."""
        return float(abs(self.grid.transform.determinant) ** 0.5)

    def windows(self) -> Iterator[tuple[Window, NDArray[np.uint8], NDArray[np.float64]]]:
        """Yield each window, from the upper left, with the codes and the areas in hectares of its cells.

        Raises
        ------
        SceneError
            If it cannot be read, or holds a code that is not in the legend.
        """
        with self.opened() as read:
            for window in tiled_windows(self.grid.height, self.grid.width):
                moved = self.grid.transform @ Affine.translation(window.col_off, window.row_off)
                areas = cell_areas_ha(SceneGrid(moved, window.height, window.width, self.grid.crs))
                yield window, read(window), areas

    @contextmanager
    def opened(self) -> Iterator[Callable[[Window], NDArray[np.uint8]]]:
        """Open it; yields a function that reads the codes of a window.

        Raises
        ------
        SceneError
            As for :meth:`windows`, from that function too.
        """
        with open_scene(self.path) as dataset:
            yield lambda window: self._read(dataset, window)

    def codes_at(self, rows: NDArray[np.int64], cols: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Read the codes of some cells, (N,).

        Raises
        ------
        SceneError
            As for :meth:`windows`.
        """
        codes = np.full(len(rows), NODATA, np.uint8)
        with self.opened() as read:
            for number in np.lexsort((cols, rows)):  # neighbours lie in the same block of the file
                codes[number] = read(Window(int(cols[number]), int(rows[number]), 1, 1))[0, 0]
        return codes

    def cells_of(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[NDArray[Any], ...]:
        """Find the cells that contain points: int64 rows and cols, and bool whether they are in the map, each (N,)."""
        cols, rows = ~self.grid.transform @ (x, y)
        with np.errstate(invalid="ignore"):
            inside = (rows >= 0) & (rows < self.grid.height) & (cols >= 0) & (cols < self.grid.width)
        rows, cols = (np.where(inside, index, 0).astype(np.int64) for index in (rows, cols))
        return rows, cols, inside

    def _read(self, dataset: DatasetReader, window: Window) -> NDArray[np.uint8]:
        try:
            codes: NDArray[np.uint8] = dataset.read(1, window=window)
        except GdalErrors as error:
            raise SceneError(f"{self.path} cannot be read: {gdal_reason(error)}; copy or make it again") from error
        highest = int(codes.max(where=codes != NODATA, initial=0))
        if highest >= len(self.legend):
            raise SceneError(f"{self.path} holds the code {highest}, its legend ends at {len(self.legend) - 1}")
        return codes


def tiled_windows(height: int, width: int) -> Iterator[Window]:
    """Cut a map into windows of whole blocks of its files, from the upper left; each block is in one window."""
    for row in range(0, height, WINDOW_CELLS):
        for col in range(0, width, WINDOW_CELLS):
            yield Window(col, row, min(WINDOW_CELLS, width - col), min(WINDOW_CELLS, height - row))


class Strata(NamedTuple):
    """Number and area in hectares of the cells of each class, int64 (K,) and float64 (K,)."""

    cells: NDArray[np.int64]
    areas_ha: NDArray[np.float64]


def open_map(path: str | Path) -> MapFile:
    """Read the header of a map and its legend.

    Raises
    ------
    CallError
        If the file does not exist.
    SceneError
        If it is not a class raster, or its classes are unknown.
    OutputError
        If a run was killed while it replaced files of the map, and they cannot be restored.
    """
    settle(Path(path).parent)
    with open_scene(str(path)) as dataset:
        if dataset.count != 1 or dataset.dtypes[0] != "uint8" or dataset.nodata != NODATA or dataset.crs is None:
            raise SceneError(
                f"{path} is not a class raster: it needs one 8-bit band, nodata {NODATA} and a CRS, such as"
                " <stem>_landuse.tif of geokd classify"
            )
        grid = SceneGrid(dataset.transform, dataset.height, dataset.width, dataset.crs)
        palette = _palette(dataset)
    beside = _manifest_of(path)
    manifest = read_manifest(beside) if beside.exists() else Manifest()
    names = category_names(path)
    try:
        if manifest.legend:
            legend = Legend(manifest.legend)
        elif names:
            legend = _legend(names, palette)
        else:
            raise SceneError(
                f"the classes of {path} are unknown: there is neither the manifest {beside.name}"
                f" nor {Path(path).name}.aux.xml with category names beside it; copy one of them to the map's folder"
            )
    except ValueError as error:
        raise SceneError(f"the legend of {path} cannot be used: {error}") from error
    return MapFile(str(path), grid, legend, manifest)


def count_cells(class_map: MapFile) -> Strata:
    """Count the cells of each class and sum their areas.

    Raises
    ------
    SceneError
        As for :meth:`MapFile.windows`.
    """
    kinds = len(class_map.legend)
    cells, areas_ha = np.zeros(kinds, np.int64), np.zeros(kinds)
    for _, codes, areas in class_map.windows():
        mapped = codes != NODATA
        cells += np.bincount(codes[mapped], minlength=kinds)
        areas_ha += sum_by_label(codes[mapped], areas[mapped], kinds)
    return Strata(cells, areas_ha)


def class_names(path: str | Path) -> dict[int, str]:
    """Read the class names of any raster, from the manifest of a map or from category names; empty if there are none.

    Raises
    ------
    SceneError, OutputError
        If a file beside it is broken.
    """
    beside = _manifest_of(path)
    if beside.name.endswith("_landuse.json") and beside.exists():
        return {c.value: c.name for c in read_manifest(beside).legend}
    return category_names(path)


def category_names(path: str | Path) -> dict[int, str]:
    """Read the names of a raster's values, from its categories or attribute table; empty if there are none.

    Raises
    ------
    OutputError
        If the `.aux.xml` beside it is broken.
    SceneError
        If it is not a raster.
    """
    beside = Path(f"{path}.aux.xml")
    try:
        if beside.is_file():
            ET.fromstring(beside.read_bytes())
    except (OSError, ET.ParseError) as error:
        raise OutputError(f"{beside} cannot be read: {error}") from error
    try:
        with open_scene(str(path)) as dataset:
            return names_of_values(dataset)
    except GdalErrors as error:
        raise SceneError(f"{path} cannot be read: {gdal_reason(error)}; copy or make it again") from error


def _manifest_of(path: str | Path) -> Path:
    return Path(path).with_suffix(".json")


def _legend(titles: dict[int, str], palette: dict[int, tuple[int, ...]]) -> Legend:
    colours = [c.color_hint for c in default_legend(str(value) for value in titles)]
    return Legend(
        tuple(
            LandUseClass(
                value,
                UNCLASSIFIED if title.casefold() == UNCLASSIFIED else machine_name(title),
                title,
                bytes(palette[value][:3]).hex().upper() if value in palette else colours[number],
            )
            for number, (value, title) in enumerate(titles.items())
        )
    )


def _palette(dataset: DatasetReader) -> dict[int, tuple[int, ...]]:
    try:
        return dict(dataset.colormap(1))
    except ValueError:  # it has none
        return {}


@dataclass(frozen=True, kw_only=True)
class MapUsed(Record):
    """Path and SHA-256 of a map's class raster."""

    path: str
    sha256: str


def map_hash(class_map: MapFile) -> str:
    """SHA-256 of a map's file, hexadecimal; empty if it is not a regular file."""
    return file_hash(class_map.path)


def file_hash(path: str | Path) -> str:
    """SHA-256 of any file, as :func:`map_hash`."""
    path = Path(path)
    if not path.is_file():
        return ""
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()
