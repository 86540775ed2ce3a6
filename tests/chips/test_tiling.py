import json
import warnings
from dataclasses import asdict
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.enums import ColorInterp
from rasterio.warp import transform_geom
from rasterio.windows import Window

from geokd.chips.cutting import LeftOut
from geokd.chips.files import index_chips
from geokd.chips.reading import read_chips
from geokd.chips.tiling import TileOptions, tile
from geokd.errors import CallError, ChipError, SceneError
from geokd.labels.polygons import cover_of_row, patch_outlines, read_labels
from geokd.model.contract import InputContract, ValueScaling
from geokd.scenes.grid import SceneGrid
from geokd.scenes.patches import PatchGrid
from geokd.scenes.scaling import to_uint8
from tests.products import land, write_safe
from tests.tiny import write_scene

PLACE = Affine(10, 0, 4e5, 0, -10, 4.2e6)
SMALL = TileOptions(patch_px=8)

NO_AREA = dict.fromkeys(("mask", "aoi", "where", "bbox"))


def noise(height: int, width: int, bands: int = 4) -> NDArray[np.uint16]:
    return np.random.default_rng(5).integers(1, 3000, (bands, height, width), dtype=np.uint16)


@pytest.fixture
def field(tmp_path: Path) -> Path:
    """A scene of 3 x 4 patches of 8 pixels, with a ragged edge of 3 rows and 2 columns."""
    return write_scene(tmp_path / "field.tif", noise(27, 34), ("B04", "B03", "B02", "B08"), nodata=0)


def square(row: float, col: float, height: float, width: float) -> shapely.Polygon:
    """A rectangle of pixels of the scenes here, in their coordinates."""
    left, top = PLACE @ (col, row)
    right, bottom = PLACE @ (col + width, row + height)
    return shapely.box(left, bottom, right, top)


def write_labels(
    path: Path, rows: list[tuple[Any, Any]], crs: str | None = "EPSG:32618", to: str | None = None
) -> Path:
    """Write (class, geometry) rows as a GeoPackage, in the CRS `to` if given."""
    frame = geopandas.GeoDataFrame({"use": [use for use, _ in rows]}, geometry=[shape for _, shape in rows], crs=crs)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pyogrio warns of layers without CRS
        (frame.to_crs(to) if to else frame).to_file(path, layer="labels")
    return path


