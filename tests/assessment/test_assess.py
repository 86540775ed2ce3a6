"""Maps held against points, polygons and rasters whose answers are known."""

import json
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from click.testing import CliRunner
from numpy.typing import NDArray

import geokd
from geokd.cli import main
from geokd.errors import CallError, ChipError, SceneError
from geokd.legend.classes import LandUseClass, Legend
from geokd.legend.file import Restyle
from geokd.legend.regrouping import regroup
from geokd.maps.manifest import Manifest, StyledRecord, write_document, write_manifest
from tests.tiny_maps import LEGEND, UTM, write_map

CELL_HA = 2.56
# 300 cells of sea, 20 of wood, 70 of field, 10 not mapped
CODES = np.repeat(np.array([0, 1, 2, 255], np.uint8), [300, 20, 70, 10]).reshape(20, 20)


@pytest.fixture
def class_map(tmp_path: Path) -> Path:
    write_document({"legend": LEGEND.to_json()}, tmp_path / "a_landuse.json")
    return write_map(tmp_path / "a_landuse.tif", CODES)


def write_points(path: Path, cells: list[tuple[int, int, Any]], field: str = "class", crs: int = 32618) -> Path:
    """Points at the centres of cells (row, col), each with its class."""
    places = [UTM @ (col + 0.5, row + 0.5) for row, col, _ in cells]
    frame = geopandas.GeoDataFrame(
        {field: [label for *_, label in cells]}, geometry=[shapely.Point(place) for place in places], crs="EPSG:32618"
    )
    frame.to_crs(crs).to_file(path)
    return path


def label(path: Path, truth: NDArray[np.uint8], share: float = 1.0) -> None:
    """Label a share of a sample, the first points of it, by the truth."""
    frame = geopandas.read_file(path, layer="sample")
    rows = ((4_178_020 - frame.geometry.y) / 160).astype(int)
    cols = ((frame.geometry.x - 439_680) / 160).astype(int)
    with closing(sqlite3.connect(path)) as database:
        for name in ("ST_IsEmpty", "ST_MinX", "ST_MaxX", "ST_MinY", "ST_MaxY"):
            database.create_function(name, 1, lambda _: 0)
        for number, row, col in zip(frame["point"][: int(share * len(frame))], rows, cols, strict=False):
            database.execute("UPDATE sample SET reference = ? WHERE point = ?", (int(truth[row, col]), number))
        database.commit()


def test_points_by_hand(class_map: Path, tmp_path: Path) -> None:
    """Ten points in the sea, of which one is wood; five in the wood, one of them sea; five in the field, all right."""
    cells: list[tuple[int, int, Any]] = [(row, 3, "sea") for row in range(9)] + [(9, 3, "Wood & <trees>")]
    cells += [(15, col, "wood") for col in range(4)] + [(15, 4, "0")] + [(17, col, 2) for col in range(5)]
    cells += [(19, 15, "sea"), (3, 3, None), (4, 4, " "), (50, 3, "sea")]
    points = write_points(tmp_path / "p.gpkg", [(r, c, None if t is None else str(t)) for r, c, t in cells], crs=4326)
    told = geokd.assess(class_map, points).to_json()
    assert told["reference"]["kind"] == "points"
    assert told["units"] == 20
    assert told["left_out"] == {"unlabelled": 2, "outside_the_map": 1, "not_mapped": 1}
    assert told["confusion_matrix"] == [[9, 1, 0], [1, 4, 0], [0, 0, 5]]
    weights = np.array([300, 20, 70]) / 390
    expected = np.array([[0.9, 0.1, 0], [0.2, 0.8, 0], [0, 0, 1]]) * weights[:, np.newaxis]
    assert np.array(told["area_matrix"]) == pytest.approx(expected)
    assert told["overall_accuracy"]["estimate"] == pytest.approx(np.trace(expected))
    sea, wood, field = told["per_class"]
    assert sea["users_accuracy"]["estimate"] == pytest.approx(0.9)
    assert wood["producers_accuracy"]["estimate"] == pytest.approx(16 / (16 + 30))
    assert [row["mapped_area_ha"] for row in (sea, wood, field)] == pytest.approx([768.0, 51.2, 179.2])
    areas = [row["area_ha"] for row in (sea, wood, field)]
    assert [area["estimate"] for area in areas] == pytest.approx([CELL_HA * n for n in (274, 46, 70)])
    assert areas[1]["interval_95"][0] < areas[1]["estimate"] < areas[1]["interval_95"][1]
    assert "treated as a random sample" in told["notes"][0]
    assert told["kappa"] == pytest.approx(
        (np.trace(expected) - expected.sum(0) @ expected.sum(1)) / (1 - expected.sum(0) @ expected.sum(1))
    )


