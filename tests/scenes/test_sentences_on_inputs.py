"""Sentences of docs/inputs.md that no other test asserts."""

import json
import shutil
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pandas
import pyogrio
import pytest
import rasterio
import shapely
from affine import Affine
from click.testing import CliRunner
from numpy.typing import NDArray
from rasterio.windows import Window

from geokd.cli import main
from geokd.errors import GeokdError, SceneError
from geokd.mapping.classify import classify
from geokd.mapping.options import ClassifyOptions
from geokd.maps.map_file import category_names
from geokd.model.contract import InputContract, ValueScaling
from geokd.scenes.area import read_area
from geokd.scenes.options import AreaOptions, SceneOptions
from geokd.scenes.plan import ScenePlan
from geokd.scenes.reader import describe_scene, plan_scene, read_values, read_window
from geokd.training.dense.sources import read_sources
from tests.products import (
    land,
    landsat_dn,
    plain_scene,
    transform_of,
    write_band,
    write_item,
    write_landsat,
    write_safe,
)
from tests.tiny import three_fields, tiny_bundle, write_scene

pytest.importorskip("onnx", reason="needs the extra geokd[train]")

RGB = ("B04", "B03", "B02")
COLOURS = ("red", "green", "blue")
CONTRACT = InputContract(RGB, 16, 10.0, ValueScaling())
BOX = "-76.137,37.938,-76.130,37.944"  # within plain_scene()
LANDSAT = "LC08_L2SP_014034_20220726_20220801_02_T1_clip.tif"
GRADIENT: NDArray[np.uint16] = (np.full((3, 50, 50), 2000) + np.arange(50)).astype(np.uint16)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "tiny.onnx"
    path.write_bytes(tiny_bundle().onnx_bytes)
    return path


def planned(scene: Path | str, resample: float | None = None, **options: Any) -> ScenePlan:
    return plan_scene(describe_scene(scene, resample, options.get("nodata")), CONTRACT, SceneOptions(**options))


def valid_of(plan: ScenePlan) -> NDArray[np.bool_]:
    return read_window(plan, Window(0, 0, plan.grid.width, plan.grid.height))[1]


def meaning(plan: ScenePlan) -> tuple[float, float]:
    """Scale and offset, which are the same in all bands."""
    ((scale,), (offset,)) = set(plan.value_scales), set(plan.value_offsets)
    return scale, offset


def tagged(path: Path, scale: float, offset: float = 0.0) -> Path:
    with rasterio.open(path, "r+") as raster:
        raster.scales, raster.offsets = (scale,) * raster.count, (offset,) * raster.count
    return path


def renamed(product: Path, old: str, new: str) -> Path:
    """Give another name to a Landsat product, its files, and what its metadata say of them."""
    made = product.rename(product.with_name(product.name.replace(old, new)))
    for file in list(made.iterdir()):
        file.rename(file.with_name(file.name.replace(old, new)))
    (metadata,) = made.glob("*_MTL.txt")
    metadata.write_text(metadata.read_text().replace(old, new))
    return made


# ---- Scenes as you have them


def test_choices_for_a_product_are_printed_and_stored(tmp_path: Path, model: Path) -> None:
    product = write_safe(tmp_path, "2A", "04.00", land(), np.full((48, 48), 4, np.uint8))
    call = ["classify", str(product), "--mask", "scl", "-m", str(model), "-o", str(tmp_path / "maps"), "--no-polygons"]
    done = CliRunner().invoke(main, call)
    assert done.exit_code == 0, done.output
    notes = json.loads((tmp_path / "maps" / f"{product.stem}_landuse.json").read_text())["notes"]
    assert not [note for note in notes if note not in done.stderr]
    for words in ("DN x 1 - 1000, from MTD_MSIL2A.xml", "the mask scl is 0 (no data)", "by their descriptions"):
        assert words in " ".join(notes)


