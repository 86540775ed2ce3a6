"""Outputs come together or not at all: killed at any step, and killed again while that is put in order."""

import errno
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from geokd.errors import CallError, OutputError
from geokd.system import locks, recovery
from geokd.system.commit import Claim, check_outputs, staged
from geokd.system.recovery import WORK, settle

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="kills processes that it forks")

STEPS = ("replace", "unlink", "rmdir", "mkdir", "fsync", "open")
"""Calls of the system before and after each of which a process is killed."""

OLD = {
    "a.tif": "old a",
    "b": "old b",
    "a.tif.aux.xml": "statistics of old a",
    "gone": "old gone",
    "forest/1.tif": "old",
}
NEW = {"a.tif": "new a", "b": "new b", "c": "new c", "lake/1.tif": "new"}
MINE = {"mine": "mine", ".s.geokd-notes/x": "mine", f"{WORK}/mine": "mine", f"{WORK}/{'0' * 32}/mine": "mine"}


@pytest.fixture(autouse=True)
def no_power_failures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kills take nothing from the system's cache, and waiting for disks takes minutes here."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


def contents(folder: Path) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()}


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def replace_all(folder: Path) -> None:
    """Replace OLD with NEW."""
    with Claim.take(folder, [*OLD, *NEW]) as claim, claim.stage() as fresh:
        write(fresh, NEW)
        claim.replace(list(NEW), list(OLD))


def killed_at(step: int, work: Callable[[], None]) -> bool:
    """Do the work in a process that is killed at its `step`-th call of the system; whether it was."""
    child = os.fork()
    if child == 0:
        _die_at(step)
        with suppress(BaseException):
            work()
        os._exit(0)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


def _die_at(step: int) -> None:
    count = 0

    def counted(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            nonlocal count
            for moment in ("before", "after"):
                count += 1
                if count == step:
                    os.kill(os.getpid(), signal.SIGKILL)
                if moment == "before":
                    result = real(*args, **kwargs)
            return result

        return call

    for name in STEPS:
        setattr(os, name, counted(getattr(os, name)))


def left(folder: Path) -> dict[str, str]:
    """What the folder holds beside files of mine."""
    found = contents(folder)
    assert {name: text for name, text in found.items() if name in MINE} == MINE
    return {name: text for name, text in found.items() if name not in MINE}


@pytest.mark.parametrize("stride", [4, pytest.param(1, marks=pytest.mark.slow)])
def test_killed_anywhere_old_or_new_outputs_are_whole(tmp_path: Path, stride: int) -> None:
    step, seen = 0, []
    while True:
        step += stride
        folder = tmp_path / str(step)
        write(folder, OLD | MINE)
        killed = killed_at(step, lambda folder=folder: replace_all(folder))  # type: ignore[misc]
        settle(folder)
        assert left(folder) in (OLD, NEW), f"killed at step {step}"
        seen.append(left(folder) == NEW)
        if not killed:
            break
    assert step > 60
    assert seen == sorted(seen), "once all is there, it stays"
    assert seen[-1]


@pytest.mark.slow
def test_killed_again_while_it_is_put_in_order(tmp_path: Path) -> None:
    pairs = 0
    for first in range(1, 200, 11):
        again = 0
        while True:
            again += 1
            folder = tmp_path / f"{first}-{again}"
            write(folder, OLD | MINE)
            if not killed_at(first, lambda folder=folder: replace_all(folder)):  # type: ignore[misc]
                break
            killed = killed_at(again, lambda folder=folder: settle(folder))  # type: ignore[misc]
            settle(folder)
            assert left(folder) in (OLD, NEW), f"killed at step {first}, then at step {again}"
            pairs += 1
            if not killed:
                break
    assert pairs > 150


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(5, "the server did not answer")])
@pytest.mark.parametrize("moved", [False, True])
@pytest.mark.parametrize("name", list(NEW))
def test_a_failure_is_undone_whether_it_comes_before_or_after_a_move(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, moved: bool, error: BaseException
) -> None:
    write(tmp_path, OLD | MINE)
    replace = Path.replace

    def interrupted(self: Path, target: Path) -> Path:
        if target == tmp_path / name:
            if moved:
                replace(self, target)
            monkeypatch.undo()
            raise error
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", interrupted)
    with pytest.raises(OutputError if isinstance(error, OSError) else type(error)):
        replace_all(tmp_path)
    assert left(tmp_path) == OLD


def test_two_runs_into_one_place(tmp_path: Path) -> None:
    with Claim.take(tmp_path, ["a", "b"]):
        with pytest.raises(CallError, match=r"another run \(process \d+ on .*\) is writing b into .*; wait for it"):
            Claim.take(tmp_path, ["b", "c"])
        with pytest.raises(CallError, match="is writing a, b into"):
            check_outputs(tmp_path, ["a", "b"], overwrite=True)
        with staged(tmp_path, ["c"], overwrite=False) as place:  # others may
            (place / "c").write_text("c")
    check_outputs(tmp_path, ["a", "b"], overwrite=False)
    assert contents(tmp_path) == {"c": "c"}
    assert not (tmp_path / WORK).exists()