def files_of(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def test_chips_are_the_scenes_own_pixels_at_their_place(field: Path, tmp_path: Path) -> None:
    result = tile(field, tmp_path / "chips", options=SMALL)
    assert len(result.chips) == 12
    assert result.chips[:2] == ("field_r00_c00.tif", "field_r00_c08.tif")
    assert result.left_out == LeftOut(past_the_edge=4 + 3 + 1, not_labelled=0, mixed=0, invalid_pixels=0)
    assert result.counts == {}
    assert files_of(result.folder) == sorted([*result.chips, "chips.json"])
    with rasterio.open(field) as scene, rasterio.open(result.folder / "field_r16_c08.tif") as chip:
        window = Window(8, 16, 8, 8)
        np.testing.assert_array_equal(chip.read(), scene.read(window=window))
        assert chip.transform == PLACE @ Affine.translation(8, 16)
        assert chip.crs == scene.crs
        assert chip.nodata == 0
        assert chip.dtypes == scene.dtypes
        assert chip.descriptions == ("B04", "B03", "B02", "B08")
        assert chip.colorinterp == scene.colorinterp
        assert chip.profile["compress"] == "deflate"


def test_the_chips_lie_side_by_side_on_a_rotated_grid_too(tmp_path: Path) -> None:
    rotated = Affine.translation(4e5, 4.2e6) @ Affine.rotation(25) @ Affine.scale(10, -10)
    scene = write_scene(tmp_path / "a.tif", noise(16, 16), transform=rotated)
    result = tile(scene, tmp_path / "chips", options=SMALL)
    with rasterio.open(result.folder / "a_r08_c08.tif") as chip:
        assert chip.transform.almost_equals(rotated @ Affine.translation(8, 8))


def test_what_the_file_says_of_its_bands_goes_along(tmp_path: Path) -> None:
    scene = write_scene(tmp_path / "a.tif", noise(8, 8, bands=2), ("nir", "red"))
    with rasterio.open(scene, "r+") as dataset:
        dataset.scales, dataset.offsets = (1e-4, 2e-4), (-0.1, 0.0)
        dataset.colorinterp = (ColorInterp.gray, ColorInterp.red)
    result = tile(scene, tmp_path / "chips", options=TileOptions(patch_px=8, bidx=(2,)))
    with rasterio.open(result.folder / result.chips[0]) as chip, rasterio.open(scene) as dataset:
        np.testing.assert_array_equal(chip.read(1), dataset.read(2))
        assert (chip.count, chip.scales, chip.offsets) == (1, (2e-4,), (0.0,))
        assert (chip.descriptions, chip.colorinterp) == (("red",), (ColorInterp.red,))


def test_a_scene_without_coordinates_gives_chips_without(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scene = write_scene(tmp_path / "a.tif", noise(8, 8), crs=None, transform=None)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = tile(scene, tmp_path / "chips", options=SMALL)
    assert result.chips == ("a_r0_c0.tif",)


@pytest.mark.parametrize("kind", ["nodata", "nan", "alpha", "mask"])
def test_patches_with_invalid_pixels_are_left_out_and_counted(tmp_path: Path, kind: str) -> None:
    values: NDArray[Any] = noise(16, 16)
    profile: dict[str, Any] = {}
    if kind == "nodata":
        values[:, 0, 0] = 0
        values[0, 15, 15] = 0  # an honest 0 of one band
        profile = {"nodata": 0}
    elif kind == "nan":
        values = values.astype(np.float32)
        values[1, 0, 0] = np.nan
    elif kind == "alpha":
        values[3] = 65535
        values[3, 0, 0] = 0
        profile = {"photometric": "RGB", "alpha": "yes"}
    scene = write_scene(tmp_path / "a.tif", values, **profile)
    if kind == "mask":
        mask = np.ones((16, 16), bool)
        mask[0, 0] = False
        with rasterio.open(scene, "r+") as dataset:
            dataset.write_mask(mask)
    result = tile(scene, tmp_path / "chips", options=SMALL)
    assert result.chips == ("a_r00_c08.tif", "a_r08_c00.tif", "a_r08_c08.tif")
    assert result.left_out == LeftOut(past_the_edge=0, not_labelled=0, mixed=0, invalid_pixels=1)
    with rasterio.open(result.folder / result.chips[0]) as chip, rasterio.open(scene) as dataset:
        assert chip.colorinterp == dataset.colorinterp


def test_labels_give_chips_their_class(field: Path, tmp_path: Path) -> None:
    labels = write_labels(
        tmp_path / "labels.gpkg",
        [
            ("open field", square(0, 0, 8, 4)),  # two halves of the first patch
            ("open field", square(0, 4, 8, 4)),
            ("wood", square(0, 8, 8, 4.8)),  # 60 % of the second
            ("wood", square(0, 16, 8, 4.7)),  # too little of the third, with the field
            ("open field", square(0, 20.7, 8, 3.3)),
            ("lake", square(8, 0, 4, 8)),  # half of the one below the first
            (None, square(8, 8, 8, 24)),  # nothing
            ("", square(16, 0, 8, 8)),
            ("pond", square(24, 32, 3, 2)),  # in the ragged corner only
        ],
    )
    result = tile(field, tmp_path / "chips", labels, "use", SMALL)
    assert result.chips == ("open_field/field_r00_c00.tif", "wood/field_r00_c08.tif")
    assert result.counts == {"lake": 0, "open_field": 1, "pond": 0, "wood": 1}
    assert result.left_out == LeftOut(past_the_edge=8, not_labelled=9, mixed=1, invalid_pixels=0)
    assert result.nameless_labels == 2
    assert len(result.chips) + sum(asdict(result.left_out).values()) == 4 * 5


def test_labels_in_another_crs_are_reprojected(field: Path, tmp_path: Path) -> None:
    rows = [("wood", square(0, 0, 16, 16)), ("field", square(16, 16, 8, 8))]
    here = tile(field, tmp_path / "here", write_labels(tmp_path / "a.gpkg", rows), "use", SMALL)
    there = tile(field, tmp_path / "there", write_labels(tmp_path / "b.gpkg", rows, to="EPSG:4326"), "use", SMALL)
    assert here.counts == {"field": 1, "wood": 4}
    assert there.chips == here.chips


def test_polygons_of_one_class_that_overlap_count_once(field: Path, tmp_path: Path) -> None:
    labels = write_labels(
        tmp_path / "a.gpkg", [("wood", square(0, 0, 8, 4)), ("wood", square(0, 0, 8, 3)), ("x", square(8, 8, 8, 8))]
    )
    result = tile(field, tmp_path / "chips", labels, "use", SMALL)
    assert result.counts == {"wood": 0, "x": 1}


def test_two_classes_that_both_cover_a_chip_make_it_mixed(field: Path, tmp_path: Path) -> None:
    labels = write_labels(tmp_path / "a.gpkg", [("wood", square(0, 0, 8, 16)), ("lake", square(0, 0, 8, 8))])
    result = tile(field, tmp_path / "chips", labels, "use", SMALL)
    assert result.counts == {"lake": 0, "wood": 1}
    assert result.left_out.mixed == 1


def test_a_chip_may_be_asked_to_be_covered_wholly(field: Path, tmp_path: Path) -> None:
    labels = write_labels(
        tmp_path / "a.gpkg", [("wood", square(0, 0, 8, 8)), ("wood", square(8, 0, 8, 7.9))], to="EPSG:3857"
    )
    result = tile(field, tmp_path / "chips", labels, "use", TileOptions(patch_px=8, min_cover=1))
    assert result.chips == ("wood/field_r00_c00.tif",)


def test_broken_polygons_are_mended(field: Path, tmp_path: Path) -> None:
    x, y = PLACE @ (0, 0)
    bow_tie = shapely.Polygon(
        [(x, y), (x + 80, y - 160), (x + 80, y), (x, y - 160)]
    )  # two triangles, half of two patches
    labels = write_labels(tmp_path / "a.gpkg", [("wood", bow_tie), ("wood", square(8, 8, 8, 8))])
    result = tile(field, tmp_path / "chips", labels, "use", SMALL)
    assert result.chips == ("wood/field_r08_c08.tif",)


@pytest.mark.parametrize(("values", "names"), [([1, None, 2], {"1", "2"}), ([1.5, 2.0, 2.0], {"1_5", "2"})])
def test_classes_may_be_numbers(field: Path, tmp_path: Path, values: list[Any], names: set[str]) -> None:
    labels = write_labels(tmp_path / "a.gpkg", [(value, square(0, 8 * i, 8, 8)) for i, value in enumerate(values)])
    assert set(tile(field, tmp_path / "chips", labels, "use", SMALL).counts) == names


def test_chips_are_read_back_as_the_scene_would_be(field: Path, tmp_path: Path) -> None:
    labels = write_labels(tmp_path / "a.gpkg", [("b", square(0, 0, 8, 8)), ("a", square(8, 8, 8, 8))])
    result = tile(field, tmp_path / "chips", labels, "use", SMALL)
    index = index_chips(result.folder)
    assert index.classes == ("a", "b")
    chips = read_chips(index, InputContract(("B04", "B03", "B02"), 8, 10.0, ValueScaling()))
    with rasterio.open(field) as scene:
        expected = to_uint8(scene.read([1, 2, 3], window=Window(8, 8, 8, 8)), 1, 0, ValueScaling())
    np.testing.assert_array_equal(chips.pixels[0], expected)
    assert chips.bounds is not None
    assert chips.bounds[0].tolist() == [400_080, 4_199_840, 400_160, 4_199_920]


def test_the_manifest_states_what_was_cut_how(tmp_path: Path) -> None:
    scene = write_scene(tmp_path / "a.tif", noise(8, 16))
    with rasterio.open(scene, "r+") as dataset:
        dataset.update_tags(CREDIT="Copernicus", LICENSE="CC0", OTHER="x")
    labels = write_labels(tmp_path / "a.gpkg", [("wood", square(0, 0, 8, 8))])
    tile(scene, tmp_path / "chips", labels, "use", TileOptions(patch_px=8, stride_px=4))
    assert json.loads((tmp_path / "chips" / "chips.json").read_text()) == {
        "scene": str(scene),
        "labels": str(labels),
        "field": "use",
        "options": {"patch_px": 8, "stride_px": 4, "min_cover": 0.6, "bidx": None, "nodata": None, "mask": None}
        | NO_AREA,
        "counts": {"wood": 1},
        "left_out": asdict(LeftOut(past_the_edge=0, not_labelled=2, mixed=0, invalid_pixels=0)),
        "nameless_labels": 0,
        "notes": [],
        "warnings": [],
        "credit": {"CREDIT": "Copernicus", "LICENSE": "CC0"},
        "chips": ["wood/a_r00_c00.tif"],
    }


def test_chips_lie_wholly_within_an_area(tmp_path: Path) -> None:
    scene = write_scene(tmp_path / "a.tif", noise(32, 32))
    area = write_labels(tmp_path / "area.gpkg", [("x", square(8, 8, 16, 12))])
    result = tile(scene, tmp_path / "chips", options=TileOptions(patch_px=8, aoi=str(area)))
    names = {tuple(int(part[1:]) for part in Path(chip).stem.split("_")[1:]) for chip in result.chips}
    assert names == {(8, 8), (16, 8)}
    assert result.left_out.outside_area == 14


def test_chips_of_a_product_carry_its_scale(tmp_path: Path) -> None:
    product = write_safe(tmp_path, "2A", "05.11", {name: land()[name] for name in ("B02", "B03", "B04")}, corner=True)
    result = tile(product, tmp_path / "chips", options=TileOptions(patch_px=24))
    assert result.left_out.invalid_pixels == 1
    with rasterio.open(tmp_path / "chips" / result.chips[0]) as chip:
        assert (set(chip.scales), set(chip.offsets), chip.nodata) == ({1e-4}, {-0.1}, 0)
        assert chip.descriptions == ("B02", "B03", "B04")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"patch_px": 4}, ["8..4096"]),
        ({"stride_px": 48}, ["stride 48 px does not divide the patch of 64 px"]),
        ({"stride_px": 0}, ["stride 0 px"]),
        ({"min_cover": 0.5}, ["min-cover 0.5"]),
        ({"min_cover": 1.1, "patch_px": 0}, ["2 problems", "min-cover 1.1", "patch of 0 px"]),
    ],
)
def test_options_out_of_range(options: dict[str, Any], said: list[str]) -> None:
    with pytest.raises(CallError) as error:
        TileOptions(**options)
    assert all(words in str(error.value) for words in said)


