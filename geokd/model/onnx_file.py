"""An ONNX file read, searched for what a student must not hold, and written: as bytes, without an ONNX library.

It is one protobuf message, whose metadata are the repeated field 14; and protobuf messages may be concatenated
(https://protobuf.dev/programming-guides/encoding/), so that metadata can be added at the end.
"""

from collections.abc import Iterator, Mapping
from typing import TypeVar

_Message = TypeVar("_Message", bytes, memoryview)

MOST_BYTES = 2**31
"""A protobuf message cannot be longer."""

_METADATA_FIELD = 14  # ModelProto.metadata_props
_GRAPH_FIELD = 7  # ModelProto.graph
# Where tensors may lie in an ONNX file: of each kind of message, the fields that lead on, by number (onnx.proto3).
_ON_THE_WAY = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "graph": {1: "node", 5: "tensor", 15: "sparse tensor"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse tensor", 23: "sparse tensor"},
    "sparse tensor": {1: "tensor", 2: "tensor"},
}
_ELSEWHERE_FIELDS = (13, 14)  # TensorProto.external_data, data_location
_OPERATOR_FIELD = 4  # NodeProto.op_type
_LOOPS = (b"Loop", b"Scan")


def with_metadata(graph: bytes, metadata: Mapping[str, str]) -> bytes:
    """Return an ONNX model without metadata as a file with these."""
    return graph + b"".join(_metadata_entry(key, value) for key, value in metadata.items())


def split_metadata(content: bytes) -> tuple[bytes, dict[str, str]]:
    """Part an ONNX file into the model without metadata, and the metadata.

    Raises
    ------
    ValueError
        If the bytes are not a protobuf message with a graph.
    """
    metadata: dict[str, str] = {}
    kept = []
    has_graph = False
    for number, start, stop, payload in _fields(content):
        if number == _METADATA_FIELD:
            entry = {n: p for n, _, _, p in _fields(payload)}
            metadata[entry.get(1, b"").decode()] = entry.get(2, b"").decode()
        else:
            has_graph = has_graph or number == _GRAPH_FIELD
            kept.append(content[start:stop])
    if not has_graph:
        raise ValueError("it has no graph")
    return b"".join(kept), metadata


def read_metadata(content: memoryview) -> dict[str, str]:
    """Read the metadata of an ONNX file, stepping over its graph.

    Raises
    ------
    ValueError
        If the bytes are not a protobuf message.
    """
    entries = [payload for number, _, _, payload in _fields(content) if number == _METADATA_FIELD]
    pairs = [{n: bytes(p) for n, _, _, p in _fields(entry)} for entry in entries]
    return {pair.get(1, b"").decode(): pair.get(2, b"").decode() for pair in pairs}


def unfitness(graph: bytes) -> str:
    """Say what in an ONNX model a student must not have: tensors kept in other files, or loops; empty if nothing.

    Raises
    ------
    ValueError
        If the bytes are no such model.
    """
    ahead: list[tuple[str, memoryview]] = [("model", memoryview(graph))]
    while ahead:
        kind, message = ahead.pop()
        for number, _, _, payload in _fields(message):
            if kind == "tensor" and number in _ELSEWHERE_FIELDS and any(payload):
                return "keeps weights in other files, which could be any of this machine"
            if kind == "node" and number == _OPERATOR_FIELD and payload in _LOOPS:
                return f"holds the operator {bytes(payload).decode()}, which may run without end"
            if number in _ON_THE_WAY.get(kind, {}):
                ahead.append((_ON_THE_WAY[kind][number], payload))
    return ""


def _metadata_entry(key: str, value: str) -> bytes:
    """Encode one StringStringEntryProto as field 14 of a ModelProto."""
    entry = b"".join(
        _varint(number << 3 | 2) + _varint(len(text)) + text
        for number, text in ((1, key.encode()), (2, value.encode()))
    )
    return _varint(_METADATA_FIELD << 3 | 2) + _varint(len(entry)) + entry


def _varint(number: int) -> bytes:
    """Encode a non-negative integer, 7 bits a byte, low ones first."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _fields(message: _Message) -> Iterator[tuple[int, int, int, _Message]]:
    """Walk a protobuf message: (field number, first byte, end byte, payload) of each field."""
    at = 0
    while at < len(message):
        start = at
        tag, at = _read_varint(message, at)
        number, wire_type = tag >> 3, tag & 7
        if number == 0:
            raise ValueError(f"byte {start} starts no field")
        if wire_type == 0:
            _, stop = _read_varint(message, at)
        elif wire_type == 2:
            length, at = _read_varint(message, at)
            stop = at + length
        elif wire_type in (1, 5):
            stop = at + (8 if wire_type == 1 else 4)
        else:
            raise ValueError(f"byte {start} has the unknown wire type {wire_type}")
        if stop > len(message):
            raise ValueError(f"it ends inside the field that starts at byte {start}")
        yield number, start, stop, message[at:stop]
        at = stop


def _read_varint(message: bytes | memoryview, at: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        if at >= len(message) or shift > 63:
            raise ValueError(f"byte {at} breaks off a number")
        byte = message[at]
        number |= (byte & 0x7F) << shift
        at += 1
        shift += 7
        if byte < 0x80:
            return number, at
