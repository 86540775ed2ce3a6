"""Landsat products, band files and STAC items give the map of a plain GeoTIFF of the same reflectance."""

import json
import shutil
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from numpy.typing import NDArray
from rasterio.windows import Window

from geokd.errors import CallError, SceneError
from geokd.mapping.classify import classify
from geokd.mapping.options import ClassifyOptions
from geokd.mapping.scene_run import ClassifyResult
from geokd.maps.manifest import read_manifest
from geokd.model.contract import InputContract, ValueScaling
from geokd.scenes.bands import find_band
from geokd.scenes.options import SceneOptions
from geokd.scenes.products.stac import _of_item
from geokd.scenes.reader import describe_scene, plan_scene, read_window
from tests.products import (
    SUN_DEGREES,
    land,
    landsat_dn,
    plain_scene,
    tarred,
    transform_of,
    with_offset,
    write_band,
    write_item,
    write_landsat,
)
from tests.tiny import dense_bundle, tiny_bundle, write_scene

pytest.importorskip("onnx", reason="needs the extra geokd[train]")

RGB = ("B04", "B03", "B02")
COLOURS = dict(zip(RGB, ("red", "green", "blue"), strict=True))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "tiny.onnx"
    path.write_bytes(tiny_bundle().onnx_bytes)
    return path


def mapped(scene: Path | str, model: Path, folder: Path, **options: Any) -> ClassifyResult:
    return classify(scene, model, folder, ClassifyOptions(workers=1, polygons=False, **options))


def same_map(made: ClassifyResult, plain: ClassifyResult) -> bool:
    """Whether two maps agree byte for byte."""
    return (
        made.class_map.codes.tobytes() == plain.class_map.codes.tobytes()
        and made.class_map.confidence.tobytes() == plain.class_map.confidence.tobytes()
        and made.class_map.grid == plain.class_map.grid
    )


# ---- Landsat


@pytest.mark.parametrize("form", ["folder", "tar", "metadata"])
@pytest.mark.parametrize("level", [1, 2])
def test_a_landsat_product_gives_the_map_of_its_reflectance(tmp_path: Path, model: Path, level: int, form: str) -> None:
    bands = landsat_dn(level)
    product = write_landsat(tmp_path, level, bands)
    sun = np.sin(np.radians(SUN_DEGREES)) if level == 1 else 1.0
    scale, offset = (2.75e-5, -0.2) if level == 2 else (2e-5 / sun, -0.1 / sun)
    plain = plain_scene(tmp_path / "a.tif", bands, "red", "green", "blue", nodata=0, transform=transform_of(30))
    with rasterio.open(plain, "r+") as raster:
        raster.scales, raster.offsets = (scale,) * 3, (offset,) * 3
    named = {"folder": product, "metadata": next(product.glob("*_MTL.txt"))}.get(form) or tarred(product)
    made = mapped(named, model, tmp_path / "out", resample_m=10)
    assert same_map(made, mapped(plain, model, tmp_path / "plain", resample_m=10))
    assert {0, 1, 2, 255} >= set(np.unique(made.class_map.codes)) > {255}
    assert made.manifest.to_json()["acquired"]["start"] == "2022-07-26T15:45:12Z"
    assert made.manifest.to_json()["scene"]["product"] == f"Landsat 8 product, Collection 2 level {level}"
    assert (tmp_path / "out" / f"{product.name}_landuse.tif").exists()
    notes = " ".join(made.manifest.to_json()["notes"])
    assert "pixels of 30 m are resampled to 10 m (--resample, bilinear); this adds no detail to" in notes
    assert f"from {product.name}_MTL.txt" in notes
    assert made.manifest.to_json()["options"]["resample_m"] == 10


def test_bands_of_landsat_5_are_numbered_otherwise(tmp_path: Path, model: Path) -> None:
    bands = landsat_dn(2)
    maps = [
        mapped(write_landsat(tmp_path, 2, bands, satellite=number), model, tmp_path / str(number), resample_m=10)
        for number in (8, 5)
    ]
    assert same_map(*maps)
    assert maps[1].manifest.to_json()["scene"]["product"] == "Landsat 5 product, Collection 2 level 2"