def test_quantification_is_read_from_the_metadata(tmp_path: Path) -> None:
    product = write_safe(tmp_path, "2A", "04.00", {name: land()[name] for name in RGB})
    metadata = product / "MTD_MSIL2A.xml"
    metadata.write_text(metadata.read_text().replace(">10000<", ">5000<"))
    assert meaning(planned(product)) == pytest.approx((2, -2000))


# ---- Kinds of scenes


@pytest.mark.parametrize(("satellite", "prefix"), [(4, "LT04"), (7, "LE07"), (9, "LC09")])
def test_landsat_4_7_and_9_are_known(tmp_path: Path, satellite: int, prefix: str) -> None:
    product = write_landsat(tmp_path, 2, landsat_dn(2), 10, satellite)
    plan = planned(renamed(product, product.name[:4], prefix) if product.name[:4] != prefix else product)
    assert meaning(plan) == pytest.approx((0.275, -2000))
    assert plan.bidx == (3, 2, 1)
    assert f"Landsat {satellite} product, Collection 2 level 2" in plan.notes[0]


def test_a_landsat_product_of_mss_is_refused_for_its_missing_blue(tmp_path: Path) -> None:
    """Landsat 4 and 5 also carried MSS, whose products of level 1 are part of Collection 2."""
    product = renamed(write_landsat(tmp_path, 1, landsat_dn(1), 10, 5), "LT05", "LM05")
    (metadata,) = product.glob("*_MTL.txt")
    text = metadata.read_text()
    metadata.write_text(text.replace("    WRS_PATH", '    SENSOR_ID = "MSS"\n    WRS_PATH'))
    with pytest.raises(SceneError, match="Landsat product of the sensor MSS, which has no blue band; use one of TM"):
        planned(product)


@pytest.mark.parametrize("name", ["my_scene_{}.tif", "{}.tif", "my-{}.TIF"])
def test_bands_of_a_folder_are_found_by_their_colours(tmp_path: Path, name: str) -> None:
    for band, colour in zip(RGB, COLOURS, strict=True):
        write_band(tmp_path / "in" / name.format(colour), land()[band], 10)
    plan = planned(tmp_path / "in")
    values, _ = read_values(plan, Window(0, 0, 96, 96), plan.bidx)
    np.testing.assert_array_equal(values, np.stack([land()[band] for band in RGB]))


def test_bands_of_a_landsat_folder_without_metadata(tmp_path: Path) -> None:
    product = write_landsat(tmp_path, 2, landsat_dn(2), 10)
    next(product.glob("*_MTL.txt")).unlink()
    plan = planned(product)
    assert meaning(plan) == pytest.approx((0.275, -2000))
    values, _ = read_values(plan, Window(0, 0, 64, 64), plan.bidx)
    np.testing.assert_array_equal(values, np.stack([landsat_dn(2)[colour] for colour in COLOURS]))


def test_qa_pixel_of_a_landsat_folder_without_metadata(tmp_path: Path) -> None:
    product = write_landsat(tmp_path, 2, landsat_dn(2), 10)
    next(product.glob("*_MTL.txt")).unlink()
    assert not valid_of(planned(product, mask="qa_pixel"))[30:40, 30:40].any()


class Quiet(SimpleHTTPRequestHandler):
    """Serves files."""

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path))) as serving:
        threading.Thread(target=partial(serving.serve_forever, 0.01), daemon=True).start()
        yield f"http://127.0.0.1:{serving.server_address[1]}"
        serving.shutdown()


def test_a_collection_of_items_is_read_from_its_url(tmp_path: Path, server: str) -> None:
    items = []
    for number in range(2):
        assets = {}
        for band, colour in zip(RGB, COLOURS, strict=True):
            half = land()[band][:, 48 * number : 48 * (number + 1)]
            path = write_band(tmp_path / f"{number}_{band}.tif", half, 10, 48 * number)
            assets[colour] = {"href": path.as_uri(), "type": "image/tiff"}
        items.append(json.loads(write_item(tmp_path, assets, f"item{number}").read_text()))
    (tmp_path / "day.json").write_text(json.dumps({"type": "FeatureCollection", "features": items}))
    info = describe_scene(f"{server}/day.json")
    assert (info.name, info.grid.height, info.grid.width) == ("day", 96, 96)
    with rasterio.open(info.raster) as raster:
        np.testing.assert_array_equal(raster.read(1), land()["B04"])


