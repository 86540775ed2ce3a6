"""The outputs opened by QGIS itself, in its own Python; skipped where QGIS is not installed."""

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from affine import Affine
from rasterio.crs import CRS

import geokd
from geokd.legend import LandUseClass, Legend
from geokd.outputs.class_map import ClassMap
from geokd.outputs.geopackage import write_polygons
from geokd.outputs.geotiff import write_class_raster, write_confidence_raster
from geokd.outputs.qgis import class_attributes_pam, class_raster_qml, confidence_raster_qml
from geokd.outputs.staging import output_names
from geokd.scenes.grid import SceneGrid

QGIS_PYTHON = "/usr/bin/python3"

# Loads a layer as a user does by dragging it in, and tells what came up.
SCRIPT = """
import json, sys
from qgis.core import QgsApplication, QgsFeatureSource, QgsRasterLayer, QgsVectorLayer
from qgis.PyQt.QtGui import QColor
application = QgsApplication([], False)
application.initQgis()
classes, confidence, polygons = sys.argv[1:]
answer = {}
layer = QgsRasterLayer(classes, "classes")
answer["classes"] = {
    "type": layer.renderer().type(),
    "entries": [[c.value, c.label, c.color.name()] for c in layer.renderer().classes()],
    "drawn": [
        QColor.fromRgba(layer.renderer().block(1, layer.extent(), 3, 2).color(row, col)).getRgb()
        for row in range(layer.height()) for col in range(layer.width())
    ],
}
layer = QgsRasterLayer(confidence, "confidence")
shader = layer.renderer().shader().rasterShaderFunction()
answer["confidence"] = {
    "type": layer.renderer().type(),
    "entries": [[item.value, item.label, item.color.name()] for item in shader.colorRampItemList()],
}
layer = QgsVectorLayer(polygons + "|layername=land_use", "polygons", "ogr")
renderer = layer.renderer()
answer["polygons"] = {
    "type": renderer.type(),
    "attribute": renderer.classAttribute() if renderer.type() == "categorizedSymbol" else None,
    "entries": [[c.value(), c.label(), c.symbol().color().name()] for c in renderer.categories()],
    "spatial_index": layer.hasSpatialIndex() == QgsFeatureSource.SpatialIndexPresent,
    "features": layer.featureCount(),
}
print(json.dumps(answer))
"""


