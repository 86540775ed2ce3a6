"""`geokd compare` on models and chips whose answers are known."""

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import geokd
from geokd.assessment.compare import ROUNDS, _speed
from geokd.cli import main
from geokd.errors import BundleError, CallError, ChipError
from geokd.legend.classes import default_legend
from geokd.model.bundle import Bundle, Golden, load_bundle
from geokd.model.engine import Student, trace_layers
from geokd.statistics.intervals import wilson
from tests.cli.test_evaluate import write_chips
from tests.tiny import CLASSES, PATCH_PX, tiny_bundle, tiny_graph

FOLDERS = {"lake": ["blue"] * 3, "meadow": ["green", "red"], "bare": ["red"] * 4}


@pytest.fixture
def turns(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Do not measure speeds, but note in which order they would be."""
    order: list[str] = []

    def speed(student: Student) -> float:
        order.append(student.bundle.name)
        return 100.0 * len(order)

    monkeypatch.setattr("geokd.assessment.compare.patches_per_second", speed)
    yield order


@pytest.fixture
def chips(tmp_path: Path) -> Path:
    return write_chips(tmp_path / "chips", FOLDERS)


def save(bundle: Bundle, path: Path) -> Path:
    path.write_bytes(bundle.onnx_bytes)
    return path


def mirrored() -> Bundle:
    """The tiny student with bands and legend the other way round: it answers the same."""
    bundle = tiny_bundle()
    contract = dataclasses.replace(bundle.contract, bands=bundle.contract.bands[::-1])
    golden = Golden(bundle.golden.pixels[:, ::-1], bundle.golden.logits[:, ::-1])
    return dataclasses.replace(
        bundle, name="mirrored", contract=contract, legend=default_legend(CLASSES[::-1]), golden=golden
    )


def mistaken() -> Bundle:
    """The tiny student with the names of the first and the last class exchanged."""
    return dataclasses.replace(tiny_bundle(), name="mistaken", legend=default_legend(CLASSES[::-1]), temperature=2.0)


def test_figures(model: Path, chips: Path, tmp_path: Path, turns: list[str]) -> None:
    others = [save(mirrored(), tmp_path / "mirrored.onnx"), save(mistaken(), tmp_path / "mistaken.onnx")]
    target = tmp_path / "figures.json"
    result = CliRunner().invoke(main, ["compare", str(model), *map(str, others), str(chips), "-o", str(target)])
    assert result.exit_code == 0, result.output
    figures = json.loads(target.read_text())
    assert (figures["chips"]["path"], figures["chips"]["n"]) == (str(chips), 9)
    (note,) = set(figures["chips"]["notes"])
    assert note in result.stderr
    tiny, same, wrong = figures["models"]

    assert tiny["accuracy"] == same["accuracy"] == pytest.approx(8 / 9)
    assert tiny["interval_95"] == pytest.approx(wilson(8, 9))
    assert tiny["agreement"] is None
    assert same["agreement"]["share"] == 1
    assert [row["recall"] for row in same["per_class"]] == [1.0, 0.5, 1.0]
    assert [row["name"] for row in wrong["per_class"]] == list(CLASSES)  # in the order of the first model

    assert wrong["accuracy"] == pytest.approx(1 / 9)  # only the green meadow
    agreed = wrong["agreement"]
    assert agreed["share"] == pytest.approx(1 / 9)
    assert agreed["interval_95"] == pytest.approx(wilson(1, 9))
    assert agreed["mcnemar"] == {"won": 0, "lost": 7, "p": pytest.approx(2 / 2**7)}
    assert [row["share"] for row in agreed["per_class"]] == [0.0, 0.5, 0.0]
    confidence = np.exp(0.05 * 150 / 2) / (np.exp(0.05 * 150 / 2) + 2)
    assert wrong["ece"] == pytest.approx(abs(confidence - 1 / 9), abs=1e-6)

    assert [entry["parameters"] for entry in figures["models"]] == [9, 9, 9]
    assert [entry["multiply_adds"] for entry in figures["models"]] == [9, 9, 9]
    assert tiny["size_bytes"] == model.stat().st_size
    assert turns == ["tiny", "mirrored", "mistaken"] * ROUNDS
    assert (figures["speed"]["rounds"], figures["speed"]["threads"]) == (ROUNDS, 1)


def test_the_tables(model: Path, chips: Path, tmp_path: Path, turns: list[str]) -> None:
    call = ["compare", str(model), str(save(mistaken(), tmp_path / "mistaken.onnx")), str(chips)]
    shown = CliRunner().invoke(main, call)
    rows = [line.split() for line in shown.stdout.splitlines()]
    assert ["2", "mistaken", "mean", "fp32", "9"] in [row[:5] for row in rows]
    assert ["mistaken", "fp32", "11.11", "%"] in [row[1:5] for row in rows]
    assert ["meadow", "2", "50.00", "%", "50.00", "%", "50.00", "%"] in rows
    assert "classifying 9 chips" in shown.stderr
    answer = CliRunner().invoke(main, [*call, "--json"])
    assert json.loads(answer.stdout)["models"][1]["name"] == "mistaken"
    assert len(turns) == 2 * 2 * ROUNDS


def test_a_class_without_chips(model: Path, tmp_path: Path, turns: list[str]) -> None:
    chips = write_chips(tmp_path / "chips", {"lake": ["blue"]})
    figures = geokd.compare([model, model], chips).to_json()
    assert figures["models"][1]["agreement"]["per_class"][0] == {"name": "bare", "share": None, "interval_95": None}
    assert CliRunner().invoke(main, ["compare", str(model), str(model), str(chips)]).exit_code == 0
    assert turns


def test_speeds_are_compared_within_rounds() -> None:
    # the machine is twice as slow in the second round: the ratios do not notice
    speeds = np.array([[100.0, 300.0], [50.0, 150.0], [100.0, 320.0]])
    first, second = _speed(speeds, 0), _speed(speeds, 1)
    assert (first["chips_per_second"], first["times_as_fast"], first["times_as_fast_range"]) == (100, 1, (1, 1))
    assert (second["chips_per_second"], second["times_as_fast"]) == (300, 3)
    assert second["times_as_fast_range"] == (3, 3.2)


def test_real_speed(model: Path, chips: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("geokd.assessment.compare.ROUNDS", 1)
    figures = geokd.compare([model, model], chips).to_json()
    assert figures["models"][0]["chips_per_second"] > 100
    assert figures["models"][0]["times_as_fast"] == 1


def test_one_model_is_not_enough(model: Path, chips: Path) -> None:
    result = CliRunner().invoke(main, ["compare", str(model), str(chips)])
    assert result.exit_code == 2
    assert result.stderr == ("Error: 1 model cannot be compared: give at least two; geokd evaluate measures one\n")


def test_models_of_other_classes(model: Path, chips: Path, tmp_path: Path) -> None:
    other = dataclasses.replace(tiny_bundle(), legend=default_legend(("bare", "meadow", "sea")))
    path = save(other, tmp_path / "sea.onnx")
    message = r"sea.onnx has other classes \(bare, meadow, sea\) than .*tiny.onnx \(bare, meadow, lake\)"
    with pytest.raises(CallError, match=message):
        geokd.compare([model, path], chips)


def test_chips_of_other_classes(model: Path, tmp_path: Path) -> None:
    with pytest.raises(ChipError, match="moon are not classes of the model"):
        geokd.compare([model, model], write_chips(tmp_path / "chips", {"moon": ["red"]}))


def test_a_broken_model_and_a_missing_one(model: Path, chips: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"no model")
    with pytest.raises(BundleError, match="broken.onnx is not an ONNX file"):
        geokd.compare([model, broken], chips)
    with pytest.raises(BundleError, match="no model 'nowhere'"):
        geokd.compare([model, "nowhere"], chips)


def test_figures_are_not_replaced_unasked(model: Path, chips: Path, tmp_path: Path, turns: list[str]) -> None:
    target = tmp_path / "figures.json"
    target.write_text("mine")
    with pytest.raises(CallError, match="figures.json already; replace it with --overwrite"):
        geokd.compare([model, model], chips, target)
    assert not turns
    assert target.read_text() == "mine"
    geokd.compare([model, model], chips, target, overwrite=True)
    assert json.loads(target.read_text())["chips"]["n"] == 9


def test_tracing_a_network(model: Path) -> None:
    layers = trace_layers(load_bundle(model).graph, (3, PATCH_PX, PATCH_PX))
    assert [layer.kind for layer in layers] == ["Cast", "GlobalAveragePool", "Flatten", "Gemm"]
    assert layers[-1].inputs == ((1, 3), (3, 3))
    assert layers[-1].output == (1, 3)
    with pytest.raises(BundleError, match="cannot run the network node by node"):
        trace_layers(tiny_graph(channels=4), (3, PATCH_PX, PATCH_PX))
