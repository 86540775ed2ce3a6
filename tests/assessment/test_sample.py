"""Samples of maps: which cells are drawn, what the file holds, what is refused."""

import base64
import io
import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
from affine import Affine
from click.testing import CliRunner
from PIL import Image
from rasterio.crs import CRS

import geokd
from geokd.cli import main
from geokd.errors import CallError, SceneError
from geokd.maps.manifest import BandRecord, Manifest, SceneRecord, grid_fields, write_manifest
from geokd.scenes.grid import SceneGrid
from tests.tiny import three_fields, write_scene
from tests.tiny_maps import LEGEND, write_map

CODES = np.repeat(np.array([0, 1, 2, 255], np.uint8), [300, 20, 70, 10]).reshape(20, 20)


@pytest.fixture
def class_map(tmp_path: Path) -> Path:
    return write_map(tmp_path / "a_landuse.tif", CODES)


def points_of(path: Path) -> Any:
    return geopandas.read_file(path, layer="sample")


def rows_of(path: Path, query: str) -> list[Any]:
    with closing(sqlite3.connect(path)) as database:
        return database.execute(query).fetchall()


def test_points_are_centres_of_cells_of_their_stratum(class_map: Path, tmp_path: Path) -> None:
    drawn = geokd.sample(class_map, 60, tmp_path / "s.gpkg").to_json()
    assert [row["points"] for row in drawn["strata"]] == [40, 10, 10]
    assert drawn["min_per_class"] == 10
    points = points_of(tmp_path / "s.gpkg")
    assert points.crs.to_epsg() == 32618
    cols, rows = (points.geometry.x - 439_680) / 160, (4_178_020 - points.geometry.y) / 160
    assert (cols % 1 == 0.5).all()
    assert (rows % 1 == 0.5).all()
    assert (CODES[rows.astype(int), cols.astype(int)] == points["stratum"]).all()
    assert len(set(zip(rows, cols, strict=True))) == 60
    assert points["point"].tolist() == list(range(1, 61))
    assert points["reference"].isna().all()
    assert points["note"].isna().all()
    # not in the order of the classes, which would tell them
    assert (np.diff(points["stratum"]) != 0).sum() > 15


def test_strata_and_draw_are_recorded(class_map: Path, tmp_path: Path) -> None:
    path = tmp_path / "s.gpkg"
    drawn = geokd.sample(class_map, 60, path, geokd.SampleOptions(seed=4, min_per_class=15)).to_json()
    ((document,),) = rows_of(path, "SELECT metadata FROM gpkg_metadata WHERE md_standard_uri = 'geokd cells'")
    told = json.loads(document)
    strata = [(c["value"], c["title"], c["cells"], round(c["area_ha"], 6), c["points"]) for c in told["classes"]]
    assert strata == [(0, "Open sea", 300, 768.0, 30), (1, "Wood & <trees>", 20, 51.2, 15), (2, "Field", 70, 179.2, 15)]
    design = told["design"]
    assert design["seed"] == "4"
    assert design["map_sha256"] == drawn["map"]["sha256"]
    assert design["allocation"] == "by area, at least 15 points in each class"


def test_the_same_seed_draws_the_same_cells(class_map: Path, tmp_path: Path) -> None:
    places = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        geokd.sample(class_map, 40, tmp_path / f"{name}.gpkg", geokd.SampleOptions(seed=seed))
        points = points_of(tmp_path / f"{name}.gpkg")
        places.append([(p.x, p.y) for p in points.geometry])
    assert places[0] == places[1]
    assert set(places[0]) != set(places[2])


def test_chances_are_by_area_where_cells_differ(tmp_path: Path) -> None:
    """From the equator to 60 degrees north cells shrink to a half, and are drawn half as often."""
    codes = np.zeros((60, 40), np.uint8)
    path = write_map(tmp_path / "a.tif", codes, transform=Affine(1, 0, 0, 0, -1, 60), crs="EPSG:4326")
    latitudes: list[float] = []
    for seed in range(20):
        geokd.sample(path, 60, tmp_path / f"{seed}.gpkg", geokd.SampleOptions(seed=seed))
        latitudes += points_of(tmp_path / f"{seed}.gpkg").geometry.y.tolist()
    north = np.mean(np.array(latitudes) > 30)  # sin 60 - sin 30 over sin 60
    assert north == pytest.approx(0.4226, abs=0.035)


