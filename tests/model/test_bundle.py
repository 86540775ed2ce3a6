import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geokd.errors import BundleError
from geokd.legend.classes import default_legend
from geokd.model.bundle import Bundle, Golden, is_model, load_bundle, resolve_model, shipped_models
from geokd.model.contract import InputContract, ValueScaling

GRAPH = b"\x08\x08\x3a\x02\x0a\x00"  # a protobuf message with ir_version 8 and a graph


def _bundle(**changes: object) -> Bundle:
    parts: dict[str, object] = {
        "graph": GRAPH,
        "name": "tiny é",
        "architecture": "mobilenet_v2",
        "precision": "int8",
        "contract": InputContract(("B04", "B03", "B02"), 8, 10.0, ValueScaling()),
        "legend": default_legend(["Forest", "Sea"]),
        "temperature": 1.25,
        "provenance": {"date": "2026-01-01", "data": {"n": 3}},
        "golden": Golden(
            np.arange(2 * 3 * 8 * 8, dtype=np.uint8).reshape(2, 3, 8, 8), (np.eye(2) / 3).astype(np.float32)
        ),
    }
    return Bundle(**(parts | changes))  # type: ignore[arg-type]


def test_the_folder_of_a_run_is_distinguished_from_a_model(tmp_path: Path) -> None:
    (tmp_path / "run.json").touch()
    with pytest.raises(BundleError, match="is the folder of a training run; make a model with geokd export"):
        resolve_model(tmp_path)


def test_round_trip(tmp_path: Path) -> None:
    bundle = _bundle()
    path = tmp_path / "a.onnx"
    path.write_bytes(bundle.onnx_bytes)
    again = load_bundle(path)
    assert again.onnx_bytes == bundle.onnx_bytes
    assert again.sha256 == bundle.sha256
    assert again.describe() == bundle.describe()
    assert np.array_equal(again.golden.pixels, bundle.golden.pixels)
    assert np.array_equal(again.golden.logits, bundle.golden.logits)


