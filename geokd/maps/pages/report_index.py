"""The page of many maps: what came of each scene of a call, and the areas of all together."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from PIL import Image

from geokd.maps.manifest import Manifest
from geokd.maps.pages.page import Html, element, page, picture, section, table
from geokd.maps.pages.panels import percent
from geokd.maps.pages.report import area_table, link, warnings_box

MARK = b'<meta name="generator" content="geokd">'
"""What tells a page of this package from others."""

THUMBNAIL_PX = 220
"""Longer side of a map among others."""


@dataclass(frozen=True, eq=False)
class IndexEntry:
    """What came of a scene.

    Parameters
    ----------
    path : str
        The scene.
    error : str
        Why there is no map; empty if there is one.
    manifest : Manifest or None
        Of the map.
    thumbnail : Image or None
    report : str
        File name of its report; empty without one.
    """

    path: str
    error: str = ""
    manifest: Manifest | None = None
    thumbnail: Image.Image | None = None
    report: str = ""


def index_page(entries: Sequence[IndexEntry]) -> bytes:
    """Return the page as one HTML file, which loads nothing."""
    manifests = [entry.manifest for entry in entries if entry.manifest is not None]
    failed = len(entries) - len(manifests)
    total = math.fsum(manifest.area_ha for manifest in manifests)
    told = f"{len(manifests):,} of {len(entries):,} scenes are mapped, {total:,.0f} ha in all."
    warnings = [f"{_name(entry.path)}: {text}" for entry in entries for text in _warnings(entry)]
    title = f"Land use in {len(entries):,} scenes"
    return page(
        title,
        element("h1", title),
        element("p", told + (f" {failed:,} could not be mapped." if failed else ""), class_="lead"),
        warnings_box(warnings),
        section("Scenes", table(_HEAD, (_row(entry) for entry in entries), numbers=(2,))),
        *_totals(manifests),
    )


_HEAD = ("Scene", "Map", "Area, ha", "Land use", "Date")


def _row(entry: IndexEntry) -> Iterable[str]:
    name = _name(entry.path)
    if entry.manifest is None:
        return name, "", "", f"not mapped: {entry.error}", ""
    shown = picture(entry.thumbnail, f"Map of {name}") if entry.thumbnail is not None else ""
    present = sorted((a for a in entry.manifest.areas if a.cells), key=lambda area: -area.area_ha)
    most = ", ".join(f"{area.title} {percent(area.share_percent)}" for area in present[:3])
    area_ha, date = f"{entry.manifest.area_ha:,.1f}", (entry.manifest.date or "")[:10]
    return link(entry.report, name) if entry.report else name, shown, area_ha, most or "nothing is mapped", date


def _totals(manifests: Sequence[Manifest]) -> Iterable[Html]:
    """Sum the areas of each class; all maps of a call are of one model and so of one legend."""
    if not manifests:
        return
    whole = math.fsum(manifest.area_ha for manifest in manifests)
    sums = []
    for number, area in enumerate(manifests[0].areas):
        parts = [manifest.areas[number] for manifest in manifests]
        cells, area_ha = sum(p.cells for p in parts), math.fsum(p.area_ha for p in parts)
        sure = math.fsum(p.cells * (p.mean_confidence or 0) for p in parts)
        share, mean = 100 * area_ha / whole if whole else 0.0, sure / cells if cells else None
        sums.append(area.evolve(cells=cells, area_ha=area_ha, share_percent=share, mean_confidence=mean))
    told = element("p", "Where scenes overlap, the ground counts once for each.", class_="small")
    yield section("All together", area_table(sums, manifests[0].legend), told)


def _warnings(entry: IndexEntry) -> Iterable[str]:
    return () if entry.manifest is None else entry.manifest.warnings


def _name(path: str) -> str:
    return path.replace("\\", "/").rstrip("/").rsplit("/", 1)[-1]
