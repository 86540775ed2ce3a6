"""A folder in which a run was cut off is put in order by the next command, which says so, once."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from geokd.cli import main
from geokd.commit import Claim
from geokd.recovery import WORK
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


def test_as_an_object_where_progress_is_asked_for_as_json(scene: Path, model: Path, tmp_path: Path) -> None:
    cut_off(tmp_path / "out", "\x1b[2Jother.tif")
    arguments = ["classify", scene, "-m", model, "-o", tmp_path / "out", "--stride", 8, "--progress", "json"]
    result = CliRunner().invoke(main, list(map(str, arguments)))
    messages = [json.loads(line)["message"] for line in result.stderr.splitlines()]
    assert len([line for line in messages if line.startswith(CUT_OFF)]) == 1
    assert "\x1b" not in result.stderr
