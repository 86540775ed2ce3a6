"""Maps opened and drawn by QGIS itself, in its own Python; skipped where QGIS is not installed."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from click.testing import CliRunner
from PIL import Image
from rasterio.crs import CRS

import geokd
from geokd.cli import main
from geokd.legend.classes import NODATA, LandUseClass, Legend
from geokd.maps.class_map import ClassMap
from geokd.maps.manifest import Manifest, areas_of
from geokd.maps.map_files import MapProduct, write_map
from geokd.maps.names import OutputNames, output_names
from geokd.scenes.grid import SceneGrid
from tests.in_qgis import draw, run_in_qgis

SAMPLE = Path(__file__).parents[2] / "sample_data" / "eastern_shore.tif"

# Loads files as a user does by dragging them in, tells what came up, and draws a pixel a cell on a magenta ground.
SCRIPT = """
def drawn(layer, cols, rows):
    settings = QgsMapSettings()
    settings.setLayers([layer])
    settings.setDestinationCrs(layer.crs())
    settings.setExtent(raster.extent())
    settings.setOutputSize(QSize(4 * cols, 4 * rows))
    settings.setBackgroundColor(QColor("magenta"))
    settings.setFlag(QgsMapSettings.Antialiasing, False)
    job = QgsMapRendererSequentialJob(settings)
    job.start()
    job.waitForFinished()
    image = job.renderedImage()
    return [[image.pixelColor(4 * col + 2, 4 * row + 2).name() for col in range(cols)] for row in range(rows)]

classes, confidence, polygons = arguments
raster = QgsRasterLayer(classes, "classes")
shape = raster.width(), raster.height()
answer["classes"] = {
    "crs": raster.crs().authid(),
    "type": raster.renderer().type(),
    "entries": [[c.value, c.label, c.color.name()] for c in raster.renderer().classes()],
    "drawn": drawn(raster, *shape),
}
layer = QgsRasterLayer(confidence, "confidence")
shader = layer.renderer().shader().rasterShaderFunction()
answer["confidence"] = {
    "crs": layer.crs().authid(),
    "type": layer.renderer().type(),
    "entries": [[item.value, item.label] for item in shader.colorRampItemList()],
    "drawn": drawn(layer, *shape),
}
answer["sublayers"] = [layer.name() for layer in QgsProviderRegistry.instance().querySublayers(polygons)]
layer = QgsVectorLayer(polygons, "polygons", "ogr")
answer["polygons"] = {
    "crs": layer.crs().authid(),
    "type": layer.renderer().type(),
    "attribute": layer.renderer().classAttribute(),
    "entries": [[int(c.value()), c.label(), c.symbol().color().name()] for c in layer.renderer().categories()],
    "spatial_index": layer.hasSpatialIndex() == QgsFeatureSource.SpatialIndexPresent,
    "features": layer.featureCount(),
    "drawn": drawn(layer, *shape),
}
"""

EMPTY = "#ff00ff"


def opened(folder: Path, names: OutputNames) -> dict[str, Any]:
    """Open a map's files, and see that they come up as its legend and cells want it; return what QGIS told."""
    layers = (folder / name for name in (names.class_raster, names.confidence_raster, names.polygons))
    answer = run_in_qgis(SCRIPT, *layers)
    with rasterio.open(folder / names.class_raster) as raster:
        codes, crs = raster.read(1), f"EPSG:{raster.crs.to_epsg()}"
    with rasterio.open(folder / names.confidence_raster) as raster:
        percent = raster.read(1)
    entries = answer["classes"]["entries"]
    colours = {code: colour for code, _, colour in entries} | {NODATA: EMPTY}
    expected = [[colours[code] for code in row] for row in codes.tolist()]
    assert {answer[layer]["crs"] for layer in ("classes", "confidence", "polygons")} == {crs}
    assert answer["classes"]["type"] == "paletted"
    assert answer["classes"]["drawn"] == expected
    assert answer["sublayers"] == ["land_use"]  # a single one: QGIS does not ask which
    assert (answer["polygons"]["type"], answer["polygons"]["attribute"]) == ("categorizedSymbol", "class_value")
    assert answer["polygons"]["entries"] == entries
    assert answer["polygons"]["drawn"] == expected
    assert answer["polygons"]["spatial_index"]
    assert answer["confidence"]["type"] == "singlebandpseudocolor"
    assert answer["confidence"]["entries"] == [[value, f"{value} %"] for value in (0, 25, 50, 75, 100)]
    empty = [[colour == EMPTY for colour in row] for row in answer["confidence"]["drawn"]]
    assert empty == (percent == NODATA).tolist()
    return answer


