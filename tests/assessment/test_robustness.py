import json
from pathlib import Path

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
from click.testing import CliRunner
from PIL import Image

from geokd.assessment.robustness import RobustnessOptions, _map_of, robustness, unrounded
from geokd.assessment.yardstick import _VEGETATION, _WATER, codes_like
from geokd.cli import main
from geokd.errors import CallError, ChipError
from geokd.legend.classes import default_legend
from geokd.mapping.classify import make_map
from geokd.mapping.options import ClassifyOptions
from geokd.mapping.planning import plan_jobs
from tests.tiny import write_scene

SHIFTS = ("haze", "gain 1.25")


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    """A reflectance scene of 128 x 192 pixels: a red bare field, a green meadow, a blue lake, and near infrared."""
    pixels = np.full((4, 128, 192), 600, np.uint16)
    for band in range(3):
        pixels[band, :, 64 * band : 64 * (band + 1)] = 1500
    pixels[3, :, :64], pixels[3, :, 64:128], pixels[3, :, 128:] = 1500, 2500, 200
    return write_scene(tmp_path / "lake.tif", pixels, ("B04", "B03", "B02", "B08"))


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    def box(left: int, right: int) -> shapely.Polygon:
        return shapely.box(4e5 + 10 * left, 4.2e6 - 1280, 4e5 + 10 * right, 4.2e6)

    frame = geopandas.GeoDataFrame(
        {"kinds": ["bare|meadow", "lake", "meadow", None], "zone": ["west", "east", "east", "nowhere"]},
        geometry=[box(0, 96), box(160, 192), box(128, 160), box(96, 112)],
        crs="EPSG:32618",
    )
    path = tmp_path / "labels.gpkg"
    frame.to_file(path, layer="labels")
    return path


def test_figures_by_hand(model: Path, lake: Path, labels: Path, tmp_path: Path) -> None:
    against = RobustnessOptions((labels,), "kinds", "zone", shifts=SHIFTS)
    seen: list[str] = []
    document = robustness(
        lake,
        model,
        tmp_path / "out",
        ClassifyOptions(stride_px=16),
        against,
        progress=lambda line, **_: seen.append(line),
    ).to_json()
    assert seen == ["mapped: as it is", *(f"mapped: {name}" for name in SHIFTS)]
    figures = document["maps"]["as it is"]
    assert figures["water_recall"] == 1
    assert figures["false_water"] == 0
    assert figures["vegetation_recall"] == 1
    assert figures["cells"]["water"] == 8 * 4
    assert figures["changed"] == 0
    # 48 cells of the western polygon and 16 of the lake are right, 16 of lake under "meadow" wrong
    assert figures["agreement"] == pytest.approx(64 / 80)
    assert figures["groups"]["east"] == {"polygons": 2, "cells": 32, "agreement": 0.5}
    low, high = figures["agreement_interval_95"]
    assert low < 0.8 < high
    assert any("1 polygons" in note for note in document["notes"])
    assert json.loads((tmp_path / "out" / "lake_robustness.json").read_text()) == document
    with Image.open(tmp_path / "out" / "lake_robustness.png") as picture:
        assert picture.width > 3 * 380


def test_without_near_infrared_or_labels_maps_are_still_compared(model: Path, scene: Path, tmp_path: Path) -> None:
    document = robustness(
        scene, model, tmp_path / "out", against=RobustnessOptions(shifts=("noise of 3 steps",))
    ).to_json()
    figures = document["maps"]["noise of 3 steps"]
    assert figures["water_recall"] is None
    assert figures["agreement"] is None
    assert 0 <= figures["changed"] < 0.2
    assert document["worst"] == {}
    assert any("no band is known to be near infrared" in note for note in document["notes"])


