"""The map of an area is the map of the whole scene, cut to the area: only what touches it is read."""

from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from numpy.typing import NDArray
from rasterio.features import geometry_mask

from geokd.errors import CallError, SceneError
from geokd.mapping.classify import classify
from geokd.mapping.options import ClassifyOptions
from geokd.mapping.planning import plan_jobs
from geokd.mapping.scene_run import ClassifyResult
from tests.tiny import dense_bundle, tiny_bundle, write_scene

pytest.importorskip("onnx", reason="needs the extra geokd[train]")

SIDE_PX = 150
WEST_M, NORTH_M = 400_000.0, 4_200_000.0
AREAS = {
    "triangle": shapely.Polygon([(300, -400), (900, -500), (500, -1100)]),
    "two fields": shapely.MultiPolygon([shapely.box(20, -260, 180, -40), shapely.box(1200, -1480, 1300, -1000)]),
    "with a hole": shapely.box(100, -1400, 1400, -100).difference(shapely.box(400, -1000, 1000, -400)),
    "beyond the scene": shapely.box(1200, -700, 9000, -200),
}


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    random = np.random.default_rng(3)
    fields = np.kron(random.integers(200, 2500, (3, 15, 15)), np.ones((10, 10)))
    values = (fields * random.normal(1, 0.2, (3, SIDE_PX, SIDE_PX))).clip(1, 9000).astype(np.uint16)
    values[:, 40:60, 60:90] = 0
    folder = tmp_path_factory.mktemp("scene")
    return write_scene(
        folder / "scene.tif", values, ("B04", "B03", "B02"), nodata=0, tiled=True, blockxsize=64, blockysize=64
    )


