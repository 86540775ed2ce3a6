"""The bundle: one `.onnx` file that holds a student and everything needed to use it rightly.

The graph takes uint8 (N, C, H, W), normalises for itself, and yields float32 logits (N, K). Beside the graph, the
file's own metadata hold one JSON document under the key `geokd`: architecture, input contract, legend, calibration
temperature, provenance, and a golden input with its logits. No pickle is read or written.

Metadata are read and written here without an ONNX library: an ONNX file is one protobuf message, its metadata are the
repeated field 14, and protobuf messages may be concatenated (https://protobuf.dev/programming-guides/encoding/).
"""

import base64
import hashlib
import json
import math
import zlib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from geokd.errors import BundleError, one_message
from geokd.familiarity import Familiarity
from geokd.legend import Legend

SCHEMA_VERSION = 2
DEFAULT_MODEL = "eurosat-rgb"
BUNDLES_FOLDER = Path(__file__).with_name("bundles")

B = TypeVar("B", bytes, memoryview)
Precision = Literal["fp32", "int8"]

_TEMPERATURES = (1e-3, 1e3)  # beyond, a softmax is all or nothing, or overflows
_MOST_BYTES = 2**31  # a protobuf message cannot be longer

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
_KEYS = {
    *("schema_version", "name", "architecture", "precision", "task"),
    *("input", "legend", "temperature", "familiarity", "provenance", "golden"),
}


@dataclass(frozen=True)
class ValueScaling:
    """A linear stretch of reflectance x 10,000 to bytes, rounded to nearest and clipped to 0..255.

    The defaults are those EuroSAT's RGB chips were made with: `gdal_translate -scale 0 2750 1 255`.

    Raises
    ------
    ValueError
        If a bound is not finite or the input range is empty.
    """

    minimum: float = 0.0
    maximum: float = 2750.0
    output_minimum: float = 1.0
    output_maximum: float = 255.0

    def __post_init__(self) -> None:
        if not all(math.isfinite(v) for v in (self.minimum, self.maximum, self.output_minimum, self.output_maximum)):
            raise ValueError(f"value scaling {self} has a bound that is not finite")
        if not self.minimum < self.maximum:
            raise ValueError(f"value scaling from {self.minimum} to {self.maximum} is an empty range")
        if not 0 <= self.output_minimum < self.output_maximum <= 255:
            raise ValueError(f"value scaling to {self.output_minimum}..{self.output_maximum} is not within 0..255")