def test_a_landsat_product_is_refused_for_a_model_of_finer_pixels(tmp_path: Path, model: Path) -> None:
    product = write_landsat(tmp_path, 2, landsat_dn(2))
    with pytest.raises(SceneError, match=r"its pixels measure 30 x 30 m, .*--resample 10"):
        mapped(product, model, tmp_path / "out")


def test_qa_pixel_of_a_landsat_product(tmp_path: Path, model: Path) -> None:
    product = write_landsat(tmp_path, 2, landsat_dn(2))
    made = mapped(product, model, tmp_path / "out", resample_m=10, mask="qa_pixel", stride_px=2, min_valid_share=0.9)
    assert (made.class_map.codes[47:58, 47:58] == 255).all()


# ---- Resampling


def test_resampling_does_not_depend_on_windows(tmp_path: Path, model: Path) -> None:
    scene = plain_scene(tmp_path / "a.tif", landsat_dn(2, side=120), "red", "green", "blue", transform=transform_of(30))
    maps = [
        mapped(
            scene, model, tmp_path / str(block), resample_m=10, value_scale=0.275, value_offset=-2000, block_px=block
        )
        for block in (None, 48, 100)
    ]
    assert all(same_map(other, maps[0]) for other in maps[1:])


def test_a_scene_in_degrees_is_resampled_in_its_utm_zone(tmp_path: Path, model: Path) -> None:
    values = np.random.default_rng(0).integers(200, 2500, (3, 90, 90)).astype(np.uint16)
    transform = rasterio.transform.from_origin(-76.1, 37.9, 1e-4, 1e-4)
    scene = write_scene(tmp_path / "a.tif", values, RGB, crs="EPSG:4326", transform=transform)
    grid = mapped(scene, model, tmp_path / "out", resample_m=10).class_map.grid
    assert grid.crs is not None
    assert grid.crs.to_epsg() == 32618
    info = describe_scene(scene, 10)
    assert info.grid.pixel_size_m == pytest.approx((10, 10))
    with rasterio.open(info.raster) as raster:
        alpha = raster.read(4)
    assert (alpha > 0).mean() > 0.9
    assert (alpha[0, 0], alpha[-1, -1]) != (255, 255)


@pytest.mark.parametrize(
    ("dtype", "nodata"), [("int16", -9999), ("uint16", 65535), ("uint16", 0), ("float32", np.nan), ("float32", -np.inf)]
)
@pytest.mark.parametrize("crs", ["EPSG:32618", "EPSG:4326"])
@pytest.mark.parametrize("by", ["file", "option"])
def test_what_is_missing_stays_missing_when_resampled(
    tmp_path: Path, dtype: str, nodata: float, crs: str, by: str
) -> None:
    values = np.full((3, 60, 60), 900, dtype)
    values[:, :30] = nodata
    degrees = rasterio.transform.from_origin(-76.1, 37.9, 3e-4, 3e-4)
    place = transform_of(30) if crs == "EPSG:32618" else degrees
    asked = nodata if by == "option" else None
    scene = write_scene(
        tmp_path / "a.tif", values, RGB, nodata=nodata if asked is None else None, crs=crs, transform=place
    )
    contract = InputContract(RGB, 16, 10.0, ValueScaling())
    plan = plan_scene(describe_scene(scene, 10, asked), contract, SceneOptions(value_scale=1, nodata=asked))
    pixels, valid = read_window(plan, Window(0, 0, plan.grid.width, plan.grid.height))
    assert len(np.unique(pixels[:, valid])) == 1, "nothing of the fill is mixed in"
    middle = plan.grid.height // 2
    assert not valid[: middle - 5].any()
    assert valid[middle + 5 : -10, 10:-10].all()
    assert 0.45 < valid.mean() <= 0.51