def test_bands_of_60_m_are_resampled_bilinearly(tmp_path: Path) -> None:
    bands = land()
    info = describe_scene(write_safe(tmp_path, "2A", "02.14", bands))
    with rasterio.open(info.raster) as raster:
        found = raster.read(info.descriptions.index("B09") + 1)
    middles = np.clip((np.arange(96) + 0.5) / 6 - 0.5, 0, 15)
    before = np.minimum(middles.astype(int), 14)
    weights = np.zeros((96, 16))
    weights[np.arange(96), before], weights[np.arange(96), before + 1] = 1 - middles + before, middles - before
    assert np.abs(found - weights @ bands["B09"] @ weights.T).max() <= 0.51


def test_pixels_of_bands_that_are_not_needed_are_not_read(tmp_path: Path, model: Path) -> None:
    for band in (*RGB, "B08"):
        path = write_band(tmp_path / "in" / f"a_{band}.tif", land()[band], 10)
    path.write_bytes(path.read_bytes()[:2000])  # the header of B08 is whole
    with rasterio.open(path) as raster, pytest.raises(rasterio.errors.RasterioIOError):
        raster.read(1)
    made = classify(tmp_path / "in", model, tmp_path / "out", ClassifyOptions(workers=1, polygons=False))
    assert (made.class_map.codes != 255).any()


# ---- Scale and offset


def test_options_go_before_metadata_of_products(tmp_path: Path) -> None:
    product = write_landsat(tmp_path, 2, landsat_dn(2), 10)
    assert meaning(planned(product, value_scale=2, value_offset=-7)) == (2, -7)


def test_metadata_of_a_landsat_product_go_before_tags_of_its_files(tmp_path: Path) -> None:
    product = write_landsat(tmp_path, 2, landsat_dn(2), 10)
    for file in product.glob("*_SR_B*.TIF"):
        tagged(file, 7, 3)
    assert meaning(planned(product)) == pytest.approx((0.275, -2000))


def test_raster_bands_of_an_item_go_before_tags_of_its_files(tmp_path: Path) -> None:
    told = [{"scale": 1e-4, "offset": -0.1}]
    assets = {}
    for band, colour in zip(RGB, COLOURS, strict=True):
        path = tagged(write_band(tmp_path / f"{band}.tif", land()[band], 10), 7, 3)
        assets[colour] = {"href": path.name, "type": "image/tiff", "raster:bands": told}
    assert meaning(planned(write_item(tmp_path, assets))) == pytest.approx((1, -1000))


def test_scale_tags_of_8_bit_files_are_used(tmp_path: Path) -> None:
    plan = planned(tagged(write_scene(tmp_path / "a.tif", three_fields(50, 50), COLOURS), 1e-3))
    assert meaning(plan) == pytest.approx((10, 0))
    assert plan.scaling == CONTRACT.value_scaling


@pytest.mark.parametrize(("baseline", "offset"), [("02.14", 0), ("03.01", 0), ("04.00", -1000), ("05.11", -1000)])
@pytest.mark.parametrize("where", ["tag", "name"])
def test_the_baseline_gives_the_offset(tmp_path: Path, baseline: str, offset: float, where: str) -> None:
    number = baseline.replace(".", "")
    stem = f"S2B_MSIL2A_20220726T154819_N{number}_R054_T18SVG_20220726T201530_clip"
    scene = write_scene(tmp_path / f"{stem if where == 'name' else 'a'}.tif", GRADIENT, RGB)
    if where == "tag":
        with rasterio.open(scene, "r+") as raster:
            raster.update_tags(PROCESSING_BASELINE=baseline)
    assert meaning(planned(scene)) == (1, offset)


