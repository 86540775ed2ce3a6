"""The plugin: it adds the provider, and removes it."""

from __future__ import annotations

from qgis.core import QgsApplication

from .provider import GeokdProvider


class GeokdPlugin:
    """The object that QGIS loads."""

    def __init__(self) -> None:
        self.provider: GeokdProvider | None = None

    def initProcessing(self) -> None:  # noqa: N802
        """Add the provider; `qgis_process` calls only this."""
        self.provider = GeokdProvider()
        QgsApplication.processingRegistry().addProvider(self.provider)

    def initGui(self) -> None:  # noqa: N802
        """Add the provider to QGIS with its windows."""
        self.initProcessing()

    def unload(self) -> None:
        """Remove the provider."""
        if self.provider is not None:
            QgsApplication.processingRegistry().removeProvider(self.provider)
            self.provider = None
