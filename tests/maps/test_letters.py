"""Titles whose letters the pictures' font lacks: the picture names classes by their numbers, and it is said."""

from geokd.legend.classes import default_legend
from geokd.maps.pages.panels import can_draw
from geokd.maps.pages.quicklook import notes_of_letters


def test_letters_that_the_font_has() -> None:
    assert all(map(can_draw, ("Wälder", "Forêt", "Łąka", "annual crop (2)")))
    assert not any(map(can_draw, ("耕地", "Лес", "غابة", "forest 林")))


def test_what_cannot_be_drawn_is_said() -> None:
    assert notes_of_letters(default_legend(["Forest", "Pasture"])) == []
    (note,) = notes_of_letters(default_legend(["Forest", "耕地"]))
    assert note.endswith("name these classes by their numbers: 1 is 耕地")
