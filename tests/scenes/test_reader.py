import pickle
import re
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from rasterio.windows import Window

from geokd.errors import CallError, SceneError
from geokd.model.contract import InputContract, ValueScaling
from geokd.scenes.opening import open_scene
from geokd.scenes.options import SceneOptions
from geokd.scenes.plan import ScenePlan
from geokd.scenes.reader import describe_scene, mirrored, plan_scene, read_preview, read_window
from tests.tiny import write_scene

CONTRACT = InputContract(("B04", "B03", "B02"), 16, 10.0, ValueScaling())


def noise(height: int, width: int, dtype: str = "uint8", bands: int = 3, low: int = 10) -> NDArray[Any]:
    high = 250 if dtype == "uint8" else 2500
    return np.random.default_rng(7).integers(low, high, (bands, height, width)).astype(dtype)


def plan_of(path: Path, **options: Any) -> ScenePlan:
    return plan_scene(describe_scene(path), CONTRACT, SceneOptions(**options))


def test_describe_scene(tmp_path: Path) -> None:
    path = write_scene(tmp_path / "a.tif", noise(5, 7, "uint16", bands=4), ("B04", "B03", "B02", "B08"), nodata=0)
    info = describe_scene(path)
    assert (info.path, info.dtype, info.nodata, info.masked) == (str(path), "uint16", (0,) * 4, False)
    assert (info.grid.height, info.grid.width) == (5, 7)
    assert info.grid.transform == Affine(10, 0, 4e5, 0, -10, 4.2e6)
    assert info.grid.crs is not None
    assert info.grid.crs.to_epsg() == 32618
    assert info.descriptions == ("B04", "B03", "B02", "B08")
    assert info.colours == ("gray", "undefined", "undefined", "undefined")
    assert (info.scales, info.offsets) == ((1.0,) * 4, (0.0,) * 4)
    assert pickle.loads(pickle.dumps(info)) == info


@pytest.mark.parametrize("missing", ["none.tif", "no/such/folder/none.tif"])
def test_no_such_file_is_a_wrong_call(tmp_path: Path, missing: str) -> None:
    with pytest.raises(CallError, match="no such file: .*none.tif"):
        describe_scene(tmp_path / missing)


@pytest.mark.parametrize("path", ["/vsizip/none.zip/a.tif", "/vsimem/none.tif", "zip://none.zip!a.tif"])
def test_paths_that_only_gdal_knows_are_left_to_gdal(path: str) -> None:
    with pytest.raises(SceneError, match="is not a raster that GDAL can open"):
        describe_scene(path)


def test_what_is_no_raster_is_refused(tmp_path: Path) -> None:
    text = tmp_path / "a.tif"
    text.write_text("not a raster")
    empty = tmp_path / "b.tif"
    empty.touch()
    for path in (text, empty):
        with pytest.raises(SceneError, match="is not a raster that GDAL can open"):
            describe_scene(path)
    with pytest.raises(SceneError, match="holds no product that is known .* and no raster that GDAL opens; name a"):
        describe_scene(tmp_path)