@dataclass(frozen=True)
class InputContract:
    """What a student must be given.

    Parameters
    ----------
    bands : tuple of str
        Band names in the order of the channels, as STAC and Sentinel-2 have them ("B04", "red", ...).
    patch_px : int
        Side of a patch in pixels.
    ground_resolution_m : float
        Ground size of a pixel in metres.
    value_scaling : ValueScaling or None
        How reflectance becomes bytes; None for a student of 8-bit images, which takes nothing else.

    Raises
    ------
    ValueError
        If a field is out of its range.
    """

    bands: tuple[str, ...]
    patch_px: int
    ground_resolution_m: float
    value_scaling: ValueScaling | None = None

    def __post_init__(self) -> None:
        named = all(isinstance(band, str) and band.isprintable() and band for band in self.bands)
        if not self.bands or not named or len(set(self.bands)) != len(self.bands):
            raise ValueError(f"bands {self.bands} must be named and distinct")
        if type(self.patch_px) is not int or not 8 <= self.patch_px <= 4096:
            raise ValueError(f"patch_px {self.patch_px!r} is no whole number of 8..4096")
        size_m = self.ground_resolution_m
        if isinstance(size_m, bool) or not (math.isfinite(size_m) and size_m > 0):
            raise ValueError(f"ground_resolution_m {size_m} must be positive")

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object with the field names of the STAC `mlm` extension."""
        scaling = None if self.value_scaling is None else {"type": "min-max", **asdict(self.value_scaling)}
        return {
            "bands": list(self.bands),
            "patch_px": self.patch_px,
            "ground_resolution_m": self.ground_resolution_m,
            "value_scaling": scaling,
            "resize_type": None,
            "data_type": "uint8",
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """Read what :meth:`to_json` returns.

        Raises
        ------
        ValueError
            If a key is missing or unknown, or a value unusable.
        """
        expected = {"bands", "patch_px", "ground_resolution_m", "value_scaling", "resize_type", "data_type"}
        if set(document) != expected:
            raise ValueError(f"the input contract has the keys {sorted(document)}, not {sorted(expected)}")
        if document["data_type"] != "uint8" or document["resize_type"] is not None:
            raise ValueError("the input contract must have data_type uint8 and no resize_type")
        if not isinstance(document["bands"], list):
            raise ValueError(f"bands {document['bands']!r} must be a list")
        scaling = document["value_scaling"]
        if scaling is not None:
            scaling = dict(scaling)
            if scaling.pop("type", None) != "min-max":
                raise ValueError("value_scaling must be of type min-max")
            scaling = ValueScaling(**scaling)
        return cls(tuple(document["bands"]), document["patch_px"], document["ground_resolution_m"], scaling)


@dataclass(frozen=True, eq=False)
class Golden:
    """A reference input and what the student answered where it was made.

    Parameters
    ----------
    pixels : uint8 array (N, C, H, W)
    logits : float32 array (N, K)
    """

    pixels: NDArray[np.uint8]
    logits: NDArray[np.float32]

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object; pixels are zlib-compressed and base64-coded, logits plain numbers."""
        return {
            "shape": list(self.pixels.shape),
            "pixels_zlib_base64": base64.b64encode(zlib.compress(self.pixels.tobytes(), 9)).decode("ascii"),
            "logits": [[float(v) for v in row] for row in self.logits],
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """Read what :meth:`to_json` returns.

        Raises
        ------
        ValueError, KeyError, TypeError, zlib.error
            If the document is not such a one.
        """
        shape = tuple(int(n) for n in document["shape"])
        if len(shape) != 4 or not all(0 < n <= 4096 for n in shape) or math.prod(shape) > 2**26:
            raise ValueError(f"golden input has the shape {shape}")
        size = math.prod(shape)
        unpacked = zlib.decompressobj().decompress(base64.b64decode(document["pixels_zlib_base64"]), size + 1)
        if len(unpacked) != size:
            raise ValueError(f"golden input holds {len(unpacked)} bytes, its shape {shape} needs {size}")
        logits = np.asarray(document["logits"], np.float32)
        if logits.ndim != 2 or len(logits) != shape[0] or not np.isfinite(logits).all():
            raise ValueError(
                f"golden logits have the shape {logits.shape}, not ({shape[0]}, classes), or are not finite"
            )
        return cls(np.frombuffer(unpacked, np.uint8).reshape(shape), logits)


@dataclass(frozen=True, eq=False)
class Bundle:
    """A student with all that is known about it.

    Parameters
    ----------
    graph : bytes
        The ONNX model, without geokd's metadata.
    name, architecture : str
    precision : {"fp32", "int8"}
    contract : InputContract
    legend : Legend
    temperature : float
        Logits are divided by it before the softmax (Guo et al. 2017, arXiv 1706.04599).
    provenance : mapping
        Recipe and its hash, data fingerprint, library versions, metrics with intervals, date.
    golden : Golden
    familiarity : Familiarity or None
        What the student has seen; None leaves scenes unchecked.

    Raises
    ------
    ValueError
        If the parts contradict each other.
    """

    graph: bytes = field(repr=False)
    name: str
    architecture: str
    precision: Precision
    contract: InputContract
    legend: Legend
    temperature: float
    provenance: Mapping[str, Any]
    golden: Golden = field(repr=False)
    familiarity: Familiarity | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        problems = []
        if self.precision not in ("fp32", "int8"):
            problems.append(f"precision {self.precision!r} is neither fp32 nor int8")
        if not (self.name.isprintable() and self.architecture.isprintable()):
            problems.append(f"name {self.name!a} or architecture {self.architecture!a} holds control characters")
        low, high = _TEMPERATURES
        if not (math.isfinite(self.temperature) and self.temperature > 0):
            problems.append(f"temperature {self.temperature} is not positive")
        elif not low <= self.temperature <= high:
            problems.append(f"temperature {self.temperature:g} is outside {low:g}..{high:g}")
        wanted = (len(self.contract.bands), self.contract.patch_px, self.contract.patch_px)
        if self.golden.pixels.shape[1:] != wanted:
            problems.append(
                f"golden input has the shape {self.golden.pixels.shape[1:]}, the contract asks for {wanted}"
            )
        if self.golden.logits.shape[1] != len(self.legend):
            problems.append(
                f"golden logits are {self.golden.logits.shape[1]}, the legend has {len(self.legend)} classes"
            )
        if self.familiarity is not None and self.familiarity.bands != len(self.contract.bands):
            problems.append(f"its statistics are of {self.familiarity.bands} bands, not of {len(self.contract.bands)}")
        if problems:
            raise ValueError("; ".join(problems))

    @cached_property
    def onnx_bytes(self) -> bytes:
        """The whole file: the graph followed by the metadata, the keys of the Deepness QGIS plugin among them."""
        document = {
            "schema_version": SCHEMA_VERSION,
            "name": self.name,
            "architecture": self.architecture,
            "precision": self.precision,
            "task": "scene-classification",
            "input": self.contract.to_json(),
            "legend": self.legend.to_json(),
            "temperature": self.temperature,
            "familiarity": None if self.familiarity is None else self.familiarity.to_json(),
            "provenance": dict(self.provenance),
            "golden": self.golden.to_json(),
        }
        metadata = {
            "geokd": json.dumps(document, sort_keys=True, ensure_ascii=False, allow_nan=False),
            "class_names": json.dumps({str(c.value): c.title for c in self.legend}, ensure_ascii=False),
            "resolution": json.dumps(self.contract.ground_resolution_m * 100),  # cm per pixel, as Deepness has it
            "tiles_size": json.dumps(self.contract.patch_px),
        }
        return self.graph + b"".join(_metadata_entry(key, value) for key, value in metadata.items())

    @cached_property
    def sha256(self) -> str:
        """Hash of the whole file, hexadecimal."""
        return hashlib.sha256(self.onnx_bytes).hexdigest()

    def describe(self) -> dict[str, Any]:
        """Return what a person asks of a model, as a JSON object without the golden arrays."""
        return {
            "name": self.name,
            "architecture": self.architecture,
            "precision": self.precision,
            "size_bytes": len(self.onnx_bytes),
            "sha256": self.sha256,
            "input": self.contract.to_json(),
            "legend": self.legend.to_json(),
            "temperature": self.temperature,
            "provenance": dict(self.provenance),
        }

    def with_graph(self, graph: bytes, precision: Precision, golden_logits: NDArray[np.float32]) -> "Bundle":
        """Return the same student in another precision."""
        return replace(self, graph=graph, precision=precision, golden=Golden(self.golden.pixels, golden_logits))


def shipped_models() -> list[str]:
    """Return the names of the bundles that ship with geokd, in alphabetical order."""
    return sorted(path.stem for path in BUNDLES_FOLDER.glob("*.onnx"))


def resolve_model(model: str | Path) -> Path:
    """Find a bundle by path, or by the name of one that ships with geokd.

    Raises
    ------
    BundleError
        If there is neither such a file nor such a name.
    """
    path = Path(model)
    with suppress(OSError):  # of a name that is too long for the system
        if path.is_file():
            return path
        shipped = BUNDLES_FOLDER / f"{model}.onnx"
        if path.name == str(model) and shipped.is_file():
            return shipped
    names = ", ".join(shipped_models()) or "none"
    raise BundleError(f"no model {str(model)!r}: it is neither a file nor one of the bundles that ship ({names})")


def load_bundle(model: str | Path) -> Bundle:
    """Read a bundle, by path or by the name of one that ships.

    Raises
    ------
    BundleError
        If the file is missing, no ONNX file, has no geokd metadata, keeps weights in other files, may run without
        end, or contradicts itself. Whether the graph itself runs is :func:`geokd.verify`'s business.
    """
    path = resolve_model(model)
    try:
        size = path.stat().st_size
        if size > _MOST_BYTES:
            raise BundleError(f"{path} is not an ONNX file: it has {size:,} bytes, these have {_MOST_BYTES:,} at most")
        content = path.read_bytes()
    except OSError as error:
        raise BundleError(f"cannot read the model {path}: {error.strerror}") from error
    try:
        graph, metadata = _split(content)
        unfit = _unfit(graph)
    except ValueError as error:
        raise BundleError(f"{path} is not an ONNX file: {error}") from error
    if unfit:
        raise BundleError(f"{path} {unfit}; make a bundle by geokd export")
    if "geokd" not in metadata:
        raise BundleError(
            f"{path} is an ONNX file but no geokd bundle: it has no 'geokd' metadata; make one by geokd export"
        )
    try:
        document = json.loads(metadata["geokd"])
        if not isinstance(document, dict) or document.get("schema_version") != SCHEMA_VERSION:
            raise ValueError(f"its schema_version is not {SCHEMA_VERSION}; export it again with this version of geokd")
        if set(document) != _KEYS:
            raise ValueError(one_message([f"key {key!r} missing or unknown" for key in sorted(set(document) ^ _KEYS)]))
        known = document["familiarity"]
        bundle = Bundle(
            graph=graph,
            name=str(document["name"]),
            architecture=str(document["architecture"]),
            precision=document["precision"],
            contract=InputContract.from_json(document["input"]),
            legend=Legend.from_json(document["legend"]),
            temperature=float(document["temperature"]),
            provenance=dict(document["provenance"]),
            golden=Golden.from_json(document["golden"]),
            familiarity=None if known is None else Familiarity.from_json(known),
        )
        _ = bundle.sha256  # what cannot be written again, such as NaN or half a letter, is refused here
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError, zlib.error) as error:
        raise BundleError(f"the bundle {path} is broken: {error}") from error
    return bundle


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


def _split(content: bytes) -> tuple[bytes, dict[str, str]]:
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


def _unfit(graph: bytes) -> str:
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


def _fields(message: B) -> Iterator[tuple[int, int, int, B]]:
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
