"""Power that fails while outputs are replaced: what was not synced may be on the disk or not, in any combination.

Every change of a name and every sync is recorded while outputs are replaced. Disks are then rebuilt as a power failure
may leave them after each of these steps: changes of names are there if their folder was synced after them, others may
be missing each for itself, and files that were not synced may be empty. The next command must find the old outputs or
the new ones, whole. This is less than any file system in use keeps: those with a journal lose the last changes alone.
"""

import os
import random
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from geokd.system.recovery import settle
from tests.system.test_commit import MINE, NEW, OLD, contents, replace_all, write

CHANGES = ("replace", "rename", "unlink", "rmdir", "mkdir")


@dataclass(frozen=True)
class Step:
    """A change of a name (a file or folder comes to be at `path`, or is gone from it), or a sync of what lies there."""

    kind: str  # "make" and "unmake" a folder, "put" and "drop" a file, "move" it from `source`, "sync"
    path: Path
    file: int = 0  # its number
    source: Path = Path()


@dataclass
class Recorder:
    """Knows what lies below a folder, and all that happened to it."""

    root: Path
    begin: int = 0  # step with which the work began
    steps: list[Step] = field(default_factory=list)
    files: dict[int, tuple[bytes, int]] = field(default_factory=dict)
    known: dict[Path, int] = field(default_factory=dict)  # folders are -1
    _numbers: dict[int, int] = field(default_factory=dict)  # by inode

    def look(self) -> None:
        """Record what changed since the last look."""
        now: dict[Path, int] = {}
        for path in sorted(self.root.rglob("*")):
            status = path.lstat()
            if stat.S_ISDIR(status.st_mode):
                now[path] = -1
                continue
            number = self._numbers.setdefault(status.st_ino, len(self.files) + 1)
            now[path] = number
            content = (path.read_bytes(), status.st_mtime_ns)
            if self.files.setdefault(number, content) != content:
                self.files[number] = content
                self.steps.append(Step("write", path, number))
        gone = {number: path for path, number in self.known.items() if number != -1 and now.get(path) != number}
        for path, number in now.items():
            if self.known.get(path) == number:
                continue
            if number == -1:
                self.steps.append(Step("make", path))
            elif number in gone:
                self.steps.append(Step("move", path, number, gone.pop(number)))
            else:
                self.steps.append(Step("put", path, number))
        self.steps += [Step("drop", path, number) for number, path in gone.items() if path not in now]
        self.steps += [Step("unmake", path) for path, n in self.known.items() if n == -1 and path not in now]
        alive = set(now.values())
        self._numbers = {inode: number for inode, number in self._numbers.items() if number in alive}
        self.known = now

    def sync(self, descriptor: int) -> None:
        """Record the sync of a file or folder that is open."""
        self.look()
        inode = os.fstat(descriptor).st_ino
        paths = [path for path in (self.root, *self.known) if path.lstat().st_ino == inode]
        self.steps += [Step("sync", path, self.known.get(path, -1)) for path in paths]


@pytest.fixture
def record(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path, Callable[[], object]], Recorder]:
    """Do some work, and return what happened meanwhile below a folder."""

    def of(root: Path, work: Callable[[], object]) -> Recorder:
        recorder = Recorder(root)
        recorder.look()
        recorder.steps += [Step("sync", path, number) for path, number in recorder.known.items()]
        recorder.steps += [Step("sync", root, -1)]  # all that was there is on the disk
        recorder.begin = len(recorder.steps)
        with monkeypatch.context() as patch:
            for name in CHANGES:
                patch.setattr(os, name, watched(recorder, getattr(os, name)))
            patch.setattr(os, "fsync", recorder.sync)
            work()
        recorder.look()
        return recorder

    return of


def watched(recorder: Recorder, real: Callable[..., Any]) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        recorder.look()
        try:
            return real(*args, **kwargs)
        finally:
            recorder.look()

    return call


def is_lasting(steps: list[Step], at: int) -> bool:
    """Whether the folder of a change, or the content of a file, was synced after it."""
    step = steps[at]
    place = step.path if step.kind == "write" else step.path.parent
    return any(later.kind == "sync" and later.path == place for later in steps[at + 1 :])


