"""Nothing is lost: what is done of a scene survives whatever cuts a run off, and the map is the same bit for bit."""

import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
from click.testing import CliRunner, Result

import geokd
from geokd.cli import main
from geokd.errors import CallError, OutputError, SceneError
from geokd.mapping import journal as journal_module
from geokd.mapping.blocks import BlockResult, classify_block
from geokd.mapping.classify import run_jobs
from geokd.mapping.journal import Journal
from geokd.mapping.options import ClassifyOptions
from geokd.mapping.planning import plan_jobs
from geokd.mapping.scene_run import block_tasks
from geokd.scenes.patches import PatchBlock
from geokd.system.recovery import WORK
from tests.store import store_of
from tests.tiny import three_fields, write_scene

JOURNAL = ".fields.geokd-journal"
SMALL_BLOCKS = ClassifyOptions(block_px=40)


def rasters(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*.tif")}


def interrupt(scene: Path, model: Path, folder: Path, blocks: int, options: ClassifyOptions = SMALL_BLOCKS) -> None:
    """Run until some blocks are done, then stop as Ctrl-C does."""

    def progress(_message: str, *, done: int = 0, total: int = 0) -> None:
        if done == blocks:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        geokd.classify(scene, model, folder, options, progress=progress)


@pytest.fixture
def whole(scene: Path, model: Path, tmp_path: Path) -> dict[str, bytes]:
    geokd.classify(scene, model, tmp_path / "whole", SMALL_BLOCKS)
    return rasters(tmp_path / "whole")


def results(scene: Path, model: Path) -> tuple[list[PatchBlock], list[BlockResult], dict[str, Any]]:
    (job,) = plan_jobs([scene], model, "nowhere", SMALL_BLOCKS)
    layout = list(job.patches.blocks(*job.blocks_px))
    return layout, [classify_block(task) for task in block_tasks(job)], job.run


def assert_alike(one: BlockResult, other: BlockResult) -> None:
    assert one.predictions.block == other.predictions.block
    assert list(one.arrays()) == list(other.arrays())
    for name, values in one.arrays().items():
        np.testing.assert_array_equal(values, other.arrays()[name], strict=True)


def test_results_round_trip_in_any_order(scene: Path, model: Path, tmp_path: Path) -> None:
    layout, blocks, run = results(scene, model)
    order = random.Random(1).sample(range(len(blocks)), len(blocks))
    journal = Journal.begin(tmp_path / "j", run, layout)
    for number in order[:-2]:
        journal.append(number, blocks[number])
    journal.close()
    journal = Journal.resume(tmp_path / "j", run, layout)
    assert journal.done == set(order[:-2])
    for number in order[-2:]:
        journal.append(number, blocks[number])
    for number, block in enumerate(blocks):
        assert_alike(journal.read(number), block)
    journal.forget()
    journal.close()
    assert not (tmp_path / "j").exists()


@pytest.mark.parametrize("cut", [1, 5, 30, 100])
def test_a_torn_record_is_dropped(scene: Path, model: Path, tmp_path: Path, cut: int) -> None:
    layout, blocks, run = results(scene, model)
    journal = Journal.begin(tmp_path / "j", run, layout)
    for number, block in enumerate(blocks):
        journal.append(number, block)
    journal.close()
    content = (tmp_path / "j").read_bytes()
    for damaged in (content[:-cut], content[:-cut] + bytes(cut), content[:-cut] + b"x" * cut):
        (tmp_path / "j").write_bytes(damaged)
        journal = Journal.resume(tmp_path / "j", run, layout)
        assert journal.done == set(range(len(blocks) - 1))
        journal.append(len(blocks) - 1, blocks[-1])
        assert_alike(journal.read(len(blocks) - 1), blocks[-1])
        journal.close()
        assert (tmp_path / "j").read_bytes() == content


def test_a_record_with_any_bit_of_its_head_changed_is_dropped(scene: Path, model: Path, tmp_path: Path) -> None:
    layout, blocks, run = results(scene, model)
    journal, path = Journal.begin(tmp_path / "j", run, layout), tmp_path / "j"
    ends = [path.stat().st_size]
    for number, block in enumerate(blocks[:3]):
        journal.append(number, block)
        ends.append(path.stat().st_size)
    journal.close()
    content = path.read_bytes()
    start = ends[1]  # of the second record
    head_bits = 8 * (content.index(b"[[", start) - start)  # up to the names of the arrays
    assert head_bits == 8 * 24
    for bit in [*range(head_bits), *range(head_bits, 8 * (ends[2] - start), 997)]:  # and some of its content
        damaged = bytearray(content)
        damaged[start + bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        journal = Journal.resume(path, run, layout)
        assert journal.done == {0}, f"bit {bit}"
        journal.close()
        assert path.read_bytes() == content[:start]


def test_a_record_of_another_run_is_dropped(scene: Path, model: Path, tmp_path: Path) -> None:
    """A disk may show blocks of a file that was there before, after a loss of power."""
    layout, blocks, run = results(scene, model)
    for name, of in (("j", run), ("other", run | {"scene": "other.tif"})):
        journal = Journal.begin(tmp_path / name, of, layout)
        journal.append(len(name), blocks[len(name)])
        journal.close()
    foreign = (tmp_path / "other").read_bytes()
    with (tmp_path / "j").open("ab") as file:
        file.write(foreign[foreign.index(b"\n") + 1 :])
    journal = Journal.resume(tmp_path / "j", run, layout)
    assert journal.done == {1}
    journal.close()


@pytest.mark.parametrize("cut", [True, False])
def test_a_journal_that_is_damaged_while_it_is_in_use(scene: Path, model: Path, tmp_path: Path, *, cut: bool) -> None:
    out = tmp_path / "out"

    def progress(_message: str, *, done: int = 0, total: int = 0) -> None:
        if done == 10:
            content = bytearray((out / JOURNAL).read_bytes())
            content[content.index(b"BLK:") + 400] ^= 1
            if cut:
                os.truncate(out / JOURNAL, len(content) // 2)
            else:
                (out / JOURNAL).open("r+b").write(content)

    with pytest.raises(OutputError, match=r"block \d+ in .*journal is damaged, by another program or a failing disk"):
        geokd.classify(scene, model, out, ClassifyOptions(block_px=40, workers=1), progress=progress)
    geokd.classify(scene, model, out, ClassifyOptions(block_px=40, resume=True))
    geokd.classify(scene, model, tmp_path / "whole", SMALL_BLOCKS)
    assert rasters(out) == rasters(tmp_path / "whole")


@pytest.mark.skipif(sys.platform == "win32", reason="pipes of POSIX")
@pytest.mark.parametrize("resume", [False, True])
@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_a_journal_that_is_no_file(
    scene: Path, model: Path, tmp_path: Path, make: Callable[[Path], None], *, resume: bool
) -> None:
    make(tmp_path / JOURNAL)
    with pytest.raises(OutputError, match=r"journal is not a file but a folder, pipe, .*; remove it"):
        geokd.classify(scene, model, tmp_path, ClassifyOptions(resume=resume))


@pytest.mark.skipif(sys.platform == "win32", reason="symbolic links of POSIX")
@pytest.mark.parametrize("resume", [False, True])
@pytest.mark.parametrize("dangling", [False, True])
def test_a_journal_that_is_a_symbolic_link_is_refused(
    scene: Path, model: Path, tmp_path: Path, *, resume: bool, dangling: bool
) -> None:
    layout, blocks, run = results(scene, model)
    elsewhere, link = tmp_path / "elsewhere", tmp_path / "out" / JOURNAL
    if not dangling:
        journal = Journal.begin(elsewhere, run, layout)
        journal.append(0, blocks[0])
        journal.close()
    before = None if dangling else elsewhere.read_bytes()
    link.parent.mkdir()
    link.symlink_to(elsewhere)
    with pytest.raises(
        CallError, match="is a symbolic link, and a journal is not written through one; remove the link"
    ):
        geokd.classify(
            scene, model, tmp_path / "out", ClassifyOptions(block_px=40, resume=resume, overwrite=not resume)
        )
    assert (elsewhere.read_bytes() if elsewhere.exists() else None) == before
    assert link.is_symlink()


@pytest.mark.parametrize("kept", [0, 1, 60])
@pytest.mark.parametrize("resume", [False, True])
def test_a_first_line_that_was_cut_off_is_no_dead_end(
    scene: Path, model: Path, tmp_path: Path, whole: dict[str, bytes], *, kept: int, resume: bool
) -> None:
    out = tmp_path / "out"
    interrupt(scene, model, out, 2)
    (out / JOURNAL).write_bytes((out / JOURNAL).read_bytes()[:kept])
    geokd.classify(scene, model, out, ClassifyOptions(block_px=40, resume=resume))
    assert rasters(out) == whole
    assert not (out / JOURNAL).exists()


def test_a_disk_that_is_full_at_once_leaves_no_journal(scene: Path, model: Path, tmp_path: Path) -> None:
    layout, _, run = results(scene, model)
    full = mock.patch.object(journal_module, "_write_all", side_effect=OSError(28, "No space left on device"))
    with full, pytest.raises(OutputError, match="No space left on device; make room"):
        Journal.begin(tmp_path / "j", run, layout)
    assert not (tmp_path / "j").exists()


def test_a_journal_is_one_run_s_own(scene: Path, model: Path, tmp_path: Path) -> None:
    layout, _, run = results(scene, model)
    journal = Journal.begin(tmp_path / "j", run, layout)
    with pytest.raises(CallError, match="another run is using"):
        Journal.begin(tmp_path / "j", run, layout)
    journal.close()


def test_an_interrupted_run_continues_where_it_was(
    scene: Path, model: Path, tmp_path: Path, whole: dict[str, bytes]
) -> None:
    interrupt(scene, model, tmp_path / "out", 3)
    calls: list[int] = []
    result = geokd.classify(
        scene,
        model,
        tmp_path / "out",
        ClassifyOptions(block_px=40, resume=True, workers=1),
        progress=lambda _, *, done=0, total=0: calls.append(done),
    )
    run_record = result.manifest.to_json()["run"]
    assert run_record["resumed_blocks"] >= 3
    assert calls == list(range(run_record["resumed_blocks"] + 1, run_record["blocks"] + 1))
    assert rasters(tmp_path / "out") == whole
    assert not (tmp_path / "out" / JOURNAL).exists()


def test_an_interrupted_run_is_not_dropped_unasked(scene: Path, model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    interrupt(scene, model, out, 2)
    with pytest.raises(CallError, match=r"holds an interrupted run of .*fields\.tif; continue it with --resume"):
        geokd.classify(scene, model, out, SMALL_BLOCKS)
    with pytest.raises(CallError, match=r"with other settings: stride_px was 4, is 8\. Repeat the same call"):
        geokd.classify(scene, model, out, ClassifyOptions(block_px=40, stride_px=8, resume=True))
    assert (out / JOURNAL).exists()
    geokd.classify(scene, model, out, ClassifyOptions(stride_px=8, overwrite=True))
    assert not (out / JOURNAL).exists()


def test_a_scene_that_was_replaced_meanwhile_is_no_longer_the_same(scene: Path, model: Path, tmp_path: Path) -> None:
    copy = tmp_path / "fields.tif"
    copy.write_bytes(scene.read_bytes())
    interrupt(copy, model, tmp_path / "out", 2)
    os.utime(copy, (1, 1))
    with pytest.raises(CallError, match=r"fields\.tif changed since the interrupted run in .*; start anew with --o"):
        geokd.classify(copy, model, tmp_path / "out", ClassifyOptions(block_px=40, resume=True))


def test_another_scene_of_the_same_size_and_time(scene: Path, model: Path, tmp_path: Path) -> None:
    """As archives restore them that set all times."""
    copy = write_scene(tmp_path / "fields.tif", three_fields(100, 130), photometric="RGB")
    status = copy.stat()
    interrupt(copy, model, tmp_path / "out", 2)
    write_scene(copy, three_fields(100, 130)[::-1], photometric="RGB")
    os.utime(copy, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert copy.stat().st_size == status.st_size
    with pytest.raises(CallError, match=r"fields\.tif changed since the interrupted run in .*; start anew with --o"):
        geokd.classify(copy, model, tmp_path / "out", ClassifyOptions(block_px=40, resume=True))


def test_another_scene_at_the_same_address(model: Path, tmp_path: Path) -> None:
    served = write_scene(tmp_path / "fields.tif", three_fields(100, 130), photometric="RGB")
    seen = []
    with store_of(tmp_path, tmp_path / "log.txt") as store:
        for signature in ("a=SECRET", "b=SECRET", "c=SECRET"):  # each is fetched anew
            (job,) = plan_jobs([f"{store.url}/fields.tif?{signature}"], model, tmp_path / "out", SMALL_BLOCKS)
            seen.append({key: job.run[key] for key in ("scene", "scene_pixels")})
            if len(seen) == 2:
                write_scene(served, three_fields(100, 130)[::-1], photometric="RGB")
    assert seen[0] == seen[1]
    assert seen[1]["scene"] == seen[2]["scene"]
    assert seen[1]["scene_pixels"] != seen[2]["scene_pixels"]


def test_a_scene_replaced_while_it_is_mapped(scene: Path, model: Path, tmp_path: Path) -> None:
    copy = tmp_path / "fields.tif"
    copy.write_bytes(scene.read_bytes())
    with pytest.raises(SceneError, match="changed while it was being mapped; start again"):
        geokd.classify(copy, model, tmp_path / "out", SMALL_BLOCKS, progress=lambda *_, **__: os.utime(copy, (1, 1)))
    assert not (tmp_path / "out").exists()


def test_a_scene_that_vanishes_while_it_is_mapped(scene: Path, model: Path, tmp_path: Path) -> None:
    copy = tmp_path / "fields.tif"
    copy.write_bytes(scene.read_bytes())
    away = tmp_path / "away.tif"

    def progress(_message: str, *, done: int = 0, total: int = 0) -> None:
        if done == 1 and copy.exists():
            copy.rename(away)

    with pytest.raises(
        CallError, match=r"no such file: .*fields\.tif; \d+ of 20 blocks are kept; continue with --resume"
    ):
        geokd.classify(copy, model, tmp_path / "out", SMALL_BLOCKS, progress=progress)
    away.rename(copy)
    result = geokd.classify(copy, model, tmp_path / "out", ClassifyOptions(block_px=40, resume=True))
    assert result.manifest.to_json()["run"]["resumed_blocks"] >= 1


def test_what_is_finished_is_not_done_again(scene: Path, model: Path, tmp_path: Path) -> None:
    first = geokd.classify(scene, model, tmp_path / "out", SMALL_BLOCKS)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}
    (tmp_path / "out" / JOURNAL).write_text("of a run that was killed when all but this was done")
    again = geokd.classify(scene, model, tmp_path / "out", ClassifyOptions(resume=True))  # of whatever blocks
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()} == before
    assert again.manifest == first.manifest
    np.testing.assert_array_equal(again.class_map.codes, first.class_map.codes)
    np.testing.assert_array_equal(again.class_map.confidence, first.class_map.confidence)
    with pytest.raises(CallError, match="holds .* already"):
        geokd.classify(scene, model, tmp_path / "out", ClassifyOptions(resume=True, min_confidence=0.5))


def classify(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["classify", *map(str, arguments)])


def test_other_scenes_continue_where_one_fails(scene: Path, model: Path, tmp_path: Path) -> None:
    bare = [write_scene(tmp_path / f"bare{n}.tif", three_fields(20, 20), crs=None) for n in (1, 2)]
    other = write_scene(tmp_path / "other.tif", three_fields(40, 50), photometric="RGB")
    result = classify(bare[0], scene, bare[1], other, "-m", model, "-o", tmp_path / "out", "--on-error", "skip")
    assert result.exit_code == 1
    assert "Error: 2 of 4 scenes could not be mapped:\n" in result.stderr
    assert result.stderr.count("it has no coordinate reference system") == 1  # grouped
    assert {path.name for path in (tmp_path / "out").glob("*.tif")} == {
        f"{stem}_{kind}.tif" for stem in ("fields", "other") for kind in ("landuse", "confidence")
    }
    again = classify(scene, other, "-m", model, "-o", tmp_path / "out", "--resume")
    assert again.exit_code == 0
    assert again.stderr.count("finished by an earlier run") == 2


def test_one_that_fails_stops_the_others_by_default(scene: Path, model: Path, tmp_path: Path) -> None:
    gone = write_scene(tmp_path / "gone.tif", three_fields(40, 50), photometric="RGB")
    jobs = plan_jobs([gone, scene], model, tmp_path / "out", ClassifyOptions())
    gone.unlink()
    ((job, outcome),) = run_jobs(jobs)
    assert (job.plan.path, type(outcome)) == (str(gone), CallError)
    outcomes = {job.plan.path: outcome for job, outcome in run_jobs(jobs, on_error="skip")}
    assert isinstance(outcomes[str(gone)], CallError)
    assert outcomes[str(scene)].outputs["class_raster"].is_file()  # type: ignore[union-attr]


def test_all_scenes_of_a_call_are_mapped_as_each_alone(
    scene: Path, model: Path, tmp_path: Path, whole: dict[str, bytes]
) -> None:
    other = write_scene(tmp_path / "other.tif", three_fields(60, 50), photometric="RGB")
    jobs = plan_jobs([other, scene], model, tmp_path / "out", SMALL_BLOCKS)
    assert [job for job, _ in run_jobs(jobs)] == jobs
    assert {name: content for name, content in rasters(tmp_path / "out").items() if name in whole} == whole


def start(scene: Path, model: Path, out: Path, *arguments: str, limit: int | None = None) -> subprocess.Popen[str]:
    def before() -> None:
        if limit is not None:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # so that writing fails with an error, as on a full disk
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    return subprocess.Popen(
        [sys.executable, "-m", "geokd", "classify", scene, "-m", model, "-o", out, "-q", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path.cwd(),
        env={k: v for k, v in os.environ.items() if not k.startswith("COVERAGE")},  # its file has the limit, too
        preexec_fn=before,  # noqa: PLW1509  no thread of the tests holds a lock here
    )


@pytest.mark.skipif(sys.platform == "win32", reason="kill -9 is POSIX")
@pytest.mark.parametrize("engine", [[], pytest.param(["--processes"], marks=pytest.mark.slow)])
def test_a_killed_process_loses_nothing(engine: list[str], model: Path, tmp_path: Path) -> None:
    """The real command, killed each time it has got somewhere, and resumed, until it gets to its end."""
    scene = write_scene(tmp_path / "fields.tif", three_fields(1200, 1200), photometric="RGB")
    arguments = ("--stride", "2", *engine)
    geokd.classify(scene, model, tmp_path / "whole", ClassifyOptions(stride_px=2))
    journal, out = tmp_path / "out" / JOURNAL, tmp_path / "out"
    for _ in range(3):
        before = journal.stat().st_size if journal.exists() else 0
        running = start(scene, model, out, "--resume", *arguments)
        while not (journal.exists() and journal.stat().st_size > before + 1000):
            assert running.poll() is None, "it was at its end before it could be killed"
            time.sleep(0.002)
        time.sleep(0.05)  # the record that has begun gets to its end; the next may be cut off
        running.kill()
        running.communicate()
        assert sorted(path.name for path in out.iterdir()) == [JOURNAL, WORK]  # which the next run puts in order
    running = start(scene, model, out, "--resume", "--json", *arguments)
    printed, talk = running.communicate(timeout=100)
    assert (running.returncode, talk) == (0, "")
    assert json.loads(printed)["run"]["resumed_blocks"] >= 3
    assert rasters(out) == rasters(tmp_path / "whole")
    assert len(list(out.iterdir())) == 11


@pytest.mark.skipif(sys.platform == "win32", reason="limits of POSIX")
def test_a_full_disk_is_one_sentence_and_the_journal_is_kept(
    scene: Path, model: Path, tmp_path: Path, whole: dict[str, bytes]
) -> None:
    out = tmp_path / "out"
    running = start(scene, model, out, "--stride", "1", "--resume", limit=20_000)
    _, talk = running.communicate(timeout=60)
    assert running.returncode == 1
    assert talk.startswith(f"Error: cannot write {out / JOURNAL}: File too large; make room")
    assert talk.count("\n") == 1


def test_outputs_that_cannot_be_written_leave_the_journal(
    scene: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: dict[str, bytes]
) -> None:
    def full(*_: object) -> None:
        raise OutputError("cannot write fields_landuse.gpkg: No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("geokd.maps.polygons.geopackage.write_polygons", full)
        with pytest.raises(
            OutputError, match="No space left on device; 20 of 20 blocks are kept; continue with --resume"
        ):
            geokd.classify(scene, model, tmp_path / "out", SMALL_BLOCKS)
    assert [path.name for path in (tmp_path / "out").iterdir()] == [JOURNAL]
    result = geokd.classify(scene, model, tmp_path / "out", ClassifyOptions(block_px=40, resume=True))
    run_record = result.manifest.to_json()["run"]
    assert (run_record["blocks"], run_record["resumed_blocks"]) == (20, 20)
    assert rasters(tmp_path / "out") == whole


def test_a_lost_worker_of_a_cluster_loses_nothing(
    scene: Path, model: Path, tmp_path: Path, whole: dict[str, bytes]
) -> None:
    from distributed import LocalCluster

    with (
        mock.patch.dict(os.environ),  # the cluster leaves OMP_NUM_THREADS there
        LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster,
    ):
        killed: list[int] = []

        def progress(_message: str, *, done: int = 0, total: int = 0) -> None:
            if done == 3:
                killed.append(next(iter(cluster.workers.values())).pid)
                os.kill(killed[0], signal.SIGKILL)

        options = ClassifyOptions(block_px=40, scheduler=cluster.scheduler_address)
        geokd.classify(scene, model, tmp_path / "out", options, progress=progress)
    assert killed
    assert rasters(tmp_path / "out") == whole
