"""A sample opened and labelled by QGIS itself, in its own Python; skipped where QGIS is not installed."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import geokd
from tests.in_qgis import run_in_qgis
from tests.tiny_maps import LEGEND, write_map

# Opens the layer as a user does, tells what the form offers, and labels three points.
SCRIPT = """
layer = QgsVectorLayer(arguments[0] + "|layername=sample", "sample", "ogr")
fields = layer.fields()
widget = layer.editorWidgetSetup(fields.indexOf("reference"))
categories = layer.renderer().categories()
square = categories[0].symbol().symbolLayer(0)
features = sorted(layer.getFeatures(), key=lambda feature: feature["point"])
context = QgsExpressionContext(QgsExpressionContextUtils.globalProjectLayerScopes(layer))
context.setFeature(features[0])
answer |= {
    "layers offered": [layer.name() for layer in QgsProviderRegistry.instance().querySublayers(arguments[0])],
    "widget": widget.type(),
    "choices": widget.config()["map"],
    "hidden": [name for name in fields.names() if layer.editorWidgetSetup(fields.indexOf(name)).type() == "Hidden"],
    "hidden columns": [c.name for c in layer.attributeTableConfig().columns() if c.hidden],
    "categories": [[c.value(), c.label()] for c in categories],
    "attribute": layer.renderer().classAttribute(),
    "square": [square.size(), square.sizeUnit()],
    "map tip": QgsExpression.replaceExpressionText(layer.mapTipTemplate(), context),
    "alias": layer.attributeAlias(fields.indexOf("reference")),
}
layer.startEditing()
for feature, value in zip(features, (0, 1, -1)):
    layer.changeAttributeValue(feature.id(), fields.indexOf("reference"), value)
answer["committed"] = layer.commitChanges()
"""


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], dict[str, Any]]:
    folder: Path = tmp_path_factory.mktemp("sample")
    codes = np.repeat(np.array([0, 1, 2, 3], np.uint8), 25).reshape(10, 10)
    class_map = write_map(folder / "a_landuse.tif", codes, LEGEND.with_unclassified())
    geokd.sample(class_map, 20, folder / "sample.gpkg")
    opened = run_in_qgis(SCRIPT, folder / "sample.gpkg")
    return opened, geokd.assess(class_map, folder / "sample.gpkg").to_json()


def test_the_class_is_picked_from_a_list(labelled: tuple[dict[str, Any], dict[str, Any]]) -> None:
    opened, _ = labelled
    assert opened["layers offered"] == ["sample"]  # so QGIS does not ask which
    assert opened["widget"] == "ValueMap"
    assert opened["choices"] == [{"Open sea": "0"}, {"Wood & <trees>": "1"}, {"Field": "2"}, {"None of these": "-1"}]
    assert opened["alias"] == "Class seen on the ground"


def test_what_the_map_says_is_not_shown(labelled: tuple[dict[str, Any], dict[str, Any]]) -> None:
    opened, _ = labelled
    assert opened["hidden"] == ["stratum", "picture"]
    assert opened["hidden columns"] == ["stratum", "picture"]
    assert opened["attribute"] == "reference"


def test_cells_are_drawn_true_to_scale_and_labels_show(labelled: tuple[dict[str, Any], dict[str, Any]]) -> None:
    opened, _ = labelled
    assert opened["square"] == [160, 1]  # of the map's unit
    assert [label for _, label in opened["categories"]][-2:] == ["None of these", "To be labelled"]
    assert opened["map tip"].startswith('<img src="data:image/jpeg;base64,')


def test_labels_set_in_qgis_are_read_back(labelled: tuple[dict[str, Any], dict[str, Any]]) -> None:
    opened, told = labelled
    assert opened["committed"]
    assert told["units"] == 3
    assert told["left_out"]["unlabelled"] == 17
    assert np.array(told["confusion_matrix"]).sum(axis=0).tolist() == [1, 1, 0, 1]
