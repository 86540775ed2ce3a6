"""The report of a map: one page that shows it and tells all its manifest does. Figures are the manifest's."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from geokd.legend.classes import LandUseClass
from geokd.maps.class_map import ClassArea, ClassMap
from geokd.maps.manifest import BandRecord, DriftRecord, Filtered, Manifest, ModelRecord, SceneRecord
from geokd.maps.pages.page import Html, bar, element, facts, joined, page, picture, section, swatch, table
from geokd.maps.pages.panels import ScenePicture, cells_panel, class_palette, panel_size, percent, scene_panel
from geokd.maps.qgis import CONFIDENCE_COLOURS

_PANEL_PX = 1000  # longer side of each picture
_CHART = (440, 190)  # of the histogram, in its own units


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
    scene, model, options = manifest.scene, manifest.model, manifest.options
    assert scene is not None and model is not None and options is not None, "reports are of classified scenes"
    title = Path(scene.path).name
    return page(
        f"{title} - land use",
        element("h1", title),
        element(
            "p", f"Land use by the model {model.name} ({model.precision}), {(manifest.date or '')[:10]}", class_="lead"
        ),
        element("p", _in_short(manifest)),
        warnings_box(manifest.warnings),
        _side_by_side(manifest, pictures),
        _legend(manifest),
        section("Areas", area_table(manifest.areas, manifest.legend), _what_areas_are(manifest)),
        section("Confidence", _confidence(manifest, pictures)),
        section("Does the scene resemble the training data?", *_drift(manifest.drift)),
        section("What was chosen", element("ul", *(element("li", note) for note in manifest.notes))),
        *_filters(manifest.filters),
        section("Provenance", facts(_provenance(manifest, scene, model))),
        section("Options", facts((name, json.dumps(value)) for name, value in options.to_json().items())),
        section("Files", element("ul", *(element("li", link(name)) for name in manifest.outputs.values()))),
    )


def area_table(areas: Iterable[ClassArea], legend: Iterable[LandUseClass]) -> Html:
    """Return a table of classes, the largest first, with bars; of classes that have no cells only the names."""
    colours = {c.value: c.color_hint for c in legend}
    present = sorted((area for area in areas if area.cells), key=lambda area: -area.area_ha)
    most = max((area.share_percent for area in present), default=0) or 1
    rows = [
        (
            joined((swatch(colours[area.value]), area.title)),
            bar(area.share_percent / most, colours[area.value]),
            f"{area.area_ha:,.1f}",
            percent(area.share_percent),
            f"{area.cells:,}",
            f"{area.mean_confidence or 0:.0f} %",
        )
        for area in present
    ]
    head = ("Class", "", "Area, ha", "Share", "Cells", "Mean confidence")
    absent = [area.title for area in areas if not area.cells]
    left = [element("p", f"Not on the map: {', '.join(absent)}.", class_="small")] if absent else []
    return joined((table(head, rows, numbers=(2, 3, 4, 5)), *left))


def warnings_box(warnings: Iterable[str]) -> Html:
    """Return warnings for the eye, or that there are none."""
    lines = [element("li", warning) for warning in warnings]
    if not lines:
        return element("p", "No warnings.", class_="small")
    return element("section", element("h2", "Warnings"), element("ul", *lines), class_="warnings")


def link(name: str, text: str | None = None) -> Html:
    """Return a link to a file in the page's own folder."""
    return element("a", text or name, href=f"./{quote(name)}")


def _in_short(manifest: Manifest) -> str:
    areas, cells = [area for area in manifest.areas if area.cells], manifest.map
    if not areas or cells is None:
        return "No cell could be mapped: no patch has enough valid pixels."
    width, height = (f"{size:.4g}" for size in cells.cell_size_m)
    most = max(areas, key=lambda area: area.area_ha)
    return (
        f"{manifest.area_ha:,.0f} ha are mapped in {manifest.valid_cells:,} cells of {width} x {height} m."
        f" The most is {most.title}, {percent(most.share_percent)}."
    )


def _side_by_side(manifest: Manifest, pictures: ReportPictures) -> Html:
    shares = [f"{a.title} {percent(a.share_percent)}" for a in manifest.areas if a.cells]
    alt = f"Land-use map: {', '.join(shares) or 'nothing is mapped'}"
    before = (element("figcaption", "Scene"), picture(pictures.scene, "The scene", "JPEG"))
    after = (element("figcaption", "Land use"), picture(pictures.land_use, alt))
    slider = element("input", type="range", hidden=True, aria_label="How much of the scene is shown over its map")
    figures = element("figure", *before), element("figure", *after, class_="after")
    return element("div", *figures, slider, class_="compare")