def test_a_sample_is_read_back_by_its_strata(class_map: Path, tmp_path: Path) -> None:
    truth = CODES.copy()
    truth[:3] = 1  # 60 cells of the sea are wood
    path = tmp_path / "s #1 100%.gpkg"
    geokd.sample(class_map, 390, path, geokd.SampleOptions(min_per_class=2))  # every cell
    label(path, truth)
    told = geokd.assess(class_map, path).to_json()
    assert told["reference"]["design"] == "stratified random sample"
    assert told["confusion_matrix"] == [[240, 60, 0], [0, 20, 0], [0, 0, 70]]
    assert told["overall_accuracy"]["standard_error"] == 0
    wood = told["per_class"][1]["area_ha"]
    assert wood["estimate"] == pytest.approx(80 * CELL_HA)
    assert wood["interval_95"] == pytest.approx([80 * CELL_HA] * 2)
    assert told["notes"] == []


@pytest.mark.slow
def test_intervals_of_drawn_samples_hold_the_true_areas(tmp_path: Path) -> None:
    """The whole way: map, sample, labels by the truth, areas; by classes and draws."""
    random = np.random.default_rng(11)
    codes = random.choice(np.array([0, 1, 2], np.uint8), (40, 50), p=[0.75, 0.05, 0.2])
    wrong = random.random(codes.shape) < 0.1
    truth = np.where(wrong, random.integers(0, 3, codes.shape), codes).astype(np.uint8)
    areas = [CELL_HA * float((truth == k).sum()) for k in range(3)]
    accuracy = float((truth == codes).mean())
    path = write_map(tmp_path / "a.tif", codes)
    held = []
    for seed in range(25):
        sample = tmp_path / f"{seed}.gpkg"
        geokd.sample(path, 120, sample, geokd.SampleOptions(seed=seed))
        label(sample, truth)
        told = geokd.assess(path, sample).to_json()
        for true, figure in zip(
            [*areas, accuracy], [*(row["area_ha"] for row in told["per_class"]), told["overall_accuracy"]], strict=True
        ):
            low, high = figure["interval_95"]
            held.append(low <= true <= high)
    assert np.mean(held) >= 0.93


def test_unlabelled_points_and_foreign_classes(class_map: Path, tmp_path: Path) -> None:
    path = tmp_path / "s.gpkg"
    geokd.sample(class_map, 100, path)
    with pytest.raises(ChipError, match="none of the points can be used: 100 unlabelled"):
        geokd.assess(class_map, path)
    truth = CODES.astype(np.int64)
    truth[:5] = -1  # a quarter of the map is not among the classes
    label(path, truth, share=0.8)  # type: ignore[arg-type]
    told = geokd.assess(class_map, path).to_json()
    assert told["left_out"]["unlabelled"] == 20
    assert "20 of 100 points of the sample are not labelled" in told["notes"][0]
    assert told["reference_classes"] == ["sea", "wood", "field", "none of these"]
    low, high = told["none_of_these_area_ha"]["interval_95"]
    assert low < 100 * CELL_HA < high
    assert told["per_class"][0]["users_accuracy"]["estimate"] < 0.9


