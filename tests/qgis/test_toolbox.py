"""The plugin in QGIS itself: `qgis_process` and `processing.run`; skipped where QGIS is not installed."""

import json
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import rasterio

import geokd
from geokd.cli.qgis_plugin import command_help
from geokd.maps.manifest import read_manifest
from geokd.qgis.help_texts import texts_of_tools
from geokd.qgis.packing import plugin_files
from geokd.qgis.plugin.tools import TOOLS
from tests.in_qgis import has_qgis, run_in_qgis

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "sample_data"
SYSTEM_PATH = "/usr/bin:/bin"

pytestmark = pytest.mark.skipif(not has_qgis(), reason="needs QGIS's Python")

# Loads the plugin as QGIS does, with the framework of Processing about it.
LOADED = """
import os, pathlib
folder = pathlib.Path(arguments.pop(0))
sys.path[:0] = ["/usr/share/qgis/python/plugins", str(folder)]
from processing.core.Processing import Processing
import processing
Processing.initialize()
import geokd
plugin = geokd.classFactory(None)
plugin.initProcessing()

class Told(QgsProcessingFeedback):
    def __init__(self):
        super().__init__(False)
        self.said = []
    def pushInfo(self, text):
        self.said.append(text)
    def pushWarning(self, text):
        self.said.append("Warning: " + text)
    def reportError(self, text, fatal=False):
        self.said.append("Error: " + text)
told = Told()
"""


