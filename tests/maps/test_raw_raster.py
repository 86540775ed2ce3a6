"""Overviews of rasters, made by hand: the most frequent class, the mean of percentages."""

from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio.crs import CRS

from geokd.legend.classes import NODATA, default_legend
from geokd.maps.class_map import ClassMap
from geokd.maps.geotiff import write_class_raster, write_confidence_raster
from geokd.maps.raw_raster import halved_by_mean, halved_by_mode
from geokd.scenes.grid import SceneGrid


def random_values(shape: tuple[int, int], gaps: bool) -> NDArray[np.uint8]:
    random = np.random.default_rng(4)
    values = random.integers(0, 4, shape, dtype=np.uint8)
    values[random.random(shape) < 0.4 * gaps] = NODATA
    return values


def squares(values: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width = values.shape
    return values.reshape(height // 2, 2, width // 2, 2).transpose(0, 2, 1, 3).reshape(height // 2, width // 2, 4)


@pytest.mark.parametrize("gaps", [False, True])
def test_halves(gaps: bool) -> None:
    values = random_values((60, 80), gaps)
    modes, means = halved_by_mode(values), halved_by_mean(values)
    for place in np.ndindex(30, 40):
        four = [int(v) for v in squares(values)[place] if v != NODATA]
        most = max(four, key=four.count, default=NODATA)  # of equals the first
        assert modes[place] == most
        assert means[place] == (int(sum(four) / len(four) + 0.5) if four else NODATA)


@pytest.mark.parametrize("shape", [(1025, 700), (1300, 1301)])
def test_files_hold_these_overviews(tmp_path: Path, shape: tuple[int, int]) -> None:
    codes = random_values(shape, gaps=True)
    confidence = np.where(codes == NODATA, NODATA, 25 * codes).astype(np.uint8)
    grid = SceneGrid(Affine(10, 0, 4e5, 0, -10, 4.2e6), *shape, CRS.from_epsg(32618))
    class_map = ClassMap(codes, confidence, grid, default_legend("abcd"))
    write_class_raster(class_map, tmp_path / "c.tif", {"GEOKD_MODEL": "x"})
    write_confidence_raster(class_map, tmp_path / "p.tif", {})
    even = [(0, size % 2) for size in shape]
    for name, halve, values in (("c", halved_by_mode, codes), ("p", halved_by_mean, confidence)):
        wanted = halve(np.pad(values, even, constant_values=NODATA))
        with rasterio.open(tmp_path / f"{name}.tif") as raster:
            assert raster.crs == grid.crs
            assert raster.transform == grid.transform
            np.testing.assert_array_equal(raster.read(1), values)
        with rasterio.open(tmp_path / f"{name}.tif", overview_level=0) as overview:
            np.testing.assert_array_equal(overview.read(1), wanted)
    with rasterio.open(tmp_path / "c.tif") as raster:
        assert raster.tags()["GEOKD_MODEL"] == "x"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["c.tif", "p.tif"]
