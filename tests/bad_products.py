"""Bad and odd products, masks, areas and band files, each with what `geokd classify` must make of it.

The cases are of the kind of :mod:`tests.bad_input`, and run with them.
"""

import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tests.bad_input import SIDE_PX, Call, Case, content, plain
from tests.products import land, landsat_dn, write_band, write_item, write_landsat, write_old_safe, write_safe, zipped
from tests.tiny import three_fields, write_scene


def safe(
    level: str = "2A", baseline: str = "05.11", change: Callable[[Path], None] = lambda _: None
) -> Callable[[Path], Path]:
    """Write a Sentinel-2 product, and change it."""

    def write(folder: Path) -> Path:
        product = write_safe(folder, level, baseline, {name: land()[name] for name in ("B02", "B03", "B04")})
        change(product)
        return product

    return write


def part_of(product: Callable[[Path], Path], pattern: str) -> Callable[[Path], Path]:
    """Name a file or folder in a product."""
    return lambda folder: next(product(folder).glob(pattern))


def in_a_folder(name: str, *, packed: bool = False) -> Callable[[Path], Path]:
    """Write a product below folders, and pack the outermost or name the product."""

    def write(folder: Path) -> Path:
        place = folder / "delivery" / name
        place.mkdir(parents=True)
        product = safe()(place)
        return Path(shutil.make_archive(str(folder / "packed"), "zip", folder / "delivery")) if packed else product

    return write


def with_shadows(product: Callable[[Path], Path], *, packed: bool = False) -> Callable[[Path], Path]:
    """Add the files of attributes that macOS writes beside each file on other disks, or into archives."""

    def write(folder: Path) -> Path:
        whole = product(folder / "in")
        for file in [file for file in whole.rglob("*") if file.is_file()]:
            place = folder / "in" / "__MACOSX" / whole.name / file.relative_to(whole) if packed else file
            place.parent.mkdir(parents=True, exist_ok=True)
            (place.parent / f"._{file.name}").write_bytes(b"\0\5\x16\7 attributes")
        return Path(shutil.make_archive(str(folder / "packed"), "zip", folder / "in")) if packed else whole

    return write


def bands_in_a_folder(folder: Path) -> Path:
    for band in ("B04", "B03", "B02"):
        write_band(folder / "bands" / f"a_{band}.tif", land()[band], 10)
    return folder / "bands"


def unlike(**other: Any) -> Callable[[Path], Call]:
    """Name three band files, of which the last one is of another kind."""

    def write(folder: Path) -> Call:
        bands = {"red": land()["B04"], "green": land()["B03"], "blue": land()["B02"]}
        for name, values in bands.items():
            write_band(
                folder / f"{name}.tif", values.astype(other.get("dtype", "uint16") if name == "blue" else "uint16"), 10,
                **{key: value for key, value in other.items() if name == "blue" and key != "dtype"},
            )  # fmt: skip
        return Call(",".join(f"{name}={folder / name}.tif" for name in bands))

    return write


def without(pattern: str) -> Callable[[Path], None]:
    """Remove files of a product."""

    def change(product: Path) -> None:
        for file in product.rglob(pattern):
            file.unlink()

    return change


def with_text(pattern: str, text: str) -> Callable[[Path], None]:
    """Write something else into the files of a product."""

    def change(product: Path) -> None:
        for file in product.rglob(pattern):
            file.write_text(text)

    return change


def broken_zip(folder: Path) -> Path:
    path = folder / "S2B_MSIL2A_20220726T154819_N0400_R054_T18SVG_20220726T201530.SAFE.zip"
    path.write_bytes(b"PK\3\4 and no more")
    return path


def zip_in_zip(folder: Path) -> Path:
    product = zipped(safe()(folder))
    with zipfile.ZipFile(folder / "outer.zip", "w") as outer:
        outer.write(product, product.name)
    return folder / "outer.zip"


