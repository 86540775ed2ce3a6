import zipfile
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from PIL import Image

from geokd.bundle import InputContract, ValueScaling
from geokd.errors import CallError, ChipError
from geokd.scenes.chips import index_chips, probe_chips, read_chips

RGB = InputContract(("B04", "B03", "B02"), 8, 10.0, ValueScaling())


def write_png(path: Path, colour: tuple[int, int, int] = (10, 20, 30), side: int = 8) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (side, side), colour).save(path)


def write_tiff(path: Path, values: list[int], *, left: float = 500_000.0, names: tuple[str, ...] = ()) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    transform = Affine(10, 0, left, 0, -10, 4_000_000)
    profile = {"driver": "GTiff", "dtype": "uint16", "count": len(values), "height": 8, "width": 8}
    with rasterio.open(path, "w", **profile, crs="EPSG:32618", transform=transform) as dataset:
        for band, value in enumerate(values, 1):
            dataset.write(np.full((8, 8), value, np.uint16), band)
            if names:
                dataset.set_band_description(band, names[band - 1])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "set" / "train"
    write_png(root / "Sea" / "b.png", (0, 0, 200))
    write_png(root / "Sea" / "a.png", (0, 0, 100))
    write_png(root / "Open forest" / "1.PNG", (0, 80, 0), side=16)
    write_png(root / "Sea" / ".hidden.png")
    write_png(root / ".thumbs" / "x.png")
    (root / "readme.txt").write_text("no chip")
    return tmp_path / "set"


def test_index_and_pixels(folder: Path) -> None:
    index = index_chips(folder)
    assert index.classes == ("Open forest", "Sea")
    assert index.files == ("train/Open forest/1.PNG", "train/Sea/a.png", "train/Sea/b.png")
    assert index.labels == (0, 1, 1)
    chips = read_chips(index, RGB)
    assert chips.pixels.shape == (3, 3, 8, 8)
    assert chips.pixels[:, :, 0, 0].tolist() == [[0, 80, 0], [0, 0, 100], [0, 0, 200]]
    assert chips.bounds is None
    assert probe_chips(index).resolution_m is None
    assert probe_chips(index).side_px == 8


def test_an_archive_holds_the_same(folder: Path, tmp_path: Path) -> None:
    archive = tmp_path / "set.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for path in folder.rglob("*"):
            file.write(path, path.relative_to(folder))
    ours, theirs = index_chips(archive), index_chips(folder)
    assert (ours.files, ours.labels, ours.classes) == (theirs.files, theirs.labels, theirs.classes)
    assert read_chips(ours, RGB).fingerprint == read_chips(theirs, RGB).fingerprint


def test_the_fingerprint_tells_pixels_and_labels(folder: Path) -> None:
    before = read_chips(index_chips(folder), RGB).fingerprint
    (folder / "train" / "Sea" / "a.png").rename(folder / "train" / "Open forest" / "a.png")
    assert read_chips(index_chips(folder), RGB).fingerprint != before


def test_geotiff_chips_are_read_as_scenes_are(tmp_path: Path) -> None:
    names = ("B08", "B02", "B03", "B04")
    write_tiff(tmp_path / "Sea" / "1.tif", [9, 2750, 1375, 0], names=names)
    write_tiff(tmp_path / "Sand" / "2.tif", [9, 2750, 1375, 0], names=names, left=500_080.0)
    index = index_chips(tmp_path)
    chips = read_chips(index, RGB)
    assert chips.pixels[0, :, 3, 3].tolist() == [1, 128, 255]  # red, green, blue by name, stretched 0..2750 to 1..255
    assert chips.bounds is not None
    assert chips.bounds.tolist() == [
        [500_080, 3_999_920, 500_160, 4_000_000],
        [500_000, 3_999_920, 500_080, 4_000_000],
    ]
    probe = probe_chips(index)
    assert (probe.side_px, probe.resolution_m) == (8, 10)


def test_all_unreadable_chips_are_named_at_once(folder: Path) -> None:
    (folder / "train" / "Sea" / "c.png").write_bytes(b"no picture")
    (folder / "train" / "Sea" / "d.tif").write_bytes(b"no raster")
    write_tiff(folder / "train" / "Sea" / "e.tif", [1, 2])
    Image.new("I;16", (8, 8)).save(folder / "train" / "Sea" / "f.png")
    Image.new("RGBA", (8, 8), (9, 9, 9, 0)).save(folder / "train" / "Sea" / "g.png")
    Image.new("RGBA", (8, 8), (9, 9, 9, 255)).save(folder / "train" / "Sea" / "opaque.png")
    with pytest.raises(ChipError) as caught:
        read_chips(index_chips(folder), RGB)
    text = str(caught.value)
    assert "5 problems" in text
    for name in ("c.png", "d.tif", "e.tif", "f.png", "g.png holds transparent pixels"):
        assert name in text
    assert "16 or 32 bits" in text
    assert "opaque" not in text


def test_bad_folders(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(CallError, match="neither a folder nor a zip archive"):
        index_chips(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ChipError, match="one folder a class is expected"):
        index_chips(tmp_path / "empty")
    write_png(folder / "validation" / "Sea" / "x.png")
    with pytest.raises(ChipError, match=r"several chip folders \(train, validation\): name one"):
        index_chips(folder)
    write_png(folder / "train" / "Sea" / "deep" / "x.png")
    with pytest.raises(ChipError, match="several depths"):
        index_chips(folder)
