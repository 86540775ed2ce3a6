"""STAC items: valid by the schemas, true of the files, readable by pystac and GDAL."""

import copy
import json
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import numpy as np
import pystac
import pytest
import rasterio
import shapely
from affine import Affine
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pystac.errors import STACValidationError
from pystac.extensions.classification import ClassificationExtension
from pystac.extensions.file import FileExtension
from pystac.extensions.mlm import MLMExtension
from pystac.extensions.projection import ProjectionExtension
from pystac.extensions.raster import RasterExtension
from pystac.validation import validate_dict
from pystac.validation.local_validator import get_local_schema_cache
from pystac.validation.stac_validator import JsonSchemaSTACValidator
from rasterio.crs import CRS

import geokd
from geokd.cli import main
from geokd.errors import CallError, SceneError
from geokd.mapping.options import ClassifyOptions
from geokd.maps.footprint import footprint
from geokd.maps.manifest import read_manifest
from geokd.maps.mosaic import MosaicOptions
from geokd.maps.names import OutputNames
from geokd.maps.stac import _KINDS, map_item
from geokd.maps.stac_links import derived_from, href, model_name
from geokd.scenes.acquisition import Acquisition, known_acquisition, stated_acquisition
from geokd.scenes.grid import SceneGrid
from tests.tiny import three_fields, write_scene

SCHEMAS = Path(__file__).with_name("stac_schemas")
UTM = Affine(160, 0, 439_680, 0, -160, 4_178_020)


@pytest.fixture(scope="module")
def validator() -> JsonSchemaSTACValidator:
    """pystac's own, which finds every schema here; of one that it did not find, it would say so."""
    made = JsonSchemaSTACValidator()
    made.schema_cache.update(get_local_schema_cache())
    for path in SCHEMAS.glob("*.json"):
        schema = json.loads(path.read_text(encoding="utf-8"))
        address = schema["$id"].removesuffix("#").replace("proj.org/en/latest/", "proj.org/")
        made.schema_cache[address] = schema
    return made


@pytest.fixture
def item_file(scene: Path, model: Path, tmp_path: Path) -> Path:
    options = ClassifyOptions(probabilities=True, report=True, min_confidence=0.4, acquired="2016-01-12T15:59:02Z")
    return geokd.classify(scene, model, tmp_path / "out", options).outputs["stac_item"]


def read(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text(encoding="utf-8")))


def check(item: dict[str, Any], validator: JsonSchemaSTACValidator) -> None:
    checked = validate_dict(item, validator=validator)
    assert {uri for uri in checked if "stac-extensions" in str(uri)} == set(item["stac_extensions"])


def file_of(reference: str, folder: Path) -> Path:
    return folder / unquote(urlsplit(reference).path)


def test_an_item_is_valid_and_true(
    item_file: Path, scene: Path, model: Path, validator: JsonSchemaSTACValidator
) -> None:
    item, folder = read(item_file), item_file.parent
    check(item, validator)
    assert (item["stac_version"], item["id"]) == ("1.1.0", "fields_landuse")
    assert {name for name in OutputNames._fields if not name.startswith(("source_", "date_"))} - {"stac_item"} == set(
        item["assets"]
    ) - {"model"}
    for asset in item["assets"].values():
        content = file_of(asset["href"], folder).read_bytes()
        assert asset["file:size"] == len(content)
        assert asset["file:checksum"] == f"1220{sha256(content).hexdigest()}"  # 12: SHA2-256, 20: 32 bytes of it
    assert [file_of(link["href"], folder) for link in item["links"]] == [scene]
    assert file_of(item["assets"]["model"]["href"], folder) == model
    assert item["properties"]["datetime"] == "2016-01-12T15:59:02Z"
    manifest = read(folder / "fields_landuse.json")
    assert item["properties"]["created"] == manifest["date"].replace("+00:00", "Z")
    assert item["properties"]["processing:software"]["geokd"] == manifest["versions"]["geokd"]

    classes = item["assets"]["class_raster"]["classification:classes"]
    names = ["value", "name", "title", "color_hint"]
    assert [{key: c[key] for key in names} for c in classes[:-1]] == manifest["legend"]
    assert [c["name"] for c in classes] == ["bare", "meadow", "lake", "unclassified", "not_mapped"]
    with rasterio.open(folder / "fields_landuse.tif") as raster:
        codes = raster.read(1)
        shape, bounds, transform = raster.shape, raster.bounds, raster.transform
    assert [c["count"] for c in classes] == [int((codes == c["value"]).sum()) for c in classes]
    assert [c.get("nodata") for c in classes] == [None, None, None, None, True]
    properties = item["properties"]
    assert (properties["proj:shape"], properties["proj:transform"]) == ([*shape], [*transform][:6])
    assert (properties["proj:bbox"], properties["proj:code"]) == ([*bounds], "EPSG:32618")
    with rasterio.open(folder / "fields_probabilities.tif") as raster:
        bands = item["assets"]["probability_raster"]["bands"]
        assert [band["description"] for band in bands] == [*raster.descriptions]
    for name in ("thumbnail", "quicklook"):
        with Image.open(folder / item["assets"][name]["href"]) as picture:
            assert item["assets"][name]["proj:shape"] == [picture.height, picture.width]
            assert max(picture.size) <= 600 or name == "quicklook"  # what STAC asks of thumbnails


