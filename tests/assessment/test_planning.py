"""Plans of samples: published examples, the widths that samples then have, and enlarging."""

import json
import math
import sqlite3
from contextlib import closing
from pathlib import Path

import geopandas
import numpy as np
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray

import geokd
from geokd.assessment.samples.area_estimation import StratifiedSample
from geokd.assessment.samples.planning import (
    Goal,
    expected_mixture,
    fewest_units,
    half_width,
    times_as_many,
    units_at_best,
)
from geokd.assessment.samples.sampling import allocate
from geokd.cli import main
from geokd.errors import CallError
from geokd.maps.manifest import write_document
from tests.assessment.test_area_estimation import by_class
from tests.assessment.test_assess import CODES, label
from tests.tiny_maps import LEGEND, write_map

# Olofsson et al. 2014, section 5.1.1: shares of the map and expected user's accuracies
SHARES = np.array([0.02, 0.015, 0.32, 0.645])
ACCURACIES = np.array([0.7, 0.6, 0.9, 0.95])


@pytest.fixture
def class_map(tmp_path: Path) -> Path:
    write_document({"legend": LEGEND.to_json()}, tmp_path / "a_landuse.json")
    return write_map(tmp_path / "a_landuse.tif", CODES)


def test_olofsson_et_al_sample_size() -> None:
    """A standard error of 0.01 takes 641 units."""
    goal = Goal("overall accuracy", SHARES, ACCURACIES, 1.959964 * 0.01)
    assert units_at_best(goal) == pytest.approx(641, abs=1)
    assert goal.expected == pytest.approx(0.92, abs=0.005)


def test_cochran_for_one_stratum() -> None:
    """n = z^2 p q / d^2, and with N cells n / (1 + n / N): Cochran 1977, eq. 4.1 and 4.2."""
    goal = Goal("", np.ones(1), np.array([0.5]), 0.05)
    assert units_at_best(goal) == 385
    assert units_at_best(goal, np.array([1000])) == pytest.approx(384.15 / (1 + 384.15 / 1000), abs=1)


def simulated(
    mixture: NDArray[np.float64], weights: NDArray[np.float64], units: NDArray[np.int64], repeats: int
) -> tuple[float, float]:
    """Mean half-widths of the intervals of overall accuracy and of the first class's area."""
    draws, widths = np.random.default_rng(5), []
    for _ in range(repeats):
        counts = np.array([draws.multinomial(n, p) for n, p in zip(units, mixture, strict=True)])
        sample = StratifiedSample(by_class(counts), len(weights), weights)
        overall, area = sample.overall_accuracy(), sample.area_share(0)
        assert overall is not None
        widths.append([(overall.high - overall.low) / 2, (area.high - area.low) / 2])
    first, second = np.mean(widths, axis=0)
    return float(first), float(second)


@pytest.mark.parametrize("accuracies", [ACCURACIES, np.array([0.9, 0.9, 0.98, 0.99]), np.full(4, 0.6)])
@pytest.mark.parametrize("total", [200, 800])
def test_intervals_are_as_wide_as_planned(accuracies: NDArray[np.float64], total: int) -> None:
    units = allocate(np.full(4, 10**6), SHARES, total, 25)
    mixture = expected_mixture(SHARES, accuracies)
    assert mixture.sum(axis=1) == pytest.approx(np.ones(4))
    overall = half_width(Goal("", SHARES, accuracies), units.astype(float))
    area = half_width(Goal("", SHARES, mixture[:, 0]), units.astype(float))
    drawn = simulated(mixture, SHARES, units, 200)
    assert overall == pytest.approx(drawn[0], rel=0.1)
    assert area == pytest.approx(drawn[1], rel=0.22)  # where one to three hits are expected, real ones are wider


def test_an_enlarged_sample_is_as_narrow_as_planned() -> None:
    """From 100 units, `times_as_many` says how many give a third of the width; samples of that size have it."""
    units = allocate(np.full(4, 10**6), SHARES, 100, 10)
    mixture = expected_mixture(SHARES, ACCURACIES)
    goal = Goal("", SHARES, ACCURACIES)
    now, _ = simulated(mixture, SHARES, units, 200)
    times = times_as_many(goal, units, None, now, now / 3)
    assert times is not None
    then, _ = simulated(mixture, SHARES, np.round(times * units).astype(np.int64), 200)
    assert then == pytest.approx(now / 3, rel=0.05)
    assert times_as_many(goal, units, None, now, now) == 1
    assert times_as_many(goal, units, np.full(4, 10**4), now, 1e-9) is not None


def test_all_cells_leave_no_doubt() -> None:
    goal = Goal("", np.array([1.0, 0.0]), np.array([0.5, 0.5]))
    assert half_width(goal, np.array([50.0, 0.0]), np.array([50, 50])) == 0
    assert half_width(goal, np.array([0.0, 50.0]), np.array([50, 50])) == math.inf


