"""The plugin: it brings the provider, and takes it away."""

from __future__ import annotations

from qgis.core import QgsApplication

from .provider import GeokdProvider


class GeokdPlugin:
    """What QGIS loads."""

    def __init__(self) -> None:
        self.provider: GeokdProvider | None = None

    def initProcessing(self) -> None:  # noqa: N802
        """Add the provider; `qgis_process` calls no more than this."""
        self.provider = GeokdProvider()
        QgsApplication.processingRegistry().addProvider(self.provider)

    def initGui(self) -> None:  # noqa: N802
        """Add the provider to QGIS with its windows."""
        self.initProcessing()

    def unload(self) -> None:
        """Take the provider away."""
        if self.provider is not None:
            QgsApplication.processingRegistry().removeProvider(self.provider)
            self.provider = None
