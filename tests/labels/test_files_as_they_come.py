"""Vector files, tables and references as QGIS, ArcGIS and spreadsheets leave them."""

import ctypes
import logging
import os
import shutil
import sqlite3
import subprocess
import sys
import unicodedata
from contextlib import closing
from pathlib import Path

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
from numpy.typing import NDArray

from geokd.assessment.assess import assess
from geokd.assessment.matching import read_table
from geokd.errors import ChipError, SceneError
from geokd.labels.cell_labels import read_cell_design
from geokd.labels.polygons import read_labels
from geokd.maps.map_file import category_names, open_map
from geokd.scenes.databases import database_read
from geokd.system.documents import csv_rows
from tests.tiny_maps import UTM, write_map

BOX = shapely.box(UTM.c, UTM.f - 160 * 8, UTM.c + 160 * 8, UTM.f)
CODES: NDArray[np.uint8] = (np.arange(64, dtype=np.uint8).reshape(8, 8) % 3).astype(np.uint8)
NUMBERS = {0: 7, 1: 2, 2: 40}  # of the reference, for the codes of the map


@pytest.fixture
def class_map(tmp_path: Path) -> Path:
    return write_map(tmp_path / "m_landuse.tif", CODES)


def write_labels(path: Path, names: list[str], field: str = "class", **how: str) -> Path:
    geometries = [BOX] * len(names)
    geopandas.GeoDataFrame({field: names}, geometry=geometries, crs=32618).to_file(path, engine="pyogrio", **how)
    return path


def in_wal_mode(path: Path) -> Path:
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA journal_mode=wal")
    return path


def as_anybody() -> None:
    """Even root is to be refused: CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH are dropped."""
    if os.geteuid() == 0:
        for capability in (1, 2):
            ctypes.CDLL(None).prctl(24, capability, 0, 0, 0)


@pytest.mark.skipif(sys.platform != "linux", reason="drops capabilities of Linux")
@pytest.mark.parametrize("command", ["tile", "classify", "assess"])
def test_a_geopackage_in_wal_mode_on_read_only_media(
    command: str, class_map: Path, model: Path, scene: Path, tmp_path: Path
) -> None:
    share = tmp_path / "share"
    share.mkdir()
    box = shapely.box(4e5, 4.199e6, 4.013e5, 4.2e6) if command != "assess" else BOX
    geopandas.GeoDataFrame({"class": ["Open sea"]}, geometry=[box], crs=32618).to_file(share / "labels.gpkg")
    labels = str(in_wal_mode(share / "labels.gpkg"))
    arguments = {
        "tile": ["tile", str(scene), "-o", "chips", "--labels", labels, "--field", "class", "--patch", "16"],
        "classify": ["classify", str(scene), "-o", "maps", "-m", str(model), "--aoi", labels],
        "assess": ["assess", str(class_map), labels],
    }[command]
    share.chmod(0o555)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "geokd", *arguments],
            cwd=tmp_path,
            preexec_fn=as_anybody,
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        share.chmod(0o755)
    assert done.returncode == 0, done.stderr
    assert "readonly" not in done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="drops capabilities of Linux")
def test_changes_that_wait_beside_a_database_are_not_dropped(tmp_path: Path) -> None:
    share = tmp_path / "share"
    share.mkdir()
    with closing(sqlite3.connect(tmp_path / "open.gpkg")) as database:
        database.execute("PRAGMA journal_mode=wal")
        database.execute("CREATE TABLE sample (x)")
        for kind in ("", "-wal"):
            shutil.copy(tmp_path / f"open.gpkg{kind}", share / f"labels.gpkg{kind}")
    share.chmod(0o555)
    code = (
        "import sys; from pathlib import Path; from geokd.scenes.databases import database_read\n"
        "with database_read(Path(sys.argv[1])): pass"
    )
    command = [sys.executable, "-c", code, str(share / "labels.gpkg")]
    done = subprocess.run(command, preexec_fn=as_anybody, capture_output=True, text=True, check=False)
    share.chmod(0o755)
    assert "pending changes in labels.gpkg-wal" in done.stderr


def test_no_database_is_reported_as_before(tmp_path: Path) -> None:
    (tmp_path / "x.gpkg").write_bytes(b"SQLite format 3\x00 and nothing else")
    with pytest.raises(sqlite3.Error), database_read(tmp_path / "x.gpkg"):
        pass
    with pytest.raises(ChipError):
        read_cell_design(tmp_path / "x.gpkg")


@pytest.mark.parametrize("written", ["NFC", "NFD"])
@pytest.mark.parametrize("asked", ["NFC", "NFD"])
def test_fields_are_found_however_they_are_typed(written: str, asked: str, class_map: Path, tmp_path: Path) -> None:
    forms = {form: unicodedata.normalize(form, "Fläche") for form in ("NFC", "NFD")}
    labels = write_labels(tmp_path / "labels.gpkg", ["sea"], forms[written])
    assert read_labels(labels, forms[asked], open_map(class_map).grid).classes == ("sea",)