def test_a_sample_holds_for_another_map_of_the_place(class_map: Path, tmp_path: Path) -> None:
    """Its strata are the classes of the map that it was drawn from; accuracies are of the other."""
    path = tmp_path / "s.gpkg"
    geokd.sample(class_map, 390, path, geokd.SampleOptions(min_per_class=2))
    truth = np.roll(CODES, 3, axis=0)
    truth[CODES == 255] = 0
    truth[truth == 255] = 0
    label(path, truth)
    other = write_map(tmp_path / "b_landuse.tif", np.where(CODES == 255, 255, truth).astype(np.uint8), LEGEND)
    write_document({"legend": LEGEND.to_json()}, tmp_path / "b_landuse.json")
    told = geokd.assess(other, path).to_json()
    assert told["overall_accuracy"]["estimate"] == pytest.approx(1)
    assert "drawn from another map" in told["notes"][0]
    assert told["per_class"][2]["area_ha"]["estimate"] == pytest.approx(
        CELL_HA * int(((truth == 2) & (CODES < 255)).sum())
    )


def test_labels_mean_the_classes_of_the_map_they_were_drawn_from(class_map: Path, tmp_path: Path) -> None:
    """A later map numbers its classes otherwise: labels are matched by name, not by code."""
    path = tmp_path / "s.gpkg"
    geokd.sample(class_map, 60, path)
    label(path, CODES)
    legend = Legend(tuple(replace(LEGEND[old], value=new) for new, old in enumerate((2, 0, 1))))
    codes = np.choose(np.minimum(CODES, 3), [1, 2, 0, 255]).astype(np.uint8)
    write_document({"legend": legend.to_json()}, tmp_path / "b_landuse.json")
    told = geokd.assess(write_map(tmp_path / "b_landuse.tif", codes, legend), path).to_json()
    assert told["map_classes"] == ["field", "sea", "wood"]
    assert told["overall_accuracy"]["estimate"] == 1
    other = Legend((replace(LEGEND[0], name="lake", title="Lake"), *LEGEND.classes[1:]))
    write_document({"legend": other.to_json()}, tmp_path / "c_landuse.json")
    with pytest.raises(CallError, match="holds sea, not classes of the map"):
        geokd.assess(write_map(tmp_path / "c_landuse.tif", CODES, other), path)


def test_points_that_were_moved_are_refused(class_map: Path, tmp_path: Path) -> None:
    path = tmp_path / "s.gpkg"
    geokd.sample(class_map, 60, path)
    label(path, CODES)
    with closing(sqlite3.connect(path)) as database:
        for name in ("ST_IsEmpty", "ST_MinX", "ST_MaxX", "ST_MinY", "ST_MaxY"):
            database.create_function(name, 1, lambda _: 0)
        database.execute("UPDATE sample SET stratum = (stratum + 1) % 3 WHERE point < 5")
        database.commit()
    with pytest.raises(ChipError, match="4 points lie in another class"):
        geokd.assess(class_map, path)


def test_what_no_point_covers_is_left_out_and_said(class_map: Path, tmp_path: Path) -> None:
    cells = [(row, 3, "sea") for row in range(8)] + [(row, 5, "wood") for row in range(2)]
    told = geokd.assess(class_map, write_points(tmp_path / "p.gpkg", cells)).to_json()
    assert any("no point is labelled in wood, field, 23.1 % of the area" in note for note in told["notes"])
    assert told["per_class"][1]["producers_accuracy"] is None
    assert told["per_class"][2]["users_accuracy"] is None
    assert sum(row["area_ha"]["estimate"] for row in told["per_class"]) == pytest.approx(300 * CELL_HA)


