import pytest

from geokd.legend.classes import LandUseClass, Legend, default_legend, human_title, machine_name


def test_round_trip() -> None:
    legend = default_legend(["AnnualCrop", "Forest", "sea lake"])
    assert Legend.from_json(legend.to_json()) == legend
    assert legend.names == ("AnnualCrop", "Forest", "sea_lake")
    assert legend[1].rgb == (0x2E, 0x7D, 0x32)


@pytest.mark.parametrize(("name", "title"), [("AnnualCrop", "Annual crop"), ("dense_residential", "Dense residential")])
def test_titles(name: str, title: str) -> None:
    assert human_title(name) == title


def test_colours_never_repeat() -> None:
    legend = default_legend([f"water {i}" for i in range(40)] + [f"class {i}" for i in range(40)])
    assert len({c.color_hint for c in legend}) == 80


def test_machine_name_keeps_what_stac_allows() -> None:
    assert machine_name(" Mixed  use/é ") == "Mixed_use_e"
    assert (machine_name("Wälder"), machine_name("Wölder")) == ("Walder", "Wolder")
    assert (machine_name("森林"), machine_name("水")) == ("u68ee_u6797", "u6c34")
    assert machine_name("--") == "--"
    assert machine_name("***") == "class"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"value": 255}, "not an integer within 0..254"),
        ({"name": "a b"}, "may hold letters"),
        ({"color_hint": "#FFFFF"}, "six digits"),
        ({"title": " "}, "empty title"),
    ],
)
def test_bad_class(change: dict[str, object], sentence: str) -> None:
    good = {"value": 0, "name": "a", "title": "A", "color_hint": "FF00AA"}
    with pytest.raises(ValueError, match=sentence):
        LandUseClass(**(good | change))  # type: ignore[arg-type]


def test_bad_legends() -> None:
    a, b = LandUseClass(0, "a", "A", "FF00AA"), LandUseClass(2, "b", "B", "00FFAA")
    with pytest.raises(ValueError, match="in order"):
        Legend((a, b))
    with pytest.raises(ValueError, match="repeat"):
        Legend((a, LandUseClass(1, "a", "B", "00FFAA")))
    with pytest.raises(ValueError, match="keys"):
        Legend.from_json([{"value": 0, "name": "a", "title": "A", "color": "FF00AA"}])


@pytest.mark.parametrize("text", ["Annual_crop", "annual crop", " ANNUAL-CROP ", "Annual/crop"])
def test_a_class_is_found_whatever_its_spelling(text: str) -> None:
    legend = Legend((LandUseClass(0, "Annual_crop", "Annual crop", "FF00AA"),))
    expected = None if "-" in text else 0  # a hyphen may be part of a name
    assert (legend.code_named(text), legend.code_of(text)) == (expected, expected)


def test_chip_folders_find_the_classes_that_were_made_of_them() -> None:
    folders = ["Forêt", "Straße", "森林", "sea lake"]
    assert [default_legend(folders).code_named(folder) for folder in folders] == [0, 1, 2, 3]
    assert default_legend(["class", "wood"]).code_named("***") is None


def test_a_number_finds_a_class_only_where_numbers_are_meant() -> None:
    legend = default_legend(["wood", "sea"])
    assert (legend.code_of("1"), legend.code_named("1")) == (1, None)  # a folder `1` may be the first of all