def test_alpha_is_resampled_with_its_picture(tmp_path: Path) -> None:
    values = np.full((4, 60, 60), 200, np.uint8)
    values[:3, :30] = 0  # black where nothing was seen
    values[3] = 255
    values[3, :30] = 0
    scene = write_scene(tmp_path / "a.tif", values, photometric="RGB", alpha="yes")
    with rasterio.open(describe_scene(scene, 15).raster) as raster:
        pixels = raster.read()
    seen = pixels[3] > 0
    assert 0.4 < seen.mean() < 0.6
    assert (pixels[:3, seen] == 200).all()


@pytest.mark.parametrize("metres", [0, -3, float("nan"), float("inf")])
def test_pixels_have_a_size(tmp_path: Path, model: Path, metres: float) -> None:
    with pytest.raises(CallError, match="is not a pixel size"):
        mapped(plain_scene(tmp_path / "a.tif", land(), *RGB), model, tmp_path / "out", resample_m=metres)


# ---- Band files


@pytest.mark.parametrize("form", ["list", "folder"])
def test_band_files_give_the_map_of_the_stack(tmp_path: Path, model: Path, form: str) -> None:
    bands = land()
    plain = mapped(plain_scene(tmp_path / "a.tif", bands, *RGB), model, tmp_path / "plain")
    files = {band: write_band(tmp_path / "in" / f"T18SVG_20210726T154819_{band}.jp2", bands[band], 10) for band in RGB}
    listed = ",".join(f"{COLOURS[band]}={path}" for band, path in files.items())
    made = mapped(listed if form == "list" else tmp_path / "in", model, tmp_path / "out")
    assert same_map(made, plain)
    assert (tmp_path / "out" / "T18SVG_20210726T154819_landuse.tif").exists()
    assert made.manifest.to_json()["acquired"]["start"] == "2021-07-26T15:48:19Z"


def test_hls_knows_its_sensor_by_its_names(tmp_path: Path, model: Path) -> None:
    """B05 is the near infrared of Landsat, and red edge of Sentinel-2."""
    for sensor, nir in (("L30", "B05"), ("S30", "B08")):
        folder = tmp_path / sensor
        for band in ("B02", "B03", "B04", nir):
            write_band(
                folder / f"HLS.{sensor}.T18SVG.2022207T154819.v2.0.{band}.tif", land()["B08"].astype(np.int16), 30
            )
        write_band(folder / f"HLS.{sensor}.T18SVG.2022207T154819.v2.0.Fmask.tif", np.zeros((96, 96), np.uint8), 30)
        info = describe_scene(folder)
        assert info.descriptions[find_band(info.descriptions, "nir", info.sensor) - 1] == nir
        assert info.product is not None
        assert str(info.acquisition) == "2022-07-26T15:48:19Z"
        assert info.known_values is not None
        assert "HLS" in info.known_values.why
        assert list(info.product.masks) == ["fmask"]


@pytest.mark.parametrize(("sensor", "nir"), [("L30", "B05"), ("S30", "B08")])
def test_hls_gives_the_map_of_its_reflectance(tmp_path: Path, sensor: str, nir: str) -> None:
    """All four bands, with HLS's own nodata value and scale tags, in pixels of 30 m."""
    four = tmp_path / "four.onnx"
    four.write_bytes(dense_bundle(bands=(*RGB, "B08")).onnx_bytes)
    bands = {name: land()[name].astype(np.int16) for name in (*RGB, "B08")}
    for values in bands.values():
        values[:20, :20] = -9999
    plain = plain_scene(tmp_path / "a.tif", bands, *RGB, "B08", nodata=-9999, transform=transform_of(30))
    for own, band in zip((*RGB, nir), bands, strict=True):
        path = tmp_path / "hls" / f"HLS.{sensor}.T18SVG.2022207T154819.v2.0.{own}.tif"
        with rasterio.open(write_band(path, bands[band], 30, nodata=-9999), "r+") as raster:
            raster.scales = (1e-4,)
    made = mapped(tmp_path / "hls", four, tmp_path / "out", resample_m=10)
    assert same_map(made, mapped(plain, four, tmp_path / "plain", resample_m=10))
    assert (made.class_map.codes == 255).any()


PLANET_8 = ("coastal_blue", "blue", "green_i", "green", "yellow", "red", "rededge", "nir")


