"""The drift check of the shipped student: silent on the sample scene, loud on it spoiled."""

from pathlib import Path

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray

import geokd
from tests.tiny import write_scene

SCENE = Path(__file__).parents[2] / "sample_data" / "eastern_shore.tif"


@pytest.fixture(scope="module")
def bands() -> NDArray[np.float64]:
    with rasterio.open(SCENE) as scene:
        return np.asarray(scene.read([1, 2, 3]), np.float64)


def warnings_of(values: NDArray[np.float64], tmp_path: Path) -> list[str]:
    path = write_scene(tmp_path / "s.tif", np.clip(values, 0, 65535).astype(np.uint16), ("B04", "B03", "B02"))
    manifest = geokd.classify(
        path, "eurosat-rgb-maps", tmp_path, geokd.ClassifyOptions(stride_px=64)
    ).manifest.to_json()
    assert manifest["drift"]["patches"] == 256
    return list(manifest["warnings"])


@pytest.mark.parametrize("gain", [0.8, 1.0, 1.2])
def test_silent_on_a_good_scene(bands: NDArray[np.float64], tmp_path: Path, gain: float) -> None:
    assert warnings_of(bands * gain, tmp_path) == []


def test_loud_where_bands_are_swapped(bands: NDArray[np.float64], tmp_path: Path) -> None:
    assert any("the order of the bands" in warning for warning in warnings_of(bands[::-1], tmp_path))


@pytest.mark.parametrize(("factor", "word"), [(1 / 3, "darker"), (3.0, "brighter")])
def test_loud_where_values_are_scaled_wrongly(
    bands: NDArray[np.float64], tmp_path: Path, factor: float, word: str
) -> None:
    found = warnings_of(bands * factor, tmp_path)
    assert any(f"times {word}, so check --value-scale" in warning for warning in found)


def test_loud_on_a_stretched_coarse_scene(bands: NDArray[np.float64], tmp_path: Path) -> None:
    """As a scene of 30 m would look if it were stretched to bytes band by band and resampled to 10 m."""
    coarse = bands[:, :1023, :1023].reshape(3, 341, 3, 341, 3).mean(axis=(2, 4))
    low, high = np.percentile(coarse, [2, 98], axis=(1, 2), keepdims=True)
    stretched = ((coarse - low) / (high - low)).clip(0, 1).repeat(3, 1).repeat(3, 2)
    found = warnings_of(np.pad(stretched, ((0, 0), (0, 1), (0, 1)), mode="edge") * 2750, tmp_path)
    assert any("do not resemble the training data" in warning for warning in found)
