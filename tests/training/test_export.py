import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra geokd[train]")

import onnx  # noqa: E402
from hypothesis import given  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from torch import Tensor  # noqa: E402

import geokd  # noqa: E402
from geokd.errors import BundleError, CallError, RecipeError, TrainingError  # noqa: E402
from geokd.model.bundle import load_bundle  # noqa: E402
from geokd.model.contract import InputContract, ValueScaling  # noqa: E402
from geokd.model.engine import trace_layers  # noqa: E402
from geokd.model.onnx_graph import restated  # noqa: E402
from geokd.model.workload import count_multiply_adds, count_parameters  # noqa: E402
from geokd.training.checkpoint import read_tensors  # noqa: E402
from geokd.training.export import ExportResult, _read_finished, export, golden_patches  # noqa: E402
from geokd.training.initial_weights import build_student, build_teacher, read_weights  # noqa: E402
from geokd.training.networks import Network  # noqa: E402
from geokd.training.onnx_graph import Graph, merge_logits, store_in_half, to_onnx  # noqa: E402
from geokd.training.quantisation import PREPARATIONS, Preparation, quantise, run_graph  # noqa: E402
from geokd.training.recipe import StudentRecipe, TeacherRecipe  # noqa: E402
from geokd.training.train import train  # noqa: E402
from tests.killed import killed_while_moving  # noqa: E402
from tests.training.test_run import Lines, make_chips, tiny_recipe  # noqa: E402


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("export")
    train(make_chips(folder / "chips"), folder / "run", tiny_recipe(architecture="vgg16"), progress=Lines())
    return folder / "run"


@pytest.fixture(scope="module")
def exported(run: Path) -> ExportResult:
    return export(run)


@pytest.mark.parametrize("channels", [3, 4])
def test_onnx_answers_as_torch_does(channels: int) -> None:
    torch.manual_seed(0)
    student, _ = build_student(StudentRecipe(initial_weights="none"), channels, tuple("abcde"))
    contract = InputContract(tuple(f"b{i}" for i in range(channels)), 64, 10.0, ValueScaling())
    pixels = golden_patches(contract)
    for module in student.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.inference_mode():
        student.train()(torch.tensor(pixels))  # statistics of these very patches, so that they are told apart
        expected = student.eval()(torch.tensor(pixels))[0].numpy()
    assert np.ptp(expected, axis=0).min() > 0.1
    np.testing.assert_allclose(run_graph(to_onnx(student, contract), pixels), expected, atol=1e-4)


def test_bundles_are_whole(run: Path, exported: ExportResult) -> None:
    fp32, int8 = load_bundle(exported.fp32), load_bundle(exported.int8)
    assert (fp32.precision, int8.precision) == ("fp32", "int8")
    assert exported.int8.stat().st_size < 3e6 < exported.fp32.stat().st_size
    facts = json.loads((run / "run.json").read_text())
    for bundle in (fp32, int8):
        assert bundle.name == "tiny"
        assert bundle.legend.names == ("dark", "striped")
        assert bundle.temperature == facts["temperature"]
        assert bundle.provenance["recipe_sha256"] == tiny_recipe(architecture="vgg16").sha256
        assert bundle.provenance["validation_before_rounding"]["student"]["n"] == 8
        np.testing.assert_array_equal(run_graph(bundle.graph, bundle.golden.pixels), bundle.golden.logits)


@pytest.mark.parametrize("channels", [3, 4])
def test_onnx_answers_as_the_teacher_does(channels: int) -> None:
    teacher = random_teacher(channels, tuple("abcde"))
    contract = InputContract(tuple(f"b{i}" for i in range(channels)), 40, 10.0)  # 40 px: pooling drops odd rows
    pixels = golden_patches(contract, 8)
    with torch.inference_mode():
        expected = teacher.eval()(torch.tensor(pixels))[0].numpy()
    assert np.ptp(expected, axis=0).min() > 0.1
    np.testing.assert_allclose(run_graph(to_onnx(teacher, contract), pixels), expected, rtol=1e-4, atol=1e-4)


