"""What is read of a vector file is what GeoPandas reads."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import geopandas
import numpy as np
import pytest
import shapely
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from rasterio.crs import CRS

from geokd.errors import CallError, ChipError
from geokd.scenes import layer_trial
from geokd.scenes.grid import SceneGrid
from geokd.scenes.vector_layer import VectorLayer, only_layer, read_layer

GRID = SceneGrid(Affine(10, 0, 4e5, 0, -10, 4.2e6), 1000, 1000, CRS.from_epsg(32618))


def boxes(count: int) -> list[shapely.Polygon]:
    return [shapely.box(4e5 + 100 * n, 4.195e6, 4e5 + 100 * n + 90, 4.195e6 + 50) for n in range(count)]


@pytest.mark.parametrize("epsg", [32618, 32617, 4326, 3857])
@pytest.mark.parametrize("ending", ["gpkg", "geojson", "shp"])
def test_layers_are_read_as_geopandas_reads_them(epsg: int, ending: str, tmp_path: Path) -> None:
    if (ending, epsg) in (("geojson", 32617), ("geojson", 3857)):
        pytest.skip("GeoJSON is in longitude and latitude")
    fields = {"use": ["wood", None, "sand"], "code": [3.0, np.nan, 7.0], "share": [0.5, 1.5, np.nan], "no": [4, 5, 6]}
    frame = geopandas.GeoDataFrame(fields, geometry=boxes(3), crs="EPSG:32618").to_crs(epsg)
    frame.to_file(tmp_path / f"labels.{ending}")
    layer = read_layer(tmp_path / f"labels.{ending}", GRID, *fields)
    expected = geopandas.read_file(tmp_path / f"labels.{ending}").to_crs(32618)
    assert shapely.equals_exact(layer.geometries, expected.geometry.to_numpy(), 1e-6).all()
    assert layer.texts("use") == ["wood", "", "sand"]
    assert layer.texts("code") == ["3", "", "7"]
    assert layer.texts("share") == ["0.5", "1.5", ""]
    assert layer.texts("no") == ["4", "5", "6"]
    assert layer.values("share") == [0.5, 1.5, None]
    assert layer.only(np.array([False, False, True])).texts("no") == ["6"]


def test_what_lies_nowhere_is_left_out(tmp_path: Path) -> None:
    shapes = [shapely.Polygon(), *boxes(2), None]
    geopandas.GeoDataFrame({"no": [1, 2, 3, 4]}, geometry=shapes, crs="EPSG:32618").to_file(tmp_path / "a.gpkg")
    assert read_layer(tmp_path / "a.gpkg", GRID, "no").texts("no") == ["2", "3"]
    geopandas.GeoDataFrame({"no": [1]}, geometry=[None], crs="EPSG:32618").to_file(
        tmp_path / "b.gpkg", geometry_type="Polygon"
    )
    with pytest.raises(ChipError, match="has no polygons"):
        read_layer(tmp_path / "b.gpkg", GRID, "no")


@given(st.lists(st.integers(1, 4), min_size=1, max_size=6))
def test_parts_keep_the_attributes_of_the_whole(sizes: list[int]) -> None:
    shapes = [shapely.MultiPolygon(boxes(size)) for size in sizes]
    layer = VectorLayer(np.array(shapes, object), {"no": np.arange(len(sizes))}).in_parts()
    assert layer.values("no") == [number for number, size in enumerate(sizes) for _ in range(size)]
    assert {shape.geom_type for shape in layer.geometries} == {"Polygon"}
    assert shapely.area(layer.geometries).sum() == pytest.approx(sum(shape.area for shape in shapes))


def test_layers_without_end_are_not_read(tmp_path: Path) -> None:
    path = tmp_path / "endless.gpkg"
    with closing(sqlite3.connect(path)) as database:
        numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n"
        database.execute(f"CREATE VIEW land AS {numbers}")
        database.commit()
    with pytest.raises(ChipError, match="recursive view, which may be endless"):
        only_layer(path)
    os.mkfifo(tmp_path / "pipe.geojson")
    with pytest.raises(CallError, match="pipe.geojson is neither a file nor a folder, but a pipe"):
        only_layer(tmp_path / "pipe.geojson")
    virtual = tmp_path / "virtual.vrt"
    layer = "<OGRVRTDataSource><OGRVRTLayer name='a'><SrcDataSource>{}</SrcDataSource></OGRVRTLayer></OGRVRTDataSource>"
    virtual.write_text(layer.format("pipe.geojson"))
    with pytest.raises(CallError, match="virtual.vrt refers to .*pipe.geojson, which is neither"):
        only_layer(virtual)
    virtual.write_text(layer.format("/vsistdin/"))
    with pytest.raises(CallError, match="refers to .*/vsistdin"):
        only_layer(virtual)


@pytest.mark.parametrize(
    ("view", "refusal"),
    [
        (
            "SELECT a.fid AS fid, a.geom AS geom FROM t a, t b, t c, t d, t e",
            "takes more than 1 s of processor time or 4",
        ),
        (
            "SELECT fid, geom, (SELECT count(*) FROM t a, t b, t c WHERE a.fid + b.fid < c.fid - t.fid) AS n FROM t",
            "more than 1 s",
        ),
        ("SELECT fid, geom, hex(zeroblob(900000000)) AS n FROM t", "is not a vector file, or is broken|takes more"),
        ("SELECT fid, geom, fid AS n FROM t WHERE fid < 5", ""),
    ],
)
def test_views_end_soon_or_are_refused(
    view: str, refusal: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "views.gpkg"
    square = shapely.box(4e5, 4.19e6, 4.1e5, 4.2e6)
    geopandas.GeoDataFrame({"use": ["a"] * 500}, geometry=[square] * 500, crs="EPSG:32618").to_file(path, layer="t")
    with closing(sqlite3.connect(path)) as database:
        database.execute(f"CREATE VIEW land AS {view}")
        database.execute("UPDATE gpkg_contents SET table_name = 'land', identifier = 'land'")
        database.execute("UPDATE gpkg_geometry_columns SET table_name = 'land'")
        database.commit()
    monkeypatch.setattr(layer_trial, "CPU_SECONDS", 1)
    if refusal:
        with pytest.raises(ChipError, match=refusal):
            read_layer(path, GRID, "n")
    else:
        assert read_layer(path, GRID, "n").values("n") == [1, 2, 3, 4]


def test_texts_in_another_encoding_than_declared(tmp_path: Path) -> None:
    path = tmp_path / "a.gpkg"
    geopandas.GeoDataFrame({"class": ["Xalder"]}, geometry=[shapely.box(0, 0, 1, 1)], crs=32618).to_file(path)
    path.write_bytes(path.read_bytes().replace(b"Xalder", b"W\xe4lder"))
    grid = SceneGrid(Affine(1, 0, 0, 0, -1, 1), 1, 1, CRS.from_epsg(32618))
    with pytest.raises(ChipError, match="not in the encoding that it declares .*; write it again in UTF-8"):
        read_layer(path, grid, "class")


@pytest.mark.parametrize(("points", "usable"), [(False, "only polygons"), (True, "only points or polygons")])
def test_lines_are_refused_in_words_for_every_command(points: bool, usable: str, tmp_path: Path) -> None:
    path = tmp_path / "lines.gpkg"
    line = shapely.LineString([(4e5, 4.195e6), (4.01e5, 4.195e6)])
    geopandas.GeoDataFrame({"use": ["road"]}, geometry=[line], crs="EPSG:32618").to_file(path)
    with pytest.raises(ChipError, match=f"holds LineString geometries; {usable} can be used here") as refused:
        read_layer(path, GRID, "use", points=points)
    assert "chip" not in str(refused.value)
