"""The page of many maps: the outcome of each scene of a call, and the areas of all together."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image

from geokd.maps.class_map import ClassArea
from geokd.maps.manifest import Manifest
from geokd.maps.pages.page import Picture, colours_of, largest_first, picture, render

MARK = b'<meta name="generator" content="geokd">'
"""Identifies a page of geokd."""

THUMBNAIL_PX = 220
"""Longer side of a map in the list."""
_MOST_CLASSES = 3  # of each scene


@dataclass(frozen=True, eq=False)
class IndexEntry:
    """The outcome of a scene.

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
        File name of its report; empty if there is none.
    """

    path: str
    error: str = ""
    manifest: Manifest | None = None
    thumbnail: Image.Image | None = None
    report: str = ""


@dataclass(frozen=True)
class _Row:
    """A scene as the page shows it."""

    name: str
    error: str
    report: str
    manifest: Manifest | None
    thumbnail: Picture | None
    largest: list[ClassArea]


def index_page(entries: Sequence[IndexEntry]) -> bytes:
    """Return the page as one HTML file, which loads nothing."""
    rows = [_row(entry) for entry in entries]
    manifests = [entry.manifest for entry in entries if entry.manifest is not None]
    return render(
        "index.html",
        scenes=rows,
        mapped=len(manifests),
        total_ha=math.fsum(manifest.area_ha for manifest in manifests),
        warnings=[f"{row.name}: {text}" for row in rows if row.manifest is not None for text in row.manifest.warnings],
        areas=_totals(manifests) if manifests else [],
        colours=colours_of(manifests[0].legend) if manifests else {},
    )


def _row(entry: IndexEntry) -> _Row:
    name = entry.path.replace("\\", "/").rstrip("/").rsplit("/", 1)[-1]
    largest = [] if entry.manifest is None else largest_first(entry.manifest.areas)[:_MOST_CLASSES]
    thumbnail = None if entry.thumbnail is None else picture(entry.thumbnail)
    return _Row(name, entry.error, entry.report, entry.manifest, thumbnail, largest)


def _totals(manifests: Sequence[Manifest]) -> list[ClassArea]:
    """Sum the areas of each class; all maps of a call are of one model and so of one legend."""
    whole = math.fsum(manifest.area_ha for manifest in manifests)
    sums = []
    for number, area in enumerate(manifests[0].areas):
        parts = [manifest.areas[number] for manifest in manifests]
        cells, area_ha = sum(p.cells for p in parts), math.fsum(p.area_ha for p in parts)
        sure = math.fsum(p.cells * (p.mean_confidence or 0) for p in parts)
        share, mean = 100 * area_ha / whole if whole else 0.0, sure / cells if cells else None
        sums.append(area.evolve(cells=cells, area_ha=area_ha, share_percent=share, mean_confidence=mean))
    return sums
