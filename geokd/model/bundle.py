"""The bundle: one `.onnx` file with a student and everything needed to use it correctly.

The graph takes uint8 (N, C, H, W), includes the normalisation, and yields float32 logits: (N, K) for a patch student,
one class per patch, or (N, K, h, w) for a dense student, one class per cell of a patch. Beside the graph, the file's
own metadata hold one JSON document under the key `geokd`: architecture, input contract, legend, calibration
temperature, statistics of the training data, hashes of the training chips, provenance, and a golden input with its
logits. A last key `geokd_sha256` holds the hash of all that, so that a damaged file is found. No pickle is read or
written.
"""

import base64
import hashlib
import json
import math
import zlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from geokd.errors import BundleError, one_message
from geokd.legend.classes import Legend
from geokd.model.about import AboutModel
from geokd.model.contract import InputContract
from geokd.model.familiarity import Familiarity
from geokd.model.onnx_file import MOST_BYTES, checksum, split_metadata, with_metadata
from geokd.model.onnx_graph import UnfitError, restated
from geokd.model.seen_chips import SeenChips
from geokd.system.documents import parse_json

SCHEMA_VERSION = 2
DEFAULT_MODEL = "eurosat-rgb-maps"
AUTO_MODEL = "auto"
"""In place of a model's name: choose the model that fits the scene."""

BUNDLES_FOLDER = Path(__file__).parents[1] / "bundles"

Precision = Literal["fp32", "int8"]

_GOLDEN_CELLS = 16  # along one side of a dense student's patch
_TEMPERATURES = (1e-3, 1e3)  # beyond, a softmax is 0 or 1, or overflows
_KEYS = {
    *("schema_version", "name", "architecture", "precision", "task"),
    *("input", "legend", "temperature", "familiarity", "provenance", "golden"),
}
_LATER_KEYS = {"seen_chips"}  # optional keys of this schema
_CHECKSUM = "geokd_sha256"


