"""Maps with filters and probabilities: raster, polygons, summary and manifest tell the same, and so does every run."""

import json
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pandas
import pytest
import rasterio
import shapely
from click.testing import CliRunner
from numpy.typing import NDArray
from rio_cogeo.cogeo import cog_validate

import geokd
from geokd.cli import main
from geokd.errors import CallError
from geokd.mapping.options import ClassifyOptions
from geokd.mapping.scene_run import ClassifyResult
from geokd.maps.polygons.connected import connected_labels
from tests.tiny import write_scene

SAMPLE = Path(__file__).parents[2] / "sample_data" / "eastern_shore.tif"
STRIDE = 4
CELL_HA = (10 * STRIDE) ** 2 / 1e4
FILTERS: dict[str, dict[str, Any]] = {
    "none": {},
    "majority": {"smooth_cells": 5},
    "minimum area": {"min_area_ha": 12 * CELL_HA},
    "both, and unsure cells": {"smooth_cells": 3, "min_area_ha": 8 * CELL_HA, "min_confidence": 0.45},
}


@pytest.fixture
def patchy(tmp_path: Path) -> Path:
    """A scene of squares of 8 px, of three kinds at random; a corner of it is empty."""
    kinds = np.random.default_rng(7).integers(0, 3, (14, 18))
    pixels = np.random.default_rng(1).integers(20, 60, (3, 14 * 8, 18 * 8), dtype=np.uint8)
    for band in range(3):
        pixels[band] += 60 * np.kron(kinds == band, np.ones((8, 8), np.uint8))
    pixels[:, :30, :40] = 0
    return write_scene(tmp_path / "patchy.tif", pixels, photometric="RGB", nodata=0)


def run(scene: Path, model: Path | str, folder: Path, **options: Any) -> ClassifyResult:
    return geokd.classify(scene, model, folder, ClassifyOptions(**options))


def probabilities(result: ClassifyResult) -> NDArray[np.uint8]:
    with rasterio.open(result.outputs["probability_raster"]) as raster:
        return np.asarray(raster.read(), np.uint8)


def check_agreement(result: ClassifyResult, cell_ha: float) -> None:
    """Raster, attribute table, polygons, their geometries, summary and manifest count the same cells."""
    polygons = geopandas.read_file(result.outputs["polygons"], layer="land_use")
    summary = pandas.read_csv(result.outputs["summary"]).set_index("class_value")
    with rasterio.open(result.outputs["class_raster"]) as raster:
        codes = raster.read(1)
    with rasterio.open(result.outputs["confidence_raster"]) as raster:
        assert np.array_equal(raster.read(1), result.class_map.confidence)
    assert np.array_equal(codes, result.class_map.codes)
    assert polygons.geometry.is_valid.all()
    labels, _ = connected_labels(codes)
    assert len(polygons) == len(np.unique(labels[codes != 255]))
    for area in result.manifest.to_json()["areas"]:
        code = area["value"]
        cells = int((codes == code).sum())
        mine = polygons[polygons["class_value"] == code]
        assert (area["cells"], summary["cells"][code], summary["polygons"][code]) == (cells, cells, len(mine))
        for total in (area["area_ha"], summary["area_ha"][code], mine["area_ha"].sum(), mine.area.sum() / 1e4):
            assert total == pytest.approx(cells * cell_ha, rel=1e-12)
        if cells:
            confidence = result.class_map.confidence[codes == code]
            assert mine["min_confidence"].min() == confidence.min()
            weighted = (mine["mean_confidence"] * mine["area_ha"]).sum() / mine["area_ha"].sum()
            assert weighted == pytest.approx(confidence.mean())
            assert summary["mean_confidence"][code] == pytest.approx(confidence.mean(), rel=1e-5)
        assert mine["perimeter_m"].tolist() == pytest.approx(mine.length.tolist())


@pytest.mark.parametrize("name", FILTERS)
def test_all_outputs_agree(name: str, patchy: Path, model: Path, tmp_path: Path) -> None:
    result = run(patchy, model, tmp_path / "out", stride_px=STRIDE, **FILTERS[name])
    check_agreement(result, CELL_HA)


