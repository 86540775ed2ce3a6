"""Running a student: the only module that uses ONNX Runtime.

A session uses one thread; work is parallel over blocks instead. ONNX Runtime releases the GIL while it computes, and
several threads may use one session at once.
"""

import json
import re
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from geokd.errors import BundleError, one_message
from geokd.model.bundle import Bundle, load_bundle
from geokd.model.memory import bounded_growth, fair_share_bytes, give_back_freed
from geokd.model.onnx_graph import restated
from geokd.model.trial import try_out
from geokd.model.workload import Layer

BATCH_PATCHES = 32
"""Patches that a patch student runs at once, always this many: other batch sizes may be rounded differently."""

DENSE_BATCH_PATCHES = 1
"""Patches that a dense student runs at once: it has K numbers for each cell, and larger batches exceed the caches."""

_SEVERITY_FATAL = 4  # errors are raised as exceptions anyway
_MOST_OPENED = 4


@dataclass(frozen=True, eq=False)
class Student:
    """A student that is ready to run; made by :func:`open_student`.

    Parameters
    ----------
    bundle : Bundle
    session : onnxruntime.InferenceSession
    """

    bundle: Bundle
    session: onnxruntime.InferenceSession = field(repr=False)

    @property
    def batch_patches(self) -> int:
        """Patches that are run at once; the number is constant."""
        return DENSE_BATCH_PATCHES if self.bundle.contract.is_dense else BATCH_PATCHES

    @property
    def answer_shape(self) -> tuple[int, ...]:
        """Shape of the answer for one patch: (K,) for a patch student, (K, rows, cols) for a dense one."""
        return (len(self.bundle.legend), *self.bundle.contract.answer_shape)

    @property
    def blank_batch(self) -> dict[str, NDArray[np.uint8]]:
        """Black patches, as input for the session."""
        shape = self.batch_patches, *self.bundle.golden.pixels.shape[1:]
        return {self.session.get_inputs()[0].name: np.zeros(shape, np.uint8)}

    def logits(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Run the network. The answer for a patch does not depend on the patches beside it, bit for bit.

        Parameters
        ----------
        pixels : uint8 array (N, C, patch_px, patch_px)

        Returns
        -------
        float32 array (N, K), or (N, K, rows, cols) of a dense student

        Raises
        ------
        BundleError
            If ONNX Runtime cannot run these pixels, or the answers are not finite, or not one per class.
        """
        logits = np.empty((len(pixels), *self.answer_shape), np.float32)
        start = 0
        for answer in self.answers(pixels):
            logits[start : start + len(answer)] = answer
            start += len(answer)
        return logits

    def answers(self, pixels: NDArray[np.uint8]) -> Iterator[NDArray[np.float32]]:
        """Yield what :meth:`logits` returns, batch after batch of at most `batch_patches` patches.

        Raises
        ------
        BundleError
            As for :meth:`logits`.
        """
        name, size = self.session.get_inputs()[0].name, self.batch_patches
        for start in range(0, len(pixels), size):
            batch = pixels[start : start + size]
            count = len(batch)
            if count < size:
                batch = np.concatenate([batch, np.zeros((size - count, *batch.shape[1:]), np.uint8)])
            with told_in_a_sentence(f"run the model {self.bundle.name}"):
                (answer,) = self.session.run(None, {name: np.ascontiguousarray(batch)})
            if answer.shape != (size, *self.answer_shape) or not _is_finite(answer[:count]):
                raise BundleError(
                    f"the model {self.bundle.name} answers {size} patches with {answer.shape} numbers, some perhaps not"
                    f" finite, but contract and legend require {(size, *self.answer_shape)} finite ones; use another"
                    " model"
                )
            yield answer[:count]

    def probabilities(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Run a patch student and calibrate its answers: float32 (N, K), rows sum to 1. See :meth:`logits`."""
        return softmax(self.logits(pixels), self.bundle.temperature)


_opened: dict[tuple[Path, str], Student] = {}  # by file and hash, the most recent last


def open_student(path: Path, sha256: str) -> Student:
    """Open a bundle for running, once per process; one that :func:`open_bundle` opened is open already.

    Parameters
    ----------
    path : Path
    sha256 : str
        Hash of the bundle, hexadecimal.

    Raises
    ------
    BundleError
        If the file is missing, broken or has changed, or :func:`make_student` refuses it.
    """
    student = _opened.get((path, sha256))
    if student is None:
        bundle = load_bundle(path)
        if bundle.sha256 != sha256:
            raise BundleError(f"the model {path} was changed while it was in use; start again")
        student = _kept_open(path, bundle, trial=False)  # a trial was run when the bundle was first opened
    return student


def open_bundle(path: Path) -> Student:
    """Read the current bundle and open it for running; the most recent few stay open.

    Raises
    ------
    BundleError
        If the file is missing or broken, or :func:`make_student` refuses it.
    """
    bundle = load_bundle(path)
    return _opened.get((path, bundle.sha256)) or _kept_open(path, bundle, trial=True)


def _kept_open(path: Path, bundle: Bundle, *, trial: bool) -> Student:
    student = _opened[path, bundle.sha256] = make_student(bundle, trial=trial)
    for oldest in list(_opened)[:-_MOST_OPENED]:
        _opened.pop(oldest, None)
    return student


def let_students_rest() -> None:
    """Release the working memory of the open students; it is allocated again at the next run."""
    options = onnxruntime.RunOptions()
    options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
    for student in list(_opened.values()):
        with told_in_a_sentence(f"run the model {student.bundle.name}"):
            student.session.run(None, student.blank_batch, options)
    give_back_freed()


def session_of(graph: bytes, options: onnxruntime.SessionOptions) -> onnxruntime.InferenceSession:
    """Make a session of a model as rewritten by :func:`geokd.model.onnx_graph.restated`.

    Raises
    ------
    ValueError
        If the model cannot be rewritten.
    """
    options.add_session_config_entry("session.load_model_format", "ONNX")
    return onnxruntime.InferenceSession(restated(graph), options, providers=["CPUExecutionProvider"])


def make_student(bundle: Bundle, *, trial: bool = True) -> Student:
    """Make a session of a bundle and check that the network agrees with the bundle.

    With `trial`, a model that does not ship with geokd is first run in a separate process.

    Raises
    ------
    BundleError
        If ONNX Runtime cannot load or run the graph, or not within half of the available memory and a time limit, or
        its input or output does not agree with contract and legend.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = _SEVERITY_FATAL
    if not sums_bytes_exactly():
        options.add_session_config_entry("session.x64quantprecision", "1")
    if trial:
        try_out(bundle, DENSE_BATCH_PATCHES if bundle.contract.is_dense else BATCH_PATCHES)
    most = fair_share_bytes()
    with told_in_a_sentence(f"load the model {bundle.name}", most), bounded_growth(most):
        session = session_of(bundle.graph, options)
    problems = _signature_problems(bundle, session)
    if problems:
        raise BundleError(f"the network of the model {bundle.name} does not fit it: {one_message(problems)}")
    student = Student(bundle, session)
    with told_in_a_sentence(f"run the model {bundle.name}", most), bounded_growth(most):
        (answer,) = session.run(None, student.blank_batch)
    wanted = (student.batch_patches, *student.answer_shape)
    if answer.shape != wanted or answer.dtype != np.float32:
        raise BundleError(
            f"the model {bundle.name} answers {student.batch_patches} patch{'es' * (student.batch_patches > 1)} with"
            f" {answer.dtype} {answer.shape}, contract and legend require float32 {wanted}; export it again"
        )
    return student


def trace_layers(graph: bytes, shape: tuple[int, int, int]) -> list[Layer]:
    """Run an ONNX model on one blank patch and record the shapes at each of its nodes, without optimisation.

    Parameters
    ----------
    graph : bytes
        With uint8 input (N, C, H, W).
    shape : (C, H, W)

    Raises
    ------
    BundleError
        If ONNX Runtime cannot run it, or not within half of the available memory.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL  # no node is merged
    options.add_session_config_entry("session.disable_prepacking", "1")  # prepacked weights have no shape
    options.log_severity_level = _SEVERITY_FATAL
    options.enable_profiling = True
    most = fair_share_bytes()
    with tempfile.TemporaryDirectory() as folder:
        options.profile_file_prefix = str(Path(folder, "profile"))
        with told_in_a_sentence("run the network node by node", most), bounded_growth(most):
            session = session_of(graph, options)
            session.run(None, {session.get_inputs()[0].name: np.zeros((1, *shape), np.uint8)})
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))

    def shapes(typed: list[dict[str, list[int]]]) -> tuple[tuple[int, ...], ...]:
        return tuple(tuple(lengths) for entry in typed for lengths in entry.values())

    runs = [event["args"] for event in events if "output_type_shape" in event.get("args", {})]
    return [Layer(run["op_name"], shapes(run["input_type_shape"]), shapes(run["output_type_shape"])[0]) for run in runs]


