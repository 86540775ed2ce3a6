"""What the labelled cells of `geokd sample` and `geokd review` are called in their GeoPackages."""

from typing import Literal

CellLayer = Literal["sample", "review"]

LAYERS: tuple[CellLayer, ...] = ("sample", "review")
METADATA = "geokd cells"
"""What a GeoPackage's metadata on how its cells were chosen go by (md_standard_uri): a JSON document."""

FIELD, LOOKED_AT, MAPPED = "reference", "looked_at", "mapped"
FIELD_LATER = "reference_later"
"""What a sample of change holds for the later date."""

NONE_OF_THESE = -1
"""What an analyst picks for a place that is of no class of the legend."""

UNLABELLED = -2
"""Code of a cell that nobody has looked at yet."""
