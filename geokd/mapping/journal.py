"""What is done of a scene, on disk as soon as it is done: a run that was cut off goes on from here.

A journal is one file beside the outputs: a line of JSON that says what run it is of, then a record a block, with its
length and checksum. Whatever cuts a run off, the records before the last are whole; the last is dropped if it is not.
What is read from a journal is what was written, bit for bit.
"""

import json
import os
import struct
import time
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from geokd.errors import CallError, OutputError
from geokd.mapping.blocks import BlockResult
from geokd.mapping.mosaic import PatchPredictions
from geokd.scenes.grid import PatchBlock, PatchGrid

_FORMAT = 1
_HEAD = struct.Struct("<4s6I")  # mark, block, looked-at patches, picture rows, picture cols, length, checksum
_MARK = b"BLK:"
_SYNC_SECONDS = 2.0


@dataclass(frozen=True, eq=False)
class Layout:
    """What is known of the blocks of a scene beforehand, and need not be written down.

    Parameters
    ----------
    patches : PatchGrid
    blocks : sequence of PatchBlock
    bands, classes : int
    """

    patches: PatchGrid
    blocks: Sequence[PatchBlock]
    bands: int
    classes: int


class Journal:
    """The journal of one scene, open for reading and writing; made by :meth:`begin` or :meth:`resume`.

    Parameters
    ----------
    path : Path
    file : FileIO
        Not buffered, locked, and read up to the end of the first line.
    layout : Layout
    """

    def __init__(self, path: Path, file: FileIO, layout: Layout) -> None:
        self.path = path
        self._file, self._layout = file, layout
        self._places: dict[int, tuple[int, tuple[int, ...]]] = {}
        self._end = file.tell()
        self._synced = time.monotonic()

    @classmethod
    def begin(cls, path: Path, run: Mapping[str, Any], layout: Layout) -> Self:
        """Start a journal of `run`, in place of one that is there.

        Raises
        ------
        OutputError
            If it cannot be written.
        CallError
            If another run is at work on it.
        """
        file = _open_locked(path, "a+b")
        try:
            file.truncate(0)
            _write_all(file, _first_line(run))
        except OSError as error:
            file.close()
            raise _unwritable(path, error) from error
        return cls(path, file, layout)

    @classmethod
    def resume(cls, path: Path, run: Mapping[str, Any], layout: Layout) -> Self:
        """Open the journal of an interrupted run; a record that was not written to its end is cut off.

        Raises
        ------
        OutputError, CallError
            As :meth:`begin`; CallError also if the journal is of another run than `run`.
        """
        check_journal(path, run)
        file = _open_locked(path, "r+b")
        file.seek(len(_first_line(run)))
        journal = cls(path, file, layout)
        journal._find_records()
        return journal

    @property
    def done(self) -> frozenset[int]:
        """Numbers of the blocks that are there."""
        return frozenset(self._places)

    def append(self, number: int, result: BlockResult) -> None:
        """Write the result of a block.

        Raises
        ------
        OutputError
            If the disk is full; what was written before stays whole.
        """
        parts = (
            result.predictions.probabilities,
            np.packbits(result.valid_cells),
            result.features,
            result.confidence,
            result.picture,
            np.packbits(result.picture_valid),
        )
        content = b"".join(part.tobytes() for part in parts)
        sizes = (len(result.features), *result.picture_valid.shape)
        head = _HEAD.pack(_MARK, number, *sizes, len(content), zlib.crc32(content))
        try:
            self._file.seek(self._end)
            _write_all(self._file, head + content)
            if time.monotonic() - self._synced > _SYNC_SECONDS:
                os.fsync(self._file.fileno())
                self._synced = time.monotonic()
        except OSError as error:
            raise _unwritable(self.path, error) from error
        self._places[number] = (self._end + _HEAD.size, sizes)
        self._end += len(head) + len(content)

    def read(self, number: int) -> BlockResult:
        """Return the result of a block that is done."""
        place, (looked_at, height, width) = self._places[number]
        self._file.seek(place)
        block, bands = self._layout.blocks[number], self._layout.bands
        rows, cols = self._layout.patches.own_cells(block)
        shapes: tuple[tuple[type[np.generic], tuple[int, ...]], ...] = (
            (np.float32, (block.rows, block.cols, self._layout.classes)),
            (np.bool_, (rows.stop - rows.start, cols.stop - cols.start)),
            (np.float64, (looked_at, 2 * bands)),
            (np.float32, (looked_at,)),
            (np.uint8, (bands, height, width)),
            (np.bool_, (height, width)),
        )
        arrays: list[NDArray[Any]] = []
        for kind, shape in shapes:
            count = int(np.prod(shape))
            length = -(-count // 8) if kind is np.bool_ else count * np.dtype(kind).itemsize
            content = self._file.read(length)
            if kind is np.bool_:
                bits = np.unpackbits(np.frombuffer(content, np.uint8), count=count)
                arrays.append(bits.astype(np.bool_).reshape(shape))
            else:
                arrays.append(np.frombuffer(content, kind).reshape(shape))
        probabilities, *others = arrays
        return BlockResult(PatchPredictions(block, probabilities), *others)

    def close(self) -> None:
        """Close the file and let go of the lock; an empty journal is removed."""
        if not self._places:
            self.path.unlink(missing_ok=True)
        self._file.close()

    def forget(self) -> None:
        """Have the file removed when it is closed: the map is there, or the blocks are of no use."""
        self._places.clear()

    def _find_records(self) -> None:
        """Find all whole records, and cut off what follows the last."""
        while len(head := self._file.read(_HEAD.size)) == _HEAD.size:
            mark, number, *sizes, length, checksum = _HEAD.unpack(head)
            content = self._file.read(length) if mark == _MARK else b""
            if mark != _MARK or len(content) < length or zlib.crc32(content) != checksum:
                break
            self._places[number] = (self._end + _HEAD.size, tuple(sizes))
            self._end += _HEAD.size + length
        self._file.truncate(self._end)


def check_journal(path: Path, run: Mapping[str, Any]) -> None:
    """Check that the journal at `path` is of `run`.

    Raises
    ------
    CallError
        If it is of another: the message tells in what they differ.
    OutputError
        If it cannot be read.
    """
    try:
        with path.open("rb") as file:
            line = file.readline(1_000_000)
    except OSError as error:
        raise OutputError(f"cannot read {path}: {error.strerror}") from error
    if line == _first_line(run):
        return
    try:
        other = json.loads(line)
        before = {key: other[key] for key in ("format", *run)}
    except (ValueError, KeyError, TypeError) as error:
        raise CallError(f"{path} is not a journal of this version of geokd; start anew by --overwrite") from error
    now = {"format": _FORMAT, **run}
    changed = [f"{key} was {before[key]}, is {now[key]}" for key in now if before[key] != now[key]]
    raise CallError(
        f"{path} holds an interrupted run of another kind: {'; '.join(changed)}. Repeat the call as it was, or start"
        " anew by --overwrite"
    )


def _first_line(run: Mapping[str, Any]) -> bytes:
    return json.dumps({"format": _FORMAT, **run}, sort_keys=True).encode() + b"\n"


def _write_all(file: FileIO, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[file.write(view) :]


def _open_locked(path: Path, mode: Literal["a+b", "r+b"]) -> FileIO:
    """Open a file that no other process has open in this way; the system lets go of the lock when a process dies."""
    try:
        file = path.open(mode, buffering=0)
    except OSError as error:
        raise _unwritable(path, error) from error
    try:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except ImportError:  # not on Windows
        pass
    except OSError as error:
        file.close()
        raise CallError(f"another run is at work on {path}; wait for it, or choose another folder") from error
    return file


def _unwritable(path: Path, error: OSError) -> OutputError:
    return OutputError(f"cannot write {path}: {error.strerror}; make room or choose another folder by -o/--output")
