"""What the files behind a scene are stored in."""

import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import rasterio

from geokd.scenes import storage
from geokd.scenes.storage import StoredBlock, largest_block
from tests.tiny import write_scene

pytestmark = pytest.mark.filterwarnings("error::rasterio.errors.NotGeoreferencedWarning")


@pytest.fixture(autouse=True)
def whole_strips() -> Iterator[None]:
    with rasterio.Env(GDAL_ENABLE_TIFF_SPLIT="NO"):
        yield


def block_of(path: Path | str) -> StoredBlock:
    with rasterio.open(path) as dataset:
        return largest_block(dataset)


def mosaic(path: Path, sources: list[Path]) -> Path:
    """Write a VRT of sources side by side, 16 x 16 px each."""
    parts = "".join(
        f'<SimpleSource><SourceFilename relativeToVRT="1">{source.name}</SourceFilename><SourceBand>1</SourceBand>'
        f'<SrcRect xOff="0" yOff="0" xSize="16" ySize="16"/><DstRect xOff="{16 * n}" yOff="0" xSize="16" ySize="16"/>'
        "</SimpleSource>"
        for n, source in enumerate(sources)
    )
    path.write_text(
        f'<VRTDataset rasterXSize="{16 * len(sources)}" rasterYSize="16">'
        "<GeoTransform>0, 10, 0, 0, 0, -10</GeoTransform>"
        f'<VRTRasterBand dataType="Byte" band="1">{parts}</VRTRasterBand></VRTDataset>'
    )
    return path


def tiled(path: Path, side_px: int) -> Path:
    """Write a sparse file of one tile, which says nothing of its place."""
    with warnings.catch_warnings(action="ignore"), rasterio.open(
        path, "w", driver="GTiff", width=side_px, height=side_px, count=1, dtype="uint8", tiled=True, sparse_ok=True,
        blockxsize=side_px, blockysize=side_px,
    ):  # fmt: skip
        return path


@pytest.mark.parametrize(("interleave", "size"), [("pixel", 3 * 32 * 48 * 2), ("band", 32 * 48 * 2)])
def test_bands_that_are_stored_together_count_together(tmp_path: Path, interleave: str, size: int) -> None:
    pixels = np.zeros((3, 64, 48), np.uint16)
    path = write_scene(tmp_path / "a.tif", pixels, blockysize=32, interleave=interleave)
    assert block_of(path) == StoredBlock(str(path), 32, 48, size)


def test_complex_integers_have_a_size(tmp_path: Path) -> None:
    (tmp_path / "a.vrt").write_text(
        '<VRTDataset rasterXSize="20" rasterYSize="10"><GeoTransform>0, 10, 0, 0, 0, -10'
        '</GeoTransform><VRTRasterBand dataType="CInt16" band="1"/></VRTDataset>'
    )
    assert block_of(tmp_path / "a.vrt").size_bytes == 20 * 10 * 4


def test_sources_of_sources_are_seen_and_what_cannot_be_opened_is_left_out(tmp_path: Path) -> None:
    small, large = (tiled(tmp_path / f"{side}.tif", side) for side in (64, 1024))
    inner = mosaic(tmp_path / "inner.vrt", [small, large, tmp_path / "gone.tif"])
    outer = mosaic(tmp_path / "outer.vrt", [tmp_path / "lost.tif", small, inner])
    assert block_of(outer) == StoredBlock(str(large), 1024, 1024, 2**20)
    assert block_of(f"vrt://{outer}") == StoredBlock(str(large), 1024, 1024, 2**20)


def test_of_many_sources_some_from_all_over_are_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = tiled(tmp_path / "small.tif", 16)
    tiles = [tmp_path / f"{n}.tif" for n in range(1000)]
    for tile in tiles:
        tile.symlink_to(small)
    inner = [mosaic(tmp_path / f"inner{n}.vrt", tiles[10 * n : 10 * n + 10]) for n in range(100)]
    opened: list[str] = []
    with rasterio.open(mosaic(tmp_path / "flat.vrt", tiles)) as flat, rasterio.open(
        mosaic(tmp_path / "nested.vrt", inner)
    ) as nested:  # fmt: skip
        usual = rasterio.open

        def counted(path: str) -> object:
            opened.append(path)
            return usual(path)

        monkeypatch.setattr(rasterio, "open", counted)
        largest_block(flat)
        numbers = [int(Path(path).stem) for path in opened]
        opened.clear()
        largest_block(nested)
    assert len(numbers) == len(set(numbers)) == 64
    assert max(np.diff([0, *numbers, 1000])) < 20
    assert 64 < len(opened) <= 128
    assert len({path for path in opened if path.endswith(".tif")}) == 64


def test_a_vrt_of_itself_comes_to_an_end(tmp_path: Path) -> None:
    path = mosaic(tmp_path / "a.vrt", [tmp_path / "b.vrt", tmp_path / "a.vrt"])
    mosaic(tmp_path / "b.vrt", [path, path])
    assert block_of(path).path == str(path)


def test_slow_sources_are_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small, large = (tiled(tmp_path / f"{side}.tif", side) for side in (64, 1024))
    path = mosaic(tmp_path / "a.vrt", [small, large])
    monkeypatch.setattr(storage, "_LOOKING_S", 0.05)
    usual = rasterio.open

    def slow(name: str) -> object:
        time.sleep(0.1)
        return usual(name)

    with usual(path) as dataset:
        monkeypatch.setattr(rasterio, "open", slow)
        assert largest_block(dataset).path == str(small)
