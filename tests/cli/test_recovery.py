"""A folder in which a run was cut off is put in order by the next command, which says so, once."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from geokd.cli import main
from geokd.system.commit import Claim
from geokd.system.recovery import WORK
from tests.killed import killed_while_moving
from tests.tiny import three_fields, write_scene
from tests.tiny_maps import write_map

CUT_OFF = "Warning: an earlier run (process "
COMMANDS = {
    "classify": "classify {scene} -m {model} -o {out} --stride 8 --workers 1",
    "sample": "sample {out}/m.tif -n 6 -o {out}/s.gpkg",
    "style": "style {out}/legend.csv {out}/m.tif -o {out}/s_landuse.tif",
    "mosaic": "mosaic {out}/m.tif {out}/m.tif -o {out}/joined.tif",
    "tile": "tile {scene} --patch 8 -o {out}/chips",
}


def cut_off(folder: Path, name: str) -> None:
    """Leave a folder as a process does that dies while it writes an output of this name."""
    Claim.take(folder, [name])._file.close()
    (place,) = (folder / WORK).iterdir()
    (place / "new").mkdir()
    (place / "new" / name).write_text("half")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_says_what_was_cut_off(command: str, scene: Path, model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    write_map(out / "m.tif", np.arange(64, dtype=np.uint8).reshape(8, 8) % 3)
    (out / "legend.csv").write_text("from,title,color_hint\nField,Acre,FFFF00\n")
    folder = out / "chips" if command == "tile" else out
    cut_off(folder, "other.tif")
    arguments = COMMANDS[command].format(scene=scene, model=model, out=out).split()
    result = CliRunner().invoke(main, arguments)
    said = [line for line in result.stderr.splitlines() if "was interrupted" in line]
    assert len(said) == 1, result.output
    assert said[0].startswith(CUT_OFF)
    assert said[0].endswith(
        f"while it wrote its outputs (other.tif) for {folder}: they are removed, other files are unchanged"
    )
    assert result.stdout == "" or "was interrupted" not in result.stdout
    assert not (folder / WORK).exists()
    assert "was interrupted" not in CliRunner().invoke(main, arguments).output


def test_as_an_object_where_progress_is_requested_as_json(scene: Path, model: Path, tmp_path: Path) -> None:
    cut_off(tmp_path / "out", "\x1b[2Jother.tif")
    arguments = ["classify", scene, "-m", model, "-o", tmp_path / "out", "--stride", 8, "--progress", "json"]
    result = CliRunner().invoke(main, list(map(str, arguments)))
    messages = [json.loads(line)["message"] for line in result.stderr.splitlines()]
    assert len([line for line in messages if line.startswith(CUT_OFF)]) == 1
    assert "\x1b" not in result.stderr


REPLACING = {
    "classify": "classify {scene} -m {model} -o {out} --stride 8 --workers 1 --report",
    "sample": "sample {m} -n 6 -o {out}/s.gpkg",
    "review": "review {made} -n 4 -o {out}/r.gpkg",
    "style a map": "style {legend} {made} -o {out}/s_landuse.tif",
    "style a model": "style {legend} {model} -o {out}/acre.onnx",
    "mosaic": "mosaic {made} {also_made} -o {out}/joined_landuse.tif",
    "composite": "composite {made} {also_made} -o {out}/joined_landuse.tif",
    "tile": "tile {scene} --patch 50 -o {out}",
    "robustness": "robustness {scene} -m {model} -o {out}",
    "qgis-plugin": "qgis-plugin -o {out}/geokd.zip",
}


def invoke(call: str, *more: str) -> Result:
    return CliRunner().invoke(main, [*call.split(), *more])


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and WORK not in path.parts and not path.name.endswith("-journal")
    }


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills a process that it forks")
@pytest.mark.parametrize(
    "command",
    [pytest.param(c, marks=[] if c in ("classify", "mosaic", "tile") else pytest.mark.slow) for c in REPLACING],
)
def test_killed_while_it_replaces_outputs(command: str, model: Path, dense_model: Path, tmp_path: Path) -> None:
    """At each of some moves: the next call has the old outputs again, and its warning is true."""
    scene = write_scene(tmp_path / "fields.tif", three_fields(100, 100), photometric="RGB")
    out, m = tmp_path / "out", write_map(tmp_path / "m.tif", np.arange(64, dtype=np.uint8).reshape(8, 8) % 3)
    (tmp_path / "legend.csv").write_text("from,title,color_hint\nmeadow,Acre,FFFF00\n")
    other = write_scene(tmp_path / "acres.tif", three_fields(100, 100), photometric="RGB")
    made = invoke(f"classify {scene} {other} -m {dense_model} -o {tmp_path} --probabilities --workers 1 -q")
    assert made.exit_code == 0, made.output
    call = REPLACING[command].format(
        scene=scene,
        model=model,
        out=out,
        m=m,
        made=tmp_path / "fields_landuse.tif",
        also_made=tmp_path / "acres_landuse.tif",
        legend=tmp_path / "legend.csv",
    )
    first = invoke(call)
    assert first.exit_code == 0, first.output
    (out / "mine.txt").write_text("mine")
    before = contents(out)
    for moves in (1, len(before) - 1, len(before)):
        killed_while_moving(lambda: invoke(call, "--overwrite"), moves)
        assert list((out / WORK).glob("*/moves.json"))
        again = invoke(call)
        assert again.exit_code == 2
        assert contents(out) == before
        (said,) = [line for line in again.stderr.splitlines() if "was interrupted" in line]
        assert said.startswith(CUT_OFF)
        assert said.endswith(f"were moved into {out}: they are removed, and the previous files are restored")
    last = invoke(call, "--overwrite")
    assert last.exit_code == 0, last.output
    assert "was interrupted" not in last.output
    assert contents(out).keys() == before.keys()
    assert not (out / WORK).exists()
