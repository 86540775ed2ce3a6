"""Dense students, which answer for every pixel: what holds for their maps, and for each command that takes them."""

import csv
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
import rasterio
from click.testing import CliRunner, Result
from numpy.typing import NDArray
from rasterio.windows import Window

import geokd
from geokd.cli import main
from geokd.errors import CallError, SceneError
from geokd.legend.classes import NODATA
from geokd.mapping import scene_run
from geokd.mapping.blocks import FAMILIAR_PX
from geokd.mapping.cells import CellAnswers, decide_cells
from geokd.mapping.classify import make_map
from geokd.mapping.options import ClassifyOptions
from geokd.mapping.planning import plan_jobs
from geokd.model.contract import ValueScaling
from geokd.model.engine import let_students_rest, make_student, softmax
from geokd.scenes import tiles
from geokd.scenes.grid import SceneGrid
from geokd.scenes.patches import DenseGrid, PatchBlock
from geokd.scenes.reader import mirrored, read_window
from tests.cli.test_evaluate import write_chips
from tests.tiny import DENSE_MARGIN_PX, DENSE_PATCH_PX, GAIN, dense_bundle, three_fields, write_scene

STEP_PX = DENSE_PATCH_PX - 2 * DENSE_MARGIN_PX


def save(folder: Path, bundle: Any) -> Path:
    path = folder / "student.onnx"
    path.write_bytes(bundle.onnx_bytes)
    return path


def rasters(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*.tif")}


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, list(map(str, arguments)))


def monkey_cores(count: int) -> Any:
    return mock.patch("geokd.mapping.options.available_cores", lambda: count)


def around_each_pixel(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """What the tiny dense student says of each pixel of a whole scene that is mirrored beyond its edges."""
    rows, cols = (mirrored(-1, size + 2, size) for size in pixels.shape[1:])
    wide = pixels[:, rows][:, :, cols].astype(np.float64)
    height, width = pixels.shape[1:]
    total = sum(wide[:, i : i + height, j : j + width] for i in range(3) for j in range(3))
    return np.asarray(GAIN * total / 9, np.float32)


@pytest.mark.parametrize("shape", [(100, 130), (STEP_PX, STEP_PX), (5, 7), (1, 40), (STEP_PX + 1, 3 * STEP_PX - 1)])
def test_every_pixel_is_seen_in_its_surroundings(dense_model: Path, tmp_path: Path, shape: tuple[int, int]) -> None:
    """Answers at the edge of a patch, where this student sees zeros, are not used; beyond the scene it is mirrored."""
    pixels = three_fields(*shape) if shape[1] >= 3 else np.zeros((3, *shape), np.uint8)
    scene = write_scene(tmp_path / "s.tif", pixels, photometric="RGB")
    class_map = geokd.classify(scene, dense_model, tmp_path / "out").class_map
    logits = around_each_pixel(pixels)
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=0)
    assert (class_map.grid.height, class_map.grid.width) == shape
    assert class_map.grid.transform == SceneGrid(class_map.grid.transform, *shape, class_map.grid.crs).transform
    np.testing.assert_array_equal(class_map.codes, logits.argmax(axis=0))
    assert np.abs(class_map.confidence - 100 * probabilities.max(axis=0)).max() <= 0.51


def test_without_a_margin_the_edges_of_patches_would_show(tmp_path: Path) -> None:
    pixels = np.full((3, 60, 60), 100, np.uint8)
    pixels[0] = 200
    scene = write_scene(tmp_path / "s.tif", pixels, photometric="RGB")
    confidence = geokd.classify(scene, save(tmp_path, dense_bundle(margin_px=0)), tmp_path / "out").class_map.confidence
    assert len(np.unique(confidence)) > 1  # so the test above does show that the margin is left out


