"""References as analysts have them: copies, tables, other places, contradictions, numbers as programs write them."""

from pathlib import Path

import geopandas
import numpy as np
import pytest
import shapely

import geokd
from geokd.errors import CallError, ChipError
from geokd.legend.classes import LandUseClass, Legend
from geokd.maps.manifest import write_document
from tests.assessment.test_assess import CODES, label, write_points
from tests.tiny_maps import LEGEND, UTM, write_map

NAMES = LEGEND.names


@pytest.fixture
def class_map(tmp_path: Path) -> Path:
    write_document({"legend": LEGEND.to_json()}, tmp_path / "a_landuse.json")
    return write_map(tmp_path / "a_landuse.tif", CODES)


@pytest.fixture
def sample(class_map: Path, tmp_path: Path) -> Path:
    geokd.sample(class_map, 100, tmp_path / "sample.gpkg")
    label(tmp_path / "sample.gpkg", CODES)
    return tmp_path / "sample.gpkg"


@pytest.mark.parametrize("suffix", ["gpkg", "geojson", "shp"])
def test_an_exported_copy_of_a_sample_is_refused(class_map: Path, sample: Path, suffix: str) -> None:
    copy = sample.with_name(f"copy.{suffix}")
    geopandas.read_file(sample, layer="sample").to_file(copy)
    with pytest.raises(CallError, match="is a copy of a file of geokd sample"):
        geokd.assess(class_map, copy)
    whole = sample.with_name("whole.gpkg")
    whole.write_bytes(sample.read_bytes())
    assert geokd.assess(class_map, whole).reference.design == "stratified random sample"


def test_a_copy_with_codes_written_as_text_is_refused(class_map: Path, sample: Path) -> None:
    frame = geopandas.read_file(sample, layer="sample")
    frame["reference"] = [f"{code:.1f}" for code in frame["reference"]]
    frame.to_file(sample.with_name("text.gpkg"))
    with pytest.raises(CallError, match="is a copy of a file of geokd sample"):
        geokd.assess(class_map, sample.with_name("text.gpkg"))


def test_a_copy_with_the_names_of_classes_is_usable(class_map: Path, sample: Path) -> None:
    frame = geopandas.read_file(sample, layer="sample")
    frame["reference"] = [NAMES[int(code)] for code in frame["reference"]]
    frame.to_file(sample.with_name("named.gpkg"))
    found = geokd.assess(class_map, sample.with_name("named.gpkg"))
    assert found.overall_accuracy is not None
    assert found.overall_accuracy.estimate == 1.0


def test_an_exported_copy_of_a_review_is_refused(class_map: Path, tmp_path: Path) -> None:
    fields = {"point": [1], "reference": [1], "looked_at": [True], "mapped": [1], "confidence": [50]}
    frame = geopandas.GeoDataFrame(fields, geometry=[shapely.Point(UTM @ (3.5, 3.5))], crs="EPSG:32618")
    frame.to_file(tmp_path / "review.geojson")
    with pytest.raises(CallError, match="geokd review chose because the map is uncertain"):
        geokd.assess(class_map, tmp_path / "review.geojson")


def test_a_table_of_coordinates_is_told_apart_from_a_layer(class_map: Path, tmp_path: Path) -> None:
    points = tmp_path / "points.csv"
    frame = geopandas.GeoSeries([shapely.Point(UTM @ (3.5, 3.5))], crs="EPSG:32618").to_crs(4326)
    points.write_text(f"class,lon,lat\n{NAMES[0]},{frame.x[0]},{frame.y[0]}\n", encoding="utf-8")
    with pytest.raises(
        ChipError, match="has no layer with geometry; if it is a table with coordinates, make points of"
    ):
        geokd.assess(class_map, points, "class")


@pytest.mark.parametrize("kind", ["points", "polygons"])
def test_exchanged_coordinates_are_found(class_map: Path, tmp_path: Path, kind: str) -> None:
    there = geopandas.GeoSeries([shapely.Point(UTM @ (3.5, 3.5))], crs="EPSG:32618").to_crs(4326)[0]
    swapped = shapely.Point(there.y, there.x)
    shape = swapped if kind == "points" else swapped.buffer(0.001)
    frame = geopandas.GeoDataFrame({"class": [NAMES[0]]}, geometry=[shape], crs="EPSG:4326")
    frame.to_file(tmp_path / "swapped.geojson")
    with pytest.raises(ChipError, match=f"none of the {kind} can be used.*latitude and longitude are exchanged"):
        geokd.assess(class_map, tmp_path / "swapped.geojson")