@pytest.mark.parametrize(("ending", "names"), [("", ("blue", "green", "red", "nir")), ("_8b", PLANET_8)])
def test_planetscope_with_udm2_gives_the_map_of_its_clear_pixels(
    tmp_path: Path, model: Path, ending: str, names: tuple[str, ...]
) -> None:
    bands = land()
    ground = {"red": "B04", "green": "B03", "blue": "B02"}
    values = np.stack([bands[ground.get(name, "B08")] for name in names])
    stem = "20220726_154819_24_2416_3B"
    place = {"transform": transform_of(10), "crs": "EPSG:32618"}
    scene = write_scene(tmp_path / f"{stem}_AnalyticMS_SR{ending}.tif", values, names, nodata=0, **place)
    clear = np.ones((96, 96), np.uint8)
    clear[30:50, 40:90] = 0
    write_scene(tmp_path / f"{stem}_udm2.tif", np.stack([clear, 1 - clear]), **place)
    seen = {name: bands[name] * clear for name in RGB}
    plain = mapped(plain_scene(tmp_path / "plain.tif", seen, *RGB, nodata=0), model, tmp_path / "plain")
    made = mapped(scene, model, tmp_path / "out", mask="udm2")
    assert same_map(made, plain)
    assert 0 < (made.class_map.codes == 255).mean() < 0.5


@pytest.mark.parametrize("form", ["VRT", "COG", "ENVI", "HFA", "JP2OpenJPEG", "/vsizip/"])
def test_other_formats_give_the_map_of_the_geotiff(tmp_path: Path, model: Path, form: str) -> None:
    bands = land()
    scene = plain_scene(tmp_path / "plain.tif", bands, *RGB)
    if form == "/vsizip/":
        packed = shutil.make_archive(str(tmp_path / "packed"), "zip", tmp_path, scene.name)
        named = f"{form}{packed}/{scene.name}"
    else:
        exact = {"QUALITY": "100", "REVERSIBLE": "YES"} if form == "JP2OpenJPEG" else {}
        named = str(
            tmp_path / {"JP2OpenJPEG": "a.jp2", "VRT": "a.vrt", "COG": "a.tif", "HFA": "a.img"}.get(form, "a.dat")
        )
        rasterio.shutil.copy(scene, named, driver=form, **exact)
    made = mapped(named, model, tmp_path / "out", bidx=(1, 2, 3))
    assert same_map(made, mapped(scene, model, tmp_path / "out-of-plain"))


def test_scale_tags_of_band_files_are_kept(tmp_path: Path) -> None:
    for band in RGB:
        path = write_band(tmp_path / f"a_{band}.tif", land()[band], 10)
        with rasterio.open(path, "r+") as raster:
            raster.scales, raster.offsets = (1e-4,), (-0.1,)
    info = describe_scene(tmp_path)
    assert (set(info.scales), set(info.offsets)) == ({1e-4}, {-0.1})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("red=none.tif,green=none2.tif", r"2 problems:\n  - no such file: none.tif\n  - no such file: none2.tif"),
        ("red=a.tif,red=a.tif", "red is named twice"),
    ],
)
def test_lists_of_bands_that_cannot_be_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    write_band(tmp_path / "a.tif", land()["B04"], 10)
    with pytest.raises(CallError, match=said):
        describe_scene(text)


def test_a_folder_of_two_scenes_is_refused(tmp_path: Path) -> None:
    for name in ("one", "two"):
        for band in RGB:
            write_band(tmp_path / f"{name}_{band}.tif", land()[band], 10)
    with pytest.raises(SceneError, match="holds bands of 2 scenes .one, two.; name those of one with --bands"):
        describe_scene(tmp_path)


# ---- STAC