def test_pictures_show_the_scene_about_the_cell(tmp_path: Path) -> None:
    pixels = three_fields(160, 160)
    scene = write_scene(tmp_path / "scene.tif", pixels)
    cells = Affine(40, 0, 4e5, 0, -40, 4.2e6)
    path = write_map(tmp_path / "scene_landuse.tif", np.zeros((40, 40), np.uint8), transform=cells)
    used = tuple(
        BandRecord(bidx=b, description=None, taken_as=name) for b, name in ((1, "B04"), (2, "B03"), (3, "B02"))
    )
    grid = grid_fields(SceneGrid(Affine(10, 0, 4e5, 0, -10, 4.2e6), 160, 160, CRS.from_epsg(32618)))
    record = SceneRecord(path=str(scene), size_bytes=None, data_type="uint8", bands_used=used, **grid)
    write_manifest(Manifest(legend=LEGEND.classes, scene=record), tmp_path / "scene_landuse.json")
    drawn = geokd.sample(path, 30, tmp_path / "s.gpkg").to_json()
    assert drawn["notes"] == []
    for _, point in points_of(tmp_path / "s.gpkg").iterrows():
        picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(point["picture"]))))
        assert picture.shape == (192, 192, 3)
        middle = picture[94:98, 94:98].astype(int).mean(axis=(0, 1))
        third = min(int((point.geometry.x - 4e5) / 1600 * 3), 2)
        if abs((point.geometry.x - 4e5) / 1600 * 3 % 1 - 0.5) < 0.4:  # not at the border of two fields
            assert middle.argmax() == third
    scene.unlink()
    without = geokd.sample(path, 30, tmp_path / "t.gpkg").to_json()
    assert "no such file" in without["notes"][0]
    assert (points_of(tmp_path / "t.gpkg")["picture"] == "").all()
    with pytest.raises(CallError, match="no such file"):
        geokd.sample(path, 30, tmp_path / "u.gpkg", geokd.SampleOptions(scene=str(scene)))
    assert not (tmp_path / "u.gpkg").exists()


def test_a_scene_elsewhere_is_refused(class_map: Path, tmp_path: Path) -> None:
    other = write_scene(tmp_path / "other.tif", three_fields(30, 30), crs="EPSG:32631")
    with pytest.raises(SceneError, match="is not the scene that"):
        geokd.sample(class_map, 30, tmp_path / "s.gpkg", geokd.SampleOptions(scene=str(other)))


@pytest.mark.parametrize(
    ("points", "options", "name", "said"),
    [
        (5, {}, "s.gpkg", "5 points are too few for at least 2 of each of the 3 classes; take 6 or more"),
        (50, {"min_per_class": 20}, "s.gpkg", "take 60 or more, or lower --min-per-class"),
        (391, {}, "s.gpkg", "391 points cannot be drawn of 390 mapped cells"),
        (50, {}, "s.shp", "call it"),
        (50, {}, "there.gpkg", "--overwrite"),
    ],
)
def test_what_cannot_be_drawn_is_refused(
    class_map: Path, tmp_path: Path, points: int, options: dict[str, Any], name: str, said: str
) -> None:
    (tmp_path / "there.gpkg").write_text("mine")
    with pytest.raises(CallError, match=said):
        geokd.sample(class_map, points, tmp_path / name, geokd.SampleOptions(**options))


def test_options_out_of_range_are_reported_at_once() -> None:
    with pytest.raises(CallError) as caught:
        geokd.SampleOptions(seed=-1, min_per_class=1)
    assert "seed -1" in str(caught.value)
    assert "1 points per class" in str(caught.value)


def test_labels_are_never_replaced(class_map: Path, tmp_path: Path) -> None:
    path = tmp_path / "s.gpkg"
    again = geokd.SampleOptions(overwrite=True)
    geokd.sample(class_map, 40, path)
    geokd.sample(class_map, 40, path, again)  # nobody has labelled it
    frame = points_of(path)
    with closing(sqlite3.connect(path)) as database:
        database.create_function("ST_IsEmpty", 1, lambda _: 0)
        for name in ("ST_MinX", "ST_MaxX", "ST_MinY", "ST_MaxY"):
            database.create_function(name, 1, lambda _: 0.0)
        database.execute("UPDATE sample SET reference = 1 WHERE point <= 3")
        database.commit()
    with pytest.raises(CallError, match="holds 3 labelled points"):
        geokd.sample(class_map, 40, path, again)
    assert len(points_of(path)) == len(frame)


def test_a_map_without_cells_is_refused(tmp_path: Path) -> None:
    path = write_map(tmp_path / "a.tif", np.full((3, 3), 255, np.uint8))
    with pytest.raises(CallError, match="has no mapped cells"):
        geokd.sample(path, 3, tmp_path / "s.gpkg")


def test_the_command_says_what_it_drew(class_map: Path, tmp_path: Path) -> None:
    path = tmp_path / "s.gpkg"
    call = ["sample", str(class_map), "-n", "60", "-o", str(path), "--seed", "3", "--min-per-class", "12", "--json"]
    result = CliRunner().invoke(main, call)
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert told == geokd.sample(class_map, 60, path, geokd.SampleOptions(3, 12, overwrite=True)).to_json()
    assert "60 points written" in result.stderr
    assert "at least 12 in each class, seed 3" in result.stderr
    assert "no pictures" in result.stderr
    assert CliRunner().invoke(main, call).exit_code == 2
    assert CliRunner().invoke(main, [*call, "--overwrite"]).exit_code == 0
