"""The report of a map: one page with the map and the content of its manifest."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from geokd.maps.class_map import ClassMap
from geokd.maps.manifest import BandRecord, Manifest
from geokd.maps.pages.page import colours_of, largest_first, picture, render
from geokd.maps.pages.panels import ScenePicture, cells_panel, class_palette, panel_size, percent, scene_panel
from geokd.maps.qgis import CONFIDENCE_COLOURS

_PANEL_PX = 1000  # longer side of each picture


@dataclass(frozen=True, eq=False)
class ReportPictures:
    """Scene, map and confidence, of the same ground at the same size."""

    scene: Image.Image
    land_use: Image.Image
    confidence: Image.Image


def draw_pictures(class_map: ClassMap, scene: ScenePicture) -> ReportPictures:
    """Draw the pictures of a report."""
    size, grids = panel_size(scene.grid, _PANEL_PX), (class_map.grid, scene.grid)
    return ReportPictures(
        scene_panel(scene, size),
        cells_panel(class_map.codes, class_palette(class_map.legend), grids, size),
        cells_panel(class_map.confidence, _confidence_palette(), grids, size),
    )


def report_page(manifest: Manifest, pictures: ReportPictures) -> bytes:
    """Return the report of a map as one HTML file, which loads nothing.

    Parameters
    ----------
    manifest : Manifest
        Of a classified scene.
    pictures : ReportPictures
    """
    scene, options, unmapped = manifest.scene, manifest.options, manifest.unmapped_cells
    assert scene is not None and options is not None and unmapped is not None, "reports are of classified scenes"
    filters = None if manifest.filters is None else manifest.filters.to_json()
    return render(
        "report.html",
        name=Path(scene.path).name,
        manifest=manifest,
        present=largest_first(manifest.areas),
        colours=colours_of(manifest.legend),
        shares=", ".join(f"{a.title} {percent(a.share_percent)}" for a in manifest.areas if a.cells),
        not_mapped=any(unmapped.to_json().values()),
        scene=picture(pictures.scene, "JPEG"),
        land_use=picture(pictures.land_use),
        confidence=picture(pictures.confidence),
        steps=_steps(manifest.cells_by_confidence),
        ramp=CONFIDENCE_COLOURS,
        filtered=filters and [(key.replace("_", " ").capitalize(), f"{n:,}") for key, n in filters.items()],
        provenance=_provenance(manifest),
        options=[(key, json.dumps(value)) for key, value in options.to_json().items()],
    )


@dataclass(frozen=True)
class _Step:
    """A step of the histogram: its limits in percent, cells, their share, and the height of the bar, 0 to 1."""

    low: int
    high: int
    count: int
    share_percent: float
    tall: float


def _steps(cells: tuple[int, ...]) -> list[_Step]:
    width, total, most = 100 // len(cells), sum(cells) or 1, max(*cells, 1)
    return [
        _Step(n * width, (n + 1) * width, count, 100 * count / total, count / most) for n, count in enumerate(cells)
    ]


def _confidence_palette() -> NDArray[np.uint8]:
    """Return the colour of each percentage, uint8 (256, 3), as QGIS interpolates it."""
    at = [percent for percent, _ in CONFIDENCE_COLOURS]
    colours = np.array([list(bytes.fromhex(colour)) for _, colour in CONFIDENCE_COLOURS])
    return np.stack([np.interp(np.arange(256), at, band) for band in colours.T], axis=1).round().astype(np.uint8)


def _provenance(manifest: Manifest) -> Iterator[tuple[str, str]]:
    scene, model, cells, run = manifest.scene, manifest.model, manifest.map, manifest.run
    assert scene is not None and model is not None and cells is not None and run is not None
    yield "Scene", scene.path
    yield "Scene size", f"{scene.width:,} x {scene.height:,} pixels, {scene.data_type}"
    yield "Bands used", ", ".join(_band(band) for band in scene.bands_used)
    yield "Coordinate reference system", scene.crs or "none"
    yield "Map", f"{cells.width:,} x {cells.height:,} cells"
    yield "Model", f"{model.name}, {model.architecture}, {model.precision}"
    yield "SHA-256 of the model", model.sha256
    yield "Patches", f"{run.classified_patches:,} of {run.patches:,} classified"
    yield "Made", manifest.date or ""
    yield "Seconds", ", ".join(f"{stage} {spent:.1f}" for stage, spent in run.seconds.items())
    yield "Command", run.command or ""
    yield "Versions", ", ".join(f"{name} {version}" for name, version in manifest.versions.items())
    yield "Fingerprint", manifest.fingerprint or ""


def _band(band: BandRecord) -> str:
    own = f" ({band.description})" if band.description else ""
    return f"{band.bidx}{own} as {band.taken_as}"