def test_scenes_inside_archives_are_read(tmp_path: Path) -> None:
    import zipfile

    path = write_scene(tmp_path / "a.tif", noise(5, 7))
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.write(path, "a.tif")
    assert describe_scene(f"/vsizip/{tmp_path}/a.zip/a.tif").grid == describe_scene(path).grid


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_an_ungeoreferenced_scene_is_refused_and_nothing_leaks_to_stderr(tmp_path: Path) -> None:
    path = write_scene(tmp_path / "a.tif", noise(5, 7), crs=None, transform=None)
    code = (
        "from geokd.scenes.reader import *; from geokd.model.contract import *\n"
        f"info = describe_scene({str(path)!r})\n"
        "try: plan_scene(info, InputContract(('B04', 'B03', 'B02'), 16, 10.0, ValueScaling()))\n"
        "except OSError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert "no coordinate reference system" in done.stdout


@pytest.mark.skipif(sys.platform == "win32", reason="limits of POSIX")
def test_a_limit_of_open_files_is_named(tmp_path: Path) -> None:
    """A virtual raster opens many files; the scene is not blamed if the system allows too few."""
    side, tiles = 16, 80
    for x in range(tiles):
        write_scene(
            tmp_path / f"{x}.tif", noise(side, side), transform=Affine(10, 0, 4e5 + 10 * side * x, 0, -10, 4.2e6)
        )
    sources = "".join(
        f'<SimpleSource><SourceFilename relativeToVRT="1">{x}.tif</SourceFilename><SourceBand>1</SourceBand>'
        f'<SourceProperties RasterXSize="{side}" RasterYSize="{side}" DataType="Byte" BlockXSize="{side}"'
        f' BlockYSize="{side}"/><SrcRect xOff="0" yOff="0" xSize="{side}" ySize="{side}"/>'
        f'<DstRect xOff="{side * x}" yOff="0" xSize="{side}" ySize="{side}"/></SimpleSource>'
        for x in range(tiles)
    )
    scene = tmp_path / "scene.vrt"
    scene.write_text(
        f'<VRTDataset rasterXSize="{side * tiles}" rasterYSize="{side}"><SRS>EPSG:32618</SRS><GeoTransform>4e5, 10, 0,'
        f' 4.2e6, 0, -10</GeoTransform><VRTRasterBand dataType="Byte" band="1">{sources}</VRTRasterBand></VRTDataset>'
    )
    code = (
        "import resource, sys; from geokd.scenes.reader import describe_scene; import rasterio\n"
        "hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (60, hard))\n"
        "from geokd.scenes.options import SceneOptions; from geokd.scenes.reader import *\n"
        "from geokd.model.contract import *; contract = InputContract(('B04',), 16, 10.0, ValueScaling())\n"
        "try: read_preview(plan_scene(describe_scene(sys.argv[1]), contract, SceneOptions(bidx=(1,))))\n"
        "except OSError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code, scene], capture_output=True, text=True, check=True)
    expected = rf"cannot read {scene}: .*\.tif: Too many open files; allow more files with ulimit -n\n"
    assert re.fullmatch(expected, done.stdout), done.stdout


@pytest.mark.skipif(sys.platform == "win32", reason="limits of POSIX")
def test_no_file_can_be_opened_any_more(tmp_path: Path) -> None:
    scene = write_scene(tmp_path / "scene.tif", noise(16, 16))
    code = (
        "import os, sys; from geokd.scenes.opening import open_scene\n"
        "with open_scene(sys.argv[1]): pass\n"
        "try:\n"
        "    while True: os.open(os.devnull, os.O_RDONLY)\n"
        "except OSError: pass\n"
        "try:\n"
        "    with open_scene(sys.argv[1]): pass\n"
        "except OSError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code, scene], capture_output=True, text=True, check=True)
    assert f"cannot open {scene}: " in done.stdout
    assert "Too many open files; allow more files with ulimit -n" in done.stdout


def test_a_truncated_scene_names_the_window_and_nothing_leaks_to_stderr(tmp_path: Path) -> None:
    path = write_scene(tmp_path / "a.tif", noise(400, 400), compress="deflate", blockysize=16)
    plan = plan_of(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    (tmp_path / "plan.pickle").write_bytes(pickle.dumps(plan))
    code = (
        "import pickle, sys; from geokd.scenes.reader import read_window; from rasterio.windows import Window\n"
        f"plan = pickle.load(open({str(tmp_path / 'plan.pickle')!r}, 'rb'))\n"
        "try: read_window(plan, Window(10, 380, 16, 32))\n"
        "except OSError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert f"cannot read {path} at rows 380..399, columns 10..25: " in done.stdout
    assert re.search(r"its block in row \d+, column 0 is damaged; it may be truncated", done.stdout)
    assert "previous exception" not in done.stdout


@given(st.integers(-300, 300), st.integers(1, 100), st.integers(1, 50))
def test_mirrored_indices_are_those_of_numpy_reflection(start: int, length: int, size: int) -> None:
    reflected = np.pad(np.arange(size), 500, mode="reflect")
    np.testing.assert_array_equal(mirrored(start, length, size), reflected[500 + start : 500 + start + length])


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[int, int], tuple[ScenePlan, NDArray[np.uint8]]]:
    """Scenes of several sizes with an invalid corner, each with its plan and pixels."""
    folder = tmp_path_factory.mktemp("scenes")
    made = {}
    for height, width in [(1, 1), (1, 23), (17, 1), (2, 3), (20, 31)]:
        pixels = noise(height, width)
        pixels[:, : height // 4, : width // 4] = 0
        path = write_scene(folder / f"{height}x{width}.tif", pixels, nodata=0)
        made[height, width] = plan_of(path), pixels
    return made


def test_a_window_that_starts_at_the_last_pixel_is_mirrored_not_moved(
    scenes: dict[tuple[int, int], tuple[ScenePlan, NDArray[np.uint8]]],
) -> None:
    plan, pixels = scenes[20, 31]
    got, _ = read_window(plan, Window(30, 19, 3, 4))
    np.testing.assert_array_equal(got, pixels[:, [19, 18, 17, 16]][:, :, [30, 29, 28]])


@given(data=st.data())
def test_a_window_is_a_cut_of_the_mirrored_scene(
    data: st.DataObject, scenes: dict[tuple[int, int], tuple[ScenePlan, NDArray[np.uint8]]]
) -> None:
    (height, width), (plan, pixels) = data.draw(st.sampled_from(sorted(scenes.items(), key=lambda item: item[0])))
    row, col = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    window = Window(col, row, data.draw(st.integers(1, 70)), data.draw(st.integers(1, 70)))
    whole = np.pad(pixels, ((0, 0), (0, 70 + height), (0, 70 + width)), mode="reflect")
    expected = whole[:, row : row + window.height, col : col + window.width]
    got, valid = read_window(plan, window)
    np.testing.assert_array_equal(got, expected)
    np.testing.assert_array_equal(valid, (expected != 0).any(axis=0))


def test_an_open_dataset_is_used_and_left_open(tmp_path: Path) -> None:
    path = write_scene(tmp_path / "a.tif", noise(20, 30))
    plan = plan_of(path)
    elsewhere = replace(plan, path="/nowhere.tif")
    with rasterio.open(path) as dataset:
        pixels, _ = read_window(elsewhere, Window(0, 0, 30, 20), dataset)
        assert not dataset.closed
    np.testing.assert_array_equal(pixels, read_window(plan, Window(0, 0, 30, 20))[0])


def test_threads_read_the_same(tmp_path: Path) -> None:
    plan = plan_of(write_scene(tmp_path / "a.tif", noise(64, 64, "uint16"), ("red", "green", "blue")))
    whole, _ = read_window(plan, Window(0, 0, 64, 64))
    wrong: list[Window] = []

    def check(row: int) -> None:
        for col in range(0, 64, 8):
            window = Window(col, row, 8, 8)
            if (read_window(plan, window)[0] != whole[:, row : row + 8, col : col + 8]).any():
                wrong.append(window)

    threads = [threading.Thread(target=check, args=(row,)) for row in range(0, 64, 8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_bands_come_in_the_contracts_order_and_stretched(tmp_path: Path) -> None:
    values = np.array([0, 1375, 2750, 65535], np.uint16)[:, np.newaxis, np.newaxis] * np.ones((1, 2, 2), np.uint16)
    path = write_scene(tmp_path / "a.tif", values, ("B02", "B03", "B04", "B08"))
    pixels, valid = read_window(plan_of(path), Window(0, 0, 2, 2))
    assert pixels.dtype == np.uint8
    assert pixels[:, 0, 0].tolist() == [255, 128, 1]
    assert valid.all()
    pixels, _ = read_window(plan_of(path, bidx=(1, 4, 2)), Window(0, 0, 2, 2))
    assert pixels[:, 0, 0].tolist() == [1, 255, 128]


def test_scale_and_offset_tags_are_honoured(tmp_path: Path) -> None:
    path = write_scene(tmp_path / "a.tif", np.full((3, 4, 4), 2375, np.uint16), ("red", "green", "blue"))
    with rasterio.open(path, "r+") as dataset:
        dataset.scales = (1e-4,) * 3
        dataset.offsets = (-0.1,) * 3
    pixels, _ = read_window(plan_of(path), Window(0, 0, 4, 4))
    assert (pixels == 128).all()


def test_a_tiled_scene_is_unpacked_once_to_be_thinned(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(1, 255, (3, 640, 640), dtype=np.uint8)
    path = write_scene(tmp_path / "tiled.tif", pixels, tiled=True, compress="deflate", interleave="pixel")

    def seconds(shape: tuple[int, int]) -> float:
        started = time.perf_counter()
        with open_scene(str(path)) as dataset:
            dataset.read(out_shape=(3, *shape))
        return time.perf_counter() - started

    assert seconds((512, 512)) < 10 * min(seconds((640, 640)) for _ in range(3)) + 0.2  # a tile a row would take 100


def test_preview_is_the_whole_scene_thinned(tmp_path: Path) -> None:
    plan = plan_of(write_scene(tmp_path / "a.tif", noise(30, 60), nodata=0))
    pixels, valid = read_preview(plan, 60)
    np.testing.assert_array_equal(pixels, read_window(plan, Window(0, 0, 60, 30))[0])
    pixels, valid = read_preview(plan, 20)
    assert pixels.shape == (3, 10, 20)
    assert valid.shape == (10, 20)
    assert read_preview(plan_of(write_scene(tmp_path / "b.tif", noise(1, 60))), 20)[0].shape == (3, 1, 20)


def with_zeros(share: float) -> NDArray[Any]:
    values = noise(100, 100, "uint16")
    values[:, : int(100 * share)] = 0
    return values


@pytest.mark.parametrize(
    ("values", "profile", "options", "said"),
    [
        (noise(100, 100), {}, {}, None),
        (noise(100, 100, "uint16"), {}, {}, None),
        (noise(100, 100, "uint16", low=1000), {}, {}, "--value-offset -1000"),
        (noise(100, 100, "uint16", low=1000), {}, {"value_offset": -1000}, None),
        (np.maximum(with_zeros(0.5), 1000), {}, {}, "--value-offset -1000"),
        (with_zeros(0.02), {}, {}, "2 % of the pixels are 0 in all bands"),
        (with_zeros(0.02), {"nodata": 0}, {}, None),
        (with_zeros(0.02), {}, {"nodata": 0}, None),
        (noise(100, 100, "uint16", low=1200) * np.uint16(2), {}, {"value_offset": 1}, "upper end of the stretch"),
        (noise(100, 100, "uint16") // np.uint16(100), {}, {}, "nearly black"),
        (np.full((3, 10, 10), 77, np.uint8), {}, {}, "all valid pixels have the same value"),
        (np.zeros((3, 10, 10), np.uint8), {"nodata": 0}, {}, "no valid pixel"),
    ],
)
def test_warnings(
    tmp_path: Path, values: NDArray[Any], profile: dict[str, Any], options: dict[str, Any], said: str | None
) -> None:
    path = write_scene(tmp_path / "a.tif", values, ("red", "green", "blue"), **profile)
    found = plan_of(path, **options).warnings
    if said is None:
        assert found == ()
    else:
        assert len(found) == 1
        assert said in found[0]


def framed(value: int, dtype: str = "uint8") -> NDArray[Any]:
    """A picture that stands askew in its file, with a collar of one value."""
    values = noise(100, 100, dtype)
    row, col = np.mgrid[:100, :100]
    values[:, (row + col < 40) | (row + col > 160)] = value
    return values


@pytest.mark.parametrize(("value", "dtype"), [(0, "uint8"), (255, "uint8"), (65535, "uint16"), (-9999, "int16")])
def test_collars_are_reported(tmp_path: Path, value: int, dtype: str) -> None:
    path = write_scene(tmp_path / "a.tif", framed(value, dtype), ("red", "green", "blue"))
    (found,) = [warning for warning in plan_of(path).warnings if "at the border" in warning or "0 in all" in warning]
    assert "16 % of the pixels" in found
    assert f"if they are fill, give --nodata {value}" in found
    assert not [w for w in plan_of(path, nodata=value).warnings if "fill" in w]


def test_bright_roofs_within_a_scene_are_no_collar(tmp_path: Path) -> None:
    values = noise(100, 100)
    values[:, 30:50, 30:50] = 255
    assert plan_of(write_scene(tmp_path / "a.tif", values, ("red", "green", "blue"))).warnings == ()


def test_collars_of_a_large_scene_are_found_in_its_corners(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(1, 250, (3, 2100, 2100), dtype=np.uint8)
    values[:, :300, :300] = 255
    (warning,) = plan_of(write_scene(tmp_path / "a.tif", values, ("red", "green", "blue"))).warnings
    assert warning.startswith("parts of the border are 255 in all bands but no nodata value is declared")


def test_an_image_called_alpha_is_reported(tmp_path: Path) -> None:
    values = noise(100, 100, bands=4)
    path = write_scene(tmp_path / "a.tif", values, photometric="RGB", alpha="yes")
    (warning,) = plan_of(path).warnings
    assert "its alpha band has many different values" in warning
    values[3] = 255
    assert plan_of(write_scene(tmp_path / "b.tif", values, photometric="RGB", alpha="yes")).warnings == ()


def test_a_few_dark_pixels_do_not_hide_the_offset(tmp_path: Path) -> None:
    values = noise(100, 100, "uint16", low=1000)
    values[:, 3, :5] = 900
    values[:, 4, 0] = 60_000
    (warning,) = plan_of(write_scene(tmp_path / "a.tif", values, ("red", "green", "blue"))).warnings
    assert "--value-offset -1000" in warning


@pytest.mark.parametrize(
    ("name", "low", "said"),
    [
        ("a.tif", 7500, ["Landsat Collection 2", "--value-scale 0.275 --value-offset -2000"]),
        ("LC08_L2SP_014034_20220726_20220801_02_T1_clip.tif", 7500, None),
        ("S2B_MSIL2A_20220726T154819_N0400_R054_T18SVG_20220726T201530_clip.tif", 1100, None),
        ("S2B_MSIL2A_20210726T154819_N0301_R054_T18SVG_20210726T201530_clip.tif", 1100, None),
        (
            "20220726_154819_24_2416_3B_AnalyticMS.tif",
            300,
            ["product of radiance", "name ends in _SR"],
        ),
        ("20220726_154819_24_2416_3B_AnalyticMS_SR_8b_clip.tif", 300, None),
        ("LC08_L1TP_014034_20220726_20220801_02_T1_clip.tif", 7500, ["not corrected for the elevation of the sun"]),
        ("S2B_MSIL2A_20220726T154819_N0400_R054_T18SVG_20220726T201530_clip.tif", 100, ["reflectance below 0"]),
    ],
)
def test_hints_know_the_sensor(tmp_path: Path, name: str, low: int, said: list[str] | None) -> None:
    values = np.random.default_rng(0).integers(low, low + 1500, (3, 100, 100)).astype("uint16")
    found = plan_of(write_scene(tmp_path / name, values, ("red", "green", "blue"))).warnings
    if said is None:
        assert found == ()
    else:
        assert all(words in found[0] for words in said), found
        assert len(found) <= 2


@pytest.mark.parametrize(
    ("name", "saturation"),
    [
        ("S2B_MSIL1C_20220726T154819_N0400_R054_T18SVG_20220726T201530_TCI.tif", 3558),
        ("T18SVG_20220726T154819_TCI.tif", 3558),
        ("T18SVG_20220726T154819_TCI_10m.tif", 2000),
    ],
)
def test_the_stretch_of_a_true_colour_image_is_undone(tmp_path: Path, name: str, saturation: int) -> None:
    plan = plan_of(write_scene(tmp_path / name, noise(50, 50), photometric="RGB"))
    assert plan.value_scales[0] + plan.value_offsets[0] == pytest.approx(0)
    assert 255 * plan.value_scales[0] + plan.value_offsets[0] == pytest.approx(saturation)
    assert plan.scaling is not None
    assert bool(plan.warnings) is (saturation == 2000)


def test_fill_does_not_hide_the_offset_of_newer_products(tmp_path: Path) -> None:
    values = noise(100, 100, "uint16", low=1000)
    values[:, :10] = 0
    first, second = plan_of(write_scene(tmp_path / "a.tif", values)).warnings
    assert "--nodata 0" in first
    assert "--value-offset -1000" in second


def test_bands_of_several_types_are_refused(tmp_path: Path) -> None:
    one = write_scene(tmp_path / "a.tif", noise(4, 4, "uint16", bands=1))
    other = write_scene(tmp_path / "b.tif", noise(4, 4, "float32", bands=1))
    bands = "".join(
        f'<VRTRasterBand dataType="{dtype}" band="{band}"><SimpleSource><SourceFilename>{path}</SourceFilename>'
        "<SourceBand>1</SourceBand></SimpleSource></VRTRasterBand>"
        for band, (dtype, path) in enumerate([("UInt16", one), ("UInt16", one), ("Float32", other)], 1)
    )
    vrt = tmp_path / "mixed.vrt"
    vrt.write_text(
        '<VRTDataset rasterXSize="4" rasterYSize="4"><SRS>EPSG:32618</SRS>'
        f"<GeoTransform>400000, 10, 0, 4200000, 0, -10</GeoTransform>{bands}</VRTDataset>"
    )
    with pytest.raises(SceneError, match=r"different types \(band 1 uint16, .* -ot Float32 \S*mixed.vrt one_"):
        plan_of(vrt)


def test_plans_survive_pickling(tmp_path: Path) -> None:
    plan = plan_of(write_scene(tmp_path / "a.tif", noise(4, 4)))
    assert pickle.loads(pickle.dumps(plan)) == plan