@pytest.mark.parametrize("name", FILTERS)
def test_confidence_is_the_probability_of_the_class_on_the_map(
    name: str, patchy: Path, model: Path, tmp_path: Path
) -> None:
    plain = run(patchy, model, tmp_path / "plain", stride_px=STRIDE)
    result = run(patchy, model, tmp_path / "out", stride_px=STRIDE, probabilities=True, **FILTERS[name])
    codes, confidence, percent = result.class_map.codes, result.class_map.confidence, probabilities(result)
    classified = codes < 3
    row, col = np.nonzero(classified)
    assert np.array_equal(confidence[classified], percent[codes[classified], row, col])
    assert np.array_equal(percent == 255, np.broadcast_to(plain.class_map.codes == 255, percent.shape))
    assert np.abs(percent[:, codes != 255].sum(axis=0, dtype=int) - 100).max() <= 2  # each is rounded for itself
    unsure = codes == 3
    assert np.array_equal(confidence[unsure], plain.class_map.confidence[unsure])
    filters = result.manifest.to_json()["filters"]
    changed = int((classified & (codes != plain.class_map.codes)).sum())
    if (
        result.manifest.to_json()["options"]["smooth_cells"] > 1
        or result.manifest.to_json()["options"]["min_area_ha"] > 0
    ):
        assert filters["changed_cells"] == changed > 0
        assert np.any(confidence != plain.class_map.confidence)
    else:
        assert filters is None
        assert changed == 0


def test_a_minimum_mapping_unit_is_held(patchy: Path, model: Path, tmp_path: Path) -> None:
    least_ha = 12 * CELL_HA
    result = run(patchy, model, tmp_path / "out", stride_px=STRIDE, min_area_ha=least_ha)
    polygons = geopandas.read_file(result.outputs["polygons"], layer="land_use")
    assert polygons["area_ha"].min() >= least_ha
    assert result.manifest.to_json()["filters"]["merged_regions"] > 5
    assert result.manifest.to_json()["filters"]["regions_left"] == 0
    assert result.manifest.to_json()["options"]["min_area_ha"] == least_ha
    assert any("the class of their longest border" in note for note in result.manifest.to_json()["notes"])


def test_filtered_maps_do_not_depend_on_blocks_or_interruption(patchy: Path, model: Path, tmp_path: Path) -> None:
    chosen = FILTERS["both, and unsure cells"] | {"stride_px": STRIDE, "probabilities": True}
    whole = run(patchy, model, tmp_path / "whole", **chosen)
    again = run(patchy, model, tmp_path / "blocks", **chosen, block_px=24, workers=2)

    def stop(_message: str, *, done: int = 0, total: int = 0) -> None:
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        geokd.classify(patchy, model, tmp_path / "cut", ClassifyOptions(**chosen, block_px=24), progress=stop)
    resumed = run(patchy, model, tmp_path / "cut", **chosen, block_px=24, resume=True)
    assert resumed.manifest.to_json()["run"]["resumed_blocks"] >= 5
    for name in ("class_raster", "confidence_raster", "probability_raster"):
        assert len({result.outputs[name].read_bytes() for result in (whole, again, resumed)}) == 1


def test_probabilities_are_named_cloud_optimised_and_styled(patchy: Path, model: Path, tmp_path: Path) -> None:
    result = run(patchy, model, tmp_path, stride_px=STRIDE, probabilities=True)
    path = result.outputs["probability_raster"]
    with rasterio.open(path) as raster:
        assert raster.descriptions == ("Bare", "Meadow", "Lake")
        assert raster.units == ("percent",) * 3
        assert set(raster.dtypes) == {"uint8"}
        assert raster.nodatavals == (255,) * 3
        assert raster.transform == result.class_map.grid.transform
        assert raster.crs == result.class_map.grid.crs
        assert raster.tags()["GEOKD_MODEL"] == "tiny"
    valid, errors, warnings = cog_validate(path, strict=True)
    assert valid, (errors, warnings)
    assert "singlebandpseudocolor" in result.outputs["probability_style"].read_text()
    assert result.manifest.to_json()["outputs"]["probability_raster"] == path.name


def test_probabilities_of_a_former_map_do_not_outlive_it(patchy: Path, model: Path, tmp_path: Path) -> None:
    first = run(patchy, model, tmp_path, stride_px=STRIDE, probabilities=True)
    raster = first.outputs["probability_raster"]
    side_file = raster.with_name(f"{raster.name}.aux.xml")
    side_file.write_text("<PAMDataset/>")
    with pytest.raises(CallError, match=r"holds .*patchy_probabilities\.tif"):
        run(patchy, model, tmp_path, stride_px=STRIDE)
    assert run(patchy, model, tmp_path, stride_px=STRIDE, resume=True).outputs.keys() < first.outputs.keys()
    assert raster.exists()  # the map is the same: they belong to it
    run(patchy, model, tmp_path, stride_px=8, overwrite=True)
    assert not any(path.exists() for path in (raster, side_file, first.outputs["probability_style"]))
    with pytest.raises(CallError, match="already; replace them with --overwrite"):
        run(patchy, model, tmp_path, stride_px=8, resume=True, probabilities=True)