@pytest.mark.parametrize(
    ("rows", "kind", "said"),
    [
        ([("a", square(900, 0, 8, 8))], ChipError, "none of the 1 labels .* lies over the scene"),
        ([(None, square(0, 0, 8, 8))], ChipError, "'use' is empty in all 1 polygons"),
        ([("a", shapely.Point(4e5, 4.2e6))], ChipError, "holds Point geometries"),
        ([("a", None)], ChipError, "has no polygons"),
        ([("a b", square(0, 0, 8, 8)), ("a_b", square(0, 8, 8, 8))], ChipError, "'a b' and 'a_b' would share"),
        ([("wood", square(0, 0, 8, 8)), ("Wood", square(0, 8, 8, 8))], ChipError, "'wood' and 'Wood' would share"),
        ([("a", square(0, 0, 3, 3))], ChipError, "no chip can be cut .* 8 reach past .* edge, 12 are not labelled"),
    ],
)
def test_labels_that_cannot_be_used(
    field: Path, tmp_path: Path, rows: list[Any], kind: type[Exception], said: str
) -> None:
    labels = write_labels(tmp_path / "a.gpkg", rows)
    with pytest.raises(kind, match=said):
        tile(field, tmp_path / "new" / "chips", labels, "use", SMALL)
    assert not (tmp_path / "new").exists()