def test_any_changed_bit_is_found(tmp_path: Path) -> None:
    content, path = _bundle().onnx_bytes, tmp_path / "a.onnx"
    for bit in range(0, 8 * len(content), 7):
        changed = bytearray(content)
        changed[bit // 8] ^= 1 << bit % 8
        path.write_bytes(changed)
        if b"geokd_sha256" in changed:  # else its name is what was changed
            with pytest.raises(BundleError):
                load_bundle(path)


def test_bundles_without_a_checksum_are_read(tmp_path: Path) -> None:
    older = _bundle(sealed=False)
    (tmp_path / "a.onnx").write_bytes(older.onnx_bytes)
    again = load_bundle(tmp_path / "a.onnx")
    assert again.onnx_bytes == older.onnx_bytes
    assert _bundle().onnx_bytes.startswith(older.onnx_bytes)


@pytest.mark.parametrize("name", shipped_models())
def test_shipped_bundles_have_a_checksum(name: str) -> None:
    assert load_bundle(name).sealed


def test_onnx_reads_the_metadata_too(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx", reason="needs the extra geokd[train]")
    node = onnx.helper.make_node("Identity", ["x"], ["y"])
    value = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph([node], "g", [value("x", 1, [1])], [value("y", 1, [1])])
    bundle = _bundle(graph=onnx.helper.make_model(graph).SerializeToString())
    model = onnx.load_from_string(bundle.onnx_bytes)
    keys = {p.key: p.value for p in model.metadata_props}
    assert set(keys) == {"geokd", "class_names", "resolution", "tiles_size", "geokd_sha256"}
    assert keys["class_names"] == '{"0": "Forest", "1": "Sea"}'
    assert (keys["resolution"], keys["tiles_size"]) == ("1000.0", "8")


@pytest.mark.parametrize(
    ("break_it", "sentence"),
    [
        (lambda b: b[: len(b) // 2], "ends inside the field|breaks off"),
        (lambda b: b"", "has no graph"),
        (lambda b: b"GIF89a" + b, "is not an ONNX file"),
        (lambda b: GRAPH, "not a geokd bundle"),
        (lambda b: b.replace(b'"schema_version": 2', b'"schema_version": 9'), "schema_version is not 2"),
        (
            lambda b: b.replace(b'"temperature": 1.25', b'"temperaturf": 1.25'),
            "key 'temperature' missing or unknown",
        ),
        (lambda b: b.replace(b'"temperature": 1.25', b'"temperature": -1.5'), "not positive"),
        (lambda b: b.replace(b'"precision": "int8"', b'"precision": "int4"'), "neither fp32 nor int8"),
        (lambda b: b.replace(b'"patch_px": 8', b'"patch_px": 9'), "the contract requires"),
        (lambda b: b.replace(b'"name": "Sea"', b'"name": "S a"'), "may hold letters"),
        (lambda b: b.replace(b'"minimum": 0.0', b'"minimum": "a"'), "is broken"),
        (
            lambda b: b.replace(b'"shape": [2, 3, 8, 8]', b'"shape": [2, 3, 8, 0]'),
            "golden input has the shape",
        ),
        (
            lambda b: b.replace(b'"task": "scene-classification"', b'"task": "scene-classificatio'),
            "is broken",
        ),
    ],
)
def test_broken_files(tmp_path: Path, break_it: Callable[[bytes], bytes], sentence: str) -> None:
    path = tmp_path / "a.onnx"
    content = break_it(_bundle().onnx_bytes)
    path.write_bytes(content)
    with pytest.raises(BundleError, match=sentence):
        load_bundle(path)


@settings(max_examples=300)
@given(st.data())
def test_loading_is_total(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    content = bytearray(_bundle().onnx_bytes)
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("fuzz") / "a.onnx"
    path.write_bytes(bytes(content))
    try:
        load_bundle(path)
    except BundleError as error:
        assert str(path) in str(error)


def test_contradictions_are_refused_together() -> None:
    with pytest.raises(ValueError, match=r"temperature 0.0.*golden logits are 2, the legend has 3"):
        _bundle(temperature=0.0, legend=default_legend(["a", "b", "c"]))


@pytest.mark.parametrize(
    "wrong",
    [
        {"minimum": 5.0, "maximum": 5.0},
        {"maximum": float("inf")},
        {"output_maximum": 300.0},
        {"output_minimum": -1.0},
    ],
)
def test_bad_scaling(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="value scaling"):
        ValueScaling(**wrong)


def test_unknown_model() -> None:
    with pytest.raises(BundleError, match="neither a file nor one of the bundles that ship"):
        resolve_model("nonsense")
    with pytest.raises(BundleError, match="neither a file"):
        resolve_model("../bundles/eurosat-rgb-maps")


def test_a_contract_of_a_dense_student_is_read_back() -> None:
    scaling = ValueScaling(maximum=(2750.0, 2750.0, 2750.0, 5500.0))
    contract = InputContract(("B04", "B03", "B02", "B08"), 256, 10.0, scaling, cell_px=2, margin_px=32)
    assert InputContract.from_json(json.loads(json.dumps(contract.to_json()))) == contract
    assert contract.answer_shape == (128, 128)


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"margin_px": 8}, "without cell_px"),
        ({"cell_px": 3}, "must divide patch_px"),
        ({"cell_px": 0}, "from 1 to patch_px"),
        ({"cell_px": 2, "margin_px": 3}, "must divide"),
        ({"cell_px": 1, "margin_px": 32}, "leaves nothing"),
        ({"cell_px": 1, "margin_px": -1}, "0 or more"),
        ({"cell_px": True}, "whole number"),
        ({"value_scaling": ValueScaling(maximum=(1.0, 2.0))}, "2 maxima for 3 bands"),
    ],
)
def test_contracts_that_contradict_themselves_are_refused(wrong: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        InputContract(**{"bands": ("B04", "B03", "B02"), "patch_px": 64, "ground_resolution_m": 10.0, **wrong})


def test_what_is_a_model_is_answered_once() -> None:
    assert is_model("eurosat-rgb-maps")
    assert is_model("M.ONNX")
    assert not is_model("a_landuse.tif")
    assert not is_model("no such name")