@cache
def sums_bytes_exactly() -> bool:
    """Whether the processor is known to sum products of bytes in 32 bits at full speed (VNNI).

    On others, ONNX Runtime's fastest kernels for x86 sum them in 16 bits, which overflows; then its exact kernels, half
    as fast, are selected. The answers are the same, bit for bit.
    """
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    except OSError:  # not Linux
        return False
    return "avx512_vnni" in flags or "avx_vnni" in flags


def softmax(logits: NDArray[np.floating[Any]], temperature: float) -> NDArray[np.float32]:
    """Return exp(z / T) / sum exp(z / T) of each row z of `logits` (N, K), computed in float64, as float32."""
    scaled = logits.astype(np.float64) / temperature
    scaled -= scaled.max(axis=1, keepdims=True)
    weights = np.exp(scaled)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), np.float32)


def _signature_problems(bundle: Bundle, session: onnxruntime.InferenceSession) -> list[str]:
    """Compare what the graph declares with contract and legend; a symbolic or unknown length fits any."""
    inputs, outputs = session.get_inputs(), session.get_outputs()
    if len(inputs) != 1 or len(outputs) != 1:
        return [f"it has {len(inputs)} inputs and {len(outputs)} outputs, a student has one of each"]
    side = bundle.contract.patch_px
    wanted = (
        ("takes", inputs[0], "tensor(uint8)", ("N", len(bundle.contract.bands), side, side)),
        ("yields", outputs[0], "tensor(float)", ("N", len(bundle.legend), *bundle.contract.answer_shape)),
    )
    problems = []
    for verb, node, kind, shape in wanted:
        lengths_fit = len(node.shape) == len(shape) and not isinstance(node.shape[0], int)
        lengths_fit = lengths_fit and all(
            not isinstance(n, int) or n == m for n, m in zip(node.shape[1:], shape[1:], strict=True)
        )
        if node.type != kind or not lengths_fit:
            problems.append(f"it {verb} {node.type} {tuple(node.shape)}, the bundle requires {kind} {shape}")
    return problems