def test_another_place_is_named_with_that_of_the_map(class_map: Path, tmp_path: Path) -> None:
    frame = geopandas.GeoDataFrame({"class": [NAMES[0]]}, geometry=[shapely.Point(13.4, 52.5)], crs="EPSG:4326")
    frame.to_file(tmp_path / "berlin.geojson")
    with pytest.raises(
        ChipError, match=r"they lie in the box 13\.4000, 52\.5000, .*, the map in -75\..*check their"
    ) as e:
        geokd.assess(class_map, tmp_path / "berlin.geojson")
    assert "exchanged" not in str(e.value)


def test_coordinates_of_metres_taken_for_degrees_are_invalid(class_map: Path, tmp_path: Path) -> None:
    frame = geopandas.GeoDataFrame({"class": [NAMES[0]]}, geometry=[shapely.Point(439_700, 4_178_000)], crs="EPSG:4326")
    frame.to_file(tmp_path / "metres.gpkg")
    with pytest.raises(
        ChipError, match="are not valid in the coordinate reference system of the map: check theirs, and"
    ):
        geokd.assess(class_map, tmp_path / "metres.gpkg")


def test_polygons_at_a_pole_are_no_error(class_map: Path, tmp_path: Path) -> None:
    (left, top), (right, bottom) = UTM @ (2, 2), UTM @ (6, 6)
    there = geopandas.GeoSeries([shapely.box(left, bottom, right, top)], crs="EPSG:32618").to_crs(4326)[0]
    shapes = [there, shapely.box(30, 89.9, 31, 90), shapely.box(30, -90, 31, -89.9)]
    frame = geopandas.GeoDataFrame({"class": [NAMES[0], NAMES[1], NAMES[0]]}, geometry=shapes, crs="EPSG:4326")
    frame.to_file(tmp_path / "poles.gpkg")
    assert geokd.assess(class_map, tmp_path / "poles.gpkg").left_out["without_a_mapped_cell"] == 2


def test_points_that_contradict_each_other_are_counted(class_map: Path, tmp_path: Path) -> None:
    cells = [(3, 3, NAMES[0]), (3, 3, NAMES[1]), (4, 4, NAMES[0]), (4, 4, NAMES[0]), (5, 5, NAMES[0])]
    notes = geokd.assess(class_map, write_points(tmp_path / "p.gpkg", cells)).notes
    assert any(note.startswith("2 points lie in a cell with a point of another class") for note in notes)
    notes = geokd.assess(class_map, write_points(tmp_path / "q.gpkg", cells[2:])).notes
    assert not any("lie in a cell" in note for note in notes)


@pytest.mark.parametrize("texts", [("0", "1"), ("0.0", "1.0"), ("00", "01")])
def test_numbers_may_be_written_as_other_programs_do(class_map: Path, tmp_path: Path, texts: tuple[str, str]) -> None:
    cells = [(3, 3, texts[0]), (15, 5, texts[1])]
    found = geokd.assess(class_map, write_points(tmp_path / "p.gpkg", cells))
    assert found.reference.classes == dict(zip(texts, NAMES, strict=False))
    table = tmp_path / "match.csv"
    table.write_text(f"map_class,reference_class\n{NAMES[1]},10\n{NAMES[0]},7\n", encoding="utf-8")
    cells = [(3, 3, "07"), (15, 5, "10.0")]
    found = geokd.assess(class_map, write_points(tmp_path / "q.gpkg", cells), match=table)
    assert found.reference.classes == {"07": NAMES[0], "10.0": NAMES[1]}


def test_a_class_that_is_named_by_a_number_is_not_mistaken(tmp_path: Path) -> None:
    from geokd.assessment.matching import match_classes

    legend = Legend((LandUseClass(0, "a", "a", "000000"), LandUseClass(1, "00", "00", "FFFFFF")))
    assert match_classes(legend, ["00"]).of_reference == {"00": 1}
    assert np.array_equal(match_classes(legend, ["00", "a"]).of_map, [0, 1])
    zones = Legend(tuple(LandUseClass(k, str(k + 1), str(k + 1), "000000") for k in range(3)))
    found = match_classes(zones, ["01", "3.0"])
    assert found.of_reference == {"01": 0, "3.0": 2}
    assert not found.by_number
