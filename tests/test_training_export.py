import json
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra geokd[train]")

import onnx  # noqa: E402

from geokd.bundle import InputContract, ValueScaling, load_bundle  # noqa: E402
from geokd.errors import BundleError, CallError, RecipeError, TrainingError  # noqa: E402
from geokd.recipe import StudentRecipe  # noqa: E402
from geokd.training.export import ExportResult, export, golden_patches, read_weights, run_graph  # noqa: E402
from geokd.training.networks import build_student  # noqa: E402
from geokd.training.onnx_graph import to_onnx  # noqa: E402
from geokd.training.train import train  # noqa: E402
from tests.test_training_run import Lines, make_chips, tiny_recipe  # noqa: E402


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("export")
    train(make_chips(folder / "chips"), folder / "run", tiny_recipe(), say=Lines())
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
        assert bundle.provenance["recipe_sha256"] == tiny_recipe().sha256
        assert bundle.provenance["validation_before_rounding"]["student"]["n"] == 8
        np.testing.assert_array_equal(run_graph(bundle.graph, bundle.golden.pixels), bundle.golden.logits)


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


def test_training_goes_on_from_an_fp32_bundle(exported: ExportResult) -> None:
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
    with pytest.raises(BundleError, match="keeps no weights by name"):
        read_weights(load_bundle(exported.int8).with_graph(b"", "fp32", load_bundle(exported.int8).golden.logits))


def test_wrong_calls(run: Path, exported: ExportResult, tmp_path: Path) -> None:
    with pytest.raises(CallError, match="already; replace them by --overwrite"):
        export(run)
    before = exported.int8.read_bytes()
    assert export(run, overwrite=True).int8.read_bytes() == before  # and the same bytes again
    with pytest.raises(CallError, match="no run in"):
        export(tmp_path)
    (tmp_path / "run.json").write_text(json.dumps({"complete": False}))
    with pytest.raises(CallError, match="not finished.*--resume"):
        export(tmp_path)
    (tmp_path / "run.json").write_text(json.dumps({"complete": True, "recipe": {}}))
    with pytest.raises(TrainingError, match="lacks contract, data, date"):
        export(tmp_path)