def _is_finite(answer: NDArray[np.float32]) -> bool:
    """Whether all numbers are finite; found from their sum in one pass, unless finite numbers overflow it."""
    return bool(np.isfinite(answer.sum())) or bool(np.isfinite(answer).all())


@contextmanager
def told_in_a_sentence(task: str, most_bytes: int | None = None) -> Iterator[None]:
    """Convert an error of ONNX Runtime into one line about the failed task.

    Parameters
    ----------
    task : str
        Infinitive, such as "run the model x".
    most_bytes : int, optional
        Memory limit.

    Raises
    ------
    BundleError
        For any error.
    """
    try:
        yield
    except Exception as error:  # ONNX Runtime's own errors share no base class
        if isinstance(error, MemoryError) or re.search("bad_alloc|[Ff]ailed to allocate memory", str(error)):
            limit = "is available" if most_bytes is None else f"the {most_bytes / 2**30:.1f} GiB that it may use here"
            reason = f"it needs more memory than {limit}; use a smaller model or a larger machine"
        else:
            reason = str(error).strip().splitlines()[0]
        raise BundleError(f"ONNX Runtime cannot {task}: {reason}") from error


_TRIAL_SECONDS = 0.3


def patches_per_second(student: Student) -> float:
    """Measure how many patches of random bytes one thread of this machine classifies in a second."""
    shape = (student.batch_patches, *student.bundle.golden.pixels.shape[1:])
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    student.logits(pixels)
    runs = 0
    start = time.perf_counter()
    while (elapsed := time.perf_counter() - start) < _TRIAL_SECONDS or runs == 0:
        student.logits(pixels)
        runs += 1
    return runs * student.batch_patches / elapsed
