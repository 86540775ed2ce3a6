"""What a map is compared with: labels as they were drawn, and how classes are called."""

from dataclasses import replace
from pathlib import Path

from geokd.errors import CallError
from geokd.labels.cell_labels import CellDesign, read_cell_design
from geokd.labels.cell_names import NONE_OF_THESE
from geokd.labels.ground_truth import GroundTruth, Pair, Shared, read_ground_truth
from geokd.maps.map_file import MapFile, class_names

NONE = "none of these"
"""What classes of the reference are called that the map does not have."""


def read_labelled(source: MapFile, reference: str | Path, field: str | None) -> tuple[GroundTruth, CellDesign | None]:
    """Read labelled points or polygons, and how they were drawn if `geokd sample` drew them.

    Raises
    ------
    CallError
        If they are cells of a review, or have no such field.
    ChipError
        If they cannot be read.
    """
    design = read_cell_design(Path(reference))
    if design and design.layer == "review":
        raise CallError(
            f"{reference} holds cells that geokd review chose because the map is in doubt there: they are no random"
            " sample, so neither accuracies nor areas can be estimated from them; draw one with geokd sample"
        )
    truth = read_ground_truth(reference, field, source.grid, *(("stratum",) if design else ()))
    if design:  # codes are those of the map it was drawn from, which may be of another legend
        names = {str(value): name for value, name in enumerate(design.names)} | {str(NONE_OF_THESE): NONE}
        truth = replace(truth, texts=tuple(names.get(text, text) for text in truth.texts))
    return truth, design


def former_classes(source: MapFile) -> list[tuple[str, str]]:
    """Classes that a restyled map had before and has no longer, as a table of its own by these."""
    styled = source.manifest.styled
    pairs = [] if styled is None else [(new.name, old) for new in styled.classes for old in new.made_of]
    return [
        (new, old)
        for new, old in pairs
        if source.legend.code_of(old) is None and source.legend.code_of(new) is not None
    ]


def raster_names(reference: str | Path, pairs: dict[Pair, Shared]) -> tuple[dict[int, str], list[str]]:
    """Name the values of a reference; values without a name are their own."""
    told = class_names(reference)
    values = sorted({pair.value for pair in pairs})
    nameless = [value for value in values if value not in told]
    notes = []
    if nameless:
        listing = ", ".join(map(str, nameless[:10])) + (", ..." if len(nameless) > 10 else "")
        notes.append(f"nothing names the values {listing} of the reference, which are taken for codes of the map")
    return {value: told.get(value, str(value)) for value in values}, notes