def test_unclassified_cells(tmp_path: Path) -> None:
    legend = LEGEND.with_unclassified()
    codes = np.where(CODES == 2, 3, CODES)
    write_document({"legend": legend.to_json()}, tmp_path / "a_landuse.json")
    path = write_map(tmp_path / "a_landuse.tif", codes, legend)
    sample = tmp_path / "s.gpkg"
    drawn = geokd.sample(path, 80, sample).to_json()
    assert drawn["strata"][3]["points"] > 0
    label(sample, CODES)
    told = geokd.assess(path, sample).to_json()
    assert told["overall_accuracy"]["estimate"] == 1
    assert told["per_class"][2]["producers_accuracy"]["estimate"] == 0
    assert told["per_class"][2]["area_ha"]["estimate"] == pytest.approx(70 * CELL_HA)
    assert told["unclassified_area_ha"] == pytest.approx(70 * CELL_HA)
    assert told["map_classes"] == ["sea", "wood", "field", "unclassified"]
    assert any("not in overall accuracy" in note for note in told["notes"])


def test_polygons_by_hand(class_map: Path, tmp_path: Path) -> None:
    def box(top: float, bottom: float, left: float = 0, right: float = 20) -> shapely.Polygon:
        (x0, y0), (x1, y1) = UTM @ (left, top), UTM @ (right, bottom)
        return shapely.box(x0, y1, x1, y0)

    shapes = [box(0, 4), box(6, 7), box(15, 17), box(18.6, 18.9), box(0.4, 0.6, 0.2, 0.4), box(40, 42), box(8, 9)]
    labels = ["sea", "wood|field", "wood", "field", "sea", "sea", None]
    frame = geopandas.GeoDataFrame({"use": labels}, geometry=shapes, crs="EPSG:32618")
    frame.to_crs(4326).to_file(tmp_path / "p.gpkg")
    told = geokd.assess(class_map, tmp_path / "p.gpkg", field="use").to_json()
    assert told["reference"]["kind"] == "polygons"
    assert told["left_out"] == {"unlabelled": 1, "without_a_mapped_cell": 3}
    assert told["map_classes"] == ["sea", "wood + field"]
    assert told["confusion_matrix"] == [[80, 20], [0, 40]]
    assert told["overall_accuracy"]["estimate"] == pytest.approx(120 / 140)
    low, high = told["overall_accuracy"]["interval_95"]
    assert low < 0.6  # by polygons, not by cells
    assert high == 1
    assert told["per_class"][0]["area_ha"] is None
    assert told["area_matrix"] is None
    assert any("not a random sample" in note for note in told["notes"])
    assert any("wood + field are judged as one" in note for note in told["notes"])


def write_raster(path: Path, values: NDArray[Any], transform: Affine, crs: str, **profile: Any) -> Path:
    height, width = values.shape
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        height=height,
        width=width,
        count=1,
        dtype=values.dtype,
        transform=transform,
        crs=crs,
        **profile,
    ) as raster:
        raster.write(values, 1)
    return path


def test_a_finer_raster_is_looked_up_at_the_centres(class_map: Path, tmp_path: Path) -> None:
    truth = np.roll(CODES, 1, axis=0)
    fine = np.full((140, 140), 9, np.uint8)
    fine[3::7, 3::7] = truth  # at the centres of the cells; 9 elsewhere
    path = write_raster(tmp_path / "r.tif", fine, UTM @ Affine.scale(1 / 7), "EPSG:32618", nodata=255)
    told = geokd.assess(class_map, path).to_json()
    both = (CODES < 255) & (truth < 255)
    expected = [[int(((a == CODES) & (b == truth) & both).sum()) for b in range(3)] for a in range(3)]
    assert told["confusion_matrix"] == expected
    assert told["overall_accuracy"]["interval_95"] is None
    assert told["per_class"][0]["area_ha"]["estimate"] == pytest.approx(sum(row[0] for row in expected) * CELL_HA)
    assert "taken for codes of the map: 0 = sea, 1 = wood, 2 = field" in told["notes"][-1]


