"""Small maps on disk, as `geokd classify` leaves them."""

from pathlib import Path

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from rasterio.crs import CRS

from geokd.legend.classes import LandUseClass, Legend
from geokd.maps.class_map import ClassMap
from geokd.maps.geotiff import write_class_raster
from geokd.maps.qgis import class_attributes_pam
from geokd.scenes.grid import SceneGrid

LEGEND = Legend(
    (
        LandUseClass(0, "sea", "Open sea", "1F5FA8"),
        LandUseClass(1, "wood", "Wood & <trees>", "2E7D32"),
        LandUseClass(2, "field", "Field", "F2D45C"),
    )
)
UTM = Affine(160, 0, 439_680, 0, -160, 4_178_020)


def write_map(
    path: Path,
    codes: NDArray[np.uint8],
    legend: Legend = LEGEND,
    transform: Affine = UTM,
    crs: str = "EPSG:32618",
) -> Path:
    """Write a class raster and the category names beside it."""
    confidence = np.where(codes == 255, 255, 70).astype(np.uint8)
    grid = SceneGrid(transform, codes.shape[0], codes.shape[1], CRS.from_user_input(crs))
    class_map = ClassMap(codes, confidence, grid, legend)
    write_class_raster(class_map, path, {})
    Path(f"{path}.aux.xml").write_text(class_attributes_pam(class_map), encoding="utf-8")
    return path