@pytest.mark.parametrize(
    "claim",
    [
        "",
        '{"geokd_claim": 1, ',
        '{"geokd_claim": 1, "host": ' + 20_000 * "[",
        '{"geokd_claim": 1, "host": "x", "process": ' + 6_000 * "9" + ', "outputs": []}',
        '{"geokd_claim": 1, "host": "x", "process": 5, "outputs": [1, "a", {}]}',
        '{"geokd_claim": 1, "host": 7, "process": -5, "outputs": "a"}',
    ],
)
def test_claims_that_are_no_claims_are_no_dead_end(tmp_path: Path, claim: str) -> None:
    write(tmp_path, MINE)
    place = tmp_path / WORK / ("a" * 32)
    (place / "new").mkdir(parents=True)
    (place / "new" / "a").write_text("half")
    (place / "claim.json").write_text(claim)
    with staged(tmp_path, ["a"], overwrite=False) as new:
        (new / "a").write_text("new a")
    assert left(tmp_path) == {"a": "new a"}


def test_an_impossible_process_is_assumed_to_run(monkeypatch: pytest.MonkeyPatch) -> None:
    assert locks.Owner(os.uname().nodename, 10**30).may_live


@pytest.mark.parametrize("call", ["lock", "put_on_disk"])
def test_a_disk_that_is_full_at_once_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(f"geokd.system.commit.{call}", full)
    with pytest.raises(OutputError, match="No space left on device; choose another"):
        Claim.take(tmp_path / "out", ["a"])
    assert list(tmp_path.iterdir()) == []


def test_a_link_to_nowhere_is_not_replaced_unasked(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("nowhere")
    with pytest.raises(CallError, match="holds a already; replace it with --overwrite"):
        check_outputs(tmp_path, ["a"], overwrite=False)


def test_a_file_that_was_written_meanwhile_is_not_lost(tmp_path: Path) -> None:
    write(tmp_path, OLD | MINE)
    step = 0
    while (tmp_path / "b").exists():  # until it is set aside
        step += 1
        assert killed_at(step, lambda: replace_all(tmp_path))
        if (tmp_path / "b").exists():
            settle(tmp_path)
    (tmp_path / "b").write_text("written after the kill")
    with pytest.raises(CallError, match=r"/b was written after an interrupted run .* move it away") as caught:
        settle(tmp_path)
    (kept,) = [Path(word) for word in str(caught.value).split() if word.endswith("/old")]
    assert (kept / "b").read_text() == "old b"
    (tmp_path / "b").rename(tmp_path / "mine too")
    settle(tmp_path)
    assert left(tmp_path) == OLD | {"mine too": "written after the kill"}


@pytest.mark.slow
def test_what_was_done_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    said: list[str] = []
    for step in range(1, 200):
        folder = tmp_path / str(step)
        write(folder, OLD | MINE)
        killed = killed_at(step, lambda folder=folder: replace_all(folder))  # type: ignore[misc]
        caplog.clear()
        settle(folder)
        settle(folder)
        assert len(caplog.messages) <= 1
        for message in caplog.messages:
            beginning, _, end = message.partition(") was interrupted ")
            assert beginning.startswith("Warning: an earlier run (process ")
            assert str(folder) in end
            end = end.replace(str(folder), "FOLDER")
            assert ("previous files are removed" in end) == (left(folder) == NEW)
            said += [end] if said[-1:] != [end] else []
        if not killed:
            break
    what = "its outputs (a.tif, a.tif.aux.xml, b, c and 3 more)"
    assert said == [
        f"while it wrote {what} for FOLDER: they are removed, other files are unchanged",
        f"while {what} were moved into FOLDER: they are removed, and the previous files are restored",
        f"after {what} were in FOLDER: they are kept, and the previous files are removed",
    ]


@pytest.mark.parametrize(
    "record",
    ["", "[]", '{"old": 3, "new": {}}', '{"old": ["../../mine"], "new": {}}', '{"old": [], "new": {"/mine": [1, 2]}}'],
)
def test_a_record_that_is_damaged_or_leads_elsewhere_moves_nothing(tmp_path: Path, record: str) -> None:
    write(tmp_path, MINE)
    Claim.take(tmp_path / "maps", ["a"])._file.close()  # a run that died
    (place,) = (tmp_path / "maps" / WORK).iterdir()
    (place / "moves.json").write_text(record)
    before = contents(tmp_path)
    with pytest.raises(OutputError, match=r"moves.json is damaged, .*; move the old files back from .*/old, then"):
        settle(tmp_path / "maps")
    assert contents(tmp_path) == before


def test_what_cannot_be_put_back_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, OLD | MINE)
    with monkeypatch.context() as patch:
        replace, moves = Path.replace, []

        def full(self: Path, target: Path) -> Path:
            moves.append(target)
            if len(moves) > 4:
                raise OSError(errno.EIO, "Input/output error", str(self))
            return replace(self, target)

        patch.setattr(Path, "replace", full)
        with pytest.raises(OutputError, match="cannot restore the old files .*: Input/output error; they lie in"):
            replace_all(tmp_path)
    assert left(tmp_path) != OLD
    settle(tmp_path)
    assert left(tmp_path) == OLD


def test_where_a_disk_knows_no_locks_the_process_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recovery, "lock", lambda _: None)
    with Claim.take(tmp_path, ["a"]), pytest.raises(CallError, match=r"is writing a .* If it is not running, delete"):
        Claim.take(tmp_path, ["a"])
    gone = os.fork()
    if gone == 0:
        os._exit(0)
    os.waitpid(gone, 0)
    monkeypatch.setattr(locks.Owner, "me", lambda: locks.Owner(os.uname().nodename, gone))
    left_over = Claim.take(tmp_path, ["a"])
    monkeypatch.undo()
    monkeypatch.setattr(recovery, "lock", lambda _: None)
    Claim.take(tmp_path, ["a"]).release()
    left_over.release()
    assert list(tmp_path.iterdir()) == []