def two_products(folder: Path) -> Path:
    for level in ("1C", "2A"):
        write_safe(folder / "both", level, "05.11", {"B04": land()["B04"]})
    return folder / "both"


def one_band_elsewhere(product: Path) -> None:
    (file,) = product.rglob("*_B03_10m.jp2")
    file.unlink()
    write_band(file, land()["B03"], 7)


def masked(mask: str, *, cloud: bool = False) -> Callable[[Path], Call]:
    """Ask for a mask of the plain scene; beside it lies `cloud.tif` over another place."""

    def write(folder: Path) -> Call:
        path = folder / "cloud.tif"
        if cloud:
            write_band(path, np.zeros((8, 8), np.uint8), 10, crs="EPSG:32633")
        return Call(plain(folder), arguments=("--mask", str(path) if cloud else mask))

    return write


def shares_as_mask(folder: Path) -> Call:
    """Probabilities of clouds, on the grid of the scene."""
    write_scene(folder / "clouds.tif", np.full((1, SIDE_PX, SIDE_PX), 0.2, np.float32))
    return Call(plain(folder), arguments=("--mask", str(folder / "clouds.tif")))


def area(name: str, *arguments: str) -> Callable[[Path], Call]:
    """Ask for an area of the plain scene, by the name of a file that is written beside it."""

    def write(folder: Path) -> Call:
        square = [[-76.2, 37.9], [-76.1, 37.9], [-76.1, 38.0], [-76.2, 37.9]]
        shapes = {
            "points": {"type": "Point", "coordinates": [-76.13, 37.94]},
            "far": {"type": "Polygon", "coordinates": [[[x + 50, y] for x, y in square]]},
            "area": {"type": "Polygon", "coordinates": [square]},
        }
        for title, shape in shapes.items():
            feature = {"type": "Feature", "properties": {"name": "a"}, "geometry": shape}
            text = json.dumps({"type": "FeatureCollection", "features": [feature]})
            (folder / f"{title}.geojson").write_text(text)
        (folder / "text.gpkg").write_text("no polygons here")
        return Call(plain(folder), arguments=("--aoi", str(folder / name), *arguments))

    return write


def box(text: str) -> Callable[[Path], Call]:
    return lambda folder: Call(plain(folder), arguments=("--bbox", text))


def four_names(folder: Path) -> Path:
    values = np.concatenate([three_fields(SIDE_PX, SIDE_PX), three_fields(SIDE_PX, SIDE_PX)[:1]])
    return write_scene(folder / "scene.tif", values, ("B01", "B02", "B03", "B04"))


def landsat(*changes: tuple[str, str]) -> Callable[[Path], Path]:
    """Write a Landsat product whose metadata say something else."""

    def write(folder: Path) -> Path:
        product = write_landsat(folder, 2, landsat_dn(2))
        (file,) = product.glob("*_MTL.txt")
        text = file.read_text()
        for old, new in changes:
            text = text.replace(old, new)
        file.write_text(text)
        return product

    return write


def emptied(product: Path) -> Path:
    for file in product.glob("*.TIF"):
        file.unlink()
    return product


def broken_tar(folder: Path) -> Path:
    path = folder / "LC08_L2SP_014034_20220726_20220802_02_T1.tar"
    path.write_bytes(b"no archive at all" * 100)
    return path


def two_scenes(folder: Path) -> Path:
    for name in ("a", "b"):
        for band in ("B04", "B03"):
            write_band(folder / "in" / f"{name}_{band}.tif", land()[band], 10)
    return folder / "in"


def item(assets: dict[str, Any]) -> Callable[[Path], Path]:
    return lambda folder: write_item(folder, assets)


def items_of_two_zones(folder: Path) -> Path:
    items = []
    for zone in (18, 19):
        path = write_band(folder / f"{zone}.tif", land()["B04"], 10, crs=f"EPSG:326{zone}")
        made = item({"red": {"href": path.name, "type": "image/tiff"}})(folder)
        items.append(json.loads(made.read_text()))
    (folder / "day.json").write_text(json.dumps({"type": "FeatureCollection", "features": items}))
    return folder / "day.json"


