"""Sentinel-2 products of all forms give the map of a plain GeoTIFF of the same reflectance."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray

from geokd.errors import SceneError
from geokd.mapping.choosing import choose_model
from geokd.mapping.classify import classify
from geokd.mapping.options import ClassifyOptions
from geokd.mapping.planning import plan_jobs
from geokd.mapping.scene_run import ClassifyResult
from geokd.scenes.identity import source_identity
from geokd.scenes.options import SceneOptions
from geokd.scenes.reader import describe_scene
from tests.products import (
    NODATA_CORNER,
    SIDE_PX,
    land,
    plain_scene,
    with_offset,
    write_old_safe,
    write_safe,
    zipped,
)
from tests.tiny import tiny_bundle

RGB = ("B04", "B03", "B02")
FORMS = ("folder", "zip", "metadata", "GDAL dataset", "zip within GDAL")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "tiny.onnx"
    path.write_bytes(tiny_bundle().onnx_bytes)
    return path


def mapped(scene: Path | str, model: Path, folder: Path, **options: object) -> ClassifyResult:
    return classify(scene, model, folder, ClassifyOptions(workers=1, polygons=False, **options))  # type: ignore[arg-type]


def named(product: Path, form: str, level: str) -> str:
    """Name a product as users do."""
    if form == "zip":
        return str(zipped(product))
    if form == "zip within GDAL":
        return f"/vsizip/{zipped(product)}/{product.name}/MTD_MSIL{level}.xml"
    if form == "metadata":
        return str(product / f"MTD_MSIL{level}.xml")
    return str(product) if form == "folder" else f"SENTINEL2_L{level}:{product}/MTD_MSIL{level}.xml:10m:EPSG_32618"


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("baseline", ["02.14", "04.00", "05.11"])
@pytest.mark.parametrize("level", ["1C", "2A"])
def test_a_product_gives_the_map_of_its_reflectance(
    tmp_path: Path, model: Path, level: str, baseline: str, form: str
) -> None:
    bands = land()
    product = write_safe(tmp_path / "in", level, baseline, bands, corner=True)
    seen = {name: values.copy() for name, values in bands.items()}
    for values in seen.values():
        if values.shape == (SIDE_PX, SIDE_PX):
            values[NODATA_CORNER] = 0
    plain = mapped(plain_scene(tmp_path / "plain.tif", seen, *RGB, nodata=0), model, tmp_path / "plain")
    made = mapped(named(product, form, level), model, tmp_path / "out")
    assert made.class_map.codes.tobytes() == plain.class_map.codes.tobytes()
    assert made.class_map.confidence.tobytes() == plain.class_map.confidence.tobytes()
    assert set(np.unique(made.class_map.codes)) >= {0, 1, 2, 255}
    assert (tmp_path / "out" / f"{product.stem}_landuse.tif").exists()
    manifest = made.manifest.to_json()
    assert manifest["acquired"]["start"] == "2022-07-26T15:48:19Z"
    assert manifest["scene"]["product"] == f"Sentinel-2 L{level} product, processing baseline {baseline}"
    assert manifest["scene"]["tile"] == "T18SVG"
    assert any(f"from MTD_MSIL{level}.xml (processing baseline {baseline})" in note for note in manifest["notes"])
    assert not [warning for warning in manifest["warnings"] if "offset" in warning]


def test_bands_of_all_sizes_lie_on_the_finest_grid(tmp_path: Path) -> None:
    bands = land()
    info = describe_scene(write_safe(tmp_path, "2A", "05.11", bands))
    assert info.descriptions == ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B11", "B12")
    assert (info.grid.height, info.grid.width, info.grid.transform.a) == (SIDE_PX, SIDE_PX, 10)
    assert set(info.scales) == {1e-4}
    assert set(info.offsets) == {-0.1}
    with rasterio.open(info.raster) as dataset:
        twenty, ten = dataset.read(5), dataset.read(4)
    np.testing.assert_array_equal(ten, with_offset(bands["B04"], "05.11"))
    inner = twenty[1:-1, 1:-1].astype(float)
    expected = bilinear_by_two(with_offset(bands["B05"], "05.11").astype(float))[1:-1, 1:-1]
    assert np.abs(inner - expected).max() <= 1


def bilinear_by_two(coarse: NDArray[np.float64]) -> NDArray[np.float64]:
    """Values at the middles of the four quarters of each pixel, linear between the middles of pixels."""
    for axis in (0, 1):
        before, after = np.roll(coarse, 1, axis), np.roll(coarse, -1, axis)
        fine = np.stack([0.75 * coarse + 0.25 * before, 0.75 * coarse + 0.25 * after], axis=axis + 1)
        coarse = fine.reshape(*(2 * n if a == axis else n for a, n in enumerate(coarse.shape)))
    return coarse


def test_granules_of_an_old_product_lie_side_by_side(tmp_path: Path, model: Path) -> None:
    bands = {name: values for name, values in land().items() if name in ("B02", "B03", "B04", "B08")}
    plain = mapped(plain_scene(tmp_path / "plain.tif", bands, *RGB), model, tmp_path / "plain")
    product = write_old_safe(tmp_path, bands)
    made = mapped(product, model, tmp_path / "out")
    assert made.class_map.codes.tobytes() == plain.class_map.codes.tobytes()
    assert made.class_map.confidence.tobytes() == plain.class_map.confidence.tobytes()
    assert made.manifest.to_json()["scene"]["tile"] == "T18SVG T18SVH"


def test_granules_of_two_zones_are_not_mixed(tmp_path: Path) -> None:
    product = write_old_safe(tmp_path, {"B04": land()["B04"]}, ("18", "19"))
    with pytest.raises(
        SceneError, match=r"several UTM zones; name one of them: SENTINEL2_L1C:.*EPSG_32618, .*EPSG_32619"
    ):
        describe_scene(product)
    (metadata,) = product.glob("*.xml")
    info = describe_scene(f"SENTINEL2_L1C:{metadata}:10m:EPSG_32619")
    assert info.grid.crs is not None
    assert (info.grid.crs.to_epsg(), info.grid.width) == (32619, SIDE_PX // 2)


def test_a_run_is_not_resumed_after_a_band_was_changed(tmp_path: Path, model: Path) -> None:
    product = write_safe(tmp_path, "2A", "05.11", land())
    (job,) = plan_jobs([product], model, tmp_path / "out", ClassifyOptions())
    before = source_identity(job.plan)
    (band,) = product.rglob("*_B04_10m.jp2")
    band.write_bytes(band.read_bytes())
    assert source_identity(job.plan) != before


def test_a_model_is_chosen_for_a_product(tmp_path: Path) -> None:
    info = describe_scene(write_safe(tmp_path, "1C", "05.11", land()))
    assert choose_model(info, "auto", SceneOptions()).model == "sentinel2-landuse"


@pytest.mark.parametrize(
    "named_by",
    ["manifest.safe", "..", "GRANULE", "GRANULE/*", "GRANULE/*/IMG_DATA/R10m", "GRANULE/*/IMG_DATA/R10m/..", "link"],
)
@pytest.mark.parametrize("letters", [str, str.lower])
def test_a_product_is_found_by_what_lies_in_it_or_around_it(
    tmp_path: Path, named_by: str, letters: Callable[[str], str]
) -> None:
    """The files of the bands have neither offset nor nodata value: these are in the metadata of the product."""
    product = write_safe(tmp_path / "in", "2A", "05.11", {"B04": land()["B04"]})
    (product / "MTD_MSIL2A.xml").rename(product / letters("MTD_MSIL2A.xml"))
    (product / "GRANULE").rename(product / letters("GRANULE"))
    named_by = named_by.replace("GRANULE", letters("GRANULE"))
    (bands,) = product.rglob("R10m")
    (tmp_path / "link").symlink_to(bands)
    if named_by == "..":
        named = product.parent
    elif named_by == "link":
        named = tmp_path / "link"
    else:
        (named,) = product.glob(named_by.removesuffix("/.."))
        named = named / ".." if named_by.endswith("/..") else named
    info = describe_scene(named)
    assert (info.scales, info.offsets, info.nodata) == ((1e-4,), (-0.1,), (0.0,))
    assert info.product is not None
    assert info.product.name == product.stem


def test_bands_that_are_kept_beside_a_product_are_not_it(tmp_path: Path) -> None:
    product = write_safe(tmp_path, "2A", "05.11", {name: land()[name] for name in ("B03", "B04")})
    own = product / "own"
    own.mkdir()
    for band in product.rglob("*_10m.jp2"):
        shutil.copy(band, own)
    assert describe_scene(own).offsets == (0.0, 0.0)