def test_fewest_units_finds_the_edge() -> None:
    for edge in (3, 4, 700, 1000):
        assert fewest_units(lambda n, edge=edge: n >= edge, 3, 1000) == edge  # type: ignore[misc]
    assert fewest_units(lambda _: False, 3, 1000) is None


def test_a_plan_of_a_map(class_map: Path) -> None:
    plan = geokd.plan_sample(
        class_map, geokd.SampleGoals(0.05), options=geokd.PlanOptions({"": 0.9, "wood": 0.6}, minutes_per_point=2)
    )
    assert plan.expected_accuracy == pytest.approx((0.9 * 370 + 0.6 * 20) / 390)
    assert plan.accuracy_half_width <= 0.05
    fewer = geokd.plan_sample(class_map, points=plan.points - 1, options=geokd.PlanOptions({"": 0.9, "wood": 0.6}))
    assert fewer.accuracy_half_width > 0.05
    assert plan.minutes == 2 * plan.points
    assert sum(row.points for row in plan.classes) == plan.points
    assert [row.expected_users_accuracy for row in plan.classes] == [0.9, 0.6, 0.9]
    assert plan.goals[0].points_at_best <= plan.points
    narrow = geokd.plan_sample(class_map, geokd.SampleGoals(area_within={"Wood & <trees>": 0.3}))
    assert narrow.classes[1].area_half_width is not None
    assert narrow.classes[1].area_half_width <= 0.3
    assert narrow.goals[0].reached == pytest.approx(narrow.classes[1].area_half_width)
    assert "80 % of each class" in narrow.notes[0]


def test_confidence_is_what_is_expected_of_a_map_with_a_manifest(tmp_path: Path) -> None:
    empty = {"title": "", "cells": 9, "area_ha": 1.0, "share_percent": 1.0}
    areas = [
        {"value": k, "name": name, "mean_confidence": percent} | empty
        for k, (name, percent) in enumerate([("sea", 97.0), ("wood", 55.0)])
    ]
    write_document({"legend": LEGEND.to_json(), "areas": areas}, tmp_path / "a_landuse.json")
    plan = geokd.plan_sample(write_map(tmp_path / "a_landuse.tif", CODES), points=60)
    assert [row.expected_users_accuracy for row in plan.classes] == pytest.approx([0.9, 0.55, 0.8])
    assert "mean confidence" in plan.notes[0]


@pytest.mark.parametrize(
    ("goals", "points", "expected", "said"),
    [
        ({}, None, {}, "a plan needs a goal"),
        ({"area_within": {"lake": 0.1, "pond": 0.1}}, None, {}, "has no class lake, pond; it has sea, wood, field"),
        ({}, 9, {"lake": 0.5}, "has no class lake"),
        ({}, 400, {}, "400 points cannot be planned; take 120 to 390"),
        ({}, 1, {}, "1 points cannot be planned; take 6 to 390"),
    ],
)
def test_plans_that_cannot_be_made(
    class_map: Path, goals: dict[str, dict[str, float]], points: int | None, expected: dict[str, float], said: str
) -> None:
    with pytest.raises(CallError, match=said):
        geokd.plan_sample(class_map, geokd.SampleGoals(**goals), points, geokd.PlanOptions(expected))  # type: ignore[arg-type]


def test_values_out_of_range_are_reported_at_once() -> None:
    with pytest.raises(CallError, match=r"overall accuracy .* 200 %.*\n?.*area of sea"):
        geokd.SampleGoals(2.0, {"sea": 0.0})
    with pytest.raises(CallError) as caught:
        geokd.PlanOptions({"sea": 1.5}, 1, 0)
    assert all(said in str(caught.value) for said in ("150 % of sea", "1 points", "0 minutes"))


def test_plan_on_the_command_line(class_map: Path, tmp_path: Path) -> None:
    call = ["sample", str(class_map), "--accuracy-within", "6", "--area-within", "wood=40", "--expect", "85"]
    done = CliRunner().invoke(main, [*call, "--plan", "--json"])
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told["accuracy_half_width"] <= 0.06
    assert "overall accuracy within 6 % wanted" in done.stderr
    assert "Olofsson" in done.stderr
    drawn = CliRunner().invoke(main, [*call, "-o", str(tmp_path / "s.gpkg")])
    assert drawn.exit_code == 0, drawn.output
    assert f"{told['points']} points written" in drawn.output
    for wrong in (["--plan"], ["-o", "s.gpkg"], ["-n", "9"], ["--plan", "--area-within", "40"]):
        assert CliRunner().invoke(main, ["sample", str(class_map), *wrong]).exit_code == 2


