"""Bad and odd products, masks, areas and band files, each with what `geokd classify` must make of it.

The cases are of the kind of :mod:`tests.bad_input`, and run with them.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from tests.bad_input import SIDE_PX, Call, Case, plain
from tests.products import land, write_band, write_old_safe, write_safe
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


def four_names(folder: Path) -> Path:
    values = np.concatenate([three_fields(SIDE_PX, SIDE_PX), three_fields(SIDE_PX, SIDE_PX)[:1]])
    return write_scene(folder / "scene.tif", values, ("B01", "B02", "B03", "B04"))


# fmt: off
PRODUCT_CASES = [
    # Sentinel-2
    Case("product", safe()),
    Case("product without a band", safe(change=without("*_B03_10m.jp2")), "it has 2 bands .* the model takes 3"),
    Case("product without images", safe(change=without("*.jp2")), "no image below GRANULE/\\*/IMG_DATA; download"),
    Case("product with broken metadata", safe(change=with_text("MTD_MSIL2A.xml", "<a>")),
         "MTD_MSIL2A.xml in .* is broken"),
    Case("product with a broken band", safe(change=with_text("*_B03_10m.jp2", "x")), "B03_10m.jp2 is not a raster"),
    Case("product with a band on another grid", safe(change=one_band_elsewhere), "do not lie on one grid: .*B02"),
    Case("product of two zones", lambda f: write_old_safe(f, {"B04": land()["B04"]}, ("18", "19")),
         "granules of several UTM zones; name one of them: SENTINEL2_L1C:"),
    Case("zip cut short", broken_zip, "is a broken archive: .*; copy or download it again"),
    Case("folder of two products", two_products, "holds 2 products .*; name one"),
    # Bands and masks
    Case("four bands of two sensors", four_names, "nothing tells of which sensor: of PlanetScope .* give --bidx 3,2,1"),
    Case("mask that is not there", masked("scl"), "comes with no mask scl; give the mask as a file", 2),
    Case("mask of no file", masked("none.tif"), "no such file: none.tif", 2),
    Case("mask elsewhere", masked("", cloud=True), "the mask cloud.tif does not lie over the scene"),
]
# fmt: on
