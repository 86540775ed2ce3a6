import json
from pathlib import Path

import geopandas
import pytest
import rasterio
import shapely
from click.testing import CliRunner

import geokd
from geokd.chips.tiling import TileOptions
from geokd.cli import main


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    """Two polygons over the shared scene: four patches of wood, a half of one of sand."""
    path = tmp_path / "labels.gpkg"
    shapes = [shapely.box(4e5, 4.2e6 - 320, 4e5 + 320, 4.2e6), shapely.box(4e5 + 640, 4.2e6 - 160, 4e5 + 720, 4.2e6)]
    geopandas.GeoDataFrame({"use": ["wood", "sand"]}, geometry=shapes, crs="EPSG:32618").to_file(path)
    return path


def test_tile_says_what_it_did(scene: Path, labels: Path, tmp_path: Path) -> None:
    folder = tmp_path / "chips"
    call = ["tile", str(scene), "-o", str(folder), "--patch", "16", "--labels", str(labels), "--field", "use", "--json"]
    result = CliRunner().invoke(main, call)
    assert result.exit_code == 0, result.output
    left_out = {"past_the_edge": 7 + 9 - 1, "not_labelled": 6 * 8 - 4, "mixed": 0, "invalid_pixels": 0}
    left_out |= {"none_of_these": 0, "repeated": 0, "outside_area": 0}
    counts = {"sand": 0, "wood": 4}
    assert json.loads(result.stdout) == {
        "folder": str(folder),
        "chips": 4,
        "counts": counts,
        "left_out": left_out,
        "nameless_labels": 0,
        "notes": [],
        "warnings": [],
    }
    assert f"4 chips written to {folder}" in result.stderr
    assert "wood: 4" in result.stderr
    assert "15 reach past the scene's edge, 44 are not labelled" in result.stderr
    assert len(list(folder.glob("wood/fields_r*_c*.tif"))) == 4


def test_without_json_stdout_is_empty(scene: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["tile", str(scene), "--output", str(tmp_path / "chips")])
    assert result.exit_code == 0, result.output
    assert result.stdout == ""
    assert "2 chips written" in result.stderr


def test_every_option_reaches_the_library(scene: Path, labels: Path, tmp_path: Path) -> None:
    options = TileOptions(patch_px=32, stride_px=16, min_cover=0.9, bidx=(3, 1))
    library = geokd.tile(scene, tmp_path / "library", labels, "use", options)
    folder = tmp_path / "command"
    call = ["tile", str(scene), "-o", str(folder), "--patch", "32", "--stride", "16", "--min-cover", "0.9", "-b", "3,1"]
    call += ["--labels", str(labels), "--field", "use"]
    for again in ([], ["--overwrite"]):
        result = CliRunner().invoke(main, [*call, *again])
        assert result.exit_code == 0, result.output
        assert sorted(p.relative_to(folder).as_posix() for p in folder.glob("*/*.tif")) == sorted(library.chips)
    with rasterio.open(folder / library.chips[0]) as chip, rasterio.open(scene) as whole:
        window = whole.window(*chip.bounds)
        assert (chip.read() == whole.read([3, 1], window=window)).all()


@pytest.mark.parametrize(
    ("arguments", "exit_code", "said"),
    [
        (["none.tif", "-o", "chips"], 2, "no such file: none.tif"),
        (["text.tif", "-o", "chips"], 1, "is not a raster that GDAL can open"),
        (["SCENE", "-o", "chips", "--stride", "48"], 2, "does not divide the patch of 64 px"),
        (["SCENE", "-o", "chips", "--patch", "-64"], 2, "outside 8..4096"),
        (["SCENE", "-o", "chips", "--min-cover", "0.3"], 2, "min-cover 0.3"),
        (["SCENE", "-o", "chips", "--bidx", "1,9"], 2, "bands 1..3"),
        (["SCENE", "-o", "chips", "--bidx", "red"], 2, "not a list of band numbers"),
        (["SCENE", "-o", "chips", "--labels", "labels.gpkg"], 2, "go together"),
        (["SCENE", "-o", "chips", "--labels", "labels.gpkg", "--field", "x"], 2, "has no field 'x'; it has use"),
        (["SCENE", "-o", "chips", "--labels", "text.tif", "--field", "x"], 1, "is not a vector file"),
        (["SCENE", "-o", "chips", "--patch", "512"], 1, "no chip can be cut"),
        (["SCENE", "-o", "full"], 2, "is not empty"),
        (["SCENE", "-o", "full", "--overwrite"], 2, "holds no chips.json"),
        (["SCENE", "-o", "text.tif"], 2, "is a file"),
        (["SCENE"], 2, "--output"),
    ],
)
def test_wrong_calls_get_one_sentence(
    scene: Path,
    labels: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    exit_code: int,
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.tif").write_text("no raster")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    before = sorted(tmp_path.rglob("*"))
    result = CliRunner().invoke(main, ["tile", *(str(scene) if a == "SCENE" else a for a in arguments)])
    assert result.exit_code == exit_code
    assert result.stdout == ""
    assert said in result.stderr
    assert "Traceback" not in result.stderr
    assert sorted(tmp_path.rglob("*")) == before
    assert labels.exists()
