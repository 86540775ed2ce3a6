from dataclasses import replace

import pytest
from affine import Affine
from rasterio.crs import CRS

from geokd.errors import SceneError
from geokd.model.contract import InputContract, ValueScaling
from geokd.scenes.bands import choose_bands
from geokd.scenes.grid import SceneGrid
from geokd.scenes.options import SceneOptions
from geokd.scenes.plan import fix_plan
from geokd.scenes.scene_info import SceneInfo
from geokd.scenes.sensors import KnownValues

CONTRACT = InputContract(("B04", "B03", "B02"), 64, 10.0, ValueScaling())
BYTES_ONLY = replace(CONTRACT, value_scaling=None)
NAMELESS = ("", "", "", "")
UNDEFINED = ("gray", "undefined", "undefined", "undefined")
SENTINEL_2 = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12")


def scene_info(**fields: object) -> SceneInfo:
    grid = SceneGrid(Affine(10, 0, 4e5, 0, -10, 4.2e6), 100, 100, CRS.from_epsg(32618))
    info = SceneInfo(
        path="scene.tif",
        grid=grid,
        dtype="uint16",
        descriptions=("B04", "B03", "B02", "B08"),
        colours=UNDEFINED,
        nodata=(None,) * 4,
        masked=False,
        scales=(1.0,) * 4,
        offsets=(0.0,) * 4,
        storage_px=(256, 256),
    )
    return replace(info, **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("descriptions", "colours", "wanted", "bidx"),
    [
        (("B04", "B03", "B02", "B08"), UNDEFINED, ("B04", "B03", "B02"), (1, 2, 3)),
        (SENTINEL_2, ("gray",) + ("undefined",) * 12, ("B04", "B03", "B02"), (4, 3, 2)),
        (SENTINEL_2, ("gray",) + ("undefined",) * 12, ("B08", "B8A"), (8, 9)),
        (("Blue", "GREEN", "red", "NIR"), UNDEFINED, ("B04", "B03", "B02", "B08"), (3, 2, 1, 4)),
        (("B2", "B3", "B4", ""), UNDEFINED, ("red", "green", "blue"), (3, 2, 1)),
        (
            ("B4, central wavelength 665 nm", "B3, central wavelength 560 nm", "B2, central wavelength 490 nm", "B8"),
            UNDEFINED,
            ("B04", "B03", "B02"),
            (1, 2, 3),
        ),
        (NAMELESS, ("blue", "green", "red", "alpha"), ("B04", "B03", "B02"), (3, 2, 1)),
        (NAMELESS[:3], UNDEFINED[:3], ("B04", "B03", "B02"), (1, 2, 3)),
        (NAMELESS, ("gray", "undefined", "undefined", "alpha"), ("B04", "B03", "B02"), (1, 2, 3)),
        (NAMELESS, ("alpha", "undefined", "undefined", "undefined"), ("B04", "B03", "B02"), (2, 3, 4)),
    ],
)
def test_bands_are_found(
    descriptions: tuple[str, ...], colours: tuple[str, ...], wanted: tuple[str, ...], bidx: tuple[int, ...]
) -> None:
    choice = choose_bands(descriptions, colours, wanted, None)
    assert choice.bidx == bidx
    assert ", ".join(map(str, bidx)) in choice.note
    assert ", ".join(wanted) in choice.note


def test_descriptions_tell_more_than_colours() -> None:
    assert choose_bands(("B02", "B03", "B04"), ("red", "green", "blue"), ("B04", "B03", "B02"), None).bidx == (3, 2, 1)


@pytest.mark.parametrize(
    ("descriptions", "colours", "bidx", "said"),
    [
        (("",), ("gray",), None, ["1 band ", "needs 3"]),
        (NAMELESS * 2, ("gray",) * 8, None, ["--bidx"]),
        (NAMELESS, UNDEFINED, None, ["--bidx 1,2,3 or --bidx 3,2,1"]),
        (("B11", "B12", "B08"), UNDEFINED[:3], None, ["1 B11", "--bidx"]),
        (NAMELESS, UNDEFINED, (1, 2), ["names 2 bands", "needs 3"]),
        (NAMELESS, UNDEFINED, (0, 2, 5), ["0,5", "1..4"]),
        (NAMELESS, UNDEFINED, (9, 2), ["names 2 bands", "9", "1..4"]),
    ],
)
def test_bands_that_cannot_be_recognised_are_refused(
    descriptions: tuple[str, ...], colours: tuple[str, ...], bidx: tuple[int, ...] | None, said: list[str]
) -> None:
    with pytest.raises(SceneError) as error:
        choose_bands(descriptions, colours, CONTRACT.bands, bidx)
    assert all(words in str(error.value) for words in said)