@pytest.mark.parametrize("cell_px", [1, 2, 4])
def test_maps_do_not_depend_on_how_the_work_is_shared(scene: Path, tmp_path: Path, cell_px: int) -> None:
    model = save(tmp_path, dense_bundle(cell_px))
    options = ClassifyOptions(probabilities=True, smooth_cells=3, min_confidence=0.3)
    geokd.classify(scene, model, tmp_path / "whole", options)
    whole = rasters(tmp_path / "whole")
    assert len(whole) == 3
    ways: list[dict[str, Any]] = [{"block_px": 24, "workers": 1}, {"block_px": 60, "workers": 3}, {"block_px": 41}]
    for number, way in enumerate(ways):
        geokd.classify(scene, model, tmp_path / str(number), replace(options, **way))
        assert rasters(tmp_path / str(number)) == whole


def test_processes_give_the_same_map(scene: Path, dense_model: Path, tmp_path: Path) -> None:
    for engine in ("threads", "processes"):
        options = ClassifyOptions(engine=engine, workers=2, block_px=60)
        geokd.classify(scene, dense_model, tmp_path / engine, options)
    assert rasters(tmp_path / "threads") == rasters(tmp_path / "processes")


@pytest.mark.parametrize("options", [ClassifyOptions(), ClassifyOptions(probabilities=True, min_area_ha=1.0)])
def test_an_interrupted_map_continues_bit_for_bit(
    scene: Path, dense_model: Path, tmp_path: Path, options: ClassifyOptions
) -> None:
    options = replace(options, block_px=40)
    geokd.classify(scene, dense_model, tmp_path / "whole", options)

    def progress(_message: str, *, done: int = 0, total: int = 0) -> None:
        if done == 7:
            raise KeyboardInterrupt

    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        geokd.classify(scene, dense_model, out, options, progress=progress)
    with pytest.raises(CallError, match="min_confidence was 0.0, is 0.5"):
        geokd.classify(scene, dense_model, out, replace(options, resume=True, min_confidence=0.5))
    result = geokd.classify(scene, dense_model, out, replace(options, resume=True))
    assert result.manifest.to_json()["run"]["resumed_blocks"] >= 7
    assert rasters(out) == rasters(tmp_path / "whole")
    again = geokd.classify(scene, dense_model, out, replace(options, resume=True))
    assert again.manifest.to_json()["date"] == result.manifest.to_json()["date"]  # nothing was done


def test_the_journal_holds_little_more_than_two_bytes_a_cell(dense_model: Path, tmp_path: Path) -> None:
    scene = write_scene(tmp_path / "s.tif", three_fields(800, 800), photometric="RGB", compress="deflate")
    sizes: list[int] = []
    journal = tmp_path / "out" / ".s.geokd-journal"
    geokd.classify(scene, dense_model, tmp_path / "out", progress=lambda *_, **__: sizes.append(journal.stat().st_size))
    pictures = 3.2 * 800 * 800  # of so small a scene every pixel is shown
    assert 2 * 800 * 800 <= max(sizes) - pictures <= 2.3 * 800 * 800