def test_label_files_that_cannot_be_used(field: Path, tmp_path: Path) -> None:
    rows = [("a", square(0, 0, 8, 8))]
    labels = write_labels(tmp_path / "a.gpkg", rows)
    text = tmp_path / "a.txt"
    text.write_text("no labels")
    layers = write_labels(tmp_path / "b.gpkg", rows)
    geopandas.read_file(labels).to_file(layers, layer="more")
    cases: list[tuple[Any, Any, type[Exception], str]] = [
        (labels, "class", CallError, "has no field 'class'; it has use"),
        (tmp_path / "none.gpkg", "use", CallError, "no such file: .*none.gpkg"),
        (text, "use", ChipError, "is not a vector file"),
        (layers, "use", ChipError, r"2 layers with geometry \(labels, more\)"),
        (
            write_labels(tmp_path / "c.gpkg", rows, crs=None),
            "use",
            ChipError,
            "labels .* no coordinate reference system",
        ),
        (labels, None, CallError, "--labels and --field go together"),
        (None, "use", CallError, "--labels and --field go together"),
    ]
    for path, name, kind, said in cases:
        with pytest.raises(kind, match=said):
            tile(field, tmp_path / "chips", path, name, SMALL)
        assert not (tmp_path / "chips").exists()


def test_a_scene_that_cannot_be_used_for_labels(tmp_path: Path) -> None:
    scene = write_scene(tmp_path / "a.tif", noise(8, 8), crs=None)
    labels = write_labels(tmp_path / "a.gpkg", [("a", square(0, 0, 8, 8))])
    with pytest.raises(ChipError, match="the scene has no coordinate reference system"):
        tile(scene, tmp_path / "chips", labels, "use", SMALL)