def assets_of(folder: Path, version: str, *, offset: float = -0.1) -> dict[str, dict[str, Any]]:
    """Write the bands of an item, and describe them as STAC 1.0 or 1.1 do."""
    assets: dict[str, dict[str, Any]] = {
        "thumbnail": {"href": "preview.jpg", "type": "image/jpeg", "roles": ["thumbnail"]},
        "visual": {"href": "TCI.tif", "type": "image/tiff", "roles": ["visual"], "eo:bands": [{"common_name": "red"}]},
    }
    for band, colour in COLOURS.items():
        write_band(folder / f"{band}.tif", with_offset(land()[band], "04.00", corner=True), 10)
        asset: dict[str, Any] = {"href": f"./{band}.tif", "type": "image/tiff; application=geotiff", "roles": ["data"]}
        raster = {"scale": 1e-4, "offset": offset, "nodata": 0}
        if version == "1.0":
            asset |= {"eo:bands": [{"name": band, "common_name": colour}], "raster:bands": [raster]}
        else:
            named = {"name": band, "eo:common_name": colour, "nodata": 0}
            asset["bands"] = [named | {"raster:scale": 1e-4, "raster:offset": offset}]
        assets[colour] = asset
    return assets


def seen_land() -> dict[str, NDArray[np.uint16]]:
    bands = {band: land()[band] for band in RGB}
    for values in bands.values():
        values[:24, :24] = 0
    return bands


@pytest.fixture
def plain(tmp_path: Path, model: Path) -> ClassifyResult:
    return mapped(plain_scene(tmp_path / "plain.tif", seen_land(), *RGB, nodata=0), model, tmp_path / "plain")


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_a_stac_item_gives_the_map_of_its_reflectance(
    tmp_path: Path, model: Path, plain: ClassifyResult, version: str
) -> None:
    item = write_item(tmp_path, assets_of(tmp_path, version), "S2B_18SVG_20220726_0_L2A")
    made = mapped(item, model, tmp_path / "out")
    assert same_map(made, plain)
    assert made.manifest.to_json()["acquired"]["start"] == "2022-07-26T15:48:19Z"
    assert any("x 1 - 1000, from its STAC item" in note for note in made.manifest.to_json()["notes"])
    assert (tmp_path / "out" / "S2B_18SVG_20220726_0_L2A_landuse.tif").exists()


@pytest.mark.parametrize("name", ['STACIT:"{}"', "STACIT:{}"])
def test_the_dataset_of_gdal_for_an_item_is_the_item(
    tmp_path: Path, model: Path, plain: ClassifyResult, name: str
) -> None:
    item = write_item(tmp_path, assets_of(tmp_path, "1.0"))
    assert same_map(mapped(name.format(item), model, tmp_path / "out"), plain)


def test_the_baseline_of_an_item_states_the_offset(tmp_path: Path, model: Path, plain: ClassifyResult) -> None:
    assets = assets_of(tmp_path, "1.0")
    for asset in assets.values():
        asset.pop("raster:bands", None)
    made = mapped(write_item(tmp_path, assets, **{"s2:processing_baseline": "04.00"}), model, tmp_path / "out")
    assert same_map(made, plain)


def test_an_offset_that_was_applied_is_not_applied_again(tmp_path: Path) -> None:
    properties: dict[str, Any] = {"earthsearch:boa_offset_applied": True}
    item = write_item(tmp_path, assets_of(tmp_path, "1.0"), **properties)
    info = describe_scene(item)
    assert set(info.offsets) == {0.0}
    assert any("the offset was subtracted already" in note for note in info.notes)


def test_an_item_of_one_file_with_all_bands(tmp_path: Path) -> None:
    plain_scene(tmp_path / "image.tif", land(), "B02", "B03", "B04", "B08")
    names = [{"common_name": name} for name in ("blue", "green", "red", "nir")]
    item = write_item(
        tmp_path, {"image": {"href": "image.tif", "type": "image/tiff", "eo:bands": names}}, platform="naip"
    )
    info = describe_scene(item)
    assert info.descriptions == ("blue", "green", "red", "nir")
    with rasterio.open(info.raster) as raster:
        np.testing.assert_array_equal(raster.read(3), land()["B04"])


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_proj_places_files_that_have_no_place(tmp_path: Path) -> None:
    assets = {}
    for band, colour in COLOURS.items():
        write_band(tmp_path / f"{band}.tif", land()[band], 10, crs=None, transform=None)
        assets[colour] = {
            "href": f"{band}.tif",
            "type": "image/tiff",
            "eo:bands": [{"common_name": colour}],
            "proj:transform": list(transform_of(10))[:6],
        }
    info = describe_scene(write_item(tmp_path, assets, **{"proj:code": "EPSG:32618"}))
    assert info.grid.transform == transform_of(10)
    assert info.grid.crs is not None
    assert info.grid.crs.to_epsg() == 32618