def after_power_loss(
    recorder: Recorder, length: int, chance: Callable[[], bool]
) -> tuple[set[Path], dict[Path, tuple[bytes, int]]]:
    """Return folders and files as the disk may have them, if power fails after so many steps."""
    steps = recorder.steps[:length]
    folders, names = {recorder.root}, dict[Path, int]()
    for at, step in enumerate(steps):
        if step.kind in ("sync", "write") or not (is_lasting(steps, at) or chance()):
            continue
        if step.kind == "make":
            folders.add(step.path)
        elif step.kind == "unmake":
            folders.discard(step.path)
        elif step.kind == "drop":
            names.pop(step.path, None)
        else:
            if names.get(step.source) == step.file:
                del names[step.source]
            names[step.path] = step.file
    synced = {step.file for step in steps if step.kind == "sync"}
    found = {
        path: recorder.files[number] if number in synced or chance() else (b"", 1)
        for path, number in names.items()
        if all(parent in folders for parent in path.parents if parent.is_relative_to(recorder.root))
    }
    return folders, found


def rebuilt(recorder: Recorder, length: int, chance: Callable[[], bool], at: Path) -> Path:
    """Write such a disk."""
    folders, files = after_power_loss(recorder, length, chance)
    for folder in sorted(folders):
        (at / folder.relative_to(recorder.root)).mkdir(parents=True, exist_ok=True)
    for path, (content, changed) in files.items():
        copy = at / path.relative_to(recorder.root)
        copy.write_bytes(content)
        os.utime(copy, ns=(changed, changed))
    return at


def chances(undecided: int, generator: random.Random) -> Iterator[Callable[[], bool]]:
    """Yield ways to decide what lasts: nothing, all, and many at random."""
    yield lambda: False
    yield lambda: True
    for _ in range(min(2**undecided, 5)):
        share = generator.random()
        yield lambda share=share: generator.random() < share  # type: ignore[misc]


def outputs(folder: Path) -> dict[str, str]:
    """What the folder holds; files of mine must be there."""
    found = contents(folder)
    assert {name: text for name, text in found.items() if name in MINE} == MINE
    return {name: text for name, text in found.items() if name not in MINE}


Record = Callable[[Path, Callable[[], object]], Recorder]


@pytest.fixture
def recorder(tmp_path: Path, record: Record) -> Recorder:
    """What happens while OLD is replaced with NEW."""
    folder = tmp_path / "recorded"
    write(folder, OLD | MINE)
    found = record(folder, lambda: replace_all(folder))
    assert outputs(folder) == NEW
    return found


def test_after_any_loss_of_power_old_or_new_outputs_are_whole(tmp_path: Path, recorder: Recorder) -> None:
    generator, disks, seen = random.Random(0), 0, set()
    for length in range(recorder.begin, len(recorder.steps) + 1):
        undecided = sum(not is_lasting(recorder.steps[:length], at) for at in range(length))
        for chance in chances(undecided, generator):
            disks += 1
            folder = rebuilt(recorder, length, chance, tmp_path / str(disks))
            settle(folder)
            assert outputs(folder) in (OLD, NEW), f"after {length} steps"
            seen.add(outputs(folder) == NEW)
    assert disks > 300
    assert seen == {False, True}


def test_what_is_finished_outlasts_a_loss_of_power(tmp_path: Path, recorder: Recorder) -> None:
    for number, chance in enumerate(chances(4, random.Random(1))):
        folder = rebuilt(recorder, len(recorder.steps), chance, tmp_path / str(number))
        settle(folder)
        assert outputs(folder) == NEW


def test_power_fails_again_while_a_folder_is_put_in_order(tmp_path: Path, recorder: Recorder, record: Record) -> None:
    generator, disks = random.Random(2), 0
    for length in range(recorder.begin, len(recorder.steps), 7):
        folder = rebuilt(recorder, length, lambda: generator.random() < 0.5, tmp_path / str(length))
        again = record(folder, lambda folder=folder: settle(folder))  # type: ignore[misc]
        for shorter in range(again.begin, len(again.steps) + 1, 2):
            disks += 1
            then = rebuilt(again, shorter, lambda: generator.random() < 0.5, tmp_path / f"{length}-{shorter}")
            settle(then)
            assert outputs(then) in (OLD, NEW), f"after {length} steps, then {shorter}"
    assert disks > 40