def test_bands_that_are_not_there(field: Path, tmp_path: Path) -> None:
    with pytest.raises(CallError, match=r"--bidx 1,5 is not among the scene's bands 1\.\.4"):
        tile(field, tmp_path / "chips", options=TileOptions(patch_px=8, bidx=(1, 5)))
    assert not (tmp_path / "chips").exists()


def test_an_existing_folder_is_only_used_if_it_is_empty(field: Path, tmp_path: Path) -> None:
    folder = tmp_path / "chips"
    folder.mkdir()
    assert len(tile(field, folder, options=SMALL).chips) == 12
    with pytest.raises(CallError, match="is not empty"):
        tile(field, folder, options=SMALL)
    with pytest.raises(CallError, match="is a file"):
        tile(field, field, options=SMALL)


def test_overwrite_replaces_its_own_chips_and_nothing_else(field: Path, tmp_path: Path) -> None:
    folder = tmp_path / "chips"
    labels = write_labels(tmp_path / "a.gpkg", [("wood", square(0, 0, 8, 8)), ("lake", square(8, 0, 8, 8))])
    tile(field, folder, labels, "use", SMALL)
    (folder / "wood" / "note.txt").write_text("mine")
    (folder / "wood" / "field_r08_c08.tif").write_text("mine, too")
    tile(field, folder, options=TileOptions(patch_px=8, stride_px=8, bidx=(1,), overwrite=True))
    chips = [f"field_r{row:02}_c{col:02}.tif" for row in (0, 8, 16) for col in (0, 8, 16, 24)]
    assert files_of(folder) == sorted([*chips, "chips.json", "wood/field_r08_c08.tif", "wood/note.txt"])
    assert not (folder / "lake").exists()
    assert (folder / "wood" / "note.txt").read_text() == "mine"


def test_a_foreign_file_in_the_way_is_not_replaced(field: Path, tmp_path: Path) -> None:
    folder = tmp_path / "chips"
    labels = write_labels(tmp_path / "a.gpkg", [("wood", square(0, 0, 8, 8))])
    tile(field, folder, labels, "use", SMALL)
    (folder / "field_r00_c08.tif").write_text("mine")
    before = {name: (folder / name).read_bytes() for name in files_of(folder)}
    with pytest.raises(CallError, match="field_r00_c08.tif is in the way"):
        tile(field, folder, options=TileOptions(patch_px=8, overwrite=True))
    assert {name: (folder / name).read_bytes() for name in files_of(folder)} == before


@pytest.mark.parametrize(
    "manifest",
    [
        None,
        "no json",
        "[]",
        '{"chips": 3}',
        '{"chips": ["../precious.tif"]}',
        '{"chips": ["/precious.tif"]}',
        '{"chips": ["a/b/precious.tif"]}',
        '{"chips": ["precious.txt"]}',
        '{"chips": [1]}',
    ],
)
def test_folders_that_tile_did_not_write_are_never_cleared(field: Path, tmp_path: Path, manifest: str | None) -> None:
    folder = tmp_path / "sub" / "chips"
    folder.mkdir(parents=True)
    for precious in (folder / "precious.txt", folder / "precious.tif", tmp_path / "sub" / "precious.tif"):
        precious.write_text("mine")
    if manifest is not None:
        (folder / "chips.json").write_text(manifest)
    before = files_of(tmp_path)
    with pytest.raises(CallError, match=r"holds no chips\.json that lists"):
        tile(field, folder, options=TileOptions(patch_px=8, overwrite=True))
    assert files_of(tmp_path) == before