def random_teacher(channels: int, classes: tuple[str, ...]) -> Network:
    """VGG16 with random weights whose answers differ from patch to patch."""
    torch.manual_seed(0)
    teacher, _ = build_teacher(TeacherRecipe(initial_weights="none"), channels, classes)
    for module in teacher.modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight)  # as strong at the end as at the beginning
    torch.nn.init.normal_(teacher.classifier.weight)
    return teacher


VGG_DENSE = 7 * 7 * 512 * 4096 + 4096 * 4096 + 4096 * 1000


@pytest.mark.parametrize(
    ("architecture", "multiply_adds", "published", "parameters"),
    [
        # Sandler et al. 2018, table 4: 300 M multiply-adds and 3.4 M parameters
        ("mobilenet_v2", 300_774_272, 300e6, 3_504_872),
        # torchvision gives 15.47 G for all of VGG16, whose three dense layers one of 512 x 1000 replaces here
        ("vgg16", 15_346_630_656 + 512 * 1000, 15.47e9 - VGG_DENSE + 512 * 1000, 14_714_688 + 513 * 1000),
    ],
)
def test_work_is_as_published(architecture: str, multiply_adds: int, published: float, parameters: int) -> None:
    classes = tuple(f"c{i}" for i in range(1000))
    contract = InputContract(("red", "green", "blue"), 224, 10.0)
    if architecture == "vgg16":
        network, _ = build_teacher(TeacherRecipe(initial_weights="none"), 3, classes)
    else:
        network, _ = build_student(StudentRecipe(initial_weights="none"), 3, classes)
    layers = trace_layers(to_onnx(network, contract), (3, 224, 224))
    assert count_multiply_adds(layers) == multiply_adds == pytest.approx(published, rel=0.003)
    assert count_parameters(layers) == sum(p.numel() for p in network.parameters()) == parameters


def test_rounding_to_int8_keeps_the_work(exported: ExportResult) -> None:
    fp32, int8 = (trace_layers(load_bundle(path).graph, (3, 32, 32)) for path in (exported.fp32, exported.int8))
    assert count_multiply_adds(fp32) == count_multiply_adds(int8)
    # of each batch normalisation only the shift is left, as a bias of the convolution before it
    scales = sum(layer.inputs[1][0] for layer in fp32 if layer.kind == "BatchNormalization")
    assert count_parameters(int8) == count_parameters(fp32) - scales