def _legend(manifest: Manifest) -> Html:
    colours = {c.value: c.color_hint for c in manifest.legend}
    present = sorted((area for area in manifest.areas if area.cells), key=lambda area: -area.area_ha)
    entries: list[tuple[str | None, str]] = [(colours[area.value], area.title) for area in present]
    unmapped = manifest.unmapped_cells
    if unmapped is not None and any(unmapped.to_json().values()):
        entries.append((None, "Not mapped"))
    return element("ul", *(element("li", swatch(colour), title) for colour, title in entries), class_="legend")


def _what_areas_are(manifest: Manifest) -> Html:
    unmapped, cells = manifest.unmapped_cells, manifest.map
    assert unmapped is not None and cells is not None, "reports are of classified scenes"
    return element(
        "p",
        f"In all {manifest.area_ha:,.1f} ha, measured {cells.areas_measured}; cells that reach past the scene count"
        f" whole. Not mapped: {unmapped.without_valid_pixel:,} cells without a valid pixel,"
        f" {unmapped.in_no_classified_patch:,} that no classified patch covers. These are areas of the map, its"
        " errors included; geokd assess corrects them by a sample.",
        class_="small",
    )


def _confidence(manifest: Manifest, pictures: ReportPictures) -> Html:
    shown = picture(pictures.confidence, "Map of the confidence: the darker, the surer")
    left = element("figure", element("figcaption", "Where the model is sure"), shown)
    caption = element("figcaption", "Share of cells by confidence in percent")
    ends = element("div", element("span", "0 %"), element("span", "100 %"), class_="small ends")
    right = element("figure", caption, _histogram(manifest.cells_by_confidence), _ramp(), ends)
    return element("div", left, right, class_="pair")


def _histogram(cells: Sequence[int]) -> Html:
    """Draw the shares of cells in equal steps of confidence."""
    (width, height), total = _CHART, sum(cells) or 1
    step, most = width / len(cells), max(*cells, 1)
    drawn = [element("line", x1="0", x2=width, y1=height - 20, y2=height - 20)]
    for number, count in enumerate(cells):
        tall, x = (height - 40) * count / most, number * step
        top = height - 20 - tall
        drawn.append(element("rect", x=f"{x + 2:.1f}", y=f"{top:.1f}", width=f"{step - 4:.1f}", height=f"{tall:.1f}"))
        below = f"{100 * number // len(cells)}-{100 * (number + 1) // len(cells)}"
        for y, text in ((top - 5, percent(100 * count / total) if count else ""), (height - 5, below)):
            drawn.append(element("text", text, x=f"{x + step / 2:.1f}", y=f"{y:.1f}"))
    told = ", ".join(f"{10 * number} to {10 * number + 10} %: {count:,}" for number, count in enumerate(cells))
    return element("svg", *drawn, viewBox=f"0 0 {width} {height}", class_="histogram", role="img", aria_label=told)


def _ramp() -> Html:
    stops = (element("stop", offset=f"{at}%", stop_color=f"#{colour}") for at, colour in CONFIDENCE_COLOURS)
    filled = element("rect", width="100%", height="100%", fill="url(#ramp)")
    return element("svg", element("linearGradient", *stops, id="ramp"), filled, class_="ramp", aria_hidden="true")


def _confidence_palette() -> NDArray[np.uint8]:
    """Return the colour of each percentage, uint8 (256, 3), as QGIS interpolates it."""
    at = [percent for percent, _ in CONFIDENCE_COLOURS]
    colours = np.array([list(bytes.fromhex(colour)) for _, colour in CONFIDENCE_COLOURS])
    return np.stack([np.interp(np.arange(256), at, band) for band in colours.T], axis=1).round().astype(np.uint8)


def _drift(drift: DriftRecord | None) -> Iterator[Html]:
    if drift is None:
        yield element("p", "The model has no record of its training data, so this was not checked.")
    elif drift.unfamiliar_share is None:
        yield element("p", f"There are too few patches for this check: {drift.patches:,}.")
    else:
        yield element(
            "p",
            f"Of {drift.patches:,} patches that do not overlap, {100 * drift.unfamiliar_share:.1f} % are unlike"
            " the chips of training; 1 to 2 % are expected.",
        )
        if drift.unsure_share is not None:
            yield element(
                "p",
                f"In {100 * drift.unsure_share:.1f} % the model is less sure than in 95 % of the chips of training.",
            )


def _filters(filters: Filtered | None) -> Iterator[Html]:
    if filters is not None:
        told = [(name.replace("_", " ").capitalize(), f"{count:,}") for name, count in filters.to_json().items()]
        yield section("What filters did", facts(told))


def _provenance(manifest: Manifest, scene: SceneRecord, model: ModelRecord) -> Iterator[tuple[str, str]]:
    cells, run = manifest.map, manifest.run
    assert cells is not None and run is not None, "reports are of classified scenes"
    yield "Scene", scene.path
    yield "Its size", f"{scene.width:,} x {scene.height:,} pixels, {scene.data_type}"
    yield "Bands used", ", ".join(_band(band) for band in scene.bands_used)
    yield "Reference system", scene.crs or "none"
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
