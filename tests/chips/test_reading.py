import io
import os
import struct
import tracemalloc
import zipfile
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from PIL import Image
from rasterio.io import MemoryFile

from geokd.chips.files import index_chips
from geokd.chips.reading import probe_chips, read_chips, scale_notes
from geokd.errors import CallError, ChipError
from geokd.model.contract import InputContract, ValueScaling

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
    assert probe_chips(index).ground_m is None
    assert probe_chips(index).side_px == 8


def test_an_archive_holds_the_same(folder: Path, tmp_path: Path) -> None:
    archive = tmp_path / "set.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for path in folder.rglob("*"):
            file.write(path, path.relative_to(folder))
    ours, theirs = index_chips(archive), index_chips(folder)
    assert (ours.files, ours.labels, ours.classes) == (theirs.files, theirs.labels, theirs.classes)
    assert read_chips(ours, RGB).fingerprint == read_chips(theirs, RGB).fingerprint


def test_the_fingerprint_depends_on_pixels_and_labels(folder: Path) -> None:
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
    assert (probe.side_px, probe.ground_m) == (8, (80, 80, 80))


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
    for name in ("c.png", "d.tif", "e.tif", "f.png", "g.png has transparent pixels"):
        assert name in text
    assert "16 or 32 bits" in text
    assert "opaque" not in text


