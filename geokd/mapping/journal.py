"""The finished blocks of a scene, on disk as soon as they are done: an interrupted run continues from here.

A journal is one file beside the outputs: a line of JSON that identifies the run, then one record for each block: a head
with the block's number, lengths and a checksum of the whole record, names of the arrays as JSON, and the arrays.
However a run ends, the records before the last are complete. A record with a changed bit is dropped, with those after
it. What is read from a journal is what was written, bit for bit.
"""

import errno
import json
import math
import os
import struct
import time
import zlib
from collections.abc import Mapping, Sequence
from io import FileIO
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from geokd.errors import CallError, OutputError
from geokd.mapping.blocks import PERCENT_ARRAYS, BlockResult
from geokd.scenes.identity import CONTENT_KEYS
from geokd.scenes.patches import PatchBlock

_FORMAT = 5
_HEAD = struct.Struct("<4s2IQ")  # mark, block, length of the names of the arrays, length in all
_CHECKSUM = struct.Struct("<I")  # of the first line, the head and the rest
_START_BYTES = _HEAD.size + _CHECKSUM.size
_MARK = b"BLK:"
_BEGINNING = b'{"'
_MOST_OF_A_LINE = 1_000_000  # bytes
_PART_BYTES = 2**20  # of what is read for its checksum alone
_SYNC_SECONDS = 2.0


