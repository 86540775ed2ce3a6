"""A bundle with a user's own class names, colours and merged classes."""

from dataclasses import dataclass, replace
from pathlib import Path

from geokd.errors import CallError
from geokd.files import write_bytes
from geokd.legend.file import read_legend_file
from geokd.legend.regrouping import NewClass, Regrouping, regroup
from geokd.model.bundle import Bundle, Golden, golden_cells, load_bundle, resolve_model
from geokd.system.commit import check_outputs, staged
from geokd.system.documents import Record


@dataclass(frozen=True, kw_only=True)
class ModelId(Record):
    """Name and SHA-256 of a bundle."""

    name: str
    sha256: str


@dataclass(frozen=True, kw_only=True)
class StyledModel(Record):
    """A restyled bundle: its path, name and SHA-256, the bundle that it was made from, its classes."""

    output: str
    name: str
    sha256: str
    derived_from: ModelId
    classes: tuple[NewClass, ...]


def style_model(legend: str | Path, model: str | Path, output: str | Path, *, overwrite: bool = False) -> StyledModel:
    """Write a bundle with other class names and colours, and with merged classes.

    The probability of a merged class is the sum of those of its old classes: the graph gets a few nodes at its end,
    which needs the package onnx. If no classes are merged, graph and codes do not change. Metrics in the provenance
    refer to the old classes, so a bundle with merged ones keeps them only under `derived_from`.

    Parameters
    ----------
    legend : path
        A legend file as for :func:`geokd.legend.file.read_legend_file`.
    model : path
        A bundle, or the name of a shipped one.
    output : path
        Bundle to write, `<name>.onnx`; the file's name becomes the model's.
    overwrite : bool
        Whether a file that exists is replaced.

    Returns
    -------
    StyledModel

    Raises
    ------
    CallError
        If the legend cannot be used, or the output may not be written.
    BundleError
        If the model is missing or broken.
    OutputError
        If the output cannot be written.
    """
    path, source = Path(output), resolve_model(model)
    if path.suffix != ".onnx":
        raise CallError(f"the model {path} must be named <name>.onnx, such as {path.with_suffix('.onnx').name}")
    if path.resolve() == Path(source).resolve():
        raise CallError(f"the output {path} is the model itself; give it another name")
    check_outputs(path.parent, [path.name], overwrite=overwrite)
    bundle = load_bundle(source)
    regrouping = regroup(bundle.legend, read_legend_file(legend), str(legend))
    made = replace(_restyled(bundle, regrouping, path.stem), sealed=True)
    with staged(path.parent, [path.name], overwrite=overwrite) as folder:
        write_bytes(folder / path.name, made.onnx_bytes)
    return StyledModel(
        output=str(path),
        name=made.name,
        sha256=made.sha256,
        derived_from=ModelId(name=bundle.name, sha256=bundle.sha256),
        classes=regrouping.made_of(bundle.legend),
    )


def _restyled(bundle: Bundle, regrouping: Regrouping, name: str) -> Bundle:
    classes = [c.to_json() for c in regrouping.made_of(bundle.legend)]
    origin = {"name": bundle.name, "sha256": bundle.sha256, "classes": classes}
    if not regrouping.merges:
        provenance = {**bundle.provenance, "derived_from": origin}
        return replace(bundle, name=name, legend=regrouping.legend, provenance=provenance)
    from geokd.training.onnx_graph import merge_logits  # these need onnx
    from geokd.training.quantisation import run_graph

    graph = merge_logits(bundle.graph, regrouping.groups, bundle.temperature)
    rules = {"rules": [f"before classes were merged: {rule}" for rule in bundle.rules]} if bundle.rules else {}
    return replace(
        bundle,
        graph=graph,
        name=name,
        legend=regrouping.legend,
        provenance={"derived_from": origin | {"provenance": dict(bundle.provenance)}} | rules,
        golden=Golden(bundle.golden.pixels, golden_cells(run_graph(graph, bundle.golden.pixels))),
    )
