"""Scenes whose bands, values or missing pixels could be taken for those of another sensor, without a word."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray
from rasterio.windows import Window

from geokd.errors import SceneError
from geokd.mapping.choosing import choose_model
from geokd.model.contract import InputContract, ValueScaling
from geokd.scenes.bands import choose_bands, wavelength_nm
from geokd.scenes.options import SceneOptions
from geokd.scenes.plan import ScenePlan
from geokd.scenes.reader import describe_scene, plan_scene, read_values
from geokd.scenes.sensors import LANDSAT_OLI, LANDSAT_TM, known_sensor, known_values
from tests.products import CRS, land, plain_scene, transform_of, write_band, write_item
from tests.tiny import write_scene

RGB, RGBN = ("B04", "B03", "B02"), ("B04", "B03", "B02", "B08")
COLOURS = {"red": "B04", "green": "B03", "blue": "B02", "nir": "B08"}
NINE = tuple(f"B{number}" for number in range(1, 10))


def planned(scene: Path | str, bands: tuple[str, ...] = RGB, **options: Any) -> ScenePlan:
    return plan_scene(describe_scene(scene), InputContract(bands, 16, 10.0, ValueScaling()), SceneOptions(**options))


def chosen(labels: tuple[str, ...], wanted: tuple[str, ...], sensor: str | None = None) -> tuple[int, ...]:
    return choose_bands(labels, ("undefined",) * len(labels), wanted, None, sensor).bidx


# ---- Bands


@pytest.mark.parametrize(
    ("labels", "wanted", "readings"),
    [
        (("B1", "B2", "B3", "B4", "B5", "B7"), RGB, r"4,3,2 for Sentinel-2 or Landsat 8-9; --bidx 3,2,1 for Landsat 4"),
        (("SR_B1", "SR_B2", "SR_B3", "SR_B4", "SR_B5", "SR_B7"), RGB, r"3,2,1 for Landsat 4-7"),
        (NINE, RGBN, r"4,3,2,8 for Sentinel-2; --bidx 4,3,2,5 for Landsat 8-9"),
        (("B1", "B2", "B3", "B4", "B5", "B6", "B7"), RGB, r"3,2,1 for Landsat 4-7"),
        (("B01", "B02", "B03", "B04"), RGB, r"3,2,1 for Landsat 4-7 or PlanetScope"),
    ],
)
def test_numbers_that_fit_two_sensors_are_refused_with_both_readings(
    labels: tuple[str, ...], wanted: tuple[str, ...], readings: str
) -> None:
    with pytest.raises(SceneError, match=readings):
        chosen(labels, wanted)


@pytest.mark.parametrize(
    ("labels", "wanted", "sensor", "bidx"),
    [
        (("B2", "B3", "B4", "B8"), RGBN, None, (3, 2, 1, 4)),  # no other sensor has a near infrared of this number
        (("B2", "B3", "B4", "B5", "B6", "B7"), RGB, None, (3, 2, 1)),  # the same for Landsat 8
        ((*NINE, "B8A", "B11", "B12"), RGBN, None, (4, 3, 2, 8)),
        (("B1", "B2", "B3", "B4", "B5", "B7"), RGBN, LANDSAT_TM, (3, 2, 1, 4)),
        (NINE, RGBN, LANDSAT_OLI, (4, 3, 2, 5)),
        (("SR_B2", "SR_B3", "SR_B4", "SR_B5"), RGBN, LANDSAT_OLI, (3, 2, 1, 4)),
        (("nbart_red", "nbart_green", "nbart_blue"), RGB, None, (1, 2, 3)),
        (("BLUE", "GREEN", "RED", "NIR", "BROADNIR"), RGBN, None, (3, 2, 1, 5)),
    ],
)
def test_names_without_doubt(
    labels: tuple[str, ...], wanted: tuple[str, ...], sensor: str | None, bidx: tuple[int, ...]
) -> None:
    assert chosen(labels, wanted, sensor) == bidx


@pytest.mark.parametrize(
    ("name", "sensor"),
    [
        ("LT05_CU_014008_20020726_20210502_02_SR_B4.TIF", LANDSAT_TM),
        ("LC08_CU_014008_20220726_20220802_02_SR_B4.TIF", LANDSAT_OLI),
        ("LT50140342001207_B4.tif", LANDSAT_TM),
        ("LC80140342016207_B4.tif", LANDSAT_OLI),
        ("LANDSAT_LT05_014034_2002.tif", LANDSAT_TM),
        ("LANDSAT5-TM-XS_20020726.tif", LANDSAT_TM),
        ("LANDSAT8-OLI-XS_20220726.tif", LANDSAT_OLI),
        ("VENUS-XS_20220726-105000-000_L2A_SUDOUE-1.tif", "VENuS"),
        ("plot05_B4.tif", None),
    ],
)
def test_names_of_sensors(name: str, sensor: str | None) -> None:
    assert known_sensor(f"/data/{name}", {}) == sensor


def test_values_of_us_landsat_ard() -> None:
    known = known_values("LC08_CU_014008_20220726_20220802_02_SR_B4.TIF", {}, "uint16")
    assert known is not None
    assert (known.scale, known.offset) == (0.275, -2000)


def test_a_model_of_fewer_bands_is_not_chosen_because_of_doubt(tmp_path: Path) -> None:
    values = np.stack([land()["B04"]] * 9)
    scene = write_scene(tmp_path / "a.tif", values, NINE, crs=CRS, transform=transform_of(10))
    with pytest.raises(SceneError, match=r"--bidx 4,3,2,5 for Landsat 8-9"):
        choose_model(describe_scene(scene), "auto", SceneOptions())
    assert choose_model(describe_scene(scene), "auto", SceneOptions(bidx=(4, 3, 2, 5))).model == "sentinel2-landuse"


def test_four_bands_without_names_are_refused_with_both_orders(tmp_path: Path) -> None:
    values = np.stack([land()[band] for band in ("B02", "B03", "B04", "B08")])
    scene = write_scene(tmp_path / "a.tif", values, crs=CRS, transform=transform_of(10))
    with pytest.raises(SceneError, match=r"give --bidx 1,2,3 or --bidx 3,2,1, in this order .*3,2,1,4"):
        planned(scene)
    assert planned(scene, bidx=(3, 2, 1)).bidx == (3, 2, 1)


def test_dates_of_a_netcdf_variable_are_no_colours(tmp_path: Path) -> None:
    values = np.stack([land()["B04"]] * 3)
    scene = write_scene(tmp_path / "a.tif", values, crs=CRS, transform=transform_of(10))
    with rasterio.open(scene, "r+") as raster:
        for band in (1, 2, 3):
            raster.update_tags(band, NETCDF_DIM_time=str(19_000 + band))
    with pytest.raises(SceneError, match=r"its bands \(1 time 19001, 2 time 19002, 3 time 19003\) do not show which"):
        planned(scene)


@pytest.mark.parametrize(
    ("text", "unit", "centre"),
    [
        ("664.9 nm", "", 664.9),
        ("Band 4 (665 nm)", "", 665.0),
        ("0.665", "um", 665.0),
        ("0.665", "Micrometers", 665.0),
        ("0.665", "", 665.0),
        ("665", "", 665.0),
        ("665", "Nanometers", 665.0),
        ("red", "", None),
        ("nan", "", None),
        ("inf", "nm", None),
        ("-1", "", None),
        ("490", "GHz", None),
        ("490", "Index", None),
        ("490", "Unknown", 490.0),
    ],
)
def test_wavelengths(text: str, unit: str, centre: float | None) -> None:
    assert wavelength_nm(text, unit) == (None if centre is None else pytest.approx(centre))


def test_wavelengths_in_descriptions_go_before_colours(tmp_path: Path) -> None:
    values = np.stack([land()[band] for band in ("B02", "B03", "B04", "B08")])
    names = ("Band 1 (490 nm)", "Band 2 (560 nm)", "Band 3 (665 nm)", "Band 4 (842 nm)")
    scene = write_scene(tmp_path / "a.tif", values, names, crs=CRS, transform=transform_of(10), photometric="RGB")
    assert planned(scene).bidx == (3, 2, 1)


# ---- Missing pixels


def item(folder: Path, nodata: float | None, properties: dict[str, Any], dtype: str = "int16") -> Path:
    """Write a Sentinel-2 item whose files declare a nodata value, in a corner."""
    assets = {}
    for colour, band in COLOURS.items():
        values = land()[band].astype(dtype)
        values[:20, :20] = 0 if nodata is None else nodata
        path = write_band(folder / f"{band}.tif", values, 10, nodata=nodata)
        about = [{"name": band, "common_name": colour}]
        assets[band] = {"href": path.as_uri(), "type": "image/tiff", "eo:bands": about}
    return write_item(folder, assets, "S2B_18SVG_20220726_0_L2A", **properties)


@pytest.mark.parametrize("nodata", [-9999.0, None])
def test_the_nodata_value_of_the_files_of_an_item_is_used(tmp_path: Path, nodata: float | None) -> None:
    plan = planned(item(tmp_path, nodata, {}))
    values, valid = read_values(plan, Window(0, 0, 96, 96), plan.bidx)
    assert values[0, 0, 0] == (0 if nodata is None else -9999)
    assert not valid[:20, :20].any()
    assert valid[20:, 20:].all()


@pytest.mark.parametrize("fill", [-10_000, -999])
def test_fill_of_other_processors_is_warned_of(tmp_path: Path, fill: int) -> None:
    bands: dict[str, NDArray[Any]] = {band: land()[band].astype(np.int16) for band in RGB}
    for values in bands.values():
        values[:, :30] = fill
    (warning,) = [text for text in planned(plain_scene(tmp_path / "a.tif", bands, *RGB)).warnings if "fill" in text]
    assert f"give --nodata {fill}" in warning


# ---- Values


@pytest.mark.parametrize(
    ("properties", "offset"),
    [
        ({"s2:processing_baseline": "05.10"}, -1000),
        ({"s2:processing_baseline": "N0510"}, -1000),
        ({"s2:processing_baseline": "02.14"}, 0),
        ({"processing:version": "Sen2Cor_2.11"}, None),
        ({"processing:version": "4.8"}, None),  # of another processor
    ],
)
def test_only_a_processing_baseline_gives_the_offset(
    tmp_path: Path, properties: dict[str, str], offset: float | None
) -> None:
    plan = planned(item(tmp_path, None, properties))
    (note,) = [note for note in plan.notes if "reflectance" in note]
    assert plan.value_offsets == pytest.approx((offset or 0,) * 3)
    assert ("the default" in note) == (offset is None)


def test_a_forgotten_offset_is_seen_in_the_visible_bands(tmp_path: Path) -> None:
    """A lake is darker than the offset in the near infrared alone."""
    bands: dict[str, NDArray[Any]] = {band: land()[band] + np.uint16(1200) for band in RGB}
    bands["B08"] = land()["B08"] + np.uint16(1000)
    bands["B08"][:30] = 980
    warnings = planned(plain_scene(tmp_path / "a.tif", bands, *RGBN), RGBN).warnings
    assert any("give --value-offset -1000" in warning for warning in warnings)


@pytest.mark.parametrize(("divisor", "warned"), [(1, False), (6, True)])
def test_counts_of_a_sensor_are_darker_than_land(tmp_path: Path, divisor: int, warned: bool) -> None:
    bands: dict[str, NDArray[Any]] = {band: land()[band] // np.uint16(divisor) for band in RGBN}
    warnings = planned(plain_scene(tmp_path / "a.tif", bands, *RGBN), RGBN).warnings
    assert any("counts or radiance of a sensor" in warning for warning in warnings) == warned


def test_the_whole_range_of_16_bits_is_suspected(tmp_path: Path) -> None:
    bands: dict[str, NDArray[Any]] = {
        band: np.minimum(land()[band] * 6.5536 + 2000, 65_535).astype(np.uint16) for band in RGBN
    }
    warnings = planned(plain_scene(tmp_path / "a.tif", bands, *RGBN), RGBN).warnings
    assert any("--value-scale 0.1526 for 65,535 as a reflectance of 1" in warning for warning in warnings)


def test_bytes_of_landsat_bands_are_no_picture(tmp_path: Path) -> None:
    name = "LT05_L1TP_014034_20020726_20210802_02_T1"
    for number, band in ((3, "B04"), (2, "B03"), (1, "B02")):
        write_band(tmp_path / name / f"{name}_B{number}.TIF", (land()[band] // 10).clip(0, 255).astype(np.uint8), 10)
    with pytest.raises(SceneError, match=r"its 8-bit values are DN of a Landsat level 1 product.*_MTL\.txt"):
        planned(tmp_path / name)
    assert planned(tmp_path / name, value_scale=10.0, value_offset=0.0).value_scales == (10.0,) * 3


# ---- Masks, sizes and names of files


def test_a_mask_whose_name_is_its_kind(tmp_path: Path) -> None:
    for band in RGB:
        write_band(tmp_path / "cog" / f"{band}.tif", land()[band], 10)
    classes = np.full((48, 48), 4, np.uint8)
    classes[:10] = 9
    write_band(tmp_path / "cog" / "SCL.tif", classes, 20)
    plan = planned(tmp_path / "cog", mask="scl")
    assert not read_values(plan, Window(0, 0, 96, 20), plan.bidx)[1].any()


def test_of_assets_of_two_sizes_the_finer_is_used(tmp_path: Path) -> None:
    assets: dict[str, dict[str, Any]] = {}
    for size in (20, 10):
        for band in RGB:
            path = write_band(tmp_path / f"{band}_{size}m.tif", land()[band][:: size // 10, :: size // 10], size)
            assets[f"{band}_{size}m"] = {"href": path.as_uri(), "type": "image/tiff"}
    classes = write_band(tmp_path / "SCL.tif", np.full((48, 48), 9, np.uint8), 20)
    assets["SCL_20m"] = {"href": classes.as_uri(), "type": "image/tiff"}
    info = describe_scene(write_item(tmp_path, assets, "S2B_18SVG_20220726_0_L2A"))
    assert (info.grid.width, info.descriptions) == (96, ("red", "green", "blue"))
    assert info.product is not None
    assert set(info.product.masks) == {"scl"}


def test_subdatasets_can_be_named_one_for_each_band(tmp_path: Path) -> None:
    paths = {colour: write_band(tmp_path / f"{band}.tif", land()[band], 10) for colour, band in COLOURS.items()}
    named = ",".join(f"{colour}=GTIFF_DIR:1:{path}" for colour, path in paths.items())
    np.testing.assert_array_equal(
        read_values(plan := planned(named), Window(0, 0, 96, 96), plan.bidx)[0],
        np.stack([land()[band] for band in RGB]),
    )


@pytest.mark.parametrize(
    ("files", "remedy"),
    [
        (("DIM_PHR1A.XML", "IMG_PHR1A_R1C1.TIF"), r"name the metadata of the scene in it \(DIM_PHR1A\.XML\)"),
        (("one.tif", "two.tif"), r"name a raster in it \(one\.tif, two\.tif\), or one for each band with --bands"),
        (("one.tif",), r"name the raster in it \(one\.tif\)"),
    ],
)
def test_folders_of_unknown_bands(tmp_path: Path, files: tuple[str, ...], remedy: str) -> None:
    for file in files:
        (tmp_path / file).write_bytes(b"-")
    with pytest.raises(SceneError, match=remedy):
        describe_scene(tmp_path)


def test_the_folder_of_a_product_of_snap_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.data").mkdir()
    (tmp_path / "a.dim").write_text("<Dimap_Document/>")
    with pytest.raises(SceneError, match=r"product of SNAP, whose bands are in a folder: give .*a\.data"):
        describe_scene(tmp_path / "a.dim")


def test_landsat_collection_1_is_named(tmp_path: Path) -> None:
    name = "LT05_L1TP_014034_20020726_20160802_01_T1"
    lines = ["GROUP = METADATA_FILE_INFO", f'LANDSAT_PRODUCT_ID = "{name}"', "COLLECTION_NUMBER = 01"]
    (tmp_path / f"{name}_MTL.txt").write_text("\n".join([*lines, "END_GROUP = METADATA_FILE_INFO", "END"]))
    with pytest.raises(SceneError, match="is a Landsat product of Collection 1; download it from Collection 2"):
        describe_scene(tmp_path)


@pytest.mark.parametrize(
    ("marks", "bidx"), [("1, 1, 0, 1", (4, 2, 1)), ("1, 1, 0.000, 1", (4, 2, 1)), ("., ?", (3, 2, 1))]
)
def test_bands_that_a_header_marks_as_bad_are_not_used(tmp_path: Path, marks: str, bidx: tuple[int, ...]) -> None:
    path = tmp_path / "a.dat"
    names = ("B02", "B03", "B04", "B04")
    how = {"driver": "ENVI", "crs": CRS, "transform": transform_of(10), "count": 4, "height": 96, "width": 96}
    with rasterio.open(path, "w", dtype="uint16", **how) as raster:
        raster.write(np.stack([land()[band] for band in names]))
    header = path.with_suffix(".hdr")
    text = header.read_text()
    lines = ("wavelength units = Nanometers", "wavelength = {490, 560, 665, 662}", f"bbl = {{{marks}}}")
    header.write_text("\n".join([text[: text.index("band names")], *lines, ""]))
    assert planned(path).bidx == bidx
