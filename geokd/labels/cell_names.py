"""Names of layers and fields in the GeoPackages of `geokd sample` and `geokd review`."""

from typing import Literal

CellLayer = Literal["sample", "review"]

LAYERS: tuple[CellLayer, ...] = ("sample", "review")
METADATA = "geokd cells"
"""Identifier (md_standard_uri) of the GeoPackage metadata that describe how its cells were chosen, as JSON."""

FIELD, LOOKED_AT, MAPPED = "reference", "looked_at", "mapped"
FIELD_LATER = "reference_later"
"""Fields of a sample of change for the later date."""

NONE_OF_THESE = -1
"""Code for a place that belongs to no class of the legend."""

UNLABELLED = -2
"""Code of a cell that is not labelled yet."""