def collection(folder: Path, days: tuple[str, str]) -> Path:
    """Write two items, west and east halves of a scene, in one file."""
    items = []
    for number, day in enumerate(days):
        assets = {}
        for band, colour in COLOURS.items():
            half = land()[band][:, 48 * number : 48 * (number + 1)]
            write_band(folder / f"{number}_{band}.tif", half, 10, 48 * number)
            assets[colour] = {
                "href": f"{number}_{band}.tif", "type": "image/tiff", "eo:bands": [{"common_name": colour}],
            }  # fmt: skip
        item = write_item(folder, assets, f"item{number}", datetime=f"{day}T15:48:19Z")
        items.append(json.loads(item.read_text()))
    path = folder / "day.json"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": items}))
    return path


def test_items_of_a_day_lie_side_by_side(tmp_path: Path, model: Path) -> None:
    whole = mapped(plain_scene(tmp_path / "a.tif", land(), *RGB), model, tmp_path / "plain")
    assert same_map(mapped(collection(tmp_path, ("2022-07-26",) * 2), model, tmp_path / "out"), whole)


def test_items_of_two_days_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SceneError, match="has items of several days .2022-07-26, 2022-07-27.; a scene has one"):
        describe_scene(collection(tmp_path, ("2022-07-26", "2022-07-27")))


