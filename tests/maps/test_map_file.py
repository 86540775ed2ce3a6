import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine

from geokd.errors import OutputError, SceneError
from geokd.maps.manifest import Manifest, write_document
from geokd.maps.map_file import class_names, count_cells, open_map
from tests.tiny import write_scene
from tests.tiny_maps import LEGEND, write_map

CODES = np.array([[0, 0, 1, 255], [0, 1, 1, 255], [2, 2, 0, 0]], np.uint8)


def test_the_legend_is_read_back_from_category_names_and_palette(tmp_path: Path) -> None:
    source = open_map(write_map(tmp_path / "a_landuse.tif", CODES))
    assert [c.title for c in source.legend] == [c.title for c in LEGEND]
    assert [c.color_hint for c in source.legend] == [c.color_hint for c in LEGEND]
    assert source.legend.names == ("Open_sea", "Wood_trees", "Field")
    assert source.manifest == Manifest()
    assert source.unclassified is None
    unsure = write_map(tmp_path / "b_landuse.tif", CODES, LEGEND.with_unclassified())
    assert open_map(unsure).unclassified == 3


def test_the_manifest_goes_before(tmp_path: Path) -> None:
    legend = LEGEND.with_unclassified()
    path = write_map(tmp_path / "a_landuse.tif", CODES, legend)
    write_document({"legend": legend.to_json(), "unknown": {"path": "x.tif"}}, tmp_path / "a_landuse.json")
    source = open_map(path)
    assert source.legend == legend
    assert source.unclassified == 3
    assert source.manifest == Manifest(legend=legend.classes)


@pytest.mark.parametrize("key", ["legend", "options", "notes", "scene", "model"])
def test_a_manifest_of_wrong_types_is_refused(key: str, tmp_path: Path) -> None:
    path = write_map(tmp_path / "a_landuse.tif", CODES)
    write_document({"legend": LEGEND.to_json(), key: "x"}, tmp_path / "a_landuse.json")
    with pytest.raises(
        SceneError,
        match=f"the manifest .*a_landuse.json cannot be read: {key}: expected .*, got str; make the map again",
    ):
        open_map(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes")
@pytest.mark.parametrize(
    ("make", "words"), [(os.mkfifo, "it is a pipe, socket or device"), (os.mkdir, "Is a directory")]
)
def test_a_manifest_that_is_no_file_is_not_ignored(make: Callable[[Path], None], words: str, tmp_path: Path) -> None:
    path = write_map(tmp_path / "a_landuse.tif", CODES)
    (tmp_path / "a_landuse.json").unlink(missing_ok=True)
    make(tmp_path / "a_landuse.json")
    for read in (open_map, class_names):
        with pytest.raises(SceneError, match=f"the manifest .*a_landuse.json cannot be read: {words}"):
            read(path)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{", "the manifest .*a_landuse.json cannot be read: .*; make the map again, or remove it"),
        ("[]", "the manifest .*a_landuse.json cannot be read: expected object, got array"),
        ('{"date": NaN}', "the manifest .*a_landuse.json cannot be read: it holds NaN"),
        (
            '{"options": {"simplify_m": "x", "patch_px": []}}',
            "options.simplify_m: expected float, got str",
        ),
        ('{"valid_cells": true}', "cannot be read: valid_cells: expected int, got bool"),
        ('{"filters": {"changed_cells": 3}}', "cannot be read: filters: object missing required field merged_regions"),
        ('{"acquired": {"start": "winter", "end": "x", "source": "x"}}', "cannot be read: acquired.start: invalid RFC"),
        ('{"legend": [{"value": 0}]}', r"legend\[0\]: object missing required field"),
        ('{"version": 3}', "has version 3, this geokd reads up to 2; update geokd"),
    ],
)
def test_a_broken_manifest_ends_in_a_sentence(text: str, sentence: str, tmp_path: Path) -> None:
    path = write_map(tmp_path / "a_landuse.tif", CODES)
    (tmp_path / "a_landuse.json").write_text(text)
    for read in (open_map, class_names):
        with pytest.raises(SceneError, match=sentence) as refused:
            read(path)
        assert "written" not in str(refused.value)
        assert refused.value.exit_code == 1