def test_a_landsat_name_gives_scale_and_offset_unless_there_is_a_baseline(tmp_path: Path) -> None:
    scene = write_scene(tmp_path / LANDSAT, GRADIENT * 5, RGB)
    assert meaning(planned(scene)) == pytest.approx((0.275, -2000))
    with rasterio.open(scene, "r+") as raster:
        raster.update_tags(PROCESSING_BASELINE="04.00")
    assert meaning(planned(scene)) == (1, -1000)


# ---- Nodata and masks


def test_each_band_of_a_file_has_its_own_nodata_value(tmp_path: Path) -> None:
    values = np.full((3, 20, 20), 900, np.uint16)
    values[0, :5], values[1, 5:8], values[2, 8:10] = 11, 12, 11
    source = write_scene(tmp_path / "a.tif", values)
    bands = "".join(
        f'<VRTRasterBand dataType="UInt16" band="{number}"><Description>{name}</Description>'
        f"<NoDataValue>{10 + number}</NoDataValue><SimpleSource><SourceFilename>{source}</SourceFilename>"
        f"<SourceBand>{number}</SourceBand></SimpleSource></VRTRasterBand>"
        for number, name in enumerate(RGB, 1)
    )
    (tmp_path / "a.vrt").write_text(
        '<VRTDataset rasterXSize="20" rasterYSize="20"><SRS>EPSG:32618</SRS>'
        f"<GeoTransform>400000, 10, 0, 4200000, 0, -10</GeoTransform>{bands}</VRTDataset>"
    )
    assert (~valid_of(planned(tmp_path / "a.vrt"))).any(axis=1).tolist() == [True] * 8 + [False] * 12


def test_a_mask_may_have_finer_pixels(tmp_path: Path) -> None:
    mask = np.zeros((192, 192), np.uint8)
    mask[:, :96] = 1
    scene = plain_scene(tmp_path / "a.tif", land(), *RGB)
    valid = valid_of(planned(scene, mask=str(write_band(tmp_path / "clouds.tif", mask, 5))))
    assert valid[0].tolist() == [False] * 48 + [True] * 48


# ---- An area of interest


@pytest.mark.parametrize(
    ("ending", "driver", "crs"),
    [
        ("kml", "KML", 4326),
        ("gml", "GML", 32618),
        ("fgb", "FlatGeobuf", 3857),
        ("sqlite", "SQLite", 32618),
        ("shp", "ESRI Shapefile", 2264),  # feet
        ("zip", "ESRI Shapefile", 32618),
    ],
)
def test_an_area_is_read_from_many_formats(tmp_path: Path, ending: str, driver: str, crs: int) -> None:
    box = shapely.box(400_000, 4_199_500, 400_500, 4_199_900)
    frame = geopandas.GeoDataFrame({"name": ["x"]}, geometry=[box], crs=32618).to_crs(crs)
    path = tmp_path / f"area.{ending}"
    if ending == "zip":
        (tmp_path / "in").mkdir()
        frame.to_file(tmp_path / "in" / "area.shp", driver=driver)
        shutil.make_archive(str(tmp_path / "area"), "zip", tmp_path / "in")
    else:
        frame.to_file(path, driver=driver)
    scene = describe_scene(plain_scene(tmp_path / "a.tif", land(), *RGB))
    area = read_area(AreaOptions(aoi=str(path)), scene.grid, "a.tif")
    assert area is not None
    assert area.geometry.symmetric_difference(box).area < 1e-3 * box.area


@pytest.mark.parametrize("by", ["--bbox", "--aoi"])
@pytest.mark.parametrize("command", ["info", "robustness", "tile"])
def test_commands_on_scenes_have_the_options_of_areas(tmp_path: Path, model: Path, command: str, by: str) -> None:
    scene = plain_scene(tmp_path / "a.tif", land(), *RGB)
    area = ["--bbox", BOX]
    if by == "--aoi":
        shapes = [shapely.box(*map(float, BOX.split(","))), shapely.box(0, 0, 1, 1)]
        frame = geopandas.GeoDataFrame({"name": ["here", "there"]}, geometry=shapes, crs=4326)
        frame.to_file(tmp_path / "areas.gpkg", layer="districts")
        area = ["--aoi", f"{tmp_path / 'areas.gpkg'}:districts", "--where", "name = 'here'"]
    further = {
        "info": ["-m", str(model)],
        "robustness": ["-m", str(model), "-o", str(tmp_path / "out"), "--shift", "haze"],
        "tile": ["-o", str(tmp_path / "out"), "--patch", "16"],
    }
    done = CliRunner().invoke(main, [command, str(scene), *area, *further[command], "--json"])
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    if command == "tile":
        assert told["left_out"]["outside_area"] == 30
    else:
        assert "only cells whose centres lie within" in json.dumps(told)
    if command == "info":
        assert told["mapping"]["map"]["cells"] == 12 * 16


