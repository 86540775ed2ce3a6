"""An ONNX file and its metadata, as bytes, without an ONNX library; see also :mod:`geokd.model.onnx_graph`.

It is one protobuf message, whose metadata are the repeated field 14; and protobuf messages may be concatenated
(https://protobuf.dev/programming-guides/encoding/), so that metadata can be added at the end.
"""

import hashlib
from collections.abc import Iterator, Mapping
from typing import TypeVar

_Message = TypeVar("_Message", bytes, memoryview)

MOST_BYTES = 2**31
"""A protobuf message cannot be longer."""

_METADATA_FIELD = 14  # ModelProto.metadata_props
_GRAPH_FIELD = 7  # ModelProto.graph
_MOST_NUMBER = 2**29 - 1
"""Largest field number. Other readers truncate a larger one to another field."""
_MOST_FIELDS = 2_000_000  # fields of one message; a file of nothing but small ones would take an hour to read


def with_metadata(graph: bytes, metadata: Mapping[str, str]) -> bytes:
    """Return an ONNX model without metadata as a file with these."""
    return graph + b"".join(_metadata_entry(key, value) for key, value in metadata.items())


def checksum(graph: bytes, metadata: Mapping[str, str]) -> str:
    """Return the hash, hexadecimal, of the file that :func:`with_metadata` makes."""
    return hashlib.sha256(with_metadata(graph, metadata)).hexdigest()


def split_metadata(content: bytes) -> tuple[bytes, dict[str, str]]:
    """Split an ONNX file into the model without metadata, and the metadata.

    Raises
    ------
    ValueError
        If the bytes are not a protobuf message with a graph.
    """
    metadata: dict[str, str] = {}
    kept = []
    has_graph = False
    for number, start, stop, payload in fields(content):
        if number == _METADATA_FIELD:
            entry = {n: p for n, _, _, p in fields(payload)}
            metadata[entry.get(1, b"").decode()] = entry.get(2, b"").decode()
        else:
            has_graph = has_graph or number == _GRAPH_FIELD
            kept.append(content[start:stop])
    if not has_graph:
        raise ValueError("it has no graph")
    return b"".join(kept), metadata


def read_metadata(content: memoryview) -> dict[str, str]:
    """Read the metadata of an ONNX file, skipping its graph.

    Raises
    ------
    ValueError
        If the bytes are not a protobuf message.
    """
    entries = [payload for number, _, _, payload in fields(content) if number == _METADATA_FIELD]
    pairs = [{n: bytes(p) for n, _, _, p in fields(entry)} for entry in entries]
    return {pair.get(1, b"").decode(): pair.get(2, b"").decode() for pair in pairs}


def _metadata_entry(key: str, value: str) -> bytes:
    """Encode one StringStringEntryProto as field 14 of a ModelProto."""
    entry = b"".join(
        varint(number << 3 | 2) + varint(len(text)) + text for number, text in ((1, key.encode()), (2, value.encode()))
    )
    return varint(_METADATA_FIELD << 3 | 2) + varint(len(entry)) + entry


def varint(number: int) -> bytes:
    """Encode a non-negative integer, 7 bits a byte, low ones first."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def fields(message: _Message) -> Iterator[tuple[int, int, int, _Message]]:
    """Walk a protobuf message: (field number, first byte, end byte, payload) of each field."""
    at = count = 0
    while at < len(message):
        start = at
        count += 1
        if count > _MOST_FIELDS:
            raise ValueError(f"it has more than {_MOST_FIELDS:,} fields")
        tag, at = read_varint(message, at)
        number, wire_type = tag >> 3, tag & 7
        if not 0 < number <= _MOST_NUMBER:
            raise ValueError(f"byte {start} starts no field")
        if wire_type == 0:
            _, stop = read_varint(message, at)
        elif wire_type == 2:
            length, at = read_varint(message, at)
            stop = at + length
        elif wire_type in (1, 5):
            stop = at + (8 if wire_type == 1 else 4)
        else:
            raise ValueError(f"byte {start} has the unknown wire type {wire_type}")
        if stop > len(message):
            raise ValueError(f"it ends inside the field that starts at byte {start}")
        yield number, start, stop, message[at:stop]
        at = stop


def read_varint(message: bytes | memoryview, at: int) -> tuple[int, int]:
    """Decode a number from :func:`varint`; returns the number, and the position after it."""
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