def test_assess_states_how_many_points_more(class_map: Path, tmp_path: Path) -> None:
    truth = CODES.copy()
    truth[:3] = 1
    geokd.sample(class_map, 60, tmp_path / "s.gpkg")
    label(tmp_path / "s.gpkg", truth)
    told = geokd.assess(class_map, tmp_path / "s.gpkg").to_json()
    assert [row["figure"] for row in told["precision"]] == ["overall accuracy"] * 2
    low, high = told["overall_accuracy"]["interval_95"]
    assert told["precision"][0]["half_width"] == pytest.approx((high - low) / 2)
    assert 0 < told["precision"][0]["more_points"] < told["precision"][1]["more_points"]
    goals = geokd.SampleGoals(0.5, {"wood": 0.9})
    wanted = geokd.assess(class_map, tmp_path / "s.gpkg", goals=goals).to_json()["precision"]
    assert wanted[0]["more_points"] == 0
    assert wanted[1]["figure"] == "area of wood"
    with pytest.raises(CallError, match="there is no class lake; the classes compared are"):
        geokd.assess(class_map, tmp_path / "s.gpkg", goals=geokd.SampleGoals(area_within={"lake": 0.5}))
    done = CliRunner().invoke(
        main, ["assess", str(class_map), str(tmp_path / "s.gpkg"), "--accuracy-within", "4", "--area-within", "wood=30"]
    )
    assert "overall accuracy has a 95 % interval of +- " in done.output
    assert "more points" in done.output


def test_an_enlarged_sample_keeps_cells_and_labels(class_map: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "a.gpkg", tmp_path / "b.gpkg"
    geokd.sample(class_map, 60, first, geokd.SampleOptions(seed=7))
    label(first, CODES, share=0.7)
    drawn = geokd.sample(class_map, 130, second, geokd.SampleOptions(enlarge=first)).to_json()
    assert drawn["seed"] == 7
    assert drawn["labelled"] == 42
    frames = [geopandas.read_file(path, layer="sample") for path in (first, second)]
    old, new = ({(p.x, p.y): r for p, r in zip(f.geometry, f["reference"], strict=True)} for f in frames)
    assert len(new) == 130
    assert all(place in new for place in old)
    assert {p: r for p, r in old.items() if r == r} == {p: r for p, r in new.items() if r == r}  # noqa: PLR0124
    fresh = geokd.sample(class_map, 130, tmp_path / "c.gpkg", geokd.SampleOptions(seed=7, min_per_class=21)).to_json()
    again = {(p.x, p.y) for p in geopandas.read_file(tmp_path / "c.gpkg", layer="sample").geometry}
    assert [row["points"] for row in fresh["strata"]] == [row["points"] for row in drawn["strata"]]
    assert again == set(new)  # as if it had been drawn at once
    with pytest.raises(CallError, match="too few to enlarge the sample; take 60 or more"):
        geokd.sample(class_map, 50, tmp_path / "d.gpkg", geokd.SampleOptions(enlarge=first))
    with closing(sqlite3.connect(first)) as database:
        database.execute(
            'UPDATE gpkg_metadata SET metadata = replace(metadata, \'"map_sha256": "\', \'"map_sha256": "0\')'
        )
        database.commit()
    with pytest.raises(CallError, match="drawn from another map"):
        geokd.sample(class_map, 130, tmp_path / "d.gpkg", geokd.SampleOptions(enlarge=first))
    with pytest.raises(CallError, match="does not exist"):
        geokd.sample(class_map, 130, tmp_path / "d.gpkg", geokd.SampleOptions(enlarge=tmp_path / "z.gpkg"))


def test_stopping_when_narrow_enough_keeps_the_coverage() -> None:
    """Enlarged until the interval of the accuracy is within 4 points, as `geokd assess` says: 95 % still cover."""
    draws, held, sizes = np.random.default_rng(3), [], []
    mixture = expected_mixture(SHARES, ACCURACIES)
    truth = float(SHARES @ ACCURACIES)
    for _ in range(400):
        units = allocate(np.full(4, 10**6), SHARES, 60, 8)
        counts = np.array([draws.multinomial(n, p) for n, p in zip(units, mixture, strict=True)])
        while True:
            overall = StratifiedSample(by_class(counts), 4, SHARES).overall_accuracy()
            assert overall is not None
            now = (overall.high - overall.low) / 2
            if now <= 0.04:
                break
            goal = Goal("", SHARES, np.diag(counts) / counts.sum(axis=1))
            times = times_as_many(goal, counts.sum(axis=1), None, now, 0.04)
            assert times is not None
            more = np.maximum(np.round((times - 1) * counts.sum(axis=1)), 1).astype(int)
            counts += np.array([draws.multinomial(n, p) for n, p in zip(more, mixture, strict=True)])
        held.append(overall.low <= truth <= overall.high)
        sizes.append(counts.sum())
    assert np.mean(held) >= 0.93
    planned = fewest_units(
        lambda n: (
            half_width(Goal("", SHARES, ACCURACIES), n * allocate(np.full(4, 10**6), SHARES, 600, 80) / 600) <= 0.04
        ),
        8,
        10**5,
    )
    assert planned is not None
    assert 0.5 * planned < np.mean(sizes) < 2 * planned
