"""Pictures of the plugin in QGIS itself: `python -m tests.qgis.pictures FOLDER` (docs/images), with Xvfb.

It writes qgis-window.png (the toolbox, and a map as the tool opens it) and a picture of each tool's dialog.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import geokd
from geokd.cli.qgis_plugin import command_help
from geokd.qgis.help_texts import texts_of_tools
from geokd.qgis.packing import plugin_files

ROOT = Path(__file__).parents[2]

_IN_QGIS = """
import os
from pathlib import Path
import processing
from qgis import utils
from qgis.core import QgsApplication, QgsProject, QgsRasterLayer
from qgis.PyQt.QtCore import QTimer
from qgis.PyQt.QtWidgets import QApplication, QDockWidget, QLineEdit
from qgis.utils import iface
scene, maps, folder = {scene!r}, {maps!r}, Path({folder!r})

def draw():
    try:
        utils.updateAvailablePlugins()
        utils.loadPlugin("geokd")
        utils.startPlugin("geokd")
        window = iface.mainWindow()
        window.resize(1300, 780)
        QgsProject.instance().addMapLayer(QgsRasterLayer(scene, "eastern_shore"))
        processing.runAndLoadResults("geokd:classify", {{"SCENES": [scene], "MIN_AREA": 0.5, "OUTPUT": maps}})
        for dock in window.findChildren(QDockWidget):
            dock.setVisible(dock.objectName() in ("Layers", "ProcessingToolbox"))
        toolbox = window.findChild(QDockWidget, "ProcessingToolbox")
        toolbox.findChild(QLineEdit).setText("geokd")
        iface.mapCanvas().zoomToFullExtent()
        for _ in range(40):
            iface.mapCanvas().waitWhileRendering()
            QApplication.processEvents()
        window.grab().save(str(folder / "qgis-window.png"))
        for algorithm in QgsApplication.processingRegistry().providerById("geokd").algorithms():
            given = {{"SCENES": [scene], "MIN_AREA": 0.5}} if algorithm.name() == "classify" else {{}}
            dialog = processing.createAlgorithmDialog(algorithm.id(), given)
            dialog.resize(900, 650)
            dialog.show()
            for _ in range(20):
                QApplication.processEvents()
            name = "qgis-dialog.png" if algorithm.name() == "classify" else f"qgis-dialog-{{algorithm.name()}}.png"
            dialog.grab().save(str(folder / name))
            dialog.close()
    finally:
        os._exit(0)

QTimer.singleShot(2000, draw)
"""


def draw(folder: Path) -> None:
    """Start QGIS with a fresh profile that has the plugin, and draw."""
    with tempfile.TemporaryDirectory() as home:
        plugin = Path(home, "profiles", "default", "python", "plugins", "geokd")
        plugin.mkdir(parents=True)
        for name, content in plugin_files(geokd.__version__, texts_of_tools(command_help()), {}).items():
            (plugin / name).write_bytes(content)
        scene = shutil.copy(ROOT / "sample_data" / "eastern_shore.tif", home)
        code = Path(home, "draw.py")
        code.write_text(_IN_QGIS.format(scene=str(scene), maps=f"{home}/maps", folder=str(folder.resolve())))
        (Path(home) / "geokd").write_text(f'#!/bin/sh\nPYTHONPATH="{ROOT}" exec "{sys.executable}" -m geokd "$@"\n')
        (Path(home) / "geokd").chmod(0o755)
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        environment |= {"PATH": f"{home}:/usr/bin:/bin", "HOME": home, "LC_ALL": "C.UTF-8"}
        call = ["qgis", "--profiles-path", home, "--nologo", "--noversioncheck", "--code", str(code)]
        subprocess.run(["xvfb-run", "-a", "-s", "-screen 0 1400x900x24", *call], env=environment, check=True)


if __name__ == "__main__":
    draw(Path(sys.argv[1]))
