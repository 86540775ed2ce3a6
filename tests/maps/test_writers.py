"""The writers on small maps: what they write is read back by the libraries users have."""

import json
import sqlite3
import xml.etree.ElementTree as ET
from pathlib import Path

import geopandas
import numpy as np
import pandas
import pyogrio
import pytest
import rasterio
import shapely
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from PIL import Image
from pyproj import Geod
from rasterio.crs import CRS
from rio_cogeo.cogeo import cog_validate

from geokd.errors import CallError, OutputError
from geokd.legend.classes import LandUseClass, Legend
from geokd.maps.class_map import ClassMap, class_areas
from geokd.maps.geotiff import write_class_raster, write_confidence_raster
from geokd.maps.manifest import write_document
from geokd.maps.pages.panels import ScenePicture
from geokd.maps.pages.quicklook import _arranged, write_quicklook
from geokd.maps.pages.summary import write_summary
from geokd.maps.polygons.geopackage import write_polygons
from geokd.maps.polygons.perimeter import perimeters_m
from geokd.maps.qgis import class_attributes_pam, class_raster_qml, confidence_raster_qml, polygons_qml
from geokd.scenes.grid import SceneGrid
from geokd.system.commit import staged

LEGEND = Legend(
    (
        LandUseClass(0, "Sea", "Sea & <lake>", "1F5FA8"),
        LandUseClass(1, "Wood", 'Wood "old"', "2E7D32"),
        LandUseClass(2, "Town", "Town", "D7263D"),
    )
)
UTM = Affine(160, 0, 439_680, 0, -160, 4_178_020)
CODES = np.array([[0, 0, 1, 255], [0, 1, 1, 255], [2, 2, 0, 0]], np.uint8)


def make_map(codes: NDArray[np.uint8] = CODES, transform: Affine = UTM, crs: str = "EPSG:32618") -> ClassMap:
    confidence = np.where(codes == 255, 255, 50 + 10 * (codes % 5)).astype(np.uint8)
    grid = SceneGrid(transform, codes.shape[0], codes.shape[1], CRS.from_user_input(crs))
    return ClassMap(codes, confidence, grid, LEGEND)


def test_class_raster_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    write_class_raster(make_map(), path, {"MODEL": "m"})
    with rasterio.open(path) as raster:
        assert np.array_equal(raster.read(1), CODES)
        assert raster.nodata == 255
        assert raster.transform == UTM
        assert raster.crs.to_epsg() == 32618
        assert raster.tags()["MODEL"] == "m"
        palette = raster.colormap(1)
    assert [palette[c.value][:3] for c in LEGEND] == [c.rgb for c in LEGEND]
    assert palette[255][3] == 0


@pytest.mark.parametrize("shape", [(1, 1), (1, 700), (600, 1300)])
def test_rasters_are_cloud_optimised_at_any_size(tmp_path: Path, shape: tuple[int, int]) -> None:
    codes = np.random.default_rng(0).integers(0, 3, shape, dtype=np.uint8)
    for number, write in enumerate((write_class_raster, write_confidence_raster)):
        path = tmp_path / f"{number}.tif"
        write(make_map(codes), path, {})
        valid, errors, warnings = cog_validate(path, strict=True)
        assert valid, (errors, warnings)


def test_overviews_hold_classes_only(tmp_path: Path) -> None:
    codes = np.where(np.random.default_rng(0).random((1100, 1100)) < 0.5, 0, 2).astype(np.uint8)
    path = tmp_path / "a.tif"
    write_class_raster(make_map(codes), path, {})
    with rasterio.open(path, overview_level=0) as overview:
        assert set(np.unique(overview.read(1))) <= {0, 2}  # an average would bring in class 1


def test_names_and_attributes_for_gdal(tmp_path: Path) -> None:
    root = ET.fromstring(class_attributes_pam(make_map()))
    names = [e.text for e in root.iter("Category")]
    assert names[:3] == ["Sea & <lake>", 'Wood "old"', "Town"]
    table = next(root.iter("GDALRasterAttributeTable"))
    usages = [int(e.text or "") for e in table.iter("Usage")]
    assert {5, 2, 1, 6, 7, 8} <= set(usages)  # MinMax, Name, PixelCount, Red, Green, Blue
    rows = [[cell.text for cell in row.iter("F")] for row in table.iter("Row")]
    by_usage = [dict(zip(usages, row, strict=True)) for row in rows[:3]]
    assert [(r[5], r[2], r[1]) for r in by_usage] == [
        ("0", "Sea & <lake>", "5"),
        ("1", 'Wood "old"', "3"),
        ("2", "Town", "2"),
    ]
    assert [tuple(int(r[u] or -1) for u in (6, 7, 8)) for r in by_usage] == [c.rgb for c in LEGEND]


