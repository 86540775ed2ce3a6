"""What all tests share."""

import os
import signal
from pathlib import Path

import pytest
from hypothesis import settings

from tests.tiny import dense_bundle, three_fields, tiny_bundle, write_scene

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # threads that wait leave the cores to tests side by side
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # tests in the background: what they start would not hear Ctrl-C
    signal.signal(signal.SIGINT, signal.default_int_handler)
settings.register_profile("geokd", deadline=None)  # a busy machine is no error
settings.load_profile("geokd")


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle file that maps the brightest of three bands to a class."""
    path = tmp_path_factory.mktemp("model") / "tiny.onnx"
    path.write_bytes(tiny_bundle().onnx_bytes)
    return path


@pytest.fixture(scope="session")
def dense_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle file that maps the brightest of three bands about each pixel to a class."""
    path = tmp_path_factory.mktemp("dense") / "dense.onnx"
    path.write_bytes(dense_bundle().onnx_bytes)
    return path


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    """An 8-bit scene of 100 x 130 pixels: red, green and blue from left to right."""
    return write_scene(tmp_path / "fields.tif", three_fields(100, 130), photometric="RGB")
