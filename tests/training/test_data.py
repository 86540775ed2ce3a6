"""Chips as analysts have them: what becomes of them, and what is said."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.enums import ColorInterp
from rasterio.transform import from_origin

pytest.importorskip("torch", reason="needs the extra geokd[train]")

from PIL import Image

from geokd.errors import ChipError, RecipeError
from geokd.model.contract import ValueScaling
from geokd.system.progress import silent
from geokd.training.data.reading import TrainingData, read_training_data
from geokd.training.recipe_file import load_recipe


@pytest.fixture
def chips(tmp_path: Path) -> Path:
    """Two classes of 8 chips of 16 pixels a side, with spaces and signs in their names."""
    generator = np.random.default_rng(0)
    for name, level in (("Bare soil", 150), ("water (deep)", 40)):
        for i in range(8):
            write(tmp_path / "own chips" / name / f"{i}.png", generator, level)
    return tmp_path / "own chips"


def write(path: Path, generator: np.random.Generator, level: int = 90, side: int = 16) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = generator.normal(level, 20, (side, side, 3)).clip(0, 255)
    Image.fromarray(pixels.astype(np.uint8)).save(path)


def write_tiff(path: Path, bands: int, dtype: str, left_m: float) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    profile = {"driver": "GTiff", "width": 16, "height": 16, "count": bands, "dtype": dtype, "crs": 32631}
    pixels = np.random.default_rng(int(left_m)).integers(1, 200, (bands, 16, 16)).astype(dtype)
    with rasterio.open(path, "w", **profile, transform=from_origin(left_m, 5e6, 10, 10)) as dataset:
        dataset.write(pixels)


def read(chips: Path, validation: Path | None = None) -> tuple[TrainingData, list[str]]:
    said: list[str] = []
    return read_training_data(chips, load_recipe(None, ()), validation, lambda line, **_: said.append(line)), said


def test_names_with_spaces_and_files_that_are_none_of_ours(chips: Path) -> None:
    (chips / "Bare soil" / "._0.png").write_bytes(b"left by a Mac")
    (chips / "Bare soil" / "notes.txt").write_text("dry in August")
    (chips / "Thumbs.db").write_bytes(b"left by Windows")
    write(chips / ".trash" / "0.png", np.random.default_rng(1))
    data, _ = read(chips)
    assert data.legend.names == ("Bare_soil", "water_deep")
    assert len(data.training.labels) + len(data.validation.labels) == 16
    assert data.notes == ()


def test_class_folders_without_a_picture_are_reported(chips: Path, tmp_path: Path) -> None:
    (chips / "Forest" / "later").mkdir(parents=True)
    (chips / "meadow").mkdir()
    (chips / "meadow" / "notes.txt").write_text("to be cut")
    data, _ = read(chips)
    assert data.notes == ("ignored: 2 folders without an image, Forest first",)
    packed = Path(shutil.make_archive(str(tmp_path / "packed"), "zip", chips))
    assert read(packed)[0].notes == data.notes


def test_bad_chips_for_training_and_validation_are_reported_at_once(chips: Path, tmp_path: Path) -> None:
    others = tmp_path / "others"
    shutil.copytree(chips, others)
    (chips / "Bare soil" / "0.png").write_bytes(b"")
    (others / "Bare soil" / "1.png").write_bytes(b"")
    with pytest.raises(ChipError) as caught:
        read(chips, others)
    assert f"{chips}: chip Bare soil/0.png cannot be read" in str(caught.value)
    assert f"{others}: chip Bare soil/1.png cannot be read" in str(caught.value)


def test_other_sizes_are_resized_and_counted(chips: Path) -> None:
    write(chips / "Bare soil" / "large.png", np.random.default_rng(1), side=40)
    data, said = read(chips)
    assert data.training.pixels.shape[2:] == (16, 16)
    assert "1 of 17 chips: resized to 16 x 16 px" in said


def test_a_class_of_one_chip_is_learned_and_said_to_go_unchecked(chips: Path) -> None:
    write(chips / "Glacier" / "only.png", np.random.default_rng(1))
    data, said = read(chips)
    number = data.legend.names.index("Glacier")
    assert (number in data.training.labels, number in data.validation.labels) == (True, False)
    assert "no validation chip of Glacier" in said[-1]


def test_copies_across_the_split_leave_training(chips: Path, tmp_path: Path) -> None:
    validation = tmp_path / "validation"
    for name in ("Bare soil", "water (deep)"):
        (validation / name).mkdir(parents=True)
        shutil.copy(chips / name / "0.png", validation / name / "another name.png")
    data, said = read(chips, validation)
    assert len(data.training.labels) == 14
    assert "2 training chips left out that equal validation chips" in said[-1]
    assert data.split in said[-1]
    with pytest.raises(ChipError, match=r"no training chips are left of Bare soil, water \(deep\)"):
        read(chips, chips)


def test_one_picture_in_two_classes_is_named(chips: Path) -> None:
    shutil.copy(chips / "Bare soil" / "3.png", chips / "water (deep)" / "mixed up.png")
    data, said = read(chips)
    (note,) = data.notes
    assert "Bare soil/3.png and water (deep)/mixed up.png" in note
    assert note in said
    assert data.to_json()["notes"] == [note]


def test_what_is_taken_of_geotiff_chips_is_said(tmp_path: Path) -> None:
    for k, name in enumerate(("a", "b")):
        for i in range(6):
            write_tiff(tmp_path / "sixteen" / name / f"{i}.tif", 3, "uint16", i * 4000.0 + k)
            write_tiff(tmp_path / "four" / name / f"{i}.tif", 4, "uint8", i * 4000.0 + k)
    _, said = read(tmp_path / "sixteen")
    assert any(line.startswith("all chips: bands 1, 2, 3 are used as B04, B03, B02") for line in said)
    assert any("stretched from 0..2750" in line for line in said)
    _, said = read(tmp_path / "four")
    assert any("by their colour interpretation" in line for line in said)


def test_all_that_is_wrong_in_one_message(chips: Path) -> None:
    (chips / "Bare soil" / "empty.jpg").write_bytes(b"")
    (chips / "Bare soil" / "broken.png").write_bytes(b"no picture")
    Image.new("I;16", (16, 16)).save(chips / "water (deep)" / "sixteen.png")
    Image.new("RGBA", (16, 16), (9, 9, 9, 0)).save(chips / "water (deep)" / "clear.png")
    with pytest.raises(ChipError) as caught:
        read(chips)
    for part in (
        "4 problems",
        "empty.jpg cannot be read: it is empty",
        "its 10 bytes are not a JPEG or PNG image",
        "sixteen.png",
    ):
        assert part in str(caught.value)
    assert "clear.png has transparent pixels" in str(caught.value)


def test_names_in_any_script_are_names(chips: Path) -> None:
    for old, new in (("Bare soil", "森林"), ("water (deep)", "水")):
        (chips / old).rename(chips / new)
    data, _ = read(chips)
    assert [(c.name, c.title) for c in data.legend] == [("u68ee_u6797", "森林"), ("u6c34", "水")]


def test_classes_that_cannot_be_distinguished_are_refused(chips: Path) -> None:
    shutil.copytree(chips / "Bare soil", chips / "bare soil")
    with pytest.raises(ChipError, match="differ only in case.*: Bare soil, bare soil; merge them"):
        read(chips)
    for name in ("bare soil", "Bare soil"):
        shutil.rmtree(chips / name)
    with pytest.raises(ChipError, match=r"water \(deep\) is the only class"):
        read(chips)
    (chips / "water (deep)").rename(chips / "---")
    with pytest.raises(ChipError, match="cannot be used"):
        read(chips)
    for k in range(256):
        shutil.copytree(chips / "---", chips / f"class {k}")
    shutil.rmtree(chips / "---")
    with pytest.raises(ChipError, match="has 256 class folders; a map can have at most 255 classes"):
        read(chips)


def test_chips_of_another_scale_or_class_are_refused(tmp_path: Path) -> None:
    for name in ("a", "b"):
        for i in range(6):
            write_tiff(tmp_path / "ten" / name / f"{i}.tif", 3, "uint16", i * 4000.0 + len(name))
    shutil.copytree(tmp_path / "ten", tmp_path / "sixty")
    for path in (tmp_path / "sixty").rglob("*.tif"):
        with rasterio.open(path, "r+") as dataset:
            dataset.transform = from_origin(*dataset.transform @ (0, 0), 60, 60)
    with pytest.raises(ChipError, match="differ from the training chips: the chips have pixels of 60 m"):
        read(tmp_path / "ten", tmp_path / "sixty")
    shutil.copytree(tmp_path / "sixty" / "a", tmp_path / "ten" / "c")
    _, said = read(tmp_path / "ten")
    assert any(line.startswith("warning: the chips have pixels of 10 to 60 m") for line in said)
    with pytest.raises(ChipError, match=r"sixty has no c; rename them"):
        read(tmp_path / "ten", tmp_path / "sixty")


@pytest.mark.parametrize("bands", ["[]", "['B04', 'B04']"])
def test_bands_must_be_named_and_distinct(chips: Path, bands: str) -> None:
    with pytest.raises(RecipeError, match=r"\[input\].* must be named and distinct"):
        read_training_data(chips, load_recipe(None, [f"input.bands={bands}"]), None, silent)


def test_chips_of_8_bits_make_a_student_of_red_green_and_blue(chips: Path) -> None:
    data, said = read(chips)
    assert (data.contract.bands, data.contract.value_scaling) == (("red", "green", "blue"), None)
    assert any(line.startswith("bands red, green, blue are assumed for chips of 8 bits") for line in said)
    assert any(line.startswith("the student will accept only 8-bit scenes") for line in said)


def test_chips_of_more_bits_make_a_student_of_sentinel_2(tmp_path: Path) -> None:
    for name in ("a", "b"):
        for i in range(4):
            write_tiff(tmp_path / name / f"{i}.tif", 3, "uint16", 4000.0 * i)
    data, said = read(tmp_path)
    assert (data.contract.bands, data.contract.value_scaling) == (("B04", "B03", "B02"), ValueScaling())
    assert any(line.startswith("bands B04, B03, B02 are assumed for chips of more than 8 bits") for line in said)
    assert any("the student will use reflectance x 10,000, stretched from 0..2750 to 1..255" in line for line in said)


def test_what_a_recipe_states_is_not_assumed(chips: Path) -> None:
    changes = ["input.bands=B04,B03,B02", "input.value_scaling.maximum=3000"]
    said: list[str] = []
    data = read_training_data(chips, load_recipe(None, changes), None, lambda line, **_: said.append(line))
    assert (data.contract.bands, data.contract.value_scaling) == (("B04", "B03", "B02"), ValueScaling(maximum=3000))
    assert not any("assumed for chips" in line or "the student will" in line for line in said)


def test_the_ground_resolution_of_resized_chips_is_reported(chips: Path) -> None:
    said: list[str] = []
    changes = ["input.patch_px=8", "input.ground_resolution_m=0.3"]
    read_training_data(chips, load_recipe(None, changes), None, lambda line, **_: said.append(line))
    assert any("become patches of 8 px" in line and "so the chips' own measure 0.15 m" in line for line in said)


def test_near_infrared_that_the_file_calls_alpha_is_named(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_tiff(tmp_path / name / "0.tif", 4, "uint8", 4000.0)
        with rasterio.open(tmp_path / name / "0.tif", "r+") as dataset:
            dataset.write(np.zeros((16, 16), np.uint8), 4)
            dataset.colorinterp = [ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.alpha]
    with pytest.raises(ChipError, match=r"masked pixels \(band 4 is marked as alpha"):
        read(tmp_path)
    write_tiff(tmp_path / "a" / "0.tif", 3, "float32", 4000.0)
    with pytest.raises(ChipError, match=r"a/0.tif: its values are float32.*options apply to scenes only"):
        read(tmp_path)
