"""Two maps held against the same labels: by hand, in other legends and grids, and the coverage of intervals."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from click.testing import CliRunner

import geokd
from geokd.assessment.samples.area_estimation import paired_difference
from geokd.cli import main
from geokd.errors import CallError, ChipError, SceneError
from geokd.legend.classes import Legend
from geokd.maps.manifest import write_document
from tests.assessment.test_assess import CODES, label, write_points
from tests.tiny_maps import LEGEND, UTM, write_map


@pytest.fixture
def class_map(tmp_path: Path) -> Path:
    write_document({"legend": LEGEND.to_json()}, tmp_path / "a_landuse.json")
    return write_map(tmp_path / "a_landuse.tif", CODES)


def worse(codes: np.ndarray) -> np.ndarray:
    """The same map with 60 of 300 cells of sea called wood."""
    other = codes.copy()
    other[:3] = 1
    return other


def sampled(class_map: Path, path: Path, points: int = 390) -> Path:
    geokd.sample(class_map, points, path, geokd.SampleOptions(min_per_class=2))
    label(path, CODES)
    return path


def test_every_cell_gives_the_true_difference(class_map: Path, tmp_path: Path) -> None:
    sample = sampled(class_map, tmp_path / "s.gpkg")
    compared = geokd.compare_maps(class_map, sample, write_map(tmp_path / "b.tif", worse(CODES)))
    assert compared.points == 390
    assert compared.difference.estimate == pytest.approx(60 / 390)
    assert (compared.difference.low, compared.difference.high) == pytest.approx((60 / 390, 60 / 390), abs=1e-6)
    assert (compared.only_first_right, compared.only_other_right) == (60, 0)
    assert compared.accuracy is not None
    assert compared.other_accuracy is not None
    assert compared.accuracy.estimate - compared.other_accuracy.estimate == pytest.approx(60 / 390)
    assert compared.differing.estimate == pytest.approx(60 / 390)
    assert compared.better == "first"


def test_a_few_points_are_undecided_and_say_how_many_decide(class_map: Path, tmp_path: Path) -> None:
    other = CODES.copy()
    other[0, :8] = 1
    other[18, :4] = 0  # wrong in a few cells of the field
    sample = sampled(class_map, tmp_path / "s.gpkg", 90)
    compared = geokd.compare_maps(class_map, sample, write_map(tmp_path / "b.tif", other))
    assert compared.better is None
    assert compared.difference.low < 0 < compared.difference.high
    assert compared.points_for_decision is not None
    assert compared.points_for_decision > 90
    same = geokd.compare_maps(class_map, sample, class_map)
    assert same.difference.estimate == 0
    assert same.points_for_decision is None
    done = CliRunner().invoke(main, ["assess", str(class_map), str(sample), "--against", str(tmp_path / "b.tif")])
    assert done.exit_code == 0, done.output
    assert (
        f"undecided; a true difference as large as this would be shown with {compared.points_for_decision:,} labelled"
        in done.output
    )


def test_other_grid_crs_extent_and_legend(class_map: Path, tmp_path: Path) -> None:
    """Cells of half the side, of the upper half alone, in another CRS, with classes numbered and named otherwise."""
    sample = sampled(class_map, tmp_path / "s.gpkg")
    legend = Legend(
        (
            replace(LEGEND[0], value=0, name="trees", title="Trees"),
            replace(LEGEND[2], value=1, name="water", title="Water"),
        )
    )
    fine = np.repeat(np.repeat(worse(CODES)[:10], 2, axis=0), 2, axis=1)
    codes = np.choose(np.minimum(fine, 3), [1, 0, 0, 255]).astype(np.uint8)
    path = write_map(tmp_path / "b.tif", codes, legend, UTM @ Affine.scale(0.5))
    table = tmp_path / "t.csv"
    with pytest.raises(CallError, match="Trees, Water, not classes of the map"):
        geokd.compare_maps(class_map, sample, path)
    table.write_text("map_class,reference_class\nsea,water\nwood,trees\nfield,trees\n")
    compared = geokd.compare_maps(class_map, sample, path, match=table)
    assert compared.points == 200
    assert compared.left_out["not_in_both_maps"] == 190
    assert compared.difference.estimate == pytest.approx(60 / 200)
    assert any("wood + field are judged as one class" in note for note in compared.notes)
    with rasterio.open(path) as dataset:
        profile = dataset.profile
    plain = tmp_path / "plain.tif"  # values without names, nodata 0, in degrees
    with rasterio.open(tmp_path / "big.tif", "w", **(profile | {"nodata": 0})) as dataset:
        dataset.write(np.where(codes == 255, 0, codes + 10).astype(np.uint8), 1)
    with rasterio.open(tmp_path / "big.tif") as dataset, rasterio.vrt.WarpedVRT(dataset, crs="EPSG:4326") as warped:
        profile = warped.profile | {"driver": "GTiff"}
        with rasterio.open(plain, "w", **profile) as target:
            target.write(warped.read())
    table.write_text("map_class,reference_class\nsea,11\nwood,10\nfield,10\n")
    degrees = geokd.compare_maps(class_map, sample, plain, match=table)
    assert degrees.difference.estimate == pytest.approx(60 / 200, abs=0.03)


def test_a_class_that_only_the_other_map_has(class_map: Path, tmp_path: Path) -> None:
    """Beach is right in the other map where the label says beach, and nowhere else."""
    legend = Legend((*LEGEND.classes, replace(LEGEND[0], value=3, name="beach", title="Beach")))
    other = CODES.copy()
    other[:5] = 3
    path = write_map(tmp_path / "b.tif", other, legend)
    cells = [(row, 3, "beach") for row in range(3)] + [(row, 5, "sea") for row in range(3, 10)] + [(16, 3, "field")] * 5
    points = write_points(tmp_path / "p.gpkg", cells)
    table = tmp_path / "t.csv"
    table.write_text("map_class,reference_class\n,beach\n")
    compared = geokd.compare_maps(class_map, points, path, match=table)
    assert (compared.only_first_right, compared.only_other_right) == (2, 3)
    assert "treated as a random sample" in compared.notes[-2] + compared.notes[-1]


def test_what_cannot_be_compared(class_map: Path, tmp_path: Path) -> None:
    sample = sampled(class_map, tmp_path / "s.gpkg", 60)
    far = write_map(tmp_path / "far.tif", CODES, transform=Affine.translation(1e5, 0) @ UTM)
    with pytest.raises(ChipError, match=r"no labelled point of .* 60 lie elsewhere"):
        geokd.compare_maps(class_map, sample, far)
    with pytest.raises(CallError, match="holds no points"):
        geokd.compare_maps(class_map, class_map, far)
    decimals = tmp_path / "f.tif"
    with rasterio.open(
        decimals, "w", driver="GTiff", width=2, height=2, count=1, dtype="float32", crs="EPSG:32618"
    ) as d:
        d.write(np.ones((1, 2, 2), np.float32))
    with pytest.raises(SceneError, match="not a raster of classes"):
        geokd.compare_maps(class_map, sample, decimals)
    call = ["assess", str(class_map), str(sample), "--against", str(class_map)]
    assert CliRunner().invoke(main, [*call, "--accuracy-within", "3"]).exit_code == 2
    told = json.loads(CliRunner().invoke(main, [*call, "--json"]).stdout)
    assert told["difference"]["estimate"] == 0


def test_a_sample_drawn_where_two_maps_differ(class_map: Path, tmp_path: Path) -> None:
    """Of 100 points 80 would lie where the maps differ; these are 60 cells, and all of them are drawn."""
    other, path = write_map(tmp_path / "b.tif", worse(CODES)), tmp_path / "s.gpkg"
    drawn = geokd.sample(class_map, 100, path, geokd.SampleOptions(against=other, min_per_class=2))
    assert [(row.name, row.cells, row.points) for row in drawn.strata] == [
        ("maps_agree", 330, 40),
        ("maps_differ", 60, 60),
    ]
    with pytest.raises(CallError, match="already"):
        geokd.sample(class_map, 50, path, geokd.SampleOptions(against=other))
    label(path, CODES)
    with pytest.raises(CallError, match="holds 100 labelled points"):
        geokd.sample(class_map, 50, path, geokd.SampleOptions(against=other, overwrite=True))
    compared = geokd.compare_maps(class_map, path, other)
    assert compared.difference.estimate == pytest.approx(60 / 390)
    assert compared.difference.high - compared.difference.low < 1e-6
    assert compared.accuracy is not None
    assert compared.accuracy.estimate == 1
    assert compared.notes == ()
    assert geokd.assess(class_map, path).to_json()["overall_accuracy"]["estimate"] == 1
    plain = geokd.compare_maps(class_map, sampled(class_map, tmp_path / "p.gpkg", 100), other)
    assert plain.difference.high - plain.difference.low > 0.02


def test_samples_of_two_maps_that_cannot_be_drawn(class_map: Path, tmp_path: Path) -> None:
    other, path = write_map(tmp_path / "b.tif", worse(CODES)), tmp_path / "s.gpkg"
    with pytest.raises(CallError, match="differ in none of the 390 cells that both have mapped: neither is better"):
        geokd.sample(class_map, 40, path, geokd.SampleOptions(against=class_map))
    with pytest.raises(CallError, match="for change .later. or for comparing two maps .against."):
        geokd.SampleOptions(against=other, later=other)
    geokd.sample(class_map, 40, path, geokd.SampleOptions(against=other))
    with pytest.raises(CallError, match="is a sample of two maps, which cannot be enlarged"):
        geokd.sample(class_map, 80, tmp_path / "t.gpkg", geokd.SampleOptions(enlarge=path))
    call = ["sample", str(class_map), "-o", str(tmp_path / "t.gpkg"), "--against", str(other)]
    refused = CliRunner().invoke(main, [*call, "--accuracy-within", "3"])
    assert refused.exit_code == 2
    assert "with --later or --against, give the number of points with -n" in refused.stderr
    done = CliRunner().invoke(main, [*call, "-n", "50"])
    assert "50 points written to" in done.stderr
    assert "four fifths where the maps differ, at least 12 in each" in done.stderr


@pytest.mark.parametrize(
    ("weights", "won", "lost", "units"),
    [
        pytest.param([1.0], [0.1], [0.05], [100], id="one stratum"),
        pytest.param([0.7, 0.2, 0.1], [0.02, 0.2, 0.3], [0.01, 0.1, 0.05], [150, 50, 50], id="three strata"),
        pytest.param([0.95, 0.05], [0.01, 0.1], [0.01, 0.02], [150, 50], id="rare differences"),
        pytest.param([0.5, 0.5], [0.45, 0.05], [0.05, 0.45], [40, 40], id="opposite differences"),
        pytest.param([0.3, 0.3, 0.4], [0.5, 0.4, 0.3], [0.5, 0.3, 0.3], [30, 30, 30], id="maps that differ everywhere"),
    ],
)
def test_intervals_of_differences_cover_the_truth(
    weights: list[float], won: list[float], lost: list[float], units: list[int]
) -> None:
    draws, repeats = np.random.default_rng(17), 1000
    share, first, second, n = np.array(weights), np.array(won), np.array(lost), np.array(units)
    truth, held, plain = float(share @ (first - second)), 0, 0
    for _ in range(repeats):
        drawn = np.array([draws.multinomial(k, [p, q, 1 - p - q]) for k, p, q in zip(n, first, second, strict=True)])
        found = paired_difference(drawn[:, 0], drawn[:, 1], n, share)
        assert found.low <= found.estimate <= found.high
        assert found.standard_error is not None
        held += found.low <= truth <= found.high
        plain += abs(found.estimate - truth) <= 1.96 * found.standard_error
    assert held / repeats >= 0.935, (held, plain)
    assert held >= plain - 20


def test_where_maps_agree_nothing_is_left_to_chance() -> None:
    """One fifth of 100 points where maps agree on 90 % of the area, the others where they differ."""
    draws, weights, units, repeats = np.random.default_rng(5), np.array([0.9, 0.1]), np.array([20, 80]), 1000
    held, widths = 0, []
    for _ in range(repeats):
        won, lost, _ = draws.multinomial(80, [0.45, 0.3, 0.25])
        counts = np.array([0, won]), np.array([0, lost])
        found = paired_difference(*counts, units, weights, np.array([20, 1_000_000]))
        held += found.low <= 0.1 * (0.45 - 0.3) <= found.high
        plain = paired_difference(*counts, units, weights, np.array([9_000_000, 1_000_000]))
        widths.append((found.high - found.low) / (plain.high - plain.low))
    assert 0.935 <= held / repeats <= 0.97
    assert np.mean(widths) < 0.25


def test_the_number_for_a_decision_finds_the_difference_in_four_of_five_samples() -> None:
    """A difference of 6 points: as many points as one large sample asks for show it in about 80 % of samples."""
    from geokd.assessment.against import _for_decision

    weights = np.ones(1)
    large = paired_difference(np.array([1100]), np.array([500]), np.array([10_000]), weights)
    wanted = _for_decision(large, 10_000)
    assert wanted is not None
    draws = np.random.default_rng(2).multinomial(wanted, [0.11, 0.05, 0.84], 600)
    decided = [paired_difference(d[:1], d[1:2], np.array([wanted]), weights).low > 0 for d in draws]
    assert np.mean(decided) == pytest.approx(0.8, abs=0.06)
