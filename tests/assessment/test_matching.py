import pytest

from geokd.assessment.matching import match_classes
from geokd.errors import CallError
from tests.tiny_maps import LEGEND

UNSURE = LEGEND.with_unclassified()


def test_by_name_title_or_value_whatever_the_case() -> None:
    match = match_classes(LEGEND, ["SEA", "open sea", "Open_Sea", "1", " Wood ", "wood & <TREES>"])
    assert match.names == ("sea", "wood", "field")
    assert match.of_map == (0, 1, 2)
    assert match.of_reference == {
        "SEA": 0,
        "open sea": 0,
        "Open_Sea": 0,
        "1": 1,
        " Wood ": 1,
        "wood & <TREES>": 1,
    }
    assert not match.has_foreign
    assert not match.has_unclassified
    assert match.joined == ()


def test_several_that_would_be_accepted_are_judged_as_one() -> None:
    match = match_classes(LEGEND, ["wood|field", "field", "sea"])
    assert match.names == ("sea", "wood + field")
    assert match.of_map == (0, 1, 1)
    assert match.of_reference == {"wood|field": 1, "field": 1, "sea": 0}
    assert match.joined == ("wood + field",)


def test_a_table_joins_and_goes_before_names() -> None:
    table = [("sea", "water"), ("Wood & <trees>", "green"), ("2", "green"), ("", "dune"), ("", "sea")]
    match = match_classes(LEGEND, ["water", "Green", "dune", "sea"], table)
    assert match.names == ("sea", "wood + field")
    assert match.of_reference == {"water": 0, "Green": 1, "dune": 2, "sea": 2}
    assert match.has_foreign


def test_numbers_are_codes_of_the_map_only_if_all_are() -> None:
    assert match_classes(LEGEND, ["0", "1", "sea"]).numbers_note.endswith("codes of the map: 0 = sea, 1 = wood")
    assert match_classes(LEGEND, ["sea", "wood"]).numbers_note == ""
    with pytest.raises(CallError, match="holds 1, 10, 2, not classes of the map"):  # 1 and 2 fit by chance
        match_classes(LEGEND, ["1", "2", "10"])


def test_a_number_that_a_table_of_numbers_lacks_is_no_code_of_the_map() -> None:
    table = [("wood", "10"), ("field", "40")]
    assert match_classes(LEGEND, ["10", "40"], table).numbers_note == ""
    with pytest.raises(CallError, match="the reference holds 1, not classes of the map"):
        match_classes(LEGEND, ["1", "10", "40"], table)
    assert match_classes(LEGEND, ["1"], [("sea", "lake")]).of_reference == {"1": 1}  # its table is not of numbers


def test_unclassified_says_nothing() -> None:
    match = match_classes(UNSURE, ["sea", "Unclassified", "sea|unclassified"])
    assert match.names == ("sea", "wood", "field")
    assert match.of_map == (0, 1, 2, 3)
    assert match.of_reference == {"sea": 0, "Unclassified": None, "sea|unclassified": 0}
    assert match.has_unclassified
    assert not match.has_foreign


def test_all_unknown_classes_are_reported_at_once() -> None:
    with pytest.raises(CallError) as caught:
        match_classes(LEGEND, ["marsh", "7", "sea|moor", "sea"], [("see", "lake"), ("wod", "tree")], "truth.gpkg")
    message = str(caught.value)
    assert "the table names see, wod, not classes of the map, which has sea, wood, field" in message
    assert "truth.gpkg holds 7, marsh, sea|moor, not classes" in message
    assert "--match" in message
