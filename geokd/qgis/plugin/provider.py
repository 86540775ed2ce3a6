"""The provider: always listed, with its setting and the search for geokd."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from qgis.core import QgsApplication, QgsProcessingProvider, QgsSettings
from qgis.PyQt.QtGui import QIcon

from .algorithm import GeokdAlgorithm
from .executable import RECORD, Executable, Search, find
from .tools import TOOLS

_HERE = Path(__file__).parent
_SETTING = "GEOKD_EXECUTABLE"
_REMEMBERED_S = 30.0
"""Time for which a search is valid: the toolbox asks each tool whether it can run."""


class GeokdProvider(QgsProcessingProvider):
    """The tools of geokd."""

    def __init__(self) -> None:
        super().__init__()
        self._searched: tuple[Search, float, tuple[Executable | None, str]] | None = None
        self.help = _read_help()

    def id(self) -> str:
        """Return the name in `geokd:classify`."""
        return "geokd"

    def name(self) -> str:
        """Return the name in the toolbox."""
        return "geokd"

    def longName(self) -> str:  # noqa: N802
        """Return the name with a description."""
        return "geokd (land-use maps)"

    def icon(self) -> QIcon:
        """Return the icon in the toolbox."""
        return QIcon(str(_HERE / "icon.svg"))

    def load(self) -> bool:
        """Add the setting to those of Processing."""
        config = _processing_config()
        if config is not None:
            ProcessingConfig, Setting = config  # noqa: N806
            ProcessingConfig.settingIcons["geokd"] = self.icon()
            label = "Path of geokd (empty: searched automatically)"
            ProcessingConfig.addSetting(Setting("geokd", _SETTING, label, "", valuetype=Setting.FILE))
            ProcessingConfig.readSettings()
        self.refreshAlgorithms()
        return True

    def unload(self) -> None:
        """Remove the setting."""
        config = _processing_config()
        if config is not None:
            config[0].removeSetting(_SETTING)

    def loadAlgorithms(self) -> None:  # noqa: N802
        """List all tools, whether geokd is found or not: each reports what is missing."""
        for tool in TOOLS:
            self.addAlgorithm(GeokdAlgorithm(tool, self.help.get(tool.name, {})))

    def executable(self) -> tuple[Executable | None, str]:
        """Return geokd, or a sentence about what is missing."""
        search = Search(
            str(QgsSettings().value(f"Processing/Configuration/{_SETTING}", "") or "").strip(),
            dict(os.environ),
            Path.home(),
            Path(QgsApplication.qgisSettingsDirPath()),
            _read_record(),
        )
        now = time.monotonic()
        if self._searched is None or self._searched[0] != search or now - self._searched[1] > _REMEMBERED_S:
            self._searched = (search, now, find(search))
        return self._searched[2]


def _processing_config() -> tuple[Any, Any] | None:
    """Return the settings of Processing; None if its plugin is not loaded."""
    try:
        from processing.core.ProcessingConfig import ProcessingConfig, Setting
    except ImportError:
        return None
    return ProcessingConfig, Setting


def _read_record() -> str:
    record = _HERE / RECORD
    return record.read_text(encoding="utf-8").strip() if record.is_file() else ""


def _read_help() -> dict[str, dict[str, Any]]:
    """Return the help of the tools, as `geokd qgis-plugin` wrote it."""
    path = _HERE / "help.json"
    found: dict[str, dict[str, Any]] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return found