def test_a_map_comes_up_named_and_coloured_with_nodata_transparent(tmp_path: Path) -> None:
    """The polygons by the style within the GeoPackage, though the raster's .qml of the same stem lies beside it."""
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
    names = output_names("scene")
    class_map = ClassMap(codes, confidence, grid, legend)
    outputs = names.chosen(polygons=True)
    manifest = Manifest(legend=legend.classes, outputs=outputs, **areas_of(class_map))
    product = MapProduct(
        class_map=class_map,
        outputs=outputs,
        title="a",
        subtitle="b",
        tags={},
        describe=lambda _: manifest,
        made_of=[],
    )
    write_map(product, tmp_path, tmp_path)
    answer = opened(tmp_path, names)
    assert answer["classes"]["entries"] == [
        [0, "Ackerland & <Wiese>", "#f2d45c"],
        [1, "Forêt", "#2e7d32"],
        [2, "Sea", "#1f5fa8"],
    ]
    assert answer["polygons"]["features"] == 4


@pytest.mark.slow
def test_maps_of_the_sample_scene_and_their_mosaic_come_up(tmp_path: Path) -> None:
    with rasterio.open(SAMPLE) as source:
        for name, left in (("west", 0), ("east", 384)):
            window = rasterio.windows.Window(left, 300, 640, 400)
            pixels = source.read(window=window)
            pixels[:, :100, :100] = 0
            transform = source.transform @ Affine.translation(left, 300)
            profile = source.profile | {"width": 640, "height": 400, "transform": transform, "nodata": 0}
            with rasterio.open(tmp_path / f"{name}.tif", "w", **profile) as target:
                target.write(pixels)
                target.descriptions = source.descriptions
                target.scales, target.offsets = source.scales, source.offsets
    for name in ("west", "east"):
        geokd.classify(
            tmp_path / f"{name}.tif", "eurosat-rgb-maps", tmp_path, geokd.ClassifyOptions(min_confidence=0.4)
        )
        answer = opened(tmp_path, output_names(name))
        assert answer["classes"]["entries"][-1] == [10, "Unclassified", "#c8c8c8"]
        assert EMPTY in answer["classes"]["drawn"][0]
    maps = [str(tmp_path / f"{name}_landuse.tif") for name in ("west", "east")]
    run = CliRunner().invoke(main, ["mosaic", *maps, "-o", str(tmp_path / "both_landuse.tif")])
    assert run.exit_code == 0, run.output
    assert len(opened(tmp_path, output_names("both"))["classes"]["drawn"][0]) == 64


ALL_LAYERS = """
probabilities, polygons, summary = arguments
layer = QgsRasterLayer(probabilities, "probabilities")
outlines = QgsVectorLayer(polygons, "polygons", "ogr")
table = QgsVectorLayer(summary, "summary", "ogr")
answer |= {
    "renderer": layer.renderer().type(),
    "shown": layer.renderer().usesBands(),
    "bands": [layer.bandName(number) for number in range(1, layer.bandCount() + 1)],
    "summary": [[feature["class_title"], int(feature["cells"])] for feature in table.getFeatures()],
    "outlines": outlines.renderer().type(),
}
"""


def test_probabilities_summary_and_simplified_polygons_come_up(scene: Path, model: Path, tmp_path: Path) -> None:
    options = geokd.ClassifyOptions(probabilities=True, smooth_cells=3, simplify_m=100)
    result = geokd.classify(scene, model, tmp_path / "out", options)
    answer = run_in_qgis(ALL_LAYERS, *(result.outputs[name] for name in ("probability_raster", "polygons", "summary")))
    assert (answer["renderer"], answer["shown"]) == ("singlebandpseudocolor", [1])
    assert answer["bands"] == ["Band 1: Bare", "Band 2: Meadow", "Band 3: Lake"]
    assert answer["summary"] == [[area["title"], area["cells"]] for area in result.manifest.to_json()["areas"]]
    assert answer["outlines"] == "categorizedSymbol"


@pytest.mark.parametrize("simplify_m", [0.0, 30.0])
def test_a_picture_for_people(simplify_m: float, scene: Path, model: Path, tmp_path: Path) -> None:
    result = geokd.classify(scene, model, tmp_path / "out", geokd.ClassifyOptions(simplify_m=simplify_m))
    picture = tmp_path / "picture.png"
    assert draw(result.outputs["class_raster"], result.outputs["polygons"], picture)["exported"]
    with Image.open(picture) as image:
        pixels = np.asarray(image.convert("RGB"))
    halves = pixels[:, : pixels.shape[1] * 130 // 322], pixels[:, pixels.shape[1] * 130 // 322 :]
    for c, area in zip(result.class_map.legend, result.manifest.to_json()["areas"], strict=True):
        for half in halves:  # the raster in the left one, polygons in the right
            assert ((half == c.rgb).all(axis=-1).sum() > 500) == (area["cells"] > 0)