def test_chips_are_not_removed_through_a_link(field: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "precious.tif").write_text("mine")
    tile(field, tmp_path / "chips", options=SMALL)
    (tmp_path / "chips" / "wood").symlink_to(tmp_path / "elsewhere")
    listed = json.loads((tmp_path / "chips" / "chips.json").read_text())
    listed["chips"].append("wood/precious.tif")
    (tmp_path / "chips" / "chips.json").write_text(json.dumps(listed))
    with pytest.raises(CallError, match=r"holds no chips\.json that lists"):
        tile(field, tmp_path / "chips", options=TileOptions(patch_px=8, overwrite=True))
    assert (tmp_path / "elsewhere" / "precious.tif").read_text() == "mine"


def test_a_failure_leaves_the_former_chips_as_they_were(field: Path, tmp_path: Path) -> None:
    folder = tmp_path / "chips"
    tile(field, folder, options=SMALL)
    before = {name: (folder / name).read_bytes() for name in files_of(folder)}
    broken = write_scene(tmp_path / "broken.tif", noise(400, 64), compress="deflate", blockysize=8)
    broken.write_bytes(broken.read_bytes()[: broken.stat().st_size // 2])
    with pytest.raises(SceneError, match="cannot read .*broken.tif at row"):
        tile(broken, folder, options=TileOptions(patch_px=8, overwrite=True))
    assert {name: (folder / name).read_bytes() for name in files_of(folder)} == before


def test_a_failure_while_moving_is_undone(field: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "chips"
    labels = write_labels(tmp_path / "a.gpkg", [("wood", square(0, 0, 8, 8))])
    tile(field, folder, labels, "use", SMALL)
    before = {name: (folder / name).read_bytes() for name in files_of(folder)}
    replace = Path.replace

    def fail_at_the_fifth_chip(self: Path, target: Path) -> Path:
        if self.name == "field_r08_c00.tif":
            raise OSError(28, "No space left on device")
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", fail_at_the_fifth_chip)
    with pytest.raises(OSError, match="No space left on device; nothing was replaced"):
        tile(field, folder, options=TileOptions(patch_px=8, overwrite=True))
    assert {name: (folder / name).read_bytes() for name in files_of(folder)} == before
    assert [p.name for p in folder.iterdir() if p.is_dir()] == ["wood"]


@given(
    st.integers(1, 30),
    st.integers(1, 30),
    st.sampled_from([(8, 8), (8, 4), (12, 3)]),
    st.floats(0, 90),
)
def test_outlines_are_the_patches_corners(height: int, width: int, cut: tuple[int, int], degrees: float) -> None:
    transform = Affine.translation(4e5, 4.2e6) @ Affine.rotation(degrees) @ Affine.scale(10, -10)
    grid = PatchGrid(SceneGrid(transform, height, width, None), *cut)
    row = grid.shape[0] - 1
    outlines = patch_outlines(grid, row)
    assert len(outlines) == grid.shape[1]
    np.testing.assert_allclose(shapely.area(outlines), (10 * grid.patch_px) ** 2)
    first = grid.window(row, len(outlines) - 1)
    corners = shapely.get_coordinates(outlines[-1])[:4]
    expected = [
        transform @ (first.col_off + dx * first.width, first.row_off + dy * first.height)
        for dx, dy in [(0, 0), (1, 0), (1, 1), (0, 1)]
    ]
    np.testing.assert_allclose(corners, expected)


@pytest.mark.parametrize("name", ["labels.geojson", "labels.shp", "labels.gpkg"])
def test_cover_is_the_exact_share_of_the_area(tmp_path: Path, name: str) -> None:
    grid = PatchGrid(SceneGrid(PLACE, 16, 24, CRS.from_epsg(32618)), 8, 8)
    shapes = {"a": square(0, 2, 16, 8), "b": square(4, 10, 2, 14)}
    if name.endswith("geojson"):  # RFC 7946 knows longitude and latitude only
        shapes = {k: shapely.geometry.shape(transform_geom("EPSG:32618", "EPSG:4326", s)) for k, s in shapes.items()}
    crs = "EPSG:4326" if name.endswith("geojson") else "EPSG:32618"
    geopandas.GeoDataFrame({"use": list(shapes)}, geometry=list(shapes.values()), crs=crs).to_file(tmp_path / name)
    labels = read_labels(tmp_path / name, "use", grid.scene_grid)
    assert labels.classes == ("a", "b")
    expected = np.array([[[0.75, 0], [0.25, 12 / 64], [0, 0.25]], [[0.75, 0], [0.25, 0], [0, 0]]])
    for row in (0, 1):
        np.testing.assert_allclose(cover_of_row(labels, grid, row), expected[row], atol=1e-5)
