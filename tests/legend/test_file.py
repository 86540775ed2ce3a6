"""Legends of an analyst's own: what files say, and how it is held against the classes that are there."""

import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geokd.errors import CallError
from geokd.legend.classes import LandUseClass, Legend
from geokd.legend.file import Restyle, legend_as_toml, read_legend_file
from geokd.legend.regrouping import regroup
from geokd.maps.qgis import class_raster_qml, polygons_qml

OLD = Legend(
    (
        LandUseClass(0, "AnnualCrop", "Annual crop", "F2D45C"),
        LandUseClass(1, "Forest", "Forest", "2E7D32"),
        LandUseClass(2, "PermanentCrop", "Permanent crop", "D98B3A"),
        LandUseClass(3, "River", "River", "4FA3D9"),
    )
)


def read(folder: Path, name: str, text: str) -> list[Restyle]:
    (folder / name).write_text(text, encoding="utf-8")
    return read_legend_file(folder / name)


CROPLAND = Restyle(("AnnualCrop", "Permanent crop"), None, "Cropland", "ABCDEF")
TOML = '[[legend]]\nfrom = ["AnnualCrop", "Permanent crop"]\ntitle = "Cropland"\ncolor_hint = "#abcdef"\n'
CSV = "title,color_hint,from\nCropland,#abcdef,AnnualCrop\nCropland,, Permanent crop\n\n"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.toml", TOML),
        ("A.CSV", CSV),
        ("b.csv", "\ufeff" + CSV.replace("\n", "\r\n")),
        ("c.csv", CSV.replace(",", ";")),
        ("d.csv", CSV.replace(",", "\t")),
    ],
)
def test_one_legend_three_ways(name: str, text: str, tmp_path: Path) -> None:
    assert read(tmp_path, name, text) == [CROPLAND]


RASTER = (
    "<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'><qgis><pipe><rasterrenderer type='paletted'>"
    "<colorPalette>"
    "<paletteEntry value='0' color='#abcdef' label='Cropland' alpha='255'/>"
    "<paletteEntry value='2' color='#000000' label='Cropland' alpha='255'/></colorPalette></rasterrenderer>"
    "</pipe></qgis>"
)
POLYGONS = (
    "<qgis><renderer-v2 type='categorizedSymbol' attr='class_value'><categories>"
    "<category value='0' symbol='a' label='Cropland'/><category value='2' symbol='b' label='Cropland'/>"
    "<category value='' symbol='b' label='all other values'/></categories><symbols>"
    "<symbol name='a'><layer>{}</layer></symbol><symbol name='b'><layer/></symbol></symbols></renderer-v2></qgis>"
)
LIST = POLYGONS.replace("<category value='2' symbol='b' label='Cropland'/>", "").replace(
    "<category value='0' symbol='a' label='Cropland'/>",
    "<category value='' type='List' symbol='a' label='Cropland'><val value='0'/><val value='2'/></category>",
)
OPTION = "<Option type='Map'><Option name='color' value='171,205,239,255,rgb:0.67,0.8,0.94,1'/></Option>"
PROP = "<prop k='color' v='171,205,239,255'/>"


@pytest.mark.parametrize("text", [RASTER, POLYGONS.format(OPTION), POLYGONS.format(PROP), LIST.format(OPTION)])
def test_styles_of_qgis(text: str, tmp_path: Path) -> None:
    assert read(tmp_path, "a.qml", text) == [Restyle(("0", "2"), None, "Cropland", "ABCDEF")]


@pytest.mark.parametrize("style", [class_raster_qml(OLD), polygons_qml(OLD), legend_as_toml(OLD, "it")])
def test_what_geokd_writes_changes_nothing(style: str, tmp_path: Path) -> None:
    ending = "toml" if "[[legend]]" in style else "qml"
    same = regroup(OLD, read(tmp_path, f"a.{ending}", style), "a")
    assert same.legend == OLD
    assert not same.merges
    assert same.codes[:6].tolist() == [0, 1, 2, 3, 255, 255]


@given(st.lists(st.text(st.characters(exclude_categories=["C"]), min_size=1, max_size=9), min_size=1, max_size=5))
def test_any_titles_come_back_from_toml(tmp_path_factory: pytest.TempPathFactory, titles: list[str]) -> None:
    composed = [unicodedata.normalize("NFC", title) for title in titles]  # as titles are read
    unique = {title.casefold(): title for title in composed if title.strip()}
    if not unique:
        return
    legend = Legend(tuple(LandUseClass(k, f"c{k}", t, "00FF00") for k, t in enumerate(unique.values())))
    found = read(tmp_path_factory.mktemp("a"), "a.toml", legend_as_toml(legend, "a\nb"))
    assert regroup(legend, found, "a").legend == legend


def test_merging() -> None:
    made = regroup(OLD, [CROPLAND, Restyle(("river",), title="Fluß")], "a")
    assert made.groups == ((0, 2), (1,), (3,))
    assert [(c.name, c.title, c.color_hint) for c in made.legend] == [
        ("Cropland", "Cropland", "ABCDEF"),
        ("Forest", "Forest", "2E7D32"),
        ("River", "Fluß", "4FA3D9"),  # a name is ASCII, so it stays
    ]
    assert made.codes[[0, 1, 2, 3, 4, 255]].tolist() == [0, 1, 0, 2, 255, 255]
    assert made.made_of(OLD)[0].to_json() == {**made.legend.to_json()[0], "made_of": ["AnnualCrop", "PermanentCrop"]}