def test_an_area_is_judged_as_the_part_of_the_whole(model: Path, labels: Path, tmp_path: Path) -> None:
    """Of changes that act pixel by pixel, the maps of an area are the part of those of the whole scene."""
    random = np.random.default_rng(1)
    pixels = random.integers(200, 1500, (4, 10, 16), dtype=np.uint16).repeat(40, 1).repeat(40, 2)
    scene = write_scene(tmp_path / "scene.tif", pixels, ("B04", "B03", "B02", "B08"))
    area = shapely.Polygon([(4e5 + 10 * x, 4.2e6 - 10 * y) for x, y in [(250, 130), (420, 140), (330, 260)]])
    geopandas.GeoDataFrame({"name": ["a"]}, geometry=[area], crs="EPSG:32618").to_file(tmp_path / "area.gpkg")
    against = RobustnessOptions(shifts=("haze", "gain 0.8"))
    for stride in (4, 16):
        options = ClassifyOptions(stride_px=stride, aoi=str(tmp_path / "area.gpkg"), bidx=(1, 2, 3))
        (job,) = plan_jobs([scene], model, tmp_path, options)
        assert job.seen.height * job.seen.width < 160 * 320
        pixels_seen, valid = unrounded(job.plan, job.seen)
        (whole,) = plan_jobs([scene], model, tmp_path, ClassifyOptions(stride_px=stride, bidx=(1, 2, 3)))
        expected = make_map(whole).class_map.codes[job.part.slices]
        made = _map_of(pixels_seen, valid, job, tmp_path / "changed.tif")
        assert job.area is not None
        within = job.area.holds(job.patches.cell_grid, *job.part.slices)
        assert within is not None
        np.testing.assert_array_equal(made.codes, np.where(within, expected, 255))
        figures = robustness(scene, model, tmp_path / f"out{stride}", options, against)
        assert sum(figures.maps["haze"].cells.values()) <= within.sum() * 3
        assert figures.maps["as it is"].changed == 0
        with Image.open(tmp_path / f"out{stride}" / "scene_robustness.png") as picture:
            assert picture.width > 3 * 380


def test_wrong_calls(model: Path, lake: Path, labels: Path, tmp_path: Path) -> None:
    with pytest.raises(CallError, match="no simulated change is called sandstorm; there are haze"):
        RobustnessOptions(shifts=("sandstorm",))
    with pytest.raises(CallError, match=r"accepts east, nowhere, west, not classes of the model"):
        robustness(lake, model, tmp_path / "out", against=RobustnessOptions((labels,), "zone"))
    with pytest.raises(CallError, match="has no field 'class'"):
        robustness(lake, model, tmp_path / "out", against=RobustnessOptions((labels,)))
    far = tmp_path / "far.gpkg"
    geopandas.GeoDataFrame({"class": ["lake"]}, geometry=[shapely.box(0, 0, 9, 9)], crs="EPSG:32618").to_file(far)
    with pytest.raises(ChipError, match="lies over the scene"):
        robustness(lake, model, tmp_path / "out", against=RobustnessOptions((far,)))
    with pytest.raises(CallError, match=r"has no band 9 to use as near infrared; its bands are 1\.\.4"):
        robustness(lake, model, tmp_path / "out", against=RobustnessOptions(nir_band=9))
    with pytest.raises(CallError, match="one band cannot be two .red 1, green 4, near infrared 4"):
        robustness(lake, model, tmp_path / "out", against=RobustnessOptions(green_band=4))
    with pytest.raises(CallError, match="the band 0 does not exist: bands are numbered from 1"):
        RobustnessOptions(nir_band=0)
    with pytest.raises(CallError, match=r"(?s)2 problems.*no such file.*has no field 'class' and 'group'"):
        against = RobustnessOptions((tmp_path / "none.gpkg", labels), group_field="group")
        robustness(lake, model, tmp_path / "out", against=against)
    assert not list((tmp_path / "out").glob("*"))


