"""A scene behind a signed URL is mapped as a file is, and what opens the store stands in nothing that is written."""

import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest
import rasterio
from click.testing import CliRunner

from geokd.cli import main
from geokd.errors import GeokdError
from geokd.scenes.reader import describe_scene
from tests.products import land, plain_scene
from tests.store import SECRET, SIGNATURES, Store, store_of
from tests.tiny import write_scene

pytest.importorskip("onnx", reason="needs the extra geokd[train]")

RGB = ("B04", "B03", "B02")
COLOURS = ("red", "green", "blue")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("store")
    bands = land()
    plain_scene(folder / "scene.tif", bands, *RGB, nodata=0)
    plain_scene(folder / "my other scene.tif", bands, *RGB, nodata=0)
    for name in RGB:
        plain_scene(folder / f"T18_{name}.tif", bands, name, nodata=0)
    mask = np.zeros((1, 96, 96), np.uint8)
    mask[:, :40] = 3
    write_scene(folder / "clouds.tif", mask, transform=rasterio.open(folder / "scene.tif").transform)
    return folder


@pytest.fixture
def store(files: Path, tmp_path: Path) -> Iterator[Store]:
    with store_of(files, tmp_path / "log.txt") as opened:
        yield opened


def run(*arguments: str | Path) -> tuple[int, str]:
    """Run the command line; returns exit code, and everything it said."""
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.output


def holding(folder: Path) -> list[str]:
    """Name the files that hold a secret, in their content or name."""
    inside = [f for f in folder.rglob("*") if f.is_file()]
    return [f.name for f in inside if b"SECRET" in f.read_bytes() or "SECRET" in f.name or "?" in f.name]


def same_map(one: Path, other: Path) -> bool:
    return np.array_equal(*(rasterio.open(path).read() for path in (one, other)))


@pytest.mark.parametrize("signature", SIGNATURES.values(), ids=SIGNATURES)
@pytest.mark.parametrize("form", ["{url}", "/vsicurl/{url}", "/vsicurl?list_dir=no&url={quoted}"])
def test_a_signed_url_is_mapped_and_kept_secret(
    store: Store, files: Path, model: Path, tmp_path: Path, form: str, signature: str
) -> None:
    url = f"{store.url}/scene.tif?{signature}"
    scene = form.format(url=url, quoted=quote(url, safe=""))
    code, said = run("classify", scene, "-m", model, "-o", tmp_path / "remote", "--report", "-v", "--json")
    assert code == 0, said
    assert SECRET not in said
    assert not holding(tmp_path / "remote")
    assert {f.name.split("_")[0] for f in (tmp_path / "remote").iterdir()} == {"scene"}
    run("classify", files / "scene.tif", "-m", model, "-o", tmp_path / "local")
    assert same_map(tmp_path / "remote" / "scene_landuse.tif", tmp_path / "local" / "scene_landuse.tif")


def test_bands_masks_and_several_scenes_keep_secrets(store: Store, model: Path, tmp_path: Path) -> None:
    sign = f"?{SIGNATURES['azure']}"
    bands = ",".join(f"{c}={store.url}/T18_{b}.tif{sign}" for c, b in zip(COLOURS, RGB, strict=True))
    mask = f"{store.url}/clouds.tif{sign}:3"
    output = tmp_path / "maps"
    code, said = run(
        *("classify", f"{store.url}/my%20other%20scene.tif{sign}", "--bands", bands, "--mask", mask),
        *("-m", model, "-o", output, "--report", "-v", "--json"),
    )
    assert code == 0, said
    assert SECRET not in said
    assert not holding(output)
    assert {f.name.split("_")[0] for f in output.iterdir()} == {"my other scene", "T18", "index.html"}
    assert same_map(output / "my other scene_landuse.tif", output / "T18_landuse.tif")
    assert (rasterio.open(output / "T18_landuse.tif").read(1)[:2] == 255).all()


def test_a_stac_item_with_signed_assets_keeps_secrets(store: Store, files: Path, model: Path, tmp_path: Path) -> None:
    sign = f"?{SIGNATURES['azure']}"
    assets = {
        c: {"href": f"T18_{b}.tif{sign}", "type": "image/tiff", "eo:bands": [{"common_name": c}]}
        for c, b in zip(COLOURS, RGB, strict=True)
    }
    item = {"type": "Feature", "id": "tile", "properties": {"datetime": "2022-07-26T00:00:00Z"}, "assets": assets}
    (files / "item.json").write_text(json.dumps(item))
    code, said = run("classify", f"{store.url}/item.json{sign}", "-m", model, "-o", tmp_path / "maps", "-v", "--json")
    assert code == 0, said
    assert SECRET not in said
    assert not holding(tmp_path / "maps")


def test_resume_takes_a_new_signature(store: Store, model: Path, tmp_path: Path) -> None:
    for signature in SIGNATURES.values():
        code, said = run(
            "classify", f"{store.url}/scene.tif?{signature}", "-m", model, "-o", tmp_path / "maps", "--resume"
        )
        assert code == 0, said
    assert "finished by an earlier run" in said


@pytest.mark.parametrize("name", ["gone.tif", "gone.json", "a b.json"])
def test_errors_keep_secrets(store: Store, model: Path, tmp_path: Path, name: str) -> None:
    code, said = run("classify", f"{store.url}/{name}?{SIGNATURES['azure']}", "-m", model, "-o", tmp_path)
    assert code == 1
    assert SECRET not in said
    assert name in said
    with pytest.raises(GeokdError) as caught:
        describe_scene(f"{store.url}/{name}?{SIGNATURES['azure']}")
    assert SECRET not in str(caught.value)


def test_only_what_is_needed_is_fetched(files: Path, model: Path, tmp_path: Path) -> None:
    """Of a large tiled file, an area of interest reads its own tiles alone."""
    values = np.random.default_rng(0).integers(1, 9000, (3, 2304, 2304), dtype=np.uint16)
    write_scene(files / "large.tif", values, RGB, tiled=True, blockxsize=128, blockysize=128, nodata=0)
    with store_of(files, tmp_path / "log.txt") as store:
        box = "-76.128,37.937,-76.124,37.940"
        code, said = run(
            *("classify", f"{store.url}/large.tif?{SIGNATURES['azure']}", "--bbox", box),
            *("-m", model, "-o", tmp_path, "--memory", "1GB"),
        )
        assert code == 0, said
        fetched = store.fetched_bytes("large.tif")
    assert 0 < fetched < (files / "large.tif").stat().st_size / 2