def test_styles_name_every_class() -> None:
    entries = [e.attrib for e in ET.fromstring(class_raster_qml(LEGEND)).iter("paletteEntry")]
    assert [(e["value"], e["label"], e["color"].lower()) for e in entries] == [
        (str(c.value), c.title, f"#{c.color_hint.lower()}") for c in LEGEND
    ]
    categories = [e.attrib for e in ET.fromstring(polygons_qml(LEGEND)).iter("category")]
    assert [(e["value"], e["label"]) for e in categories] == [(str(c.value), c.title) for c in LEGEND]
    assert next(ET.fromstring(confidence_raster_qml()).iter("rasterrenderer")).attrib["type"]


def test_polygons_and_their_style(tmp_path: Path) -> None:
    path = tmp_path / "a.gpkg"
    write_polygons(make_map(), path)
    frame = geopandas.read_file(path, layer="land_use")
    cell_ha = 160 * 160 / 1e4
    rows = sorted(zip(frame["class_name"], frame["area_ha"], frame["mean_confidence"], strict=True))
    assert rows == [
        ("Sea", pytest.approx(2 * cell_ha), pytest.approx(50)),
        ("Sea", pytest.approx(3 * cell_ha), pytest.approx(50)),
        ("Town", pytest.approx(2 * cell_ha), pytest.approx(70)),
        ("Wood", pytest.approx(3 * cell_ha), pytest.approx(60)),
    ]
    assert frame.crs.to_epsg() == 32618
    with sqlite3.connect(path) as database:
        style = database.execute(
            "SELECT f_table_name, f_geometry_column, useAsDefault, styleQML FROM layer_styles"
        ).fetchall()
        contents = dict(database.execute("SELECT table_name, data_type FROM gpkg_contents").fetchall())
    assert [(r[0], r[1], r[2]) for r in style] == [("land_use", "geom", 1)]
    assert ET.fromstring(style[0][3].split("?>")[-1].split("'qgis.dtd'>")[-1]).tag == "qgis"
    assert contents == {"land_use": "features", "layer_styles": "attributes"}
    assert [p.name for p in tmp_path.iterdir()] == ["a.gpkg"]


def test_an_empty_map_gives_an_empty_layer(tmp_path: Path) -> None:
    path = tmp_path / "a.gpkg"
    write_polygons(make_map(np.full((2, 3), 255, np.uint8)), path)
    assert pyogrio.read_info(path, layer="land_use")["features"] == 0
    assert "mean_confidence" in pyogrio.read_info(path, layer="land_use")["fields"]


def test_polygons_tell_the_least_confidence_and_the_perimeter(tmp_path: Path) -> None:
    codes = np.zeros((5, 5), np.uint8)
    codes[1:4, 1:4] = 1
    codes[2, 2] = 255
    confidence = np.where(codes == 255, 255, 30 + np.arange(25).reshape(5, 5)).astype(np.uint8)
    grid = SceneGrid(UTM, 5, 5, CRS.from_epsg(32618))
    write_polygons(ClassMap(codes, confidence, grid, LEGEND), tmp_path / "a.gpkg")
    frame = geopandas.read_file(tmp_path / "a.gpkg", layer="land_use").sort_values("class_value")
    assert frame["min_confidence"].tolist() == [30, 36]
    assert frame["perimeter_m"].tolist() == [160 * (20 + 12), 160 * (12 + 4)]  # holes have a border too
    assert frame["mean_confidence"].tolist() == [pytest.approx(42), pytest.approx(42)]


def test_the_summary_names_every_class(tmp_path: Path) -> None:
    class_map = make_map(np.where(CODES == 1, 255, CODES).astype(np.uint8))
    write_summary(class_map, write_polygons(class_map, tmp_path / "a.gpkg"), tmp_path / "a.csv")
    summary = pandas.read_csv(tmp_path / "a.csv")
    polygons = geopandas.read_file(tmp_path / "a.gpkg", layer="land_use")
    assert summary["class_name"].tolist() == ["Sea", "Wood", "Town"]
    assert summary["class_title"].tolist() == [c.title for c in LEGEND]
    assert summary["polygons"].tolist() == [2, 0, 1]
    assert summary["cells"].tolist() == [5, 0, 2]
    assert summary["area_ha"].tolist() == pytest.approx([5 * 2.56, 0, 2 * 2.56])
    assert summary["share_percent"].tolist() == pytest.approx([500 / 7, 0, 200 / 7], rel=1e-5)
    assert np.isnan(summary["mean_confidence"][1])
    assert summary["area_ha"].sum() == pytest.approx(polygons["area_ha"].sum(), rel=1e-12)


@given(arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.sampled_from([0, 1, 2, 255])))
def test_areas_agree(codes: NDArray[np.uint8]) -> None:
    class_map = make_map(codes)
    areas = class_areas(class_map)
    assert [a.cells for a in areas] == [int((codes == k).sum()) for k in range(3)]
    assert sum(a.area_ha for a in areas) == pytest.approx((codes != 255).sum() * 2.56)
    shares = sum(a.share_percent for a in areas)
    assert shares == pytest.approx(100 if (codes != 255).any() else 0)