BREAKS: dict[str, Any] = {
    "no datetime": lambda item: item["properties"].update(datetime=None),
    "geometry without bbox": lambda item: item.pop("bbox"),
    "classification": lambda item: item["assets"]["class_raster"]["classification:classes"][0].pop("name"),
    "colour": lambda item: item["assets"]["class_raster"]["classification:classes"][0].update(color_hint="#FFFFFF"),
    "proj": lambda item: item["properties"].update({"proj:shape": [1, 2, 3]}),
    "projjson": lambda item: item["properties"].update({"proj:projjson": {"type": "CRS"}}),
    "raster": lambda item: item["assets"]["class_raster"]["raster:bands"][0].update(data_type="byte"),
    "band": lambda item: item["assets"]["class_raster"].update(bands=[{"data_type": "byte"}]),
    "file": lambda item: item["assets"]["polygons"].update({"file:checksum": "AB"}),
    "processing": lambda item: item["properties"].update({"processing:software": "geokd"}),
    "mlm": lambda item: item["properties"].pop("mlm:input"),
    "name of the model": lambda item: item["properties"].update({"mlm:name": "école"}),
    "no model": lambda item: item["assets"].pop("model"),
    "bands of the model": lambda item: item["assets"]["model"].pop("raster:bands"),
}


def test_a_broken_item_is_not_valid(item_file: Path, validator: JsonSchemaSTACValidator) -> None:
    whole = read(item_file)
    check(whole, validator)
    noticed = {}
    for name, break_it in BREAKS.items():
        item = copy.deepcopy(whole)
        break_it(item)
        try:
            check(item, validator)
        except STACValidationError as error:
            noticed[name] = str(error)
    assert set(noticed) == set(BREAKS)


def test_pystac_finds_everything(item_file: Path, model: Path) -> None:
    item = pystac.Item.from_file(item_file)
    assert item.datetime is not None
    assert item.datetime.isoformat() == "2016-01-12T15:59:02+00:00"
    assert ProjectionExtension.ext(item).crs_string == "EPSG:32618"
    raster = item.assets["class_raster"]
    assert Path(raster.get_absolute_href() or "").is_file()
    assert [c.name for c in ClassificationExtension.ext(raster).classes or ()][:3] == ["bare", "meadow", "lake"]
    (band,) = RasterExtension.ext(raster).bands or []
    assert (band.nodata, band.data_type, band.spatial_resolution) == (255, "uint8", 40)
    assert [b.unit for b in RasterExtension.ext(item.assets["probability_raster"]).bands or ()] == ["%"] * 3
    assert MLMExtension.ext(item).mlm_name == "tiny"
    assert FileExtension.ext(item.assets["model"]).checksum == f"1220{sha256(model.read_bytes()).hexdigest()}"
    (thumbnail,) = item.get_assets(role="thumbnail").values()
    assert thumbnail.media_type == "image/png"


