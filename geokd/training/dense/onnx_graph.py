"""A dense student as an ONNX graph, node by node."""

from geokd.model.contract import InputContract
from geokd.training.dense.network import LEVELS, DenseNetwork
from geokd.training.onnx_graph import Graph


def dense_to_onnx(network: DenseNetwork, contract: InputContract, name: str = "student") -> bytes:
    """Write a dense network as an ONNX model from uint8 `pixels` (n, C, H, W) to float32 `logits` (n, K, h, w).

    Initialisers have the names of the network's state dict; `name` is that of the graph. Cells of several pixels get
    the mean of their pixels' logits.
    """
    graph = Graph()
    x = graph.normalise("pixels", network.normalise.mean, network.normalise.std)
    levels, used = [], [layer for layer, _ in LEVELS]
    for number, layer in enumerate(network.features):
        x = graph.layer(layer, x, f"features.{number}")
        if number in used:
            levels.append(x)
    last = len(levels) - 1
    y = graph.layer(network.sides[last], levels[last], f"sides.{last}")
    for level in range(last - 1, -1, -1):
        side = graph.layer(network.sides[level], levels[level], f"sides.{level}")
        y = graph.layer(network.joins[level], graph.node("Add", [_enlarged(graph, y), side]), f"joins.{level}")
    y = graph.layer(network.head, y, "head")
    cell_px = contract.cell_px or 1
    if cell_px == 1:
        _enlarged(graph, y, output="logits")
    elif cell_px == 2:
        graph.node("Identity", [y], output="logits")
    else:
        side_px = cell_px // 2
        graph.node("AveragePool", [y], output="logits", kernel_shape=[side_px, side_px], strides=[side_px, side_px])
    return graph.finish(contract, network.head.out_channels, name)


def _enlarged(graph: Graph, x: str, output: str | None = None) -> str:
    """Append a bilinear enlargement to twice the size."""
    return graph.resize(x, 2, output)
