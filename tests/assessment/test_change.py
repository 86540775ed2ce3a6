"""Change between two dates: strata of a sample, gains and losses against a known truth, coverage."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import geopandas
import numpy as np
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray

import geokd
from geokd.cli import main
from geokd.errors import CallError, ChipError
from geokd.maps.manifest import write_document
from tests.assessment.test_assess import CELL_HA, CODES
from tests.tiny_maps import LEGEND, UTM, write_map

LATER = CODES.copy()
LATER[:3] = 1  # 60 cells of sea become wood
LATER[19, :5] = 0  # 5 cells of field become sea


def label_both(path: Path, before: NDArray[np.uint8], after: NDArray[np.uint8]) -> None:
    """Label a sample of change by the truth of both dates."""
    frame = geopandas.read_file(path, layer="sample")
    rows = ((4_178_020 - frame.geometry.y) / 160).astype(int)
    cols = ((frame.geometry.x - 439_680) / 160).astype(int)
    with closing(sqlite3.connect(path)) as database:
        for name in ("ST_IsEmpty", "ST_MinX", "ST_MaxX", "ST_MinY", "ST_MaxY"):
            database.create_function(name, 1, lambda _: 0)
        for number, row, col in zip(frame["point"], rows, cols, strict=True):
            database.execute(
                "UPDATE sample SET reference = ?, reference_later = ? WHERE point = ?",
                (int(before[row, col]), int(after[row, col]), number),
            )
        database.commit()


@pytest.fixture
def maps(tmp_path: Path) -> tuple[Path, Path]:
    for name in ("a", "b"):
        write_document({"legend": LEGEND.to_json()}, tmp_path / f"{name}_landuse.json")
    return write_map(tmp_path / "a_landuse.tif", CODES), write_map(tmp_path / "b_landuse.tif", LATER)


def test_strata_are_the_changes(maps: tuple[Path, Path], tmp_path: Path) -> None:
    first, later = maps
    drawn = geokd.sample(first, 100, tmp_path / "s.gpkg", geokd.SampleOptions(later=later, min_per_class=5)).to_json()
    strata = {row["name"]: row["cells"] for row in drawn["strata"]}
    cells = {"sea": 240, "wood": 20, "field": int((LATER == 2).sum()), "sea_to_wood": 60}
    assert {name: strata[name] for name in cells} == cells
    assert sum(strata.values()) == int((CODES < 255).sum() - ((CODES == 255) & (LATER == 0)).sum())
    assert min(row["points"] for row in drawn["strata"]) >= 2
    frame = geopandas.read_file(tmp_path / "s.gpkg", layer="sample")
    assert list(frame.columns[:3]) == ["point", "reference", "reference_later"]
    assert frame["reference_later"].isna().all()


def test_every_cell_gives_the_true_change(maps: tuple[Path, Path], tmp_path: Path) -> None:
    first, later = maps
    sample = tmp_path / "s.gpkg"
    both = int(((CODES < 255) & (LATER < 255)).sum())
    geokd.sample(first, both, sample, geokd.SampleOptions(later=later, min_per_class=2))
    truth = CODES.copy()
    truth[:2] = 1  # 40 cells changed, 20 of those that the maps show did not
    label_both(sample, CODES, truth)
    told = geokd.assess_change(first, sample, later)
    assert told.points == both
    wood, sea = told.classes[1], told.classes[0]
    assert wood.gained_ha.estimate == pytest.approx(40 * CELL_HA)
    assert (wood.gained_ha.low, wood.gained_ha.high) == pytest.approx((40 * CELL_HA, 40 * CELL_HA), rel=1e-6)
    assert wood.mapped_gained_ha == pytest.approx(60 * CELL_HA)
    assert sea.net_ha.estimate == pytest.approx(-40 * CELL_HA)
    assert told.changed_ha.estimate == pytest.approx(40 * CELL_HA)
    assert told.mapped_changed_ha > told.changed_ha.estimate
    done = CliRunner().invoke(main, ["assess", str(first), str(sample), "--later", str(later)])
    assert done.exit_code == 0, done.output
    assert "changed 102.4 (102.4 to 102.4) ha" in done.output
    shown = CliRunner().invoke(main, ["assess", str(first), str(sample), "--later", str(later), "--json"])
    assert json.loads(shown.stdout)["classes"][1]["gained_ha"]["estimate"] == pytest.approx(40 * CELL_HA)


def test_what_cannot_be_estimated(maps: tuple[Path, Path], tmp_path: Path) -> None:
    first, later = maps
    sample = tmp_path / "s.gpkg"
    geokd.sample(first, 60, sample, geokd.SampleOptions(later=later))
    with pytest.raises(ChipError, match="labelled for both dates"):
        geokd.assess_change(first, sample, later)
    with pytest.raises(CallError, match="sample of two maps, which cannot be enlarged"):
        geokd.sample(first, 90, tmp_path / "t.gpkg", geokd.SampleOptions(enlarge=sample))
    with pytest.raises(CallError, match="cannot be enlarged"):
        geokd.SampleOptions(enlarge=sample, later=later)
    far = write_map(tmp_path / "far.tif", CODES, transform=UTM @ UTM.translation(1000, 0))
    with pytest.raises(CallError, match="have no mapped cell in common"):
        geokd.sample(first, 60, tmp_path / "t.gpkg", geokd.SampleOptions(later=far))
    call = ["assess", str(first), str(sample), "--later", str(later), "--against", str(later)]
    assert CliRunner().invoke(main, call).exit_code == 2


@pytest.mark.slow
def test_intervals_of_changes_cover_the_truth(tmp_path: Path) -> None:
    """The whole way: two maps with errors, a sample by their changes, labels, areas; by classes, figures and draws."""
    draws = np.random.default_rng(23)
    before = draws.choice(np.array([0, 1, 2], np.uint8), (50, 60), p=[0.6, 0.25, 0.15])
    after = before.copy()
    cleared = (before == 1) & (draws.random(before.shape) < 0.15)
    after[cleared] = 2
    mapped = [
        np.where(draws.random(t.shape) < 0.08, draws.integers(0, 3, t.shape), t).astype(np.uint8)
        for t in (before, after)
    ]
    for name, codes in zip("ab", mapped, strict=True):
        write_document({"legend": LEGEND.to_json()}, tmp_path / f"{name}_landuse.json")
        write_map(tmp_path / f"{name}_landuse.tif", codes)
    first, later = (tmp_path / f"{name}_landuse.tif" for name in "ab")
    held, pixel_counts = [], []
    for seed in range(25):
        sample = tmp_path / f"{seed}.gpkg"
        geokd.sample(first, 250, sample, geokd.SampleOptions(later=later, seed=seed))
        label_both(sample, before, after)
        told = geokd.assess_change(first, sample, later)
        for k, row in enumerate(told.classes):
            gained = CELL_HA * float(((after == k) & (before != k)).sum())
            lost = CELL_HA * float(((before == k) & (after != k)).sum())
            for estimate, true in ((row.gained_ha, gained), (row.lost_ha, lost), (row.net_ha, gained - lost)):
                held.append(estimate.low - 1e-9 <= true <= estimate.high + 1e-9)
            pixel_counts.append(row.mapped_gained_ha - gained)
    assert np.mean(held) >= 0.94
    assert min(pixel_counts) > 100  # ha: what counting cells would add to every gain