class Quiet(SimpleHTTPRequestHandler):
    """Serves files."""

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """Serve the folder on this machine."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path))) as serving:
        threading.Thread(target=serving.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{serving.server_address[1]}"
        serving.shutdown()


def test_an_item_is_read_from_a_server(tmp_path: Path, model: Path, plain: ClassifyResult, server: str) -> None:
    assets = assets_of(tmp_path, "1.0")
    for asset in assets.values():
        asset["href"] = (tmp_path / asset["href"]).as_uri()
    write_item(tmp_path, assets, "S2B_18SVG_20220726_0_L2A")
    assert same_map(mapped(f"{server}/S2B_18SVG_20220726_0_L2A.json", model, tmp_path / "out"), plain)
    with pytest.raises(SceneError, match=r"the STAC item /none\.json cannot be read: HTTP Error 404"):
        describe_scene(f"{server}/none.json")


def test_files_of_a_server_are_read_by_gdal(tmp_path: Path) -> None:
    document = json.loads(write_item(tmp_path, assets_of(tmp_path, "1.0")).read_text())
    product = _of_item(document, "https://example.org/items/item.json?token=secret")
    assert product.bands[0].files[0].path == "/vsicurl/https://example.org/items/B04.tif"


def test_an_item_without_names_is_refused(tmp_path: Path) -> None:
    item = write_item(tmp_path, {"data": {"href": "a.tif", "type": "image/tiff"}})
    with pytest.raises(SceneError, match=r"no asset whose bands have a name .*it has data: name files with --bands"):
        describe_scene(item)


# ---- Bands of different scale


DIFFERENT = {"B04": (1e-4, -0.1), "B03": (5e-5, 0.0), "B02": (2.5e-5, -0.0025)}


def differently_scaled(folder: Path, form: str) -> Path:
    """Write the seen land with another scale and offset in each band: one file, a file a band, or a STAC item."""
    dn = {}
    for band, (scale, offset) in DIFFERENT.items():
        dn[band] = np.round((seen_land()[band] / 1e4 - offset) / scale).astype(np.uint16)
        dn[band][:24, :24] = 0
    if form == "one file":
        path = plain_scene(folder / "scene.tif", dn, *RGB, nodata=0)
        with rasterio.open(path, "r+") as raster:
            raster.scales, raster.offsets = zip(*DIFFERENT.values(), strict=True)
        return path
    assets = {}
    for band, (scale, offset) in DIFFERENT.items():
        path = write_band(folder / "bands" / f"{band}.tif", dn[band], 10, nodata=0)
        if form == "band files":
            with rasterio.open(path, "r+") as raster:
                raster.scales, raster.offsets = (scale,), (offset,)
        told = {"raster:bands": [{"scale": scale, "offset": offset, "nodata": 0}]}
        assets[COLOURS[band]] = {"href": f"bands/{band}.tif", "type": "image/tiff"} | told
    return folder / "bands" if form == "band files" else write_item(folder, assets, "S2B_18SVG_20220726_0_L2A")


@pytest.mark.parametrize("form", ["one file", "band files", "STAC item"])
def test_bands_of_different_scale_give_the_map_of_their_reflectance(
    tmp_path: Path, model: Path, plain: ClassifyResult, form: str
) -> None:
    made = mapped(differently_scaled(tmp_path, form), model, tmp_path / "out")
    assert same_map(made, plain)
    assert made.manifest.options is not None
    assert made.manifest.options.value_scale == pytest.approx((1, 0.5, 0.25))
    assert made.manifest.options.value_offset == pytest.approx((-1000, 0, -25))
    note = "DN x 1 - 1000 in B04, DN x 0.5 + 0 in B03, DN x 0.25 - 25 in B02, "
    assert any(note in sentence for sentence in made.manifest.notes)
    (path,) = (tmp_path / "out").glob("*_landuse.json")
    assert read_manifest(path).options == made.manifest.options


def test_a_landsat_product_of_different_scales(tmp_path: Path, model: Path) -> None:
    product = write_landsat(tmp_path, 2, landsat_dn(2))
    (metadata,) = product.glob("*_MTL.txt")
    metadata.write_text(metadata.read_text().replace("MULT_BAND_3 = 2.75e-05", "MULT_BAND_3 = 5.5e-05"))
    made = mapped(product, model, tmp_path / "out", resample_m=10)
    assert made.manifest.options is not None
    assert made.manifest.options.value_scale == pytest.approx((0.275, 0.55, 0.275))
    assert made.manifest.options.value_offset == pytest.approx(-2000)


def test_a_band_without_scale_among_others_that_have_one_is_refused(tmp_path: Path, model: Path) -> None:
    path = differently_scaled(tmp_path, "one file")
    with rasterio.open(path, "r+") as raster:
        raster.scales, raster.offsets = (1e-4, 1.0, 1e-4), (-0.1, 0.0, -0.1)
    with pytest.raises(SceneError, match="have scale and offset tags, except band 2; give the right ones with --value"):
        mapped(path, model, tmp_path / "out")


# ---- Products packed or named otherwise


@pytest.mark.parametrize("ending", ["gztar", "zip"])
@pytest.mark.parametrize("inside", [True, False], ids=["folder inside", "files alone"])
def test_packed_landsat_products_are_read_as_their_folder(tmp_path: Path, ending: str, inside: bool) -> None:
    product = write_landsat(tmp_path, 2, landsat_dn(2))
    place = (tmp_path, product.name) if inside else (product, ".")
    packed = shutil.make_archive(str(tmp_path / "packed"), ending, *place)
    one, other = describe_scene(product), describe_scene(packed)
    assert (one.scales, one.offsets, one.descriptions, one.grid) == (
        other.scales,
        other.offsets,
        other.descriptions,
        other.grid,
    )


@pytest.mark.parametrize("key", ["B{}", "B0{}", "b{}"])
def test_assets_are_known_by_their_own_names(tmp_path: Path, key: str) -> None:
    assets = {}
    for band in RGB:
        write_band(tmp_path / f"{band}.tif", land()[band], 10)
        assets[key.format(band[-1])] = {"href": f"./{band}.tif", "type": "image/tiff"}
    assert describe_scene(write_item(tmp_path, assets, "S2B_x")).descriptions == ("red", "green", "blue")
