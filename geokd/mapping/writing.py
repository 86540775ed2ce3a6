"""Everything of a map that is written, but the manifest."""

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geokd.contract import InputContract
from geokd.mapping.jobs import MappingJob
from geokd.mapping.mosaic import Mosaic
from geokd.outputs.class_map import ClassMap
from geokd.outputs.geotiff import Part, write_class_raster, write_confidence_raster, write_probability_raster
from geokd.outputs.qgis import class_attributes_pam, class_raster_qml, confidence_raster_qml
from geokd.outputs.quicklook import ScenePicture, write_quicklook, write_thumbnail
from geokd.outputs.report import draw_pictures, report_page
from geokd.outputs.staging import OutputNames, write_bytes
from geokd.outputs.summary import write_summary
from geokd.scenes.bands import find_band


def write_map(job: MappingJob, mosaic: Mosaic, folder: Path) -> None:
    """Write all outputs but the manifest and what comes on request only."""
    names, bundle, class_map = job.names, job.bundle, mosaic.class_map
    write_layers(class_map, names, folder, _tags(job), job.options.simplify_m, polygons=job.options.polygons)
    picture = _scene_picture(job, mosaic)
    subtitle = f"Land use by the model {bundle.name} ({bundle.precision})"
    write_quicklook(class_map, picture, folder / names.quicklook, Path(job.plan.path).name, subtitle)


def write_layers(
    class_map: ClassMap,
    names: OutputNames,
    folder: Path,
    tags: Mapping[str, str],
    simplify_m: float = 0.0,
    *,
    polygons: bool = True,
) -> None:
    """Write the rasters of classes and confidence with names and styles, polygons, summary and thumbnail."""
    with ThreadPoolExecutor(2) as beside:  # GDAL lets go of Python's lock
        rasters = [
            beside.submit(write_confidence_raster, class_map, folder / names.confidence_raster, tags),
            beside.submit(write_class_raster, class_map, folder / names.class_raster, tags),
        ]
        write_bytes(folder / names.class_attributes, class_attributes_pam(class_map).encode())
        write_bytes(folder / names.class_style, class_raster_qml(class_map.legend).encode())
        write_bytes(folder / names.confidence_style, confidence_raster_qml().encode())
        counts = _write_polygons(class_map, folder / names.polygons, simplify_m) if polygons else None
        write_summary(class_map, counts, folder / names.summary)
        write_thumbnail(class_map, folder / names.thumbnail)
        for raster in rasters:
            raster.result()


def _write_polygons(class_map: ClassMap, path: Path, simplify_m: float) -> NDArray[np.int64]:
    """Write the GeoPackage; pyogrio is imported here, since it takes GeoPandas and pandas along where they are."""
    from geokd.outputs.geopackage import write_polygons

    return write_polygons(class_map, path, simplify_m)


def write_probabilities(job: MappingJob, parts: Iterable[Part], folder: Path) -> None:
    """Write the probability of each class of the model, and its style."""
    grid, legend = job.patches.cell_grid, job.bundle.legend
    write_probability_raster(parts, grid, legend, folder / job.names.probability_raster, _tags(job))
    write_bytes(folder / job.names.probability_style, confidence_raster_qml().encode())


def write_report(job: MappingJob, mosaic: Mosaic, manifest: Mapping[str, Any], folder: Path) -> None:
    """Write the page that shows the map and tells what its manifest does."""
    pictures = draw_pictures(mosaic.class_map, _scene_picture(job, mosaic))
    write_bytes(folder / job.names.report, report_page(manifest, pictures))


def _scene_picture(job: MappingJob, mosaic: Mosaic) -> ScenePicture:
    return ScenePicture(true_colour(mosaic.picture, job.bundle.contract), mosaic.picture_valid, job.plan.grid)


def _tags(job: MappingJob) -> dict[str, str]:
    bundle = job.bundle
    return {"GEOKD_MODEL": bundle.name, "GEOKD_MODEL_SHA256": bundle.sha256, "GEOKD_SCENE": Path(job.plan.path).name}


def true_colour(pixels: NDArray[np.uint8], contract: InputContract) -> NDArray[np.uint8]:
    """Choose red, green and blue of bands (C, h, w) by the contract's names; without them, the first band as grey."""
    bands = [find_band(contract.bands, colour) for colour in ("red", "green", "blue")]
    return pixels[[band - 1 for band in bands] if all(bands) else [0, 0, 0]]
