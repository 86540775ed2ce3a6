"""Layers that a tool made, opened with their own styles and in a group."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from qgis.core import QgsProcessingContext, QgsProcessingLayerPostProcessorInterface

from . import compat
from .results import Layer

if TYPE_CHECKING:
    from qgis.core import QgsProcessingFeedback


_RANK = "geokd/rank"
"""Property of a node of the layer tree: its place in the group. QGIS opens layers in the order of their paths."""


class _Placed(QgsProcessingLayerPostProcessorInterface):
    """Gives a layer the style that is stored beside or in its file, and moves it to its group."""

    _alive: ClassVar[list[_Placed]] = []  # QGIS keeps no reference to Python objects

    def __init__(self, group: str, rank: int = 0, *, shown: bool = True) -> None:
        super().__init__()
        self._group, self._rank, self._shown = group, rank, shown
        self._alive.append(self)

    def postProcessLayer(self, layer: Any, context: QgsProcessingContext, feedback: QgsProcessingFeedback) -> None:  # noqa: N802
        """Place a layer; QGIS calls this when the layer is loaded."""
        layer.loadDefaultStyle()
        layer.triggerRepaint()
        if self._group and context.project() is not None:
            self._move(layer, context.project().layerTreeRoot())
        self._alive.remove(self)

    def _move(self, layer: Any, root: Any) -> None:
        node = root.findLayer(layer.id())
        if node is None:  # QGIS adds it later, and to the group of its details
            return
        group = root.findGroup(self._group) or root.insertGroup(0, self._group)
        copy = node.clone()
        copy.setItemVisibilityChecked(self._shown)
        copy.setExpanded(self._shown)
        copy.setCustomProperty(_RANK, self._rank)
        ranks = [int(child.customProperty(_RANK, 0)) for child in group.children()]
        group.insertChildNode(sum(rank <= self._rank for rank in ranks), copy)
        node.parent().removeChildNode(node)


def load(layers: list[Layer], context: QgsProcessingContext) -> None:
    """Let QGIS open layers when the tool is done."""
    if context.project() is None:
        return
    for rank, layer in enumerate(layers):
        kind = compat.RASTER_LAYER if layer.kind == "raster" else compat.VECTOR_LAYER
        details = QgsProcessingContext.LayerDetails(layer.name, context.project(), layer.name, kind)
        if hasattr(details, "groupName"):  # from 3.32 on
            details.groupName = layer.group
        details.forceName = True
        details.setPostProcessor(_Placed(layer.group, rank, shown=layer.shown))
        context.addLayerToLoadOnCompletion(layer.path, details)


def keep_style(path: str, context: QgsProcessingContext) -> None:
    """Give a layer that QGIS opens anyway its own style."""
    if path in context.layersToLoadOnCompletion():
        details = context.layerToLoadOnCompletionDetails(path)
        details.setPostProcessor(_Placed(""))