def test_the_teacher_is_written_if_requested(run: Path, exported: ExportResult, tmp_path: Path) -> None:
    assert list(exported.paths) == ["int8", "fp32"]
    result = export(run, tmp_path, teacher=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(path.name for path in result.paths.values())
    assert result.teacher_fp32 is not None
    assert result.teacher_int8 is not None
    assert (result.teacher_fp32.name, result.teacher_int8.name) == ("tiny-teacher-fp32.onnx", "tiny-teacher.onnx")
    assert result.int8.read_bytes() == exported.int8.read_bytes()
    fp32, int8 = load_bundle(result.teacher_fp32), load_bundle(result.teacher_int8)
    for bundle in (fp32, int8):
        assert (bundle.name, bundle.architecture) == ("tiny-teacher", "vgg16")
        assert bundle.legend.names == ("dark", "striped")
        assert bundle.familiarity is None
        assert len(bundle.provenance["notes"]) == 1
        assert set(bundle.provenance["notes"]) < set(result.notes)
    weights = read_weights(fp32)
    tensors, _ = read_tensors(run / "teacher.safetensors")
    assert weights.keys() == tensors.keys()
    assert all(torch.equal(weights[k], as_stored(tensors[k])) for k in tensors)
    graph = onnx.load_from_string(int8.graph).graph
    quantised = {name for node in graph.node if node.op_type == "DequantizeLinear" for name in node.output}
    layers = [node for node in graph.node if node.op_type in ("Conv", "MaxPool", "Gemm")]
    assert len(layers) == 13 + 5 + 1
    assert all(name in quantised for node in layers for name in node.input)
    assert any("no statistics" in note for note in result.notes)


def as_stored(tensor: Tensor) -> Tensor:
    """What an fp32 bundle keeps of one of a network's tensors."""
    return tensor.half().float() if tensor.ndim >= 2 and tensor.numel() >= 1024 else tensor


def test_fp32_bundles_store_weights_in_half_precision(run: Path, exported: ExportResult) -> None:
    bundle = load_bundle(exported.fp32)
    tensors, _ = read_tensors(run / "student.safetensors")
    weights = read_weights(bundle)
    assert bundle.provenance["weights_stored_as"] == "float16"
    assert exported.fp32.stat().st_size < 0.55 * 4 * sum(tensor.numel() for tensor in tensors.values())
    assert all(tensor.dtype == torch.float32 for tensor in weights.values())
    assert all(torch.equal(weights[k], as_stored(tensors[k])) for k in weights)
    assert geokd.verify(exported.fp32).passed
    assert "weights_stored_as" not in load_bundle(exported.int8).provenance


@given(
    rows=st.integers(1, 64),
    cols=st.integers(1, 64),
    exponent=st.integers(-30, 30),
    seed=st.integers(0, 2**32 - 1),
)
def test_weights_in_half_precision_are_those_rounded(rows: int, cols: int, exponent: int, seed: int) -> None:
    weights = (np.random.default_rng(seed).standard_normal((rows, cols)) * 2.0**exponent).astype(np.float32)
    graph = Graph()
    x = graph.node("Cast", ["pixels"], to=onnx.TensorProto.FLOAT)
    x = graph.node("Flatten", [graph.node("GlobalAveragePool", [x])], axis=1)
    x = graph.node("MatMul", [x, graph.constant("weights", torch.from_numpy(weights))])
    graph.node("Add", [x, graph.constant("bias", torch.arange(cols) / 3)], output="logits")
    contract = InputContract(tuple(f"b{i}" for i in range(rows)), 8, 10.0)
    model = graph.finish(contract, cols, "plain")
    stored = store_in_half(model)
    assert store_in_half(stored) == stored
    kept = {t.name: t for t in onnx.load_from_string(stored).graph.initializer}
    assert kept.keys() == {"weights", "bias"}
    assert kept["bias"].data_type == onnx.TensorProto.FLOAT
    values = onnx.numpy_helper.to_array(kept["weights"])
    halved = weights.size >= 1024 and 2.0**-14 <= np.abs(weights).max() <= 65504
    assert values.dtype == (np.float16 if halved else np.float32)
    assert np.abs(values.astype(np.float32) - weights).max() <= 2.0**-11 * np.abs(weights).max() * halved
    pixels = np.random.default_rng(0).integers(0, 256, (2, rows, 8, 8), np.uint8)
    means = pixels.mean(axis=(2, 3), dtype=np.float64)
    expected = means @ values.astype(np.float64) + np.arange(cols) / 3
    np.testing.assert_allclose(run_graph(stored, pixels), expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("stage", ["student", pytest.param("teacher", marks=pytest.mark.slow)])
def test_half_precision_changes_neither_work_nor_merging(stage: str) -> None:
    torch.manual_seed(0)
    if stage == "student":
        network: Network = build_student(StudentRecipe(initial_weights="none"), 3, tuple("abcd"))[0]
    else:
        network = random_teacher(3, tuple("abcd"))
    contract = InputContract(("red", "green", "blue"), 32, 10.0)
    model = to_onnx(network.eval(), contract, stage)
    stored = store_in_half(model)
    assert len(stored) < 0.55 * len(model)
    assert len(restated(stored)) > 0.9 * len(stored)
    plain, halved = (trace_layers(graph, (3, 32, 32)) for graph in (model, stored))
    assert count_multiply_adds(plain) == count_multiply_adds(halved)
    assert count_parameters(plain) == count_parameters(halved)
    pixels = golden_patches(contract, 8)
    merged = run_graph(merge_logits(stored, [[0, 2], [1], [3]], 1.5), pixels)
    again = run_graph(store_in_half(merge_logits(model, [[0, 2], [1], [3]], 1.5)), pixels)
    np.testing.assert_array_equal(merged, again)
    quantised = quantise(stored, pixels, PREPARATIONS)
    assert len(quantised) < 0.35 * len(model)
    kinds = {tensor.data_type for tensor in onnx.load_from_string(quantised).graph.initializer}
    assert onnx.TensorProto.FLOAT16 not in kinds


@pytest.mark.slow
@pytest.mark.parametrize(("int8_epochs", "preparations"), [(0, PREPARATIONS), (1, ())])
def test_a_student_trained_under_rounding_is_rounded_as_it_is(
    run: Path, tmp_path: Path, int8_epochs: int, preparations: tuple[Preparation, ...]
) -> None:
    shutil.copytree(run, tmp_path / "run", ignore=shutil.ignore_patterns("*.onnx", "teacher_outputs"))
    facts = json.loads((run / "run.json").read_text())
    facts["recipe"]["student"]["int8_epochs"] = int8_epochs
    (tmp_path / "run" / "run.json").write_text(json.dumps(facts))
    result = export(tmp_path / "run", teacher=True)
    assert result.teacher_fp32 is not None
    assert result.teacher_int8 is not None
    pixels = read_tensors(run / "calibration.safetensors")[0]["pixels"].numpy()
    recipe, bundle = tiny_recipe(architecture="vgg16"), load_bundle(result.int8)
    student, _ = build_student(recipe.student, 3, bundle.legend.names, initial_weights="none")
    teacher, _ = build_teacher(replace(recipe.teacher, initial_weights="none"), 3, bundle.legend.names)
    for stage, network, int8, expected in (
        ("student", student, result.int8, preparations),
        ("teacher", teacher, result.teacher_int8, PREPARATIONS),
    ):
        network.load_state_dict(read_tensors(run / f"{stage}.safetensors")[0])
        unrounded = to_onnx(network, bundle.contract, stage)
        assert load_bundle(int8).graph == quantise(unrounded, pixels, expected)
        assert load_bundle(int8).provenance["rounding"] == {"prepared_by": [p.__name__ for p in expected]}
    assert [("without changes" in note) for note in result.notes if "int8" in note] == [int8_epochs > 0, False]


@pytest.mark.slow
def test_temperature_of_the_teacher(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "run", ignore=shutil.ignore_patterns("*.onnx", "teacher_outputs"))
    facts = json.loads((run / "run.json").read_text())
    facts["metrics"]["teacher"]["temperature"] = 1.5
    (tmp_path / "run" / "run.json").write_text(json.dumps(facts))
    result = export(tmp_path / "run", teacher=True)
    assert result.teacher_fp32 is not None
    assert load_bundle(result.teacher_fp32).temperature == 1.5


def test_a_run_without_a_teacher(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "run", ignore=shutil.ignore_patterns("*.onnx", "teacher*"))
    with pytest.raises(CallError, match="has no teacher.*leave out --teacher"):
        export(tmp_path / "run", teacher=True)
    facts = json.loads((run / "run.json").read_text())
    facts["metrics"]["teacher"] = None
    (tmp_path / "run" / "run.json").write_text(json.dumps(facts))
    with pytest.raises(CallError, match="has no teacher"):
        export(tmp_path / "run", teacher=True)
    assert export(tmp_path / "run").int8.is_file()


def test_int8_is_quantised_throughout(exported: ExportResult) -> None:
    graph = onnx.load_from_string(load_bundle(exported.int8).graph).graph
    quantised = {name for node in graph.node if node.op_type == "DequantizeLinear" for name in node.output}
    layers = [node for node in graph.node if node.op_type in ("Conv", "Gemm", "Add")]
    assert len(layers) == 52 + 1 + 10
    assert all(name in quantised for node in layers for name in node.input)
    weights = [t for t in graph.initializer if t.data_type == onnx.TensorProto.INT8 and len(t.dims) == 4]
    assert len(weights) == 52
    for tensor in weights:  # each output channel uses all 8 bits, so each has a step of its own
        largest = np.abs(onnx.numpy_helper.to_array(tensor).astype(int)).reshape(tensor.dims[0], -1).max(axis=1)
        assert (largest >= 126).mean() > 0.9


def test_training_continues_from_an_fp32_bundle(exported: ExportResult) -> None:
    weights = read_weights(load_bundle(exported.fp32))
    student, origin = build_student(StudentRecipe(initial_weights=str(exported.fp32)), 3, ("dark", "striped"))
    assert origin == "bundle tiny-fp32"
    state = student.state_dict()
    assert all(torch.equal(state[k], v) for k, v in weights.items())
    assert sum(k.endswith("running_var") for k in weights) == 52
    torch.manual_seed(5)
    other, _ = build_student(StudentRecipe(initial_weights=str(exported.fp32)), 3, ("sea", "sand"))
    assert torch.equal(other.state_dict()["features.0.0.weight"], weights["features.0.0.weight"])
    assert not torch.equal(other.classifier.weight, weights["classifier.weight"])  # as many classes, but others
    with pytest.raises(RecipeError, match="fp32 bundles only"):
        build_student(StudentRecipe(initial_weights=str(exported.int8)), 3, ("dark", "striped"))


def test_a_graph_without_names_gives_no_weights(exported: ExportResult) -> None:
    with pytest.raises(BundleError, match="has no weights by name"):
        read_weights(load_bundle(exported.int8).with_graph(b"", "fp32", load_bundle(exported.int8).golden.logits))


def test_wrong_calls(run: Path, exported: ExportResult, tmp_path: Path) -> None:
    with pytest.raises(CallError, match="already; replace them with --overwrite"):
        export(run)
    before = exported.int8.read_bytes()
    assert export(run, overwrite=True).int8.read_bytes() == before  # and the same bytes again
    with pytest.raises(CallError, match="no run in"):
        export(tmp_path)
    (tmp_path / "run.json").write_text(json.dumps({"complete": False}))
    with pytest.raises(CallError, match="not finished.*--resume"):
        export(tmp_path)
    (tmp_path / "run.json").write_text(json.dumps({"complete": True, "recipe": {}}))
    with pytest.raises(TrainingError, match="another version of geokd wrote it: .* missing required field .*; train"):
        export(tmp_path)


STRANGE: tuple[Any, ...] = (None, True, -1, 10**400, "x", [], [[]], {}, {"a": 1})


@pytest.mark.parametrize("key", ["contract", "legend", "familiarity", "recipe", "metrics", "temperature"])
def test_a_run_that_was_edited_is_one_sentence(run: Path, tmp_path: Path, key: str) -> None:
    """Whatever stands in place of a value, also deep within, is refused before anything is written."""
    whole = json.loads((run / "run.json").read_text())

    def places(value: Any) -> Iterator[tuple[Any, Any]]:
        entries = list(value.items()) if isinstance(value, dict) else list(enumerate(value[:2]))
        for name, entry in entries:
            yield value, name
            if isinstance(entry, dict | list):
                yield from places(entry)

    refused = 0
    for holder, name in [(whole, key), *(places(whole[key]) if isinstance(whole[key], dict | list) else ())]:
        kept = holder[name]
        for strange in STRANGE:
            holder[name] = strange
            (tmp_path / "run.json").write_text(json.dumps(whole))
            try:
                _read_finished(tmp_path)
            except (TrainingError, CallError) as error:
                assert str(tmp_path) in str(error)
                refused += 1
        holder[name] = kept
    assert refused > 6


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills a process that it forks")
@pytest.mark.parametrize("moves", [1, pytest.param(3, marks=pytest.mark.slow)])
def test_killed_while_bundles_are_replaced(
    run: Path, exported: ExportResult, tmp_path: Path, caplog: pytest.LogCaptureFixture, moves: int
) -> None:
    for number, path in enumerate(exported.paths.values()):
        (tmp_path / path.name).write_text(f"old {number}")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    killed_while_moving(lambda: export(run, tmp_path, overwrite=True), moves)
    with pytest.raises(CallError, match=r"holds tiny-fp32\.onnx, tiny\.onnx already"):
        export(run, tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    (said,) = caplog.messages
    assert "its outputs (tiny-fp32.onnx, tiny.onnx) were moved into" in said
    assert said.endswith("they are removed, and the previous files are restored")
    again = export(run, tmp_path, overwrite=True)
    assert [path.read_bytes() for path in again.paths.values()] == [p.read_bytes() for p in exported.paths.values()]