def test_nodata_is_neither_land_nor_part_of_the_changes(model: Path, tmp_path: Path) -> None:
    """Half of the scene is fill: figures are those of the other half, which no change of the scene confuses."""
    pixels = np.zeros((4, 128, 256), np.uint16)
    pixels[:, :, :128] = np.array([1500, 600, 600, 1500])[:, None, None]
    whole = write_scene(tmp_path / "whole.tif", pixels[:, :, :128], ("B04", "B03", "B02", "B08"), nodata=0)
    half = write_scene(tmp_path / "half.tif", pixels, ("B04", "B03", "B02", "B08"), nodata=0)
    against = RobustnessOptions(shifts=("low sun (contrast 0.75)", "pixels of twice the side"))
    out, options = tmp_path / "out", ClassifyOptions(stride_px=16)
    one, other = (robustness(path, model, out, options, against).to_json() for path in (whole, half))
    assert one["maps"]["as it is"]["cells"]["land"] == 64
    assert other["maps"]["as it is"]["cells"]["land"] <= 64 + 8  # cells half known count, too
    for name in against.shifts:
        assert other["maps"][name]["changed"] == one["maps"][name]["changed"] == 0


def test_near_infrared_of_another_type_scale_and_gaps(model: Path, lake: Path, tmp_path: Path) -> None:
    """The same scene with its near infrared as float32 reflectance of its own scale tag, and a gap in it alone."""
    with rasterio.open(lake) as dataset:
        pixels, profile = dataset.read(), dataset.profile
    infrared = (pixels[3] / 10).astype(np.float32)
    infrared[:, 128:160] = -1  # half of the lake
    with rasterio.open(
        tmp_path / "nir.tif", "w", **profile | {"dtype": "float32", "count": 1, "nodata": -1}
    ) as dataset:
        dataset.write(infrared, 1)
        dataset.scales = (1e-3,)
    with rasterio.open(lake, "r+") as dataset:
        dataset.scales = (1e-4,) * 4
    with rasterio.open(lake) as dataset, rasterio.open(tmp_path / "nir.tif") as other:
        bands = [(dataset, band) for band in (1, 2, 3)] + [(other, 1)]
        sources = "".join(
            _vrt_band(b, Path(d.name), d.dtypes[n - 1], n, d.scales[n - 1]) for b, (d, n) in enumerate(bands, 1)
        )
        georeference = ", ".join(map(str, dataset.transform.to_gdal()))
    vrt = tmp_path / "mixed.vrt"
    vrt.write_text(
        f'<VRTDataset rasterXSize="192" rasterYSize="128"><SRS>EPSG:32618</SRS>'
        f"<GeoTransform>{georeference}</GeoTransform>{sources}</VRTDataset>"
    )
    against = RobustnessOptions(shifts=("haze",))
    whole = robustness(lake, model, tmp_path / "whole", ClassifyOptions(stride_px=16), against).maps["as it is"].cells
    mixed = robustness(vrt, model, tmp_path / "mixed", ClassifyOptions(stride_px=16), against).maps["as it is"].cells
    assert whole == {"water": 32, "land": 64, "vegetation": 32}
    assert mixed["land"] == whole["land"]
    assert mixed["vegetation"] == whole["vegetation"]
    assert 16 <= mixed["water"] <= 24  # cells half known count, too


def _vrt_band(band: int, path: Path, dtype: str, source: int, scale: float) -> str:
    name = ("B04", "B03", "B02", "B08")[band - 1]
    nodata = "<NoDataValue>-1</NoDataValue>" if band == 4 else ""
    return (
        f'<VRTRasterBand dataType="{"Float32" if dtype == "float32" else "UInt16"}" band="{band}">'
        f"<Description>{name}</Description><Scale>{scale}</Scale>{nodata}<SimpleSource>"
        f"<SourceFilename>{path}</SourceFilename><SourceBand>{source}</SourceBand></SimpleSource></VRTRasterBand>"
    )


