"""A review opened and corrected by QGIS itself, in its own Python; skipped where QGIS is not installed."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio

import geokd
from geokd.labels.cell_labels import read_cell_labels
from geokd.labels.cell_names import NONE_OF_THESE, UNLABELLED
from geokd.scenes.grid import SceneGrid
from tests.assessment.test_review import write_maps
from tests.in_qgis import run_in_qgis

# Opens the layer as a user does, tells what the form offers, and corrects three points.
SCRIPT = """
layer = QgsVectorLayer(arguments[0] + "|layername=review", "review", "ogr")
fields = layer.fields()
def widget(name):
    return layer.editorWidgetSetup(fields.indexOf(name))
categories = layer.renderer().categories()
def crossed():
    found = []
    for feature in sorted(layer.getFeatures(), key=lambda feature: feature["point"]):
        context = QgsExpressionContext()
        context.setFields(fields)
        context.setFeature(feature)
        cross = categories[0].symbol().symbolLayer(1)
        shown = cross.dataDefinedProperties().property(QgsSymbolLayer.PropertyLayerEnabled)
        assert shown.isActive()
        found.append(bool(shown.value(context)[0]))
    return found
answer |= {
    "layers offered": [layer.name() for layer in QgsProviderRegistry.instance().querySublayers(arguments[0])],
    "widgets": {name: widget(name).type() for name in fields.names()},
    "choices": widget("reference").config()["map"],
    "read only": [n for n in fields.names() if layer.editFormConfig().readOnly(fields.indexOf(n))],
    "hidden columns": [c.name for c in layer.attributeTableConfig().columns() if c.hidden],
    "categories": [[c.value(), c.label(), c.symbol().symbolLayer(0).strokeColor().name()] for c in categories],
    "square": [categories[0].symbol().symbolLayer(0).size(), categories[0].symbol().symbolLayer(0).sizeUnit()],
    "layers": [categories[0].symbol().symbolLayerCount(), categories[0].symbol().symbolLayer(1).strokeColor().name()],
    "alias": layer.attributeAlias(fields.indexOf("looked_at")),
    "type": fields.field("looked_at").typeName(),
    "crossed": crossed(),
}
features = sorted(layer.getFeatures(), key=lambda feature: feature["point"])
layer.startEditing()
layer.changeAttributeValue(features[0].id(), fields.indexOf("looked_at"), True)
layer.changeAttributeValue(features[1].id(), fields.indexOf("reference"), (features[1]["mapped"] + 1) % 3)
layer.changeAttributeValue(features[2].id(), fields.indexOf("reference"), -1)
answer["committed"] = layer.commitChanges()
answer["crossed after"] = crossed()
"""


@pytest.fixture(scope="module")
def corrected(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], list[int], list[int]]:
    """What QGIS said, the codes that are read back, and the map's."""
    folder: Path = tmp_path_factory.mktemp("review")
    shares = (100 * np.random.default_rng(4).dirichlet((1, 1, 1), (12, 12)).transpose(2, 0, 1)).astype(np.uint8)
    class_map = write_maps(folder, shares)
    geokd.review(class_map, 10, folder / "review.gpkg")
    opened = run_in_qgis(SCRIPT, folder / "review.gpkg")
    with rasterio.open(class_map) as raster:
        labels = read_cell_labels(
            folder / "review.gpkg", SceneGrid(raster.transform, raster.height, raster.width, raster.crs)
        )
        assert labels is not None
        codes = [int(v[0]) for v in raster.sample(zip(labels.x, labels.y, strict=True))]
    return opened, labels.codes.tolist(), codes


def test_the_form_asks_for_class_and_tick(corrected: tuple[dict[str, Any], list[int], list[int]]) -> None:
    opened, _, _ = corrected
    assert opened["layers offered"] == ["review"]
    widgets = opened["widgets"]
    assert widgets["reference"] == widgets["second"] == "ValueMap"
    assert widgets["looked_at"] == "CheckBox"
    assert opened["type"].upper() == "BOOLEAN"
    assert opened["alias"] == "Looked at: the class is right"
    assert opened["choices"] == [{"Open sea": "0"}, {"Wood & <trees>": "1"}, {"Field": "2"}, {"None of these": "-1"}]
    assert opened["read only"] == ["second", "confidence", "margin"]
    assert opened["hidden columns"] == ["mapped", "picture"]


def test_squares_bear_the_class_and_a_cross_until_looked_at(
    corrected: tuple[dict[str, Any], list[int], list[int]],
) -> None:
    opened, _, _ = corrected
    assert opened["categories"][0] == ["0", "Open sea", "#1f5fa8"]
    assert opened["square"] == [80, 1]
    assert opened["layers"] == [2, "#ff0000"]
    assert opened["crossed"] == [True] * 10
    assert opened["crossed after"] == [False] * 3 + [True] * 7


def test_corrections_made_in_qgis_are_read_back(corrected: tuple[dict[str, Any], list[int], list[int]]) -> None:
    opened, codes, mapped = corrected
    assert opened["committed"]
    assert codes == [mapped[0], (mapped[1] + 1) % 3, NONE_OF_THESE, *[UNLABELLED] * 7]