def test_bad_folders(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(CallError, match="neither a folder nor a zip archive"):
        index_chips(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ChipError, match="put the chips of each class into a folder"):
        index_chips(tmp_path / "empty")
    write_png(folder / "validation" / "Sea" / "x.png")
    with pytest.raises(ChipError, match=r"several chip folders \(train, validation\); name one"):
        index_chips(folder)
    write_png(folder / "train" / "Sea" / "deep" / "x.png")
    with pytest.raises(ChipError, match="several depths"):
        index_chips(folder)


def png_of_16_bits(value: int, side: int = 8) -> bytes:
    """Three bands of 16 bits, as Pillow does not write them."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    row = b"\0" + struct.pack(">H", value) * 3 * side
    header = struct.pack(">IIBBBBB", side, side, 16, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        (chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(row * side)), chunk(b"IEND", b""))
    )


def test_sixteen_bits_are_not_cut_to_eight(folder: Path) -> None:
    (folder / "train" / "Sea" / "deep.png").write_bytes(png_of_16_bits(2000))
    with pytest.raises(ChipError, match=r"deep.png has 16 or 32 bits per band"):
        read_chips(index_chips(folder), RGB)


def test_damaged_and_foreign_pictures_are_named(folder: Path) -> None:
    whole = (folder / "train" / "Sea" / "a.png").read_bytes()
    gif = io.BytesIO()
    Image.new("L", (8, 8)).save(gif, "GIF")
    bad = {"short.png": whole[:20], "cut.png": whole[:50], "gif.jpg": gif.getvalue()}
    bad["header.png"] = whole[:11] + b"\x05" + whole[12:]  # a header of five bytes
    bad["eps.jpg"] = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n"
    for name, content in bad.items():
        (folder / "train" / "Sea" / name).write_bytes(content)
    with pytest.raises(ChipError, match="5 problems") as caught:
        read_chips(index_chips(folder), RGB)
    assert all(f"{name} cannot be read" in str(caught.value) for name in bad)


def test_no_class_vanishes_unsaid(folder: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    write_png(elsewhere / "1.png", (9, 9, 9))
    (folder / "train" / "Town").symlink_to(elsewhere)
    (folder / "train" / "Sea" / "again").symlink_to(folder / "train" / "Sea")  # a loop is not followed
    assert index_chips(folder).classes == ("Open forest", "Sea", "Town")
    (folder / "train" / "Sea" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    with pytest.raises(ChipError, match=r"gone.png cannot be read.*No such file"):
        read_chips(index_chips(folder), RGB)
    (folder / "train" / "Sea" / "gone.png").unlink()
    Image.new("L", (8, 8)).save(folder / "train" / "Sea" / "x.gif")
    write_png(folder / "train" / "cover.png")
    Image.new("L", (8, 8)).save(folder / "train" / "logo.gif")
    with pytest.raises(ChipError, match="several depths"):
        index_chips(folder)
    notes = read_chips(index_chips(folder / "train"), RGB).notes
    assert [note for note in notes if "ignored" in note] == [
        "ignored: 1 images outside the class folders, cover.png first",
        "ignored: 2 images that are not .jpg, .jpeg, .png, .tif, .tiff, Sea/x.gif first",
    ]
    (folder / "train" / "cover.png").unlink()
    (folder / "train" / "Ice").mkdir()
    Image.new("L", (8, 8)).save(folder / "train" / "Ice" / "x.gif")
    with pytest.raises(ChipError, match=r"has no images but .gif.* in train/Ice: save these as"):
        index_chips(folder)


def test_archives_that_cannot_be_read(folder: Path, tmp_path: Path) -> None:
    archive = tmp_path / "set.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for path in folder.rglob("*.png"):
            file.write(path, str(path.relative_to(folder)).replace("/", "\\"))
    with pytest.raises(ChipError, match=r"names with \\ instead of /"):
        index_chips(archive)
    content = bytearray(archive.read_bytes())
    at = content.rindex(b"PK\x01\x02")
    content[at : at + 4] = b"XXXX"
    archive.write_bytes(content)
    with pytest.raises(ChipError, match="is damaged"):
        index_chips(archive)


def test_what_was_turned_into_what_is_said(folder: Path) -> None:
    Image.new("L", (8, 8), 9).save(folder / "train" / "Sea" / "grey.png")
    Image.new("CMYK", (8, 8)).save(folder / "train" / "Sea" / "print.jpg")
    write_tiff(folder / "train" / "Sea" / "placed.tif", [30_000, 30_000, 0])
    notes = " ".join(read_chips(index_chips(folder), RGB).notes)
    assert "1 of 6 chips: grey images, converted to RGB" in notes
    assert "1 of 6 chips: CMYK images, converted to RGB" in notes
    assert "5 of 6 chips have no coordinates, so those of the others are not used either" in notes
    assert "1 of 6 chips: more than half of the values are at an end of that stretch" in notes


def test_chips_of_another_scale_are_reported(tmp_path: Path) -> None:
    write_tiff(tmp_path / "Sea" / "1.tif", [9, 9, 9])
    index = index_chips(tmp_path)
    assert scale_notes(probe_chips(index), RGB) == []
    (note,) = scale_notes(probe_chips(index), replace(RGB, ground_resolution_m=20.0))
    assert "pixels of 10 m at 8 px a side, 20 m are expected" in note


def test_a_picture_is_known_again_in_another_file_and_at_another_size(tmp_path: Path) -> None:
    contract = InputContract(("red", "green", "blue"), 8, 10.0)
    picture = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    for name in ("one", "other"):
        (tmp_path / "a" / name).mkdir(parents=True)
    Image.fromarray(picture).save(tmp_path / "a" / "one" / "1.png")
    profile = {"driver": "GTiff", "dtype": "uint8", "count": 3, "height": 16, "width": 16, "photometric": "RGB"}
    with rasterio.open(tmp_path / "a" / "one" / "2.tif", "w", **profile) as dataset:
        dataset.write(picture.transpose(2, 0, 1))
    Image.fromarray(255 - picture).save(tmp_path / "a" / "other" / "3.png")
    index = index_chips(tmp_path / "a")
    first, second, third = read_chips(index, contract).picture_hashes.tolist()
    assert first == second != third
    assert read_chips(index, replace(contract, patch_px=16)).picture_hashes.tolist() == [first, second, third]


def endless_png(side: int = 100_000) -> bytes:
    """A picture of ten gigapixels in ten megabytes of a file, or fewer."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = struct.pack(">2I5B", side, side, 8, 0, 0, 0, 0)
    rows = zlib.compress(bytes(10_000_000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def sparse_tiff(side: int = 60_000, **profile: Any) -> bytes:
    """A picture of gigapixels that nothing was written to."""
    with MemoryFile() as memory:
        with memory.open(driver="GTiff", width=side, height=side, count=3, dtype="uint8", SPARSE_OK=True, **profile):
            pass
        return bytes(memory.read())


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("a.png", endless_png(), "10,000,000,000 pixels|exceeds limit"),
        ("a.png", endless_png(7_000), "49,000,000 pixels that unpack to 748 MiB, more than 512; cut it"),
        ("a.tif", sparse_tiff(), "3,600,000,000 pixels that unpack to 10,300 MiB, more than 512; cut it"),
        ("a.tif", b"<VRTDataset rasterXSize='9' rasterYSize='9'/>", "cannot be read"),
        ("a.png", bytes(2**28 + 1), "has more than 256 MiB; cut it into chips"),
    ],
)
@pytest.mark.parametrize("zipped", [False, True])
def test_pictures_without_end_are_not_unpacked(
    tmp_path: Path, name: str, content: bytes, sentence: str, zipped: bool
) -> None:
    if zipped:
        with zipfile.ZipFile(tmp_path / "chips.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(f"lake/{name}", content)
    else:
        (tmp_path / "chips.zip" / "lake").mkdir(parents=True)
        (tmp_path / "chips.zip" / "lake" / name).write_bytes(content)
    tracemalloc.start()
    with pytest.raises(ChipError, match=sentence):
        read_chips(index_chips(tmp_path / "chips.zip"), RGB)
    assert tracemalloc.get_traced_memory()[1] < 2**30
    tracemalloc.stop()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes")
def test_what_never_answers_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "lake").mkdir()
    os.mkfifo(tmp_path / "lake" / "pipe.png")
    (tmp_path / "lake" / "zero.tif").symlink_to("/dev/zero")
    with pytest.raises(ChipError, match=r"2 problems:(.|\n)*pipe.png is a pipe(.|\n)*zero.tif is a pipe"):
        read_chips(index_chips(tmp_path), RGB)