@pytest.mark.parametrize(
    ("fields", "options", "scale", "offset", "stretched"),
    [
        ({}, SceneOptions(), 1, 0, True),
        ({"dtype": "int16"}, SceneOptions(), 1, 0, True),
        ({"dtype": "uint8"}, SceneOptions(), 1, 0, False),
        ({"dtype": "uint8"}, SceneOptions(value_scale=10), 10, 0, True),
        ({"scales": (1e-4,) * 4, "offsets": (-0.1,) * 4}, SceneOptions(), 1, -1000, True),
        ({"scales": (1e-4,) * 4, "offsets": (-0.1,) * 4}, SceneOptions(value_offset=0), 1, 0, True),
        ({"scales": (2.75e-5,) * 4, "offsets": (-0.2,) * 4}, SceneOptions(value_offset=0), 0.275, 0, True),
        ({"scales": (1e-4, 1.0, 1.0, 1.0)}, SceneOptions(value_scale=1, value_offset=0), 1, 0, True),
        ({"scales": (1e-4,) * 3 + (1.0,)}, SceneOptions(), 1, 0, True),  # the fourth band is not read
        ({}, SceneOptions(value_offset=-1000), 1, -1000, True),
        ({"dtype": "float32"}, SceneOptions(value_scale=10_000), 10_000, 0, True),
        ({"dtype": "float32", "scales": (1e-4,) * 4}, SceneOptions(), 1, 0, True),
    ],
)
def test_values(fields: dict[str, object], options: SceneOptions, scale: float, offset: float, stretched: bool) -> None:
    plan = fix_plan(scene_info(**fields), CONTRACT, options)
    assert plan.value_scales == pytest.approx((scale,) * 3)
    assert plan.value_offsets == pytest.approx((offset,) * 3)
    assert plan.scaling == (CONTRACT.value_scaling if stretched else None)


@pytest.mark.parametrize(
    ("fields", "options", "scale", "offset", "source"),
    [
        (
            {"scales": (1e-4,) * 4},
            SceneOptions(value_scale=2, value_offset=-5),
            2,
            -5,
            "--value-scale and --value-offset",
        ),
        ({"scales": (1e-4,) * 4}, SceneOptions(), 1, 0, "the file's scale and offset tags"),
        ({}, SceneOptions(), 1, -1000, "its name, processing baseline 05.11"),
        ({}, SceneOptions(value_scale=3), 3, -1000, "--value-scale and from its name, processing baseline 05.11"),
        ({"known_values": None}, SceneOptions(), 1, 0, "because the file has no scale or offset"),
    ],
)
def test_scale_and_offset_are_searched_in_order(
    fields: dict[str, object], options: SceneOptions, scale: float, offset: float, source: str
) -> None:
    """Options, then tags, then the name, then nothing; those of products are in tests of products."""
    by_name = KnownValues(1.0, -1000.0, "its name, processing baseline 05.11")
    plan = fix_plan(scene_info(**{"known_values": by_name} | fields), CONTRACT, options)
    assert (plan.value_scales[0], plan.value_offsets[0]) == pytest.approx((scale, offset))
    assert source in plan.notes[1]


def test_each_band_has_its_own_scale_and_offset() -> None:
    info = scene_info(scales=(1e-4, 2e-4, 1e-4, 1.0), offsets=(-0.1, 0.0, -0.1, 0.0))
    plan = fix_plan(info, CONTRACT, SceneOptions())
    assert plan.value_scales == pytest.approx((1, 2, 1))
    assert plan.value_offsets == pytest.approx((-1000, 0, -1000))
    note = "= DN x 1 - 1000 in B04, DN x 2 + 0 in B03, DN x 1 - 1000 in B02, from the file's scale and offset tags;"
    assert note in plan.notes[1]
    said = fix_plan(info, CONTRACT, SceneOptions(value_offset=0))
    assert said.value_scales == pytest.approx((1, 2, 1))
    assert said.value_offsets == (0, 0, 0)


@pytest.mark.parametrize(
    ("fields", "contract", "options", "said"),
    [
        ({"dtype": "float32"}, CONTRACT, SceneOptions(), ["float32", "--value-scale 10000"]),
        ({"dtype": "float32"}, CONTRACT, SceneOptions(value_offset=0), ["float32", "--value-scale 10000"]),
        ({"dtype": "complex64"}, CONTRACT, SceneOptions(), ["complex64"]),
        ({}, BYTES_ONLY, SceneOptions(), ["uint16", "gdal_translate -ot Byte -scale"]),
        (
            {"scales": (1e-4, 1.0, 1.0, 1.0)},
            CONTRACT,
            SceneOptions(),
            ["have scale and offset tags, except band 2 and 3", "--value-scale"],
        ),
        ({}, CONTRACT, SceneOptions(value_scale=0), ["must be positive"]),
        ({}, CONTRACT, SceneOptions(value_offset=float("nan")), ["finite"]),
    ],
)
def test_values_of_unknown_meaning_are_refused(
    fields: dict[str, object], contract: InputContract, options: SceneOptions, said: list[str]
) -> None:
    with pytest.raises(SceneError) as error:
        fix_plan(scene_info(**fields), contract, options)
    assert all(words in str(error.value) for words in said)