@pytest.mark.parametrize(("encoding", "told"), [("UTF-8", True), ("ISO-8859-1", False)])
def test_a_shapefile_without_cpg(
    encoding: str, told: bool, class_map: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    labels = write_labels(tmp_path / "labels.shp", ["Wälder"], encoding=encoding)
    labels.with_suffix(".cpg").unlink()
    table = bytearray(labels.with_suffix(".dbf").read_bytes())
    table[29] = 0
    labels.with_suffix(".dbf").write_bytes(table)
    with caplog.at_level(logging.WARNING, "geokd"):
        assert read_labels(labels, "class", open_map(class_map).grid).classes == ("Walder",)
    assert ("read as UTF-8" in caplog.text) == told


@pytest.mark.parametrize("mark", [",", ";", "\t"])
@pytest.mark.parametrize("start", ["", "\ufeff"])
def test_tables_of_spreadsheets(mark: str, start: str, tmp_path: Path) -> None:
    text = f"{start}map_class{mark}reference_class\r\nsea{mark}Meer, offen\r\n"
    if mark == ",":
        text = text.replace("Meer, offen", '"Meer, offen"')
    (tmp_path / "table.csv").write_bytes(text.encode())
    assert read_table(tmp_path / "table.csv") == [("sea", "Meer, offen")]
    assert csv_rows("a;b,c\n1;2\n") == [["a;b", "c"], ["1;2"]]


def table_xml(*columns: tuple[str, int, int], rows: list[tuple[object, ...]]) -> str:
    defined = "".join(
        f'<FieldDefn index="{i}"><Name>{name}</Name><Type>{kind}</Type><Usage>{use}</Usage></FieldDefn>'
        for i, (name, kind, use) in enumerate(columns)
    )
    listed = "".join(
        f'<Row index="{i}">' + "".join(f"<F>{v}</F>" for v in row) + "</Row>" for i, row in enumerate(rows)
    )
    table = f'<GDALRasterAttributeTable tableType="thematic">{defined}{listed}</GDALRasterAttributeTable>'
    return f'<PAMDataset><PAMRasterBand band="1">{table}</PAMRasterBand></PAMDataset>'


NAMES = ["Open sea", "Wood_trees", "Field"]
NUMBERED = list(zip(NUMBERS.values(), NAMES, strict=True))
TABLES = {
    "value and class name": table_xml(
        ("Value", 0, 5), ("Count", 0, 1), ("Class", 2, 2), rows=[(k, 1, name) for k, name in NUMBERED]
    ),
    "real numbers": table_xml(("Value", 1, 5), ("Label", 2, 0), rows=[(f"{k}.0", name) for k, name in NUMBERED]),
    "no uses, as ArcGIS": table_xml(
        *(("OID", 0, 0), ("VALUE", 0, 0), ("CODE", 2, 0), ("CLASS_NAME", 2, 0)),
        rows=[(0, k, "x", name) for k, name in NUMBERED],
    ),
    "minimum and maximum": table_xml(
        ("from", 0, 3), ("to", 0, 4), ("Class", 2, 2), rows=[(k, k + 1, name) for k, name in NUMBERED]
    ),
}


def write_reference(path: Path, **profile: object) -> Path:
    values = np.vectorize(NUMBERS.get)(CODES).astype(np.uint8)
    with rasterio.open(
        path, "w", driver="GTiff", width=8, height=8, count=1, dtype="uint8", crs="EPSG:32618", transform=UTM, **profile
    ) as raster:
        raster.write(values[np.newaxis])
    return path


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_a_reference_whose_classes_stand_in_a_table(table: str, class_map: Path, tmp_path: Path) -> None:
    reference = write_reference(tmp_path / "truth.tif")
    Path(f"{reference}.aux.xml").write_text(table)
    assert set(NUMBERED) <= set(category_names(reference).items())
    assert assess(class_map, reference).to_json()["overall_accuracy"]["estimate"] == 1


def test_a_table_inside_an_erdas_file(class_map: Path, tmp_path: Path) -> None:
    """GDAL keeps the table of an .img in the file itself."""
    reference = write_reference(tmp_path / "truth.tif")
    Path(f"{reference}.aux.xml").write_text(TABLES["value and class name"])
    with rasterio.open(reference) as raster:
        rasterio.shutil.copy(raster, tmp_path / "truth.img", driver="HFA")
    for beside in tmp_path.glob("truth.img.*"):
        beside.unlink()
    found = category_names(tmp_path / "truth.img")
    if not found:
        pytest.skip("this GDAL writes no table into an .img by a copy")
    assert assess(class_map, tmp_path / "truth.img").to_json()["overall_accuracy"]["estimate"] == 1


def test_a_reference_with_an_alpha_band_and_one_with_a_palette(class_map: Path, tmp_path: Path) -> None:
    place = {"crs": "EPSG:32618", "transform": UTM, "width": 8, "height": 8, "dtype": "uint8"}
    seen = np.full((8, 8), 255, np.uint8)
    seen[:4] = 0
    with rasterio.open(tmp_path / "alpha.tif", "w", driver="GTiff", count=2, **place) as raster:
        raster.colorinterp = [rasterio.enums.ColorInterp.gray, rasterio.enums.ColorInterp.alpha]
        raster.write(np.stack([CODES, seen]))
    with rasterio.open(tmp_path / "palette.tif", "w", driver="GTiff", count=1, **place) as raster:
        raster.write(CODES[np.newaxis])
        raster.write_colormap(1, {0: (0, 0, 255), 1: (0, 99, 0), 2: (250, 200, 80)})
    for name, units in (("alpha", 32), ("palette", 64)):
        told = assess(class_map, tmp_path / f"{name}.tif").to_json()
        assert told["units"] == units
        assert told["overall_accuracy"]["estimate"] == 1


def test_a_picture_of_a_map_is_no_reference(class_map: Path, tmp_path: Path) -> None:
    place = {"crs": "EPSG:32618", "transform": UTM, "width": 8, "height": 8, "dtype": "uint8"}
    with rasterio.open(tmp_path / "picture.tif", "w", driver="GTiff", count=3, photometric="RGB", **place) as raster:
        raster.write(np.stack([CODES] * 3))
    with pytest.raises(SceneError, match="a picture of red, green and blue"):
        assess(class_map, tmp_path / "picture.tif")
