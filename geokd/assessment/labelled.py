"""Reference data for a map: labels and how they were drawn, and names of classes."""

from dataclasses import replace
from pathlib import Path

from geokd.assessment.matching import plain
from geokd.errors import CallError
from geokd.labels.cell_labels import CellDesign, read_cell_design
from geokd.labels.cell_names import FIELD, LOOKED_AT, MAPPED, NONE_OF_THESE
from geokd.labels.ground_truth import GroundTruth, Pair, Shared, read_ground_truth
from geokd.maps.map_file import MapFile, class_names
from geokd.scenes.vector_layer import only_layer

NONE = "none of these"
"""Name for classes of the reference that the map does not have."""


def read_labelled(source: MapFile, reference: str | Path, field: str | None) -> tuple[GroundTruth, CellDesign | None]:
    """Read labelled points or polygons, and how they were drawn if `geokd sample` drew them.

    Raises
    ------
    CallError
        If they are cells of a review, or a copy of a sample without its design, or the field does not exist.
    ChipError
        If they cannot be read.
    """
    design = read_cell_design(Path(reference))
    _, fields = (None, ()) if design else only_layer(Path(reference))
    if (design and design.layer == "review") or {LOOKED_AT, MAPPED} <= set(fields):
        raise CallError(
            f"{reference} holds cells that geokd review chose because the map is uncertain there: they are not a random"
            " sample, so neither accuracies nor areas can be estimated from them; draw one with geokd sample"
        )
    truth = read_ground_truth(reference, field, source.grid, *(("stratum",) if design else ()))
    numbers = truth.field == FIELD and any(plain(text).lstrip("-").isdigit() for text in truth.texts)
    if {"point", "stratum", FIELD} <= set(fields) and numbers:
        raise CallError(
            f"{reference} is a copy of a file of geokd sample, as QGIS exports it: it has the codes of a map's classes,"
            " but not the names of the classes and how the points were drawn; give the original GeoPackage, which QGIS"
            " can edit directly, or a copy of the whole file"
        )
    if design:  # codes are those of the map it was drawn from, whose legend may differ
        names = {str(value): name for value, name in enumerate(design.names)} | {str(NONE_OF_THESE): NONE}
        truth = replace(truth, texts=tuple(names.get(text, text) for text in truth.texts))
    return truth, design


def former_classes(source: MapFile) -> list[tuple[str, str]]:
    """Table that matches the classes a restyled map had before with those it has now."""
    styled = source.manifest.styled
    pairs = [] if styled is None else [(new.name, old) for new in styled.classes for old in new.made_of]
    return [
        (new, old)
        for new, old in pairs
        if source.legend.code_of(old) is None and source.legend.code_of(new) is not None
    ]


def raster_names(reference: str | Path, pairs: dict[Pair, Shared]) -> dict[int, str]:
    """Name the values of a reference; a value without a name is called by its number."""
    names = class_names(reference)
    return {value: names.get(value, str(value)) for value in sorted({pair.value for pair in pairs})}
