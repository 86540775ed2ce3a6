"""Blocks are as large as the memory allows, and as the file is stored."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from affine import Affine
from click.testing import CliRunner
from rasterio.crs import CRS

from geokd.cli import main
from geokd.errors import CallError
from geokd.mapping.sizing import fit_blocks
from geokd.mapping.workers.crew import Crew
from geokd.model.contract import InputContract, ValueScaling
from geokd.scenes.grid import SceneGrid
from geokd.scenes.options import SceneOptions
from geokd.scenes.patches import PatchGrid
from geokd.scenes.plan import fix_plan
from geokd.scenes.scene_info import SceneInfo
from tests.tiny import three_fields, write_scene


def blocks(
    height: int,
    width: int,
    storage_px: tuple[int, int] = (512, 512),
    *,
    memory_mb: int = 1000,
    workers: int = 2,
    stride_px: int = 16,
    block_px: int | None = None,
    stored_bytes: int = 0,
    classes: int = 10,
) -> tuple[int, int]:
    grid = SceneGrid(Affine(10, 0, 4e5, 0, -10, 4.2e6), height, width, CRS.from_epsg(32618))
    names, ones = ("B04", "B03", "B02"), (1.0,) * 3
    info = SceneInfo(
        "s.tif", grid, "uint16", names, ("undefined",) * 3, (None,) * 3, False, ones, (0.0,) * 3, storage_px
    )
    contract = InputContract(names, 64, 10.0, ValueScaling(0.0, 2750.0, 1.0, 255.0))
    plan = fix_plan(info, contract, SceneOptions(value_scale=1.0, value_offset=0.0))
    plan = replace(plan, stored_bytes=stored_bytes)
    return fit_blocks(info, plan, PatchGrid(grid, 64, stride_px), Crew(workers), memory_mb, block_px, classes)


@pytest.mark.parametrize(
    ("size", "storage_px", "wanted"),
    [
        ((10_980, 10_980), (512, 512), (1024, 1024)),
        ((2000, 2000), (512, 512), (500, 500)),
        ((100, 100), (100, 100), (256, 256)),
        ((10_980, 10_980), (1, 10_980), (95, 10_980)),  # in rows: none is decoded again and again
        ((200_000, 200_000), (512, 512), (1024, 1024)),
        ((1, 100_000), (1, 100_000), (64, 100_000)),
    ],
)
def test_blocks_by_size_and_storage(
    size: tuple[int, int], storage_px: tuple[int, int], wanted: tuple[int, int]
) -> None:
    assert blocks(*size, storage_px) == wanted


def test_less_memory_makes_smaller_blocks() -> None:
    areas = [np.prod(blocks(10_980, 10_980, memory_mb=memory_mb)) for memory_mb in (436, 441, 461, 1000)]
    assert areas == sorted(areas)
    assert areas[0] < areas[-1]
    many = blocks(10_980, 10_980, memory_mb=1100, workers=24)
    assert np.prod(many) < np.prod(blocks(10_980, 10_980))
    assert blocks(10_980, 10_980, block_px=200) == (200, 200)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"memory_mb": 300}, "300 MB"),
        ({"workers": 60}, "60 workers"),
        ({"height": 200_000, "width": 200_000, "stride_px": 4}, "50000 x 50000"),
    ],
)
def test_too_little_memory_is_said_with_what_it_takes(change: dict[str, Any], word: str) -> None:
    with pytest.raises(CallError, match=rf"{word}.* at least \d+ MB are needed; raise --memory"):
        blocks(**({"height": 10_980, "width": 10_980} | change))


def test_a_map_stays_within_its_memory(tmp_path: Path, model: Path) -> None:
    scene = write_scene(tmp_path / "s.tif", three_fields(4000, 4000), photometric="RGB", compress="deflate", tiled=True)
    command = ["classify", scene, "-m", model, "-o", tmp_path, "--memory", "400MB", "--stride", 4, "--json", "-q"]
    done = subprocess.run(
        [sys.executable, "-m", "geokd", *map(str, command)], stdout=subprocess.PIPE, text=True, check=True
    )
    assert 100 < json.loads(done.stdout)["run"]["peak_memory_mb"] <= 400


@pytest.mark.parametrize(
    ("text", "megabytes"), [("800MB", 800), ("2GB", 2000), ("1.5 g", 1500), ("900", None), ("x", None)]
)
def test_sizes_of_memory(text: str, megabytes: int | None, scene: Path, model: Path, tmp_path: Path) -> None:
    arguments = ["classify", str(scene), "-m", str(model), "-o", str(tmp_path / "out"), "--memory", text, "--json"]
    result = CliRunner().invoke(main, arguments)
    if megabytes is None:
        assert result.exit_code == 2
        assert "is not a size such as 800MB or 2GB" in result.stderr
    else:
        assert json.loads(result.stdout)["options"]["memory_mb"] == megabytes


def test_what_gdal_holds_of_a_stored_block_counts() -> None:
    assert blocks(4000, 4000, memory_mb=900, stored_bytes=96_000_000)
    with pytest.raises(CallError, match=r"at least 8\d\d MB .* in blocks of 96 MB decompressed, tiles would be"):
        blocks(4000, 4000, memory_mb=650, stored_bytes=96_000_000)
    assert blocks(4000, 4000, memory_mb=500, stored_bytes=1_500_000) == blocks(4000, 4000, memory_mb=500)


def test_tiles_that_are_kept_count() -> None:
    for side, kept_mb in ((200, 0), (10_980, 96)):
        least = []
        for storage_px in ((1, side), (64, 64)):
            with pytest.raises(CallError, match="are needed") as refused:
                blocks(side, side, storage_px, memory_mb=64)
            least.append(int(str(refused.value).partition("at least ")[2].split()[0]))
        assert least[1] - least[0] == pytest.approx(kept_mb, abs=3)


def test_rows_of_blocks_are_joined_within_the_memory() -> None:
    low, wide = blocks(2000, 10_980, stride_px=1, memory_mb=700)
    assert low < wide
    assert 4 * 10 * 3 * (low + 64) * 10_980 / 1e6 < 700 - 280 - 3 * 2000 * 10_980 / 1e6
