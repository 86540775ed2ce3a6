"""Reviews of maps: what the file holds, what counts as looked at, what is refused; and the chips that are cut of it."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
import rasterio
from affine import Affine
from click.testing import CliRunner
from numpy.typing import NDArray
from rasterio.crs import CRS

import geokd
from geokd.cli import main
from geokd.errors import CallError, ChipError, SceneError
from geokd.labels.cell_labels import read_cell_labels
from geokd.labels.cell_names import NONE_OF_THESE, UNLABELLED
from geokd.legend.classes import Legend
from geokd.maps.class_map import ClassMap
from geokd.maps.geotiff import write_class_raster, write_confidence_raster
from geokd.maps.manifest import write_document
from geokd.scenes.grid import SceneGrid
from geokd.scenes.reader import describe_scene
from tests.tiny import three_fields, write_scene
from tests.tiny_maps import LEGEND

CELLS = Affine(80, 0, 4e5, 0, -80, 4.2e6)  # of 8 pixels of the tiny scenes
PATCH_PX = 16


def write_maps(
    folder: Path, percent: NDArray[np.uint8], legend: Legend = LEGEND, *, probabilities: bool = True
) -> Path:
    """Write a map of the likeliest classes (K, H, W), its confidence and, if wanted, the probabilities."""
    codes, best = percent.argmax(axis=0).astype(np.uint8), percent.max(axis=0)
    if legend != LEGEND:
        codes[best < 40] = len(legend) - 1
    height, width = codes.shape
    grid = SceneGrid(CELLS, height, width, CRS.from_epsg(32618))
    class_map = ClassMap(codes, best, grid, legend)
    path = folder / "a_landuse.tif"
    write_class_raster(class_map, path, {})
    write_confidence_raster(class_map, folder / "a_confidence.tif", {})
    write_document({"legend": legend.to_json(), "options": {"patch_px": PATCH_PX}}, folder / "a_landuse.json")
    if probabilities:
        profile = {"driver": "GTiff", "count": len(percent), "dtype": "uint8", "nodata": 255, "crs": grid.crs}
        with rasterio.open(
            folder / "a_probabilities.tif", "w", height=height, width=width, transform=CELLS, **profile
        ) as raster:
            raster.write(percent)
    return path


@pytest.fixture
def percent() -> NDArray[np.uint8]:
    """Percentages of three classes in 12 x 12 cells that sum to 100."""
    first = np.random.default_rng(4).dirichlet((1, 1, 1), (12, 12)).transpose(2, 0, 1)
    shares = (100 * first).astype(np.uint8)
    shares[0] += 100 - shares.sum(axis=0, dtype=np.uint8)
    return shares


@pytest.fixture
def class_map(tmp_path: Path, percent: NDArray[np.uint8]) -> Path:
    return write_maps(tmp_path, percent)


def points_of(path: Path) -> Any:
    return geopandas.read_file(path, layer="review")


def answer(path: Path, *changes: str) -> None:
    """Change rows as QGIS does: `point = 3: reference = 1`."""
    with closing(sqlite3.connect(path)) as database:
        database.create_function("ST_IsEmpty", 1, lambda _: 0)
        for name in ("ST_MinX", "ST_MaxX", "ST_MinY", "ST_MaxY"):
            database.create_function(name, 1, lambda _: 0.0)
        for change in changes:
            where, _, what = change.partition(":")
            database.execute(f"UPDATE review SET {what} WHERE {where}")
        database.commit()


def test_cells_begin_with_the_maps_class_and_tell_what_is_next(
    class_map: Path, tmp_path: Path, percent: NDArray[np.uint8]
) -> None:
    told = geokd.review(class_map, 20, tmp_path / "r.gpkg").to_json()
    assert told["chosen_by"] == "margin"
    assert sum(row["points"] for row in told["classes"]) == 20
    points = points_of(tmp_path / "r.gpkg")
    cols = ((points.geometry.x - 4e5) / 80 - 0.5).astype(int)
    rows = ((4.2e6 - points.geometry.y) / 80 - 0.5).astype(int)
    found = np.sort(percent[:, rows, cols].astype(int), axis=0)
    order = percent[:, rows, cols].argsort(axis=0, kind="stable")
    assert (points["margin"] == found[-1] - found[-2]).all()
    assert (points["confidence"] == found[-1]).all()
    untied = found[-1] > found[-2]
    assert (points["reference"] == order[-1])[untied].all()
    assert (points["second"] == order[-2])[(found[-2] > found[-3]) & untied].all()
    assert (points["reference"] == points["mapped"]).all()
    assert not points["looked_at"].any()
    everywhere = np.sort(percent.astype(int), axis=0)
    assert points["margin"].mean() < (everywhere[-1] - everywhere[-2]).mean() / 2


def test_without_probabilities_the_confidence_decides_and_it_is_said(
    tmp_path: Path, percent: NDArray[np.uint8]
) -> None:
    told = geokd.review(write_maps(tmp_path, percent, probabilities=False), 20, tmp_path / "r.gpkg").to_json()
    assert told["chosen_by"] == "confidence"
    assert "the map has no probabilities" in told["notes"][0]
    points = points_of(tmp_path / "r.gpkg")
    assert points["second"].isna().all()
    assert (points["margin"] == points["confidence"]).all()
    assert points["confidence"].mean() < percent.max(axis=0).mean()


def test_unclassified_cells_begin_with_the_likeliest_class(tmp_path: Path, percent: NDArray[np.uint8]) -> None:
    percent[:, :3] = np.array([36, 34, 30], np.uint8)[:, None, None]
    path = write_maps(tmp_path, percent, LEGEND.with_unclassified())
    geokd.review(path, 20, tmp_path / "r.gpkg")
    points = points_of(tmp_path / "r.gpkg")
    unsure = points[points["confidence"] == 36]
    assert len(unsure) > 0
    assert (unsure["mapped"] == 0).all()
    assert (unsure["second"] == 1).all()
    (tmp_path / "a_probabilities.tif").unlink()
    geokd.review(path, 20, tmp_path / "t.gpkg")
    points = points_of(tmp_path / "t.gpkg")
    assert points[points["confidence"] == 36]["reference"].isna().all()


def test_a_cell_counts_when_it_was_looked_at_or_changed(class_map: Path, tmp_path: Path) -> None:
    path = tmp_path / "r.gpkg"
    geokd.review(class_map, 20, path)
    before = points_of(path).set_index("point")["mapped"]
    other = (before[2] + 1) % 3
    changes = ["point = 1: looked_at = 1", f"point = 2: reference = {other}", "point = 3: reference = -1"]
    answer(path, *changes, "point = 4: reference = NULL, looked_at = 1", "point = 5: looked_at = NULL")
    with rasterio.open(class_map) as raster:
        grid = SceneGrid(raster.transform, raster.height, raster.width, raster.crs)
    labels = read_cell_labels(path, grid)
    assert labels is not None
    assert labels.codes.tolist() == [before[1], other, NONE_OF_THESE, *[UNLABELLED] * 17]
    assert labels.classes == ("sea", "wood", "field")
    assert labels.design.patch_px == PATCH_PX
    answer(path, "point = 9: reference = 7")
    with pytest.raises(ChipError, match=r"holds the classes 7, the map's are 0\.\.2"):
        read_cell_labels(path, grid)


def test_a_review_is_not_taken_for_a_sample(class_map: Path, tmp_path: Path) -> None:
    path = tmp_path / "r.gpkg"
    geokd.review(class_map, 20, path)
    answer(path, "point < 9: looked_at = 1")
    with pytest.raises(CallError, match="not a random sample, so neither accuracies nor areas"):
        geokd.assess(class_map, path)
    with closing(sqlite3.connect(path)) as database:
        design = json.loads(database.execute("SELECT metadata FROM gpkg_metadata").fetchone()[0])["design"]
        ((described,),) = database.execute("SELECT description FROM gpkg_contents WHERE table_name = 'review'")
    assert "not a random sample" in design["purpose"]
    assert described == design["purpose"]


def test_what_was_looked_at_is_never_replaced(class_map: Path, tmp_path: Path) -> None:
    path, again = tmp_path / "r.gpkg", geokd.ReviewOptions(overwrite=True)
    geokd.review(class_map, 20, path)
    with pytest.raises(CallError, match="--overwrite"):
        geokd.review(class_map, 20, path)
    geokd.review(class_map, 20, path, again)
    answer(path, "point = 1: looked_at = 1", "point = 2: note = 'a barn'")
    with pytest.raises(CallError, match="holds 2 labelled points"):
        geokd.review(class_map, 20, path, again)


def test_what_cannot_be_reviewed_is_refused(class_map: Path, tmp_path: Path) -> None:
    with pytest.raises(CallError, match="145 points cannot be chosen of 144 mapped cells; take 1 to 144"):
        geokd.review(class_map, 145, tmp_path / "r.gpkg")
    with pytest.raises(CallError, match=r"call it .*r\.gpkg"):
        geokd.review(class_map, 5, tmp_path / "r.shp")
    with rasterio.open(tmp_path / "a_probabilities.tif", "r+") as raster:
        raster.write(np.full((3, 12, 12), 255, np.uint8))
    with pytest.raises(SceneError, match="has no percentage at some of its cells"):
        geokd.review(class_map, 5, tmp_path / "r.gpkg")
    (tmp_path / "a_confidence.tif").unlink()
    with pytest.raises(CallError, match=r"has no a_confidence\.tif beside it"):
        geokd.review(class_map, 5, tmp_path / "r.gpkg")
    assert not (tmp_path / "r.gpkg").exists()


def test_the_command_says_what_it_chose(class_map: Path, tmp_path: Path) -> None:
    path = tmp_path / "r.gpkg"
    result = CliRunner().invoke(main, ["review", str(class_map), "-n", "20", "-o", str(path), "--json"])
    assert result.exit_code == 0, result.output
    assert "for correction, not for accuracies or areas" in result.stderr
    assert "margin up to" in result.stderr
    told = json.loads(result.stdout)
    assert told == geokd.review(class_map, 20, path, geokd.ReviewOptions(overwrite=True)).to_json()


def test_chips_are_the_patches_about_labelled_cells(class_map: Path, tmp_path: Path) -> None:
    scene = write_scene(tmp_path / "s.tif", three_fields(96, 96), photometric="RGB")
    path = tmp_path / "r.gpkg"
    geokd.review(class_map, 40, path)
    answer(path, "point <= 30: looked_at = 1", "point = 31: reference = -1")
    result = geokd.tile(scene, tmp_path / "chips", path)
    points = points_of(path).set_index("point")
    assert list(result.counts) == ["sea", "wood", "field"]
    assert result.left_out.not_labelled == 9
    assert result.left_out.none_of_these == 1
    assert len(result.chips) + result.left_out.repeated == 30
    assert sum(result.counts.values()) == len(result.chips)
    classes = ("sea", "wood", "field")
    bounds = {}
    for chip in result.chips:
        with rasterio.open(tmp_path / "chips" / chip) as raster:
            assert raster.shape == (PATCH_PX, PATCH_PX)
            bounds[chip] = raster.bounds
    for number in range(1, 31):
        place = points.geometry[number]
        about = [c for c, b in bounds.items() if b.left < place.x < b.right and b.bottom < place.y < b.top]
        wanted = classes[points["reference"][number]]
        inner = 4e5 + 80 < place.x < 4e5 + 880 and 4.2e6 - 880 < place.y < 4.2e6 - 80
        centred = [c for c in about if abs(sum(bounds[c][::2]) / 2 - place.x) < 1e-6]
        assert any(c.startswith(f"{wanted}/") for c in (centred if inner else about)) or result.left_out.repeated
    document = json.loads((tmp_path / "chips" / "chips.json").read_text())
    assert document["options"]["patch_px"] == PATCH_PX


def test_a_labelled_sample_gives_chips_too(class_map: Path, tmp_path: Path) -> None:
    scene = write_scene(tmp_path / "s.tif", three_fields(96, 96), photometric="RGB")
    path = tmp_path / "s.gpkg"
    geokd.sample(class_map, 20, path)
    with closing(sqlite3.connect(path)) as database:
        database.create_function("ST_IsEmpty", 1, lambda _: 0)
        for name in ("ST_MinX", "ST_MaxX", "ST_MinY", "ST_MaxY"):
            database.create_function(name, 1, lambda _: 0.0)
        database.execute("UPDATE sample SET reference = 2 WHERE point = 1")
        database.commit()
    result = geokd.tile(scene, tmp_path / "chips", path)
    assert result.counts == {"sea": 0, "wood": 0, "field": 1}
    assert result.left_out.not_labelled == 19


def test_cells_at_one_place_of_the_edge_give_one_chip(tmp_path: Path, percent: NDArray[np.uint8]) -> None:
    class_map = write_maps(tmp_path, percent)
    scene = write_scene(tmp_path / "s.tif", three_fields(16, 96), photometric="RGB")  # one patch high
    path = tmp_path / "r.gpkg"
    geokd.review(class_map, 144, path)
    answer(path, "1: looked_at = 1")
    result = geokd.tile(scene, tmp_path / "chips", path)
    assert result.left_out.past_the_edge == 120  # of 12 rows of cells 2 lie on the scene
    assert len(result.chips) == 12  # of 12 columns; both rows have the same patches
    assert result.left_out.repeated == 12


@pytest.mark.parametrize("more", [{"field": "reference"}, {"options": geokd.TileOptions(stride_px=8)}])
def test_options_of_polygons_are_refused(class_map: Path, tmp_path: Path, more: dict[str, Any]) -> None:
    scene = write_scene(tmp_path / "s.tif", three_fields(96, 96), photometric="RGB")
    geokd.review(class_map, 5, tmp_path / "r.gpkg")
    with pytest.raises(CallError, match="leave out --field and --stride"):
        geokd.tile(scene, tmp_path / "chips", tmp_path / "r.gpkg", **more)


def test_a_review_that_nobody_looked_at_gives_no_chips(class_map: Path, tmp_path: Path) -> None:
    scene = write_scene(tmp_path / "s.tif", three_fields(96, 96), photometric="RGB")
    geokd.review(class_map, 5, tmp_path / "r.gpkg")
    with pytest.raises(ChipError, match="no chip can be cut from .*: of its patches 5 are not labelled"):
        geokd.tile(scene, tmp_path / "chips", tmp_path / "r.gpkg")


def test_the_review_of_the_sample_scene_is_what_its_readme_says() -> None:
    folder = Path(geokd.__file__).parent.parent / "sample_data"
    labels = read_cell_labels(folder / "review.gpkg", describe_scene(folder / "eastern_shore.tif").grid)
    assert labels is not None
    assert (labels.codes >= 0).sum() == 135
    assert (labels.codes == NONE_OF_THESE).sum() == 6
    assert (labels.codes == UNLABELLED).sum() == 59
    assert labels.design.patch_px == 64