def test_areas_in_degrees_are_geodesic(tmp_path: Path) -> None:
    path = tmp_path / "a.gpkg"
    class_map = make_map(np.zeros((40, 30), np.uint8), Affine(0.002, 0, 10, 0, -0.001, 60), "EPSG:4326")
    write_polygons(class_map, path)
    frame = geopandas.read_file(path, layer="land_use")
    ring_area, _ = Geod(ellps="WGS84").polygon_area_perimeter(
        [*np.linspace(10, 10.06, 200), *np.linspace(10.06, 10, 200)], [60] * 200 + [59.96] * 200
    )
    assert frame["area_ha"].sum() == pytest.approx(abs(ring_area) / 1e4, rel=1e-6)
    assert class_areas(class_map)[0].area_ha == pytest.approx(frame["area_ha"].sum(), rel=1e-12)
    _, along = Geod(ellps="WGS84").polygon_area_perimeter(
        [*np.linspace(10, 10.06, 200), *np.linspace(10.06, 10, 200)], [60] * 200 + [59.96] * 200
    )
    assert frame["perimeter_m"].tolist() == [pytest.approx(along, rel=1e-6)]


@pytest.mark.parametrize(("crs", "metres"), [("EPSG:2263", 1200 / 3937), ("EPSG:32618", 1.0)])
def test_perimeters_are_in_metres(crs: str, metres: float) -> None:
    box = np.array([shapely.box(100, 200, 400, 300)], dtype=object)
    assert perimeters_m(box, CRS.from_user_input(crs)).tolist() == [pytest.approx(800 * metres)]
    assert perimeters_m(box, None).tolist() == [800]


@pytest.mark.parametrize("shape", [(1, 1), (1, 3000), (64, 64)])
def test_quicklook_shows_both_panels(tmp_path: Path, shape: tuple[int, int]) -> None:
    class_map = make_map(np.full(shape, 2, np.uint8))
    rgb = np.full((3, *shape), 120, np.uint8)
    write_quicklook(class_map, ScenePicture(rgb, np.ones(shape, bool), class_map.grid), tmp_path / "a.png", "t", "s")
    with Image.open(tmp_path / "a.png") as picture:
        colours = {colour for _, colour in picture.convert("RGB").getcolors(1 << 20) or []}
        assert max(picture.size) < 4000
    assert LEGEND[2].rgb in colours
    assert (120, 120, 120) in colours


def test_manifest_is_strict_json(tmp_path: Path) -> None:
    write_document({"b": 1, "a": "é"}, tmp_path / "m.json")
    assert json.loads((tmp_path / "m.json").read_text("utf-8")) == {"b": 1, "a": "é"}
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_document({"a": float("nan")}, tmp_path / "n.json")


def test_outputs_appear_together_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "new" / "out"
    with pytest.raises(RuntimeError), staged(target, ("a", "b"), overwrite=False) as place:
        (place / "a").write_text("1")
        raise RuntimeError
    assert not target.exists()
    with staged(target, ("a", "b"), overwrite=False) as place:
        (place / "a").write_text("1")
        (place / "b").write_text("2")
        assert not (target / "a").exists()
    assert sorted(p.name for p in target.iterdir()) == ["a", "b"]
    with (
        pytest.raises(CallError, match=r"holds a, b already; replace them with --overwrite"),
        staged(target, ("a", "b"), overwrite=False),
    ):
        raise AssertionError
    with pytest.raises(OutputError, match="should be a, b"), staged(target, ("a", "b"), overwrite=True) as place:
        (place / "a").write_text("new")
    assert (target / "a").read_text() == "1"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"codes": np.array([[3]], np.uint8)}, "code 3"),
        ({"codes": np.array([[0, 0]], np.uint8)}, "shape"),
        ({"confidence": np.array([[101]], np.uint8)}, "101 %"),
        ({"confidence": np.array([[255]], np.uint8)}, "not 255 at the same cells"),
        ({"codes": np.array([[0]], np.int16)}, "uint8"),
    ],
)
def test_bad_maps(change: dict[str, NDArray[np.generic]], sentence: str) -> None:
    parts = {"codes": np.array([[0]], np.uint8), "confidence": np.array([[50]], np.uint8)}
    grid = SceneGrid(UTM, 1, 1, CRS.from_epsg(32618))
    with pytest.raises(ValueError, match=sentence):
        ClassMap(**(parts | change), grid=grid, legend=LEGEND)  # type: ignore[arg-type]


@given(st.integers(0, 300), st.integers(1, 40))
def test_legends_fill_their_columns_evenly(count: int, fit: int) -> None:
    columns, rows = _arranged(count, fit)
    assert rows <= fit
    assert (columns - 1) * fit < max(count, 1) <= max(columns * rows, 1)
    assert columns * rows - count < columns