@pytest.fixture(scope="module")
def plugins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of plugins with this one in it."""
    folder = tmp_path_factory.mktemp("plugins")
    (folder / "geokd").mkdir()
    for name, content in plugin_files(geokd.__version__, texts_of_tools(command_help()), {}).items():
        (folder / "geokd" / name).write_bytes(content)
    return folder


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A PATH with the geokd of this checkout."""
    program = tmp_path_factory.mktemp("bin") / "geokd"
    program.write_text(f'#!/bin/sh\nPYTHONPATH="{ROOT}" exec "{sys.executable}" -m geokd "$@"\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return f"{program.parent}:{SYSTEM_PATH}"


@pytest.fixture(scope="module")
def maps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a corner of the sample scene and its map, under names that are not Latin and have spaces."""
    folder = tmp_path_factory.mktemp("Карта поля")
    with rasterio.open(SAMPLE / "eastern_shore.tif") as source:
        window = rasterio.windows.Window(300, 300, 256, 256)
        profile = source.profile | {"width": 256, "height": 256, "transform": source.window_transform(window)}
        with rasterio.open(folder / "восток 1.tif", "w", **profile) as target:
            target.write(source.read(window=window))
            target.descriptions = source.descriptions
    shutil.copy(folder / "восток 1.tif", folder / "west.tif")
    for name in ("восток 1.tif", "west.tif"):
        geokd.classify(folder / name, output=folder, options=geokd.ClassifyOptions(probabilities=True))
    return folder


def process(home: Path, path: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run `qgis_process`."""
    program = next((p for p in ("/usr/bin/qgis_process.bin", "/usr/bin/qgis_process") if Path(p).exists()), None)
    if program is None:
        pytest.skip("needs qgis_process")
    (home / "run").mkdir(mode=0o700, exist_ok=True)
    environment = {"QT_QPA_PLATFORM": "offscreen", "HOME": str(home), "LC_ALL": "C.UTF-8", "PATH": path}
    environment |= {"XDG_RUNTIME_DIR": str(home / "run"), "LD_LIBRARY_PATH": "/usr/lib/grass82/lib"}
    return subprocess.run(
        [program, *map(str, arguments)], env=environment, capture_output=True, text=True, check=False, timeout=300
    )


@pytest.fixture(scope="module")
def home(plugins: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home whose QGIS has the plugin enabled."""
    folder = tmp_path_factory.mktemp("home")
    profile = folder / ".local/share/QGIS/QGIS3/profiles/default/python/plugins"
    shutil.copytree(plugins, profile)
    assert "Enabled geokd" in process(folder, SYSTEM_PATH, "plugins", "enable", "geokd").stdout
    return folder


def test_the_tools_are_listed_without_geokd_and_say_what_is_missing(home: Path) -> None:
    listed = process(home, SYSTEM_PATH, "list").stdout
    assert [tool.name for tool in TOOLS if f"geokd:{tool.name}\t" not in listed] == []
    if shutil.which("geokd", path="/usr/local/bin:/opt/conda/bin"):
        pytest.skip("geokd is installed for all users")
    run = process(home, SYSTEM_PATH, "run", "geokd:info", "--", "PRODUCT=eurosat-rgb-maps")
    assert run.returncode != 0
    assert (
        "geokd was not found. Install it from a clone of its repository with: python3 -m pip install ."
        in run.stdout + run.stderr
    )


def test_a_map_by_qgis_process(home: Path, path: str, tmp_path: Path) -> None:
    out = tmp_path / "Ergebnis ä"
    run = process(
        *(home, path, "run", "geokd:classify", "--", f"SCENES={SAMPLE / 'eastern_shore.tif'}", f"OUTPUT={out}"),
        *(f"AOI={SAMPLE / 'labels.gpkg'}", "POLYGONS=false", "MIN_AREA=0.5"),
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert f"LANDUSE:\t{out / 'eastern_shore_landuse.tif'}" in run.stdout
    assert "chose sentinel2-landuse because" in run.stdout
    assert "100 - done" in run.stdout
    manifest = json.loads((out / "eastern_shore_landuse.json").read_text())
    assert manifest["options"]["min_area_ha"] == 0.5
    assert "polygons" not in manifest["outputs"]
    assert manifest["options"]["aoi"] is not None


def test_errors_are_geokds_own_sentences(home: Path, path: str, maps: Path) -> None:
    run = process(home, path, "run", "geokd:classify", "--", f"PRODUCTS={maps / 'восток 1.tif'}", f"OUTPUT={maps}")
    assert run.returncode != 0
    said = run.stdout + run.stderr
    assert "holds" in said and "восток 1_landuse.tif" in said and "already" in said
    assert "Traceback" not in said
    run = process(home, path, "run", "geokd:classify", "--", f"OUTPUT={maps}")
    assert "SCENES or PRODUCTS" in run.stdout + run.stderr


CHAIN = """
scene, map_, out = arguments
def run(name, **values):
    return processing.run("geokd:" + name, values, feedback=told)
answer["sample"] = run("sample", MAP=map_, POINTS=40, OUTPUT=out + "/sample.gpkg")
answer["review"] = run("review", MAP=map_, POINTS=9, SCENE=scene, OUTPUT="TEMPORARY_OUTPUT")
west = str(pathlib.Path(map_).with_name("west_landuse.tif"))
answer["mosaic"] = run("mosaic", MAPS=[map_, west], NAME="вместе", OUTPUT=out, BY="confidence", LOAD=False)
answer["composite"] = run("composite", MAPS=[map_, west], NAME="год", OUTPUT=out, SOURCES=True, LOAD=False)
answer["plan"] = run("plan", MAP=map_, ACCURACY_WITHIN=5, AREA_WITHIN="Forest=20, Pasture=50", OUTPUT=out + "/p.json")
legend = pathlib.Path(out, "legend.csv")
legend.write_text("from,title,color_hint\\nForest,Лес,00FF00\\n", encoding="utf-8")
answer["style"] = run("style", MAP=map_, LEGEND=str(legend), NAME="styled", OUTPUT=out + "/styled", LOAD=False)
answer["style model"] = run("style", MODEL="sentinel2-landuse", LEGEND=str(legend), NAME="own", OUTPUT=out + "/model")
answer["assess"] = run("assess", MAP=map_, REFERENCE_RASTER=map_, OUTPUT=out + "/figures.json")
layer = QgsVectorLayer("Polygon?crs=EPSG:4326&field=kind:string", "in memory", "memory")
raster = QgsRasterLayer(map_, "map")
box = QgsCoordinateTransform(raster.crs(), layer.crs(), QgsProject.instance()).transformBoundingBox(raster.extent())
feature = QgsFeature(layer.fields())
feature.setGeometry(QgsGeometry.fromRect(box))
feature["kind"] = "meadow"
layer.dataProvider().addFeatures([feature])
QgsProject.instance().addMapLayer(layer)
answer["tile"] = run("tile", SCENE=scene, LABELS=layer, FIELD="kind", PATCH=64, OUTPUT=out + "/chips")
points = QgsVectorLayer(f"Point?crs={raster.crs().authid()}&field=seen:string", "points", "memory")
for number in range(40):
    feature = QgsFeature(points.fields())
    side = raster.extent().width() / 41
    at = QgsPointXY(raster.extent().xMinimum() + (number + 1) * side, raster.extent().yMinimum() + (number + 1) * side)
    feature.setGeometry(QgsGeometry.fromPointXY(at))
    feature["seen"] = "Forest"
    points.dataProvider().addFeatures([feature])
QgsProject.instance().addMapLayer(points)
answer["against"] = run("assess", MAP=map_, REFERENCE=points, FIELD="seen", AGAINST=west)
there = QgsReferencedRectangle(raster.extent(), raster.crs())
answer["tile of an extent"] = run("tile", SCENE=scene, EXTENT=there, PATCH=64, OUTPUT=out + "/part")
answer["info"] = run("info", SCENE=scene, OUTPUT="TEMPORARY_OUTPUT")
answer["robustness"] = run("robustness", SCENE=scene, SHIFTS="haze, noise" , OUTPUT=out + "/robust")
answer["helped"] = [
    algorithm.id() for algorithm in plugin.provider.algorithms()
    if len(algorithm.shortHelpString()) > 200 and algorithm.shortDescription()
]
answer["said"] = told.said
"""


@pytest.mark.slow
def test_every_other_tool_runs(plugins: Path, path: str, maps: Path, tmp_path: Path) -> None:
    script = CHAIN.replace("haze, noise", ", ".join(list(geokd_shifts())[:2]))
    answer = run_in_qgis(
        *(
            LOADED + script,
            plugins,
            maps / "восток 1.tif",
            maps / "восток 1_landuse.tif",
            tmp_path,
        ),
        environment={"PATH": path},
        timeout_s=400,
    )
    assert answer["sample"]["OUTPUT"] == str(tmp_path / "sample.gpkg")
    assert Path(answer["sample"]["OUTPUT"]).is_file()
    assert answer["review"]["OUTPUT"].endswith(".gpkg")
    assert answer["mosaic"]["LANDUSE"] == str(tmp_path / "вместе_landuse.tif")
    assert answer["composite"]["DATES"] == str(tmp_path / "год_dates.tif")
    assert Path(answer["composite"]["SOURCES_RASTER"]).is_file()
    plan = json.loads((tmp_path / "p.json").read_text())
    assert answer["plan"]["POINTS"] == plan["points"] > 100
    assert [goal["name"] for goal in plan["goals"]] == ["overall accuracy", "area of Forest", "area of Pasture"]
    assert any("difference +0.0 points" in line for line in answer["said"])
    assert Path(answer["style"]["POLYGONS_LAYER"]).is_file()
    assert answer["style model"]["MODEL_FILE"] == str(tmp_path / "model" / "own.onnx")
    assert answer["assess"]["OVERALL_ACCURACY"] == 1
    assert json.loads((tmp_path / "figures.json").read_text())["overall_accuracy"]["estimate"] == 1
    assert answer["tile"]["CHIPS"] == 16
    assert len(list((tmp_path / "chips" / "meadow").glob("*.tif"))) == 16
    assert 9 <= answer["tile of an extent"]["CHIPS"] <= 16  # the sides of a box in degrees are bent in UTM
    assert "Sentinel" in answer["info"]["DESCRIPTION"] or "B08" in answer["info"]["DESCRIPTION"]
    assert Path(answer["robustness"]["PICTURE"]).is_file()
    assert sorted(answer["helped"]) == sorted(f"geokd:{tool.name}" for tool in TOOLS)
    assert any("overall accuracy 100.0 %" in line for line in answer["said"])


def geokd_shifts() -> tuple[str, ...]:
    from geokd.assessment.shifts import SHIFTS

    return tuple(SHIFTS)


MODEL_OF_TWO = """
scene, out = arguments
model = QgsProcessingModelAlgorithm("Map and sample", "tests")
Source = QgsProcessingModelChildParameterSource
model.addModelParameter(QgsProcessingParameterRasterLayer("SCENE", "Scene"), QgsProcessingModelParameter("SCENE"))
first = QgsProcessingModelChildAlgorithm("geokd:classify")
first.setChildId("map")
first.addParameterSources("SCENES", [Source.fromModelParameter("SCENE")])
first.addParameterSources("OUTPUT", [Source.fromStaticValue(out + "/of the model")])
first.addParameterSources("LOAD", [Source.fromStaticValue(False)])
model.addChildAlgorithm(first)
second = QgsProcessingModelChildAlgorithm("geokd:sample")
second.setChildId("sample")
second.addParameterSources("MAP", [Source.fromChildOutput("map", "LANDUSE")])
second.addParameterSources("POINTS", [Source.fromStaticValue(40)])
result = QgsProcessingModelOutput("POINTS", "Points")
result.setChildOutputName("OUTPUT")
result.setChildId("sample")
second.setModelOutputs({"POINTS": result})
model.addChildAlgorithm(second)
(points,) = [definition.name() for definition in model.destinationParameterDefinitions()]  # differs between versions
answer["points"] = processing.run(model, {"SCENE": scene, points: out + "/points.gpkg"}, feedback=told)[points]
"""


@pytest.mark.slow
def test_a_model_of_two_steps(plugins: Path, path: str, maps: Path, tmp_path: Path) -> None:
    answer = run_in_qgis(
        LOADED + MODEL_OF_TWO, plugins, maps / "восток 1.tif", tmp_path, environment={"PATH": path}, timeout_s=300
    )
    assert answer["points"] == str(tmp_path / "points.gpkg")
    assert (tmp_path / "points.gpkg").is_file()
    assert (tmp_path / "of the model" / "восток 1_landuse.tif").is_file()


def min_area_ha_of(manifest: Path) -> float:
    options = read_manifest(manifest).options
    assert options is not None
    return options.min_area_ha


MODEL_FILE = """
file, scene, labels, out = arguments
model = QgsProcessingModelAlgorithm()
answer["read"] = [model.fromFile(file), model.displayName()]
(figures,) = [d.name() for d in model.destinationParameterDefinitions() if d.name().endswith("Figures")]
values = {"SCENE": scene, "REFERENCE": labels, "FIELD": "eurosat", "MIN_AREA": 0.5, "FOLDER": out}
values[figures] = out + "/figures.json"
answer["figures"] = processing.runAndLoadResults(model, values, feedback=told)[figures]
answer["layers"] = sorted(layer.name() for layer in QgsProject.instance().mapLayers().values())
"""


def test_the_model_of_the_sample_data_runs(plugins: Path, path: str, tmp_path: Path) -> None:
    answer = run_in_qgis(
        *(LOADED + MODEL_FILE, plugins, SAMPLE / "map_and_assess.model3", SAMPLE / "eastern_shore.tif"),
        *(SAMPLE / "labels.gpkg", tmp_path),
        environment={"PATH": path},
        timeout_s=300,
    )
    assert answer["read"] == [True, "Map and assess"]
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert answer["figures"] == str(tmp_path / "figures.json")
    assert figures["overall_accuracy"]["estimate"] > 0.6
    assert "eastern_shore land use" in answer["layers"]
    assert min_area_ha_of(tmp_path / "eastern_shore_landuse.json") == 0.5


@pytest.mark.slow
def test_the_model_of_the_sample_data_runs_in_qgis_process(home: Path, path: str, tmp_path: Path) -> None:
    run = process(
        *(home, path, "run", SAMPLE / "map_and_assess.model3", "--", f"SCENE={SAMPLE / 'eastern_shore.tif'}"),
        *(f"REFERENCE={SAMPLE / 'labels.gpkg'}", "FIELD=eurosat", f"FOLDER={tmp_path}"),
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert (tmp_path / "eastern_shore_landuse.tif").is_file()


VECTORS = """
scene, labels, two, out = arguments
layer = QgsVectorLayer(labels, "labels", "ogr")
options = QgsVectorFileWriter.SaveVectorOptions()
for name in ("first", "мой слой"):
    options.layerName = name
    writer = QgsVectorFileWriter.writeAsVectorFormatV3(layer, two, QgsCoordinateTransformContext(), options)
    options.actionOnExistingFile = QgsVectorFileWriter.CreateOrOverwriteLayer
second = QgsVectorLayer(two + "|layername=мой слой", "second", "ogr")
QgsProject.instance().addMapLayer(second)
def tried(name, **values):
    context = QgsProcessingContext()
    context.setProject(QgsProject.instance())
    algorithm = QgsApplication.processingRegistry().createAlgorithmById("geokd:" + name)
    values["OUTPUT"] = out + "/" + str(len(os.listdir(out)) if os.path.isdir(out) else 0)
    results, ok = algorithm.run(values, context, told)
    return [ok, results.get("CHIPS"), told.said[-1]]
tile = dict(SCENE=scene, FIELD="land_use", PATCH=64)
answer["a layer of two"] = tried("tile", LABELS=second, **tile)
answer["named in text"] = tried("tile", LABELS=two + "|layername=first", **tile)
answer["area"] = tried("tile", SCENE=scene, AOI=second, PATCH=32)
second.setSubsetString("land_use = 'water_sea'")
answer["filtered area"] = tried("tile", SCENE=scene, AOI=second, PATCH=32)
answer["filtered"] = tried("tile", LABELS=second, **tile)
second.setSubsetString("")
second.selectByExpression("land_use = 'marsh'")
selected = QgsProcessingFeatureSourceDefinition(second.id(), True)
answer["selected"] = tried("tile", LABELS=selected, **tile)
second.startEditing()
second.deleteFeature(1)
answer["edited"] = tried("tile", LABELS=second, **tile)
answer["edited, selected"] = tried("tile", LABELS=selected, **tile)
answer["robustness"] = tried("robustness", SCENE=scene, LABELS=two + "|layername=first", FIELD="landuse", SHIFTS="haze")
wms = QgsRasterLayer("type=xyz&url=file:///nowhere/{z}/{x}/{y}.png", "tiles", "wms")
QgsProject.instance().addMapLayer(wms)
answer["tiles"] = tried("tile", SCENE=wms, PATCH=64)
"""


@pytest.mark.slow
def test_layers_of_all_kinds_are_read_or_refused_with_a_sentence(plugins: Path, path: str, tmp_path: Path) -> None:
    answer = run_in_qgis(
        *(LOADED + VECTORS, plugins, SAMPLE / "eastern_shore.tif", SAMPLE / "labels.gpkg"),
        *(tmp_path / "two layers.gpkg", tmp_path / "out"),
        environment={"PATH": path},
        timeout_s=400,
    )
    unsaved = "Error: The layer second has changes that are not saved: save them, then run the tool again."
    assert answer["edited"][::2] == answer["edited, selected"][::2] == [False, unsaved]
    assert answer["tiles"][0] is False
    assert "The layer tiles is of wms: geokd reads files" in answer["tiles"][2]
    chips = {name: made[1] for name, made in answer.items() if made[0]}
    assert chips["a layer of two"] == chips["named in text"] > max(chips["selected"], chips["filtered"])
    assert min(chips["selected"], chips["filtered"], chips["filtered area"]) > 0
    assert chips["area"] > chips["filtered area"]
    assert answer["robustness"][0], answer["robustness"]


BATCH = """
from processing.gui.BatchAlgorithmDialog import BatchAlgorithmDialog
scenes, out = arguments[:2], arguments[2]
algorithm = QgsApplication.processingRegistry().createAlgorithmById("geokd:classify")
dialog = BatchAlgorithmDialog(algorithm)
panel = dialog.mainWidget()
panel.addRow(len(scenes) - panel.batchRowCount())
context = QgsProcessingContext()
for row, scene in enumerate(scenes):
    panel.wrappers[row][panel.parameter_to_column["SCENES"]].setParameterValue([scene], context)
    panel.wrappers[row][panel.parameter_to_column["MIN_AREA"]].setParameterValue(0.1 * row, context)
    panel.tblParameters.cellWidget(row + 1, panel.parameter_to_column["OUTPUT"]).setValue(out + "/" + str(row))
dialog.runAlgorithm()
answer["rows"] = panel.batchRowCount()
answer["log"] = dialog.findChild(QTextEdit, "txtLog").toPlainText()
"""


@pytest.mark.slow
def test_two_scenes_in_the_batch_dialog(plugins: Path, path: str, maps: Path, tmp_path: Path) -> None:
    answer = run_in_qgis(
        *(LOADED + "from qgis.PyQt.QtWidgets import QTextEdit" + BATCH, plugins),
        *(maps / "восток 1.tif", maps / "west.tif", tmp_path / "out"),
        environment={"PATH": path},
        timeout_s=300,
    )
    assert answer["rows"] == 2
    assert answer["log"].count("Algorithm Map land use correctly executed") == 2
    made = [tmp_path / "out" / "0" / "восток 1_landuse.json", tmp_path / "out" / "1" / "west_landuse.json"]
    assert [min_area_ha_of(path) for path in made] == [0, 0.1]


POLLUTED = """
scene, out = arguments
for name in ("PYTHONHOME", "PYTHONPATH", "PROJ_LIB", "PROJ_DATA", "GDAL_DATA", "GDAL_DRIVER_PATH", "SSL_CERT_FILE"):
    os.environ[name] = "/nowhere"
answer["can"] = plugin.provider.algorithm("classify").create().canExecute()
answer["result"] = processing.run("geokd:classify", {"SCENES": [scene], "OUTPUT": out}, feedback=told)
"""


@pytest.mark.slow
def test_a_polluted_environment_does_no_harm(plugins: Path, path: str, maps: Path, tmp_path: Path) -> None:
    bad = dict(os.environ) | {"PYTHONHOME": "/nowhere", "PATH": path}
    assert subprocess.run(["geokd", "--version"], env=bad, capture_output=True, check=False).returncode != 0
    answer = run_in_qgis(
        LOADED + POLLUTED, plugins, maps / "восток 1.tif", tmp_path / "out", environment={"PATH": path}, timeout_s=300
    )
    assert answer["can"] == [True, ""]
    assert Path(answer["result"]["POLYGONS_LAYER"]).is_file()


SET = """
from processing.core.ProcessingConfig import ProcessingConfig
(program,) = arguments
def asked():
    return plugin.provider.algorithm("classify").create().canExecute()
answer["before"] = asked()
ProcessingConfig.setSettingValue("GEOKD_EXECUTABLE", "/usr/bin/env")
answer["wrong"] = asked()
ProcessingConfig.setSettingValue("GEOKD_EXECUTABLE", program)
answer["right"] = asked()
"""


def test_the_path_in_the_settings_of_processing_counts(plugins: Path, path: str) -> None:
    program = Path(path.partition(":")[0]) / "geokd"
    answer = run_in_qgis(LOADED + SET, plugins, program, environment={"PATH": SYSTEM_PATH})
    assert answer["before"][0] is any(Path(folder, "geokd").exists() for folder in ("/usr/local/bin", "/opt/conda/bin"))
    assert answer["wrong"][0] is False
    assert "the settings name /usr/bin/env (does not run)" in answer["wrong"][1]
    assert answer["right"] == [True, ""]


CANCELLED = """
scene, out = arguments
values = {"SCENES": [scene], "OUTPUT": out, "MODEL": "eurosat-rgb-maps", "STRIDE": 8, "BIDX": "1,2,3", "WORKERS": 1}
values["POLYGONS"] = False
told.progressChanged.connect(lambda percent: told.cancel() if percent > 0 else None)
context = QgsProcessingContext()
algorithm = QgsApplication.processingRegistry().createAlgorithmById("geokd:classify")
answer["result"] = list(algorithm.run(values, context, told))
answer["kept"] = [path.name for path in pathlib.Path(out).glob("*journal*")] + os.listdir(out)
answer["cancelled"] = told.said
told = Told()
answer["resumed"] = processing.run("geokd:classify", dict(values, RESUME=True), feedback=told)
"""


@pytest.mark.slow
def test_cancel_keeps_what_is_done(plugins: Path, path: str, tmp_path: Path) -> None:
    answer = run_in_qgis(
        *(LOADED + CANCELLED, plugins, SAMPLE / "eastern_shore.tif", tmp_path / "out"),
        environment={"PATH": path},
        timeout_s=300,
    )
    assert not answer["result"][0].get("LANDUSE")
    assert any("are kept: continue with RESUME" in line for line in answer["cancelled"])
    assert answer["kept"]
    assert not any(name.endswith("_landuse.tif") for name in answer["kept"])
    run = read_manifest(Path(answer["resumed"]["MANIFEST"])).run
    assert run is not None
    assert 1 <= run.resumed_blocks < run.blocks
    assert Path(answer["resumed"]["LANDUSE"]).is_file()


OPENED = """
scene, out = arguments
project = QgsProject.instance()
processing.runAndLoadResults("geokd:classify", {"SCENES": [scene], "OUTPUT": out}, feedback=told)
processing.runAndLoadResults("geokd:sample", {"MAP": out + "/" + pathlib.Path(scene).stem + "_landuse.tif",
                             "POINTS": 40, "OUTPUT": out + "/points.gpkg"}, feedback=told)
root = project.layerTreeRoot()
answer["tree"] = [
    [child.name(), [[n.name(), n.isVisible()] for n in child.findLayers()] if hasattr(child, "findLayers") else None]
    for child in root.children()
]
layers = {layer.name(): layer for layer in project.mapLayers().values()}
polygons = next(layer for name, layer in layers.items() if name.endswith("polygons"))
context = QgsExpressionContext(QgsExpressionContextUtils.globalProjectLayerScopes(polygons))
context.setFeature(next(polygons.getFeatures()))
area = QgsExpression('sum("area_ha", group_by := "class_title")').evaluate(context)
answer["area"] = [context.feature()["class_title"], area]
answer["renderers"] = {name: layer.renderer().type() for name, layer in layers.items()}
answer["labels"] = {
    name: len(layer.renderer().classes() if hasattr(layer.renderer(), "classes") else layer.renderer().categories())
    for name, layer in layers.items() if hasattr(layer.renderer(), "classes") or hasattr(layer.renderer(), "categories")
}
"""


@pytest.mark.slow
def test_layers_come_up_in_a_group_with_their_own_styles(plugins: Path, path: str, maps: Path, tmp_path: Path) -> None:
    answer = run_in_qgis(
        LOADED + OPENED, plugins, maps / "восток 1.tif", tmp_path / "out", environment={"PATH": path}, timeout_s=300
    )
    groups: dict[str, Any] = {name: layers for name, layers in answer["tree"] if layers}
    assert [name for name, _ in groups["восток 1"]] == [
        *("восток 1 polygons", "восток 1 land use", "восток 1 confidence")
    ]
    assert [shown for _, shown in groups["восток 1"]] == [False, True, False]
    title, area_ha = answer["area"]
    manifest = json.loads((tmp_path / "out" / "восток 1_landuse.json").read_text())
    (of_class,) = [area for area in manifest["areas"] if area["title"] == title]
    assert area_ha == pytest.approx(of_class["area_ha"], rel=0.01)
    assert answer["renderers"]["восток 1 land use"] == "paletted"
    assert answer["renderers"]["восток 1 polygons"] == "categorizedSymbol"
    assert answer["renderers"]["восток 1 confidence"] == "singlebandpseudocolor"
    assert answer["labels"]["восток 1 land use"] == answer["labels"]["восток 1 polygons"] == 13
    (points,) = set(answer["renderers"]) - {name for name, _ in groups["восток 1"]}
    assert answer["renderers"][points] == "categorizedSymbol"


TRAINED = """
chips, out = arguments
answer["result"] = processing.run("geokd:train", {
    "CHIPS": chips, "RECIPE": str(pathlib.Path(chips).parents[1] / "recipes" / "sample-chips.toml"),
    "SET": "student.epochs=1, teacher.epochs=1", "OUTPUT": out}, feedback=told)
answer["said"] = told.said
"""


@pytest.mark.slow
def test_a_model_is_trained_and_exported(plugins: Path, path: str, tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="needs the extra geokd[train]")
    answer = run_in_qgis(
        LOADED + TRAINED, plugins, SAMPLE / "chips", tmp_path / "run", environment={"PATH": path}, timeout_s=900
    )
    assert Path(answer["result"]["MODEL"]).suffix == ".onnx"
    assert Path(answer["result"]["MODEL_FP32"]).is_file()
    assert any("student: epoch 1/1" in line for line in answer["said"])
