"""A rule at the end of a dense student's graph: where plants stand in water, there is wetland.

The teachers take flooded marsh for water, and so does the student. Water reflects less near infrared than red or green;
plants reflect more, even half under water. The rule compares surface reflectance. The atmosphere is estimated from the
darkest spot of a patch (dark object, Chavez 1988, Remote Sensing of Environment 24, 459-479) and the ratio of the bands
in a standard atmosphere, so that it needs not be known whether a scene was corrected for it. There are two estimates,
from the darkest blue, and from its difference to the darkest near infrared, in which white haze cancels; the smaller is
used. In dark water ratios of such small numbers mean nothing, so near infrared must also be clearly brighter than in
the patch's darkest spot; a marsh without a darker spot in its patch is not found.

Shores and narrow rivers are mixed with land within the pixel. So the rule starts from squares in which all pixels are
open water to the network, then also changes what lies around them, and closes gaps of up to 40 m.
"""

from dataclasses import replace

import onnx
import torch
from onnx import TensorProto

from geokd.model.bundle import Bundle, golden_cells
from geokd.model.contract import InputContract
from geokd.scenes.bands import find_band, wavelengths_nm
from geokd.training.dense.atmosphere import standard_atmosphere
from geokd.training.dense.recipe import COLOURS_AND_INFRARED, WetlandRecipe
from geokd.training.onnx_graph import Graph
from geokd.training.quantisation import run_graph

LEAD = 1.05
"""How many times as much near infrared as red and green a pixel must reflect."""
BRIGHTER = 100.0
"""Reflectance x 10,000 by which near infrared must exceed that of the darkest spot of the patch."""
CORE_PX, REACH_PX, GAP_PX = 3, 5, 3
"""In pixels of half the resolution: side of the squares; distance from their centres up to which pixels change; side of
the square that closes gaps of water."""

RULE = (
    "open water that reflects more near infrared than red and green, as plants do, in squares of"
    f" {2 * CORE_PX} px and around them, is mapped as wetland"
)
_DARK = 200.0  # surface reflectance x 10,000 of the darkest spot: woods in the shade, clear water
_SPOT_PX = 4  # its side, in pixels of half the resolution; a spot, as dead pixels and noise should not decide
_MOST_AIR = 1.6  # standard atmospheres
_BELOW = 4.0  # of water's logits, below the highest; more would let other classes win where logits are interpolated
_PREFIX = "wetland_"


def with_rule(bundle: Bundle, rule: WetlandRecipe) -> Bundle:
    """Append the rule to the graph of a dense student, and describe it in its provenance."""
    if not rule.becomes:
        return bundle
    graph = _appended(bundle.graph, rule, bundle.contract, bundle.legend.names)
    changed = bundle.with_graph(graph, bundle.precision, golden_cells(run_graph(graph, bundle.golden.pixels)))
    return replace(changed, provenance={**changed.provenance, "rules": [RULE]})


def without_rule(graph: bytes) -> bytes:
    """Return the graph of a dense student without the rule, if it has one."""
    model = onnx.load_from_string(graph)
    made = [node for node in model.graph.node if node.name.startswith(_PREFIX)]
    if not made:
        return graph
    answers = next(node.input[0] for node in made if node.name == f"{_PREFIX}answers")
    for node in made:
        model.graph.node.remove(node)
    for node in model.graph.node:
        node.input[:] = [answers if name.startswith(_PREFIX) else name for name in node.input]
    for tensor in [tensor for tensor in model.graph.initializer if tensor.name.startswith(_PREFIX)]:
        model.graph.initializer.remove(tensor)
    return bytes(model.SerializeToString())


