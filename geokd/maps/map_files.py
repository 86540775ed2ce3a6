"""Writing the files of a map: of a scene, of a mosaic or composite, or restyled."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geokd.files import write_bytes
from geokd.legend.classes import NODATA, UNCLASSIFIED, LandUseClass, Legend, default_legend
from geokd.maps.class_map import ClassMap
from geokd.maps.geotiff import Part, write_class_raster, write_confidence_raster, write_probability_raster
from geokd.maps.manifest import Manifest, write_manifest
from geokd.maps.pages.panels import ScenePicture
from geokd.maps.pages.quicklook import write_quicklook, write_thumbnail
from geokd.maps.pages.report import draw_pictures, report_page
from geokd.maps.pages.summary import write_summary
from geokd.maps.qgis import class_attributes_pam, class_raster_qml, confidence_raster_qml
from geokd.maps.stac import write_item


@dataclass(frozen=True, eq=False)
class Sources:
    """Which map each cell of a mosaic comes from.

    Parameters
    ----------
    numbers : uint8 array (rows, cols)
        From 1; 255 where no map has a class.
    names : sequence of str
        File names of the maps, in their order.
    """

    numbers: NDArray[np.uint8]
    names: Sequence[str]


@dataclass(frozen=True, eq=False, kw_only=True)
class MapProduct:
    """Everything that the files of a map are made from.

    Parameters
    ----------
    class_map : ClassMap
    outputs : mapping
        Names of the files that are written, by the fields of :class:`geokd.maps.names.OutputNames`.
    title, subtitle : str
        Of the picture.
    tags : mapping
        Tags of the rasters.
    describe : callable
        Returns the manifest; receives the seconds that rasters, polygons and pictures took.
    made_of : sequence of mapping
        Links to the sources of the map, from :func:`geokd.maps.stac_links.derived_from`.
    picture : ScenePicture, optional
        The scene, drawn beside the map and in the report.
    simplify_m : float
        Tolerance of the simplified polygon outlines, in metres.
    percent : iterable of Part, optional
        Probability of each class, in percent.
    sources : Sources, optional
    dates : uint8 array (rows, cols), optional
        Number of dates on which each cell was seen; 255 for none.
    """

    class_map: ClassMap
    outputs: Mapping[str, str]
    title: str
    subtitle: str
    tags: Mapping[str, str]
    describe: Callable[[float], Manifest]
    made_of: Sequence[Mapping[str, Any]]
    picture: ScenePicture | None = None
    simplify_m: float = 0.0
    percent: Iterable[Part] | None = None
    sources: Sources | None = None
    dates: NDArray[np.uint8] | None = None


def write_map(product: MapProduct, folder: Path, place: Path) -> Manifest:
    """Write all files of a map.

    Parameters
    ----------
    product : MapProduct
    folder : Path
        Where they are written.
    place : Path
        Where they will be: links of the STAC item are relative to it.

    Returns
    -------
    Manifest

    Raises
    ------
    OutputError
        If one cannot be written.
    """
    start = time.perf_counter()
    class_map, files = product.class_map, {field: folder / name for field, name in product.outputs.items()}
    _write_layers(product, files)
    write_quicklook(class_map, product.picture, files["quicklook"], product.title, product.subtitle)
    if product.percent is not None:
        of_model = Legend(tuple(c for c in class_map.legend if c.name != UNCLASSIFIED))
        write_probability_raster(product.percent, class_map.grid, of_model, files["probability_raster"], product.tags)
        write_bytes(files["probability_style"], confidence_raster_qml().encode())
    if product.sources is not None:
        _write_sources(class_map, product.sources, files)
    if product.dates is not None:
        _write_dates(class_map, product.dates, files)
    manifest = product.describe(time.perf_counter() - start)
    write_manifest(manifest, files["manifest"])
    if "report" in files:
        assert product.picture is not None, "a report shows the scene"
        write_bytes(files["report"], report_page(manifest, draw_pictures(class_map, product.picture)))
    write_item(manifest, class_map.grid, product.made_of, folder, place)
    return manifest


def _write_layers(product: MapProduct, files: Mapping[str, Path]) -> None:
    """Write the rasters of classes and confidence with names and styles, polygons, summary and thumbnail."""
    class_map, tags = product.class_map, product.tags
    with ThreadPoolExecutor(2) as beside:  # GDAL releases the GIL
        rasters = [
            beside.submit(write_confidence_raster, class_map, files["confidence_raster"], tags),
            beside.submit(write_class_raster, class_map, files["class_raster"], tags),
        ]
        write_bytes(files["class_attributes"], class_attributes_pam(class_map).encode())
        write_bytes(files["class_style"], class_raster_qml(class_map.legend).encode())
        write_bytes(files["confidence_style"], confidence_raster_qml().encode())
        polygons = files.get("polygons")
        counts = None if polygons is None else _write_polygons(class_map, polygons, product.simplify_m)
        write_summary(class_map, counts, files["summary"])
        write_thumbnail(class_map, files["thumbnail"])
        for raster in rasters:
            raster.result()


def _write_polygons(class_map: ClassMap, path: Path, simplify_m: float) -> NDArray[np.int64]:
    """Write the GeoPackage; pyogrio is imported here because it imports GeoPandas and pandas if they are installed."""
    from geokd.maps.polygons.geopackage import write_polygons

    return write_polygons(class_map, path, simplify_m)


def _write_sources(class_map: ClassMap, sources: Sources, files: Mapping[str, Path]) -> None:
    """Write the raster that shows which map each cell comes from, with the names of the maps and a style."""
    numbered = ClassMap(
        sources.numbers, class_map.confidence, class_map.grid, _numbered("map", ["no map", *sources.names])
    )
    tags = {f"GEOKD_MAP_{number}": name for number, name in enumerate(sources.names, 1)}
    _write_numbered(numbered, "source", tags, "number of the map", files)


def _write_dates(class_map: ClassMap, dates: NDArray[np.uint8], files: Mapping[str, Path]) -> None:
    """Write the raster with the number of dates on which each cell was seen, with a style."""
    titles = [
        "no date",
        "1 date",
        *(f"{number} dates" for number in range(2, int(dates.max(where=dates != NODATA, initial=1)) + 1)),
    ]
    numbered = ClassMap(dates, class_map.confidence, class_map.grid, _numbered("dates", titles))
    _write_numbered(numbered, "date", {}, "number of dates", files)


def _write_numbered(
    numbered: ClassMap, kind: str, tags: Mapping[str, str], description: str, files: Mapping[str, Path]
) -> None:
    write_class_raster(numbered, files[f"{kind}_raster"], tags, description)
    write_bytes(files[f"{kind}_attributes"], class_attributes_pam(numbered).encode())
    write_bytes(files[f"{kind}_style"], class_raster_qml(numbered.legend).encode())


def _numbered(name: str, titles: Sequence[str]) -> Legend:
    """Return numbers from 0 as classes with a colour each."""
    colours = [c.color_hint for c in default_legend(f"{name} {number}" for number in range(len(titles)))]
    return Legend(
        tuple(
            LandUseClass(number, f"{name}_{number}", title, colour)
            for number, (title, colour) in enumerate(zip(titles, colours, strict=True))
        )
    )
