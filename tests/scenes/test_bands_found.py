"""Bands of products that are not needed, broken or thermal; bands known by their wavelengths; passwords of servers."""

import json
import threading
from base64 import b64encode
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.windows import Window

from geokd.errors import SceneError
from geokd.mapping.choosing import choose_model
from geokd.mapping.info import info
from geokd.model.contract import InputContract, ValueScaling
from geokd.scenes.options import SceneOptions
from geokd.scenes.plan import ScenePlan, plan_chips
from geokd.scenes.products.stac import read_stac
from geokd.scenes.reader import describe_scene, plan_scene, read_values
from tests.products import CRS, land, landsat_dn, transform_of, write_band, write_item, write_landsat, write_safe

RGB = ("B04", "B03", "B02")
COLOURS = {"red": "B04", "green": "B03", "blue": "B02", "nir": "B08"}
CONTRACT = InputContract(RGB, 16, 10.0, ValueScaling())


def planned(scene: Path | str) -> ScenePlan:
    return plan_scene(describe_scene(scene), CONTRACT, SceneOptions())


def values_of(plan: ScenePlan) -> Any:
    return read_values(plan, Window(0, 0, plan.grid.width, plan.grid.height), plan.bidx)[0]


def band_folder(folder: Path) -> Path:
    for band in COLOURS.values():
        write_band(folder / "bands" / f"a_{band}.tif", land()[band], 10)
    return folder / "bands"


def item(folder: Path, href: Callable[[Path], str] = Path.as_uri, **more: Any) -> Path:
    assets = {
        colour: {"href": href(write_band(folder / f"{band}.tif", land()[band], 10)), "type": "image/tiff"}
        for colour, band in COLOURS.items()
    }
    return write_item(folder, assets | more)


MAKERS: dict[str, tuple[Callable[[Path], Path], str]] = {
    "safe": (lambda folder: write_safe(folder, "2A", "05.11", land()), "*_B{}*.jp2"),
    "landsat": (lambda folder: write_landsat(folder, 2, landsat_dn(2), 10), "*_B{}.TIF"),
    "folder": (band_folder, "*_B{}.tif"),
    "item": (item, "../B{}.tif"),
}
NIR, RED = {"landsat": "5"}, {"landsat": "4"}  # Sentinel-2's are 08 and 04


def broken(product: Path, kind: str, band: str) -> None:
    """Cut the file of a band short, or remove the one of an item."""
    folder = product.parent if product.is_file() else product
    (file,) = folder.rglob(MAKERS[kind][1].format(band).removeprefix("../"))
    if kind == "item":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[:60])


@pytest.mark.parametrize("kind", MAKERS)
def test_a_broken_band_that_is_not_needed_is_left_out_and_named(tmp_path: Path, kind: str) -> None:
    product = MAKERS[kind][0](tmp_path)
    wanted = values_of(planned(product))
    broken(product, kind, NIR.get(kind, "08"))
    plan = planned(product)
    np.testing.assert_array_equal(values_of(plan), wanted)
    (note,) = [note for note in plan.notes if "is left out" in note]
    name = "nir" if kind in ("landsat", "item") else "B08"
    assert note.startswith(f"band {name} cannot be read: ")
    assert info(product).to_json()["left_out"] == [note.removesuffix(": the band is left out")]
    with pytest.raises(SceneError, match=f"--bidx counts all bands of the product, but band {name} cannot be read"):
        plan_scene(describe_scene(product), CONTRACT, SceneOptions(bidx=(3, 2, 1)))
    with pytest.raises(SceneError, match=f"chips have all bands of a scene, but band {name} cannot be read"):
        plan_chips(describe_scene(product), (1, 2, 3))


@pytest.mark.parametrize("kind", MAKERS)
def test_a_broken_band_that_is_needed_is_named_with_its_file(tmp_path: Path, kind: str) -> None:
    product = MAKERS[kind][0](tmp_path)
    broken(product, kind, RED.get(kind, "04"))
    with pytest.raises(SceneError, match=r"does not fit the model: band (B04|red) cannot be read: .*(B04|B4)"):
        planned(product)


def test_another_model_is_not_chosen_because_a_band_is_broken(tmp_path: Path) -> None:
    product = MAKERS["safe"][0](tmp_path)
    broken(product, "safe", "08")
    scene = describe_scene(product)
    with pytest.raises(SceneError, match=r"band B08 cannot be read: .* download it again; or name a model .* -m"):
        choose_model(scene, "auto", SceneOptions())
    assert choose_model(scene, "sentinel2-landuse-rgb", SceneOptions()).model == "sentinel2-landuse-rgb"


def test_a_product_without_a_band_that_can_be_used_is_refused(tmp_path: Path) -> None:
    for band in ("B10", "B11"):
        write_band(tmp_path / f"LC08_L1TP_014034_20220726_20220802_02_T1_{band}.TIF", land()["B04"], 10)
    with pytest.raises(SceneError, match="has no band that can be used; panchromatic and thermal bands cannot"):
        describe_scene(tmp_path)


def test_a_product_of_broken_bands_is_refused(tmp_path: Path) -> None:
    folder = band_folder(tmp_path)
    for file in folder.iterdir():
        file.write_bytes(b"")
    with pytest.raises(SceneError, match=r"a_B02\.tif is not a raster .* it may be damaged: copy or download it again"):
        describe_scene(folder)