def _appended(graph: bytes, rule: WetlandRecipe, contract: InputContract, names: tuple[str, ...]) -> bytes:
    """Insert the rule before the last node of a graph, which enlarges the logits twice."""
    model = onnx.load_from_string(graph)
    last = model.graph.node[-1]
    if last.op_type != "Resize" or list(last.output) != ["logits"] or last.input[0].startswith(_PREFIX):
        raise ValueError("the graph of the student does not end with the enlargement of its logits, or has the rule")
    made = Graph(_PREFIX)
    answers = made.node("Identity", [last.input[0]], f"{_PREFIX}answers")
    plants = _plants(made, contract)
    last.input[0] = _changed(made, answers, plants, rule, names)
    nodes = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend([*nodes[:-1], *made.nodes, last])
    model.graph.initializer.extend(made.initialisers)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def _plants(graph: Graph, contract: InputContract) -> str:
    """Append where surfaces reflect as plants in water do; return the name of a bool (n, 1, H / 2, W / 2)."""
    bands = [find_band(contract.bands, colour) - 1 for colour in COLOURS_AND_INFRARED]
    assert contract.value_scaling is not None
    scalings = [contract.value_scaling.of_bands(len(contract.bands))[band] for band in bands]
    slopes, starts = [1 / s.slope for s in scalings], [s.minimum - s.output_minimum / s.slope for s in scalings]
    path, through = standard_atmosphere(wavelengths_nm(tuple(contract.bands[band] for band in bands)))

    x = graph.node("Cast", ["pixels"], to=TensorProto.FLOAT)
    if bands != list(range(len(contract.bands))):
        x = graph.node("Gather", [x, _numbers(graph, "bands", bands)], axis=1)
    x = graph.node("AveragePool", [x], kernel_shape=[2, 2], strides=[2, 2])
    x = graph.node("Mul", [x, _by_band(graph, "slopes", slopes)])
    x = graph.node("Add", [x, _by_band(graph, "starts", starts)])
    spots = graph.node("AveragePool", [x], kernel_shape=[_SPOT_PX, _SPOT_PX], strides=[_SPOT_PX, _SPOT_PX])
    darkest = graph.node("ReduceMin", [spots], axes=[2, 3], keepdims=1)
    blue, infrared = (
        graph.node("Gather", [darkest, _numbers(graph, name, [band])], axis=1)
        for name, band in (("blue", 2), ("nir", 3))
    )
    one_air = path - (1 - through) * _DARK  # by which one atmosphere brightens the darkest spot
    by_blue = graph.node("Sub", [blue, _number(graph, "dark", _DARK)])
    by_blue = graph.node("Div", [by_blue, _number(graph, "one_blue", float(one_air[2]))])
    bluer = graph.node("Sub", [blue, infrared])
    bluer = graph.node("Div", [bluer, _number(graph, "one_bluer", float(one_air[2] - one_air[3]))])
    air = graph.node("Min", [by_blue, bluer])
    air = graph.node("Clip", [air, _number(graph, "none", 0.0), _number(graph, "most_air", _MOST_AIR)])
    added = graph.node("Mul", [air, _by_band(graph, "path", path.tolist())])
    lost = graph.node("Mul", [air, _by_band(graph, "lost", (1 - through).tolist())])
    passed = graph.node("Sub", [_number(graph, "all", 1.0), lost])
    surface = graph.node("Div", [graph.node("Sub", [x, added]), passed])
    visible = graph.node("Gather", [surface, _numbers(graph, "red_green", [0, 1])], axis=1)
    most_visible = graph.node("ReduceMax", [visible], axes=[1], keepdims=1)
    infrared, more = (
        graph.node("Gather", [bands, _numbers(graph, "nir", [3])], axis=1)
        for bands in (surface, graph.node("Sub", [x, darkest]))
    )
    leads = graph.node("Greater", [infrared, graph.node("Mul", [most_visible, _number(graph, "lead", LEAD)])])
    return graph.node("And", [leads, graph.node("Greater", [more, _number(graph, "brighter", BRIGHTER)])])


def _changed(graph: Graph, answers: str, plants: str, rule: WetlandRecipe, names: tuple[str, ...]) -> str:
    """Append the change of the logits `answers` (n, K, h, w); return its name.

    Where the rule holds, the new class gets the highest logit, and the classes of water are lower by 4 at least.
    """
    best = graph.node("ReduceMax", [answers], axes=[1], keepdims=1)
    codes = [names.index(name) for name in rule.water]
    waters = graph.node("Gather", [answers, _numbers(graph, "water", codes)], axis=1)
    most_of_water = graph.node("ReduceMax", [waters], axes=[1], keepdims=1)
    open_water = graph.node("Gather", [answers, _numbers(graph, "open", [names.index(rule.open_water)])], axis=1)
    is_open_water, is_water = (graph.node("GreaterOrEqual", [logit, best]) for logit in (open_water, most_of_water))
    near = _largest(graph, _smallest(graph, _both(graph, is_open_water, plants), CORE_PX), 2 * REACH_PX + 1)
    here = graph.node("Mul", [near, _both(graph, is_water, plants)])
    closed = _smallest(graph, _largest(graph, here, GAP_PX), GAP_PX)
    here = graph.node("Mul", [closed, graph.node("Cast", [is_water], to=TensorProto.FLOAT)])

    touched = [*codes, names.index(rule.becomes)]
    old = graph.node("Gather", [answers, _numbers(graph, "touched", touched)], axis=1)
    limit = graph.node("Add", [best, _by_band(graph, "lower", [-_BELOW] * len(codes))])
    lowered = graph.node("Min", [waters, limit])
    new = graph.node("Concat", [lowered, best], axis=1)
    change = graph.node("Mul", [here, graph.node("Sub", [new, old])])
    spread = torch.zeros(len(names), len(touched), 1, 1)
    spread[touched, range(len(touched))] = 1
    change = graph.node("Conv", [change, graph.constant(f"{_PREFIX}spread", spread)])
    return graph.node("Add", [answers, change])


def _both(graph: Graph, one: str, other: str) -> str:
    """Append where both hold: 1, else 0."""
    return graph.node("Cast", [graph.node("And", [one, other])], to=TensorProto.FLOAT)


def _largest(graph: Graph, x: str, side: int) -> str:
    """Append the largest number in the square around each pixel."""
    half = side // 2
    for high, wide in ((half, 0), (0, half)):  # first a column, then a row: far fewer comparisons
        kernel = [2 * high + 1, 2 * wide + 1]
        x = graph.node("MaxPool", [x], kernel_shape=kernel, pads=[high, wide, high, wide])
    return x


def _smallest(graph: Graph, x: str, side: int) -> str:
    """Append the smallest number, 0 or 1, in the square around each pixel."""
    one = _number(graph, "all", 1.0)
    return graph.node("Sub", [one, _largest(graph, graph.node("Sub", [one, x]), side)])


def _number(graph: Graph, name: str, value: float) -> str:
    return graph.constant(f"{_PREFIX}{name}", torch.tensor(float(value)))


def _numbers(graph: Graph, name: str, values: list[int]) -> str:
    return graph.constant(f"{_PREFIX}{name}", torch.tensor(values, dtype=torch.int64))


def _by_band(graph: Graph, name: str, values: list[float]) -> str:
    """Append one number for each channel, (1, C, 1, 1)."""
    return graph.constant(f"{_PREFIX}{name}", torch.tensor(values, dtype=torch.float32)[None, :, None, None])
