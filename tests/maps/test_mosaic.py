"""Maps of parts of a scene, joined, against the map of the whole; and everything that cannot be joined."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
import rasterio
from affine import Affine
from click.testing import CliRunner
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.warp import Resampling, reproject
from rasterio.windows import Window

import geokd
from geokd.cli import main
from geokd.errors import CallError, SceneError
from geokd.legend.classes import LandUseClass, Legend
from geokd.maps.map_file import category_names
from geokd.maps.map_grid import StatedGrid, lies_on, place, union_grid
from geokd.scenes.grid import SceneGrid
from tests.tiny_maps import LEGEND, UTM, write_map

SAMPLE = Path(__file__).parents[2] / "sample_data" / "eastern_shore.tif"
STRIDE_PX, SIDE = 32, 32  # cells of 320 m, 32 a side
CELL_HA = 10.24
REACH = 1  # cells nearer to a cut than a patch less a stride lie in fewer patches
WEST_STOP, EAST_START = 20, 14  # cells
LEAN = 2  # cells by which the next zone leans over
NEXT_ZONE = CRS.from_epsg(32619)


@dataclass(frozen=True)
class Maps:
    """Paths of class rasters: the whole sample, its overlapping parts, the eastern one in the next zone."""

    whole: Path
    west: Path
    east: Path
    next_zone: Path


@pytest.fixture(scope="module")
def maps(tmp_path_factory: pytest.TempPathFactory) -> Maps:
    folder = tmp_path_factory.mktemp("parts")
    with rasterio.open(SAMPLE) as scene:
        west = cut(scene, folder / "west.tif", 0, WEST_STOP * STRIDE_PX)
        east = cut(scene, folder / "east.tif", EAST_START * STRIDE_PX, scene.width)
    zone = warp(east, folder / "zone.tif")
    options = geokd.ClassifyOptions(stride_px=STRIDE_PX, probabilities=True)
    made = [geokd.classify(path, "eurosat-rgb-maps", folder, options) for path in (SAMPLE, west, east, zone)]
    return Maps(*(result.outputs["class_raster"] for result in made))


def cut(scene: rasterio.DatasetReader, path: Path, start: int, stop: int) -> Path:
    window = Window(start, 0, stop - start, scene.height)
    profile = scene.profile | {"width": stop - start, "transform": scene.window_transform(window)}
    with rasterio.open(path, "w", **profile) as part:
        part.write(scene.read(window=window))
        part.colorinterp = scene.colorinterp
        part.descriptions = scene.descriptions
    return path


def warp(source: Path, path: Path) -> Path:
    with rasterio.open(source) as scene:
        transform, width, height = rasterio.warp.calculate_default_transform(
            scene.crs, NEXT_ZONE, scene.width, scene.height, *scene.bounds, resolution=10
        )
        profile = scene.profile | {
            "crs": NEXT_ZONE,
            "transform": transform,
            "width": width,
            "height": height,
            "nodata": 0,
        }
        with rasterio.open(path, "w", **profile) as warped:
            for band in scene.indexes:
                reproject(
                    rasterio.band(scene, band),
                    rasterio.band(warped, band),
                    resampling=Resampling.bilinear,
                    dst_nodata=0,
                )
            warped.colorinterp = scene.colorinterp
            warped.descriptions = scene.descriptions
    return path


def read(path: Path | str, band: int = 1) -> NDArray[np.uint8]:
    with rasterio.open(path) as raster:
        return np.asarray(raster.read(band), np.uint8)


def beside(path: Path, kind: str) -> Path:
    return path.with_name(path.name.replace("_landuse.tif", f"_{kind}.tif"))


@pytest.mark.parametrize("by", ["probability", "confidence"])
def test_two_halves_make_the_whole(maps: Maps, by: Any, tmp_path: Path) -> None:
    out = tmp_path / "both_landuse.tif"
    manifest = geokd.mosaic([maps.west, maps.east], out, geokd.MosaicOptions(by=by, sources=True)).to_json()
    with rasterio.open(out) as joined, rasterio.open(maps.whole) as whole:
        assert (joined.transform, joined.crs, joined.shape) == (whole.transform, whole.crs, whole.shape)
    cols = np.arange(SIDE)
    cut_off = ((cols >= EAST_START) & (cols < EAST_START + REACH)) | ((cols >= WEST_STOP - REACH) & (cols < WEST_STOP))
    kinds = ["landuse", "confidence", *(["probabilities"] if by == "probability" else [])]
    for kind in kinds:
        assert np.array_equal(read(beside(out, kind))[:, ~cut_off], read(beside(maps.whole, kind))[:, ~cut_off])
    assert (read(out) == read(maps.whole)).mean() > 0.95
    sources = read(beside(out, "sources"))
    assert (sources[:, :EAST_START] == 1).all()
    assert (sources[:, WEST_STOP:] == 2).all()
    assert [source["cells_taken"] for source in manifest["mosaic"]["maps"]] == [(sources == n).sum() for n in (1, 2)]
    assert category_names(beside(out, "sources")) == {0: "no map", 1: "west_landuse.tif", 2: "east_landuse.tif"}
    assert "nothing is resampled" in manifest["notes"][1]


def test_a_half_from_the_next_zone_makes_the_whole_too(maps: Maps, tmp_path: Path) -> None:
    out = tmp_path / "zones_landuse.tif"
    manifest = geokd.mosaic([maps.west, maps.next_zone], out).to_json()
    assert [source["resampled"] for source in manifest["mosaic"]["maps"]] == [False, True]
    with rasterio.open(out) as joined, rasterio.open(maps.whole) as whole:
        shift = ~joined.transform @ (whole.transform @ (0, 0))
        row, col = round(shift[1]), round(shift[0])
        assert shift == pytest.approx((col, row), abs=1e-6)
    codes, truth = read(out)[row : row + SIDE, col : col + SIDE], read(maps.whole)
    assert codes.shape == truth.shape
    assert np.array_equal(codes[:, : EAST_START - LEAN], truth[:, : EAST_START - LEAN])
    mapped = codes != 255
    assert mapped.mean() > 0.98
    assert (codes == truth)[mapped].mean() > 0.85
    assert manifest["area_ha"] == pytest.approx(SIDE**2 * CELL_HA, rel=0.05)


def test_it_is_a_map_like_any_other(maps: Maps, tmp_path: Path) -> None:
    out = tmp_path / "new" / "both_landuse.tif"
    manifest = geokd.mosaic([maps.west, maps.east], out).to_json()
    assert sorted(path.name for path in out.parent.iterdir()) == sorted(manifest["outputs"].values())
    assert json.loads(out.with_suffix(".json").read_text(encoding="utf-8")) == manifest
    polygons = geopandas.read_file(out.with_suffix(".gpkg"), layer="land_use")
    codes = read(out)
    for area in manifest["areas"]:
        own = polygons[polygons["class_value"] == area["value"]]
        assert area["area_ha"] == pytest.approx((codes == area["value"]).sum() * CELL_HA)
        assert own.area.sum() / 1e4 == pytest.approx(area["area_ha"])
    with rasterio.open(out) as raster, rasterio.open(maps.west) as part:
        assert raster.colormap(1) == part.colormap(1)
    again = geokd.mosaic([out, maps.whole], tmp_path / "again_landuse.tif").to_json()  # a mosaic is joined like a map
    assert again["mosaic"]["decided_by"] == "probability"
    drawn = geokd.sample(out, 100, tmp_path / "sample.gpkg").to_json()
    assert drawn["points"] == 100


@pytest.mark.parametrize("second", ["east", "next_zone"])
def test_strips_and_order_do_not_matter(
    second: str, maps: Maps, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    grid = StatedGrid("EPSG:32618", 300.0)
    parts = [maps.west, getattr(maps, second)]
    geokd.mosaic(parts, tmp_path / "a_landuse.tif", geokd.MosaicOptions(grid=grid))
    monkeypatch.setattr("geokd.maps.class_map.STRIP_CELLS", 300)
    geokd.mosaic(parts, tmp_path / "b_landuse.tif", geokd.MosaicOptions(grid=grid))
    grid = StatedGrid("EPSG:5070", 320.0)
    geokd.mosaic(parts, tmp_path / "c_landuse.tif", geokd.MosaicOptions(grid=grid))
    geokd.mosaic(parts[::-1], tmp_path / "d_landuse.tif", geokd.MosaicOptions(grid=grid))
    for one, other in (("a", "b"), ("c", "d")):
        for kind in ("landuse", "confidence", "probabilities"):
            first, then = (beside(tmp_path / f"{name}_landuse.tif", kind) for name in (one, other))
            assert np.array_equal(read(first, 1), read(then, 1)), (one, kind)


def small_map(path: Path, codes: NDArray[np.uint8], **place: Any) -> Path:
    """Write a map and its confidence, 70 % everywhere."""
    write_map(path, codes, **place)
    confidence = np.where(codes == 255, 255, 70).astype(np.uint8)
    with rasterio.open(path) as raster:
        profile = raster.profile
    with rasterio.open(beside(path, "confidence"), "w", **profile) as raster:
        raster.write(confidence, 1)
    return path


def test_nodata_gives_way_and_ties_go_to_the_first(tmp_path: Path) -> None:
    one, two = np.array([[0, 255, 255]], np.uint8), np.array([[1, 2, 255]], np.uint8)
    first, second = small_map(tmp_path / "a_landuse.tif", one), small_map(tmp_path / "b_landuse.tif", two)
    manifest = geokd.mosaic([first, second], tmp_path / "c_landuse.tif").to_json()
    assert read(tmp_path / "c_landuse.tif").tolist() == [[0, 2, 255]]
    assert manifest["mosaic"]["decided_by"] == "confidence"
    assert "because a_landuse.tif, b_landuse.tif have no probabilities" in manifest["notes"][2]
    assert "the STAC item uses the processing time" in manifest["notes"][3]
    geokd.mosaic([second, first], tmp_path / "d_landuse.tif")
    assert read(tmp_path / "d_landuse.tif").tolist() == [[1, 2, 255]]


def test_filters_make_confidence_the_default(maps: Maps, tmp_path: Path) -> None:
    options = geokd.ClassifyOptions(stride_px=STRIDE_PX, probabilities=True, smooth_cells=3)
    smooth = geokd.classify(SAMPLE, "eurosat-rgb-maps", tmp_path, options).outputs["class_raster"]
    by_default = geokd.mosaic([maps.west, smooth], tmp_path / "a_landuse.tif").to_json()
    assert by_default["mosaic"]["decided_by"] == "confidence"
    assert "filters" in by_default["notes"][2]
    asked = geokd.mosaic(
        [maps.west, smooth], tmp_path / "b_landuse.tif", geokd.MosaicOptions(by="probability")
    ).to_json()
    assert "have no effect there" in asked["notes"][2]


def test_everything_wrong_is_said_at_once(tmp_path: Path) -> None:
    codes = np.zeros((2, 2), np.uint8)
    good = small_map(tmp_path / "good_landuse.tif", codes)
    shutil.copy(good, tmp_path / "map.tif")
    shutil.copy(f"{good}.aux.xml", tmp_path / "map.tif.aux.xml")
    bare = write_map(tmp_path / "bare_landuse.tif", codes)
    forest = LandUseClass(1, "forest", "Forest", "2E7D32")
    other = small_map(tmp_path / "other_landuse.tif", codes, legend=Legend((LEGEND[0], forest, LEGEND[2])))
    small_map(tmp_path / "taken_landuse.tif", codes)
    calls = [good, good, tmp_path / "map.tif", bare, other, tmp_path / "none_landuse.tif"]
    with pytest.raises(CallError) as caught:
        geokd.mosaic(calls, tmp_path / "taken_landuse.tif", geokd.MosaicOptions(by="probability"))
    for sentence in (
        "named more than once",
        "map.tif is not named <stem>_landuse.tif",
        "bare_landuse.tif has no bare_confidence.tif beside it",
        "1 is Forest (not Wood_trees)",
        "no such file",
        "taken_landuse.tif",
        "have no probabilities",
    ):
        assert sentence in str(caught.value)
    assert str(caught.value).count("\n  - ") >= 7
    assert not list(tmp_path.glob(".geokd-*"))


def test_one_problem_is_one_sentence(tmp_path: Path) -> None:
    codes = np.zeros((2, 2), np.uint8)
    a, b = small_map(tmp_path / "a_landuse.tif", codes), small_map(tmp_path / "b_landuse.tif", codes)

    def refused(paths: list[Path], out: str = "out_landuse.tif", **options: Any) -> str:
        with pytest.raises((CallError, SceneError)) as caught:
            geokd.mosaic(paths, tmp_path / out, geokd.MosaicOptions(**options))
        assert "\n" not in str(caught.value)
        return str(caught.value)

    assert "1 map cannot be joined" in refused([a])
    assert "must be named" in refused([a, b], "out.tif")
    assert "one of the maps" in refused([a, b], "b_landuse.tif", overwrite=True)
    assert "with --resolution" in refused([a, b], grid=StatedGrid("EPSG:4326"))
    assert "areas 1.6" in refused([a, b], grid=StatedGrid("EPSG:3857", 100.0))
    assert "more than 2,147,483,647" in refused([a, b], grid=StatedGrid(None, 1e-3))
    with pytest.raises(CallError, match="is not a coordinate system such as EPSG"):
        StatedGrid("nonsense")
    with pytest.raises(CallError, match="greater than 0"):
        StatedGrid(None, -1.0)
    with rasterio.open(beside(b, "confidence"), "r+") as raster:
        raster.write(np.full((2, 2), 255, np.uint8), 1)
    assert "does not belong to" in refused([a, b])
    small_map(b, np.zeros((2, 3), np.uint8))
    shutil.copy(beside(a, "confidence"), beside(b, "confidence"))
    assert "should have the same cells" in refused([a, b])
    assert not list(tmp_path.glob("out*"))


def test_the_command_prints_what_was_chosen(maps: Maps, tmp_path: Path) -> None:
    out = tmp_path / "both_landuse.tif"
    result = CliRunner().invoke(main, ["mosaic", str(maps.west), str(maps.east), "-o", str(out), "--json"])
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["mosaic"]["decided_by"] == "probability"
    assert "32 x 32 cells of 320 x 320 m in EPSG:32618" in result.stderr
    again = CliRunner().invoke(main, ["mosaic", str(maps.west), str(maps.east), "-o", str(out)])
    assert again.exit_code == 2
    assert "--overwrite" in again.stderr


def test_grids() -> None:
    grid = SceneGrid(UTM, 10, 20, CRS.from_epsg(32618))
    moved = SceneGrid(UTM @ Affine.translation(-3, 5), 10, 20, grid.crs)
    half = SceneGrid(UTM @ Affine.translation(0.5, 0), 10, 20, grid.crs)
    joined = union_grid([grid, moved], StatedGrid())
    assert (joined.height, joined.width, joined.transform) == (15, 23, UTM @ Affine.translation(-3, 0))
    assert place(moved, joined) == Window(0, 5, 20, 10)
    assert lies_on(moved, joined)
    assert not lies_on(half, joined)
    assert not lies_on(SceneGrid(UTM @ Affine.scale(1.001), 10, 20, grid.crs), joined)
    finer = union_grid([grid], StatedGrid(None, 80.0))
    assert (finer.height, finer.width) == (20, 40)
    metres = union_grid([grid], StatedGrid("EPSG:5070"))
    assert metres.transform.a == 160
    assert metres.transform.c % 160 == 0