def has_qgis() -> bool:
    try:
        return subprocess.run([QGIS_PYTHON, "-c", "import qgis.core"], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    if not has_qgis():
        pytest.skip(f"{QGIS_PYTHON} has no qgis module")
    folder: Path = tmp_path_factory.mktemp("maps")
    legend = Legend(
        (
            LandUseClass(0, "crop", "Ackerland & <Wiese>", "F2D45C"),
            LandUseClass(1, "forest", "Forêt", "2E7D32"),
            LandUseClass(2, "sea", "Sea", "1F5FA8"),
        )
    )
    codes = np.array([[0, 1, 1], [255, 2, 0]], np.uint8)
    confidence = np.where(codes == 255, 255, 80).astype(np.uint8)
    grid = SceneGrid(Affine(160, 0, 400_000, 0, -160, 4_200_000), 2, 3, CRS.from_epsg(32618))
    class_map = ClassMap(codes, confidence, grid, legend)
    names = output_names("scene")
    write_class_raster(class_map, folder / names.class_raster, {})
    (folder / names.class_attributes).write_text(class_attributes_pam(class_map), "utf-8")
    (folder / names.class_style).write_text(class_raster_qml(legend), "utf-8")
    write_confidence_raster(class_map, folder / names.confidence_raster, {})
    (folder / names.confidence_style).write_text(confidence_raster_qml(), "utf-8")
    write_polygons(class_map, folder / names.polygons)
    layers = [str(folder / name) for name in (names.class_raster, names.confidence_raster, names.polygons)]
    run = subprocess.run(
        [QGIS_PYTHON, "-c", SCRIPT, *layers],
        env={"QT_QPA_PLATFORM": "offscreen", "HOME": str(folder), "LC_ALL": "C.UTF-8"},
        capture_output=True,
        check=False,
        text=True,
        timeout=120,
    )
    assert run.stdout, run.stderr
    answer: dict[str, Any] = json.loads(run.stdout.splitlines()[-1])
    return answer


ENTRIES = [[0, "Ackerland & <Wiese>", "#f2d45c"], [1, "Forêt", "#2e7d32"], [2, "Sea", "#1f5fa8"]]


def test_the_class_raster_comes_up_named_and_coloured_with_nodata_transparent(opened: dict[str, Any]) -> None:
    assert opened["classes"]["type"] == "paletted"
    assert opened["classes"]["entries"] == ENTRIES
    crop, forest, sea = [242, 212, 92, 255], [46, 125, 50, 255], [31, 95, 168, 255]
    assert opened["classes"]["drawn"] == [crop, forest, forest, [0, 0, 0, 0], sea, crop]


def test_the_confidence_raster_comes_up_as_a_ramp_from_0_to_100_percent(opened: dict[str, Any]) -> None:
    assert opened["confidence"]["type"] == "singlebandpseudocolor"
    entries = opened["confidence"]["entries"]
    assert [entry[0] for entry in entries] == [0, 25, 50, 75, 100]
    assert [entry[1] for entry in entries] == ["0 %", "25 %", "50 %", "75 %", "100 %"]


def test_the_polygons_come_up_in_the_same_names_and_colours(opened: dict[str, Any]) -> None:
    """By the style within the GeoPackage, though the raster's .qml of the same stem lies beside it."""
    assert opened["polygons"]["type"] == "categorizedSymbol"
    assert opened["polygons"]["attribute"] == "class_value"
    assert [[int(value), label, colour] for value, label, colour in opened["polygons"]["entries"]] == ENTRIES
    assert opened["polygons"]["features"] == 4
    assert opened["polygons"]["spatial_index"]


ALL_LAYERS = """
import json, sys
from qgis.core import QgsApplication, QgsProviderRegistry, QgsRasterLayer, QgsVectorLayer
application = QgsApplication([], False)
application.initQgis()
probabilities, polygons = sys.argv[1:]
layer = QgsRasterLayer(probabilities, "probabilities")
sublayers = QgsProviderRegistry.instance().querySublayers(polygons)
table = QgsVectorLayer(polygons + "|layername=summary", "summary", "ogr")
outlines = QgsVectorLayer(polygons + "|layername=land_use", "polygons", "ogr")
print(json.dumps({
    "renderer": layer.renderer().type(),
    "shown": layer.renderer().usesBands(),
    "bands": [layer.bandName(number) for number in range(1, layer.bandCount() + 1)],
    "sublayers": sorted(layer.name() for layer in sublayers),
    "summary": [[feature["class_title"], feature["polygons"], feature["cells"]] for feature in table.getFeatures()],
    "outlines": outlines.renderer().type(),
}))
"""


def test_probabilities_summary_and_simplified_polygons_come_up(scene: Path, model: Path, tmp_path: Path) -> None:
    if not has_qgis():
        pytest.skip(f"{QGIS_PYTHON} has no qgis module")
    options = geokd.ClassifyOptions(probabilities=True, smooth_cells=3, simplify_m=100)
    result = geokd.classify(scene, model, tmp_path / "out", options)
    run = subprocess.run(
        [QGIS_PYTHON, "-c", ALL_LAYERS, str(result.outputs["probability_raster"]), str(result.outputs["polygons"])],
        env={"QT_QPA_PLATFORM": "offscreen", "HOME": str(tmp_path), "LC_ALL": "C.UTF-8"},
        capture_output=True,
        check=False,
        text=True,
        timeout=120,
    )
    assert run.stdout, run.stderr
    answer = json.loads(run.stdout.splitlines()[-1])
    assert (answer["renderer"], answer["shown"]) == ("singlebandpseudocolor", [1])
    assert answer["bands"] == ["Band 1: Bare", "Band 2: Meadow", "Band 3: Lake"]
    assert answer["sublayers"] == ["land_use", "summary"]
    areas = result.manifest["areas"]
    assert [[row[0], row[2]] for row in answer["summary"]] == [[area["title"], area["cells"]] for area in areas]
    assert answer["outlines"] == "categorizedSymbol"