@dataclass(frozen=True, eq=False)
class Golden:
    """A reference input and the student's output for it where it was made.

    Parameters
    ----------
    pixels : uint8 array (N, C, H, W)
    logits : float32 array (N, K), or (N, K, h, w) of a dense student
        For a dense student only those of some cells, see :func:`golden_cells`.
    """

    pixels: NDArray[np.uint8]
    logits: NDArray[np.float32]

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object; pixels are zlib-compressed and base64-coded, logits plain numbers."""
        return {
            "shape": list(self.pixels.shape),
            "pixels_zlib_base64": base64.b64encode(zlib.compress(self.pixels.tobytes(), 9)).decode("ascii"),
            "logits": self.logits.tolist(),
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
        if logits.ndim not in (2, 4) or len(logits) != shape[0] or not np.isfinite(logits).all():
            raise ValueError(
                f"golden logits have the shape {logits.shape}, not ({shape[0]}, classes) or ({shape[0]}, classes, rows,"
                " cols), or are not finite"
            )
        return cls(np.frombuffer(unpacked, np.uint8).reshape(shape), logits)


def golden_cells(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Choose the logits that a bundle keeps: all of (N, K); of (N, K, h, w) those of 16 x 16 cells.

    A dense student has too many cells to keep them all.
    """
    if logits.ndim == 2:
        return logits
    step = max(1, logits.shape[-1] // _GOLDEN_CELLS)
    return logits[:, :, step // 2 :: step, step // 2 :: step]


@dataclass(frozen=True, eq=False)
class Bundle:
    """A student with its metadata.

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
        Statistics of its training data; None: scenes are not compared with them.
    seen_chips : SeenChips or None
        Chips that it, its teacher and the students they started from were trained on, as far as known; None if not
        recorded.
    sealed : bool
        Whether the file holds a checksum; bundles of geokd 0.1 do not.

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
    seen_chips: SeenChips | None = field(default=None, repr=False)
    sealed: bool = field(default=True, repr=False)

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
                f"golden input has the shape {self.golden.pixels.shape[1:]}, the contract requires {wanted}"
            )
        if self.golden.logits.shape[1] != len(self.legend):
            problems.append(
                f"golden logits are {self.golden.logits.shape[1]}, the legend has {len(self.legend)} classes"
            )
        if (self.golden.logits.ndim == 4) != self.contract.is_dense:
            problems.append(
                f"golden logits have the shape {self.golden.logits.shape}, but the contract is for a"
                f" {'dense' if self.contract.is_dense else 'patch'} student"
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
            "task": self.task,
            "input": self.contract.to_json(),
            "legend": self.legend.to_json(),
            "temperature": self.temperature,
            "familiarity": None if self.familiarity is None else self.familiarity.to_json(),
            "provenance": dict(self.provenance),
            "golden": self.golden.to_json(),
        }
        if self.seen_chips is not None:
            document["seen_chips"] = self.seen_chips.to_json()
        metadata = {
            "geokd": json.dumps(document, sort_keys=True, ensure_ascii=False, allow_nan=False),
            "class_names": json.dumps({str(c.value): c.title for c in self.legend}, ensure_ascii=False),
            "resolution": json.dumps(self.contract.ground_resolution_m * 100),  # cm per pixel, as in Deepness
            "tiles_size": json.dumps(self.contract.patch_px),
        }
        if self.sealed:
            metadata[_CHECKSUM] = checksum(self.graph, metadata)
        return with_metadata(self.graph, metadata)

    @cached_property
    def sha256(self) -> str:
        """Hash of the whole file, hexadecimal."""
        return hashlib.sha256(self.onnx_bytes).hexdigest()

    @property
    def task(self) -> str:
        """Task of the student, by the names of STAC's `mlm` extension."""
        return "semantic-segmentation" if self.contract.is_dense else "scene-classification"

    @property
    def rules(self) -> tuple[str, ...]:
        """Sentences on what its graph decides without having learned it, from its provenance."""
        rules = self.provenance.get("rules")
        return tuple(map(str, rules)) if isinstance(rules, list) else ()

    def describe(self) -> AboutModel:
        """Describe it."""
        return AboutModel(
            name=self.name,
            architecture=self.architecture,
            precision=self.precision,
            task=self.task,
            size_bytes=len(self.onnx_bytes),
            sha256=self.sha256,
            input=self.contract.to_json(),
            legend=self.legend.classes,
            temperature=self.temperature,
            seen_chips=None if self.seen_chips is None else len(self.seen_chips),
        )

    def with_graph(self, graph: bytes, precision: Precision, golden_logits: NDArray[np.float32]) -> "Bundle":
        """Return the same student in another precision."""
        return replace(self, graph=graph, precision=precision, golden=Golden(self.golden.pixels, golden_logits))


def shipped_models() -> list[str]:
    """Return the names of the bundles that ship with geokd, in alphabetical order."""
    return sorted(path.stem for path in BUNDLES_FOLDER.glob("*.onnx"))


def is_model(target: str | Path) -> bool:
    """Whether it names a model: a path that ends in `.onnx`, whatever the case, or the name of a shipped one."""
    if str(target).lower().endswith(".onnx"):
        return True
    try:
        return resolve_model(target) != Path(target)
    except BundleError:
        return False


def resolve_model(model: str | Path) -> Path:
    """Find a bundle by path, or by the name of a shipped one.

    Raises
    ------
    BundleError
        If neither the file nor the name exists.
    """
    path = Path(model)
    with suppress(OSError):  # of a name that is too long for the system
        if path.is_file():
            return path
        shipped = BUNDLES_FOLDER / f"{model}.onnx"
        if path.name == str(model) and shipped.is_file():
            return shipped
        if (path / "run.json").is_file():
            raise BundleError(f"{model} is the folder of a training run; make a model with geokd export {model}")
    names = ", ".join(shipped_models()) or "none"
    raise BundleError(f"no model {str(model)!r}: it is neither a file nor one of the bundles that ship ({names})")


def load_bundle(model: str | Path) -> Bundle:
    """Read a bundle, by path or by the name of a shipped one.

    Raises
    ------
    BundleError
        If the file is missing, damaged, is not an ONNX file, has no geokd metadata, keeps weights in other files, may
        run endlessly, or is inconsistent. Whether the graph runs is checked by :func:`geokd.verify`.
    """
    path = resolve_model(model)
    try:
        size = path.stat().st_size
        if size > MOST_BYTES:
            raise BundleError(f"{path} is not an ONNX file: it has {size:,} bytes, at most {MOST_BYTES:,} are possible")
        content = path.read_bytes()
    except OSError as error:
        raise BundleError(f"cannot read the model {path}: {error.strerror}") from error
    try:
        graph, metadata = split_metadata(content)
    except ValueError as error:
        raise BundleError(f"{path} is not an ONNX file: {error}") from error
    if "geokd" not in metadata:
        raise BundleError(
            f"{path} is an ONNX file but not a geokd bundle: it has no 'geokd' metadata; make one with geokd export"
        )
    try:
        known = metadata.pop(_CHECKSUM, None)
        bundle = replace(_from_json(graph, parse_json(metadata["geokd"])), sealed=known is not None)
        _ = bundle.sha256  # values that cannot be written again, such as NaN or a lone surrogate, are refused here
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError, zlib.error) as error:
        raise BundleError(f"the bundle {path} is broken: {error}") from error
    try:
        restated(graph)
    except UnfitError as error:
        raise BundleError(f"{path} {error}; make a bundle with geokd export") from error
    except ValueError as error:
        raise BundleError(f"the network in {path} cannot be read: {error}; export it again") from error
    if known is not None and known != checksum(graph, metadata):
        raise BundleError(f"{path} is damaged: its content does not match its checksum; copy or export it again")
    return bundle


def _from_json(graph: bytes, document: Any) -> Bundle:
    """Rebuild a bundle from :attr:`Bundle.onnx_bytes`; raises ValueError or the like if it is invalid."""
    if not isinstance(document, dict) or document.get("schema_version") != SCHEMA_VERSION:
        raise ValueError(f"its schema_version is not {SCHEMA_VERSION}; export it again with this version of geokd")
    strange = (set(document) - _LATER_KEYS) ^ _KEYS
    if strange:
        raise ValueError(one_message([f"key {key!r} missing or unknown" for key in sorted(strange)]))
    known, seen = document["familiarity"], document.get("seen_chips")
    return Bundle(
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
        seen_chips=None if seen is None else SeenChips.from_json(seen),
    )
