"""Reference data for a map: labels and how they were drawn, and names of classes."""

from dataclasses import replace
from pathlib import Path

from geokd.errors import CallError
from geokd.labels.cell_labels import CellDesign, read_cell_design
from geokd.labels.cell_names import NONE_OF_THESE
from geokd.labels.ground_truth import GroundTruth, Pair, Shared, read_ground_truth
from geokd.maps.map_file import MapFile, class_names

NONE = "none of these"
"""Name for classes of the reference that the map does not have."""


def read_labelled(source: MapFile, reference: str | Path, field: str | None) -> tuple[GroundTruth, CellDesign | None]:
    """Read labelled points or polygons, and how they were drawn if `geokd sample` drew them.

    Raises
    ------
    CallError
        If they are cells of a review, or the field does not exist.
    ChipError
        If they cannot be read.
    """
    design = read_cell_design(Path(reference))
    if design and design.layer == "review":
        raise CallError(
            f"{reference} holds cells that geokd review chose because the map is uncertain there: they are not a random"
            " sample, so neither accuracies nor areas can be estimated from them; draw one with geokd sample"
        )
    truth = read_ground_truth(reference, field, source.grid, *(("stratum",) if design else ()))
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
