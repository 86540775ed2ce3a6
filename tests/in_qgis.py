"""Running scripts in QGIS's own Python, and pictures of maps as QGIS draws them.

`python -m tests.in_qgis RASTER GEOPACKAGE PICTURE.png` draws a class raster and its polygons side by side with QGIS's
own legend, with nothing done but loading them.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

QGIS_PYTHON = "/usr/bin/python3"

_OPENED = """
import json, sys
from qgis.core import *
from qgis.PyQt.QtCore import QRectF, QSize
from qgis.PyQt.QtGui import QColor, QFont
application = QgsApplication([], False)
application.initQgis()
arguments, answer = sys.argv[1:], {}
"""

_PRINTED = """
print(json.dumps(answer))
"""

_PICTURE = """
raster, vector, output = arguments
layers = [QgsRasterLayer(raster, "class raster"), QgsVectorLayer(vector, "polygons", "ogr")]
project = QgsProject.instance()
project.addMapLayers(layers)
layout = QgsPrintLayout(project)
layout.initializeDefaults()
layout.pageCollection().page(0).setPageSize(QgsLayoutSize(322, 145))
for number, layer in enumerate(layers):
    item = QgsLayoutItemMap(layout)
    item.attemptSetSceneRect(QRectF(4 + 130 * number, 4, 126, 137))
    item.setLayers([layer])
    item.setCrs(layer.crs())
    item.zoomToExtent(layer.extent())
    layout.addLayoutItem(item)
legend = QgsLayoutItemLegend(layout)
legend.setAutoUpdateModel(False)
legend.model().rootGroup().removeLayer(layers[1])
for style in (QgsLegendStyle.Subgroup, QgsLegendStyle.SymbolLabel):
    legend.setStyleFont(style, QFont("DejaVu Sans", 8))
legend.attemptMove(QgsLayoutPoint(262, 6))
layout.addLayoutItem(legend)
settings = QgsLayoutExporter.ImageExportSettings()
settings.dpi = 110
answer["exported"] = QgsLayoutExporter(layout).exportToImage(output, settings) == QgsLayoutExporter.Success
"""


def has_qgis() -> bool:
    """Whether QGIS's Python is there."""
    try:
        return (
            subprocess.run([QGIS_PYTHON, "-I", "-c", "import qgis.core"], capture_output=True, check=False).returncode
            == 0
        )
    except OSError:
        return False


def run_in_qgis(
    script: str, *arguments: str | Path, environment: Mapping[str, str] | None = None, timeout_s: float = 120
) -> dict[str, Any]:
    """Run a script in QGIS's Python, without a screen and with a fresh profile; return what it put into `answer`.

    The script finds qgis.core's names, a running `application`, its `arguments` and a dict `answer`. Skips the test
    where there is no QGIS.
    """
    if not has_qgis():
        pytest.skip(f"{QGIS_PYTHON} has no qgis module")
    with tempfile.TemporaryDirectory() as home:
        run = subprocess.run(
            [QGIS_PYTHON, "-I", "-c", _OPENED + script + _PRINTED, *map(str, arguments)],
            env={"QT_QPA_PLATFORM": "offscreen", "HOME": home, "LC_ALL": "C.UTF-8"} | dict(environment or {}),
            capture_output=True,
            check=False,
            text=True,
            timeout=timeout_s,
        )
    assert run.stdout, run.stderr
    answer: dict[str, Any] = json.loads(run.stdout.splitlines()[-1])
    return answer


def draw(raster: str | Path, vector: str | Path, picture: str | Path) -> dict[str, Any]:
    """Draw a class raster and polygons side by side with a legend, as a PNG."""
    return run_in_qgis(_PICTURE, raster, vector, picture)


if __name__ == "__main__":
    print(draw(*sys.argv[1:4]))