class Journal:
    """The journal of one scene, open for reading and writing; made by :meth:`begin` or :meth:`resume`.

    Parameters
    ----------
    path : Path
    file : FileIO
        Not buffered, locked, and read up to the end of the first line.
    blocks : sequence of PatchBlock
        The blocks of the scene, by number.
    run : mapping
        What identifies the run, as JSON values.
    """

    def __init__(self, path: Path, file: FileIO, blocks: Sequence[PatchBlock], run: Mapping[str, Any]) -> None:
        self.path = path
        self._file, self._blocks = file, blocks
        self._seed = zlib.crc32(_first_line(run))  # of checksums, so that a record of another run has a wrong one
        self._places: dict[int, int] = {}  # where records begin
        self._end = file.tell()
        self._synced = time.monotonic()

    @classmethod
    def begin(cls, path: Path, run: Mapping[str, Any], blocks: Sequence[PatchBlock]) -> Self:
        """Start a journal of `run`; replaces an existing one.

        Raises
        ------
        OutputError
            If it cannot be written.
        CallError
            If another run is using it.
        """
        file = _open_locked(path, "a+b")
        try:
            file.truncate(0)
            _write_all(file, _first_line(run))
        except OSError as error:
            path.unlink(missing_ok=True)
            file.close()
            raise _refused(path, error) from error
        return cls(path, file, blocks, run)

    @classmethod
    def resume(cls, path: Path, run: Mapping[str, Any], blocks: Sequence[PatchBlock]) -> Self:
        """Open the journal of an interrupted run; an incomplete record is removed.

        Raises
        ------
        OutputError, CallError
            As for :meth:`begin`; CallError also if the journal belongs to another run than `run`.
        """
        check_journal(path, run)
        file = _open_locked(path, "r+b")
        file.seek(len(_first_line(run)))
        journal = cls(path, file, blocks, run)
        journal._find_records()
        return journal

    @property
    def done(self) -> frozenset[int]:
        """Numbers of the finished blocks."""
        return frozenset(self._places)

    @property
    def count(self) -> int:
        """Number of finished blocks."""
        return len(self._places)

    def append(self, number: int, result: BlockResult) -> None:
        """Write the result of a block.

        Raises
        ------
        OutputError
            If the disk is full; earlier records stay complete.
        """
        arrays = result.arrays()
        parts = [np.packbits(a) if a.dtype == np.bool_ else np.ascontiguousarray(a) for a in arrays.values()]
        names = json.dumps([[name, a.dtype.str, a.shape] for name, a in arrays.items()]).encode()
        content = [memoryview(names), *(part.reshape(-1).view(np.uint8).data for part in parts)]
        length = sum(map(len, content))
        head = _HEAD.pack(_MARK, number, len(names), length)
        start = head + _CHECKSUM.pack(_checksum(self._seed, head, *content))
        try:
            self._file.seek(self._end)
            for part in (memoryview(start), *content):
                _write_all(self._file, part)
            if time.monotonic() - self._synced > _SYNC_SECONDS:
                os.fsync(self._file.fileno())
                self._synced = time.monotonic()
        except OSError as error:
            raise _refused(self.path, error) from error
        self._places[number] = self._end
        self._end += _START_BYTES + length

    def read(self, number: int, *, percent: bool = False) -> BlockResult:
        """Return the result of a finished block; probabilities of cells only if `percent` is True.

        Raises
        ------
        OutputError
            If the record is no longer as it was written.
        """
        self._file.seek(self._places[number])
        record = _Record(self._file, self._seed)
        arrays: dict[str, NDArray[Any]] = {}
        try:
            for name, kind, shape in json.loads(record.read(record.names_length)):
                if name in PERCENT_ARRAYS and not percent:  # the last
                    break
                dtype, count = np.dtype(kind), math.prod(shape)
                if dtype == np.bool_:
                    bits = np.unpackbits(np.frombuffer(record.read(-(-count // 8)), np.uint8), count=count)
                    arrays[name] = bits.view(np.bool_).reshape(shape)
                else:
                    arrays[name] = np.frombuffer(record.read(count * dtype.itemsize), dtype).reshape(shape)
            whole = record.is_whole() and record.number == number
        except (OSError, ValueError, TypeError):
            whole = False
        if not whole:
            raise OutputError(f"block {number} in {self.path} is damaged, by another program or a failing disk")
        return BlockResult.from_arrays(self._blocks[number], arrays)

    def close(self) -> None:
        """Close the file and release the lock; an empty journal is removed."""
        if not self._places:
            self.path.unlink(missing_ok=True)
        self._file.close()

    def forget(self) -> None:
        """Remove the file when it is closed, because the map is written or the blocks are useless."""
        self._places.clear()

    def _find_records(self) -> None:
        """Find all complete records, and remove the rest."""
        size = os.fstat(self._file.fileno()).st_size
        while size - self._end >= _START_BYTES:
            record = _Record(self._file, self._seed)
            if record.mark != _MARK or record.left > size - self._file.tell() or not record.is_whole():
                break
            self._places[record.number] = self._end
            self._end = self._file.tell()
        self._file.truncate(self._end)


class _Record:
    """A record of a journal that is read from its start; its checksum is computed meanwhile."""

    def __init__(self, file: FileIO, seed: int) -> None:
        start = _read_all(file, _START_BYTES).ljust(_START_BYTES, b"\0")
        self._file, self._checksum = file, zlib.crc32(start[: _HEAD.size], seed)
        self.mark, self.number, self.names_length, self.left = _HEAD.unpack(start[: _HEAD.size])
        (self._expected,) = _CHECKSUM.unpack(start[_HEAD.size :])

    def read(self, length: int) -> bytes:
        """Read the next bytes; fewer at the end of the file."""
        content = _read_all(self._file, min(length, self.left))
        self._checksum = zlib.crc32(content, self._checksum)
        self.left = self.left - length if len(content) == length else 0
        return content

    def is_whole(self) -> bool:
        """Read the rest; whether all is as it was written."""
        while self.left > 0:
            self.read(min(self.left, _PART_BYTES))
        return bool(self._checksum == self._expected)


def is_begun(path: Path) -> bool:
    """Whether a journal exists, and is not one whose first line was cut off, before it held any block.

    Raises
    ------
    CallError
        If it is a symbolic link.
    OutputError
        If it cannot be read.
    """
    if not os.path.lexists(path):
        return False
    line = _read_first_line(path)
    return line.endswith(b"\n") or not line.startswith(_BEGINNING[: len(line)])


def check_journal(path: Path, run: Mapping[str, Any]) -> None:
    """Check that the journal at `path` belongs to `run`.

    Raises
    ------
    CallError
        If it belongs to another run (the message lists the differences), or is a symbolic link.
    OutputError
        If it cannot be read.
    """
    line = _read_first_line(path)
    if line == _first_line(run):
        return
    try:
        other = json.loads(line)
        before = {key: other[key] for key in ("format", *run)}
    except (ValueError, KeyError, TypeError) as error:
        raise CallError(f"{path} is not a journal of this version of geokd; start again with --overwrite") from error
    now = {"format": _FORMAT, **run}
    differ = {key for key in now if before[key] != now[key]}
    if differ <= CONTENT_KEYS:
        raise CallError(f"{run['scene']} changed since the interrupted run in {path}; start anew with --overwrite")
    changed = [f"{key} was {before[key]}, is {now[key]}" for key in now if key in differ]
    raise CallError(
        f"{path} holds an interrupted run with other settings: {'; '.join(changed)}. Repeat the same call, or start"
        " anew with --overwrite"
    )


def _read_first_line(path: Path) -> bytes:
    try:
        with open(path, "rb", opener=_open_itself) as file:
            return file.readline(_MOST_OF_A_LINE)
    except OSError as error:
        _refuse_link(path, error)
        raise _refused(path, error, "read") from error


def _first_line(run: Mapping[str, Any]) -> bytes:
    return json.dumps({"format": _FORMAT, **run}, sort_keys=True).encode() + b"\n"


def _checksum(checksum: int, *parts: bytes | memoryview) -> int:
    for part in parts:
        checksum = zlib.crc32(part, checksum)
    return checksum


def _write_all(file: FileIO, content: bytes | memoryview) -> None:
    view = memoryview(content)
    while view:
        view = view[file.write(view) :]


def _read_all(file: FileIO, length: int) -> bytes:
    """Read `length` bytes, or fewer at the end of the file; the system may return fewer at a time."""
    content = file.read(length)
    while len(content) < length:
        more = file.read(length - len(content))
        if not more:
            break
        content += more
    return content


def _open_locked(path: Path, mode: Literal["a+b", "r+b"]) -> FileIO:
    """Open and lock a file; the system releases the lock when the process dies."""
    try:
        file = open(path, mode, buffering=0, opener=_open_itself)  # noqa: SIM115  open as long as the journal is
    except OSError as error:
        _refuse_link(path, error)
        raise _refused(path, error) from error
    try:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except ImportError:  # not on Windows
        pass
    except OSError as error:
        file.close()
        raise CallError(f"another run is using {path}; wait for it, or choose another folder") from error
    return file


def _open_itself(path: str, flags: int) -> int:
    """Open a file, but not through a symbolic link, whose target must not be emptied; and do not wait for pipes."""
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0), 0o666)


def _refuse_link(path: Path, error: OSError) -> None:
    if error.errno == errno.ELOOP and path.is_symlink():
        raise CallError(
            f"{path} is a symbolic link, and a journal is not written through one; remove the link, or choose another"
            " folder with -o/--output"
        ) from error


def _refused(path: Path, error: OSError, verb: str = "write") -> OutputError:
    if error.errno in {errno.EINVAL, errno.ENXIO, errno.ESPIPE, errno.EISDIR} and not path.is_file():
        return OutputError(f"{path} is not a file but a folder, pipe, socket or device; remove it")
    remedy = "; make room or choose another folder with -o/--output" if verb == "write" else ""
    return OutputError(f"cannot {verb} {path}: {error.strerror}{remedy}")