def grid_of(crs: str | None, size_x: float, size_y: float, origin: tuple[float, float] = (4e5, 4.2e6)) -> SceneGrid:
    transform = Affine(size_x, 0, origin[0], 0, -size_y, origin[1])
    return SceneGrid(transform, 100, 100, CRS.from_string(crs) if crs else None)


@pytest.mark.parametrize(
    ("grid", "said"),
    [
        (grid_of("EPSG:32618", 20, 20), ["20 x 20 m", "gdalwarp -tr 10 10 -r average scene.tif"]),
        (grid_of("EPSG:32618", 10, 15), ["10 x 15 m", "-tr 10 10"]),
        (grid_of("EPSG:32618", 7.9, 10), ["7.9 x 10 m"]),
        (grid_of("EPSG:4326", 1.5e-4, 1.5e-4, (-75.5, 37.5)), ["-t_srs EPSG:32618 -tr 10 10"]),
        (grid_of("EPSG:4326", 1.5e-4, 1.5e-4, (151.0, -33.0)), ["-t_srs EPSG:32756 -tr 10 10"]),
        (grid_of("EPSG:4326", 1.5e-4, 1.5e-4, (179.995, 10.0)), ["-t_srs EPSG:32601 -tr 10 10"]),  # centre beyond 180
        (
            grid_of("EPSG:32618", 30, 30),
            ["30 x 30 m", "too coarse for what the model was trained on; use a finer scene"],
        ),
        (grid_of(None, 10, 10), ["no coordinate reference system", "gdal_edit.py -a_srs"]),
    ],
)
def test_grids_that_do_not_fit_are_refused_with_the_remedy(grid: SceneGrid, said: list[str]) -> None:
    with pytest.raises(SceneError) as error:
        fix_plan(scene_info(grid=grid), CONTRACT, SceneOptions())
    assert all(words in str(error.value) for words in said)


@pytest.mark.parametrize("size", [8.1, 10, 11.9])
def test_pixel_sizes_within_a_fifth_fit(size: float) -> None:
    plan = fix_plan(scene_info(grid=grid_of("EPSG:32618", size, size)), CONTRACT, SceneOptions())
    assert plan.bidx == (1, 2, 3)


def test_all_mismatches_come_in_one_message() -> None:
    info = scene_info(grid=grid_of("EPSG:32618", 30, 30), descriptions=("",), colours=("gray",), dtype="float32")
    with pytest.raises(SceneError) as error:
        fix_plan(info, CONTRACT, SceneOptions())
    message = str(error.value)
    assert message.startswith("scene.tif does not fit the model: 3 problems:")
    assert all(words in message for words in ("30 x 30 m", "1 band ", "--value-scale 10000"))


@pytest.mark.parametrize(
    ("info", "options", "nodata", "note"),
    [
        (scene_info(), SceneOptions(), None, "no nodata value is declared"),
        (scene_info(nodata=(0.0,) * 4), SceneOptions(), 0, "nodata is 0, from the file"),
        (scene_info(nodata=(0.0,) * 4), SceneOptions(nodata=65535), 65535, "nodata is 65535 (--nodata)"),
        (scene_info(masked=True), SceneOptions(), None, "it has a mask: pixels with 0 there are missing"),
        (
            scene_info(masked=True, colours=("red", "green", "blue", "alpha")),
            SceneOptions(bidx=(1, 2, 3)),
            None,
            "band 4 is alpha, according to the file: pixels with 0 there are missing",
        ),
    ],
)
def test_nodata(info: SceneInfo, options: SceneOptions, nodata: float | None, note: str) -> None:
    plan = fix_plan(info, CONTRACT, options)
    assert plan.nodata.of(plan.bidx) == (nodata,) * 3
    assert any(note in sentence for sentence in plan.notes)


def test_every_choice_is_noted() -> None:
    notes = fix_plan(scene_info(), CONTRACT, SceneOptions(value_offset=-1000)).notes
    assert len(notes) == 3
    assert "by their descriptions" in notes[0]
    assert "DN x 1 - 1000, from --value-offset;" in notes[1]
    assert "0..2750 to 1..255" in notes[1]
    tagged = fix_plan(scene_info(scales=(1e-4,) * 4), CONTRACT, SceneOptions(value_offset=-1000)).notes
    assert "from --value-offset and from the file's scale and offset tags" in tagged[1]
    byte_notes = fix_plan(scene_info(dtype="uint8"), CONTRACT, SceneOptions()).notes
    assert "8-bit values are used as they are" in byte_notes[1]
