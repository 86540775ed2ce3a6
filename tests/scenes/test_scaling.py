import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from geokd.model.contract import ValueScaling
from geokd.scenes.scaling import to_uint8
from tests.tiny import write_scene

EUROSAT = ValueScaling()


def gdal_translate(path: Path, values: NDArray[Any], scaling: ValueScaling) -> NDArray[np.uint8]:
    """What `gdal_translate -ot Byte -scale` makes of `values`: it builds this very VRT and copies it."""
    write_scene(path, values[np.newaxis])
    assert not isinstance(scaling.maximum, tuple)
    ratio = scaling.slope
    offset = scaling.output_minimum - scaling.minimum * ratio
    height, width = values.shape
    vrt = f"""<VRTDataset rasterXSize="{width}" rasterYSize="{height}"><VRTRasterBand dataType="Byte" band="1">
        <ComplexSource><SourceFilename>{path}</SourceFilename><SourceBand>1</SourceBand>
        <ScaleOffset>{offset!r}</ScaleOffset><ScaleRatio>{ratio!r}</ScaleRatio></ComplexSource>
        </VRTRasterBand></VRTDataset>"""
    with rasterio.open(vrt) as dataset:
        return np.asarray(dataset.read(1))


@pytest.mark.parametrize(
    "scaling", [EUROSAT, ValueScaling(0, 3000, 0, 255), ValueScaling(100, 2600, 1, 250), ValueScaling(0, 510, 0, 255)]
)
@pytest.mark.parametrize("dtype", ["uint16", "int16", "float32"])
@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_it_is_gdal_translate_value_by_value(tmp_path: Path, dtype: str, scaling: ValueScaling) -> None:
    low = -32768 if dtype == "int16" else 0
    values = np.arange(low, low + 65536).reshape(256, 256).astype(dtype)
    np.testing.assert_array_equal(to_uint8(values, 1, 0, scaling), gdal_translate(tmp_path / "x.tif", values, scaling))


@pytest.mark.parametrize(
    ("value", "byte"),
    [(0, 1), (5, 1), (6, 2), (1375, 128), (2749, 255), (2750, 255), (2751, 255), (65535, 255)],
)
def test_hand_computed_bytes_of_the_eurosat_stretch(value: int, byte: int) -> None:
    assert to_uint8(np.array([value], np.uint16), 1, 0, EUROSAT).tolist() == [byte]


@given(
    st.lists(st.integers(-32768, 32767), min_size=1, max_size=50),
    st.floats(0.01, 100),
    st.floats(-2000, 2000),
)
def test_the_lookup_table_answers_as_the_arithmetic_does(values: list[int], scale: float, offset: float) -> None:
    by_table = to_uint8(np.array(values, np.int16), scale, offset, EUROSAT)
    by_arithmetic = to_uint8(np.array(values, np.float64), scale, offset, EUROSAT)
    np.testing.assert_array_equal(by_table, by_arithmetic)


@given(st.lists(st.integers(0, 65535), min_size=2, max_size=50))
def test_brighter_stays_brighter(values: list[int]) -> None:
    stretched = to_uint8(np.sort(np.array(values, np.uint16)), 1, -1000, EUROSAT)
    assert (np.diff(stretched.astype(int)) >= 0).all()


def test_scale_and_offset_come_before_the_stretch() -> None:
    dn = np.array([1000, 2375, 3750], np.uint16)
    assert to_uint8(dn, 1, -1000, EUROSAT).tolist() == [1, 128, 255]
    reflectance = np.array([0.0, 0.1375, 0.275], np.float32)
    assert to_uint8(reflectance, 10_000, 0, EUROSAT).tolist() == [1, 128, 255]


def test_values_that_are_not_finite_become_0() -> None:
    values = np.array([np.nan, np.inf, -np.inf, 2750, 3.4e38, -3.4e38], np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert to_uint8(values, 10_000, 0, EUROSAT).tolist() == [0, 0, 0, 255, 255, 0]


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64"])
def test_every_type_keeps_its_shape(dtype: str) -> None:
    values = np.full((2, 3, 4), 55, dtype)
    stretched = to_uint8(values, 10, 0, EUROSAT)
    assert stretched.shape == (2, 3, 4)
    assert stretched.dtype == np.uint8
    assert (stretched == 52).all()  # 550 / 2750 of 254, and 1: 51.8


def test_values_in_another_byte_order_or_not_contiguous() -> None:
    values = np.arange(0, 2750, 50, dtype=np.uint16).reshape(5, 11)
    expected = to_uint8(values, 1, 0, EUROSAT)
    other = ">u2" if sys.byteorder == "little" else "<u2"
    np.testing.assert_array_equal(to_uint8(values.astype(other), 1, 0, EUROSAT), expected)
    np.testing.assert_array_equal(to_uint8(values[:, ::2], 1, 0, EUROSAT), expected[:, ::2])


def test_bytes_pass_through() -> None:
    values = np.arange(256, dtype=np.uint8)
    np.testing.assert_array_equal(to_uint8(values, 1, 0, None), values)
    with pytest.raises(ValueError, match="uint16"):
        to_uint8(values.astype(np.uint16), 1, 0, None)


def test_each_band_may_have_a_maximum_of_its_own() -> None:
    values = np.array([[0, 1375, 2750, 5500], [0, 1375, 2750, 5500]], np.uint16)
    both = to_uint8(values, 1, 0, ValueScaling(maximum=(2750.0, 5500.0)))
    apart = [to_uint8(values[i], 1, 0, ValueScaling(maximum=maximum)) for i, maximum in enumerate((2750.0, 5500.0))]
    assert both.tolist() == [band.tolist() for band in apart]
    assert both.tolist() == [[1, 128, 255, 255], [1, 65, 128, 255]]
    with pytest.raises(ValueError, match="2 maxima for 3 bands"):
        to_uint8(np.zeros((3, 4), np.uint16), 1, 0, ValueScaling(maximum=(2750.0, 5500.0)))
