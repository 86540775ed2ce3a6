"""From geokd's output to the outputs of a tool, and the layers to open."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .parameters import Tool

# Outputs of a tool, and the keys of the files in a manifest's "outputs".
_FILES = {
    "LANDUSE": "class_raster",
    "CONFIDENCE": "confidence_raster",
    "POLYGONS_LAYER": "polygons",
    "PROBABILITIES_RASTER": "probability_raster",
    "SUMMARY": "summary",
    "MANIFEST": "manifest",
    "DATES": "date_raster",
    "SOURCES_RASTER": "source_raster",
    "REPORT_PAGE": "report",
}
# In the order of the layer tree, the topmost first: name, kind, and whether it is shown at once.
_LAYERS = {
    "polygons": ("polygons", "vector", False),
    "class_raster": ("land use", "raster", True),
    "confidence_raster": ("confidence", "raster", False),
    "probability_raster": ("probabilities", "raster", False),
    "source_raster": ("sources", "raster", False),
    "date_raster": ("dates", "raster", False),
}


@dataclass(frozen=True)
class Layer:
    """A layer to open: its file, its name, "raster" or "vector", its group, and whether it is shown."""

    path: str
    name: str
    kind: str
    group: str
    shown: bool


def outputs(tool: Tool, values: Mapping[str, object], documents: Sequence[Mapping[str, Any]]) -> dict[str, object]:
    """Return the outputs of a tool: of several scenes, the files of the first."""
    folder = str(values.get("OUTPUT") or "")
    first = documents[0] if documents else {}
    found: dict[str, object] = {"OUTPUT": folder} if folder else {}
    if tool.name in ("tile", "plan"):
        name = "CHIPS" if tool.name == "tile" else "POINTS"
        return {**found, name: first.get(name.lower())}
    if tool.name == "assess":
        accuracy = first.get("overall_accuracy") or first.get("accuracy") or {}
        return {**found, "OVERALL_ACCURACY": accuracy.get("estimate")}
    if tool.name == "train":
        models = [str(document[key]) for document in documents for key in ("int8", "fp32") if key in document]
        return {**found, **dict(zip(("MODEL", "MODEL_FP32"), models))}
    if tool.name == "robustness":
        newest = max(Path(folder).glob("*_robustness.json"), key=lambda path: path.stat().st_mtime)
        return {**found, "FIGURES": str(newest), "PICTURE": str(newest.with_suffix(".png"))}
    if tool.name == "style" and "output" in first:
        return {**found, "MODEL_FILE": str(first["output"])}
    return {**found, **_files_of_map(folder, first)}


def _files_of_map(folder: str, document: Mapping[str, Any]) -> dict[str, object]:
    """Return the files that a manifest names."""
    made = document.get("outputs")
    if not isinstance(made, dict):
        return {}
    return {name: os.path.join(folder, made[key]) for name, key in _FILES.items() if key in made}


def layers(values: Mapping[str, object], documents: Sequence[Mapping[str, Any]]) -> list[Layer]:
    """Return the layers of all maps that were made, one group per map."""
    folder, found = str(values.get("OUTPUT") or ""), []
    for document in documents:
        files = document.get("outputs")
        if not isinstance(files, dict):
            continue
        group = files["class_raster"][: -len("_landuse.tif")]
        for key, (name, kind, shown) in _LAYERS.items():
            if key in files:
                found.append(Layer(os.path.join(folder, files[key]), f"{group} {name}", kind, group, shown))
    return found


def as_text(documents: Sequence[Mapping[str, Any]]) -> str:
    """Return the figures of a tool as the text of a JSON file."""
    return json.dumps(documents[0] if documents else {}, indent=2)
