"""The commands of geokd as tools of QGIS, in the order of the documentation."""

from __future__ import annotations

from .tools_mapping import MAPPING
from .tools_quality import QUALITY
from .tools_training import TRAINING

TOOLS = (*MAPPING, *QUALITY, *TRAINING)
