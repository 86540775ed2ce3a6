"""Titles with letters that no font here has are shown otherwise in pictures, and it is said."""

import shutil
from pathlib import Path

import pytest
from PIL import ImageFont, features

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


def test_any_font_file_of_the_machine_may_be_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A broken font file among them does no harm."""
    if not panels._fonts():
        pytest.skip("this machine has no other font")
    shutil.copy(str(ImageFont.truetype(panels._fonts()[0], 22).path), tmp_path / "Some-Regular.ttf")
    (tmp_path / "A-Regular.otf").write_bytes(b"no font")
    monkeypatch.setattr(panels, "_FONT_FOLDERS", (str(tmp_path), str(tmp_path / "missing")))
    monkeypatch.setattr(panels, "_fonts", tuple)
    panels._font_files.cache_clear()
    assert panels._font_of.__wrapped__("Лес") == str(tmp_path / "Some-Regular.ttf")
    assert panels._font_of.__wrapped__("\U000f1234") is None
    panels._font_files.cache_clear()


def test_letters_that_join_need_shaping(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "check", lambda name: False)
    assert panels._font_of.__wrapped__("غابة") is None
    assert panels._font_of.__wrapped__("वन") is None