def test_cells_are_counted_whatever_the_windows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    codes = np.random.default_rng(2).choice(np.array([0, 1, 2, 255], np.uint8), (70, 45))
    degrees = Affine(0.1, 0, 10, 0, -0.1, 65)
    source = open_map(write_map(tmp_path / "a.tif", codes, transform=degrees, crs="EPSG:4326"))
    whole = count_cells(source)
    assert whole.cells.tolist() == [int((codes == k).sum()) for k in range(3)]
    monkeypatch.setattr("geokd.maps.map_file.WINDOW_CELLS", 16)
    parts = count_cells(source)
    assert parts.cells.tolist() == whole.cells.tolist()
    assert parts.areas_ha == pytest.approx(whole.areas_ha)
    means = whole.areas_ha / whole.cells  # a cell of 0.1 degree at 61.5 N: 5.3 x 11.1 km
    assert means == pytest.approx([5930.0] * 3, rel=0.02)


def test_codes_and_cells_of_places(tmp_path: Path) -> None:
    turned = Affine.translation(439_680, 4_178_020) @ Affine.rotation(30) @ Affine.scale(160, -160)
    source = open_map(write_map(tmp_path / "a.tif", CODES, transform=turned))
    rows, cols = np.mgrid[0:3, 0:4].reshape(2, -1)
    x, y = turned @ (cols + 0.5, rows + 0.5)
    found_rows, found_cols, inside = source.cells_of(x, y)
    assert inside.all()
    assert (found_rows == rows).all()
    assert (found_cols == cols).all()
    assert (source.codes_at(rows, cols) == CODES.ravel()).all()
    outside_x, outside_y = turned @ (np.array([-0.1, 4.1, 1, np.nan]), np.array([1, 1, 3.1, 1]))
    assert not source.cells_of(outside_x, outside_y)[2].any()


@pytest.mark.parametrize(
    ("what", "error", "said"),
    [
        ("scene", SceneError, "is not a class raster"),
        ("bare", SceneError, "the classes of .* are unknown"),
        ("broken names", OutputError, "cannot be read"),
        ("broken legend", SceneError, "cannot be read: legend"),
        ("short legend", SceneError, "holds the code 2, its legend ends at 1"),
    ],
)
def test_what_is_no_map_is_refused(tmp_path: Path, what: str, error: type[Exception], said: str) -> None:
    path = write_map(tmp_path / "a_landuse.tif", CODES)
    names = Path(f"{path}.aux.xml")
    if what == "scene":
        path = write_scene(tmp_path / "scene.tif", np.zeros((3, 8, 8), np.uint8))
    elif what == "bare":
        names.unlink()
    elif what == "broken names":
        names.write_text("<PAMDataset", encoding="utf-8")
    elif what == "broken legend":
        write_document({"legend": [{"value": 0}]}, tmp_path / "a_landuse.json")
    else:
        write_document({"legend": LEGEND.to_json()[:2]}, tmp_path / "a_landuse.json")
    with pytest.raises(error, match=said):
        count_cells(open_map(path))


def test_a_map_without_palette_gets_colours(tmp_path: Path) -> None:
    path = write_map(tmp_path / "a.tif", CODES)
    plain = tmp_path / "b.tif"
    with rasterio.open(path) as raster:
        profile = {"height": 3, "width": 4, "count": 1, "dtype": "uint8", "nodata": 255}
        profile |= {"crs": raster.crs, "transform": raster.transform}
    with rasterio.open(plain, "w", driver="GTiff", **profile) as raster:
        raster.write(CODES, 1)
    Path(f"{plain}.aux.xml").write_bytes(Path(f"{path}.aux.xml").read_bytes())
    assert len({c.color_hint for c in open_map(plain).legend}) == 3
