"""From maps of several dates of one place to one map."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from geokd.maps.manifest import Manifest
from geokd.maps.map_grid import StatedGrid
from geokd.maps.mosaic import MosaicOptions, mosaic


@dataclass(frozen=True)
class CompositeOptions:
    """How dates are joined.

    Parameters
    ----------
    grid : StatedGrid
        CRS and cells; those of the first map unless stated.
    sources : bool
        Whether a raster is written that shows which map has the highest probability of each cell's class.
    polygons : bool
        Whether the GeoPackage of polygons is written.
    overwrite : bool
        Whether outputs that exist are replaced.
    """

    grid: StatedGrid = field(default_factory=StatedGrid)
    sources: bool = False
    polygons: bool = True
    overwrite: bool = False


def composite(maps: Sequence[str | Path], output: str | Path, options: CompositeOptions | None = None) -> Manifest:
    """Join maps of several dates of one place into one.

    A cell gets the class of the highest mean probability over the dates on which it was seen. Dates on which it was
    masked, for example by a cloud, do not count; a cell that was never seen is nodata. Dates with high confidence count
    more, because their probabilities differ more.

    Parameters
    ----------
    maps : sequence of path
        Class rasters `<stem>_landuse.tif` of one legend, with `<stem>_confidence.tif` and `<stem>_probabilities.tif`
        beside them, of `geokd classify --probabilities`.
    output : path
        Class raster to write, `<stem>_landuse.tif`; the other files of a map are written beside it, and
        `<stem>_dates.tif`, the number of dates on which each cell was seen.
    options : CompositeOptions, optional

    Returns
    -------
    Manifest
        As for :func:`geokd.mosaic`.

    Raises
    ------
    CallError, SceneError, OutputError
        As for :func:`geokd.mosaic`.
    """
    asked = options or CompositeOptions()
    joined = MosaicOptions(
        by="probability",
        grid=asked.grid,
        sources=asked.sources,
        dates=True,
        polygons=asked.polygons,
        overwrite=asked.overwrite,
    )
    return mosaic(maps, output, joined)