def test_inside_an_area_the_map_is_that_of_the_whole_scene(tmp_path: Path, model: Path) -> None:
    random = np.random.default_rng(3)
    fields = np.kron(random.integers(200, 2500, (3, 15, 15)), np.ones((10, 10)))
    values = (fields * random.normal(1, 0.2, (3, 150, 150))).clip(1, 9000).astype(np.uint16)
    scene = write_scene(tmp_path / "a.tif", values, RGB)
    box = shapely.box(400_320, 4_199_040, 400_800, 4_199_680)  # whole cells of 40 m: 8..23 down, 8..19 across
    geopandas.GeoDataFrame(geometry=[box], crs=32618).to_file(tmp_path / "area.gpkg")
    maps = [
        classify(
            scene, model, tmp_path / str(aoi is None), ClassifyOptions(workers=1, polygons=False, aoi=aoi)
        ).class_map
        for aoi in (None, str(tmp_path / "area.gpkg"))
    ]
    np.testing.assert_array_equal(maps[0].codes[8:24, 8:20], maps[1].codes)


# ---- Other pixel sizes


def test_resampling_is_bilinear(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(500, 3000, (3, 20, 20)).astype(np.uint16)
    scene = write_scene(tmp_path / "a.tif", values, RGB, transform=transform_of(30))
    with rasterio.open(describe_scene(scene, 10).raster) as raster:
        found = raster.read(1)
    middles = np.clip((np.arange(60) + 0.5) / 3 - 0.5, 0, 19)
    before = np.minimum(middles.astype(int), 18)
    weights = np.zeros((60, 20))
    weights[np.arange(60), before], weights[np.arange(60), before + 1] = 1 - middles + before, middles - before
    assert np.abs(found - weights @ values[0] @ weights.T).max() <= 0.51


@pytest.mark.parametrize("size", [7.99, 12.01])
def test_pixels_that_differ_by_more_than_a_fifth_are_refused(tmp_path: Path, size: float) -> None:
    scene = write_scene(tmp_path / "a.tif", GRADIENT, RGB, transform=Affine(size, 0, 4e5, 0, -size, 4.2e6))
    with pytest.raises(GeokdError, match="--resample 10"):
        planned(scene)


def test_a_hole_keeps_its_size_when_resampled(tmp_path: Path) -> None:
    """Of 30 m pixels with a nodata value, all pixels of 10 m whose centres lie in them should stay missing."""
    values = np.full((3, 60, 60), 900, np.int16)
    values[:, 20:30, 20:30] = -9999
    scene = write_scene(tmp_path / "a.tif", values, RGB, nodata=-9999, transform=transform_of(30))
    assert (~valid_of(planned(scene, 10))).sum() == 900


@pytest.mark.parametrize(("baseline", "resample"), [("02.14", None), ("05.11", None), ("02.14", 12), ("05.11", 12)])
def test_fill_of_coarser_bands_of_a_product_is_not_mixed_in(
    tmp_path: Path, baseline: str, resample: float | None
) -> None:
    """All that was seen has one value; nothing was seen in a corner of 240 m."""
    bands = {name: np.full_like(land()[name], 2000) for name in ("B04", "B11")}
    info = describe_scene(write_safe(tmp_path, "2A", baseline, bands, corner=True), resample)
    plan = plan_scene(info, InputContract(("B04", "B11"), 16, 10.0, ValueScaling()))
    values, valid = read_values(plan, Window(0, 0, plan.grid.width, plan.grid.height), plan.bidx)
    assert len(np.unique(values[1][valid])) == 1


# ---- Names and places


@pytest.mark.parametrize("name", ["scene.tif", "item.json"])
def test_user_and_password_are_in_no_message(tmp_path: Path, model: Path, name: str) -> None:
    address = f"http://user:SECRET@127.0.0.1:9/{name}"
    bands = ["--bands", f"red={address},green={address},blue={address}"]
    for scene in ([address], bands) if name == "scene.tif" else ([address],):
        done = CliRunner().invoke(main, ["classify", *scene, "-m", str(model), "-o", str(tmp_path / "out"), "-v"])
        assert done.exit_code == 1
        assert name in done.output
        assert "SECRET" not in done.output
        assert "user" not in done.output


def test_pending_changes_of_a_geopackage_are_read_where_it_may_be_written(tmp_path: Path) -> None:
    path = tmp_path / "open.gpkg"
    box = shapely.box(400_000, 4_199_500, 400_500, 4_199_900)
    geopandas.GeoDataFrame({"name": ["before"]}, geometry=[box], crs=32618).to_file(path)
    copies = tmp_path / "copies"
    copies.mkdir()
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA journal_mode=wal")
        for (trigger,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            database.execute(f'DROP TRIGGER "{trigger}"')
        database.execute("UPDATE open SET name = 'after'")
        database.commit()
        for kind in ("", "-wal"):
            shutil.copy(f"{path}{kind}", copies / f"open.gpkg{kind}")
    scene = describe_scene(plain_scene(tmp_path / "a.tif", land(), *RGB))
    assert read_area(AreaOptions(aoi=str(copies / "open.gpkg"), where="name = 'after'"), scene.grid, "a.tif")


@pytest.mark.parametrize("mark", [",", ";", "\t"])
def test_splits_and_lists_of_scenes_may_be_separated_by_any_mark(tmp_path: Path, mark: str) -> None:
    pytest.importorskip("torch", reason="needs the extra geokd[train]")
    from geokd.training.data.split import listed_split

    rows = ["file,region", "sea/a.jpg,train", "sea/b.jpg,val", "land/a.jpg,val", "land/b.jpg,train"]
    (tmp_path / "split.csv").write_text("\n".join(rows).replace(",", mark))
    files = ["x/land/a.jpg", "x/land/b.jpg", "x/sea/a.jpg", "x/sea/b.jpg"]
    training, validation = listed_split(files, tmp_path / "split.csv", ("train",), ("val",))
    assert (training.tolist(), validation.tolist()) == ([1, 2], [0, 3])
    write_scene(tmp_path / "scene.tif", GRADIENT)
    write_scene(tmp_path / "codes.tif", np.ones((1, 50, 50), np.uint8))
    listed = "scene,labels,kind,share\nscene.tif,codes.tif,codes,0.5\n"
    (tmp_path / "scenes.csv").write_text(listed.replace(",", mark))
    (source,) = read_sources(tmp_path / "scenes.csv")
    assert source.share == 0.5


@pytest.mark.parametrize("value", ["1", "x", None])
def test_names_of_values_are_read_from_a_vat_dbf(tmp_path: Path, value: str | None) -> None:
    """Rows whose value is no number, or missing, have no name to give."""
    write_scene(tmp_path / "a.tif", np.ones((1, 8, 8), np.uint8))
    table = pandas.DataFrame({"VALUE": ["2", value], "CLASS_NAME": ["Wood", "Sea"]})
    if value != "x":
        table["VALUE"] = table["VALUE"].astype(float)
    pyogrio.write_dataframe(table, tmp_path / "x.dbf", driver="ESRI Shapefile")
    (tmp_path / "x.dbf").rename(tmp_path / "a.tif.vat.dbf")
    expected = {2: "Wood"} | ({1: "Sea"} if value == "1" else {})
    assert category_names(tmp_path / "a.tif") == expected
