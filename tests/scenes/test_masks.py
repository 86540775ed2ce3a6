"""Masks that come with products or beside scenes leave out what they mark, and nothing else."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio.warp import transform_bounds
from rasterio.windows import Window

from geokd.errors import CallError, GeokdError, SceneError
from geokd.model.contract import InputContract, ValueScaling
from geokd.scenes.masks import parse_mask
from geokd.scenes.options import SceneOptions
from geokd.scenes.plan import ScenePlan
from geokd.scenes.reader import describe_scene, plan_scene, read_window
from tests.products import SIDE_PX, land, plain_scene, write_band, write_safe
from tests.tiny import write_scene

CONTRACT = InputContract(("B04", "B03", "B02"), 16, 10.0, ValueScaling())
RGB = ("B04", "B03", "B02")


def planned(scene: Path, mask: str) -> ScenePlan:
    return plan_scene(describe_scene(scene), CONTRACT, SceneOptions(mask=mask))


def valid_of(plan: ScenePlan) -> NDArray[np.bool_]:
    return read_window(plan, Window(0, 0, plan.grid.width, plan.grid.height))[1]


def twice(values: NDArray[Any]) -> NDArray[Any]:
    """20 m on the grid of 10 m."""
    return values.repeat(2, 0).repeat(2, 1)


@pytest.fixture
def classes() -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 12, (SIDE_PX // 2, SIDE_PX // 2)).astype(np.uint8)


@pytest.mark.parametrize(
    ("asked", "left_out"), [("scl", (0, 1, 3, 8, 9, 10, 11)), ("scl:3,9", (3, 9)), ("SCL:6", (6,))]
)
def test_scl_leaves_out_classes(
    tmp_path: Path, classes: NDArray[np.uint8], asked: str, left_out: tuple[int, ...]
) -> None:
    plan = planned(write_safe(tmp_path, "2A", "05.11", land(), classes), asked)
    np.testing.assert_array_equal(valid_of(plan), ~np.isin(twice(classes), left_out))
    assert f"pixels where the mask scl is {left_out[0]} (" in plan.notes[-1]


def test_the_finest_mask_in_a_folder_is_used(tmp_path: Path, classes: NDArray[np.uint8]) -> None:
    (images,) = write_safe(tmp_path, "2A", "05.11", land(), classes).glob("GRANULE/*/IMG_DATA")
    write_band(images / "R60m" / "T18SVG_20220726T154819_SCL_60m.jp2", np.full((16, 16), 9, np.uint8), 60)
    np.testing.assert_array_equal(valid_of(planned(images, "scl:3,9")), ~np.isin(twice(classes), (3, 9)))


def test_windows_of_a_mask_agree_with_the_whole(tmp_path: Path, classes: NDArray[np.uint8]) -> None:
    plan = planned(write_safe(tmp_path, "2A", "05.11", land(), classes), "scl")
    whole = valid_of(plan)
    for row, col, height, width in ((0, 0, 1, 1), (5, 7, 31, 20), (63, 33, 33, 63)):
        part = read_window(plan, Window(col, row, width, height))[1]
        np.testing.assert_array_equal(part, whole[row : row + height, col : col + width])


@pytest.mark.parametrize(
    ("asked", "bits"),
    [("qa_pixel", 0b111111), ("qa_pixel:cloud", 0b1000), ("qa_pixel:cloud,shadow", 0b11000), ("fmask", 0b11110)],
)
def test_bits_are_requested_by_name(tmp_path: Path, asked: str, bits: int) -> None:
    name = asked.partition(":")[0].upper()
    values = np.stack([*np.full((3, 16, 16), 500, np.uint16), np.arange(256, dtype=np.uint16).reshape(16, 16)])
    plan = planned(write_scene(tmp_path / "a.tif", values, (*RGB, name)), asked)
    np.testing.assert_array_equal(valid_of(plan), (values[3] & bits) == 0)


def test_udm2_lies_beside_a_planetscope_scene(tmp_path: Path) -> None:
    clear = (np.arange(256).reshape(16, 16) % 3 > 0).astype(np.uint8)
    scene = write_scene(
        tmp_path / "20220726_154819_24_2416_3B_AnalyticMS_SR.tif",
        np.full((3, 16, 16), 500, np.uint16),
        ("red", "green", "blue"),
    )
    write_scene(tmp_path / "20220726_154819_24_2416_3B_udm2.tif", np.stack([clear, 1 - clear]))
    plan = plan_scene(describe_scene(scene), CONTRACT, SceneOptions(mask="udm2"))
    assert str(describe_scene(scene).acquisition) == "2022-07-26T15:48:19Z"
    np.testing.assert_array_equal(valid_of(plan), clear == 1)


@pytest.mark.parametrize(("values", "left_out"), [("", (1, 2, 3)), (":2", (2,)), (":0,3", (0, 3))])
def test_a_file_of_any_pixel_size_is_a_mask(tmp_path: Path, values: str, left_out: tuple[int, ...]) -> None:
    scene = plain_scene(tmp_path / "a.tif", land(), *RGB)
    mask = np.random.default_rng(1).integers(0, 4, (SIDE_PX // 2, SIDE_PX // 2)).astype(np.uint8)
    path = write_band(tmp_path / "clouds.tif", mask, 20)
    np.testing.assert_array_equal(valid_of(planned(scene, f"{path}{values}")), ~np.isin(twice(mask), left_out))


def test_a_mask_in_degrees_is_laid_over_the_scene(tmp_path: Path) -> None:
    scene = plain_scene(tmp_path / "a.tif", land(), *RGB)
    with rasterio.open(scene) as dataset:
        west, _, east, north = transform_bounds(dataset.crs, "EPSG:4326", *dataset.bounds)
    side = (east - west) / 40
    mask = np.zeros((60, 60), np.uint8)
    mask[:, 30:] = 1  # from the middle on, to the east
    profile = {"crs": "EPSG:4326", "transform": Affine(side, 0, west - 10 * side, 0, -side, north + 10 * side)}
    valid = valid_of(planned(scene, str(write_band(tmp_path / "clouds.tif", mask, 20, **profile))))
    assert valid[:, :44].all()
    assert not valid[:, 52:].any()


def test_what_lies_beyond_a_mask_is_left_out_and_said(tmp_path: Path) -> None:
    scene = plain_scene(tmp_path / "a.tif", land(), *RGB)
    path = write_band(tmp_path / "clouds.tif", np.zeros((SIDE_PX, SIDE_PX // 2), np.uint8), 10)
    plan = planned(scene, str(path))
    valid = valid_of(plan)
    assert valid[:, : SIDE_PX // 2].all()
    assert not valid[:, SIDE_PX // 2 :].any()
    assert plan.notes[-1].endswith("is not 0 are left out, and those outside the mask")


@pytest.mark.parametrize(
    ("asked", "error", "said"),
    [
        (
            "scl",
            CallError,
            r"has no mask scl, which is part of Sentinel-2 L2A products; give the mask as a file",
        ),
        ("no_such.tif", CallError, "no such file: no_such.tif"),
        ("qa_pixel:fog", CallError, "--mask qa_pixel has no fog; it has fill, dilated, cirrus, cloud"),
        ("scl:12", CallError, "--mask scl has no class 12; it has 0 to 11"),
        ("elsewhere.tif", SceneError, "the mask elsewhere.tif does not overlap the scene"),
        ("placeless.tif", SceneError, "no coordinate reference system, so they cannot be overlaid"),
        ("shares.tif", SceneError, "holds float32 values; a mask has integers"),
        ("two.tif", SceneError, r"the mask two\.tif has 2 bands \(probability, cloud\), and which one is meant"),
        ("broken.tif", SceneError, "the mask broken.tif is not a raster that GDAL can open"),
    ],
)
@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_masks_that_cannot_be_used_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: str, error: type[GeokdError], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    zeros = np.zeros((8, 8), np.uint8)
    names = (*RGB, "QA_PIXEL") if asked.startswith("qa") else (*RGB, "SCL") if ":12" in asked else RGB
    scene = plain_scene(tmp_path / "a.tif", land() | {"QA_PIXEL": land()["B08"], "SCL": land()["B08"]}, *names)
    write_band(tmp_path / "elsewhere.tif", zeros, 10, crs="EPSG:32633")
    write_band(tmp_path / "placeless.tif", zeros, 10, crs=None, transform=None)
    write_band(tmp_path / "shares.tif", zeros.astype(np.float32), 10)
    write_scene(tmp_path / "two.tif", np.stack([zeros, zeros]), ("probability", "cloud"))
    (tmp_path / "broken.tif").write_bytes(b"II*\0")
    with pytest.raises(error, match=said):
        planned(scene, asked)


def test_a_mask_is_one_of_the_files_that_a_run_depends_on(tmp_path: Path) -> None:
    scene = plain_scene(tmp_path / "a.tif", land(), *RGB)
    path = write_band(tmp_path / "clouds.tif", np.zeros((SIDE_PX, SIDE_PX), np.uint8), 10)
    assert str(path) in planned(scene, str(path)).files


@pytest.mark.parametrize("name", ["S2_SCL_10m.tif", "scl.tif", "x_QA_PIXEL.TIF", "a.Fmask.tif", "2021_udm2.tif"])
def test_a_file_whose_name_is_that_of_a_classification_needs_its_kind(tmp_path: Path, name: str) -> None:
    scene = plain_scene(tmp_path / "a.tif", land(), *RGB)
    classes = np.full((1, SIDE_PX, SIDE_PX), 4, np.uint8)
    classes[0, : SIDE_PX // 2] = 9
    mask = write_scene(tmp_path / name, classes, transform=describe_scene(scene).grid.transform)
    with pytest.raises(CallError, match=r"clear pixels are not 0: give --mask .* to leave out only these"):
        planned(scene, str(mask))
    left_out = valid_of(planned(scene, f"{mask}:9"))
    assert left_out[SIDE_PX // 2 :].all()
    assert not left_out[: SIDE_PX // 2].any()


def test_a_file_of_scene_classes_is_read_by_its_kind(tmp_path: Path) -> None:
    scene = plain_scene(tmp_path / "a.tif", land(), *RGB)
    classes = np.random.default_rng(0).integers(0, 12, (1, SIDE_PX, SIDE_PX)).astype(np.uint8)
    mask = write_scene(tmp_path / "own_classes.tif", classes, transform=describe_scene(scene).grid.transform)
    plan = planned(scene, f"{mask}:scl")
    np.testing.assert_array_equal(valid_of(plan), ~np.isin(classes[0], (0, 1, 3, 8, 9, 10, 11)))
    assert "pixels where the mask own_classes.tif is 0 (no data), 1 (saturated)" in plan.notes[-1]
    some = planned(scene, f"{mask}:SCL:3,9")
    np.testing.assert_array_equal(valid_of(some), ~np.isin(classes[0], (3, 9)))
    assert "is 3 (cloud shadow), 9 (cloud, high probability) are left out" in some.notes[-1]


def test_bits_of_a_file_are_chosen_by_name(tmp_path: Path) -> None:
    scene = plain_scene(tmp_path / "a.tif", land(), *RGB)
    bits = np.random.default_rng(0).integers(0, 256, (1, SIDE_PX, SIDE_PX)).astype(np.uint16)
    mask = write_scene(tmp_path / "LC08_QA_PIXEL.TIF", bits, transform=describe_scene(scene).grid.transform)
    np.testing.assert_array_equal(valid_of(planned(scene, f"{mask}:qa_pixel:shadow")), (bits[0] & 16) == 0)
    with pytest.raises(CallError, match=r":qa_pixel:shadow,snow to leave out only these; for a mask in which 1 is to"):
        planned(scene, str(mask))
    with pytest.raises(CallError, match="--mask qa_pixel has no clouds; it has fill, dilated"):
        planned(scene, f"{mask}:qa_pixel:clouds")


def test_a_variable_may_have_the_name_of_a_kind() -> None:
    assert parse_mask("NETCDF:m.nc:SCL:3,9") == ("NETCDF:m.nc:SCL", "", "3,9")
    assert parse_mask('NETCDF:"m.nc":SCL') == ('NETCDF:"m.nc":SCL', "", "")
    assert parse_mask("NETCDF:m.nc:classes:scl:3") == ("NETCDF:m.nc:classes", "scl", "3")
    assert parse_mask("netcdf.tif:scl:3") == ("netcdf.tif", "scl", "3")