def test_a_map_of_other_filters_is_another_map(patchy: Path, model: Path, tmp_path: Path) -> None:
    run(patchy, model, tmp_path, stride_px=STRIDE, smooth_cells=3)
    again = run(patchy, model, tmp_path, stride_px=STRIDE, smooth_cells=3, resume=True)
    assert again.manifest.to_json()["filters"]["changed_cells"] > 0
    for other in ({"smooth_cells": 5}, {"smooth_cells": 3, "min_area_ha": 1.0}, {}):
        with pytest.raises(CallError, match="already; replace them with --overwrite"):
            run(patchy, model, tmp_path, stride_px=STRIDE, resume=True, **other)


def test_simplified_polygons_keep_the_areas_of_the_raster(patchy: Path, model: Path, tmp_path: Path) -> None:
    plain = run(patchy, model, tmp_path / "plain", stride_px=STRIDE)
    result = run(patchy, model, tmp_path / "out", stride_px=STRIDE, simplify_m=60)
    exact, simpler = (geopandas.read_file(r.outputs["polygons"], layer="land_use") for r in (plain, result))
    assert result.outputs["class_raster"].read_bytes() == plain.outputs["class_raster"].read_bytes()
    columns = ["class_value", "area_ha", "mean_confidence", "min_confidence"]
    assert simpler[columns].equals(exact[columns])
    assert simpler.geometry.is_valid.all()
    assert shapely.coverage_is_valid(simpler.geometry.to_numpy())
    assert simpler.area.sum() == pytest.approx(exact.area.sum(), rel=1e-12)
    assert simpler["perimeter_m"].tolist() == pytest.approx(simpler.length.tolist())
    assert simpler["perimeter_m"].sum() < 0.95 * exact["perimeter_m"].sum()
    assert simpler.count_coordinates().sum() < 0.7 * exact.count_coordinates().sum()
    assert result.manifest.to_json()["options"]["simplify_m"] == 60
    assert any(
        "simplified by 60 m; their area_ha stays that of the cells" in n for n in result.manifest.to_json()["notes"]
    )


def test_wrong_calls() -> None:
    with pytest.raises(CallError) as caught:
        ClassifyOptions(smooth_cells=4, min_area_ha=-1, simplify_m=float("nan"))
    assert "a window of 4 cells cannot smooth" in str(caught.value)
    assert "the minimum area of -1 ha must be 0 or more" in str(caught.value)
    assert "the simplification of nan m must be 0 or more" in str(caught.value)
    with pytest.raises(CallError, match="take an odd number from 1 to 99"):
        ClassifyOptions(smooth_cells=101)


def test_the_command_says_what_filters_did(patchy: Path, model: Path, tmp_path: Path) -> None:
    chosen = ["--stride", "4", "--smooth", "3", "--min-area", "2", "--probabilities", "--json"]
    result = CliRunner().invoke(main, ["classify", str(patchy), "-m", str(model), "-o", str(tmp_path), *chosen])
    assert result.exit_code == 0, result.output
    manifest = json.loads(result.stdout)
    assert f"{manifest['filters']['changed_cells']:,} cells changed their class by filtering" in result.stderr
    assert "each cell gets the most frequent class of the 3 x 3 cells around it" in result.stderr
    assert "patchy_probabilities.tif" in result.stderr


@pytest.mark.parametrize("chosen", [{}, {"smooth_cells": 3, "min_area_ha": 20.0, "probabilities": True}])
def test_the_sample_scene(chosen: dict[str, Any], tmp_path: Path) -> None:
    result = run(SAMPLE, "eurosat-rgb-maps", tmp_path, **chosen)
    check_agreement(result, 160 * 160 / 1e4)
    if chosen:
        assert result.manifest.to_json()["filters"]["regions_left"] == 0
        polygons = geopandas.read_file(result.outputs["polygons"], layer="land_use")
        assert polygons["area_ha"].min() >= 20
        codes = result.class_map.codes
        row, col = np.indices(codes.shape)
        assert np.array_equal(probabilities(result)[codes, row, col], result.class_map.confidence)