def test_labels_of_any_extent_and_given_twice(model: Path, lake: Path, tmp_path: Path) -> None:
    """A polygon around the world, in degrees, lies over the scene, too; a file that is named twice counts once."""
    world = shapely.Polygon([(-180, -90), (180, -90), (180, 90), (-180, 90)])
    frame = geopandas.GeoDataFrame(
        {"class": ["lake", None], "g": [None, "x"]}, geometry=[world, world], crs="EPSG:4326"
    )
    folder = tmp_path / "shapes"
    folder.mkdir()
    frame.to_file(folder / "world.shp")
    for paths in ((folder / "world.shp",), (folder / "world.shp",) * 2, (folder,)):
        against = RobustnessOptions(paths, group_field="g", shifts=("haze",))
        document = robustness(
            lake, model, tmp_path / "out", ClassifyOptions(stride_px=16, overwrite=True), against
        ).to_json()
        figures = document["maps"]["as it is"]
        assert figures["groups"] == {"none": {"polygons": 1, "cells": 96, "agreement": pytest.approx(1 / 3)}}
        assert figures["agreement_interval_95"] is None


def test_bands_are_those_the_student_is_given_or_by_number(model: Path, tmp_path: Path) -> None:
    pixels = np.full((4, 64, 64), 600, np.uint16)
    pixels[0], pixels[3] = 200, 1500  # near infrared first, then blue, green, red, none of them named
    scene = write_scene(tmp_path / "unnamed.tif", pixels, ("", "", "", ""))
    options = ClassifyOptions(stride_px=16, bidx=(4, 3, 2))
    against = RobustnessOptions(nir_band=1, shifts=("haze", "haze"))
    document = robustness(scene, model, tmp_path / "out", options, against).to_json()
    assert list(document["maps"]) == ["as it is", "haze"]
    assert document["maps"]["as it is"]["cells"] == {"water": 16, "land": 0, "vegetation": 0}
    assert any("red is band 4, green 3, near infrared 1" in note for note in document["notes"])
    assert document["options"]["bidx"] == [4, 3, 2]


def test_classes_of_water_and_vegetation_are_recognised_by_whole_words() -> None:
    water, vegetation = ["SeaLake", "open-water", "rivers", "Estuaries"], ["AnnualCrop", "grassland", "Grass", "woods"]
    others = ["Seasonal", "cropping", "Bayonne", "Wetland", "Non_water", "NotForest"]
    legend = default_legend([*water, *vegetation, *others])
    assert codes_like(legend, _WATER) == [0, 1, 2, 3]
    assert codes_like(legend, _VEGETATION) == [4, 5, 6, 7]


def test_command(model: Path, lake: Path, labels: Path, tmp_path: Path) -> None:
    arguments = ["robustness", str(lake), "-m", str(model), "-o", str(tmp_path / "out"), "--labels", str(labels)]
    arguments += ["--field", "kinds", "--shift", "haze", "--json"]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["maps"]["haze"]["agreement"] > 0.5
    assert "water is where NDWI" in result.stderr
    again = CliRunner().invoke(main, arguments)
    assert again.exit_code == 2
    assert "water recall" not in again.stderr  # nothing but what is wrong
    aimless = CliRunner().invoke(main, ["robustness", str(lake), "-m", str(model), "--field", "kinds"])
    assert aimless.exit_code == 2
    assert "give these with --labels" in aimless.stderr
    assert "lake_robustness.json" in again.stderr


def test_polygons_without_mapped_cells_and_unsure_cells(model: Path, lake: Path, tmp_path: Path) -> None:
    tiny = geopandas.GeoDataFrame({"class": ["lake"]}, geometry=[shapely.box(4e5 + 1, 4.2e6 - 9, 4e5 + 9, 4.2e6 - 1)])
    tiny.set_crs("EPSG:32618").to_file(tmp_path / "tiny.gpkg")
    against = RobustnessOptions((tmp_path / "tiny.gpkg",), shifts=("haze",))
    document = robustness(
        lake, model, tmp_path / "out", ClassifyOptions(stride_px=16, min_confidence=0.99999), against
    ).to_json()
    assert document["maps"]["as it is"]["agreement"] is None
    assert document["maps"]["as it is"]["class_shares"]["unclassified"] > 0
    assert any("contain no cell centre" in note for note in document["notes"])
