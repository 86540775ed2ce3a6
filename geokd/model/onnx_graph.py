"""An ONNX model parsed and rewritten, so that only what was checked is run.

Two readers may interpret the same bytes differently. So ONNX Runtime never gets the original model, but a rewritten one
with the fields that this module understands and a student needs, in a fixed order. Other fields are dropped if they do
not affect a run, and refused if they do.
"""

from collections.abc import Mapping
from typing import NamedTuple

from geokd.model.onnx_file import fields, read_varint, varint


class UnfitError(ValueError):
    """A model has parts that a student must not have; the message continues the model's name."""


class _Field(NamedTuple):
    """A field that a message may have: its wire type, its content, and whether it may be repeated."""

    wire: int
    kind: str = ""
    many: bool = False


_NUMBER, _TEXT, _FLOAT = _Field(0), _Field(2), _Field(5)
_TEXTS = _Field(2, many=True)
_NUMBERS = _Field(0, "packed", many=True)
_FLOATS, _DOUBLES = _Field(5, "packed", many=True), _Field(1, "packed", many=True)


def _one(kind: str) -> _Field:
    return _Field(2, kind)


def _several(kind: str) -> _Field:
    return _Field(2, kind, many=True)


# Of onnx.proto3 (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto3), by message and number.
_KEPT: Mapping[str, Mapping[int, _Field]] = {
    "model": {1: _NUMBER, 7: _one("graph"), 8: _several("operator set")},
    "operator set": {1: _TEXT, 2: _NUMBER},
    "graph": {1: _several("node"), 2: _TEXT, 5: _several("tensor"), 11: _several("value"), 12: _several("value")},
    "node": {1: _TEXTS, 2: _TEXTS, 3: _TEXT, 4: _TEXT, 5: _several("attribute"), 7: _TEXT},
    "attribute": {
        1: _TEXT,
        2: _FLOAT,
        3: _NUMBER,
        4: _TEXT,
        5: _one("tensor"),
        7: _FLOATS,
        8: _NUMBERS,
        9: _TEXTS,
        20: _NUMBER,
    },
    "tensor": {
        1: _NUMBERS,
        2: _NUMBER,
        4: _FLOATS,
        5: _NUMBERS,
        6: _TEXTS,
        7: _NUMBERS,
        8: _TEXT,
        9: _TEXT,
        10: _DOUBLES,
        11: _NUMBERS,
    },
    "value": {1: _TEXT, 2: _one("type")},
    "type": {1: _one("tensor type")},
    "tensor type": {1: _NUMBER, 2: _one("shape")},
    "shape": {1: _several("length")},
    "length": {1: _NUMBER, 2: _TEXT},
}
_MEANS_NOTHING: Mapping[str, tuple[int, ...]] = {  # producers, comments, and shapes, which are inferred again
    "model": (2, 3, 4, 5, 6, 14, 26),
    "graph": (10, 13, 14, 16),
    "node": (6, 9, 10),
    "attribute": (13,),
    "tensor": (12, 16),
    "value": (3, 4),
    "type": (6,),
    "length": (3,),
}
_ELSEWHERE = "keeps weights in other files, which could be any file of this machine"
_FUNCTION = "has functions, which may call each other endlessly"
_GRAPHS = "has an operator with a subgraph, such as Loop or If, which may run endlessly"
_REFUSED: Mapping[tuple[str, int], str] = {
    ("model", 20): "has instructions for training",
    ("model", 25): _FUNCTION,
    ("graph", 15): "has sparse weights, which can be of any size",
    ("node", 8): _FUNCTION,
    ("attribute", 6): _GRAPHS,
    ("attribute", 11): _GRAPHS,
    ("attribute", 21): _FUNCTION,
}
_DOMAINS = (b"", b"ai.onnx", b"com.microsoft")
_LOOPS = (b"Loop", b"Scan")
_PLACE_FIELDS = (13, 14)  # TensorProto.external_data, data_location
_MOST_NODES, _MOST_FIELDS = 100_000, 2_000_000


def restated(graph: bytes) -> bytes:
    """Return an ONNX model rewritten from its checked parts, to be run in place of the original.

    Parameters
    ----------
    graph : bytes
        A model without metadata.

    Raises
    ------
    UnfitError
        If it has parts that a student must not have: loops, conditions, functions, tensors in other files, or operators
        that are not part of ONNX Runtime.
    ValueError
        If it is not an ONNX model.
    """
    return _Restatement().message("model", memoryview(graph))


class _Restatement:
    """One pass over a model; it counts fields, so that a file of many small ones is not read for an hour."""

    def __init__(self) -> None:
        self._fields = 0

    def message(self, kind: str, message: memoryview) -> bytes:
        """Return a message of this kind, rewritten."""
        parts: dict[int, list[bytes]] = {}
        for number, start, _, payload in fields(message):
            self._fields += 1
            if self._fields > _MOST_FIELDS:
                raise UnfitError(f"has more than {_MOST_FIELDS:,} fields; a student has some thousands")
            if (kind, number) in _REFUSED:
                raise UnfitError(_REFUSED[kind, number])
            if kind == "tensor" and number in _PLACE_FIELDS:
                if any(payload):
                    raise UnfitError(_ELSEWHERE)
            elif number not in _MEANS_NOTHING.get(kind, ()):
                if parts.get(number) and not _KEPT[kind].get(number, _TEXT).many:
                    raise ValueError(f"it has the field {number} twice in a {kind}")
                wire = read_varint(message, start)[0] & 7
                parts.setdefault(number, []).append(self._entry(kind, number, wire, payload))
        _check(kind, parts)
        return b"".join(entry for number in sorted(parts) for entry in parts[number])

    def _entry(self, kind: str, number: int, wire: int, payload: memoryview) -> bytes:
        field = _KEPT[kind].get(number)
        packed = field is not None and field.kind == "packed" and wire == 2
        if field is None or (wire != field.wire and not packed):
            raise ValueError(f"it has the unknown field {number} in a {kind}")
        tag = varint(number << 3 | wire)
        if wire == 0:
            return tag + varint(read_varint(payload, 0)[0] & (2**64 - 1))
        if wire != 2:
            return tag + bytes(payload)
        content = bytes(payload) if field.kind in ("", "packed") else self.message(field.kind, payload)
        return tag + varint(len(content)) + content


def _check(kind: str, parts: Mapping[int, list[bytes]]) -> None:
    """Refuse operators that a student must not have."""
    if kind == "graph" and len(parts.get(1, ())) > _MOST_NODES:
        raise UnfitError(f"holds {len(parts[1]):,} operators; a student has at most {_MOST_NODES:,}")
    if kind != "node":
        return
    operator, domain = (_text(parts.get(number, [])) for number in (4, 7))
    if operator in _LOOPS:
        raise UnfitError(f"holds the operator {operator.decode()}, which may run endlessly")
    if domain not in _DOMAINS:
        raise UnfitError(f"holds operators of {domain.decode(errors='replace')!a}, which ONNX Runtime does not have")


def _text(entries: list[bytes]) -> bytes:
    """Return the text of a field, or none."""
    if not entries:
        return b""
    (_, _, _, text), *_ = fields(entries[0])
    return text
