"""The description of a model."""

from dataclasses import dataclass
from typing import Any

from geokd.legend.classes import LandUseClass
from geokd.system.documents import Record


@dataclass(frozen=True, kw_only=True)
class AboutModel(Record):
    """Description of a model: `input` is its contract, `seen_chips` the number of its training chips, if recorded."""

    name: str
    architecture: str
    precision: str
    task: str
    size_bytes: int
    sha256: str
    input: dict[str, Any]
    legend: tuple[LandUseClass, ...]
    temperature: float
    seen_chips: int | None