def test_cells_without_a_valid_pixel_are_not_mapped(tmp_path: Path) -> None:
    pixels = three_fields(50, 70)
    pixels[:, :20, :30] = 0
    pixels[:, 40, 60] = 0
    pixels[:, 10, 10] = 77  # alone among invalid ones: it gets a class all the same
    scene = write_scene(tmp_path / "s.tif", pixels, photometric="RGB", nodata=0)
    valid = (pixels != 0).any(axis=0)
    for cell_px in (1, 4):
        model = save(tmp_path, dense_bundle(cell_px))
        result = geokd.classify(scene, model, tmp_path / "out", ClassifyOptions(overwrite=True, probabilities=True))
        rows, cols = -(-50 // cell_px), -(-70 // cell_px)
        padded = np.zeros((rows * cell_px, cols * cell_px), bool)
        padded[:50, :70] = valid
        cells = padded.reshape(rows, cell_px, cols, cell_px).any(axis=(1, 3))
        np.testing.assert_array_equal(result.class_map.codes != NODATA, cells)
        np.testing.assert_array_equal(result.class_map.confidence != NODATA, cells)
        assert result.manifest.to_json()["unmapped_cells"] == {
            "without_valid_pixel": int((~cells).sum()),
            "in_no_classified_patch": 0,
            "outside_area": None,
        }
        with rasterio.open(result.outputs["probability_raster"]) as raster:
            np.testing.assert_array_equal((raster.read() != NODATA).all(axis=0), cells)


def test_a_least_valid_share_leaves_out_patches(tmp_path: Path, dense_model: Path) -> None:
    pixels = three_fields(48, 48)
    pixels[:, :, :40] = 0
    scene = write_scene(tmp_path / "s.tif", pixels, photometric="RGB", nodata=0)
    result = geokd.classify(scene, dense_model, tmp_path / "out", ClassifyOptions(min_valid_share=0.9))
    assert result.manifest.to_json()["unmapped_cells"]["in_no_classified_patch"] == 48 * 8
    assert "patches with less than 90 % valid pixels are not classified" in "; ".join(
        result.manifest.to_json()["notes"]
    )
    run_record = result.manifest.to_json()["run"]
    assert (run_record["patches"], run_record["classified_patches"]) == (9, 0)


@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_classes_confidence_and_probabilities_are_those_of_softmax(temperature: float) -> None:
    logits = np.random.default_rng(3).normal(0, 3, (5, 40, 30)).astype(np.float32)
    logits[:, 3, 4] = 1.5  # all alike: the lowest code
    logits[1, 5, 6] = logits[3, 5, 6] = 50
    wanted = softmax(logits.reshape(5, -1).T, temperature).T.reshape(logits.shape)
    cells = CellAnswers.unmapped(PatchBlock(0, 1, 0, 1), (37, 28), 5)
    decide_cells(logits, temperature, 0.0, cells)
    assert cells.percent is not None
    np.testing.assert_array_equal(cells.codes, logits.argmax(axis=0)[:37, :28])
    assert np.abs(cells.percent - 100 * wanted[:, :37, :28]).max() < 0.501
    own = np.take_along_axis(cells.percent, cells.codes[np.newaxis].astype(int), axis=0)[0]
    np.testing.assert_array_equal(own, cells.confidence)
    unsure = CellAnswers.unmapped(PatchBlock(0, 1, 0, 1), (40, 30), None)
    decide_cells(logits, temperature, 0.6, unsure)
    np.testing.assert_array_equal(unsure.codes == 5, wanted.max(axis=0) < 0.6)


def test_unsure_cells_are_recognised_by_the_confidence_before_it_is_rounded() -> None:
    logits = np.log(np.array([[0.496, 0.504], [0.504, 0.496]], np.float32)).reshape(2, 1, 2)
    cells = CellAnswers.unmapped(PatchBlock(0, 1, 0, 1), (1, 2), None)
    decide_cells(logits, 1.0, 0.503, cells)
    assert cells.codes.tolist() == [[1, 0]]
    decide_cells(logits, 1.0, 0.5045, cells)
    assert (cells.codes.tolist(), cells.confidence.tolist()) == ([[2, 2]], [[50, 50]])


def test_a_changed_cell_has_the_probability_of_its_new_class(scene: Path, dense_model: Path, tmp_path: Path) -> None:
    options = ClassifyOptions(smooth_cells=9, probabilities=True, block_px=60)
    result = geokd.classify(scene, dense_model, tmp_path, options)
    codes = result.class_map.codes
    with rasterio.open(result.outputs["probability_raster"]) as raster:
        percent = raster.read()
    own = np.take_along_axis(percent, codes[np.newaxis].astype(int), axis=0)[0]
    np.testing.assert_array_equal(result.class_map.confidence, own)
    without = geokd.classify(scene, dense_model, tmp_path / "b", ClassifyOptions(smooth_cells=9)).class_map
    np.testing.assert_array_equal(without.confidence, own)
    assert result.manifest.to_json()["filters"]["changed_cells"] == (codes != percent.argmax(axis=0)).sum()


def test_probabilities_that_are_kept_are_those_that_were_given() -> None:
    random = np.random.default_rng(3)
    percent = (random.integers(0, 101, (4, 19, 23)) * (random.random((4, 19, 23)) < 0.3)).astype(np.uint8)
    cells = CellAnswers(PatchBlock(0, 1, 0, 1), percent.argmax(axis=0).astype(np.uint8), percent.max(axis=0), percent)
    cells.leave_out(random.random((19, 23)) < 0.2)
    marks, values = cells.possible()
    assert len(values) == marks.sum() < 0.4 * marks.size
    again = CellAnswers.of_possible(cells.block, cells.codes, cells.confidence, marks, values)
    np.testing.assert_array_equal(again.percent, percent, strict=True)


def test_polygons_may_be_left_out(scene: Path, dense_model: Path, tmp_path: Path) -> None:
    done = run("classify", scene, "-m", dense_model, "-o", tmp_path / "out", "--no-polygons", "--report", "--json")
    assert done.exit_code == 0, done.stderr
    manifest = json.loads(done.stdout)
    assert "polygons" not in manifest["outputs"]
    assert not list((tmp_path / "out").glob("*.gpkg"))
    assert {path.name for path in (tmp_path / "out").iterdir()} == set(manifest["outputs"].values())
    with (tmp_path / "out" / manifest["outputs"]["summary"]).open() as file:
        rows = list(csv.DictReader(file))
    assert [row["polygons"] for row in rows] == [""] * 3
    assert sum(int(row["cells"]) for row in rows) == 100 * 130
    again = run("classify", scene, "-m", dense_model, "-o", tmp_path / "out", "--no-polygons", "--simplify", 10)
    assert again.exit_code == 2
    assert "--simplify applies to polygons, which --no-polygons leaves out" in again.stderr


def test_a_stride_is_refused(scene: Path, dense_model: Path, tmp_path: Path) -> None:
    done = run("classify", scene, "-m", dense_model, "-o", tmp_path / "out", "--stride", 8)
    assert done.exit_code == 2
    assert "classifies every pixel of a patch" in done.stderr
    assert "leave out --stride" in done.stderr
    about = json.loads(run("info", scene, "-m", dense_model, "--stride", 8, "--json").stdout)
    assert "leave out --stride" in about["mapping"]["problems"]


def test_what_is_announced_is_what_is_done(scene: Path, dense_model: Path, tmp_path: Path) -> None:
    about = json.loads(run("info", scene, "-m", dense_model, "--json").stdout)
    result = geokd.classify(scene, dense_model, tmp_path / "out")
    assert about["mapping"]["notes"] == result.manifest.to_json()["notes"]
    assert about["mapping"]["map"]["cells"] == 100 * 130
    assert about["mapping"]["expected"]["megapixels_per_second_and_worker"] > 0
    assert "the model classifies every pixel: cells of 10 m" in about["mapping"]["notes"]
    assert not any("stride" in note for note in about["mapping"]["notes"])
    assert result.manifest.to_json()["model"]["task"] == "semantic-segmentation"
    assert result.manifest.to_json()["run"]["megapixels_per_second"] > 0
    item = json.loads(result.outputs["stac_item"].read_text())
    assert item["properties"]["mlm:tasks"] == ["semantic-segmentation"]
    (output,) = item["properties"]["mlm:output"]
    assert output["result"]["shape"] == [-1, 3, DENSE_PATCH_PX, DENSE_PATCH_PX]


def test_commands_on_models(dense_model: Path, tmp_path: Path) -> None:
    assert geokd.verify(dense_model).passed
    chips = write_chips(tmp_path / "chips", {"LAKE": ["blue"] * 3, "Meadow": ["green", "red"], "bare": ["red"] * 4})
    figures = geokd.evaluate(dense_model, chips).to_json()
    assert figures["confusion_matrix"] == [[4, 0, 0], [1, 1, 0], [0, 0, 3]]  # though chips are smaller than patches
    confidence = np.exp(GAIN * 150) / (np.exp(GAIN * 150) + 2)
    assert figures["ece"] == pytest.approx(abs(confidence - 8 / 9), abs=1e-5)
    both = geokd.compare([dense_model, dense_model], chips).to_json()
    assert both["models"][1]["agreement"]["share"] == 1


def test_a_changed_golden_answer_is_reported(tmp_path: Path) -> None:
    bundle = dense_bundle()
    golden = replace(bundle.golden, logits=bundle.golden.logits[:, ::-1].copy())
    assert not geokd.verify(save(tmp_path, replace(bundle, golden=golden))).passed


def test_the_network_must_be_what_the_contract_says(tmp_path: Path) -> None:
    bundle = dense_bundle()
    patches = replace(bundle.contract, cell_px=None, margin_px=0)
    wrong = replace(bundle, contract=patches, golden=replace(bundle.golden, logits=bundle.golden.logits[:, :, 0, 0]))
    with pytest.raises(geokd.errors.BundleError, match=r"yields .* \('n', 3, 24, 24\), the bundle requires .*'N', 3\)"):
        make_student(wrong)


def test_other_commands_take_dense_maps(scene: Path, dense_model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    geokd.classify(scene, dense_model, out, ClassifyOptions(probabilities=True))
    class_map = out / "fields_landuse.tif"
    other = write_scene(tmp_path / "other.tif", three_fields(30, 40), photometric="RGB")
    geokd.classify(other, dense_model, out, ClassifyOptions(probabilities=True, polygons=False))
    for command in (
        ("sample", class_map, "--points", 60, "-o", tmp_path / "sample.gpkg"),
        ("review", class_map, "--points", 20, "-o", tmp_path / "review.gpkg"),
        ("mosaic", class_map, out / "other_landuse.tif", "-o", tmp_path / "joined_landuse.tif", "--no-polygons"),
        ("robustness", scene, "-m", dense_model, "-o", tmp_path / "robust", "--shift", "haze"),
    ):
        done = run(*command)
        assert done.exit_code == 0, done.stderr
    assert not list(tmp_path.glob("joined*.gpkg"))


def test_windows_are_compared_with_the_chips_of_training(tmp_path: Path) -> None:
    """As many, and the same, whatever the blocks; their confidence is the mean of their cells."""
    from geokd.model.drift import chip_features, learn_familiarity

    chips = np.random.default_rng(2).integers(20, 180, (200, 3, 16, 16), dtype=np.uint8)
    features = chip_features(chips)
    known = learn_familiarity(features, np.linspace(0.3, 1, 50), features)
    model = save(tmp_path, replace(dense_bundle(), familiarity=known))
    scene = write_scene(tmp_path / "s.tif", three_fields(100, 130), photometric="RGB")
    drifts = []
    for block_px in (24, 60, 500):
        (job,) = plan_jobs([scene], model, tmp_path / "none", ClassifyOptions(block_px=block_px))
        drifts.append(make_map(job).drift)
    assert drifts[0] is not None
    assert drifts[0].patches == (100 // STEP_PX) * (130 // STEP_PX)  # of 16 px, a patch's own; those cut off are not
    assert FAMILIAR_PX == 64
    assert drifts[1:] == drifts[:1] * 2


@pytest.mark.parametrize("kind", ["dense_model", "model"])
def test_scenes_stored_in_tiles_are_read_the_same(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """Tiles are kept for the blocks that overlap them, and make no difference; patches may overlap, too."""
    student = request.getfixturevalue(kind)
    pixels = three_fields(300, 420)
    pixels[:, 100:140, 200:300] = 0
    maps = []
    in_tiles: dict[str, Any] = {"tiled": True, "blockxsize": 64, "blockysize": 128}
    for name, storage in (("rows", dict[str, Any]()), ("tiles", in_tiles)):
        scene = write_scene(tmp_path / f"{name}.tif", pixels, photometric="RGB", nodata=0, **storage)
        (job,) = plan_jobs([scene], student, tmp_path / "none", ClassifyOptions(block_px=90, workers=3))
        assert (job.kept_tile_px is None) == (name == "rows")
        maps.append(make_map(job))
    np.testing.assert_array_equal(maps[0].class_map.codes, maps[1].class_map.codes)
    np.testing.assert_array_equal(maps[0].class_map.confidence, maps[1].class_map.confidence)
    np.testing.assert_array_equal(maps[0].picture, maps[1].picture)


def noted_tiles(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Note the rows and columns of tiles as they are unpacked."""
    places: list[tuple[int, int]] = []
    unpack = tiles._unpack

    def noted(plan: Any, dataset: Any, place: tuple[int, int], tile_px: tuple[int, int]) -> Any:
        places.append(place)
        return unpack(plan, dataset, place, tile_px)

    monkeypatch.setattr(tiles, "_unpack", noted)
    return places


def test_tiles_are_unpacked_once_and_let_go_of(
    dense_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiled: dict[str, Any] = {"tiled": True, "blockxsize": 64, "blockysize": 64}
    scene = write_scene(tmp_path / "s.tif", three_fields(300, 300), photometric="RGB", **tiled)
    (job,) = plan_jobs([scene], dense_model, tmp_path / "none", ClassifyOptions())
    places = noted_tiles(monkeypatch)
    windows = [Window(col, row, 140, 140) for row in range(-20, 300, 100) for col in range(-20, 300, 100)]
    roomy, tight = tiles.TileCache(), tiles.TileCache(20_000)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda window: roomy.read_window(job.plan, window, (64, 64), "one"), windows))
    assert sorted(places) == [(row, col) for row in range(5) for col in range(5)]
    for window, (pixels, valid) in zip(windows, found, strict=True):
        wanted = read_window(job.plan, window)
        for one, other in ((pixels, wanted[0]), (valid, wanted[1])):
            np.testing.assert_array_equal(one, other)
        np.testing.assert_array_equal(tight.read_window(job.plan, window, (64, 64), "one")[0], wanted[0])
    assert tight._held <= 20_000
    roomy.forget("another")
    assert roomy._held > 20_000
    roomy.forget("one")
    assert roomy._held == 0


@pytest.mark.parametrize("kind", ["dense_model", "model"])
def test_a_map_unpacks_each_tile_once(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiled: dict[str, Any] = {"tiled": True, "blockxsize": 64, "blockysize": 64}
    scene = write_scene(tmp_path / "s.tif", three_fields(300, 300), photometric="RGB", **tiled)
    places = noted_tiles(monkeypatch)
    student = request.getfixturevalue(kind)
    (job,) = plan_jobs([scene], student, tmp_path / "none", ClassifyOptions(block_px=90, workers=2))
    assert len(job.blocks) > 4
    make_map(job)
    assert sorted(places) == [(row, col) for row in range(5) for col in range(5)]


def test_blocks_are_read_in_strips_if_a_row_of_tiles_cannot_be_kept(
    dense_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiled: dict[str, Any] = {"tiled": True, "blockxsize": 64, "blockysize": 64}
    scene = write_scene(tmp_path / "s.tif", three_fields(640, 640), photometric="RGB", **tiled)
    unpack, count = tiles._unpack, 0

    def counted(*arguments: Any) -> Any:
        nonlocal count
        count += 1
        return unpack(*arguments)

    monkeypatch.setattr(tiles, "_unpack", counted)
    monkeypatch.setattr(tiles, "CACHE_BYTES", 20 * 64 * 64 * 3)
    monkeypatch.setattr(tiles.TILES, "_most", tiles.CACHE_BYTES)
    made, counts = [], []
    for abreast in (tiles.blocks_abreast, lambda *_: 1_000):
        monkeypatch.setattr(scene_run, "blocks_abreast", abreast)
        count = 0
        (job,) = plan_jobs([scene], dense_model, tmp_path / "none", ClassifyOptions(block_px=120, workers=1))
        assert len({task.number for task in scene_run.block_tasks(job)}) == len(job.blocks)
        made.append(make_map(job).class_map.codes)
        counts.append(count)
    np.testing.assert_array_equal(made[0], made[1])
    assert counts[0] < 140
    assert counts[1] > 150


def test_the_map_is_the_same_if_memory_is_given_back_before_it_is_put_together(
    scene: Path, dense_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = geokd.classify(scene, dense_model, tmp_path / "a").class_map
    rested = 0

    def rest() -> None:
        nonlocal rested
        rested += 1
        let_students_rest()

    monkeypatch.setattr(scene_run, "_LARGE_CELLS", 0)
    monkeypatch.setattr(scene_run, "let_students_rest", rest)
    for name in "bc":
        after = geokd.classify(scene, dense_model, tmp_path / name).class_map
        np.testing.assert_array_equal(after.codes, before.codes)
        np.testing.assert_array_equal(after.confidence, before.confidence)
    assert rested == 2


def test_fewer_workers_rather_than_too_much_memory(dense_model: Path, tmp_path: Path) -> None:
    scene = write_scene(tmp_path / "s.tif", three_fields(60, 60), photometric="RGB")
    with monkey_cores(5000):
        (job,) = plan_jobs([scene], dense_model, tmp_path / "none", ClassifyOptions())
        assert 0 < job.options.crew.workers < 5000
        assert f"{job.options.crew.workers} workers instead of 5000 stay within 1000 MB" in "; ".join(job.notes)
        with pytest.raises(CallError, match="raise --memory, or use fewer --workers$"):
            plan_jobs([scene], dense_model, tmp_path / "none", ClassifyOptions(workers=5000))


def test_geometry_of_patches() -> None:
    scene = SceneGrid(rasterio.Affine(10, 0, 4e5, 0, -10, 4.2e6), 70, 33, None)
    grid = DenseGrid(scene, 24, 2, 4)
    assert grid.shape == (5, 3)
    assert (grid.cell_grid.height, grid.cell_grid.width) == (35, 17)
    seen = np.zeros((35, 17), int)
    for block in grid.blocks(60, 40):
        seen[grid.own_cells(block)] += 1
        window = grid.block_window(block)
        assert (window.col_off, window.row_off) == (16 * block.col_start - 4, 16 * block.row_start - 4)
        assert (window.width, window.height) == (16 * block.cols + 8, 16 * block.rows + 8)
    assert (seen == 1).all()
    for wrong in ((24, 5, 0), (24, 2, 3), (24, 2, 12), (24, 0, 0)):
        with pytest.raises(ValueError, match="px"):
            DenseGrid(scene, *wrong)


def test_a_scene_that_does_not_fit_is_refused(dense_model: Path, tmp_path: Path) -> None:
    scene = write_scene(tmp_path / "s.tif", three_fields(40, 40), photometric="RGB", crs=None)
    with pytest.raises(SceneError, match="no coordinate reference system"):
        geokd.classify(scene, dense_model, tmp_path / "out")


def test_four_bands_of_reflectance(tmp_path: Path) -> None:
    """Each band by its own stretch; the fourth decides where it is the brightest."""
    scaling = ValueScaling(maximum=(2750.0, 2750.0, 2750.0, 5500.0))
    model = save(
        tmp_path, dense_bundle(bands=("B04", "B03", "B02", "B08"), scaling=scaling, classes=("a", "b", "c", "d"))
    )
    dn = np.full((4, 40, 60), 1000, np.uint16)
    dn[3, :, 30:] = 5000
    scene = write_scene(tmp_path / "s.tif", dn, ("B04", "B03", "B02", "B08"))
    codes = geokd.classify(scene, model, tmp_path / "out").class_map.codes
    assert (codes[:, 31:] == 3).all()
    assert (codes[:, :29] == 0).all()