def test_a_raster_of_another_crs_and_extent(class_map: Path, tmp_path: Path) -> None:
    """Degrees, names of its own, no nodata: each cell is looked up where it lies, and nothing beyond the raster."""
    values = np.random.default_rng(4).integers(1, 3, (120, 60)).astype(np.uint16)
    west, north = geopandas.GeoSeries([shapely.Point(UTM @ (0, 0))], crs="EPSG:32618").to_crs(4326)[0].coords[0]
    transform = Affine(0.0003, 0, west - 0.001, 0, -0.0003, north + 0.001)  # the western half of the map
    path = write_raster(tmp_path / "r.tif", values, transform, "EPSG:4326")
    names = "<Category/><Category>Water body</Category><Category>dry</Category>"
    beside = f"<PAMDataset><PAMRasterBand band='1'><CategoryNames>{names}</CategoryNames></PAMRasterBand></PAMDataset>"
    Path(f"{path}.aux.xml").write_text(beside, encoding="utf-8")
    with pytest.raises(CallError, match="holds Water body, dry, not classes of the map"):
        geokd.assess(class_map, path)
    table = tmp_path / "t.csv"
    table.write_text("map_class,reference_class\nOpen sea,water body\nwood,dry\nfield,dry\n", encoding="utf-8")
    told = geokd.assess(class_map, path, match=table).to_json()
    expected = np.zeros((2, 2), int)
    rows, cols = np.nonzero(CODES < 255)
    x, y = UTM @ (cols + 0.5, rows + 0.5)
    places = geopandas.GeoSeries(geopandas.points_from_xy(x, y), crs="EPSG:32618").to_crs(4326)
    at_cols, at_rows = np.floor(~transform @ (places.x.to_numpy(), places.y.to_numpy())).astype(int)
    for row, col, r, c in zip(rows, cols, at_rows, at_cols, strict=True):
        if 0 <= r < 120 and 0 <= c < 60:
            expected[min(CODES[row, col], 1), values[r, c] - 1] += 1
    assert 100 < expected.sum() < 300
    assert told["confusion_matrix"] == expected.tolist()
    assert told["map_classes"] == ["sea", "wood + field"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("map,reference\nsea,water\n", "should have the columns map_class,reference_class"),
        ("map_class,reference_class\nsea\n", "should have the columns"),
        ("", "should have the columns"),
        (None, "cannot be read"),
        ("map_class,reference_class\nsee,water\nwod,tree\n", "the table names see, wod"),
    ],
)
def test_broken_tables_are_refused(class_map: Path, tmp_path: Path, content: str | None, said: str) -> None:
    table = tmp_path / "t.csv"
    if content is not None:
        table.write_text(content, encoding="utf-8")
    points = write_points(tmp_path / "p.gpkg", [(0, 0, "sea")])
    with pytest.raises(CallError, match=said):
        geokd.assess(class_map, points, match=table)


def test_a_field_must_be_known(class_map: Path, tmp_path: Path) -> None:
    points = write_points(tmp_path / "p.gpkg", [(0, 0, "sea")], field="kind")
    with pytest.raises(CallError, match="neither a field reference nor class; name .* --field: kind"):
        geokd.assess(class_map, points)
    assert geokd.assess(class_map, points, field="kind").to_json()["units"] == 1
    with pytest.raises(CallError, match="has no field 'x'"):
        geokd.assess(class_map, points, field="x")