def with_json(folder: Path, document: Any) -> Path:
    path = folder / "scene.json"
    path.write_text(json.dumps(document))
    return path


# fmt: off
PRODUCT_CASES = [
    # Sentinel-2
    Case("product", safe()),
    Case("product without a band", safe(change=without("*_B03_10m.jp2")), "it has 2 bands .* the model needs 3"),
    Case("product without images", safe(change=without("*.jp2")), "no image below GRANULE/\\*/IMG_DATA; download"),
    Case("product with broken metadata", safe(change=with_text("MTD_MSIL2A.xml", "<a>")),
         "MTD_MSIL2A.xml in .* is broken"),
    Case("product with a broken band", safe(change=with_text("*_B03_10m.jp2", "x")), "B03_10m.jp2 is not a raster"),
    Case("product with a band on another grid", safe(change=one_band_elsewhere), "are not on one grid: .*B02"),
    Case("product of two zones", lambda f: write_old_safe(f, {"B04": land()["B04"]}, ("18", "19")),
         "granules of several UTM zones; name one of them: SENTINEL2_L1C:"),
    Case("metadata of something else", safe(change=with_text("MTD_MSIL2A.xml", "<a/>")),
         "names no processing baseline"),
    Case("product without metadata", safe(change=without("MTD_MSIL2A.xml")), "SAFE holds no product that is known"),
    Case("product in a folder of other letters", in_a_folder("Мои снимки 2022")),
    Case("product in a folder in a folder in a zip", in_a_folder("a/b", packed=True)),
    Case("product with attributes of macOS", with_shadows(safe())),
    Case("product in a zip of macOS", with_shadows(safe(), packed=True)),
    Case("Landsat in a zip of macOS", with_shadows(lambda f: write_landsat(f, 2, landsat_dn(2), 10), packed=True)),
    Case("bands with attributes of macOS", with_shadows(bands_in_a_folder)),
    Case("folder of a granule", part_of(safe(), "GRANULE/*")),
    Case("metadata of a granule", part_of(safe(), "GRANULE/*/MTD_TL.xml"),
         "MTD_TL.xml is not a raster that GDAL can open: its format is not known; it is a part of a product; give"),
    Case("one band of a product", part_of(safe(), "GRANULE/*/IMG_DATA/R10m/*B04*"), "needs 3 .* give .* a product, "),
    Case("product in a zip in a zip", zip_in_zip, "outer.zip holds no product that is known .* unpack an archive"),
    Case("zip cut short", broken_zip, "is a broken archive: .*; copy or download it again"),
    Case("folder of two products", two_products, "holds 2 products .*; name one"),
    # Bands and masks
    Case("four bands of two sensors", four_names, "the sensor is unknown, .* --bidx 3,2,1 for .* PlanetScope"),
    Case("mask that is not there", masked("scl"), "has no mask scl, which is part of Sentinel-2 L2A", 2),
    Case("mask of no file", masked("none.tif"), "no such file: none.tif", 2),
    Case("mask elsewhere", masked("", cloud=True), "the mask cloud.tif does not overlap the scene"),
    # Landsat, band files, STAC
    Case("Landsat product of a coarser size", lambda f: write_landsat(f, 2, landsat_dn(2)),
         "its pixels measure 30 x 30 m, .* --resample 10"),
    Case("Landsat product without scaling", landsat(("REFLECTANCE_ADD_BAND_3", "X")),
         "do not give the scaling of its bands"),
    Case("Landsat metadata of another kind", landsat(("PRODUCT_CONTENTS", "X")),
         "not metadata of a Landsat Collection 2"),
    Case("Landsat product without bands", lambda f: emptied(write_landsat(f, 2, landsat_dn(2))),
         "no image of a band; download"),
    Case("tar cut short", broken_tar, "is a broken archive: "),
    Case("bands of no files", lambda f: Call("red=none.tif,green=none.tif"), "no such file: none.tif", 2),
    Case("band named twice", lambda f: Call(f"red={plain(f)},red={f / 'scene.tif'}"), "red is named twice", 2),
    Case("band without a coordinate system", unlike(crs=None), "blue.tif: no coordinate .* -a_srs EPSG:32618$"),
    Case("band of another zone", unlike(crs="EPSG:32619"), "not on one grid: .*blue.tif is in EPSG:32619"),
    Case("band of another type", unlike(dtype="uint8"),
         "different types .band 1 uint16, band 2 uint16, band 3 uint8.; convert with gdal_translate -ot UInt16 the"),
    Case("STAC items of two zones", items_of_two_zones, "the parts of day are in 2 coordinate .* geokd mosaic$"),
    Case("bands of two scenes", two_scenes, "holds bands of 2 scenes .a, b.; name those of one"),
    Case("STAC item without bands", item({"thumbnail": {"href": "a.jpg", "type": "image/jpeg"}}),
         "no asset whose bands have a name"),
    Case("STAC item whose file is gone", item({"red": {"href": "gone.tif", "type": "image/tiff"}}), "gone.tif"),
    Case("STAC item of odd types", item({"red": {"href": "a.tif", "type": "image/tiff", "raster:bands": "x"}}),
         "the STAC item item.json is not made as STAC's specification has it"),
    Case("STAC item of an odd place", item({"red": {"href": "a.tif", "type": "image/tiff", "proj:epsg": 32618,
         "proj:transform": ["a"] * 6}}), "is not made as STAC's specification has it: could not convert"),
    Case("STAC collection", lambda f: with_json(f, {"type": "Collection", "stac_version": "1.0.0"}),
         "is a STAC collection, which is not a scene; name one of its items"),
    Case("JSON that is no item", lambda f: with_json(f, {"type": "Feature"}), "is not a raster that GDAL can open"),
    # Resampling
    Case("pixels of no size", lambda f: Call(plain(f), arguments=("--resample", "0")),
         "--resample 0 is not a pixel size", 2),
    # Areas
    Case("area of no file", area("none.gpkg"), "no such file: .*none.gpkg", 2),
    Case("area of no layer", area("area.geojson:roads"), "has no layer roads; it has area", 2),
    Case("area of points", area("points.geojson"), "holds points or lines, which have no area; give polygons"),
    Case("area elsewhere", area("far.geojson"), "far.geojson .1 polygon. does not overlap .*; check the area"),
    Case("mask of probabilities", shares_as_mask, "the mask clouds.tif holds float32 values; a mask has integers"),
    Case("mask of polygons", lambda f: Call(plain(f), arguments=("--mask", str(content("c.gpkg", "x")(f)))),
         "the mask c.gpkg is a vector file, not a raster; .* for a mask, rasterise it with"),
    Case("area of a raster", area("scene.tif"),
         "scene.tif is not a vector file, or is broken: the format of .*scene.tif is not known$"),
    Case("area of text", area("text.gpkg"), "text.gpkg is not a vector file, or is broken"),
    Case("area of no feature", area("area.geojson", "--where", "name = 'b'"), "holds no polygon where name = 'b'"),
    Case("area by no condition", area("area.geojson", "--where", "n = 1"), "'n = 1' is not a condition", 2),
    Case("box of three numbers", box("1,2,3"), "is not a box such as", 2),
    Case("box upside down", box("-76.2,38,-76.1,37"), "is not a box: give west, south, east, north in degrees", 2),
    Case("box whose west and east are swapped", box("-76.1,37.9,-76.2,38"),
         "runs eastward from -76.1 across the antimeridian to -76.2, more than 180 degrees wide; .* give --bbox"
         " -76.2,37.9,-76.1,38$", 2),
    Case("box elsewhere", box("10,50,11,51"), "the box 10, 50, 11, 51 does not overlap"),
]
# fmt: on
