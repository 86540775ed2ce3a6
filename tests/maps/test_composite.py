"""Dates of one place: each cell by the mean of those that saw it, and how many these were."""

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
from click.testing import CliRunner
from numpy.typing import NDArray

import geokd
from geokd.cli import main
from geokd.errors import CallError
from geokd.maps.class_map import ClassMap
from geokd.maps.geotiff import write_confidence_raster, write_probability_raster
from geokd.maps.map_file import open_map
from tests.tiny_maps import LEGEND, write_map

NONE = [255, 255, 255]
DATES = {  # percent of the three classes at four cells
    "may": [[90, 5, 5], [45, 55, 0], NONE, NONE],
    "june": [[20, 50, 30], [90, 5, 5], [10, 20, 70], NONE],
    "july": [[30, 40, 30], [40, 60, 0], NONE, NONE],
}
EXPECTED = {"codes": [0, 0, 2, 255], "dates": [3, 3, 1, 255], "confidence": [47, 58, 70, 255]}


def write_date(folder: Path, name: str, cells: list[list[int]]) -> Path:
    """Write a map with its confidence and probabilities."""
    percent = np.array(cells, np.uint8).T[:, np.newaxis]
    seen = percent[0] != 255
    codes: NDArray[np.uint8] = np.where(seen, percent.argmax(axis=0), 255).astype(np.uint8)
    path = write_map(folder / f"{name}_landuse.tif", codes)
    grid = open_map(path).grid
    confidence = np.where(seen, percent.max(axis=0), 255).astype(np.uint8)
    write_confidence_raster(ClassMap(codes, confidence, grid, LEGEND), folder / f"{name}_confidence.tif", {})
    part = (slice(0, 1), slice(0, len(cells))), percent
    write_probability_raster([part], grid, LEGEND, folder / f"{name}_probabilities.tif", {})
    return path


@pytest.fixture
def dates(tmp_path: Path) -> list[Path]:
    return [write_date(tmp_path, name, cells) for name, cells in DATES.items()]


def test_by_hand(dates: list[Path], tmp_path: Path) -> None:
    made = geokd.composite(dates, tmp_path / "year" / "year_landuse.tif")
    found = {}
    for kind in ("landuse", "dates", "confidence"):
        with rasterio.open(tmp_path / "year" / f"year_{kind}.tif") as raster:
            found["codes" if kind == "landuse" else kind] = raster.read(1)[0].tolist()
    assert found == EXPECTED
    assert made.mosaic is not None
    assert made.mosaic.dates
    assert [area.cells for area in made.areas if area.cells] == [2, 1]
    assert {made.outputs[f"date_{kind}"] for kind in ("raster", "attributes", "style")} == {
        "year_dates.tif", "year_dates.tif.aux.xml", "year_dates.qml"
    }  # fmt: skip
    item = json.loads((tmp_path / "year" / "year_landuse.stac.json").read_text())
    assert item["assets"]["date_raster"]["href"] == "./year_dates.tif" or "year_dates.tif" in str(item["assets"])


def test_the_order_of_dates_does_not_matter(dates: list[Path], tmp_path: Path) -> None:
    for number, order in enumerate((dates, dates[::-1])):
        geokd.composite(order, tmp_path / str(number) / "year_landuse.tif")
    for kind in ("landuse", "dates", "confidence", "probabilities"):
        one, other = (rasterio.open(tmp_path / n / f"year_{kind}.tif").read() for n in ("0", "1"))
        assert np.array_equal(one, other)


def test_the_command_and_a_date_without_probabilities(dates: list[Path], tmp_path: Path) -> None:
    output = tmp_path / "year" / "year_landuse.tif"
    result = CliRunner().invoke(main, ["composite", *map(str, dates), "-o", str(output), "--sources", "--json"])
    assert result.exit_code == 0, result.output
    assert (tmp_path / "year" / "year_sources.tif").exists()
    (tmp_path / "may_probabilities.tif").unlink()
    with pytest.raises(CallError, match="have no probabilities"):
        geokd.composite(dates, tmp_path / "other" / "year_landuse.tif")
