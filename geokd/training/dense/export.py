"""From a finished run of a dense student to its fp32 bundle."""

from pathlib import Path
from typing import Any

from geokd.errors import TrainingError
from geokd.legend.classes import Legend
from geokd.model.bundle import Bundle, Golden, golden_cells
from geokd.model.contract import InputContract
from geokd.training.checkpoint import read_tensors
from geokd.training.dense.network import DenseNetwork
from geokd.training.dense.onnx_graph import dense_to_onnx
from geokd.training.quantisation import run_graph
from geokd.training.recipe_file import dense_recipe_from_json
from geokd.training.run_folder import read_seen_chips
from geokd.training.run_record import FinishedRun


def dense_fp32_bundle(folder: Path, finished: FinishedRun, provenance: dict[str, Any], golden: Any) -> Bundle:
    """Make the fp32 bundle of a run's dense student.

    Parameters
    ----------
    folder : Path
    finished : FinishedRun
    provenance : dict
    golden : uint8 array (1, C, H, W)
        The reference input.

    Raises
    ------
    TrainingError
        If the run's tensors do not fit its recipe.
    """
    recipe = dense_recipe_from_json(finished.recipe)
    contract, legend = InputContract.from_json(finished.contract), Legend.from_json(finished.legend)
    network = DenseNetwork(len(contract.bands), len(legend), recipe.student.width)
    path = folder / "student.safetensors"
    tensors, _ = read_tensors(path)
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        raise TrainingError(f"{path} does not fit the recipe of the run: {error}") from error
    graph = dense_to_onnx(network.eval(), contract)
    return Bundle(
        graph=graph,
        name=recipe.name,
        architecture="mobilenet_v2_pyramid",
        precision="fp32",
        contract=contract,
        legend=legend,
        temperature=finished.temperature,
        provenance=provenance,
        golden=Golden(golden, golden_cells(run_graph(graph, golden))),
        familiarity=finished.statistics,
        seen_chips=read_seen_chips(folder).get("student"),
    )