@pytest.mark.parametrize("what", ["lines", "elsewhere", "floats", "text", "nothing"])
def test_what_is_no_reference_is_refused(class_map: Path, tmp_path: Path, what: str) -> None:
    path = tmp_path / "r.gpkg"
    error: type[Exception] = ChipError
    said = "LineString"
    if what == "lines":
        line = shapely.LineString([UTM @ (0, 0), UTM @ (5, 5)])
        geopandas.GeoDataFrame({"class": ["sea"]}, geometry=[line], crs="EPSG:32618").to_file(path)
    elif what == "elsewhere":
        path = write_raster(tmp_path / "r.tif", np.zeros((9, 9), np.uint8), Affine(2, 0, 0, 0, -2, 0), "EPSG:32618")
        said = "has no value at the centre"
    elif what == "floats":
        path = write_raster(tmp_path / "r.tif", np.zeros((9, 9), np.float32), UTM, "EPSG:32618")
        said, error = "not a raster of classes", SceneError
    elif what == "text":
        path.write_text("sea")
        said, error = "not a raster", SceneError
    else:
        said, error = "no such file", CallError
    with pytest.raises(error, match=said):
        geokd.assess(class_map, path)


def test_the_command_prints_a_table_or_json(class_map: Path, tmp_path: Path) -> None:
    cells: list[tuple[int, int, Any]] = [(row, 3, "sea") for row in range(10)]
    cells += [*((15, col, "wood") for col in range(5)), (17, 3, "field")]
    cells += [(17, 4, "dune"), (18, 4, None)]
    points = write_points(tmp_path / "p.gpkg", cells)
    table = tmp_path / "t.csv"
    table.write_text("map_class,reference_class\n,dune\n", encoding="utf-8")
    call = ["assess", str(class_map), str(points), "--field", "class", "--match", str(table)]
    result = CliRunner().invoke(main, call)
    assert result.exit_code == 0, result.output
    assert "17 points, random sample" in result.stdout
    assert "overall accuracy 91.0 % (" in result.stdout
    lines = [line.split() for line in result.stdout.splitlines()]
    assert ["1", "sea", "10", "0", "0", "0"] in lines
    assert ["3", "field", "0", "0", "1", "1"] in lines
    assert result.stdout.splitlines()[-1].startswith("(kappa 0.")
    assert "left out: 1 unlabelled" in result.stderr
    as_json = CliRunner().invoke(main, [*call, "--json"])
    assert json.loads(as_json.stdout) == geokd.assess(class_map, points, "class", table).to_json()
    assert CliRunner().invoke(main, ["assess", str(class_map), str(points), "--field", "x"]).exit_code == 2


def test_a_sample_holds_for_the_map_as_it_is_restyled(class_map: Path, tmp_path: Path) -> None:
    geokd.sample(class_map, 60, tmp_path / "s.gpkg")
    label(tmp_path / "s.gpkg", CODES)
    legend = Legend((LEGEND[0], LandUseClass(1, "Land", "Land", "2E7D32")))
    styled = write_map(tmp_path / "b_landuse.tif", np.where(CODES == 2, 1, CODES).astype(np.uint8), legend)
    new = regroup(LEGEND, [Restyle(("wood", "field"), title="Land")], "a").made_of(LEGEND)
    record = StyledRecord(map="a", legend_file="b", classes=new, by="class", notes=())
    manifest = Manifest(legend=legend.classes, styled=record)
    write_manifest(manifest, styled.with_suffix(".json"))
    figures = geokd.assess(styled, tmp_path / "s.gpkg").to_json()
    assert figures["map_classes"] == ["sea", "Land"]
    assert figures["overall_accuracy"]["estimate"] == 1
    assert figures["per_class"][1]["area_ha"]["estimate"] == pytest.approx(90 * CELL_HA)
    others = tuple(c.evolve(name="nowhere") for c in new)
    write_manifest(manifest.evolve(styled=record.evolve(classes=others)), styled.with_suffix(".json"))
    with pytest.raises(CallError, match="holds field, wood, not classes of the map"):
        geokd.assess(styled, tmp_path / "s.gpkg")
    for broken in ([3], [{"name": "Land"}]):
        write_document(manifest.to_json() | {"styled": {"classes": broken}}, styled.with_suffix(".json"))
        with pytest.raises(SceneError, match=r"cannot be read: styled"):
            geokd.assess(styled, tmp_path / "s.gpkg")
