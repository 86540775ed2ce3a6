"""Whole maps: against a plain reference, and the same however the work is spread."""

import dataclasses
import gc
import json
import pickle
import shutil
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pyogrio
import pytest
import rasterio
import shapely
from affine import Affine
from numpy.typing import NDArray

import geokd
from geokd.errors import BundleError, CallError, GeokdError, OutputError, SceneError
from geokd.mapping.many import plan_call, run_call
from geokd.mapping.options import ClassifyOptions, RunOptions
from geokd.mapping.planning import plan_jobs
from geokd.mapping.scene_run import ClassifyResult, block_tasks
from geokd.maps.class_map import ClassMap
from geokd.maps.manifest import read_manifest
from tests.tiny import GAIN, PATCH_PX, three_fields, write_scene

STRIDE_PX = 4
MIN_VALID_SHARE = 0.25


def reference(pixels: NDArray[np.uint8], valid: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Codes and confidences by plain loops: reflect, fill gaps, softmax of scaled means, mean over patches."""
    _, height, width = pixels.shape
    rows, cols = -(-height // STRIDE_PX), -(-width // STRIDE_PX)
    span = PATCH_PX // STRIDE_PX
    patch_rows, patch_cols = max(1, rows - span + 1), max(1, cols - span + 1)
    missing = [
        (0, max(0, n * STRIDE_PX + PATCH_PX - STRIDE_PX - m)) for n, m in ((patch_rows, height), (patch_cols, width))
    ]
    padded = np.pad(pixels, [(0, 0), *missing], mode="reflect" if min(height, width) > 1 else "edge")
    padded_valid = np.pad(valid, missing, mode="reflect" if min(height, width) > 1 else "edge")
    total = np.zeros((rows + span, cols + span, 3))
    count = np.zeros((rows + span, cols + span))
    for r, c in np.ndindex(patch_rows, patch_cols):
        inside = np.s_[r * STRIDE_PX : r * STRIDE_PX + PATCH_PX, c * STRIDE_PX : c * STRIDE_PX + PATCH_PX]
        patch, good = padded[:, *inside].astype(float), padded_valid[inside]
        if good.mean() < MIN_VALID_SHARE:
            continue
        for band in patch:
            band[~good] = np.floor(band[good].mean() + 0.5)
        weights = np.exp(GAIN * (patch.mean(axis=(1, 2)) - patch.mean()))
        total[r : r + span, c : c + span] += weights / weights.sum()
        count[r : r + span, c : c + span] += 1
    codes = np.full((rows, cols), 255)
    confidence = np.full((rows, cols), np.nan)
    for r, c in np.ndindex(rows, cols):
        own = valid[r * STRIDE_PX : (r + 1) * STRIDE_PX, c * STRIDE_PX : (c + 1) * STRIDE_PX]
        if own.any() and count[r, c]:
            codes[r, c] = total[r, c].argmax()
            confidence[r, c] = 100 * total[r, c].max() / count[r, c]
    return codes, confidence


@pytest.mark.parametrize("size", [(100, 130), (16, 16), (17, 15), (5, 7), (1, 1), (33, 50), (16, 90)])
@pytest.mark.parametrize("gaps", [False, True])
def test_map_equals_the_reference(tmp_path: Path, model: Path, size: tuple[int, int], gaps: bool) -> None:
    pixels = three_fields(*size)
    if gaps:
        generator = np.random.default_rng(3)
        pixels[:, generator.random(size) < 0.3] = 0
        pixels[:, : size[0] // 2, : size[1] // 2] = 0
    profile: dict[str, Any] = {"nodata": 0} if gaps else {}
    scene = write_scene(tmp_path / "scene.tif", pixels, photometric="RGB", **profile)
    result = geokd.classify(scene, model, tmp_path / "out", ClassifyOptions(block_px=40))
    valid = (pixels != 0).all(axis=0) if gaps else np.ones(size, np.bool_)
    codes, confidence = reference(pixels, valid)
    np.testing.assert_array_equal(result.class_map.codes, codes)
    mapped = codes != 255
    np.testing.assert_array_equal(result.class_map.confidence[~mapped], 255)
    np.testing.assert_allclose(result.class_map.confidence[mapped], confidence[mapped], rtol=0, atol=0.5001)
    if min(size) > 90 and gaps:
        assert 0 < mapped.sum() < mapped.size  # both kinds were there to be told apart


def test_fields_get_their_classes_in_their_places(scene: Path, model: Path, tmp_path: Path) -> None:
    result = geokd.classify(scene, model, tmp_path / "out")
    codes = result.class_map.codes
    assert codes.shape == (25, 33)
    assert [np.unique(codes[:, cols]).tolist() for cols in (np.s_[:8], np.s_[13:19], np.s_[25:])] == [[0], [1], [2]]
    with rasterio.open(result.outputs["class_raster"]) as raster, rasterio.open(scene) as source:
        np.testing.assert_array_equal(raster.read(1), codes)
        assert raster.crs == source.crs
        assert raster.transform == source.transform @ Affine.scale(STRIDE_PX)
        assert raster.nodata == 255
    with rasterio.open(result.outputs["confidence_raster"]) as raster:
        np.testing.assert_array_equal(raster.read(1), result.class_map.confidence)


def test_raw_reflectance_with_four_bands(model: Path, tmp_path: Path) -> None:
    stretched = three_fields(40, 60)
    raw = np.concatenate([stretched.astype(np.uint16) * 10, np.full((1, 40, 60), 9000, np.uint16)])
    names = ("B02", "B03", "B04", "B08")  # in the other order than the model's
    scene = write_scene(tmp_path / "raw.tif", raw, names)
    result = geokd.classify(scene, model, tmp_path / "out")
    assert result.manifest.to_json()["options"]["bidx"] == [3, 2, 1]
    assert (result.class_map.codes[:, 0] == 2).all()  # band 1 is the model's third
    assert (result.class_map.codes[:, -1] == 0).all()


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    from distributed import LocalCluster

    with LocalCluster(n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None) as running:
        yield running.scheduler_address


def test_map_does_not_depend_on_how_the_work_is_spread(
    scene: Path, model: Path, tmp_path: Path, cluster: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(scene.parent)  # a relative path, which workers elsewhere would not find
    ways = {
        "1 worker": ClassifyOptions(workers=1),
        "2 workers": ClassifyOptions(workers=2),
        "a block a patch": ClassifyOptions(workers=2, block_px=1),
        "blocks of 37 px": ClassifyOptions(workers=2, block_px=37),
        "processes": ClassifyOptions(workers=2, engine="processes", block_px=60),
        "cluster": ClassifyOptions(scheduler=cluster, block_px=60),
    }
    rasters = {}
    for way, options in ways.items():
        result = geokd.classify(scene.name, model, tmp_path / way, options)
        rasters[way] = tuple(result.outputs[name].read_bytes() for name in ("class_raster", "confidence_raster"))
    assert result.manifest.to_json()["options"]["scheduler"] == cluster
    assert result.manifest.to_json()["options"]["workers"] is None
    assert len(set(rasters.values())) == 1, {way: len(pair[0]) for way, pair in rasters.items()}


def test_what_lies_past_the_end_is_no_data(model: Path, tmp_path: Path) -> None:
    """The last cells reach past the scene; their own pixels are invalid, those mirrored into them are not."""
    pixels = three_fields(18, 18)
    pixels[:, :, 16:] = 0
    scene = write_scene(tmp_path / "edge.tif", pixels, nodata=0, photometric="RGB")
    codes = geokd.classify(scene, model, tmp_path / "out").class_map.codes
    assert (codes != 255).tolist() == [[True] * 4 + [False]] * 5


def test_tasks_carry_absolute_paths_and_no_pixels(
    scene: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (job,) = plan_jobs([scene.name], model, tmp_path, ClassifyOptions(block_px=40))
    tasks = list(block_tasks(job))
    assert {(task.plan.path, task.model) for task in tasks} == {(str(scene), model)}
    sizes = [len(pickle.dumps(task)) for task in tasks]
    assert len(sizes) > 4
    assert max(sizes) < 5000


def test_scene_without_data(model: Path, tmp_path: Path) -> None:
    scene = write_scene(tmp_path / "empty.tif", np.zeros((3, 40, 50), np.uint8), nodata=0, photometric="RGB")
    result = geokd.classify(scene, model, tmp_path / "out")
    assert (result.class_map.codes == 255).all()
    assert result.manifest.to_json()["valid_cells"] == 0
    assert result.manifest.to_json()["unmapped_cells"] == {
        "without_valid_pixel": 130,
        "in_no_classified_patch": 0,
        "outside_area": None,
    }
    assert result.manifest.to_json()["warnings"]
    assert all(path.is_file() for path in result.outputs.values())


def test_a_lone_pixel_is_too_little_to_classify(model: Path, tmp_path: Path) -> None:
    pixels = np.zeros((3, 40, 50), np.uint8)
    pixels[:, 20, 20] = 90
    scene = write_scene(tmp_path / "lone.tif", pixels, nodata=0, photometric="RGB")
    result = geokd.classify(scene, model, tmp_path / "out")
    assert result.manifest.to_json()["unmapped_cells"] == {
        "without_valid_pixel": 129,
        "in_no_classified_patch": 1,
        "outside_area": None,
    }
    result = geokd.classify(scene, model, tmp_path / "all", ClassifyOptions(min_valid_share=0))
    assert result.manifest.to_json()["valid_cells"] == 1


def run(scene: Path, model: Path, folder: Path, **options: Any) -> ClassifyResult:
    return geokd.classify(scene, model, folder, ClassifyOptions(**options))


def test_every_option_of_the_map_is_in_its_fingerprint(scene: Path, model: Path, tmp_path: Path) -> None:
    fields, of_the_run = ({field.name for field in dataclasses.fields(o)} for o in (ClassifyOptions, RunOptions))

    def fingerprint(**options: Any) -> str:
        (job,) = plan_jobs([scene], model, tmp_path, ClassifyOptions(**options))
        return job.fingerprint

    plain = fingerprint()
    with rasterio.open(scene) as dataset:
        west, south, east, north = dataset.bounds
        profile = dataset.profile | {"count": 1, "photometric": "MINISBLACK"}
    halves = [shapely.box(west, south, (west + east) / 2, north), shapely.box(west, south, east, north)]
    area, mask = tmp_path / "area.gpkg", tmp_path / "mask.tif"
    geopandas.GeoDataFrame({"name": ["west", "whole"]}, geometry=halves, crs=profile["crs"]).to_file(area)
    with rasterio.open(mask, "w", **profile) as dataset:
        dataset.write(np.zeros((1, profile["height"], profile["width"]), np.uint8))
    alike: list[dict[str, Any]] = [{"workers": 1}, {"block_px": 40}, {"memory_mb": 900}, {"report": True}]
    assert {fingerprint(**options) for options in alike} == {plain}
    others: list[dict[str, Any]] = [
        *(
            {"stride_px": 8},
            {"bidx": (3, 2, 1)},
            {"nodata": 7.0},
            {"resample_m": 11.0},
            {"bbox": (-77.0, 37, -76.13, 38)},
            {"aoi": str(area)},
            {"aoi": str(area), "where": "name = 'west'"},
            {"mask": f"{mask}:1"},
        ),
        *(
            {"min_valid_share": 0.5},
            {"min_confidence": 0.4},
            {"min_confidence_of": {"Lake": 0.4}},
            {"smooth_cells": 3},
            {"min_area_ha": 1.0},
        ),
        *({"simplify_m": 5.0}, {"acquired": "2020-01-01"}, {"value_scale": 2.0}, {"value_offset": 1.0}),
    ]
    assert fields - of_the_run == {name for options in others for name in options}
    assert len({plain, *(fingerprint(**options) for options in others)}) == len(others) + 1


def test_manifest(scene: Path, model: Path, tmp_path: Path) -> None:
    result = run(scene, model, tmp_path / "out", stride_px=8, workers=1)
    manifest = json.loads(result.outputs["manifest"].read_text(encoding="utf-8"))
    assert manifest == result.manifest.to_json()
    assert read_manifest(result.outputs["manifest"]) == result.manifest
    assert manifest["legend"][1] == {"value": 1, "name": "meadow", "title": "Meadow", "color_hint": "B7E07A"}
    assert manifest["options"] == {
        "model": str(model),
        "patch_px": 16,
        "stride_px": 8,
        "cell_px": 8,
        "margin_px": 0,
        "bidx": [1, 2, 3],
        "value_scale": 1.0,
        "value_offset": 0.0,
        "value_scaling": None,
        "nodata": None,
        "mask": None,
        "resample_m": None,
        "aoi": None,
        "where": None,
        "bbox": None,
        "min_valid_share": 0.25,
        "min_confidence": 0.0,
        "min_confidence_of": {},
        "smooth_cells": 1,
        "min_area_ha": 0.0,
        "simplify_m": 0.0,
        "polygons": True,
        "probabilities": False,
        "report": False,
        "acquired": None,
        "workers": 1,
        "engine": "threads",
        "scheduler": None,
        "block_px": [256, 256],
        "memory_mb": 1000,
        "overwrite": False,
        "resume": False,
    }
    assert manifest["valid_cells"] == 13 * 17
    assert manifest["area_ha"] == 13 * 17 * 0.64
    assert sum(area["cells"] for area in manifest["areas"]) == 13 * 17
    run_record = manifest["run"]
    assert (run_record["patches"], run_record["classified_patches"]) == (12 * 16, 12 * 16)
    assert (run_record["blocks"], run_record["resumed_blocks"]) == (1, 0)
    assert set(manifest["run"]["seconds"]) == {"classify", "mosaic", "write"}
    assert manifest["run"]["peak_memory_mb"] > 30
    _, _, _, columns = pyogrio.raw.read(result.outputs["polygons"], columns=["area_ha"], layer="land_use")
    assert columns[0].sum() == pytest.approx(manifest["area_ha"], rel=1e-12)


def tree(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture
def broken_model(tmp_path: Path, model: Path) -> Path:
    path = tmp_path / "broken.onnx"
    path.write_bytes(model.read_bytes()[:400])
    return path


def wrong_scene(folder: Path, kind: str) -> Path:
    path = folder / f"{kind}.tif"
    pixels = three_fields(40, 50)
    if kind == "missing":
        return path
    if kind == "not_a_raster":
        path.write_text("hello")
        return path
    if kind == "no_crs":
        return write_scene(path, pixels, crs=None)
    if kind == "one_band":
        return write_scene(path, pixels[:1])
    if kind == "wrong_pixel_size":
        return write_scene(path, pixels, transform=Affine(30, 0, 4e5, 0, -30, 4.2e6))
    if kind == "damaged":
        noise = np.random.default_rng(0).integers(0, 256, (3, 300, 300), dtype=np.uint8)
        content = bytearray(write_scene(path, noise, photometric="RGB", compress="deflate").read_bytes())
        content[100_000:110_000] = bytes(10_000)
        path.write_bytes(content)
        return path
    raise AssertionError(kind)


@pytest.mark.parametrize(
    ("kind", "error", "message"),
    [
        ("missing", CallError, "no such file"),
        ("not_a_raster", SceneError, "not a raster"),
        ("no_crs", SceneError, "no coordinate reference system"),
        ("one_band", SceneError, "1 band"),
        ("wrong_pixel_size", SceneError, "30 x 30 m"),
        ("damaged", SceneError, "cannot read .*copy or download it again"),
    ],
)
def test_scenes_that_cannot_be_mapped(
    kind: str, error: type[GeokdError], message: str, model: Path, tmp_path: Path
) -> None:
    scene = wrong_scene(tmp_path, kind)
    before = tree(tmp_path)
    with pytest.raises(error, match=message):
        run(scene, model, tmp_path / "new" / "out")
    assert tree(tmp_path) == before
    assert not (tmp_path / "new").exists()


def test_no_crs_and_one_band_and_a_wrong_stride_are_reported_at_once(model: Path, tmp_path: Path) -> None:
    scene = write_scene(tmp_path / "s.tif", three_fields(40, 50)[:1], crs=None)
    with pytest.raises(SceneError, match=r"2 problems:\n.*coordinate reference system.*\n.*1 band"):
        run(scene, model, tmp_path)


def test_broken_model(scene: Path, broken_model: Path, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"broken\.onnx"):
        run(scene, broken_model, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_outputs_are_kept_unless_requested_otherwise(scene: Path, model: Path, tmp_path: Path) -> None:
    run(scene, model, tmp_path / "out")
    before = tree(tmp_path)
    with pytest.raises(CallError, match=r"fields_landuse\.tif.*--overwrite"):
        run(scene, model, tmp_path / "out", stride_px=16)
    assert tree(tmp_path) == before
    assert run(scene, model, tmp_path / "out", stride_px=16, overwrite=True).class_map.codes.shape == (7, 9)


@pytest.mark.parametrize("stop", [KeyboardInterrupt, ValueError])
def test_a_run_that_is_stopped_leaves_its_journal_alone(
    scene: Path, model: Path, tmp_path: Path, stop: type[BaseException]
) -> None:
    calls = []

    def progress(_message: str, *, done: int = 0, total: int = 0) -> None:
        calls.append((done, total))
        if done == 3:
            raise stop

    before = tree(tmp_path)
    with pytest.raises(stop):
        geokd.classify(scene, model, tmp_path / "out", ClassifyOptions(block_px=40), progress=progress)
    assert [done for done, _ in calls] == [1, 2, 3]
    assert calls[0][1] > 3
    assert tree(tmp_path).keys() - before.keys() == {"out/.fields.geokd-journal"}


def test_stride_must_divide_the_patch(scene: Path, model: Path, tmp_path: Path) -> None:
    with pytest.raises(CallError, match=r"a stride of 5 px does not divide .* 16 px; take one of 1, 2, 4, 8, 16"):
        run(scene, model, tmp_path, stride_px=5)


def test_all_wrong_options_in_one_message() -> None:
    with pytest.raises(CallError, match="5 problems"):
        ClassifyOptions(stride_px=0, min_valid_share=1.5, workers=0, block_px=0, scheduler="tcp://h:1")


def test_several_scenes_are_checked_before_the_first_is_mapped(scene: Path, model: Path, tmp_path: Path) -> None:
    missing, bare = tmp_path / "missing.tif", write_scene(tmp_path / "bare.tif", three_fields(20, 20), crs=None)
    with pytest.raises(GeokdError, match=r"2 problems:\n.*missing\.tif\n.*bare\.tif"):
        plan_jobs([scene, missing, bare], model, tmp_path / "out", ClassifyOptions())


def test_scenes_whose_outputs_would_clash(scene: Path, model: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    twin = write_scene(tmp_path / "other" / "fields.tif", three_fields(20, 20), photometric="RGB")
    with pytest.raises(CallError, match=r"would both be written to .*fields_landuse\.tif"):
        plan_jobs([scene, twin], model, tmp_path / "out", ClassifyOptions())
    victim = write_scene(tmp_path / "fields_landuse.tif", three_fields(20, 20), photometric="RGB")
    with pytest.raises(CallError, match="is itself a scene to be mapped"):
        plan_jobs([scene, victim], model, tmp_path, ClassifyOptions(overwrite=True))


def test_a_mixture_of_two_maps_is_not_called_finished(tmp_path: Path, model: Path) -> None:
    scene = write_scene(tmp_path / "scene.tif", three_fields(64, 64))
    geokd.classify(scene, model, tmp_path / "a", ClassifyOptions())
    geokd.classify(scene, model, tmp_path / "b", ClassifyOptions(min_confidence=0.99))
    shutil.copy(tmp_path / "b" / "scene_landuse.tif", tmp_path / "a" / "scene_landuse.tif")
    with pytest.raises(CallError, match=r"another scene_landuse.tif than the one beside it: .* with --overwrite"):
        geokd.classify(scene, model, tmp_path / "a", ClassifyOptions(resume=True))
    again = geokd.classify(scene, model, tmp_path / "a", ClassifyOptions(resume=True, overwrite=True))
    assert again.manifest.to_json()["run"]["resumed_blocks"] == 0
    (tmp_path / "a" / "scene_landuse.qml").write_text("a style of mine")
    assert geokd.classify(scene, model, tmp_path / "a", ClassifyOptions(resume=True)).manifest == again.manifest


def test_many_scenes_in_one_call(scene: Path, model: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.tif"
    shutil.copy(scene, other)
    missing = tmp_path / "missing.tif"
    done = geokd.classify_many(
        [scene, missing, other], model, tmp_path / "out", ClassifyOptions(report=True), on_error="skip"
    )
    assert [outcome.scene for outcome in done] == [str(scene), str(missing), str(other)]
    assert isinstance(done[1].error, CallError)
    for outcome in (done[0], done[2]):
        assert outcome.result is not None
        assert outcome.error is None
        assert outcome.result.outputs["class_raster"].is_file()
    page = (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    assert "fields_report.html" in page
    assert "other_report.html" in page
    with pytest.raises(CallError, match="no such file"):
        geokd.classify_many([scene, missing], model, tmp_path / "none")
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("report", [False, True])
def test_maps_of_many_scenes_are_not_kept_in_memory(scene: Path, model: Path, tmp_path: Path, report: bool) -> None:
    scenes = [shutil.copy(scene, tmp_path / f"{number}.tif") for number in range(4)]
    gc.collect()
    before = sum(isinstance(thing, ClassMap) for thing in gc.get_objects())
    done = geokd.classify_many(scenes, model, tmp_path / "out", ClassifyOptions(report=report))
    gc.collect()
    assert sum(isinstance(thing, ClassMap) for thing in gc.get_objects()) == before
    call = plan_call(scenes, model, tmp_path / "again", ClassifyOptions(report=report), "fail")
    kept = []
    for _, outcome in run_call(call):
        assert not isinstance(outcome, GeokdError)
        kept.append(weakref.ref(outcome.class_map))
        del outcome
    gc.collect()
    assert [ref() for ref in kept] == 4 * [None]
    assert all(one.result is not None and one.result.class_map.codes.shape == (25, 33) for one in done)


def test_a_map_that_was_replaced_is_not_taken_for_the_former(scene: Path, model: Path, tmp_path: Path) -> None:
    first = geokd.classify(scene, model, tmp_path / "out")
    geokd.classify(scene, model, tmp_path / "out", ClassifyOptions(stride_px=2, overwrite=True))
    with pytest.raises(OutputError, match="fields_landuse.tif was replaced by another map; make this one again"):
        _ = first.class_map