@pytest.mark.parametrize(
    ("restyle", "name", "title", "colour"),
    [
        (Restyle(("1",), color_hint="000000"), "Forest", "Forest", "000000"),
        (Restyle(("Forest",), title="Wood"), "Wood", "Wood", "2E7D32"),
        (Restyle(("Forest",), name="Forest", title="Wood"), "Forest", "Wood", "2E7D32"),
        (Restyle(("Forest",), title="Лес"), "Forest", "Лес", "2E7D32"),
        (Restyle(("Forest", "River"), title="Лес"), "Forest_River", "Лес", "2E7D32"),
        (Restyle(("River", "Forest"), name="wild"), "wild", "wild", "2E7D32"),
    ],
)
def test_what_is_not_stated(restyle: Restyle, name: str, title: str, colour: str) -> None:
    (found,) = (c for c in regroup(OLD, [restyle], "a").legend if c.title == title)
    assert (found.name, found.color_hint) == (name, colour)


def test_cells_that_are_left_unclassified() -> None:
    old = OLD.with_unclassified()
    made = regroup(old, [CROPLAND, Restyle(("Unclassified",), title="Unsure", color_hint="111111")], "a")
    assert made.legend[3] == LandUseClass(3, "unclassified", "Unsure", "111111")
    assert made.codes[4] == 3
    with pytest.raises(CallError, match="'unclassified' is not a class of land use and cannot be merged"):
        regroup(old, [Restyle(("River", "unclassified"), title="Rest")], "a")
    with pytest.raises(CallError, match="the name 'unclassified' is reserved for cells"):
        regroup(OLD, [Restyle(("River",), title="unclassified")], "a")


def test_everything_that_does_not_fit_is_reported_at_once() -> None:
    wanted = [
        Restyle(("AnualCrop",), title="Field"),
        Restyle(("moor",), title="Moor"),
        Restyle(("Forest", "River")),
        Restyle(("forest",), title="Permanent crop"),
        Restyle(("0",), name="a b"),
        Restyle(("PermanentCrop",), title=""),
    ]
    with pytest.raises(CallError) as caught:
        regroup(OLD, wanted, "mine.toml")
    told = str(caught.value).splitlines()
    assert told == [
        "6 problems:",
        "  - the legend mine.toml does not fit: 'AnualCrop' is not a class; did you mean 'AnnualCrop'?",
        "  - the legend mine.toml does not fit: 'moor' is not a class; the classes are AnnualCrop, Forest,"
        " PermanentCrop, River",
        "  - the legend mine.toml does not fit: 'Forest' is mentioned more than once",
        "  - the legend mine.toml does not fit: the class of Forest and River needs a title",
        "  - the legend mine.toml does not fit: class name 'a b' may hold letters, digits, '_' and '-' only",
        "  - the legend mine.toml does not fit: class 'PermanentCrop' has an empty title",
    ]
    with pytest.raises(CallError, match="several classes would have the title 'Forest'; merge them"):
        regroup(OLD, [Restyle(("River",), title="Forest")], "a")
    with pytest.raises(CallError, match="several classes would have the name 'Forest'; merge them"):
        regroup(OLD, [Restyle(("River",), title="Wet", name="Forest")], "a")


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("a.txt", "", "is neither .toml nor .csv nor .qml"),
        ("a.toml", "[[legend", "cannot be read as TOML"),
        ("a.toml", "", "it names no class"),
        ("a.toml", "legend = 3", "its classes are not tables"),
        ("a.toml", '[[legend]]\ntitle = "x"', "class 1 has neither `name` nor `from`"),
        ("a.toml", "[[legend]]\nname = 'a'\ncolour = 'x'", "unknown key colour; it may have from, title"),
        ("a.toml", "[[legend]]\nname = 'a'\ncolor_hint = 3", "color_hint should be in quotes"),
        ("a.toml", "[[legend]]\nname = 'a'\ncolor_hint = 'red'", "the colour 'red' of class 1 is not six digits"),
        ("a.csv", "class,colour\na,b\n", "should have the columns from,title"),
        ("a.csv", "", "should have the columns from,title"),
        ("a.csv", "from,title,title\na,b,c\n", "should have the columns from,title"),
        ("a.csv", "from,title\na\n", "its lines differ in their number of columns"),
        ("a.csv", "from,title,name\na,x,m\nb,x,n\n", "class 'x' has several names: m, n"),
        ("a.qml", "<qgis", "cannot be read as QML"),
        ("a.qml", "<qgis/>", "the style of neither a paletted raster nor categorised polygons"),
    ],
)
def test_files_that_are_no_legend(name: str, text: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(CallError, match="^the legend .*") as caught:
        read(tmp_path, name, text)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_files_that_are_not_there(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(CSV, encoding="utf-16")
    with pytest.raises(CallError, match=r"the legend .*a\.csv is not in UTF-8; save it in UTF-8"):
        read_legend_file(tmp_path / "a.csv")
    with pytest.raises(CallError, match=r"the legend .*no\.toml cannot be read: No such file"):
        read_legend_file(tmp_path / "no.toml")


def test_classes_are_found_by_name_title_and_value() -> None:
    legend = Legend((LandUseClass(0, "lake", "1", "0000FF"), LandUseClass(1, "les", "Лес", "00FF00")))
    found = {text: legend.code_of(text) for text in ("LAKE", " lake ", "0", "1", "лес", "дом", "class", "")}
    assert found == {"LAKE": 0, " lake ": 0, "0": 0, "1": 0, "лес": 1, "дом": None, "class": None, "": None}
    assert [OLD.code_of(text) for text in ("annual_crop", "permanent  crop", "annualcrops")] == [0, 2, None]
