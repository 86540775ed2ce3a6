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
        ({"value": 255}, "outside 0..254"),
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
