"""Titles with letters that no font here has are shown otherwise in pictures, and it is said."""

import pytest

from geokd.legend.classes import default_legend
from geokd.maps.pages import panels
from geokd.maps.pages.panels import can_draw
from geokd.maps.pages.quicklook import notes_of_letters


def test_plain_letters_are_drawn() -> None:
    assert can_draw("annual crop (2), 3 % ~")
    assert notes_of_letters(default_legend(["Forest", "Pasture"])) == []


def test_another_font_of_the_machine_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    if not panels._fonts():
        pytest.skip("this machine has no other font")
    assert can_draw("Wälder")
    assert panels.font(22, "Wälder") != panels.font(22)


def test_what_cannot_be_drawn_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(panels, "_font_of", lambda text: "" if text.isascii() else None)
    (note,) = notes_of_letters(default_legend(["Forest", "耕地", "Wälder"]))
    assert note.endswith("so pictures show 耕地 as class 1, Wälder as Walder")