def test_gdal_opens_the_map_by_its_item(item_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(item_file.parent)  # GDAL takes relative references from the working directory
    with (
        rasterio.open(f'STACIT:"{item_file.name}":asset=class_raster') as by_item,
        rasterio.open(item_file.with_name("fields_landuse.tif")) as raster,
    ):
        assert (by_item.crs, by_item.transform, by_item.nodata) == (raster.crs, raster.transform, 255)
        assert np.array_equal(by_item.read(), raster.read())


def test_two_runs_differ_in_times_alone(scene: Path, model: Path, tmp_path: Path) -> None:
    items = []
    for name in ("one", "two"):
        item = read(geokd.classify(scene, model, tmp_path / name).outputs["stac_item"])
        for key in ("created", "updated", "datetime"):
            item["properties"].pop(key)
        for key in ("manifest", "polygons"):  # a GeoPackage tells when it was written
            item["assets"].pop(key)
        items.append(item)
    assert items[0] == items[1]


@pytest.mark.parametrize("name", ["plain", "b lank", "scène", "地図", "na#me", "100%", "qu'o\"te", "a:b", "q?", "नि"])
def test_references_are_references(name: str, model: Path, tmp_path: Path, validator: JsonSchemaSTACValidator) -> None:
    scene = write_scene(tmp_path / f"{name}.tif", three_fields(32, 48), photometric="RGB")
    item_file = geokd.classify(scene, model, tmp_path).outputs["stac_item"]
    item = read(item_file)
    check(item, validator)
    assert file_of(item["links"][0]["href"], tmp_path) == scene
    assert item["links"][0]["href"] == href(scene.name)  # it lies beside
    assert all(file_of(asset["href"], tmp_path).is_file() for asset in item["assets"].values())
    assert not set(item["assets"]["class_raster"]["href"]) & set(" \"'<>#?:")


def test_references_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a b.tif").touch()
    assert derived_from("a b.tif", tmp_path / "out") == {
        "rel": "derived_from",
        "href": f"{(tmp_path / 'a b.tif').as_uri()}",
        "type": "image/tiff; application=geotiff",
        "title": "a b.tif",
    }
    assert derived_from("a b.tif", tmp_path)["href"] == "a%20b.tif"
    assert derived_from("/vsicurl/https://x.org/a.tif", tmp_path)["href"] == "https://x.org/a.tif"
    assert derived_from("/vsis3/bucket/a.tif", tmp_path)["href"] == "s3://bucket/a.tif"
    assert derived_from(f"https://x.org/{'a' * 300}", tmp_path)["href"].startswith("https://x.org/aaa")


def test_of_every_output_it_is_known_what_it_is() -> None:
    assert set(_KINDS) == set(OutputNames._fields) - {"stac_item"}


@pytest.mark.parametrize("name", ["eurosat-rgb-maps", "école", "1st", "ab", "x", "", "_", "a.", "my model", "地図"])
def test_models_may_have_any_name(name: str, item_file: Path, validator: JsonSchemaSTACValidator) -> None:
    item = read(item_file)
    item["properties"]["mlm:name"] = model_name(name)
    check(item, validator)


# Grids, and where they lie: type of geometry, west, south, east, north.
PLACES: dict[str, tuple[SceneGrid, str, tuple[float, ...]]] = {
    "north up": (SceneGrid(UTM, 64, 64, CRS.from_epsg(32618)), "Polygon", (-75.6847, 37.6552, -75.5678, 37.7481)),
    "south up": (
        SceneGrid(Affine(160, 0, 439_680, 0, 160, 4_167_780), 64, 64, CRS.from_epsg(32618)),
        "Polygon",
        (-75.6847, 37.6552, -75.5678, 37.7481),
    ),
    "turned": (
        SceneGrid(Affine(100, 30, 439_680, 30, -100, 4_178_020), 64, 64, CRS.from_epsg(32618)),
        "Polygon",
        (-75.6847, 37.6899, -75.5899, 37.7652),
    ),
    "over the antimeridian": (
        SceneGrid(Affine(0.1, 0, 179, 0, -0.1, 10), 20, 30, CRS.from_epsg(4326)),
        "MultiPolygon",
        (179, 8, -178, 10),
    ),
    "beyond 180": (
        SceneGrid(Affine(0.1, 0, 200, 0, -0.1, 10), 20, 30, CRS.from_epsg(4326)),
        "Polygon",
        (-160, 8, -157, 10),
    ),
    "UTM over the antimeridian": (
        SceneGrid(Affine(160, 0, 160_000, 0, -160, 4_178_020), 640, 640, CRS.from_epsg(32601)),
        "MultiPolygon",
        (179.1445, 36.7654, -179.6630, 37.7186),
    ),
    "whole Earth": (
        SceneGrid(Affine(1, 0, -180, 0, -1, 90), 180, 360, CRS.from_epsg(4326)),
        "Polygon",
        (-180, -90, 180, 90),
    ),
    "a cell more than the Earth": (
        SceneGrid(Affine(1, 0, 0, 0, -1, 90), 181, 361, CRS.from_epsg(4326)),
        "Polygon",
        (-180, -90, 180, 90),
    ),
    "north pole": (
        SceneGrid(Affine(1000, 0, 1.5e6, 0, -1000, 2.5e6), 1000, 1000, CRS.from_epsg(32661)),
        "Polygon",
        (-180, 83.6373, 180, 90),
    ),
    "south pole": (
        SceneGrid(Affine(1000, 0, 1.5e6, 0, -1000, 2.5e6), 1000, 1000, CRS.from_epsg(32761)),
        "Polygon",
        (-180, -90, 180, -83.6373),
    ),
}


@pytest.mark.parametrize("name", PLACES)
def test_footprint(name: str) -> None:
    grid, kind, bbox = PLACES[name]
    found = footprint(grid)
    assert found is not None
    assert found.geometry["type"] == kind
    assert found.bbox == pytest.approx(bbox, abs=1e-4)
    shape = shapely.geometry.shape(found.geometry)
    assert shape.is_valid
    assert all(part.exterior.is_ccw for part in shapely.get_parts(shape))
    west, _, east, _ = shape.bounds
    assert west >= -180
    assert east <= 180


@given(st.integers(1, 60), st.floats(-80, 80), st.floats(-1e6, 1e6), st.floats(0, 360))
def test_footprints_hold_their_grid(zone: int, latitude: float, aside: float, turn: float) -> None:
    """Whatever its place and turn, the footprint holds the centres of the corner pixels and not those beyond."""
    crs = CRS.from_epsg(32600 + zone)
    transform = (
        Affine.translation(500_000 + aside, latitude * 111_000) @ Affine.rotation(turn) @ Affine.scale(100, -100)
    )
    found = footprint(SceneGrid(transform, 200, 300, crs))
    assert found is not None
    shape = shapely.geometry.shape(found.geometry)
    cols = np.array([0.5, 299.5, 299.5, 0.5, 150, -1, 301, 150])
    rows = np.array([0.5, 0.5, 199.5, 199.5, 100, 100, 100, 201])
    lon, lat = rasterio.warp.transform(crs, "OGC:CRS84", *(transform @ (cols, rows)))
    assert [shape.covers(shapely.Point(*place)) for place in zip(lon, lat, strict=True)] == [True] * 5 + [False] * 3


@pytest.mark.parametrize("crs", [None, 'LOCAL_CS["hall",UNIT["metre",1]]', "IAU_2015:49900", "+proj=ortho"])
def test_what_lies_nowhere_has_no_footprint(crs: str | None) -> None:
    grid = SceneGrid(Affine(1e6, 0, -1e7, 0, -1e6, 1e7), 20, 20, None if crs is None else CRS.from_user_input(crs))
    assert footprint(grid) is None


@pytest.mark.parametrize("crs", [None, "+proj=laea +lat_0=37 +lon_0=-75 +ellps=GRS80", "EPSG:4326", "ESRI:102003"])
def test_items_of_any_system(crs: str | None, item_file: Path, validator: JsonSchemaSTACValidator) -> None:
    manifest = read_manifest(item_file.with_name("fields_landuse.json"))
    grid = SceneGrid(Affine(0.01, 0, -76, 0, -0.01, 38), 10, 20, None if crs is None else CRS.from_user_input(crs))
    item = map_item(manifest, grid, [], {}, item_file.parent)
    check(item, validator)
    properties = item["properties"]
    assert (item["geometry"] is None, "bbox" in item) == (crs is None, crs is not None)
    assert properties["proj:code"] == (None if crs is None or crs.startswith("+") else crs)
    assert ("proj:projjson" in properties) == (crs is not None and crs.startswith("+"))
    if crs is not None:
        assert CRS.from_wkt(properties["proj:wkt2"]) == grid.crs


# What tells when a scene was taken, and what it tells.
TOLD: list[tuple[str, dict[str, str], str | None]] = [
    ("a.tif", {}, None),
    ("a.tif", {"ACQUISITION_DATETIME": "2016-01-12T16:59:02+01:00"}, "2016-01-12T15:59:02Z"),
    ("a.tif", {"acquisition_datetime": "2016-01-12 15:59:02.5"}, "2016-01-12T15:59:02Z"),
    ("a.tif", {"DATE_ACQUIRED": "2016-01-12"}, "2016-01-12T00:00:00Z to 2016-01-12T23:59:59Z"),
    (
        "a.tif",
        {"PRODUCT_START_TIME": "2016-01-12T15:59:02.000Z", "PRODUCT_STOP_TIME": "2016-01-12T16:00:00Z"},
        "2016-01-12T15:59:02Z to 2016-01-12T16:00:00Z",
    ),
    ("a.tif", {"TIFFTAG_DATETIME": "2016:01:12 15:59:02"}, "2016-01-12T15:59:02Z"),
    ("a.tif", {"TIFFTAG_DATETIME": "0000:00:00 00:00:00"}, None),
    ("a.tif", {"DATETIME": "0001-01-01T00:00:00"}, None),
    ("a.tif", {"DATETIME": "9999-12-31T23:59:59-12:00"}, None),
    ("a.tif", {"DATETIME": "12.01.2016"}, None),
    ("a.tif", {"ACQUISITION_DATE": "not kept, 2015 or 2016"}, None),
    ("a.tif", {"ACQUISITION_DATE": "winter", "DATETIME": "2016-01-12"}, "2016-01-12T00:00:00Z to 2016-01-12T23:59:59Z"),
    ("S2A_MSIL1C_20160112T155902_N0201_R097_T18SVG_20160112T155904.tif", {}, "2016-01-12T15:59:02Z"),
    ("x/S2C_MSIL2A_20260112T155902_N0511_R097_T18SVG_20260112T2.SAFE/GRANULE/a.jp2", {}, "2026-01-12T15:59:02Z"),
    ("T18SVG_20160112T155902_TCI_10m.jp2", {"TIFFTAG_DATETIME": "2020:01:01 00:00:00"}, "2016-01-12T15:59:02Z"),
    ("S2A_18SVG_20160112_0_L2A.tif", {}, "2016-01-12T00:00:00Z to 2016-01-12T23:59:59Z"),
    ("LC08_L1TP_014034_20160112_20170405_01_T1_B4.TIF", {}, "2016-01-12T00:00:00Z to 2016-01-12T23:59:59Z"),
    ("S2A_MSIL1C_20161312T155902_N0201.tif", {}, None),
    ("flight_20160112_155902.tif", {}, None),
]


@pytest.mark.parametrize(("path", "tags", "told"), TOLD)
def test_when_a_scene_was_taken(path: str, tags: dict[str, str], told: str | None) -> None:
    found = known_acquisition(path, tags)
    assert (None if found is None else str(found)) == told
    assert found is None or Acquisition.from_json(found.to_json()) == found


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("2016-01-12", "2016-01-12T00:00:00Z to 2016-01-12T23:59:59Z"),
        ("2016-01-12T15:59Z", "2016-01-12T15:59:00Z"),
        ("2016-01-12/2016-02-01", "2016-01-12T00:00:00Z to 2016-02-01T23:59:59Z"),
    ],
)
def test_when_a_user_says_it_was_taken(text: str, told: str) -> None:
    assert str(stated_acquisition(text)) == told


