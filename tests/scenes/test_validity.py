from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray
from rasterio.enums import ColorInterp
from rasterio.windows import Window

from geokd.scenes.validity import Nodata, has_mask, valid_pixels
from tests.tiny import write_scene

BAD = (slice(1, 3), slice(2, 4))  # the invalid rows and columns of all scenes here
GOOD = np.ones((5, 6), bool)
GOOD[BAD] = False


def values_of(dtype: str, bands: int = 3) -> NDArray[Any]:
    return np.random.default_rng(3).integers(1, 200, (bands, 5, 6)).astype(dtype)


def valid_of(
    path: Path, bidx: tuple[int, ...] = (1, 2, 3), nodata: float | None = None, window: Window | None = None
) -> NDArray[np.bool_]:
    window = window or Window(0, 0, 6, 5)
    with rasterio.open(path) as dataset:
        values = dataset.read(list(bidx), window=window)
        own = dataset.nodatavals if nodata is None else (nodata,) * dataset.count
        return valid_pixels(dataset, values, window, bidx, Nodata(own))


def masked(path: Path) -> bool:
    with rasterio.open(path) as dataset:
        return has_mask(dataset)


@pytest.mark.parametrize(("dtype", "nodata"), [("uint8", 0), ("uint8", 255), ("uint16", 0)])
def test_nodata_that_may_be_honest_counts_where_all_bands_hold_it(tmp_path: Path, dtype: str, nodata: float) -> None:
    values = values_of(dtype)
    values[(slice(None), *BAD)] = nodata
    values[0, 0, 0] = nodata  # an honest value of one band
    path = write_scene(tmp_path / "a.tif", values, nodata=nodata)
    np.testing.assert_array_equal(valid_of(path), GOOD)
    assert not masked(path)


@pytest.mark.parametrize(
    ("dtype", "nodata"),
    [("uint8", 7), ("uint16", 65535), ("int16", -9999), ("float32", -3.4028234663852886e38)],
)
def test_any_other_nodata_counts_in_a_single_band(tmp_path: Path, dtype: str, nodata: float) -> None:
    values = np.full((3, 5, 6), 50, dtype)
    values[(1, *BAD)] = nodata
    np.testing.assert_array_equal(valid_of(write_scene(tmp_path / "a.tif", values, nodata=nodata)), GOOD)


def test_zero_in_a_single_band_counts_where_it_would_be_a_reflectance_below_zero() -> None:
    values = np.array([[[0, 5, 0]], [[0, 5, 5]]], np.uint16)
    assert Nodata((0.0, 0.0)).missing(values, (1, 2)).tolist() == [[True, False, False]]
    assert Nodata((0.0, 0.0), zero_is_data=False).missing(values, (1, 2)).tolist() == [[True, False, True]]


def test_each_band_may_have_a_nodata_value_of_its_own() -> None:
    values = np.array([[[9, 1, 9]], [[1, 8, 1]], [[9, 8, 7]]], np.uint16)
    assert Nodata((9.0, None, 8.0)).missing(values, (1, 2, 3)).tolist() == [[True, True, True]]
    assert Nodata((7.0, 5.0, 8.0)).missing(values[[0, 2]], (1, 3)).tolist() == [[False, True, False]]


def test_only_the_selected_bands_count(tmp_path: Path) -> None:
    values = values_of("uint8", bands=4)
    values[(slice(0, 3), *BAD)] = 0
    path = write_scene(tmp_path / "a.tif", values, nodata=0)
    np.testing.assert_array_equal(valid_of(path), GOOD)
    assert valid_of(path, (1, 2, 4)).all()


def test_the_users_nodata_replaces_the_files(tmp_path: Path) -> None:
    values = values_of("uint8")
    values[:, 0] = 0
    values[(slice(None), *BAD)] = 255
    np.testing.assert_array_equal(valid_of(write_scene(tmp_path / "a.tif", values, nodata=0), nodata=255), GOOD)


@pytest.mark.parametrize("nodata", [None, float("nan"), -9999.0])
@pytest.mark.parametrize("hole", [np.nan, np.inf, -np.inf])
def test_a_band_that_is_not_finite_spoils_the_pixel(tmp_path: Path, hole: float, nodata: float | None) -> None:
    values = values_of("float32")
    values[(1, *BAD)] = hole
    np.testing.assert_array_equal(valid_of(write_scene(tmp_path / "a.tif", values, nodata=nodata)), GOOD)


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("nodata", [None, 0])
@pytest.mark.parametrize("alpha_band", [1, 4])
def test_alpha(tmp_path: Path, dtype: str, nodata: float | None, alpha_band: int) -> None:
    values = values_of(dtype, bands=4)
    values[alpha_band - 1] = np.iinfo(dtype).max * GOOD
    path = write_scene(tmp_path / "a.tif", values, nodata=nodata, photometric="MINISBLACK")
    images = tuple(band for band in (1, 2, 3, 4) if band != alpha_band)
    with rasterio.open(path, "r+") as dataset:
        dataset.colorinterp = [
            ColorInterp.alpha if band == alpha_band else ColorInterp.undefined for band in (1, 2, 3, 4)
        ]
    assert masked(path)
    np.testing.assert_array_equal(valid_of(path, images), GOOD)


@pytest.mark.parametrize("internal", [True, False])
def test_masks_inside_and_beside_the_file(tmp_path: Path, internal: bool) -> None:
    path = write_scene(tmp_path / "a.tif", values_of("uint16"))
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=internal), rasterio.open(path, "r+") as dataset:
        dataset.write_mask(GOOD)
    assert (tmp_path / "a.tif.msk").exists() is not internal
    assert masked(path)
    np.testing.assert_array_equal(valid_of(path), GOOD)


def test_a_mask_and_nodata_are_both_honoured(tmp_path: Path) -> None:
    values = values_of("uint8")
    values[:, 0] = 0
    path = write_scene(tmp_path / "a.tif", values, nodata=0)
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "r+") as dataset:
        dataset.write_mask(GOOD)
    expected = GOOD.copy()
    expected[0] = False
    np.testing.assert_array_equal(valid_of(path), expected)


def test_a_window_has_the_validity_of_its_place(tmp_path: Path) -> None:
    values = values_of("uint8", bands=4)
    values[3] = 255 * GOOD
    path = write_scene(tmp_path / "a.tif", values, photometric="RGB", alpha="yes")
    np.testing.assert_array_equal(valid_of(path, window=Window(1, 2, 3, 2)), GOOD[2:4, 1:4])


def test_without_any_mark_all_pixels_are_valid(tmp_path: Path) -> None:
    path = write_scene(tmp_path / "a.tif", np.zeros((3, 5, 6), np.uint8))
    assert valid_of(path).all()
    assert not masked(path)