@pytest.fixture(scope="module", params=["patch", "dense"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / f"{request.param}.onnx"
    bundle = tiny_bundle() if request.param == "patch" else dense_bundle(cell_px=2)
    path.write_bytes(bundle.onnx_bytes)
    return path


def placed(shape: Any) -> Any:
    """Move a shape to where the scene lies."""
    return shapely.transform(shape, lambda xy: np.add(xy, (WEST_M, NORTH_M)))


def write_area(path: Path, *shapes: Any, crs: str = "EPSG:32618", **fields: list[Any]) -> Path:
    frame = geopandas.GeoDataFrame(fields, geometry=[placed(shape) for shape in shapes], crs="EPSG:32618").to_crs(crs)
    frame.to_file(path, layer="area") if path.suffix == ".gpkg" else frame.to_file(path)
    return path


def mapped(scene: Path, model: Path, folder: Path, **options: Any) -> ClassifyResult:
    return classify(scene, model, folder, ClassifyOptions(**{"workers": 1, "overwrite": True} | options))


def expected(whole: ClassifyResult, shape: Any) -> tuple[NDArray[np.uint8], NDArray[np.uint8], Affine]:
    """Cut codes and confidence of a whole map to a shape: 255 outside, without rows and columns it does not touch."""
    grid = whole.class_map.grid
    inside = ~geometry_mask([shape], (grid.height, grid.width), grid.transform)
    left, bottom, right, top = shape.bounds
    (first_col, first_row), (last_col, last_row) = (
        ~grid.transform @ corner for corner in ((left, top), (right, bottom))
    )
    rows = slice(max(0, int(np.floor(first_row))), min(grid.height, int(np.ceil(last_row))))
    cols = slice(max(0, int(np.floor(first_col))), min(grid.width, int(np.ceil(last_col))))
    codes, sure = (np.where(inside, a, 255)[rows, cols] for a in (whole.class_map.codes, whole.class_map.confidence))
    return codes, sure, grid.transform @ Affine.translation(cols.start, rows.start)


@pytest.mark.parametrize("name", AREAS)
@pytest.mark.parametrize("block_px", [None, 40, 70])
def test_the_map_of_an_area_is_the_whole_map_cut(
    scene: Path, model: Path, tmp_path: Path, name: str, block_px: int | None
) -> None:
    whole = mapped(scene, model, tmp_path / "whole")
    path = write_area(tmp_path / "area.gpkg", AREAS[name])
    cut = mapped(scene, model, tmp_path / "cut", aoi=str(path), block_px=block_px)
    codes, sure, transform = expected(whole, placed(AREAS[name]))
    np.testing.assert_array_equal(cut.class_map.codes, codes)
    np.testing.assert_array_equal(cut.class_map.confidence, sure)
    assert cut.class_map.grid.transform == transform
    side = cut.class_map.grid.pixel_size_m[0]
    hectares = sum(area["area_ha"] for area in cut.manifest.to_json()["areas"])
    assert hectares == pytest.approx((codes != 255).sum() * side**2 / 1e4)
    unmapped = cut.manifest.to_json()["unmapped_cells"]
    assert sum(unmapped.values()) == (codes == 255).sum()
    assert any(
        "cells whose centres lie within the area area.gpkg (1 polygon) are mapped" in n
        for n in cut.manifest.to_json()["notes"]
    )


def test_only_blocks_that_an_area_touches_are_read(scene: Path, model: Path, tmp_path: Path) -> None:
    path = write_area(tmp_path / "area.gpkg", AREAS["two fields"])
    (whole,) = plan_jobs([scene], model, tmp_path, ClassifyOptions(block_px=32))
    (cut,) = plan_jobs([scene], model, tmp_path, ClassifyOptions(block_px=32, aoi=str(path)))
    assert len(cut.blocks) < len(whole.blocks) / 2
    assert whole.fingerprint != cut.fingerprint


def test_an_area_of_a_scene_that_is_too_large_to_be_mapped(tmp_path: Path) -> None:
    """A virtual raster of 50,000 pixels a side, whose map would have more cells than a map may have."""
    model = tmp_path / "dense.onnx"
    model.write_bytes(dense_bundle().onnx_bytes)
    source = write_scene(tmp_path / "a.tif", np.full((3, 100, 100), 900, np.uint16), ("B04", "B03", "B02"))
    side = 50_000
    bands = "".join(
        f'<VRTRasterBand dataType="UInt16" band="{band}"><Description>{name}</Description><NoDataValue>0</NoDataValue>'
        f"<SimpleSource><SourceFilename>{source}</SourceFilename><SourceBand>{band}</SourceBand></SimpleSource>"
        "</VRTRasterBand>"
        for band, name in enumerate(("B04", "B03", "B02"), 1)
    )
    scene = tmp_path / "wide.vrt"
    scene.write_text(
        f'<VRTDataset rasterXSize="{side}" rasterYSize="{side}"><SRS>EPSG:32618</SRS>'
        f"<GeoTransform>{WEST_M}, 10, 0, {NORTH_M}, 0, -10</GeoTransform>{bands}</VRTDataset>"
    )
    with pytest.raises(CallError, match=r"2,500,000,000 cells, more than .*with --aoi or --bbox"):
        plan_jobs([scene], model, tmp_path, ClassifyOptions())
    area = write_area(tmp_path / "area.gpkg", AREAS["triangle"])
    made = mapped(scene, model, tmp_path / "out", aoi=str(area))
    assert (made.class_map.codes != 255).any()
    assert made.manifest.to_json()["run"]["blocks"] <= 4


def test_filters_and_probabilities_are_of_the_area(scene: Path, model: Path, tmp_path: Path) -> None:
    path = write_area(tmp_path / "area.gpkg", AREAS["triangle"])
    options = {"smooth_cells": 3, "min_area_ha": 0.2, "probabilities": True, "report": True}
    cut = mapped(scene, model, tmp_path / "cut", aoi=str(path), block_px=40, **options)
    with rasterio.open(cut.outputs["probability_raster"]) as raster:
        percent = raster.read()
        assert raster.transform == cut.class_map.grid.transform
    on = cut.class_map.codes != 255
    assert ((percent != 255).all(axis=0) == on).all()
    rows, cols = np.nonzero(on)
    np.testing.assert_array_equal(percent[cut.class_map.codes[on], rows, cols], cut.class_map.confidence[on])


def test_an_area_in_degrees_with_a_layer_and_a_condition(scene: Path, model: Path, tmp_path: Path) -> None:
    whole = mapped(scene, model, tmp_path / "whole")
    inner = shapely.Polygon([(301, -403), (899, -501), (504, -1097)])  # no centre of a cell lies on its sides
    two = [inner, AREAS["with a hole"]]
    path = write_area(tmp_path / "areas.gpkg", *two, crs="EPSG:4326", name=["here", "there"])
    geopandas.read_file(path).to_file(path, layer="other")
    cut = mapped(scene, model, tmp_path / "cut", aoi=f"{path}:area", where="name = 'here'")
    codes, _, _ = expected(whole, placed(inner))
    np.testing.assert_array_equal(cut.class_map.codes, codes)


def test_a_box_in_degrees(scene: Path, model: Path, tmp_path: Path) -> None:
    box = geopandas.GeoSeries([placed(AREAS["triangle"])], crs="EPSG:32618").to_crs("EPSG:4326").total_bounds
    cut = mapped(scene, model, tmp_path, bbox=tuple(box))
    side = cut.class_map.grid.pixel_size_m[0]
    assert cut.class_map.codes.shape[1] * side == pytest.approx(600, abs=3 * side)
    assert (cut.class_map.codes[2:-2, 2:-2] != 255).any()


@pytest.mark.parametrize("how", ["box", "parts", "one polygon"])
def test_areas_lie_across_the_antimeridian(model: Path, tmp_path: Path, how: str) -> None:
    values = np.random.default_rng(0).integers(200, 2500, (3, 100, 100)).astype(np.uint16)
    east = 833_500.0  # the antimeridian at the equator, in UTM zone 60
    scene = write_scene(
        tmp_path / "fiji.tif",
        values,
        ("B04", "B03", "B02"),
        crs="EPSG:32660",
        transform=Affine(10, 0, east, 0, -10, 1000),
    )
    assert geopandas.GeoSeries([shapely.Point(east, 500)], crs=32660).to_crs(4326).x[0] > 0
    assert geopandas.GeoSeries([shapely.Point(east + 1000, 500)], crs=32660).to_crs(4326).x[0] < 0
    if how == "box":
        cut = mapped(scene, model, tmp_path / "out", bbox=(179.998, 0.003, -179.998, 0.006))
    else:
        parts = [shapely.box(179.998, 0.003, 180, 0.006), shapely.box(-180, 0.003, -179.998, 0.006)]
        beyond = shapely.box(179.998, 0.003, 180.002, 0.006)
        frame = geopandas.GeoDataFrame(geometry=[shapely.MultiPolygon(parts) if how == "parts" else beyond], crs=4326)
        frame.to_file(tmp_path / "area.gpkg")
        cut = mapped(scene, model, tmp_path / "out", aoi=str(tmp_path / "area.gpkg"))
    side = cut.class_map.grid.pixel_size_m[0]
    assert cut.class_map.codes.shape[1] * side == pytest.approx(445, abs=2.5 * side)
    assert (cut.class_map.codes != 255).mean() > 0.5


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"aoi": "none.gpkg"}, CallError, "no such file: none.gpkg"),
        ({"aoi": "area.gpkg:roads"}, CallError, "area.gpkg has no layer roads; it has area"),
        (
            {"aoi": "area.gpkg", "where": "nam = 'x'"},
            CallError,
            "is not a condition on the fields of area.gpkg .name.: ",
        ),
        ({"aoi": "area.gpkg", "where": "name = 'x'"}, SceneError, "area.gpkg holds no polygon where name = 'x'"),
        ({"aoi": "points.gpkg"}, SceneError, "points.gpkg holds points or lines, which have no area; give polygons"),
        ({"aoi": "placeless.gpkg"}, SceneError, "placeless.gpkg has no coordinate reference system"),
        ({"aoi": "far.gpkg"}, SceneError, r"far.gpkg \(1 polygon\) does not overlap .*scene.tif, which .*; check"),
        ({"aoi": "tiny.gpkg"}, SceneError, "the area contains no centre of the"),
        ({"aoi": "text.gpkg"}, SceneError, "text.gpkg is not a vector file, or is broken"),
        ({"bbox": (10, 50, 11, 51)}, SceneError, "the box 10, 50, 11, 51 does not overlap .*scene.tif, .*; check"),
        (
            {"bbox": (37.8, -76.5, 38.1, -76)},
            SceneError,
            "which lies in the box -76.*, 37.*degrees.; if latitude and .*, give --bbox -76.5,37.8,-76,38.1",
        ),
        (
            {"bbox": (-34, 151.1, -33.8, 151.2)},
            CallError,
            "is not a box: .* below north; if latitude and longitude are exchanged, give --bbox 151.1,-34,151.2,-33.8",
        ),
        (
            {"bbox": (10, 51, 11, 50)},
            CallError,
            "10,51,11,50 is not a box: .* in degrees, south below north$",
        ),
        ({"where": "a = 1"}, CallError, "--where selects features of --aoi FILE"),
        ({"aoi": "area.gpkg", "bbox": (1, 2, 3, 4)}, CallError, "--aoi and --bbox both give an area"),
    ],
)
def test_areas_that_cannot_be_used_are_refused(
    scene: Path,
    model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: dict[str, Any],
    error: type[Exception],
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    write_area(tmp_path / "area.gpkg", AREAS["triangle"], name=["a"])
    write_area(tmp_path / "points.gpkg", shapely.Point(500, -500))
    write_area(tmp_path / "far.gpkg", shapely.box(1e5, 0, 1e5 + 500, 500))
    write_area(tmp_path / "tiny.gpkg", shapely.box(500.1, -500.2, 500.2, -500.1))
    geopandas.GeoDataFrame(geometry=[shapely.box(0, 0, 1, 1)]).to_file(tmp_path / "placeless.gpkg")
    (tmp_path / "text.gpkg").write_text("no polygons here")
    with pytest.raises(error, match=said):
        mapped(scene, model, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()