@pytest.mark.parametrize("text", ["", "yesterday", "2016", "2016-13-01", "2016-02-01/2016-01-12", "2016-01-12/x", "/"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(CallError, match="acquisition date"):
        ClassifyOptions(acquired=text)


def test_unknown_times_are_said(scene: Path, model: Path, tmp_path: Path, validator: JsonSchemaSTACValidator) -> None:
    arguments = ["classify", str(scene), "-m", str(model), "-o", str(tmp_path)]
    said = CliRunner().invoke(main, arguments)
    assert said.exit_code == 0, said.stderr
    assert said.stderr.count("--acquired") == 1
    item, manifest = read(tmp_path / "fields_landuse.stac.json"), read(tmp_path / "fields_landuse.json")
    assert manifest["acquired"] is None
    assert item["properties"]["datetime"] == item["properties"]["created"]
    assert sum("--acquired" in note for note in manifest["notes"]) == 1
    check(item, validator)

    refused = CliRunner().invoke(main, [*arguments, "--acquired", "2016-01-12", "--resume"])
    assert refused.exit_code == 2, "an item of another time is not what was asked for"
    said = CliRunner().invoke(main, [*arguments, "--acquired", "2016-01-12", "--overwrite"])
    assert (said.exit_code, said.stderr.count("--acquired")) == (0, 1), said.stderr
    item = read(tmp_path / "fields_landuse.stac.json")
    times = [item["properties"][key] for key in ("datetime", "start_datetime", "end_datetime")]
    assert times == [None, "2016-01-12T00:00:00Z", "2016-01-12T23:59:59Z"]
    check(item, validator)


def test_a_mosaic_leads_to_its_maps(model: Path, tmp_path: Path, validator: JsonSchemaSTACValidator) -> None:
    maps = []
    for number, acquired in enumerate(("2016-01-12T15:59:02Z", "2016-02-01"), 1):
        transform = Affine(10, 0, 4e5 + 640 * number, 0, -10, 4.2e6)
        scene = write_scene(tmp_path / f"{number}.tif", three_fields(64, 96), photometric="RGB", transform=transform)
        options = ClassifyOptions(acquired=acquired, stride_px=16)
        maps.append(geokd.classify(scene, model, tmp_path / "maps", options).outputs["class_raster"])
    joined = geokd.mosaic(maps, tmp_path / "maps" / "both_landuse.tif", MosaicOptions(sources=True))
    item = read(tmp_path / "maps" / joined.outputs["stac_item"])
    check(item, validator)
    assert [(link["href"], link["mlm:name"]) for link in item["links"]] == [
        ("1_landuse.stac.json", "tiny"),
        ("2_landuse.stac.json", "tiny"),
    ]
    times = [item["properties"][key] for key in ("datetime", "start_datetime", "end_datetime")]
    assert times == [None, "2016-01-12T15:59:02Z", "2016-02-01T23:59:59Z"]
    assert set(item["assets"]) == set(joined.outputs) - {"stac_item"}
    sources = item["assets"]["source_raster"]["classification:classes"]
    with rasterio.open(tmp_path / "maps" / "both_sources.tif") as raster:
        numbers = raster.read(1)
    assert [c["title"] for c in sources] == ["1_landuse.tif", "2_landuse.tif", "Not mapped"]
    assert [c["count"] for c in sources] == [int((numbers == c["value"]).sum()) for c in sources]

    maps[1].with_name("2_landuse.stac.json").unlink()
    manifest = read(maps[1].with_name("2_landuse.json"))
    maps[1].with_name("2_landuse.json").write_text(json.dumps(manifest | {"acquired": {"start": "winter"}}))
    with pytest.raises(SceneError, match="acquired.start: invalid RFC3339"):
        geokd.mosaic(maps, tmp_path / "else" / "both_landuse.tif")
    del manifest["acquired"]
    maps[1].with_name("2_landuse.json").write_text(json.dumps(manifest))
    joined = geokd.mosaic(maps, tmp_path / "else" / "both_landuse.tif")
    item = read(tmp_path / "else" / joined.outputs["stac_item"])
    check(item, validator)
    assert item["links"][1]["href"] == maps[1].as_uri()
    assert item["properties"]["datetime"] == item["properties"]["created"]


def test_an_item_of_a_dense_student_is_valid(
    scene: Path, dense_model: Path, tmp_path: Path, validator: JsonSchemaSTACValidator
) -> None:
    made = geokd.classify(scene, dense_model, tmp_path, geokd.ClassifyOptions(polygons=False, probabilities=True))
    item = json.loads(made.outputs["stac_item"].read_text(encoding="utf-8"))
    check(item, validator)
    assert item["properties"]["mlm:output"][0]["result"]["dim_order"] == ["batch", "class", "height", "width"]
    assert "polygons" not in item["assets"]