@pytest.mark.parametrize("form", ["folder", "item"])
def test_the_panchromatic_band_is_not_used(tmp_path: Path, form: str) -> None:
    """It has pixels of half the size, which do not begin where the others do."""
    shifted = Affine(5, 0, transform_of(10).c + 2.5, 0, -5, transform_of(10).f - 2.5)
    pan = np.zeros((192, 192), np.uint16)
    if form == "folder":
        product = write_landsat(tmp_path, 2, landsat_dn(2), 10)
        next(product.glob("*_MTL.txt")).unlink()
        write_band(product / f"{product.name}_B8.TIF", pan, 5, transform=shifted)
    else:
        path = write_band(tmp_path / "pan.tif", pan, 5, transform=shifted)
        about = {"href": path.as_uri(), "type": "image/tiff", "eo:bands": [{"name": "B8", "common_name": "pan"}]}
        product = item(tmp_path, pan=about)
    plan = planned(product)
    assert plan.grid.transform.a == 10
    assert len(plan.bidx) == 3


def envi(folder: Path, *lines: str) -> Path:
    """Write blue, green, red and near infrared in the format ENVI, with these lines in the header."""
    path = folder / "a.dat"
    bands = np.stack([land()[band] for band in ("B02", "B03", "B04", "B08")])
    how = {"driver": "ENVI", "crs": CRS, "transform": transform_of(10), "count": 4, "height": 96, "width": 96}
    with rasterio.open(path, "w", dtype="uint16", **how) as raster:
        raster.write(bands)
    header = path.with_suffix(".hdr")
    whole = header.read_text()
    header.write_text("\n".join([whole[: whole.index("band names")], *lines, ""]))
    return path


@pytest.mark.parametrize(
    ("unit", "centres"),
    [
        ("Nanometers", "489.2, 561.0, 663.9, 840.1"),
        ("Micrometers", "0.4892, 0.561, 0.6639, 0.8401"),
        ("Unknown", "0.4892, 0.561, 0.6639, 0.8401"),
    ],
)
def test_bands_are_known_by_their_wavelengths_not_by_how_they_are_shown(
    tmp_path: Path, unit: str, centres: str
) -> None:
    """The default bands of an ENVI header, which GDAL gives as colours, may be a false-colour composite."""
    scene = envi(tmp_path, f"wavelength units = {unit}", f"wavelength = {{{centres}}}", "default bands = {4,3,2}")
    with rasterio.open(scene) as raster:
        assert [colour.name for colour in raster.colorinterp][1:] == ["blue", "green", "red"]
    plan = planned(scene)
    assert plan.bidx == (3, 2, 1)
    assert "bands 3, 2, 1 (664, 561, 489 nm) are used as B04, B03, B02, by their central wavelengths" in plan.notes


def test_bands_far_from_those_wanted_are_not_used(tmp_path: Path) -> None:
    centres = "wavelength = {440, 561, 705, 840}"
    scene = envi(tmp_path, "wavelength units = Nanometers", centres, "default bands = {4, 3, 2}")
    with pytest.raises(SceneError, match=r"\(440, 561, 705, 840 nm\) are not within 30 nm of those of B04, B03, B02"):
        planned(scene)


def test_a_wavelength_that_is_no_number_hides_no_other(tmp_path: Path) -> None:
    assert planned(envi(tmp_path, "wavelength = {nan, 490, 560, 665}", "default bands = {1, 4, 3}")).bidx == (4, 3, 2)


@pytest.mark.parametrize(
    ("factor", "scale"), [("5000", 2.0), ("1", 10_000.0), ("nothing", 1.0), ("0", 1.0), ("1e-4", 1.0)]
)
def test_the_factor_of_reflectance_in_an_envi_header_is_used(tmp_path: Path, factor: str, scale: float) -> None:
    centres = "wavelength = {489.2, 561.0, 663.9, 840.1}"
    lines = (f"reflectance scale factor = {factor}", "acquisition time = 2022-07-26T15:48:19Z")
    plan = planned(envi(tmp_path, "wavelength units = Nanometers", centres, *lines))
    assert plan.value_scales == (scale,) * 3
    assert str(describe_scene(tmp_path / "a.dat").acquisition) == "2022-07-26T15:48:19Z"


class Closed(SimpleHTTPRequestHandler):
    """Serves files to one user."""

    def send_head(self) -> Any:
        """Ask for the password, or send."""
        if self.headers.get("Authorization") == f"Basic {b64encode(b'ada:p@ss').decode()}":
            return super().send_head()
        self.send_response(401)
        self.send_header("WWW-Authenticate", "Basic realm=scenes")
        self.send_header("Content-Length", "0")
        self.end_headers()
        return None

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def closed(tmp_path: Path) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Closed, directory=str(tmp_path))) as serving:
        threading.Thread(target=partial(serving.serve_forever, 0.01), daemon=True).start()
        yield f"127.0.0.1:{serving.server_address[1]}"
        serving.shutdown()


def test_an_item_is_read_with_user_and_password_of_its_address(tmp_path: Path, closed: str) -> None:
    item(tmp_path)
    plan = planned(f"http://ada:p%40ss@{closed}/item.json")
    np.testing.assert_array_equal(values_of(plan), np.stack([land()[band] for band in RGB]))
    shown = json.dumps([plan.path, plan.files, plan.notes])
    assert "p%40ss" not in shown
    assert "ada" not in shown
    with pytest.raises(SceneError, match="its address is not valid; write a space as %20") as refused:
        describe_scene(f"http://ada:a/SECRET@{closed}/item.json")
    assert "SECRET" not in str(refused.value)
    with pytest.raises(SceneError, match=r"item /item\.json cannot be read: HTTP Error 401"):
        describe_scene(f"http://ada:wrong@{closed}/item.json")


def test_files_beside_an_item_are_read_with_its_user_and_password(tmp_path: Path, closed: str) -> None:
    item(tmp_path, lambda path: f"./{path.name}")
    product = read_stac(f"http://ada:p%40ss@{closed}/item.json")
    assert product is not None
    assert product.bands[0].files[0].path == f"/vsicurl/http://ada:p%40ss@{closed}/B04.tif"
